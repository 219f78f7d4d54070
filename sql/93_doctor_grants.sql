-- doctor: what is granted to whom.

-- Privileges of others than the owner on a table, its columns or a sequence, each with the statement that takes it away.
create function quote_grants_on(target regclass) returns table (grantee oid, privilege text, told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.grantee, a.privilege_type, format('%s%s on %s to %s', a.privilege_type, a.attribute, target, @extschema@.quote_grantee(a.grantee)),
        format('revoke %s%s on %s %s from %s%s;', lower(a.privilege_type collate "C"), a.attribute, case a.relkind when 'S' then 'sequence' else 'table' end,
            target, @extschema@.quote_grantee(a.grantee), case when a.is_grantable then ' cascade' else '' end)
    from (
        select acl.*, '' as attribute, c.relkind, c.relowner from pg_class c cross join lateral aclexplode(c.relacl) acl where c.oid = target
        union all
        select acl.*, format(' (%I)', a.attname), c.relkind, c.relowner
        from pg_class c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped cross join lateral aclexplode(a.attacl) acl where c.oid = target) a
    where a.grantee <> a.relowner
$$;
comment on function quote_grants_on(regclass) is 'doctor: privileges of others than its owner on a table or sequence';

create function quote_collab_doctor_grants(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(distinct r.role, ', '), string_agg(distinct format('grant usage on schema @extschema@ to %s;', r.role), ' ') into names, hints
    from @extschema@.quote_collab_pairs() p
    join pg_class c on c.oid = @extschema@.quote_collab_table(p.header)
    cross join lateral aclexplode(c.relacl) acl
    cross join lateral (select @extschema@.quote_grantee(acl.grantee)) r (role)
    where acl.privilege_type = 'UPDATE' and not has_schema_privilege(acl.grantee, '@extschema@'::regnamespace, 'usage');
    return next @extschema@.quote_collab_verdict('functions within reach', names is null, 'warning',
        format('these roles may change quotes and find no function of the extension, whose schema they may not use: %s', names), hints);
    -- The owner of a schema can rename it, and put another with functions of his own in its place.
    select r.rolname into names from pg_namespace n join pg_database d on d.datname = current_database()
    join pg_roles r on r.oid = case n.nspowner when to_regrole('pg_database_owner') then d.datdba else n.nspowner end
    where n.oid = '@extschema@'::regnamespace and not r.rolsuper;
    return next @extschema@.quote_collab_verdict('schema of a superuser', names is null, 'warning',
        format('%s owns the schema of the extension, and may put functions of his own in its place, which superusers would run', names),
        format('alter schema @extschema@ owner to %I; grant %s on schema @extschema@ to %s;', @extschema@.quote_superuser(),
            case when exists (select from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
                where pg_has_role(names, c.relowner, 'usage')) then 'create, usage' else 'usage' end, quote_ident(names)));
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where not r.is_presence and g.privilege in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'USAGE');
    return next @extschema@.quote_collab_verdict('log written by triggers only', names is null, 'error',
        format('somebody may write the log: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where r.is_private and g.privilege = 'SELECT';
    return next @extschema@.quote_collab_verdict('private tables read by nobody', names is null, 'warning',
        format('relay and seals are for the functions of the extension alone: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_collab_settings s
    cross join lateral @extschema@.quote_grants_on(@extschema@.quote_collab_table(s)) g
    where s.truncation = 'refuse' and g.privilege = 'TRUNCATE';
    return next @extschema@.quote_collab_verdict('truncate granted to nobody', names is null, 'warning',
        format('the trigger alone refuses what these roles may do: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_functions();
    return query select * from @extschema@.quote_collab_doctor_extension();
    return query select * from @extschema@.quote_collab_doctor_schemas(target_schema);
    return query select * from @extschema@.quote_collab_doctor_readers(target_schema);
end $$;
comment on function quote_collab_doctor_grants(name) is 'doctor: what is granted to whom';

-- The functions of the extension, and whether everybody may call them after CREATE EXTENSION: what the install script left of their rights is kept in
-- pg_init_privs.
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

-- Who but their owners may call the functions that the extension keeps from PUBLIC, PUBLIC too, each with the statement that takes it away.
create function quote_function_grants() returns table (function regprocedure, grantee oid, told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select f.function, acl.grantee, format('%s to %s', f.function, g.name),
        format('revoke execute on function %s from %s%s;', f.function, g.name, case when acl.is_grantable then ' cascade' else '' end)
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
    cross join lateral (select @extschema@.quote_grantee(acl.grantee)) g (name)
    where not f.is_public and acl.grantee <> p.proowner
$$;
comment on function quote_function_grants() is 'doctor: who may call which function that the extension keeps from PUBLIC';

create function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(w.told, ', '), string_agg(w.revoke, ' ') into names, hints from (
        select g.told, g.revoke from @extschema@.quote_function_grants() g where g.grantee = 0
        union all
        select g.told, g.revoke from @extschema@.quote_extension_function_grants() g) w;
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('what nobody should call is open: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_gateway_functions() f (function) join @extschema@.quote_function_grants() g using (function) join pg_roles r on r.oid = g.grantee
    where f.function::text like '%quote_relay_%' and not r.rolsuper
        -- Who may do this much is a gateway, also where it lacks other rights.
        and not (has_function_privilege(r.oid, '@extschema@.quote_relay_lease(text, interval)', 'execute')
            and has_function_privilege(r.oid, '@extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint)', 'execute'));
    return next @extschema@.quote_collab_verdict('relay run by gateways only', names is null, 'warning',
        format('these roles are no gateway and may disturb it: %s', names), hints);
    select string_agg(f.function::text, ', '), string_agg(format('alter function %s set search_path = pg_catalog, pg_temp;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where p.prosecdef and not exists (select from unnest(p.proconfig) c where replace(c, '"', '') = 'search_path=pg_catalog, pg_temp');
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
comment on function quote_collab_doctor_functions() is 'doctor: who may call what';

-- Who may create in these schemas can put objects of his own under the names that attach, archive and maintenance are about
-- to use. Databases that come from PostgreSQL 14 or older let everybody create in "public". Whoever owns the log or an attached table is
-- trusted with as much anyway.
create function quote_collab_doctor_schemas(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    trusted oid[] := array(select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes' or exists (
            select from @extschema@.quote_collab_settings s where (n.nspname, c.relname) = (s.table_schema, s.table_name)));
    names text;
    hints text;
begin
    select string_agg(format('%s in %I', @extschema@.quote_grantee(acl.grantee), n.nspname), ', '),
        string_agg(format('revoke create on schema %I from %s%s;', n.nspname, @extschema@.quote_grantee(acl.grantee),
            case when acl.is_grantable then ' cascade' else '' end), ' ')
    into names, hints
    from pg_namespace n cross join lateral aclexplode(n.nspacl) acl left join pg_roles r on r.oid = acl.grantee
    where n.oid in ('@extschema@'::regnamespace, (select h.oid from pg_namespace h where h.nspname = target_schema))
        and acl.privilege_type = 'CREATE' and r.rolsuper is not true and pg_has_role(r.oid, n.nspowner, 'usage') is not true
        and not exists (select from unnest(trusted) t (owner) where pg_has_role(r.oid, t.owner, 'usage'));
    return next @extschema@.quote_collab_verdict('schemas closed to others', names is null, 'warning',
        format('these roles may plant objects under names that attach, archive and maintenance use: %s', names), hints);
end $$;
comment on function quote_collab_doctor_schemas(name) is 'doctor: who may create objects beside ours';

-- Rights on history and presence are copied from the headers when these are attached, and stay when those are taken away.
create function quote_collab_doctor_readers(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    headers regclass[] := array(select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)) t (oid)
        where s.entity = 'QUOTE' and t.oid is not null);
    copied text := concat_ws(', ', @extschema@.quote_history_relations(target_schema),
        (select r.relation::text from @extschema@.quote_own_relations(target_schema) r where r.is_presence));
    names text;
    hints text;
begin
    select string_agg(@extschema@.quote_grantee(h.grantee), ', '),
        string_agg(format('revoke all on %1$s from %2$s; revoke execute on function @extschema@.cleanup_stale_quote_sessions() from %2$s;',
            copied, @extschema@.quote_grantee(h.grantee)), ' ')
    into names, hints
    from (
        select g.grantee, coalesce(r.rolname, 'public') as role, bool_or(c.relname = 'quote_changes' and g.privilege = 'SELECT') as reads
        from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral @extschema@.quote_grants_on(c.oid::regclass) g
        left join pg_roles r on r.oid = g.grantee
        where n.nspname = target_schema
            and (c.relname, g.privilege) in (('quote_changes', 'SELECT'), ('active_quote_sessions', 'INSERT'))
            and r.rolsuper is not true and (r.oid is null or not pg_has_role(r.oid, c.relowner, 'usage')
                and not has_function_privilege(r.oid, '@extschema@.quote_relay_lease(text, interval)', 'execute'))
        group by 1, 2) h
    where headers <> '{}' and not exists (select from unnest(headers) t (oid)
        where has_any_column_privilege(h.role, t.oid, 'select') or not h.reads and has_any_column_privilege(h.role, t.oid, 'update'));
    return next @extschema@.quote_collab_verdict('history read by readers of quotes', names is null, 'warning',
        format('these roles may read no quotes any more, but still their history or presence: %s', names), hints);
end $$;
comment on function quote_collab_doctor_readers(name) is 'doctor: rights on history without rights on quotes';
