-- From 0.8.0 to 0.9.0.
drop function create_quote_triggers(regclass, quote_collab_settings, regclass);
drop function lead_quote_tables_to(regclass, name);
create function quote_session_lives(last_heartbeat timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl() and last_heartbeat < clock_timestamp() + @extschema@.quote_session_ttl();
end $$;
comment on function quote_session_lives(timestamptz) is 'whether a session with this last sign of life is alive';
create function quote_positions_kept(log regclass, target_schema name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_attrdef d join pg_depend x on x.classid = 'pg_attrdef'::regclass and x.objid = d.oid and x.refclassid = 'pg_class'::regclass
        where d.adrelid = log and x.refobjid = to_regclass(format('%I.quote_changes_position_seq', target_schema)))
$$;
comment on function quote_positions_kept(regclass, name) is 'whether the sequence of positions cannot be dropped alone';
create or replace function complete_quote_changes(log regclass, target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    spare text := format('%I.quote_changes_default', target_schema);
    positions text := format('%I.quote_changes_position_seq', target_schema);
    newest bigint;
begin
    if @extschema@.quote_changes_spare(log) is null then
        if @extschema@.quote_relation_stands(spare, 'r'::"char", target_owner) then
            execute format('alter table %s attach partition %s default', log, spare);
        else
            execute format('create table %s partition of %s default', spare, log);
            execute format('alter table %s alter column position drop default', spare);
        end if;
        execute format('alter table %s owner to %I', spare, target_owner);
        perform @extschema@.close_quote_table(spare::regclass);
    end if;
    if not @extschema@.quote_relation_stands(positions, 'S'::"char", target_owner) then
        execute format('create sequence %s as bigint', positions);
        execute format('alter sequence %s owner to %I', positions, target_owner);
        execute format('alter sequence %s owned by %s.position', positions, log);
        perform @extschema@.close_quote_table(positions::regclass);
        execute format('select max(c.position) from (%s) c', @extschema@.quote_changes_all_query(target_schema)) into newest;
        perform setval(positions::regclass, newest) where newest is not null;
    end if;
    if not @extschema@.quote_positions_kept(log, target_schema) then
        execute format('alter table only %s alter column position set default nextval(%L)', log, positions);
    end if;
end $$;
create or replace function build_quote_changes_month(log regclass, spare regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name;
    seals regclass;
    month regclass;
begin
    if not @extschema@.quote_strays_exist(spare, month_start, month_end) then
        return null;
    end if;
    select n.nspname, to_regclass(format('%I.quote_changes_seals', n.nspname)) into log_schema, seals
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log;
    if seals is not null then
        execute format('lock table %s in share update exclusive mode', seals);
    end if;
    if @extschema@.quote_log_is_published(log) then
        return null;
    end if;
    -- The check proves its bounds, so that attaching it needs no look at its rows.
    execute format('create table %I.%I (like %s including all excluding comments excluding statistics excluding identity excluding defaults,
        constraint quote_changes_month check (changed_at >= %L and changed_at < %L))', log_schema, month_name, log, month_start, month_end);
    month := format('%I.%I', log_schema, month_name)::regclass;
    perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
    return month;
end $$;
create or replace function join_quote_changes_month(log regclass, spare regclass, month regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name;
    log_owner name;
    has_strays boolean := false;
    outdated regclass;
begin
    select n.nspname, pg_get_userbyid(c.relowner) into log_schema, log_owner from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log;
    if month is not null then
        -- What writers have added meanwhile; a month that is over got nothing more.
        if month_end > now() - interval '1 day' then
            perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
        end if;
        execute format('alter table %s attach partition %s for values from (%L) to (%L)', log, month, month_start, month_end);
        execute format('alter table %s drop constraint quote_changes_month', month);
    else
        has_strays := @extschema@.quote_log_is_published(log) and @extschema@.quote_strays_exist(spare, month_start, month_end);
        if has_strays then
            execute format('create temporary table quote_changes_strays (like %s)', log);
            perform @extschema@.move_quote_strays(spare, to_regclass('pg_temp.quote_changes_strays'::text), month_start, month_end);
        end if;
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)', log_schema, month_name, log, month_start, month_end);
        month := format('%I.%I', log_schema, month_name)::regclass;
        execute format('alter table %s alter column position drop default', month);
        if has_strays then
            execute format('insert into %s select * from pg_temp.quote_changes_strays', month);
            drop table pg_temp.quote_changes_strays;
        end if;
    end if;
    -- A log of 0.6.0 or before hands this on, and no longer needs it.
    for outdated in select c.oid from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = month and 'autosummarize=on' = any (c.reloptions) loop
        execute format('alter index %s reset (autosummarize)', outdated);
    end loop;
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name);
end $$;
create function require_quote_session_texts(user_name text, user_email text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if greatest(char_length(user_name), char_length(user_email)) > 255 then
        raise exception 'the % is too long', case when char_length(user_name) > 255 then 'name of the user' else 'address of the user' end
            using errcode = 'string_data_right_truncation', hint = 'Pass at most 255 characters.';
    end if;
end $$;
comment on function require_quote_session_texts(text, text) is 'refuses names and addresses that are too long to show';
create function guard_quote_session() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    verified uuid := nullif(current_setting('quote_collab.verified_user', true), '')::uuid;
    known record;
begin
    if verified is not null and (tg_op <> 'DELETE' and new.user_id <> verified
            or tg_op <> 'INSERT' and old.user_id <> verified and @extschema@.quote_session_lives(old.last_heartbeat)) then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            hint = 'Join with a session id of your own, or with none to get one.';
    elsif tg_op = 'DELETE' then
        return old;
    end if;
    if verified is not null and (tg_op = 'INSERT' or (new.user_id, new.user_name, new.user_email) is distinct from (old.user_id, old.user_name, old.user_email)) then
        select * into known from @extschema@.find_quote_user(verified);
        if known.known then
            new.user_name := left(known.user_name, 255);
            new.user_email := left(known.user_email, 255);
        end if;
    end if;
    perform @extschema@.require_quote_session_texts(new.user_name, new.user_email);
    if new.last_heartbeat not between '2000-01-01' and clock_timestamp() then
        new.last_heartbeat := greatest('2000-01-01', least(new.last_heartbeat, clock_timestamp()));
    end if;
    if new.joined_at not between '2000-01-01' and new.last_heartbeat then
        new.joined_at := new.last_heartbeat;
    end if;
    return new;
end $$;
comment on function guard_quote_session() is 'lets nobody write sessions of others, or such as never end';
create function quote_sessions_guarded(sessions regclass) returns boolean
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_trigger t where t.tgrelid = sessions and t.tgname = 'trg_guard_quote_session' and t.tgenabled = 'O'
        and t.tgtype = 31 and t.tgqual is null and t.tgattr = '' and t.tgfoid = '@extschema@.guard_quote_session()'::regprocedure)
$$;
comment on function quote_sessions_guarded(regclass) is 'true when a presence table has its guard';
create or replace function create_active_quote_sessions(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sessions text := format('%I.active_quote_sessions', target_schema);
begin
    if not @extschema@.quote_relation_stands(sessions, 'r'::"char", target_owner) then
        execute format($ddl$
            create unlogged table %s (
                id              uuid        not null,
                tenant_id       uuid        not null,
                session_id      uuid        not null,
                quote_id        uuid        not null,
                user_id         uuid        not null,
                user_name       text,
                user_email      text,
                joined_at       timestamptz not null,
                last_heartbeat  timestamptz not null,
                current_line_id uuid,
                current_field   varchar(63),
                cursor_position integer,
                is_editing      boolean     not null,
                status          varchar(20) not null,
                constraint active_quote_sessions_pkey primary key (id),
                constraint active_quote_sessions_session unique (session_id),
                constraint active_quote_sessions_status check (status in ('VIEWING', 'EDITING', 'IDLE')),
                constraint active_quote_sessions_cursor check (cursor_position >= 0)
            ) with (fillfactor = 50)$ddl$, sessions);
        execute format('create index active_quote_sessions_quote on %s (quote_id)', sessions);
        execute format('alter table %s owner to %I', sessions, target_owner);
        perform @extschema@.close_quote_table(sessions::regclass), @extschema@.comment_active_quote_sessions(sessions::regclass);
    end if;
    perform @extschema@.protect_quote_table(sessions::regclass, 'quote_sessions_tenant_isolation'::name);
    if not @extschema@.quote_sessions_guarded(sessions::regclass) then
        execute format('create or replace trigger trg_guard_quote_session before insert or update or delete on %s
            for each row execute function @extschema@.guard_quote_session()', sessions);
        execute format('alter table %s enable trigger trg_guard_quote_session', sessions);
        execute format('comment on trigger trg_guard_quote_session on %s is %L', sessions, 'who acts, how long a name is, and no time that never comes');
    end if;
    return sessions::regclass;
end $$;
create or replace function create_quote_triggers(target regclass, settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.create_quote_trigger(target, settings, t.name) from @extschema@.quote_triggers(settings) t where t.firing not like '%truncate%';
    perform @extschema@.create_quote_truncate_triggers(target, settings);
end $$;
create or replace function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb, first_version integer)
returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
    chosen jsonb := coalesce(options -> case entity when 'QUOTE' then 'columns' else 'line_columns' end, '{}');
    reference text[] := @extschema@.quote_reference_candidates(target, header, coalesce(options -> 'columns' ->> 'id', 'id')::name);
    columns jsonb;
    added name[];
    names record;
begin
    select n.nspname as schema_name, c.relname as table_name, hn.nspname as header_schema, h.relname as header_table, ln.nspname as log_schema
    into names from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_class h join pg_namespace hn on hn.oid = h.relnamespace,
        pg_class l join pg_namespace ln on ln.oid = l.relnamespace
    where c.oid = target and h.oid = header and l.oid = log;
    added := @extschema@.add_quote_columns(target, entity, chosen, first_version);
    added := @extschema@.quote_added_columns(target, added || coalesce((
        select s.added_columns from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = target), '{}'::name[]));
    perform @extschema@.restore_quote_columns(target, added);
    columns := @extschema@.find_quote_columns(target, entity, chosen, reference);
    perform @extschema@.check_quote_column_types(target, columns), @extschema@.check_quote_ignored(target, columns, options -> 'ignored_columns'),
        @extschema@.tell_of_quote_null_keys(target, columns);
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, header_schema, header_table, log_schema, columns, ignored_columns, added_columns, relations,
        system_user_id, truncation, replicated_history, archive_after, drop_after, owners, anchors, settled_in)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema, columns,
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        @extschema@.find_quote_relations(header, entity, columns, options),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval,
        array(select distinct pg_get_userbyid(c.relowner) from pg_class c where c.oid in (target, log)), array[target, log]::oid[],
        '@extschema@.quote_collab_settings'::regclass)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after, owners = excluded.owners, anchors = excluded.anchors,
        settled_in = excluded.settled_in
    returning s.* into settings;
    perform @extschema@.drop_quote_triggers(target), @extschema@.create_quote_triggers(target, settings),
        @extschema@.tell_of_quote_late_triggers(settings);
    return settings;
end $$;
create or replace function lead_quote_tables_to(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    other @extschema@.quote_collab_settings;
begin
    update @extschema@.quote_collab_settings s set log_schema = home, usage_granted = '{}'::name[] where s.log_schema <> home;
    for other in select * from @extschema@.quote_tables_elsewhere(home) loop
        perform @extschema@.create_quote_triggers(@extschema@.quote_collab_table(other), other);
    end loop;
end $$;
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
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
begin
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s union select a.log_schema from @extschema@.quote_seal_anchor a);
    perform @extschema@.follow_quote_tables(array[header, lines]), @extschema@.follow_quote_home();
    perform @extschema@.check_quote_tables(header, lines, options);
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner), @extschema@.check_quote_archive(home);
    is_elsewhere := exists (select from @extschema@.quote_collab_settings s where s.log_schema <> home);
    is_followed := exists (select from @extschema@.quote_collab_settings s where s.replicated_history);
    -- While the tables are not locked yet: it may take its time.
    first_version := @extschema@.first_quote_version(home, header, lines, options);
    perform @extschema@.lock_quote_relations(array[header, lines] || @extschema@.quote_home_relations(home) || array(
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s));
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
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
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create or replace function leave_quote_home(header quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    home name := header.log_schema;
    log regclass := to_regclass(format('%I.quote_changes', home));
begin
    if log is null then
        raise warning 'the audit log of the tables that remain attached is gone'
            using hint = 'Until they are attached again, they cannot be written to: select attach_quote_collaboration(...).';
        return;
    end if;
    perform @extschema@.lead_quote_tables_to(home);
    -- The views over several pairs do without a table that is gone.
    perform @extschema@.create_pair_views(home, pg_get_userbyid(c.relowner)) from pg_class c
    where c.oid = log and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) is null);
    update @extschema@.quote_collab_settings s set usage_granted = s.usage_granted || header.usage_granted
    where (s.table_schema, s.table_name) = (select t.table_schema, t.table_name from @extschema@.quote_collab_target('QUOTE') t);
    perform @extschema@.revoke_quote_privileges(header.readers_granted || header.writers_granted);
