-- Who has a quote open: the table that attach makes, and what it must have.

-- Keys and indexes without which joining fails, rows come twice or every list reads all sessions; something else may have taken their names.
create function quote_session_keys_missing(sessions regclass) returns table (problem text, is_key boolean, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with named as (
        select k.name, coalesce(
            (select format('alter table %s drop constraint %I; ', sessions, k.name) from pg_constraint c where (c.conrelid, c.conname) = (sessions, k.name)),
            (select format('drop index %s; ', x.oid::regclass) from pg_index i join pg_class x on x.oid = i.indexrelid
                where i.indrelid = sessions and x.relname = k.name), '') as cleared,
            exists (select from pg_class t join pg_class x on x.relnamespace = t.relnamespace
                left join pg_index i on i.indexrelid = x.oid where t.oid = sessions and x.relname = k.name and i.indrelid is distinct from sessions) as is_taken
        from unnest('{active_quote_sessions_pkey,active_quote_sessions_session,active_quote_sessions_quote}'::name[]) k (name))
    select 'no primary key', true, format('%salter table %s add %sprimary key (id);', n.cleared, sessions, case when not n.is_taken then 'constraint active_quote_sessions_pkey ' end)
    from named n
    where n.name = 'active_quote_sessions_pkey' and not exists (select from pg_index i where i.indrelid = sessions and i.indisprimary and i.indisvalid)
    union all
    -- As ON CONFLICT (session_id) finds it.
    select 'nothing that keeps a session unique', true, format('%salter table %s add %sunique (session_id);', n.cleared, sessions,
        case when not n.is_taken then 'constraint active_quote_sessions_session ' end)
    from named n
    where n.name = 'active_quote_sessions_session' and not exists (
        select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (i.indrelid, i.indkey[0]) and a.attname = 'session_id'
        where i.indrelid = sessions and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indnkeyatts = 1)
    union all
    select 'no index on quote_id', false, format('%screate index %son %s (quote_id);', n.cleared, case when not n.is_taken then 'active_quote_sessions_quote ' end, sessions)
    from named n
    where n.name = 'active_quote_sessions_quote' and not exists (
        select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (i.indrelid, i.indkey[0]) and a.attname = 'quote_id'
        join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
        where i.indrelid = sessions and i.indisvalid and i.indpred is null and m.amname in ('btree', 'hash'))
$$;
comment on function quote_session_keys_missing(regclass) is 'keys and indexes that a presence table lost, and what brings them back';

-- Who has a quote open. Unlogged: a crash of the server ends every session anyway. Room on each page and no index on
-- what a heartbeat writes, so that a heartbeat is a heap-only update.
create function create_active_quote_sessions(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sessions text := format('%I.active_quote_sessions', target_schema);
    repairs text[];
    repair text;
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
    repairs := array(select k.repair from @extschema@.quote_session_keys_missing(sessions::regclass) k);
    if repairs <> '{}' then
        begin
            foreach repair in array repairs loop
                execute repair;
            end loop;
        exception when unique_violation then
            -- Nothing is deleted here: triggers of the owner would run with the rights of whoever attaches.
            raise exception 'a session stands in % twice', sessions using errcode = 'unique_violation',
                detail = 'It has lost the key that keeps sessions unique.', hint = format('Empty it, and attach again: delete from %s; Who is there joins again.', sessions);
        end;
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
    execute format('comment on table %s is %L', sessions, @extschema@.quote_table_comment('active_quote_sessions'::name));
end $$;
comment on function comment_active_quote_sessions(regclass) is 'describes the presence table and its columns';
