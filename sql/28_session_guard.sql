-- What keeps sessions as the functions would write them, whoever writes them.

-- Names and addresses are shown to everybody who has the quote open, and kept by every gateway: SQLSTATE 22001 where one is longer than 255
-- characters.
create function require_quote_session_texts(user_name text, user_email text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if greatest(char_length(user_name), char_length(user_email)) > 255 then
        raise exception 'the % is too long', case when char_length(user_name) > 255 then 'name of the user' else 'address of the user' end
            using errcode = 'string_data_right_truncation',
            detail = format('It has %s characters.', greatest(char_length(user_name), char_length(user_email))), hint = 'Pass at most 255 characters.';
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
    verified uuid := @extschema@.verified_quote_user();
    known record;
begin
    if verified is not null and (tg_op <> 'DELETE' and new.user_id <> verified
            or tg_op <> 'INSERT' and old.user_id <> verified and @extschema@.quote_session_lives(old.last_heartbeat)) then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            detail = 'Whoever is verified by a token joins, changes and ends sessions of his own.',
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