end $$;
create or replace function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
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
    if known.known and current_setting('quote_collab.verified_user', true) = who::text then
        user_name := null;
        user_email := null;
    end if;
    perform @extschema@.require_quote_session_texts(user_name, user_email);
    begin
        execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict on constraint active_quote_sessions_session do update set
            quote_id = excluded.quote_id, user_id = excluded.user_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id and s.last_heartbeat > $8 then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where (s.user_id = excluded.user_id or s.last_heartbeat <= $8) and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
        into session
        using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
            coalesce(user_name, left(known.user_name, 255)), coalesce(user_email, left(known.user_email, 255)), coalesce(status, 'VIEWING'),
            clock_timestamp() - @extschema@.quote_session_ttl();
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
    perform pg_notify('quote_presence', '');
    return next session;
end $$;
create or replace function cleanup_stale_quote_sessions() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    swept integer;
begin
    execute format('delete from %1$s s using (select x.id from %1$s x
            where not @extschema@.quote_session_lives(x.last_heartbeat) for update skip locked) stale
        where s.id = stale.id', @extschema@.quote_session_target());
    get diagnostics swept = row_count;
    if swept > 0 then
        perform pg_notify('quote_presence', '');
    end if;
    return swept;
end $$;
create function quote_events_query(places text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        select v.position, v.event || jsonb_build_object('actor_name', %2$s) as event
        from (%1$s) p
        cross join lateral (
            select w.* from (%4$s) w
            where w.xid = p.xid and w.position = p.position and w.origin = $4 and w.changed_at >= $5 and w.changed_at < $6 offset 0) v %3$s
        order by v.position$query$, places, author.name_expression, author.join_clause,
        @extschema@.quote_change_events_query(@extschema@.quote_collab_home()));
