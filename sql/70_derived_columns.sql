-- Columns that follow from others when a row is saved, as SQL expressions: who saved, amounts, totals, versions.

-- The roles of columns that the total of a header, or the amount of a line, is made of.
create function quote_amount_parts(entity text) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case entity when 'QUOTE' then '{subtotal,tax_amount,shipping_amount,discount_amount}'::text[] else '{quantity,unit_price}' end $$;
comment on function quote_amount_parts(text) is 'roles of the parts of an amount';

-- Is a part of a row's amount being saved, or a column that such a part is generated from?
create function quote_parts_saved(target quote_collab_settings, fields jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text[] := array(select target.columns ->> part from unnest(@extschema@.quote_amount_parts(target.entity)) part);
    relation oid;
    generation oid;
begin
    if fields ?| names then
        return true;
    end if;
    relation := @extschema@.quote_collab_table(target);
    for generation in select d.oid from pg_attribute a join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where a.attrelid = relation and a.attname = any (names) and a.attgenerated <> ''
    loop
        -- PostgreSQL notes what the expression names.
        if exists (select from pg_depend d join pg_attribute s on (s.attrelid, s.attnum) = (d.refobjid, d.refobjsubid)
                where (d.classid, d.objid) = ('pg_attrdef'::regclass, generation) and (d.refclassid, d.refobjid) = ('pg_class'::regclass, relation) and fields ? s.attname::text) then
            return true;
        end if;
    end loop;
    return false;
end $$;
comment on function quote_parts_saved(quote_collab_settings, jsonb) is 'whether a save changes a part of an amount';

-- Value of a column after a change set is applied: r.column when it is in the set, else t.column. A whole number as numeric, so that what is
-- worked out of several may be larger than each of them.
create function quote_new_value(target quote_collab_settings, role text, changes jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when target.columns ? role
        then format('%s.%I', case when changes ? (target.columns ->> role) then 'r' else 't' end, target.columns ->> role) || case when exists (
            select from pg_attribute a where a.attrelid = @extschema@.quote_collab_table(target) and a.attname = target.columns ->> role
                and @extschema@.quote_base_type(a.atttypid) in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)) then '::pg_catalog.numeric' else '' end
        else '0' end
$$;
comment on function quote_new_value(quote_collab_settings, text, jsonb) is 'expression for a column after a change set';

-- total = subtotal + tax + shipping - discount, over the values after a change set.
create function quote_total_expression(header quote_collab_settings, subtotal text, changes jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.-) coalesce(%s, 0)', subtotal,
        @extschema@.quote_new_value(header, 'tax_amount', changes),
        @extschema@.quote_new_value(header, 'shipping_amount', changes),
        @extschema@.quote_new_value(header, 'discount_amount', changes))
$$;
comment on function quote_total_expression(quote_collab_settings, text, jsonb) is 'the total of a quote from its parts, in SQL';

-- line_amount = quantity * unit_price, as an expression over the new values, when either is being saved.
create function derived_line_columns(line quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when line.columns ?& '{quantity,unit_price,line_amount}' and @extschema@.quote_parts_saved(line, fields)
        then jsonb_build_object(line.columns ->> 'line_amount', @extschema@.quote_new_value(line, 'quantity', fields) || ' operator(pg_catalog.*) ' || @extschema@.quote_new_value(line, 'unit_price', fields))
        else '{}' end
$$;
comment on function derived_line_columns(quote_collab_settings, jsonb) is 'columns of a line that follow from the saved ones';

-- The total of a header, when a part of it is being saved.
create function derived_header_columns(header quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when header.columns ?& '{total_amount,subtotal}' and @extschema@.quote_parts_saved(header, fields)
        then jsonb_build_object(header.columns ->> 'total_amount',
            @extschema@.quote_total_expression(header, @extschema@.quote_new_value(header, 'subtotal', fields), fields))
        else '{}' end
$$;
comment on function derived_header_columns(quote_collab_settings, jsonb) is 'columns of a header that follow from the saved ones';

-- Subtotal and total of a header from its lines. Lines that another tenant put below the quote are not the quote's, whether row security
-- shows them or not.
create function derived_sums(header quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(header);
    sums text := format('(select coalesce(pg_catalog.sum(l.%s), 0) from %I.%I l where l.%s operator(pg_catalog.=) t.%s and l.%s operator(pg_catalog.=) t.%s)',
        @extschema@.quote_collab_column(line, 'line_amount'), line.table_schema, line.table_name,
        @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(header, 'id'),
        @extschema@.quote_collab_column(line, 'tenant'), @extschema@.quote_collab_column(header, 'tenant'));
begin
    return jsonb_build_object(header.columns ->> 'subtotal', sums) || case when header.columns ? 'total_amount'
        then jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, sums, '{}'::jsonb)) else '{}' end;
end $$;
comment on function derived_sums(quote_collab_settings) is 'subtotal and total of a quote from its lines, in SQL';

-- Does the amount of a row follow from an update, and from a generated column? No expression over the row before tells what that will be.
create function quote_amounts_follow(target quote_collab_settings, fields jsonb, cause text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation oid := @extschema@.quote_collab_table(target);
    names text[] := array(select target.columns ->> part from unnest(@extschema@.quote_amount_parts(target.entity)) part);
begin
    return target.columns ? case target.entity when 'QUOTE' then 'total_amount' else 'line_amount' end
        and exists (select from pg_attribute a where a.attrelid = relation and a.attgenerated <> '' and a.attname = any (names))
        and (cause = 'lines' or cause = 'save' and @extschema@.quote_parts_saved(target, fields));
end $$;
comment on function quote_amounts_follow(quote_collab_settings, jsonb, text) is 'whether an update changes an amount that follows from generated columns';

-- The total of a header, or the amount of a line, from its parts in a row.
create function quote_amount_of_row(target quote_collab_settings, found_row jsonb) returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case target.entity
        when 'QUOTE' then coalesce(sum(case part when 'discount_amount' then -value else value end), 0)
        else max(value) filter (where part = 'quantity') * max(value) filter (where part = 'unit_price') end
    from unnest(@extschema@.quote_amount_parts(target.entity)) part
    cross join lateral (select (found_row ->> (target.columns ->> part))::numeric) v (value)
$$;
comment on function quote_amount_of_row(quote_collab_settings, jsonb) is 'amount of a row from its parts';

-- What an update of a row brings with it, as SQL expressions (t: the row before, r: the new values): of a save its author and amounts, of
-- lines that changed the sums of their header, of a row that left a former life a version that it never had. They are made here, and taken
-- from nobody: whoever calls an API of functions could have his own SQL run by them.
create function quote_derived_columns(target quote_collab_settings, row_id uuid, fields jsonb, cause text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case cause
        when 'former life' then (select jsonb_build_object(target.columns ->> 'version', f.version + 1) from @extschema@.quote_former_life(target.entity, row_id) f)
        when 'lines' then @extschema@.derived_sums(target)
        when 'save' then @extschema@.quote_author_column(target) || case target.entity
            when 'QUOTE' then @extschema@.derived_header_columns(target, fields) else @extschema@.derived_line_columns(target, fields) end
    end
$$;
comment on function quote_derived_columns(quote_collab_settings, uuid, jsonb, text) is 'columns that an update sets beside those that are named';
