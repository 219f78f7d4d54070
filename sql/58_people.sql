-- The ERP's tables that name users and customers.

-- {"schema", "table", "id", "name", "email"} of a table of people or firms, as far as it has such columns; null when the ERP has
-- none. SQLSTATE 42P01 and 42703 for one that was named and is not there.
create function find_quote_relation(target_schema name, chosen jsonb, default_table text, names text[], emails text[])
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass;
begin
    select c.oid into target from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = coalesce(chosen ->> 'schema', target_schema) and c.relname = coalesce(chosen ->> 'table', default_table)
        and c.relkind in ('r', 'p', 'v', 'm', 'f');
    if target is null and chosen is null then
        return null;
    elsif target is null then
        raise exception 'no table %.%', quote_ident(coalesce(chosen ->> 'schema', target_schema)), quote_ident(coalesce(chosen ->> 'table', default_table))
            using errcode = 'undefined_table',
            detail = 'It is looked for among tables, views, materialized views and foreign tables.',
            hint = format('Name the table: {"%s": {"schema": "...", "table": "..."}}, or null for none.', default_table);
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'schema', coalesce(chosen ->> 'schema', target_schema),
        'table', coalesce(chosen ->> 'table', default_table),
        'id', @extschema@.find_quote_column(target, 'id', chosen, '{id}'::text[], false),
        'name', @extschema@.find_quote_column(target, 'name', chosen, names, false),
        'email', @extschema@.find_quote_column(target, 'email', chosen, emails, false)));
end $$;
comment on function find_quote_relation(name, jsonb, text, text[], text[]) is 'finds a table that names users or customers';

-- Has the table a name for each key of this type? One that was only found and does not fit is left alone; one that was named is
-- refused, SQLSTATE 42703 or 42804. kind: the option that names it. key: type of the column that refers to it, null where none does.
create function quote_relation_fits(kind text, relation jsonb, named boolean, key oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_key oid;
    shape text := format('It needs a column "id"%s and a column "name", or others that are named.', coalesce(' of type ' || format_type(key, null), ''));
begin
    select @extschema@.quote_base_type(a.atttypid) into found_key
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table' and a.attname = relation ->> 'id';
    if relation ? 'name' and (key is null or found_key = key or exists (
            select from pg_type f join pg_type k on k.typcategory = f.typcategory where f.oid = found_key and k.oid = key and f.typcategory in ('N', 'S'))) then
        return relation ? 'id';
    elsif not named then
        raise notice 'names of % are not read from %.%', kind, quote_ident(relation ->> 'schema'), quote_ident(relation ->> 'table') using detail = shape;
        return false;
    end if;
    raise exception 'names of % cannot be read from %.%', kind, quote_ident(relation ->> 'schema'), quote_ident(relation ->> 'table')
        using errcode = case when relation ?& '{id,name}'::text[] then 'datatype_mismatch' else 'undefined_column' end, detail = shape,
              hint = format('Name the columns: {"%s": {"table": "...", "id": "...", "name": "..."}}, or null for none.', kind);
end $$;
comment on function quote_relation_fits(text, jsonb, boolean, oid) is 'whether a table can name users or customers; refuses one that was named and cannot';

-- Does the relation of names belong to whom the quotes belong, or to somebody who may act as him? One that was only found and does
-- not is left alone; one that was named is refused, SQLSTATE 42809.
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

create function find_quote_users(target_schema name, chosen jsonb, header regclass) returns jsonb
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
comment on function find_quote_users(name, jsonb, regclass) is 'finds the table that names users';

create function find_quote_customers(target_schema name, chosen jsonb, header regclass, columns jsonb) returns jsonb
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
comment on function find_quote_customers(name, jsonb, regclass, jsonb) is 'finds the table that names customers';

-- Those of a pair: lines have their header's.
create function find_quote_relations(header regclass, entity text, columns jsonb, options jsonb) returns jsonb
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
comment on function find_quote_relations(regclass, text, jsonb, jsonb) is 'the tables that name users and customers of a pair';
