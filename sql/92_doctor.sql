-- quote_collab_doctor(): what a careful DBA would look at, each with a hint that mends it. Reads only; also on a standby.
create type @extschema@.quote_collab_check as (check_name text, severity text, message text, hint text);
comment on type @extschema@.quote_collab_check is 'one finding of quote_collab_doctor()';

-- ok, or a finding of a severity when the condition does not hold; null counts as not holding.
create function quote_collab_verdict(check_name text, holds boolean, severity text, message text, hint text) returns quote_collab_check
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when holds then (check_name, 'ok', '', '')::@extschema@.quote_collab_check
        else (check_name, severity, message, hint)::@extschema@.quote_collab_check end
$$;
comment on function quote_collab_verdict(text, boolean, text, text, text) is 'one line of quote_collab_doctor()';

-- The attached tables: columns and triggers as attach left them.
create function quote_collab_doctor_tables() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    s @extschema@.quote_collab_settings;
    target regclass;
    kind text;
    expected text[];
    name text;
    missing text;
begin
    for s in select * from @extschema@.quote_collab_settings order by attached_at loop
        name := format('%I.%I', s.table_schema, s.table_name);
        kind := case s.entity when 'QUOTE' then 'quote' else 'quote_line' end;
        target := @extschema@.quote_collab_table(s);
        expected := array[format('trg_increment_%s_version', kind), format('trg_capture_%s_change', kind),
            format('trg_flush_%s_changes', kind), format('trg_%s_%s_truncate', s.truncation, kind)];
        return next @extschema@.quote_collab_verdict('table exists: ' || name, target is not null, 'error',
            'the attached table is gone', 'select detach_quote_collaboration();');
        continue when target is null;
        select string_agg(c.value, ', ') into missing from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing), 'select attach_quote_collaboration();');
        select string_agg(t.name, ', ') into missing
        from unnest(expected) t (name)
        where not exists (select from pg_trigger g where g.tgrelid = target and g.tgname = t.name);
        return next @extschema@.quote_collab_verdict('triggers present: ' || name, missing is null, 'error',
            format('changes are not recorded, these triggers are missing: %s', missing), 'select attach_quote_collaboration();');
        select string_agg(g.tgname, ', ') into missing from pg_trigger g
        where g.tgrelid = target and g.tgname = any (expected) and g.tgenabled <> case when s.replicated_history then 'O' else 'A' end::"char";
        return next @extschema@.quote_collab_verdict(case when s.replicated_history then 'triggers enabled: ' else 'triggers enabled always: ' end || name,
            missing is null, 'error', format('these triggers are disabled, or differ on replicated rows from what attach was told: %s', missing),
            'select attach_quote_collaboration();');
        select string_agg(t.relid::text, ', ') into missing from pg_partition_tree(target) t join pg_class c on c.oid = t.relid
        where c.relkind in ('r', 'p') and not exists (select from pg_trigger g where g.tgrelid = t.relid and g.tgname = expected[4]);
        return next @extschema@.quote_collab_verdict('truncate guarded on partitions: ' || name, missing is null, 'warning',
            format('a TRUNCATE that names one of these partitions leaves no history: %s', missing), 'select attach_quote_collaboration();');
        select string_agg(g.tgname, ', ') into missing from pg_trigger g
        where g.tgrelid = target and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 19 = 19
            and g.tgname > format('trg_increment_%s_version', kind);
        return next @extschema@.quote_collab_verdict('version stamped last: ' || name, missing is null, 'warning',
            format('these triggers may change a row after its version was decided: %s', missing),
            'Rename them so that they sort before trg_increment.');
        return next @extschema@.quote_collab_verdict('row security on the table: ' || name,
            (select c.relrowsecurity and c.relforcerowsecurity from pg_class c where c.oid = target), 'warning',
            'only the functions of the extension keep tenants apart here; SQL users with rights on the table see all',
            format('alter table %s enable row level security, force row level security; and a policy on the tenant', name));
    end loop;
end $$;
comment on function quote_collab_doctor_tables() is 'doctor: the attached tables';

