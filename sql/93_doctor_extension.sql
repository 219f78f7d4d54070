-- doctor: the extension's own tables and functions.

-- Where PUBLIC may call nothing: lets a role that works with quotes call what everybody else might, and read the settings; what it may do already is
-- left as it is. Under the rights of the caller.
create function grant_quote_functions(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    function regprocedure;
begin
    for function in select f.function from @extschema@.quote_extension_functions() f where f.is_public and not has_function_privilege(role, f.function, 'execute') loop
        execute format('grant execute on function %s to %I', function, role);
    end loop;
    if not has_table_privilege(role, '@extschema@.quote_collab_settings'::regclass, 'select') then
        execute format('grant select on @extschema@.quote_collab_settings to %I', role);
    end if;
end $$;
comment on function grant_quote_functions(name) is 'lets a role call what PUBLIC may call after CREATE EXTENSION';
revoke execute on function grant_quote_functions(name) from public;

-- Roles that may change quotes or lines and may not call what everybody may after CREATE EXTENSION, or not read the settings.
create function quote_rights_withdrawn() returns table (told text, repair text)
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
comment on function quote_rights_withdrawn() is 'doctor: rights on the extension that were withdrawn from roles which change quotes';

create function quote_collab_doctor_extension() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(f.problem, ', '), string_agg(f.repair, ' ') into names, hints from (
        select t.problem, t.repair from @extschema@.quote_extension_table_faults() t
        union all
        select g.told, g.revoke from @extschema@.quote_extension_table_grants() g) f;
    return next @extschema@.quote_collab_verdict('tables of the extension guarded', names is null, 'error',
        format('others may say what is attached, or what was sealed: %s', names), hints);
    -- There is no statement that gives an extension alone to another. PostgreSQL needs what belongs to the role that made the cluster.
    select r.rolname, concat(format('alter role %I superuser;', r.rolname), case when r.oid <> 10 and @extschema@.quote_superuser() <> r.rolname then format(
        ' Or, where that role must be none: reassign owned by %1$I to %2$I; which gives %2$I all that %1$I owns in this database, tables of the ERP included,'
        ' and its databases and tablespaces. What is no part of the extension goes back with alter ... owner to %1$I.', r.rolname, @extschema@.quote_superuser()) end)
    into names, hints from pg_roles r where r.rolname = @extschema@.quote_extension_owner() and not r.rolsuper;
    return next @extschema@.quote_collab_verdict('extension belongs to a superuser', names is null, 'error',
        format('%s is no superuser any more: what runs with its rights is bound by row security and fails, and it may take the extension away', names), hints);
    select string_agg(w.told, ', '), string_agg(w.repair, ' ') into names, hints from @extschema@.quote_rights_withdrawn() w;
    return next @extschema@.quote_collab_verdict('functions open to who needs them', names is null, 'warning',
        format('saves, history or presence may be refused to these roles: %s', names), hints);
    return next @extschema@.quote_collab_doctor_functions_released();
end $$;
comment on function quote_collab_doctor_extension() is 'doctor: the extension''s own tables and functions';
