-- Who vouches for the tenant of a transaction.
create function quote_collab_doctor_tenants() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    guard jsonb;
    verified boolean;
    guarded boolean;
begin
    if not has_function_privilege('@extschema@.quote_tenant_guard()', 'execute') then
        return next @extschema@.quote_collab_unchecked('tenant guarded as configured', 'settings and keys are kept from this role',
            format('grant execute on function @extschema@.quote_tenant_guard() to %I;', current_user));
        return query select * from @extschema@.quote_collab_doctor_tenant_roles(
            exists (select from pg_settings s where s.name = 'quote_collab.tenant_source' and s.setting = 'verified'));
        return;
    end if;
    guard := @extschema@.quote_tenant_guard();
    verified := (guard ->> 'verified')::boolean;
    guarded := (guard ->> 'guarded')::boolean;
    return next @extschema@.quote_collab_verdict('tenant cannot be chosen by SQL users', verified and guarded, 'warning',
        'any SQL user can set app.current_tenant_id', 'Give SQL access to the application and the gateway only, or have tenants verified: quote_collab.tenant_source.');
    return next @extschema@.quote_collab_verdict('tenant guarded as configured', guarded = verified, 'error',
        format('quote_collab.tenant_source is %s, this process does %s', case when verified then 'verified' else 'setting' end,
            case when guarded then 'keep ordinary roles from setting the tenant' else 'not guard the tenant and shows nobody a row' end), 'Restart the server.');
    return next @extschema@.quote_collab_verdict('settings known', not (guard ->> 'in_doubt')::boolean, 'error',
        'a value of quote_collab.* is wrong, or the session brought its own: tenants are guarded and no token is taken',
        'Look into the server''s log for a refused value, correct it and restart; preload the library.');
    return next @extschema@.quote_collab_verdict('tenants verified from the start', not verified or (guard ->> 'preloaded')::boolean, 'warning',
        'a session is guarded from the first use of the extension on, and tokens of HS256 are refused',
        'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
    return next @extschema@.quote_collab_verdict('token secret kept', not (guard ->> 'secret')::boolean or (guard ->> 'preloaded')::boolean, 'error',
        'until a session uses the extension it can read quote_collab.jwt_secret', 'Change the secret, preload the library and restart; or use public keys.');
    return next @extschema@.quote_collab_verdict('token secret long enough', not (guard ->> 'short_secret')::boolean, 'warning',
        'quote_collab.jwt_secret is shorter than 32 bytes and can be guessed', 'Take 32 random bytes, for example from openssl rand -base64 32.');
    return next @extschema@.quote_collab_verdict('token keys usable', not (guard ->> 'unusable_keys')::boolean, 'error',
        'quote_collab.jwt_keys is not a key set, or some of its keys are left out',
        'Each key needs a kid of its own and is RSA of 2048 bits or more (RS256), P-256 (ES256) or Ed25519 (EdDSA).');
    return next @extschema@.quote_collab_verdict('token keys configured', not verified or not (guard ->> 'keyless')::boolean, 'warning',
        'authenticate_quote_user() refuses every token', 'Set quote_collab.jwt_secret or quote_collab.jwt_keys and reload.');
    return query select * from @extschema@.quote_collab_doctor_tenant_roles(verified);
end $$;
comment on function quote_collab_doctor_tenants() is 'doctor: who vouches for the tenant of a transaction';

-- Other databases in which functions are granted to a role, or to one that it is a member of, as they are to a gateway: which ones is
-- only to be seen there. Null for none.
create function quote_databases_elsewhere(role oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(distinct quote_ident(b.datname), ', ') from pg_shdepend d join pg_database b on b.oid = d.dbid
    join pg_roles r on r.oid = role and pg_has_role(r.oid, d.refobjid, 'member')
    where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_authid'::regclass and d.deptype = 'a' and b.datname <> current_database()
$$;
comment on function quote_databases_elsewhere(oid) is 'doctor: databases of which a role may be the gateway';

-- Roles that were made gateways: to whom themselves its functions are granted. Whoever is a member of one can become it, and is none.
create function quote_gateway_roles() returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct acl.grantee from pg_proc p cross join lateral aclexplode(p.proacl) acl
    where p.oid = '@extschema@.quote_relay_lease(text, interval)'::regprocedure and acl.grantee not in (p.proowner, 0)
$$;
comment on function quote_gateway_roles() is 'doctor: roles that were made gateways';

-- As whom gateways log in: those roles, or members of one that does not log in, a group of gateways. Superusers may be members of all.
create function quote_gateway_logins() returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive gateways (role) as (
        select @extschema@.quote_gateway_roles()
        union
        select a.member from gateways g join pg_roles r on r.oid = g.role and not r.rolcanlogin join @extschema@.quote_role_members() a on a.roleid = g.role
        join pg_roles m on m.oid = a.member and not m.rolsuper)
    select r.oid from gateways g join pg_roles r on r.oid = g.role where r.rolcanlogin
$$;
comment on function quote_gateway_logins() is 'doctor: roles as whom gateways log in';

-- Who can become whom. Since PostgreSQL 16 whoever creates a role is a member that cannot.
create function quote_role_members() returns table (roleid oid, member oid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.roleid, a.member from pg_auth_members a
    where coalesce((to_jsonb(a) ->> 'set_option')::boolean or (to_jsonb(a) ->> 'inherit_option')::boolean, true)
$$;
comment on function quote_role_members() is 'doctor: members that can become a role';

-- Rights that gateways were given and have no longer, or never were, on a pair that was attached later. One who was given only columns of a table
-- has what his owner wants him to have.
create function quote_gateway_rights_missing() returns table (role name, told text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.rolname, format('%s on %s', g.privilege, g.told)
    from @extschema@.quote_gateway_roles() w (role) join pg_roles r on r.oid = w.role cross join @extschema@.quote_gateway_rights() g
    where not case when g.kind = 'schema' then has_schema_privilege(w.role, g.object, g.privilege)
        when g.kind = 'function' then has_function_privilege(w.role, g.object, g.privilege)
        when g.privilege = 'delete' then has_table_privilege(w.role, g.object, g.privilege)
        else has_any_column_privilege(w.role, g.object, g.privilege) end
$$;
comment on function quote_gateway_rights_missing() is 'doctor: rights that gateways lack';

-- Who can become one of these roles and is none of them: members, and who may make himself one. Until PostgreSQL 15 that is whoever may create roles,
-- since then who may grant this one.
create function quote_gateway_candidates(gateways oid[]) returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I can become %I', m.rolname, g.rolname), format('revoke %I from %I;', g.rolname, m.rolname)
    from @extschema@.quote_role_members() a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
    where a.roleid = any (gateways) and a.member <> all (gateways) and not m.rolsuper
    union
    select format('%I can become %I, since he may create roles', m.rolname, g.rolname), format('alter role %I nocreaterole;', m.rolname)
    from pg_roles m join pg_roles g on g.oid = any (gateways)
    where m.rolcreaterole and not m.rolsuper and m.oid <> all (gateways) and current_setting('server_version_num')::integer < 160000
    union
    select format('%I can become %I, which he may grant', m.rolname, g.rolname),
        format('revoke admin option for %I from %I granted by %I;', g.rolname, m.rolname, pg_get_userbyid(a.grantor))
    from pg_auth_members a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
    where a.admin_option and a.roleid = any (gateways) and a.member <> all (gateways) and not m.rolsuper and current_setting('server_version_num')::integer >= 160000
$$;
comment on function quote_gateway_candidates(oid[]) is 'doctor: who can become a gateway';

-- Limits below what one gateway opens: 16 connections for requests, unless PG_POOL_SIZE says otherwise, and five for its own work. Room for two
-- lets one take over from another. The database's limit counts those of the ERP, too.
create function quote_connections_short(gateways oid[]) returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I may have %s', r.rolname, r.rolconnlimit), format('alter role %I connection limit 42;', r.rolname)
    from pg_roles r where r.oid = any (gateways) and r.rolconnlimit between 0 and 20
    union all
    select format('database %I lets in %s', d.datname, d.datconnlimit), format('alter database %I connection limit -1;', d.datname)
    from pg_database d where d.datname = current_database() and gateways <> '{}'::oid[] and d.datconnlimit between 0 and 20
    union all
    select format('the server has %s for others than superusers', s.connections),
        format('alter system set max_connections = %s; then restart.', current_setting('max_connections')::integer - s.connections + 100)
    from (select current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0)) s (connections)
    where gateways <> '{}'::oid[] and s.connections < 21
$$;
comment on function quote_connections_short(oid[]) is 'doctor: limits below the connections that a gateway opens';

-- A gateway shows each tenant its own because row security holds its role, and since nobody else is that role.
create function quote_collab_doctor_gateway_roles() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_logins());
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', ' order by r.rolname),
        string_agg(format('alter role %I %s;', r.rolname, case when r.rolsuper then 'nosuperuser nobypassrls' else 'nobypassrls' end), ' ' order by r.rolname)
    into names, hints from pg_roles r where r.oid = any (gateways) and (r.rolsuper or r.rolbypassrls);
    return next @extschema@.quote_collab_verdict('row security holds gateways', names is null, 'error',
        format('a gateway that runs as one of these roles is held to no tenant: %s', names), hints);
    select string_agg(c.told, ', ' order by c.told), string_agg(c.repair, ' ' order by c.told) into names, hints
    from @extschema@.quote_gateway_candidates(gateways) c;
    return next @extschema@.quote_collab_verdict('nobody becomes a gateway', names is null, 'warning',
        format('who is a gateway reads the events of every tenant: %s', names), hints);
    select string_agg(m.told, ', ' order by m.role, m.told), string_agg(distinct format('select @extschema@.grant_quote_gateway(%L);', m.role), ' ')
    into names, hints from (select m.role, format('%I lacks %s', m.role, string_agg(m.told, ', ' order by m.told))
        from @extschema@.quote_gateway_rights_missing() m group by m.role) m (role, told);
    return next @extschema@.quote_collab_verdict('gateways have their rights', names is null, 'warning',
        format('the gateway cannot do all that it does: %s', names), hints);
    select string_agg(quote_ident(r.rolname), ', ' order by r.rolname), string_agg(format('alter role %I login;', r.rolname), ' ' order by r.rolname)
    into names, hints from @extschema@.quote_gateway_roles() w (role) join pg_roles r on r.oid = w.role
    where gateways = '{}'::oid[];
    return next @extschema@.quote_collab_verdict('a gateway may log in', names is null, 'warning',
        format('nobody who was made a gateway may log in: %s', names), hints);
    select string_agg(c.told, ', '), string_agg(c.repair, ' ') into names, hints from @extschema@.quote_connections_short(gateways) c;
    return next @extschema@.quote_collab_verdict('gateways find connections', names is null, 'warning',
        format('one gateway opens up to 21 connections to the database, PG_POOL_SIZE and 5 more: %s', names), hints);
end $$;
comment on function quote_collab_doctor_gateway_roles() is 'doctor: what the roles of gateways may do beside, and who can become them';

-- Roles that set the tenant without a token; the gateway's, which verifies tokens itself, is known by its rights.
create function quote_collab_doctor_tenant_roles(verified boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_roles());
    setters oid[] := '{}'::oid[];
    names text;
    hints text;
begin
    setters := array(select acl.grantee from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl
        left join pg_roles r on r.oid = acl.grantee
        where p.parname = 'app.current_tenant_id' and acl.privilege_type = 'SET' and r.rolsuper is not true);
    -- What is granted on a setting holds in every database of the cluster: a role that has functions granted in another one may be the
    -- gateway of that.
    select string_agg(s.name || coalesce(' (perhaps the gateway of ' || e.databases || ')', ''), ', ' order by s.name),
        concat_ws(' ', string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is null),
            'Unless it is the gateway of another database: ' || string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is not null))
    into names, hints
    from (select distinct u.setter, @extschema@.quote_grantee(u.setter) from unnest(setters) u (setter) where u.setter <> all (gateways)) s (setter, name)
    cross join lateral (select @extschema@.quote_databases_elsewhere(s.setter)) e (databases)
    cross join lateral (select format('revoke set on parameter app.current_tenant_id from %s;', s.name)) r (revoke);
    return next @extschema@.quote_collab_verdict('tenant set by gateways only', names is null, 'warning',
        format('these roles may set any tenant, in the whole cluster: %s', names), hints);
    -- quote_collab.notify decides how listeners are woken, and nothing about tenants or keys.
    select string_agg(format('%s on %s to %s', acl.privilege_type, p.parname, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke %s on parameter %s from %s;', lower(acl.privilege_type collate "C"), p.parname, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl left join pg_roles r on r.oid = acl.grantee
    where (p.parname like E'quote\\_collab.%' and p.parname <> 'quote_collab.notify' or p.parname = 'app.current_tenant_id' and acl.privilege_type <> 'SET')
        and r.rolsuper is not true;
    return next @extschema@.quote_collab_verdict('settings changed by superusers only', names is null, 'error',
        format('whoever may set these chooses tenants, users or keys: %s', names), hints);
    select string_agg(@extschema@.quote_grantee(gateway), ', '),
        string_agg(format('select @extschema@.grant_quote_gateway(%L);', pg_get_userbyid(gateway)), ' ')
    into names, hints from unnest(gateways) gateway where gateway <> all (setters) and not 0::oid = any (setters);
    return next @extschema@.quote_collab_verdict('gateways may set the tenant', not verified or names is null, 'error',
        format('the gateway fails as: %s', names), hints);
    select string_agg(distinct coalesce(pg_get_userbyid(nullif(s.setrole, 0))::text, 'everybody'), ', ') into names
    from pg_db_role_setting s cross join lateral unnest(s.setconfig) setting
    where lower(setting collate "C") ~ '^(app[.]current_tenant_id|quote_collab[.]verified_)';
    return next @extschema@.quote_collab_verdict('no tenant by default', not verified or names is null
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.reset_val <> ''), 'warning',
        format('sessions begin with a tenant that no token vouches for: %s', coalesce(names, 'this one')),
        'alter role ... reset app.current_tenant_id; and look into postgresql.conf.');
    return query select * from @extschema@.quote_collab_doctor_gateway_roles();
end $$;
comment on function quote_collab_doctor_tenant_roles(boolean) is 'doctor: roles that set the tenant without a token';
