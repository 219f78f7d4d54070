-- The whole history: what is in the log and what was moved to the archive, one view for both.
create function quote_changes_all_query(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('select * from %I.quote_changes%s', target_schema,
        case when to_regclass(a.name) is null then '' else ' union all select * from ' || a.name end)
    from format('%I.quote_changes_archive', target_schema) a (name)
$$;
comment on function quote_changes_all_query(name) is 'query of the view over the audit log and its archive';

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
