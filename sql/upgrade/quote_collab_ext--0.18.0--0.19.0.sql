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
create function quote_superuser() returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.rolname from pg_roles r where r.rolsuper or r.rolname = @extschema@.quote_extension_owner()
    order by r.rolsuper desc, r.rolname <> @extschema@.quote_extension_owner(), r.oid limit 1
$$;
comment on function quote_superuser() is 'the superuser to whom the extension belongs, else the first one';
create or replace function quote_extension_table_faults() returns table (relation regclass, problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('%s belongs to %s', c.oid::regclass, pg_get_userbyid(c.relowner)),
        format('alter table %s owner to %I;', c.oid::regclass, @extschema@.quote_superuser())
    from pg_class c join pg_roles r on r.oid = c.relowner and not r.rolsuper
    where c.oid in (select t.relation from @extschema@.quote_extension_tables() t)
    union all
    select t.relation, format('row security of %s is off', t.relation), format('select @extschema@.seclude_quote_table(%L);', t.relation)
    from unnest(@extschema@.quote_tables_to_seclude()) t (relation)
    union all
    -- It would run with the rights of whoever attaches, seals or changes a quote.
    select g.tgrelid::regclass, format('trigger %I of %s is not of the extension', g.tgname, g.tgrelid::regclass),
        format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass)
    from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
    where not g.tgisinternal and g.tgfoid not in ('@extschema@.guard_quote_settings()'::regprocedure, '@extschema@.quote_settings_changed()'::regprocedure)
    union all
    select k.relation, format('trigger %s of %s is gone or altered', k.name, k.relation),
        format('create or replace trigger %1$I %2$s insert or update or delete or truncate on %3$s for each statement execute function %4$s; '
            'alter table %3$s enable always trigger %1$I;', k.name, case k.type when 62 then 'before' else 'after' end, k.relation, k.called)
    from (values ('guard_quote_settings'::name, '@extschema@.quote_collab_settings'::regclass, '@extschema@.guard_quote_settings()'::regprocedure, 62),
        ('guard_quote_settings', '@extschema@.quote_seal_anchor', '@extschema@.guard_quote_settings()', 62),
        ('quote_settings_changed', '@extschema@.quote_collab_settings', '@extschema@.quote_settings_changed()', 60)) k (name, relation, called, type)
    where not exists (select from pg_trigger t where t.tgrelid = k.relation and t.tgname = k.name and t.tgfoid = k.called and t.tgtype = k.type
        and t.tgenabled = 'A' and t.tgqual is null)
$$;
create function refuse_history_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op <> 'TRUNCATE' then
        raise exception 'trigger % of % is none of the extension', quote_ident(tg_name), tg_relid::regclass using errcode = 'triggered_action_exception',
            detail = 'Its function refuses TRUNCATE, and is called for nothing else.', hint = 'Drop it.';
    end if;
    raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
        detail = 'History, its seals and the place of the relay stay as long as quote collaboration is attached.',
        hint = 'History goes by months: archive_quote_changes() and drop_archived_quote_changes(); all of it by detach_quote_collaboration(drop_history => true).';
