-- Views for people and reports. Each is security_invoker: whoever reads it needs, and is held to, his own rights.

-- Bytes of a value once it is expanded, or what its numbers print as where that is more: some hundred kB of numbers print as gigabytes. Of one that is
-- a thousand levels deep, more than any value has: PostgreSQL itself could not read the event back.
create function quote_value_size(value jsonb) returns bigint
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'quote_value_size';
comment on function quote_value_size(jsonb) is 'bytes of a value of the history';

-- How many bytes the values of one event may have. No less than what the library takes for large, since it looks into no larger one.
create function quote_event_limit() returns integer
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select 8388608 $$;
comment on function quote_event_limit() is 'bytes that the values of one event may have';

-- One row per row change: the event that the relay publishes, as jsonb. One whose values are larger than 8 MiB together is told
-- without them: no jsonb would hold all that a row can hold, and no event behind it may wait. The history has them. The aliases are
-- those under which PostgreSQL prints the view, so that it is planned alike when it comes out of a dump.
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
                   'truncated', bool_or(size > %2$s),
                   'fields', jsonb_agg(case when size > %2$s then jsonb_build_object('field', field_name)
                                       else jsonb_build_object('field', field_name, 'old', old_value, 'new', new_value) end
                                       order by id)) as event
        from (
            select c_1.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                    entity_type, change_type, session_id, entity_version_before, entity_version_after) as size
            from %1$I.quote_changes c_1
            where conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, target_schema, @extschema@.quote_event_limit())
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
revoke execute on function replace_quote_view(text, text, text, name) from public;
