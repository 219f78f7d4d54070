-- Names and addresses are shown to everybody who has the quote open, and kept by every gateway: SQLSTATE 22001 where one is longer than 255
-- characters.
create function require_quote_session_texts(user_name text, user_email text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if greatest(char_length(user_name), char_length(user_email)) > 255 then
        raise exception 'the % is too long', case when char_length(user_name) > 255 then 'name of the user' else 'address of the user' end
            using errcode = 'string_data_right_truncation', hint = 'Pass at most 255 characters.';
    end if;
end $$;
comment on function require_quote_session_texts(text, text) is 'refuses names and addresses that are too long to show';

-- The ERP may write sessions itself. Where a token says who acts, he does it for himself alone, under the name that the ERP has for him,
-- and ends no session of others that is alive (42501). A sign of life is no later than now and a time of this century, whoever writes it.
create function guard_quote_session() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    verified uuid := nullif(current_setting('quote_collab.verified_user', true), '')::uuid;
    known record;
begin
    if verified is not null and (tg_op <> 'DELETE' and new.user_id <> verified
            or tg_op <> 'INSERT' and old.user_id <> verified and @extschema@.quote_session_lives(old.last_heartbeat)) then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            hint = 'Join with a session id of your own, or with none to get one.';
    elsif tg_op = 'DELETE' then
        return old;
    end if;
    if verified is not null and (tg_op = 'INSERT' or (new.user_id, new.user_name, new.user_email) is distinct from (old.user_id, old.user_name, old.user_email)) then
        select * into known from @extschema@.find_quote_user(verified);
        if known.known then
            new.user_name := left(known.user_name, 255);
            new.user_email := left(known.user_email, 255);
        end if;
    end if;
    perform @extschema@.require_quote_session_texts(new.user_name, new.user_email);
    if new.last_heartbeat not between '2000-01-01' and clock_timestamp() then
        new.last_heartbeat := greatest('2000-01-01', least(new.last_heartbeat, clock_timestamp()));
    end if;
    if new.joined_at not between '2000-01-01' and new.last_heartbeat then
        new.joined_at := new.last_heartbeat;
    end if;
    return new;
end $$;
comment on function guard_quote_session() is 'lets nobody write sessions of others, or such as never end';

create function quote_sessions_guarded(sessions regclass) returns boolean
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_trigger t where t.tgrelid = sessions and t.tgname = 'trg_guard_quote_session' and t.tgenabled = 'O'
        and t.tgtype = 31 and t.tgqual is null and t.tgattr = '' and t.tgfoid = '@extschema@.guard_quote_session()'::regprocedure)
$$;
comment on function quote_sessions_guarded(regclass) is 'true when a presence table has its guard';

-- Who has a quote open. Unlogged: a crash of the server ends every session anyway. Room on each page and no index on
-- what a heartbeat writes, so that a heartbeat is a heap-only update.
create function create_active_quote_sessions(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sessions text := format('%I.active_quote_sessions', target_schema);
begin
    if not @extschema@.quote_relation_stands(sessions, 'r'::"char", target_owner) then
        execute format($ddl$
            create unlogged table %s (
                id              uuid        not null,
                tenant_id       uuid        not null,
                session_id      uuid        not null,
                quote_id        uuid        not null,
                user_id         uuid        not null,
                user_name       text,
                user_email      text,
                joined_at       timestamptz not null,
                last_heartbeat  timestamptz not null,
                current_line_id uuid,
                current_field   varchar(63),
                cursor_position integer,
                is_editing      boolean     not null,
                status          varchar(20) not null,
                constraint active_quote_sessions_pkey primary key (id),
                constraint active_quote_sessions_session unique (session_id),
                constraint active_quote_sessions_status check (status in ('VIEWING', 'EDITING', 'IDLE')),
                constraint active_quote_sessions_cursor check (cursor_position >= 0)
            ) with (fillfactor = 50)$ddl$, sessions);
        execute format('create index active_quote_sessions_quote on %s (quote_id)', sessions);
        execute format('alter table %s owner to %I', sessions, target_owner);
        perform @extschema@.close_quote_table(sessions::regclass), @extschema@.comment_active_quote_sessions(sessions::regclass);
    end if;
    perform @extschema@.protect_quote_table(sessions::regclass, 'quote_sessions_tenant_isolation'::name);
    if not @extschema@.quote_sessions_guarded(sessions::regclass) then
        execute format('create or replace trigger trg_guard_quote_session before insert or update or delete on %s
            for each row execute function @extschema@.guard_quote_session()', sessions);
        execute format('alter table %s enable trigger trg_guard_quote_session', sessions);
        execute format('comment on trigger trg_guard_quote_session on %s is %L', sessions, 'who acts, how long a name is, and no time that never comes');
    end if;
    return sessions::regclass;
end $$;
comment on function create_active_quote_sessions(name, name) is 'creates the presence table of an attached pair of tables';

create function comment_active_quote_sessions(sessions regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in select * from (values
        ('id', 'key of the row, UUIDv7'),
        ('tenant_id', 'tenant of the quote; row security compares it'),
        ('session_id', 'one browser tab or client; joining again with it moves the session'),
        ('quote_id', 'the quote that is open'),
        ('user_id', 'who'),
        ('user_name', 'name to show'),
        ('user_email', 'address to show'),
        ('joined_at', 'when the session joined'),
        ('last_heartbeat', 'last sign of life by the database''s clock; stale after 30 seconds'),
        ('current_line_id', 'line that has the focus'),
        ('current_field', 'field that has the focus'),
        ('cursor_position', 'caret in the field, in UTF-16 code units'),
        ('is_editing', 'true while something is being typed'),
        ('status', 'VIEWING, EDITING or IDLE')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', sessions, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', sessions, 'who has which quote open; rows without a heartbeat for 30 seconds are gone from every list');
end $$;
comment on function comment_active_quote_sessions(regclass) is 'describes the presence table and its columns';
