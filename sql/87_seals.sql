-- Tamper evidence without a cost for the writers: what became visible since the last block is hashed into the next, and
-- each block into the one after it. A change of a sealed row, of a block, or of their order is found by
-- verify_quote_history(), also when the log's owner makes the whole chain anew: quote_seal_anchor, which he cannot write, names
-- the block that was sealed last. What a superuser does before a row is sealed, or to chain and anchor at once, is found only
-- by comparing quote_history_digest() with one that was kept elsewhere.

-- SHA-256 over all byte strings in their order; nothing is kept of them meanwhile.
create function quote_digest_add(state internal, bytes bytea) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'quote_digest_add';
comment on function quote_digest_add(internal, bytea) is 'takes a byte string into quote_digest()';
create function quote_digest_result(state internal) returns bytea
language c immutable parallel safe
as 'MODULE_PATHNAME', 'quote_digest_result';
comment on function quote_digest_result(internal) is 'result of quote_digest() and quote_changes_digest()';
create aggregate @extschema@.quote_digest(bytes bytea) (
    sfunc = @extschema@.quote_digest_add, stype = internal, finalfunc = @extschema@.quote_digest_result);
comment on aggregate quote_digest(bytea) is 'SHA-256 over byte strings, one after the other';

-- SHA-256 over rows of the log, given their columns, in their order: of each column whether it is null, how long it is, and
-- its bytes. Texts and jsonb as they are stored, which is the same in all versions of PostgreSQL.
create function quote_digest_add_row(state internal, id uuid, tenant_id uuid, quote_id uuid, quote_line_id uuid, changed_by uuid, changed_at timestamptz,
    entity_type text, field_name text, old_value jsonb, new_value jsonb, change_type text, session_id uuid, was_conflict boolean,
    conflict_resolution text, entity_version_before integer, entity_version_after integer, event_id uuid, "position" bigint,
    xid xid8, origin bigint, context jsonb) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'quote_digest_add_row';
comment on function quote_digest_add_row(internal, uuid, uuid, uuid, uuid, uuid, timestamptz, text, text, jsonb, jsonb, text, uuid, boolean, text,
    integer, integer, uuid, bigint, xid8, bigint, jsonb) is 'takes a row into quote_changes_digest()';
create aggregate @extschema@.quote_changes_digest(id uuid, tenant_id uuid, quote_id uuid, quote_line_id uuid, changed_by uuid, changed_at timestamptz,
    entity_type text, field_name text, old_value jsonb, new_value jsonb, change_type text, session_id uuid, was_conflict boolean,
    conflict_resolution text, entity_version_before integer, entity_version_after integer, event_id uuid, "position" bigint,
    xid xid8, origin bigint, context jsonb) (
    sfunc = @extschema@.quote_digest_add_row, stype = internal, finalfunc = @extschema@.quote_digest_result);
comment on aggregate quote_changes_digest(uuid, uuid, uuid, uuid, uuid, timestamptz, text, text, jsonb, jsonb, text, uuid, boolean, text,
    integer, integer, uuid, bigint, xid8, bigint, jsonb) is 'SHA-256 over rows of the audit log, one after the other';

-- Columns of the log and of the seals, and their types: what is hashed of a row, and what makes a block. Everything below reads
-- the tables by these names, and no view: those are the owner's to redefine.
create function quote_history_columns(relation text) returns table (column_name name, column_type regtype)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.name, c.type::regtype from pg_proc p cross join lateral unnest(p.proargnames, p.proargtypes::oid[]) c (name, type)
    where relation <> 'quote_changes_seals' and p.pronamespace = '@extschema@'::regnamespace and p.proname = 'quote_changes_digest'
    union all
    select c.name, c.type::regtype from (values ('no', 'bigint'), ('prev', 'pg_snapshot'), ('cur', 'pg_snapshot'), ('floor_at', 'timestamptz'),
        ('prev_at', 'timestamptz'), ('cur_at', 'timestamptz'), ('origin', 'bigint'), ('rows', 'bigint'), ('root', 'bytea'), ('hash', 'bytea'),
        ('sealed_at', 'timestamptz'), ('form', 'smallint'), ('signature', 'bytea'), ('signed_by', 'bytea'), ('released', 'jsonb')) c (name, type)
    where relation = 'quote_changes_seals'
$$;
comment on function quote_history_columns(text) is 'columns that log, archive and seals must have';

