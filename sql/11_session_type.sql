-- One session as the presence functions return it.
create type @extschema@.quote_session as (
    id uuid, tenant_id uuid, session_id uuid, quote_id uuid, user_id uuid, user_name text, user_email text,
    joined_at timestamptz, last_heartbeat timestamptz, current_line_id uuid, current_field varchar(63),
    cursor_position integer, is_editing boolean, status varchar(20)
);
comment on type @extschema@.quote_session is 'one session on one quote';
