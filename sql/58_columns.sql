-- Which columns of the ERP's tables play which role, and those that attach adds.

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
