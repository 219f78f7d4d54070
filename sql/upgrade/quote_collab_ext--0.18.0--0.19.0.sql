-- From 0.18.0 to 0.19.0.
comment on column @extschema@.quote_log_cuts.no is 'its number; a cursor says which was the newest when it was given';
comment on sequence @extschema@.quote_log_cuts_no_seq is 'numbers nothing: what leaves an audit log goes on from the newest number';
-- Functions.
drop function quote_columns_missing(name);
drop function require_quote_columns(name);
create function quote_library_release() returns text
language c strict stable parallel safe
as 'MODULE_PATHNAME', 'quote_library_release_wrapper';
comment on function quote_library_release() is 'the release of the library that this session has loaded';
create function refuse_history_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
        detail = 'History, its seals and the place of the relay stay as long as quote collaboration is attached.',
        hint = 'History goes by months: archive_quote_changes() and drop_archived_quote_changes(); all of it by detach_quote_collaboration(drop_history => true).';
end $$;
comment on function refuse_history_truncate() is 'before-truncate trigger of the history: refuses';
create function quote_truncate_refused(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_trigger g where g.tgrelid = target and g.tgfoid = '@extschema@.refuse_history_truncate()'::regprocedure
        and g.tgtype = 34 and g.tgenabled = 'A' and g.tgqual is null)
$$;
comment on function quote_truncate_refused(regclass) is 'whether a table of the history is as guard_quote_history() leaves it';
create function guard_quote_history(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not @extschema@.quote_truncate_refused(target) then
        execute format('create or replace trigger trg_refuse_history_truncate before truncate on %s for each statement execute function @extschema@.refuse_history_truncate()', target);
        execute format('alter table %s enable always trigger trg_refuse_history_truncate', target);
        execute format('comment on trigger trg_refuse_history_truncate on %s is %L', target, 'what is recorded stays');
    end if;
end $$;
comment on function guard_quote_history(regclass) is 'has a table of the history refuse TRUNCATE';
create or replace function join_quote_changes_month(log regclass, spare regclass, month regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name := @extschema@.quote_log_schema(log);
    log_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = log);
    has_strays boolean := false;
    outdated regclass;
begin
    -- Subscribers to a log that is published hear of both ends when rows move under the lock, and not at all of a month that is not attached.
    if @extschema@.quote_log_is_published(log) then
        has_strays := @extschema@.quote_strays_exist(spare, month_start, month_end);
    -- What writers have added meanwhile; a month that is over got nothing more.
    elsif month is not null and month_end > now() - interval '1 day' then
        perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
    end if;
    if has_strays then
        perform @extschema@.require_quote_deletes_published(log);
        execute format('create temporary table quote_changes_strays (like %s)', log);
        perform @extschema@.move_quote_strays(spare, to_regclass('pg_temp.quote_changes_strays'::text), month_start, month_end);
    end if;
    month := coalesce(month, @extschema@.detached_quote_changes_month(log, month_name));
    if month is not null then
        execute format('alter table %s attach partition %s for values from (%L) to (%L)', log, month, month_start, month_end);
        execute format('alter table %s drop constraint if exists quote_changes_month', month);
    else
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)', log_schema, month_name, log, month_start, month_end);
        month := format('%I.%I', log_schema, month_name)::regclass;
        execute format('alter table %s alter column position drop default', month);
    end if;
    if has_strays then
        perform @extschema@.move_quote_strays(to_regclass('pg_temp.quote_changes_strays'::text), month, month_start, month_end);
        drop table pg_temp.quote_changes_strays;
    end if;
    -- A log of 0.6.0 or before hands this on, and no longer needs it.
    for outdated in select c.oid from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = month and 'autosummarize=on' = any (c.reloptions) loop
        execute format('alter index %s reset (autosummarize)', outdated);
    end loop;
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name),
        @extschema@.guard_quote_history(month);
end $$;
comment on column @extschema@.quote_log_cuts.no is 'its number; a cursor says which was the newest when it was given';
comment on sequence @extschema@.quote_log_cuts_no_seq is 'numbers nothing: what leaves an audit log goes on from the newest number';
create or replace function note_quote_log_cut(log regclass, newest bigint, last_position bigint) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.quote_log_cuts (no, log, moved_by, newest, shown, last_position, moved_at) overriding system value
    select greatest(l.no + 1, pg_current_xact_id()::text::bigint), log, pg_current_xact_id(), newest::text::xid8, pg_current_snapshot(), last_position, clock_timestamp()
    from @extschema@.quote_latest_rows('select coalesce(max(c.no), 0) from @extschema@.quote_log_cuts c where $1'::text, row(true)) l (no bigint)
    where newest is not null
