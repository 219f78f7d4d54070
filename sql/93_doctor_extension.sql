-- doctor: the extension's own tables and functions.

-- What everybody may call or read after CREATE EXTENSION, and some role that may change quotes may not any more.
create function quote_rights_withdrawn() returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with writers as (
        select distinct acl.grantee from @extschema@.quote_collab_pairs() p join pg_class c on c.oid = @extschema@.quote_collab_table(p.header)
        cross join lateral aclexplode(c.relacl) acl where acl.privilege_type = 'UPDATE' and acl.grantee not in (0, c.relowner)),
    withdrawn as (
        select w.grantee, count(*) as functions, min(f.oid::regprocedure::text) as example,
            string_agg(format('grant execute on function %s to %I;', f.oid::regprocedure, pg_get_userbyid(w.grantee)), ' ' order by f.oid) as repair
        from pg_extension e join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and d.classid = 'pg_proc'::regclass
        join pg_proc f on f.oid = d.objid and f.proacl is not null
            and not exists (select from pg_init_privs i where i.classoid = 'pg_proc'::regclass and i.objoid = f.oid)
        cross join writers w
        where e.extname = 'quote_collab_ext' and not has_function_privilege(w.grantee, f.oid, 'execute')
        group by w.grantee)
    select format('%s may not call %s functions, %s among them', pg_get_userbyid(w.grantee), w.functions, w.example), w.repair from withdrawn w
    union all
    select format('%s may not read %s', pg_get_userbyid(w.grantee), t.relation), format('grant select on %s to %I;', t.relation, pg_get_userbyid(w.grantee))
    from writers w cross join (values ('@extschema@.quote_collab_settings'::regclass)) t (relation) where not has_table_privilege(w.grantee, t.relation, 'select')
$$;
comment on function quote_rights_withdrawn() is 'doctor: rights on the extension that roles which change quotes need and do not have';

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
        select g.told, g.revoke from (values ('@extschema@.quote_collab_settings'::regclass, false), ('@extschema@.quote_seal_anchor', false),
            ('@extschema@.quote_former_versions', true)) t (relation, is_private)
        cross join lateral @extschema@.quote_grants_on(t.relation) g where t.is_private or g.privilege <> 'SELECT') f;
    return next @extschema@.quote_collab_verdict('tables of the extension guarded', names is null, 'error',
        format('others may say what is attached, or what was sealed: %s', names), hints);
    select string_agg(w.told, ', '), string_agg(w.repair, ' ') into names, hints from @extschema@.quote_rights_withdrawn() w;
    return next @extschema@.quote_collab_verdict('functions open to who needs them', names is null, 'error',
        format('changes of quotes by these roles are refused: %s', names), hints);
end $$;
comment on function quote_collab_doctor_extension() is 'doctor: the extension''s own tables and functions';