-- Why log, archive and seals cannot be read as what attach made of them: gone, of another kind, without one of their columns. And why
-- the seals cannot be written: what the owner puts on them would run with the rights of the extension's owner, who alone
-- writes the anchor.
create function quote_history_faults() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with expected (name, kind, relation) as (
        select r.name, r.kind, c.oid from (values ('quote_changes', 'p'), ('quote_changes_archive', 'p'), ('quote_changes_seals', 'r')) r (name, kind)
        left join pg_class c on c.relname = r.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home()))
    select format('there is no table %s', e.name) from expected e where e.relation is null and e.name <> 'quote_changes_archive'
    union all
    select format('%s is not a table as attach made it', c.oid::regclass) from expected e
    cross join lateral (
        select e.relation, e.kind union
        select p.relid, 'r' from pg_partition_tree(e.relation) p where e.kind = 'p' and p.level > 0) t (relid, kind)
    join pg_class c on c.oid = t.relid
    where c.relkind::text <> t.kind
    union all
    select format('%s has no column %s of type %s', e.relation::regclass, k.column_name, k.column_type) from expected e
    cross join lateral @extschema@.quote_history_columns(e.name) k
    where e.relation is not null and not exists (
        select from pg_attribute a where a.attrelid = e.relation and a.attname = k.column_name and not a.attisdropped
            and (a.atttypid = k.column_type or a.atttypid = 'varchar'::regtype and k.column_type = 'text'::regtype))
    union all
    select format('%s has a trigger, rule, check or expression that attach did not make', e.relation::regclass) from expected e
    where e.name = 'quote_changes_seals' and (exists (select from pg_trigger t where t.tgrelid = e.relation and not t.tgisinternal)
        or exists (select from pg_rewrite r where r.ev_class = e.relation)
        or exists (select from pg_constraint k where k.conrelid = e.relation and k.contype in ('c', 'x'))
        or exists (select from pg_index i where i.indrelid = e.relation and (i.indexprs is not null or i.indpred is not null))
        or exists (select from pg_attribute a where a.attrelid = e.relation and a.atthasdef))
$$;
comment on function quote_history_faults() is 'what is not as attach made it with log, archive and seals';

-- Every row of the history, read from log and archive themselves.
create function quote_history_query() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select '(' || string_agg(format('select %s from %s',
        (select string_agg(quote_ident(k.column_name), ', ') from @extschema@.quote_history_columns(t.name) k), @extschema@.quote_relay_table(t.name)),
        ' union all ' order by t.name) || ')'
    from unnest(array['quote_changes', 'quote_changes_archive']) t (name)
    where t.name = 'quote_changes' or to_regclass(@extschema@.quote_relay_table(t.name)) is not null
$$;
comment on function quote_history_query() is 'query for the rows of log and archive';

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
-- event feed, whose index gives it. Form 1, of blocks that 0.2.0 sealed: a hash over the hashes of all rows, each as the text
-- of a jsonb array, which is the same whatever the session is set to.
create function quote_block_query(form smallint, history text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case form when 2 then format($query$select sum(d.rows)::bigint, sha256(string_agg(d.digest, '' order by d.part)) from (%s) d (part, rows, digest)$query$,
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

-- Rows and root of a block: reads each row once and keeps none, however many there are.
create function digest_quote_changes(form smallint, prev pg_snapshot, cur pg_snapshot, origin bigint, from_at timestamptz, to_at timestamptz,
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
    into rows, root using prev, cur, origin, from_at, to_at, before_cur, before_origin;
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
    cur_at timestamptz, origin bigint, rows bigint, root bytea, sealed_at timestamptz, released jsonb default null) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    form constant smallint := 2;
    hash bytea := @extschema@.quote_seal_hash(last_hash, no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, sealed_at, form);
    signature bytea := @extschema@.sign_quote_seal(hash);
begin
    execute format('insert into %s (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, signature, signed_by, released)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)', @extschema@.quote_relay_table('quote_changes_seals'))
    using no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, signature, @extschema@.quote_seal_key(), released;
    perform @extschema@.move_quote_seal_anchor(last_hash, no, hash, signature is not null);
end $$;
comment on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, jsonb) is 'appends a block to the chain of seals';
revoke execute on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, jsonb) from public;

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
    select * into block from @extschema@.digest_quote_changes(2::smallint, prev, cur, here, floor_at - interval '1 day',
        now_at + interval '1 day', last.cur, last.origin);
    if block.rows > 0 or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, last.cur_at, now_at, here, block.rows, block.root, now_at, null::jsonb);
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

-- Checks every block against its rows and against the block before it, and the chain against its anchor. One row per finding,
-- none when all is as it was sealed; "released" is no fault but names what drop_archived_quote_changes() let go. expected: a digest that quote_history_digest() gave; the block it names must be there with that hash.
create function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    log text := @extschema@.quote_history_query();
    before record;
    b record;
    released record;
    actual record;
    here bigint := @extschema@.quote_cluster_identifier();
    sealed bigint := 0;
    counted bigint;
    anchored boolean := false;
