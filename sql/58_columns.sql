-- Which columns of the ERP's tables play which role.

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
    if not required and chosen -> role = 'null' then
        return null;
    end if;
    select a.attname into found_column
    from unnest(case when chosen ? role then array[chosen ->> role] else candidates end) with ordinality c (name, place)
    join pg_attribute a on a.attrelid = target and a.attname = c.name and a.attnum > 0 and not a.attisdropped
    order by c.place limit 1;
    if found_column is null and (required or chosen ? role) then
        raise exception 'table % has no column for the role "%"', target, role
            using errcode = 'undefined_column',
                  detail = format('Looked for: %s.', array_to_string(case when chosen ? role then array[chosen ->> role] else candidates end, ', ')),
                  hint = format('Name it in the options, "columns" for the header, "line_columns" for the lines: {"%s": "..."}.', role)
                      || case when role = 'tenant' and not chosen ? role
                          then ' Where there is none, add one: for lines that of their header, for all a constant where all rows are of one tenant.' else '' end;
    end if;
    return found_column;
end $$;
comment on function find_quote_column(regclass, text, jsonb, text[], boolean) is 'finds the column that plays a role in a table';

-- The type below all domains.
create function quote_base_type(declared oid) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    type record;
begin
    loop
        select t.oid, t.typtype, t.typbasetype into type from pg_type t where t.oid = declared;
        exit when type.typtype is distinct from 'd';
        declared := type.typbasetype;
    end loop;
    return type.oid;
end $$;
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

-- Role -> column of a header or line table. An author that is no uuid, or an amount that is no number, plays no role unless it is named:
-- it is a column like others, whose change is a change.
create function find_quote_columns(target regclass, entity text, chosen jsonb, reference text[] default '{quote_id}') returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from @extschema@.quote_column_roles(reference) r
    cross join lateral (
        select case when r.types is not null and not r.required and r.role <> 'version' then array(
            select n.name from unnest(r.candidates) n (name)
            where (select @extschema@.quote_base_type(a.atttypid) from pg_attribute a where a.attrelid = target and a.attname = n.name) = any (r.types))
            else r.candidates end) f (names)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, f.names, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
comment on function find_quote_columns(regclass, text, jsonb, text[]) is 'finds the columns of an ERP table by role';

-- Keys and authors must be uuids, versions whole numbers that can be set. SQLSTATE 42804, 428C9.
create function check_quote_column_types(target regclass, columns jsonb, header regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
    another text := 'Name another column, which is added if it is not there: {"columns": {"version": "collab_version"}}, "line_columns" for the lines.';
begin
    select a.attname, r.role, r.types into wrong
    from @extschema@.quote_column_roles('{}'::text[]) r
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and not a.attisdropped
    where @extschema@.quote_base_type(a.atttypid) <> all (r.types)
    limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'datatype_mismatch', detail = format('It must be of type %s.', array_to_string(wrong.types, ' or ')),
                hint = case wrong.role when 'version' then another else
                    coalesce(@extschema@.quote_made_key(target, wrong.attname, wrong.role, header),
                        format('Name another column: {"columns": {"%s": "..."}}, "line_columns" for the lines.', wrong.role)) end;
    end if;
    select a.attname, r.role into wrong from unnest('{id,tenant,quote,updated_by,created_by}'::text[]) r (role)
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and a.attgenerated = 'v'
    order by r.role limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'generated_always', detail = 'It is virtual: no row holds its value, and no trigger sees it.',
                  hint = 'Generate it stored, or name another column.';
    end if;
    select a.attname into wrong from pg_attribute a
    where a.attrelid = target and a.attname = columns ->> 'version' and (a.attgenerated <> '' or a.attidentity <> '');
    if found then
        raise exception 'column "%" of % cannot play the role "version"', wrong.attname, target
            using errcode = 'generated_always', detail = 'PostgreSQL generates its values, and each change counts it up.',
                  hint = another;
    end if;
end $$;
comment on function check_quote_column_types(regclass, jsonb, regclass) is 'refuses columns of types that cannot work';

-- A row without one of its keys belongs to nobody.
create function tell_of_quote_null_keys(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_column name;
begin
    for key_column in select a.attname from pg_attribute a
        where a.attrelid = target and a.attname in (columns ->> 'id', columns ->> 'tenant', columns ->> 'quote')
            -- A constraint that is not validated (PostgreSQL 18) lets rows be that were there before.
            and (not a.attnotnull or exists (select from pg_constraint n where n.conrelid = target and n.contype = 'n' and n.conkey = array[a.attnum] and not n.convalidated)) loop
        raise notice 'rows of % whose "%" is null have no history and are no events', target, key_column
            using hint = 'Where no row should be without it, set the column not null.';
    end loop;
end $$;
comment on function tell_of_quote_null_keys(regclass, jsonb) is 'says that rows without a key are not recorded';

-- A version that the ERP had before may be one of its own, which counts something else: it goes on with each change.
create function tell_of_quote_version(target regclass, columns jsonb, added name[], chosen jsonb, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    taken name := columns ->> 'version';
    shared text;
    advice text := format('Where it counts something else, a revision that people see: {"%1$s": {"version": "collab_version"}}. Where it counts changes, name it: {"%1$s": {"version": "%2$s"}}.',
        case entity when 'QUOTE' then 'columns' else 'line_columns' end, taken);
begin
    if chosen ? 'version' or taken = any (added) then
        return;
    end if;
    select string_agg(i.indexrelid::regclass::text, ', ') into shared from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = target and a.attname = taken and i.indnatts > 1;
    if shared is not null then
        raise warning '"%" of % counts every change from now on', taken, target using detail = format('It was there before, and is part of %s.', shared), hint = advice;
    else
        raise notice '"%" of % counts every change from now on', taken, target using detail = 'It was there before.', hint = advice;
    end if;
end $$;
comment on function tell_of_quote_version(regclass, jsonb, name[], jsonb, text) is 'says that a version of the ERP is taken';

-- A role whose column was renamed or dropped since the last attach, and that no other plays now: with it go events and amounts that nobody gave up.
create function tell_of_quote_lost_roles(target regclass, columns jsonb, chosen jsonb, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lost record;
begin
    for lost in select f.role, f.column_name from @extschema@.quote_collab_settings s cross join lateral jsonb_each_text(s.columns) f (role, column_name)
        where @extschema@.quote_collab_table(s) = target and not tell_of_quote_lost_roles.columns ? f.role and not chosen ? f.role order by 1 loop
        raise notice 'no column of % plays the role "%" any more', target, lost.role
            using detail = format('It was played by "%s".', lost.column_name), hint = format('If that was renamed, name it: {"%s": {"%s": "..."}}; null for none.',
                case entity when 'QUOTE' then 'columns' else 'line_columns' end, lost.role);
    end loop;
end $$;
comment on function tell_of_quote_lost_roles(regclass, jsonb, jsonb, text) is 'says which roles an attach lets go';

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
            detail = format('It plays the role "%s".', key_role), hint = 'Leave it out of "ignored_columns".';
    end if;
end $$;
comment on function check_quote_ignored(regclass, jsonb, jsonb) is 'refuses to ignore the keys of a table';
