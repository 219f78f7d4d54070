-- Who may see and do what.
create function quote_collab_doctor_security(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    me record;
begin
    select string_agg(c.oid::regclass::text, ', ') into names from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relkind in ('r', 'p') and c.relname ~ '^(quote_changes|active_quote_sessions)'
        and not (c.relrowsecurity and c.relforcerowsecurity);
    return next @extschema@.quote_collab_verdict('row security forced everywhere', names is null, 'error',
        format('not enabled and forced on: %s', names), 'select attach_quote_collaboration();');
    select string_agg(c.oid::regclass::text, ', ') into names from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relkind in ('r', 'p') and c.relname ~ '^(quote_changes|active_quote_sessions)'
        and c.relname !~ '^quote_changes_seals$'
        and not exists (select from pg_policy p where p.polrelid = c.oid and pg_get_expr(p.polqual, p.polrelid) like '%current_quote_tenant()%');
    return next @extschema@.quote_collab_verdict('tenant policies present', names is null, 'error',
        format('no policy compares the tenant on: %s', names), 'select attach_quote_collaboration();');
    select string_agg(format('%s on %s', p.polname, p.polrelid::regclass), ', ') into names
    from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname ~ '^(quote_changes|active_quote_sessions)' and p.polpermissive
        and p.polname not in ('quote_changes_tenant_isolation', 'quote_sessions_tenant_isolation');
    return next @extschema@.quote_collab_verdict('no other policy', names is null, 'warning',
        format('permissive policies of others let rows through: %s', names), 'Drop them, or make them restrictive.');
    select string_agg(c.oid::regclass::text, ', ') into names from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relkind = 'v'
        and c.relname in ('v_quote_change_events', 'v_recent_quote_changes', 'v_active_quote_collaborators', 'v_quote_changes_all')
        and not coalesce(c.reloptions @> '{security_invoker=true}', false);
    return next @extschema@.quote_collab_verdict('views ask as the caller', names is null, 'error',
        format('these views show what their owner may see: %s', names), 'select attach_quote_collaboration();');
    select string_agg(distinct format('%s on %s', acl.privilege_type, c.oid::regclass), ', ') into names
    from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral aclexplode(c.relacl) acl
    where n.nspname = target_schema and c.relname ~ '^(quote_changes|quote_relay)' and c.relkind in ('r', 'p')
        and acl.grantee <> c.relowner and acl.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER');
    return next @extschema@.quote_collab_verdict('log written by triggers only', names is null, 'error',
        format('somebody may write the log: %s', names), 'Revoke these privileges.');
    select string_agg(distinct case acl.grantee when 0 then 'public' else pg_get_userbyid(acl.grantee)::text end, ', ') into names
    from @extschema@.quote_collab_settings s join pg_namespace n on n.nspname = s.table_schema join pg_class c on c.relnamespace = n.oid and c.relname = s.table_name
    cross join lateral aclexplode(c.relacl) acl
    where s.truncation = 'refuse' and acl.privilege_type = 'TRUNCATE' and acl.grantee <> c.relowner;
    return next @extschema@.quote_collab_verdict('truncate granted to nobody', names is null, 'warning',
        format('these roles may truncate the quotes, which the trigger alone refuses: %s', names), 'revoke truncate on quotes, quote_lines from …;');
    select string_agg(p.oid::regprocedure::text, ', ') into names from pg_proc p
    join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
    where p.prosecdef and not coalesce(p.proconfig::text like '%search_path=pg_catalog, pg_temp%', false);
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), 'Install the extension again.');
    select string_agg(format('%s on %s', g.tgname, g.tgrelid::regclass), ', ') into names
    from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and not g.tgisinternal and c.relname ~ '^(quote_changes|quote_relay|active_quote_sessions)';
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log: %s', names), 'Drop them; subscribe to events instead.');
    select r.rolsuper, r.rolbypassrls, pg_has_role(r.oid, c.relowner, 'member') as owns into me
    from pg_roles r, pg_class c where r.rolname = session_user and c.oid = to_regclass(format('%I.quote_changes', target_schema));
    return next @extschema@.quote_collab_verdict('this role is held to its tenant', not (me.rolsuper or me.rolbypassrls), 'warning',
        format('%s is not held by row security', session_user), 'Connect applications as a role without SUPERUSER and BYPASSRLS.');
    return next @extschema@.quote_collab_verdict('this role does not own the log', not me.owns, 'warning',
        format('%s may change the log and its policies', session_user), 'Connect applications as a role that owns nothing.');
end $$;
comment on function quote_collab_doctor_security(name) is 'doctor: who may see and do what';
