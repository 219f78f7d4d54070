-- What views show where several pairs are attached. A query that named all their tables would be refused to whoever may not read
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
comment on function recent_quote_change_names() is 'numbers and author of each change of the last 24 hours, from the tables that the caller may read';

create function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
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
comment on function active_quote_names() is 'number and customer of each quote that is open, from the tables that the caller may read';
