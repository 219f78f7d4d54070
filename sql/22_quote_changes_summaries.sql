-- The least and the greatest time of each range of pages, which a reader of a span of time asks first: of ranges that writers have filled
-- since. PostgreSQL can do it by itself (autosummarize), but writes the statement, values and all, to the server's log for each range that
-- its list has no room for. Months that are over have theirs from when they were written, or from VACUUM, which does the same.
create function summarize_quote_changes(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
    ranges integer := 0;
begin
    for part in
        select p.relid as month, i.indexrelid as index
        from pg_partition_tree(log) p join pg_index i on i.indrelid = p.relid join pg_class c on c.oid = i.indexrelid
        where p.isleaf and i.indisvalid and c.relam = (select a.oid from pg_am a where a.amname = 'brin')
            and p.relid not in (select m.month from @extschema@.quote_changes_months_before(log, now() - interval '2 days') m)
            and pg_relation_size(p.relid) > 0
    loop
        -- Whom VACUUM, or who else takes this lock, must not be made to wait for.
        begin
            execute format('lock table only %s in share update exclusive mode nowait', part.month::regclass);
        exception when lock_not_available then
            continue;
        end;
        ranges := ranges + brin_summarize_new_values(part.index);
    end loop;
    return ranges;
end $$;
comment on function summarize_quote_changes(regclass) is 'summarizes the times in newly filled pages of an audit log; returns how many ranges';
revoke execute on function summarize_quote_changes(regclass) from public;
