-- Who may read the quotes may read their history, who may change them may take part in presence. PUBLIC gets nothing that
-- writes. The history is shared by all pairs: what keeps it apart is the tenant.

create function copy_quote_privileges(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    grantee record;
begin
    for grantee in
        select acl.privilege_type, case acl.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(acl.grantee)) end as role
        from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl
        where c.oid = header and acl.privilege_type in ('SELECT', 'UPDATE')
            and acl.grantee <> (select l.relowner from pg_class l where l.oid = format('%I.quote_changes', home)::regclass)
    loop
        if grantee.privilege_type = 'SELECT' then
            execute format('grant select on %1$I.quote_changes, %1$I.v_quote_changes_all, %1$I.active_quote_sessions, %1$I.v_quote_change_events,
                %1$I.v_recent_quote_changes, %1$I.v_active_quote_collaborators to %2$s', home, grantee.role);
        elsif grantee.role <> 'public' then
            execute format('grant select, insert, update, delete on %I.active_quote_sessions to %s', home, grantee.role);
            execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions() to %s', grantee.role);
        end if;
    end loop;
    perform @extschema@.grant_quote_home(header);
end $$;
comment on function copy_quote_privileges(regclass) is 'gives the readers and writers of the quotes their rights on history and presence';

-- The log may lie in a schema that readers of this header may not use yet. Noted in the settings, for the day when nothing
-- of ours is left there. Not for PUBLIC: a schema is not opened to everybody.
create function grant_quote_home(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    role name;
begin
    for role in
        select distinct r.rolname from pg_class c cross join lateral aclexplode(c.relacl) acl join pg_roles r on r.oid = acl.grantee
        where c.oid = header and acl.privilege_type in ('SELECT', 'UPDATE') and not has_schema_privilege(r.oid, home, 'usage')
        union
        select r.rolname from pg_class c join pg_roles r on r.oid = c.relowner where c.oid = header and not has_schema_privilege(r.oid, home, 'usage')
    loop
        execute format('grant usage on schema %I to %I', home, role);
        update @extschema@.quote_collab_settings s set usage_granted = s.usage_granted || role
        where s.entity = 'QUOTE' and @extschema@.quote_collab_table(s) = header;
    end loop;
end $$;
comment on function grant_quote_home(regclass) is 'lets the readers of a header use the schema of the audit log';
