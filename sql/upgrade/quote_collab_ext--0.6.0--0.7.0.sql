-- From 0.6.0 to 0.7.0.
drop function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint, pg_snapshot);
drop function quote_block_form(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz);
drop function quote_sealed_until(bigint);
drop function quote_log_end(oid);
create function quote_log_months(log oid, since timestamptz) returns oid[]
strict stable parallel safe language c
as 'MODULE_PATHNAME', 'quote_log_months_wrapper';
comment on function quote_log_months(oid, timestamptz) is 'partitions of a log that hold rows of a time or later';
revoke execute on function quote_log_months(oid, timestamptz) from public;
create function quote_relation_fits_still(kind text, relation jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute key on key.attrelid = c.oid and key.attname = relation ->> 'id' and (kind <> 'users' or @extschema@.quote_base_type(key.atttypid) = 'uuid'::regtype)
        where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table' and not exists (
            select from unnest(array[relation ->> 'id', relation ->> 'name', relation ->> 'email']) k (name)
            where k.name is not null and not exists (
                select from pg_attribute a where a.attrelid = c.oid and a.attname = k.name and a.attnum > 0 and not a.attisdropped)));
end $$;
comment on function quote_relation_fits_still(text, jsonb) is 'whether a table of names is as attach found it';
create or replace function quote_relation_readable(relation jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table'), false);
end $$;
create or replace function quote_names(settings quote_collab_settings, kind text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation jsonb := settings.relations -> kind;
begin
    return case when @extschema@.quote_relation_fits_still(kind, relation) and @extschema@.quote_relation_readable(relation) and @extschema@.quote_relation_trusted(relation, (
            select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = settings.header_schema and c.relname = settings.header_table))
        then relation end;
end $$;
create or replace function create_quote_changes(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := format('%I.quote_changes', target_schema);
    item record;
begin
    if not @extschema@.quote_relation_stands(log, 'p'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                id                    uuid        not null,
                tenant_id             uuid        not null,
                quote_id              uuid        not null,
                quote_line_id         uuid,
                changed_by            uuid,
                changed_at            timestamptz not null,
                entity_type           varchar(20) not null,
                field_name            varchar(63) not null,
                old_value             jsonb,
                new_value             jsonb,
                change_type           varchar(20) not null,
                session_id            uuid,
                was_conflict          boolean     not null,
                conflict_resolution   varchar(50),
                entity_version_before integer,
                entity_version_after  integer,
                event_id              uuid        not null,
                position              bigint      not null,
                xid                   xid8        not null,
                origin                bigint      not null,
                context               jsonb,
                constraint quote_changes_pkey primary key (xid, position, id, changed_at)
            ) partition by range (changed_at)$ddl$, log);
        execute format('create index quote_changes_quote on %s (quote_id, position) with (deduplicate_items = off)', log);
        execute format('create index quote_changes_changed_at on %s using brin (changed_at)', log);
        execute format('alter table %s owner to %I', log, target_owner);
        perform @extschema@.close_quote_table(log::regclass);
    end if;
    perform @extschema@.complete_quote_changes(log::regclass, target_schema, target_owner);
    perform @extschema@.comment_quote_changes(log::regclass);
    for item in select t.* from @extschema@.quote_tenant_tables(target_schema) t
        where t.policy = 'quote_changes_tenant_isolation' and not @extschema@.quote_table_is_protected(t.relation, t.policy) loop
        perform @extschema@.protect_quote_table(item.relation, item.policy);
    end loop;
    perform @extschema@.create_quote_changes_partitions(log::regclass, 3);
    return log::regclass;
end $$;
create function complete_quote_changes(log regclass, target_schema name, target_owner name) returns void
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
end $$;
comment on function complete_quote_changes(regclass, name, name) is 'gives an audit log the default partition and the sequence that it lacks';
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
create function quote_month_stands(log regclass, at timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
    select exists (
        select from pg_inherits i join pg_class c on c.oid = i.inhrelid
        cross join lateral (select regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(](''([^'']+)''|MINVALUE)[)] TO [(](''([^'']+)''|MAXVALUE)[)]')) b (bounds)
        where i.inhparent = log and not i.inhdetachpending and b.bounds is not null
            and coalesce(b.bounds[2]::timestamptz, '-infinity') <= at and coalesce(b.bounds[4]::timestamptz, 'infinity') > at)
$$;
comment on function quote_month_stands(regclass, timestamptz) is 'whether an audit log has a partition for a time';
create or replace function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first timestamptz;
    month_name name;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value';
    end if;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        month_name := @extschema@.quote_changes_month_name(log, first);
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        continue when @extschema@.quote_month_stands(log, first);
        begin
            perform @extschema@.create_quote_changes_month(log, month_name, first, @extschema@.quote_changes_month(first + interval '32 days'));
            made := made + 1;
        exception when others then
            raise warning 'month % of the audit log has no partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm
                using hint = 'The default partition takes its rows until the next attempt.';
            -- Who keeps the log from one month keeps it from the others.
            exit when sqlstate = '55P03';
        end;
    end loop;
    return made;
end $$;
create function summarize_quote_changes(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
    ranges integer := 0;
begin
    for part in
        select p.relid as month, i.indexrelid as index
        from pg_partition_tree(log) p join pg_index i on i.indrelid = p.relid join pg_class c on c.oid = i.indexrelid
        where p.isleaf and i.indisvalid and c.relam = (select a.oid from pg_am a where a.amname = 'brin')
            and p.relid not in (select m.month from @extschema@.quote_changes_months_before(log, now() - interval '2 days') m)
            and pg_relation_size(p.relid) > 0
    loop
        -- Whom VACUUM, or who else takes this lock, must not be made to wait for.
        begin
            execute format('lock table only %s in share update exclusive mode nowait', part.month::regclass);
        exception when lock_not_available then
            continue;
        end;
        ranges := ranges + brin_summarize_new_values(part.index);
    end loop;
    return ranges;
end $$;
comment on function summarize_quote_changes(regclass) is 'summarizes the times in newly filled pages of an audit log; returns how many ranges';
revoke execute on function summarize_quote_changes(regclass) from public;
create function quote_archive_comment() returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select 'audit log of earlier months, moved here by archive_quote_changes(); append-only' $$;
comment on function quote_archive_comment() is 'the comment that an archive is given';
create function quote_archive_astray(target_schema name) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'p' and (n.nspname, c.relname) <> (target_schema, 'quote_changes_archive')
        and obj_description(c.oid, 'pg_class') = @extschema@.quote_archive_comment()
        and exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'quote_changes_tenant_isolation')
        and to_regclass(format('%I.quote_changes_archive', target_schema)) is null
    limit 1
$$;
comment on function quote_archive_astray(name) is 'the archive, where it was renamed or moved';
create function quote_archive_return(astray regclass, target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' ',
        case when c.relname <> 'quote_changes_archive' then format('alter table %s rename to quote_changes_archive;', astray) end,
        case when n.nspname <> target_schema then format('alter table %I.quote_changes_archive set schema %I;', n.nspname, target_schema) end)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = astray
$$;
comment on function quote_archive_return(regclass, name) is 'statements that put an archive back in its place';
create function check_quote_archive(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    astray regclass := @extschema@.quote_archive_astray(target_schema);
begin
    if astray is not null then
        raise exception 'the archive was moved away: %', astray using errcode = 'object_not_in_prerequisite_state',
            hint = format('Put it back: %s', @extschema@.quote_archive_return(astray, target_schema));
    end if;
end $$;
comment on function check_quote_archive(name) is 'refuses to go on without an archive that was renamed or moved';
create or replace function follow_quote_home() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    homes name[] := array(
        select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = 'quote_changes' and c.relkind = 'p' and exists (
            select from pg_policy p join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid
            where p.polrelid = c.oid and d.refclassid = 'pg_proc'::regclass and d.refobjid = '@extschema@.current_quote_tenant()'::regprocedure));
    known name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
begin
    if known is null or cardinality(homes) <> 1 or known = homes[1] or to_regclass(format('%I.quote_changes', known)) is not null then
        return;
    elsif exists (select from pg_namespace n where n.nspname = known) then
        raise exception 'the audit log was moved away from schema %', quote_ident(known)
            using errcode = 'object_not_in_prerequisite_state', detail = 'What belongs to it is still there: partitions, views, the tables of the relay.',
                  hint = format('Move it back: alter table %I.quote_changes set schema %I.', homes[1], known);
    end if;
    update @extschema@.quote_collab_settings s set log_schema = homes[1];
    update @extschema@.quote_seal_anchor a set log_schema = homes[1] where a.log_schema = known;
end $$;
create function warn_of_stray_quote_tables() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    stray regclass;
begin
    for stray in select * from @extschema@.stray_quote_tables() loop
        raise warning 'table % is not attached and writes to the history', stray using hint = 'quote_collab_doctor() says how to end that.';
    end loop;
end $$;
comment on function warn_of_stray_quote_tables() is 'warns of tables that write to the history and are not attached';
create or replace function quote_columns_left(target regclass, entity text) returns table (name name, role text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname, k.role
    from (values ('version', '{smallint,integer,bigint}'::regtype[]), ('updated_by', '{uuid}')) k (role, types)
    join pg_attribute a on a.attrelid = target and a.atttypid = any (k.types) and a.attnum > 0 and not a.attisdropped
    where col_description(target, a.attnum) = @extschema@.quote_added_column_comment(k.role) and (k.role = 'version' or entity = 'QUOTE_LINE')
    order by a.attnum
$$;
create or replace function adopt_quote_columns(target regclass, entity text) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    adopted name[];
begin
    if exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = target and s.added_columns <> '{}') then
        return '{}'::name[];
    end if;
    adopted := array(select l.name from @extschema@.quote_columns_left(target, entity) l
        where exists (select from @extschema@.quote_columns_left(target, entity) v where v.role = 'version'));
    if adopted <> '{}' then
        raise notice 'columns of % are taken for those of an earlier attach: %', target, array_to_string(adopted, ', ')
            using detail = 'They have its comments. Detach drops them. What was changed since that attach is in no history, and has raised no version.',
                  hint = format('Before attach, give a column that is the ERP''s another comment. If rows were changed meanwhile, give them new versions after it: update %s set %I = %2$I + 1.',
                      target, (select l.name from @extschema@.quote_columns_left(target, entity) l where l.role = 'version' limit 1));
    end if;
    return adopted;
end $$;
create or replace function quote_added_columns(target regclass, noted name[]) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with added (attnum, name, role, described) as (
        select a.attnum, a.attname, k.role, coalesce(col_description(target, a.attnum) = k.description, false)
        from (values
            ('version', '{smallint,integer,bigint}'::regtype[], @extschema@.quote_added_column_comment('version'), array_length(array_remove(noted, 'updated_by'::name), 1) > 0),
            ('updated_by', '{uuid}', @extschema@.quote_added_column_comment('updated_by'), cardinality(noted) > 1 or 'updated_by' = any (noted))
        ) k (role, types, description, is_noted)
        join pg_attribute a on a.attrelid = target and a.atttypid = any (k.types) and a.attnum > 0 and not a.attisdropped
        where k.is_noted and (col_description(target, a.attnum) = k.description
            or a.attname = any (noted) and exists (select from @extschema@.quote_carriers() c where c.relation = target)
                and (k.role = 'updated_by' or a.atttypid = 'integer'::regtype and @extschema@.quote_version_shows_origin(target, a.attname))))
    select array(
        select a.name from added a where a.described or not exists (select from added o where o.role = a.role and o.described)
        order by a.attnum)
$$;
create or replace function quote_columns_altered(target regclass, added name[]) returns table (name name, is_version boolean, is_nullable boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname, k.is_version, not a.attnotnull from pg_attribute a
    cross join lateral (select a.atttypid <> 'uuid'::regtype) k (is_version)
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    where a.attrelid = target and a.attname = any (added) and not a.attisdropped and (
        col_description(target, a.attnum) is distinct from @extschema@.quote_added_column_comment(case when k.is_version then 'version' else 'updated_by' end)
        or k.is_version and a.attidentity = '' and (not a.attnotnull or pg_get_expr(d.adbin, d.adrelid) !~ '^''?1''?(::[a-z]+)?$' is distinct from false))
$$;
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
    perform @extschema@.lead_quote_tables_to(log, home), @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(@extschema@.quote_collab_table(p.header)) from @extschema@.quote_collab_pairs() p
    where @extschema@.quote_collab_table(p.header) = attach_quote_collaboration.quotes or is_elsewhere and @extschema@.quote_collab_table(p.header) is not null;
    perform @extschema@.start_quote_worker(), @extschema@.warn_of_stray_quote_tables();
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create or replace function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    headers @extschema@.quote_collab_settings[];
    leaving @extschema@.quote_collab_settings[];
    header @extschema@.quote_collab_settings;
    is_last boolean;
begin
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.follow_quote_tables('{}'::regclass[]), @extschema@.follow_quote_home();
    headers := @extschema@.choose_quote_pairs(quotes);
    header := @extschema@.join_quote_headers(headers);
    if drop_history then
        perform @extschema@.check_quote_archive(header.log_schema);
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
    return case when not is_last then format('quote collaboration is detached from %s',
            (select string_agg(format('%I.%I', h.table_schema, h.table_name), ', ') from unnest(headers) h))
        when drop_history then 'quote collaboration is detached, its history is dropped'
        when to_regclass(format('%I.quote_changes', header.log_schema)) is null then 'quote collaboration is detached, its history is gone'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;
create function refuse_quote_amounts(target quote_collab_settings, coerced jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    field text := (
        select c.value from jsonb_each_text(target.columns) c join pg_attribute a on a.attrelid = @extschema@.quote_collab_table(target) and a.attname = c.value
        join pg_type t on t.oid = a.atttypid and t.typcategory = 'N'
        where coerced ->> c.value in ('NaN', 'Infinity', '-Infinity') order by c.value limit 1);
begin
    if field is not null then
        raise exception 'the value of field "%" is no amount', field using errcode = 'numeric_value_out_of_range',
            hint = 'Give it as a number with an end, or null.';
    end if;
end $$;
comment on function refuse_quote_amounts(quote_collab_settings, jsonb) is 'refuses amounts that are not finite numbers';
create or replace function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    coerced jsonb := '{}'::jsonb;
begin
    if record_definition is not null then
        begin
            execute format('select to_jsonb(r.*) from jsonb_to_record($1) as r(%s)', record_definition) into coerced using changes;
        exception when others then
            perform @extschema@.refuse_quote_value(target, changes);
            raise;
        end;
        perform @extschema@.refuse_quote_amounts(target, coerced);
    end if;
    return coerced;
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
        user_name := known.user_name;
        user_email := known.user_email;
    end if;
    execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict on constraint active_quote_sessions_session do update set
            quote_id = excluded.quote_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where s.user_id = excluded.user_id and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
    into session
    using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
        coalesce(user_name, known.user_name), coalesce(user_email, known.user_email), coalesce(status, 'VIEWING');
    if session.session_id is null then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform pg_notify('quote_presence', '');
    return next session;
end $$;
create or replace function list_quotes(max_rows integer default 50) returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    tenant uuid := @extschema@.current_quote_tenant();
    alone boolean := (select count(*) < 2 from @extschema@.quote_collab_pairs());
    query text;
begin
    if tenant is null then
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value', hint = 'Set app.current_tenant_id, or where tenants are verified, call authenticate_quote_user(token).';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value',
            hint = 'Ask for fewer at a time.';
    end if;
    if alone then
        query := @extschema@.quote_list_query(@extschema@.quote_collab_target('QUOTE'));
    else
        select string_agg(format('select q.item, q.place, %s from %s q (item, place)', p.pair, @extschema@.quote_list_query(p.header)), ' union all ')
        into query from @extschema@.quote_collab_pairs() with ordinality p (header, line, pair)
        where @extschema@.quote_columns_readable(p.header, '{id,tenant,quote_number,customer,status,total_amount,version}'::text[]);
    end if;
    return query execute format('select x.item from (%s) x (item, place%s) order by x.place%s limit $2',
        coalesce(query, 'select null::jsonb, 0, 0 where false'), case when alone then '' else ', pair' end, case when alone then '' else ', x.pair' end)
    using tenant, max_rows;
end $$;
create function quote_query_of_months(whole text, log oid, months oid[]) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    rows_of text := months[1]::regclass;
begin
    if rows_of is null then
        return whole;
    elsif cardinality(months) > 1 then
        names := (select string_agg(quote_ident(h.column_name), ', ') from @extschema@.quote_history_columns('quote_changes'::text) h);
        rows_of := (select '(' || string_agg(format('select %s from %s', names, m.month::regclass), ' union all ' order by m.place) || ')'
            from unnest(months) with ordinality m (month, place));
    end if;
    return replace(whole, format(' from %s ', log::regclass), format(' from %s ', rows_of));
end $$;
comment on function quote_query_of_months(text, oid, oid[]) is 'a query over an audit log as one over some of its months';
create or replace function quote_relay_next_batch(epoch bigint, known bigint, system_identifier text, timeline integer, max integer, max_bytes bigint)
returns table (batch bigint, "position" bigint, event text, size integer, has_next boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    here bigint := @extschema@.quote_cluster_identifier();
    log oid;
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    prev_at timestamptz;
    floor_at timestamptz;
begin
    perform set_config('synchronous_commit', 'on', true);
    select r.* into last from @extschema@.quote_prepared_rows(
        @extschema@.quote_kept_query('@extschema@.quote_relay_state_query()'::regprocedure::oid), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if here::text <> system_identifier or @extschema@.quote_feed_timeline() <> timeline or last.no < known then
        raise exception 'the log has another history' using errcode = 'QC001',
            hint = 'Take the lease again, and find out where to go on.';
    end if;
    if last.held is not true then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
    prev := last.cur;
    prev_at := last.cur_at;
    -- The clock may have been set back since: changes were then made before the floor.
    floor_at := least(case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end, clock_timestamp());
    if last.origin <> here then
        prev := @extschema@.quote_snapshot_before(last.writer);
        prev_at := '-infinity';
        floor_at := '-infinity';
    end if;
    cur := @extschema@.quote_feed_snapshot();
    if cur::text = prev::text then
        return;
    end if;
    log := @extschema@.quote_kept_query('@extschema@.quote_log_identity()'::regprocedure::oid)::oid;
    return query select last.no + 1, r.* from @extschema@.quote_prepared_rows(
        @extschema@.quote_query_of_months(@extschema@.quote_kept_query('@extschema@.quote_relay_events_query()'::regprocedure::oid),
            log, @extschema@.quote_log_months(log, floor_at - interval '1 day')),
        row(prev, cur, 0::bigint, here, floor_at - interval '1 day', 'infinity'::timestamptz, max, max_bytes))
        r ("position" bigint, event text, size integer, has_next boolean);
    if found and not exists (
            select from @extschema@.quote_prepared_rows(
                @extschema@.quote_kept_query('@extschema@.quote_relay_batch_insertion()'::regprocedure::oid),
                row(epoch, last.no + 1, prev, cur, prev_at, floor_at, here)) r (no bigint)) then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
end $$;
create or replace function quote_block_query(form smallint, history text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when form in (2, 3, 4) then format($query$select sum(d.rows)::bigint, sha256(string_agg(d.digest, '' order by d.part)), max(d.newest)
            from (%s) d (part, rows, digest, newest)$query$,
            string_agg(format($query$select %s, count(*), @extschema@.quote_changes_digest(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id, c.was_conflict,
                c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position, c.xid, c.origin, c.context), max(c.changed_at)
                from (select * from %s c where %s order by c.xid, c.position, c.id) c$query$, p.part, history, p.condition), ' union all '))
        else format($query$select count(*), @extschema@.quote_digest(sha256(convert_to(jsonb_build_array(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, extract(epoch from c.changed_at), c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id,
                c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position,
                c.xid::text, c.origin, c.context)::text, 'UTF8'))), max(c.changed_at) from (select * from (%s) c order by c.position, c.id) c$query$,
            string_agg(format('select * from %s c where %s', history, p.condition), ' union all ')) end
    from unnest(@extschema@.quote_block_parts()) with ordinality p (condition, part) where p.part < 3 or form <> 4
$$;
comment on function quote_block_query(smallint, text) is 'query for rows, root and newest time of a block';
create function digest_quote_changes(form smallint, prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz, cur_at timestamptz,
    before_cur pg_snapshot, before_origin bigint, before_until pg_snapshot default null, out rows bigint, out root bytea, out newest timestamptz)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
set jit = off
as $$
begin
    select r.* into rows, root, newest from @extschema@.quote_prepared_rows(
        @extschema@.quote_block_query(form, @extschema@.quote_kept_query('@extschema@.quote_history_query()'::regprocedure::oid)),
        row(prev, cur, origin, case when form in (3, 4) then '-infinity' else floor_at - interval '24 hours' end,
            case when form in (3, 4) then 'infinity' else cur_at + interval '24 hours' end, before_cur, before_origin, before_until))
        r (rows bigint, root bytea, newest timestamptz);
end $$;
comment on function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint, pg_snapshot) is 'hashes the rows of one block of the audit log';
create function quote_block_floor(prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, floor_at timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select date_trunc('month', case when pg_snapshot_xmin(cur) >= pg_snapshot_xmax(prev) then prev_at else floor_at end - interval '24 hours', 'UTC')
        + interval '24 hours'
$$;
comment on function quote_block_floor(pg_snapshot, pg_snapshot, timestamptz, timestamptz) is 'floor of the block behind a block of the chain of seals';
revoke execute on function quote_block_floor(pg_snapshot, pg_snapshot, timestamptz, timestamptz) from public;
create function quote_block_sinks(prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    outside text := (
        select string_agg(format('exists (select from %s c where %s and c.origin = $3 and pg_visible_in_snapshot(c.xid, $2) and c.changed_at < $4)',
            @extschema@.quote_relay_table('quote_changes'), p.condition), ' or ')
        from unnest(array['c.xid = any (array(select pg_snapshot_xip($1)))', 'c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)']) p (condition));
    sinks boolean;
begin
    select r.sinks into sinks from @extschema@.quote_prepared_rows('select ' || outside,
        row(prev, cur, origin, floor_at - interval '24 hours')) r (sinks boolean);
    return sinks;
end $$;
comment on function quote_block_sinks(pg_snapshot, pg_snapshot, bigint, timestamptz) is 'whether the next block of the chain of seals holds rows from before its floor';
revoke execute on function quote_block_sinks(pg_snapshot, pg_snapshot, bigint, timestamptz) from public;
create function quote_sealed_until(cluster bigint, up_to bigint) returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
    cur pg_snapshot;
    is_taken boolean;
begin
    execute format('select b.no, b.cur, n.form < 4 from %1$s b left join %1$s n on n.no = b.no + 1 and n.no <= $2
        where b.origin = $1 and b.no <= $2 order by b.no desc limit 1', @extschema@.quote_relay_table('quote_changes_seals'))
    into newest, cur, is_taken using cluster, up_to;
    if newest is null then
        cur := '3:3:';
    elsif is_taken then
        cur := coalesce(@extschema@.quote_taken_until(cluster, newest),
            format('%1$s:%1$s:', greatest(@extschema@.quote_history_end(cluster), pg_snapshot_xmax(cur)::text::numeric))::pg_snapshot);
    end if;
    return cur;
end $$;
comment on function quote_sealed_until(bigint, bigint) is 'up to where the rows of a cluster are sealed';
revoke execute on function quote_sealed_until(bigint, bigint) from public;
create or replace function seal_other_quote_clusters(now_at timestamptz) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    here bigint := @extschema@.quote_cluster_identifier();
    cluster bigint;
    last_no bigint;
    last_hash bytea;
    prev pg_snapshot;
    cur pg_snapshot;
    block record;
    sealed bigint := 0;
begin
    for cluster in execute format('select distinct c.origin from %s c where c.origin <> $1 order by c.origin', @extschema@.quote_history_query()) using here loop
        prev := @extschema@.quote_sealed_until(cluster, 9223372036854775807::bigint);
        cur := format('%1$s:%1$s:', greatest(@extschema@.quote_history_end(cluster), pg_snapshot_xmax(prev)::text::numeric))::pg_snapshot;
        select * into block from @extschema@.digest_quote_changes(4::smallint, prev, cur, cluster, '-infinity'::timestamptz, now_at, null::pg_snapshot, null::bigint,
            null::pg_snapshot);
        execute format('select s.no, s.hash from %s s order by s.no desc limit 1', seals) into strict last_no, last_hash;
        perform @extschema@.append_quote_seal(last_hash, last_no + 1, prev, cur, '-infinity'::timestamptz, '-infinity'::timestamptz, now_at, cluster, block.rows,
            block.root, now_at, 4::smallint, null::jsonb);
        sealed := sealed + block.rows;
    end loop;
    return sealed;
end $$;
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
begin
    execute format('select count(*) filter (where pg_visible_in_snapshot(c.xid, o.until)),
            count(*) filter (where num_nulls(c.origin, c.xid, c.position, c.changed_at) > 0
                or c.origin <> $1 and $2 and pg_visible_in_snapshot(c.xid, o.until) is not true
                or c.origin = $1 and c.xid >= (select @extschema@.next_quote_transaction()::text::xid8))
        from %1$s c left join (
            select s.origin, @extschema@.quote_sealed_until(s.origin, $3) as until from (select distinct s.origin from %2$s s where s.no <= $3) s) o on o.origin = c.origin',
        log, seals)
    into counted, strange using @extschema@.quote_cluster_identifier(), @extschema@.quote_seals_are_settled(newest.origin), newest.no;
    if strange > 0 then
        return format('%s rows come from nowhere', strange);
    elsif counted is distinct from sealed then
        return format('%s rows were sealed in all, %s are there', sealed, counted);
    end if;
    return null;
end $$;
create or replace function examine_quote_seals(from_at timestamptz, until_at timestamptz)
returns table (no bigint, expected_rows bigint, expected_root bytea, rows bigint, root bytea)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    b record;
    released record;
begin
    select * into released from @extschema@.quote_history_released();
    for b in execute format($query$
        select * from (select lag(s.cur) over chain as before_cur, lag(s.origin) over chain as before_origin, s.* from %s s window chain as (order by s.no)) x
        where x.no > 0 and x.released is null and not $1 @> x.no
            and (x.floor_at - interval '24 hours' < $3 and x.cur_at + interval '24 hours' > $2 or x.form in (3, 4) or x.origin <> x.before_origin)
        order by x.no$query$, @extschema@.quote_relay_table('quote_changes_seals')) using released.gone, from_at, until_at
    loop
        no := b.no;
        expected_rows := coalesce((released.remains -> b.no::text ->> 'rows')::bigint, b.rows);
        expected_root := coalesce(decode(released.remains -> b.no::text ->> 'root', 'hex'), b.root);
        select d.rows, d.root into rows, root from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at,
            b.cur_at, b.before_cur, b.before_origin,
            case when b.origin <> b.before_origin and b.form < 4 then @extschema@.quote_taken_until(b.before_origin, b.no) end) d;
        return next;
    end loop;
end $$;
create or replace function seal_quote_release(released jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    last record;
    root bytea := sha256(convert_to(released::text, 'UTF8'));
begin
    execute format('select * from %s order by no desc limit 1', seals) into strict last;
    perform @extschema@.append_quote_seal(last.hash, last.no + 1, last.cur, last.cur, @extschema@.quote_block_floor(last.prev, last.cur, last.prev_at, last.floor_at),
        last.cur_at, last.cur_at, last.origin, 0, root, clock_timestamp(), 2::smallint, released);
end $$;
create or replace function keep_quote_history(out archived integer, out dropped integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    policy record;
    until timestamptz;
    ready boolean := false;
    tried boolean := false;
begin
    select * into policy from @extschema@.quote_history_policy();
    archived := 0;
    dropped := 0;
    begin
        if policy.archive_after is not null then
            until := @extschema@.quote_archive_limit(policy.archive_after);
            ready := @extschema@.prove_quote_months(log, until, 1073741824::bigint);
        end if;
    exception
        when lock_not_available then
            null;
        when others then
            tried := true;
            raise warning 'bounds of months of the audit log are not proved: %', sqlerrm;
    end;
    begin
        if ready and exists (select from @extschema@.quote_months_due(log, until)) then
            tried := true;
            archived := @extschema@.archive_quote_changes(policy.archive_after);
        end if;
    exception
        when lock_not_available then
            null;
        when object_not_in_prerequisite_state then
            tried := false;
        when others then
            raise warning 'quote history is not archived: %', sqlerrm;
    end;
    begin
        if archived = 0 and policy.drop_after is not null and not exists (
            select from @extschema@.quote_collab_settings s where s.drop_refused_at > now() - interval '1 day')
        then
            dropped := @extschema@.drop_archived_quote_changes(policy.drop_after);
            update @extschema@.quote_collab_settings s set drop_refused_at = null where s.drop_refused_at is not null;
        end if;
    exception
        when lock_not_available then
            dropped := 0;
        when others then
            dropped := 0;
            update @extschema@.quote_collab_settings s set drop_refused_at = now() where s.entity = 'QUOTE';
            raise warning 'quote history is not dropped: %', sqlerrm using hint = 'See what quote_collab_doctor() and verify_quote_history() say.';
    end;
    begin
        if not tried and dropped = 0 then
            perform @extschema@.note_quote_months(log);
        end if;
    exception
        when lock_not_available then
            null;
        when others then
            raise warning 'bounds of months of the audit log are not noted: %', sqlerrm;
    end;
end $$;
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass;
    lease text := @extschema@.quote_relay_table('quote_relay_lease');
    batch text := @extschema@.quote_relay_table('quote_relay_batch');
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
    sealed bigint := 0;
    archived integer := 0;
    released integer := 0;
    alone boolean;
    patience text := current_setting('lock_timeout');
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            hint = 'Begin one that may write: begin read write.';
    elsif patience = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    -- What keeps one thing from being done keeps nothing else. Whoever may write presence may lock it, to begin with.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    -- A lock that nobody takes without rights on the batches; who cuts or reads them is not in its way.
    begin
        execute format('lock table %s in share update exclusive mode nowait', batch);
        alone := true;
    exception
        when lock_not_available then
            alone := false;
        when others then
            alone := true;
            raise warning 'the batches of the event feed are not locked: %', sqlerrm;
    end;
    -- In a block of its own: a lock goes with what is rolled back.
    begin
        if alone then
            execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
                and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
            get diagnostics dropped = row_count;
        end if;
    exception when others then
        raise warning 'old batches are not dropped: %', sqlerrm;
    end;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        raise warning 'the history is not sealed: %', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        made := @extschema@.create_quote_changes_partitions(log, 3);
        begin
            if made = 0 then
                made := @extschema@.place_quote_strays(log, 1, 1073741824::bigint);
            end if;
        exception
            when lock_not_available or check_violation then
                -- In use, or somebody added to a month that was over: another time.
                made := 0;
            when others then
                made := 0;
                raise warning 'rows stay in the default partition of the audit log: %', sqlerrm;
        end;
        if made = 0 then
            select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
        end if;
        begin
            perform @extschema@.summarize_quote_changes(log);
        exception when others then
            raise warning 'times of the audit log are not summarized: %', sqlerrm;
        end;
    end if;
    perform set_config('lock_timeout', patience, true);
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
    perform @extschema@.check_quote_archive(log_schema);
    if not @extschema@.quote_relation_stands(archive, 'p'::"char", log_owner) then
        execute format('create table %s (like %s including all) partition by range (changed_at)', archive, log);
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
create or replace function quote_attach_statement(settings quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings;
    line @extschema@.quote_collab_settings;
    header_found regclass;
    line_found regclass;
    options jsonb;
begin
    select (p.header).* into header from @extschema@.quote_collab_pairs() p
    where ((p.header).header_schema, (p.header).header_table) = (settings.header_schema, settings.header_table);
    line := @extschema@.quote_collab_partner(header);
    header_found := @extschema@.quote_table_found(header);
    line_found := @extschema@.quote_table_found(line);
    if header_found is null or line_found is null then
        return null;
    end if;
    options := jsonb_strip_nulls(jsonb_build_object(
        'columns', @extschema@.quote_chosen_columns(header, header), 'line_columns', @extschema@.quote_chosen_columns(line, header),
        'ignored_columns', nullif(to_jsonb(array(select i.name from unnest(header.ignored_columns) i (name)
            where exists (select from pg_attribute a where a.attrelid in (header_found, line_found) and a.attname = i.name and not a.attisdropped))), '[]'),
        'system_user_id', header.system_user_id,
        'truncate', nullif(header.truncation, 'refuse'), 'replicated_history', nullif(header.replicated_history, false),
        'archive_after', header.archive_after, 'drop_after', header.drop_after)) || @extschema@.quote_chosen_relations(header, header_found);
    return format('select @extschema@.attach_quote_collaboration(%L, %L, %L);', header_found, line_found, options);
end $$;
create or replace function quote_chosen_relations(header quote_collab_settings, found regclass) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(k.name, coalesce(v.value, 'null')), '{}')
    from unnest('{users,customers}'::text[]) k (name)
    cross join lateral (select header.relations -> k.name ->> 'schema', header.relations -> k.name ->> 'table') noted (schema_name, table_name)
    left join lateral (
        select jsonb_set(header.relations -> k.name, '{schema}'::text[], to_jsonb(n.nspname::text))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = noted.table_name
            and @extschema@.quote_relation_fits_still(k.name, jsonb_set(header.relations -> k.name, '{schema}'::text[], to_jsonb(n.nspname::text))) and (n.nspname = noted.schema_name
            or noted.schema_name = header.table_schema and n.oid = (select h.relnamespace from pg_class h where h.oid = found))
        order by n.nspname <> noted.schema_name limit 1) v (value) on true
    where v.value is not null or not header.relations ? k.name
$$;
create function quote_tables_unknown() returns table (relation regclass, statements text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.relation, (select string_agg(format('drop trigger %I on %s;', g.tgname, t.relation), ' ' order by g.tgname) from pg_trigger g
        where g.tgrelid = t.relation and g.tgparentid = 0 and g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f))
    from @extschema@.stray_quote_tables() t (relation)
    -- One of a pair whose settings are not whole: attach it again.
    where (select count(*) filter (where s.entity = 'QUOTE') = count(*) filter (where s.entity = 'QUOTE_LINE') from @extschema@.quote_collab_settings s)
        and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_table_found(s) = t.relation)
$$;
comment on function quote_tables_unknown() is 'doctor: tables that write to the history and are not attached, and statements that end that';
create or replace function quote_collab_doctor_tables() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    s @extschema@.quote_collab_settings;
    target regclass;
    now_there regclass;
    name text;
    missing text;
    repair text;
    others text;
begin
    for s in select * from @extschema@.quote_collab_settings order by attached_at loop
        name := format('%I.%I', s.table_schema, s.table_name);
        target := @extschema@.quote_collab_table(s);
        now_there := @extschema@.quote_table_found(s);
        repair := @extschema@.quote_repair_statement(s);
        return next @extschema@.quote_collab_verdict('table exists: ' || name, now_there = target, 'error', case
            when now_there is null then 'the attached table is gone'
            else format('the attached table was renamed or moved to %s, where saves, lists and views do not find it', now_there) end, repair);
        continue when (now_there = target) is not true;
        select string_agg(c.value, ', ') into missing from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing), repair);
        select string_agg(a.name, ', ') into missing from @extschema@.quote_columns_altered(target, s.added_columns) a;
        return next @extschema@.quote_collab_verdict('added columns intact: ' || name, missing is null, 'error',
            format('columns that attach added lost their default, NOT NULL or comment: %s', missing), repair);
        return query select * from @extschema@.quote_collab_doctor_triggers(s, repair);
        return query select * from @extschema@.quote_collab_doctor_bypasses(s);
        return next @extschema@.quote_collab_verdict('row security on the table: ' || name,
            (select c.relrowsecurity and c.relforcerowsecurity from pg_class c where c.oid = target), 'warning',
            'only the functions of the extension keep tenants apart here; SQL users with rights on the table see all',
            format('alter table %s enable row level security, force row level security; and a policy on the tenant', name));
        continue when s.entity <> 'QUOTE';
        select string_agg(format('%I.%I', x.key, x.value), ', ') into missing from (
            select x.value ->> 'schema', x.value ->> 'table' from jsonb_each(s.relations) x where not @extschema@.quote_relation_fits_still(x.key, x.value)) x (key, value);
        select string_agg(format('%I.%I', x.value ->> 'schema', x.value ->> 'table'), ', '),
            string_agg(format('alter table %I.%I owner to %I;', x.value ->> 'schema', x.value ->> 'table', pg_get_userbyid(c.relowner)), ' ')
        into others, repair
        from pg_class c cross join jsonb_each(s.relations) x
        where c.oid = target and missing is null and not @extschema@.quote_relation_trusted(x.value, c.relowner);
        return next @extschema@.quote_collab_verdict('names are read: ' || name, missing is null and others is null, 'warning',
            coalesce(format('tables of names, or columns of theirs, are gone: %s', missing),
                format('names are not read from tables that belong to another than the owner of the quotes: %s', others)),
            case when missing is null then repair else @extschema@.quote_repair_statement(s) end);
    end loop;
    select string_agg(t.relation::text, ', '), string_agg(t.statements, ' ') into missing, repair from @extschema@.quote_tables_unknown() t;
    return next @extschema@.quote_collab_verdict('history of attached tables only', missing is null, 'error',
        format('these tables are not attached, and their changes are told as changes of quotes that are: %s', missing), repair);
end $$;
create function quote_month_statement(log regclass, at timestamptz) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    first timestamptz := @extschema@.quote_changes_month(at);
    detached regclass := (
        select m.oid from pg_class l join pg_class m on m.relnamespace = l.relnamespace and m.relname = @extschema@.quote_changes_month_name(log, first)
        where l.oid = log and m.relkind = 'r' and m.relowner = l.relowner);
begin
    if detached is null then
        return 'select @extschema@.quote_collab_maintenance();';
    end if;
    return format('alter table %s attach partition %s for values from (%L) to (%L);', log, detached, first, @extschema@.quote_changes_month(first + interval '32 days'));
end $$;
comment on function quote_month_statement(regclass, timestamptz) is 'doctor: statement that gives an audit log a partition for a month';
create function quote_collab_doctor_positions(log regclass, target_schema name) returns quote_collab_check
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
    end if;
    return @extschema@.quote_collab_verdict('positions left',
        coalesce((select q.last_value from pg_sequences q where (q.schemaname, q.sequencename) = (target_schema, 'quote_changes_position_seq')), 0)
        < 4000000000000000000, 'error',
        'the sequence of positions nears its end', format('Look who set it: select last_value from %s;', name));
end $$;
comment on function quote_collab_doctor_positions(regclass, name) is 'doctor: the sequence of positions';
create function quote_log_repairs(log regclass, out problems text, out repair text)
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
                    join pg_attribute a on (a.attrelid, a.attnum) = (log, k.attnum) where k.place <= 2) = '{quote_id,position}'::name[])) f (problem, repair)
$$;
comment on function quote_log_repairs(regclass, out text, out text) is 'doctor: what is not as attach made it with the tables of an audit log';
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    repair text := @extschema@.quote_attach_statement();
    next_month timestamptz := @extschema@.quote_changes_month(@extschema@.quote_changes_month(now()) + interval '32 days');
    keep record;
    found record;
    astray regclass := @extschema@.quote_archive_astray(target_schema);
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', repair);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month', @extschema@.quote_month_stands(log, now()), 'error',
        'rows go to the default partition', @extschema@.quote_month_statement(log, now()));
    return next @extschema@.quote_collab_verdict('partition of next month', @extschema@.quote_month_stands(log, next_month), 'warning',
        'nobody creates partitions ahead: the library is not preloaded, or no cron calls maintenance', @extschema@.quote_month_statement(log, next_month));
    return next @extschema@.quote_collab_verdict('default partition present', @extschema@.quote_changes_spare(log) is not null, 'error',
        'a change of a month without a partition is refused, and the save with it', repair);
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    return next @extschema@.quote_collab_doctor_positions(log, target_schema);
    return next @extschema@.quote_collab_verdict('archive in its place', astray is null, 'error',
        format('the archive was renamed or moved to %s, where views and seals do not find it', astray), @extschema@.quote_archive_return(astray, target_schema));
    select * into keep from @extschema@.quote_history_policy();
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        'archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
        format('See what select * from verify_quote_history(); finds and select @extschema@.drop_archived_quote_changes(%L); says. Keep its findings, and take the partitions away by hand.',
            keep.drop_after));
    return next @extschema@.quote_collab_verdict('history archived when due', keep.archive_after is null or not exists (
            select from @extschema@.quote_changes_months_before(log, @extschema@.quote_archive_limit(keep.archive_after) - interval '2 days')), 'warning',
        'months that archive_after lets go are still in the log: maintenance is not called, or something keeps it from it',
        format('select @extschema@.archive_quote_changes(%L);', keep.archive_after));
    return next @extschema@.quote_collab_verdict('history bounded', cardinality(partitions) < 61, 'warning', 'the log holds more than 5 years',
        'select @extschema@.archive_quote_changes(''24 months'');');
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
            'Run it as a superuser.')).* from unnest(array['positions ascend', 'default partition empty', 'relay keeps up', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    execute format('select coalesce((select max(c.position) from %1$I.quote_changes c where c.changed_at > now() - interval ''1 day''), 0)
        > coalesce((select q.last_value from pg_sequences q where (q.schemaname, q.sequencename) = (%1$L, ''quote_changes_position_seq'')), 0)', target_schema)
    into found_rows;
    return next @extschema@.quote_collab_verdict('positions ascend', not found_rows, 'error',
        'the sequence of positions was set back: new changes stand before older ones', format('select setval(%L, (select max(c.position) from %I.quote_changes c));',
            format('%I.quote_changes_position_seq', target_schema), target_schema));
    execute format('select exists (select from %s)', coalesce(spare::text, 'unnest(''{}''::integer[])')) into found_rows;
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
