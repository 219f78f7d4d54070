-- Who may read the quotes may read their history, who may change them may take part in presence, and who may not any more may not
-- any more. PUBLIC gets nothing that writes. The history is shared by all pairs: what keeps it apart is the tenant.

-- The log and what shows it, as far as it is there.
create function quote_history_relations(home name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('%I.%I', home, c.relname), ', ' order by c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = home and c.relname in ('quote_changes', 'quote_changes_archive', 'v_quote_changes_all', 'v_quote_change_events',
        'v_recent_quote_changes', 'v_active_quote_collaborators')
$$;
comment on function quote_history_relations(name) is 'what readers of the quotes may read of their history';

-- Who has a right on a header, as PUBLIC or a role; the owner of the log has all rights of his own.
create function quote_header_grantees(header regclass, privilege text) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(distinct case acl.grantee when 0 then 'public'::name else r.rolname end), '{}')
    from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl left join pg_roles r on r.oid = acl.grantee
    where c.oid = header and acl.privilege_type = privilege
        and acl.grantee <> (select l.relowner from pg_class l where l.oid = format('%I.quote_changes', @extschema@.quote_collab_home())::regclass)
$$;
comment on function quote_header_grantees(regclass, text) is 'roles with a right on a header';

-- The history tells of the lines, too, prices and costs among them: of whom that says more than the ERP does.
create function tell_of_quote_readers(header regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lines regclass := (select @extschema@.quote_collab_table(@extschema@.quote_collab_partner(s)) from @extschema@.quote_collab_settings s
        where s.entity = 'QUOTE' and @extschema@.quote_collab_table(s) = header);
    names text := (select string_agg(r.name, ', ') from unnest(@extschema@.quote_header_grantees(header, 'SELECT')) r (name)
        where case r.name when 'public' then 'public' <> all (@extschema@.quote_header_grantees(lines, 'SELECT')) else not has_table_privilege(r.name, lines, 'select') end);
begin
    if names is not null then
        raise notice 'the history of % shows changes of % to who may not read that: %', header, lines, names
            using hint = format('Where prices of lines are not for them, give them a view in the place of the right to read %s, and attach again.', header);
    end if;
end $$;
comment on function tell_of_quote_readers(regclass) is 'says who reads changes of lines and may not read lines';

-- Noted in the settings, so that attaching again takes back what it gave and nothing else.
create function copy_quote_privileges(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    readers name[] := @extschema@.quote_header_grantees(header, 'SELECT');
    writers name[] := array_remove(@extschema@.quote_header_grantees(header, 'UPDATE'), 'public');
    before @extschema@.quote_collab_settings;
    role text;
begin
    for role in select case r.name when 'public' then 'public' else quote_ident(r.name) end from unnest(readers) r (name) loop
        execute format('grant select on %s, %I.active_quote_sessions to %s', @extschema@.quote_history_relations(home), home, role);
    end loop;
    for role in select quote_ident(r.name) from unnest(writers) r (name) loop
        execute format('grant select, insert, update, delete on %I.active_quote_sessions to %s', home, role);
        execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions() to %s', role);
    end loop;
    perform @extschema@.grant_quote_home(header), @extschema@.tell_of_quote_readers(header);
    select s.* into before from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' and @extschema@.quote_collab_table(s) = header;
    update @extschema@.quote_collab_settings s set readers_granted = readers, writers_granted = writers
    where (s.table_schema, s.table_name) = (before.table_schema, before.table_name);
    perform @extschema@.revoke_quote_privileges(before.readers_granted || before.writers_granted);
end $$;
comment on function copy_quote_privileges(regclass) is 'gives the readers and writers of the quotes their rights on history and presence';

-- Takes rights on history and presence from those of these roles who have no right on any attached header any more. Not from the
-- owner of the log, whose rights are his own, nor from a gateway, which has them from grant_quote_gateway().
create function revoke_quote_privileges(roles name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    former record;
begin
    for former in
        select case f.name when 'public' then 'public' else quote_ident(f.name) end as role, f.name,
            exists (select from @extschema@.quote_collab_settings s where f.name = any (s.readers_granted)) as reads,
            exists (select from @extschema@.quote_collab_settings s where f.name = any (s.writers_granted)) as writes
        from (select distinct u.name from unnest(roles) u (name)) f left join pg_roles r on r.rolname = f.name
        where (f.name = 'public' or r.oid is not null)
            and r.oid is distinct from (select c.relowner from pg_class c where c.oid = format('%I.quote_changes', home)::regclass)
            and not exists (select from pg_proc p cross join lateral aclexplode(p.proacl) acl
                where p.oid = '@extschema@.quote_relay_lease(text, interval)'::regprocedure and acl.grantee = r.oid and acl.grantee <> p.proowner)
    loop
        if not former.reads then
            execute format('revoke select on %s from %s', @extschema@.quote_history_relations(home), former.role);
        end if;
        if not former.writes then
            execute format('revoke insert, update, delete on %I.active_quote_sessions from %s', home, former.role);
            execute format('revoke execute on function @extschema@.cleanup_stale_quote_sessions() from %s', former.role);
        end if;
        if not former.reads and not former.writes then
            execute format('revoke select on %I.active_quote_sessions from %s', home, former.role);
            if exists (select from @extschema@.quote_collab_settings s where former.name = any (s.usage_granted)) then
                execute format('revoke usage on schema %I from %s', home, former.role);
                update @extschema@.quote_collab_settings s set usage_granted = array_remove(s.usage_granted, former.name)
                where former.name = any (s.usage_granted);
            end if;
        end if;
    end loop;
end $$;
comment on function revoke_quote_privileges(name[]) is 'takes rights on history and presence from those who have none on the quotes any more';

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
