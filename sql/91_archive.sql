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
    if not @extschema@.quote_relation_stands(archive, 'p'::"char", log_owner) then
        execute format('create table %s (like %s including all) partition by range (changed_at)', archive, log);
        execute format('comment on table %s is %L', archive, 'audit log of earlier months, moved here by archive_quote_changes(); append-only');
        execute format('alter table %s owner to %I', archive, log_owner);
        perform @extschema@.close_quote_table(archive::regclass);
        perform @extschema@.protect_quote_table(archive::regclass, 'quote_changes_tenant_isolation'::name);
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
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz,
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = log and not i.inhdetachpending) m (month, bounds, month_start, month_end)
    where m.month_end <= until
    order by m.month_start
$$;
comment on function quote_changes_months_before(regclass, timestamptz) is 'partitions of an audit log that ended before a time';

-- Moves the months that ended before now() - older_than to quote_changes_archive, all or none; returns how many. Months
-- that the relay may still need, a day back, stay. Waits at most 5 seconds for its locks, unless lock_timeout says otherwise.
create function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz := least(now() - older_than, now() - interval '1 day');
    needed timestamptz;
    archive regclass;
    part record;
    moved integer := 0;
begin
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select archive_quote_changes(''24 months'').';
    end if;
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    -- What the newest batch of the relay may still have to read.
    execute format('select b.floor_at - interval ''1 day'' from %s b where b.no > 0 order by b.no desc limit 1',
        @extschema@.quote_relay_table('quote_relay_batch')) into needed;
    until := least(until, coalesce(needed, until));
    for part in select * from @extschema@.quote_changes_months_before(log, until) loop
        archive := coalesce(archive, @extschema@.create_quote_changes_archive(log));
        -- Proved before the log is locked, so that attaching it needs no look at the rows.
        execute format('alter table %s add constraint quote_changes_month check (changed_at >= %L and changed_at < %L)',
            part.month, part.month_start, part.month_end);
        execute format('alter table %s detach partition %s', log, part.month);
        execute format('alter table %s attach partition %s %s', archive, part.month, part.bounds);
        execute format('alter table %s drop constraint quote_changes_month', part.month);
        moved := moved + 1;
    end loop;
    return moved;
end $$;
comment on function archive_quote_changes(interval) is 'moves whole months of the audit log to the archive; returns how many';
revoke execute on function archive_quote_changes(interval), create_quote_changes_archive(regclass) from public;
