-- How long history is kept, by the options of attach. The log is one for all pairs: the longest age that they name counts,
-- and as long as one of them names none, nothing is moved or dropped by itself.
create function quote_history_policy(out archive_after interval, out drop_after interval)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when bool_and(s.archive_after is not null) then max(s.archive_after) end, case when bool_and(s.drop_after is not null) then max(s.drop_after) end
    from @extschema@.quote_collab_settings s where s.entity = 'QUOTE'
$$;
comment on function quote_history_policy(out interval, out interval) is 'ages at which history is archived and dropped by itself; null: never';

-- Archives and drops by that policy, and makes months ready for the archive. It gives way to everybody: what it cannot lock at once it does
-- another time, and what it has proved of a month stays proved. What it locks stays locked to the end of the transaction: one thing at a
-- time, and nothing long behind it. History that could not be dropped, because it is not as it was sealed or something depends on it, is
-- looked at again a day later, since looking takes as long as reading all that is to go. Whatever an ERP puts in the way, an event trigger
-- or a view over a month, is warned of, and keeps nothing else from being done.
create function keep_quote_history(out archived integer, out dropped integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    policy record;
    until timestamptz;
    ready boolean := false;
    tried boolean := false;
begin
    select * into policy from @extschema@.quote_history_policy();
    archived := 0;
    dropped := 0;
    begin
        if policy.archive_after is not null then
            until := @extschema@.quote_archive_end(policy.archive_after);
            ready := @extschema@.prove_quote_months(log, until, 1073741824::bigint);
        end if;
    exception
        when lock_not_available then
            null;
        when others then
            tried := true;
            raise warning 'bounds of months of the audit log are not proved: %', sqlerrm;
    end;
    begin
        if ready and exists (select from @extschema@.quote_months_due(log, until)) then
            tried := true;
            archived := @extschema@.archive_quote_changes(policy.archive_after);
        end if;
    exception
        when lock_not_available then
            null;
        when object_not_in_prerequisite_state then
            tried := false;
        when others then
            raise warning 'quote history is not archived: %', sqlerrm;
    end;
    begin
        if archived = 0 and policy.drop_after is not null and not exists (
            select from @extschema@.quote_collab_settings s where s.drop_refused_at > now() - interval '1 day')
        then
            dropped := @extschema@.drop_archived_quote_changes(policy.drop_after);
            delete from @extschema@.quote_former_versions f where f.ended_at < now() - policy.drop_after;
            update @extschema@.quote_collab_settings s set drop_refused_at = null where s.drop_refused_at is not null;
        end if;
    exception
        when lock_not_available then
            dropped := 0;
        when others then
            dropped := 0;
            update @extschema@.quote_collab_settings s set drop_refused_at = now() where s.entity = 'QUOTE';
            raise warning 'quote history is not dropped: %', sqlerrm using hint = 'See what quote_collab_doctor() and verify_quote_history() say.';
    end;
    begin
        if not tried and dropped = 0 then
            perform @extschema@.note_quote_months(log);
        end if;
    exception
        when lock_not_available then
            null;
        when others then
            raise warning 'bounds of months of the audit log are not noted: %', sqlerrm;
    end;
end $$;
comment on function keep_quote_history(out integer, out integer) is 'archives and drops history by the options of attach';
revoke execute on function keep_quote_history(out integer, out integer) from public;
