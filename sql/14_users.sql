-- People, from the ERP's users tables: each pair of tables may name one.

-- Is a table that attach found, users or customers, still one of names? It and its columns may be gone, and a user that is told by anything but
-- a uuid is nobody in the history.
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

-- May the caller read it? No when its schema is closed to him.
create function quote_relation_readable(relation jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table'), false);
end $$;
comment on function quote_relation_readable(jsonb) is 'true when the caller may read a table of users or customers';

-- Does a relation of names belong to somebody who may act as the owner of the quotes, a superuser above all? Planning a query over it is
-- enough to run what its owner put there, index expressions, policies or a view, with the rights of whoever reads: the relay's, or those
-- of the gateway, which may set any tenant.
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

-- The relation of users or customers of a pair, as far as the caller may read it and it is trusted; null when not. Asked anew each time:
-- it may have changed hands since attach, or become a view, or have other columns.
create function quote_names(settings quote_collab_settings, kind text) returns jsonb
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
comment on function quote_names(quote_collab_settings, text) is 'the table that names users or customers of a pair, if it may be read';

-- The column of customers that names their tenant, where it is called as in the quotes.
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

-- The customers of a quote's own tenant, where their table has the column that says so, and those that it says of nobody.
create function quote_customer_join(header quote_collab_settings, customers jsonb, customer text, tenant text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format(' left join %I.%I c on c.%I = %s', customers ->> 'schema', customers ->> 'table', customers ->> 'id', customer)
        || coalesce((select format(' and (c.%1$I = %2$s or c.%1$I is null)', t.name, tenant) from @extschema@.quote_customer_tenant(header, customers) t (name) where t.name is not null), '');
end $$;
comment on function quote_customer_join(quote_collab_settings, jsonb, text, text) is 'how a query over quotes joins the customers of their tenant';

-- Each once, in the order of attaching.
create function quote_user_relations() returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select n.users from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_names(s, 'users'::text)) n (users)
    where s.entity = 'QUOTE' and n.users is not null group by 1 order by min(s.attached_at);
end $$;
comment on function quote_user_relations() is 'the users tables of all attached pairs that the caller may read';

-- users: what quote_names() gave.
create function find_quote_user_in(users jsonb, user_id uuid, out user_name text, out user_email text, out known boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('select u.%I::text, %s, true from %I.%I u where u.%I = $1', users ->> 'name',
        coalesce('u.' || quote_ident(users ->> 'email') || '::text', 'null'), users ->> 'schema', users ->> 'table', users ->> 'id')
    into user_name, user_email, known using user_id;
    known := coalesce(known, false);
end $$;
comment on function find_quote_user_in(jsonb, uuid) is 'name and e-mail of a user in one users table';

-- Name and e-mail of a user from the ERP's users tables, as far as the caller may read them; known is null when he may not.
create function find_quote_user(user_id uuid, out user_name text, out user_email text, out known boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb;
begin
    for users in select * from @extschema@.quote_user_relations() loop
        select u.* into user_name, user_email, known from @extschema@.find_quote_user_in(users, user_id) u;
        exit when known;
    end loop;
end $$;
comment on function find_quote_user(uuid) is 'name and e-mail of a user, nulls when unknown or not readable';

-- Join to the users tables as " left join ... u1 on u1.id = <column>", and the expression of the name; empty and null when
-- the ERP has no such table or the caller may not read it.
create function quote_user_join(column_name text, out join_clause text, out name_expression text)
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
comment on function quote_user_join(text) is 'how a query names the author of a change';

-- updated_by as a derived column of a save: the acting user, unless the ERP knows no such user, or has no such column any more.
create function quote_author_column(target quote_collab_settings) returns jsonb
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
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::pg_catalog.uuid', who));
end $$;
comment on function quote_author_column(quote_collab_settings) is 'who saves, as an assignment to updated_by';
