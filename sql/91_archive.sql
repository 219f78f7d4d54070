-- The archive: whole months of the audit log, moved by detaching and attaching their partitions. Nothing is copied, and a
-- reader of v_quote_changes_all sees every row at any moment.

create function create_quote_changes_archive(log regclass) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_schema name;
    log_owner name;
    archive text;
    privilege record;
begin
    select n.nspname, r.rolname into log_schema, log_owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner where c.oid = log;
    archive := format('%I.quote_changes_archive', log_schema);
    perform @extschema@.require_quote_relations(log_schema);
    if not @extschema@.quote_relation_stands(archive, 'p'::"char", log_owner) then
        execute format('create table %s (like %s including all excluding defaults) partition by range (changed_at)', archive, log);
        execute format('comment on table %s is %L', archive, @extschema@.quote_table_comment('quote_changes_archive'::name));
        execute format('alter table %s owner to %I', archive, log_owner);
        perform @extschema@.close_quote_table(archive::regclass);
        perform @extschema@.protect_quote_table(archive::regclass, 'quote_changes_tenant_isolation'::name), @extschema@.guard_quote_history(archive::regclass);
        for privilege in
            select @extschema@.quote_grantee(acl.grantee) as role
            from pg_class c cross join lateral aclexplode(c.relacl) acl
            where c.oid = log and acl.privilege_type = 'SELECT' and acl.grantee <> c.relowner
        loop
            execute format('grant select on %s to %s', archive, privilege.role);
        end loop;
        perform @extschema@.create_quote_changes_all_view(log_schema, log_owner);
        perform @extschema@.describe_quote_objects(log_schema);
    end if;
    return archive::regclass;
end $$;
comment on function create_quote_changes_archive(regclass) is 'creates the archive of an audit log';

-- Months of a partitioned log that ended before a time: partition and its bounds.
create function quote_changes_months_before(log regclass, until timestamptz)
returns table (month regclass, bounds text, month_start timestamptz, month_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
    select m.* from (
        select i.inhrelid::regclass, pg_get_expr(c.relpartbound, c.oid),
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''([^'']+)''[)]'))[1]::timestamptz,
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO [(]''([^'']+)''[)]'))[1]::timestamptz
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = log and not i.inhdetachpending) m (month, bounds, month_start, month_end)
    where m.month_end <= until
    order by m.month_start
$$;
comment on function quote_changes_months_before(regclass, timestamptz) is 'partitions of an audit log that ended before a time';

-- Until when months may be archived at an age: what the newest batch of the relay may still have to read stays, a day back.
create function quote_archive_limit(older_than interval) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    needed timestamptz;
begin
    execute format('select b.floor_at - interval ''1 day'' from %s b where b.no > 0 order by b.no desc limit 1',
        @extschema@.quote_relay_table('quote_relay_batch')) into needed;
    return least(now() - older_than, now() - interval '1 day', needed);
end $$;
comment on function quote_archive_limit(interval) is 'until when months of the audit log may be archived at an age';

-- Has a month rows that the relay has not told yet, or that were not sealed a day ago, so that other readers may not have read them? A clock that
-- was behind may have put them there lately. Where nothing was sealed a day ago, it is enough that they are.
create function quote_month_is_awaited(month regclass) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    told pg_snapshot := @extschema@.quote_relay_told(home);
    sealed pg_snapshot := coalesce(@extschema@.quote_sealed_a_day_ago(home), @extschema@.quote_sealed_until(@extschema@.quote_cluster_identifier(), 9223372036854775807::bigint));
begin
    return @extschema@.quote_rows_behind(month, sealed, '-infinity', 'infinity')
        or told is not null and @extschema@.quote_rows_behind(month, told, '-infinity', 'infinity');
end $$;
comment on function quote_month_is_awaited(regclass) is 'whether a month of the audit log has rows that are not told or not sealed';

-- Until when months are archived at an age: the first month that has anything to be told or sealed stays, and those behind it.
create function quote_archive_end(older_than interval) returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz := @extschema@.quote_archive_limit(older_than);
begin
    return coalesce((
        select min(m.month_start) from @extschema@.quote_changes_months_before(log, until) m where @extschema@.quote_month_is_awaited(m.month)), until);
end $$;
comment on function quote_archive_end(interval) is 'until when months of the audit log are archived at an age';

