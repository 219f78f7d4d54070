-- Tamper evidence without a cost for the writers: what became visible since the last block is hashed into the next, and
-- each block into the one after it. A change of a sealed row, of a block, or of their order is found by
-- verify_quote_history(), also when the log's owner makes the whole chain anew: quote_seal_anchor, which he cannot write, names
-- the block that was sealed last. What a superuser does before a row is sealed, or to chain and anchor at once, is found only
-- by comparing quote_history_digest() with one that was kept elsewhere.

-- The rows of a block in three parts, each as a condition: what was running when the block before was cut, what began since,
-- and, behind a block of another cluster, what that one had not sealed.
create function quote_block_parts() returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select array[
        'c.xid = any (array(select pg_snapshot_xip($1))) and c.origin = $3 and c.changed_at between $4 and $5 and pg_visible_in_snapshot(c.xid, $2)',
        'c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2) and c.origin = $3 and c.changed_at between $4 and $5 and pg_visible_in_snapshot(c.xid, $2)',
        '$7 <> $3 and c.origin = $7 and not pg_visible_in_snapshot(c.xid, $6)']
$$;
comment on function quote_block_parts() is 'conditions of the three parts of a block';

-- The query for rows and root of a block. Form 2: a hash over the hashes of the parts, each over its rows in the order of the
-- event feed, whose index gives it. Form 3: the same, of rows of any time. Form 1, of blocks that 0.2.0 sealed: a hash over the hashes of all rows, each as the text
-- of a jsonb array, which is the same whatever the session is set to.
create function quote_block_query(form smallint, history text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when form in (2, 3) then format($query$select sum(d.rows)::bigint, sha256(string_agg(d.digest, '' order by d.part)) from (%s) d (part, rows, digest)$query$,
            string_agg(format($query$select %s, count(*), @extschema@.quote_changes_digest(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id, c.was_conflict,
                c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position, c.xid, c.origin, c.context)
                from (select * from %s c where %s order by c.xid, c.position, c.id) c$query$, p.part, history, p.condition), ' union all '))
        else format($query$select count(*), @extschema@.quote_digest(sha256(convert_to(jsonb_build_array(c.id, c.tenant_id, c.quote_id, c.quote_line_id,
                c.changed_by, extract(epoch from c.changed_at), c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id,
                c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position,
                c.xid::text, c.origin, c.context)::text, 'UTF8'))) from (select * from (%s) c order by c.position, c.id) c$query$,
            string_agg(format('select * from %s c where %s', history, p.condition), ' union all ')) end
    from unnest(@extschema@.quote_block_parts()) with ordinality p (condition, part)
$$;
comment on function quote_block_query(smallint, text) is 'query for rows and root of a block';

-- Rows and root of a block: reads each row once and keeps none, however many there are. Rows of a block were made from a day before its
-- floor to a day after it was cut, which keeps the reader out of all other months; those of form 3 at any time.
create function digest_quote_changes(form smallint, prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz, cur_at timestamptz,
    before_cur pg_snapshot, before_origin bigint, out rows bigint, out root bytea)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
set jit = off
as $$
begin
    execute @extschema@.quote_block_query(form, @extschema@.quote_history_query())
    into rows, root using prev, cur, origin, case form when 3 then '-infinity' else floor_at - interval '1 day' end,
        case form when 3 then 'infinity' else cur_at + interval '1 day' end, before_cur, before_origin;
end $$;
comment on function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint) is 'hashes the rows of one block of the audit log';

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

-- The form of the next block: 3 where the clock was set meanwhile, and a row has a time that no block would look for.
create function quote_block_form(prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz, cur_at timestamptz) returns smallint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    outside text := (
        select string_agg(format('exists (select from %s c where %s and c.origin = $3 and pg_visible_in_snapshot(c.xid, $2) and %s)',
            @extschema@.quote_relay_table('quote_changes'), p.condition, t.condition), ' or ')
        from unnest(array['c.xid = any (array(select pg_snapshot_xip($1)))', 'c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)']) p (condition),
            unnest(array['c.changed_at < $4', 'c.changed_at > $5']) t (condition));
    is_outside boolean;
begin
    select r.is_outside into is_outside from @extschema@.quote_prepared_rows('select ' || outside,
        row(prev, cur, origin, floor_at - interval '1 day', cur_at + interval '1 day')) r (is_outside boolean);
    return case when is_outside then 3 else 2 end;
end $$;
comment on function quote_block_form(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz) is 'form of the next block of the chain of seals';
revoke execute on function quote_block_form(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz) from public;

-- Seals what is visible and not sealed yet; returns how many rows. One at a time: 0 when another is at it. A signed block
-- vouches for all before it, so a new key signs at once, even where nothing is to be sealed. Goes on above whatever became of
-- the chain, begins another where there is none; 55000 where log or seals are not tables to be read.
create function seal_quote_history() returns bigint
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
    prev := case when last.origin = here then last.cur else '3:3:'::pg_snapshot end;
    -- As in the event feed: what ran already when the last block was cut may hold changes older than that.
    floor_at := case when last.origin <> here then '-infinity'
        when pg_snapshot_xmin(last.cur) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    form := @extschema@.quote_block_form(prev, cur, here, floor_at, now_at);
    select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, now_at, last.cur, last.origin);
    if block.rows > 0 or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, last.cur_at, now_at, here, block.rows, block.root,
            now_at, form, null::jsonb);
    end if;
    return block.rows;
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
    execute format('select s.no || '':'' || encode(s.hash, ''hex'') from %s s order by s.no desc limit 1',
        @extschema@.quote_relay_table('quote_changes_seals')) into digest;
    return digest;
end $$;
comment on function quote_history_digest() is 'number and hash of the newest seal';
