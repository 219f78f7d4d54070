-- From 0.14.0 to 0.15.0.
-- Functions.
drop function quote_former_version(text, uuid);
drop function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, jsonb, text);
create function bound_quote_patience() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    patience text := current_setting('lock_timeout');
begin
    if patience = '0' then
        perform @extschema@.set_quote_option('lock_timeout', '5s');
    end if;
    return patience;
end $$;
comment on function bound_quote_patience() is 'bounds how long the caller waits for locks; returns how long that was before';
create or replace function quote_customer_join(header quote_collab_settings, customers jsonb, customer text, tenant text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format(' left join %I.%I c on c.%I = %s', customers ->> 'schema', customers ->> 'table', customers ->> 'id', customer)
        || coalesce((select format(' and (c.%1$I = %2$s or c.%1$I is null)', t.name, tenant) from @extschema@.quote_customer_tenant(header, customers) t (name) where t.name is not null), '');
end $$;
create or replace function note_quote_owners() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    noted record;
begin
    -- An update of no row at all would have all sessions forget what they keep of the settings.
    for noted in
        select n.* from (
            select s.table_schema, s.table_name, s.owners as before, array_agg(distinct pg_get_userbyid(c.relowner)) as owners
            from @extschema@.quote_collab_settings s join pg_class c on c.oid = any (s.anchors)
            where s.settled_in = '@extschema@.quote_collab_settings'::regclass group by s.table_schema, s.table_name) n
        where not (n.owners <@ n.before and n.before <@ n.owners)
    loop
        update @extschema@.quote_collab_settings s set owners = noted.owners where (s.table_schema, s.table_name) = (noted.table_schema, noted.table_name);
    end loop;
end $$;
create or replace function quote_extension_table_faults() returns table (relation regclass, problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('%s belongs to %s', c.oid::regclass, pg_get_userbyid(c.relowner)),
        format('alter table %s owner to %I;', c.oid::regclass, @extschema@.quote_extension_owner())
    from pg_class c
    where c.oid in (select t.relation from @extschema@.quote_extension_tables() t) and pg_get_userbyid(c.relowner) <> @extschema@.quote_extension_owner()
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
create function quote_type_is_safe(type oid, table_owner oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive part (oid) as (
        select type
        union
        select n.oid from part p join pg_type t on t.oid = p.oid
        cross join lateral (
            select unnest(array[t.typbasetype, t.typelem])
            union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) n (oid)
        where n.oid <> 0)
    select not exists (
        select from part p join pg_type t on t.oid = p.oid join pg_roles r on r.oid = t.typowner
        where p.oid >= 16384 and t.typtype not in ('c', 'd') and t.typcategory <> 'A' and not (r.rolsuper or r.oid = table_owner))
$$;
comment on function quote_type_is_safe(oid, oid) is 'whether a value may be told as json without running what strangers wrote';
create function quote_safe_columns(relation regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(case when @extschema@.quote_type_is_safe(a.atttypid, c.relowner) then format('t.%I', a.attname)
        else format('case when num_nulls(t.%1$I) = 0 then concat(t.%1$I) end as %1$I', a.attname) end, ', ' order by a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid = relation
$$;
comment on function quote_safe_columns(regclass) is 'select list of a table that runs nothing of strangers when it becomes json';
create function lock_quote_seals(log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals regclass := to_regclass(format('%I.quote_changes_seals', @extschema@.quote_log_schema(log)));
begin
    if seals is not null then
        execute format('lock table %s in share update exclusive mode', seals);
    end if;
end $$;
comment on function lock_quote_seals(regclass) is 'keeps others from sealing an audit log';
create or replace function build_quote_changes_month(log regclass, spare regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name := @extschema@.quote_log_schema(log);
    month regclass;
begin
    if not @extschema@.quote_strays_exist(spare, month_start, month_end) then
        return null;
    end if;
    perform @extschema@.lock_quote_seals(log), @extschema@.require_quote_deletes_published(log);
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
create or replace function place_quote_strays(log regclass, at_most integer default 120, largest bigint default null) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    first timestamptz;
    ends timestamptz;
    months regclass[] := array[]::regclass[];
    starts timestamptz[] := array[]::timestamptz[];
    month regclass;
    archived integer := 0;
    is_moved boolean;
begin
    if spare is null or pg_relation_size(spare) > largest then
        return 0;
    end if;
    -- Before anything is read: two of these at once would each wait for what the other has read.
    perform @extschema@.lock_quote_seals(log);
    for first in execute format('select distinct date_trunc(''month'', c.changed_at at time zone ''UTC'') at time zone ''UTC'' from %s c
        where isfinite(c.changed_at) order by 1', spare)
    loop
        exit when cardinality(starts) + archived >= at_most;
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        begin
            is_moved := @extschema@.archive_quote_strays(log, spare, first, ends);
            if is_moved is not null then
                archived := archived + is_moved::integer;
                continue;
            end if;
            select m.month into month from @extschema@.quote_changes_months_before(log, 'infinity'::timestamptz) m
            where m.month_start < ends and m.month_end > first limit 1;
            if found then
                raise exception 'partition % has a part of it', month using errcode = 'invalid_object_definition';
            end if;
            month := @extschema@.build_quote_changes_month(log, spare, @extschema@.quote_changes_month_name(log, first), first, ends);
            months := months || month;
            starts := starts || first;
        exception when others then
            raise warning 'rows of month % of the audit log stay in its default partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm;
            -- Who keeps one month from being built keeps the others, and each would wait as long.
            exit when sqlstate = '55P03';
        end;
    end loop;
    if cardinality(starts) > 0 then
        perform @extschema@.lock_quote_log(log, array[spare], '{}'::regclass[]);
        for i in 1 .. cardinality(starts) loop
            perform @extschema@.join_quote_changes_month(log, spare, months[i], @extschema@.quote_changes_month_name(log, starts[i]), starts[i],
                @extschema@.quote_changes_month(starts[i] + interval '32 days'));
        end loop;
    end if;
    return cardinality(starts) + archived;
end $$;
create function quote_extension_tables() returns table (relation regclass, is_private boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.quote_collab_settings'::regclass, false), ('@extschema@.quote_seal_anchor'::regclass, false),
        ('@extschema@.quote_former_versions'::regclass, true)
$$;
comment on function quote_extension_tables() is 'tables of the extension, and whether nobody else reads them';
create function quote_former_life(entity text, row_id uuid, out version bigint, out ended_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select f.version, f.ended_at into version, ended_at from @extschema@.quote_former_versions f
    where (f.row_id, f.is_line) = (quote_former_life.row_id, quote_former_life.entity = 'QUOTE_LINE');
    if version is not null and not @extschema@.quote_row_is_locked(@extschema@.find_quote_target(entity, row_id), row_id) then
        version := null;
        ended_at := null;
    end if;
end $$;
comment on function quote_former_life(text, uuid) is 'the last version that a locked row had before it was deleted, and when that was; nulls where it was not';
create or replace function leave_quote_former_life(target quote_collab_settings, row_id uuid, version integer, path text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if (select f.version >= leave_quote_former_life.version from @extschema@.quote_former_life(target.entity, row_id) f) then
        perform @extschema@.apply_quote_changes(target, row_id, '{}'::jsonb, '{}'::jsonb, 'former life'::text, path);
        return true;
    end if;
    return false;
end $$;
revoke execute on function replace_quote_view(text, text, text, name) from public;
create function quote_history_to_read(log_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when has_table_privilege(to_regclass(format('%I.quote_changes_archive', log_schema)), 'select')
        then format('(%s)', @extschema@.quote_changes_all_query(log_schema)) else format('%I.quote_changes', log_schema) end
$$;
comment on function quote_history_to_read(name) is 'the history that a caller may read, as a relation of a query';
create function quote_foreign_partitions(target regclass) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind = 'f' $$;
comment on function quote_foreign_partitions(regclass) is 'foreign tables among the partitions of a table';
create or replace function create_quote_truncate_triggers(target regclass, settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    trigger_name name := (select q.name from @extschema@.quote_triggers(settings) q where q.firing like '%truncate%');
begin
    for part in select * from @extschema@.quote_foreign_partitions(target) loop
        raise warning 'truncate of foreign partition % leaves no history', part using detail = 'PostgreSQL has no triggers for it there.',
            hint = format('Let nobody do that: revoke truncate on %s from everybody but its owner.', part);
    end loop;
    for part in select target union select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind in ('r', 'p') loop
        execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, part);
        execute format('drop trigger if exists trg_record_%s_truncate on %s', kind, part);
        perform @extschema@.create_quote_trigger(part, settings, trigger_name);
    end loop;
end $$;
create or replace function record_quote_truncate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    settings @extschema@.quote_collab_settings := @extschema@.quote_collab_settings_of(tg_relid::regclass);
    part regclass;
    noted bigint;
begin
    if settings.entity is null then
        return null;
    elsif current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'truncate of % is recorded under read committed only', tg_relid::regclass
            using errcode = 'feature_not_supported',
                  detail = 'An older snapshot may not show every row that it removes.',
                  hint = 'Begin the transaction with isolation level read committed.';
    end if;
    select * into part from @extschema@.quote_foreign_partitions(tg_relid::regclass) limit 1;
    if found then
        raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
            detail = format('It would remove rows of foreign partition %s without a trace in quote_changes.', part),
            hint = 'Use delete there, and truncate the other partitions one by one.';
    end if;
    perform @extschema@.require_quote_table(settings), @extschema@.require_quote_home('{quote_changes}'::text[]);
    -- Positions are given to whoever has a number: readers of the feed rely on that order.
    perform pg_current_xact_id();
    for part in
        select t.relid from pg_partition_tree(tg_relid) t join pg_class c on c.oid = t.relid
        where t.isleaf and c.relkind = 'r' and (t.relid = tg_relid or not exists (
            select from pg_trigger g where g.tgrelid = t.relid and g.tgfoid = '@extschema@.record_quote_truncate()'::regprocedure))
        union select tg_relid where not (select c.relispartition or c.relkind = 'p' from pg_class c where c.oid = tg_relid)
    loop
        execute @extschema@.quote_truncate_statement(settings, part) using
            coalesce(@extschema@.current_quote_user(null::uuid), settings.system_user_id),
            nullif(current_setting('app.current_session_id', true), '')::uuid;
        get diagnostics noted = row_count;
        perform @extschema@.remember_quote_versions(settings, part);
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
create or replace function quote_truncate_statement(settings quote_collab_settings, part regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
            change_type, session_id, was_conflict, entity_version_before, event_id, position, xid, origin, context)
        select @extschema@.uuid_generate_v7(), t.%2$s, t.%3$s, %4$s, $1, clock_timestamp(), %5$L, '*', to_jsonb(t.*) - %11$L::text[],
            'DELETE', $2, false, case when t.%6$s between -2147483648 and 2147483647 then t.%6$s::integer end, @extschema@.uuid_generate_v7(),
            nextval(%9$L), pg_current_xact_id(), @extschema@.quote_cluster_identifier(), %7$s
        from (select %12$s from only %8$s t) t where num_nulls(t.%10$s, t.%2$s, t.%3$s) = 0$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and settings.columns ? 'line_number'
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part, format('%I.quote_changes_position_seq', settings.log_schema), @extschema@.quote_collab_column(settings, 'id'),
        array(select a.attname::text from pg_attribute a where a.attrelid = part and a.attgenerated = 'v' and not a.attisdropped),
        @extschema@.quote_safe_columns(part))
$$;
create function add_quote_column(target regclass, column_name name, definition text, role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    foreign_part regclass := (select f from @extschema@.quote_foreign_partitions(target) f limit 1);
    by_hand text := (
        select case c.reloftype when 0 then format('alter table %s add column %I %s;', target, column_name, k.type)
            else format('alter type %s add attribute %I %s cascade;', c.reloftype::regtype, column_name, k.type) end
        from pg_class c cross join lateral (select split_part(definition, ' ', 1)) k (type) where c.oid = target);
begin
    if foreign_part is not null then
        raise exception 'table % has a foreign partition and no column "%"', target, column_name using errcode = 'feature_not_supported',
            detail = format('The server of %s would not have the column that attach adds.', foreign_part),
            hint = format('Add it there, then here, and attach then: %s', by_hand);
    end if;
    begin
        execute format('alter table %s add column %I %s', target, column_name, definition);
    exception when feature_not_supported or wrong_object_type then
        raise exception '%', sqlerrm using errcode = sqlstate, hint = format('Add the column by hand, as far as it takes, and attach then: %s', by_hand);
    end;
    execute format('comment on column %s.%I is %L', target, column_name, @extschema@.quote_added_column_comment(role));
end $$;
comment on function add_quote_column(regclass, name, text, text) is 'adds one column to an ERP table, with the comment by which it is known';
revoke execute on function add_quote_column(regclass, name, text, text) from public;
create or replace function add_quote_columns(target regclass, entity text, columns jsonb, first_version integer) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    version text := coalesce(columns ->> 'version', 'version');
    added name[] := @extschema@.adopt_quote_columns(target, entity);
begin
    if not @extschema@.quote_column_exists(target, version) then
        perform @extschema@.add_quote_column(target, version::name, format('integer not null default %s', first_version), 'version');
        execute format('alter table %s alter column %I set default 1', target, version);
        added := added || version::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' and not @extschema@.quote_column_exists(target, 'updated_by'::text) then
        perform @extschema@.add_quote_column(target, 'updated_by'::name, 'uuid', 'updated_by');
        added := added || 'updated_by'::name;
    end if;
    return added;
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
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create function drop_quote_column(target regclass, column_name name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    users text;
begin
    execute format('alter table %s drop column %I', target, column_name);
exception when dependent_objects_still_exist then
    get stacked diagnostics users = pg_exception_detail;
    raise exception 'column "%" of % is in use', column_name, target using errcode = 'dependent_objects_still_exist', detail = users,
        hint = 'Attach added the column, and detach takes it away: drop first what uses it.';
end $$;
comment on function drop_quote_column(regclass, name) is 'drops a column that attach added';
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
        if cardinality(all_added) < cardinality(settings.added_columns) or doubtful <> '{}' then
            raise warning 'columns that attach added are left in %', target
                using detail = case when doubtful <> '{}'
                          then format('The comments that it gives say so, and nothing else does: %s.', array_to_string(doubtful, ', '))
                          else format('It added %s, and knows them by their comments.', array_to_string(settings.added_columns, ', ')) end,
                      hint = 'Drop by hand what is not the ERP''s.';
        end if;
    end if;
end $$;
create or replace function detach_stray_quote_tables() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    stray record;
    added name;
    all_added name[];
begin
    for stray in
        select t.relation, c.arguments from @extschema@.stray_quote_tables() t (relation)
        left join @extschema@.quote_carriers() c on c.relation = t.relation
    loop
        select array(
            select a.attname from pg_attribute a
            where a.attrelid = stray.relation and not a.attisdropped and (a.attname = stray.arguments ->> 'version'
                    and col_description(stray.relation, a.attnum) = @extschema@.quote_added_column_comment('version')
                or a.attname = stray.arguments ->> 'updated_by' and stray.arguments ? 'stamp_user')) into all_added;
        perform @extschema@.drop_quote_triggers(stray.relation);
        foreach added in array all_added loop
            perform @extschema@.drop_quote_column(stray.relation, added);
        end loop;
    end loop;
end $$;
create or replace function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    headers @extschema@.quote_collab_settings[];
    leaving @extschema@.quote_collab_settings[];
    header @extschema@.quote_collab_settings;
    is_last boolean;
    patience text := @extschema@.bound_quote_patience();
begin
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.follow_quote_tables('{}'::regclass[]), @extschema@.follow_quote_home();
    headers := @extschema@.choose_quote_pairs(quotes);
    header := @extschema@.join_quote_headers(headers);
    if drop_history then
        perform @extschema@.require_quote_relations(header.log_schema);
    end if;
    leaving := headers || array(select @extschema@.quote_collab_partner(h) from unnest(headers) h);
    perform @extschema@.lock_quote_pairs(leaving);
    delete from @extschema@.quote_collab_settings s where (s.table_schema, s.table_name) in (select l.table_schema, l.table_name from unnest(leaving) l);
    is_last := not exists (select from @extschema@.quote_collab_settings);
    if drop_history and not is_last then
        raise exception 'the history belongs to other pairs of tables too' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Detach this pair without drop_history, and drop the history with the last one.';
    elsif is_last then
        perform @extschema@.drop_quote_pair_views(header.log_schema);
    else
        perform @extschema@.leave_quote_home(header);
    end if;
    perform @extschema@.detach_quote_table(l) from unnest(leaving) l;
    perform @extschema@.drop_quote_truncate_triggers(), @extschema@.grant_quote_capture();
    if is_last then
        perform @extschema@.detach_stray_quote_tables(), @extschema@.detach_quote_home(header, drop_history);
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return case when not is_last then format('quote collaboration is detached from %s',
            (select string_agg(format('%I.%I', h.table_schema, h.table_name), ', ') from unnest(headers) h))
        when drop_history then 'quote collaboration is detached, its history is dropped'
        when to_regclass(format('%I.quote_changes', header.log_schema)) is null then 'quote collaboration is detached, its history is gone'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;
create or replace function find_quote_row_safely(target quote_collab_settings, row_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(x.*) from (select %s from %I.%I t where t.%s = $1 and ($3 or t.%s = $2)) x',
        @extschema@.quote_safe_columns(@extschema@.quote_collab_table(target)), target.table_schema, target.table_name,
        @extschema@.quote_collab_column(target, 'id'), @extschema@.quote_collab_column(target, 'tenant'))
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return found_row;
end $$;
create function require_quote_settings(claimed quote_collab_settings) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
begin
    select s.* into settings from @extschema@.quote_collab_settings s where (s.table_schema, s.table_name) = (claimed.table_schema, claimed.table_name);
    if not found then
        raise exception 'the table is not attached' using errcode = 'object_not_in_prerequisite_state', hint = 'Attach it first.';
    end if;
    return settings;
end $$;
comment on function require_quote_settings(quote_collab_settings) is 'the settings of an attached table as attach noted them';
create function apply_quote_changes(claimed quote_collab_settings, row_id uuid, seen jsonb, changes jsonb, cause text, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.require_quote_settings(claimed);
    record_definition text := @extschema@.quote_changes_record(target, changes);
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    assignments text;
    updated jsonb;
    changed bigint;
    told text;
    advice text;
begin
    select string_agg(a, ', ') into assignments from (
        select format('%I = r.%I', key, key) from jsonb_object_keys(changes) key
        union all select format('%I = %s', d.key, d.value) from jsonb_each_text(@extschema@.quote_derived_columns(target, row_id, changes, cause)) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    perform @extschema@.set_quote_option('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')));
    begin
        execute format('update %I.%I t set %s %s where t.%s operator(pg_catalog.=) $1 returning pg_catalog.to_jsonb(t.*)',
            target.table_schema, target.table_name, assignments,
            case when record_definition is null then '' else format('from pg_catalog.jsonb_to_record($2) as r(%s)', record_definition) end,
            @extschema@.quote_collab_column(target, 'id'))
        into updated using row_id, changes;
        get diagnostics changed = row_count;
    exception when insufficient_privilege then
        get stacked diagnostics told = pg_exception_detail, advice = pg_exception_hint;
        raise exception using errcode = 'insufficient_privilege', message = sqlerrm, detail = told,
            hint = coalesce(nullif(advice, ''), format('Saving %s needs, for role %s, whatever its triggers, rules and policies need too.', relation, current_user));
    end;
    perform @extschema@.set_quote_option('search_path', 'pg_catalog, pg_temp');
    if changed > 1 then
        raise exception 'several rows have this id' using errcode = 'cardinality_violation',
            detail = format('%s rows of %s have it, and a save is based on one.', changed, relation), hint = 'Let a unique index say that an id names one row.';
    end if;
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    updated := coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
    if exists (select from unnest('{id,tenant,quote}'::text[]) key (role)
            where updated ->> (target.columns ->> key.role) <> seen ->> (target.columns ->> key.role)) then
        raise exception 'the % cannot be moved by a save', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            detail = 'A column that says which it is, or to whom it belongs, follows from a changed one.', hint = 'Move it by an update of the table, as a role that may.';
    end if;
    return updated;
end $$;
comment on function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, text, text) is 'updates one row of an attached table from a change set';
create function quote_line_quotes(log_schema name, quote_id uuid, line_id uuid, ended_at timestamptz, out quotes uuid[], out is_whole boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    history text := @extschema@.quote_history_to_read(log_schema);
    here integer := 1;
    came xid8[];
    others uuid[];
begin
    quotes := array[quote_id];
    loop
        -- Asked one after the other: together they would be planned over each pair of months.
        while here <= cardinality(quotes) and here <= 16 loop
            execute format('select array_agg(distinct c.xid) from %s c where c.quote_id = $1 and c.quote_line_id = $2 and c.change_type = ''CREATE''', history)
            into came using quotes[here], line_id;
            execute format('select array_agg(distinct c.quote_id) from %s c
                where c.xid = any ($1) and c.quote_line_id = $2 and c.change_type = ''DELETE'' and c.quote_id <> all ($3)', history)
            into others using came, line_id, quotes;
            quotes := quotes || coalesce(others, '{}');
            here := here + 1;
        end loop;
        -- A line that only moved goes on behind its version.
        execute format('select exists (select from unnest($1) q (id) cross join lateral (select from %1$s c
            where c.quote_id = q.id and c.quote_line_id = $2 and c.change_type = ''DELETE'' and c.changed_at >= $3 and not exists (
                select from %1$s moved where moved.xid = c.xid and moved.quote_line_id = $2 and moved.change_type = ''CREATE''
                    and moved.position > c.position and moved.entity_version_after > c.entity_version_before) limit 1) c)', history)
        into is_whole using quotes, line_id, ended_at;
        exit when is_whole;
        -- When rows are deleted the clock is asked, and the transaction may have begun before.
        execute format('select array_agg(distinct c.quote_id) from %1$s c where c.changed_at between $3 and $3 + interval ''10 minutes''
            and c.quote_line_id = $2 and c.change_type = ''DELETE'' and c.quote_id <> all ($1)', history)
        into others using quotes, line_id, ended_at;
        exit when others is null;
        quotes := quotes || others;
    end loop;
end $$;
comment on function quote_line_quotes(name, uuid, uuid, timestamptz) is 'the quotes that a line was of, and whether its last one is among them';
create function quote_versions_query(history text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        with recursive stays (quote_id, until) as (
            select $1[1], 9223372036854775807
            union all
            select gone.quote_id, gone.position from stays s
            cross join lateral (select c.xid, c.position from %1$s c where c.quote_id = s.quote_id and c.quote_line_id = $2 and c.position < s.until
                and c.change_type = 'CREATE' order by c.position desc limit 1) came
            cross join lateral (select c.quote_id, c.position from %1$s c where c.xid = came.xid and c.quote_line_id = $2 and c.position < came.position
                and c.change_type = 'DELETE' order by c.position desc limit 1) gone
            where gone.quote_id <> s.quote_id),
        seen (position) as (
            select coalesce(max(b.position), 0) from stays s
            cross join lateral (select c.position from %1$s c where c.quote_id = s.quote_id and c.position <= s.until and c.entity_version_after = $3
                and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED' order by c.position desc limit 1) b),
        log as materialized (
            select c.field_name, c.change_type, c.old_value, c.changed_by, c.changed_at, c.position from stays s
            join %1$s c on c.quote_id = s.quote_id and c.position <= s.until and c.position > (select n.position from seen n)
            where c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED'
                and (c.entity_version_after > $3 or c.change_type = 'DELETE' and c.entity_version_before >= $3)),
        firsts as materialized (
            select distinct on (l.field_name) l.field_name, l.old_value, l.position from log l where l.change_type <> 'CREATE' order by l.field_name, l.position),
        lasts as materialized (
            select distinct on (l.field_name) l.field_name, l.changed_by, l.changed_at, l.position from log l order by l.field_name, l.position desc),
        told as (
            select f.key, case when base.position is null then $5 -> f.key else base.old_value end as base, last.changed_by, last.changed_at
            from jsonb_each($4) f
            left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as old_value from firsts l
                               where l.field_name in (f.key, '*') order by l.position limit 1) base on true
            left join lateral (select l.changed_by, l.changed_at from lasts l
                               order by l.field_name = f.key desc, l.position desc limit 1) last on true)$query$, history)
$$;
comment on function quote_versions_query(text) is 'what the fields of a row were at a version, and who changed them since';
create function quote_lives_query(history text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        with log as materialized (
            select c.*, count(*) filter (where c.change_type = 'DELETE') over (order by c.position desc) as life
            from unnest($1) q (id)
            cross join lateral (select c.position, c.field_name, c.change_type, c.old_value, c.changed_by, c.changed_at, c.entity_version_before, c.entity_version_after
                from %1$s c where c.quote_id = q.id and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED' offset 0) c),
        lives as (
            select l.life from log l where l.life <= 100 group by l.life
            having $3 between coalesce(min(l.entity_version_after) filter (where l.change_type = 'CREATE'), -2147483648)
                and case l.life when 0 then ($5 ->> $6)::numeric else coalesce(max(l.entity_version_before) filter (where l.change_type = 'DELETE'), 2147483647) end),
        firsts as materialized (
            select distinct on (l.life, l.field_name) l.life, l.field_name, l.old_value, l.position from log l join lives v on v.life = l.life
            where l.change_type = 'DELETE' or l.change_type <> 'CREATE' and l.entity_version_after > $3 order by l.life, l.field_name, l.position),
        told as (
            select f.key, base.value as base, last.changed_by, last.changed_at
            from jsonb_each($4) f
            cross join lateral (select coalesce($5 -> f.key, 'null')) now (value)
            left join lateral (
                select b.value from lives v
                left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as value from firsts l
                                   where l.life = v.life and l.field_name in (f.key, '*') order by l.position limit 1) first on true
                cross join lateral (select case when v.life = 0 and first.position is null then now.value else coalesce(first.value, 'null') end) b (value)
                where $7 or b.value <> now.value
                order by b.value <> now.value desc, v.life limit 1) base on true
            left join lateral (
                select l.changed_by, l.changed_at from log l
                order by l.life, l.field_name in (f.key, '*') desc, l.position desc limit 1) last on true)$query$, history)
$$;
comment on function quote_lives_query(text) is 'what the fields of a row were at a version that it may have had in several lives, and who changed them since';
create or replace function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    conflicts jsonb;
    author record;
    row_id uuid := (current_row ->> (target.columns ->> 'id'))::uuid;
    line_id uuid := case target.entity when 'QUOTE_LINE' then row_id end;
    quotes uuid[] := array[coalesce(current_row ->> (target.columns ->> 'quote'), row_id::text)::uuid];
    is_whole boolean := true;
    former record;
    query text;
    history text := @extschema@.quote_history_to_read(target.log_schema);
begin
    select * into author from @extschema@.quote_user_join('t.changed_by');
    select * into former from @extschema@.quote_former_life(target.entity, row_id);
    query := @extschema@.quote_versions_query(history);
    if former.version >= expected_version then
        query := @extschema@.quote_lives_query(history);
        if line_id is not null then
            select q.quotes, q.is_whole into quotes, is_whole from @extschema@.quote_line_quotes(target.log_schema, quotes[1], line_id, former.ended_at) q;
        end if;
    end if;
    execute format($query$%s
        select jsonb_agg(jsonb_build_object(
            'field', t.key, 'expectedVersion', $3, 'actualVersion', $5 -> $6,
            'baseValue', t.base, 'currentValue', $5 -> t.key, 'attemptedValue', $4 -> t.key,
            'lastChangedBy', t.changed_by, 'lastChangedByName', %s, 'lastChangedAt', t.changed_at) order by t.key)
        from told t %s$query$, query, author.name_expression, author.join_clause)
    into conflicts using quotes, line_id, expected_version, changes, current_row, target.columns ->> 'version', is_whole;
    return coalesce(conflicts, '[]');
end $$;
create function derived_header_columns(header quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when header.columns ?& '{total_amount,subtotal}' and fields ?| array(
            select header.columns ->> part from unnest('{subtotal,tax_amount,shipping_amount,discount_amount}'::text[]) part where header.columns ? part)
        then jsonb_build_object(header.columns ->> 'total_amount',
            @extschema@.quote_total_expression(header, @extschema@.quote_new_value(header, 'subtotal', fields), fields))
        else '{}' end
$$;
comment on function derived_header_columns(quote_collab_settings, jsonb) is 'columns of a header that follow from the saved ones';
create function derived_sums(header quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(header);
    sums text := format('(select coalesce(pg_catalog.sum(l.%s), 0) from %I.%I l where l.%s operator(pg_catalog.=) t.%s and l.%s operator(pg_catalog.=) t.%s)',
        @extschema@.quote_collab_column(line, 'line_amount'), line.table_schema, line.table_name,
        @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(header, 'id'),
        @extschema@.quote_collab_column(line, 'tenant'), @extschema@.quote_collab_column(header, 'tenant'));
begin
    return jsonb_build_object(header.columns ->> 'subtotal', sums) || case when header.columns ? 'total_amount'
        then jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, sums, '{}'::jsonb)) else '{}' end;
end $$;
comment on function derived_sums(quote_collab_settings) is 'subtotal and total of a quote from its lines, in SQL';
create function quote_derived_columns(target quote_collab_settings, row_id uuid, fields jsonb, cause text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case cause
        when 'former life' then (select jsonb_build_object(target.columns ->> 'version', f.version + 1) from @extschema@.quote_former_life(target.entity, row_id) f)
        when 'lines' then @extschema@.derived_sums(target)
        when 'save' then @extschema@.quote_author_column(target) || case target.entity
            when 'QUOTE' then @extschema@.derived_header_columns(target, fields) else @extschema@.derived_line_columns(target, fields) end
    end
$$;
comment on function quote_derived_columns(quote_collab_settings, uuid, jsonb, text) is 'columns that an update sets beside those that are named';
create or replace function save_quote(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(header, @extschema@.normalise_quote_changes(header, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
    previous_version := @extschema@.quote_row_version(header, quote);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(header, quote_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
        new_version := @extschema@.quote_row_version(header, quote);
    end if;
    if new_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(header, quote, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE', quote_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, quote, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(header, quote);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
create or replace function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not (header.columns ? 'subtotal' and line.columns ? 'line_amount') then
        return @extschema@.find_quote_row(header, quote_id, '');
    end if;
    return @extschema@.apply_quote_changes(header, quote_id, '{}'::jsonb, '{}'::jsonb, 'lines'::text, path);
end $$;
create or replace function save_quote_line(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(line);
    parent uuid;
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(line, @extschema@.normalise_quote_changes(line, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.find_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure', hint = 'Try again.';
    elsif quote is null then
        quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    end if;
    previous_version := @extschema@.quote_row_version(line, quote_line);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(line, line_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
        new_version := @extschema@.quote_row_version(line, quote_line);
    end if;
    if new_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, quote_line, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
create or replace function refuse_lost_quote_lease() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the relay''s lease is lost' using errcode = 'QC002',
        hint = 'Another relay has taken over; take the lease again before you go on.';
end $$;
comment on function refuse_lost_quote_lease() is 'SQLSTATE QC002: another relay has taken over';
create or replace function drop_archived_quote_changes(older_than interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
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
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals}'::text[]);
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select drop_archived_quote_changes(interval ''10 years'').';
    end if;
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
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
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
create or replace function drop_old_quote_batches() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    dropped integer;
begin
    perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
    execute format('delete from %1$s b where b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)
        and b.no < coalesce((select y.no from %1$s y where y.cur_at between now() - interval ''24 hours'' and clock_timestamp() order by y.no limit 1), 9223372036854775807)',
        @extschema@.quote_relay_table('quote_relay_batch'), @extschema@.quote_relay_table('quote_relay_lease'));
    get diagnostics dropped = row_count;
    return dropped;
exception when others then
    raise warning 'old batches are not dropped: %', sqlerrm;
    return 0;
end $$;
create or replace function extend_quote_log(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    made integer := @extschema@.create_quote_changes_partitions(log, 3);
begin
    begin
        if made = 0 then
            execute format('lock table %s in share update exclusive mode nowait', @extschema@.quote_relay_table('quote_changes_seals'));
            made := @extschema@.place_quote_strays(log, 1, 1073741824::bigint);
        end if;
    exception
        when lock_not_available or check_violation then
            -- In use, or somebody moves rows already or added to a month that was over: another time.
            made := 0;
        when others then
            made := 0;
            raise warning 'rows stay in the default partition of the audit log: %', sqlerrm;
    end;
    return made;
end $$;
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
    patience text;
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            hint = 'Begin one that may write: begin read write.';
    end if;
    patience := @extschema@.bound_quote_patience();
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
        raise warning 'the history is not sealed: %', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
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
create or replace function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz;
    months regclass[];
    others regclass[];
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals,quote_relay_batch}'::text[]);
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be an interval from 0 to 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select archive_quote_changes(interval ''24 months'').';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a transaction that looks back cannot archive' using errcode = 'invalid_transaction_state',
            detail = 'It does not see what is written to a month before it is locked.', hint = 'Begin another: begin isolation level read committed.';
    elsif not exists (select from @extschema@.quote_months_due(log, @extschema@.quote_archive_limit(older_than))) then
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.seal_quote_history();
    until := @extschema@.quote_archive_end(older_than);
    months := array(select m.month from @extschema@.quote_months_due(log, until) m);
    if cardinality(months) = 0 then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    elsif (select sum(pg_relation_size(m.month)) > 67108864 from @extschema@.quote_months_due(log, until) m where m.proved is null) then
        raise exception 'months are not ready to be archived' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Their bounds were not noted yet, and to prove them would keep everybody waiting.',
            hint = 'Call select quote_collab_maintenance(), or let it be called, and try again.';
    end if;
    -- Whoever seals has decided where he looks for rows.
    execute format('lock table %s in share update exclusive mode', @extschema@.quote_relay_table('quote_changes_seals'));
    perform @extschema@.prove_quote_months(log, until, 9223372036854775807);
    others := array(
        select @extschema@.quote_changes_spare(log) union
        select @extschema@.quote_changes_spare(to_regclass(@extschema@.quote_relay_table('quote_changes_archive'))));
    perform @extschema@.lock_quote_log(log, array_remove(others, null) || months, case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then '{}'
        else array_remove(array[to_regclass(@extschema@.quote_relay_table('v_quote_changes_all'))], null) end);
    if @extschema@.quote_archive_end(older_than) < until then
        raise exception 'months were written to while they were locked' using errcode = 'lock_not_available', hint = 'Try again.';
    end if;
    perform @extschema@.exchange_quote_months(log, months, until);
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
create or replace function quote_chosen_columns(settings quote_collab_settings, header quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass := @extschema@.quote_table_found(settings);
    chosen jsonb := (select jsonb_object_agg(c.key, c.value) from jsonb_each_text(settings.columns) c
        where exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped));
    found_alone jsonb;
begin
    found_alone := @extschema@.find_quote_columns(target, settings.entity, '{}'::jsonb,
        @extschema@.quote_reference_candidates(target, @extschema@.quote_table_found(header), (header.columns ->> 'id')::name));
    select jsonb_object_agg(c.key, c.value) into chosen from (
        select c.key, to_jsonb(c.value) from jsonb_each_text(chosen) c where c.value is distinct from found_alone ->> c.key
        union all select r.role, 'null' from @extschema@.quote_column_roles('{}'::text[]) r
        where r.entity = settings.entity and 'numeric'::regtype = any (r.types) and not settings.columns ? r.role) c (key, value);
    return chosen;
exception when undefined_column then
    return chosen;
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
    select string_agg(w.told, ', '), string_agg(w.repair, ' ') into names, hints from @extschema@.quote_rights_withdrawn() w;
    return next @extschema@.quote_collab_verdict('functions open to who needs them', names is null, 'warning',
        format('saves, history or presence may be refused to these roles: %s', names), hints);
    return next @extschema@.quote_collab_doctor_functions_released();
end $$;
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
        format('alter schema @extschema@ owner to %I; grant %s on schema @extschema@ to %s;', (select r.rolname from pg_roles r where r.rolsuper order by r.oid limit 1),
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
create function quote_function_grants() returns table (function regprocedure, is_public boolean, grantee oid, told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select f.function, f.is_public, acl.grantee, format('%s to %s', f.function, g.name),
        format('revoke execute on function %s from %s%s;', f.function, g.name, case when acl.is_grantable then ' cascade' else '' end)
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
    cross join lateral (select @extschema@.quote_grantee(acl.grantee)) g (name)
    where acl.grantee <> p.proowner
$$;
comment on function quote_function_grants() is 'doctor: who may call which function of the extension';
create or replace function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(w.told, ', '), string_agg(w.revoke, ' ') into names, hints from (
        select g.told, g.revoke from @extschema@.quote_function_grants() g where not g.is_public and g.grantee = 0
        union all
        select g.told, g.revoke from @extschema@.quote_extension_function_grants() g) w;
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('what nobody should call is open: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_gateway_functions() f (function) join @extschema@.quote_function_grants() g using (function) join pg_roles r on r.oid = g.grantee
    where f.function::text like '%quote_relay_%' and not r.rolsuper
        and exists (select from @extschema@.quote_gateway_functions() g (function) where not has_function_privilege(r.oid, g.function, 'execute'));
    return next @extschema@.quote_collab_verdict('relay run by gateways only', names is null, 'warning',
        format('these roles are no gateway and may disturb it: %s', names), hints);
    select string_agg(f.function::text, ', '), string_agg(format('alter function %s set search_path = pg_catalog, pg_temp;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where p.prosecdef and not exists (select from unnest(p.proconfig) c where replace(c, '"', '') = 'search_path=pg_catalog, pg_temp');
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
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
        'archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
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
    return next @extschema@.quote_collab_verdict('positions ascend', not @extschema@.quote_positions_set_back(target_schema), 'error',
        'the sequence of positions was set back: new changes stand before older ones', @extschema@.quote_positions_statement(target_schema));
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
    return next @extschema@.quote_collab_verdict('lease of the relay stands', at is not null, 'error',
        'quote_relay_lease has lost its row: no gateway can relay events', null);
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
create or replace function explain_quote_query(query text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    line text;
    plan text := '';
begin
    for line in execute format('explain (verbose, costs off) select * from (%s) planned', query) loop
        plan := concat(plan, line, chr(10));
    end loop;
    return plan;
end $$;
create function quote_extension_table_grants() returns table (told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.told, g.revoke from @extschema@.quote_extension_tables() t cross join lateral @extschema@.quote_grants_on(t.relation) g
    where t.is_private or g.privilege <> 'SELECT'
$$;
comment on function quote_extension_table_grants() is 'rights of others on tables of the extension, and what takes them away';
create function quote_extension_function_grants() returns table (told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with given as (
        select g.* from @extschema@.quote_function_grants() g where not g.is_public and g.grantee <> 0)
    select g.told, g.revoke from given g
    where exists (
            select from given k where k.grantee = g.grantee and k.function = '@extschema@.move_quote_seal_anchor(bytea, bigint, bytea, boolean)'::regprocedure)
        and not exists (
            select from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
            where g.function = '@extschema@.capture_quote_change()'::regprocedure and c.relowner = g.grantee
                or g.function = '@extschema@.cleanup_stale_quote_sessions()'::regprocedure and s.entity = 'QUOTE' and has_table_privilege(g.grantee, c.oid, 'update'))
$$;
comment on function quote_extension_function_grants() is 'functions that others may call by a grant on all, and what takes that away';
create function close_quote_extension() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
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
end $$;
comment on function close_quote_extension() is 'takes away what default privileges, or a grant on all, gave on what the extension keeps to itself';
revoke execute on function close_quote_extension() from public;
-- Whatever default privileges gave of what this or an earlier release made.
select @extschema@.close_quote_extension();
