-- Tamper evidence without a cost for the writers: what became visible since the last block is hashed into the next, and
-- each block into the one after it. A change of a sealed row, of a block, or of their order is found by
-- verify_quote_history(), also when the log's owner makes the whole chain anew: quote_seal_anchor, which he cannot write, names
-- the block that was sealed last. What a superuser does before a row is sealed, or to chain and anchor at once, is found only
-- by comparing quote_history_digest() with one that was kept elsewhere.

-- The rows of a block in three parts, each as a condition: what was running when the block before was cut, what began since,
-- and, behind a block of another cluster, what that one had not sealed. Form 4, which stands behind blocks of other clusters, has no third
-- part: what they had not sealed has blocks of its own.
create function quote_block_parts() returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select array[
        'c.xid = any (array(select pg_snapshot_xip($1))) and c.origin = $3 and c.changed_at between $4 and $5 and pg_visible_in_snapshot(c.xid, $2)',
        'c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2) and c.origin = $3 and c.changed_at between $4 and $5 and pg_visible_in_snapshot(c.xid, $2)',
        '$7 <> $3 and c.origin = $7 and not pg_visible_in_snapshot(c.xid, $6)
            and ($8 is null or pg_visible_in_snapshot(c.xid, $8))']
$$;
comment on function quote_block_parts() is 'conditions of the three parts of a block';

-- The query for rows, root and newest time of a block. Form 2: a hash over the hashes of the parts, each over its rows in the order of the
-- event feed, whose index gives it. Forms 3 and 4: the same, of rows of any time. Form 1, of blocks that 0.2.0 sealed: a hash over the hashes of all rows, each as the text
-- of a jsonb array, which is the same whatever the session is set to.
create function quote_block_query(form smallint, history text) returns text
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

-- Rows and root of a block, and the newest time in it: reads each row once and keeps none, however many there are. Rows of a block were made
-- from a day before its floor to a day after it was cut, which keeps the reader out of all other months; those of forms 3 and 4 at any time.
-- The query is planned once in a session: most blocks are small, and there are thousands to be verified.
-- before_until: where what the cluster before had not sealed ends; null where it has no end.
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

create function quote_seal_hash(before bytea, no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz,
    cur_at timestamptz, origin bigint, rows bigint, root bytea, sealed_at timestamptz, form smallint) returns bytea
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select sha256(before || convert_to(jsonb_build_array(no, prev::text, cur::text, extract(epoch from floor_at)::text,
        extract(epoch from prev_at)::text, extract(epoch from cur_at)::text, origin, rows, encode(root, 'hex'), extract(epoch from sealed_at)::text)::text
        || case when form > 1 then form::text else '' end, 'UTF8'))
$$;
comment on function quote_seal_hash(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea, timestamptz, smallint) is 'hash of a block over the one before it and all of its own';

-- Appends a block to the chain, signed where a key is configured, and lets the anchor follow.
create function append_quote_seal(last_hash bytea, no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz,
    cur_at timestamptz, origin bigint, rows bigint, root bytea, sealed_at timestamptz, form smallint, released jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    hash bytea := @extschema@.quote_seal_hash(last_hash, no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, sealed_at, form);
    signature bytea := @extschema@.sign_quote_seal(hash);
begin
    execute format('insert into %s (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, signature, signed_by, released)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)', @extschema@.quote_relay_table('quote_changes_seals'))
    using no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, signature, @extschema@.quote_seal_key(), released;
    perform @extschema@.move_quote_seal_anchor(last_hash, no, hash, signature is not null);
end $$;
comment on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, smallint, jsonb) is 'appends a block to the chain of seals';
revoke execute on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, smallint, jsonb) from public;

