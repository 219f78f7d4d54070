-- Which column of the lines names their header, best first: one that is called after the header's table, the one that a
-- foreign key to the header starts from, or one of the usual names.
create function quote_reference_candidates(lines regclass, header regclass, header_id name) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with header_name (name) as (select c.relname::text from pg_class c where c.oid = header),
    keys (name, is_of_id) as (
        select a.attname::text, bool_or(h.attname = header_id)
        from pg_constraint k
        cross join lateral unnest(k.conkey, k.confkey) u (here, there)
        join pg_attribute a on a.attrelid = lines and a.attnum = u.here
        join pg_attribute h on h.attrelid = header and h.attnum = u.there
        where k.contype = 'f' and k.conrelid = lines and k.confrelid = header and (h.attname = header_id or cardinality(k.conkey) = 1)
        group by a.attname),
    candidates (name, place) as (
        select regexp_replace(n.name, 's$', '') || '_id', 1 from header_name n
        union all select n.name || '_id', 2 from header_name n
        union all select min(k.name), 3 from keys k where k.is_of_id having count(*) = 1
        union all select min(k.name), 4 from keys k having count(*) = 1
        union all select u.name, 4 + u.place::integer from unnest('{quote_id,order_id,document_id,header_id}'::text[]) with ordinality u (name, place))
    select array(select c.name from candidates c group by c.name order by min(c.place))
$$;
comment on function quote_reference_candidates(regclass, regclass, name) is 'columns of the lines that may name their header, best first';
