-- The whole history: what is in the log and what was moved to the archive, one view for both.

-- Is there an archive, and is it ours? A plain table of that name was made by hand: rows that were copied there are no part of the history. What others planted under its name, before there was one, is none of the history: planning a query
-- over it runs their code.
create function quote_archive_stands(target_schema name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_class a join pg_namespace n on n.oid = a.relnamespace join pg_roles r on r.oid = a.relowner
        join pg_class log on log.relnamespace = n.oid and log.relname = 'quote_changes'
        where n.nspname = target_schema and a.relname = 'quote_changes_archive' and a.relkind = 'p' and (r.rolsuper or a.relowner = log.relowner))
$$;
comment on function quote_archive_stands(name) is 'whether there is an archive that belongs to the owner of the audit log';

create function quote_changes_all_query(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(case when @extschema@.quote_archive_stands(target_schema)
        then 'select * from %1$I.quote_changes union all select * from %1$I.quote_changes_archive' else 'select * from %1$I.quote_changes' end, target_schema)
$$;
comment on function quote_changes_all_query(name) is 'query of the view over the audit log and its archive';

create function quote_history_to_read(log_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when has_table_privilege(to_regclass(format('%I.quote_changes_archive', log_schema)), 'select')
        then format('(%s)', @extschema@.quote_changes_all_query(log_schema)) else format('%I.quote_changes', log_schema) end
$$;
comment on function quote_history_to_read(name) is 'the history that a caller may read, as a relation of a query';

create function create_quote_changes_all_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    perform @extschema@.quote_relation_stands(format('%I.quote_changes_archive', target_schema), 'p'::"char", target_owner);
    perform @extschema@.replace_quote_view(format('%I.v_quote_changes_all', target_schema), @extschema@.quote_changes_all_query(target_schema),
        'every row of the audit log, also those in the archive', target_owner);
end $$;
comment on function create_quote_changes_all_view(name, name) is 'creates the view over the audit log and its archive';
