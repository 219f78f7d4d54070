-- From 0.4.0 to 0.5.0.
-- Who changes quotes holds them and then reads the settings; attach, in the same transaction as this, wants the quotes. All of what both take is locked at once,
-- or nothing.
create function lock_quote_update() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    relations regclass[] := array(
        select to_regclass(format('%I.%I', s.table_schema, s.table_name)) from @extschema@.quote_collab_settings s
        where to_regclass(format('%I.%I', s.table_schema, s.table_name)) is not null
        union
        select h.relation from (select distinct s.log_schema from @extschema@.quote_collab_settings s) l
        cross join lateral unnest(@extschema@.quote_home_relations(l.log_schema)) h (relation));
begin
    if relations <> '{}' then
        if current_setting('lock_timeout') = '0' then
            perform set_config('lock_timeout', '5s', true);
        end if;
        perform @extschema@.lock_quote_relations(relations || '@extschema@.quote_collab_settings'::regclass);
    end if;
end $$;
select @extschema@.lock_quote_update();
drop function lock_quote_update();
drop function quote_users_safe(jsonb, oid);
drop function add_quote_columns(regclass, text, jsonb);
drop function attach_quote_table(regclass, text, regclass, regclass, jsonb);
drop function choose_quote_pair(regclass);
drop function lock_quote_pair(quote_collab_settings, quote_collab_settings);
drop function require_quote_relay_epoch(bigint);
drop function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint);
create function quote_timeline_end(timeline integer, earlier integer) returns bigint
strict stable parallel safe language c
as 'MODULE_PATHNAME', 'quote_timeline_end_wrapper';
comment on function quote_timeline_end(integer, integer) is 'how far the write-ahead log of an earlier timeline is the past of a timeline; null where it is not';
alter type @extschema@.quote_cursor add attribute timeline integer, add attribute reached bigint;
alter table @extschema@.quote_seal_anchor add column settled_in oid;
comment on column @extschema@.quote_seal_anchor.settled_in is 'this table, once this server has sealed what came along of other clusters: in a restored dump it is another';
do $$
declare
    home name;
