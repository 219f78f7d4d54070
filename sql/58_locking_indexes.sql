-- What PostgreSQL makes of generated columns in unique indexes.

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
