-- From 0.6.0 to 0.7.0.
drop function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint, pg_snapshot);
drop function quote_block_form(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz);
create or replace function create_quote_changes(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := format('%I.quote_changes', target_schema);
    item record;
begin
    if not @extschema@.quote_relation_stands(log, 'p'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                id                    uuid        not null,
                tenant_id             uuid        not null,
                quote_id              uuid        not null,
                quote_line_id         uuid,
                changed_by            uuid,
                changed_at            timestamptz not null,
                entity_type           varchar(20) not null,
                field_name            varchar(63) not null,
                old_value             jsonb,
                new_value             jsonb,
                change_type           varchar(20) not null,
                session_id            uuid,
                was_conflict          boolean     not null,
                conflict_resolution   varchar(50),
                entity_version_before integer,
                entity_version_after  integer,
                event_id              uuid        not null,
                position              bigint      not null,
                xid                   xid8        not null,
                origin                bigint      not null,
                context               jsonb,
                constraint quote_changes_pkey primary key (xid, position, id, changed_at)
            ) partition by range (changed_at)$ddl$, log);
        execute format('create index quote_changes_quote on %s (quote_id, position) with (deduplicate_items = off)', log);
        execute format('create index quote_changes_changed_at on %s using brin (changed_at)', log);
        execute format('create table %I.quote_changes_default partition of %s default', target_schema, log);
        execute format('create sequence %I.quote_changes_position_seq as bigint owned by %s.position', target_schema, log);
        execute format('alter table %I.quote_changes_default owner to %I', target_schema, target_owner);
        execute format('alter table %s owner to %I', log, target_owner);
        perform @extschema@.close_quote_table(c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname in ('quote_changes', 'quote_changes_default', 'quote_changes_position_seq');
    end if;
    perform @extschema@.comment_quote_changes(log::regclass);
    for item in select t.* from @extschema@.quote_tenant_tables(target_schema) t
        where t.policy = 'quote_changes_tenant_isolation' and not @extschema@.quote_table_is_protected(t.relation, t.policy) loop
        perform @extschema@.protect_quote_table(item.relation, item.policy);
    end loop;
    perform @extschema@.create_quote_changes_partitions(log::regclass, 3);
    return log::regclass;
end $$;
create or replace function join_quote_changes_month(log regclass, spare regclass, month regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name;
    log_owner name;
    has_strays boolean := false;
    outdated regclass;
begin
    select n.nspname, pg_get_userbyid(c.relowner) into log_schema, log_owner from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log;
    if month is not null then
        -- What writers have added meanwhile; a month that is over got nothing more.
        if month_end > now() - interval '1 day' then
            perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
        end if;
        execute format('alter table %s attach partition %s for values from (%L) to (%L)', log, month, month_start, month_end);
        execute format('alter table %s drop constraint quote_changes_month', month);
    else
        has_strays := @extschema@.quote_log_is_published(log) and @extschema@.quote_strays_exist(spare, month_start, month_end);
        if has_strays then
            execute format('create temporary table quote_changes_strays (like %s)', log);
            perform @extschema@.move_quote_strays(spare, to_regclass('pg_temp.quote_changes_strays'::text), month_start, month_end);
        end if;
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)', log_schema, month_name, log, month_start, month_end);
        month := format('%I.%I', log_schema, month_name)::regclass;
        if has_strays then
            execute format('insert into %s select * from pg_temp.quote_changes_strays', month);
            drop table pg_temp.quote_changes_strays;
        end if;
    end if;
    -- A log of 0.6.0 or before hands this on, and no longer needs it.
    for outdated in select c.oid from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = month and 'autosummarize=on' = any (c.reloptions) loop
        execute format('alter index %s reset (autosummarize)', outdated);
    end loop;
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name);
end $$;
create function summarize_quote_changes(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
    ranges integer := 0;
begin
    for part in
        select p.relid as month, i.indexrelid as index
        from pg_partition_tree(log) p join pg_index i on i.indrelid = p.relid join pg_class c on c.oid = i.indexrelid
        where p.isleaf and i.indisvalid and c.relam = (select a.oid from pg_am a where a.amname = 'brin')
            and p.relid not in (select m.month from @extschema@.quote_changes_months_before(log, now() - interval '2 days') m)
            and pg_relation_size(p.relid) > 0
    loop
        -- Whom VACUUM, or who else takes this lock, must not be made to wait for.
        begin
            execute format('lock table only %s in share update exclusive mode nowait', part.month::regclass);
        exception when lock_not_available then
            continue;
        end;
        ranges := ranges + brin_summarize_new_values(part.index);
    end loop;
    return ranges;
end $$;
comment on function summarize_quote_changes(regclass) is 'summarizes the times in newly filled pages of an audit log; returns how many ranges';
revoke execute on function summarize_quote_changes(regclass) from public;
create or replace function quote_block_query(form smallint, history text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when form in (2, 3, 4) then format($query$select sum(d.rows)::bigint, sha256(string_agg(d.digest, '' order by d.part)), max(d.newest)
            from (%s) d (part, rows, digest, newest)$query$,
            string_agg(format($query$select %s, count(*), @extschema@.quote_changes_digest(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id, c.was_conflict,
                c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position, c.xid, c.origin, c.context), max(c.changed_at)
                from (select * from %s c where %s order by c.xid, c.position, c.id) c$query$, p.part, history, p.condition), ' union all '))
        else format($query$select count(*), @extschema@.quote_digest(sha256(convert_to(jsonb_build_array(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, extract(epoch from c.changed_at), c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id,
                c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position,
                c.xid::text, c.origin, c.context)::text, 'UTF8'))), max(c.changed_at) from (select * from (%s) c order by c.position, c.id) c$query$,
            string_agg(format('select * from %s c where %s', history, p.condition), ' union all ')) end
    from unnest(@extschema@.quote_block_parts()) with ordinality p (condition, part) where p.part < 3 or form <> 4
$$;
comment on function quote_block_query(smallint, text) is 'query for rows, root and newest time of a block';
create function digest_quote_changes(form smallint, prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz, cur_at timestamptz,
    before_cur pg_snapshot, before_origin bigint, before_until pg_snapshot default null, out rows bigint, out root bytea, out newest timestamptz)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
set jit = off
as $$
begin
    select r.* into rows, root, newest from @extschema@.quote_prepared_rows(
        @extschema@.quote_block_query(form, @extschema@.quote_kept_query('@extschema@.quote_history_query()'::regprocedure::oid)),
        row(prev, cur, origin, case when form in (3, 4) then '-infinity' else floor_at - interval '24 hours' end,
            case when form in (3, 4) then 'infinity' else cur_at + interval '24 hours' end, before_cur, before_origin, before_until))
        r (rows bigint, root bytea, newest timestamptz);
end $$;
comment on function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint, pg_snapshot) is 'hashes the rows of one block of the audit log';
create function quote_block_floor(prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, floor_at timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select date_trunc('month', case when pg_snapshot_xmin(cur) >= pg_snapshot_xmax(prev) then prev_at else floor_at end - interval '24 hours', 'UTC')
        + interval '24 hours'
$$;
comment on function quote_block_floor(pg_snapshot, pg_snapshot, timestamptz, timestamptz) is 'floor of the block behind a block of the chain of seals';
revoke execute on function quote_block_floor(pg_snapshot, pg_snapshot, timestamptz, timestamptz) from public;
create function quote_block_sinks(prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    outside text := (
        select string_agg(format('exists (select from %s c where %s and c.origin = $3 and pg_visible_in_snapshot(c.xid, $2) and c.changed_at < $4)',
            @extschema@.quote_relay_table('quote_changes'), p.condition), ' or ')
        from unnest(array['c.xid = any (array(select pg_snapshot_xip($1)))', 'c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)']) p (condition));
    sinks boolean;
begin
    select r.sinks into sinks from @extschema@.quote_prepared_rows('select ' || outside,
        row(prev, cur, origin, floor_at - interval '24 hours')) r (sinks boolean);
    return sinks;
end $$;
comment on function quote_block_sinks(pg_snapshot, pg_snapshot, bigint, timestamptz) is 'whether the next block of the chain of seals holds rows from before its floor';
revoke execute on function quote_block_sinks(pg_snapshot, pg_snapshot, bigint, timestamptz) from public;
create or replace function seal_quote_history() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    here bigint := @extschema@.quote_cluster_identifier();
    key bytea := @extschema@.quote_seal_key();
    last record;
    cur pg_snapshot;
    prev pg_snapshot;
    floor_at timestamptz;
    block record;
    form smallint;
    now_at timestamptz := clock_timestamp();
    faults text;
    settled boolean;
    others bigint := 0;
begin
    begin
        execute format('lock table %s in share update exclusive mode nowait', seals);
    exception
        when lock_not_available then return 0;
        when undefined_table or wrong_object_type then null;
    end;
    -- Under the lock, which keeps all away that could become a fault of the seals.
    select string_agg(f, ', ') into faults from @extschema@.quote_history_faults() f;
    if faults is not null then
        raise exception 'the history cannot be sealed' using errcode = 'object_not_in_prerequisite_state', detail = format('Found: %s.', faults),
            hint = 'Have the tables as attach made them.';
    end if;
    execute format('select * from %s order by no desc limit 1', seals) into last;
    if last.no is null then
        perform @extschema@.begin_quote_changes_seals(@extschema@.quote_collab_home());
        execute format('select * from %s order by no desc limit 1', seals) into strict last;
    end if;
    perform @extschema@.begin_quote_seal_anchor(last.no, last.hash);
    cur := @extschema@.quote_feed_snapshot();
    prev := last.cur;
    settled := @extschema@.quote_seals_are_settled(last.origin);
    if not settled then
        prev := @extschema@.quote_sealed_until(here);
        others := @extschema@.seal_other_quote_clusters(now_at);
        execute format('select * from %s order by no desc limit 1', seals) into strict last;
        update @extschema@.quote_seal_anchor a set settled_in = '@extschema@.quote_seal_anchor'::regclass where a.log_schema = @extschema@.quote_collab_home();
    end if;
    form := 4;
    floor_at := '-infinity';
    if last.origin = here then
        floor_at := @extschema@.quote_block_floor(last.prev, last.cur, last.prev_at, last.floor_at);
        form := case when @extschema@.quote_block_sinks(prev, cur, here, floor_at) then 3 else 2 end;
    end if;
    select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, 'infinity'::timestamptz, last.cur, last.origin,
        null::pg_snapshot);
    -- Read without a ceiling, and once more where that was needed: the clock was set back since.
    if form = 2 and block.newest > now_at + interval '24 hours' then
        form := 3;
        select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, now_at, last.cur, last.origin, null::pg_snapshot);
    end if;
    if block.rows > 0 or last.origin <> here or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, case when last.origin = here then last.cur_at else floor_at end,
            now_at, here, block.rows, block.root, now_at, form, null::jsonb);
    end if;
    return others + block.rows;
