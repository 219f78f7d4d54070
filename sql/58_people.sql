-- The ERP's tables that name users and customers.

-- {"schema", "table", "id", "name", "email"} of a table of people or firms; null when the ERP has none.
create function find_quote_relation(target_schema name, chosen jsonb, default_table text, names text[], emails text[])
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass := to_regclass(format('%I.%I', coalesce(chosen ->> 'schema', target_schema), coalesce(chosen ->> 'table', default_table)));
begin
    if target is null then
        return null;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'schema', coalesce(chosen ->> 'schema', target_schema),
        'table', coalesce(chosen ->> 'table', default_table),
        'id', @extschema@.find_quote_column(target, 'id', chosen, '{id}'::text[], true),
        'name', @extschema@.find_quote_column(target, 'name', chosen, names, true),
        'email', @extschema@.find_quote_column(target, 'email', chosen, emails, false)));
end $$;
comment on function find_quote_relation(name, jsonb, text, text[], text[]) is 'finds a table that names users or customers';

-- The table of people. One that was only found and cannot be read safely is left alone; one that was named is refused,
-- SQLSTATE 42809.
create function find_quote_users(target_schema name, chosen jsonb, header regclass) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := @extschema@.find_quote_relation(target_schema, chosen, 'users'::text, '{username,user_name,name}'::text[], '{email}'::text[]);
begin
    if users is null or @extschema@.quote_users_safe(users, (select c.relowner from pg_class c where c.oid = header)) then
        return users;
    elsif chosen is null then
        raise notice 'names of users are not read from %.%', quote_ident(users ->> 'schema'), quote_ident(users ->> 'table')
            using detail = 'It is not a table of ordinary columns, and belongs to another than the owner of the quotes.';
        return null;
    end if;
    raise exception 'names of users cannot be read from %.%', quote_ident(users ->> 'schema'), quote_ident(users ->> 'table')
        using errcode = 'wrong_object_type',
              detail = 'The relay reads it with the rights of the extension''s owner, and whoever made a view or a type has his functions run then.',
              hint = 'Name a table with columns of PostgreSQL''s own types, or let the view belong to the owner of the quotes.';
end $$;
comment on function find_quote_users(name, jsonb, regclass) is 'finds the table that names users';
