-- The whole history: what is in the log and what was moved to the archive, one view for both.
create function create_quote_changes_all_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    view_name text := format('%I.v_quote_changes_all', target_schema);
    archive text := format('%I.quote_changes_archive', target_schema);
begin
    execute format('create or replace view %s with (security_invoker = true) as select * from %I.quote_changes%s', view_name, target_schema,
        case when to_regclass(archive) is null then '' else ' union all select * from ' || archive end);
    execute format('comment on view %s is %L', view_name, 'every row of the audit log, also those in the archive');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_quote_changes_all_view(name, name) is 'creates the view over the audit log and its archive';
