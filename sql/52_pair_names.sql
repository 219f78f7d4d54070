-- The views where several pairs are attached. A view that named all their tables would be refused to whoever may not read
-- one of them; so the names come from functions, which ask only the tables that the caller may read.

-- Type of the column that plays a role in the attached tables of one kind: where they differ the widest whole number, or text.
create function quote_common_type(entity text, roles text[], fallback text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case count(distinct t.type) when 0 then fallback when 1 then min(t.type)
        else case when bool_and(t.type in ('smallint', 'integer')) then 'integer'
            when bool_and(t.type in ('smallint', 'integer', 'bigint')) then 'bigint' else 'text' end end
    from @extschema@.quote_collab_settings s
    cross join lateral (
        select format_type(a.atttypid, a.atttypmod) from unnest(roles) with ordinality r (role, place)
        join pg_attribute a on a.attrelid = @extschema@.quote_collab_table(s) and a.attname = s.columns ->> r.role and not a.attisdropped
        order by r.place limit 1) t (type)
    where s.entity = quote_common_type.entity
$$;
comment on function quote_common_type(text, text[], text) is 'type of the column that plays a role, text where the pairs differ';

create function quote_change_join(target quote_collab_settings, alias text, key text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(' left join %I.%I %s on %s.%s = c.%I and %s.%s = c.tenant_id', target.table_schema, target.table_name, alias,
        alias, @extschema@.quote_collab_column(target, 'id'), key, alias, @extschema@.quote_collab_column(target, 'tenant'))
$$;
comment on function quote_change_join(quote_collab_settings, text, text) is 'how a query over the audit log joins an attached table';

create function recent_quote_change_names() returns table (change_id uuid, quote_number text, line_number text, user_name text)
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
    for pair in select * from @extschema@.quote_collab_pairs() loop
        place := place + 1;
        if @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number}'::text[]) then
            quote_numbers := quote_numbers || format(', q%s.%s::text', place,
                coalesce(@extschema@.quote_collab_column(pair.header, 'quote_number'), @extschema@.quote_collab_column(pair.header, 'id')));
            joins := joins || @extschema@.quote_change_join(pair.header, 'q' || place, 'quote_id');
        end if;
        role := case when (pair.line).columns ? 'line_number' then 'line_number' else 'version' end;
        if @extschema@.quote_columns_readable(pair.line, array['id', 'tenant', role]) then
            line_numbers := line_numbers || format(', l%s.%s::text', place, @extschema@.quote_collab_column(pair.line, role));
            joins := joins || @extschema@.quote_change_join(pair.line, 'l' || place, 'quote_line_id');
        end if;
    end loop;
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format('select c.id, coalesce(%s), coalesce(%s), %s from %I.quote_changes c %s %s
        where c.changed_at > now() - interval ''24 hours''', quote_numbers, line_numbers, author.name_expression,
        @extschema@.quote_collab_home(), joins, author.join_clause);
end $$;
comment on function recent_quote_change_names() is 'numbers and author of each change of the last 24 hours, from the tables that the caller may read';

create function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
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
        customers := (pair.header).relations -> 'customers';
        if customer_column is null or not @extschema@.quote_relation_readable(customers) then
            customers := null;
        end if;
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
comment on function active_quote_names() is 'number and customer of each quote that is open, from the tables that the caller may read';

-- What the views ask, the two over one pair of tables or over all.
create function quote_pair_view_queries(home name, out recent text, out active text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if (select count(*) from @extschema@.quote_collab_pairs()) = 1 then
        select @extschema@.recent_quote_changes_query(p.header, p.line), @extschema@.active_quote_collaborators_query(p.header)
        into recent, active from @extschema@.quote_collab_pairs() p;
    else
        recent := format($query$
            select c.id as change_id, c.tenant_id, c.quote_id, n.quote_number, c.quote_line_id, n.line_number::%s as line_number, c.changed_by,
                   n.user_name as changed_by_username, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type,
                   c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after
            from %I.quote_changes c left join @extschema@.recent_quote_change_names() n on n.change_id = c.id
            where c.changed_at > now() - interval '24 hours'$query$,
            @extschema@.quote_common_type('QUOTE_LINE', '{line_number,version}'::text[], 'integer'), home);
        active := format('%s from %I.active_quote_sessions s
            join @extschema@.active_quote_names() n on n.quote_id = s.quote_id and n.tenant_id = s.tenant_id
            where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl() group by 1, 2, 3, 4, 5',
            @extschema@.active_quote_collaborators_columns('n.quote_number',
                'n.customer_id::' || @extschema@.quote_common_type('QUOTE', '{customer}'::text[], 'uuid'), 'n.customer_name'), home);
    end if;
end $$;
comment on function quote_pair_view_queries(name, out text, out text) is 'queries of the views of recent changes and active collaborators';

create function quote_view_queries(home name) returns table (view_name name, query text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from @extschema@.quote_pair_view_queries(home) p
    cross join lateral (values
        ('v_quote_changes_all'::name, @extschema@.quote_changes_all_query(home)), ('v_quote_change_events', @extschema@.quote_change_events_query(home)),
        ('v_recent_quote_changes', p.recent), ('v_active_quote_collaborators', p.active)) v
$$;
comment on function quote_view_queries(name) is 'the views beside an audit log, each with its query';

create function create_pair_views(home name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    queries record;
begin
    select * into queries from @extschema@.quote_pair_view_queries(home);
    perform @extschema@.replace_quote_view(format('%I.v_recent_quote_changes', home), queries.recent,
        'changes of the last 24 hours with quote number, line number and user name', target_owner);
    perform @extschema@.replace_quote_view(format('%I.v_active_quote_collaborators', home), queries.active,
        'who is looking at or editing which quote now', target_owner);
end $$;
comment on function create_pair_views(name, name) is 'creates the views of recent changes and active collaborators over all attached pairs';
