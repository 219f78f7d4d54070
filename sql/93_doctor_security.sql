-- doctor: row security and who gets round it.
create function quote_collab_doctor_security(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(c.oid::regclass::text, ', '),
        string_agg(format('alter table %s enable row level security, force row level security;', c.oid::regclass), ' ')
    into names, hints from pg_class c
    where c.oid in (select t.relation from @extschema@.quote_tenant_tables(target_schema) t
            union select s.oid from pg_class s join pg_namespace n on n.oid = s.relnamespace
            where n.nspname = target_schema and s.relname in ('quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease'))
        and not (c.relrowsecurity and c.relforcerowsecurity);
    return next @extschema@.quote_collab_verdict('row security forced everywhere', names is null, 'error',
        format('not enabled and forced on: %s', names), hints);
    select string_agg(t.relation::text, ', '), string_agg(format('select @extschema@.protect_quote_table(%L, %L);', t.relation, t.policy), ' ')
    into names, hints from @extschema@.quote_tenant_tables(target_schema) t
    where not @extschema@.quote_table_is_protected(t.relation, t.policy);
    return next @extschema@.quote_collab_verdict('tenant policies present', names is null, 'error',
        format('the policy that compares the tenant is missing or altered on: %s', names), hints);
    select string_agg(format('%s on %s', p.polname, p.polrelid::regclass), ', '),
        string_agg(format('drop policy %I on %s;', p.polname, p.polrelid::regclass), ' ')
    into names, hints from pg_policy p join @extschema@.quote_own_relations(target_schema) r on r.relation = p.polrelid
    where p.polpermissive and not exists (
        select from @extschema@.quote_tenant_tables(target_schema) t where t.relation = p.polrelid and t.policy = p.polname);
    return next @extschema@.quote_collab_verdict('no other policy', names is null, 'warning',
        format('permissive policies of others let rows through: %s', names), hints);
    select string_agg(format('%s on %s', g.tgname, g.tgrelid::regclass), ', '),
        string_agg(format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass), ' ')
    into names, hints from pg_trigger g join @extschema@.quote_own_relations(target_schema) r on r.relation = g.tgrelid
    where not g.tgisinternal and g.tgparentid = 0
        and g.tgfoid <> '@extschema@.guard_quote_session()'::regprocedure and g.oid not in (select o.guard from @extschema@.quote_truncate_guards() o);
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log, where events would tell as much: %s', names), hints);
    select string_agg(t::text, ', '), string_agg(format('select @extschema@.guard_quote_history(%L);', t), ' ')
    into names, hints from @extschema@.quote_tables_kept(target_schema) t
    where t not in (select g.relation from @extschema@.quote_truncate_guards() g where g.is_on);
    return next @extschema@.quote_collab_verdict('truncate of the history refused', names is null, 'error',
        format('their owner may empty these without a trace: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_caller(target_schema);
end $$;
comment on function quote_collab_doctor_security(name) is 'doctor: row security of history and presence';

-- The role that is connected. What it can SET ROLE to it is; PostgreSQL 16 tells that from other membership, but whoever may
-- grant a role grants it to himself.
create function quote_collab_doctor_caller(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    becomes text := case when current_setting('server_version_num')::integer < 160000 then 'MEMBER' else 'SET, MEMBER WITH ADMIN OPTION' end;
    me pg_roles := (select r from pg_roles r where r.rolname = session_user);
    names text;
    hints text;
begin
    return next @extschema@.quote_collab_verdict('this role is held to its tenant', not (me.rolsuper or me.rolbypassrls), 'warning',
        format('%s is not held by row security', session_user), 'Connect applications as a role without SUPERUSER and BYPASSRLS.');
    select string_agg(r.rolname, ', ') into names from pg_roles r
    where (r.rolsuper or r.rolbypassrls) and r.oid <> me.oid and not me.rolsuper and pg_has_role(me.oid, r.oid, becomes);
    select string_agg(distinct format('revoke %I from %I;', g.rolname, session_user), ' ') into hints
    from pg_auth_members m join pg_roles g on g.oid = m.roleid
    where m.member = me.oid and exists (select from pg_roles r where (r.rolsuper or r.rolbypassrls) and pg_has_role(g.oid, r.oid, becomes));
    return next @extschema@.quote_collab_verdict('this role becomes no other that sees all', names is null, 'warning',
        format('%s can become, by SET ROLE, what row security does not hold: %s', session_user, names), hints);
    return next @extschema@.quote_collab_verdict('this role does not own the log', not exists (
            select from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = target_schema and c.relname = 'quote_changes' and pg_has_role(me.oid, c.relowner, 'member')), 'warning',
        format('%s may change the log and its policies', session_user), 'Connect applications as a role that owns nothing.');
end $$;
comment on function quote_collab_doctor_caller(name) is 'doctor: the rights of the connected role';
