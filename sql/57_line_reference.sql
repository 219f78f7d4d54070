-- Which column of the lines names their header, best first: one that is called after the header's table, the one that a
-- foreign key to the header starts from, or one of the usual names.
create function quote_reference_candidates(lines regclass, header regclass, header_id name) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with header_name (name) as (select c.relname::text from pg_class c where c.oid = header),
    keys (name) as (
        select distinct a.attname::text
        from pg_constraint k
        cross join lateral unnest(k.conkey, k.confkey) u (here, there)
        join pg_attribute a on a.attrelid = lines and a.attnum = u.here
        join pg_attribute h on h.attrelid = header and h.attnum = u.there and h.attname = header_id
        where k.contype = 'f' and k.conrelid = lines and k.confrelid = header)
    select array(select regexp_replace(n.name, 's$', '') || '_id' from header_name n)
        || array(select n.name || '_id' from header_name n)
        || case when (select count(*) from keys) = 1 then array(select k.name from keys k) else '{}' end
        || '{quote_id,order_id,document_id,header_id}'::text[]
$$;
comment on function quote_reference_candidates(regclass, regclass, name) is 'columns of the lines that may name their header, best first';
