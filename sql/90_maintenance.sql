-- Everything that must happen now and then: stale sessions, partitions ahead, old batches, retention, seals, summaries. Safe to call by many at
-- once: whoever finds another at it does nothing. The gateway calls it every 10 seconds; cron can.
create function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass;
    lease text := @extschema@.quote_relay_table('quote_relay_lease');
    batch text := @extschema@.quote_relay_table('quote_relay_batch');
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
    sealed bigint := 0;
    archived integer := 0;
    released integer := 0;
    alone boolean;
    patience text := current_setting('lock_timeout');
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            hint = 'Begin one that may write: begin read write.';
    elsif patience = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    perform @extschema@.note_quote_owners();
    -- What keeps one thing from being done keeps nothing else. Whoever may write presence may lock it, to begin with.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    -- A lock that nobody takes without rights on the batches; who cuts or reads them is not in its way.
    begin
        perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
        execute format('lock table %s in share update exclusive mode nowait', batch);
        alone := true;
    exception
        when lock_not_available then
            alone := false;
        when others then
            alone := true;
            raise warning 'the batches of the event feed are not locked: %', sqlerrm;
    end;
    -- In a block of its own: a lock goes with what is rolled back.
    begin
        if alone then
            perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
            execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
                and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
            get diagnostics dropped = row_count;
        end if;
    exception when others then
        raise warning 'old batches are not dropped: %', sqlerrm;
    end;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        raise warning 'the history is not sealed: %', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        made := @extschema@.create_quote_changes_partitions(log, 3);
        begin
            if made = 0 then
                made := @extschema@.place_quote_strays(log, 1, 1073741824::bigint);
            end if;
        exception
            when lock_not_available or check_violation then
                -- In use, or somebody added to a month that was over: another time.
                made := 0;
            when others then
                made := 0;
                raise warning 'rows stay in the default partition of the audit log: %', sqlerrm;
        end;
        if made = 0 then
            select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
        end if;
        begin
            perform @extschema@.summarize_quote_changes(log);
        exception when others then
            raise warning 'times of the audit log are not summarized: %', sqlerrm;
        end;
    end if;
    perform set_config('lock_timeout', patience, true);
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
comment on function quote_collab_maintenance() is 'sweeps stale sessions, creates partitions ahead, drops old batches, archives and seals the audit log';
