-- Views for people and reports. Each is security_invoker: whoever reads it needs, and is held to, his own rights.

-- One row per row change: the event that the relay publishes, as jsonb.
create function create_quote_change_events_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text := format('%I.v_quote_change_events', target_schema);
begin
    execute format($ddl$
        create or replace view %1$s with (security_invoker = true) as
        select position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
               jsonb_build_object(
                   'position', position, 'event_id', event_id, 'tenant_id', tenant_id, 'quote_id', quote_id,
                   'line_id', quote_line_id, 'entity', entity_type, 'operation', change_type,
                   'actor', changed_by, 'at', changed_at, 'session_id', session_id,
                   'version_before', entity_version_before, 'version_after', entity_version_after,
                   'context', (array_agg(context) filter (where context is not null))[1],
                   'fields', jsonb_agg(jsonb_build_object('field', field_name, 'old', old_value, 'new', new_value)
                                       order by id)) as event
        from %2$I.quote_changes
        where conflict_resolution is distinct from 'REJECTED'
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$ddl$,
        view_name, target_schema);
    execute format('comment on view %s is %L', view_name, 'one row per row change: the rows of quote_changes that share an event_id, as the event that is published');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_quote_change_events_view(name, name) is 'creates the view of events over the audit log';

create function create_recent_quote_changes_view(header quote_collab_settings, line quote_collab_settings, target_owner name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text := format('%I.v_recent_quote_changes', header.table_schema);
    users jsonb := header.relations -> 'users';
begin
    execute format($ddl$
        create or replace view %s with (security_invoker = true) as
        select c.id as change_id, c.tenant_id, c.quote_id, q.%s::text as quote_number, c.quote_line_id,
               l.%s as line_number, c.changed_by, %s::text as changed_by_username, c.changed_at, c.entity_type,
               c.field_name, c.old_value, c.new_value, c.change_type, c.was_conflict, c.conflict_resolution,
               c.entity_version_before, c.entity_version_after
        from %I.quote_changes c
        left join %I.%I q on q.%s = c.quote_id and q.%s = c.tenant_id
        left join %I.%I l on l.%s = c.quote_line_id and l.%s = c.tenant_id
        %s
        where c.changed_at > now() - interval '24 hours'$ddl$,
        view_name,
        coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id')),
        coalesce(@extschema@.quote_collab_column(line, 'line_number'), @extschema@.quote_collab_column(line, 'version')),
        case when users is null then 'null' else format('u.%I', users ->> 'name') end,
        header.table_schema,
        header.table_schema, header.table_name, @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'id'), @extschema@.quote_collab_column(line, 'tenant'),
        case when users is null then '' else format('left join %I.%I u on u.%I = c.changed_by',
            users ->> 'schema', users ->> 'table', users ->> 'id') end);
    execute format('comment on view %s is %L', view_name, 'changes of the last 24 hours with quote number, line number and user name');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_recent_quote_changes_view(quote_collab_settings, quote_collab_settings, name) is 'creates the view of recent changes';

create function create_active_quote_collaborators_view(header quote_collab_settings, target_owner name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text := format('%I.v_active_quote_collaborators', header.table_schema);
    customers jsonb := header.relations -> 'customers';
    customer_column text := @extschema@.quote_collab_column(header, 'customer');
    named boolean := customers is not null and customer_column is not null;
begin
    execute format($ddl$
        create or replace view %1$s with (security_invoker = true) as
        select s.quote_id, s.tenant_id, q.%2$s::text as quote_number, %3$s as customer_id, %4$s as customer_name,
               count(distinct s.user_id)::integer as active_user_count,
               jsonb_agg(jsonb_build_object(
                   'userId', s.user_id, 'userName', s.user_name, 'userEmail', s.user_email, 'status', s.status,
                   'isEditing', s.is_editing, 'currentField', s.current_field, 'currentLineId', s.current_line_id,
                   'joinedAt', s.joined_at, 'lastSeen', s.last_heartbeat) order by s.joined_at, s.session_id) as active_users
        from %5$I.active_quote_sessions s
        join %5$I.%6$I q on q.%7$s = s.quote_id and q.%8$s = s.tenant_id
        %9$s
        where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl()
        group by 1, 2, 3, 4, 5$ddl$,
        view_name,
        coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id')),
        coalesce('q.' || customer_column, 'null::uuid'),
        case when named then format('c.%I::text', customers ->> 'name') else 'null::text' end,
        header.table_schema, header.table_name,
        @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        case when named then format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', customer_column) else '' end);
    execute format('comment on view %s is %L', view_name, 'who is looking at or editing which quote now');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_active_quote_collaborators_view(quote_collab_settings, name) is 'creates the view of active collaborators';
