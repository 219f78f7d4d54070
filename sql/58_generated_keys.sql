-- Keys that are generated of the ERP's own, where those are no uuids; and what PostgreSQL makes of generated columns in unique indexes.

-- The statement that gives a table a uuid for a role, generated of a column that is none, and the option that names it; null where PostgreSQL generates
-- nothing of the column's type. The column by which lines know their header is generated as the header's id is.
create function quote_generated_key(target regclass, column_name name, role text, columns jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('alter table %s add collab_%s uuid generated always as (md5(%L || %I)::uuid) stored;', target, role, case role
            when 'tenant' then 'tenant' when 'updated_by' then 'user' when 'created_by' then 'user'
            when 'quote' then coalesce((select min(h.relname) from pg_constraint f join pg_class h on h.oid = f.confrelid
                where f.contype = 'f' and f.conrelid = target and f.conkey = array[a.attnum]), '...')
            else c.relname end || ' ', column_name)
        || case role when 'id' then format(' create unique index on %s (collab_id) where collab_id is not null;', target)
            when 'quote' then format(' create index on %s (collab_quote);', target) else '' end
        || format(' Then name it: {"%s": {"%s": "collab_%s"}}', case when columns ? 'quote' then 'line_columns' else 'columns' end, role, role)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = column_name
    where c.oid = target and @extschema@.quote_base_type(a.atttypid) = any ('{smallint,integer,bigint,numeric,text,character varying,character}'::regtype[])
$$;
comment on function quote_generated_key(regclass, name, text, jsonb) is 'statement that generates a uuid of a column that is none';

-- Where a trigger runs before an update, PostgreSQL takes every generated column for changed, and one that a plain unique index has for a changed key: each
-- update then locks its row against whoever inserts a row that refers to it. An index with a predicate is for no key. mend is null where a
-- foreign key needs the index as it is.
create function quote_locking_indexes(target regclass) returns table (index regclass, mend text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select i.indexrelid::regclass, case when not i.indisprimary and not i.indnullsnotdistinct
            and not exists (select from pg_constraint f where f.contype = 'f' and f.conindid = i.indexrelid) then
        format('%s where %I is not null; ', replace(replace(pg_get_indexdef(i.indexrelid), format(' INDEX %I ON ', x.relname), ' INDEX ON '), ' ON ONLY ', ' ON '), g.attname)
            || coalesce((select format('alter table %s drop constraint %I;', target, k.conname) from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = target),
                format('drop index %s;', i.indexrelid::regclass)) end
    from pg_index i join pg_class x on x.oid = i.indexrelid
    cross join lateral (
        select min(a.attname) as attname from pg_attribute a
        where a.attrelid = target and a.attgenerated = 's' and a.attnum = any ((i.indkey::smallint[])[0:i.indnkeyatts - 1])) g
    where i.indrelid = target and i.indisunique and i.indpred is null and i.indexprs is null and g.attname is not null
        and exists (select from pg_constraint f where f.contype = 'f' and f.confrelid = target)
$$;
comment on function quote_locking_indexes(regclass) is 'unique indexes that have updates lock out whoever refers to the row';

create function tell_of_quote_locking_indexes(target regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    locking record;
begin
    for locking in select * from @extschema@.quote_locking_indexes(target) loop
        raise warning 'each update of % keeps others from inserting rows that refer to its row', target
            using detail = format('Index %s is unique over a generated column, which PostgreSQL takes for a changed key wherever a trigger runs before an update.', locking.index),
                hint = coalesce(locking.mend, 'Let what refers to that column refer to one that is not generated, and give the index a predicate.');
    end loop;
end $$;
comment on function tell_of_quote_locking_indexes(regclass) is 'warns of unique indexes over generated columns';