-- The floor of the next block: no change that is not in a block yet was made before, save for steps of the clock. As in the event feed: what
-- ran already when the last block was cut may hold changes older than that. A day behind the beginning of a month: whether anything
-- lies outside is then a question to other months alone, which hold nothing of these transactions.
create function quote_block_floor(prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, floor_at timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select date_trunc('month', case when pg_snapshot_xmin(cur) >= pg_snapshot_xmax(prev) then prev_at else floor_at end - interval '24 hours', 'UTC')
        + interval '24 hours'
$$;
comment on function quote_block_floor(pg_snapshot, pg_snapshot, timestamptz, timestamptz) is 'floor of the block behind a block of the chain of seals';
revoke execute on function quote_block_floor(pg_snapshot, pg_snapshot, timestamptz, timestamptz) from public;

-- Whether the next block holds a row from before its floor, where no block but one of form 3 would look for it: the clock was set meanwhile.
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

-- A history that moves from cluster to cluster, and maybe back, has blocks of each of them: those of one cluster go on where the newest
-- of them ended, whatever blocks of others lie between. The first seal in a cluster closes what others left.

-- A block of forms 1 to 3 behind one of another cluster took what that one had not sealed: up to where the next block of that cluster
-- begins, which has come back. Where there is none yet, what it took came here along with the newest block, if the cluster is this one; of
-- others nothing comes, and null says that there is no end.
create function quote_taken_until(taken bigint, no bigint) returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    until pg_snapshot;
begin
    execute format('select n.prev from %s n where n.origin = $1 and n.no > $2 order by n.no limit 1', @extschema@.quote_relay_table('quote_changes_seals'))
    into until using taken, no;
    if until is null and taken = @extschema@.quote_cluster_identifier() then
        execute format('select @extschema@.quote_snapshot_before(n.xmin) from %s n order by n.no desc limit 1', @extschema@.quote_relay_table('quote_changes_seals'))
        into until;
    end if;
    return until;
end $$;
comment on function quote_taken_until(bigint, bigint) is 'end of what a block took of the cluster before';
revoke execute on function quote_taken_until(bigint, bigint) from public;

-- The lowest transaction above those that wrote rows of a cluster; numbers that no cluster reaches do not count. The first three of each 2^32 are
-- no transaction's, and no snapshot has them.
create function quote_history_end(cluster bigint) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
begin
    execute format('select max(c.xid::text::bigint) from %s c where c.origin = $1 and c.xid < ''9000000000000000000''::xid8', @extschema@.quote_history_query())
    into newest using cluster;
    return coalesce(newest + case when newest & 4294967295 = 4294967295 then 4 else 1 end, 3);
end $$;
comment on function quote_history_end(bigint) is 'the lowest transaction of a cluster above all rows that are here';
revoke execute on function quote_history_end(bigint) from public;

-- Up to where the rows of a cluster are sealed by the blocks up to a number: by its own newest block, or all that had come along, where a
-- block of forms 1 to 3 took the rest.
create function quote_sealed_until(cluster bigint, up_to bigint) returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
    cur pg_snapshot;
    is_taken boolean;
begin
    execute format('select b.no, b.cur, n.form < 4 from %1$s b left join %1$s n on n.no = b.no + 1 and n.no <= $2
        where b.origin = $1 and b.no <= $2 order by b.no desc limit 1', @extschema@.quote_relay_table('quote_changes_seals'))
    into newest, cur, is_taken using cluster, up_to;
    if newest is null then
        cur := '3:3:';
    elsif is_taken then
        cur := coalesce(@extschema@.quote_taken_until(cluster, newest),
            format('%1$s:%1$s:', greatest(@extschema@.quote_history_end(cluster), pg_snapshot_xmax(cur)::text::numeric))::pg_snapshot);
    end if;
    return cur;
end $$;
comment on function quote_sealed_until(bigint, bigint) is 'up to where the rows of a cluster are sealed';
revoke execute on function quote_sealed_until(bigint, bigint) from public;

-- Does history arrive here that its publisher seals? It comes in the order of commits, which is not the order of the feed: it is sealed here
-- once it arrives no more.
create function quote_history_arrives() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from @extschema@.quote_collab_settings s where s.replicated_history);
end $$;
comment on function quote_history_arrives() is 'whether history is replicated from another cluster';

-- Has this cluster sealed what came along of others? Not yet where a dump was restored or the server upgraded since the last seal. Known
-- by a table that the owner of the log cannot make anew: else he had rows of clusters that never were sealed as if they had come along.
create function quote_seals_are_settled(newest_origin bigint) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return newest_origin = @extschema@.quote_cluster_identifier() and exists (
        select from @extschema@.quote_seal_anchor a
        where a.log_schema = @extschema@.quote_collab_home() and a.settled_in = '@extschema@.quote_seal_anchor'::regclass);
end $$;
comment on function quote_seals_are_settled(bigint) is 'whether this cluster has sealed what came along of others';
revoke execute on function quote_seals_are_settled(bigint) from public;

-- Seals what came along of other clusters and was not sealed there, each cluster's in a block of its own, if only to say that nothing
-- was left; returns how many rows.
create function seal_other_quote_clusters(now_at timestamptz) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    here bigint := @extschema@.quote_cluster_identifier();
    cluster bigint;
    last_no bigint;
    last_hash bytea;
    prev pg_snapshot;
    cur pg_snapshot;
    block record;
    sealed bigint := 0;
begin
    for cluster in execute format('select distinct c.origin from %s c where c.origin <> $1 order by c.origin', @extschema@.quote_history_query()) using here loop
        prev := @extschema@.quote_sealed_until(cluster, 9223372036854775807::bigint);
        cur := format('%1$s:%1$s:', greatest(@extschema@.quote_history_end(cluster), pg_snapshot_xmax(prev)::text::numeric))::pg_snapshot;
        select * into block from @extschema@.digest_quote_changes(4::smallint, prev, cur, cluster, '-infinity'::timestamptz, now_at, null::pg_snapshot, null::bigint,
            null::pg_snapshot);
        execute format('select s.no, s.hash from %s s order by s.no desc limit 1', seals) into strict last_no, last_hash;
        perform @extschema@.append_quote_seal(last_hash, last_no + 1, prev, cur, '-infinity'::timestamptz, '-infinity'::timestamptz, now_at, cluster, block.rows,
            block.root, now_at, 4::smallint, null::jsonb);
        sealed := sealed + block.rows;
    end loop;
    return sealed;
end $$;
comment on function seal_other_quote_clusters(timestamptz) is 'seals what came along of other clusters; returns how many rows';
revoke execute on function seal_other_quote_clusters(timestamptz) from public;

-- Seals what is visible and not sealed yet; returns how many rows. One at a time: 0 when another is at it. A signed block
-- vouches for all before it, so a new key signs at once, even where nothing is to be sealed. The first time in a cluster seals what came
-- along of others, and goes on where this cluster ended in the life before. Goes on above whatever became of
-- the chain, begins another where there is none; 55000 where log or seals are not tables to be read.
create function seal_quote_history() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
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
            hint = 'Have the tables as attach made them: quote_collab_doctor() says how.';
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
        prev := @extschema@.quote_sealed_until(here, 9223372036854775807::bigint);
    end if;
    if not settled and not @extschema@.quote_history_arrives() then
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
comment on function seal_quote_history() is 'seals what was written to the audit log since it was called last; returns how many rows';

-- Hash of the newest block: keep it outside of this cluster, now and then, and pass it to verify_quote_history() later.
create function quote_history_digest() returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    digest text;
begin
    perform @extschema@.require_quote_home('{quote_changes_seals}'::text[]);
    execute format('select s.no || '':'' || encode(s.hash, ''hex'') from %s s order by s.no desc limit 1',
        @extschema@.quote_relay_table('quote_changes_seals')) into digest;
    return digest;
end $$;
comment on function quote_history_digest() is 'number and hash of the newest seal';
