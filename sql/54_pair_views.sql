-- The views of recent changes and active collaborators, over all attached pairs.

-- Type of a column of the audit log: logs that older releases made have others.
create function quote_log_type(home name, column_name name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(min(format_type(a.atttypid, a.atttypmod)), 'text') from pg_attribute a
    where a.attrelid = to_regclass(format('%I.quote_changes', home)) and a.attname = column_name and not a.attisdropped
$$;
comment on function quote_log_type(name, name) is 'type of a column of the audit log';

create function quote_pair_view_queries(home name, out recent text, out active text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    recent := format($query$
        select r.change_id, r.tenant_id, r.quote_id, r.quote_number, r.quote_line_id, r.line_number::%s as line_number, r.changed_by,
               r.changed_by_username, r.changed_at, r.entity_type::%s as entity_type, r.field_name::%s as field_name, r.old_value, r.new_value,
               r.change_type::%s as change_type, r.was_conflict, r.conflict_resolution::%s as conflict_resolution, r.entity_version_before,
               r.entity_version_after
        from %I.recent_quote_changes() r$query$,
        @extschema@.quote_common_type('QUOTE_LINE', '{line_number,version}'::text[], 'integer'),
        @extschema@.quote_log_type(home, 'entity_type'::name), @extschema@.quote_log_type(home, 'field_name'::name),
        @extschema@.quote_log_type(home, 'change_type'::name), @extschema@.quote_log_type(home, 'conflict_resolution'::name), home);
    active := format($query$
        select r.quote_id, r.tenant_id, r.quote_number, r.customer_id::%s as customer_id, r.customer_name, r.active_user_count, r.active_users
        from %I.active_quote_collaborators() r$query$,
        @extschema@.quote_common_type('QUOTE', '{customer}'::text[], 'uuid'), home);
end $$;
comment on function quote_pair_view_queries(name, out text, out text) is 'queries of the views of recent changes and active collaborators';

create function quote_view_queries(home name) returns table (view_name name, query text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from @extschema@.quote_pair_view_queries(home) p
    cross join lateral (values
        ('v_quote_changes_all'::name, @extschema@.quote_changes_all_query(home)), ('v_quote_change_events', @extschema@.quote_change_events_query(home)),
        ('v_recent_quote_changes', p.recent), ('v_active_quote_collaborators', p.active)) v
$$;
comment on function quote_view_queries(name) is 'the views beside an audit log, each with its query';

create function create_pair_views(home name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    queries record;
begin
    perform @extschema@.create_quote_view_functions(home);
    select * into queries from @extschema@.quote_pair_view_queries(home);
    perform @extschema@.replace_quote_view(format('%I.v_recent_quote_changes', home), queries.recent,
        'changes of the last 24 hours with quote number, line number and user name', target_owner);
    perform @extschema@.replace_quote_view(format('%I.v_active_quote_collaborators', home), queries.active,
        'who is looking at or editing which quote now', target_owner);
end $$;
comment on function create_pair_views(name, name) is 'creates the views of recent changes and active collaborators over all attached pairs';
