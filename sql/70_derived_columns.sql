-- Columns that follow from others when a row is saved, as SQL expressions: who saved, amounts, totals, versions.

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
    select case when line.columns ?& '{quantity,unit_price,line_amount}' and fields ?| array[line.columns ->> 'quantity', line.columns ->> 'unit_price']
        then jsonb_build_object(line.columns ->> 'line_amount', @extschema@.quote_new_value(line, 'quantity', fields) || ' operator(pg_catalog.*) ' || @extschema@.quote_new_value(line, 'unit_price', fields))
        else '{}' end
$$;
comment on function derived_line_columns(quote_collab_settings, jsonb) is 'columns of a line that follow from the saved ones';

-- The total of a header, when a part of it is being saved.
create function derived_header_columns(header quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when header.columns ?& '{total_amount,subtotal}' and fields ?| array(
            select header.columns ->> part from unnest('{subtotal,tax_amount,shipping_amount,discount_amount}'::text[]) part where header.columns ? part)
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
