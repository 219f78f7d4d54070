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

-- Where the history begins once all that is older than a time is gone: with the first day of a month, the oldest that is still there.
create function quote_history_begin(since timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select least(@extschema@.quote_changes_month(since), min(m.month_start))
    from unnest('{quote_changes,quote_changes_archive}'::text[]) k (name)
    cross join lateral @extschema@.quote_changes_months_before(to_regclass(@extschema@.quote_relay_table(k.name)), 'infinity'::timestamptz) m
$$;
comment on function quote_history_begin(timestamptz) is 'where the history begins once all that is older than a time is gone';
revoke execute on function quote_history_begin(timestamptz) from public;

-- Proves bounds of the months of an age, which ended before until. ready: whether all are proved; tried: whether something that is none of ours keeps it
-- from it.
create function prove_due_quote_months(log regclass, age interval, out until timestamptz, out ready boolean, out tried boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    ready := false;
    tried := false;
    until := @extschema@.quote_archive_end(age);
    ready := @extschema@.prove_quote_months(log, until, 1073741824::bigint);
exception
    when lock_not_available then
        null;
    when others then
        tried := true;
        raise warning 'bounds of months of the audit log are not proved: %', sqlerrm;
end $$;
comment on function prove_due_quote_months(regclass, interval, out timestamptz, out boolean, out boolean) is 'maintenance: proves bounds of months of an age';
revoke execute on function prove_due_quote_months(regclass, interval, out timestamptz, out boolean, out boolean) from public;

-- tried: whether what locks the log was done, or kept from being done by something that is none of ours; not where a month is not ready.
create function archive_due_quote_months(age interval, out archived integer, out tried boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    archived := 0;
    tried := true;
    archived := @extschema@.archive_quote_changes(age);
exception
    when lock_not_available then
        null;
    when object_not_in_prerequisite_state then
        tried := false;
    when others then
        raise warning 'quote history is not archived: %', sqlerrm;
end $$;
comment on function archive_due_quote_months(interval, out integer, out boolean) is 'maintenance: archives months of an age';
revoke execute on function archive_due_quote_months(interval, out integer, out boolean) from public;

-- With the months go the versions of rows that were deleted in them: not before, or a version might mean two states of what is still there.
create function drop_due_quote_months(age interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    dropped integer;
begin
    dropped := @extschema@.drop_archived_quote_changes(age);
    delete from @extschema@.quote_former_versions f where f.ended_at < @extschema@.quote_history_begin(now() - age);
    return dropped;
exception
    when lock_not_available then
        return 0;
    when others then
        -- A transaction that looks back says nothing about the history.
        perform @extschema@.note_quote_drop_refused(now()) where sqlstate <> '25000';
        raise warning 'quote history is not dropped: %', sqlerrm using hint = 'See what quote_collab_doctor() and verify_quote_history() say.';
        return 0;
end $$;
comment on function drop_due_quote_months(interval) is 'maintenance: drops archived months of an age; returns how many';
revoke execute on function drop_due_quote_months(interval) from public;

create function note_due_quote_months(log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.note_quote_months(log);
exception
    when lock_not_available then
        null;
    when others then
        raise warning 'bounds of months of the audit log are not noted: %', sqlerrm;
end $$;
comment on function note_due_quote_months(regclass) is 'maintenance: notes bounds of months that are over';
revoke execute on function note_due_quote_months(regclass) from public;

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
    if policy.archive_after is not null then
        select p.until, p.ready, p.tried into until, ready, tried from @extschema@.prove_due_quote_months(log, policy.archive_after) p;
    end if;
    if ready and exists (select from @extschema@.quote_months_due(log, until)) then
        select a.archived, a.tried into archived, tried from @extschema@.archive_due_quote_months(policy.archive_after) a;
    end if;
    if archived = 0 and policy.drop_after is not null and not exists (
        select from @extschema@.quote_collab_settings s where s.drop_refused_at between now() - interval '1 day' and now())
    then
        dropped := @extschema@.drop_due_quote_months(policy.drop_after);
    end if;
    if not tried and dropped = 0 then
        perform @extschema@.note_due_quote_months(log);
    end if;
end $$;
comment on function keep_quote_history(out integer, out integer) is 'archives and drops history by the options of attach';
revoke execute on function keep_quote_history(out integer, out integer) from public;
