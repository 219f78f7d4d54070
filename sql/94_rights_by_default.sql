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
        select g.* from @extschema@.quote_function_grants() g where not g.is_public and g.grantee <> 0)
    select g.told, g.revoke from given g
    where exists (
            select from given k where k.grantee = g.grantee and k.function = '@extschema@.move_quote_seal_anchor(bytea, bigint, bytea, boolean)'::regprocedure)
        and not exists (
            select from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
            where g.function = '@extschema@.capture_quote_change()'::regprocedure and c.relowner = g.grantee
                or g.function = '@extschema@.cleanup_stale_quote_sessions()'::regprocedure and s.entity = 'QUOTE' and has_table_privilege(g.grantee, c.oid, 'update'))
$$;
comment on function quote_extension_function_grants() is 'functions that others may call by a grant on all, and what takes that away';

-- Also triggers that others have put on its tables meanwhile, if their functions belong to no superuser. Gateways are given theirs again by
-- grant_quote_gateway().
create function close_quote_extension() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
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
end $$;
comment on function close_quote_extension() is 'takes away what default privileges, or a grant on all, gave on what the extension keeps to itself';
revoke execute on function close_quote_extension() from public;