end $$;
create or replace function examine_quote_seals(from_at timestamptz, until_at timestamptz)
returns table (no bigint, expected_rows bigint, expected_root bytea, rows bigint, root bytea)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    b record;
    released record;
begin
    select * into released from @extschema@.quote_history_released();
    for b in execute format($query$
        select * from (select lag(s.cur) over chain as before_cur, lag(s.origin) over chain as before_origin, s.* from %s s window chain as (order by s.no)) x
        where x.no > 0 and x.released is null and not $1 @> x.no
            and (x.floor_at - interval '24 hours' < $3 and x.cur_at + interval '24 hours' > $2 or x.form in (3, 4) or x.origin <> x.before_origin)
        order by x.no$query$, @extschema@.quote_relay_table('quote_changes_seals')) using released.gone, from_at, until_at
    loop
        no := b.no;
        expected_rows := coalesce((released.remains -> b.no::text ->> 'rows')::bigint, b.rows);
        expected_root := coalesce(decode(released.remains -> b.no::text ->> 'root', 'hex'), b.root);
        select d.rows, d.root into rows, root from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at,
            b.cur_at, b.before_cur, b.before_origin,
            case when b.origin <> b.before_origin and b.form < 4 then @extschema@.quote_taken_until(b.before_origin, b.no) end) d;
        return next;
    end loop;
