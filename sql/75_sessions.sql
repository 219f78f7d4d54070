-- Presence: join, leave, heartbeat, list. Under the caller's rights and row security.
create function quote_session_target() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{active_quote_sessions}'::text[]);
    return format('%I.active_quote_sessions', @extschema@.quote_collab_home());
end $$;
comment on function quote_session_target() is 'quoted name of the presence table';

create function require_quote_session_status(status text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if status not in ('VIEWING', 'EDITING', 'IDLE') then
        raise exception 'unknown session status' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(status, 63)), hint = 'Use VIEWING, EDITING or IDLE.';
    end if;
end $$;
comment on function require_quote_session_status(text) is 'refuses a status that is none';

-- A list that is told late is better than a session that is refused: where nobody empties the queue of NOTIFY, readers look by themselves.
create function wake_quote_presence() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_notification_queue_usage() < 0.9 then
        perform pg_notify('quote_presence', '');
    end if;
end $$;
comment on function wake_quote_presence() is 'wakes the listeners of presence when the current transaction has committed';

-- Somebody who opens more and more sessions makes the list of who is there longer for everybody. One that is there already may join again.
create function require_quote_session_room(tenant uuid, who uuid, joining uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := 200;
    others bigint;
begin
    execute format('select count(*) from %s s where s.tenant_id = $1 and s.user_id = $2 and s.session_id is distinct from $3
        and @extschema@.quote_session_lives(s.last_heartbeat)', @extschema@.quote_session_target()) into others using tenant, who, joining;
    if others >= most then
        raise exception 'too many sessions of one user' using errcode = 'configuration_limit_exceeded', detail = format('%s of them are alive.', others),
            hint = 'Leave those that nobody needs, or wait until they are stale.';
    end if;
end $$;
comment on function require_quote_session_room(uuid, uuid, uuid) is 'refuses to open one session more for somebody who has very many';

-- An upsert by session_id: joining again moves the session and counts as a heartbeat. user_id defaults to
-- app.current_user_id; a verified user joins as himself whatever is passed, under the name that the ERP has for him. SQLSTATE 42501
-- when the session belongs to somebody else.
create function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_variable
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    who uuid := @extschema@.current_quote_user(user_id);
    known record;
    session @extschema@.quote_session;
begin
    perform @extschema@.require_quote_session_status(status);
    if @extschema@.current_quote_tenant() is null and row_security_active(@extschema@.quote_session_target()) then
        raise exception 'no tenant is set' using errcode = 'insufficient_privilege',
            detail = 'A session belongs to the tenant of whoever joins.',
            hint = 'Set app.current_tenant_id for the transaction, or where tenants are verified, call authenticate_quote_user(token).';
    elsif who is null then
        raise exception 'the user id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'Others see who has the quote open.', hint = 'Pass user_id or set app.current_user_id.';
    end if;
    select * into known from @extschema@.find_quote_user(who);
    if known.known and @extschema@.verified_quote_user() = who then
        user_name := null;
        user_email := null;
    end if;
    perform @extschema@.require_quote_session_texts(user_name, user_email);
    perform @extschema@.require_quote_session_room((quote ->> (header.columns ->> 'tenant'))::uuid, who, session_id);
    begin
        execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict (session_id) do update set
            quote_id = excluded.quote_id, user_id = excluded.user_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id and @extschema@.quote_session_lives(s.last_heartbeat) then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where (s.user_id = excluded.user_id or not @extschema@.quote_session_lives(s.last_heartbeat)) and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
        into session
        using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
            coalesce(user_name, left(known.user_name, 255)), coalesce(user_email, left(known.user_email, 255)), coalesce(status, 'VIEWING');
    exception when insufficient_privilege then
        -- Row security says no to a session of another tenant, and names the table; a right that is missing it leaves alone.
        if not has_table_privilege(@extschema@.quote_session_target(), 'insert') or not has_table_privilege(@extschema@.quote_session_target(), 'update') then
            raise;
        end if;
    end;
    if session.session_id is null then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            detail = 'It was given to whoever joined with it.', hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform @extschema@.wake_quote_presence();
    return next session;
end $$;
comment on function join_quote_session(uuid, uuid, uuid, text, text, text) is 'opens a quote for a session, or moves the session to it';

-- A sign of life, and where the focus is. Returns false when the session is unknown or already stale: join again.
-- current_line_id, current_field and cursor_position are set as given; is_editing and status stay when null.
create function heartbeat_quote_session(
    session_id uuid, current_line_id uuid default null, current_field text default null, cursor_position integer default null,
    is_editing boolean default null, status text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    moved boolean;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'No session has a null for its id.', hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    perform @extschema@.require_quote_session_status(status);
    if cursor_position < 0 then
        raise exception 'the cursor position must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', cursor_position), hint = 'Count from 0, in UTF-16 code units.';
    elsif char_length(current_field) > 63 then
        raise exception 'the field name is too long' using errcode = 'string_data_right_truncation',
            detail = 'The name of a column has at most 63 characters.', hint = 'Pass the name of a column.';
    end if;
    execute format($query$
        with before as (
            select s.* from %1$s s
            where s.session_id = $1 and @extschema@.quote_session_lives(s.last_heartbeat)
              and ($7 is null or s.user_id = $7) and ($9 or s.tenant_id = $8)
            for no key update)
        update %1$s s set last_heartbeat = clock_timestamp(), current_line_id = $2, current_field = $3, cursor_position = $4,
            is_editing = coalesce($5, s.is_editing), status = coalesce($6, s.status)
        from before b where s.id = b.id
        returning (b.current_line_id, b.current_field, b.cursor_position, b.is_editing, b.status)
            is distinct from (s.current_line_id, s.current_field, s.cursor_position, s.is_editing, s.status)$query$,
        @extschema@.quote_session_target())
    into moved using session_id, current_line_id, current_field, cursor_position, is_editing, status,
        @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if moved then
        perform @extschema@.wake_quote_presence();
    end if;
    return moved is not null;
end $$;
comment on function heartbeat_quote_session(uuid, uuid, text, integer, boolean, text) is 'keeps a session alive and tells where its focus is';

create function leave_quote_session(session_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    gone uuid;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'No session has a null for its id.', hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    execute format('delete from %s s where s.session_id = $1 and ($2 is null or s.user_id = $2) and ($4 or s.tenant_id = $3) returning s.id',
        @extschema@.quote_session_target())
    into gone using session_id, @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if gone is not null then
        perform @extschema@.wake_quote_presence();
    end if;
    return gone is not null;
end $$;
comment on function leave_quote_session(uuid) is 'ends a session; false when there was none';

create function get_active_quote_sessions(quote_id uuid) returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform @extschema@.require_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '');
    if pg_is_in_recovery() then
        raise exception 'sessions are not known on a standby' using errcode = 'feature_not_supported',
            detail = 'Their table is unlogged.', hint = 'Ask the primary.';
    end if;
    return query execute format('select s.* from %s s where s.quote_id = $1 and ($3 or s.tenant_id = $2)
        and @extschema@.quote_session_lives(s.last_heartbeat) order by s.joined_at, s.session_id',
        @extschema@.quote_session_target())
    using quote_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
end $$;
comment on function get_active_quote_sessions(uuid) is 'who has a quote open, oldest session first';

-- Deletes stale sessions of every tenant and tells the listeners; returns how many. Two sweepers at once share the work.
create function cleanup_stale_quote_sessions() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    swept integer;
begin
    execute format('delete from %1$s s using (select x.id from %1$s x
            where not @extschema@.quote_session_lives(x.last_heartbeat) for update skip locked) stale
        where s.id = stale.id', @extschema@.quote_session_target());
    get diagnostics swept = row_count;
    if swept > 0 then
        perform @extschema@.wake_quote_presence();
    end if;
    return swept;
end $$;
comment on function cleanup_stale_quote_sessions() is 'deletes sessions without a heartbeat for 30 seconds';
