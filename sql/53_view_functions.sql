-- What the views read of the ERP's tables they read through functions that attach writes. PostgreSQL refuses to alter or drop a column
-- that a view names; what a function names it looks for when the function is called. Where one pair is attached the planner puts the
-- function's query in its place, so that the view is as fast as one over the tables. For that the function may set no search path: every
-- name in it is qualified, operators included.

-- Rows of a table as key_1, ... and late_1, ...: a late column that is gone is null of its type. An unqualified name that the table does not
-- have is looked for in the query around, which has them all.
create function quote_late_rows(table_schema name, table_name name, keys text[], late text[], types text[]) returns text
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
comment on function quote_late_rows(name, name, text[], text[], text[]) is 'a table in a query that outlives the loss of columns';

-- Key and name of each user or customer, and their tenant where they have one.
create function quote_late_names(relation jsonb, tenant name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@.quote_late_rows((relation ->> 'schema')::name, (relation ->> 'table')::name, array[relation ->> 'id'],
        array_remove(array[relation ->> 'name', tenant::text], null), array_remove(array['pg_catalog.text', case when tenant is not null then 'pg_catalog.uuid' end], null))
$$;
comment on function quote_late_names(jsonb, name) is 'a table of users or customers in a query that outlives the loss of columns';

-- The table that names users or customers of a pair, if it is there.
create function quote_names_standing(settings quote_collab_settings, kind text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.relation from (select settings.relations -> kind) r (relation)
    where exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = r.relation ->> 'schema' and c.relname = r.relation ->> 'table')
$$;
comment on function quote_names_standing(quote_collab_settings, text) is 'the table that names users or customers of a pair; null where it is gone';

create function recent_quote_changes_query(header quote_collab_settings, line quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := @extschema@.quote_names_standing(header, 'users');
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
comment on function recent_quote_changes_query(quote_collab_settings, quote_collab_settings) is 'recent changes of the only attached pair';

create function active_quote_collaborators_columns(quote_number text, customer_id text, customer_name text) returns text
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
comment on function active_quote_collaborators_columns(text, text, text) is 'columns of the view of active collaborators';

-- Whose session lives, and how they are put together.
create function active_quote_collaborators_condition() returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'where s.last_heartbeat operator(pg_catalog.>) (pg_catalog.statement_timestamp() operator(pg_catalog.-) @extschema@.quote_session_ttl())
        group by 1, 2, 3, 4, 5'
$$;
comment on function active_quote_collaborators_condition() is 'which sessions the view of active collaborators shows';

create function active_quote_collaborators_query(header quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb := @extschema@.quote_names_standing(header, 'customers');
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
comment on function active_quote_collaborators_query(quote_collab_settings) is 'active collaborators on the only attached pair';

-- The functions beside an audit log, each with its query: over the tables of the only pair, or over what the caller may read of all.
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

-- Whoever may read the view calls it, with his own rights. It belongs to whom attach was run by, a superuser: to the doctor one of
-- somebody else's is a stranger.
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

-- Those that are there under these names, and whether attach made them.
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
