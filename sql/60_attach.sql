-- attach: makes an ERP's header and line tables collaborative. Idempotent: run it again after a migration.

-- First existing column of a list of candidates, or the one that the options name. SQLSTATE 42703 when a named column
-- is missing, or when a required role has no column.
create function find_quote_column(target regclass, role text, chosen jsonb, candidates text[], required boolean)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_column text;
begin
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
comment on function find_quote_column(regclass, text, jsonb, text[], boolean) is 'finds the column that plays a role in a table';

-- Role → column of a header or line table. reference: names of the column by which lines know their header, best first.
create function find_quote_columns(target regclass, entity text, chosen jsonb, reference text[] default '{quote_id}') returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from (values
        ('QUOTE', 'id', '{id}'::text[], true), ('QUOTE', 'tenant', '{tenant_id}', true),
        ('QUOTE', 'version', '{version}', false), ('QUOTE', 'updated_at', '{updated_at}', false),
        ('QUOTE', 'updated_by', '{updated_by}', false), ('QUOTE', 'created_by', '{created_by}', false),
        ('QUOTE', 'quote_number', '{quote_number,order_number,document_number}', false), ('QUOTE', 'customer', '{customer_id}', false),
        ('QUOTE', 'status', '{status}', false), ('QUOTE', 'subtotal', '{subtotal}', false),
        ('QUOTE', 'tax_amount', '{tax_amount}', false), ('QUOTE', 'shipping_amount', '{shipping_amount}', false),
        ('QUOTE', 'discount_amount', '{discount_amount}', false), ('QUOTE', 'total_amount', '{total_amount}', false),
        ('QUOTE_LINE', 'id', '{id}', true), ('QUOTE_LINE', 'tenant', '{tenant_id}', true),
        ('QUOTE_LINE', 'quote', reference, true), ('QUOTE_LINE', 'version', '{version}', false),
        ('QUOTE_LINE', 'updated_at', '{updated_at}', false), ('QUOTE_LINE', 'updated_by', '{updated_by}', false),
        ('QUOTE_LINE', 'created_by', '{created_by}', false), ('QUOTE_LINE', 'line_number', '{line_number}', false),
        ('QUOTE_LINE', 'quantity', '{quantity,quantity_quoted,quantity_ordered}', false),
        ('QUOTE_LINE', 'unit_price', '{unit_price}', false), ('QUOTE_LINE', 'line_amount', '{line_amount}', false)
    ) as r (entity, role, candidates, required)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, r.candidates, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
comment on function find_quote_columns(regclass, text, jsonb, text[]) is 'finds the columns of an ERP table by role';

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

-- Adds the version column (and updated_by to lines) where the table has none; returns the names it added.
create function add_quote_columns(target regclass, entity text, columns jsonb) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    added name[] := '{}'::name[];
begin
    if not columns ? 'version' then
        execute format('alter table %s add column version integer not null default 1', target);
        execute format('comment on column %s.version is %L', target, 'optimistic-lock token: +1 per change of the row');
        added := added || 'version'::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' then
        execute format('alter table %s add column updated_by uuid', target);
        execute format('comment on column %s.updated_by is %L', target, 'who changed the row last');
        added := added || 'updated_by'::name;
    end if;
    return added;
end $$;
comment on function add_quote_columns(regclass, text, jsonb) is 'adds the columns that collaboration needs to an ERP table';

-- Keys must be uuids and versions whole numbers. SQLSTATE 42804.
create function check_quote_column_types(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    select a.attname, r.role, r.types into wrong
    from (values ('id', '{uuid}'::regtype[]), ('tenant', '{uuid}'), ('quote', '{uuid}'), ('version', '{smallint,integer,bigint}')) r (role, types)
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    where case when t.typtype = 'd' then t.typbasetype else t.oid end <> all (r.types)
    limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'datatype_mismatch', detail = format('It must be of type %s.', array_to_string(wrong.types, ' or '));
    end if;
end $$;
comment on function check_quote_column_types(regclass, jsonb) is 'refuses key and version columns of types that cannot work';

-- One table: columns, settings row, triggers.
create function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
    chosen jsonb := coalesce(options -> case entity when 'QUOTE' then 'columns' else 'line_columns' end, '{}');
    reference text[] := @extschema@.quote_reference_candidates(target, header, coalesce(options -> 'columns' ->> 'id', 'id')::name);
    added name[];
    names record;
begin
    select n.nspname as schema_name, c.relname as table_name, hn.nspname as header_schema, h.relname as header_table, ln.nspname as log_schema
    into names from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_class h join pg_namespace hn on hn.oid = h.relnamespace,
        pg_class l join pg_namespace ln on ln.oid = l.relnamespace
    where c.oid = target and h.oid = header and l.oid = log;
    added := @extschema@.add_quote_columns(target, entity, @extschema@.find_quote_columns(target, entity, chosen, reference));
    perform @extschema@.check_quote_column_types(target, @extschema@.find_quote_columns(target, entity, chosen, reference));
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, header_schema, header_table, log_schema, columns, ignored_columns, added_columns, relations,
        system_user_id, truncation, replicated_history, archive_after, drop_after)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema,
        @extschema@.find_quote_columns(target, entity, chosen, reference),
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        jsonb_strip_nulls(jsonb_build_object(
            'users', @extschema@.find_quote_users(names.schema_name, options -> 'users', header),
            'customers', @extschema@.find_quote_relation(names.schema_name, options -> 'customers', 'customers'::text, '{customer_name,name}'::text[], '{email}'::text[]))),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = s.added_columns || excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after
    returning s.* into settings;
    perform @extschema@.create_quote_triggers(target, settings, log);
    return settings;
end $$;
comment on function attach_quote_table(regclass, text, regclass, regclass, jsonb) is 'makes one ERP table collaborative';

-- Attaches collaboration to a pair of tables. quotes and quote_lines default to the tables of those names on the
-- caller's search path: a default is evaluated where the call is written. options: {"columns": {role: column},
-- "line_columns": {role: column}, "ignored_columns": [...], "users": {"schema","table","id","name","email"},
-- "customers": {...}, "system_user_id": uuid, "truncate": "refuse" | "record", "replicated_history": boolean,
-- "archive_after": interval, "drop_after": interval}.
-- Everything or nothing: an error leaves no trace. Waits at most 5 seconds for a lock, unless lock_timeout says otherwise.
create function attach_quote_collaboration(
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
begin
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s);
    perform @extschema@.check_quote_tables(header, lines, options);
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.check_quote_home(header, home, homes);
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options);
    perform @extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options);
    execute format('select @extschema@.begin_quote_seal_anchor(s.no, s.hash) from %I.quote_changes_seals s order by s.no desc limit 1', home);
    perform @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(header);
    perform @extschema@.start_quote_worker();
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
comment on function attach_quote_collaboration(regclass, regclass, jsonb) is 'attaches history, versions, presence and events to a header table and its lines';
