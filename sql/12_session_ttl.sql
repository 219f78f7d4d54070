-- A client sends a heartbeat every 10 seconds; three missed ones end the session.
create function quote_session_ttl() returns interval
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select interval '30 seconds' $$;
comment on function quote_session_ttl() is 'a session without a heartbeat for this long is stale';