end $$;
comment on function quote_events_query(text) is 'query for the events at some places of the feed';
create or replace function quote_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_events_query(format($query$
        select c.xid, c.position from (
            select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
            where c.xid = any (array(select pg_snapshot_xip($1)))
            union all
            select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
            where c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)) c
        where pg_visible_in_snapshot(c.xid, $2) and c.position > $3 and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6
            and c.conflict_resolution is distinct from 'REJECTED'
        group by c.xid, c.position order by c.position limit $7$query$, @extschema@.quote_collab_home()));
end $$;
create function quote_batch_rest_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_events_query(format($query$
        select t.xid, c.position from (
            select pg_snapshot_xip($1) union all
            select n::text::xid8 from generate_series(pg_snapshot_xmax($1)::text::bigint, pg_snapshot_xmax($2)::text::bigint - 1) n) t (xid)
        cross join lateral (
            select distinct x.position from %1$I.quote_changes x
            where x.xid = t.xid and x.position > $3 and x.origin = $4 and x.changed_at >= $5 and x.changed_at < $6
                and x.conflict_resolution is distinct from 'REJECTED'
            order by x.position limit $7) c
        where pg_visible_in_snapshot(t.xid, $2)
        order by c.position limit $7$query$, @extschema@.quote_collab_home()));
