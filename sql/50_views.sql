-- Views for people and reports. Each is security_invoker: whoever reads it needs, and is held to, his own rights.

-- Bytes of a value once it is expanded, told without expanding it.
create function quote_value_size(value jsonb) returns bigint
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'quote_value_size';
comment on function quote_value_size(jsonb) is 'bytes of a value of the history';

-- One row per row change: the event that the relay publishes, as jsonb. One whose values are larger than 8 MiB together is told
-- without them: no jsonb would hold all that a row can hold, and no event behind it may wait. The history has them.
create function quote_change_events_query(target_schema name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
               jsonb_build_object(
                   'position', position, 'event_id', event_id, 'tenant_id', tenant_id, 'quote_id', quote_id,
                   'line_id', quote_line_id, 'entity', entity_type, 'operation', change_type,
                   'actor', changed_by, 'at', changed_at, 'session_id', session_id,
                   'version_before', entity_version_before, 'version_after', entity_version_after,
                   'context', (array_agg(context) filter (where context is not null))[1],
                   'truncated', bool_or(size > 8388608),
                   'fields', jsonb_agg(case when size > 8388608 then jsonb_build_object('field', field_name)
                                       else jsonb_build_object('field', field_name, 'old', old_value, 'new', new_value) end
                                       order by id)) as event
        from (
            select c.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                    entity_type, change_type, session_id, entity_version_before, entity_version_after) as size
            from %I.quote_changes c
            where conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, target_schema)
$$;
comment on function quote_change_events_query(name) is 'query of the view of events over the audit log';

create function create_quote_change_events_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.replace_quote_view(format('%I.v_quote_change_events', target_schema), @extschema@.quote_change_events_query(target_schema),
        'one row per row change: the rows of quote_changes that share an event_id, as the event that is published', target_owner);
end $$;
comment on function create_quote_change_events_view(name, name) is 'creates the view of events over the audit log';

-- Replaces a view; where the name or type of a column changes it is made anew, and whoever was granted something on it is again.
create function replace_quote_view(view_name text, query text, description text, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    privilege text;
    privileges text[] := array(
        select format('grant %s on %s to %s', acl.privilege_type, view_name, @extschema@.quote_grantee(acl.grantee))
        from pg_class c cross join lateral aclexplode(c.relacl) acl where c.oid = to_regclass(view_name) and acl.grantee <> c.relowner);
begin
    begin
        execute format('create or replace view %s with (security_invoker = true) as %s', view_name, query);
    exception when invalid_table_definition then
        execute format('drop view %s', view_name);
        execute format('create view %s with (security_invoker = true) as %s', view_name, query);
        foreach privilege in array privileges loop
            execute privilege;
        end loop;
    end;
    execute format('comment on view %s is %L', view_name, description);
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function replace_quote_view(text, text, text, name) is 'creates or replaces a view and keeps what is granted on it';

create function recent_quote_changes_query(header quote_collab_settings, line quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := header.relations -> 'users';
begin
    return format($query$
        select c.id as change_id, c.tenant_id, c.quote_id, q.%s::text as quote_number, c.quote_line_id,
               l.%s as line_number, c.changed_by, %s::text as changed_by_username, c.changed_at, c.entity_type,
               c.field_name, c.old_value, c.new_value, c.change_type, c.was_conflict, c.conflict_resolution,
               c.entity_version_before, c.entity_version_after
        from %I.quote_changes c
        left join %I.%I q on q.%s = c.quote_id and q.%s = c.tenant_id
        left join %I.%I l on l.%s = c.quote_line_id and l.%s = c.tenant_id
        %s
        where c.changed_at > now() - interval '24 hours'$query$,
        coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id')),
        coalesce(@extschema@.quote_collab_column(line, 'line_number'), @extschema@.quote_collab_column(line, 'version')),
        case when users is null then 'null' else format('u.%I', users ->> 'name') end,
        header.log_schema,
        header.table_schema, header.table_name, @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'id'), @extschema@.quote_collab_column(line, 'tenant'),
        case when users is null then '' else format('left join %I.%I u on u.%I = c.changed_by',
            users ->> 'schema', users ->> 'table', users ->> 'id') end);
end $$;
comment on function recent_quote_changes_query(quote_collab_settings, quote_collab_settings) is 'recent changes of the only attached pair';

create function active_quote_collaborators_columns(quote_number text, customer_id text, customer_name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select s.quote_id, s.tenant_id, %s as quote_number, %s as customer_id, %s as customer_name,
               count(distinct s.user_id)::integer as active_user_count,
               jsonb_agg(jsonb_build_object(
                   'userId', s.user_id, 'userName', s.user_name, 'userEmail', s.user_email, 'status', s.status,
                   'isEditing', s.is_editing, 'currentField', s.current_field, 'currentLineId', s.current_line_id,
                   'joinedAt', s.joined_at, 'lastSeen', s.last_heartbeat) order by s.joined_at, s.session_id) as active_users$query$,
        quote_number, customer_id, customer_name)
$$;
comment on function active_quote_collaborators_columns(text, text, text) is 'columns of the view of active collaborators';

create function active_quote_collaborators_query(header quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb := header.relations -> 'customers';
    customer_column text := @extschema@.quote_collab_column(header, 'customer');
    named boolean := customers is not null and customer_column is not null;
begin
    return format('%s from %I.active_quote_sessions s
        join %I.%I q on q.%s = s.quote_id and q.%s = s.tenant_id
        %s
        where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl()
        group by 1, 2, 3, 4, 5',
        @extschema@.active_quote_collaborators_columns(
            format('q.%s::text', coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id'))),
            coalesce('q.' || customer_column, 'null::uuid'),
            case when named then format('c.%I::text', customers ->> 'name') else 'null::text' end),
        header.log_schema, header.table_schema, header.table_name,
        @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        case when named then format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', customer_column) else '' end);
end $$;
comment on function active_quote_collaborators_query(quote_collab_settings) is 'active collaborators on the only attached pair';
