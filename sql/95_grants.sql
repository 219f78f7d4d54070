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

-- Lets a role run the gateway: the relay's functions, and the rights that the gateway's queries need on every attached pair
-- of tables; call it again when a pair is attached later. The role itself stays an ordinary one, held to the tenant of
-- each request; where tenants are verified, it may set that tenant.
create function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    pair record;
    relation jsonb;
begin
    if role is null then
        raise exception 'the role must not be null' using errcode = 'null_value_not_allowed', hint = 'Name the role of the gateway.';
    elsif not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object', hint = 'Create it first: create role ... login.';
    end if;
    execute format('grant usage on schema %I, @extschema@ to %I', home, role);
    execute format('grant execute on function %s to %I', (select string_agg(f::text, ', ') from @extschema@.quote_gateway_functions() f), role);
    execute format('grant select on %1$I.quote_changes, %1$I.v_quote_changes_all, %1$I.v_quote_change_events, %1$I.v_recent_quote_changes,
        %1$I.v_active_quote_collaborators to %2$I', home, role);
    if @extschema@.quote_archive_stands(home) then
        execute format('grant select on %I.quote_changes_archive to %I', home, role);
    end if;
    execute format('grant select, insert, update, delete on %I.active_quote_sessions to %I', home, role);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        execute format('grant usage on schema %I, %I to %I', (pair.header).table_schema, (pair.line).table_schema, role);
        execute format('grant select, update on %I.%I, %I.%I to %I', (pair.header).table_schema, (pair.header).table_name,
            (pair.line).table_schema, (pair.line).table_name, role);
        for relation in select value from jsonb_each((pair.header).relations) loop
            execute format('grant usage on schema %I to %I', relation ->> 'schema', role);
            execute format('grant select on %I.%I to %I', relation ->> 'schema', relation ->> 'table', role);
        end loop;
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