begin
    for detail in select * from @extschema@.quote_history_faults() loop
        finding := 'structure'; return next;
    end loop;
    if finding is not null then
        return;
    end if;
    select * into released from @extschema@.quote_history_released();
    -- Chain and anchor in one snapshot: sealing goes on meanwhile. The anchor first: of two columns of a name the first counts.
    for b in execute format('select a.no as anchor_no, a.hash as anchor_hash, a.signed_from, s.* from %s s
        left join @extschema@.quote_seal_anchor a on a.log_schema = $1 order by s.no', seals) using @extschema@.quote_collab_home()
    loop
        block := b.no;
        anchored := anchored or b.no = b.anchor_no and b.hash = b.anchor_hash;
        if before is null then
            if b.no <> 0 or b.hash <> sha256(convert_to('quote_changes', 'UTF8')) or b.rows <> 0 or b.cur::text <> '3:3:' then
                finding := 'chain'; detail := 'the chain does not begin with its first block'; return next;
            end if;
        else
            if b.no <> before.no + 1 then
                finding := 'chain'; detail := format('%s blocks are missing before this one', b.no - before.no - 1); return next;
            elsif b.hash <> @extschema@.quote_seal_hash(before.hash, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows,
                    b.root, b.sealed_at, b.form) then
                finding := 'block'; detail := 'this block or the one before it was changed'; return next;
            end if;
            if (b.signature is null) <> (b.signed_by is null) or not @extschema@.quote_seal_signature_holds(b.hash, b.signature, b.signed_by) then
                finding := 'signature'; detail := 'the signature of this block does not hold'; return next;
            elsif b.signature is null and (before.signature is not null or b.no = b.signed_from) then
                finding := 'signature'; detail := 'from this block on the chain is not signed any more'; return next;
            end if;
            if b.released is not null then
                finding := case when b.rows = 0 and b.root = sha256(convert_to(b.released::text, 'UTF8')) then 'released' else 'block' end;
                detail := format('%s rows from %s until %s were let go on %s', b.released ->> 'rows', b.released ->> 'from', b.released ->> 'until',
                    to_char(b.sealed_at at time zone 'UTC', 'YYYY-MM-DD'));
                return next;
                before := b;
                continue;
            end if;
            b.rows := case when released.gone @> b.no then 0 else coalesce((released.remains -> b.no::text ->> 'rows')::bigint, b.rows) end;
            b.root := case when released.gone @> b.no then sha256('') else coalesce(decode(released.remains -> b.no::text ->> 'root', 'hex'), b.root) end;
            select * into actual from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at - interval '1 day',
                b.cur_at + interval '1 day', before.cur, before.origin);
            if actual.rows <> b.rows then
                finding := 'rows'; detail := format('%s rows were sealed, %s are there', b.rows, actual.rows); return next;
            elsif actual.root <> b.root then
                finding := 'content'; detail := format('one of %s rows was changed', b.rows); return next;
            end if;
            sealed := sealed + b.rows;
            if b.no % 10000 = 0 then
                raise notice '% blocks with % rows are checked', b.no, sealed;
            end if;
        end if;
        before := b;
    end loop;
    if before is null then
        finding := 'chain'; detail := 'there is no chain'; return next;
        return;
    end if;
    if before.anchor_no is not null and not anchored then
        block := before.anchor_no; finding := 'anchor'; detail := 'the server sealed another block with this number'; return next;
    elsif before.no > before.anchor_no then
        block := before.anchor_no + 1; finding := 'anchor'; detail := 'from this block on the chain is not the server''s alone'; return next;
    end if;
    block := before.no;
    if @extschema@.quote_seal_key() <> coalesce(before.signed_by, '') then
        finding := 'signature'; detail := 'the newest block is not signed with the configured key'; return next;
    end if;
    -- Rows that no block counts: moved in time, or from a cluster or a transaction that never was. What this cluster wrote
    -- since the last block waits for its seal.
    execute format('select count(*) from %1$s c where c.origin <> $1 and not exists (select from %2$s s where s.origin = c.origin)
            or c.origin = $1 and c.xid >= pg_snapshot_xmax(pg_current_snapshot())', log, seals) into counted using here;
    if counted > 0 then
        finding := 'rows'; detail := format('%s rows come from nowhere', counted); return next;
        return;
    end if;
    execute format('select count(*) from %1$s c where c.origin = $1 and pg_visible_in_snapshot(c.xid, $2) or c.origin not in ($1, $3)', log)
    into counted using before.origin, before.cur, here;
    if counted <> sealed then
        finding := 'rows'; detail := format('%s rows were sealed in all, %s are there', sealed, counted); return next;
    end if;
    if expected is not null then
        execute format('select s.no || '':'' || encode(s.hash, ''hex'') from %s s where s.no = $1', seals)
        into detail using (regexp_match(expected, '^(\d{1,18}):[0-9a-f]{64}$'))[1]::bigint;
        if detail is distinct from expected then
            finding := 'digest'; detail := 'the chain does not hold the expected digest'; return next;
        end if;
    end if;
end $$;
comment on function verify_quote_history(text) is 'finds changed, deleted, inserted and reordered rows and blocks of the audit log';