end $$;
comment on function quote_batch_rest_query() is 'query for the events of a batch of the feed that come behind others';
create function quote_batch_has_few(prev pg_snapshot, cur pg_snapshot) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return pg_snapshot_xmax(cur)::text::bigint - pg_snapshot_xmax(prev)::text::bigint + (select count(*) from pg_snapshot_xip(prev)) <= 2000;
end $$;
comment on function quote_batch_has_few(pg_snapshot, pg_snapshot) is 'whether a batch is of few transactions';
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', $11, $1, $8, $9, $2, $10, e.position), e.event from (%s) e order by e.position$query$,
        case when c.position > 0 and @extschema@.quote_batch_has_few(c.prev, c.cur)
            then @extschema@.quote_batch_rest_query() else @extschema@.quote_batch_query() end)
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '1 day', 'infinity'::timestamptz, max, c.prev_at, c.floor_at, c.cur_at,
        concat_ws('/', case when c.timeline is null then '1' when c.log is null then '2' else '3' end, c.origin, c.log, c.timeline, c.reached);
end $$;
create or replace function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    b record;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    select r.* into b from @extschema@.quote_prepared_rows(
        format('select b.prev, b.cur, b.origin, b.floor_at from %s b where b.no = $1', @extschema@.quote_relay_table('quote_relay_batch')), row(batch))
        r (prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz);
    if found then
        return query select r."position", r.event from @extschema@.quote_prepared_rows(
            @extschema@.quote_kept_query((case when after_position > 0 and @extschema@.quote_batch_has_few(b.prev, b.cur)
                then '@extschema@.quote_batch_rest_query()' else '@extschema@.quote_batch_query()' end)::regprocedure::oid),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '1 day', 'infinity'::timestamptz, max)) r ("position" bigint, event jsonb);
    end if;
