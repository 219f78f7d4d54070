-- The server around it.

-- What has sessions like this one begin with another value of a setting: taken away where it is set for the role or the database, changed for the
-- server where it is not.
create function quote_setting_repair(option text, change text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select string_agg(format('alter %s reset %s;', concat_ws(' in ', 'role ' || coalesce(quote_ident(r.rolname), case when s.setdatabase = 0 then 'all' end),
            'database ' || quote_ident(d.datname)), option), ' ')
        from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
        where (s.setrole = 0 or r.rolname = session_user) and (s.setdatabase = 0 or d.datname = current_database())
            and exists (select from unnest(s.setconfig) c (setting) where starts_with(lower(c.setting collate "C"), option || '='))),
        format('alter system %s; select pg_reload_conf();', change))
$$;
comment on function quote_setting_repair(text, text) is 'doctor: what gives sessions another value of a setting';

create function quote_collab_doctor_server() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    version integer := current_setting('server_version_num')::integer;
    oldest integer := case version / 10000 when 15 then 150014 when 16 then 160010 when 17 then 170006 when 18 then 180000 end;
    available text;
    installed text;
begin
    return next @extschema@.quote_collab_verdict('listeners are woken', current_setting('quote_collab.notify', true) is distinct from 'off', 'warning',
        'quote_collab.notify is off: readers only poll', @extschema@.quote_setting_repair('quote_collab.notify'::text, 'reset quote_collab.notify'::text));
    return next @extschema@.quote_collab_verdict('no old prepared transaction',
        not exists (select from pg_prepared_xacts x where x.prepared < now() - interval '1 hour'), 'warning',
        'a transaction was prepared an hour ago and holds its locks', 'commit prepared or rollback prepared; see pg_prepared_xacts.');
    return next @extschema@.quote_collab_verdict('notification queue', pg_notification_queue_usage() < 0.5, 'error',
        format('the queue of NOTIFY is %s %% full: a listener sits in an open transaction', round((pg_notification_queue_usage() * 100)::numeric)),
        'End the oldest transaction of a listening session; see pg_stat_activity.');
    return next @extschema@.quote_collab_verdict('server patch level', version >= coalesce(oldest, version), 'warning',
        format('PostgreSQL %s lacks fixes of row security', current_setting('server_version')), 'Install the latest minor release.');
    select e.extversion, v.default_version into installed, available from pg_extension e
    left join pg_available_extensions v on v.name = e.extname where e.extname = 'quote_collab_ext';
    return next @extschema@.quote_collab_verdict('extension up to date', installed = coalesce(available, installed), 'warning',
        format('version %s is installed, %s is available', installed, available), coalesce(@extschema@.quote_files_hint(installed, available),
            'alter extension quote_collab_ext update; and then select attach_quote_collaboration();'));
    return next @extschema@.quote_collab_doctor_library();
    return next @extschema@.quote_collab_verdict('survives a power cut',
        current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on', 'error',
        'fsync or full_page_writes is off: a crash loses or corrupts prices', 'alter system set fsync = on; alter system set full_page_writes = on; select pg_reload_conf();');
    return next @extschema@.quote_collab_verdict('commits are durable', current_setting('synchronous_commit') <> 'off', 'warning',
        'synchronous_commit is off: a crash takes back what users saw saved', @extschema@.quote_setting_repair('synchronous_commit'::text, 'set synchronous_commit = on'::text));
    return next @extschema@.quote_collab_verdict('transaction ids left', (select age(d.datfrozenxid) < 1500000000 from pg_database d where d.datname = current_database()),
        'error', 'this database is close to transaction id wraparound', 'vacuum freeze;');
    return next @extschema@.quote_collab_verdict('encoding', getdatabaseencoding() = 'UTF8', 'error', 'the database is not in UTF8', 'Create it anew in UTF8.');
    return query select * from @extschema@.quote_collab_doctor_writers(@extschema@.quote_library_preloaded());
    return next @extschema@.quote_collab_doctor_filters();
    return query select * from @extschema@.quote_collab_doctor_processes(@extschema@.quote_library_preloaded());
end $$;
comment on function quote_collab_doctor_server() is 'doctor: the server';