end $$;
comment on function refuse_history_truncate() is 'before-truncate trigger of the history: refuses';
create function quote_truncate_guards() returns table (guard oid, relation regclass, is_on boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.oid, g.tgrelid, g.tgenabled = 'A' from pg_trigger g
    where g.tgfoid = '@extschema@.refuse_history_truncate()'::regprocedure and g.tgname = 'trg_refuse_history_truncate' and g.tgtype = 34
        and g.tgqual is null and g.tgnargs = 0 and g.tgconstraint = 0
$$;
comment on function quote_truncate_guards() is 'triggers that refuse TRUNCATE as guard_quote_history() makes them';
create function quote_truncate_refused(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select exists (select from @extschema@.quote_truncate_guards() g where g.relation = target and g.is_on) $$;
comment on function quote_truncate_refused(regclass) is 'whether a table of the history is as guard_quote_history() leaves it';
create function guard_quote_history(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    if not @extschema@.quote_truncate_refused(target) then
        execute format('drop trigger if exists trg_refuse_history_truncate on %s', target);
        execute format('create trigger trg_refuse_history_truncate before truncate on %s for each statement execute function @extschema@.refuse_history_truncate()', target);
        execute format('alter table %s enable always trigger trg_refuse_history_truncate', target);
        execute format('comment on trigger trg_refuse_history_truncate on %s is %L', target, 'what is recorded stays');
    end if;
end $$;
comment on function guard_quote_history(regclass) is 'has a table of the history refuse TRUNCATE';
create or replace function quote_positions_statement(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('select setval(%L, (select coalesce(max(c.position), 1) from %I.quote_changes c where c.position < 4000000000000000000));',
        format('%I.quote_changes_position_seq', target_schema), target_schema)
$$;
create or replace function detached_quote_changes_month(log regclass, month_name name) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.oid::regclass from pg_class l join pg_class m on m.relnamespace = l.relnamespace and m.relname = month_name
    where l.oid = log and m.relkind = 'r' and m.relowner = l.relowner and not m.relispartition
        and not exists (select from pg_trigger t where t.tgrelid = m.oid and t.oid not in (select g.guard from @extschema@.quote_truncate_guards() g))
        and not exists (select from pg_rewrite r where r.ev_class = m.oid)
        and not exists (select from pg_constraint c where c.conrelid = m.oid and c.contype not in ('p', 'n'))
        and array(select (a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull)::text from pg_attribute a
                where a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped order by a.attname)
            = array(select (a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull)::text from pg_attribute a
                where a.attrelid = log and a.attnum > 0 and not a.attisdropped order by a.attname)
$$;
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
create function quote_session_keys_missing(sessions regclass) returns table (problem text, is_key boolean, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with named as (
        select k.name, coalesce(
            (select format('alter table %s drop constraint %I; ', sessions, k.name) from pg_constraint c where (c.conrelid, c.conname) = (sessions, k.name)),
            (select format('drop index %s; ', x.oid::regclass) from pg_index i join pg_class x on x.oid = i.indexrelid
                where i.indrelid = sessions and x.relname = k.name), '') as cleared,
            exists (select from pg_class t join pg_class x on x.relnamespace = t.relnamespace
                left join pg_index i on i.indexrelid = x.oid where t.oid = sessions and x.relname = k.name and i.indrelid is distinct from sessions) as is_taken
        from unnest('{active_quote_sessions_pkey,active_quote_sessions_session,active_quote_sessions_quote}'::name[]) k (name))
    select 'no primary key', true, format('%salter table %s add %sprimary key (id);', n.cleared, sessions, case when not n.is_taken then 'constraint active_quote_sessions_pkey ' end)
    from named n
    where n.name = 'active_quote_sessions_pkey' and not exists (select from pg_index i where i.indrelid = sessions and i.indisprimary and i.indisvalid)
    union all
    -- As ON CONFLICT (session_id) finds it.
    select 'nothing that keeps a session unique', true, format('%salter table %s add %sunique (session_id);', n.cleared, sessions,
        case when not n.is_taken then 'constraint active_quote_sessions_session ' end)
    from named n
    where n.name = 'active_quote_sessions_session' and not exists (
        select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (i.indrelid, i.indkey[0]) and a.attname = 'session_id'
        where i.indrelid = sessions and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indnkeyatts = 1)
    union all
    select 'no index on quote_id', false, format('%screate index %son %s (quote_id);', n.cleared, case when not n.is_taken then 'active_quote_sessions_quote ' end, sessions)
    from named n
    where n.name = 'active_quote_sessions_quote' and not exists (
        select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (i.indrelid, i.indkey[0]) and a.attname = 'quote_id'
        join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
        where i.indrelid = sessions and i.indisvalid and i.indpred is null and m.amname in ('btree', 'hash'))
$$;
comment on function quote_session_keys_missing(regclass) is 'keys and indexes that a presence table lost, and what brings them back';
create or replace function create_active_quote_sessions(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sessions text := format('%I.active_quote_sessions', target_schema);
    repairs text[];
    repair text;
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
    repairs := array(select k.repair from @extschema@.quote_session_keys_missing(sessions::regclass) k);
    if repairs <> '{}' then
        begin
            foreach repair in array repairs loop
                execute repair;
            end loop;
        exception when unique_violation then
            -- Nothing is deleted here: triggers of the owner would run with the rights of whoever attaches.
            raise exception 'a session stands in % twice', sessions using errcode = 'unique_violation',
                detail = 'It has lost the key that keeps sessions unique.', hint = format('Empty it, and attach again: delete from %s; Who is there joins again.', sessions);
        end;
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
    guard record;
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
    for guard in
        select g.tgname, g.tgrelid::regclass as relation from @extschema@.quote_tables_kept(target_schema) t join pg_trigger g on g.tgrelid = t
        where g.tgfoid = '@extschema@.refuse_history_truncate()'::regprocedure and g.tgparentid = 0
    loop
        execute format('drop trigger %I on %s', guard.tgname, guard.relation);
    end loop;
end $$;
comment on function release_quote_history(name) is 'frees policies and triggers of a remaining audit log from the extension';
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
create function quote_history_obstacles() returns table (problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with roots as (
        select c.oid, c.relname, c.relkind, case c.relname when 'quote_changes_seals' then 'r' else 'p' end::"char" as kind from pg_class c
        where c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home())
            and (c.relname in ('quote_changes', 'quote_changes_seals')
                or c.relname = 'quote_changes_archive' and @extschema@.quote_archive_stands(@extschema@.quote_collab_home()))),
    tables as (
        select r.oid, r.relname as root from roots r
        union
        select p.relid, r.relname from roots r cross join lateral pg_partition_tree(r.oid) p),
    -- Everything that runs when rows of these are read or written, with what it calls.
    made as (
        select t.oid, t.root, 'pg_constraint'::regclass::oid as classid, k.oid as objid, k.contype in ('c', 'x') as is_refused,
            case when k.coninhcount = 0 then format('alter table %s drop constraint if exists %I;', t.oid::regclass, k.conname) end as repair
        from tables t join pg_constraint k on k.conrelid = t.oid
        union all
        select t.oid, t.root, 'pg_attrdef'::regclass, f.oid, true,
            format('alter table %s alter column %I drop %s;', t.oid::regclass, a.attname, case a.attgenerated when '' then 'default' else 'expression' end)
        from tables t join pg_attrdef f on f.adrelid = t.oid join pg_attribute a on (a.attrelid, a.attnum) = (f.adrelid, f.adnum)
        union all
        select t.oid, t.root, 'pg_class'::regclass, i.indexrelid, i.indexprs is not null or i.indpred is not null, coalesce((
                select case when k.coninhcount = 0 then format('alter table %s drop constraint if exists %I;', t.oid::regclass, k.conname) end
                from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = t.oid),
            case when not exists (select from pg_inherits h where h.inhrelid = i.indexrelid) then format('drop index if exists %s;', i.indexrelid::regclass) end)
        from tables t join pg_index i on i.indrelid = t.oid
        union all
        select t.oid, t.root, 'pg_trigger'::regclass, g.oid, true, format('drop trigger if exists %I on %s;', g.tgname, t.oid::regclass)
        from tables t join pg_trigger g on g.tgrelid = t.oid where not g.tgisinternal and t.root = 'quote_changes_seals'
            and g.oid not in (select o.guard from @extschema@.quote_truncate_guards() o)
        union all
        select t.oid, t.root, 'pg_rewrite'::regclass, r.oid, true, format('drop rule if exists %I on %s;', r.rulename, t.oid::regclass)
        from tables t join pg_rewrite r on r.ev_class = t.oid where t.root = 'quote_changes_seals')
    select format('there is no table %s', k.name), null
    from unnest('{quote_changes,quote_changes_seals}'::name[]) k (name) where not exists (select from roots r where r.relname = k.name)
    union all
    select format('%s is not a table as attach made it', r.oid::regclass),
        format('alter %s %s rename to %I;', case r.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end,
            r.oid::regclass, left('not_ours_' || r.relname, 63)) from roots r where r.relkind <> r.kind
    union all
    select format('%s is not a table as attach made it', c.oid::regclass), format('alter table %s detach partition %s;', i.inhparent::regclass, c.oid::regclass)
    from tables t join pg_class c on c.oid = t.oid join pg_inherits i on i.inhrelid = t.oid
    where t.root <> 'quote_changes_seals' and c.relkind <> 'r' and not exists (select from roots r where r.oid = t.oid)
    union all
    select format('%s has no column %s of type %s', r.oid::regclass, k.column_name, k.column_type),
        format('alter table %1$s alter column %2$I type %3$s using %2$I::text::%3$s;', r.oid::regclass, k.column_name, k.column_type)
    from roots r cross join lateral @extschema@.quote_history_columns(r.relname::text) k
    join pg_attribute a on (a.attrelid, a.attname) = (r.oid, k.column_name) and not a.attisdropped
    where a.atttypid <> k.column_type and not (a.atttypid = 'varchar'::regtype and k.column_type = 'text'::regtype)
    union all
    select format('%s has a trigger, rule, check or expression that attach did not make', m.oid::regclass), m.repair
    from made m where m.root = 'quote_changes_seals' and m.is_refused
    union all
    select format('%s has a check, default or index that calls a function of %s', m.oid::regclass, r.rolname), m.repair
    from made m join pg_depend d on d.classid = m.classid and d.objid = m.objid
    left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
    join pg_proc p on p.oid = coalesce(o.oprcode::oid, case when d.refclassid = 'pg_proc'::regclass then d.refobjid end)
    join pg_roles r on r.oid = p.proowner and not r.rolsuper
$$;
comment on function quote_history_obstacles() is 'what keeps log, archive and seals from being sealed, and what takes it away';
create or replace function quote_history_faults() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with expected (name, relation) as (
        select k.name, c.oid from unnest('{quote_changes,quote_changes_archive,quote_changes_seals}'::text[]) k (name)
        join pg_class c on c.relname = k.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home())
        where k.name <> 'quote_changes_archive' or @extschema@.quote_archive_stands(@extschema@.quote_collab_home()))
    select format('%s belongs to %s, whom attach did not know', c.oid::regclass, pg_get_userbyid(c.relowner)) from expected e
    join pg_class c on c.oid = e.relation where not @extschema@.quote_owner_trusted(c.relowner)
    union all
    select f.problem from @extschema@.quote_extension_table_faults() f where f.relation = '@extschema@.quote_seal_anchor'::regclass
    union all
    select distinct o.problem from @extschema@.quote_history_obstacles() o
    union all
    select format('%s has no column %s of type %s', e.relation::regclass, k.column_name, k.column_type) from expected e
    cross join lateral @extschema@.quote_history_columns(e.name) k
    where not exists (
        select from pg_attribute a where a.attrelid = e.relation and a.attname = k.column_name and not a.attisdropped)
$$;
create or replace function quote_history_end(cluster bigint) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
begin
    execute format('select max(c.xid::text::bigint) from %s c where c.origin = $1 and c.xid < ''9000000000000000000''::xid8', @extschema@.quote_history_query())
    into newest using cluster;
    return coalesce(newest + case when newest & 4294967295 = 4294967295 then 4 else 1 end, 3);
end $$;
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
create or replace function quote_collab_doctor_extension() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(f.problem, ', '), string_agg(f.repair, ' ') into names, hints from (
        select t.problem, t.repair from @extschema@.quote_extension_table_faults() t
        union all
        select g.told, g.revoke from @extschema@.quote_extension_table_grants() g) f;
    return next @extschema@.quote_collab_verdict('tables of the extension guarded', names is null, 'error',
        format('others may say what is attached, or what was sealed: %s', names), hints);
    -- There is no statement that gives an extension alone to another. PostgreSQL needs what belongs to the role that made the cluster.
    select r.rolname, concat(format('alter role %I superuser;', r.rolname), case when r.oid <> 10 and @extschema@.quote_superuser() <> r.rolname then format(
        ' Or, where that role must be none: reassign owned by %1$I to %2$I; which gives %2$I all that %1$I owns in this database, tables of the ERP included,'
        ' and its databases and tablespaces. What is no part of the extension goes back with alter ... owner to %1$I.', r.rolname, @extschema@.quote_superuser()) end)
    into names, hints from pg_roles r where r.rolname = @extschema@.quote_extension_owner() and not r.rolsuper;
    return next @extschema@.quote_collab_verdict('extension belongs to a superuser', names is null, 'error',
        format('%s is no superuser any more: what runs with its rights is bound by row security and fails, and it may take the extension away', names), hints);
    select string_agg(w.told, ', '), string_agg(w.repair, ' ') into names, hints from @extschema@.quote_rights_withdrawn() w;
    return next @extschema@.quote_collab_verdict('functions open to who needs them', names is null, 'warning',
        format('saves, history or presence may be refused to these roles: %s', names), hints);
    return next @extschema@.quote_collab_doctor_functions_released();
end $$;
create function quote_files_hint(installed text, available text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('Install the files of release %s of the extension on this server, or of a later one: they are of %s.', installed, available)
    from (values (string_to_array(substring(available from '^[0-9]+(?:[.][0-9]+)*'), '.')::integer[],
        string_to_array(substring(installed from '^[0-9]+(?:[.][0-9]+)*'), '.')::integer[])) v (available_numbers, installed_numbers)
    where v.available_numbers < v.installed_numbers
$$;
comment on function quote_files_hint(text, text) is 'doctor: what to do where the server''s files are of an earlier release than is installed; null where they are not';
create or replace function quote_functions_altered(released quote_released_function[]) returns table (function regprocedure, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with own as (
        select f.function, p.*, n.nspname, owner.rolsuper as is_trusted
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function join pg_namespace n on n.oid = p.pronamespace
        join pg_roles owner on owner.oid = p.proowner
        where p.prokind = 'f'),
    as_released as (
        select p.function from own p join unnest(released) r on r.name = p.proname
        cross join lateral (select '"' || replace(p.nspname, '"', '""') || '"', quote_ident(p.nspname)) s (quoted, plain)
        cross join lateral (select replace(lower(r.header), E'\n', ' ') || ' ') h (words)
        where replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain)
            and coalesce(p.probin, '$libdir/quote_collab_ext') = '$libdir/quote_collab_ext'
            and p.prosecdef = (h.words like '% security definer %') and p.proisstrict = (h.words like '% strict %')
            and p.provolatile = case when h.words like '% immutable %' then 'i' when h.words like '% stable %' then 's' else 'v' end
            and array(select lower(split_part(c, '=', 1)) || replace(substr(c, strpos(c, '=')), '"', '') from unnest(p.proconfig) c order by 1)
                = array(select lower(split_part(c, ' = ', 1)) || '=' || translate(split_part(split_part(c, E'\n', 1), ' = ', 2), '''"', '')
                    from unnest((string_to_array(r.header, E'\nset '))[2:]) c order by 1)
            and p.proparallel = case when h.words like '% parallel safe %' then 's' when h.words like '% parallel restricted %' then 'r' else 'u' end)
    select p.function, case when p.is_trusted then coalesce((
                select string_agg(format('set search_path = %I, pg_temp; create or replace function %s reset search_path;', p.nspname, r.statement), ' ')
                from unnest(released) r where r.name = p.proname),
            format('alter extension quote_collab_ext drop function %s;', p.function))
        else format('alter function %s owner to %I;', p.function, @extschema@.quote_superuser()) end
    from own p where not p.is_trusted or not exists (select from as_released r where r.function = p.function)
$$;
create or replace function quote_collab_doctor_functions_released() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    script text;
    released @extschema@.quote_released_function[];
    names text;
    hints text;
begin
    script := @extschema@.quote_release_script();
    released := array(select f from @extschema@.quote_script_functions(script) f);
    if cardinality(released) = 0 then
        return @extschema@.quote_collab_unchecked('functions as released', 'the script of the installed release is not on this server any more, or cannot be read',
            coalesce((select @extschema@.quote_files_hint(e.extversion, v.default_version) from pg_extension e join pg_available_extensions v on v.name = e.extname
                where e.extname = 'quote_collab_ext'), 'alter extension quote_collab_ext update;'));
    end if;
    select string_agg(f.name, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_missing(script, released) f;
    if names is not null then
        return @extschema@.quote_collab_verdict('functions as released', false, 'error',
            format('these functions of the release are no longer the extension''s: %s', names), hints);
    end if;
    select string_agg(f.function::text, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_altered(released) f;
    return @extschema@.quote_collab_verdict('functions as released', names is null, 'error',
        format('these functions do something else than the release has them do, or as another role: %s', names), hints);
exception when insufficient_privilege then
    return @extschema@.quote_collab_unchecked('functions as released', sqlerrm, 'Run it as a superuser.');
end $$;
create function quote_tables_kept(target_schema name) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.relation from @extschema@.quote_own_relations(target_schema) r join pg_class c on c.oid = r.relation
    where not r.is_presence and c.relkind in ('r', 'p')
$$;
comment on function quote_tables_kept(name) is 'tables of a history that refuse TRUNCATE';
create or replace function quote_collab_doctor_grants(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(distinct r.role, ', '), string_agg(distinct format('grant usage on schema @extschema@ to %s;', r.role), ' ') into names, hints
    from @extschema@.quote_collab_pairs() p
    join pg_class c on c.oid = @extschema@.quote_collab_table(p.header)
    cross join lateral aclexplode(c.relacl) acl
    cross join lateral (select @extschema@.quote_grantee(acl.grantee)) r (role)
    where acl.privilege_type = 'UPDATE' and not has_schema_privilege(acl.grantee, '@extschema@'::regnamespace, 'usage');
    return next @extschema@.quote_collab_verdict('functions within reach', names is null, 'warning',
        format('these roles may change quotes and find no function of the extension, whose schema they may not use: %s', names), hints);
    -- The owner of a schema can rename it, and put another with functions of his own in its place.
    select r.rolname into names from pg_namespace n join pg_database d on d.datname = current_database()
    join pg_roles r on r.oid = case n.nspowner when to_regrole('pg_database_owner') then d.datdba else n.nspowner end
    where n.oid = '@extschema@'::regnamespace and not r.rolsuper;
    return next @extschema@.quote_collab_verdict('schema of a superuser', names is null, 'warning',
        format('%s owns the schema of the extension, and may put functions of his own in its place, which superusers would run', names),
        format('alter schema @extschema@ owner to %I; grant %s on schema @extschema@ to %s;', @extschema@.quote_superuser(),
            case when exists (select from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
                where pg_has_role(names, c.relowner, 'usage')) then 'create, usage' else 'usage' end, quote_ident(names)));
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where not r.is_presence and g.privilege in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'USAGE');
    return next @extschema@.quote_collab_verdict('log written by triggers only', names is null, 'error',
        format('somebody may write the log: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where r.is_private and g.privilege = 'SELECT';
    return next @extschema@.quote_collab_verdict('private tables read by nobody', names is null, 'warning',
        format('relay and seals are for the functions of the extension alone: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_collab_settings s
    cross join lateral @extschema@.quote_grants_on(@extschema@.quote_collab_table(s)) g
    where s.truncation = 'refuse' and g.privilege = 'TRUNCATE';
    return next @extschema@.quote_collab_verdict('truncate granted to nobody', names is null, 'warning',
        format('the trigger alone refuses what these roles may do: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_functions();
    return query select * from @extschema@.quote_collab_doctor_extension();
    return query select * from @extschema@.quote_collab_doctor_schemas(target_schema);
    return query select * from @extschema@.quote_collab_doctor_readers(target_schema);
end $$;
create or replace function quote_keys_missing(target_schema name) returns table (relation regclass, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.oid::regclass, k.repair from pg_class s join pg_namespace n on n.oid = s.relnamespace
    cross join lateral @extschema@.quote_session_keys_missing(s.oid) k
    where n.nspname = target_schema and s.relname = 'active_quote_sessions' and s.relkind = 'r' and k.is_key
    union all
    select c.oid::regclass, format('alter table %s add constraint %I primary key (%s);', c.oid::regclass, c.relname || '_pkey', k.key)
    from (
        select c.oid, h.key from @extschema@.quote_home_tables() h join pg_class c on c.relname = h.name and c.relkind = h.kind
        where h.name <> 'active_quote_sessions' and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = target_schema)
        union all
        values ('@extschema@.quote_former_versions'::regclass::oid, 'row_id, is_line')) k (oid, key)
    join pg_class c on c.oid = k.oid
    where not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indisvalid)
$$;
create function quote_positions_hint(target_schema name) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
begin
    execute format('select max(c.position) from %I.quote_changes c', target_schema) into newest;
    if newest < 4000000000000000000 then
        return @extschema@.quote_positions_statement(target_schema);
    end if;
    return 'Changes were numbered near the end of the sequence: behind them no change could be written. '
        || format('Have it go on behind all others: %s ', @extschema@.quote_positions_statement(target_schema))
        || 'Those changes stay as they were sealed, after newer ones in histories, and are told here until they are a day old.';
end $$;
comment on function quote_positions_hint(name) is 'doctor: what helps where the sequence of positions was set back';
create or replace function quote_collab_doctor_positions(log regclass, target_schema name) returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.quote_changes_position_seq', target_schema);
    s record;
begin
    select q.*, c.relpersistence into s from pg_sequence q join pg_class c on c.oid = q.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname = 'quote_changes_position_seq';
    if not found then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is gone: no change can be written', null);
    elsif s.seqincrement <> 1 or s.seqcycle or s.seqcache <> 1 or s.seqmax < 9223372036854775807 or s.seqtypid <> 'bigint'::regtype then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is not as attach made it',
            format('alter sequence %s as bigint increment 1 no maxvalue no cycle cache 1;', name));
    elsif s.relpersistence = 'u' then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is unlogged: a crash sets it back',
            format('alter sequence %s set logged;', name));
    elsif not @extschema@.quote_positions_kept(log, target_schema) then
        return @extschema@.quote_collab_verdict('positions left', false, 'warning', 'the sequence of positions can be dropped: nothing depends on it', null);
    end if;
    return @extschema@.quote_collab_verdict('positions left',
        coalesce((select q.last_value from pg_sequences q where (q.schemaname, q.sequencename) = (target_schema, 'quote_changes_position_seq')), 0)
        < 4000000000000000000, 'error',
        'the sequence of positions nears its end: after the last one no change can be written',
        format('Somebody set it. Have it go on behind what was numbered before: %s', @extschema@.quote_positions_statement(target_schema)));
end $$;
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
create function quote_history_unlogged(target_schema name) returns table (relation regclass, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('alter table %s set logged;', c.oid::regclass) from pg_class c
    where c.relpersistence = 'u' and c.relkind = 'r' and c.oid in (
            select r.relation from @extschema@.quote_own_relations(target_schema) r where not r.is_presence
            union select t.relation from @extschema@.quote_extension_tables() t)
        and c.oid not in (select p.relid from pg_class l join pg_namespace n on n.oid = l.relnamespace cross join lateral pg_partition_tree(l.oid) p
            where n.nspname = target_schema and l.relname = 'quote_changes')
$$;
comment on function quote_history_unlogged(name) is 'doctor: tables beside the log that a crash empties';
create function quote_relations_in_extensions(target_schema name) returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s in %I', c.oid::regclass, e.extname), format('alter extension %I drop %s %s;', e.extname,
        case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'f' then 'foreign table' else 'table' end, c.oid::regclass)
    from pg_depend d join pg_extension e on e.oid = d.refobjid join pg_class c on c.oid = d.objid
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and c.oid in (
        select r.relation from @extschema@.quote_own_relations(target_schema) r
        union select @extschema@.quote_collab_table(s) from @extschema@.quote_collab_settings s
        union select p.relid from @extschema@.quote_collab_settings s cross join lateral pg_partition_tree(@extschema@.quote_collab_table(s)) p
        union select v.oid from @extschema@.quote_view_queries(target_schema) q join pg_class v on v.relname = q.view_name
            join pg_namespace n on n.oid = v.relnamespace and n.nspname = target_schema)
$$;
comment on function quote_relations_in_extensions(name) is 'doctor: tables and views of quotes and history that dumps leave out';
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
    -- Who can hold locks: PostgreSQL has room for max_locks_per_transaction of each, and for all of them together.
    holders integer := current_setting('max_connections')::integer + current_setting('max_prepared_transactions')::integer
        + coalesce(current_setting('autovacuum_worker_slots', true), current_setting('autovacuum_max_workers'))::integer + 1
        + current_setting('max_worker_processes')::integer + current_setting('max_wal_senders')::integer;
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
    return next @extschema@.quote_collab_verdict('locks suffice for sealing', locks < holders * current_setting('max_locks_per_transaction')::integer, 'error',
        format('sealing and verifying lock the %s tables and indexes of the history at once, and the server has %s locks in all: they fail',
            locks, holders * current_setting('max_locks_per_transaction')::integer),
        format('alter system set max_locks_per_transaction = %s; then restart.', (locks + 255) / 256 * 128));
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    select string_agg(format('%s lacks %s', m.relation, m.names), '; ') as names, string_agg(m.repair, ' ') as repair into found
    from @extschema@.quote_columns_missing(target_schema, null) m where m.relation <> log;
    return next @extschema@.quote_collab_verdict('tables beside the log as attached', found.names is null, 'error', found.names, found.repair);
    select string_agg(u.relation::text, ', ') as names, string_agg(u.repair, ' ') as repair into found from @extschema@.quote_history_unlogged(target_schema) u;
    return next @extschema@.quote_collab_verdict('history survives a crash', found.names is null, 'error',
        format('these tables are unlogged: a crash empties them, and no standby has them: %s', found.names), found.repair);
    select string_agg(r.told, ', ') as names, string_agg(r.repair, ' ') as repair into found from @extschema@.quote_relations_in_extensions(target_schema) r;
    return next @extschema@.quote_collab_verdict('dumps hold the history', found.names is null, 'error',
        format('these are members of an extension, which pg_dump leaves out with all their rows: %s', found.names), found.repair);
    select string_agg(distinct o.problem, ', ') as names, string_agg(distinct o.repair, ' ') as repair into found from @extschema@.quote_history_obstacles() o;
    return next @extschema@.quote_collab_verdict('history can be sealed', found.names is null, 'error',
        format('nothing is sealed, archived or verified: %s', found.names), found.repair);
    copy := (select c.oid from pg_class c join pg_class l on l.relnamespace = c.relnamespace
        where l.oid = log and c.relname = 'quote_changes_archive' and c.relkind <> 'p' and @extschema@.quote_owner_trusted(c.relowner));
    return next @extschema@.quote_collab_verdict('archive made by archiving', copy is null, 'error',
        format('%s was made by hand: what is there is no part of the history, and nothing can be archived', copy),
        @extschema@.quote_copy_return(copy, format('alter table %s rename to earlier_quote_changes;', copy)));
    return next @extschema@.quote_collab_doctor_positions(log, target_schema);
    select string_agg(distinct k.relation::text, ', ') as names, string_agg(k.repair, ' ') as repair into found from @extschema@.quote_keys_missing(target_schema) k;
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
create or replace function quote_collab_doctor_rows(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hidden text;
    spare regclass := (select @extschema@.quote_changes_spare(c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    set_back boolean;
    found_rows boolean := false;
    at timestamptz;
    lag interval;
begin
    select string_agg(c.relname, ', ' order by c.relname) into hidden from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where not @extschema@.quote_rows_all_seen(c.oid::regclass) and (c.oid = spare or n.nspname = target_schema and c.relname in
        ('quote_changes', 'quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease', 'active_quote_sessions', 'quote_changes_position_seq'));
    if hidden is not null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('rows of %s are hidden from %s', hidden, current_user),
            'Run it as a superuser.')).* from unnest(array['positions ascend', 'default partition empty', 'relay keeps up', 'lease of the relay stands', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    set_back := @extschema@.quote_positions_set_back(target_schema);
    return next @extschema@.quote_collab_verdict('positions ascend', not set_back, 'error', 'the sequence of positions was set back: new changes stand before older ones',
        case when set_back then @extschema@.quote_positions_hint(target_schema) end);
    -- Those of months that are archived wait until event feeds have read them.
    if spare is not null then
        execute format('select exists (select from (select distinct date_trunc(''month'', c.changed_at, ''UTC'') from %s c offset 0) m (month_start)
            where not exists (select from @extschema@.quote_archived_months($1) a
                where a.month_start <= m.month_start and a.month_end >= @extschema@.quote_changes_month(m.month_start + interval ''32 days'')))', spare)
        into found_rows using format('%I.quote_changes', target_schema)::regclass;
    end if;
    return next @extschema@.quote_collab_verdict('default partition empty', not found_rows, 'warning',
        'rows lie in the default partition: a month had no partition when they were written',
        format('select @extschema@.place_quote_strays(%L);', format('%I.quote_changes', target_schema)));
    execute format('select max(b.cur_at) from %I.quote_relay_batch b where b.no > 0', target_schema) into at;
    execute format('select now() - max(c.changed_at) from %I.quote_changes c
        where c.changed_at > now() - interval ''1 day'' and c.changed_at > $1 + interval ''30 seconds''
        and c.conflict_resolution is distinct from ''REJECTED''', target_schema) into lag using coalesce(at, '-infinity');
    return next @extschema@.quote_collab_verdict('relay keeps up', lag is null or lag < interval '30 seconds', 'warning',
        format('the newest change is %s old and no gateway has cut a batch since', lag), 'Look at the /health of the gateway.');
    execute format('select l.expires_at from %I.quote_relay_lease l', target_schema) into at;
    execute format('select exists (select from %I.quote_relay_batch)', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('lease of the relay stands', at is not null and found_rows, 'error',
        'quote_relay_lease or quote_relay_batch has lost its rows: no gateway can relay events', null);
    return next @extschema@.quote_collab_verdict('a gateway is connected', at > now(), 'warning',
        'no gateway holds the lease: events wait in quote_changes', 'Start the gateway.');
    -- Sessions are unlogged: a standby has none.
    found_rows := false;
    if not pg_is_in_recovery() then
        execute format('select exists (select from %I.active_quote_sessions x where x.last_heartbeat < now() - @extschema@.quote_session_ttl() * 3)',
            target_schema) into found_rows;
    end if;
    return next @extschema@.quote_collab_verdict('stale sessions swept', not found_rows, 'warning', 'nobody calls quote_collab_maintenance()',
        'Preload the library, run a gateway, or call select quote_collab_maintenance(); from cron.');
    execute format('select exists (select from %1$I.quote_changes c, (select s.cur, s.origin from %1$I.quote_changes_seals s order by s.no desc limit 1) s
        where c.changed_at between now() - interval ''1 day'' and now() - interval ''5 minutes'' and c.origin = @extschema@.quote_cluster_identifier()
        and (s.origin <> c.origin or not pg_visible_in_snapshot(c.xid, s.cur)))', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed',
        'select @extschema@.seal_quote_history();');
end $$;
create or replace function quote_collab_doctor_objects(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hints text;
    names text;
    item record;
    wrong text[] := '{}'::text[];
    changed text := @extschema@.quote_view_functions_changed(target_schema);
begin
    select string_agg(v.view_name, ', ') into names from @extschema@.quote_view_queries(target_schema) v
    where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = v.view_name and c.relkind = 'v');
    return next @extschema@.quote_collab_verdict('views present', names is null, 'error', format('these views are missing: %s', names), null);
    select string_agg(c.oid::regclass::text, ', ') into names
    from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
    where c.relkind = 'v' and not coalesce(c.reloptions @> '{security_invoker=true}', false);
    return next @extschema@.quote_collab_verdict('views ask as the caller', names is null, 'error',
        format('these views show what their owner may see: %s', names), null);
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
            format('these views show something else than those that attach creates: %s', array_to_string(wrong, ', ')), null);
    exception when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked('views as attached', sqlerrm, 'Run it as a superuser.');
    end;
    -- Where the table is gone other checks say so.
    return next @extschema@.quote_collab_verdict('presence guarded',
        coalesce(@extschema@.quote_sessions_guarded(to_regclass(format('%I.active_quote_sessions', target_schema))), true), 'error',
        'who may write sessions may write those of others, and times that never come', null);
    select string_agg(k.problem, ', '), string_agg(k.repair, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_session_keys_missing(r.relation) k
    where r.is_presence and not k.is_key;
    return next @extschema@.quote_collab_verdict('sessions found by an index', names is null, 'warning',
        format('whoever looks who is there reads all sessions: %s', names), hints);
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
        and g.tgfoid <> '@extschema@.guard_quote_session()'::regprocedure and g.oid not in (select o.guard from @extschema@.quote_truncate_guards() o);
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log, where events would tell as much: %s', names), hints);
    select string_agg(t::text, ', '), string_agg(format('select @extschema@.guard_quote_history(%L);', t), ' ')
    into names, hints from @extschema@.quote_tables_kept(target_schema) t
    where t not in (select g.relation from @extschema@.quote_truncate_guards() g where g.is_on);
    return next @extschema@.quote_collab_verdict('truncate of the history refused', names is null, 'error',
        format('their owner may empty these without a trace: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_caller(target_schema);
end $$;
create function quote_connections_short(gateways oid[]) returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I may have %s', r.rolname, r.rolconnlimit), format('alter role %I connection limit 42;', r.rolname)
    from pg_roles r where r.oid = any (gateways) and r.rolconnlimit between 0 and 20
    union all
    select format('database %I lets in %s', d.datname, d.datconnlimit), format('alter database %I connection limit -1;', d.datname)
    from pg_database d where d.datname = current_database() and gateways <> '{}'::oid[] and d.datconnlimit between 0 and 20
    union all
    select format('the server has %s for others than superusers', s.connections),
        format('alter system set max_connections = %s; then restart.', current_setting('max_connections')::integer - s.connections + 100)
    from (select current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0)) s (connections)
    where gateways <> '{}'::oid[] and s.connections < 21
$$;
comment on function quote_connections_short(oid[]) is 'doctor: limits below the connections that a gateway opens';
create or replace function quote_collab_doctor_gateway_roles() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_logins());
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', ' order by r.rolname),
        string_agg(format('alter role %I %s;', r.rolname, case when r.rolsuper then 'nosuperuser nobypassrls' else 'nobypassrls' end), ' ' order by r.rolname)
    into names, hints from pg_roles r where r.oid = any (gateways) and (r.rolsuper or r.rolbypassrls);
    return next @extschema@.quote_collab_verdict('row security holds gateways', names is null, 'error',
        format('a gateway that runs as one of these roles is held to no tenant: %s', names), hints);
    select string_agg(c.told, ', ' order by c.told), string_agg(c.repair, ' ' order by c.told) into names, hints
    from @extschema@.quote_gateway_candidates(gateways) c;
    return next @extschema@.quote_collab_verdict('nobody becomes a gateway', names is null, 'warning',
        format('who is a gateway reads the events of every tenant: %s', names), hints);
    select string_agg(m.told, ', ' order by m.role, m.told), string_agg(distinct format('select @extschema@.grant_quote_gateway(%L);', m.role), ' ')
    into names, hints from (select m.role, format('%I lacks %s', m.role, string_agg(m.told, ', ' order by m.told))
        from @extschema@.quote_gateway_rights_missing() m group by m.role) m (role, told);
    return next @extschema@.quote_collab_verdict('gateways have their rights', names is null, 'warning',
        format('the gateway cannot do all that it does: %s', names), hints);
    select string_agg(quote_ident(r.rolname), ', ' order by r.rolname), string_agg(format('alter role %I login;', r.rolname), ' ' order by r.rolname)
    into names, hints from @extschema@.quote_gateway_roles() w (role) join pg_roles r on r.oid = w.role
    where gateways = '{}'::oid[];
    return next @extschema@.quote_collab_verdict('a gateway may log in', names is null, 'warning',
        format('nobody who was made a gateway may log in: %s', names), hints);
    select string_agg(c.told, ', '), string_agg(c.repair, ' ') into names, hints from @extschema@.quote_connections_short(gateways) c;
    return next @extschema@.quote_collab_verdict('gateways find connections', names is null, 'warning',
        format('one gateway opens up to 21 connections to the database, PG_POOL_SIZE and 5 more: %s', names), hints);
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
        format('version %s is installed, %s is available', installed, available), coalesce(@extschema@.quote_files_hint(installed, available),
            'alter extension quote_collab_ext update; and then select attach_quote_collaboration();'));
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
    when undefined_table or undefined_column or undefined_function or wrong_object_type then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, @extschema@.quote_attach_statement());
    -- The transaction of the caller is not one that sees this.
    when serialization_failure or invalid_transaction_state then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Ask again, in a transaction of its own: begin isolation level read committed.');
    when insufficient_resources then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Raise what the message names, and ask again.');
end $$;
create function quote_functions_owed() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with open as (
        -- What it made anew keeps its rights. What is new became a member in this transaction, or below a savepoint of it, where numbers are higher.
        select f.function, p.proowner, pg_current_xact_id_if_assigned() is not null and age(d.xmin) between -1000000 and 0 as is_new, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
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
