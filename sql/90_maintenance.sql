-- Takes the batches of the event feed until the end of the transaction: false when another has them. It is a lock that nobody takes without rights
-- on them; who cuts or reads batches is not in its way. Where it cannot be taken for another reason, maintenance goes on without.
create function lock_quote_batches() returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
    execute format('lock table %s in share update exclusive mode nowait', @extschema@.quote_relay_table('quote_relay_batch'));
    return true;
exception
    when lock_not_available then
        return false;
    when others then
        raise warning 'the batches of the event feed are not locked: %', sqlerrm;
        return true;
end $$;
comment on function lock_quote_batches() is 'takes the batches of the event feed, unless another has them';

-- What helps where sealing failed: a shortage of the server's, or two transactions in each other's way, is no tampering.
create function quote_seal_advice(code text, hint text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case left(code, 2)
        when '53' then coalesce(nullif(hint, ''), 'The server is short of something. Sealing and verifying read all months of log and archive at once.')
        when '40' then 'It is tried again. Call maintenance under read committed: set transaction isolation level read committed.'
        else 'See what select * from verify_quote_history() finds.' end
$$;
comment on function quote_seal_advice(text, text) is 'what helps where sealing failed';

-- Returns how many. The newest batch and that of the lease stay. Looks from the oldest one on, and no further than to the first that is young.
create function drop_old_quote_batches() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    dropped integer;
begin
    perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
    execute format('delete from %1$s b where b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)
        and b.no < coalesce((select y.no from %1$s y where y.cur_at between now() - interval ''24 hours'' and clock_timestamp() order by y.no limit 1), 9223372036854775807)',
        @extschema@.quote_relay_table('quote_relay_batch'), @extschema@.quote_relay_table('quote_relay_lease'));
    get diagnostics dropped = row_count;
    return dropped;
exception when others then
    raise warning 'old batches are not dropped: %', sqlerrm;
    return 0;
end $$;
comment on function drop_old_quote_batches() is 'deletes the batches of the event feed that are older than a day';

-- Creates months ahead, and where there are enough, puts rows of the default partition into theirs; returns how many months were made.
create function extend_quote_log(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    made integer := @extschema@.create_quote_changes_partitions(log, 3);
begin
    begin
        if made = 0 then
            execute format('lock table %s in share update exclusive mode nowait', @extschema@.quote_relay_table('quote_changes_seals'));
            made := @extschema@.place_quote_strays(log, 1, 1073741824::bigint);
        end if;
    exception
        when lock_not_available or check_violation then
            -- In use, or somebody moves rows already or added to a month that was over: another time.
            made := 0;
        when others then
            made := 0;
            raise warning 'rows stay in the default partition of the audit log: %', sqlerrm;
    end;
    return made;
end $$;
comment on function extend_quote_log(regclass) is 'creates the months of the audit log that are needed next';

-- Everything that must happen now and then: stale sessions, partitions ahead, old batches, retention, seals, summaries. Safe to call by many at
-- once: whoever finds another at it does nothing. The gateway calls it every 10 seconds; cron can. What keeps one thing from being done keeps
-- nothing else; nothing is done where the history is not as attach left it.
create function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    log regclass;
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
    sealed bigint := 0;
    archived integer := 0;
    released integer := 0;
    alone boolean;
    leads boolean;
    advice text;
    patience text;
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            detail = 'It makes months ahead, ends stale sessions and seals.', hint = 'Begin one that may write: begin read write.';
    end if;
    patience := @extschema@.bound_quote_patience();
    -- Asked for what it does on the way: a queue of NOTIFY that was full stays full, when all have read it, until somebody asks.
    perform pg_notification_queue_usage();
    begin
        perform @extschema@.note_quote_owners();
    exception when others then
        raise warning 'owners of tables are not noted: %', sqlerrm;
    end;
    -- Whoever may write presence may lock it.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    alone := @extschema@.lock_quote_batches();
    -- Before sealing reads the log.
    leads := alone and @extschema@.try_quote_turn();
    if alone then
        dropped := @extschema@.drop_old_quote_batches();
    end if;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        get stacked diagnostics advice = pg_exception_hint;
        raise warning 'the history is not sealed: %', sqlerrm using hint = @extschema@.quote_seal_advice(sqlstate, advice);
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        begin
            if leads then
                made := @extschema@.extend_quote_log(log);
                if made = 0 then
                    select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
                end if;
            elsif not @extschema@.quote_month_stands(log, @extschema@.quote_month_ahead(now(), 1)) then
                raise warning 'months of the audit log are not made' using detail = 'Another attaches, detaches, or moves months, or keeps quote_collab_settings locked.',
                    hint = 'The default partition takes the rows until the next attempt.';
            end if;
        exception when others then
            raise warning 'months of the audit log are neither made nor moved: %', sqlerrm;
        end;
        begin
            perform @extschema@.summarize_quote_changes(log);
        exception when others then
            raise warning 'times of the audit log are not summarized: %', sqlerrm;
        end;
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
comment on function quote_collab_maintenance() is 'sweeps stale sessions, creates partitions ahead, drops old batches, archives and seals the audit log';
