-- Default privileges are meant for tables and functions of the ERP, and so is a grant on all of a schema. Here they would give every tenant's events
-- and what is attached to whoever works with quotes.

create function quote_extension_table_grants() returns table (told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.told, g.revoke from @extschema@.quote_extension_tables() t cross join lateral @extschema@.quote_grants_on(t.relation) g
    where t.is_private or g.privilege <> 'SELECT'
$$;
comment on function quote_extension_table_grants() is 'rights of others on tables of the extension, and what takes them away';

-- Who may move the anchor of the seals, which nobody is ever given, was not given the other functions either that the extension keeps from PUBLIC. But
-- attach lets whoever may change quotes sweep sessions, and the owner of an attached table add partitions to it.
create function quote_extension_function_grants() returns table (told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with given as (
        select g.* from @extschema@.quote_function_grants() g where g.grantee <> 0)
    select g.told, g.revoke from given g
    where exists (
            select from given k where k.grantee = g.grantee and k.function = '@extschema@.move_quote_seal_anchor(bytea, bigint, bytea, boolean)'::regprocedure)
        and not exists (
            select from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
            where g.function = '@extschema@.capture_quote_change()'::regprocedure and c.relowner = g.grantee
                or g.function = '@extschema@.cleanup_stale_quote_sessions()'::regprocedure and s.entity = 'QUOTE' and has_table_privilege(g.grantee, c.oid, 'update'))
$$;
comment on function quote_extension_function_grants() is 'functions that others may call by a grant on all, and what takes that away';

-- Functions and tables of the extension whose rights PostgreSQL keeps as part of the release although they were given to somebody: it notes all that a
-- script finds or gives where it gives or takes anything, and pg_dump leaves out what it noted. What is taken in a script and given beside it is
-- not part of the release.
create function quote_rights_in_release() returns table (revoke text, give text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with members as (
        select o.kind, o.acl, o.owner from pg_extension e
        join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        join pg_init_privs i on (i.classoid, i.objoid, i.objsubid) = (d.classid, d.objid, 0)
        cross join lateral (
            select 'function ' || p.oid::regprocedure, p.proacl, p.proowner from pg_proc p where d.classid = 'pg_proc'::regclass and p.oid = d.objid and p.prokind = 'f'
            union all
            select 'table ' || c.oid::regclass, c.relacl, c.relowner from pg_class c where d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 'r') o (kind, acl, owner)
        where e.extname = 'quote_collab_ext' and exists (select from aclexplode(i.initprivs) n where n.grantee not in (0, o.owner)))
    select format('revoke all on %s from %s cascade', m.kind, @extschema@.quote_grantee(a.grantee)),
        format('grant %s on %s to %s%s', a.privilege_type, m.kind, @extschema@.quote_grantee(a.grantee), case when a.is_grantable then ' with grant option' else '' end)
    from members m cross join lateral aclexplode(m.acl) a where a.grantee not in (0, m.owner)
    union all
    -- Where nobody has such a right any more: has it noted.
    select format('revoke grant option for all on %s from public', m.kind), null
    from members m where not exists (select from aclexplode(m.acl) a where a.grantee not in (0, m.owner))
$$;
comment on function quote_rights_in_release() is 'rights on members of the extension that PostgreSQL takes for part of the release, and what gives them beside it';

-- What an update made, for those who may call all that it left as it was, where PUBLIC may not: they were given that by grant_quote_functions(), or PUBLIC was
-- before default privileges took it away. Whoever may call some of it only was given no more on purpose.
create function quote_functions_owed() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with open as (
        -- What it made anew keeps its rights. What is new became a member in this transaction, or below a savepoint of it, where numbers are higher.
        select f.function, p.proowner, pg_current_xact_id_if_assigned() is not null and age(d.xmin) between -1000000 and 0 as is_new, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
        join pg_depend d on (d.classid, d.objid, d.refclassid, d.deptype) = ('pg_proc'::regclass, p.oid, 'pg_extension'::regclass, 'e') where f.is_public),
    held as (select distinct o.function, o.is_new, a.grantee from open o cross join lateral aclexplode(o.acl) a where a.grantee <> o.proowner)
    select format('grant execute on function %s to %s', o.function, @extschema@.quote_grantee(t.grantee))
    from open o cross join (
        select h.grantee from held h where not h.is_new group by h.grantee having count(*) = (select count(*) from open x where not x.is_new)) t
    where o.is_new and not exists (select from held h where h.function = o.function and h.grantee in (t.grantee, 0))
$$;
comment on function quote_functions_owed() is 'grants of what an update made, for those who may call all of the rest';

-- Also triggers that others have put on its tables meanwhile, if their functions belong to no superuser. Gateways are given theirs again by
-- grant_quote_gateway().
create function close_quote_extension() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
    rights text[];
begin
    for statement in
        select t.revoke from @extschema@.quote_extension_table_grants() t union all select f.revoke from @extschema@.quote_extension_function_grants() f
        union all
        select format('drop trigger %I on %s', g.tgname, t.relation)
        from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
        join pg_proc p on p.oid = g.tgfoid join pg_roles r on r.oid = p.proowner
        where not g.tgisinternal and not r.rolsuper
    loop
        execute statement;
    end loop;
    select coalesce(array_agg(array[r.revoke, r.give]), '{}'::text[]) into rights from @extschema@.quote_rights_in_release() r;
    foreach statement in array rights[:][1:1] loop
        execute statement;
    end loop;
    perform @extschema@.grant_beside_quote_release(g.statement) from unnest(rights[:][2:2]) g (statement) where g.statement is not null;
    perform @extschema@.grant_beside_quote_release(g) from @extschema@.quote_functions_owed() g;
end $$;
comment on function close_quote_extension() is 'takes away what default privileges, or a grant on all, gave on what the extension keeps to itself, and gives what an update made to whom all the rest was given';
revoke execute on function close_quote_extension() from public;
