-- From 0.3.0 to 0.4.0.
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
do $$
declare
    batch text;
begin
    for batch in select distinct pg_catalog.format('%I.quote_relay_batch', s.log_schema) from @extschema@.quote_collab_settings s loop
        continue when pg_catalog.to_regclass(batch) is null;
        execute pg_catalog.format('alter table %s drop column xids', batch);
    end loop;
end $$;
drop function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea, timestamptz, jsonb);
drop function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint);

-- 05_extension_schema.sql
do $$
begin
    if '@extschema@' operator(pg_catalog.~) '%' then
        raise exception 'quote_collab_ext cannot be in a schema with a percent sign in its name' using errcode = 'feature_not_supported',
            hint = 'Name another: create extension quote_collab_ext schema collab.';
    end if;
end $$;

-- 13_pairs.sql
create or replace function quote_collab_home() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$ begin return (@extschema@.quote_collab_target('QUOTE')).log_schema; end $$;
create or replace function quote_collab_table(settings quote_collab_settings) returns regclass
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = settings.table_schema and c.relname = settings.table_name);
end $$;
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
    if cardinality(targets) = 1 and @extschema@.quote_collab_table(targets[1]) is null then
        raise exception 'there is no table %.%', targets[1].table_schema, targets[1].table_name using errcode = 'undefined_table',
            hint = 'It was renamed or dropped: attach the table anew, as a superuser.';
    elsif cardinality(targets) < 2 or row_id is null then
        return coalesce(targets[1], @extschema@.quote_collab_target(entity));
    end if;
    foreach target in array targets loop
        if @extschema@.quote_table_holds(target, row_id) then
            return target;
        end if;
    end loop;
    foreach target in array targets loop
        if @extschema@.quote_columns_readable(target, '{id,tenant}'::text[]) then
            return target;
        end if;
    end loop;
    return targets[1];
end $$;

-- 14_users.sql
create or replace function quote_relation_readable(relation jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table' and not exists (
            select from unnest(array[relation ->> 'id', relation ->> 'name', relation ->> 'email']) k (name)
            where k.name is not null and not exists (
                select from pg_attribute a where a.attrelid = c.oid and a.attname = k.name and a.attnum > 0 and not a.attisdropped))), false);
