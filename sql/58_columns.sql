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

-- The type below all domains.
create function quote_base_type(declared oid) returns oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive below (oid, kind, base) as (
        select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = declared
        union all
        select t.oid, t.typtype, t.typbasetype from below b join pg_type t on t.oid = b.base where b.kind = 'd')
    select b.oid from below b where b.kind <> 'd'
$$;
comment on function quote_base_type(oid) is 'the type that a domain stands for, through domains over domains';

-- Every role that a column can play, the names under which it is looked for, best first, and the types that it must have.
-- reference: names of the column by which lines know their header.
create function quote_column_roles(reference text[])
returns table (entity text, role text, candidates text[], required boolean, types regtype[])
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select r.entity, r.role, r.candidates, r.required, r.types
    from (values ('{numeric,integer,bigint,smallint,real,double precision}'::regtype[])) a (amount), lateral (values
        ('QUOTE', 'id', '{id}'::text[], true, '{uuid}'::regtype[]), ('QUOTE', 'tenant', '{tenant_id}', true, '{uuid}'),
        ('QUOTE', 'version', '{version}', false, '{smallint,integer,bigint}'), ('QUOTE', 'updated_at', '{updated_at}', false, null),
        ('QUOTE', 'updated_by', '{updated_by}', false, '{uuid}'), ('QUOTE', 'created_by', '{created_by}', false, '{uuid}'),
        ('QUOTE', 'quote_number', '{quote_number,order_number,document_number}', false, null), ('QUOTE', 'customer', '{customer_id}', false, null),
        ('QUOTE', 'status', '{status}', false, null), ('QUOTE', 'notes', '{notes}', false, null),
        ('QUOTE', 'terms_and_conditions', '{terms_and_conditions}', false, null), ('QUOTE', 'subtotal', '{subtotal}', false, amount),
        ('QUOTE', 'tax_amount', '{tax_amount}', false, amount), ('QUOTE', 'shipping_amount', '{shipping_amount}', false, amount),
        ('QUOTE', 'discount_amount', '{discount_amount}', false, amount), ('QUOTE', 'total_amount', '{total_amount}', false, amount),
        ('QUOTE_LINE', 'id', '{id}', true, '{uuid}'), ('QUOTE_LINE', 'tenant', '{tenant_id}', true, '{uuid}'),
        ('QUOTE_LINE', 'quote', reference, true, '{uuid}'), ('QUOTE_LINE', 'version', '{version}', false, '{smallint,integer,bigint}'),
        ('QUOTE_LINE', 'updated_at', '{updated_at}', false, null), ('QUOTE_LINE', 'updated_by', '{updated_by}', false, '{uuid}'),
        ('QUOTE_LINE', 'created_by', '{created_by}', false, '{uuid}'), ('QUOTE_LINE', 'line_number', '{line_number}', false, null),
        ('QUOTE_LINE', 'quantity', '{quantity,quantity_quoted,quantity_ordered}', false, amount),
        ('QUOTE_LINE', 'unit_price', '{unit_price}', false, amount), ('QUOTE_LINE', 'line_amount', '{line_amount}', false, amount)
    ) r (entity, role, candidates, required, types)
$$;
comment on function quote_column_roles(text[]) is 'the roles that columns of a header and of lines play';

-- Role → column of a header or line table. An author that is no uuid, or an amount that is no number, plays no role unless it is named:
-- it is a column like others, whose change is a change.
create function find_quote_columns(target regclass, entity text, chosen jsonb, reference text[] default '{quote_id}') returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from @extschema@.quote_column_roles(reference) r
    cross join lateral (
        select case when r.types is not null and not r.required and r.role <> 'version' then array(
            select n.name from unnest(r.candidates) n (name) join pg_attribute a on a.attrelid = target and a.attname = n.name
            where @extschema@.quote_base_type(a.atttypid) = any (r.types)) else r.candidates end) f (names)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, f.names, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
comment on function find_quote_columns(regclass, text, jsonb, text[]) is 'finds the columns of an ERP table by role';

-- By this a column is known as added, under whatever name it has later.
create function quote_added_column_comment(role text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case role when 'version' then 'optimistic-lock token: +1 per change of the row' when 'updated_by' then 'who changed the row last' end $$;
comment on function quote_added_column_comment(text) is 'the comment that attach gives a column that it adds';

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
        execute format('comment on column %s.version is %L', target, @extschema@.quote_added_column_comment('version'));
        added := added || 'version'::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' and not exists (
            select from pg_attribute a where a.attrelid = target and a.attname = 'updated_by' and not a.attisdropped) then
        execute format('alter table %s add column updated_by uuid', target);
        execute format('comment on column %s.updated_by is %L', target, @extschema@.quote_added_column_comment('updated_by'));
        added := added || 'updated_by'::name;
    end if;
    return added;
end $$;
comment on function add_quote_columns(regclass, text, jsonb) is 'adds the columns that collaboration needs to an ERP table';