end $$;
create or replace function seal_quote_release(released jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    last record;
    root bytea := sha256(convert_to(released::text, 'UTF8'));
begin
    execute format('select * from %s order by no desc limit 1', seals) into strict last;
    perform @extschema@.append_quote_seal(last.hash, last.no + 1, last.cur, last.cur, @extschema@.quote_block_floor(last.prev, last.cur, last.prev_at, last.floor_at),
        last.cur_at, last.cur_at, last.origin, 0, root, clock_timestamp(), 2::smallint, released);
end $$;
create or replace function quote_collab_maintenance() returns jsonb
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
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    end if;
    -- Whoever may write presence may lock it, and must not keep the history from being sealed.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when lock_not_available then
        raise warning 'stale sessions are not swept' using detail = sqlerrm;
    end;
    -- A lock that nobody takes without rights on the batches; who cuts or reads them is not in its way.
    begin
        execute format('lock table %s in share update exclusive mode nowait', batch);
        alone := true;
    exception when lock_not_available then
        alone := false;
    end;
    if alone then
        execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
            and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
        get diagnostics dropped = row_count;
    end if;
    -- What is wrong with the history is verify_quote_history()'s to tell, and must not stop the rest.
    begin
        sealed := @extschema@.seal_quote_history();
    exception when object_not_in_prerequisite_state then
        raise warning '%', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        made := @extschema@.create_quote_changes_partitions(log, 3);
        begin
            if made = 0 then
                made := @extschema@.place_quote_strays(log, 1, 1073741824::bigint);
            end if;
        exception when lock_not_available or check_violation then
            -- In use, or somebody added to a month that was over: another time.
            made := 0;
        end;
        if made = 0 then
            select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
        end if;
        perform @extschema@.summarize_quote_changes(log);
    end if;
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