end $$;
create or replace function quote_presence_snapshot() returns setof quote_session
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query execute format('select s.* from %s s where @extschema@.quote_session_lives(s.last_heartbeat)
        order by s.joined_at, s.session_id', @extschema@.quote_session_target());
end $$;
create function quote_rest_of_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_events_query(format($query$
        select c.xid, c.position from %s c
        where c.quote_id = $1 and ($8 or c.tenant_id = $2) and c.position > $3 and c.position <= $11 and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6
            and pg_visible_in_snapshot(c.xid, $10) and not pg_visible_in_snapshot(c.xid, $9) and c.conflict_resolution is distinct from 'REJECTED'
        group by c.position, c.xid order by c.position limit $7$query$, @extschema@.quote_relay_table('quote_changes')));
end $$;
comment on function quote_rest_of_batch_query() is 'query for the events of a quote in the rest of a batch';
create function quote_later_batches_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        with c as materialized (
            select c.xid, c.position from %1$s c
            where c.quote_id = $1 and ($11 or c.tenant_id = $2) and c.origin = $3 and c.changed_at >= $4
                and not pg_visible_in_snapshot(c.xid, $5) and c.conflict_resolution is distinct from 'REJECTED'
            group by c.xid, c.position)
        select p.no, v.position, v.event || jsonb_build_object('actor_name', %4$s)
        from (
            select b.no, c.xid, c.position from (
                select t.xid, (select x.no from %2$s x where x.cur_xmax > t.xid and pg_visible_in_snapshot(t.xid, x.cur) and x.no > 0 and x.origin = $3
                    order by x.cur_xmax, x.no limit 1) as no
                from (select distinct c.xid from c) t) b
            join c on c.xid = b.xid
            where (b.no, c.position) > ($6, $7) and (b.no, c.position) <= ($8, $9)
            order by b.no, c.position limit $10) p
        cross join lateral (
            select w.* from (%5$s) w
            where w.xid = p.xid and w.position = p.position and w.origin = $3 and w.changed_at >= $4 offset 0) v
        %3$s
        order by p.no, v.position$query$,
        @extschema@.quote_relay_table('quote_changes'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression, @extschema@.quote_change_events_query(@extschema@.quote_collab_home()));
end $$;
comment on function quote_later_batches_query() is 'query for the events of a quote in later batches';
create or replace function quote_events_between(
    quote_id uuid, after_batch bigint, after_position bigint, until_batch bigint, until_position bigint, max integer)
returns table (batch bigint, "position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    last constant bigint := 9223372036854775807;
    tenant uuid := @extschema@.current_quote_tenant();
    any_tenant boolean := @extschema@.sees_every_quote_tenant();
    start record;
    given integer := 0;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    execute format('select b.*, exists (select from %1$s x where x.no between b.no and greatest(b.no, $3) and x.origin <> $2) as is_elsewhere
        from %1$s b where b.no >= $1 order by b.no limit 1', @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.is_elsewhere then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            hint = 'Read the quote again and subscribe without a cursor.';
    end if;
    if start.no = after_batch and after_batch <= until_batch then
        return query execute format('select $12, r.position, r.event from (%s) r order by r.position', @extschema@.quote_rest_of_batch_query())
        using quote_id, tenant, after_position, start.origin, start.floor_at - interval '1 day', 'infinity'::timestamptz, max, any_tenant,
            start.prev, start.cur, case when after_batch = until_batch then until_position else last end, after_batch;
        get diagnostics given = row_count;
        after_position := last;
    end if;
    if given < max and after_batch < until_batch then
        return query execute @extschema@.quote_later_batches_query()
        using quote_id, tenant, start.origin, start.floor_at - interval '1 day', start.prev,
            after_batch, after_position, until_batch, until_position, max - given, any_tenant;
    end if;
end $$;
create function quote_history_arrives() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from @extschema@.quote_collab_settings s where s.replicated_history);
end $$;
comment on function quote_history_arrives() is 'whether history is replicated from another cluster';
create or replace function seal_quote_history() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    here bigint := @extschema@.quote_cluster_identifier();
    key bytea := @extschema@.quote_seal_key();
    last record;
    cur pg_snapshot;
    prev pg_snapshot;
    floor_at timestamptz;
    block record;
    form smallint;
    now_at timestamptz := clock_timestamp();
    faults text;
    settled boolean;
    others bigint := 0;
begin
    begin
        execute format('lock table %s in share update exclusive mode nowait', seals);
    exception
        when lock_not_available then return 0;
        when undefined_table or wrong_object_type then null;
    end;
    -- Under the lock, which keeps all away that could become a fault of the seals.
    select string_agg(f, ', ') into faults from @extschema@.quote_history_faults() f;
    if faults is not null then
        raise exception 'the history cannot be sealed' using errcode = 'object_not_in_prerequisite_state', detail = format('Found: %s.', faults),
            hint = 'Have the tables as attach made them.';
    end if;
    execute format('select * from %s order by no desc limit 1', seals) into last;
    if last.no is null then
        perform @extschema@.begin_quote_changes_seals(@extschema@.quote_collab_home());
        execute format('select * from %s order by no desc limit 1', seals) into strict last;
    end if;
    perform @extschema@.begin_quote_seal_anchor(last.no, last.hash);
    cur := @extschema@.quote_feed_snapshot();
    prev := last.cur;
    settled := @extschema@.quote_seals_are_settled(last.origin);
    if not settled then
        prev := @extschema@.quote_sealed_until(here, 9223372036854775807::bigint);
    end if;
    if not settled and not @extschema@.quote_history_arrives() then
        others := @extschema@.seal_other_quote_clusters(now_at);
        execute format('select * from %s order by no desc limit 1', seals) into strict last;
        update @extschema@.quote_seal_anchor a set settled_in = '@extschema@.quote_seal_anchor'::regclass where a.log_schema = @extschema@.quote_collab_home();
    end if;
    form := 4;
    floor_at := '-infinity';
    if last.origin = here then
        floor_at := @extschema@.quote_block_floor(last.prev, last.cur, last.prev_at, last.floor_at);
        form := case when @extschema@.quote_block_sinks(prev, cur, here, floor_at) then 3 else 2 end;
    end if;
    select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, 'infinity'::timestamptz, last.cur, last.origin,
        null::pg_snapshot);
    -- Read without a ceiling, and once more where that was needed: the clock was set back since.
    if form = 2 and block.newest > now_at + interval '24 hours' then
        form := 3;
        select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, now_at, last.cur, last.origin, null::pg_snapshot);
    end if;
    if block.rows > 0 or last.origin <> here or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, case when last.origin = here then last.cur_at else floor_at end,
            now_at, here, block.rows, block.root, now_at, form, null::jsonb);
    end if;
    return others + block.rows;
