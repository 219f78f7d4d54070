-- From 0.10.0 to 0.11.0.
drop function quote_public_functions();
-- Functions.
create or replace function quote_home_relations(home name) returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = home and c.relkind in ('r', 'p', 'v') and (c.relname in (select h.name from @extschema@.quote_home_tables() h)
            or c.relname in ('v_quote_change_events', 'v_quote_changes_all', 'v_recent_quote_changes', 'v_active_quote_collaborators'))
        order by c.relkind = 'v', c.relname)
$$;
create function quote_extension_functions() returns table (function regprocedure, is_public boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure, exists (select from aclexplode(coalesce(i.initprivs, acldefault('f', p.proowner))) acl where acl.grantee = 0)
    from pg_extension e
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
    join pg_proc p on p.oid = d.objid
    left join pg_init_privs i on i.classoid = 'pg_proc'::regclass and i.objoid = p.oid and i.objsubid = 0
    where e.extname = 'quote_collab_ext'
$$;
comment on function quote_extension_functions() is 'functions of the extension, and which of them everybody may call after CREATE EXTENSION';
create or replace function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(f.function::text, ', '), string_agg(format('revoke execute on function %s from public;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where not f.is_public and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl where acl.grantee = 0);
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('everybody may call: %s', names), hints);
    select string_agg(format('%s to %s', f.function, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke execute on function %s from %s;', f.function, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints
    from @extschema@.quote_gateway_functions() f (function) join pg_proc p on p.oid = f.function cross join lateral aclexplode(p.proacl) acl
    join pg_roles r on r.oid = acl.grantee
    where f.function::text like '%quote_relay_%' and acl.grantee <> p.proowner and not r.rolsuper
        and exists (select from @extschema@.quote_gateway_functions() g (function) where not has_function_privilege(r.oid, g.function, 'execute'));
    return next @extschema@.quote_collab_verdict('relay run by gateways only', names is null, 'warning',
        format('these roles are no gateway and may disturb it: %s', names), hints);
    select string_agg(f.function::text, ', '), string_agg(format('alter function %s set search_path = pg_catalog, pg_temp;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where p.prosecdef and not coalesce(p.proconfig::text like '%search_path=pg_catalog, pg_temp%', false);
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
create or replace function grant_quote_functions(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    function regprocedure;
begin
    for function in select f.function from @extschema@.quote_extension_functions() f where f.is_public loop
        execute format('grant execute on function %s to %I', function, role);
    end loop;
    execute format('grant select on @extschema@.quote_collab_settings to %I', role);
end $$;
create or replace function quote_rights_withdrawn() returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with writers as (
        select distinct acl.grantee from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
        cross join lateral (
            select a.* from aclexplode(c.relacl) a union all
            select a.* from pg_attribute t cross join lateral aclexplode(t.attacl) a where t.attrelid = c.oid) acl
        where acl.privilege_type = 'UPDATE' and acl.grantee not in (0, c.relowner))
    select format('%s may not call %s, or not read %s', pg_get_userbyid(w.grantee), f.told, '@extschema@.quote_collab_settings'::regclass),
        format('select @extschema@.grant_quote_functions(%L);', pg_get_userbyid(w.grantee))
    from writers w
    cross join lateral (
        select format('%s functions, %s among them', count(*), min(f.function::text)) as told, count(*) as functions
        from @extschema@.quote_extension_functions() f where f.is_public and not has_function_privilege(w.grantee, f.function::oid, 'execute')) f
    where f.functions > 0 or not has_table_privilege(w.grantee, '@extschema@.quote_collab_settings'::regclass, 'select')
$$;