$$;
create or replace function quote_log_cut(shown_by pg_snapshot) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select r.no from @extschema@.quote_latest_rows(
        'select c.no from @extschema@.quote_log_cuts c where c.log in ($1, 0)
            and case when c.moved_by = pg_current_xact_id_if_assigned() then c.log = 0 else $2 is null or pg_visible_in_snapshot(c.moved_by, $2) end
            order by c.no desc limit 1'::text,
        row(@extschema@.quote_log_identity()::oid, shown_by)) r (no bigint)), 0);
end $$;
create function require_quote_columns(header regclass, home name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lacking record;
begin
    select m.* into lacking from pg_class c cross join lateral @extschema@.quote_columns_missing(home, pg_get_userbyid(c.relowner)) m
    where c.oid = header limit 1;
    if found then
        raise exception 'table % is not as attach makes it', lacking.relation
            using errcode = 'undefined_column', detail = format('It lacks: %s.', lacking.names), hint = lacking.repair;
    end if;
end $$;
comment on function require_quote_columns(regclass, name) is 'refuses tables under names of ours that lack columns';
create or replace function check_quote_home(header regclass, home name, homes name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.quote_relation_stands(format('%I.%I', home, k.name), 'p'::"char", pg_get_userbyid(c.relowner))
    from pg_class c, unnest('{quote_changes,quote_changes_archive}'::name[]) k (name)
    where c.oid = header and (k.name = 'quote_changes_archive' or home <> all (homes));
    perform @extschema@.require_quote_columns(header, home);
end $$;
create or replace function check_quote_ages(options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    example text := 'For example {"archive_after": "24 months", "drop_after": "10 years"}.';
    archive_after interval;
    drop_after interval;
begin
    if jsonb_typeof(options -> 'archive_after') not in ('string', 'null') or jsonb_typeof(options -> 'drop_after') not in ('string', 'null') then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value', hint = example;
    end if;
    begin
        archive_after := (options ->> 'archive_after')::interval;
        drop_after := (options ->> 'drop_after')::interval;
    exception when data_exception then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value', hint = example;
    end;
    if archive_after <= interval '0' or drop_after <= interval '0' then
        raise exception 'ages of history must be positive' using errcode = 'invalid_parameter_value', hint = example;
    elsif drop_after < archive_after or drop_after is not null and archive_after is null then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'It is archived first and dropped later.', hint = example;
    elsif greatest(archive_after, drop_after) > interval '1000 years' then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'The longest age is 1000 years.', hint = 'Leave the option out to keep history for ever.';
    end if;
end $$;
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set quote_all_identifiers = off
as $$
declare
    header regclass := quotes;
    lines regclass := quote_lines;
    home name;
    home_owner name;
    homes name[];
    log regclass;
    is_elsewhere boolean;
    is_followed boolean;
    first_version integer;
    patience text := @extschema@.bound_quote_patience();
begin
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s union select a.log_schema from @extschema@.quote_seal_anchor a);
    perform @extschema@.follow_quote_tables(array[header, lines]), @extschema@.follow_quote_home();
    perform @extschema@.check_quote_tables(header, lines, options);
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.require_quote_relations(home), @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner);
    is_elsewhere := exists (select from @extschema@.quote_collab_settings s where s.log_schema <> home);
    is_followed := exists (select from @extschema@.quote_collab_settings s where s.replicated_history);
    -- While the tables are not locked yet: it may take its time.
    first_version := @extschema@.first_quote_version(home, header, lines, options);
    perform @extschema@.continue_quote_positions(home);
    perform @extschema@.lock_quote_relations(array[header, lines] || @extschema@.quote_home_relations(home) || array(
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s) || @extschema@.quote_tables_to_seclude());
    perform @extschema@.seclude_quote_table(t.relation) from unnest(@extschema@.quote_tables_to_seclude()) t (relation);
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.guard_quote_history(t) from @extschema@.quote_tables_kept(home) t;
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options, first_version);
    perform @extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options, first_version);
    execute format('select @extschema@.begin_quote_seal_anchor(s.no, s.hash) from %I.quote_changes_seals s order by s.no desc limit 1', home);
    if is_followed and not exists (select from @extschema@.quote_collab_settings s where s.replicated_history) then
        -- What came along from now on is its own: the next seal takes it up.
        update @extschema@.quote_seal_anchor a set settled_in = null where a.log_schema = home;
    end if;
    perform @extschema@.lead_quote_tables_to(home), @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(@extschema@.quote_collab_table(p.header)) from @extschema@.quote_collab_pairs() p
    where @extschema@.quote_collab_table(p.header) = attach_quote_collaboration.quotes or is_elsewhere and @extschema@.quote_collab_table(p.header) is not null;
    perform @extschema@.start_quote_worker(), @extschema@.warn_of_stray_quote_tables();
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create or replace function detach_quote_table(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    target regclass := (select c.oid from pg_class c where c.oid = @extschema@.quote_collab_table(settings) and c.relkind in ('r', 'p'));
    added name;
    all_added name[];
    doubtful name[];
begin
    if target is not null then
        all_added := @extschema@.quote_added_columns(target, settings.added_columns);
        perform @extschema@.drop_quote_triggers(target);
        foreach added in array all_added loop
            perform @extschema@.drop_quote_column(target, added);
        end loop;
        doubtful := array(select l.name from @extschema@.quote_columns_left(target, settings.entity) l);
        if doubtful <> '{}' or exists (
            select from unnest(settings.added_columns) k (name) join pg_attribute a on a.attrelid = target and a.attname = k.name and not a.attisdropped) then
            raise warning 'columns that attach added are left in %', target
                using detail = case when doubtful <> '{}'
                          then format('The comments that it gives say so, and nothing else does: %s.', array_to_string(doubtful, ', '))
                          else format('It added %s, and knows them by their comments.', array_to_string(settings.added_columns, ', ')) end,
                      hint = 'Drop by hand what is not the ERP''s.';
        end if;
    end if;
end $$;
create or replace function release_quote_history(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    rule text := case when current_setting('quote_collab.tenant_source', true) = 'verified' then 'false'
        else 'tenant_id = (select nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)' end;
begin
    for part in
        select t.relid from unnest(array['quote_changes', 'quote_changes_archive']) log (name)
        cross join lateral pg_partition_tree(to_regclass(format('%I.%I', target_schema, log.name))) t
    loop
        execute format('drop policy if exists quote_changes_tenant_isolation on %s', part);
        execute format('create policy quote_changes_tenant_isolation on %s for select using (%s)', part, rule);
        execute format('comment on policy quote_changes_tenant_isolation on %s is %L', part,
            'a row is visible to its own tenant only; nobody when no tenant is set');
    end loop;
    for part in select g.tgrelid from pg_trigger g where g.tgfoid = '@extschema@.refuse_history_truncate()'::regprocedure loop
        execute format('drop trigger trg_refuse_history_truncate on %s', part);
    end loop;
end $$;
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
create or replace function join_quote_session(
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
            hint = 'Set app.current_tenant_id for the transaction, or where tenants are verified, call authenticate_quote_user(token).';
    elsif who is null then
        raise exception 'the user id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass user_id or set app.current_user_id.';
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
        on conflict on constraint active_quote_sessions_session do update set
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
            hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform @extschema@.wake_quote_presence();
    return next session;
end $$;
create or replace function heartbeat_quote_session(
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
            hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    perform @extschema@.require_quote_session_status(status);
    if cursor_position < 0 then
        raise exception 'the cursor position must not be negative' using errcode = 'invalid_parameter_value',
            hint = 'Count from 0, in UTF-16 code units.';
    elsif char_length(current_field) > 63 then
        raise exception 'the field name is too long' using errcode = 'string_data_right_truncation', hint = 'Pass the name of a column.';
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
create or replace function leave_quote_session(session_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    gone uuid;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    execute format('delete from %s s where s.session_id = $1 and ($2 is null or s.user_id = $2) and ($4 or s.tenant_id = $3) returning s.id',
        @extschema@.quote_session_target())
    into gone using session_id, @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if gone is not null then
        perform @extschema@.wake_quote_presence();
    end if;
    return gone is not null;
end $$;
create or replace function cleanup_stale_quote_sessions() returns integer
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
create or replace function quote_events_cursor() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    now_at numeric := extract(epoch from clock_timestamp());
begin
    perform @extschema@.flush_quote_feed();
    -- Who is running may have changed something long ago.
    return concat_ws('/', '4', @extschema@.quote_cluster_identifier(), @extschema@.quote_log_identity(), @extschema@.quote_feed_timeline(),
        pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_cut(seen), seen, now_at,
        case when pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) then now_at else 0 end);
end $$;
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    begun @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    c @extschema@.quote_cursor := begun;
    cut bigint := @extschema@.quote_log_cut(seen);
    waypoint record;
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value', hint = 'Call again with the last cursor for more.';
    end if;
    perform @extschema@.require_quote_cursor(c), @extschema@.require_quote_home('{quote_changes}'::text[]), @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed(),
        @extschema@.watch_quote_clock();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            select w.* into waypoint from @extschema@.quote_feed_waypoint(c.prev, seen) w;
            c := row(c.origin, c.prev, c.prev_at,
                greatest(extract(epoch from @extschema@.quote_feed_floor(c.prev, coalesce(waypoint.cur, seen), to_timestamp(c.floor_at))), 0), coalesce(waypoint.cur, seen),
                extract(epoch from coalesce(waypoint.cur_at, clock_timestamp())), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity(), cut)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        exit when given >= max or c.cur::text = seen::text;
        c := @extschema@.next_quote_cursor(c);
    end loop;
    -- What left the log meanwhile may be missing.
    if cut <> @extschema@.quote_log_cut(null::pg_snapshot) then
        perform @extschema@.require_quote_cursor(begun);
    end if;
end $$;
create or replace function quote_relay_lease(holder text, ttl interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    granted bigint;
    stands boolean;
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set holder = $1, expires_at = clock_timestamp() + $2,
            epoch = case when l.holder = $1 then l.epoch else l.epoch + 1 end
        where l.holder = $1 or l.expires_at not between clock_timestamp() and clock_timestamp() + greatest(10 * $2, interval ''1 minute'') returning l.epoch', @extschema@.quote_relay_table('quote_relay_lease'))
    into granted using holder, ttl;
    if granted is null then
        execute format('select exists (select from %s)', @extschema@.quote_relay_table('quote_relay_lease')) into stands;
        if not stands then
            raise exception 'the lease of the relay is gone' using errcode = 'object_not_in_prerequisite_state',
                detail = format('Table %s is empty, so that no relay can lead.', @extschema@.quote_relay_table('quote_relay_lease')),
                hint = 'Run attach_quote_collaboration() again.';
        end if;
    end if;
    return granted;
end $$;
create function quote_columns_missing(home name, owner name) returns table (relation regclass, names text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, string_agg(format('%I %s', k.column_name, k.column_type), ', ' order by k.column_name),
        format('If a column was renamed: alter table %s rename ... to ...; if one was dropped, bring it back from a dump. If the table is none that attach made: alter table %1$s rename to %I;',
            c.oid::regclass, left('not_ours_' || c.relname, 63))
    from @extschema@.quote_home_tables() h
    join pg_class c on c.relname = h.name and c.relkind = h.kind join pg_namespace n on n.oid = c.relnamespace and n.nspname = home
    cross join lateral @extschema@.quote_history_columns(h.name::text) k
    where (pg_get_userbyid(c.relowner) = owner or @extschema@.quote_owner_trusted(c.relowner))
        and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = k.column_name and not a.attisdropped)
    group by c.oid, c.relname
$$;
comment on function quote_columns_missing(name, name) is 'tables of a history that lack columns, and what is to be done';
create or replace function quote_history_faults() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with expected (name, kind, relation) as (
        select r.name, r.kind, c.oid from (
            select k.* from (values ('quote_changes', 'p'), ('quote_changes_archive', 'p'), ('quote_changes_seals', 'r')) k (name, kind)
            where k.name <> 'quote_changes_archive' or @extschema@.quote_archive_stands(@extschema@.quote_collab_home())) r
        left join pg_class c on c.relname = r.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home()))
    select format('there is no table %s', e.name) from expected e where e.relation is null and e.name <> 'quote_changes_archive'
    union all
    select format('%s belongs to %s, whom attach did not know', c.oid::regclass, pg_get_userbyid(c.relowner)) from expected e
    join pg_class c on c.oid = e.relation where not @extschema@.quote_owner_trusted(c.relowner)
    union all
    select f.problem from @extschema@.quote_extension_table_faults() f where f.relation = '@extschema@.quote_seal_anchor'::regclass
    union all
    select format('%s is not a table as attach made it', c.oid::regclass) from expected e
    cross join lateral (
        select e.relation, e.kind union
        select p.relid, 'r' from pg_partition_tree(e.relation) p where e.kind = 'p' and p.level > 0) t (relid, kind)
    join pg_class c on c.oid = t.relid
    where c.relkind::text <> t.kind
    union all
    select format('%s has no column %s of type %s', e.relation::regclass, k.column_name, k.column_type) from expected e
    cross join lateral @extschema@.quote_history_columns(e.name) k
    where e.relation is not null and not exists (
        select from pg_attribute a where a.attrelid = e.relation and a.attname = k.column_name and not a.attisdropped
            and (a.atttypid = k.column_type or a.atttypid = 'varchar'::regtype and k.column_type = 'text'::regtype))
    union all
    select format('%s has a trigger, rule, check or expression that attach did not make', e.relation::regclass) from expected e
    where e.name = 'quote_changes_seals' and (exists (select from pg_trigger t where t.tgrelid = e.relation and not t.tgisinternal
            and t.tgfoid <> '@extschema@.refuse_history_truncate()'::regprocedure)
        or exists (select from pg_rewrite r where r.ev_class = e.relation)
        or exists (select from pg_constraint k where k.conrelid = e.relation and k.contype in ('c', 'x'))
        or exists (select from pg_index i where i.indrelid = e.relation and (i.indexprs is not null or i.indpred is not null))
        or exists (select from pg_attribute a where a.attrelid = e.relation and a.atthasdef))
    union all
    select format('%s has a check, default or index that calls a function of %s', c.oid::regclass, pg_get_userbyid(p.proowner)) from expected e
    cross join lateral (select e.relation union select t.relid from pg_partition_tree(e.relation) t) t (relid)
    join pg_class c on c.oid = t.relid
    cross join lateral (
        select 'pg_constraint'::regclass::oid, k.oid from pg_constraint k where k.conrelid = t.relid
        union all select 'pg_attrdef'::regclass, f.oid from pg_attrdef f where f.adrelid = t.relid
        union all select 'pg_class'::regclass, i.indexrelid from pg_index i where i.indrelid = t.relid) made (classid, objid)
    join pg_depend d on d.classid = made.classid and d.objid = made.objid
    left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
    join pg_proc p on p.oid = coalesce(o.oprcode::oid, case when d.refclassid = 'pg_proc'::regclass then d.refobjid end)
    join pg_roles r on r.oid = p.proowner and not r.rolsuper
$$;
create function quote_seal_advice(code text, hint text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case left(code, 2)
        when '53' then coalesce(nullif(hint, ''), 'The server is short of something. Sealing and verifying read all months of log and archive at once.')
        when '40' then 'It is tried again. Call maintenance under read committed: set transaction isolation level read committed.'
        else 'See what select * from verify_quote_history() finds.' end
$$;
comment on function quote_seal_advice(text, text) is 'what helps where sealing failed';
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    log regclass;
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
    sealed bigint := 0;
    archived integer := 0;
    released integer := 0;
    alone boolean;
    advice text;
    patience text;
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            hint = 'Begin one that may write: begin read write.';
    end if;
    patience := @extschema@.bound_quote_patience();
    -- Asked for what it does on the way: a queue of NOTIFY that was full stays full, when all have read it, until somebody asks.
    perform pg_notification_queue_usage();
    begin
        perform @extschema@.note_quote_owners();
    exception when others then
        raise warning 'owners of tables are not noted: %', sqlerrm;
    end;
    -- Whoever may write presence may lock it.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    alone := @extschema@.lock_quote_batches();
    if alone then
        dropped := @extschema@.drop_old_quote_batches();
    end if;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        get stacked diagnostics advice = pg_exception_hint;
        raise warning 'the history is not sealed: %', sqlerrm using hint = @extschema@.quote_seal_advice(sqlstate, advice);
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        begin
            made := @extschema@.extend_quote_log(log);
            if made = 0 then
                select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
            end if;
        exception when others then
            raise warning 'months of the audit log are neither made nor moved: %', sqlerrm;
        end;
        begin
            perform @extschema@.summarize_quote_changes(log);
        exception when others then
            raise warning 'times of the audit log are not summarized: %', sqlerrm;
        end;
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
create or replace function create_quote_changes_archive(log regclass) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_schema name;
    log_owner name;
    archive text;
    privilege record;
begin
    select n.nspname, r.rolname into log_schema, log_owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner where c.oid = log;
    archive := format('%I.quote_changes_archive', log_schema);
    perform @extschema@.require_quote_relations(log_schema);
    if not @extschema@.quote_relation_stands(archive, 'p'::"char", log_owner) then
        execute format('create table %s (like %s including all excluding defaults) partition by range (changed_at)', archive, log);
        execute format('comment on table %s is %L', archive, @extschema@.quote_table_comment('quote_changes_archive'::name));
        execute format('alter table %s owner to %I', archive, log_owner);
        perform @extschema@.close_quote_table(archive::regclass);
        perform @extschema@.protect_quote_table(archive::regclass, 'quote_changes_tenant_isolation'::name), @extschema@.guard_quote_history(archive::regclass);
        for privilege in
            select @extschema@.quote_grantee(acl.grantee) as role
            from pg_class c cross join lateral aclexplode(c.relacl) acl
            where c.oid = log and acl.privilege_type = 'SELECT' and acl.grantee <> c.relowner
        loop
            execute format('grant select on %s to %s', archive, privilege.role);
        end loop;
        perform @extschema@.create_quote_changes_all_view(log_schema, log_owner);
        perform @extschema@.describe_quote_objects(log_schema);
    end if;
    return archive::regclass;
end $$;
create function quote_tables_kept(target_schema name) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.relation from @extschema@.quote_own_relations(target_schema) r join pg_class c on c.oid = r.relation
    where not r.is_presence and c.relkind in ('r', 'p')
$$;
comment on function quote_tables_kept(name) is 'tables of a history that refuse TRUNCATE';
create or replace function quote_log_repairs(log regclass, out problems text, out repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(f.problem, ', '), string_agg(f.repair, ' ') from (
        select format('%s is unlogged', c.oid::regclass), format('alter table %s set logged;', c.oid::regclass)
        from pg_partition_tree(log) p join pg_class c on c.oid = p.relid where c.relpersistence = 'u'
        union all
        select format('%s belongs to %I', c.oid::regclass, pg_get_userbyid(c.relowner)), format('alter table %s owner to %I;', c.oid::regclass, pg_get_userbyid(l.relowner))
        from pg_class l, pg_partition_tree(log) p join pg_class c on c.oid = p.relid where l.oid = log and c.relowner <> l.relowner
        union all
        select 'no index serves the history of a quote', format('create index on %s (quote_id, position) with (deduplicate_items = off);', log)
        where not exists (
            select from pg_index i where i.indrelid = log and i.indisvalid and i.indnkeyatts >= 2 and i.indpred is null
                and (select array_agg(a.attname order by k.place) from unnest(i.indkey::smallint[]) with ordinality k (attnum, place)
                    join pg_attribute a on (a.attrelid, a.attnum) = (log, k.attnum) where k.place <= 2) = '{quote_id,position}'::name[])
        union all
        select 'no index serves spans of time', format('create index on %s using brin (changed_at);', log)
        where not exists (select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (log, i.indkey[0])
            where i.indrelid = log and i.indisvalid and i.indpred is null and a.attname = 'changed_at')
        union all
        select format('it lacks %s', m.names), m.repair from pg_class l join pg_namespace n on n.oid = l.relnamespace
        cross join lateral @extschema@.quote_columns_missing(n.nspname, pg_get_userbyid(l.relowner)) m where l.oid = log and m.relation = log
        union all
        select * from @extschema@.quote_log_constraints(log)) f (problem, repair)
$$;
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    next_month timestamptz := @extschema@.quote_changes_month(@extschema@.quote_changes_month(now()) + interval '32 days');
    keep record;
    found record;
    copy regclass;
    locks bigint;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', null);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month', @extschema@.quote_month_stands(log, now()), 'error',
        'rows go to the default partition', @extschema@.quote_month_statement(log, now()));
    return next @extschema@.quote_collab_verdict('partition of next month', @extschema@.quote_month_stands(log, next_month), 'warning',
        'nobody creates partitions ahead: the library is not preloaded and no cron calls maintenance, or the server''s log says what keeps it from it',
        @extschema@.quote_month_statement(log, next_month));
    return next @extschema@.quote_collab_verdict('default partition present', @extschema@.quote_changes_spare(log) is not null, 'error',
        'a change of a month without a partition is refused, and the save with it', null);
    select count(distinct i.inhrelid) + count(x.indexrelid) into locks from pg_inherits i left join pg_index x on x.indrelid = i.inhrelid
    where i.inhparent in (select a.oid from pg_class l join pg_class a on a.relnamespace = l.relnamespace
        where l.oid = log and a.relname in ('quote_changes', 'quote_changes_archive'));
    return next @extschema@.quote_collab_verdict('locks suffice for the history', locks <= 4 * current_setting('max_locks_per_transaction')::integer, 'warning',
        format('whoever reads a page of the history locks %s tables and indexes: where a quarter of all sessions do so at once, PostgreSQL may be out of shared memory', locks),
        format('alter system set max_locks_per_transaction = %s; then restart. Or keep fewer months: archive_after and drop_after.', (locks + 255) / 256 * 128));
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    select string_agg(format('%s lacks %s', m.relation, m.names), '; ') as names, string_agg(m.repair, ' ') as repair into found
    from @extschema@.quote_columns_missing(target_schema, null) m where m.relation <> log;
    return next @extschema@.quote_collab_verdict('tables beside the log as attached', found.names is null, 'error', found.names, found.repair);
    copy := (select c.oid from pg_class c join pg_class l on l.relnamespace = c.relnamespace
        where l.oid = log and c.relname = 'quote_changes_archive' and c.relkind <> 'p' and @extschema@.quote_owner_trusted(c.relowner));
    return next @extschema@.quote_collab_verdict('archive made by archiving', copy is null, 'error',
        format('%s was made by hand: what is there is no part of the history, and nothing can be archived', copy),
        @extschema@.quote_copy_return(copy, format('alter table %s rename to earlier_quote_changes;', copy)));
    return next @extschema@.quote_collab_doctor_positions(log, target_schema);
    select string_agg(k.relation::text, ', ') as names, string_agg(k.repair, ' ') as repair into found from @extschema@.quote_keys_missing(target_schema) k;
    return next @extschema@.quote_collab_verdict('keys stand', found.names is null, 'error', format('these tables lost their key: %s', found.names), found.repair);
    select * into keep from @extschema@.quote_history_policy();
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        concat('archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
            ': ' || (select string_agg(d.name, ', ') from @extschema@.quote_archive_dependents(target_schema) d (name))),
        format('See what select * from verify_quote_history(); finds and select @extschema@.drop_archived_quote_changes(%L); says. Keep its findings, and take the partitions away by hand.',
            keep.drop_after));
    return next @extschema@.quote_collab_verdict('history archived when due', keep.archive_after is null or not exists (
            select from @extschema@.quote_changes_months_before(log, @extschema@.quote_archive_limit(keep.archive_after) - interval '2 days')), 'warning',
        'months that archive_after lets go are still in the log: maintenance is not called, or something keeps it from it',
        format('select @extschema@.archive_quote_changes(interval %L);', keep.archive_after));
    return next @extschema@.quote_collab_verdict('history bounded', cardinality(partitions) < 61, 'warning', 'the log holds more than 5 years',
        'select @extschema@.archive_quote_changes(interval ''24 months'');');
    if not has_function_privilege('@extschema@.quote_seal_key_problem()', 'execute') then
        return next @extschema@.quote_collab_unchecked('seals signed as configured', 'the key is kept from this role',
            format('grant execute on function @extschema@.quote_seal_key_problem() to %I;', current_user));
    else
        return next @extschema@.quote_collab_verdict('seals signed as configured', @extschema@.quote_seal_key_problem() is null, 'error',
            format('seals are not signed with quote_collab.seal_key: %s', @extschema@.quote_seal_key_problem()),
            'Set it to what openssl rand -base64 32 prints, preload the library and restart.');
    end if;
end $$;
create or replace function quote_collab_doctor_security(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(c.oid::regclass::text, ', '),
        string_agg(format('alter table %s enable row level security, force row level security;', c.oid::regclass), ' ')
    into names, hints from pg_class c
    where c.oid in (select t.relation from @extschema@.quote_tenant_tables(target_schema) t
            union select s.oid from pg_class s join pg_namespace n on n.oid = s.relnamespace
            where n.nspname = target_schema and s.relname in ('quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease'))
        and not (c.relrowsecurity and c.relforcerowsecurity);
    return next @extschema@.quote_collab_verdict('row security forced everywhere', names is null, 'error',
        format('not enabled and forced on: %s', names), hints);
    select string_agg(t.relation::text, ', '), string_agg(format('select @extschema@.protect_quote_table(%L, %L);', t.relation, t.policy), ' ')
    into names, hints from @extschema@.quote_tenant_tables(target_schema) t
    where not @extschema@.quote_table_is_protected(t.relation, t.policy);
    return next @extschema@.quote_collab_verdict('tenant policies present', names is null, 'error',
        format('the policy that compares the tenant is missing or altered on: %s', names), hints);
    select string_agg(format('%s on %s', p.polname, p.polrelid::regclass), ', '),
        string_agg(format('drop policy %I on %s;', p.polname, p.polrelid::regclass), ' ')
    into names, hints from pg_policy p join @extschema@.quote_own_relations(target_schema) r on r.relation = p.polrelid
    where p.polpermissive and not exists (
        select from @extschema@.quote_tenant_tables(target_schema) t where t.relation = p.polrelid and t.policy = p.polname);
    return next @extschema@.quote_collab_verdict('no other policy', names is null, 'warning',
        format('permissive policies of others let rows through: %s', names), hints);
    select string_agg(format('%s on %s', g.tgname, g.tgrelid::regclass), ', '),
        string_agg(format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass), ' ')
    into names, hints from pg_trigger g join @extschema@.quote_own_relations(target_schema) r on r.relation = g.tgrelid
    where not g.tgisinternal and g.tgparentid = 0
        and g.tgfoid not in ('@extschema@.guard_quote_session()'::regprocedure, '@extschema@.refuse_history_truncate()'::regprocedure);
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log, where events would tell as much: %s', names), hints);
    select string_agg(t::text, ', '), string_agg(format('select @extschema@.guard_quote_history(%L);', t), ' ')
    into names, hints from @extschema@.quote_tables_kept(target_schema) t where not @extschema@.quote_truncate_refused(t);
    return next @extschema@.quote_collab_verdict('truncate of the history refused', names is null, 'error',
        format('their owner may empty these without a trace: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_caller(target_schema);
end $$;
create function quote_library_loaded() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_library_release();
exception when undefined_function then
    return 'an earlier release';
end $$;
comment on function quote_library_loaded() is 'doctor: the release of the library of this session';
create function quote_collab_doctor_library() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    loaded text := @extschema@.quote_library_loaded();
    installed text := (select e.extversion from pg_extension e where e.extname = 'quote_collab_ext');
begin
    return @extschema@.quote_collab_verdict('library of this release', loaded = installed, 'error',
        format('the functions are those of %s, and this session has loaded the library of %s: what only one of them knows fails', installed, loaded),
        'Put the files of this release in place, then restart the server. Where the library is not preloaded, ending the sessions that began before is enough.');
end $$;
comment on function quote_collab_doctor_library() is 'doctor: whether functions and library are of one release';
create or replace function quote_collab_doctor_server() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    version integer := current_setting('server_version_num')::integer;
    oldest integer := case version / 10000 when 15 then 150014 when 16 then 160010 when 17 then 170006 when 18 then 180000 end;
    available text;
    installed text;
begin
    return next @extschema@.quote_collab_verdict('listeners are woken', current_setting('quote_collab.notify', true) is distinct from 'off', 'warning',
        'quote_collab.notify is off: readers only poll', @extschema@.quote_setting_repair('quote_collab.notify'::text, 'reset quote_collab.notify'::text));
    return next @extschema@.quote_collab_verdict('no old prepared transaction',
        not exists (select from pg_prepared_xacts x where x.prepared < now() - interval '1 hour'), 'warning',
        'a transaction was prepared an hour ago and holds its locks', 'commit prepared or rollback prepared; see pg_prepared_xacts.');
    return next @extschema@.quote_collab_verdict('notification queue', pg_notification_queue_usage() < 0.5, 'error',
        format('the queue of NOTIFY is %s %% full: a listener sits in an open transaction', round((pg_notification_queue_usage() * 100)::numeric)),
        'End the oldest transaction of a listening session; see pg_stat_activity.');
    return next @extschema@.quote_collab_verdict('server patch level', version >= coalesce(oldest, version), 'warning',
        format('PostgreSQL %s lacks fixes of row security', current_setting('server_version')), 'Install the latest minor release.');
    select e.extversion, v.default_version into installed, available from pg_extension e
    left join pg_available_extensions v on v.name = e.extname where e.extname = 'quote_collab_ext';
    return next @extschema@.quote_collab_verdict('extension up to date', installed = coalesce(available, installed), 'warning',
        format('version %s is installed, %s is available', installed, available), 'alter extension quote_collab_ext update; and, in the same transaction, select attach_quote_collaboration();');
    return next @extschema@.quote_collab_doctor_library();
    return next @extschema@.quote_collab_verdict('survives a power cut',
        current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on', 'error',
        'fsync or full_page_writes is off: a crash loses or corrupts prices', 'alter system set fsync = on; alter system set full_page_writes = on; select pg_reload_conf();');
    return next @extschema@.quote_collab_verdict('commits are durable', current_setting('synchronous_commit') <> 'off', 'warning',
        'synchronous_commit is off: a crash takes back what users saw saved', @extschema@.quote_setting_repair('synchronous_commit'::text, 'set synchronous_commit = on'::text));
    return next @extschema@.quote_collab_verdict('transaction ids left', (select age(d.datfrozenxid) < 1500000000 from pg_database d where d.datname = current_database()),
        'error', 'this database is close to transaction id wraparound', 'vacuum freeze;');
    return next @extschema@.quote_collab_verdict('encoding', getdatabaseencoding() = 'UTF8', 'error', 'the database is not in UTF8', 'Create it anew in UTF8.');
    return query select * from @extschema@.quote_collab_doctor_writers(@extschema@.quote_library_preloaded());
    return next @extschema@.quote_collab_doctor_filters();
    return query select * from @extschema@.quote_collab_doctor_processes(@extschema@.quote_library_preloaded());
end $$;
create function quote_functions_owed() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with open as (
        -- What it made anew keeps its rights. What is new became a member in this transaction.
        select f.function, p.proowner, d.xmin = pg_current_xact_id_if_assigned()::xid as is_new, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
        join pg_depend d on (d.classid, d.objid, d.refclassid, d.deptype) = ('pg_proc'::regclass, p.oid, 'pg_extension'::regclass, 'e') where f.is_public),
    held as (select distinct o.function, o.is_new, a.grantee from open o cross join lateral aclexplode(o.acl) a where a.grantee <> o.proowner)
    select format('grant execute on function %s to %s', o.function, @extschema@.quote_grantee(t.grantee))
    from open o cross join (
        select h.grantee from held h where not h.is_new group by h.grantee having count(*) = (select count(*) from open x where not x.is_new)) t
    where o.is_new and not exists (select from held h where h.function = o.function and h.grantee in (t.grantee, 0))
$$;
comment on function quote_functions_owed() is 'grants of what an update made, for those who may call all of the rest';
create or replace function close_quote_extension() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
    rights text[];
begin
    for statement in
        select t.revoke from @extschema@.quote_extension_table_grants() t union all select f.revoke from @extschema@.quote_extension_function_grants() f
        union all
        select format('drop trigger %I on %s', g.tgname, t.relation)
        from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
        join pg_proc p on p.oid = g.tgfoid join pg_roles r on r.oid = p.proowner
        where not g.tgisinternal and not r.rolsuper
    loop
        execute statement;
    end loop;
    select coalesce(array_agg(array[r.revoke, r.give]), '{}'::text[]) into rights from @extschema@.quote_rights_in_release() r;
    foreach statement in array rights[:][1:1] loop
        execute statement;
    end loop;
    perform @extschema@.grant_beside_quote_release(g.statement) from unnest(rights[:][2:2]) g (statement) where g.statement is not null;
    perform @extschema@.grant_beside_quote_release(g) from @extschema@.quote_functions_owed() g;
end $$;
comment on function close_quote_extension() is 'takes away what default privileges, or a grant on all, gave on what the extension keeps to itself, and gives what an update made to whom all the rest was given';
-- Whatever default privileges gave of what this release made.
select @extschema@.close_quote_extension();