end $$;
create or replace function find_unsealed_rows(newest quote_seal, sealed bigint) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := @extschema@.quote_history_query();
    seals regclass := @extschema@.quote_relay_table('quote_changes_seals');
    counted bigint;
    strange bigint;
    arrives boolean := @extschema@.quote_history_arrives();
begin
    execute format('select count(*) filter (where pg_visible_in_snapshot(c.xid, o.until)),
            count(*) filter (where num_nulls(c.origin, c.xid, c.position, c.changed_at) > 0
                or c.origin <> $1 and $2 and pg_visible_in_snapshot(c.xid, o.until) is not true
                or c.origin = $1 and c.xid >= (select @extschema@.next_quote_transaction()::text::xid8))
        from %1$s c left join (
            select s.origin, @extschema@.quote_sealed_until(s.origin, $3) as until from (select distinct s.origin from %2$s s where s.no <= $3) s) o on o.origin = c.origin',
        log, seals)
    into counted, strange using @extschema@.quote_cluster_identifier(),
        @extschema@.quote_seals_are_settled(newest.origin) and not arrives, newest.no;
    if strange > 0 then
        return format('%s rows come from nowhere', strange);
    -- What arrives may come behind what was sealed here before it was told to arrive.
    elsif counted < sealed or counted > sealed and not arrives then
        return format('%s rows were sealed in all, %s are there', sealed, counted);
    end if;
    return null;
end $$;
create function count_arrived_quote_changes(months regclass[]) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    month regclass;
    counted bigint;
    arrived bigint := 0;
