-- A client sends a heartbeat every 10 seconds; three missed ones end the session.
create function quote_session_ttl() returns interval
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select interval '30 seconds' $$;
comment on function quote_session_ttl() is 'a session without a heartbeat for this long is stale';

-- Nor is one alive that an earlier clock or release left in the future.
create function quote_session_lives(last_heartbeat timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl() and last_heartbeat < clock_timestamp() + @extschema@.quote_session_ttl();
end $$;
comment on function quote_session_lives(timestamptz) is 'whether a session with this last sign of life is alive';
