-- From 0.3.0 to 0.4.0.
do $$
declare
    batch text;
begin
    for batch in select distinct pg_catalog.format('%I.quote_relay_batch', s.log_schema) from @extschema@.quote_collab_settings s loop
        continue when pg_catalog.to_regclass(batch) is null;
        execute pg_catalog.format('alter table %s drop column xids', batch);
    end loop;
end $$;

-- 13_pairs.sql
create or replace function quote_collab_home() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$ begin return (@extschema@.quote_collab_target('QUOTE')).log_schema; end $$;
create or replace function quote_collab_table(settings quote_collab_settings) returns regclass
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = settings.table_schema and c.relname = settings.table_name);
end $$;

-- 14_users.sql
create or replace function quote_relation_readable(relation jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table'), false);
end $$;
create or replace function quote_users_safe(users jsonb, quotes_owner oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((
        select c.relowner = quotes_owner or r.rolsuper or c.relkind in ('r', 'p') and not exists (
            select from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = t.typbasetype
            where a.attrelid = c.oid and a.attname in (users ->> 'id', users ->> 'name', users ->> 'email')
                and (coalesce(b.typtype, t.typtype) <> 'b' or not exists (
                    select from pg_roles o where o.oid = coalesce(b.typowner, t.typowner) and o.rolsuper)))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
        where n.nspname = users ->> 'schema' and c.relname = users ->> 'table'), false);
end $$;
create or replace function quote_user_relations() returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select s.relations -> 'users' from @extschema@.quote_collab_settings s
    where s.entity = 'QUOTE' and @extschema@.quote_relation_readable(s.relations -> 'users')
        and @extschema@.quote_users_safe(s.relations -> 'users', (select c.relowner from pg_class c where c.oid = @extschema@.quote_collab_table(s)))
    group by 1 order by min(s.attached_at);
end $$;
create or replace function quote_user_join(column_name text, out join_clause text, out name_expression text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    select coalesce(string_agg(format('left join %I.%I %s on %s.%I = %s', r.users ->> 'schema', r.users ->> 'table', r.alias, r.alias,
            r.users ->> 'id', column_name), ' ' order by r.place), ''),
        coalesce('coalesce(' || string_agg(format('%s.%I::text', r.alias, r.users ->> 'name'), ', ' order by r.place) || ')', 'null::text')
    into join_clause, name_expression
    from (select u.users, u.place, 'u' || u.place from @extschema@.quote_user_relations() with ordinality u (users, place)) r (users, place, alias);
end $$;

-- 16_prepared_rows.sql
create function quote_prepared_rows(query text, parameters record) returns setof record
language c as 'MODULE_PATHNAME', 'prepared_rows';
comment on function quote_prepared_rows(text, record) is 'rows of a query that is planned once in a session';
revoke execute on function quote_prepared_rows(text, record) from public;

-- 40_relay_tables.sql
create or replace function create_quote_relay_tables(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    batch text := format('%I.quote_relay_batch', target_schema);
    lease text := format('%I.quote_relay_lease', target_schema);
begin
    if not @extschema@.quote_relation_stands(batch, 'r'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                no        bigint      not null,
                prev      pg_snapshot not null,
                cur       pg_snapshot not null,
                prev_at   timestamptz not null,
                cur_at    timestamptz not null,
                floor_at  timestamptz not null,
                origin    bigint      not null,
                cur_xmax  xid8        not null generated always as (pg_snapshot_xmax(cur)) stored,
                constraint quote_relay_batch_pkey primary key (no)
            )$ddl$, batch);
        execute format('create index quote_relay_batch_xmax on %s (cur_xmax, no)', batch);
        execute format('comment on table %s is %L', batch, 'batches of the event feed: what is visible in cur and was not in prev');
        execute format('comment on column %s.floor_at is %L', batch, 'no change of this or a later batch was made before, save for steps of the clock');
        execute format('alter table %s owner to %I', batch, target_owner);
        perform @extschema@.close_quote_table(batch::regclass);
    end if;
    if not @extschema@.quote_relation_stands(lease, 'r'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                singleton  boolean     not null default true,
                epoch      bigint      not null,
                holder     text        not null,
                expires_at timestamptz not null,
                batch      bigint      not null,
                position   bigint      not null,
                stream_seq bigint      not null,
                constraint quote_relay_lease_pkey primary key (singleton),
                constraint quote_relay_lease_singleton check (singleton)
            )$ddl$, lease);
        execute format('comment on table %s is %L', lease, 'who relays events now, and a lazy copy of the position in the stream');
        execute format('alter table %s owner to %I', lease, target_owner);
        perform @extschema@.close_quote_table(lease::regclass);
    end if;
    -- Also where a dump without data brought the tables.
    execute format('insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select 0, s, s, now(), now(), now(), @extschema@.quote_cluster_identifier()
        from pg_current_snapshot() s where not exists (select from %1$s)', batch);
    execute format('insert into %1$s select true, 0, '''', ''-infinity'', 0, 0, 0 where not exists (select from %1$s)', lease);
end $$;

-- 70_version_check.sql
create or replace function quote_field_name(field text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select lower(regexp_replace(field, '(?<!^)([A-Z])', '_\1', 'g') collate "C") $$;

-- 80_events.sql
create function quote_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        select v.position, v.event || jsonb_build_object('actor_name', %2$s) as event
        from (
            select c.xid, c.position from (
                select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
                where c.xid = any (array(select pg_snapshot_xip($1)))
                union all
                select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
                where c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)) c
            where pg_visible_in_snapshot(c.xid, $2) and c.position > $3 and c.origin = $4 and c.changed_at >= $5
                and c.conflict_resolution is distinct from 'REJECTED'
            group by c.xid, c.position order by c.position limit $6) p
        cross join lateral (
            select w.* from %1$I.v_quote_change_events w
            where w.xid = p.xid and w.position = p.position and w.origin = $4 and w.changed_at >= $5 offset 0) v %3$s
        order by v.position$query$, @extschema@.quote_collab_home(), author.name_expression, author.join_clause);
end $$;
comment on function quote_batch_query() is 'query for the events of a batch of the feed';
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', '1', $4, $1, $7, $8, $2, $9, e.position), e.event from (%s) e order by e.position$query$,
        @extschema@.quote_batch_query())
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '1 day', max, c.prev_at, c.floor_at, c.cur_at;
end $$;

-- 85_relay.sql
create or replace function quote_relay_table(name text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$ begin return format('%I.%I', @extschema@.quote_collab_home(), name); end $$;
create or replace function require_quote_relay_epoch(epoch bigint) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    held boolean;
begin
    select r.held into held from @extschema@.quote_prepared_rows(
        format('select l.epoch = $1 from %s l for update', @extschema@.quote_relay_table('quote_relay_lease')), row(epoch)) r (held boolean);
    if held is not true then
        raise exception 'the relay''s lease is lost' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another relay has taken over; take the lease again before you go on.';
    end if;
end $$;
create or replace function quote_relay_open_batch(epoch bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    prev_at timestamptz;
    floor_at timestamptz;
    here bigint := @extschema@.quote_cluster_identifier();
    opened bigint;
begin
    perform @extschema@.require_quote_relay_epoch(epoch), set_config('synchronous_commit', 'on', true);
    select b.* into last from @extschema@.quote_prepared_rows(format('select b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin from %s b
        order by b.no desc limit 1', @extschema@.quote_relay_table('quote_relay_batch')), row())
        b (no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint);
    prev := last.cur;
    prev_at := last.cur_at;
    -- The clock may have been set back since: changes were then made before the floor.
    floor_at := least(case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end, clock_timestamp());
    if last.origin <> here then
        prev := '3:3:';
        prev_at := '-infinity';
        floor_at := '-infinity';
    end if;
    cur := @extschema@.quote_feed_snapshot();
    select b.no into opened from @extschema@.quote_prepared_rows(format($query$
        insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select $1, $2, $3, $4, $5, $6, $7
        where exists (
            select from %2$s c where c.xid = any (array(select pg_snapshot_xip($2))) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        or exists (
            select from %2$s c where c.xid >= pg_snapshot_xmax($2) and c.xid < pg_snapshot_xmax($3) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        returning no$query$, @extschema@.quote_relay_table('quote_relay_batch'), @extschema@.quote_relay_table('quote_changes')),
        row(last.no + 1, prev, cur, prev_at, clock_timestamp(), floor_at, here, floor_at - interval '1 day')) b (no bigint);
    return opened;
end $$;
create or replace function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    b record;
begin
    select r.* into b from @extschema@.quote_prepared_rows(
        format('select b.prev, b.cur, b.origin, b.floor_at from %s b where b.no = $1', @extschema@.quote_relay_table('quote_relay_batch')), row(batch))
        r (prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz);
    if found then
        return query select r."position", r.event from @extschema@.quote_prepared_rows(@extschema@.quote_batch_query(),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '1 day', max)) r ("position" bigint, event jsonb);
    end if;
end $$;
create or replace function quote_relay_checkpoint(epoch bigint, batch bigint, "position" bigint, stream_seq bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('update %s l set batch = $2, position = $3, stream_seq = $4 where l.epoch = $1',
        @extschema@.quote_relay_table('quote_relay_lease')) using epoch, batch, "position", stream_seq;
end $$;

-- 87_verify.sql
create type @extschema@.quote_seal as (
    no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz, cur_at timestamptz, origin bigint, rows bigint,
    root bytea, hash bytea, sealed_at timestamptz, form smallint, signature bytea, signed_by bytea, released jsonb
);
comment on type @extschema@.quote_seal is 'a block of the chain of seals';
create function examine_quote_seal(before quote_seal, b quote_seal, signed_from bigint, out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if before.no is null then
        if b.no <> 0 or b.hash <> sha256(convert_to('quote_changes', 'UTF8')) or b.rows <> 0 or b.cur::text <> '3:3:' then
            finding := 'chain'; detail := 'the chain does not begin with its first block';
        end if;
    elsif b.no <> before.no + 1 then
        finding := 'chain'; detail := format('%s blocks are missing before this one', b.no - before.no - 1);
    elsif b.hash <> @extschema@.quote_seal_hash(before.hash, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root,
            b.sealed_at, b.form) then
        finding := 'block'; detail := 'this block or the one before it was changed';
    elsif (b.signature is null) <> (b.signed_by is null) or not @extschema@.quote_seal_signature_holds(b.hash, b.signature, b.signed_by) then
        finding := 'signature'; detail := 'the signature of this block does not hold';
    elsif b.signature is null and (before.signature is not null or b.no = signed_from) then
        finding := 'signature'; detail := 'from this block on the chain is not signed any more';
    end if;
end $$;
comment on function examine_quote_seal(quote_seal, quote_seal, bigint) is 'what is wrong with a block of the chain of seals';
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
        root := sha256('');
    elsif remains ? b.no::text then
        sealed := (remains -> b.no::text ->> 'rows')::bigint;
        root := decode(remains -> b.no::text ->> 'root', 'hex');
    end if;
    select * into actual from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at - interval '1 day',
        b.cur_at + interval '1 day', before.cur, before.origin);
    if actual.rows <> sealed then
        finding := 'rows'; detail := format('%s rows were sealed, %s are there', sealed, actual.rows);
    elsif actual.root <> root then
        finding := 'content'; detail := format('one of %s rows was changed', sealed);
    end if;
end $$;
comment on function examine_sealed_rows(quote_seal, quote_seal, int8multirange, jsonb) is 'what is wrong with the rows of a block';
create function find_unsealed_rows(newest quote_seal, sealed bigint) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := @extschema@.quote_history_query();
    here bigint := @extschema@.quote_cluster_identifier();
    counted bigint;
begin
    execute format('select count(*) from %1$s c where c.origin <> $1 and not exists (select from %2$s s where s.origin = c.origin)
        or c.origin = $1 and c.xid >= pg_snapshot_xmax(pg_current_snapshot())', log, @extschema@.quote_relay_table('quote_changes_seals'))
    into counted using here;
    if counted > 0 then
        return format('%s rows come from nowhere', counted);
    end if;
    execute format('select count(*) from %1$s c where c.origin = $1 and pg_visible_in_snapshot(c.xid, $2) or c.origin not in ($1, $3)', log)
    into counted using newest.origin, newest.cur, here;
    if counted <> sealed then
        return format('%s rows were sealed in all, %s are there', sealed, counted);
    end if;
    return null;
end $$;
comment on function find_unsealed_rows(quote_seal, bigint) is 'what is wrong with rows that no block counts';
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
create or replace function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
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
        anchored := anchored or b.no = entry.anchor_no and b.hash = entry.anchor_hash;
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
            rows_sealed := rows_sealed + part;
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
        into detail using (regexp_match(expected, '^(\d{1,18}):[0-9a-f]{64}$'))[1]::bigint;
        if detail is distinct from expected then
            finding := 'digest'; detail := 'the chain does not hold the expected digest'; return next;
        end if;
    end if;
end $$;

-- 90_maintenance.sql
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
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
    swept := @extschema@.cleanup_stale_quote_sessions();
    -- A lock that nobody takes without rights on the batches; who cuts or reads them is not in its way.
    begin
        execute format('lock table %s in share update exclusive mode nowait', batch);
        alone := true;
    exception when lock_not_available then
        alone := false;
    end;
    if alone then
        made := @extschema@.create_quote_changes_partitions(@extschema@.quote_relay_table('quote_changes')::regclass, 3);
        execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
            and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
        get diagnostics dropped = row_count;
        select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
    end if;
    -- What is wrong with the history is verify_quote_history()'s to tell, and must not stop the rest.
    begin
        sealed := @extschema@.seal_quote_history();
    exception when object_not_in_prerequisite_state then
        raise warning '%', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