begin
    if not @extschema@.quote_history_arrives() then
        return 0;
    end if;
    foreach month in array months loop
        execute format('select count(*) from (select c.origin, c.xid from %s c where c.origin <> $1) c
            join (select o.origin, @extschema@.quote_sealed_until(o.origin, 9223372036854775807) as until from (select distinct x.origin from %1$s x) o) o using (origin)
            where pg_visible_in_snapshot(c.xid, o.until) is not true', month) into counted using @extschema@.quote_cluster_identifier();
        arrived := arrived + counted;
    end loop;
    return arrived;
end $$;
comment on function count_arrived_quote_changes(regclass[]) is 'rows of months that only their publisher has sealed';
create or replace function drop_archived_quote_changes(older_than interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    archive regclass := case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then @extschema@.quote_relay_table('quote_changes_archive')::regclass end;
    months regclass[];
    from_at timestamptz;
    until_at timestamptz;
    month regclass;
    present bigint;
    arrived bigint;
    before record;
    after record;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals}'::text[]);
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select drop_archived_quote_changes(interval ''10 years'').';
    elsif current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        return 0;
    end if;
    execute format('lock table %s in share update exclusive mode', @extschema@.quote_relay_table('quote_changes_seals'));
    perform @extschema@.seal_quote_history();
    present := @extschema@.lock_quote_months(months);
    arrived := @extschema@.count_arrived_quote_changes(months);
    select sum(x.rows) as rows, bool_and(x.rows = x.expected_rows and x.root = x.expected_root) as intact
    into before from @extschema@.examine_quote_seals(from_at, until_at) x;
    foreach month in array months loop
        execute format('drop table %s', month);
    end loop;
    select coalesce(sum(x.rows), 0) as rows,
        coalesce(range_agg(int8range(x.no, x.no, '[]')) filter (where x.rows = 0), '{}') as gone,
        coalesce(jsonb_object_agg(x.no, jsonb_build_object('rows', x.rows, 'root', encode(x.root, 'hex')))
            filter (where x.rows > 0 and x.rows <> x.expected_rows), '{}') as remains
    into after from @extschema@.examine_quote_seals(from_at, until_at) x;
    if coalesce(before.intact, arrived > 0) is not true or coalesce(before.rows, 0) - after.rows <> present - arrived then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    return cardinality(months);
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
    perform @extschema@.check_quote_archive(log_schema);
    if not @extschema@.quote_relation_stands(archive, 'p'::"char", log_owner) then
        execute format('create table %s (like %s including all excluding defaults) partition by range (changed_at)', archive, log);
        execute format('comment on table %s is %L', archive, @extschema@.quote_archive_comment());
        execute format('alter table %s owner to %I', archive, log_owner);
        perform @extschema@.close_quote_table(archive::regclass);
        perform @extschema@.protect_quote_table(archive::regclass, 'quote_changes_tenant_isolation'::name);
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
create or replace function exchange_quote_months(log regclass, months regclass[], until timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    archive regclass := @extschema@.create_quote_changes_archive(log);
    part record;
begin
    for part in select * from @extschema@.quote_months_due(log, until) m where m.month = any (months) loop
        if part.proved is null then
            perform @extschema@.note_quote_month(part.month, part.month_start, part.month_end, true);
        end if;
        execute format('alter table %s detach partition %s', log, part.month);
        execute format('alter table %s attach partition %s %s', archive, part.month, part.bounds);
        execute format('alter table %s drop constraint quote_changes_month, alter column position drop default', part.month);
    end loop;
end $$;
create or replace function quote_collab_doctor_positions(log regclass, target_schema name) returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.quote_changes_position_seq', target_schema);
    s record;
begin
    select q.* into s from pg_sequence q join pg_class c on c.oid = q.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname = 'quote_changes_position_seq';
    if not found then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is gone: no change can be written',
            @extschema@.quote_attach_statement());
    elsif s.seqincrement <> 1 or s.seqcycle or s.seqcache <> 1 or s.seqmax < 9223372036854775807 or s.seqtypid <> 'bigint'::regtype then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is not as attach made it',
            format('alter sequence %s as bigint increment 1 no maxvalue no cycle cache 1;', name));
    elsif not @extschema@.quote_positions_kept(log, target_schema) then
        return @extschema@.quote_collab_verdict('positions left', false, 'warning', 'the sequence of positions can be dropped: nothing depends on it',
            @extschema@.quote_attach_statement());
    end if;
    return @extschema@.quote_collab_verdict('positions left',
        coalesce((select q.last_value from pg_sequences q where (q.schemaname, q.sequencename) = (target_schema, 'quote_changes_position_seq')), 0)
        < 4000000000000000000, 'error',
        'the sequence of positions nears its end', format('Look who set it: select last_value from %s;', name));