-- What the server's configuration sets, where a session may have set it otherwise; null where it does not, or the caller may not see it.
create function quote_file_setting(option text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select f.setting from pg_file_settings f where f.name = option and f.applied order by f.seqno desc limit 1);
exception when insufficient_privilege then
    return null;
end $$;
comment on function quote_file_setting(text) is 'doctor: what the configuration of the server sets';

-- With which setting do sessions of a role begin here? What is set for the role in this database counts before what is set for the role, for the
-- database and for all; then the server's configuration. 0: any role.
create function quote_role_default(role oid, option text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select split_part(c.setting, '=', 2) from pg_db_role_setting s cross join lateral unnest(s.setconfig) c (setting)
        where s.setrole in (role, 0) and (s.setdatabase = 0 or s.setdatabase = (select d.oid from pg_database d where d.datname = current_database()))
            and starts_with(c.setting, option || '=')
        order by s.setrole = 0, s.setdatabase = 0 limit 1), (
        select case when s.source in ('configuration file', 'command line', 'environment variable') then s.setting
            else coalesce(@extschema@.quote_file_setting(option), s.boot_val) end
        from pg_settings s where s.name = option))
$$;
comment on function quote_role_default(oid, text) is 'doctor: the setting with which sessions of a role begin';

-- Background workers write whatever the default is. A gateway does not, nor does what calls maintenance where neither of them does.
create function quote_collab_doctor_writers(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_logins());
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', '),
        string_agg(format('alter role %I in database %I set default_transaction_read_only = off;', r.rolname, current_database()), ' ')
    into names, hints from pg_roles r where r.oid = any (gateways) and @extschema@.quote_role_default(r.oid, 'default_transaction_read_only')::boolean;
    if gateways = '{}' and preloaded is not true and @extschema@.quote_role_default(0::oid, 'default_transaction_read_only')::boolean then
        names := 'whoever calls maintenance';
        hints := 'Preload the library, or call it from cron with begin read write; select @extschema@.quote_collab_maintenance(); commit;';
    end if;
    return next @extschema@.quote_collab_verdict('transactions may write', names is null, 'warning',
        format('default_transaction_read_only is on, so that maintenance, saves and the relay fail, for %s', names), hints);
end $$;
comment on function quote_collab_doctor_writers(boolean) is 'doctor: whether gateways and maintenance begin transactions that may write';

-- Where row_security is off, PostgreSQL refuses what a policy would filter, and with it all history, to whoever is bound by
-- policies.
create function quote_collab_doctor_filters() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    all_are boolean := not @extschema@.quote_role_default(0::oid, 'row_security')::boolean;
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', '),
        string_agg(format('alter role %I in database %I set row_security = on;', r.rolname, current_database()), ' ')
    into names, hints from pg_roles r
    where r.oid in (select s.setrole from pg_db_role_setting s cross join lateral unnest(s.setconfig) c (setting) where starts_with(c.setting, 'row_security='))
        and r.rolcanlogin and not r.rolsuper and not r.rolbypassrls and not @extschema@.quote_role_default(r.oid, 'row_security')::boolean
        and exists (select from @extschema@.quote_collab_settings t
            where has_table_privilege(r.oid, to_regclass(format('%I.%I', t.table_schema, t.table_name)), 'select, insert, update, delete'));
    return @extschema@.quote_collab_verdict('rows are filtered', not all_are and names is null, 'warning',
        format('row_security is off, so that what has row security is refused, the history above all, for %s', case when all_are then 'every role' else names end),
        concat_ws(' ', case when all_are then format('alter database %I set row_security = on;', current_database()) end, hints));
end $$;
comment on function quote_collab_doctor_filters() is 'doctor: whether row security filters rows, or refuses who asks';

-- Null where the caller may see neither what the library nor what the server says.
create function quote_library_preloaded() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if has_function_privilege('@extschema@.quote_tenant_guard()', 'execute') then
        return (@extschema@.quote_tenant_guard() ->> 'preloaded')::boolean;
    end if;
    return (select position('quote_collab_ext' in s.setting) > 0 from pg_settings s where s.name = 'shared_preload_libraries');
end $$;
comment on function quote_library_preloaded() is 'doctor: whether the server preloads the library; null when that is kept from the caller';