begin
    -- A chain that ends with a block of this cluster has taken along what others left.
    for home in select a.log_schema from @extschema@.quote_seal_anchor a where pg_catalog.to_regclass(pg_catalog.format('%I.quote_changes_seals', a.log_schema)) is not null loop
        execute pg_catalog.format('update @extschema@.quote_seal_anchor a set settled_in = ''@extschema@.quote_seal_anchor''::regclass
            where a.log_schema = $1 and (select s.origin from %I.quote_changes_seals s order by s.no desc limit 1) = @extschema@.quote_cluster_identifier()', home)
        using home;
    end loop;
end $$;
create function quote_relation_trusted(relation jsonb, quotes_owner oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((
        select pg_has_role(c.relowner, quotes_owner, 'member') from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table'), false);
end $$;
comment on function quote_relation_trusted(jsonb, oid) is 'whether only the owner of the quotes and who may act as him decide what reading a relation runs';
create function quote_names(settings quote_collab_settings, kind text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation jsonb := settings.relations -> kind;
begin
    return case when @extschema@.quote_relation_readable(relation) and @extschema@.quote_relation_trusted(relation, (
            select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = settings.header_schema and c.relname = settings.header_table))
        then relation end;
end $$;
comment on function quote_names(quote_collab_settings, text) is 'the table that names users or customers of a pair, if it may be read';
create or replace function quote_user_relations() returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select n.users from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_names(s, 'users'::text)) n (users)
    where s.entity = 'QUOTE' and n.users is not null group by 1 order by min(s.attached_at);
end $$;
create or replace function find_quote_user_in(users jsonb, user_id uuid, out user_name text, out user_email text, out known boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('select u.%I::text, %s, true from %I.%I u where u.%I = $1', users ->> 'name',
        coalesce('u.' || quote_ident(users ->> 'email') || '::text', 'null'), users ->> 'schema', users ->> 'table', users ->> 'id')
    into user_name, user_email, known using user_id;
    known := coalesce(known, false);
end $$;
create or replace function quote_author_column(target quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    who uuid := @extschema@.current_quote_user(null::uuid);
    users jsonb := @extschema@.quote_names(target, 'users'::text);
begin
    if who is null or target.relations ? 'users'
                and (users is null or not (select u.known from @extschema@.find_quote_user_in(users, who) u))
            or not exists (select from pg_attribute a where a.attrelid = @extschema@.quote_collab_table(target)
                and a.attname = target.columns ->> 'updated_by' and not a.attisdropped) then
        return '{}'::jsonb;
    end if;
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::uuid', who));
end $$;
create or replace function begin_quote_seal_anchor(newest_no bigint, newest_hash bytea) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    signed_from bigint;
begin
    if not exists (select from @extschema@.quote_seal_anchor a where a.log_schema = home) then
        execute format('select min(s.no) from %I.quote_changes_seals s where s.signature is not null', home) into signed_from;
        insert into @extschema@.quote_seal_anchor values (home, newest_no, newest_hash, signed_from,
            case when newest_no = 0 then '@extschema@.quote_seal_anchor'::regclass::oid end);
    end if;
end $$;
create function lock_quote_log(log regclass, tables regclass[], views regclass[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    set_to text := current_setting('lock_timeout');
    patience text := coalesce(nullif(set_to, '0'), '5s');
    deadline timestamptz := clock_timestamp() + patience::interval;
    pause double precision := 0.1;
    busy regclass;
begin
    loop
        begin
            perform set_config('lock_timeout', least(50, greatest(1, ceil(extract(epoch from deadline - clock_timestamp()) * 1000)))::bigint::text, true);
            -- LOCK TABLE would lock all that a view reads. This locks the view alone, and changes nothing: all of ours have the option.
            foreach busy in array views loop
                execute format('alter view %s set (security_invoker = true)', busy);
            end loop;
            perform set_config('lock_timeout', least(100, greatest(1, ceil(extract(epoch from deadline - clock_timestamp()) * 1000)))::bigint::text, true);
            busy := log;
            busy := @extschema@.try_lock_quote_relations(log, log || tables, '{}'::regclass[]);
            if busy is null then
                perform set_config('lock_timeout', set_to, true);
                exit;
            end if;
            raise lock_not_available;
        exception when lock_not_available then
            null;
        end;
        if clock_timestamp() >= deadline then
            raise exception 'relation % is in use', busy
                using errcode = 'lock_not_available', detail = format('It was not free within %s.', patience),
                      hint = 'Try again when no long transaction uses it, or set lock_timeout to try longer.';
        end if;
        perform pg_sleep(pause * (0.5 + random()));
        pause := least(pause * 2, 1);
    end loop;
end $$;
comment on function lock_quote_log(regclass, regclass[], regclass[]) is 'locks an audit log and what belongs to it for a moment, and gives way meanwhile';
create function quote_log_is_published(log regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_publication_tables p
        join pg_namespace n on n.nspname = p.schemaname join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
        where c.oid = log or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = log))
$$;
comment on function quote_log_is_published(regclass) is 'whether a publication has the audit log';
create function quote_strays_exist(spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_rows boolean := false;
begin
    if spare is not null then
        execute format('select exists (select from %s where changed_at >= $1 and changed_at < $2)', spare) into found_rows using month_start, month_end;
    end if;
    return found_rows;
end $$;
comment on function quote_strays_exist(regclass, timestamptz, timestamptz) is 'whether the default partition of an audit log has rows of a month';
create function move_quote_strays(spare regclass, target regclass, month_start timestamptz, month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    role text := current_setting('session_replication_role');
    silent boolean := has_parameter_privilege(current_user, 'session_replication_role', 'set');
begin
    if silent then
        perform set_config('session_replication_role', 'replica', true);
    end if;
    execute format('with strays as (delete from %s where changed_at >= $1 and changed_at < $2 returning *) insert into %s select * from strays', spare, target)
    using month_start, month_end;
    if silent then
        perform set_config('session_replication_role', role, true);
    end if;
end $$;
comment on function move_quote_strays(regclass, regclass, timestamptz, timestamptz) is 'moves rows of a month out of the default partition of an audit log';
create function build_quote_changes_month(log regclass, spare regclass, month_name name, month_start timestamptz,
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
    execute format('create table %I.%I (like %s including all excluding comments excluding statistics excluding identity,
        constraint quote_changes_month check (changed_at >= %L and changed_at < %L))', log_schema, month_name, log, month_start, month_end);
    month := format('%I.%I', log_schema, month_name)::regclass;
    perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
    return month;
end $$;
comment on function build_quote_changes_month(regclass, regclass, name, timestamptz, timestamptz) is 'builds a month of an audit log of what lies in its default partition';
create function join_quote_changes_month(log regclass, spare regclass, month regclass, month_name name, month_start timestamptz,
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
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name);
end $$;
comment on function join_quote_changes_month(regclass, regclass, regclass, name, timestamptz, timestamptz) is 'attaches a month to an audit log that is locked';
create function quote_changes_spare(log regclass) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select nullif(p.partdefid, 0)::regclass from pg_partitioned_table p where p.partrelid = log $$;
comment on function quote_changes_spare(regclass) is 'default partition of an audit log';
create or replace function create_quote_changes_month(log regclass, month_name name, month_start timestamptz, month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    month regclass := @extschema@.build_quote_changes_month(log, spare, month_name, month_start, month_end);
begin
    perform @extschema@.lock_quote_log(log, array_remove(array[spare], null), '{}'::regclass[]);
    perform @extschema@.join_quote_changes_month(log, spare, month, month_name, month_start, month_end);
end $$;
create function quote_changes_month_name(log regclass, month_start timestamptz) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select format('%s_%s', c.relname, to_char(month_start at time zone 'UTC', 'YYYY_MM'))::name from pg_class c where c.oid = log $$;
comment on function quote_changes_month_name(regclass, timestamptz) is 'name of the monthly partition of an audit log';
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
create function place_quote_strays(log regclass, at_most integer default 120, largest bigint default null) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    first timestamptz;
    ends timestamptz;
    months regclass[] := array[]::regclass[];
    starts timestamptz[] := array[]::timestamptz[];
    month regclass;
begin
    if spare is null or pg_relation_size(spare) > largest then
        return 0;
    end if;
    for first in execute format('select distinct date_trunc(''month'', c.changed_at at time zone ''UTC'') at time zone ''UTC'' from %s c
        where isfinite(c.changed_at) order by 1', spare)
    loop
        exit when cardinality(starts) >= at_most;
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        begin
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
        end;
    end loop;
    if cardinality(starts) > 0 then
        perform @extschema@.lock_quote_log(log, array[spare], '{}'::regclass[]);
        for i in 1 .. cardinality(starts) loop
            perform @extschema@.join_quote_changes_month(log, spare, months[i], @extschema@.quote_changes_month_name(log, starts[i]), starts[i],
                @extschema@.quote_changes_month(starts[i] + interval '32 days'));
        end loop;
    end if;
    return cardinality(starts);
end $$;
comment on function place_quote_strays(regclass, integer, bigint) is 'moves rows from the default partition of an audit log to months of their own; returns how many months';
revoke execute on function place_quote_strays(regclass, integer, bigint) from public;
create or replace function quote_change_events_query(target_schema name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
               jsonb_build_object(
                   'position', position, 'event_id', event_id, 'tenant_id', tenant_id, 'quote_id', quote_id,
                   'line_id', quote_line_id, 'entity', entity_type, 'operation', change_type,
                   'actor', changed_by, 'at', changed_at, 'session_id', session_id,
                   'version_before', entity_version_before, 'version_after', entity_version_after,
                   'context', (array_agg(context) filter (where context is not null))[1],
                   'truncated', bool_or(size > 8388608),
                   'fields', jsonb_agg(case when size > 8388608 then jsonb_build_object('field', field_name)
                                       else jsonb_build_object('field', field_name, 'old', old_value, 'new', new_value) end
                                       order by id)) as event
        from (
            select c_1.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                    entity_type, change_type, session_id, entity_version_before, entity_version_after) as size
            from %I.quote_changes c_1
            where conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, target_schema)
$$;
create function quote_archive_stands(target_schema name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_class a join pg_namespace n on n.oid = a.relnamespace join pg_roles r on r.oid = a.relowner
        join pg_class log on log.relnamespace = n.oid and log.relname = 'quote_changes'
        where n.nspname = target_schema and a.relname = 'quote_changes_archive' and (r.rolsuper or a.relowner = log.relowner))
$$;
comment on function quote_archive_stands(name) is 'whether there is an archive that belongs to the owner of the audit log';
create or replace function quote_changes_all_query(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(case when @extschema@.quote_archive_stands(target_schema)
        then 'select * from %1$I.quote_changes union all select * from %1$I.quote_changes_archive' else 'select * from %1$I.quote_changes' end, target_schema)
$$;
create or replace function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    customers jsonb;
    customer_column text;
begin
    for pair in select * from @extschema@.quote_collab_pairs() loop
        continue when not @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number,customer}'::text[]);
        customer_column := @extschema@.quote_collab_column(pair.header, 'customer');
        customers := case when customer_column is not null then @extschema@.quote_names(pair.header, 'customers'::text) end;
        return query execute format('select q.%1$s, q.%2$s, q.%3$s::text, %4$s::text, %5$s::text from %6$I.%7$I q %8$s
            where q.%1$s in (select s.quote_id from %9$I.active_quote_sessions s
                where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl())',
            @extschema@.quote_collab_column(pair.header, 'id'), @extschema@.quote_collab_column(pair.header, 'tenant'),
            coalesce(@extschema@.quote_collab_column(pair.header, 'quote_number'), @extschema@.quote_collab_column(pair.header, 'id')),
            coalesce('q.' || customer_column, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
            (pair.header).table_schema, (pair.header).table_name,
            case when customers is null then '' else format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema',
                customers ->> 'table', customers ->> 'id', customer_column) end, (pair.header).log_schema);
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
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
create or replace function quote_trigger_arguments(arguments bytea) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return convert_from(substring(arguments, 1, octet_length(arguments) - 1), 'UTF8')::jsonb;
exception when data_exception or program_limit_exceeded then
    return null;
end $$;
create or replace function moved_quote_tables(kept regclass[]) returns table (settings quote_collab_settings, new_schema name, new_name name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with noted as (
        select s, @extschema@.quote_collab_table(s) as relation from @extschema@.quote_collab_settings s),
    lost as (
        select n.s from noted n
        where (n.relation is null or n.relation <> all (kept))
            and not exists (select from @extschema@.quote_carriers() c where c.relation = n.relation and c.entity = (n.s).entity)),
    stray as (
        select c.relation, c.entity, c.arguments, t.relname, ns.nspname
        from @extschema@.quote_carriers() c join pg_class t on t.oid = c.relation join pg_namespace ns on ns.oid = t.relnamespace
        join pg_roles r on r.oid = t.relowner
        where not exists (select from noted n where n.relation = c.relation) and (r.rolsuper or exists (
            select from noted n join pg_class o on o.oid in (n.relation, to_regclass(format('%I.quote_changes', (n.s).log_schema)))
            where o.relowner = t.relowner))),
    possible as (
        select l.s, y.relation, y.nspname, y.relname,
            case when y.relname = (l.s).table_name then 2 else 0 end + case when y.nspname = (l.s).table_schema then 1 else 0 end as likeness
        from lost l join stray y on y.entity = (l.s).entity and (y.arguments is null
            or y.arguments @> (l.s).columns and y.arguments ->> 'log' = format('%I.quote_changes', (l.s).log_schema)))
    select p.s, p.nspname, p.relname from possible p
    where not exists (select from possible o where o.s = p.s and o.relation <> p.relation and o.likeness >= p.likeness)
        and not exists (select from possible o where o.s <> p.s and o.relation = p.relation and o.likeness >= p.likeness)
$$;
create function first_quote_version(home name, header regclass, lines regclass, options jsonb) returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    first integer;
begin
    if to_regclass(format('%I.quote_changes', home)) is null
            or @extschema@.quote_column_exists(header, coalesce(options -> 'columns' ->> 'version', 'version'))
            and @extschema@.quote_column_exists(lines, coalesce(options -> 'line_columns' ->> 'version', 'version')) then
        return 1;
    end if;
    execute format('select coalesce(max(greatest(c.entity_version_before, c.entity_version_after)), 0) + 1 from (%s) c
        where c.conflict_resolution is distinct from ''REJECTED''', @extschema@.quote_changes_all_query(home)) into first;
    return first;
end $$;
comment on function first_quote_version(name, regclass, regclass, jsonb) is 'version that rows are given with the column';
create function quote_columns_left(target regclass, entity text) returns table (name name, role text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname, k.role
    from (values ('version', 'integer'::regtype), ('updated_by', 'uuid')) k (role, type)
    join pg_attribute a on a.attrelid = target and a.atttypid = k.type and a.attnum > 0 and not a.attisdropped
    where col_description(target, a.attnum) = @extschema@.quote_added_column_comment(k.role) and (k.role = 'version' or entity = 'QUOTE_LINE')
    order by a.attnum
$$;
comment on function quote_columns_left(regclass, text) is 'columns of a table with the comments of those that attach adds';
create function adopt_quote_columns(target regclass, entity text) returns name[]
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
            using detail = 'They have its comments. Detach drops them.',
                  hint = 'Before attach, give a column that is the ERP''s another comment.';
    end if;
    return adopted;
end $$;
comment on function adopt_quote_columns(regclass, text) is 'the columns that an earlier attach added, with a notice';
create function add_quote_columns(target regclass, entity text, columns jsonb, first_version integer) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    version text := coalesce(columns ->> 'version', 'version');
    added name[] := @extschema@.adopt_quote_columns(target, entity);
begin
    if not @extschema@.quote_column_exists(target, version) then
        execute format('alter table %s add column %I integer not null default %s', target, version, first_version);
        execute format('alter table %s alter column %I set default 1', target, version);
        execute format('comment on column %s.%I is %L', target, version, @extschema@.quote_added_column_comment('version'));
        added := added || version::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' and not @extschema@.quote_column_exists(target, 'updated_by'::text) then
        execute format('alter table %s add column updated_by uuid', target);
        execute format('comment on column %s.updated_by is %L', target, @extschema@.quote_added_column_comment('updated_by'));
        added := added || 'updated_by'::name;
    end if;
    return added;
end $$;
comment on function add_quote_columns(regclass, text, jsonb, integer) is 'adds the columns that collaboration needs to an ERP table';
create or replace function quote_version_shows_origin(target regclass, column_name name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from (select target::oid union select t.relid from pg_partition_tree(target) t) part (oid)
        join pg_attribute a on a.attrelid = part.oid and a.attname = column_name and not a.attisdropped
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where pg_get_expr(d.adbin, d.adrelid) = '1' or a.atthasmissing and (a.attmissingval::text = '{1}'
            or d.oid is null and a.attmissingval::text ~ '^[{][1-9]'))
$$;
create function quote_relation_is_ours(kind text, relation jsonb, named boolean, header regclass) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    owner oid := (select c.relowner from pg_class c where c.oid = header);
begin
    if @extschema@.quote_relation_trusted(relation, owner) then
        return true;
    elsif not named then
        raise notice 'names of % are not read from %.%', kind, quote_ident(relation ->> 'schema'), quote_ident(relation ->> 'table')
            using detail = 'It belongs to another than the owner of the quotes.';
        return false;
    end if;
    raise exception 'names of % cannot be read from %.%', kind, quote_ident(relation ->> 'schema'), quote_ident(relation ->> 'table')
        using errcode = 'wrong_object_type',
              detail = 'The gateway reads it for every tenant, and whoever owns a table or view has his functions run then, from an index or a policy.',
              hint = format('Let it belong to %1$I, or to a superuser, or let its owner act as %1$I: grant %1$I to him.', pg_get_userbyid(owner));
end $$;
comment on function quote_relation_is_ours(text, jsonb, boolean, regclass) is 'whether names may be read from a relation; refuses one that was named and belongs to others';
create or replace function find_quote_users(target_schema name, chosen jsonb, header regclass) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb;
begin
    if jsonb_typeof(chosen) <> 'object' then
        return null;
    end if;
    users := @extschema@.find_quote_relation(target_schema, chosen, 'users'::text, '{username,user_name,name}'::text[], '{email}'::text[]);
    if users is not null and @extschema@.quote_relation_fits('users', users, chosen is not null, 'uuid'::regtype::oid)
            and @extschema@.quote_relation_is_ours('users', users, chosen is not null, header) then
        return users;
    end if;
    return null;
end $$;
create or replace function find_quote_customers(target_schema name, chosen jsonb, header regclass, columns jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb;
    key oid;
begin
    if jsonb_typeof(chosen) <> 'object' then
        return null;
    end if;
    customers := @extschema@.find_quote_relation(target_schema, chosen, 'customers'::text, '{customer_name,name}'::text[], '{email}'::text[]);
    select @extschema@.quote_base_type(a.atttypid) into key from pg_attribute a where a.attrelid = header and a.attname = columns ->> 'customer';
    if customers is not null and @extschema@.quote_relation_fits('customers', customers, chosen is not null, key)
            and @extschema@.quote_relation_is_ours('customers', customers, chosen is not null, header) then
        return customers;
    end if;
    return null;
end $$;
create function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb, first_version integer)
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
        system_user_id, truncation, replicated_history, archive_after, drop_after)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema, columns,
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        @extschema@.find_quote_relations(header, entity, columns, options),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after
    returning s.* into settings;
    perform @extschema@.drop_quote_triggers(target), @extschema@.create_quote_triggers(target, settings, log),
        @extschema@.tell_of_quote_late_triggers(settings);
    return settings;
end $$;
comment on function attach_quote_table(regclass, text, regclass, regclass, jsonb, integer) is 'makes one ERP table collaborative';
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
    perform @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner);
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
    perform @extschema@.start_quote_worker();
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
            execute format('alter table %s drop column %I', target, added);
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
create function choose_quote_pairs(named regclass) returns quote_collab_settings[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    chosen @extschema@.quote_collab_settings[] := array(
        select p.header from @extschema@.quote_collab_pairs() p
        where named in (@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))
            or named is null and @extschema@.quote_collab_table(p.header) is null and @extschema@.quote_collab_table(p.line) is null);
begin
    if named is null and (select count(*) from @extschema@.quote_collab_pairs()) < 2 then
        return array[first];
    elsif chosen = '{}' then
        raise exception 'quote collaboration is attached to %', case when named is null then 'more than one pair of tables' else 'other tables' end
            using errcode = 'object_not_in_prerequisite_state',
                  hint = coalesce((select format('Name one: %s.', string_agg(format('select detach_quote_collaboration(quotes => %L)', t.relation), ' or '))
                      from @extschema@.quote_collab_pairs() p
                      cross join lateral (select coalesce(@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))) t (relation)
                      where t.relation is not null having count(*) > 0), 'Their tables are gone: select detach_quote_collaboration().');
    end if;
    return chosen;
end $$;
comment on function choose_quote_pairs(regclass) is 'headers of the pairs that detach is to take away';
create function join_quote_headers(headers quote_collab_settings[]) returns quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_populate_record(headers[1], jsonb_build_object(
        'usage_granted', array(select unnest(h.usage_granted) from unnest(headers) h),
        'readers_granted', array(select unnest(h.readers_granted) from unnest(headers) h),
        'writers_granted', array(select unnest(h.writers_granted) from unnest(headers) h)))
$$;
comment on function join_quote_headers(quote_collab_settings[]) is 'what pairs that are detached together leave behind';
create function lock_quote_pairs(leaving quote_collab_settings[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := leaving[1].log_schema;
    is_last boolean := not exists (
        select from @extschema@.quote_collab_settings s
        where not exists (select from unnest(leaving) l where (l.table_schema, l.table_name) = (s.table_schema, s.table_name)));
    relations regclass[] := array(
            select t.relation from unnest(leaving) l cross join lateral (select @extschema@.quote_collab_table(l)) t (relation) where t.relation is not null)
        || array(select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s)
        || array(select t.relation from @extschema@.stray_quote_tables() t (relation) where is_last)
        || @extschema@.quote_home_relations(home);
begin
    perform @extschema@.lock_quote_relations(relations);
end $$;
comment on function lock_quote_pairs(quote_collab_settings[]) is 'locks what detach changes, all or nothing';
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
create function find_quote_row_safely(target quote_collab_settings, row_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    found_row jsonb;
    columns text := (
        select string_agg(case when exists (
                select from (values (t.oid), (b.oid), (e.oid)) part (oid) join pg_type p on p.oid = part.oid join pg_roles r on r.oid = p.typowner
                where p.oid >= 16384 and (p.typtype = 'c' or not (r.rolsuper or r.oid = c.relowner)))
            then format('case when num_nulls(t.%1$I) = 0 then concat(t.%1$I) end as %1$I', a.attname) else format('t.%I', a.attname) end, ', ' order by a.attnum)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped join pg_type t on t.oid = a.atttypid
        left join pg_type b on b.oid = @extschema@.quote_base_type(t.oid) left join pg_type e on e.oid = b.typelem and b.typelem <> 0
        where c.oid = @extschema@.quote_collab_table(target));
begin
    execute format('select to_jsonb(x.*) from (select %s from %I.%I t where t.%s = $1 and ($3 or t.%s = $2)) x', columns, target.table_schema,
        target.table_name, @extschema@.quote_collab_column(target, 'id'), @extschema@.quote_collab_column(target, 'tenant'))
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return found_row;
end $$;
comment on function find_quote_row_safely(quote_collab_settings, uuid) is 'one row of an attached table as jsonb, without running what owners of types wrote';
create or replace function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target(entity, row_id);
    current_row jsonb := @extschema@.find_quote_row_safely(target, row_id);
    actual_version integer := @extschema@.quote_row_version(target, current_row);
    fields jsonb;
begin
    if current_row is null or actual_version = expected_version or expected_version is null or not @extschema@.quote_row_is_locked(target, row_id) then
        return;
    end if;
    fields := @extschema@.normalise_quote_changes(target, changes);
    execute format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type,
            field_name, old_value, new_value, change_type, session_id, was_conflict, conflict_resolution,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select @extschema@.uuid_generate_v7(), $1, $2, $3, $4, clock_timestamp(), $5, f.key, $6 -> f.key, f.value, 'UPDATE',
            $7, true, 'REJECTED', $8, $9, e.event_id, e.position, pg_current_xact_id(), @extschema@.quote_cluster_identifier()
        from jsonb_each($10) f,
            (select @extschema@.uuid_generate_v7(), nextval(%2$L)) e (event_id, position)$query$,
        target.log_schema, format('%I.quote_changes_position_seq', target.log_schema))
    using (current_row ->> (target.columns ->> 'tenant'))::uuid,
          coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case entity when 'QUOTE_LINE' then row_id end,
          coalesce(@extschema@.current_quote_user(null::uuid), target.system_user_id),
          entity, current_row, nullif(current_setting('app.current_session_id', true), '')::uuid,
          expected_version, actual_version, fields;
end $$;
create or replace function quote_field_name(field text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select lower(regexp_replace(field, '(?<!^)([A-Z])', E'_\\1', 'g') collate "C") $$;
create or replace function normalise_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    normal jsonb := '{}'::jsonb;
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    item record;
    column_name name;
    generated boolean;
begin
    if changes is null then
        raise exception 'the changes must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass {"field": value, ...}.';
    elsif jsonb_typeof(changes) <> 'object' then
        raise exception 'the changes must be a json object' using errcode = 'invalid_parameter_value',
            hint = 'Pass {"field": value, ...}.';
    elsif octet_length(changes::text) > 1048576 then
        raise exception 'the changes are too large' using errcode = 'program_limit_exceeded',
            detail = 'At most 1 MiB of changes is accepted at once.', hint = 'Save fewer fields at a time.';
    end if;
    for item in select key, value from jsonb_each(changes) loop
        select a.attname, a.attgenerated <> '' or a.attidentity = 'a' into column_name, generated
        from pg_attribute a
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
          and a.attname in (item.key, @extschema@.quote_field_name(item.key))
        order by a.attname = item.key desc limit 1;
        if not found then
            raise exception 'unknown field "%"', left(item.key, 63) using errcode = 'undefined_column',
                hint = format('Fields are the columns of %s, in camelCase or snake_case.', relation);
        elsif generated or column_name in (select target.columns ->> r from unnest('{id,tenant,version,quote,updated_at,updated_by,created_by}'::text[]) r)
                or column_name = 'created_at' then
            raise exception 'field "%" is read-only', column_name using errcode = 'insufficient_privilege',
                hint = 'Leave it out of the changes: it is set by the database.';
        elsif normal ? column_name::text then
            raise exception 'field "%" is given twice', column_name using errcode = 'invalid_parameter_value',
                detail = 'Once in camelCase and once in snake_case.', hint = 'Name it once.';
        end if;
        normal := normal || jsonb_build_object(column_name, item.value);
    end loop;
    return normal;
end $$;
create or replace function refuse_quote_value(target quote_collab_settings, changes jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    field text;
    record_definition text;
begin
    for field in select key from jsonb_object_keys(changes) key order by key loop
        record_definition := @extschema@.quote_changes_record(target, jsonb_build_object(field, null));
        begin
            execute format('select from jsonb_to_record($1) as r(%s)', record_definition) using changes;
        exception when others then
            if left(sqlstate, 2) in ('40', '53', '54', '57', '58') then
                raise;
            end if;
            raise exception 'the value of field "%" does not fit its column', field
                using errcode = case when left(sqlstate, 2) in ('22', '23') then sqlstate else '22P02' end,
                    detail = format('The column is: %s.', record_definition), hint = 'Give it as text of that type.';
        end;
    end loop;
end $$;
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
    end if;
    return coerced;
end $$;
create or replace function apply_quote_changes(target quote_collab_settings, row_id uuid, changes jsonb, derived jsonb, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    assignments text;
    updated jsonb;
begin
    select string_agg(a, ', ') into assignments from (
        select format('%I = r.%I', key, key) from jsonb_object_keys(changes) key
        union all select format('%I = %s', d.key, d.value) from jsonb_each_text(derived) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    perform set_config('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')), true);
    execute format('update %I.%I t set %s %s where t.%s operator(pg_catalog.=) $1 returning pg_catalog.to_jsonb(t.*)',
        target.table_schema, target.table_name, assignments,
        case when record_definition is null then '' else format('from pg_catalog.jsonb_to_record($2) as r(%s)', record_definition) end,
        @extschema@.quote_collab_column(target, 'id'))
    into updated using row_id, changes;
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    return coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
end $$;
create or replace function quote_total_expression(header quote_collab_settings, subtotal text, changes jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.-) coalesce(%s, 0)', subtotal,
        @extschema@.quote_new_value(header, 'tax_amount', changes),
        @extschema@.quote_new_value(header, 'shipping_amount', changes),
        @extschema@.quote_new_value(header, 'discount_amount', changes))
$$;
create or replace function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
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
    execute format('select to_jsonb(t.*) from %I.%I t where t.%s = $1 and ($3 or t.%s = $2) %s',
        target.table_schema, target.table_name, @extschema@.quote_collab_column(target, 'id'),
        @extschema@.quote_collab_column(target, 'tenant'),
        case locking when 'for no key update' then 'for no key update' when 'for update' then 'for update' else '' end)
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return found_row;
end $$;
create or replace function require_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
    noun text := case target.entity when 'QUOTE' then 'quote' else 'quote line' end;
begin
    if row_id is null then
        raise exception 'the % id must not be null', noun using errcode = 'null_value_not_allowed', hint = 'Name the row to work on.';
    end if;
    found_row := @extschema@.find_quote_row(target, row_id, locking);
    if found_row is null then
        raise exception 'unknown %', noun using errcode = 'no_data_found',
            detail = format('There is no %s with id %s for the current tenant.', noun, row_id),
            hint = 'Check the id and app.current_tenant_id.';
    end if;
    return found_row;
end $$;
create or replace function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the expected version must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the version that you read.';
    elsif expected_version < 0 then
        raise exception 'the expected version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version), hint = 'Pass the version that you read.';
    end if;
end $$;
create or replace function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sum_expression text;
    derived jsonb := '{}'::jsonb;
begin
    if not (header.columns ? 'subtotal' and line.columns ? 'line_amount') then
        return @extschema@.find_quote_row(header, quote_id, '');
    end if;
    sum_expression := format('(select coalesce(pg_catalog.sum(l.%s), 0) from %I.%I l where l.%s operator(pg_catalog.=) t.%s)',
        @extschema@.quote_collab_column(line, 'line_amount'), line.table_schema, line.table_name,
        @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(header, 'id'));
    derived := jsonb_build_object(header.columns ->> 'subtotal', sum_expression);
    if header.columns ? 'total_amount' then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, sum_expression, '{}'::jsonb));
    end if;
    return @extschema@.apply_quote_changes(header, quote_id, '{}'::jsonb, derived, path);
end $$;
create or replace function derived_line_columns(line quote_collab_settings, fields jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when line.columns ?& '{quantity,unit_price,line_amount}' and fields ?| array[line.columns ->> 'quantity', line.columns ->> 'unit_price']
        then jsonb_build_object(line.columns ->> 'line_amount', @extschema@.quote_new_value(line, 'quantity', fields) || ' operator(pg_catalog.*) ' || @extschema@.quote_new_value(line, 'unit_price', fields))
        else '{}' end
$$;
create or replace function heartbeat_quote_session(
    session_id uuid, current_line_id uuid default null, current_field text default null, cursor_position integer default null,
    is_editing boolean default null, status text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    moved boolean;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    perform @extschema@.require_quote_session_status(status);
    execute format($query$
        with before as (
            select s.* from %1$s s
            where s.session_id = $1 and s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl()
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
        perform pg_notify('quote_presence', '');
    end if;
    return moved is not null;
end $$;
create or replace function leave_quote_session(session_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
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
        perform pg_notify('quote_presence', '');
    end if;
    return gone is not null;
end $$;
create or replace function get_quote_change_history(quote_id uuid, max_rows integer default 50) returns setof quote_change
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    if quote_id is null then
        raise exception 'the quote id must not be null' using errcode = 'null_value_not_allowed', hint = 'Name the quote.';
    elsif max_rows is null or max_rows not between 0 and 10000 then
        raise exception 'the limit must be between 0 and 10000' using errcode = 'invalid_parameter_value',
            hint = 'Ask for fewer at a time.';
    end if;
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format($query$
        select c.id, c.tenant_id, c.quote_id, c.quote_line_id, c.changed_by, %s, c.changed_at, c.entity_type::text,
            c.field_name::text, c.old_value, c.new_value, c.change_type::text, c.session_id, c.was_conflict,
            c.conflict_resolution::text, c.entity_version_before, c.entity_version_after, c.event_id, c.position
        from %I.v_quote_changes_all c %s
        where c.quote_id = $1 and ($4 or c.tenant_id = $2)
        order by c.position desc, c.id desc limit $3$query$, author.name_expression,
        @extschema@.quote_collab_home(), author.join_clause)
    using quote_id, @extschema@.current_quote_tenant(), max_rows, @extschema@.sees_every_quote_tenant();
end $$;
create or replace function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    if since_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed', hint = 'Pass the version that you read.';
    elsif since_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value', hint = 'Pass the version that you read.';
    end if;
    return @extschema@.quote_row_version(header, @extschema@.require_quote_row(header, quote_id, '')) > since_version;
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
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(header);
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    lines jsonb;
begin
    execute format('select jsonb_agg(to_jsonb(l.*) order by %s) from %I.%I l where l.%s = $1 and l.%s = $2',
        coalesce('l.' || @extschema@.quote_collab_column(line, 'line_number') || ', ', '') || 'l.' || @extschema@.quote_collab_column(line, 'id'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(line, 'tenant'))
    into lines using quote_id, (quote ->> (header.columns ->> 'tenant'))::uuid;
    return jsonb_build_object('quote', quote, 'lines', coalesce(lines, '[]'));
end $$;
create or replace function quote_list_query(header quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb;
    number text := 'q.' || @extschema@.quote_collab_column(header, 'quote_number');
    id text := 'q.' || @extschema@.quote_collab_column(header, 'id');
    customer text := 'q.' || @extschema@.quote_collab_column(header, 'customer');
begin
    if customer is not null then
        customers := @extschema@.quote_names(header, 'customers'::text);
    end if;
    return format($query$
        (select jsonb_build_object('id', %1$s, 'quote_number', %2$s, 'customer_name', %3$s, 'status', %4$s, 'total_amount', %5$s, 'version', q.%6$s),
            row_number() over (order by %7$s) from %8$I.%9$I q %10$s where q.%11$s = $1 order by %7$s limit $2)$query$,
        id, coalesce(number, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'status'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'total_amount'), 'null'),
        @extschema@.quote_collab_column(header, 'version'), coalesce(number || ' desc', id), header.table_schema, header.table_name,
        case when customers is null then '' else format('left join %I.%I c on c.%I = %s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', customer) end,
        @extschema@.quote_collab_column(header, 'tenant'));
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
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value', hint = 'Set app.current_tenant_id.';
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
create or replace function quote_feed_snapshot() returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot;
    next bigint;
begin
    if pg_is_in_recovery() then
        raise exception 'the event feed cannot be read on a standby' using errcode = 'object_not_in_prerequisite_state',
            detail = 'A standby does not know which transactions are running.', hint = 'Read it on the primary.';
    end if;
    seen := pg_current_snapshot();
    next := @extschema@.next_quote_transaction();
    if pg_snapshot_xmax(seen)::text::bigint = next and pg_current_xact_id_if_assigned() is null then
        return seen;
    end if;
    select format('%s:%s:%s', coalesce((array_agg(r.xid order by r.xid))[1]::text, next::text), next, string_agg(r.xid::text, ',' order by r.xid))::pg_snapshot
    into seen
    from (select pg_snapshot_xip(seen) union select o.xid from pg_current_xact_id_if_assigned() o (xid) where o.xid is not null
        union select n::text::xid8 from generate_series(pg_snapshot_xmax(seen)::text::bigint, next - 1) n) r (xid);
    return seen;
end $$;
create function quote_feed_timeline() returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::integer;
end $$;
comment on function quote_feed_timeline() is 'timeline that this server writes';
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
    return concat_ws('/', '2', @extschema@.quote_cluster_identifier(), @extschema@.quote_feed_timeline(),
        pg_current_wal_flush_lsn() - '0/0'::pg_lsn, seen, now_at,
        case when pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) then now_at else 0 end);
end $$;
create or replace function parse_quote_cursor(cursor text) returns quote_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part text[] := string_to_array(cursor, '/');
    place text[];
    parsed @extschema@.quote_cursor;
    newest pg_snapshot;
    here integer;
    ahead bigint;
begin
    if cursor is null then
        return row(@extschema@.quote_cluster_identifier(), '3:3:'::pg_snapshot, 0, 0, null, null, null, null, null)::@extschema@.quote_cursor;
    end if;
    begin
        if part[1] = '2' then
            place := part[3:4];
            part := part[1:2] || part[5:];
        elsif part[1] <> '1' then
            raise invalid_text_representation;
        end if;
        if cardinality(part) not in (5, 8) then
            raise invalid_text_representation;
        end if;
        parsed := row(part[2]::bigint, part[3]::pg_snapshot, part[4]::numeric, part[5]::numeric,
            part[6]::pg_snapshot, part[7]::numeric, part[8]::bigint, place[1]::integer, place[2]::bigint)::@extschema@.quote_cursor;
        -- Times that are none, or that no timestamp holds.
        if not (parsed.prev_at between 0 and 1e11 and parsed.floor_at between 0 and 1e11 and coalesce(parsed.cur_at, 0) between 0 and 1e11) then
            raise invalid_text_representation;
        end if;
    exception when data_exception then
        raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
            hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
    end;
    if parsed.origin <> @extschema@.quote_cluster_identifier() then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It was given by another cluster.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    -- After a failover others get the numbers of what was lost. Where this server left the timeline of the cursor behind all that the
    -- cursor counts as over, nothing of that is lost. A file has to be read for it, so only where the timelines differ.
    here := @extschema@.quote_feed_timeline();
    if parsed.timeline <> here and (parsed.reached <= @extschema@.quote_timeline_end(here, parsed.timeline)) is not true then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It counts on what this cluster lost in a failover.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    newest := coalesce(parsed.cur, parsed.prev);
    ahead := pg_snapshot_xmax(newest)::text::bigint - @extschema@.next_quote_transaction();
    if ahead > 0 then
        -- Where the timeline shows that nothing is lost, only numbers can be ahead whose owners were running and had written nothing.
        if parsed.timeline is null or ahead > (select count(*) from pg_snapshot_xip(newest) x
                where x::text::bigint >= pg_snapshot_xmax(newest)::text::bigint - ahead) then
            raise exception 'the cursor is no longer known' using errcode = 'QC001',
                detail = 'It is ahead of this cluster, which lost its end in a failover.', hint = 'Read the quotes again and start with quote_events_cursor().';
        end if;
    end if;
    return parsed;
end $$;
comment on function parse_quote_cursor(text) is 'reads a cursor; 22023 when malformed, QC001 when of another cluster or of what it lost';
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    perform @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            -- The clock may have been set back since: changes were then made before the floor.
            c := row(c.origin, c.prev, c.prev_at, least(c.floor_at, extract(epoch from clock_timestamp())), seen,
                extract(epoch from clock_timestamp()), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
create or replace function next_quote_cursor(c quote_cursor) returns quote_cursor
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select row(c.origin, c.cur, c.cur_at,
        case when pg_snapshot_xmin(c.cur) >= pg_snapshot_xmax(c.prev) then c.prev_at else c.floor_at end,
        null, null, null, c.timeline, c.reached)::@extschema@.quote_cursor
$$;
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', $10, $1, $7, $8, $2, $9, e.position), e.event from (%s) e order by e.position$query$,
        @extschema@.quote_batch_query())
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '1 day', max, c.prev_at, c.floor_at, c.cur_at,
        case when c.timeline is null then concat_ws('/', '1', c.origin) else concat_ws('/', '2', c.origin, c.timeline, c.reached) end;
end $$;
create function quote_snapshot_before(writer xid) returns pg_snapshot
language sql
set search_path = pg_catalog, pg_temp
as $$
    select format('%1$s:%1$s:', greatest(n.newest - (n.newest - writer::text::bigint & 4294967295), 3))::pg_snapshot
    from (select @extschema@.next_quote_transaction() - 1) n (newest)
$$;
comment on function quote_snapshot_before(xid) is 'what was over before a transaction';
create or replace function quote_relay_open_batch(epoch bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    home name := @extschema@.quote_collab_home();
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    prev_at timestamptz;
    floor_at timestamptz;
    here bigint := @extschema@.quote_cluster_identifier();
    opened bigint;
begin
    perform set_config('synchronous_commit', 'on', true);
    select r.* into last from @extschema@.quote_prepared_rows(format($query$
        select l.epoch = $1, b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin, b.xmin
        from %1$I.quote_relay_lease l cross join %1$I.quote_relay_batch b order by b.no desc limit 1$query$, home), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if last.held is not true then
        raise exception 'the relay''s lease is lost' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another relay has taken over; take the lease again before you go on.';
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
    -- Looks for something new first, and only then locks the lease, which another relay may be taking.
    select b.no into opened from @extschema@.quote_prepared_rows(format($query$
        insert into %1$I.quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select $1, $2, $3, $4, $5, $6, $7
        from (select from %1$I.quote_relay_lease l where l.epoch = $9 for update) held
        where exists (
            select from %1$I.quote_changes c where c.xid = any (array(select pg_snapshot_xip($2))) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        or exists (
            select from %1$I.quote_changes c where c.xid >= pg_snapshot_xmax($2) and c.xid < pg_snapshot_xmax($3) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        returning no$query$, home),
        row(last.no + 1, prev, cur, prev_at, clock_timestamp(), floor_at, here, floor_at - interval '1 day', epoch)) b (no bigint);
    return opened;
end $$;
create or replace function quote_relay_last_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    select r.no into no from @extschema@.quote_prepared_rows(
        format('select coalesce(max(b.no), 0) from %s b', @extschema@.quote_relay_table('quote_relay_batch')), row()) r (no bigint);
    return no;
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
    start record;
    author record;
begin
    execute format('select b.*, exists (select from %1$s x where x.no between b.no and greatest(b.no, $3) and x.origin <> $2) as is_elsewhere
        from %1$s b where b.no >= $1 order by b.no limit 1', @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.is_elsewhere then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            hint = 'Read the quote again and subscribe without a cursor.';
    end if;
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return query execute format($query$
        select p.no, v.position, v.event || jsonb_build_object('actor_name', %4$s)
        from (
            select b.no, c.xid, c.position
            from (
                select c.xid, c.position from %1$s c
                where c.quote_id = $1 and ($11 or c.tenant_id = $2) and c.origin = $3 and c.changed_at >= $4
                    and not pg_visible_in_snapshot(c.xid, $5) and c.conflict_resolution is distinct from 'REJECTED'
                group by c.xid, c.position) c
            cross join lateral (
                select x.no from %2$s x where x.cur_xmax > c.xid and pg_visible_in_snapshot(c.xid, x.cur) and x.no > 0 and x.origin = $3
                order by x.cur_xmax, x.no limit 1) b
            where (b.no, c.position) > ($6, $7) and (b.no, c.position) <= ($8, $9)
            order by b.no, c.position limit $10) p
        cross join lateral (
            select w.* from (%5$s) w
            where w.xid = p.xid and w.position = p.position and w.origin = $3 and w.changed_at >= $4 offset 0) v
        %3$s
        order by p.no, v.position$query$,
        @extschema@.quote_relay_table('quote_changes'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression, @extschema@.quote_change_events_query(@extschema@.quote_collab_home()))
    using quote_id, @extschema@.current_quote_tenant(), start.origin, start.floor_at - interval '1 day', start.prev,
        after_batch, after_position, until_batch, until_position, max, @extschema@.sees_every_quote_tenant();
end $$;
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
    where e.name = 'quote_changes_seals' and (exists (select from pg_trigger t where t.tgrelid = e.relation and not t.tgisinternal)
        or exists (select from pg_rewrite r where r.ev_class = e.relation)
        or exists (select from pg_constraint k where k.conrelid = e.relation and k.contype in ('c', 'x'))
        or exists (select from pg_index i where i.indrelid = e.relation and (i.indexprs is not null or i.indpred is not null))
        or exists (select from pg_attribute a where a.attrelid = e.relation and a.atthasdef))
$$;
create or replace function quote_history_query() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select '(' || string_agg(format('select %s from %s',
        (select string_agg(quote_ident(k.column_name), ', ') from @extschema@.quote_history_columns(t.name) k), @extschema@.quote_relay_table(t.name)),
        ' union all ' order by t.name) || ')'
    from unnest(array['quote_changes', 'quote_changes_archive']) t (name)
    where t.name = 'quote_changes' or @extschema@.quote_archive_stands(@extschema@.quote_collab_home())
$$;
create or replace function quote_block_parts() returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select array[
        'c.xid = any (array(select pg_snapshot_xip($1))) and c.origin = $3 and c.changed_at between $4 and $5 and pg_visible_in_snapshot(c.xid, $2)',
        'c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2) and c.origin = $3 and c.changed_at between $4 and $5 and pg_visible_in_snapshot(c.xid, $2)',
        '$7 <> $3 and c.origin = $7 and not pg_visible_in_snapshot(c.xid, $6)
            and ($8 is null or pg_visible_in_snapshot(c.xid, $8))']
$$;
create or replace function quote_block_query(form smallint, history text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when form in (2, 3, 4) then format($query$select sum(d.rows)::bigint, sha256(string_agg(d.digest, '' order by d.part)) from (%s) d (part, rows, digest)$query$,
            string_agg(format($query$select %s, count(*), @extschema@.quote_changes_digest(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id, c.was_conflict,
                c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position, c.xid, c.origin, c.context)
                from (select * from %s c where %s order by c.xid, c.position, c.id) c$query$, p.part, history, p.condition), ' union all '))
        else format($query$select count(*), @extschema@.quote_digest(sha256(convert_to(jsonb_build_array(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, extract(epoch from c.changed_at), c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id,
                c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position,
                c.xid::text, c.origin, c.context)::text, 'UTF8'))) from (select * from (%s) c order by c.position, c.id) c$query$,
            string_agg(format('select * from %s c where %s', history, p.condition), ' union all ')) end
    from unnest(@extschema@.quote_block_parts()) with ordinality p (condition, part) where p.part < 3 or form <> 4
$$;
create function digest_quote_changes(form smallint, prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz, cur_at timestamptz,
    before_cur pg_snapshot, before_origin bigint, before_until pg_snapshot default null, out rows bigint, out root bytea)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
set jit = off
as $$
begin
    execute @extschema@.quote_block_query(form, @extschema@.quote_history_query())
    into rows, root using prev, cur, origin, case when form in (3, 4) then '-infinity' else floor_at - interval '1 day' end,
        case when form in (3, 4) then 'infinity' else cur_at + interval '1 day' end, before_cur, before_origin, before_until;
end $$;
comment on function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint, pg_snapshot) is 'hashes the rows of one block of the audit log';
create function quote_taken_until(taken bigint, no bigint) returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    until pg_snapshot;
begin
    execute format('select n.prev from %s n where n.origin = $1 and n.no > $2 order by n.no limit 1', @extschema@.quote_relay_table('quote_changes_seals'))
    into until using taken, no;
    if until is null and taken = @extschema@.quote_cluster_identifier() then
        execute format('select @extschema@.quote_snapshot_before(n.xmin) from %s n order by n.no desc limit 1', @extschema@.quote_relay_table('quote_changes_seals'))
        into until;
    end if;
    return until;
end $$;
comment on function quote_taken_until(bigint, bigint) is 'end of what a block took of the cluster before';
revoke execute on function quote_taken_until(bigint, bigint) from public;
create function quote_history_end(cluster bigint) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
begin
    execute format('select max(c.xid::text::bigint) from %s c where c.origin = $1 and c.xid < ''9000000000000000000''::xid8', @extschema@.quote_history_query())
    into newest using cluster;
    return coalesce(newest + 1, 3);
end $$;
comment on function quote_history_end(bigint) is 'the lowest transaction of a cluster above all rows that are here';
revoke execute on function quote_history_end(bigint) from public;
create function quote_sealed_until(cluster bigint) returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
    cur pg_snapshot;
    is_taken boolean;
begin
    execute format('select b.no, b.cur, n.form < 4 from %1$s b left join %1$s n on n.no = b.no + 1
        where b.origin = $1 order by b.no desc limit 1', @extschema@.quote_relay_table('quote_changes_seals'))
    into newest, cur, is_taken using cluster;
    if newest is null then
        cur := '3:3:';
    elsif is_taken then
        cur := coalesce(@extschema@.quote_taken_until(cluster, newest),
            format('%1$s:%1$s:', greatest(@extschema@.quote_history_end(cluster), pg_snapshot_xmax(cur)::text::numeric))::pg_snapshot);
    end if;
    return cur;
end $$;
comment on function quote_sealed_until(bigint) is 'up to where the rows of a cluster are sealed';
revoke execute on function quote_sealed_until(bigint) from public;
create function quote_seals_are_settled(newest_origin bigint) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return newest_origin = @extschema@.quote_cluster_identifier() and exists (
        select from @extschema@.quote_seal_anchor a
        where a.log_schema = @extschema@.quote_collab_home() and a.settled_in = '@extschema@.quote_seal_anchor'::regclass);
end $$;
comment on function quote_seals_are_settled(bigint) is 'whether this cluster has sealed what came along of others';
revoke execute on function quote_seals_are_settled(bigint) from public;
create function seal_other_quote_clusters(now_at timestamptz) returns bigint
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
        prev := @extschema@.quote_sealed_until(cluster);
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
comment on function seal_other_quote_clusters(timestamptz) is 'seals what came along of other clusters; returns how many rows';
revoke execute on function seal_other_quote_clusters(timestamptz) from public;
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
        prev := @extschema@.quote_sealed_until(here);
        others := @extschema@.seal_other_quote_clusters(now_at);
        execute format('select * from %s order by no desc limit 1', seals) into strict last;
        update @extschema@.quote_seal_anchor a set settled_in = '@extschema@.quote_seal_anchor'::regclass where a.log_schema = @extschema@.quote_collab_home();
    end if;
    if last.origin = here then
        -- As in the event feed: what ran already when the last block was cut may hold changes older than that.
        floor_at := case when pg_snapshot_xmin(last.cur) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
        form := @extschema@.quote_block_form(prev, cur, here, floor_at, now_at);
    else
        floor_at := '-infinity';
        form := 4;
    end if;
    select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, now_at, last.cur, last.origin, null::pg_snapshot);
    if block.rows > 0 or last.origin <> here or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, case when last.origin = here then last.cur_at else floor_at end,
            now_at, here, block.rows, block.root, now_at, form, null::jsonb);
    end if;
    return others + block.rows;
end $$;
create or replace function examine_quote_seal(before quote_seal, b quote_seal, signed_from bigint, out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if num_nulls(b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root, b.hash, b.sealed_at, b.form) > 0 then
        finding := 'block'; detail := 'this block is not whole any more';
    elsif before.no is null then
        if b.no <> 0 or b.hash <> sha256(convert_to('quote_changes', 'UTF8')) or b.rows <> 0 or b.cur::text <> '3:3:' then
            finding := 'chain'; detail := 'the chain does not begin with its first block';
        end if;
    elsif b.no <> before.no + 1 then
        finding := 'chain'; detail := format('%s blocks are missing before this one', b.no - before.no - 1);
    elsif b.hash is distinct from @extschema@.quote_seal_hash(before.hash, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root,
            b.sealed_at, b.form) then
        finding := 'block'; detail := 'this block or the one before it was changed';
    elsif (b.signature is null) <> (b.signed_by is null) or @extschema@.quote_seal_signature_holds(b.hash, b.signature, b.signed_by) is false then
        finding := 'signature'; detail := 'the signature of this block does not hold';
    elsif b.signature is null and (before.signature is not null or b.no = signed_from) then
        finding := 'signature'; detail := 'from this block on the chain is not signed any more';
    end if;
end $$;
create or replace function examine_sealed_rows(before quote_seal, b quote_seal, gone int8multirange, remains jsonb, out sealed bigint,
    out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    root bytea := b.root;
    actual record;
begin
    sealed := b.rows;
    if gone @> b.no then
        sealed := 0;
    elsif remains ? b.no::text then
        sealed := (remains -> b.no::text ->> 'rows')::bigint;
        root := decode(remains -> b.no::text ->> 'root', 'hex');
    end if;
    select * into actual from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at, b.cur_at, before.cur, before.origin,
        case when b.origin <> before.origin and b.form < 4 then @extschema@.quote_taken_until(before.origin, b.no) end);
    if actual.rows is distinct from sealed then
        finding := 'rows'; detail := format('%s rows were sealed, %s are there', sealed, actual.rows);
    elsif actual.root is distinct from root and not (gone @> b.no) then
        finding := 'content'; detail := format('one of %s rows was changed', sealed);
    end if;
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
                or c.origin = $1 and c.xid >= pg_snapshot_xmax(pg_current_snapshot()))
        from %1$s c left join (
            select s.origin, @extschema@.quote_sealed_until(s.origin) as until from (select distinct s.origin from %2$s s) s) o on o.origin = c.origin',
        log, seals)
    into counted, strange using @extschema@.quote_cluster_identifier(), @extschema@.quote_seals_are_settled(newest.origin);
    if strange > 0 then
        return format('%s rows come from nowhere', strange);
    elsif counted is distinct from sealed then
        return format('%s rows were sealed in all, %s are there', sealed, counted);
    end if;
    return null;
end $$;
create or replace function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    before @extschema@.quote_seal;
    b @extschema@.quote_seal;
    entry record;
    anchor_no bigint;
    anchored boolean := false;
    let_go record;
    rows_sealed bigint := 0;
    part bigint;
begin
    for detail in select * from @extschema@.quote_history_faults() loop
        finding := 'structure'; return next;
    end loop;
    if finding is not null then
        return;
    end if;
    select * into let_go from @extschema@.quote_history_released();
    -- Chain and anchor in one snapshot: sealing goes on meanwhile.
    for entry in execute format('select a.no as anchor_no, a.hash as anchor_hash, a.signed_from, row(%s)::@extschema@.quote_seal as seal from %s s
            left join @extschema@.quote_seal_anchor a on a.log_schema = $1 order by s.no',
        (select string_agg(format('s.%I', c.column_name), ', ') from @extschema@.quote_history_columns('quote_changes_seals') c), seals)
        using @extschema@.quote_collab_home()
    loop
        b := entry.seal;
        block := b.no;
        anchor_no := entry.anchor_no;
        anchored := anchored or coalesce(b.no = entry.anchor_no and b.hash = entry.anchor_hash, false);
        select e.finding, e.detail into finding, detail from @extschema@.examine_quote_seal(before, b, entry.signed_from) e;
        if finding is not null then
            return next;
        end if;
        if b.released is not null then
            finding := case when b.rows = 0 and b.root = sha256(convert_to(b.released::text, 'UTF8')) then 'released' else 'block' end;
            detail := format('%s rows from %s until %s were let go on %s', b.released ->> 'rows', b.released ->> 'from', b.released ->> 'until',
                to_char(b.sealed_at at time zone 'UTC', 'YYYY-MM-DD'));
            return next;
        elsif before.no is not null then
            select e.sealed, e.finding, e.detail into part, finding, detail
            from @extschema@.examine_sealed_rows(before, b, let_go.gone, let_go.remains) e;
            if finding is not null then
                return next;
            end if;
            rows_sealed := rows_sealed + coalesce(part, 0);
            if b.no % 10000 = 0 then
                raise notice '% blocks with % rows are checked', b.no, rows_sealed;
            end if;
        end if;
        before := b;
    end loop;
    if before.no is null then
        finding := 'chain'; detail := 'there is no chain'; return next;
        return;
    end if;
    return query select * from @extschema@.examine_chain_end(before, anchor_no, anchored);
    block := before.no;
    detail := @extschema@.find_unsealed_rows(before, rows_sealed);
    if detail is not null then
        finding := 'rows'; return next;
    end if;
    if expected is not null then
        execute format('select s.no || '':'' || encode(s.hash, ''hex'') from %s s where s.no = $1', seals)
        into detail using (regexp_match(expected, '^([0-9]{1,18}):[0-9a-f]{64}$'))[1]::bigint;
        if detail is distinct from expected then
            finding := 'digest'; detail := 'the chain does not hold the expected digest'; return next;
        end if;
    end if;
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
            and (x.floor_at - interval '1 day' < $3 and x.cur_at + interval '1 day' > $2 or x.form in (3, 4) or x.origin <> x.before_origin)
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
    before record;
    after record;
begin
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select drop_archived_quote_changes(''10 years'').';
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
    if before.intact is not true or coalesce(before.rows, 0) - after.rows <> present then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    return cardinality(months);
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
    exception when lock_not_available then
        null;
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
        when object_not_in_prerequisite_state then
            update @extschema@.quote_collab_settings s set drop_refused_at = now() where s.entity = 'QUOTE';
            raise warning 'quote history is not dropped: %', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    begin
        if not tried and dropped = 0 then
            perform @extschema@.note_quote_months(log);
        end if;
    exception when lock_not_available then
        null;
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
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    end if;
    -- Whoever may write presence may lock it, and must not keep the history from being sealed.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when lock_not_available then
        raise warning 'stale sessions are not swept' using detail = sqlerrm;
    end;
    -- A lock that nobody takes without rights on the batches; who cuts or reads them is not in its way.
    begin
        execute format('lock table %s in share update exclusive mode nowait', batch);
        alone := true;
    exception when lock_not_available then
        alone := false;
    end;
    if alone then
        execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
            and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
        get diagnostics dropped = row_count;
    end if;
    -- What is wrong with the history is verify_quote_history()'s to tell, and must not stop the rest.
    begin
        sealed := @extschema@.seal_quote_history();
    exception when object_not_in_prerequisite_state then
        raise warning '%', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        made := @extschema@.create_quote_changes_partitions(log, 3);
        begin
            if made = 0 then
                made := @extschema@.place_quote_strays(log, 1, 1073741824::bigint);
            end if;
        exception when lock_not_available or check_violation then
            -- In use, or somebody added to a month that was over: another time.
            made := 0;
        end;
        if made = 0 then
            select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
        end if;
    end if;
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
create or replace function quote_changes_months_before(log regclass, until timestamptz)
returns table (month regclass, bounds text, month_start timestamptz, month_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
    select m.* from (
        select i.inhrelid::regclass, pg_get_expr(c.relpartbound, c.oid),
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''([^'']+)''[)]'))[1]::timestamptz,
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO [(]''([^'']+)''[)]'))[1]::timestamptz
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = log and not i.inhdetachpending) m (month, bounds, month_start, month_end)
    where m.month_end <= until
    order by m.month_start
$$;
create function quote_archive_limit(older_than interval) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    needed timestamptz;
begin
    execute format('select b.floor_at - interval ''1 day'' from %s b where b.no > 0 order by b.no desc limit 1',
        @extschema@.quote_relay_table('quote_relay_batch')) into needed;
    return least(now() - older_than, now() - interval '1 day', needed);
end $$;
comment on function quote_archive_limit(interval) is 'until when months of the audit log may be archived at an age';
create function quote_months_due(log regclass, until timestamptz)
returns table (month regclass, bounds text, month_start timestamptz, month_end timestamptz, proved boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.*, (select k.convalidated from pg_constraint k where k.conrelid = m.month and k.conname = 'quote_changes_month' and k.contype = 'c')
    from @extschema@.quote_changes_months_before(log, until) m
$$;
comment on function quote_months_due(regclass, timestamptz) is 'months of an audit log that ended before a time, and whether their bounds are proved';
create function note_quote_month(month regclass, month_start timestamptz, month_end timestamptz, proved boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
begin
    execute format('alter table %s add constraint quote_changes_month check (changed_at >= %L and changed_at < %L)', month, month_start, month_end)
        || case when proved then '' else ' not valid' end;
    execute format('comment on constraint quote_changes_month on %s is %L', month, 'bounds of the month, for the archive');
end $$;
comment on function note_quote_month(regclass, timestamptz, timestamptz, boolean) is 'adds the bounds of a month to it as a check';
create function note_quote_months(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    months regclass[] := array(select m.month from @extschema@.quote_months_due(log, now() - interval '1 day') m where m.proved is null);
begin
    if cardinality(months) > 0 then
        perform @extschema@.lock_quote_log(log, months, '{}'::regclass[]);
        perform @extschema@.note_quote_month(m.month, m.month_start, m.month_end, false)
        from @extschema@.quote_months_due(log, now() - interval '1 day') m where m.month = any (months);
    end if;
    return cardinality(months);
end $$;
comment on function note_quote_months(regclass) is 'adds the bounds of months that are over to them, to be proved; returns of how many';
revoke execute on function note_quote_months(regclass) from public;
create function prove_quote_months(log regclass, until timestamptz, bytes bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
begin
    for part in select m.month, pg_relation_size(m.month) as size from @extschema@.quote_months_due(log, until) m where not m.proved order by m.month_start loop
        if bytes <= 0 then
            return false;
        end if;
        execute format('alter table %s validate constraint quote_changes_month', part.month);
        bytes := bytes - part.size;
    end loop;
    return true;
end $$;
comment on function prove_quote_months(regclass, timestamptz, bigint) is 'proves the bounds of months of an audit log; whether all that were noted are proved';
revoke execute on function prove_quote_months(regclass, timestamptz, bigint) from public;
create function exchange_quote_months(log regclass, months regclass[], until timestamptz) returns void
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
        execute format('alter table %s drop constraint quote_changes_month', part.month);
    end loop;
end $$;
comment on function exchange_quote_months(regclass, regclass[], timestamptz) is 'moves months of a locked audit log to the archive';
revoke execute on function exchange_quote_months(regclass, regclass[], timestamptz) from public;
create or replace function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz;
    months regclass[];
    others regclass[];
begin
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select archive_quote_changes(''24 months'').';
    end if;
    until := @extschema@.quote_archive_limit(older_than);
    months := array(select m.month from @extschema@.quote_months_due(log, until) m);
    if cardinality(months) = 0 then
        return 0;
    elsif (select sum(pg_relation_size(m.month)) > 67108864 from @extschema@.quote_months_due(log, until) m where m.proved is null) then
        raise exception 'months are not ready to be archived' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Their bounds were not noted yet, and to prove them would keep everybody waiting.',
            hint = 'Call select quote_collab_maintenance(), or let it be called, and try again.';
    elsif current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    -- Whoever seals has decided where he looks for rows.
    execute format('lock table %s in share update exclusive mode', @extschema@.quote_relay_table('quote_changes_seals'));
    perform @extschema@.prove_quote_months(log, until, 9223372036854775807);
    others := array(
        select @extschema@.quote_changes_spare(log) union
        select @extschema@.quote_changes_spare(to_regclass(@extschema@.quote_relay_table('quote_changes_archive'))));
    perform @extschema@.lock_quote_log(log, array_remove(others, null) || months, case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then '{}'
        else array_remove(array[to_regclass(@extschema@.quote_relay_table('v_quote_changes_all'))], null) end);
    perform @extschema@.exchange_quote_months(log, months, until);
    return cardinality(months);
end $$;
create function quote_table_found(settings quote_collab_settings) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select c.oid::regclass from pg_class c where c.oid = @extschema@.quote_collab_table(settings) and c.relkind in ('r', 'p')), (
        select c.oid::regclass from @extschema@.moved_quote_tables('{}'::regclass[]) m
        join pg_namespace n on n.nspname = m.new_schema join pg_class c on c.relnamespace = n.oid and c.relname = m.new_name
        where ((m.settings).table_schema, (m.settings).table_name) = (settings.table_schema, settings.table_name)))
$$;
comment on function quote_table_found(quote_collab_settings) is 'doctor: an attached table, also where it was renamed or moved; null when it is gone';
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
        'ignored_columns', nullif(to_jsonb(header.ignored_columns), '[]'), 'system_user_id', header.system_user_id,
        'truncate', nullif(header.truncation, 'refuse'), 'replicated_history', nullif(header.replicated_history, false),
        'archive_after', header.archive_after, 'drop_after', header.drop_after)) || @extschema@.quote_chosen_relations(header, header_found);
    return format('select @extschema@.attach_quote_collaboration(%L, %L, %L);', header_found, line_found, options);
end $$;
comment on function quote_attach_statement(quote_collab_settings) is 'statement that attaches a pair of tables again as it was attached; null where one is gone';
create function quote_detach_statement(settings quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    others text := (select string_agg(c.relation::text, ', ' order by c.relation::text) from @extschema@.quote_carriers() c
        where not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_table_found(s) = c.relation));
    rest regclass := (select r.relation from @extschema@.quote_collab_settings s
        cross join lateral (select coalesce(@extschema@.quote_table_found(s), @extschema@.quote_collab_table(s))) r (relation)
        where (s.header_schema, s.header_table) = (settings.header_schema, settings.header_table) and r.relation is not null limit 1);
begin
    if others is not null then
        return format('Attach the pair under the names that its tables have now. These have its triggers and are not attached: %s.', others);
    end if;
    return format('select @extschema@.detach_quote_collaboration(%s);', 'quotes => ' || quote_literal(rest));
end $$;
comment on function quote_detach_statement(quote_collab_settings) is 'statement that takes away a pair of which a table is gone';
create function quote_repair_statement(settings quote_collab_settings) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(@extschema@.quote_attach_statement(settings), @extschema@.quote_detach_statement(settings)) $$;
comment on function quote_repair_statement(quote_collab_settings) is 'statement that attaches a pair of tables again, or takes it away where one is gone';
create or replace function quote_attach_statement() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(a.statement, @extschema@.quote_detach_statement(s)) from @extschema@.quote_collab_settings s
    cross join lateral (select @extschema@.quote_attach_statement(s)) a (statement)
    order by a.statement is null, s.attached_at, s.table_schema, s.table_name limit 1
$$;
comment on function quote_attach_statement() is 'statement that attaches the first pair of tables again that is whole, and with it what all pairs share';
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
    select jsonb_object_agg(c.key, c.value) into chosen from jsonb_each_text(chosen) c where c.value is distinct from found_alone ->> c.key;
    return chosen;
exception when undefined_column then
    return chosen;
end $$;
create function quote_chosen_relations(header quote_collab_settings, found regclass) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(k.name, coalesce(v.value, 'null')), '{}')
    from unnest('{users,customers}'::text[]) k (name)
    cross join lateral (select header.relations -> k.name ->> 'schema', header.relations -> k.name ->> 'table') noted (schema_name, table_name)
    left join lateral (
        select jsonb_set(header.relations -> k.name, '{schema}'::text[], to_jsonb(n.nspname::text))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = noted.table_name and (n.nspname = noted.schema_name
            or noted.schema_name = header.table_schema and n.oid = (select h.relnamespace from pg_class h where h.oid = found))
        order by n.nspname <> noted.schema_name limit 1) v (value) on true
    where v.value is not null or not header.relations ? k.name
$$;
comment on function quote_chosen_relations(quote_collab_settings, regclass) is 'tables of users and customers that must be named to attach a pair again';
create or replace function quote_collab_triggers_found(settings quote_collab_settings)
returns table (relation regclass, is_partition boolean, name name, is_there boolean, is_ours boolean, firing "char")
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, c.oid <> target.oid, t.name, g.oid is not null,
        g.tgfoid = t.function and g.tgtype = t.type and g.tgqual is null and cardinality(g.tgattr::smallint[]) = 0 and not g.tgdeferrable
            and g.tgargs = case when t.argument is null then '' else convert_to(t.argument, 'UTF8') || E'\\x00' end, g.tgenabled
    from (select @extschema@.quote_collab_table(settings)::oid) target (oid)
    cross join lateral (select target.oid union select p.relid from pg_partition_tree(target.oid) p) part (oid)
    join pg_class c on c.oid = part.oid and c.relkind in ('r', 'p')
    join @extschema@.quote_triggers(settings) t on c.oid = target.oid or t.on_partitions
    left join pg_trigger g on g.tgrelid = c.oid and g.tgname = t.name
$$;
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
        select string_agg(format('%I.%I', x.value ->> 'schema', x.value ->> 'table'), ', '),
            string_agg(format('alter table %I.%I owner to %I;', x.value ->> 'schema', x.value ->> 'table', pg_get_userbyid(c.relowner)), ' ')
        into missing, repair
        from pg_class c cross join jsonb_each(s.relations) x where c.oid = target and not @extschema@.quote_relation_trusted(x.value, c.relowner);
        return next @extschema@.quote_collab_verdict('names are read: ' || name, missing is null, 'warning',
            format('names are not read from tables that belong to another than the owner of the quotes: %s', missing), repair);
    end loop;
end $$;
create or replace function quote_collab_doctor_schemas(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    trusted oid[] := array(select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes' or exists (
            select from @extschema@.quote_collab_settings s where (n.nspname, c.relname) = (s.table_schema, s.table_name)));
    names text;
    hints text;
begin
    select string_agg(format('%s in %I', @extschema@.quote_grantee(acl.grantee), n.nspname), ', '),
        string_agg(format('revoke create on schema %I from %s%s;', n.nspname, @extschema@.quote_grantee(acl.grantee),
            case when acl.is_grantable then ' cascade' else '' end), ' ')
    into names, hints
    from pg_namespace n cross join lateral aclexplode(n.nspacl) acl left join pg_roles r on r.oid = acl.grantee
    where n.oid in ('@extschema@'::regnamespace, (select h.oid from pg_namespace h where h.nspname = target_schema))
        and acl.privilege_type = 'CREATE' and r.rolsuper is not true and pg_has_role(r.oid, n.nspowner, 'usage') is not true
        and not exists (select from unnest(trusted) t (owner) where pg_has_role(r.oid, t.owner, 'usage'));
    return next @extschema@.quote_collab_verdict('schemas closed to others', names is null, 'warning',
        format('these roles may plant objects under names that attach, archive and maintenance use: %s', names), hints);
end $$;
create or replace function quote_collab_doctor_rows(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hidden text;
    found_rows boolean := false;
    at timestamptz;
    lag interval;
begin
    select string_agg(c.relname, ', ' order by c.relname) into hidden from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and not @extschema@.quote_rows_all_seen(c.oid::regclass) and c.relname in
        ('quote_changes', 'quote_changes_default', 'quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease', 'active_quote_sessions');
    if hidden is not null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('rows of %s are hidden from %s', hidden, current_user),
            'Run it as a superuser.')).* from unnest(array['default partition empty', 'relay keeps up', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    execute format('select exists (select from %I.quote_changes_default)', target_schema) into found_rows;
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
create or replace function quote_view_differs(target regclass, query text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text := (select string_agg(format('x.%I', a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped);
begin
    for attempt in 1 .. 3 loop
        if @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, rtrim(pg_get_viewdef(target), ';')))
            = @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, query))
        then
            return false;
        end if;
    end loop;
    return true;
-- A syntax error where the view was dropped in between.
exception when undefined_column or ambiguous_column or undefined_function or undefined_table or syntax_error then
    return true;
end $$;
create function quote_databases_elsewhere(role oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(distinct quote_ident(b.datname), ', ') from pg_shdepend d join pg_database b on b.oid = d.dbid
    join pg_roles r on r.oid = role and pg_has_role(r.oid, d.refobjid, 'member')
    where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_authid'::regclass and d.deptype = 'a' and b.datname <> current_database()
$$;
comment on function quote_databases_elsewhere(oid) is 'doctor: databases of which a role may be the gateway';
create function quote_gateway_roles() returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.oid from pg_roles r where not r.rolsuper and has_function_privilege(r.oid, '@extschema@.quote_relay_lease(text, interval)', 'execute')
$$;
comment on function quote_gateway_roles() is 'doctor: roles that a gateway may run as';
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
        'alter role … reset app.current_tenant_id; and look into postgresql.conf.');
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
        'fsync or full_page_writes is off: a crash loses or corrupts prices', 'alter system reset fsync; alter system reset full_page_writes;');
    return next @extschema@.quote_collab_verdict('commits are durable', current_setting('synchronous_commit') <> 'off', 'warning',
        'synchronous_commit is off: a crash takes back what users saw saved', 'alter system reset synchronous_commit;');
    return next @extschema@.quote_collab_verdict('transaction ids left', (select age(d.datfrozenxid) < 1500000000 from pg_database d where d.datname = current_database()),
        'error', 'this database is close to transaction id wraparound', 'vacuum freeze;');
    return next @extschema@.quote_collab_verdict('encoding', getdatabaseencoding() = 'UTF8', 'error', 'the database is not in UTF8', 'Create it anew in UTF8.');
    return query select * from @extschema@.quote_collab_doctor_writers(@extschema@.quote_library_preloaded());
    return query select * from @extschema@.quote_collab_doctor_processes(@extschema@.quote_library_preloaded());
end $$;
create function quote_role_begins_read_only(role oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select split_part(c.setting, '=', 2)::boolean from pg_db_role_setting s cross join lateral unnest(s.setconfig) c (setting)
        where s.setrole in (role, 0) and (s.setdatabase = 0 or s.setdatabase = (select d.oid from pg_database d where d.datname = current_database()))
            and c.setting ~ '^default_transaction_read_only='
        order by s.setrole = 0, s.setdatabase = 0 limit 1), (
        select s.setting::boolean from pg_settings s
        where s.name = 'default_transaction_read_only' and s.source in ('configuration file', 'command line', 'environment variable')), false)
$$;
comment on function quote_role_begins_read_only(oid) is 'doctor: whether transactions of a role are read-only by default';
create function quote_collab_doctor_writers(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select g.role from @extschema@.quote_gateway_roles() g (role) join pg_roles r on r.oid = g.role where r.rolcanlogin);
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', '),
        string_agg(format('alter role %I in database %I set default_transaction_read_only = off;', r.rolname, current_database()), ' ')
    into names, hints from pg_roles r where r.oid = any (gateways) and @extschema@.quote_role_begins_read_only(r.oid);
    if gateways = '{}' and preloaded is not true and @extschema@.quote_role_begins_read_only(0::oid) then
        names := 'whoever calls maintenance';
        hints := 'Preload the library, or call it from cron with begin read write; select @extschema@.quote_collab_maintenance(); commit;';
    end if;
    return next @extschema@.quote_collab_verdict('transactions may write', names is null, 'warning',
        format('default_transaction_read_only is on, so that maintenance, saves and the relay fail, for %s', names), hints);
end $$;
comment on function quote_collab_doctor_writers(boolean) is 'doctor: whether gateways and maintenance begin transactions that may write';
create or replace function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    pair record;
    relation jsonb;
begin
    if role is null then
        raise exception 'the role must not be null' using errcode = 'null_value_not_allowed', hint = 'Name the role of the gateway.';
    elsif not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object', hint = 'Create it first: create role ... login.';
    end if;
    execute format('grant usage on schema %I, @extschema@ to %I', home, role);
    execute format('grant execute on function %s to %I', (select string_agg(f::text, ', ') from @extschema@.quote_gateway_functions() f), role);
    execute format('grant select on %1$I.quote_changes, %1$I.v_quote_changes_all, %1$I.v_quote_change_events, %1$I.v_recent_quote_changes,
        %1$I.v_active_quote_collaborators to %2$I', home, role);
    if to_regclass(format('%I.quote_changes_archive', home)) is not null then
        execute format('grant select on %I.quote_changes_archive to %I', home, role);
    end if;
    execute format('grant select, insert, update, delete on %I.active_quote_sessions to %I', home, role);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        execute format('grant usage on schema %I, %I to %I', (pair.header).table_schema, (pair.line).table_schema, role);
        execute format('grant select, update on %I.%I, %I.%I to %I', (pair.header).table_schema, (pair.header).table_name,
            (pair.line).table_schema, (pair.line).table_name, role);
        for relation in select value from jsonb_each((pair.header).relations) loop
            execute format('grant usage on schema %I to %I', relation ->> 'schema', role);
            execute format('grant select on %I.%I to %I', relation ->> 'schema', relation ->> 'table', role);
        end loop;
    end loop;
    -- The gateway verifies tokens itself and then sets the tenant. PostgreSQL 14 has no such grant.
    if current_setting('quote_collab.tenant_source', true) = 'verified' and current_setting('server_version_num')::integer >= 150000 then
        execute format('grant set on parameter app.current_tenant_id to %I', role);
    end if;
end $$;
