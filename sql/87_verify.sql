-- Checking the history against the chain of seals.

create type @extschema@.quote_seal as (
    no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz, cur_at timestamptz, origin bigint, rows bigint,
    root bytea, hash bytea, sealed_at timestamptz, form smallint, signature bytea, signed_by bytea, released jsonb
);
comment on type @extschema@.quote_seal is 'a block of the chain of seals';

-- What is wrong with a block by itself and behind the one before it, which is null for the first; both null when nothing is. The first one of a chain that
-- an earlier release began has a hash that says nothing about it.
create function examine_quote_seal(before quote_seal, b quote_seal, signed_from bigint, out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    began bytea := sha256(convert_to('quote_changes', 'UTF8'));
begin
    if num_nulls(b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root, b.hash, b.sealed_at, b.form) > 0 then
        finding := 'block'; detail := 'this block is not whole any more';
    elsif before.no is null then
        if b.no <> 0 or num_nonnulls(b.signature, b.signed_by, b.released) > 0 or b.rows <> 0 or b.prev::text <> '3:3:' or b.cur::text <> '3:3:'
            or b.hash not in (began, @extschema@.quote_seal_hash(began, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root, b.sealed_at, b.form))
            or b.root <> sha256('') or array[b.floor_at, b.prev_at, b.cur_at] <> array_fill('-infinity'::timestamptz, '{3}') then
            finding := 'chain'; detail := 'the chain does not begin with its first block';
        end if;
    elsif b.no <> before.no + 1 then
        finding := 'chain'; detail := format('%s blocks are missing before this one', b.no - before.no - 1);
    elsif b.hash is distinct from @extschema@.quote_seal_hash(before.hash, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root,
            b.sealed_at, b.form) then
        finding := 'block'; detail := 'this block or the one before it was changed';
    elsif (b.signature is null) <> (b.signed_by is null) or @extschema@.quote_seal_signature_holds(b.hash, b.signature, b.signed_by) is false then
        finding := 'signature'; detail := 'the signature of this block does not hold';
    elsif b.signature is null and (before.signature is not null or b.no = signed_from) then
        finding := 'signature'; detail := 'from this block on the chain is not signed any more';
    end if;
end $$;
comment on function examine_quote_seal(quote_seal, quote_seal, bigint) is 'what is wrong with a block of the chain of seals';

-- What is wrong with the rows of a block, of which gone and remains say what was let go; and how many were sealed and not let go.
create function examine_sealed_rows(before quote_seal, b quote_seal, gone int8multirange, remains jsonb, out sealed bigint,
    out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    root bytea := b.root;
    actual record;
begin
    sealed := b.rows;
    if gone @> b.no then
        sealed := 0;
    elsif remains ? b.no::text then
        sealed := (remains -> b.no::text ->> 'rows')::bigint;
        root := decode(remains -> b.no::text ->> 'root', 'hex');
    end if;
    select * into actual from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at, b.cur_at, before.cur, before.origin,
        case when b.origin <> before.origin and b.form < 4 then @extschema@.quote_taken_until(before.origin, b.no) end);
    if actual.rows is distinct from sealed then
        finding := 'rows'; detail := format('%s rows were sealed, %s are there', sealed, actual.rows);
    elsif actual.root is distinct from root and not (gone @> b.no) then
        finding := 'content'; detail := format('one of %s rows was changed', sealed);
    end if;
end $$;
comment on function examine_sealed_rows(quote_seal, quote_seal, int8multirange, jsonb) is 'what is wrong with the rows of a block';

-- Rows that no block up to the newest counts: moved in time, or from a cluster or a transaction that never was. What this cluster wrote
-- since waits for its seal, or has got it while the chain was read, and where it has not sealed yet what came along, or what arrives, so does
-- what others had not sealed. Which transaction is the next is asked behind the snapshot that rows are read in.
create function find_unsealed_rows(newest quote_seal, sealed bigint) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := @extschema@.quote_history_query();
    seals regclass := @extschema@.quote_relay_table('quote_changes_seals');
    counted bigint;
    strange bigint;
    arrives boolean := @extschema@.quote_history_arrives();
begin
    execute format('select count(*) filter (where pg_visible_in_snapshot(c.xid, o.until)),
            count(*) filter (where num_nulls(c.origin, c.xid, c.position, c.changed_at) > 0
                or c.origin <> $1 and $2 and pg_visible_in_snapshot(c.xid, o.until) is not true
                or c.origin = $1 and c.xid >= (select @extschema@.next_quote_transaction()::text::xid8))
        from %1$s c left join (
            select s.origin, @extschema@.quote_sealed_until(s.origin, $3) as until from (select distinct s.origin from %2$s s where s.no <= $3) s) o on o.origin = c.origin',
        log, seals)
    into counted, strange using @extschema@.quote_cluster_identifier(),
        @extschema@.quote_seals_are_settled(newest.origin) and not arrives, newest.no;
    if strange > 0 then
        return format('%s rows come from nowhere', strange);
    -- What arrives may come behind what was sealed here before it was told to arrive.
    elsif counted < sealed or counted > sealed and not arrives then
        return format('%s rows were sealed in all, %s are there', sealed, counted);
    end if;
    return null;
end $$;
comment on function find_unsealed_rows(quote_seal, bigint) is 'what is wrong with rows that no block counts';

-- What is wrong with the end of the chain: the anchor is the block that the server sealed last, and a key signs the newest.
create function examine_chain_end(newest quote_seal, anchor_no bigint, anchored boolean) returns table (block bigint, finding text, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select anchor_no, 'anchor', 'the server sealed another block with this number' where anchor_no is not null and not anchored
    union all
    select anchor_no + 1, 'anchor', 'from this block on the chain is not the server''s alone' where anchored and newest.no > anchor_no
    union all
    select newest.no, 'signature', 'the newest block is not signed with the configured key'
    where @extschema@.quote_seal_key() <> coalesce(newest.signed_by, '')
$$;
comment on function examine_chain_end(quote_seal, bigint, boolean) is 'what is wrong with the end of the chain of seals';

-- Checks every block against its rows and against the block before it, and the chain against its anchor. One row per finding, none when
-- all is as it was sealed; "released" is no fault but names what drop_archived_quote_changes() let go. expected: a digest that
-- quote_history_digest() gave; the block it names must be there with that hash.
create function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    before @extschema@.quote_seal;
    b @extschema@.quote_seal;
    entry record;
    anchor_no bigint;
    anchored boolean := false;
    let_go record;
    rows_sealed bigint := 0;
    part bigint;
begin
    for detail in select * from @extschema@.quote_history_faults() loop
        finding := 'structure'; return next;
    end loop;
    if finding is not null then
        return;
    end if;
    select * into let_go from @extschema@.quote_history_released();
    -- Chain and anchor in one snapshot: sealing goes on meanwhile.
    for entry in execute format('select a.no as anchor_no, a.hash as anchor_hash, a.signed_from, row(%s)::@extschema@.quote_seal as seal from %s s
            left join @extschema@.quote_seal_anchor a on a.log_schema = $1 order by s.no',
        (select string_agg(format('s.%I', c.column_name), ', ') from @extschema@.quote_history_columns('quote_changes_seals') c), seals)
        using @extschema@.quote_collab_home()
    loop
        b := entry.seal;
        block := b.no;
        anchor_no := entry.anchor_no;
        anchored := anchored or coalesce(b.no = entry.anchor_no and b.hash = entry.anchor_hash, false);
        select e.finding, e.detail into finding, detail from @extschema@.examine_quote_seal(before, b, entry.signed_from) e;
        if finding is not null then
            return next;
        end if;
        if b.released is not null then
            finding := case when b.rows = 0 and b.root = sha256(convert_to(b.released::text, 'UTF8')) then 'released' else 'block' end;
            detail := format('%s rows from %s until %s were let go on %s', b.released ->> 'rows', b.released ->> 'from', b.released ->> 'until',
                to_char(b.sealed_at at time zone 'UTC', 'YYYY-MM-DD'));
            return next;
        elsif before.no is not null then
            select e.sealed, e.finding, e.detail into part, finding, detail
            from @extschema@.examine_sealed_rows(before, b, let_go.gone, let_go.remains) e;
            if finding is not null then
                return next;
            end if;
            rows_sealed := rows_sealed + coalesce(part, 0);
            if b.no % 10000 = 0 then
                raise notice '% blocks with % rows are checked', b.no, rows_sealed;
            end if;
        end if;
        before := b;
    end loop;
    if before.no is null then
        finding := 'chain'; detail := 'there is no chain'; return next;
        return;
    end if;
    return query select * from @extschema@.examine_chain_end(before, anchor_no, anchored);
    block := before.no;
    detail := @extschema@.find_unsealed_rows(before, rows_sealed);
    if detail is not null then
        finding := 'rows'; return next;
    end if;
    if expected is not null then
        execute format('select s.no || '':'' || encode(s.hash, ''hex'') from %s s where s.no = $1', seals)
        into detail using (regexp_match(expected, '^([0-9]{1,18}):[0-9a-f]{64}$'))[1]::bigint;
        if detail is distinct from expected then
            finding := 'digest'; detail := 'the chain does not hold the expected digest'; return next;
        end if;
    end if;
end $$;
comment on function verify_quote_history(text) is 'finds changed, deleted, inserted and reordered rows and blocks of the audit log';