end $$;
create or replace function quote_users_safe(users jsonb, quotes_owner oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((
        select c.relowner = quotes_owner or r.rolsuper or c.relkind in ('r', 'p') and not exists (
            select from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = t.typbasetype
            where a.attrelid = c.oid and a.attname in (users ->> 'id', users ->> 'name', users ->> 'email')
                and (coalesce(b.typtype, t.typtype) <> 'b' or not exists (
                    select from pg_roles o where o.oid = coalesce(b.typowner, t.typowner) and o.rolsuper)))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
        where n.nspname = users ->> 'schema' and c.relname = users ->> 'table'), false);
end $$;
create or replace function quote_user_relations() returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select s.relations -> 'users' from @extschema@.quote_collab_settings s
    where s.entity = 'QUOTE' and @extschema@.quote_relation_readable(s.relations -> 'users')
        and @extschema@.quote_users_safe(s.relations -> 'users', (select c.relowner from pg_class c where c.oid = @extschema@.quote_collab_table(s)))
    group by 1 order by min(s.attached_at);
end $$;
create or replace function quote_user_join(column_name text, out join_clause text, out name_expression text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    select coalesce(string_agg(format('left join %I.%I %s on %s.%I = %s', r.users ->> 'schema', r.users ->> 'table', r.alias, r.alias,
            r.users ->> 'id', column_name), ' ' order by r.place), ''),
        coalesce('coalesce(' || string_agg(format('%s.%I::text', r.alias, r.users ->> 'name'), ', ' order by r.place) || ')', 'null::text')
    into join_clause, name_expression
    from (select u.users, u.place, 'u' || u.place from @extschema@.quote_user_relations() with ordinality u (users, place)) r (users, place, alias);
end $$;
create or replace function quote_author_column(target quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    who uuid := @extschema@.current_quote_user(null::uuid);
begin
    if who is null or target.relations ? 'users'
                and (select u.known from @extschema@.find_quote_user_in(target.relations -> 'users', who) u) is not true
            or not exists (select from pg_attribute a where a.attrelid = @extschema@.quote_collab_table(target)
                and a.attname = target.columns ->> 'updated_by' and not a.attisdropped) then
        return '{}'::jsonb;
    end if;
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::uuid', who));
end $$;

-- 16_prepared_rows.sql
create function quote_prepared_rows(query text, parameters record) returns setof record
language c as 'MODULE_PATHNAME', 'prepared_rows';
comment on function quote_prepared_rows(text, record) is 'rows of a query that is planned once in a session';
revoke execute on function quote_prepared_rows(text, record) from public;

-- 20_quote_changes.sql
create or replace function comment_quote_changes(log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in select * from (values
        ('id', 'key of the row, UUIDv7: sorts by time'),
        ('tenant_id', 'tenant of the quote; row security compares it'),
        ('quote_id', 'the quote; no foreign key: the log outlives a deleted quote'),
        ('quote_line_id', 'the line, null when the header changed'),
        ('changed_by', 'who: the verified user, else app.current_user_id, else the row''s updated_by, else the configured system user'),
        ('changed_at', 'when, by the database''s clock; partition key'),
        ('entity_type', 'QUOTE or QUOTE_LINE'),
        ('field_name', 'changed column; * for a whole row'),
        ('old_value', 'value before, exactly as to_jsonb gives it; null on CREATE'),
        ('new_value', 'value after, exactly as to_jsonb gives it; null on DELETE'),
        ('change_type', 'CREATE, UPDATE or DELETE'),
        ('session_id', 'editing session, from app.current_session_id'),
        ('was_conflict', 'true when the row tells of a conflict'),
        ('conflict_resolution', 'ACCEPTED, REJECTED or MERGED; a REJECTED row was never applied'),
        ('entity_version_before', 'version the change started from'),
        ('entity_version_after', 'version the change produced'),
        ('event_id', 'shared by the rows of one row change; message id on the way to NATS'),
        ('position', 'order of row changes: within one snapshot of the log it is version order per row'),
        ('xid', 'top-level transaction that wrote it; readers batch by it'),
        ('origin', 'system identifier of the cluster whose xid it is'),
        ('context', 'what a reader needs beside the change: line_number, the totals after it, roles of columns that are called otherwise')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', log, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', log, 'audit log of quotes and their lines, one row per changed field; append-only');
end $$;

-- 40_relay_tables.sql
create or replace function create_quote_relay_tables(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    batch text := format('%I.quote_relay_batch', target_schema);
    lease text := format('%I.quote_relay_lease', target_schema);
begin
    if not @extschema@.quote_relation_stands(batch, 'r'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                no        bigint      not null,
                prev      pg_snapshot not null,
                cur       pg_snapshot not null,
                prev_at   timestamptz not null,
                cur_at    timestamptz not null,
                floor_at  timestamptz not null,
                origin    bigint      not null,
                cur_xmax  xid8        not null generated always as (pg_snapshot_xmax(cur)) stored,
                constraint quote_relay_batch_pkey primary key (no)
            )$ddl$, batch);
        execute format('create index quote_relay_batch_xmax on %s (cur_xmax, no)', batch);
        execute format('comment on table %s is %L', batch, 'batches of the event feed: what is visible in cur and was not in prev');
        execute format('comment on column %s.floor_at is %L', batch, 'no change of this or a later batch was made before, save for steps of the clock');
        execute format('alter table %s owner to %I', batch, target_owner);
        perform @extschema@.close_quote_table(batch::regclass);
    end if;
    if not @extschema@.quote_relation_stands(lease, 'r'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                singleton  boolean     not null default true,
                epoch      bigint      not null,
                holder     text        not null,
                expires_at timestamptz not null,
                batch      bigint      not null,
                position   bigint      not null,
                stream_seq bigint      not null,
                constraint quote_relay_lease_pkey primary key (singleton),
                constraint quote_relay_lease_singleton check (singleton)
            )$ddl$, lease);
        execute format('comment on table %s is %L', lease, 'who relays events now, and a lazy copy of the position in the stream');
        execute format('alter table %s owner to %I', lease, target_owner);
        perform @extschema@.close_quote_table(lease::regclass);
    end if;
    -- Also where a dump without data brought the tables.
    execute format('insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select 0, s, s, now(), now(), now(), @extschema@.quote_cluster_identifier()
        from pg_current_snapshot() s where not exists (select from %1$s)', batch);
    execute format('insert into %1$s select true, 0, '''', ''-infinity'', 0, 0, 0 where not exists (select from %1$s)', lease);
end $$;

-- 50_views.sql
create function quote_value_size(value jsonb) returns bigint
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'quote_value_size';
comment on function quote_value_size(jsonb) is 'bytes of a value of the history';
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
            select c.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                    entity_type, change_type, session_id, entity_version_before, entity_version_after) as size
            from %I.quote_changes c
            where conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, target_schema)
$$;

-- 53_view_functions.sql
create function quote_late_rows(table_schema name, table_name name, keys text[], late text[], types text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('(select f.* from (select %s) gone cross join lateral (select %s, %s from %I.%I r) f)',
        (select string_agg(format('null::%s as %I', g.type, g.name), ', ')
            from (select u.name, min(u.type) as type from unnest(late, types) u (name, type) group by u.name) g),
        (select string_agg(format('r.%I as key_%s', u.name, u.place), ', ' order by u.place) from unnest(keys) with ordinality u (name, place)),
        (select string_agg(format('%I as late_%s', u.name, u.place), ', ' order by u.place) from unnest(late) with ordinality u (name, place)),
        table_schema, table_name)
$$;
comment on function quote_late_rows(name, name, text[], text[], text[]) is 'a table in a query that outlives the loss of columns';
create function quote_late_names(relation jsonb) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@.quote_late_rows((relation ->> 'schema')::name, (relation ->> 'table')::name, array[relation ->> 'id'], array[relation ->> 'name'],
        '{pg_catalog.text}'::text[])
$$;
comment on function quote_late_names(jsonb) is 'a table of users or customers in a query that outlives the loss of columns';
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
            @extschema@.quote_late_names(users)) end);
end $$;
create or replace function active_quote_collaborators_columns(quote_number text, customer_id text, customer_name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select s.quote_id, s.tenant_id, %s::pg_catalog.text, %s::pg_catalog.text, %s::pg_catalog.text,
               pg_catalog.count(distinct s.user_id)::integer,
               pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'userId', s.user_id, 'userName', s.user_name, 'userEmail', s.user_email, 'status', s.status,
                   'isEditing', s.is_editing, 'currentField', s.current_field, 'currentLineId', s.current_line_id,
                   'joinedAt', s.joined_at, 'lastSeen', s.last_heartbeat) order by s.joined_at, s.session_id)$query$,
        quote_number, customer_id, customer_name)
$$;
create function active_quote_collaborators_condition() returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'where s.last_heartbeat operator(pg_catalog.>) (pg_catalog.statement_timestamp() operator(pg_catalog.-) @extschema@.quote_session_ttl())
        group by 1, 2, 3, 4, 5'
$$;
comment on function active_quote_collaborators_condition() is 'which sessions the view of active collaborators shows';
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
        case when named then format('left join %s c on c.key_1 operator(pg_catalog.=) q.late_2', @extschema@.quote_late_names(customers)) else '' end,
        @extschema@.active_quote_collaborators_condition());
end $$;
create function quote_view_functions(home name) returns table (function_name name, columns text, query text, description text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    recent text := format($query$
        select c.id, c.tenant_id, c.quote_id, n.quote_number, c.quote_line_id, n.line_number, c.changed_by, n.user_name, c.changed_at, c.entity_type,
               c.field_name, c.old_value, c.new_value, c.change_type, c.was_conflict, c.conflict_resolution, c.entity_version_before,
               c.entity_version_after
        from %I.quote_changes c left join @extschema@.recent_quote_change_names() n on n.change_id operator(pg_catalog.=) c.id
        where c.changed_at operator(pg_catalog.>) (pg_catalog.now() operator(pg_catalog.-) interval '24 hours')$query$, home);
    active text := format('%s from %I.active_quote_sessions s join @extschema@.active_quote_names() n
        on n.quote_id operator(pg_catalog.=) s.quote_id and n.tenant_id operator(pg_catalog.=) s.tenant_id
        %s', @extschema@.active_quote_collaborators_columns('n.quote_number'::text, 'n.customer_id'::text, 'n.customer_name'::text), home,
        @extschema@.active_quote_collaborators_condition());
begin
    if (select count(*) from @extschema@.quote_collab_pairs()) = 1 then
        select @extschema@.recent_quote_changes_query(p.header, p.line) as recent, @extschema@.active_quote_collaborators_query(p.header) as active
        into pair from @extschema@.quote_collab_pairs() p;
        recent := pair.recent;
        active := pair.active;
    end if;
    return query values
        ('recent_quote_changes'::name, 'change_id uuid, tenant_id uuid, quote_id uuid, quote_number text, quote_line_id uuid, line_number text, '
            'changed_by uuid, changed_by_username text, changed_at timestamptz, entity_type varchar, field_name varchar, old_value jsonb, '
            'new_value jsonb, change_type varchar, was_conflict boolean, conflict_resolution varchar, entity_version_before integer, '
            'entity_version_after integer', recent, 'rows of v_recent_quote_changes'),
        ('active_quote_collaborators', 'quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text, '
            'active_user_count integer, active_users jsonb', active, 'rows of v_active_quote_collaborators');
end $$;
comment on function quote_view_functions(name) is 'the functions that views beside an audit log read, each with its query';
create function create_quote_view_functions(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    made record;
begin
    for made in select * from @extschema@.quote_view_functions(home) loop
        execute format('create or replace function %I.%I() returns table (%s) language sql stable as %L', home, made.function_name, made.columns, made.query);
        execute format('comment on function %I.%I() is %L', home, made.function_name, made.description);
        execute format('alter function %I.%I() owner to current_user', home, made.function_name);
        execute format('grant execute on function %I.%I() to public', home, made.function_name);
    end loop;
end $$;
comment on function create_quote_view_functions(name) is 'creates the functions that views beside an audit log read';
create function quote_view_functions_found(home name) returns table (function regprocedure, is_ours boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure, coalesce(obj_description(p.oid, 'pg_proc') = f.description, false)
    from @extschema@.quote_view_functions(home) f
    join pg_namespace n on n.nspname = home
    join pg_proc p on p.pronamespace = n.oid and p.proname = f.function_name and p.pronargs = 0
$$;
comment on function quote_view_functions_found(name) is 'functions under the names of those that views read';

-- 54_pair_views.sql
create function quote_log_type(home name, column_name name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(min(format_type(a.atttypid, a.atttypmod)), 'text') from pg_attribute a
    where a.attrelid = to_regclass(format('%I.quote_changes', home)) and a.attname = column_name and not a.attisdropped
$$;
comment on function quote_log_type(name, name) is 'type of a column of the audit log';
create or replace function quote_pair_view_queries(home name, out recent text, out active text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    recent := format($query$
        select r.change_id, r.tenant_id, r.quote_id, r.quote_number, r.quote_line_id, r.line_number::%s as line_number, r.changed_by,
               r.changed_by_username, r.changed_at, r.entity_type::%s as entity_type, r.field_name::%s as field_name, r.old_value, r.new_value,
               r.change_type::%s as change_type, r.was_conflict, r.conflict_resolution::%s as conflict_resolution, r.entity_version_before,
               r.entity_version_after
        from %I.recent_quote_changes() r$query$,
        @extschema@.quote_common_type('QUOTE_LINE', '{line_number,version}'::text[], 'integer'),
        @extschema@.quote_log_type(home, 'entity_type'::name), @extschema@.quote_log_type(home, 'field_name'::name),
        @extschema@.quote_log_type(home, 'change_type'::name), @extschema@.quote_log_type(home, 'conflict_resolution'::name), home);
    active := format($query$
        select r.quote_id, r.tenant_id, r.quote_number, r.customer_id::%s as customer_id, r.customer_name, r.active_user_count, r.active_users
        from %I.active_quote_collaborators() r$query$,
        @extschema@.quote_common_type('QUOTE', '{customer}'::text[], 'uuid'), home);
end $$;
create or replace function create_pair_views(home name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    queries record;
begin
    perform @extschema@.create_quote_view_functions(home);
    select * into queries from @extschema@.quote_pair_view_queries(home);
    perform @extschema@.replace_quote_view(format('%I.v_recent_quote_changes', home), queries.recent,
        'changes of the last 24 hours with quote number, line number and user name', target_owner);
    perform @extschema@.replace_quote_view(format('%I.v_active_quote_collaborators', home), queries.active,
        'who is looking at or editing which quote now', target_owner);
end $$;

-- 55_triggers.sql
create function quote_late_triggers(settings quote_collab_settings) returns table (name text, rename text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.tgname::text, format('alter trigger %I on %s rename to %I;', g.tgname, g.tgrelid::regclass, 'a_' || g.tgname) from pg_trigger g
    where g.tgrelid = @extschema@.quote_collab_table(settings) and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 19 = 19
        and g.tgname > (select t.name from @extschema@.quote_triggers(settings) t where t.type = 19)
    order by g.tgname
$$;
comment on function quote_late_triggers(quote_collab_settings) is 'triggers that may change a row after its version was decided';
create function tell_of_quote_late_triggers(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    late record;
begin
    select string_agg(t.name, ', ') as names, string_agg(t.rename, ' ') as hints into late from @extschema@.quote_late_triggers(settings) t;
    if late.names is not null then
        raise notice 'triggers of % fire after its version is decided: %', @extschema@.quote_collab_table(settings), late.names
            using detail = 'Where one changes a row that the statement left as it was, the version stays, and a save may overwrite that change unseen.',
                  hint = format('Rename them so that they fire before: %s', late.hints);
    end if;
end $$;
comment on function tell_of_quote_late_triggers(quote_collab_settings) is 'notice about triggers that may change a row after its version was decided';

-- 56_truncate.sql
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
        from only %8$s t where num_nulls(t.%10$s, t.%2$s, t.%3$s) = 0$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and settings.columns ? 'line_number'
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part, format('%I.quote_changes_position_seq', settings.log_schema), @extschema@.quote_collab_column(settings, 'id'))
$$;

-- 58_added_columns.sql
create function quote_column_exists(target regclass, column_name text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if column_name = '' or octet_length(column_name) > 63 then
        raise exception 'no column can have the name "%"', column_name using errcode = 'undefined_column', detail = 'Names have 1 to 63 bytes.';
    end if;
    return exists (select from pg_attribute a where a.attrelid = target and a.attname = column_name and not a.attisdropped);
end $$;
comment on function quote_column_exists(regclass, text) is 'whether a table has a column of this name';
create function quote_columns_chosen(target regclass, chosen jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when @extschema@.quote_column_exists(target, chosen ->> 'version') then chosen else chosen - 'version' end;
end $$;
comment on function quote_columns_chosen(regclass, jsonb) is 'roles that are given to columns that are there';
create or replace function add_quote_columns(target regclass, entity text, columns jsonb) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    version text := coalesce(columns ->> 'version', 'version');
    added name[] := '{}'::name[];
begin
    if not @extschema@.quote_column_exists(target, version) then
        execute format('alter table %s add column %I integer not null default 1', target, version);
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
create function quote_version_shows_origin(target regclass, column_name name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from (select target::oid union select t.relid from pg_partition_tree(target) t) part (oid)
        join pg_attribute a on a.attrelid = part.oid and a.attname = column_name and not a.attisdropped
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where pg_get_expr(d.adbin, d.adrelid) = '1' or a.atthasmissing and a.attmissingval::text = '{1}')
$$;
comment on function quote_version_shows_origin(regclass, name) is 'whether a version column can be known as added without its comment';
create or replace function quote_added_columns(target regclass, noted name[]) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with added (attnum, name, type, described) as (
        select a.attnum, a.attname, k.type, coalesce(col_description(target, a.attnum) = k.description, false)
        from (values
            ('integer'::regtype, @extschema@.quote_added_column_comment('version'), array_length(array_remove(noted, 'updated_by'::name), 1) > 0),
            ('uuid'::regtype, @extschema@.quote_added_column_comment('updated_by'), cardinality(noted) > 1 or 'updated_by' = any (noted))
        ) k (type, description, is_noted)
        join pg_attribute a on a.attrelid = target and a.atttypid = k.type and a.attnum > 0 and not a.attisdropped
        where k.is_noted and (col_description(target, a.attnum) = k.description
            or a.attname = any (noted) and exists (select from @extschema@.quote_carriers() c where c.relation = target)
                and (k.type = 'uuid'::regtype or @extschema@.quote_version_shows_origin(target, a.attname))))
    select array(
        select a.name from added a where a.described or not exists (select from added o where o.type = a.type and o.described)
        order by a.attnum)
$$;
create function quote_columns_altered(target regclass, added name[]) returns table (name name, is_version boolean, is_nullable boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname, k.is_version, not a.attnotnull from pg_attribute a
    cross join lateral (select a.atttypid = 'integer'::regtype) k (is_version)
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    where a.attrelid = target and a.attname = any (added) and not a.attisdropped and (
        col_description(target, a.attnum) is distinct from @extschema@.quote_added_column_comment(case when k.is_version then 'version' else 'updated_by' end)
        or k.is_version and (not a.attnotnull or pg_get_expr(d.adbin, d.adrelid) is distinct from '1'))
$$;
comment on function quote_columns_altered(regclass, name[]) is 'added columns without the default, NOT NULL or comment that attach gave them';
create function restore_quote_columns(target regclass, added name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    altered record;
    replication_role text := current_setting('session_replication_role');
begin
    for altered in select * from @extschema@.quote_columns_altered(target, added) loop
        if altered.is_version and altered.is_nullable then
            perform set_config('session_replication_role', 'replica', true);
            execute format('update %s set %2$I = 1 where %2$I is null', target, altered.name);
            perform set_config('session_replication_role', replication_role, true);
        end if;
        if altered.is_version then
            execute format('alter table %s alter column %2$I set default 1, alter column %2$I set not null', target, altered.name);
        end if;
        execute format('comment on column %s.%I is %L', target, altered.name,
            @extschema@.quote_added_column_comment(case when altered.is_version then 'version' else 'updated_by' end));
    end loop;
end $$;
comment on function restore_quote_columns(regclass, name[]) is 'gives added columns back their default, NOT NULL and comment';

-- 58_attach_checks.sql
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
            detail = format('This one is in %s.', getdatabaseencoding());
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
create function quote_inheriting_tables(target regclass) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = target and not c.relispartition
$$;
comment on function quote_inheriting_tables(regclass) is 'tables that inherit from a table and are no partitions of it';
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
            using errcode = 'wrong_object_type', detail = format('%s is neither.', target);
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
create or replace function check_quote_views(home name, home_owner name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text;
    other regprocedure;
begin
    select f.function into other from @extschema@.quote_view_functions_found(home) f where not f.is_ours limit 1;
    if found then
        raise exception 'function % is in the way', other
            using errcode = 'duplicate_function', detail = 'It was not made by quote collaboration.', hint = 'Rename or drop it.';
    end if;
    for view_name in select format('%I.%I', home, v.name)
        from unnest('{v_quote_change_events,v_quote_changes_all,v_recent_quote_changes,v_active_quote_collaborators}'::text[]) v (name)
    loop
        continue when not @extschema@.quote_relation_stands(view_name, 'v'::"char", home_owner);
        continue when exists (
            select from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            where r.ev_class = to_regclass(view_name) and (d.refclassid = 'pg_class'::regclass
                    and d.refobjid in (to_regclass(format('%I.quote_changes', home)), to_regclass(format('%I.active_quote_sessions', home)))
                or d.refclassid = 'pg_proc'::regclass
                    and d.refobjid in (select f.function from @extschema@.quote_view_functions_found(home) f where f.is_ours)));
        raise exception 'view % is in the way', view_name
            using errcode = 'duplicate_table', detail = 'It was not made by quote collaboration.', hint = 'Rename or drop it.';
    end loop;
end $$;
comment on function check_quote_views(name, name) is 'refuses views and functions of others under our names';

-- 58_columns.sql
create or replace function quote_column_roles(reference text[])
returns table (entity text, role text, candidates text[], required boolean, types regtype[])
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select r.entity, r.role, r.candidates, r.required, r.types
    from (values ('{numeric,integer,bigint,smallint,real,double precision}'::regtype[])) a (amount), lateral (values
        ('QUOTE', 'id', '{id}'::text[], true, '{uuid}'::regtype[]), ('QUOTE', 'tenant', '{tenant_id}', true, '{uuid}'),
        ('QUOTE', 'version', '{version}', false, '{smallint,integer,bigint}'), ('QUOTE', 'updated_at', '{updated_at}', false, null),
        ('QUOTE', 'updated_by', '{updated_by}', false, '{uuid}'), ('QUOTE', 'created_by', '{created_by}', false, '{uuid}'),
        ('QUOTE', 'quote_number', '{quote_number,order_number,document_number}', false, null), ('QUOTE', 'customer', '{customer_id}', false, null),
        ('QUOTE', 'status', '{status}', false, null), ('QUOTE', 'notes', '{notes}', false, null),
        ('QUOTE', 'terms_and_conditions', '{terms_and_conditions}', false, null), ('QUOTE', 'subtotal', '{subtotal}', false, amount),
        ('QUOTE', 'tax_amount', '{tax_amount}', false, amount), ('QUOTE', 'shipping_amount', '{shipping_amount}', false, amount),
        ('QUOTE', 'discount_amount', '{discount_amount}', false, amount), ('QUOTE', 'total_amount', '{total_amount}', false, amount),
        ('QUOTE_LINE', 'id', '{id}', true, '{uuid}'), ('QUOTE_LINE', 'tenant', '{tenant_id}', true, '{uuid}'),
        ('QUOTE_LINE', 'quote', reference, true, '{uuid}'), ('QUOTE_LINE', 'version', '{version}', false, '{smallint,integer,bigint}'),
        ('QUOTE_LINE', 'updated_at', '{updated_at}', false, null), ('QUOTE_LINE', 'updated_by', '{updated_by}', false, '{uuid}'),
        ('QUOTE_LINE', 'created_by', '{created_by}', false, '{uuid}'), ('QUOTE_LINE', 'line_number', '{line_number}', false, null),
        ('QUOTE_LINE', 'quantity', '{quantity,quantity_quoted,quantity_ordered}', false, amount),
        ('QUOTE_LINE', 'unit_price', '{unit_price}', false, amount), ('QUOTE_LINE', 'line_amount', '{line_amount}', false, amount)
    ) r (entity, role, candidates, required, types)
$$;
create or replace function find_quote_columns(target regclass, entity text, chosen jsonb, reference text[] default '{quote_id}') returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from @extschema@.quote_column_roles(reference) r
    cross join lateral (
        select case when r.types is not null and not r.required and r.role <> 'version' then array(
            select n.name from unnest(r.candidates) n (name) join pg_attribute a on a.attrelid = target and a.attname = n.name
            where @extschema@.quote_base_type(a.atttypid) = any (r.types)) else r.candidates end) f (names)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, f.names, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
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
    select a.attname into wrong from pg_attribute a
    where a.attrelid = target and a.attname = columns ->> 'version' and (a.attgenerated <> '' or a.attidentity <> '');
    if found then
        raise exception 'column "%" of % cannot play the role "version"', wrong.attname, target
            using errcode = 'generated_always', detail = 'PostgreSQL generates its values, and each change counts it up.',
                  hint = another;
    end if;
end $$;
create function tell_of_quote_null_keys(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_column name;
begin
    for key_column in select a.attname from pg_attribute a
        where a.attrelid = target and not a.attnotnull and a.attname in (columns ->> 'id', columns ->> 'tenant', columns ->> 'quote') loop
        raise notice 'rows of % whose "%" is null have no history and are no events', target, key_column
            using hint = 'Where no row should be without it, set the column not null.';
    end loop;
end $$;
comment on function tell_of_quote_null_keys(regclass, jsonb) is 'says that rows without a key are not recorded';
create function check_quote_ignored(target regclass, columns jsonb, ignored jsonb) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_role text;
begin
    select r.role into key_role from unnest('{id,tenant,quote,version}'::text[]) r (role) where ignored ? (columns ->> r.role) limit 1;
    if found then
        raise exception 'column "%" of % cannot be ignored', columns ->> key_role, target using errcode = 'invalid_parameter_value',
            detail = format('It plays the role "%s".', key_role);
    end if;
end $$;
comment on function check_quote_ignored(regclass, jsonb, jsonb) is 'refuses to ignore the keys of a table';

-- 60_attach.sql
create or replace function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb) returns quote_collab_settings
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
    added := @extschema@.add_quote_columns(target, entity, chosen);
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

-- 65_detach.sql
create or replace function detach_quote_table(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    target regclass := @extschema@.quote_collab_table(settings);
    added name;
    all_added name[];
begin
    if target is not null then
        all_added := @extschema@.quote_added_columns(target, settings.added_columns);
        perform @extschema@.drop_quote_triggers(target);
        foreach added in array all_added loop
            execute format('alter table %s drop column %I', target, added);
        end loop;
        if cardinality(all_added) < cardinality(settings.added_columns) then
            raise warning 'columns that attach added are left in %', target
                using detail = format('It added %s, and knows them by their comments.', array_to_string(settings.added_columns, ', ')),
                      hint = 'Drop by hand what is not the ERP''s.';
        end if;
    end if;
end $$;
create function drop_quote_pair_views(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    made regprocedure;
begin
    execute format('drop view if exists %1$I.v_active_quote_collaborators, %1$I.v_recent_quote_changes', home);
    for made in select f.function from @extschema@.quote_view_functions_found(home) f where f.is_ours loop
        execute format('drop function %s', made);
    end loop;
end $$;
comment on function drop_quote_pair_views(name) is 'drops the views of recent changes and active collaborators, and what they read';
create function forget_quote_changes(log regclass) returns void language c strict as 'MODULE_PATHNAME', 'forget_changes';
comment on function forget_quote_changes(regclass) is 'lets changes go that this transaction made and did not write yet, with the audit log that it drops';
revoke execute on function forget_quote_changes(regclass) from public;
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
    for role in
        select r.rolname from pg_roles r join pg_namespace n on n.nspname = header.log_schema where r.rolname = any (header.usage_granted)
    loop
        execute format('revoke usage on schema %I from %I', header.log_schema, role);
    end loop;
end $$;
create or replace function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    header @extschema@.quote_collab_settings;
    line @extschema@.quote_collab_settings;
    is_last boolean;
begin
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.follow_quote_tables('{}'::regclass[]), @extschema@.follow_quote_home();
    header := @extschema@.choose_quote_pair(quotes);
    line := @extschema@.quote_collab_partner(header);
    perform @extschema@.lock_quote_pair(header, line);
    delete from @extschema@.quote_collab_settings s where (s.header_schema, s.header_table) = (header.header_schema, header.header_table);
    is_last := not exists (select from @extschema@.quote_collab_settings);
    if drop_history and not is_last then
        raise exception 'the history belongs to other pairs of tables too' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Detach this pair without drop_history, and drop the history with the last one.';
    elsif is_last then
        perform @extschema@.drop_quote_pair_views(header.log_schema);
    else
        perform @extschema@.leave_quote_home(header);
    end if;
    perform @extschema@.detach_quote_table(line), @extschema@.detach_quote_table(header), @extschema@.drop_quote_truncate_triggers(),
        @extschema@.grant_quote_capture();
    if is_last then
        perform @extschema@.detach_stray_quote_tables(), @extschema@.detach_quote_home(header, drop_history);
    end if;
    return case when not is_last then format('quote collaboration is detached from %I.%I', header.table_schema, header.table_name)
        when drop_history then 'quote collaboration is detached, its history is dropped'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;

-- 69_rejection.sql
create or replace function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target(entity, row_id);
    current_row jsonb := @extschema@.find_quote_row(target, row_id, '');
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

-- 70_change_sets.sql
create or replace function quote_field_name(field text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select lower(regexp_replace(field, '(?<!^)([A-Z])', '_\1', 'g') collate "C") $$;
create or replace function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    coerced jsonb := '{}'::jsonb;
begin
    if record_definition is not null then
        begin
            execute format('select to_jsonb(r.*) from jsonb_to_record($1) as r(%s)', record_definition) into coerced using changes;
        exception when data_exception then
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
    execute format('update %I.%I t set %s %s where t.%s = $1 returning to_jsonb(t.*)',
        target.table_schema, target.table_name, assignments,
        case when record_definition is null then '' else format('from jsonb_to_record($2) as r(%s)', record_definition) end,
        @extschema@.quote_collab_column(target, 'id'))
    into updated using row_id, changes;
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    return coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
end $$;

-- 70_version_check.sql
create or replace function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
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
create or replace function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the expected version must not be null' using errcode = 'null_value_not_allowed';
    elsif expected_version < 0 then
        raise exception 'the expected version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version);
    end if;
end $$;
comment on function require_quote_version(integer) is 'refuses a null or negative version';
create function quote_row_version(target quote_collab_settings, found_row jsonb) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    version numeric := coalesce((found_row ->> (target.columns ->> 'version'))::numeric, 0);
begin
    if version not between -2147483648 and 2147483647 then
        raise exception 'the version of the row is out of range' using errcode = 'numeric_value_out_of_range',
            detail = format('It is %s; saves compare versions of type integer.', version), hint = 'Let the versions of this table begin again at 1.';
    end if;
    return version;
end $$;
comment on function quote_row_version(quote_collab_settings, jsonb) is 'version of a row of an attached table';
create or replace function check_quote_version(quote_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, quote_id, '')) = expected_version;
end $$;
create or replace function check_quote_line_version(line_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, line_id, '')) = expected_version;
end $$;
create or replace function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    conflicts jsonb;
    author record;
begin
    select * into author from @extschema@.quote_user_join('last.changed_by');
    execute format($query$
        with whole as materialized (
            select c.* from %1$I.quote_changes c
            where c.quote_id = $1 and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED'),
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
        %3$s$query$, target.log_schema, author.name_expression, author.join_clause)
    into conflicts
    using coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case target.entity when 'QUOTE_LINE' then (current_row ->> (target.columns ->> 'id'))::uuid end,
          expected_version, changes, current_row, target.columns ->> 'version';
    return coalesce(conflicts, '[]');
end $$;

-- 71_update_quote.sql
create or replace function save_quote(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    fields jsonb;
    derived jsonb := @extschema@.quote_author_column(header);
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(header, @extschema@.normalise_quote_changes(header, changes));
    if session_id is not null then
        perform set_config('app.current_session_id', session_id::text, true);
    end if;
    quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
    previous_version := @extschema@.quote_row_version(header, quote);
    new_version := previous_version;
    if previous_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(header, quote, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE', quote_id, expected_version, fields);
        return;
    end if;
    if header.columns ? 'total_amount' and header.columns ? 'subtotal' and fields ?| array(
            select header.columns ->> part from unnest('{subtotal,tax_amount,shipping_amount,discount_amount}'::text[]) part
            where header.columns ? part) then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount',
            @extschema@.quote_total_expression(header, @extschema@.quote_new_value(header, 'subtotal', fields), fields));
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, fields, derived, path);
    end if;
    new_version := @extschema@.quote_row_version(header, quote);
    success := true;
    conflicts := '[]';
end $$;

-- 72_update_quote_line.sql
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
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(line, @extschema@.normalise_quote_changes(line, changes));
    if session_id is not null then
        perform set_config('app.current_session_id', session_id::text, true);
    end if;
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure', hint = 'Try again.';
    end if;
    previous_version := @extschema@.quote_row_version(line, quote_line);
    new_version := previous_version;
    if previous_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, fields,
            @extschema@.quote_author_column(line) || @extschema@.derived_line_columns(line, fields), path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    success := true;
    conflicts := '[]';
end $$;

-- 77_history.sql
create or replace function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    if since_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed';
    elsif since_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value';
    end if;
    return @extschema@.quote_row_version(header, @extschema@.require_quote_row(header, quote_id, '')) > since_version;
end $$;
create or replace function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
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

-- 80_events.sql
create function require_quote_cursor_seen(c quote_cursor) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := pg_current_snapshot();
    counted pg_snapshot := coalesce(c.cur, c.prev);
begin
    if current_setting('transaction_isolation') <> 'read committed' and exists (
            select from (select x from pg_snapshot_xip(seen) x
                union all select n::text::xid8 from generate_series(pg_snapshot_xmax(seen)::text::bigint, pg_snapshot_xmax(counted)::text::bigint - 1) n) r (xid)
            where pg_visible_in_snapshot(r.xid, counted)) then
        raise exception 'the cursor is newer than this transaction' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Read the event feed in a transaction of its own, or in read committed.';
    end if;
end $$;
comment on function require_quote_cursor_seen(quote_cursor) is 'refuses a cursor that is newer than the transaction';
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
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
                extract(epoch from clock_timestamp()), 0)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
create function quote_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        select v.position, v.event || jsonb_build_object('actor_name', %2$s) as event
        from (
            select c.xid, c.position from (
                select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
                where c.xid = any (array(select pg_snapshot_xip($1)))
                union all
                select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
                where c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)) c
            where pg_visible_in_snapshot(c.xid, $2) and c.position > $3 and c.origin = $4 and c.changed_at >= $5
                and c.conflict_resolution is distinct from 'REJECTED'
            group by c.xid, c.position order by c.position limit $6) p
        cross join lateral (
            select w.* from (%4$s) w
            where w.xid = p.xid and w.position = p.position and w.origin = $4 and w.changed_at >= $5 offset 0) v %3$s
        order by v.position$query$, home, author.name_expression, author.join_clause,
        @extschema@.quote_change_events_query(home));
end $$;
comment on function quote_batch_query() is 'query for the events of a batch of the feed';
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', '1', $4, $1, $7, $8, $2, $9, e.position), e.event from (%s) e order by e.position$query$,
        @extschema@.quote_batch_query())
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '1 day', max, c.prev_at, c.floor_at, c.cur_at;
end $$;

-- 85_relay.sql
create or replace function quote_relay_table(name text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$ begin return format('%I.%I', @extschema@.quote_collab_home(), name); end $$;
create or replace function require_quote_relay_epoch(epoch bigint) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    held boolean;
begin
    select r.held into held from @extschema@.quote_prepared_rows(
        format('select l.epoch = $1 from %s l for update', @extschema@.quote_relay_table('quote_relay_lease')), row(epoch)) r (held boolean);
    if held is not true then
        raise exception 'the relay''s lease is lost' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another relay has taken over; take the lease again before you go on.';
    end if;
end $$;
create or replace function quote_relay_open_batch(epoch bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    prev_at timestamptz;
    floor_at timestamptz;
    here bigint := @extschema@.quote_cluster_identifier();
    opened bigint;
begin
    perform @extschema@.require_quote_relay_epoch(epoch), set_config('synchronous_commit', 'on', true);
    select b.* into last from @extschema@.quote_prepared_rows(format('select b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin from %s b
        order by b.no desc limit 1', @extschema@.quote_relay_table('quote_relay_batch')), row())
        b (no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint);
    prev := last.cur;
    prev_at := last.cur_at;
    -- The clock may have been set back since: changes were then made before the floor.
    floor_at := least(case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end, clock_timestamp());
    if last.origin <> here then
        prev := '3:3:';
        prev_at := '-infinity';
        floor_at := '-infinity';
    end if;
    cur := @extschema@.quote_feed_snapshot();
    select b.no into opened from @extschema@.quote_prepared_rows(format($query$
        insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select $1, $2, $3, $4, $5, $6, $7
        where exists (
            select from %2$s c where c.xid = any (array(select pg_snapshot_xip($2))) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        or exists (
            select from %2$s c where c.xid >= pg_snapshot_xmax($2) and c.xid < pg_snapshot_xmax($3) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        returning no$query$, @extschema@.quote_relay_table('quote_relay_batch'), @extschema@.quote_relay_table('quote_changes')),
        row(last.no + 1, prev, cur, prev_at, clock_timestamp(), floor_at, here, floor_at - interval '1 day')) b (no bigint);
    return opened;
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
    select r.* into b from @extschema@.quote_prepared_rows(
        format('select b.prev, b.cur, b.origin, b.floor_at from %s b where b.no = $1', @extschema@.quote_relay_table('quote_relay_batch')), row(batch))
        r (prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz);
    if found then
        return query select r."position", r.event from @extschema@.quote_prepared_rows(@extschema@.quote_batch_query(),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '1 day', max)) r ("position" bigint, event jsonb);
    end if;
end $$;
create or replace function quote_relay_checkpoint(epoch bigint, batch bigint, "position" bigint, stream_seq bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('update %s l set batch = $2, position = $3, stream_seq = $4 where l.epoch = $1',
        @extschema@.quote_relay_table('quote_relay_lease')) using epoch, batch, "position", stream_seq;
end $$;

-- 86_resume.sql
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
    execute format('select b.* from %s b where b.no >= $1 order by b.no limit 1', @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.origin <> @extschema@.quote_cluster_identifier() then
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
                select x.no from %2$s x where x.cur_xmax > c.xid and pg_visible_in_snapshot(c.xid, x.cur) and x.no > 0
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

-- 87_seals.sql
create or replace function quote_block_query(form smallint, history text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when form in (2, 3) then format($query$select sum(d.rows)::bigint, sha256(string_agg(d.digest, '' order by d.part)) from (%s) d (part, rows, digest)$query$,
            string_agg(format($query$select %s, count(*), @extschema@.quote_changes_digest(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id, c.was_conflict,
                c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position, c.xid, c.origin, c.context)
                from (select * from %s c where %s order by c.xid, c.position, c.id) c$query$, p.part, history, p.condition), ' union all '))
        else format($query$select count(*), @extschema@.quote_digest(sha256(convert_to(jsonb_build_array(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, extract(epoch from c.changed_at), c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id,
                c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position,
                c.xid::text, c.origin, c.context)::text, 'UTF8'))) from (select * from (%s) c order by c.position, c.id) c$query$,
            string_agg(format('select * from %s c where %s', history, p.condition), ' union all ')) end
    from unnest(@extschema@.quote_block_parts()) with ordinality p (condition, part)
$$;
create or replace function digest_quote_changes(form smallint, prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz, cur_at timestamptz,
    before_cur pg_snapshot, before_origin bigint, out rows bigint, out root bytea)
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
    into rows, root using prev, cur, origin, case form when 3 then '-infinity' else floor_at - interval '1 day' end,
        case form when 3 then 'infinity' else cur_at + interval '1 day' end, before_cur, before_origin;
end $$;
comment on function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint) is 'hashes the rows of one block of the audit log';
create or replace function append_quote_seal(last_hash bytea, no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz,
    cur_at timestamptz, origin bigint, rows bigint, root bytea, sealed_at timestamptz, form smallint, released jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    hash bytea := @extschema@.quote_seal_hash(last_hash, no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, sealed_at, form);
    signature bytea := @extschema@.sign_quote_seal(hash);
begin
    execute format('insert into %s (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, signature, signed_by, released)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)', @extschema@.quote_relay_table('quote_changes_seals'))
    using no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, signature, @extschema@.quote_seal_key(), released;
    perform @extschema@.move_quote_seal_anchor(last_hash, no, hash, signature is not null);
end $$;
comment on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, smallint, jsonb) is 'appends a block to the chain of seals';
revoke execute on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, smallint, jsonb) from public;
create function quote_block_form(prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz, cur_at timestamptz) returns smallint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    outside text := (
        select string_agg(format('exists (select from %s c where %s and c.origin = $3 and pg_visible_in_snapshot(c.xid, $2) and %s)',
            @extschema@.quote_relay_table('quote_changes'), p.condition, t.condition), ' or ')
        from unnest(array['c.xid = any (array(select pg_snapshot_xip($1)))', 'c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)']) p (condition),
            unnest(array['c.changed_at < $4', 'c.changed_at > $5']) t (condition));
    is_outside boolean;
begin
    select r.is_outside into is_outside from @extschema@.quote_prepared_rows('select ' || outside,
        row(prev, cur, origin, floor_at - interval '1 day', cur_at + interval '1 day')) r (is_outside boolean);
    return case when is_outside then 3 else 2 end;
end $$;
comment on function quote_block_form(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz) is 'form of the next block of the chain of seals';
revoke execute on function quote_block_form(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz) from public;
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
    prev := case when last.origin = here then last.cur else '3:3:'::pg_snapshot end;
    -- As in the event feed: what ran already when the last block was cut may hold changes older than that.
    floor_at := case when last.origin <> here then '-infinity'
        when pg_snapshot_xmin(last.cur) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    form := @extschema@.quote_block_form(prev, cur, here, floor_at, now_at);
    select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, now_at, last.cur, last.origin);
    if block.rows > 0 or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, last.cur_at, now_at, here, block.rows, block.root,
            now_at, form, null::jsonb);
    end if;
    return block.rows;
end $$;

-- 87_verify.sql
create type @extschema@.quote_seal as (
    no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz, cur_at timestamptz, origin bigint, rows bigint,
    root bytea, hash bytea, sealed_at timestamptz, form smallint, signature bytea, signed_by bytea, released jsonb
);
comment on type @extschema@.quote_seal is 'a block of the chain of seals';
create function examine_quote_seal(before quote_seal, b quote_seal, signed_from bigint, out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if before.no is null then
        if b.no <> 0 or b.hash <> sha256(convert_to('quote_changes', 'UTF8')) or b.rows <> 0 or b.cur::text <> '3:3:' then
            finding := 'chain'; detail := 'the chain does not begin with its first block';
        end if;
    elsif b.no <> before.no + 1 then
        finding := 'chain'; detail := format('%s blocks are missing before this one', b.no - before.no - 1);
    elsif b.hash <> @extschema@.quote_seal_hash(before.hash, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root,
            b.sealed_at, b.form) then
        finding := 'block'; detail := 'this block or the one before it was changed';
    elsif (b.signature is null) <> (b.signed_by is null) or not @extschema@.quote_seal_signature_holds(b.hash, b.signature, b.signed_by) then
        finding := 'signature'; detail := 'the signature of this block does not hold';
    elsif b.signature is null and (before.signature is not null or b.no = signed_from) then
        finding := 'signature'; detail := 'from this block on the chain is not signed any more';
    end if;
end $$;
comment on function examine_quote_seal(quote_seal, quote_seal, bigint) is 'what is wrong with a block of the chain of seals';
create function examine_sealed_rows(before quote_seal, b quote_seal, gone int8multirange, remains jsonb, out sealed bigint,
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
        root := null;
    elsif remains ? b.no::text then
        sealed := (remains -> b.no::text ->> 'rows')::bigint;
        root := decode(remains -> b.no::text ->> 'root', 'hex');
    end if;
    select * into actual from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at, b.cur_at, before.cur, before.origin);
    if actual.rows <> sealed then
        finding := 'rows'; detail := format('%s rows were sealed, %s are there', sealed, actual.rows);
    elsif actual.root <> root then
        finding := 'content'; detail := format('one of %s rows was changed', sealed);
    end if;
end $$;
comment on function examine_sealed_rows(quote_seal, quote_seal, int8multirange, jsonb) is 'what is wrong with the rows of a block';
create function find_unsealed_rows(newest quote_seal, sealed bigint) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := @extschema@.quote_history_query();
    here bigint := @extschema@.quote_cluster_identifier();
    counted bigint;
begin
    execute format('select count(*) from %1$s c where c.origin <> $1 and not exists (select from %2$s s where s.origin = c.origin)
        or c.origin = $1 and c.xid >= pg_snapshot_xmax(pg_current_snapshot())', log, @extschema@.quote_relay_table('quote_changes_seals'))
    into counted using here;
    if counted > 0 then
        return format('%s rows come from nowhere', counted);
    end if;
    execute format('select count(*) from %1$s c where c.origin = $1 and pg_visible_in_snapshot(c.xid, $2) or c.origin not in ($1, $3)', log)
    into counted using newest.origin, newest.cur, here;
    if counted <> sealed then
        return format('%s rows were sealed in all, %s are there', sealed, counted);
    end if;
    return null;
end $$;
comment on function find_unsealed_rows(quote_seal, bigint) is 'what is wrong with rows that no block counts';
create function examine_chain_end(newest quote_seal, anchor_no bigint, anchored boolean) returns table (block bigint, finding text, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select anchor_no, 'anchor', 'the server sealed another block with this number' where anchor_no is not null and not anchored
    union all
    select anchor_no + 1, 'anchor', 'from this block on the chain is not the server''s alone' where anchored and newest.no > anchor_no
    union all
    select newest.no, 'signature', 'the newest block is not signed with the configured key'
    where @extschema@.quote_seal_key() <> coalesce(newest.signed_by, '')
$$;
comment on function examine_chain_end(quote_seal, bigint, boolean) is 'what is wrong with the end of the chain of seals';
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
        anchored := anchored or b.no = entry.anchor_no and b.hash = entry.anchor_hash;
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
            rows_sealed := rows_sealed + part;
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
        into detail using (regexp_match(expected, '^(\d{1,18}):[0-9a-f]{64}$'))[1]::bigint;
        if detail is distinct from expected then
            finding := 'digest'; detail := 'the chain does not hold the expected digest'; return next;
        end if;
    end if;
end $$;

-- 88_release.sql
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
            and (x.floor_at - interval '1 day' < $3 and x.cur_at + interval '1 day' > $2 or x.form = 3 or x.origin <> x.before_origin)
        order by x.no$query$, @extschema@.quote_relay_table('quote_changes_seals')) using released.gone, from_at, until_at
    loop
        no := b.no;
        expected_rows := coalesce((released.remains -> b.no::text ->> 'rows')::bigint, b.rows);
        expected_root := coalesce(decode(released.remains -> b.no::text ->> 'root', 'hex'), b.root);
        select d.rows, d.root into rows, root from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at,
            b.cur_at, b.before_cur, b.before_origin) d;
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
    floor_at timestamptz;
    root bytea := sha256(convert_to(released::text, 'UTF8'));
begin
    execute format('select * from %s order by no desc limit 1', seals) into strict last;
    floor_at := case when pg_snapshot_xmin(last.cur) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    perform @extschema@.append_quote_seal(last.hash, last.no + 1, last.cur, last.cur, floor_at, last.cur_at, last.cur_at, last.origin, 0, root,
        clock_timestamp(), 2::smallint, released);
end $$;

-- 90_maintenance.sql
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
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
    swept := @extschema@.cleanup_stale_quote_sessions();
    -- A lock that nobody takes without rights on the batches; who cuts or reads them is not in its way.
    begin
        execute format('lock table %s in share update exclusive mode nowait', batch);
        alone := true;
    exception when lock_not_available then
        alone := false;
    end;
    if alone then
        made := @extschema@.create_quote_changes_partitions(@extschema@.quote_relay_table('quote_changes')::regclass, 3);
        execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
            and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
        get diagnostics dropped = row_count;
        select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
    end if;
    -- What is wrong with the history is verify_quote_history()'s to tell, and must not stop the rest.
    begin
        sealed := @extschema@.seal_quote_history();
    exception when object_not_in_prerequisite_state then
        raise warning '%', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;

-- 92_doctor.sql
create or replace function quote_collab_doctor_tables() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    s @extschema@.quote_collab_settings;
    target regclass;
    name text;
    missing text;
    repair text;
begin
    for s in select * from @extschema@.quote_collab_settings order by attached_at loop
        name := format('%I.%I', s.table_schema, s.table_name);
        target := @extschema@.quote_collab_table(s);
        return next @extschema@.quote_collab_verdict('table exists: ' || name, target is not null, 'error', 'the attached table is gone',
            format('select @extschema@.detach_quote_collaboration(%s);',
                'quotes => ' || quote_literal(@extschema@.quote_collab_table(@extschema@.quote_collab_partner(s))::text)));
        continue when target is null;
        repair := @extschema@.quote_attach_statement(s);
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
    end loop;
end $$;
create function quote_collab_doctor_bypasses(s quote_collab_settings) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.%I', s.table_schema, s.table_name);
    target regclass := @extschema@.quote_collab_table(s);
    names text;
    hints text;
begin
    select string_agg(t.name, ', '), string_agg(t.rename, ' ') into names, hints from @extschema@.quote_late_triggers(s) t;
    return next @extschema@.quote_collab_verdict('version stamped last: ' || name, names is null, 'warning',
        format('these triggers may change a row after its version was decided: %s', names), hints);
    select string_agg(t.relation::text, ', '), string_agg(format('alter table %s no inherit %s;', t.relation, target), ' ')
    into names, hints from @extschema@.quote_inheriting_tables(target) t (relation);
    return next @extschema@.quote_collab_verdict('no inheritance: ' || name, names is null, 'error',
        format('changes of rows of these tables leave no history and raise no version, and saves of them are lost: %s', names),
        format('Make them partitions, or let them inherit no longer: %s', hints));
end $$;
comment on function quote_collab_doctor_bypasses(quote_collab_settings) is 'doctor: triggers and tables by which rows change past those that attach creates';

-- 93_doctor_objects.sql
create or replace function quote_view_differs(target regclass, query text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text := (select string_agg(format('x.%I', a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped);
begin
    for attempt in 1 .. 3 loop
        if @extschema@.explain_quote_query(format('select %s, x.* from %s x', names, target))
            = @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, query))
        then
            return false;
        end if;
    end loop;
    return true;
exception when undefined_column or ambiguous_column or undefined_function or undefined_table then
    return true;
end $$;
create function quote_view_functions_changed(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(p.oid::regprocedure::text, ', ')
    from @extschema@.quote_view_functions(target_schema) f
    join pg_proc p on p.proname = f.function_name and p.pronargs = 0 join pg_namespace n on n.oid = p.pronamespace and n.nspname = target_schema
    join pg_roles r on r.oid = p.proowner join pg_language l on l.oid = p.prolang
    where p.prosrc <> f.query or not r.rolsuper or l.lanname <> 'sql' or p.prosecdef or p.proconfig is not null or p.provolatile <> 's'
$$;
comment on function quote_view_functions_changed(name) is 'doctor: functions that views read and that do something else than those that attach creates';
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
    where r.rulename <> '_RETURN' and (n.nspname = target_schema and c.relname in (select v.view_name from @extschema@.quote_view_queries(target_schema) v)
        or c.oid in (select l.relation from @extschema@.quote_own_relations(target_schema) l)
        or c.oid in (select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)::oid
            union select p.relid from pg_partition_tree(@extschema@.quote_collab_table(s)) p) t (oid)));
    return next @extschema@.quote_collab_verdict('no rules', names is null, 'error',
        format('these rules turn statements into others: %s', names), hints);
end $$;
