-- Reading what happened. Under the caller's rights, row security and tenant.
create type @extschema@.quote_change as (
    id uuid, tenant_id uuid, quote_id uuid, quote_line_id uuid, changed_by uuid, changed_by_name text,
    changed_at timestamptz, entity_type text, field_name text, old_value jsonb, new_value jsonb, change_type text,
    session_id uuid, was_conflict boolean, conflict_resolution text, entity_version_before integer,
    entity_version_after integer, event_id uuid, position bigint
);
comment on type @extschema@.quote_change is 'one changed field of one quote or line';

create function get_quote_change_history(quote_id uuid, max_rows integer default 50) returns setof quote_change
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    author record;
begin
    if quote_id is null then
        raise exception 'the quote id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'A history is that of one quote.', hint = 'Name the quote.';
    elsif max_rows is null or max_rows not between 0 and 10000 then
        raise exception 'the limit must be between 0 and 10000' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(max_rows::text, 'null')), hint = 'Ask for fewer at a time.';
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
comment on function get_quote_change_history(uuid, integer) is 'changes of a quote and its lines, newest first; a deleted quote keeps its history';

create function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(since_version);
    return @extschema@.quote_row_version(header, @extschema@.require_quote_row(header, quote_id, '')) > since_version;
end $$;
comment on function has_quote_been_updated(uuid, integer) is 'true when the quote has a newer version; raises P0002 for an unknown quote';

-- May the caller see this quote? Asked under his own rights and row security, with the tenant set.
create function quote_is_accessible(quote_id uuid) returns boolean
language sql
set search_path = pg_catalog, pg_temp
set jit = off
as $$ select @extschema@.find_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '') is not null $$;
comment on function quote_is_accessible(uuid) is 'true when the quote exists for the caller and the current tenant';

create function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
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
comment on function get_quote(uuid) is 'a quote and its lines as they are now';

-- How a header is listed: its row as jsonb, and its place, last number first. $1: tenant, $2: at most so many.
create function quote_list_query(header quote_collab_settings) returns text
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
comment on function quote_list_query(quote_collab_settings) is 'query of the rows of one header for list_quotes()';

-- Of several pairs those that the caller may read, in turn, so that a long one hides none.
create function list_quotes(max_rows integer default 50) returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    tenant uuid := @extschema@.current_quote_tenant();
    alone boolean := (select count(*) < 2 from @extschema@.quote_collab_pairs());
    query text;
begin
    if tenant is null then
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value',
            detail = 'The list is that of one tenant.', hint = 'Set app.current_tenant_id, or where tenants are verified, call authenticate_quote_user(token).';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(max_rows::text, 'null')), hint = 'Ask for fewer at a time.';
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
comment on function list_quotes(integer) is 'quotes of the current tenant for a picker';