end $$;
create or replace function quote_collab_doctor_objects(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    repair text := @extschema@.quote_attach_statement();
    hints text;
    names text;
    item record;
    wrong text[] := '{}'::text[];
    changed text := @extschema@.quote_view_functions_changed(target_schema);
begin
    select string_agg(v.view_name, ', ') into names from @extschema@.quote_view_queries(target_schema) v
    where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = v.view_name and c.relkind = 'v');
    return next @extschema@.quote_collab_verdict('views present', names is null, 'error', format('these views are missing: %s', names), repair);
    select string_agg(c.oid::regclass::text, ', ') into names
    from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
    where c.relkind = 'v' and not coalesce(c.reloptions @> '{security_invoker=true}', false);
    return next @extschema@.quote_collab_verdict('views ask as the caller', names is null, 'error',
        format('these views show what their owner may see: %s', names), repair);
    -- Sessions are unlogged: a standby cannot plan what reads them.
    begin
        for item in
            select c.oid::regclass as relation, v.query, coalesce(@extschema@.quote_view_strangers(c.oid::regclass), case
                when v.view_name in ('v_recent_quote_changes', 'v_active_quote_collaborators') then changed end) as strangers
            from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
            join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
            where c.relkind = 'v' and (v.view_name <> 'v_active_quote_collaborators' or not pg_is_in_recovery())
        loop
            if item.strangers is not null then
                wrong := wrong || format('%s (%s)', item.relation, item.strangers);
            elsif @extschema@.quote_view_differs(item.relation, item.query) then
                wrong := wrong || item.relation::text;
            end if;
        end loop;
        return next @extschema@.quote_collab_verdict('views as attached', wrong = '{}', 'error',
            format('these views show something else than those that attach creates: %s', array_to_string(wrong, ', ')), repair);
    exception when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked('views as attached', sqlerrm, 'Run it as a superuser.');
    end;
    -- Where the table is gone other checks say so.
    return next @extschema@.quote_collab_verdict('presence guarded',
        coalesce(@extschema@.quote_sessions_guarded(to_regclass(format('%I.active_quote_sessions', target_schema))), true), 'error',
        'who may write sessions may write those of others, and times that never come', @extschema@.quote_attach_statement());
    select string_agg(format('%s on %s', r.rulename, c.oid::regclass), ', '), string_agg(format('drop rule %I on %s;', r.rulename, c.oid::regclass), ' ')
    into names, hints from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    where r.rulename <> '_RETURN' and r.is_instead and (n.nspname = target_schema and c.relname in (select v.view_name from @extschema@.quote_view_queries(target_schema) v)
        or c.oid in (select l.relation from @extschema@.quote_own_relations(target_schema) l)
        or c.oid in (select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)::oid
            union select p.relid from pg_partition_tree(@extschema@.quote_collab_table(s)) p) t (oid)));
    return next @extschema@.quote_collab_verdict('no rules', names is null, 'error',
        format('these rules turn statements into others: %s', names), hints);
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
            where n.nspname = target_schema and s.relname = 'quote_changes_seals')
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
    where not g.tgisinternal and g.tgparentid = 0 and g.tgfoid <> '@extschema@.guard_quote_session()'::regprocedure;
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log, where events would tell as much: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_caller(target_schema);
end $$;
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
        'quote_collab.notify is off: readers only poll', 'alter system reset quote_collab.notify;');
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
    return next @extschema@.quote_collab_verdict('survives a power cut',
        current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on', 'error',
        'fsync or full_page_writes is off: a crash loses or corrupts prices', 'alter system set fsync = on; alter system set full_page_writes = on; select pg_reload_conf();');
    return next @extschema@.quote_collab_verdict('commits are durable', current_setting('synchronous_commit') <> 'off', 'warning',
        'synchronous_commit is off: a crash takes back what users saw saved', 'alter system set synchronous_commit = on; select pg_reload_conf();');
    return next @extschema@.quote_collab_verdict('transaction ids left', (select age(d.datfrozenxid) < 1500000000 from pg_database d where d.datname = current_database()),
        'error', 'this database is close to transaction id wraparound', 'vacuum freeze;');
    return next @extschema@.quote_collab_verdict('encoding', getdatabaseencoding() = 'UTF8', 'error', 'the database is not in UTF8', 'Create it anew in UTF8.');
    return query select * from @extschema@.quote_collab_doctor_writers(@extschema@.quote_library_preloaded());
    return query select * from @extschema@.quote_collab_doctor_processes(@extschema@.quote_library_preloaded());
end $$;
create or replace function quote_collab_doctor_part(part text, home name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    case part
        when 'server' then return query select * from @extschema@.quote_collab_doctor_server();
        when 'tables' then return query select * from @extschema@.quote_collab_doctor_tables();
        when 'history' then return query select * from @extschema@.quote_collab_doctor_history(home);
        when 'rows' then return query select * from @extschema@.quote_collab_doctor_rows(home);
        when 'objects' then return query select * from @extschema@.quote_collab_doctor_objects(home);
        when 'security' then return query select * from @extschema@.quote_collab_doctor_security(home);
        when 'grants' then return query select * from @extschema@.quote_collab_doctor_grants(home);
        when 'tenants' then return query select * from @extschema@.quote_collab_doctor_tenants();
        else raise exception 'the doctor has no such part' using errcode = 'invalid_parameter_value',
            hint = 'Its parts are server, tables, history, rows, objects, security, grants and tenants.';
    end case;
exception
    when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Run it as a superuser.');
    when undefined_table or undefined_column or wrong_object_type then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, @extschema@.quote_attach_statement());
end $$;
comment on function create_quote_triggers(regclass, quote_collab_settings) is 'creates the triggers of one attached table';
comment on function lead_quote_tables_to(name) is 'makes every attached table write to this log';
comment on function quote_batch_query() is 'query for the first events of a batch of the feed';
revoke execute on function count_arrived_quote_changes(regclass[]) from public;
