-- Reading what happened. Under the caller's rights, row security and tenant.
create type quote_change as (
    id uuid, tenant_id uuid, quote_id uuid, quote_line_id uuid, changed_by uuid, changed_by_name text,
    changed_at timestamptz, entity_type text, field_name text, old_value jsonb, new_value jsonb, change_type text,
    session_id uuid, was_conflict boolean, conflict_resolution text, entity_version_before integer,
    entity_version_after integer, event_id uuid, position bigint
);
comment on type quote_change is 'one changed field of one quote or line';

-- Join to the users table as " left join … u on u.id = <column>", and the expression of the name; empty and null when
-- the ERP has no such table or the caller may not read it.
create function quote_user_join(column_name text, out join_clause text, out name_expression text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := (@extschema@.quote_collab_target('QUOTE')).relations -> 'users';
begin
    join_clause := '';
    name_expression := 'null::text';
    if users is not null and has_table_privilege(format('%I.%I', users ->> 'schema', users ->> 'table'), 'select') then
        join_clause := format('left join %I.%I u on u.%I = %s', users ->> 'schema', users ->> 'table', users ->> 'id', column_name);
        name_expression := format('u.%I::text', users ->> 'name');
    end if;
end $$;
comment on function quote_user_join(text) is 'how a query names the author of a change';

create function get_quote_change_history(quote_id uuid, max_rows integer default 50) returns setof quote_change
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    author record;
begin
    if quote_id is null then
        raise exception 'the quote id must not be null' using errcode = 'null_value_not_allowed';
    elsif max_rows is null or max_rows not between 0 and 10000 then
        raise exception 'the limit must be between 0 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format($query$
        select c.id, c.tenant_id, c.quote_id, c.quote_line_id, c.changed_by, %s, c.changed_at, c.entity_type::text,
            c.field_name::text, c.old_value, c.new_value, c.change_type::text, c.session_id, c.was_conflict,
            c.conflict_resolution::text, c.entity_version_before, c.entity_version_after, c.event_id, c.position
        from %I.v_quote_changes_all c %s
        where c.quote_id = $1 and ($2 is null or c.tenant_id = $2)
        order by c.position desc, c.id desc limit $3$query$, author.name_expression, header.table_schema, author.join_clause)
    using quote_id, @extschema@.current_quote_tenant(), max_rows;
end $$;
comment on function get_quote_change_history(uuid, integer) is 'changes of a quote and its lines, newest first; a deleted quote keeps its history';

create function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
begin
    if since_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed';
    elsif since_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value';
    end if;
    return (@extschema@.require_quote_row(header, quote_id) ->> (header.columns ->> 'version'))::integer > since_version;
end $$;
comment on function has_quote_been_updated(uuid, integer) is 'true when the quote has a newer version; raises P0002 for an unknown quote';

-- May the caller see this quote? Asked under his own rights and row security, with the tenant set.
create function quote_is_accessible(quote_id uuid) returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.find_quote_row(@extschema@.quote_collab_target('QUOTE'), quote_id) is not null $$;
comment on function quote_is_accessible(uuid) is 'true when the quote exists for the caller and the current tenant';

create function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE_LINE');
    quote jsonb := @extschema@.require_quote_row(header, quote_id);
    lines jsonb;
begin
    execute format('select jsonb_agg(to_jsonb(l) order by %s) from %I.%I l where l.%s = $1 and l.%s = $2',
        coalesce('l.' || @extschema@.quote_collab_column(line, 'line_number') || ', ', '') || 'l.' || @extschema@.quote_collab_column(line, 'id'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(line, 'tenant'))
    into lines using quote_id, (quote ->> (header.columns ->> 'tenant'))::uuid;
    return jsonb_build_object('quote', quote, 'lines', coalesce(lines, '[]'));
end $$;
comment on function get_quote(uuid) is 'a quote and its lines as they are now';

create function list_quotes(max_rows integer default 50) returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    customers jsonb := header.relations -> 'customers';
    tenant uuid := @extschema@.current_quote_tenant();
begin
    if tenant is null then
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value', hint = 'Set app.current_tenant_id.';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value';
    elsif customers is not null and not has_table_privilege(format('%I.%I', customers ->> 'schema', customers ->> 'table'), 'select') then
        customers := null;
    end if;
    return query execute format($query$
        select jsonb_build_object('id', q.%s, 'quote_number', %s, 'customer_name', %s, 'status', %s, 'total_amount', %s, 'version', q.%s)
        from %I.%I q %s where q.%s = $1 order by %s limit $2$query$,
        @extschema@.quote_collab_column(header, 'id'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'quote_number'), 'null'),
        case when customers is null then 'null' else format('c.%I', customers ->> 'name') end,
        coalesce('q.' || @extschema@.quote_collab_column(header, 'status'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'total_amount'), 'null'),
        @extschema@.quote_collab_column(header, 'version'),
        header.table_schema, header.table_name,
        case when customers is null then '' else format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', @extschema@.quote_collab_column(header, 'customer')) end,
        @extschema@.quote_collab_column(header, 'tenant'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'quote_number') || ' desc', 'q.' || @extschema@.quote_collab_column(header, 'id')))
    using tenant, max_rows;
end $$;
comment on function list_quotes(integer) is 'quotes of the current tenant for a picker';
