-- From 0.17.0 to 0.18.0.
-- Functions.
drop function quote_function_grants();
drop function move_quote_strays(regclass, regclass, timestamptz, timestamptz);
-- What left the log: event feeds read the log alone, and a reader must not pass over what it has not read. A member of the extension, which archiving
-- alone writes. In no dump: no cursor outlives one.
create table @extschema@.quote_log_cuts (
    no            bigint      not null generated always as identity,
    log           oid         not null,
    moved_by      xid8        not null,
    newest        xid8        not null,
    shown         pg_snapshot not null,
    last_position bigint      not null,
    moved_at      timestamptz not null,
    constraint quote_log_cuts_pkey primary key (no)
);
comment on table @extschema@.quote_log_cuts is 'what was moved from an audit log to its archive, in order';
comment on column @extschema@.quote_log_cuts.no is 'its number, never given twice; a cursor says which was the newest when it was given';
comment on column @extschema@.quote_log_cuts.log is 'oid of the log; 0: here the table begins';
comment on column @extschema@.quote_log_cuts.moved_by is 'the transaction that moved it';
comment on column @extschema@.quote_log_cuts.newest is 'the newest transaction of this cluster that had written any of it';
comment on column @extschema@.quote_log_cuts.shown is 'a snapshot that shows all of it';
comment on column @extschema@.quote_log_cuts.last_position is 'the last position of it';
comment on column @extschema@.quote_log_cuts.moved_at is 'when it was moved';
comment on constraint quote_log_cuts_pkey on @extschema@.quote_log_cuts is 'one after the other';
comment on sequence @extschema@.quote_log_cuts_no_seq is 'numbers of what left an audit log';
alter table @extschema@.quote_log_cuts enable row level security, force row level security;
-- What left the log before this update nobody has noted: cursors and batches from before are believed, as they were. No number is one of a table that was dropped.
select pg_catalog.setval('@extschema@.quote_log_cuts_no_seq', pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8);
insert into @extschema@.quote_log_cuts (no, log, moved_by, newest, shown, last_position, moved_at) overriding system value
values (0, 0, '3', '0', pg_catalog.pg_current_snapshot(), 0, pg_catalog.clock_timestamp());
alter type @extschema@.quote_cursor add attribute cut bigint;
create function quote_latest_rows(query text, parameters record) returns setof record
language c as 'MODULE_PATHNAME', 'latest_rows';
comment on function quote_latest_rows(text, record) is 'rows of a query over what is committed by now';
revoke execute on function quote_latest_rows(text, record) from public;
alter function current_quote_user(uuid) parallel restricted;
create function verified_quote_user() returns uuid
language c strict stable parallel restricted
as 'MODULE_PATHNAME', 'verified_quote_user_wrapper';
comment on function verified_quote_user() is 'whom a token has verified for this transaction; null for nobody';
create function grant_beside_quote_release("grant" text) returns void
language c strict
as 'MODULE_PATHNAME', 'grant_beside_quote_release_wrapper';
comment on function grant_beside_quote_release(text) is 'runs a GRANT in a script of the extension as if it stood outside of it';
revoke execute on function grant_beside_quote_release(text) from public;
create or replace function protect_quote_table(target regclass, policy name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    perform @extschema@.seclude_quote_table(target);
    execute format('drop policy if exists %I on %s', policy, target);
    execute format('create policy %I on %s for %s using %s', policy, target, @extschema@.quote_policy_command(policy), @extschema@.quote_tenant_rule());
    execute format('comment on policy %I on %s is %L', policy, target,
        'a row is its own tenant''s only, and nobody''s when no tenant is set');
end $$;
create or replace function quote_relation_stands(relation text, kind "char", owner name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_kind "char";
    found_owner oid;
begin
    select c.relkind, c.relowner into found_kind, found_owner from pg_class c where c.oid = to_regclass(relation);
    if not found then
        return false;
    elsif found_kind = kind and (pg_get_userbyid(found_owner) = owner or @extschema@.quote_owner_trusted(found_owner)) then
        return true;
    end if;
    if found_kind <> kind then
        raise exception 'relation % is in the way', relation
            using errcode = 'duplicate_table', detail = 'It is none that attach or the archive has made.',
                hint = @extschema@.quote_copy_return(to_regclass(relation), 'rename it or move it to another schema.');
    end if;
    raise exception 'relation % is in the way', relation
        using errcode = 'duplicate_table', detail = format('It belongs to %s, to whom nothing belonged that attach knows.', pg_get_userbyid(found_owner)),
              hint = format('If it is of an earlier attach: %s Else rename it, and let nobody but %s create anything in schema %I.',
                  @extschema@.quote_home_handover(to_regclass(relation), owner), owner, (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass(relation)));
end $$;
create function move_quote_strays(
    spare regclass, target regclass, month_start timestamptz, month_end timestamptz, out newest bigint, out last_position bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    role text := current_setting('session_replication_role');
    silent boolean := has_parameter_privilege(current_user, 'session_replication_role', 'set');
    names text := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = spare and a.attnum > 0 and not a.attisdropped);
begin
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', 'replica');
    end if;
    execute format('with strays as (delete from %1$s where changed_at >= $1 and changed_at < $2 returning *),
            moved as (insert into %2$s (%3$s) select %3$s from strays returning xid, position, origin)
        select max(m.xid::text::bigint), max(m.position) from moved m where m.origin = $3', spare, target, names)
    into newest, last_position using month_start, month_end, @extschema@.quote_cluster_identifier();
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', role);
    end if;
end $$;
comment on function move_quote_strays(regclass, regclass, timestamptz, timestamptz, out bigint, out bigint) is 'moves rows of a month out of the default partition of an audit log';
create or replace function build_quote_changes_month(log regclass, spare regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name := @extschema@.quote_log_schema(log);
    month regclass;
begin
    if not @extschema@.quote_strays_exist(spare, month_start, month_end) then
        return null;
    end if;
    perform @extschema@.lock_quote_seals(log), @extschema@.require_quote_deletes_published(log);
    if @extschema@.quote_log_is_published(log) then
        return null;
    end if;
    month := @extschema@.detached_quote_changes_month(log, month_name);
    if month is null then
        execute format('create table %I.%I (like %s including all excluding comments excluding statistics excluding identity excluding defaults)',
            log_schema, month_name, log);
        month := format('%I.%I', log_schema, month_name)::regclass;
    end if;
    -- It proves the bounds, so that attaching the month needs no look at its rows.
    perform @extschema@.note_quote_month(month, month_start, month_end, true), @extschema@.move_quote_strays(spare, month, month_start, month_end);
    return month;
end $$;
create or replace function return_quote_month(log regclass, month regclass, month_name name, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_log_schema(log);
    archive regclass := format('%I.quote_changes_archive', home)::regclass;
    spare regclass := @extschema@.quote_changes_spare(log);
    proved boolean := (select k.convalidated from pg_constraint k where k.conrelid = month and k.conname = 'quote_changes_month' and k.contype = 'c');
begin
    perform @extschema@.lock_quote_seals(log);
    if not proved then
        execute format('alter table %s validate constraint quote_changes_month', month);
    elsif proved is null and pg_relation_size(month) > 67108864 then
        perform @extschema@.lock_quote_log(log, array[archive, month], '{}'::regclass[]), @extschema@.note_quote_month(month, month_start, month_end, false);
        return false;
    end if;
    if not @extschema@.quote_log_is_published(log) and @extschema@.quote_strays_exist(spare, month_start, month_end) then
        perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
    end if;
    perform @extschema@.lock_quote_log(log, array_remove(array[spare, @extschema@.quote_changes_spare(archive)], null) || archive || month, '{}'::regclass[]);
    if proved is null then
        perform @extschema@.note_quote_month(month, month_start, month_end, true);
    end if;
    execute format('alter table %s detach partition %s', archive, month);
    perform @extschema@.join_quote_changes_month(log, spare, month, month_name, month_start, month_end);
    return true;
end $$;
create or replace function archive_quote_strays(log regclass, spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_log_schema(log);
    archived regclass := (
        select a.month from @extschema@.quote_archived_months(log) a
        where a.month_start <= archive_quote_strays.month_start and a.month_end >= archive_quote_strays.month_end);
begin
    if archived is null then
        return null;
    elsif @extschema@.quote_strays_awaited(home, spare, month_start, month_end) then
        return false;
    elsif @extschema@.quote_log_is_published(log) then
        raise exception 'their month is archived, and the log is published' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Take the audit log out of its publications while they move.';
    end if;
    perform @extschema@.lock_quote_seals(log);
    perform @extschema@.note_quote_log_cut(log, m.newest, m.last_position) from @extschema@.move_quote_strays(spare, archived, month_start, month_end) m;
    return true;
end $$;
create function note_quote_log_cut(log regclass, newest bigint, last_position bigint) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.quote_log_cuts (log, moved_by, newest, shown, last_position, moved_at)
    select log, pg_current_xact_id(), newest::text::xid8, pg_current_snapshot(), last_position, clock_timestamp()
    where newest is not null
$$;
comment on function note_quote_log_cut(regclass, bigint, bigint) is 'notes that rows of an audit log were moved to its archive';
revoke execute on function note_quote_log_cut(regclass, bigint, bigint) from public;
create function quote_months_end(months regclass[], out newest bigint, out last_position bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    month regclass;
    newest_here bigint;
    last_here bigint;
begin
    foreach month in array months loop
        execute format('select max(c.xid::text::bigint), max(c.position) from %s c where c.origin = $1', month)
        into newest_here, last_here using @extschema@.quote_cluster_identifier();
        newest := greatest(newest, newest_here);
        last_position := greatest(last_position, last_here);
    end loop;
end $$;
comment on function quote_months_end(regclass[], out bigint, out bigint) is 'newest transaction and last position of months of an audit log';
revoke execute on function quote_months_end(regclass[], out bigint, out bigint) from public;
create function quote_log_cut(shown_by pg_snapshot) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select r.no from @extschema@.quote_latest_rows(
        'select c.no from @extschema@.quote_log_cuts c where c.log in ($1, 0) and ($2 is null or pg_visible_in_snapshot(c.moved_by, $2)
            or c.log = 0 and c.moved_by = pg_current_xact_id_if_assigned()) order by c.no desc limit 1'::text,
        row(@extschema@.quote_log_identity()::oid, shown_by)) r (no bigint));
end $$;
comment on function quote_log_cut(pg_snapshot) is 'number of what left the audit log last that a snapshot shows';
create function quote_cut_hidden(newest xid8, shown pg_snapshot, seen pg_snapshot) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select newest >= pg_snapshot_xmax(seen) or exists (select from pg_snapshot_xip(seen) x where x <= newest and pg_visible_in_snapshot(x, shown))
$$;
comment on function quote_cut_hidden(xid8, pg_snapshot, pg_snapshot) is 'whether a snapshot may not show something that left the audit log';
create function quote_feed_is_cut(since bigint, after pg_snapshot, prev pg_snapshot, cur pg_snapshot, "position" bigint) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from @extschema@.quote_latest_rows('select c.log, c.moved_by, c.newest, c.shown, c.last_position from @extschema@.quote_log_cuts c
            where c.log in ($1, 0) and c.no > $2'::text, row(@extschema@.quote_log_identity()::oid, coalesce(since, 0)))
            c (log oid, moved_by xid8, newest xid8, shown pg_snapshot, last_position bigint)
        where (after is null or not pg_visible_in_snapshot(c.moved_by, after)) and (c.log = 0
            or @extschema@.quote_cut_hidden(c.newest, c.shown, prev)
                and (cur is null or c.last_position > quote_feed_is_cut.position or @extschema@.quote_cut_hidden(c.newest, c.shown, cur))));
end $$;
comment on function quote_feed_is_cut(bigint, pg_snapshot, pg_snapshot, pg_snapshot, bigint) is 'whether anything left the audit log behind a place in the feed';
create or replace function quote_extension_tables() returns table (relation regclass, is_private boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.quote_collab_settings'::regclass, false), ('@extschema@.quote_seal_anchor'::regclass, false),
        ('@extschema@.quote_former_versions'::regclass, true), ('@extschema@.quote_log_cuts'::regclass, true)
$$;
create or replace function guard_quote_session() returns trigger
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
create function quote_event_limit() returns integer
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select 8388608 $$;
comment on function quote_event_limit() is 'bytes that the values of one event may have';
create or replace function quote_change_events_query(target_schema name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
               jsonb_build_object(
                   'position', position, 'event_id', event_id, 'tenant_id', tenant_id, 'quote_id', quote_id,
                   'line_id', quote_line_id, 'entity', entity_type, 'operation', change_type,
                   'actor', changed_by, 'at', changed_at, 'session_id', session_id,
                   'version_before', entity_version_before, 'version_after', entity_version_after,
                   'context', (array_agg(context) filter (where context is not null))[1],
                   'truncated', bool_or(size > %2$s),
                   'fields', jsonb_agg(case when size > %2$s then jsonb_build_object('field', field_name)
                                       else jsonb_build_object('field', field_name, 'old', old_value, 'new', new_value) end
                                       order by id)) as event
        from (
            select c_1.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                    entity_type, change_type, session_id, entity_version_before, entity_version_after) as size
            from %1$I.quote_changes c_1
            where conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, target_schema, @extschema@.quote_event_limit())
$$;
create or replace function record_quote_truncate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    settings @extschema@.quote_collab_settings := @extschema@.quote_collab_settings_of(tg_relid::regclass);
    part regclass;
    noted bigint;
begin
    if settings.entity is null then
        return null;
    elsif current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'truncate of % is recorded under read committed only', tg_relid::regclass
            using errcode = 'feature_not_supported',
                  detail = 'An older snapshot may not show every row that it removes.',
                  hint = 'Begin the transaction with isolation level read committed.';
    end if;
    select * into part from @extschema@.quote_foreign_partitions(tg_relid::regclass) limit 1;
    if found then
        raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
            detail = format('It would remove rows of foreign partition %s without a trace in quote_changes.', part),
            hint = 'Use delete there, and truncate the other partitions one by one.';
    end if;
    select * into part from @extschema@.quote_inheriting_tables(tg_relid::regclass) limit 1;
    if found then
        raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
            detail = format('It may remove rows of %s, which inherits from it, without a trace in quote_changes.', part),
            hint = 'Use delete, or let it inherit no longer: alter table ... no inherit.';
    end if;
    perform @extschema@.require_quote_table(settings), @extschema@.require_quote_home('{quote_changes}'::text[]);
    -- Positions are given to whoever has a number: readers of the feed rely on that order.
    perform pg_current_xact_id();
    for part in
        select t.relid from pg_partition_tree(tg_relid) t join pg_class c on c.oid = t.relid
        where t.isleaf and c.relkind = 'r' and (t.relid = tg_relid or not exists (
            select from pg_trigger g where g.tgrelid = t.relid and g.tgfoid = '@extschema@.record_quote_truncate()'::regprocedure))
        union select tg_relid where not (select c.relispartition or c.relkind = 'p' from pg_class c where c.oid = tg_relid)
    loop
        execute @extschema@.quote_truncate_statement(settings, part) using
            coalesce(@extschema@.current_quote_user(null::uuid), settings.system_user_id),
            nullif(current_setting('app.current_session_id', true), '')::uuid;
        get diagnostics noted = row_count;
        perform @extschema@.remember_quote_versions(settings, part);
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
create function require_quote_months_seen() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a transaction that looks back cannot archive or drop history' using errcode = 'invalid_transaction_state',
            detail = 'It does not see what is written to a month before it is locked.', hint = 'Begin another: begin isolation level read committed.';
    end if;
end $$;
comment on function require_quote_months_seen() is 'refuses a transaction that does not see all of a month once it is locked';
create function quote_table_is_chunked(target regclass) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    is_chunked boolean := false;
begin
    if exists (select from pg_extension e join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
            where e.extname = 'timescaledb' and d.classid = 'pg_class'::regclass and d.objid = to_regclass('_timescaledb_catalog.hypertable')) then
        execute format('select exists (select from %I.hypertable h join pg_class c on c.relname = h.table_name
            join pg_namespace n on n.oid = c.relnamespace and n.nspname = h.schema_name where c.oid = $1)', '_timescaledb_catalog')
        into is_chunked using target;
    end if;
    return is_chunked;
end $$;
comment on function quote_table_is_chunked(regclass) is 'whether a table is a hypertable of TimescaleDB';
create or replace function check_quote_target(target regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found record;
begin
    select c.relkind, c.relpersistence, n.nspname in ('pg_catalog', 'information_schema', 'pg_toast') or exists (
            select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') as is_member
    into found from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target;
    if found.relkind not in ('r', 'p') then
        raise exception 'quote collaboration attaches to ordinary and partitioned tables only'
            using errcode = 'wrong_object_type', detail = format('%s is neither.', target), hint = 'Name the tables that hold the rows.';
    elsif found.relpersistence = 't' then
        raise exception 'table % is temporary', target
            using errcode = 'wrong_object_type', detail = 'Its rows are seen by one session, and gone with it.', hint = 'Attach tables that stay.';
    elsif found.is_member or @extschema@.is_quote_history(target) then
        raise exception 'table % is not a table of the ERP', target
            using errcode = 'wrong_object_type', detail = 'It belongs to PostgreSQL, to an extension or to quote collaboration itself.',
                  hint = 'Name the ERP''s own tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    elsif @extschema@.quote_table_is_chunked(target) then
        raise exception 'table % is a hypertable', target
            using errcode = 'feature_not_supported', detail = 'TimescaleDB keeps its rows in tables that inherit from it.',
                  hint = 'Attach a partitioned table. Where it is attached from before: select @extschema@.detach_quote_collaboration(...);';
    elsif exists (select from @extschema@.quote_inheriting_tables(target)) then
        raise exception 'table % has tables that inherit from it', target
            using errcode = 'feature_not_supported', detail = 'Triggers are not inherited: changes of their rows would leave no history.',
                  hint = 'Make them partitions, or let them inherit no longer: alter table ... no inherit.';
    end if;
end $$;
create function require_quote_columns(home name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lacking record;
begin
    select * into lacking from @extschema@.quote_columns_missing(home) limit 1;
    if found then
        raise exception 'table % is not as attach makes it', lacking.relation
            using errcode = 'undefined_column', detail = format('It lacks: %s.', lacking.names), hint = lacking.repair;
    end if;
end $$;
comment on function require_quote_columns(name) is 'refuses tables under names of ours that lack columns';
create or replace function check_quote_home(header regclass, home name, homes name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.quote_relation_stands(format('%I.%I', home, k.name), 'p'::"char", pg_get_userbyid(c.relowner))
    from pg_class c, unnest('{quote_changes,quote_changes_archive}'::name[]) k (name)
    where c.oid = header and (k.name = 'quote_changes_archive' or home <> all (homes));
    perform @extschema@.require_quote_columns(home);
end $$;
comment on function check_quote_home(regclass, name, name[]) is 'refuses a log or an archive that somebody else has planted, or that lacks columns';
create or replace function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target(entity, row_id);
    current_row jsonb := @extschema@.find_quote_row_safely(target, row_id);
    actual_version integer := @extschema@.quote_row_version(target, current_row);
    fields jsonb;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_position_seq}'::text[]);
    if current_row is null or actual_version = expected_version or expected_version is null or not @extschema@.quote_row_is_locked(target, row_id) then
        return;
    end if;
    fields := @extschema@.normalise_quote_changes(target, changes);
    execute format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type,
            field_name, old_value, new_value, change_type, session_id, was_conflict, conflict_resolution,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select @extschema@.uuid_generate_v7(), $1, $2, $3, $4, clock_timestamp(), $5, f.key, nullif($6 -> f.key, 'null'), nullif(f.value, 'null'), 'UPDATE',
            $7, true, 'REJECTED', $8, $9, e.event_id, e.position, pg_current_xact_id(), @extschema@.quote_cluster_identifier()
        from jsonb_each($10) f,
            (select @extschema@.uuid_generate_v7(), nextval(%2$L)) e (event_id, position)$query$,
        target.log_schema, format('%I.quote_changes_position_seq', target.log_schema))
    using (current_row ->> (target.columns ->> 'tenant'))::uuid,
          coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case entity when 'QUOTE_LINE' then row_id end,
          coalesce(@extschema@.current_quote_user(null::uuid), target.system_user_id),
          entity, current_row, nullif(current_setting('app.current_session_id', true), '')::uuid,
          expected_version, actual_version, fields;
end $$;
create or replace function check_quote_version(quote_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, quote_id, '')) = expected_version;
end $$;
create or replace function check_quote_line_version(line_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, line_id, '')) = expected_version;
end $$;
create or replace function save_quote(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(header, @extschema@.normalise_quote_changes(header, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
    previous_version := @extschema@.quote_row_version(header, quote);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(header, quote_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
        new_version := @extschema@.quote_row_version(header, quote);
    end if;
    if new_version <> expected_version then
        success := false;
        fields := @extschema@.quote_changes_told(header, fields);
        conflicts := @extschema@.quote_conflicts(header, quote, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE', quote_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, quote, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(header, quote);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
create or replace function save_quote_line(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(line);
    parent uuid;
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(line, @extschema@.normalise_quote_changes(line, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.find_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure', hint = 'Try again.';
    elsif quote is null then
        quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    end if;
    previous_version := @extschema@.quote_row_version(line, quote_line);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(line, line_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
        new_version := @extschema@.quote_row_version(line, quote_line);
    end if;
    if new_version <> expected_version then
        success := false;
        fields := @extschema@.quote_changes_told(line, fields);
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, quote_line, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
create or replace function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_variable
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    who uuid := @extschema@.current_quote_user(user_id);
    known record;
    session @extschema@.quote_session;
begin
    perform @extschema@.require_quote_session_status(status);
    if @extschema@.current_quote_tenant() is null and row_security_active(@extschema@.quote_session_target()) then
        raise exception 'no tenant is set' using errcode = 'insufficient_privilege',
            hint = 'Set app.current_tenant_id for the transaction, or where tenants are verified, call authenticate_quote_user(token).';
    elsif who is null then
        raise exception 'the user id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass user_id or set app.current_user_id.';
    end if;
    select * into known from @extschema@.find_quote_user(who);
    if known.known and @extschema@.verified_quote_user() = who then
        user_name := null;
        user_email := null;
    end if;
    perform @extschema@.require_quote_session_texts(user_name, user_email);
    perform @extschema@.require_quote_session_room((quote ->> (header.columns ->> 'tenant'))::uuid, who, session_id);
    begin
        execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict on constraint active_quote_sessions_session do update set
            quote_id = excluded.quote_id, user_id = excluded.user_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id and @extschema@.quote_session_lives(s.last_heartbeat) then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where (s.user_id = excluded.user_id or not @extschema@.quote_session_lives(s.last_heartbeat)) and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
        into session
        using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
            coalesce(user_name, left(known.user_name, 255)), coalesce(user_email, left(known.user_email, 255)), coalesce(status, 'VIEWING');
    exception when insufficient_privilege then
        -- Row security says no to a session of another tenant, and names the table; a right that is missing it leaves alone.
        if not has_table_privilege(@extschema@.quote_session_target(), 'insert') or not has_table_privilege(@extschema@.quote_session_target(), 'update') then
            raise;
        end if;
    end;
    if session.session_id is null then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform pg_notify('quote_presence', '');
    return next session;
end $$;
create or replace function heartbeat_quote_session(
    session_id uuid, current_line_id uuid default null, current_field text default null, cursor_position integer default null,
    is_editing boolean default null, status text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    moved boolean;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    perform @extschema@.require_quote_session_status(status);
    if cursor_position < 0 then
        raise exception 'the cursor position must not be negative' using errcode = 'invalid_parameter_value',
            hint = 'Count from 0, in UTF-16 code units.';
    elsif char_length(current_field) > 63 then
        raise exception 'the field name is too long' using errcode = 'string_data_right_truncation', hint = 'Pass the name of a column.';
    end if;
    execute format($query$
        with before as (
            select s.* from %1$s s
            where s.session_id = $1 and @extschema@.quote_session_lives(s.last_heartbeat)
              and ($7 is null or s.user_id = $7) and ($9 or s.tenant_id = $8)
            for no key update)
        update %1$s s set last_heartbeat = clock_timestamp(), current_line_id = $2, current_field = $3, cursor_position = $4,
            is_editing = coalesce($5, s.is_editing), status = coalesce($6, s.status)
        from before b where s.id = b.id
        returning (b.current_line_id, b.current_field, b.cursor_position, b.is_editing, b.status)
            is distinct from (s.current_line_id, s.current_field, s.cursor_position, s.is_editing, s.status)$query$,
        @extschema@.quote_session_target())
    into moved using session_id, current_line_id, current_field, cursor_position, is_editing, status,
        @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if moved then
        perform pg_notify('quote_presence', '');
    end if;
    return moved is not null;
end $$;
create or replace function leave_quote_session(session_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    gone uuid;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    execute format('delete from %s s where s.session_id = $1 and ($2 is null or s.user_id = $2) and ($4 or s.tenant_id = $3) returning s.id',
        @extschema@.quote_session_target())
    into gone using session_id, @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if gone is not null then
        perform pg_notify('quote_presence', '');
    end if;
    return gone is not null;
end $$;
create or replace function get_active_quote_sessions(quote_id uuid) returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform @extschema@.require_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '');
    if pg_is_in_recovery() then
        raise exception 'sessions are not known on a standby' using errcode = 'feature_not_supported',
            detail = 'Their table is unlogged.', hint = 'Ask the primary.';
    end if;
    return query execute format('select s.* from %s s where s.quote_id = $1 and ($3 or s.tenant_id = $2)
        and @extschema@.quote_session_lives(s.last_heartbeat) order by s.joined_at, s.session_id',
        @extschema@.quote_session_target())
    using quote_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
end $$;
create or replace function cleanup_stale_quote_sessions() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    swept integer;
begin
    execute format('delete from %1$s s using (select x.id from %1$s x
            where not @extschema@.quote_session_lives(x.last_heartbeat) for update skip locked) stale
        where s.id = stale.id', @extschema@.quote_session_target());
    get diagnostics swept = row_count;
    if swept > 0 then
        perform pg_notify('quote_presence', '');
    end if;
    return swept;
end $$;
create or replace function get_quote_change_history(quote_id uuid, max_rows integer default 50) returns setof quote_change
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    author record;
begin
    if quote_id is null then
        raise exception 'the quote id must not be null' using errcode = 'null_value_not_allowed', hint = 'Name the quote.';
    elsif max_rows is null or max_rows not between 0 and 10000 then
        raise exception 'the limit must be between 0 and 10000' using errcode = 'invalid_parameter_value',
            hint = 'Ask for fewer at a time.';
    end if;
    perform @extschema@.require_quote_home('{quote_changes,v_quote_changes_all}'::text[]);
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format($query$
        select c.id, c.tenant_id, c.quote_id, c.quote_line_id, c.changed_by, %s, c.changed_at, c.entity_type::text,
            c.field_name::text, c.old_value, c.new_value, c.change_type::text, c.session_id, c.was_conflict,
            c.conflict_resolution::text, c.entity_version_before, c.entity_version_after, c.event_id, c.position
        from %I.v_quote_changes_all c %s
        where c.quote_id = $1 and ($4 or c.tenant_id = $2)
        order by c.position desc, c.id desc limit $3$query$, author.name_expression,
        @extschema@.quote_collab_home(), author.join_clause)
    using quote_id, @extschema@.current_quote_tenant(), max_rows, @extschema@.sees_every_quote_tenant();
end $$;
create or replace function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(since_version);
    return @extschema@.quote_row_version(header, @extschema@.require_quote_row(header, quote_id, '')) > since_version;
end $$;
create or replace function quote_is_accessible(quote_id uuid) returns boolean
language sql
set search_path = pg_catalog, pg_temp
set jit = off
as $$ select @extschema@.find_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '') is not null $$;
create or replace function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    line @extschema@.quote_collab_settings := @extschema@.present_quote_columns(@extschema@.quote_collab_partner(header));
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    lines jsonb;
begin
    execute format('select jsonb_agg(to_jsonb(l.*) order by %s) from %I.%I l where l.%s = $1 and l.%s = $2',
        coalesce('l.' || @extschema@.quote_collab_column(line, 'line_number') || ', ', '') || 'l.' || @extschema@.quote_collab_column(line, 'id'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(line, 'tenant'))
    into lines using quote_id, (quote ->> (header.columns ->> 'tenant'))::uuid;
    return jsonb_build_object('quote', quote, 'lines', coalesce(lines, '[]'));
end $$;
create or replace function list_quotes(max_rows integer default 50) returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    tenant uuid := @extschema@.current_quote_tenant();
    alone boolean := (select count(*) < 2 from @extschema@.quote_collab_pairs());
    query text;
begin
    if tenant is null then
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value', hint = 'Set app.current_tenant_id, or where tenants are verified, call authenticate_quote_user(token).';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value',
            hint = 'Ask for fewer at a time.';
    end if;
    if alone then
        perform @extschema@.require_quote_table(@extschema@.quote_collab_target('QUOTE'::text));
        query := @extschema@.quote_list_query(@extschema@.present_quote_columns(@extschema@.quote_collab_target('QUOTE')));
    else
        select string_agg(format('select q.item, q.place, %s from %s q (item, place)', p.pair, @extschema@.quote_list_query(p.header)), ' union all ')
        into query from (select @extschema@.present_quote_columns(a.header), a.pair from @extschema@.quote_collab_pairs() with ordinality a (header, line, pair)) p (header, pair)
        where @extschema@.quote_table_trusted(p.header) and @extschema@.quote_columns_readable(p.header, '{id,tenant,quote_number,customer,status,total_amount,version}'::text[]);
    end if;
    return query execute format('select x.item from (%s) x (item, place%s) order by x.place%s limit $2',
        coalesce(query, 'select null::jsonb, 0, 0 where false'), case when alone then '' else ', pair' end, case when alone then '' else ', x.pair' end)
    using tenant, max_rows;
end $$;
create or replace function quote_events_cursor() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    now_at numeric := extract(epoch from clock_timestamp());
begin
    perform @extschema@.flush_quote_feed();
    -- Who is running may have changed something long ago.
    return concat_ws('/', '4', @extschema@.quote_cluster_identifier(), @extschema@.quote_log_identity(), @extschema@.quote_feed_timeline(),
        pg_current_wal_flush_lsn() - '0/0'::pg_lsn, coalesce(@extschema@.quote_log_cut(seen), 0), seen, now_at,
        case when pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) then now_at else 0 end);
end $$;
create or replace function parse_quote_cursor(cursor text) returns quote_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part text[] := string_to_array(cursor, '/');
    place text[];
    parsed @extschema@.quote_cursor;
begin
    if cursor is null then
        return row(@extschema@.quote_cluster_identifier(), '3:3:'::pg_snapshot, 0, 0, null, null, null, null, null, null,
            @extschema@.quote_log_cut(null::pg_snapshot))::@extschema@.quote_cursor;
    end if;
    if part[1] = '4' then
        place := part[3:6];
        part := part[1:2] || part[7:];
    elsif part[1] = '3' then
        place := part[3:5];
        part := part[1:2] || part[6:];
    elsif part[1] = '2' then
        place := null::text || part[3:4];
        part := part[1:2] || part[5:];
    elsif part[1] <> '1' then
        raise invalid_text_representation;
    end if;
    if cardinality(part) not in (5, 8) then
        raise invalid_text_representation;
    end if;
    parsed := row(part[2]::bigint, part[3]::pg_snapshot, part[4]::numeric, part[5]::numeric,
        part[6]::pg_snapshot, part[7]::numeric, part[8]::bigint, place[2]::integer, place[3]::bigint, place[1],
        place[4]::bigint)::@extschema@.quote_cursor;
    -- Times that are none, or that no timestamp holds; and no number of a cut.
    if not (parsed.prev_at between 0 and 1e11 and parsed.floor_at between 0 and 1e11 and coalesce(parsed.cur_at, 0) between 0 and 1e11
            and coalesce(parsed.cut, 0) >= 0) then
        raise invalid_text_representation;
    end if;
    return parsed;
exception when data_exception then
    raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
        hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
end $$;
create or replace function require_quote_cursor(cursor quote_cursor) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    newest pg_snapshot := coalesce(cursor.cur, cursor.prev);
    here integer := @extschema@.quote_feed_timeline();
    ahead bigint := pg_snapshot_xmax(newest)::text::bigint - @extschema@.next_quote_transaction();
    reason text;
begin
    if cursor.origin <> @extschema@.quote_cluster_identifier() then
        reason := 'It was given by another cluster.';
    elsif cursor.log <> @extschema@.quote_log_identity() then
        reason := 'It was given before this history came out of a dump.';
    -- After a failover others get the numbers of what was lost. Where this server left the timeline of the cursor behind all that the
    -- cursor counts as over, nothing of that is lost. A file has to be read for it, so only where the timelines differ.
    elsif cursor.timeline <> here and (cursor.reached <= @extschema@.quote_timeline_end(here, cursor.timeline)) is not true then
        reason := 'It counts on what this cluster lost in a failover.';
    -- Where the timeline shows that nothing is lost, only numbers can be ahead whose owners were running and had written nothing.
    elsif ahead > 0 and (cursor.timeline is null or ahead > (select count(*) from pg_snapshot_xip(newest) x
            where x::text::bigint >= pg_snapshot_xmax(newest)::text::bigint - ahead)) then
        reason := 'It is ahead of this cluster, which lost its end in a failover.';
    elsif @extschema@.quote_feed_is_cut(cursor.cut, null::pg_snapshot, cursor.prev, cursor.cur, cursor.position) then
        reason := 'It stands before changes that were archived since, and event feeds read the log alone.';
    end if;
    if reason is not null then
        raise exception 'the cursor is no longer known' using errcode = 'QC001', detail = reason,
            hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
end $$;
comment on function require_quote_cursor(quote_cursor) is 'refuses a cursor of another cluster, or of what this one lost or has archived';
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    begun @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    c @extschema@.quote_cursor := begun;
    cut bigint := coalesce(@extschema@.quote_log_cut(seen), 0);
    waypoint record;
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value', hint = 'Call again with the last cursor for more.';
    end if;
    perform @extschema@.require_quote_cursor(c), @extschema@.require_quote_home('{quote_changes}'::text[]), @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed(),
        @extschema@.watch_quote_clock();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            select w.* into waypoint from @extschema@.quote_feed_waypoint(c.prev, seen) w;
            c := row(c.origin, c.prev, c.prev_at,
                greatest(extract(epoch from @extschema@.quote_feed_floor(c.prev, coalesce(waypoint.cur, seen), to_timestamp(c.floor_at))), 0), coalesce(waypoint.cur, seen),
                extract(epoch from coalesce(waypoint.cur_at, clock_timestamp())), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity(), cut)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        exit when given >= max or c.cur::text = seen::text;
        c := @extschema@.next_quote_cursor(c);
    end loop;
    -- What left the log meanwhile may be missing.
    if cut <> @extschema@.quote_log_cut(null::pg_snapshot) then
        perform @extschema@.require_quote_cursor(begun);
    end if;
end $$;
create or replace function next_quote_cursor(c quote_cursor) returns quote_cursor
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select row(c.origin, c.cur, c.cur_at,
        case when pg_snapshot_xmin(c.cur) >= pg_snapshot_xmax(c.prev) then c.prev_at else c.floor_at end,
        null, null, null, c.timeline, c.reached, c.log, c.cut)::@extschema@.quote_cursor
$$;
create or replace function quote_event_texts_query(condition text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format($query$
        select position, changed_by, concat('{"position":', position, ',"event_id":"', event_id, '","tenant_id":"', tenant_id, '","quote_id":"', quote_id,
            '","line_id":', coalesce('"' || quote_line_id::text || '"', 'null'), ',"entity":', to_json(entity_type), ',"operation":', to_json(change_type),
            ',"actor":', coalesce('"' || changed_by::text || '"', 'null'), ',"at":', to_json(changed_at),
            ',"session_id":', coalesce('"' || session_id::text || '"', 'null'),
            ',"version_before":', coalesce(entity_version_before::text, 'null'), ',"version_after":', coalesce(entity_version_after::text, 'null'),
            ',"context":', coalesce((array_agg(context) filter (where context is not null))[1]::text, 'null'),
            ',"truncated":', to_json(bool_or(size > %3$s)), ',"fields":[', string_agg(concat('{"field":', to_json(field_name), case when size <= %3$s
                then concat(',"old":', coalesce(old_value::text, 'null'), ',"new":', coalesce(new_value::text, 'null')) end, '}'), ',' order by id), ']') as event
        from (
            select c.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id) as size
            from %1$I.quote_changes c
            where %2$s and conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, @extschema@.quote_collab_home(), condition, @extschema@.quote_event_limit());
end $$;
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', $11, $1, $8, $9, $2, $10, e.position), e.event::jsonb from (%s) e order by e.position$query$,
        case when c.position > 0 and @extschema@.quote_batch_has_few(c.prev, c.cur)
            then @extschema@.quote_batch_rest_query() else @extschema@.quote_batch_query() end)
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '24 hours', 'infinity'::timestamptz, max, c.prev_at, c.floor_at, c.cur_at,
        concat_ws('/', case when c.timeline is null then '1' when c.log is null then '2' when c.cut is null then '3' else '4' end,
            c.origin, c.log, c.timeline, c.reached, c.cut);
end $$;
create or replace function quote_relay_lease(holder text, ttl interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    granted bigint;
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set holder = $1, expires_at = clock_timestamp() + $2,
            epoch = case when l.holder = $1 then l.epoch else l.epoch + 1 end
        where l.holder = $1 or l.expires_at not between clock_timestamp() and clock_timestamp() + greatest(10 * $2, interval ''1 minute'') returning l.epoch', @extschema@.quote_relay_table('quote_relay_lease'))
    into granted using holder, ttl;
    return granted;
end $$;
create or replace function quote_relay_checkpoint(epoch bigint, batch bigint, "position" bigint, stream_seq bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set batch = $2, position = $3, stream_seq = $4 where l.epoch = $1',
        @extschema@.quote_relay_table('quote_relay_lease')) using epoch, batch, "position", stream_seq;
end $$;
create or replace function quote_presence_snapshot() returns setof quote_session
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    return query execute format('select s.* from %s s where @extschema@.quote_session_lives(s.last_heartbeat)
        order by s.joined_at, s.session_id', @extschema@.quote_session_target());
end $$;
create function refuse_unknown_quote_place() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the cursor is no longer known' using errcode = 'QC001',
        hint = 'Read the quote again and subscribe without a cursor.';
end $$;
comment on function refuse_unknown_quote_place() is 'SQLSTATE QC001: the feed does not reach back to a place';
create or replace function quote_events_between(
    quote_id uuid, after_batch bigint, after_position bigint, until_batch bigint, until_position bigint, max integer)
returns table (batch bigint, "position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    last constant bigint := 9223372036854775807;
    shown bigint := 0;
    tenant uuid := @extschema@.current_quote_tenant();
    any_tenant boolean := @extschema@.sees_every_quote_tenant();
    start record;
    is_begun boolean;
    is_gone boolean;
    given integer := 0;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    -- What comes behind may have been written when a clock was behind, and its batch says so.
    execute format('select b.no, b.prev, b.cur, b.origin, x.is_elsewhere, x.floor_at from (select * from %1$s where no >= $1 order by no limit 1) b
        cross join lateral (select bool_or(r.origin <> $2) as is_elsewhere, min(r.floor_at) as floor_at from %1$s r where r.no between b.no and greatest(b.no, $3)) x',
        @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or start.no > greatest(after_batch, 1) or start.is_elsewhere then
        perform @extschema@.refuse_unknown_quote_place();
    end if;
    is_begun := start.no = after_batch;
    if is_begun and after_batch <= until_batch then
        return query execute format('select $12, r.position, r.event::jsonb from (%s) r order by r.position', @extschema@.quote_rest_of_batch_query())
        using quote_id, tenant, after_position, start.origin, start.floor_at - interval '24 hours', 'infinity'::timestamptz, max, any_tenant,
            start.prev, start.cur, case when after_batch = until_batch then until_position else last end, after_batch;
        get diagnostics given = row_count;
    end if;
    if given < max and after_batch < until_batch then
        if is_begun then
            shown := case when after_position < last then after_position
                else @extschema@.quote_position_shown(quote_id, start.origin, start.floor_at - interval '24 hours', start.cur) end;
        end if;
        return query select * from @extschema@.quote_events_behind(quote_id, start.origin, start.floor_at - interval '24 hours',
            case when is_begun then start.cur else start.prev end, shown, until_batch, until_position, max - given);
    end if;
    -- What has left the log by now may be missing, and the end of a batch that is gone was taken for that of the next one.
    execute format('select not exists (select from %s where no = $1)', @extschema@.quote_relay_table('quote_relay_batch')) into is_gone using start.no;
    if is_gone or @extschema@.quote_feed_is_cut(0::bigint, start.cur, start.prev, case when is_begun then start.cur end, after_position) then
        perform @extschema@.refuse_unknown_quote_place();
    end if;
end $$;
create or replace function quote_history_columns(relation text) returns table (column_name name, column_type regtype)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.name, c.type::regtype from pg_proc p cross join lateral unnest(p.proargnames, p.proargtypes::oid[]) c (name, type)
    where relation in ('quote_changes', 'quote_changes_archive') and p.pronamespace = '@extschema@'::regnamespace and p.proname = 'quote_changes_digest'
    union all
    select c.name, k.type::regtype from (values
        ('quote_changes_seals', '{no}'::name[], 'bigint'), ('quote_changes_seals', '{prev,cur}', 'pg_snapshot'),
        ('quote_changes_seals', '{floor_at,prev_at,cur_at}', 'timestamptz'), ('quote_changes_seals', '{origin,rows}', 'bigint'),
        ('quote_changes_seals', '{root,hash}', 'bytea'), ('quote_changes_seals', '{sealed_at}', 'timestamptz'), ('quote_changes_seals', '{form}', 'smallint'),
        ('quote_changes_seals', '{signature,signed_by}', 'bytea'), ('quote_changes_seals', '{released}', 'jsonb'),
        ('active_quote_sessions', '{id,tenant_id,session_id,quote_id,user_id,current_line_id}', 'uuid'),
        ('active_quote_sessions', '{user_name,user_email,current_field,status}', 'text'), ('active_quote_sessions', '{joined_at,last_heartbeat}', 'timestamptz'),
        ('active_quote_sessions', '{cursor_position}', 'integer'), ('active_quote_sessions', '{is_editing}', 'boolean'),
        ('quote_relay_batch', '{no,origin}', 'bigint'), ('quote_relay_batch', '{prev,cur}', 'pg_snapshot'),
        ('quote_relay_batch', '{prev_at,cur_at,floor_at}', 'timestamptz'), ('quote_relay_batch', '{cur_xmax}', 'xid8'),
        ('quote_relay_lease', '{singleton}', 'boolean'), ('quote_relay_lease', '{epoch,batch,position,stream_seq}', 'bigint'),
        ('quote_relay_lease', '{holder}', 'text'), ('quote_relay_lease', '{expires_at}', 'timestamptz')) k (relation, names, type)
    cross join lateral unnest(k.names) c (name)
    where k.relation = quote_history_columns.relation
$$;
comment on function quote_history_columns(text) is 'columns that a table of the history must have';
create function quote_columns_missing(home name) returns table (relation regclass, names text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, string_agg(format('%I %s', k.column_name, k.column_type), ', ' order by k.column_name),
        format('If a column was renamed: alter table %s rename ... to ...; if one was dropped, bring it back from a dump. If the table is none that attach made: alter table %1$s rename to %I;',
            c.oid::regclass, left('not_ours_' || c.relname, 63))
    from @extschema@.quote_home_tables() h
    join pg_class c on c.relname = h.name and c.relkind = h.kind join pg_namespace n on n.oid = c.relnamespace and n.nspname = home
    cross join lateral @extschema@.quote_history_columns(h.name::text) k
    where @extschema@.quote_owner_trusted(c.relowner)
        and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = k.column_name and not a.attisdropped)
    group by c.oid, c.relname
$$;
comment on function quote_columns_missing(name) is 'tables of a history that lack columns, and what is to be done';
create function note_quote_drop_refused(at timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- An update of no row at all would have all sessions forget what they keep of the settings.
    if exists (select from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' and s.drop_refused_at is distinct from at) then
        update @extschema@.quote_collab_settings s set drop_refused_at = at where s.entity = 'QUOTE';
    end if;
end $$;
comment on function note_quote_drop_refused(timestamptz) is 'notes when history was kept although its age lets it go';
revoke execute on function note_quote_drop_refused(timestamptz) from public;
create or replace function drop_archived_quote_changes(older_than interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    archive regclass := case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then @extschema@.quote_relay_table('quote_changes_archive')::regclass end;
    months regclass[];
    from_at timestamptz;
    until_at timestamptz;
    month regclass;
    present bigint;
    arrived bigint;
    before record;
    after record;
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals}'::text[]);
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select drop_archived_quote_changes(interval ''10 years'').';
    end if;
    perform @extschema@.require_quote_months_seen();
    if not exists (select from @extschema@.quote_changes_months_before(archive, now() - older_than)) then
        perform @extschema@.note_quote_drop_refused(null::timestamptz);
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.lock_quote_seals(@extschema@.quote_relay_table('quote_changes')::regclass), @extschema@.seal_quote_history();
    -- Of two at once the other may have dropped them.
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    end if;
    present := @extschema@.lock_quote_months(months);
    arrived := @extschema@.count_arrived_quote_changes(months);
    select sum(x.rows) as rows, bool_and(x.rows = x.expected_rows and x.root = x.expected_root) as intact
    into before from @extschema@.examine_quote_seals(from_at, until_at) x;
    foreach month in array months loop
        execute format('drop table %s', month);
    end loop;
    select coalesce(sum(x.rows), 0) as rows,
        coalesce(range_agg(int8range(x.no, x.no, '[]')) filter (where x.rows = 0), '{}') as gone,
        coalesce(jsonb_object_agg(x.no, jsonb_build_object('rows', x.rows, 'root', encode(x.root, 'hex')))
            filter (where x.rows > 0 and x.rows <> x.expected_rows), '{}') as remains
    into after from @extschema@.examine_quote_seals(from_at, until_at) x;
    if coalesce(before.intact, arrived = present) is not true or coalesce(before.rows, 0) - after.rows <> present - arrived then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    perform @extschema@.note_quote_drop_refused(null::timestamptz), @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
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
create or replace function keep_quote_history(out archived integer, out dropped integer)
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
create or replace function archive_quote_changes(older_than interval) returns integer
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
            hint = 'For example select archive_quote_changes(interval ''24 months'').';
    end if;
    perform @extschema@.require_quote_months_seen();
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
        raise exception 'months were written to while they were locked' using errcode = 'lock_not_available', hint = 'Try again.';
    end if;
    perform @extschema@.exchange_quote_months(log, months, until), @extschema@.note_quote_log_cut(log, newest, last_position),
        @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
create or replace function quote_tables_unknown() returns table (relation regclass, statements text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.relation, (select string_agg(format('drop trigger %I on %s;', g.tgname, t.relation), ' ' order by g.tgname) from pg_trigger g
        where g.tgrelid = t.relation and g.tgparentid = 0 and g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f))
    from @extschema@.stray_quote_tables() t (relation)
    -- One of a pair whose settings are not whole: attach it again.
    where (select count(*) filter (where s.entity = 'QUOTE') = count(*) filter (where s.entity = 'QUOTE_LINE') from @extschema@.quote_collab_settings s)
        and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_table_found(s) = t.relation
            -- Whoever put our triggers on a table that inherits from it has its changes told: of that the check of inheritance speaks.
            or t.relation in (select i.relation from @extschema@.quote_inheriting_tables(@extschema@.quote_table_found(s)) i (relation)))
$$;
create or replace function quote_collab_doctor_bypasses(s quote_collab_settings) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.%I', s.table_schema, s.table_name);
    target regclass := @extschema@.quote_collab_table(s);
    names text;
    hints text;
begin
    select string_agg(t.name, ', '), string_agg(t.rename, ' ') into names, hints from @extschema@.quote_late_triggers(s) t;
    return next @extschema@.quote_collab_verdict('version stamped last: ' || name, names is null, 'warning',
        format('these triggers may change a row after its version was decided: %s', names), hints);
    if @extschema@.quote_table_is_chunked(target) then
        return next @extschema@.quote_collab_verdict('no inheritance: ' || name, false, 'error',
            'it is a hypertable of TimescaleDB, whose rows lie in tables that inherit from it: what drops or replicates those leaves no history, and it cannot be attached again',
            format('Have its rows in an ordinary or a partitioned table. Until then: select @extschema@.detach_quote_collaboration(quotes => %L);', target));
        return;
    end if;
    select string_agg(t.relation::text, ', '), string_agg(format('alter table %s no inherit %s;', t.relation, target), ' ')
    into names, hints from @extschema@.quote_inheriting_tables(target) t (relation);
    return next @extschema@.quote_collab_verdict('no inheritance: ' || name, names is null, 'error',
        format('triggers are not inherited: changes of rows of these tables may leave no history and raise no version, and saves of them be lost: %s', names),
        format('Make them partitions, or let them inherit no longer: %s', hints));
end $$;
create or replace function quote_functions_altered(released quote_released_function[]) returns table (function regprocedure, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with own as (
        select f.function, p.*, n.nspname, owner.rolsuper as is_trusted, installer.rolsuper and not owner.rolsuper as is_lost, installer.rolname as installer
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function join pg_namespace n on n.oid = p.pronamespace
        join pg_roles owner on owner.oid = p.proowner
        join pg_extension e on e.extname = 'quote_collab_ext' join pg_roles installer on installer.oid = e.extowner
        where p.prokind = 'f'),
    as_released as (
        select p.function from own p join unnest(released) r on r.name = p.proname
        cross join lateral (select '"' || replace(p.nspname, '"', '""') || '"', quote_ident(p.nspname)) s (quoted, plain)
        cross join lateral (select replace(lower(r.header), E'\n', ' ') || ' ') h (words)
        where replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain)
            and coalesce(p.probin, '$libdir/quote_collab_ext') = '$libdir/quote_collab_ext'
            and p.prosecdef = (h.words like '% security definer %') and p.proisstrict = (h.words like '% strict %')
            and p.provolatile = case when h.words like '% immutable %' then 'i' when h.words like '% stable %' then 's' else 'v' end
            and array(select lower(split_part(c, '=', 1)) || replace(substr(c, strpos(c, '=')), '"', '') from unnest(p.proconfig) c order by 1)
                = array(select lower(split_part(c, ' = ', 1)) || '=' || translate(split_part(split_part(c, E'\n', 1), ' = ', 2), '''"', '')
                    from unnest((string_to_array(r.header, E'\nset '))[2:]) c order by 1)
            and p.proparallel = case when h.words like '% parallel safe %' then 's' when h.words like '% parallel restricted %' then 'r' else 'u' end)
    select p.function, case when p.is_trusted then coalesce((
                select string_agg(format('set search_path = %I, pg_temp; create or replace function %s reset search_path;', p.nspname, r.statement), ' ')
                from unnest(released) r where r.name = p.proname),
            format('alter extension quote_collab_ext drop function %s;', p.function))
        else format('alter function %s owner to %I;', p.function, p.installer) end
    from own p where p.is_lost or not exists (select from as_released r where r.function = p.function)
$$;
create function quote_function_grants() returns table (function regprocedure, grantee oid, told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select f.function, acl.grantee, format('%s to %s', f.function, g.name),
        format('revoke execute on function %s from %s%s;', f.function, g.name, case when acl.is_grantable then ' cascade' else '' end)
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
    cross join lateral (select @extschema@.quote_grantee(acl.grantee)) g (name)
    where not f.is_public and acl.grantee <> p.proowner
$$;
comment on function quote_function_grants() is 'doctor: who may call which function that the extension keeps from PUBLIC';
create or replace function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(w.told, ', '), string_agg(w.revoke, ' ') into names, hints from (
        select g.told, g.revoke from @extschema@.quote_function_grants() g where g.grantee = 0
        union all
        select g.told, g.revoke from @extschema@.quote_extension_function_grants() g) w;
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('what nobody should call is open: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_gateway_functions() f (function) join @extschema@.quote_function_grants() g using (function) join pg_roles r on r.oid = g.grantee
    where f.function::text like '%quote_relay_%' and not r.rolsuper
        -- Who may do this much is a gateway, also where it lacks other rights.
        and not (has_function_privilege(r.oid, '@extschema@.quote_relay_lease(text, interval)', 'execute')
            and has_function_privilege(r.oid, '@extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint)', 'execute'));
    return next @extschema@.quote_collab_verdict('relay run by gateways only', names is null, 'warning',
        format('these roles are no gateway and may disturb it: %s', names), hints);
    select string_agg(f.function::text, ', '), string_agg(format('alter function %s set search_path = pg_catalog, pg_temp;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where p.prosecdef and not exists (select from unnest(p.proconfig) c where replace(c, '"', '') = 'search_path=pg_catalog, pg_temp');
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    next_month timestamptz := @extschema@.quote_changes_month(@extschema@.quote_changes_month(now()) + interval '32 days');
    keep record;
    found record;
    copy regclass;
    locks bigint;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', null);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month', @extschema@.quote_month_stands(log, now()), 'error',
        'rows go to the default partition', @extschema@.quote_month_statement(log, now()));
    return next @extschema@.quote_collab_verdict('partition of next month', @extschema@.quote_month_stands(log, next_month), 'warning',
        'nobody creates partitions ahead: the library is not preloaded and no cron calls maintenance, or the server''s log says what keeps it from it',
        @extschema@.quote_month_statement(log, next_month));
    return next @extschema@.quote_collab_verdict('default partition present', @extschema@.quote_changes_spare(log) is not null, 'error',
        'a change of a month without a partition is refused, and the save with it', null);
    select count(distinct i.inhrelid) + count(x.indexrelid) into locks from pg_inherits i left join pg_index x on x.indrelid = i.inhrelid
    where i.inhparent in (select a.oid from pg_class l join pg_class a on a.relnamespace = l.relnamespace
        where l.oid = log and a.relname in ('quote_changes', 'quote_changes_archive'));
    return next @extschema@.quote_collab_verdict('locks suffice for the history', locks <= 4 * current_setting('max_locks_per_transaction')::integer, 'warning',
        format('whoever reads a page of the history locks %s tables and indexes: where a quarter of all sessions do so at once, PostgreSQL may be out of shared memory', locks),
        format('alter system set max_locks_per_transaction = %s; then restart. Or keep fewer months: archive_after and drop_after.', (locks + 255) / 256 * 128));
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    select string_agg(format('%s lacks %s', m.relation, m.names), '; ') as names, string_agg(m.repair, ' ') as repair into found
    from @extschema@.quote_columns_missing(target_schema) m where m.relation <> log;
    return next @extschema@.quote_collab_verdict('tables beside the log as attached', found.names is null, 'error', found.names, found.repair);
    copy := (select c.oid from pg_class c join pg_class l on l.relnamespace = c.relnamespace
        where l.oid = log and c.relname = 'quote_changes_archive' and c.relkind <> 'p' and @extschema@.quote_owner_trusted(c.relowner));
    return next @extschema@.quote_collab_verdict('archive made by archiving', copy is null, 'error',
        format('%s was made by hand: what is there is no part of the history, and nothing can be archived', copy),
        @extschema@.quote_copy_return(copy, format('alter table %s rename to earlier_quote_changes;', copy)));
    return next @extschema@.quote_collab_doctor_positions(log, target_schema);
    select string_agg(k.relation::text, ', ') as names, string_agg(k.repair, ' ') as repair into found from @extschema@.quote_keys_missing(target_schema) k;
    return next @extschema@.quote_collab_verdict('keys stand', found.names is null, 'error', format('these tables lost their key: %s', found.names), found.repair);
    select * into keep from @extschema@.quote_history_policy();
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        concat('archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
            ': ' || (select string_agg(d.name, ', ') from @extschema@.quote_archive_dependents(target_schema) d (name))),
        format('See what select * from verify_quote_history(); finds and select @extschema@.drop_archived_quote_changes(%L); says. Keep its findings, and take the partitions away by hand.',
            keep.drop_after));
    return next @extschema@.quote_collab_verdict('history archived when due', keep.archive_after is null or not exists (
            select from @extschema@.quote_changes_months_before(log, @extschema@.quote_archive_limit(keep.archive_after) - interval '2 days')), 'warning',
        'months that archive_after lets go are still in the log: maintenance is not called, or something keeps it from it',
        format('select @extschema@.archive_quote_changes(interval %L);', keep.archive_after));
    return next @extschema@.quote_collab_verdict('history bounded', cardinality(partitions) < 61, 'warning', 'the log holds more than 5 years',
        'select @extschema@.archive_quote_changes(interval ''24 months'');');
    if not has_function_privilege('@extschema@.quote_seal_key_problem()', 'execute') then
        return next @extschema@.quote_collab_unchecked('seals signed as configured', 'the key is kept from this role',
            format('grant execute on function @extschema@.quote_seal_key_problem() to %I;', current_user));
    else
        return next @extschema@.quote_collab_verdict('seals signed as configured', @extschema@.quote_seal_key_problem() is null, 'error',
            format('seals are not signed with quote_collab.seal_key: %s', @extschema@.quote_seal_key_problem()),
            'Set it to what openssl rand -base64 32 prints, preload the library and restart.');
    end if;
end $$;
create function quote_setting_repair(option text, change text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select string_agg(format('alter %s reset %s;', concat_ws(' in ', 'role ' || coalesce(quote_ident(r.rolname), case when s.setdatabase = 0 then 'all' end),
            'database ' || quote_ident(d.datname)), option), ' ')
        from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
        where (s.setrole = 0 or r.rolname = session_user) and (s.setdatabase = 0 or d.datname = current_database())
            and exists (select from unnest(s.setconfig) c (setting) where starts_with(lower(c.setting), option || '='))),
        format('alter system %s; select pg_reload_conf();', change))
$$;
comment on function quote_setting_repair(text, text) is 'doctor: what gives sessions another value of a setting';
create or replace function quote_collab_doctor_server() returns setof quote_collab_check
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
        format('version %s is installed, %s is available', installed, available), 'alter extension quote_collab_ext update; and, in the same transaction, select attach_quote_collaboration();');
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
create or replace function quote_collab_doctor_processes(preloaded boolean) returns setof quote_collab_check
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
create or replace function quote_extension_function_grants() returns table (told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with given as (
        select g.* from @extschema@.quote_function_grants() g where g.grantee <> 0)
    select g.told, g.revoke from given g
    where exists (
            select from given k where k.grantee = g.grantee and k.function = '@extschema@.move_quote_seal_anchor(bytea, bigint, bytea, boolean)'::regprocedure)
        and not exists (
            select from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
            where g.function = '@extschema@.capture_quote_change()'::regprocedure and c.relowner = g.grantee
                or g.function = '@extschema@.cleanup_stale_quote_sessions()'::regprocedure and s.entity = 'QUOTE' and has_table_privilege(g.grantee, c.oid, 'update'))
$$;
create function quote_rights_in_release() returns table (revoke text, give text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with members as (
        select o.kind, o.acl, o.owner from pg_extension e
        join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        join pg_init_privs i on (i.classoid, i.objoid, i.objsubid) = (d.classid, d.objid, 0)
        cross join lateral (
            select 'function ' || p.oid::regprocedure, p.proacl, p.proowner from pg_proc p where d.classid = 'pg_proc'::regclass and p.oid = d.objid and p.prokind = 'f'
            union all
            select 'table ' || c.oid::regclass, c.relacl, c.relowner from pg_class c where d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 'r') o (kind, acl, owner)
        where e.extname = 'quote_collab_ext' and exists (select from aclexplode(i.initprivs) n where n.grantee not in (0, o.owner)))
    select format('revoke all on %s from %s cascade', m.kind, @extschema@.quote_grantee(a.grantee)),
        format('grant %s on %s to %s%s', a.privilege_type, m.kind, @extschema@.quote_grantee(a.grantee), case when a.is_grantable then ' with grant option' else '' end)
    from members m cross join lateral aclexplode(m.acl) a where a.grantee not in (0, m.owner)
    union all
    -- Where nobody has such a right any more: has it noted.
    select format('revoke grant option for all on %s from public', m.kind), null
    from members m where not exists (select from aclexplode(m.acl) a where a.grantee not in (0, m.owner))
$$;
comment on function quote_rights_in_release() is 'rights on members of the extension that PostgreSQL takes for part of the release, and what gives them beside it';
create or replace function close_quote_extension() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
    rights text[];
begin
    for statement in
        select t.revoke from @extschema@.quote_extension_table_grants() t union all select f.revoke from @extschema@.quote_extension_function_grants() f
        union all
        select format('drop trigger %I on %s', g.tgname, t.relation)
        from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
        join pg_proc p on p.oid = g.tgfoid join pg_roles r on r.oid = p.proowner
        where not g.tgisinternal and not r.rolsuper
    loop
        execute statement;
    end loop;
    select coalesce(array_agg(array[r.revoke, r.give]), '{}'::text[]) into rights from @extschema@.quote_rights_in_release() r;
    foreach statement in array rights[:][1:1] loop
        execute statement;
    end loop;
    perform @extschema@.grant_beside_quote_release(g.statement) from unnest(rights[:][2:2]) g (statement) where g.statement is not null;
end $$;
-- What is kept from PUBLIC and new, from those to whom default privileges have given it.
do $$
declare
    statement text;
begin
    for statement in
        select g.revoke from @extschema@.quote_function_grants() g join pg_catalog.pg_proc p on p.oid operator(pg_catalog.=) g.function
        where p.proname operator(pg_catalog.=) any (array['archive_due_quote_months', 'drop_due_quote_months', 'grant_beside_quote_release', 'note_due_quote_months', 'note_quote_drop_refused', 'note_quote_log_cut', 'prove_due_quote_months', 'quote_history_begin', 'quote_latest_rows', 'quote_months_end']::pg_catalog.name[])
    loop
        execute statement;
    end loop;
end $$;
-- Whatever default privileges gave of what this or an earlier release made, and what earlier updates gave as part of the release.
select @extschema@.close_quote_extension();