create function quote_collab_doctor_processes(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    notify text := coalesce(current_setting('quote_collab.notify', true), 'auto');
    -- Of the processes of others the rest see the number alone.
    sees_processes boolean := pg_has_role('pg_read_all_stats', 'usage');
    unseen text := format('processes of others are hidden from %s', current_user);
    see_processes text := format('grant pg_read_all_stats to %I;', current_user);
    -- One place is the keeper's, which comes and goes.
    is_woken boolean := exists (select from pg_stat_activity a where a.backend_type = 'quote_collab waker' and a.datname = current_database())
        or (select count(*) from pg_stat_activity a where a.backend_type <> all (array['client backend', 'autovacuum launcher', 'autovacuum worker',
                'logger', 'archiver', 'startup', 'checkpointer', 'background writer', 'walwriter', 'walsender', 'walreceiver', 'walsummarizer',
                'slotsync worker', 'io worker', 'standalone backend']))
            < current_setting('max_worker_processes')::integer - 1;
    names text;
begin
    if preloaded is null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('settings of the server are hidden from %s', current_user),
            format('grant pg_read_all_settings to %I;', current_user))).* from unnest(array['library preloaded', 'transactions can be prepared']) c (name);
    else
        return next @extschema@.quote_collab_verdict('library preloaded', preloaded, 'warning',
            'a NOTIFY inside each writing transaction holds a lock of the whole cluster through the flush',
            'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
        return next @extschema@.quote_collab_verdict('transactions can be prepared',
            current_setting('max_prepared_transactions') = '0' or notify = 'off'
                or preloaded and (notify = 'worker' or notify = 'auto' and (is_woken or not sees_processes)), 'warning',
            'a transaction that notifies cannot be prepared', case
                when notify = 'transaction' and preloaded then @extschema@.quote_setting_repair('quote_collab.notify'::text, 'set quote_collab.notify = worker'::text)
                else 'Preload the library; where it is, raise max_worker_processes, or set quote_collab.notify to worker.' end);
    end if;
    if preloaded is not false and not pg_is_in_recovery() and not sees_processes then
        return query select (@extschema@.quote_collab_unchecked(c.name, unseen, see_processes)).*
        from unnest(array['background worker alive', 'background worker free']) c (name);
    else
        return next @extschema@.quote_collab_verdict('background worker alive', not coalesce(preloaded, false) or pg_is_in_recovery()
                or exists (select from pg_stat_activity a where a.backend_type = 'quote_collab launcher'), 'error',
            'the library is preloaded and its launcher does not run', 'Look into the server''s log; raise max_worker_processes.');
        return next @extschema@.quote_collab_verdict('background worker free', not coalesce(preloaded, false) or pg_is_in_recovery()
                or notify in ('transaction', 'off') or is_woken, 'warning',
            'no background worker is left for this database: its transactions notify by themselves or, by quote_collab.notify, nobody',
            format('alter system set max_worker_processes = %s; then restart.', current_setting('max_worker_processes')::integer
                + greatest(current_setting('max_worker_processes')::integer, (select count(*) from pg_database d where d.datallowconn))));
    end if;
    if not sees_processes then
        return next @extschema@.quote_collab_unchecked('no hour-long writer', unseen, see_processes);
        return;
    end if;
    select string_agg(a.pid::text, ', ') into names from pg_stat_activity a
    where a.datname = current_database() and a.backend_xid is not null and a.xact_start < now() - interval '1 hour';
    return next @extschema@.quote_collab_verdict('no hour-long writer', names is null, 'warning',
        format('these sessions write in a transaction that is older than an hour: %s', names), 'select pg_terminate_backend(...);');
end $$;
comment on function quote_collab_doctor_processes(boolean) is 'doctor: the processes of the server';

-- One part of it: where that fails, the others go on.
create function quote_collab_doctor_part(part text, home name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    case part
        when 'server' then return query select * from @extschema@.quote_collab_doctor_server();
        when 'tables' then return query select * from @extschema@.quote_collab_doctor_tables();
        when 'history' then return query select * from @extschema@.quote_collab_doctor_history(home);
        when 'rows' then return query select * from @extschema@.quote_collab_doctor_rows(home);
        when 'objects' then return query select * from @extschema@.quote_collab_doctor_objects(home);
        when 'security' then return query select * from @extschema@.quote_collab_doctor_security(home);
        when 'grants' then return query select * from @extschema@.quote_collab_doctor_grants(home);
        when 'tenants' then return query select * from @extschema@.quote_collab_doctor_tenants();
        else raise exception 'the doctor has no such part' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(part, 63)), hint = 'Its parts are server, tables, history, rows, objects, security, grants and tenants.';
    end case;
exception
    when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Run it as a superuser.');
    when undefined_table or undefined_column or undefined_function or wrong_object_type then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, @extschema@.quote_attach_statement());
    -- The transaction of the caller is not one that sees this.
    when serialization_failure or invalid_transaction_state then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Ask again, in a transaction of its own: begin isolation level read committed.');
    when insufficient_resources then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Raise what the message names, and ask again.');
