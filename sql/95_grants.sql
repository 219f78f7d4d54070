-- Nothing that writes with the extension owner's rights is open to PUBLIC.
revoke execute on function
    cleanup_stale_quote_sessions(), quote_collab_maintenance(), quote_presence_snapshot(), quote_relay_identity(),
    quote_relay_lease(text, interval), quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint), quote_relay_open_batch(bigint),
    quote_relay_last_batch(), quote_relay_first_batch(),
    quote_relay_read(bigint, bigint, integer), quote_relay_checkpoint(bigint, bigint, bigint, bigint), quote_relay_position(),
    quote_events_between(uuid, bigint, bigint, bigint, bigint, integer),
    seal_quote_history(), verify_quote_history(text), quote_history_digest(),
    attach_quote_collaboration(regclass, regclass, jsonb), detach_quote_collaboration(boolean, regclass)
from public;

create function quote_gateway_functions() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select f.function from (values
        (to_regprocedure('@extschema@.cleanup_stale_quote_sessions()')),
        (to_regprocedure('@extschema@.quote_collab_maintenance()')),
        (to_regprocedure('@extschema@.quote_presence_snapshot()')),
        (to_regprocedure('@extschema@.quote_relay_identity()')),
        (to_regprocedure('@extschema@.quote_relay_lease(text, interval)')),
        (to_regprocedure('@extschema@.quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint)')),
        (to_regprocedure('@extschema@.quote_relay_open_batch(bigint)')),
        (to_regprocedure('@extschema@.quote_relay_last_batch()')),
        (to_regprocedure('@extschema@.quote_relay_first_batch()')),
        (to_regprocedure('@extschema@.quote_relay_read(bigint, bigint, integer)')),
        (to_regprocedure('@extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint)')),
        (to_regprocedure('@extschema@.quote_relay_position()')),
        (to_regprocedure('@extschema@.quote_events_between(uuid, bigint, bigint, bigint, bigint, integer)'))) f (function)
    where f.function is not null
$$;
comment on function quote_gateway_functions() is 'functions that the role of the gateway calls';

-- What the role of the gateway needs: the relay's functions, and the rights that the gateway's queries need on every attached pair of tables. What is
-- gone is left out.
create function quote_gateway_rights() returns table (privilege text, kind text, object oid, told text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with attached as (
        select t.relation, t.privileges from @extschema@.quote_collab_pairs() p
        cross join lateral (
            select @extschema@.quote_collab_table(s)::oid, '{select,update}'::text[] from unnest(array[p.header, p.line]) s
            union all
            select c.oid, '{select}'::text[] from jsonb_each((p.header).relations) r join pg_namespace n on n.nspname = r.value ->> 'schema'
            join pg_class c on c.relnamespace = n.oid and c.relname = r.value ->> 'table') t (relation, privileges)
        union all
        select c.oid, k.privileges from (values
            ('quote_changes', '{select}'::text[]), ('v_quote_changes_all', '{select}'::text[]), ('v_quote_change_events', '{select}'::text[]),
            ('v_recent_quote_changes', '{select}'::text[]), ('v_active_quote_collaborators', '{select}'::text[]),
            ('active_quote_sessions', '{select,insert,update,delete}'::text[]), ('quote_changes_archive', '{select}'::text[])) k (name, privileges)
        join pg_namespace n on n.nspname = @extschema@.quote_collab_home() join pg_class c on c.relnamespace = n.oid and c.relname = k.name
        where k.name <> 'quote_changes_archive' or @extschema@.quote_archive_stands(n.nspname))
    select 'usage', 'schema', n.oid, quote_ident(n.nspname) from pg_namespace n
    where n.oid = '@extschema@'::regnamespace or n.oid in (select c.relnamespace from attached a join pg_class c on c.oid = a.relation)
    union all
    select 'execute', 'function', f::oid, f::text from @extschema@.quote_gateway_functions() f
    union all
    select distinct p.privilege, 'table', a.relation, a.relation::regclass::text from attached a cross join lateral unnest(a.privileges) p (privilege)
    where a.relation is not null
$$;
comment on function quote_gateway_rights() is 'what the role of the gateway needs';

-- Lets a role run the gateway; call it again when a pair is attached later. It may call what everybody may, also where PUBLIC may call nothing. The role itself stays an ordinary one, held to the tenant of
-- each request; where tenants are verified, it may set that tenant.
create function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    needed record;
begin
    if role is null then
        raise exception 'the role must not be null' using errcode = 'null_value_not_allowed',
            detail = 'Rights are given to a role that is there.', hint = 'Name the role of the gateway.';
    elsif not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object',
            detail = 'The name is taken as it is written, with its capital letters.', hint = 'Create it first: create role ... login.';
    end if;
    perform @extschema@.quote_collab_home(), @extschema@.grant_quote_functions(role);
    for needed in select r.privilege, r.kind, string_agg(r.told, ', ') as objects from @extschema@.quote_gateway_rights() r group by r.privilege, r.kind loop
        execute format('grant %s on %s %s to %I', needed.privilege, needed.kind, needed.objects, role);
    end loop;
    -- The gateway verifies tokens itself and then sets the tenant. PostgreSQL 14 has no such grant.
    if current_setting('quote_collab.tenant_source', true) = 'verified' and current_setting('server_version_num')::integer >= 150000 then
        execute format('grant set on parameter app.current_tenant_id to %I', role);
    end if;
end $$;
comment on function grant_quote_gateway(name) is 'gives a role what the gateway needs';
revoke execute on function grant_quote_gateway(name) from public;

-- Whatever default privileges gave of all that was made here.
select @extschema@.close_quote_extension();