-- Months of the log that ended before a time, and what is known of their bounds: a partition says them itself, but not to the table that it is to
-- be attached to next. A check constraint does: it is noted (false) in a moment under a lock that nobody passes, and proved (true) by
-- reading the month, past which everybody reads and writes. So it takes two transactions, before that of the exchange.
create function quote_months_due(log regclass, until timestamptz)
returns table (month regclass, bounds text, month_start timestamptz, month_end timestamptz, proved boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.*, (select k.convalidated from pg_constraint k where k.conrelid = m.month and k.conname = 'quote_changes_month' and k.contype = 'c')
    from @extschema@.quote_changes_months_before(log, until) m
$$;
comment on function quote_months_due(regclass, timestamptz) is 'months of an audit log that ended before a time, and whether their bounds are proved';

-- Only months that are over: PostgreSQL would look at a check for each row that it inserts.
create function note_quote_months(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    months regclass[] := array(select m.month from @extschema@.quote_months_due(log, now() - interval '1 day') m where m.proved is null);
begin
    if cardinality(months) > 0 then
        perform @extschema@.lock_quote_log(log, months, '{}'::regclass[]);
        perform @extschema@.note_quote_month(m.month, m.month_start, m.month_end, false)
        from @extschema@.quote_months_due(log, now() - interval '1 day') m where m.month = any (months);
    end if;
    return cardinality(months);
end $$;
comment on function note_quote_months(regclass) is 'adds the bounds of months that are over to them, to be proved; returns of how many';
revoke execute on function note_quote_months(regclass) from public;

-- Proves noted bounds, the oldest first, until it has read so many bytes; whether none is left to be proved.
create function prove_quote_months(log regclass, until timestamptz, bytes bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
begin
    for part in select m.month, pg_relation_size(m.month) as size from @extschema@.quote_months_due(log, until) m where not m.proved order by m.month_start loop
        if bytes <= 0 then
            return false;
        end if;
        execute format('alter table %s validate constraint quote_changes_month', part.month);
        bytes := bytes - part.size;
    end loop;
    return true;
end $$;
comment on function prove_quote_months(regclass, timestamptz, bigint) is 'proves the bounds of months of an audit log; whether all that were noted are proved';
revoke execute on function prove_quote_months(regclass, timestamptz, bigint) from public;

-- Moves months from the log, which the caller has locked with them, to the archive.
create function exchange_quote_months(log regclass, months regclass[], until timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    archive regclass := @extschema@.create_quote_changes_archive(log);
    part record;
begin
    for part in select * from @extschema@.quote_months_due(log, until) m where m.month = any (months) loop
        if part.proved is null then
            perform @extschema@.note_quote_month(part.month, part.month_start, part.month_end, true);
        end if;
        execute format('alter table %s detach partition %s', log, part.month);
        execute format('alter table %s attach partition %s %s', archive, part.month, part.bounds);
        execute format('alter table %s drop constraint quote_changes_month, alter column position drop default', part.month);
    end loop;
end $$;
comment on function exchange_quote_months(regclass, regclass[], timestamptz) is 'moves months of a locked audit log to the archive';
revoke execute on function exchange_quote_months(regclass, regclass[], timestamptz) from public;

-- Moves the months that ended before now() - older_than to quote_changes_archive, all or none; returns how many. Months
-- that the relay may still need, a day back, stay. What is not sealed is sealed first. Everybody goes on meanwhile but for the moment of the exchange, which reads no
-- month: what maintenance has noted is proved first; what it has not come to yet, as it does within seconds, is proved in that
-- moment when it is small, and else refused (55000), as is a transaction that looks back (25000). Tries for at most 5 seconds to lock the log, unless lock_timeout says otherwise.
create function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz;
    months regclass[];
    others regclass[];
    newest bigint;
    last_position bigint;
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals,quote_relay_batch}'::text[]);
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be an interval from 0 to 1000 years' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(older_than::text, 'null')), hint = 'For example select archive_quote_changes(interval ''24 months'').';
    end if;
    perform @extschema@.require_quote_months_seen();
    -- Before anything is locked.
    if not exists (select from @extschema@.quote_months_due(log, now() - greatest(older_than, interval '1 day'))) then
        return 0;
    end if;
    perform @extschema@.take_quote_turn();
    if not exists (select from @extschema@.quote_months_due(log, @extschema@.quote_archive_limit(older_than))) then
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.seal_quote_history();
    until := @extschema@.quote_archive_end(older_than);
    months := array(select m.month from @extschema@.quote_months_due(log, until) m);
    if cardinality(months) = 0 then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    elsif (select sum(pg_relation_size(m.month)) > 67108864 from @extschema@.quote_months_due(log, until) m where m.proved is null) then
        raise exception 'months are not ready to be archived' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Their bounds were not noted yet, and to prove them would keep everybody waiting.',
            hint = 'Call select quote_collab_maintenance(), or let it be called, and try again.';
    end if;
    -- Whoever seals has decided where he looks for rows.
    perform @extschema@.lock_quote_seals(log), @extschema@.prove_quote_months(log, until, 9223372036854775807);
    select e.newest, e.last_position into newest, last_position from @extschema@.quote_months_end(months) e;
    others := array(
        select @extschema@.quote_changes_spare(log) union
        select @extschema@.quote_changes_spare(to_regclass(@extschema@.quote_relay_table('quote_changes_archive'))));
    perform @extschema@.lock_quote_log(log, array_remove(others, null) || months, case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then '{}'
        else array_remove(array[to_regclass(@extschema@.quote_relay_table('v_quote_changes_all'))], null) end);
    if @extschema@.quote_archive_end(older_than) < until then
        raise exception 'months were written to while they were locked' using errcode = 'lock_not_available',
            detail = 'Their newest changes are younger than what is to be archived.', hint = 'Try again.';
    end if;
    perform @extschema@.exchange_quote_months(log, months, until), @extschema@.note_quote_log_cut(log, newest, last_position),
        @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
comment on function archive_quote_changes(interval) is 'moves whole months of the audit log to the archive; returns how many';
revoke execute on function archive_quote_changes(interval), create_quote_changes_archive(regclass) from public;
