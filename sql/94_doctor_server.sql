-- The server around it.
create function quote_collab_doctor_server() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    preloaded boolean := position('quote_collab_ext' in current_setting('shared_preload_libraries')) > 0;
    version integer := current_setting('server_version_num')::integer;
    oldest integer := case version / 10000 when 15 then 150014 when 16 then 160010 when 17 then 170006 when 18 then 180000 end;
    available text;
    installed text;
    names text;
begin
    return next @extschema@.quote_collab_verdict('library preloaded', preloaded, 'warning',
        'a NOTIFY inside each writing transaction holds a lock of the whole cluster through the flush',
        'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
    return next @extschema@.quote_collab_verdict('background worker alive', not preloaded or pg_is_in_recovery()
            or exists (select from pg_stat_activity a where a.backend_type = 'quote_collab launcher'), 'error',
        'the library is preloaded and its launcher does not run', 'Look into the server''s log; raise max_worker_processes.');
    return next @extschema@.quote_collab_verdict('listeners are woken', current_setting('quote_collab.notify', true) is distinct from 'off', 'warning',
        'quote_collab.notify is off: readers only poll', 'alter system reset quote_collab.notify;');
    return next @extschema@.quote_collab_verdict('transactions can be prepared',
        current_setting('max_prepared_transactions') = '0' or preloaded and current_setting('quote_collab.notify', true) is distinct from 'transaction'
            or current_setting('quote_collab.notify', true) = 'off', 'warning',
        'a transaction that notifies cannot be prepared', 'Preload the library.');
    return next @extschema@.quote_collab_verdict('no old prepared transaction',
        not exists (select from pg_prepared_xacts x where x.prepared < now() - interval '1 hour'), 'warning',
        'a transaction was prepared an hour ago and holds its locks', 'commit prepared or rollback prepared; see pg_prepared_xacts.');
    return next @extschema@.quote_collab_verdict('notification queue', pg_notification_queue_usage() < 0.5, 'error',
        format('the queue of NOTIFY is %s %% full: a listener sits in an open transaction', round((pg_notification_queue_usage() * 100)::numeric)),
        'End the oldest transaction of a listening session; see pg_stat_activity.');
    select string_agg(a.pid::text, ', ') into names from pg_stat_activity a
    where a.datname = current_database() and a.backend_xid is not null and a.xact_start < now() - interval '1 hour';
    return next @extschema@.quote_collab_verdict('no hour-long writer', names is null, 'warning',
        format('these sessions write in a transaction that is older than an hour: %s', names), 'select pg_terminate_backend(…);');
    return next @extschema@.quote_collab_verdict('server patch level', version >= coalesce(oldest, version), 'warning',
        format('PostgreSQL %s lacks fixes of row security', current_setting('server_version')), 'Install the latest minor release.');
    select e.extversion, v.default_version into installed, available from pg_extension e
    left join pg_available_extensions v on v.name = e.extname where e.extname = 'quote_collab_ext';
    return next @extschema@.quote_collab_verdict('extension up to date', installed = coalesce(available, installed), 'warning',
        format('version %s is installed, %s is available', installed, available), 'alter extension quote_collab_ext update; and, in the same transaction, select attach_quote_collaboration();');
    return next @extschema@.quote_collab_verdict('survives a power cut',
        current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on', 'error',
        'fsync or full_page_writes is off: a crash loses or corrupts prices', 'alter system reset fsync; alter system reset full_page_writes;');
    return next @extschema@.quote_collab_verdict('commits are durable', current_setting('synchronous_commit') <> 'off', 'warning',
        'synchronous_commit is off: a crash takes back what users saw saved', 'alter system reset synchronous_commit;');
    return next @extschema@.quote_collab_verdict('transaction ids left', (select age(d.datfrozenxid) < 1500000000 from pg_database d where d.datname = current_database()),
        'error', 'this database is close to transaction id wraparound', 'vacuum freeze;');
    return next @extschema@.quote_collab_verdict('encoding', getdatabaseencoding() = 'UTF8', 'error', 'the database is not in UTF8', 'Create it anew in UTF8.');
end $$;
comment on function quote_collab_doctor_server() is 'doctor: the server';

-- Everything at once. Not for PUBLIC: it tells how this server is set up.
create function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
begin
    return next @extschema@.quote_collab_verdict('attached', home is not null, 'error', 'quote collaboration is not attached', 'select attach_quote_collaboration();');
    return query select * from @extschema@.quote_collab_doctor_server();
    if home is not null then
        begin
            return query select * from @extschema@.quote_collab_doctor_tables();
            return query select * from @extschema@.quote_collab_doctor_history(home);
            return query select * from @extschema@.quote_collab_doctor_security(home);
            return query select * from @extschema@.quote_collab_doctor_tenants();
        exception when insufficient_privilege or undefined_table then
            return next @extschema@.quote_collab_verdict('everything can be checked', false, 'warning', sqlerrm,
                case sqlstate when '42P01' then 'select attach_quote_collaboration();' else 'Run it as the owner of quote_changes.' end);
        end;
    end if;
end $$;
comment on function quote_collab_doctor() is 'checks everything that can be wrong, each with a hint that mends it';
revoke execute on function quote_collab_doctor(), quote_collab_doctor_server(), quote_collab_doctor_tables(),
    quote_collab_doctor_history(name), quote_collab_doctor_security(name), quote_collab_doctor_tenants() from public;