-- The version column that attach added, as it added it: tools that compare a table with a model of theirs take its default, or the comment
-- by which it is known. One with a default of its own is another column.
create function mend_quote_version(target regclass, noted name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    is_required boolean;
begin
    select a.attnotnull into is_required
    from pg_attribute a left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    where a.attrelid = target and a.attname = 'version' and a.attname = any (noted) and a.atttypid = 'integer'::regtype and not a.attisdropped
        and coalesce(pg_get_expr(d.adbin, d.adrelid), '1') = '1'
        and not (a.attnotnull and d.adnum is not null and col_description(target, a.attnum) = @extschema@.quote_added_column_comment('version'));
    if found then
        execute format('alter table %s alter column version set default 1', target);
        if not is_required then
            execute format('update %s set version = 1 where version is null', target);
            execute format('alter table %s alter column version set not null', target);
        end if;
        execute format('comment on column %s.version is %L', target, @extschema@.quote_added_column_comment('version'));
    end if;
end $$;
comment on function mend_quote_version(regclass, name[]) is 'gives the version column that attach added its default, comment and constraint again';

-- Which columns of a table attach added: those with the comment that it gave them, under whatever name they have now, or of
-- these names, where a table lost the comments. noted: what it added as far as we know; nothing else is ours.
create function quote_added_columns(target regclass, noted name[]) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with added (attnum, name, type, described) as (
        select a.attnum, a.attname, k.type, coalesce(col_description(target, a.attnum) = k.description, false)
        from (values
            ('integer'::regtype, @extschema@.quote_added_column_comment('version'), array_length(array_remove(noted, 'updated_by'::name), 1) > 0),
            ('uuid'::regtype, @extschema@.quote_added_column_comment('updated_by'), cardinality(noted) > 1 or 'updated_by' = any (noted))
        ) k (type, description, is_noted)
        join pg_attribute a on a.attrelid = target and a.atttypid = k.type and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where k.is_noted and (col_description(target, a.attnum) = k.description
            or a.attname = any (noted) and exists (select from @extschema@.quote_carriers() c where c.relation = target)
                and (k.type = 'uuid'::regtype or a.attnotnull and pg_get_expr(d.adbin, d.adrelid) = '1')))
    select array(
        select a.name from added a where a.described or not exists (select from added o where o.type = a.type and o.described)
        order by a.attnum)
$$;
comment on function quote_added_columns(regclass, name[]) is 'the columns of a table that attach added and detach takes away';

-- Keys and authors must be uuids, versions whole numbers that can be set. SQLSTATE 42804, 428C9.
create function check_quote_column_types(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    select a.attname, r.role, r.types into wrong
    from @extschema@.quote_column_roles('{}'::text[]) r
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and not a.attisdropped
    where @extschema@.quote_base_type(a.atttypid) <> all (r.types)
    limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'datatype_mismatch', detail = format('It must be of type %s.', array_to_string(wrong.types, ' or ')),
                hint = format('Name another column: {"columns": {"%s": "..."}}, "line_columns" for the lines.', wrong.role);
    end if;
    select a.attname into wrong from pg_attribute a
    where a.attrelid = target and a.attname = columns ->> 'version' and (a.attgenerated <> '' or a.attidentity <> '');
    if found then
        raise exception 'column "%" of % cannot play the role "version"', wrong.attname, target
            using errcode = 'generated_always', detail = 'PostgreSQL generates its values, and each change counts it up.',
                  hint = 'Name another column: {"columns": {"version": "..."}}, "line_columns" for the lines.';
    end if;
end $$;
comment on function check_quote_column_types(regclass, jsonb) is 'refuses columns of types that cannot work';

-- A row without one of its keys belongs to nobody.
create function tell_of_quote_null_keys(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_column name;
begin
    for key_column in select a.attname from pg_attribute a
        where a.attrelid = target and not a.attnotnull and a.attname in (columns ->> 'id', columns ->> 'tenant', columns ->> 'quote') loop
        raise notice 'rows of % whose "%" is null have no history and are no events', target, key_column
            using hint = 'Where no row should be without it, set the column not null.';
    end loop;
end $$;
comment on function tell_of_quote_null_keys(regclass, jsonb) is 'says that rows without a key are not recorded';

-- What a row is and to whom it belongs cannot be no change. SQLSTATE 22023.
create function check_quote_ignored(target regclass, columns jsonb, ignored jsonb) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_role text;
begin
    select r.role into key_role from unnest('{id,tenant,quote,version}'::text[]) r (role) where ignored ? (columns ->> r.role) limit 1;
    if found then
        raise exception 'column "%" of % cannot be ignored', columns ->> key_role, target using errcode = 'invalid_parameter_value',
            detail = format('It plays the role "%s".', key_role);
    end if;
end $$;
comment on function check_quote_ignored(regclass, jsonb, jsonb) is 'refuses to ignore the keys of a table';
