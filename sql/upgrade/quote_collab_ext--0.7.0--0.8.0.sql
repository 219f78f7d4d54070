-- From 0.7.0 to 0.8.0.
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
drop function quote_late_names(jsonb);
drop function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, text);
alter table @extschema@.quote_collab_settings add column owners name[] not null default '{}', add column anchors oid[] not null default '{}',
    add column settled_in oid;
comment on column @extschema@.quote_collab_settings.owners is 'to whom the table and the log belonged when attach saw them';
comment on column @extschema@.quote_collab_settings.anchors is 'the table and the log that attach saw, whatever became of their names and owners';
comment on column @extschema@.quote_collab_settings.settled_in is 'this table, as far as anchors are of this database: in a restored dump it is another';
-- Whom attach trusted is what stands there now.
with found as (
    select s.table_schema, s.table_name, pg_catalog.array_agg(distinct pg_catalog.pg_get_userbyid(c.relowner)) as owners, pg_catalog.array_agg(c.oid) as anchors
    from @extschema@.quote_collab_settings s join pg_catalog.pg_class c on true
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    where c.relname operator(pg_catalog.=) s.table_name and n.nspname operator(pg_catalog.=) s.table_schema
        or c.relname operator(pg_catalog.=) 'quote_changes' and n.nspname operator(pg_catalog.=) s.log_schema
    group by s.table_schema, s.table_name)
update @extschema@.quote_collab_settings s set owners = f.owners, anchors = f.anchors,
    settled_in = '@extschema@.quote_collab_settings'::pg_catalog.regclass
from found f where s.table_schema operator(pg_catalog.=) f.table_schema and s.table_name operator(pg_catalog.=) f.table_name;
create or replace function find_quote_target(entity text, row_id uuid) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings;
    targets @extschema@.quote_collab_settings[] := array(
        select s from @extschema@.quote_collab_settings s where s.entity = find_quote_target.entity
        order by s.attached_at, s.table_schema, s.table_name);
begin
    if cardinality(targets) < 2 then
        target := coalesce(targets[1], @extschema@.quote_collab_target(entity));
        perform @extschema@.require_quote_table(target);
        return target;
    elsif row_id is null then
        return targets[1];
    end if;
    foreach target in array targets loop
        if @extschema@.quote_table_trusted(target) and @extschema@.quote_table_holds(target, row_id) then
            return target;
        end if;
    end loop;
    foreach target in array targets loop
        if @extschema@.quote_table_trusted(target) and @extschema@.quote_columns_readable(target, '{id,tenant}'::text[]) then
            return target;
        end if;
    end loop;
    perform @extschema@.require_quote_table(targets[1]);
    return targets[1];
