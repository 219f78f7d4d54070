-- From 0.15.0 to 0.16.0.
-- Functions.
drop function quote_relay_read(bigint, bigint, integer);
drop function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, text, text);
create function quote_database_identity() returns text
strict stable parallel safe
language c as 'MODULE_PATHNAME', 'quote_database_identity_wrapper';
comment on function quote_database_identity() is 'system identifier of this cluster and oid of this database';
create function present_quote_columns(settings quote_collab_settings) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation oid := @extschema@.quote_collab_table(settings);
    gone text[] := array(
        select c.role from jsonb_each_text(settings.columns) c (role, column_name)
        where c.role not in ('id', 'tenant', 'version', 'quote') and not exists (
            select from pg_attribute a where a.attrelid = relation and a.attname = c.column_name and not a.attisdropped));
begin
    return case when gone = '{}' then settings else jsonb_populate_record(settings, jsonb_build_object('columns', settings.columns - gone)) end;
end $$;
comment on function present_quote_columns(quote_collab_settings) is 'settings of a table without the columns that are gone';
create or replace function quote_safe_columns(relation regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(case when @extschema@.quote_type_is_safe(a.atttypid, c.relowner) then format('t.%I', a.attname)
        else format('case when num_nulls(t.%1$I) = 0 then concat(t.%1$I) end as %1$I', a.attname) end, ', ' order by a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
    where c.oid = relation
$$;
create or replace function quote_positions_set_back(target_schema name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    is_back boolean;
begin
    execute format('select coalesce((select max(c.position) from %1$I.quote_changes c
            where c.changed_at > now() - interval ''1 day'' and c.origin = @extschema@.quote_cluster_identifier()), 0)
        > (select coalesce(q.last_value, 0) from pg_sequences q where (q.schemaname, q.sequencename) = (%1$L, ''quote_changes_position_seq''))', target_schema)
    into is_back;
    return coalesce(is_back, false);
end $$;
create or replace function move_quote_strays(spare regclass, target regclass, month_start timestamptz, month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    role text := current_setting('session_replication_role');
    silent boolean := has_parameter_privilege(current_user, 'session_replication_role', 'set');
    names text := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = spare and a.attnum > 0 and not a.attisdropped);
begin
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', 'replica');
    end if;
    execute format('with strays as (delete from %1$s where changed_at >= $1 and changed_at < $2 returning *) insert into %2$s (%3$s) select %3$s from strays',
        spare, target, names)
    using month_start, month_end;
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', role);
    end if;
end $$;
create function detached_quote_changes_month(log regclass, month_name name) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.oid::regclass from pg_class l join pg_class m on m.relnamespace = l.relnamespace and m.relname = month_name
    where l.oid = log and m.relkind = 'r' and m.relowner = l.relowner and not m.relispartition
        and not exists (select from pg_trigger t where t.tgrelid = m.oid) and not exists (select from pg_rewrite r where r.ev_class = m.oid)
        and not exists (select from pg_constraint c where c.conrelid = m.oid and c.contype not in ('p', 'n'))
        and array(select (a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull)::text from pg_attribute a
                where a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped order by a.attname)
            = array(select (a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull)::text from pg_attribute a
                where a.attrelid = log and a.attnum > 0 and not a.attisdropped order by a.attname)
$$;
comment on function detached_quote_changes_month(regclass, name) is 'a month that was detached from an audit log';
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
    month := @extschema@.detached_quote_changes_month(log, month_name);
    if month is null then
        execute format('create table %I.%I (like %s including all excluding comments excluding statistics excluding identity excluding defaults)',
            log_schema, month_name, log);
        month := format('%I.%I', log_schema, month_name)::regclass;
    end if;
    -- It proves the bounds, so that attaching the month needs no look at its rows.
    execute format('alter table %s add constraint quote_changes_month check (changed_at >= %L and changed_at < %L)', month, month_start, month_end);
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
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name);
end $$;
create or replace function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first timestamptz;
    ends timestamptz;
    month_name name;
    archived regclass;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value', hint = 'Maintenance makes three.';
    end if;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        month_name := @extschema@.quote_changes_month_name(log, first);
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        continue when @extschema@.quote_month_stands(log, first);
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        begin
            archived := (select a.month from @extschema@.quote_archived_months(log) a where (a.month_start, a.month_end) = (first, ends));
            if archived is null then
                perform @extschema@.create_quote_changes_month(log, month_name, first, ends);
                made := made + 1;
            else
                made := made + @extschema@.return_quote_month(log, archived, month_name, first, ends)::integer;
            end if;
        exception when others then
            raise warning 'month % of the audit log has no partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm
                using hint = 'The default partition takes its rows until the next attempt.';
            -- Who keeps the log from one month keeps it from the others.
            exit when sqlstate = '55P03';
        end;
    end loop;
    return made;
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
    if log is distinct from to_regclass(format('%I.quote_changes', @extschema@.quote_collab_home())) then
        raise exception '% is not the audit log', log using errcode = 'invalid_parameter_value', hint = 'Name quote_changes.';
    elsif spare is null or pg_relation_size(spare) > largest then
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
                raise exception 'partition % has a part of it', month using errcode = 'invalid_object_definition', hint = 'Partitions are to have a month each.';
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
create or replace function archive_quote_strays(log regclass, spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_log_schema(log);
    archived regclass := (
        select a.month from @extschema@.quote_archived_months(log) a
        where a.month_start <= archive_quote_strays.month_start and a.month_end >= archive_quote_strays.month_end);
begin
    if archived is null then
        return null;
    elsif @extschema@.quote_strays_awaited(home, spare, month_start, month_end) then
        return false;
    elsif @extschema@.quote_log_is_published(log) then
        raise exception 'their month is archived, and the log is published' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Take the audit log out of its publications while they move.';
    end if;
    execute format('lock table %I.quote_changes_seals in share update exclusive mode', home);
    perform @extschema@.move_quote_strays(spare, archived, month_start, month_end);
    return true;
end $$;
create or replace function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    header @extschema@.quote_collab_settings;
    customers jsonb;
    customer_column text;
begin
    perform @extschema@.require_quote_home('{active_quote_sessions}'::text[]);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        header := @extschema@.present_quote_columns(pair.header);
        continue when not (@extschema@.quote_table_trusted(header)
            and @extschema@.quote_columns_readable(header, '{id,tenant,quote_number,customer}'::text[]));
        customer_column := @extschema@.quote_collab_column(header, 'customer');
        customers := case when customer_column is not null then @extschema@.quote_names(header, 'customers'::text) end;
        return query execute format('select q.%1$s, q.%2$s, %3$s::text, %4$s::text, %5$s::text from %6$I.%7$I q %8$s
            where q.%1$s in (select s.quote_id from %9$I.active_quote_sessions s
                where @extschema@.quote_session_lives(s.last_heartbeat))',
            @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
            case when (pair.header).columns ? 'quote_number' then coalesce('q.' || @extschema@.quote_collab_column(header, 'quote_number'), 'null')
                else 'q.' || @extschema@.quote_collab_column(header, 'id') end,
            coalesce('q.' || customer_column, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
            header.table_schema, header.table_name,
            case when customers is null then '' else @extschema@.quote_customer_join(header, customers, 'q.' || customer_column,
                'q.' || @extschema@.quote_collab_column(header, 'tenant')) end, header.log_schema);
    end loop;
end $$;
create or replace function quote_truncate_statement(settings quote_collab_settings, part regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
            change_type, session_id, was_conflict, entity_version_before, event_id, position, xid, origin, context)
        select @extschema@.uuid_generate_v7(), t.%2$s, t.%3$s, %4$s, $1, clock_timestamp(), %5$L, '*', to_jsonb(t.*),
            'DELETE', $2, false, case when t.%6$s between -2147483648 and 2147483647 then t.%6$s::integer end, @extschema@.uuid_generate_v7(),
            nextval(%9$L), pg_current_xact_id(), @extschema@.quote_cluster_identifier(), %7$s
        from (select %11$s from only %8$s t) t where num_nulls(t.%10$s, t.%2$s, t.%3$s) = 0$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and exists (select from pg_attribute a
                where a.attrelid = part and a.attname = settings.columns ->> 'line_number' and not a.attisdropped and a.attgenerated <> 'v')
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part, format('%I.quote_changes_position_seq', settings.log_schema), @extschema@.quote_collab_column(settings, 'id'),
        @extschema@.quote_safe_columns(part))
$$;
create or replace function quote_column_exists(target regclass, column_name text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if column_name = '' or octet_length(column_name) > 63 then
        raise exception 'no column can have the name "%"', column_name using errcode = 'undefined_column', detail = 'Names have 1 to 63 bytes.', hint = 'Name another.';
    end if;
    return exists (select from pg_attribute a where a.attrelid = target and a.attname = column_name and not a.attisdropped);
end $$;
create or replace function check_quote_tables(header regclass, lines regclass, options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if header is null or lines is null then
        raise exception 'no table "%" on the search path', case when header is null then 'quotes' else 'quote_lines' end
            using errcode = 'undefined_table',
                  hint = 'Name both tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    end if;
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'quote collaboration needs a database in UTF8' using errcode = 'feature_not_supported',
            detail = format('This one is in %s.', getdatabaseencoding()),
                hint = 'Make another from a dump: create database ... encoding ''UTF8'' template template0;';
    end if;
    if header = lines then
        raise exception 'a table cannot be attached as its own lines' using errcode = 'invalid_parameter_value',
            hint = 'Name two tables: the header and its lines.';
    end if;
    perform @extschema@.check_quote_target(header), @extschema@.check_quote_target(lines);
    perform @extschema@.check_quote_options(options), @extschema@.check_quote_option_columns(header, lines, options);
    -- What was dropped is forgotten, unless its partner is still attached and not spoken of here.
    delete from @extschema@.quote_collab_settings s
    where @extschema@.quote_collab_table(s) is null and not exists (
        select from @extschema@.quote_collab_settings p
        where (p.header_schema, p.header_table) = (s.header_schema, s.header_table) and @extschema@.quote_collab_table(p) not in (header, lines));
    perform @extschema@.check_quote_pairing(header, 'QUOTE', header), @extschema@.check_quote_pairing(lines, 'QUOTE_LINE', header),
        @extschema@.check_quote_names(header, 'QUOTE'), @extschema@.check_quote_names(lines, 'QUOTE_LINE'),
        @extschema@.find_quote_columns(header, 'QUOTE', @extschema@.quote_columns_chosen(header, coalesce(options -> 'columns', '{}')), '{quote_id}'::text[]);
end $$;
create or replace function check_quote_target(target regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found record;
begin
    select c.relkind, c.relpersistence, n.nspname in ('pg_catalog', 'information_schema', 'pg_toast') or exists (
            select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') as is_member
    into found from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target;
    if found.relkind not in ('r', 'p') then
        raise exception 'quote collaboration attaches to ordinary and partitioned tables only'
            using errcode = 'wrong_object_type', detail = format('%s is neither.', target), hint = 'Name the tables that hold the rows.';
    elsif found.relpersistence = 't' then
        raise exception 'table % is temporary', target
            using errcode = 'wrong_object_type', detail = 'Its rows are seen by one session, and gone with it.', hint = 'Attach tables that stay.';
    elsif found.is_member or @extschema@.is_quote_history(target) then
        raise exception 'table % is not a table of the ERP', target
            using errcode = 'wrong_object_type', detail = 'It belongs to PostgreSQL, to an extension or to quote collaboration itself.',
                  hint = 'Name the ERP''s own tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    elsif exists (select from @extschema@.quote_inheriting_tables(target)) then
        raise exception 'table % has tables that inherit from it', target
            using errcode = 'feature_not_supported', detail = 'Triggers are not inherited: changes of their rows would leave no history.',
                  hint = 'Make them partitions, or let them inherit no longer: alter table ... no inherit.';
    end if;
end $$;
create or replace function check_quote_options(options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    known text[] := '{columns,line_columns,ignored_columns,users,customers,system_user_id,truncate,replicated_history,archive_after,drop_after}'::text[];
    unknown text;
begin
    if jsonb_typeof(options) is distinct from 'object' then
        raise exception 'options must be a json object' using errcode = 'invalid_parameter_value', detail = format('It may have: %s.', array_to_string(known, ', ')),
            hint = 'Pass {"option": value, ...}.';
    end if;
    select k.name into unknown from jsonb_object_keys(options) k (name) where k.name <> all (known) limit 1;
    if found then
        raise exception 'attach has no option "%"', unknown
            using errcode = 'invalid_parameter_value', hint = format('Use one of: %s.', array_to_string(known, ', '));
    elsif options ->> 'truncate' not in ('refuse', 'record') then
        raise exception 'unknown option for truncate' using errcode = 'invalid_parameter_value', hint = 'Use "refuse" or "record".';
    elsif jsonb_typeof(options -> 'replicated_history') not in ('boolean', 'null') then
        raise exception 'replicated_history must be true or false' using errcode = 'invalid_parameter_value', hint = 'Pass {"replicated_history": true}, or leave it out.';
    elsif options ->> 'system_user_id' !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
        raise exception 'system_user_id must be a uuid' using errcode = 'invalid_parameter_value',
            hint = 'Name a user by his id: {"system_user_id": "00000000-0000-4000-8000-000000000001"}.';
    end if;
    perform @extschema@.check_quote_column_option(options, 'columns', 'QUOTE'), @extschema@.check_quote_column_option(options, 'line_columns', 'QUOTE_LINE'),
        @extschema@.check_quote_relation_option(options, 'users'), @extschema@.check_quote_relation_option(options, 'customers'),
        @extschema@.check_quote_ages(options);
end $$;
create or replace function check_quote_option_columns(header regclass, lines regclass, options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ignored jsonb := options -> 'ignored_columns';
    unknown text;
begin
    if jsonb_typeof(ignored) <> 'array' or jsonb_path_exists(ignored, 'strict $[*] ? (@.type() != "string")') then
        raise exception 'option "ignored_columns" must be a list of columns'
            using errcode = 'invalid_parameter_value', hint = 'For example {"ignored_columns": ["last_viewed_at"]}.';
    end if;
    select i.name into unknown from jsonb_array_elements_text(ignored) i (name)
    where not exists (select from pg_attribute a where a.attrelid in (header, lines) and a.attname = i.name and a.attnum > 0 and not a.attisdropped)
    limit 1;
    if found then
        raise exception 'neither % nor % has a column "%" to ignore', header, lines, unknown using errcode = 'undefined_column',
            detail = 'It was named in the option "ignored_columns".', hint = 'Name columns as they are in the catalog.';
    end if;
end $$;
create or replace function quote_base_type(declared oid) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    type record;
begin
    loop
        select t.oid, t.typtype, t.typbasetype into type from pg_type t where t.oid = declared;
        exit when type.typtype is distinct from 'd';
        declared := type.typbasetype;
    end loop;
    return type.oid;
end $$;
create or replace function tell_of_quote_null_keys(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_column name;
begin
    for key_column in select a.attname from pg_attribute a
        where a.attrelid = target and a.attname in (columns ->> 'id', columns ->> 'tenant', columns ->> 'quote')
            -- A constraint that is not validated (PostgreSQL 18) lets rows be that were there before.
            and (not a.attnotnull or exists (select from pg_constraint n where n.conrelid = target and n.contype = 'n' and n.conkey = array[a.attnum] and not n.convalidated)) loop
        raise notice 'rows of % whose "%" is null have no history and are no events', target, key_column
            using hint = 'Where no row should be without it, set the column not null.';
    end loop;
end $$;
create function tell_of_quote_lost_roles(target regclass, columns jsonb, chosen jsonb, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lost record;
begin
    for lost in select f.role, f.column_name from @extschema@.quote_collab_settings s cross join lateral jsonb_each_text(s.columns) f (role, column_name)
        where @extschema@.quote_collab_table(s) = target and not tell_of_quote_lost_roles.columns ? f.role and not chosen ? f.role order by 1 loop
        raise notice 'no column of % plays the role "%" any more', target, lost.role
            using detail = format('It was played by "%s".', lost.column_name), hint = format('If that was renamed, name it: {"%s": {"%s": "..."}}; null for none.',
                case entity when 'QUOTE' then 'columns' else 'line_columns' end, lost.role);
    end loop;
end $$;
comment on function tell_of_quote_lost_roles(regclass, jsonb, jsonb, text) is 'says which roles an attach lets go';
create or replace function check_quote_ignored(target regclass, columns jsonb, ignored jsonb) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_role text;
begin
    select r.role into key_role from unnest('{id,tenant,quote,version}'::text[]) r (role) where ignored ? (columns ->> r.role) limit 1;
    if found then
        raise exception 'column "%" of % cannot be ignored', columns ->> key_role, target using errcode = 'invalid_parameter_value',
            detail = format('It plays the role "%s".', key_role), hint = 'Leave it out of "ignored_columns".';
    end if;
end $$;
create or replace function find_quote_relations(header regclass, entity text, columns jsonb, options jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    header_schema name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header);
    former jsonb := (select s.relations from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = header);
    relations jsonb;
    kind text;
begin
    if entity <> 'QUOTE' then
        return former;
    end if;
    relations := jsonb_strip_nulls(jsonb_build_object(
        'users', @extschema@.find_quote_users(header_schema, options -> 'users', header),
        'customers', @extschema@.find_quote_customers(header_schema, options -> 'customers', header, columns)));
    -- A header that was moved away from them does not find them beside itself any more.
    for kind in select f.kind from jsonb_object_keys(former) f (kind) where not relations ? f.kind and not options ? f.kind order by 1 loop
        raise notice 'names of % are no longer read', kind
            using detail = format('They were read from %I.%I, which is not in %I any more, or belongs to another than the owner of the quotes.',
                    former -> kind ->> 'schema', former -> kind ->> 'table', header_schema),
                  hint = format('Name it: {"%s": {"schema": "...", "table": "..."}}, or null for none.', kind);
    end loop;
    return relations;
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
        @extschema@.tell_of_quote_null_keys(target, columns), @extschema@.tell_of_quote_lost_roles(target, columns, chosen, entity);
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
create or replace function quote_changes_record(target quote_collab_settings, changes jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
begin
    return (select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ')
        from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and changes ? a.attname::text);
end $$;
create or replace function require_quote_settings(claimed quote_collab_settings) returns quote_collab_settings
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
    return @extschema@.present_quote_columns(settings);
end $$;
comment on function require_quote_settings(quote_collab_settings) is 'the settings of an attached table as attach noted them, as far as its columns are there';
create function update_quote_row(claimed quote_collab_settings, row_id uuid, changes jsonb, cause text, amounts jsonb, path text) returns jsonb
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
        union all
        select format('%I = %s', d.key, case when amounts ? d.key then format('%L::pg_catalog.numeric', (amounts ->> d.key)::numeric) else d.value end)
        from jsonb_each_text(@extschema@.quote_derived_columns(target, row_id, changes, cause)) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return null;
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
    elsif updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    return updated;
end $$;
comment on function update_quote_row(quote_collab_settings, uuid, jsonb, text, jsonb, text) is 'updates one row of an attached table';
create function quote_amounts_tried(claimed quote_collab_settings, row_id uuid, changes jsonb, cause text, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.require_quote_settings(claimed);
    tried jsonb;
begin
    begin
        tried := @extschema@.update_quote_row(target, row_id, changes, cause, '{}'::jsonb, path);
        raise exception 'the row is put back' using errcode = 'QC004', hint = 'Nobody is told of this.';
    exception when sqlstate 'QC004' then
        return jsonb_build_object(target.columns ->> case target.entity when 'QUOTE' then 'total_amount' else 'line_amount' end,
            @extschema@.quote_amount_of_row(target, tried));
    end;
end $$;
comment on function quote_amounts_tried(quote_collab_settings, uuid, jsonb, text, text) is 'the amount that follows from generated columns of a row once it is updated';
create function apply_quote_changes(target quote_collab_settings, row_id uuid, seen jsonb, changes jsonb, cause text, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    amounts jsonb := '{}'::jsonb;
    updated jsonb;
begin
    if @extschema@.quote_amounts_follow(target, changes, cause) then
        amounts := @extschema@.quote_amounts_tried(target, row_id, changes, cause, path);
    end if;
    updated := @extschema@.update_quote_row(target, row_id, changes, cause, amounts, path);
    if updated is null then
        return @extschema@.require_quote_row(target, row_id, '');
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
create function quote_amount_parts(entity text) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case entity when 'QUOTE' then '{subtotal,tax_amount,shipping_amount,discount_amount}'::text[] else '{quantity,unit_price}' end $$;
comment on function quote_amount_parts(text) is 'roles of the parts of an amount';
create function quote_parts_saved(target quote_collab_settings, fields jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text[] := array(select target.columns ->> part from unnest(@extschema@.quote_amount_parts(target.entity)) part);
    relation oid;
    generation oid;
begin
    if fields ?| names then
        return true;
    end if;
    relation := @extschema@.quote_collab_table(target);
    for generation in select d.oid from pg_attribute a join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where a.attrelid = relation and a.attname = any (names) and a.attgenerated <> ''
    loop
        -- PostgreSQL notes what the expression names.
        if exists (select from pg_depend d join pg_attribute s on (s.attrelid, s.attnum) = (d.refobjid, d.refobjsubid)
                where (d.classid, d.objid) = ('pg_attrdef'::regclass, generation) and (d.refclassid, d.refobjid) = ('pg_class'::regclass, relation) and fields ? s.attname::text) then
            return true;
        end if;
    end loop;
    return false;
end $$;
comment on function quote_parts_saved(quote_collab_settings, jsonb) is 'whether a save changes a part of an amount';
create or replace function derived_line_columns(line quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when line.columns ?& '{quantity,unit_price,line_amount}' and @extschema@.quote_parts_saved(line, fields)
        then jsonb_build_object(line.columns ->> 'line_amount', @extschema@.quote_new_value(line, 'quantity', fields) || ' operator(pg_catalog.*) ' || @extschema@.quote_new_value(line, 'unit_price', fields))
        else '{}' end
$$;
create or replace function derived_header_columns(header quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when header.columns ?& '{total_amount,subtotal}' and @extschema@.quote_parts_saved(header, fields)
        then jsonb_build_object(header.columns ->> 'total_amount',
            @extschema@.quote_total_expression(header, @extschema@.quote_new_value(header, 'subtotal', fields), fields))
        else '{}' end
$$;
create function quote_amounts_follow(target quote_collab_settings, fields jsonb, cause text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation oid := @extschema@.quote_collab_table(target);
    names text[] := array(select target.columns ->> part from unnest(@extschema@.quote_amount_parts(target.entity)) part);
begin
    return target.columns ? case target.entity when 'QUOTE' then 'total_amount' else 'line_amount' end
        and exists (select from pg_attribute a where a.attrelid = relation and a.attgenerated <> '' and a.attname = any (names))
        and (cause = 'lines' or cause = 'save' and @extschema@.quote_parts_saved(target, fields));
end $$;
comment on function quote_amounts_follow(quote_collab_settings, jsonb, text) is 'whether an update changes an amount that follows from generated columns';
create function quote_amount_of_row(target quote_collab_settings, found_row jsonb) returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case target.entity
        when 'QUOTE' then coalesce(sum(case part when 'discount_amount' then -value else value end), 0)
        else max(value) filter (where part = 'quantity') * max(value) filter (where part = 'unit_price') end
    from unnest(@extschema@.quote_amount_parts(target.entity)) part
    cross join lateral (select (found_row ->> (target.columns ->> part))::numeric) v (value)
$$;
comment on function quote_amount_of_row(quote_collab_settings, jsonb) is 'amount of a row from its parts';
create or replace function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not ((@extschema@.present_quote_columns(header)).columns ? 'subtotal' and (@extschema@.present_quote_columns(line)).columns ? 'line_amount') then
        return @extschema@.find_quote_row(header, quote_id, '');
    end if;
    return @extschema@.apply_quote_changes(header, quote_id, '{}'::jsonb, '{}'::jsonb, 'lines'::text, path);
end $$;
create or replace function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    line @extschema@.quote_collab_settings := @extschema@.present_quote_columns(@extschema@.quote_collab_partner(header));
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    lines jsonb;
begin
    execute format('select jsonb_agg(to_jsonb(l.*) order by %s) from %I.%I l where l.%s = $1 and l.%s = $2',
        coalesce('l.' || @extschema@.quote_collab_column(line, 'line_number') || ', ', '') || 'l.' || @extschema@.quote_collab_column(line, 'id'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(line, 'tenant'))
    into lines using quote_id, (quote ->> (header.columns ->> 'tenant'))::uuid;
    return jsonb_build_object('quote', quote, 'lines', coalesce(lines, '[]'));
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
        perform @extschema@.require_quote_table(@extschema@.quote_collab_target('QUOTE'::text));
        query := @extschema@.quote_list_query(@extschema@.present_quote_columns(@extschema@.quote_collab_target('QUOTE')));
    else
        select string_agg(format('select q.item, q.place, %s from %s q (item, place)', p.pair, @extschema@.quote_list_query(p.header)), ' union all ')
        into query from (select @extschema@.present_quote_columns(a.header), a.pair from @extschema@.quote_collab_pairs() with ordinality a (header, line, pair)) p (header, pair)
        where @extschema@.quote_table_trusted(p.header) and @extschema@.quote_columns_readable(p.header, '{id,tenant,quote_number,customer,status,total_amount,version}'::text[]);
    end if;
    return query execute format('select x.item from (%s) x (item, place%s) order by x.place%s limit $2',
        coalesce(query, 'select null::jsonb, 0, 0 where false'), case when alone then '' else ', pair' end, case when alone then '' else ', x.pair' end)
    using tenant, max_rows;
end $$;
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
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
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity())::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        exit when given >= max or c.cur::text = seen::text;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
create function quote_event_texts_query(condition text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format($query$
        select position, changed_by, concat('{"position":', position, ',"event_id":"', event_id, '","tenant_id":"', tenant_id, '","quote_id":"', quote_id,
            '","line_id":', coalesce('"' || quote_line_id::text || '"', 'null'), ',"entity":', to_json(entity_type), ',"operation":', to_json(change_type),
            ',"actor":', coalesce('"' || changed_by::text || '"', 'null'), ',"at":', to_json(changed_at),
            ',"session_id":', coalesce('"' || session_id::text || '"', 'null'),
            ',"version_before":', coalesce(entity_version_before::text, 'null'), ',"version_after":', coalesce(entity_version_after::text, 'null'),
            ',"context":', coalesce((array_agg(context) filter (where context is not null))[1]::text, 'null'),
            ',"truncated":', to_json(bool_or(size > 8388608)), ',"fields":[', string_agg(concat('{"field":', to_json(field_name), case when size <= 8388608
                then concat(',"old":', coalesce(old_value::text, 'null'), ',"new":', coalesce(new_value::text, 'null')) end, '}'), ',' order by id), ']') as event
        from (
            select c.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id) as size
            from %I.quote_changes c
            where %s and conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, @extschema@.quote_collab_home(), condition);
end $$;
comment on function quote_event_texts_query(text) is 'query of the events of some rows of the audit log, as text that lacks its end';
create or replace function quote_events_query(places text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        select v.position, concat(v.event, ',"actor_name":', coalesce(to_json(%2$s)::text, 'null'), '}') as event
        from (%1$s) p
        cross join lateral (%4$s offset 0) v %3$s
        order by v.position$query$, places, author.name_expression, author.join_clause, @extschema@.quote_event_texts_query(
            'c.xid = p.xid and c.position = p.position and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6'::text));
end $$;
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', $11, $1, $8, $9, $2, $10, e.position), e.event::jsonb from (%s) e order by e.position$query$,
        case when c.position > 0 and @extschema@.quote_batch_has_few(c.prev, c.cur)
            then @extschema@.quote_batch_rest_query() else @extschema@.quote_batch_query() end)
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '24 hours', 'infinity'::timestamptz, max, c.prev_at, c.floor_at, c.cur_at,
        concat_ws('/', case when c.timeline is null then '1' when c.log is null then '2' else '3' end, c.origin, c.log, c.timeline, c.reached);
end $$;
create or replace function quote_relay_identity(out system_identifier text, out timeline integer)
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.quote_database_identity(), @extschema@.quote_feed_timeline() $$;
comment on function quote_relay_identity() is 'which database and timeline this is';
create or replace function quote_relay_events_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('select e.position, e.event, e.size, e.has_next
        from (select r.*, octet_length(r.event) as size, sum(octet_length(r.event)) over reading as read, lead(true, 1, false) over reading as has_next
            from (%s) r window reading as (rows unbounded preceding)) e
        where e.read <= $8 or e.read = e.size', @extschema@.quote_batch_query());
end $$;
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
    seen pg_snapshot;
    prev_at timestamptz;
    cur_at timestamptz;
    even_floor timestamptz;
    floor_at timestamptz;
begin
    perform @extschema@.set_quote_option('synchronous_commit', 'on');
    select r.* into last from @extschema@.quote_prepared_rows(
        @extschema@.quote_kept_query('@extschema@.quote_relay_state_query()'::regprocedure::oid), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if @extschema@.quote_database_identity() <> system_identifier or @extschema@.quote_feed_timeline() <> timeline or last.no < known then
        raise exception 'the log has another history' using errcode = 'QC001',
            hint = 'Take the lease again, and find out where to go on.';
    end if;
    if last.held is not true then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
    prev := last.cur;
    prev_at := last.cur_at;
    even_floor := case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    if last.origin <> here then
        prev := @extschema@.quote_snapshot_before(last.writer);
        prev_at := '-infinity';
        even_floor := '-infinity';
    end if;
    seen := @extschema@.quote_feed_snapshot();
    perform @extschema@.watch_quote_clock();
    if seen::text = prev::text then
        return;
    end if;
    log := @extschema@.quote_kept_query('@extschema@.quote_log_identity()'::regprocedure::oid)::oid;
    cur := prev;
    loop
        -- Past what has no events: a batch is of some.
        select coalesce(w.cur, seen), w.cur_at into cur, cur_at from @extschema@.quote_feed_waypoint(cur, seen) w;
        floor_at := @extschema@.quote_feed_floor(prev, cur, even_floor);
        return query select last.no + 1, r.* from @extschema@.quote_prepared_rows(
            @extschema@.quote_query_of_months(@extschema@.quote_kept_query('@extschema@.quote_relay_events_query()'::regprocedure::oid),
                log, @extschema@.quote_log_months(log, floor_at - interval '24 hours')),
            row(prev, cur, 0::bigint, here, floor_at - interval '24 hours', 'infinity'::timestamptz, max, max_bytes))
            r ("position" bigint, event text, size integer, has_next boolean);
        exit when found or cur::text = seen::text;
    end loop;
    if found and not exists (
            select from @extschema@.quote_prepared_rows(
                @extschema@.quote_kept_query('@extschema@.quote_relay_batch_insertion()'::regprocedure::oid),
                row(epoch, last.no + 1, prev, cur, prev_at, floor_at, here, cur_at)) r (no bigint)) then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
end $$;
create function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event json)
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
        return query select r."position", r.event::json from @extschema@.quote_prepared_rows(
            @extschema@.quote_kept_query((case when after_position > 0 and @extschema@.quote_batch_has_few(b.prev, b.cur)
                then '@extschema@.quote_batch_rest_query()' else '@extschema@.quote_batch_query()' end)::regprocedure::oid),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '24 hours', 'infinity'::timestamptz, max)) r ("position" bigint, event text);
    end if;
end $$;
comment on function quote_relay_read(bigint, bigint, integer) is 'events of a committed batch';
create or replace function quote_later_batches_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        with c as materialized (
            select * from unnest($8, $9) p (xid, position)
            union all
            select distinct c.xid, c.position from %1$s c
            where c.xid = any (array(select pg_snapshot_xip($5))) and c.quote_id = $1 and ($7 or c.tenant_id = $2) and c.position <= $6
                and c.origin = $3 and c.changed_at >= $4 and c.conflict_resolution is distinct from 'REJECTED')
        select p.no, v.position, concat(v.event, ',"actor_name":', coalesce(to_json(%4$s)::text, 'null'), '}')::jsonb
        from (
            select b.no, c.xid, c.position from (
                select t.xid, x.no from (select distinct c.xid from c) t
                cross join lateral (
                    select x.no, x.cur_xmax from %2$s x where x.cur_xmax > t.xid and pg_visible_in_snapshot(t.xid, x.cur) and x.no > 0 and x.origin = $3
                    order by x.cur_xmax, x.no limit 1) x
                where $10 is null or x.cur_xmax <= $10 offset 0) b
            join c on c.xid = b.xid
            where (b.no, c.position) <= ($11, $12)
            order by b.no, c.position limit $13 offset $14) p
        cross join lateral (%5$s offset 0) v
        %3$s
        order by p.no, v.position$query$,
        @extschema@.quote_relay_table('quote_changes'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression,
        @extschema@.quote_event_texts_query('c.xid = p.xid and c.position = p.position and c.origin = $3 and c.changed_at >= $4'::text));
end $$;
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
    shown bigint := 0;
    tenant uuid := @extschema@.current_quote_tenant();
    any_tenant boolean := @extschema@.sees_every_quote_tenant();
    start record;
    is_begun boolean;
    given integer := 0;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    -- What comes behind may have been written when a clock was behind, and its batch says so.
    execute format('select b.no, b.prev, b.cur, b.origin, x.is_elsewhere, x.floor_at from (select * from %1$s where no >= $1 order by no limit 1) b
        cross join lateral (select bool_or(r.origin <> $2) as is_elsewhere, min(r.floor_at) as floor_at from %1$s r where r.no between b.no and greatest(b.no, $3)) x',
        @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.is_elsewhere then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            hint = 'Read the quote again and subscribe without a cursor.';
    end if;
    is_begun := start.no = after_batch;
    if is_begun and after_batch <= until_batch then
        return query execute format('select $12, r.position, r.event::jsonb from (%s) r order by r.position', @extschema@.quote_rest_of_batch_query())
        using quote_id, tenant, after_position, start.origin, start.floor_at - interval '24 hours', 'infinity'::timestamptz, max, any_tenant,
            start.prev, start.cur, case when after_batch = until_batch then until_position else last end, after_batch;
        get diagnostics given = row_count;
    end if;
    if given < max and after_batch < until_batch then
        if is_begun then
            shown := case when after_position < last then after_position
                else @extschema@.quote_position_shown(quote_id, start.origin, start.floor_at - interval '24 hours', start.cur) end;
        end if;
        return query select * from @extschema@.quote_events_behind(quote_id, start.origin, start.floor_at - interval '24 hours',
            case when is_begun then start.cur else start.prev end, shown, until_batch, until_position, max - given);
    end if;
end $$;
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
    renames text;
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
        -- Without its keys a table cannot be attached again, and beside a version that was renamed another is added.
        select string_agg(c.value, ', '),
            string_agg(format('alter table %s rename ... to %I;', name, c.value), ' ') filter (where c.key = any ('{id,tenant,quote,version}'::text[]))
        into missing, renames from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing),
            case when renames is null then repair else format('If it was renamed: %s If it was a version, and dropped: %s', renames, repair) end);
        begin
            others := null;
            perform @extschema@.check_quote_column_types(target, s.columns);
        exception when datatype_mismatch or generated_always then
            get stacked diagnostics others = pg_exception_hint;
            others := concat_ws(' ', 'Give the column a type that can be one, or attach anew.', others);
            missing := sqlerrm;
        end;
        return next @extschema@.quote_collab_verdict('columns can play their roles: ' || name, others is null, 'error', missing, others);
        select string_agg(a.name, ', ') into missing from @extschema@.quote_columns_altered(target, s.added_columns) a;
        return next @extschema@.quote_collab_verdict('added columns intact: ' || name, missing is null, 'error',
            format('columns that attach added lost their default, NOT NULL or comment: %s', missing), repair);
        return query select * from @extschema@.quote_collab_doctor_triggers(s, repair);
        return query select * from @extschema@.quote_collab_doctor_bypasses(s);
        return next @extschema@.quote_collab_verdict('row security on the table: ' || name,
            (select c.relrowsecurity and c.relforcerowsecurity from pg_class c where c.oid = target)
                and exists (select from pg_policy p where p.polrelid = target and p.polpermissive), 'warning',
            case when (select c.relrowsecurity from pg_class c where c.oid = target)
                then 'its policies let nobody see a row, or its owner sees all'
                else 'only the functions of the extension keep tenants apart here; SQL users with rights on the table see all' end,
            format('alter table %s enable row level security, force row level security; and a policy on the tenant', name));
        select string_agg(format('alter table %s set logged;', c.oid::regclass), ' ') into others from pg_class c
        where c.relpersistence = 'u' and (c.oid = target or c.oid in (select t.relid from pg_partition_tree(target) t));
        return next @extschema@.quote_collab_verdict('rows survive a crash: ' || name, others is null, 'warning',
            'the table is unlogged: a crash empties it, and nothing in the history says so', others);
        continue when s.entity <> 'QUOTE';
        select string_agg(format('%I.%I', x.key, x.value), ', ') into missing from (
            select x.value ->> 'schema', x.value ->> 'table' from jsonb_each(s.relations) x where not @extschema@.quote_relation_fits_still(x.key, x.value)) x (key, value);
        select string_agg(format('%I.%I', x.value ->> 'schema', x.value ->> 'table'), ', '),
            string_agg(format('alter table %I.%I owner to %I;', x.value ->> 'schema', x.value ->> 'table', pg_get_userbyid(c.relowner)), ' ')
        into others, repair
        from pg_class c cross join jsonb_each(s.relations) x
        where c.oid = target and missing is null and not @extschema@.quote_relation_trusted(x.value, c.relowner);
        return next @extschema@.quote_collab_verdict('names are read: ' || name, missing is null and others is null, 'warning',
            coalesce('tables of names, or columns of theirs, are gone: ' || missing,
                format('names are not read from tables that belong to another than the owner of the quotes: %s', others)),
            case when missing is null then repair else @extschema@.quote_repair_statement(s) end);
    end loop;
    select string_agg(t.relation::text, ', '), string_agg(t.statements, ' ') into missing, repair from @extschema@.quote_tables_unknown() t;
    return next @extschema@.quote_collab_verdict('history of attached tables only', missing is null, 'error',
        format('these tables are not attached, and their changes are told as changes of quotes that are: %s', missing), repair);
end $$;
create or replace function quote_month_statement(log regclass, at timestamptz) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    first timestamptz := @extschema@.quote_changes_month(at);
    ends timestamptz := @extschema@.quote_changes_month(first + interval '32 days');
    detached regclass := @extschema@.detached_quote_changes_month(log, @extschema@.quote_changes_month_name(log, first));
begin
    if detached is null then
        return 'select @extschema@.quote_collab_maintenance();';
    elsif @extschema@.quote_strays_exist(@extschema@.quote_changes_spare(log), first, ends) then
        return format('select @extschema@.place_quote_strays(%L);', log);
    end if;
    return format('alter table %s attach partition %s for values from (%L) to (%L);', log, detached, first, ends);
end $$;
create or replace function quote_gateway_roles() returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct acl.grantee from pg_proc p cross join lateral aclexplode(p.proacl) acl
    where p.oid = '@extschema@.quote_relay_lease(text, interval)'::regprocedure and acl.grantee not in (p.proowner, 0)
$$;
comment on function quote_gateway_roles() is 'doctor: roles that were made gateways';
create function quote_gateway_logins() returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive gateways (role) as (
        select @extschema@.quote_gateway_roles()
        union
        select a.member from gateways g join pg_roles r on r.oid = g.role and not r.rolcanlogin join @extschema@.quote_role_members() a on a.roleid = g.role
        join pg_roles m on m.oid = a.member and not m.rolsuper)
    select r.oid from gateways g join pg_roles r on r.oid = g.role where r.rolcanlogin
$$;
comment on function quote_gateway_logins() is 'doctor: roles as whom gateways log in';
create function quote_role_members() returns table (roleid oid, member oid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.roleid, a.member from pg_auth_members a
    where coalesce((to_jsonb(a) ->> 'set_option')::boolean or (to_jsonb(a) ->> 'inherit_option')::boolean, true)
$$;
comment on function quote_role_members() is 'doctor: members that can become a role';
create function quote_collab_doctor_gateway_roles() returns setof quote_collab_check
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
    select string_agg(format('%I can become %I', m.rolname, g.rolname), ', ' order by m.rolname, g.rolname),
        string_agg(format('revoke %I from %I;', g.rolname, m.rolname), ' ' order by m.rolname, g.rolname)
    into names, hints
    from @extschema@.quote_role_members() a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
    where a.roleid = any (gateways) and a.member <> all (gateways) and not m.rolsuper;
    return next @extschema@.quote_collab_verdict('nobody becomes a gateway', names is null, 'warning',
        format('who is a gateway reads the events of every tenant: %s', names), hints);
end $$;
comment on function quote_collab_doctor_gateway_roles() is 'doctor: what the roles of gateways may do beside, and who can become them';
create or replace function quote_collab_doctor_tenant_roles(verified boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_roles());
    setters oid[] := '{}'::oid[];
    names text;
    hints text;
begin
    setters := array(select acl.grantee from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl
        left join pg_roles r on r.oid = acl.grantee
        where p.parname = 'app.current_tenant_id' and acl.privilege_type = 'SET' and r.rolsuper is not true);
    -- What is granted on a setting holds in every database of the cluster: a role that has functions granted in another one may be the
    -- gateway of that.
    select string_agg(s.name || coalesce(' (perhaps the gateway of ' || e.databases || ')', ''), ', ' order by s.name),
        concat_ws(' ', string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is null),
            'Unless it is the gateway of another database: ' || string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is not null))
    into names, hints
    from (select distinct u.setter, @extschema@.quote_grantee(u.setter) from unnest(setters) u (setter) where u.setter <> all (gateways)) s (setter, name)
    cross join lateral (select @extschema@.quote_databases_elsewhere(s.setter)) e (databases)
    cross join lateral (select format('revoke set on parameter app.current_tenant_id from %s;', s.name)) r (revoke);
    return next @extschema@.quote_collab_verdict('tenant set by gateways only', names is null, 'warning',
        format('these roles may set any tenant, in the whole cluster: %s', names), hints);
    -- quote_collab.notify decides how listeners are woken, and nothing about tenants or keys.
    select string_agg(format('%s on %s to %s', acl.privilege_type, p.parname, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke %s on parameter %s from %s;', lower(acl.privilege_type), p.parname, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl left join pg_roles r on r.oid = acl.grantee
    where (p.parname like E'quote\\_collab.%' and p.parname <> 'quote_collab.notify' or p.parname = 'app.current_tenant_id' and acl.privilege_type <> 'SET')
        and r.rolsuper is not true;
    return next @extschema@.quote_collab_verdict('settings changed by superusers only', names is null, 'error',
        format('whoever may set these chooses tenants, users or keys: %s', names), hints);
    select string_agg(@extschema@.quote_grantee(gateway), ', '),
        string_agg(format('select @extschema@.grant_quote_gateway(%L);', pg_get_userbyid(gateway)), ' ')
    into names, hints from unnest(gateways) gateway where gateway <> all (setters) and not 0::oid = any (setters);
    return next @extschema@.quote_collab_verdict('gateways may set the tenant', not verified or names is null, 'error',
        format('the gateway fails as: %s', names), hints);
    select string_agg(distinct coalesce(pg_get_userbyid(nullif(s.setrole, 0))::text, 'everybody'), ', ') into names
    from pg_db_role_setting s cross join lateral unnest(s.setconfig) setting
    where setting ~* '^(app[.]current_tenant_id|quote_collab[.]verified_)';
    return next @extschema@.quote_collab_verdict('no tenant by default', not verified or names is null
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.reset_val <> ''), 'warning',
        format('sessions begin with a tenant that no token vouches for: %s', coalesce(names, 'this one')),
        'alter role ... reset app.current_tenant_id; and look into postgresql.conf.');
    return query select * from @extschema@.quote_collab_doctor_gateway_roles();
end $$;
create or replace function quote_collab_doctor_writers(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_logins());
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', '),
        string_agg(format('alter role %I in database %I set default_transaction_read_only = off;', r.rolname, current_database()), ' ')
    into names, hints from pg_roles r where r.oid = any (gateways) and @extschema@.quote_role_default(r.oid, 'default_transaction_read_only')::boolean;
    if gateways = '{}' and preloaded is not true and @extschema@.quote_role_default(0::oid, 'default_transaction_read_only')::boolean then
        names := 'whoever calls maintenance';
        hints := 'Preload the library, or call it from cron with begin read write; select @extschema@.quote_collab_maintenance(); commit;';
    end if;
    return next @extschema@.quote_collab_verdict('transactions may write', names is null, 'warning',
        format('default_transaction_read_only is on, so that maintenance, saves and the relay fail, for %s', names), hints);
end $$;
-- What was made anew is the gateways' as before, and nobody else's, whatever default privileges gave.
revoke execute on function quote_relay_read(bigint, bigint, integer) from public;
do $$
declare
    role oid;
begin
    for role in select acl.grantee from pg_catalog.pg_proc p cross join lateral pg_catalog.aclexplode(p.proacl) acl
        where p.oid operator(pg_catalog.=) '@extschema@.quote_relay_read(bigint, bigint, integer)'::pg_catalog.regprocedure and acl.grantee operator(pg_catalog.<>) p.proowner
    loop
        execute pg_catalog.format('revoke execute on function @extschema@.quote_relay_read(bigint, bigint, integer) from %s', @extschema@.quote_grantee(role));
    end loop;
    for role in select * from @extschema@.quote_gateway_roles() loop
        execute pg_catalog.format('grant execute on function @extschema@.quote_relay_read(bigint, bigint, integer) to %s', @extschema@.quote_grantee(role));
    end loop;
end $$;
-- Whatever default privileges gave of what this or an earlier release made.
select @extschema@.close_quote_extension();
