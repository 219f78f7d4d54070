-- Keys that are generated of the ERP's own, where those are no uuids; and what PostgreSQL makes of generated columns in unique indexes.

-- The expression by which the lines' column is generated as the id of their header is; null where that is not generated of one column like it.
create function quote_generated_reference(target regclass, column_name name, header regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select regexp_replace(e.expression, e.word, replace(quote_ident(column_name), '\', '\\'))
    from @extschema@.quote_collab_settings s
    join pg_attribute id on id.attrelid = header and id.attname = s.columns ->> 'id' and id.attgenerated = 's'
    join pg_attrdef d on d.adrelid = id.attrelid and d.adnum = id.attnum
    cross join lateral (
        select min(p.refobjsubid) as attnum from pg_depend p
        where p.classid = 'pg_attrdef'::regclass and p.objid = d.oid and p.refclassid = 'pg_class'::regclass and p.refobjid = header and p.refobjsubid <> id.attnum
        having count(distinct p.refobjsubid) = 1) source
    join pg_attribute key on key.attrelid = header and key.attnum = source.attnum and key.attname ~ '^[a-z_][a-z0-9_]*$'
    join pg_attribute a on a.attrelid = target and a.attname = column_name
        and (a.atttypid, a.atttypmod, a.attcollation) = (key.atttypid, key.atttypmod, key.attcollation)
    cross join lateral (select pg_get_expr(d.adbin, d.adrelid) as expression, '\m' || key.attname || '\M' as word) e
    where @extschema@.quote_collab_table(s) = header and regexp_count(e.expression, e.word) = 1
$$;
comment on function quote_generated_reference(regclass, name, regclass) is 'expression of a column that names a header whose id is generated';

-- The statements that give a table a uuid for a role, generated of a column that is none, and the option that names it; null where what they make would not
-- do, or might not: what is equal to the ERP must have equal uuids, and nothing else.
create function quote_generated_key(target regclass, column_name name, role text, header regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('alter table %s add %I uuid generated always as (%s) stored%s;', target, e.name, e.expression, case when a.attnotnull then ' not null' else '' end)
        || case when role = 'tenant' then '' when role = 'quote' or c.relkind = 'p' then format(' create index on %s (%I);', target, e.name)
            else format(' create unique index on %s (%I) where %I is not null;', target, e.name, e.name) end
        || format(' Then name it: {"%s": {"%s": "%s"}}', case when target = header then 'columns' else 'line_columns' end, role, e.name)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attname = column_name
    cross join lateral (select 'collab_' || role as name, case
        when role = 'tenant' then format('md5(%L || %I)::uuid', 'tenant ', column_name)
        when role = 'quote' then @extschema@.quote_generated_reference(target, column_name, header)
        when role = 'id' and exists (
            select from pg_index i where i.indrelid = target and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
                and i.indnkeyatts = 1 and i.indkey[0] = a.attnum) then format('md5(%L || %I)::uuid', format('%I.%I ', n.nspname, c.relname), column_name)
        end as expression) e
    where c.oid = target and e.expression is not null and a.attgenerated = ''
        and @extschema@.quote_base_type(a.atttypid) = any ('{smallint,integer,bigint,text,character varying}'::regtype[])
        and not exists (select from pg_collation k where k.oid = a.attcollation and not k.collisdeterministic)
        and not exists (select from pg_attribute o where o.attrelid = target and o.attname = e.name and not o.attisdropped)
$$;
comment on function quote_generated_key(regclass, name, text, regclass) is 'statements that generate a uuid of a column that is none';

-- Where a trigger runs before an update, PostgreSQL takes every generated column for changed, and one that a plain unique index has for a changed key: each
-- update then locks its row against whoever inserts a row that refers to it. An index with a predicate is for no key. mend is null where
-- somebody may need the index as it is.
create function quote_locking_indexes(target regclass, id_column name) returns table (index regclass, mend text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with locking as (
        select i.*, x.relkind, g.attname from (select target::oid union select p.relid from pg_partition_tree(target) p) t (relid)
        join pg_index i on i.indrelid = t.relid join pg_class x on x.oid = i.indexrelid
        cross join lateral (
            select min(a.attname) as attname from pg_attribute a
            where a.attrelid = i.indrelid and a.attgenerated = 's' and a.attnum = any ((i.indkey::smallint[])[0:i.indnkeyatts - 1])) g
        where i.indisunique and i.indislive and i.indpred is null and i.indexprs is null and g.attname is not null and (i.indisvalid or x.relkind = 'i')
            and exists (select from pg_constraint f where f.contype = 'f' and f.confrelid = i.indrelid))
    select l.indexrelid::regclass, case when l.attname = id_column and l.indrelid = target and l.relkind = 'i' and l.indnatts = 1 and l.indisvalid and l.indimmediate
            and not (l.indisprimary or l.indisreplident or l.indisclustered or l.indnullsnotdistinct)
            and not exists (select from pg_constraint f where f.contype = 'f' and f.conindid = l.indexrelid) then
        format('create unique index on %s (%I) where %I is not null; ', target, l.attname, l.attname)
            || coalesce((select format('alter table %s drop constraint %I;', target, k.conname) from pg_constraint k where k.conindid = l.indexrelid and k.conrelid = target),
                format('drop index %s;', l.indexrelid::regclass)) end
    from locking l
    where not exists (select from pg_inherits h join locking p on p.indexrelid = h.inhparent where h.inhrelid = l.indexrelid)
$$;
comment on function quote_locking_indexes(regclass, name) is 'unique indexes that have updates lock out whoever refers to the row';

-- What helps against a locking index that nothing mends word for word.
create function quote_locking_index_advice(index regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('Where nobody needs %s as it is, by ON CONFLICT, by a foreign key or as replica identity, make one with a predicate in its place (where ... is not null).', index)
$$;
comment on function quote_locking_index_advice(regclass) is 'what helps against a unique index over a generated column';

create function tell_of_quote_locking_indexes(target regclass, id_column name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    locking record;
begin
    for locking in select * from @extschema@.quote_locking_indexes(target, id_column) loop
        raise warning 'each update of % keeps others from inserting rows that refer to its row', target
            using detail = format('Index %s is unique over a generated column, which PostgreSQL takes for a changed key wherever a trigger runs before an update.', locking.index),
                hint = coalesce(locking.mend, @extschema@.quote_locking_index_advice(locking.index));
    end loop;
end $$;
comment on function tell_of_quote_locking_indexes(regclass, name) is 'warns of unique indexes over generated columns';
