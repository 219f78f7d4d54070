-- How definer functions read rows of attached tables: a type may have a cast to json that its owner made, which to_jsonb runs with the rights of
-- whoever asks. Only types of PostgreSQL, of superusers and of the owner of the table are asked for theirs.

-- Whether all that values of a type are made of belongs to one of these: what a domain stands for, elements of arrays, fields of composite types.
-- Casts of domains, arrays and composite types themselves to_jsonb does not look for.
create function quote_type_is_safe(type oid, table_owner oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive part (oid) as (
        select type
        union
        select n.oid from part p join pg_type t on t.oid = p.oid
        cross join lateral (
            select unnest(array[t.typbasetype, t.typelem])
            union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) n (oid)
        where n.oid <> 0)
    select not exists (
        select from part p join pg_type t on t.oid = p.oid join pg_roles r on r.oid = t.typowner
        where p.oid >= 16384 and t.typtype not in ('c', 'd') and t.typcategory <> 'A' and not (r.rolsuper or r.oid = table_owner))
$$;
comment on function quote_type_is_safe(oid, oid) is 'whether a value may be told as json without running what strangers wrote';

-- The columns of a table t for a select list, as far as a row holds them: to ask for a virtual one is to work it out, which may fail. Values of types
-- that are not safe as texts.
create function quote_safe_columns(relation regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(case when @extschema@.quote_type_is_safe(a.atttypid, c.relowner) then format('t.%I', a.attname)
        else format('case when num_nulls(t.%1$I) = 0 then concat(t.%1$I) end as %1$I', a.attname) end, ', ' order by a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
    where c.oid = relation
$$;
comment on function quote_safe_columns(regclass) is 'select list of a table that runs nothing of strangers when it becomes json';