end $$;
create function quote_customer_join(header quote_collab_settings, customers jsonb, customer text, tenant text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format(' left join %I.%I c on c.%I = %s', customers ->> 'schema', customers ->> 'table', customers ->> 'id', customer)
        || coalesce((select format(' and (c.%1$I = %2$s or c.%1$I is null)', t.name, tenant) from @extschema@.quote_customer_tenant(header, customers) t (name)), '');
end $$;
create function quote_owner_trusted(owner oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from pg_roles r where r.oid = owner and r.rolsuper) or exists (
        select from @extschema@.quote_collab_settings s
        where pg_get_userbyid(owner) = any (s.owners)
            or s.settled_in = '@extschema@.quote_collab_settings'::regclass and exists (
                select from pg_class c where c.oid = any (s.anchors) and c.relowner = owner)
            or s.owners = '{}' and exists (
                select from pg_class c join @extschema@.quote_carriers() k on k.relation = c.oid
                where c.oid = @extschema@.quote_collab_table(s) and c.relowner = owner));
end $$;
create function quote_table_trusted(target quote_collab_settings) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(@extschema@.quote_owner_trusted((select c.relowner from pg_class c where c.oid = @extschema@.quote_collab_table(target))), false);
end $$;
create function require_quote_table(target quote_collab_settings) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if @extschema@.quote_table_trusted(target) then
        return;
    elsif @extschema@.quote_collab_table(target) is null then
        raise exception 'there is no table %.%', target.table_schema, target.table_name using errcode = 'undefined_table',
            hint = 'It was renamed or dropped: attach the table anew, as a superuser.';
    end if;
    raise exception 'table %.% is not the one that was attached', target.table_schema, target.table_name
        using errcode = 'object_not_in_prerequisite_state', detail = 'It belongs to somebody who owned neither that one nor the history.',
              hint = @extschema@.quote_strangers_hint('Attach it anew, as a superuser, if it took the place of the other.');
end $$;
create function require_quote_home(names text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    missing text := (
        select string_agg(format('%I.%I', home, k.name), ', ') from unnest(names) k (name)
        left join pg_class c on c.relname = k.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = home)
        where c.oid is null or not @extschema@.quote_owner_trusted(c.relowner));
begin
    if missing is not null then
        raise exception 'the history is not as attach left it' using errcode = 'object_not_in_prerequisite_state',
            detail = format('Gone, or of somebody to whom nothing of it belonged: %s.', missing),
            hint = @extschema@.quote_strangers_hint('Rename what is not of quote collaboration, and attach anew, as a superuser.');
    end if;
end $$;
create function note_quote_owners() returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update @extschema@.quote_collab_settings s set owners = n.owners
    from (
        select o.table_schema, o.table_name, array_agg(distinct pg_get_userbyid(c.relowner)) as owners
        from @extschema@.quote_collab_settings o join pg_class c on c.oid = any (o.anchors)
        where o.settled_in = '@extschema@.quote_collab_settings'::regclass group by o.table_schema, o.table_name) n
    where (s.table_schema, s.table_name) = (n.table_schema, n.table_name) and not (n.owners <@ s.owners and s.owners <@ n.owners)
$$;
create function strange_quote_tables() returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct c.oid::regclass
    from @extschema@.quote_collab_settings s
    cross join lateral (
        values (s.table_schema, s.table_name), (s.log_schema, 'quote_changes'), (s.log_schema, 'quote_changes_seals'), (s.log_schema, 'active_quote_sessions'),
            (s.log_schema, 'quote_relay_batch'), (s.log_schema, 'quote_relay_lease')) k (schema, name)
    join pg_namespace n on n.nspname = k.schema join pg_class c on c.relnamespace = n.oid and c.relname = k.name
    where not @extschema@.quote_owner_trusted(c.relowner)
$$;
create function guard_quote_settings() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not pg_has_role(current_user, (select c.relowner from pg_class c where c.oid = tg_relid), 'member') then
        raise exception 'table % is written by functions of the extension alone', tg_relid::regclass using errcode = 'insufficient_privilege',
            hint = 'Settings are given to attach_quote_collaboration(), by a superuser; the anchor of the seals is kept by sealing.';
    end if;
    return null;
end $$;
create or replace function quote_relation_stands(relation text, kind "char", owner name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_kind "char";
    found_owner oid;
begin
    select c.relkind, c.relowner into found_kind, found_owner from pg_class c where c.oid = to_regclass(relation);
    if not found then
        return false;
    elsif found_kind = kind and (pg_get_userbyid(found_owner) = owner or @extschema@.quote_owner_trusted(found_owner)) then
        return true;
    end if;
    raise exception 'relation % is in the way', relation
        using errcode = 'duplicate_table', detail = format('It belongs to %s, to whom nothing belonged that attach knows.', pg_get_userbyid(found_owner)),
              hint = format('If it is of an earlier attach: %s Else rename it, and let nobody but %s create anything in schema %s.',
                  @extschema@.quote_home_handover(to_regclass(relation), owner), owner, split_part(relation, '.', 1));
end $$;
create function remember_quote_versions(settings quote_collab_settings, part regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('insert into @extschema@.quote_former_versions as f select t.%1$s, %2$L, max(t.%3$s), now() from only %4$s t where t.%1$s is not null group by 1
        on conflict (row_id, is_line) do update set version = greatest(f.version, excluded.version), ended_at = excluded.ended_at',
        @extschema@.quote_collab_column(settings, 'id'), settings.entity = 'QUOTE_LINE', @extschema@.quote_collab_column(settings, 'version'), part);
end $$;
create function quote_former_version(entity text, row_id uuid) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    former bigint := (
        select f.version from @extschema@.quote_former_versions f
        where (f.row_id, f.is_line) = (quote_former_version.row_id, quote_former_version.entity = 'QUOTE_LINE'));
begin
    return case when former is not null and @extschema@.quote_row_is_locked(@extschema@.find_quote_target(entity, row_id), row_id) then former end;
end $$;
create function leave_quote_former_life(target quote_collab_settings, row_id uuid, version integer, path text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    behind bigint := @extschema@.quote_former_version(target.entity, row_id) + 1;
begin
    if behind > version then
        perform @extschema@.apply_quote_changes(target, row_id, '{}'::jsonb, '{}'::jsonb, jsonb_build_object(target.columns ->> 'version', behind), path);
        return true;
    end if;
    return false;
end $$;
create or replace function recent_quote_change_names() returns table (change_id uuid, quote_number text, line_number text, user_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    quote_numbers text := 'null::text';
    line_numbers text := 'null::text';
    joins text := '';
    place integer := 0;
    author record;
    role text;
begin
    perform @extschema@.require_quote_home('{quote_changes}'::text[]);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        place := place + 1;
        if @extschema@.quote_table_trusted(pair.header) and @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number}'::text[]) then
            quote_numbers := quote_numbers || format(', q%s.%s::text', place,
                coalesce(@extschema@.quote_collab_column(pair.header, 'quote_number'), @extschema@.quote_collab_column(pair.header, 'id')));
            joins := joins || @extschema@.quote_change_join(pair.header, 'q' || place, 'quote_id');
        end if;
        role := case when (pair.line).columns ? 'line_number' then 'line_number' else 'version' end;
        if @extschema@.quote_table_trusted(pair.line) and @extschema@.quote_columns_readable(pair.line, array['id', 'tenant', role]) then
            line_numbers := line_numbers || format(', l%s.%s::text', place, @extschema@.quote_collab_column(pair.line, role));
            joins := joins || @extschema@.quote_change_join(pair.line, 'l' || place, 'quote_line_id');
        end if;
    end loop;
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format('select c.id, coalesce(%s), coalesce(%s), %s from %I.quote_changes c %s %s
        where c.changed_at > now() - interval ''24 hours''', quote_numbers, line_numbers, author.name_expression,
        @extschema@.quote_collab_home(), joins, author.join_clause);
end $$;
create or replace function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    customers jsonb;
    customer_column text;
begin
    perform @extschema@.require_quote_home('{active_quote_sessions}'::text[]);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        continue when not (@extschema@.quote_table_trusted(pair.header)
            and @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number,customer}'::text[]));
        customer_column := @extschema@.quote_collab_column(pair.header, 'customer');
        customers := case when customer_column is not null then @extschema@.quote_names(pair.header, 'customers'::text) end;
        return query execute format('select q.%1$s, q.%2$s, q.%3$s::text, %4$s::text, %5$s::text from %6$I.%7$I q %8$s
            where q.%1$s in (select s.quote_id from %9$I.active_quote_sessions s
                where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl())',
            @extschema@.quote_collab_column(pair.header, 'id'), @extschema@.quote_collab_column(pair.header, 'tenant'),
            coalesce(@extschema@.quote_collab_column(pair.header, 'quote_number'), @extschema@.quote_collab_column(pair.header, 'id')),
            coalesce('q.' || customer_column, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
            (pair.header).table_schema, (pair.header).table_name,
            case when customers is null then '' else @extschema@.quote_customer_join(pair.header, customers, 'q.' || customer_column,
                'q.' || @extschema@.quote_collab_column(pair.header, 'tenant')) end, (pair.header).log_schema);
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
    perform @extschema@.require_quote_table(settings), @extschema@.require_quote_home('{quote_changes}'::text[]);
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
        from only %8$s t where num_nulls(t.%10$s, t.%2$s, t.%3$s) = 0$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and settings.columns ? 'line_number'
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part, format('%I.quote_changes_position_seq', settings.log_schema), @extschema@.quote_collab_column(settings, 'id'),
        array(select a.attname::text from pg_attribute a where a.attrelid = part and a.attgenerated = 'v' and not a.attisdropped))
$$;
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
        where not exists (select from noted n where n.relation = c.relation) and @extschema@.quote_owner_trusted(t.relowner)),
    possible as (
        select l.s, y.relation, y.nspname, y.relname,
            case when y.relname = (l.s).table_name then 2 else 0 end + case when y.nspname = (l.s).table_schema then 1 else 0 end as likeness
        from lost l join stray y on y.entity = (l.s).entity and (y.arguments is null
            or y.arguments @> (l.s).columns and y.arguments ->> 'log' = format('%I.quote_changes', (l.s).log_schema)))
    select p.s, p.nspname, p.relname from possible p
    where not exists (select from possible o where o.s = p.s and o.relation <> p.relation and o.likeness >= p.likeness)
        and not exists (select from possible o where o.s <> p.s and o.relation = p.relation and o.likeness >= p.likeness)
$$;
create or replace function follow_quote_home() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    homes name[] := array(
        select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = 'quote_changes' and c.relkind = 'p' and @extschema@.quote_owner_trusted(c.relowner) and exists (
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
create or replace function check_quote_column_option(options jsonb, option text, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    roles text[] := array(select r.role from @extschema@.quote_column_roles('{}'::text[]) r where r.entity = check_quote_column_option.entity);
    free text[] := array(select r.role from @extschema@.quote_column_roles('{}'::text[]) r
        where r.entity = check_quote_column_option.entity and not r.required and r.role <> 'version');
    wrong record;
begin
    if jsonb_typeof(options -> option) <> 'object' then
        raise exception 'option "%" must be a json object', option
            using errcode = 'invalid_parameter_value', hint = format('Name columns by role: {"%s": {"tenant": "..."}}.', option);
    end if;
    select e.key, e.value into wrong from jsonb_each(options -> option) e
    where e.key <> all (roles) or jsonb_typeof(e.value) <> case when e.key = any (free) and e.value = 'null' then 'null' else 'string' end limit 1;
    if found and wrong.key = any (roles) then
        raise exception 'option "%" must name a column for the role "%"', option, wrong.key using errcode = 'invalid_parameter_value',
            hint = format('Give its name as text%s.', case when wrong.key = any (free) then ', or null where no column shall play the role' else '' end);
    elsif found then
        raise exception 'option "%" knows no role "%"', option, wrong.key
            using errcode = 'invalid_parameter_value', hint = format('Use one of: %s.', array_to_string(roles, ', '));
    end if;
end $$;
create or replace function find_quote_column(target regclass, role text, chosen jsonb, candidates text[], required boolean)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_column text;
begin
    if not required and chosen -> role = 'null' then
        return null;
    end if;
    select a.attname into found_column
    from unnest(case when chosen ? role then array[chosen ->> role] else candidates end) with ordinality c (name, place)
    join pg_attribute a on a.attrelid = target and a.attname = c.name and a.attnum > 0 and not a.attisdropped
    order by c.place limit 1;
    if found_column is null and (required or chosen ? role) then
        raise exception 'table % has no column for the role "%"', target, role
            using errcode = 'undefined_column',
                  detail = format('Looked for: %s.', array_to_string(case when chosen ? role then array[chosen ->> role] else candidates end, ', ')),
                  hint = format('Name it in the options, "columns" for the header, "line_columns" for the lines: {"%s": "..."}.', role);
    end if;
    return found_column;
end $$;
create or replace function check_quote_column_types(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
    another text := 'Name another column, which is added if it is not there: {"columns": {"version": "collab_version"}}, "line_columns" for the lines.';
begin
    select a.attname, r.role, r.types into wrong
    from @extschema@.quote_column_roles('{}'::text[]) r
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and not a.attisdropped
    where @extschema@.quote_base_type(a.atttypid) <> all (r.types)
    limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'datatype_mismatch', detail = format('It must be of type %s.', array_to_string(wrong.types, ' or ')),
                hint = case wrong.role when 'version' then another else
                    format('Name another column: {"columns": {"%s": "..."}}, "line_columns" for the lines.', wrong.role) end;
    end if;
    select a.attname, r.role into wrong from unnest('{id,tenant,quote,updated_by,created_by}'::text[]) r (role)
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and a.attgenerated = 'v'
    order by r.role limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'generated_always', detail = 'It is virtual: no row holds its value, and no trigger sees it.',
                  hint = 'Generate it stored, or name another column.';
    end if;
    select a.attname into wrong from pg_attribute a
    where a.attrelid = target and a.attname = columns ->> 'version' and (a.attgenerated <> '' or a.attidentity <> '');
    if found then
        raise exception 'column "%" of % cannot play the role "version"', wrong.attname, target
            using errcode = 'generated_always', detail = 'PostgreSQL generates its values, and each change counts it up.',
                  hint = another;
    end if;
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
    perform @extschema@.drop_quote_triggers(target), @extschema@.create_quote_triggers(target, settings, log),
        @extschema@.tell_of_quote_late_triggers(settings);
    return settings;
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
create or replace function detach_quote_home(header quote_collab_settings, drop_history boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    role name;
begin
    execute format('drop view if exists %1$I.v_quote_change_events, %1$I.v_quote_changes_all', header.log_schema);
    execute format('drop table if exists %I.active_quote_sessions', header.log_schema);
    for role in select r.rolname from pg_roles r where r.rolname = any (header.writers_granted) loop
        execute format('revoke execute on function @extschema@.cleanup_stale_quote_sessions() from %I', role);
    end loop;
    if not drop_history then
        perform @extschema@.release_quote_history(header.log_schema);
        return;
    end if;
    perform @extschema@.forget_quote_changes(to_regclass(format('%I.quote_changes', header.log_schema)));
    execute format('drop table if exists %1$I.quote_changes, %1$I.quote_changes_archive, %1$I.quote_changes_seals, %1$I.quote_relay_batch,
        %1$I.quote_relay_lease', header.log_schema);
    delete from @extschema@.quote_seal_anchor a where a.log_schema = header.log_schema;
    delete from @extschema@.quote_former_versions;
    for role in
        select r.rolname from pg_roles r join pg_namespace n on n.nspname = header.log_schema where r.rolname = any (header.usage_granted)
    loop
        execute format('revoke usage on schema %I from %I', header.log_schema, role);
    end loop;
end $$;
create function quote_place_is_locked(relation oid, place tid) returns boolean
strict language c as 'MODULE_PATHNAME', 'quote_place_is_locked';
create or replace function quote_row_is_locked(target quote_collab_settings, row_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    is_locked boolean;
begin
    execute format('select @extschema@.quote_place_is_locked(t.tableoid, t.ctid) from %I.%I t where t.%s = $1', target.table_schema, target.table_name,
        @extschema@.quote_collab_column(target, 'id')) into is_locked using row_id;
    return coalesce(is_locked, false);
end $$;
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
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_position_seq}'::text[]);
    if current_row is null or actual_version = expected_version or expected_version is null or not @extschema@.quote_row_is_locked(target, row_id) then
        return;
    end if;
    fields := @extschema@.normalise_quote_changes(target, changes);
    execute format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type,
            field_name, old_value, new_value, change_type, session_id, was_conflict, conflict_resolution,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select @extschema@.uuid_generate_v7(), $1, $2, $3, $4, clock_timestamp(), $5, f.key, nullif($6 -> f.key, 'null'), nullif(f.value, 'null'), 'UPDATE',
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
    is_text boolean;
begin
    if changes is null then
        raise exception 'the changes must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass {"field": value, ...}.';
    elsif jsonb_typeof(changes) <> 'object' then
        raise exception 'the changes must be a json object' using errcode = 'invalid_parameter_value',
            hint = 'Pass {"field": value, ...}.';
    elsif jsonb_path_exists(changes, '$.** ? (@ > 1e300 || @ < -1e300)') or exists (
            select from jsonb_path_query(changes, '$.** ? (@.type() == "number")') n (value) where scale(n.value::numeric) > 300) then
        -- A few bytes name a number that takes a hundred thousand to write down.
        raise exception 'a number is too long' using errcode = 'numeric_value_out_of_range', detail = 'It has more than 300 digits before or after the point.',
            hint = 'Give a number that fits its column.';
    elsif octet_length(changes::text) > 1048576 then
        raise exception 'the changes are too large' using errcode = 'program_limit_exceeded',
            detail = 'At most 1 MiB of changes is accepted at once.', hint = 'Save fewer fields at a time.';
    end if;
    for item in select key, value from jsonb_each(changes) loop
        select a.attname, a.attgenerated <> '' or a.attidentity = 'a', t.typcategory = 'S' into column_name, generated, is_text
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
          and a.attname in (item.key, @extschema@.quote_field_name(item.key))
        order by a.attname = item.key desc limit 1;
        if not found then
            raise exception 'unknown field "%"', left(item.key, 63) using errcode = 'undefined_column',
                hint = format('Fields are the columns of %s, as they are named or in camelCase.', relation);
        elsif generated or column_name in (select target.columns ->> r from unnest('{id,tenant,version,quote,updated_at,updated_by,created_by}'::text[]) r)
                or column_name = 'created_at' then
            raise exception 'field "%" is read-only', column_name using errcode = 'insufficient_privilege',
                hint = 'Leave it out of the changes: it is set by the database.';
        elsif is_text and jsonb_typeof(item.value) in ('object', 'array') then
            raise exception 'the value of field "%" does not fit its column', column_name using errcode = 'invalid_text_representation',
                detail = 'The column is a text.', hint = 'Give it as text.';
        elsif normal ? column_name::text then
            raise exception 'field "%" is given twice', column_name using errcode = 'invalid_parameter_value',
                detail = 'Once in camelCase and once in snake_case.', hint = 'Name it once.';
        end if;
        normal := normal || jsonb_build_object(column_name, item.value);
    end loop;
    return normal;
end $$;
create or replace function refuse_quote_amounts(target quote_collab_settings, coerced jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    field text := (
        select c.key from jsonb_each_text(coerced) c join pg_attribute a on a.attrelid = @extschema@.quote_collab_table(target) and a.attname = c.key
        join pg_type t on t.oid = a.atttypid and t.typcategory = 'N'
        where c.value in ('NaN', 'Infinity', '-Infinity') order by c.key limit 1);
begin
    if field is not null then
        raise exception 'the value of field "%" is no amount', field using errcode = 'numeric_value_out_of_range',
            hint = 'Give it as a number with an end, or null.';
    end if;
end $$;
create function apply_quote_changes(target quote_collab_settings, row_id uuid, seen jsonb, changes jsonb, derived jsonb, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
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
        union all select format('%I = %s', d.key, d.value) from jsonb_each_text(derived) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    perform set_config('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')), true);
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
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    if changed > 1 then
        raise exception 'several rows have this id' using errcode = 'cardinality_violation',
            detail = format('%s rows of %s have it, and a save is based on one.', changed, relation), hint = 'Let a unique index say that an id names one row.';
    end if;
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    updated := coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
    if exists (select from unnest('{tenant,quote}'::text[]) key (role)
            where updated ->> (target.columns ->> key.role) <> seen ->> (target.columns ->> key.role)) then
        raise exception 'the % cannot be moved by a save', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            detail = 'A column that says to whom it belongs follows from a changed one.', hint = 'Move it by an update of the table, as a role that may.';
    end if;
    return updated;
end $$;
create or replace function quote_new_value(target quote_collab_settings, role text, changes jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when target.columns ? role
        then format('%s.%I', case when changes ? (target.columns ->> role) then 'r' else 't' end, target.columns ->> role) || case when exists (
            select from pg_attribute a where a.attrelid = @extschema@.quote_collab_table(target) and a.attname = target.columns ->> role
                and @extschema@.quote_base_type(a.atttypid) in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)) then '::pg_catalog.numeric' else '' end
        else '0' end
$$;
create or replace function quote_total_expression(header quote_collab_settings, subtotal text, changes jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.-) coalesce(%s, 0)', subtotal,
        @extschema@.quote_new_value(header, 'tax_amount', changes),
        @extschema@.quote_new_value(header, 'shipping_amount', changes),
        @extschema@.quote_new_value(header, 'discount_amount', changes))
$$;
create or replace function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    conflicts jsonb;
    author record;
    history text := format(case when @extschema@.quote_archive_stands(target.log_schema)
            and has_table_privilege(to_regclass(format('%I.quote_changes_archive', target.log_schema)), 'select')
        then '(select * from %1$I.quote_changes union all select * from %1$I.quote_changes_archive)' else '%1$I.quote_changes' end, target.log_schema);
begin
    select * into author from @extschema@.quote_user_join('last.changed_by');
    execute format($query$
        with recursive stays (quote_id, until) as (
            select $1, 9223372036854775807
            union all
            select gone.quote_id, gone.position from stays s
            cross join lateral (select c.xid, c.position from %1$s c where c.quote_id = s.quote_id and c.quote_line_id = $2 and c.position < s.until
                and c.change_type = 'CREATE' order by c.position desc limit 1) came
            cross join lateral (select c.quote_id, c.position from %1$s c where c.xid = came.xid and c.quote_line_id = $2 and c.position < came.position
                and c.change_type = 'DELETE' order by c.position desc limit 1) gone
            where gone.quote_id <> s.quote_id),
        whole as materialized (
            select c.* from stays s join %1$s c on c.quote_id = s.quote_id and c.position <= s.until
            where c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED'),
        log as materialized (
            select w.field_name, w.change_type, w.old_value, w.changed_by, w.changed_at, w.position from whole w
            where w.position > coalesce((select max(b.position) from whole b where b.entity_version_after = $3), 0)
                and (w.entity_version_after > $3 or w.change_type = 'DELETE' and w.entity_version_before >= $3))
        select jsonb_agg(jsonb_build_object(
            'field', f.key, 'expectedVersion', $3, 'actualVersion', $5 -> $6,
            'baseValue', case when base.position is null then $5 -> f.key else base.old_value end,
            'currentValue', $5 -> f.key, 'attemptedValue', f.value,
            'lastChangedBy', last.changed_by, 'lastChangedByName', %2$s, 'lastChangedAt', last.changed_at) order by f.key)
        from jsonb_each($4) f
        left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as old_value from log l
                           where l.change_type <> 'CREATE' and l.field_name in (f.key, '*') order by l.position limit 1) base on true
        left join lateral (select l.changed_by, l.changed_at from log l
                           order by l.field_name = f.key desc, l.position desc limit 1) last on true
        %3$s$query$, history, author.name_expression, author.join_clause)
    into conflicts
    using coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case target.entity when 'QUOTE_LINE' then (current_row ->> (target.columns ->> 'id'))::uuid end,
          expected_version, changes, current_row, target.columns ->> 'version';
    return coalesce(conflicts, '[]');
end $$;
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
    derived jsonb := @extschema@.quote_author_column(header);
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(header, @extschema@.normalise_quote_changes(header, changes));
    perform set_config('app.current_session_id', coalesce(session_id::text, former), true);
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
        perform set_config('app.current_session_id', former, true);
        return;
    end if;
    if header.columns ? 'total_amount' and header.columns ? 'subtotal' and fields ?| array(
            select header.columns ->> part from unnest('{subtotal,tax_amount,shipping_amount,discount_amount}'::text[]) part
            where header.columns ? part) then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount',
            @extschema@.quote_total_expression(header, @extschema@.quote_new_value(header, 'subtotal', fields), fields));
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, quote, fields, derived, path);
    end if;
    new_version := @extschema@.quote_row_version(header, quote);
    perform set_config('app.current_session_id', former, true);
    success := true;
    conflicts := '[]';
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
    return @extschema@.apply_quote_changes(header, quote_id, '{}'::jsonb, '{}'::jsonb, derived, path);
end $$;
create or replace function derived_line_columns(line quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when line.columns ?& '{quantity,unit_price,line_amount}' and fields ?| array[line.columns ->> 'quantity', line.columns ->> 'unit_price']
        then jsonb_build_object(line.columns ->> 'line_amount', @extschema@.quote_new_value(line, 'quantity', fields) || ' operator(pg_catalog.*) ' || @extschema@.quote_new_value(line, 'unit_price', fields))
        else '{}' end
$$;
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
    perform set_config('app.current_session_id', coalesce(session_id::text, former), true);
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure', hint = 'Try again.';
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
        perform set_config('app.current_session_id', former, true);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, quote_line, fields,
            @extschema@.quote_author_column(line) || @extschema@.derived_line_columns(line, fields), path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    perform set_config('app.current_session_id', former, true);
    success := true;
    conflicts := '[]';
end $$;
create or replace function quote_session_target() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{active_quote_sessions}'::text[]);
    return format('%I.active_quote_sessions', @extschema@.quote_collab_home());
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
            coalesce(user_name, known.user_name), coalesce(user_email, known.user_email), coalesce(status, 'VIEWING'),
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
    if cursor_position < 0 then
        raise exception 'the cursor position must not be negative' using errcode = 'invalid_parameter_value',
            hint = 'Count from 0, in UTF-16 code units.';
    elsif char_length(current_field) > 63 then
        raise exception 'the field name is too long' using errcode = 'string_data_right_truncation', hint = 'Pass the name of a column.';
    end if;
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
create or replace function get_active_quote_sessions(quote_id uuid) returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '');
    if pg_is_in_recovery() then
        raise exception 'sessions are not known on a standby' using errcode = 'feature_not_supported',
            detail = 'Their table is unlogged.', hint = 'Ask the primary.';
    end if;
    return query execute format('select s.* from %s s where s.quote_id = $1 and ($3 or s.tenant_id = $2)
        and s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl() order by s.joined_at, s.session_id',
        @extschema@.quote_session_target())
    using quote_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
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
    perform @extschema@.require_quote_home('{quote_changes,v_quote_changes_all}'::text[]);
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
        (select jsonb_build_object('id', %1$s, 'quote_number', %2$s, 'customer_name', %3$s, 'status', %4$s, 'total_amount', %5$s, 'version', coalesce(q.%6$s, 0)),
            row_number() over (order by %7$s) from %8$I.%9$I q %10$s where q.%11$s = $1 order by %7$s limit $2)$query$,
        id, coalesce(number, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'status'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'total_amount'), 'null'),
        @extschema@.quote_collab_column(header, 'version'), coalesce(number || ' desc', id), header.table_schema, header.table_name,
        case when customers is null then '' else @extschema@.quote_customer_join(header, customers, customer, 'q.' || @extschema@.quote_collab_column(header, 'tenant')) end,
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
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value', hint = 'Set app.current_tenant_id, or where tenants are verified, call authenticate_quote_user(token).';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value',
            hint = 'Ask for fewer at a time.';
    end if;
    if alone then
        perform @extschema@.require_quote_table(@extschema@.quote_collab_target('QUOTE'::text));
        query := @extschema@.quote_list_query(@extschema@.quote_collab_target('QUOTE'));
    else
        select string_agg(format('select q.item, q.place, %s from %s q (item, place)', p.pair, @extschema@.quote_list_query(p.header)), ' union all ')
        into query from @extschema@.quote_collab_pairs() with ordinality p (header, line, pair)
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
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    perform @extschema@.require_quote_home('{quote_changes}'::text[]), @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            -- The clock may have been set back since: changes were then made before the floor.
            c := row(c.origin, c.prev, c.prev_at, least(c.floor_at, extract(epoch from clock_timestamp())), seen,
                extract(epoch from clock_timestamp()), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity())::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
create or replace function quote_relay_lease(holder text, ttl interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    granted bigint;
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set holder = $1, expires_at = clock_timestamp() + $2,
            epoch = case when l.holder = $1 then l.epoch else l.epoch + 1 end
        where l.holder = $1 or l.expires_at < clock_timestamp() returning l.epoch', @extschema@.quote_relay_table('quote_relay_lease'))
    into granted using holder, ttl;
    return granted;
end $$;
create or replace function quote_relay_state_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch,quote_relay_lease}'::text[]);
    return format('select l.epoch = $1, b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin, b.xmin
        from %1$I.quote_relay_lease l cross join %1$I.quote_relay_batch b order by b.no desc limit 1', @extschema@.quote_collab_home());
end $$;
create or replace function quote_relay_last_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    perform @extschema@.require_quote_home('{quote_relay_batch}'::text[]);
    select r.no into no from @extschema@.quote_prepared_rows(
        format('select coalesce(max(b.no), 0) from %s b', @extschema@.quote_relay_table('quote_relay_batch')), row()) r (no bigint);
    return no;
end $$;
create or replace function quote_relay_first_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    perform @extschema@.require_quote_home('{quote_relay_batch}'::text[]);
    execute format('select coalesce(min(b.no), 0) from %s b where b.no > 0', @extschema@.quote_relay_table('quote_relay_batch')) into no;
    return no;
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
            @extschema@.quote_kept_query('@extschema@.quote_batch_query()'::regprocedure::oid),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '1 day', 'infinity'::timestamptz, max)) r ("position" bigint, event jsonb);
    end if;
end $$;
create or replace function quote_relay_checkpoint(epoch bigint, batch bigint, "position" bigint, stream_seq bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set batch = $2, position = $3, stream_seq = $4 where l.epoch = $1',
        @extschema@.quote_relay_table('quote_relay_lease')) using epoch, batch, "position", stream_seq;
end $$;
create or replace function quote_relay_position(out batch bigint, out "position" bigint, out stream_seq bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('select l.batch, l.position, l.stream_seq from %s l', @extschema@.quote_relay_table('quote_relay_lease'))
    into batch, "position", stream_seq;
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
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
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
    select format('%s belongs to %s, whom attach did not know', c.oid::regclass, pg_get_userbyid(c.relowner)) from expected e
    join pg_class c on c.oid = e.relation where not @extschema@.quote_owner_trusted(c.relowner)
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
create or replace function quote_history_digest() returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    digest text;
begin
    perform @extschema@.require_quote_home('{quote_changes_seals}'::text[]);
    execute format('select s.no || '':'' || encode(s.hash, ''hex'') from %s s order by s.no desc limit 1',
        @extschema@.quote_relay_table('quote_changes_seals')) into digest;
    return digest;
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
            delete from @extschema@.quote_former_versions f where f.ended_at < now() - policy.drop_after;
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
    perform @extschema@.note_quote_owners();
    -- What keeps one thing from being done keeps nothing else. Whoever may write presence may lock it, to begin with.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    -- A lock that nobody takes without rights on the batches; who cuts or reads them is not in its way.
    begin
        perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
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
            perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
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
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
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
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals,quote_relay_batch}'::text[]);
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select archive_quote_changes(interval ''24 months'').';
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
    options := (
        select coalesce(jsonb_object_agg(c.key, c.value), '{}') from (values
            ('columns', @extschema@.quote_chosen_columns(header, header)), ('line_columns', @extschema@.quote_chosen_columns(line, header))) c (key, value)
        where c.value is not null) || jsonb_strip_nulls(jsonb_build_object(
        'ignored_columns', nullif(to_jsonb(array(select i.name from unnest(header.ignored_columns) i (name)
            where exists (select from pg_attribute a where a.attrelid in (header_found, line_found) and a.attname = i.name and not a.attisdropped))), '[]'),
        'system_user_id', header.system_user_id,
        'truncate', nullif(header.truncation, 'refuse'), 'replicated_history', nullif(header.replicated_history, false),
        'archive_after', header.archive_after, 'drop_after', header.drop_after)) || @extschema@.quote_chosen_relations(header, header_found);
    return format('select @extschema@.attach_quote_collaboration(%L, %L, %L);', header_found, line_found, options);
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
        where r.entity = settings.entity and 'numeric'::regtype = any (r.types) and found_alone ? r.role and not settings.columns ? r.role) c (key, value);
    return chosen;
exception when undefined_column then
    return chosen;
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
        format('alter schema @extschema@ owner to %I;', (select r.rolname from pg_roles r where r.rolsuper order by r.oid limit 1)));
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
    return query select * from @extschema@.quote_collab_doctor_schemas(target_schema);
    return query select * from @extschema@.quote_collab_doctor_readers(target_schema);
end $$;
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
            'Run it as a superuser.')).* from unnest(array['positions ascend', 'default partition empty', 'relay keeps up', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    execute format('select coalesce((select max(c.position) from %1$I.quote_changes c
            where c.changed_at > now() - interval ''1 day'' and c.origin = @extschema@.quote_cluster_identifier()), 0)
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
    select string_agg(format('%s on %s', r.rulename, c.oid::regclass), ', '), string_agg(format('drop rule %I on %s;', r.rulename, c.oid::regclass), ' ')
    into names, hints from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    where r.rulename <> '_RETURN' and r.is_instead and (n.nspname = target_schema and c.relname in (select v.view_name from @extschema@.quote_view_queries(target_schema) v)
        or c.oid in (select l.relation from @extschema@.quote_own_relations(target_schema) l)
        or c.oid in (select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)::oid
            union select p.relid from pg_partition_tree(@extschema@.quote_collab_table(s)) p) t (oid)));
    return next @extschema@.quote_collab_verdict('no rules', names is null, 'error',
        format('these rules turn statements into others: %s', names), hints);
end $$;
create or replace function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
    part text;
    strange text;
    hints text;
begin
    return next @extschema@.quote_collab_verdict('attached', home is not null, 'error', 'quote collaboration is not attached',
        'select @extschema@.attach_quote_collaboration();');
    if home is not null then
        select string_agg(format('%s of %s', t.relation, pg_get_userbyid(c.relowner)), ', ' order by c.relname),
            string_agg(format('alter table %s rename to %I;', t.relation, left('not_ours_' || c.relname, 63)), ' ' order by c.relname)
        into strange, hints from @extschema@.strange_quote_tables() t (relation) join pg_class c on c.oid = t.relation;
        if strange is not null and @extschema@.quote_settings_restored() then
            hints := @extschema@.quote_attach_statement();
        end if;
        return next @extschema@.quote_collab_verdict('tables are those of attach', strange is null, 'error',
            format('these took the names of attached tables or of the history, and nothing more is checked: %s', strange), hints);
        return next @extschema@.quote_collab_verdict('owners are noted', not exists (select from @extschema@.quote_collab_settings s where s.owners = '{}'), 'warning',
            'the settings come from a release that did not note to whom the tables belong', @extschema@.quote_attach_statement());
    end if;
    foreach part in array '{server,tables,history,rows,objects,security,grants,tenants}'::text[] loop
        if home is not null and strange is null or part = 'server' then
            return query select * from @extschema@.quote_collab_doctor_part(part, home);
        end if;
    end loop;
end $$;
create or replace function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the expected version must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the version that you read, 0 for null.';
    elsif expected_version < 0 then
        raise exception 'the expected version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version), hint = 'Pass the version that you read, 0 for null.';
    end if;
end $$;
create or replace function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    if since_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed', hint = 'Pass the version that you read, 0 for null.';
    elsif since_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value', hint = 'Pass the version that you read, 0 for null.';
    end if;
    return @extschema@.quote_row_version(header, @extschema@.require_quote_row(header, quote_id, '')) > since_version;
end $$;
create function quote_settings_restored() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select not exists (select from @extschema@.quote_collab_settings s where s.settled_in = '@extschema@.quote_collab_settings'::regclass) $$;
comment on function quote_settings_restored() is 'whether the settings came in a dump, and attach has not run since';
create function quote_strangers_hint(otherwise text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when @extschema@.quote_settings_restored()
        then 'In a restored dump whose tables belong to others now, run attach_quote_collaboration() once, as a superuser.' else otherwise end
$$;
comment on function quote_strangers_hint(text) is 'hint about tables of others than attach saw';
create function quote_home_handover(given regclass, new_owner name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('alter table %s owner to %I;', c.oid::regclass, new_owner), ' ' order by c.relname)
    from pg_class g cross join lateral (select @extschema@.quote_home_relations(g.relnamespace::regnamespace::name)) h (relations)
    join pg_class c on c.relowner = g.relowner and (c.oid = any (h.relations) or c.relispartition and pg_partition_root(c.oid) = any (h.relations))
    where g.oid = given
$$;
comment on function quote_home_handover(regclass, name) is 'statements that give the tables of a history to another owner';
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
        -- Without its keys a table cannot be attached again, and a version would be counted anew.
        select string_agg(c.value, ', '),
            string_agg(format('alter table %s rename … to %I;', name, c.value), ' ') filter (where c.key = any ('{id,tenant,quote,version}'::text[]))
        into missing, renames from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing), coalesce(renames, repair));
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
create or replace function quote_collab_doctor_processes(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    notify text := coalesce(current_setting('quote_collab.notify', true), 'auto');
    -- Of the processes of others the rest see the number alone.
    sees_processes boolean := pg_has_role('pg_read_all_stats', 'usage');
    unseen text := format('processes of others are hidden from %s', current_user);
    see_processes text := format('grant pg_read_all_stats to %I;', current_user);
    -- One place is the keeper's, which comes and goes.
    is_woken boolean := exists (select from pg_stat_activity a where a.backend_type = 'quote_collab waker' and a.datname = current_database())
        or (select count(*) from pg_stat_activity a where a.backend_type <> all (array['client backend', 'autovacuum launcher', 'autovacuum worker',
                'logger', 'archiver', 'startup', 'checkpointer', 'background writer', 'walwriter', 'walsender', 'walreceiver', 'walsummarizer',
                'slotsync worker', 'io worker', 'standalone backend']))
            < current_setting('max_worker_processes')::integer - 1;
    names text;
begin
    if preloaded is null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('settings of the server are hidden from %s', current_user),
            format('grant pg_read_all_settings to %I;', current_user))).* from unnest(array['library preloaded', 'transactions can be prepared']) c (name);
    else
        return next @extschema@.quote_collab_verdict('library preloaded', preloaded, 'warning',
            'a NOTIFY inside each writing transaction holds a lock of the whole cluster through the flush',
            'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
        return next @extschema@.quote_collab_verdict('transactions can be prepared',
            current_setting('max_prepared_transactions') = '0' or notify = 'off'
                or preloaded and (notify = 'worker' or notify = 'auto' and (is_woken or not sees_processes)), 'warning',
            'a transaction that notifies cannot be prepared', case
                when notify = 'transaction' and preloaded then 'alter system set quote_collab.notify = ''worker''; select pg_reload_conf();'
                else 'Preload the library; where it is, raise max_worker_processes, or set quote_collab.notify to worker.' end);
    end if;
    if preloaded is not false and not pg_is_in_recovery() and not sees_processes then
        return query select (@extschema@.quote_collab_unchecked(c.name, unseen, see_processes)).*
        from unnest(array['background worker alive', 'background worker free']) c (name);
    else
        return next @extschema@.quote_collab_verdict('background worker alive', not coalesce(preloaded, false) or pg_is_in_recovery()
                or exists (select from pg_stat_activity a where a.backend_type = 'quote_collab launcher'), 'error',
            'the library is preloaded and its launcher does not run', 'Look into the server''s log; raise max_worker_processes.');
        return next @extschema@.quote_collab_verdict('background worker free', not coalesce(preloaded, false) or pg_is_in_recovery()
                or notify in ('transaction', 'off') or is_woken, 'warning',
            'no background worker is left for this database: its transactions notify by themselves or, by quote_collab.notify, nobody',
            format('alter system set max_worker_processes = %s; then restart.', 2 * current_setting('max_worker_processes')::integer));
    end if;
    if not sees_processes then
        return next @extschema@.quote_collab_unchecked('no hour-long writer', unseen, see_processes);
        return;
    end if;
    select string_agg(a.pid::text, ', ') into names from pg_stat_activity a
    where a.datname = current_database() and a.backend_xid is not null and a.xact_start < now() - interval '1 hour';
    return next @extschema@.quote_collab_verdict('no hour-long writer', names is null, 'warning',
        format('these sessions write in a transaction that is older than an hour: %s', names), 'select pg_terminate_backend(…);');
end $$;
create function quote_customer_tenant(header quote_collab_settings, customers jsonb) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where n.nspname = customers ->> 'schema' and c.relname = customers ->> 'table' and a.attname = header.columns ->> 'tenant'
        and @extschema@.quote_base_type(a.atttypid) = 'uuid'::regtype
$$;
comment on function quote_customer_tenant(quote_collab_settings, jsonb) is 'the column of customers that names their tenant, if they have one';
create function quote_late_names(relation jsonb, tenant name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@.quote_late_rows((relation ->> 'schema')::name, (relation ->> 'table')::name, array[relation ->> 'id'],
        array_remove(array[relation ->> 'name', tenant::text], null), array_remove(array['pg_catalog.text', case when tenant is not null then 'pg_catalog.uuid' end], null))
$$;
comment on function quote_late_names(jsonb, name) is 'a table of users or customers in a query that outlives the loss of columns';
create or replace function recent_quote_changes_query(header quote_collab_settings, line quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := header.relations -> 'users';
begin
    return format($query$
        select c.id, c.tenant_id, c.quote_id, q.late_1::pg_catalog.text, c.quote_line_id, l.late_1::pg_catalog.text, c.changed_by,
               %s::pg_catalog.text, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.was_conflict,
               c.conflict_resolution, c.entity_version_before, c.entity_version_after
        from %I.quote_changes c
        left join %s q on q.key_1 operator(pg_catalog.=) c.quote_id and q.key_2 operator(pg_catalog.=) c.tenant_id
        left join %s l on l.key_1 operator(pg_catalog.=) c.quote_line_id and l.key_2 operator(pg_catalog.=) c.tenant_id
        %s
        where c.changed_at operator(pg_catalog.>) (pg_catalog.now() operator(pg_catalog.-) interval '24 hours')$query$,
        case when users is null then 'null' else 'u.late_1' end, header.log_schema,
        @extschema@.quote_late_rows(header.table_schema, header.table_name, array[header.columns ->> 'id', header.columns ->> 'tenant'],
            array[coalesce(header.columns ->> 'quote_number', header.columns ->> 'id')], '{pg_catalog.text}'::text[]),
        @extschema@.quote_late_rows(line.table_schema, line.table_name, array[line.columns ->> 'id', line.columns ->> 'tenant'],
            array[coalesce(line.columns ->> 'line_number', line.columns ->> 'version')], '{pg_catalog.text}'::text[]),
        case when users is null then '' else format('left join %s u on u.key_1 operator(pg_catalog.=) c.changed_by',
            @extschema@.quote_late_names(users, null::name)) end);
end $$;
create or replace function active_quote_collaborators_query(header quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb := header.relations -> 'customers';
    customer_column text := header.columns ->> 'customer';
    -- Named whole: who reads the view has a search path of his own.
    customer_type text := (select format('%I.%I', n.nspname, t.typname) from pg_attribute a join pg_type t on t.oid = a.atttypid
        join pg_namespace n on n.oid = t.typnamespace
        where a.attrelid = @extschema@.quote_collab_table(header) and a.attname = customer_column and not a.attisdropped);
    named boolean := customers is not null and customer_type is not null;
    customer_tenant name := @extschema@.quote_customer_tenant(header, customers);
begin
    return format('%s from %I.active_quote_sessions s
        join %s q on q.key_1 operator(pg_catalog.=) s.quote_id and q.key_2 operator(pg_catalog.=) s.tenant_id
        %s
        %s',
        @extschema@.active_quote_collaborators_columns('q.late_1'::text, case when customer_type is null then 'null' else 'q.late_2' end,
            case when named then 'c.late_1' else 'null' end),
        header.log_schema,
        @extschema@.quote_late_rows(header.table_schema, header.table_name, array[header.columns ->> 'id', header.columns ->> 'tenant'],
            array_remove(array[coalesce(header.columns ->> 'quote_number', header.columns ->> 'id'), customer_column], null),
            array_remove(array['pg_catalog.text', customer_type], null)),
        case when named then format('left join %s c on c.key_1 operator(pg_catalog.=) q.late_2%s', @extschema@.quote_late_names(customers, customer_tenant),
            case when customer_tenant is not null then ' and (c.late_2 operator(pg_catalog.=) q.key_2 or c.late_2 is null)' else '' end) else '' end,
        @extschema@.active_quote_collaborators_condition());
end $$;
create or replace function quote_late_rows(table_schema name, table_name name, keys text[], late text[], types text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('(select f.* from (select %s) gone cross join lateral (select %s, %s from %I.%I r) f)',
        (select string_agg(format('null::%s as %I', g.type, g.name), ', ' order by g.name)
            from (select u.name, min(u.type) as type from unnest(late, types) u (name, type) group by u.name) g),
        (select string_agg(format('r.%I as key_%s', u.name, u.place), ', ' order by u.place) from unnest(keys) with ordinality u (name, place)),
        (select string_agg(format('%I as late_%s', u.name, u.place), ', ' order by u.place) from unnest(late) with ordinality u (name, place)),
        table_schema, table_name)
$$;
comment on function quote_customer_join(quote_collab_settings, jsonb, text, text) is 'how a query over quotes joins the customers of their tenant';
comment on function quote_owner_trusted(oid) is 'whether attach trusted the owner of a relation';
comment on function quote_table_trusted(quote_collab_settings) is 'whether the table that is attached under a name is the one that stands there';
comment on function require_quote_table(quote_collab_settings) is 'refuses what is not the attached table';
comment on function require_quote_home(text[]) is 'refuses to work on tables that are not those of attach';
comment on function note_quote_owners() is 'keeps the names of those to whom the attached tables belong';
revoke execute on function note_quote_owners() from public;
comment on function strange_quote_tables() is 'relations under names of ours that belong to somebody whom attach did not trust';
comment on function guard_quote_settings() is 'before-statement trigger: refuses all but the owner of the extension';
revoke execute on function guard_quote_settings() from public;
create trigger guard_quote_settings before insert or update or delete or truncate on @extschema@.quote_collab_settings for each statement execute function @extschema@.guard_quote_settings();
alter table @extschema@.quote_collab_settings enable always trigger guard_quote_settings;
comment on trigger guard_quote_settings on @extschema@.quote_collab_settings is 'written by attach and detach alone';
create trigger guard_quote_settings before insert or update or delete or truncate on @extschema@.quote_seal_anchor for each statement execute function @extschema@.guard_quote_settings();
alter table @extschema@.quote_seal_anchor enable always trigger guard_quote_settings;
comment on trigger guard_quote_settings on @extschema@.quote_seal_anchor is 'written by the owner of the extension alone';
create table @extschema@.quote_former_versions ( row_id uuid not null, is_line boolean not null, version bigint not null, ended_at timestamptz not null, constraint quote_former_versions_pkey primary key (row_id, is_line) );
comment on table @extschema@.quote_former_versions is 'the last version of each row that was deleted';
comment on column @extschema@.quote_former_versions.row_id is 'id of the quote or the line';
comment on column @extschema@.quote_former_versions.is_line is 'true for a line';
comment on column @extschema@.quote_former_versions.version is 'the last version that the row had in any of its lives';
comment on column @extschema@.quote_former_versions.ended_at is 'when it was deleted last';
comment on constraint quote_former_versions_pkey on @extschema@.quote_former_versions is 'a row has one last version';
create index quote_former_versions_ended on @extschema@.quote_former_versions using brin (ended_at);
comment on index @extschema@.quote_former_versions_ended is 'finds those that are older than what is kept of the history';
comment on function remember_quote_versions(quote_collab_settings, regclass) is 'keeps the last versions of all rows of a table';
revoke execute on function remember_quote_versions(quote_collab_settings, regclass) from public;
comment on function quote_former_version(text, uuid) is 'the last version that a locked row had before it was deleted; null where it was not';
comment on function leave_quote_former_life(quote_collab_settings, uuid, integer, text) is 'gives a row that came back a version that it never had';
comment on function quote_place_is_locked(oid, tid) is 'true when this transaction has locked a row version for a change';
revoke execute on function quote_place_is_locked(oid, tid) from public;
comment on function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, jsonb, text) is 'updates one row of an attached table from a change set';