-- The audit log and what delivers it.
create function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := to_regclass(format('%I.quote_changes', target_schema));
    sessions regclass := to_regclass(format('%I.active_quote_sessions', target_schema));
    found_rows boolean;
    at timestamptz;
    lag interval;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', 'select attach_quote_collaboration();');
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month',
        to_regclass(format('%I.quote_changes_%s', target_schema, to_char(now() at time zone 'UTC', 'YYYY_MM'))) is not null, 'error',
        'rows go to the default partition', 'select quote_collab_maintenance();');
    return next @extschema@.quote_collab_verdict('partition of next month',
        to_regclass(format('%I.quote_changes_%s', target_schema, to_char((now() + interval '1 month') at time zone 'UTC', 'YYYY_MM'))) is not null,
        'warning', 'nobody creates partitions ahead', 'select quote_collab_maintenance(); and preload the library or run it from cron');
    execute format('select exists (select from %I.quote_changes_default)', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('default partition empty', not found_rows, 'warning',
        'rows lie in the default partition: a month had no partition when they were written',
        'Move them out, create the partition, insert them again.');
    return next @extschema@.quote_collab_verdict('positions left',
        (select coalesce(q.last_value, 0) < 4000000000000000000 from pg_sequences q where q.schemaname = target_schema and q.sequencename = 'quote_changes_position_seq'),
        'error', 'the sequence of positions nears its end', 'Start a new log: detach, rename quote_changes, attach.');
    execute format('select max(b.cur_at) from %I.quote_relay_batch b where b.no > 0', target_schema) into at;
    execute format('select now() - max(c.changed_at) from %I.quote_changes c where c.changed_at > now() - interval ''1 day'' and c.changed_at > $1 + interval ''30 seconds''
        and c.conflict_resolution is distinct from ''REJECTED''', target_schema) into lag using coalesce(at, '-infinity');
    return next @extschema@.quote_collab_verdict('relay keeps up', lag is null or lag < interval '30 seconds', 'warning',
        format('the newest change is %s old and no gateway has cut a batch since', lag), 'Look at the /health of the gateway.');
    execute format('select l.expires_at from %I.quote_relay_lease l', target_schema) into at;
    return next @extschema@.quote_collab_verdict('a gateway is connected', at > now(), 'warning', 'no gateway holds the lease: events wait in quote_changes', 'Start the gateway.');
    -- Sessions are unlogged: a standby has none.
    found_rows := false;
    if not pg_is_in_recovery() then
        execute format('select exists (select from %s x where x.last_heartbeat < now() - @extschema@.quote_session_ttl() * 3)', sessions) into found_rows;
    end if;
    return next @extschema@.quote_collab_verdict('stale sessions swept', not found_rows, 'warning', 'nobody calls quote_collab_maintenance()',
        'Preload the library, run a gateway, or call select quote_collab_maintenance(); from cron.');
    execute format('select exists (select from %1$I.quote_changes c where c.changed_at between now() - interval ''1 day'' and now() - interval ''5 minutes''
        and not pg_visible_in_snapshot(c.xid, (select s.cur from %1$I.quote_changes_seals s order by s.no desc limit 1)))', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed', 'select seal_quote_history();');
    return next @extschema@.quote_collab_verdict('seals signed as configured', @extschema@.quote_seal_key_problem() is null, 'error',
        format('seals are not signed with quote_collab.seal_key: %s', @extschema@.quote_seal_key_problem()),
        'Set it to what openssl rand -base64 32 prints, preload the library and restart.');
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        'archived history is not as it was sealed, and is kept although drop_after lets it go',
        'See what select * from verify_quote_history() finds, keep its findings, and take the partitions away by hand.');
    return next @extschema@.quote_collab_verdict('history bounded',
        (select count(*) < 61 from pg_inherits i where i.inhparent = log), 'warning', 'the log holds more than 5 years', 'select archive_quote_changes(''24 months'');');
end $$;
comment on function quote_collab_doctor_history(name) is 'doctor: the audit log and its delivery';