end $$;
comment on function quote_collab_doctor_part(text, name) is 'doctor: one part of its checks';

-- What is to be done about a table of a stranger. One with the key of ours is ours in other hands, or made to look so.
create function quote_stranger_hint(stranger regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p' and k.conname = c.relname || '_pkey'
            and c.relname in (select h.name from @extschema@.quote_home_tables() h))
        then format('If an administrator gave it away: alter table %s owner to %I; if not: ', stranger, coalesce((
            select s.owners[1] from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' and s.owners <> '{}' order by s.attached_at limit 1), current_user)) else '' end
        || format('alter table %s rename to %I;', stranger, left('not_ours_' || c.relname, 63))
    from pg_class c where c.oid = stranger
$$;
comment on function quote_stranger_hint(regclass) is 'doctor: what to do about a relation of a stranger under a name of ours';

-- Everything at once, but no table of a stranger is read: that would run his code. Not for PUBLIC: it tells how this server is set up. Its
-- parts are: they ask with the rights of the caller, so that granting this one is enough.
create function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
set quote_all_identifiers = off
as $$
declare
    home name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
    part text;
    strange text;
    astray text;
    hints text;
    is_noted boolean;
begin
    return next @extschema@.quote_collab_verdict('attached', home is not null, 'error', 'quote collaboration is not attached',
        'select @extschema@.attach_quote_collaboration();');
    if home is not null then
        select string_agg(format('%s of %s', t.relation, pg_get_userbyid(c.relowner)), ', ' order by c.relname),
            string_agg(@extschema@.quote_stranger_hint(t.relation), ' ' order by c.relname)
        into strange, hints from @extschema@.strange_quote_tables() t (relation) join pg_class c on c.oid = t.relation;
        if strange is not null and @extschema@.quote_settings_restored() then
            hints := @extschema@.quote_attach_statement();
        end if;
        return next @extschema@.quote_collab_verdict('tables are those of attach', strange is null, 'error',
            format('these took the names of attached tables or of the history, and nothing more is checked: %s', strange), hints);
        select string_agg(a.relation::text, ', '), string_agg(@extschema@.quote_relation_return(a.relation, home, a.name), ' ')
        into astray, hints from @extschema@.quote_relations_astray(home) a;
        return next @extschema@.quote_collab_verdict('history in its place', astray is null, 'error',
            format('these were renamed or moved, where nothing finds them: %s', astray), hints);
        is_noted := not exists (select from @extschema@.quote_collab_settings s where s.owners = '{}');
        return next @extschema@.quote_collab_verdict('owners are noted', is_noted, 'warning', 'the settings come from a release that did not note to whom the tables belong',
            case when not is_noted then @extschema@.quote_attach_statement() end);
    end if;
    foreach part in array '{server,tables,history,rows,objects,security,grants,tenants}'::text[] loop
        if home is not null and strange is null or part = 'server' then
            return query select p.check_name, p.severity, p.message, coalesce(p.hint, @extschema@.quote_attach_statement())
                from @extschema@.quote_collab_doctor_part(part, home) p;
        end if;
    end loop;
end $$;
comment on function quote_collab_doctor() is 'checks everything that can be wrong, each with a hint that mends it';
revoke execute on function quote_collab_doctor() from public;
