-- Columns that follow from others when a row is saved, as SQL expressions: who saved, amounts, totals, versions.

-- Is a column that plays one of these roles being saved, or one that such a column is generated from?
create function quote_roles_saved(target quote_collab_settings, roles text[], fields jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text[] := array(select target.columns ->> role from unnest(roles) role);
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
comment on function quote_roles_saved(quote_collab_settings, text[], jsonb) is 'whether a save changes what plays one of these roles';

-- Value of a column behind an update, news: columns and what they are set to, as SQL expressions; every other is as it was, t.column. PostgreSQL works
-- generated columns out after the row is put together: here by the same expression over the same new values. A whole number as numeric, so
-- that what is worked out of several may be larger than each of them. 0 where no column plays the role.
create function quote_new_value(target quote_collab_settings, role text, news jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation regclass := @extschema@.quote_collab_table(target);
    value text;
    generation text;
    is_whole boolean;
begin
    select coalesce(news ->> a.attname, format('t.%I', a.attname)), case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end,
        @extschema@.quote_base_type(a.atttypid) in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
    into value, generation, is_whole
    from pg_attribute a left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    where a.attrelid = relation and a.attname = target.columns ->> role and not a.attisdropped;
    if generation is not null then
        value := format('(select %s from (select %s) n)', generation, (
            select string_agg(case when news ? a.attname::text then format('(%s)::%s as %I', news ->> a.attname, format_type(a.atttypid, a.atttypmod), a.attname)
                else format('t.%I', a.attname) end, ', ')
            from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''));
    end if;
    return coalesce(value || case when is_whole then '::pg_catalog.numeric' else '' end, '0');
end $$;
comment on function quote_new_value(quote_collab_settings, text, jsonb) is 'expression for a column behind an update';

-- The fields of a save as what their columns are set to: r.column.
create function quote_saved_values(fields jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(jsonb_object_agg(field, format('r.%I', field)), '{}') from jsonb_object_keys(fields) field $$;
comment on function quote_saved_values(jsonb) is 'the fields of a save as what columns are set to';

-- total = subtotal + tax + shipping - discount, over the values behind an update.
create function quote_total_expression(header quote_collab_settings, news jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.+) coalesce(%s, 0) operator(pg_catalog.-) coalesce(%s, 0)',
        @extschema@.quote_new_value(header, 'subtotal', news), @extschema@.quote_new_value(header, 'tax_amount', news),
        @extschema@.quote_new_value(header, 'shipping_amount', news), @extschema@.quote_new_value(header, 'discount_amount', news))
$$;
comment on function quote_total_expression(quote_collab_settings, jsonb) is 'the total of a quote from its parts, in SQL';

-- line_amount = quantity * unit_price, as an expression over the new values, when either is being saved.
create function derived_line_columns(line quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when line.columns ?& '{quantity,unit_price,line_amount}' and @extschema@.quote_roles_saved(line, '{quantity,unit_price}'::text[], fields)
        then jsonb_build_object(line.columns ->> 'line_amount', @extschema@.quote_new_value(line, 'quantity', n.news) || ' operator(pg_catalog.*) '
            || @extschema@.quote_new_value(line, 'unit_price', n.news))
        else '{}' end
    from @extschema@.quote_saved_values(fields) n (news)
$$;
comment on function derived_line_columns(quote_collab_settings, jsonb) is 'columns of a line that follow from the saved ones';

-- The total of a header, when a part of it is being saved.
create function derived_header_columns(header quote_collab_settings, fields jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when header.columns ?& '{total_amount,subtotal}'
            and @extschema@.quote_roles_saved(header, '{subtotal,tax_amount,shipping_amount,discount_amount}'::text[], fields)
        then jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, @extschema@.quote_saved_values(fields)))
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
    sums jsonb := jsonb_build_object(header.columns ->> 'subtotal', format(
        '(select coalesce(pg_catalog.sum(l.%s), 0) from %I.%I l where l.%s operator(pg_catalog.=) t.%s and l.%s operator(pg_catalog.=) t.%s)',
        @extschema@.quote_collab_column(line, 'line_amount'), line.table_schema, line.table_name,
        @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(header, 'id'),
        @extschema@.quote_collab_column(line, 'tenant'), @extschema@.quote_collab_column(header, 'tenant')));
begin
    return sums || case when header.columns ? 'total_amount'
        then jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, sums)) else '{}' end;
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
