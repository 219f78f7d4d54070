-- From 0.2.0 to 0.3.0. Logs keep the indexes they have; chains of seals go on, their blocks from here on in form 2.
do $$
declare
    seals text;
    item record;
begin
    for seals in select distinct pg_catalog.format('%I.quote_changes_seals', s.log_schema) from @extschema@.quote_collab_settings s loop
        continue when pg_catalog.to_regclass(seals) is null;
        execute pg_catalog.format('alter table %s add column form smallint not null default 1, add column signature bytea, add column signed_by bytea', seals);
        execute pg_catalog.format('alter table %s alter column form drop default', seals);
        for item in select * from (values
            ('root', 'SHA-256 over its rows, as quote_block_query() has it'),
            ('form', 'how its rows are hashed: 1 as 0.2.0 did, 2 by quote_changes_digest()'),
            ('signature', 'Ed25519 signature of the hash; null when no key was configured'),
            ('signed_by', 'public key that it holds under')
        ) as c (name, text) loop
            execute pg_catalog.format('comment on column %s.%I is %L', seals, item.name, item.text);
        end loop;
    end loop;
end $$;
alter table @extschema@.quote_collab_settings add column drop_refused_at timestamptz;
drop function quote_change_digest_expression();
drop function digest_quote_changes(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint);
drop function quote_seal_hash(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea, timestamptz);

-- signatures
CREATE  FUNCTION "quote_seal_key"() RETURNS bytea
STRICT STABLE PARALLEL RESTRICTED
LANGUAGE c
AS 'MODULE_PATHNAME', 'quote_seal_key_wrapper';
CREATE  FUNCTION "quote_seal_key_problem"() RETURNS TEXT
STRICT STABLE PARALLEL RESTRICTED
LANGUAGE c
AS 'MODULE_PATHNAME', 'quote_seal_key_problem_wrapper';
CREATE  FUNCTION "quote_seal_signature_holds"(
	"hash" bytea,
	"signature" bytea,
	"public_key" bytea
) RETURNS bool
IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c
AS 'MODULE_PATHNAME', 'quote_seal_signature_holds_wrapper';
CREATE  FUNCTION "sign_quote_seal"(
	"hash" bytea
) RETURNS bytea
STRICT STABLE PARALLEL RESTRICTED
LANGUAGE c
AS 'MODULE_PATHNAME', 'sign_quote_seal_wrapper';
comment on function quote_seal_key() is 'public key that seals are signed for; null when they are not';
comment on function quote_seal_key_problem() is 'doctor: why seals are not signed although a key is configured';
comment on function sign_quote_seal(bytea) is 'signs the hash of a seal; null when seals are not signed';
comment on function quote_seal_signature_holds(bytea, bytea, bytea) is 'whether the signature of a seal holds under a public key';
revoke execute on function sign_quote_seal(bytea), quote_seal_key_problem() from public;

-- 10_settings.sql
comment on column @extschema@.quote_collab_settings.drop_refused_at is 'when maintenance last found that what drop_after lets go is not as it was sealed; it tries again a day later';

-- 20_quote_changes.sql
create or replace function create_quote_changes(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := format('%I.quote_changes', target_schema);
begin
    if to_regclass(log) is null then
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
        execute format('create index quote_changes_changed_at on %s using brin (changed_at) with (autosummarize = on)', log);
        execute format('create table %I.quote_changes_default partition of %s default', target_schema, log);
        execute format('create sequence %I.quote_changes_position_seq as bigint owned by %s.position', target_schema, log);
        execute format('alter table %I.quote_changes_default owner to %I', target_schema, target_owner);
        execute format('alter table %s owner to %I', log, target_owner);
    end if;
    perform @extschema@.comment_quote_changes(log::regclass);
    perform @extschema@.protect_quote_table(format('%I.quote_changes_default', target_schema)::regclass, 'quote_changes_tenant_isolation');
    perform @extschema@.protect_quote_table(log::regclass, 'quote_changes_tenant_isolation');
    perform @extschema@.create_quote_changes_partitions(log::regclass);
    return log::regclass;
end $$;

-- 42_seal_table.sql
create or replace function create_quote_changes_seals(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := format('%I.quote_changes_seals', target_schema);
    item record;
begin
    if to_regclass(seals) is not null then
        return;
    end if;
    execute format($ddl$
        create table %s (
            no        bigint      not null,
            prev      pg_snapshot not null,
            cur       pg_snapshot not null,
            floor_at  timestamptz not null,
            prev_at   timestamptz not null,
            cur_at    timestamptz not null,
            origin    bigint      not null,
            rows      bigint      not null,
            root      bytea       not null,
            hash      bytea       not null,
            sealed_at timestamptz not null,
            form      smallint    not null,
            signature bytea,
            signed_by bytea,
            released  jsonb,
            constraint quote_changes_seals_pkey primary key (no)
        )$ddl$, seals);
    for item in select * from (values
        ('no', 'number of the block, without gaps; 0 begins the chain'),
        ('prev', 'the block holds what was not visible in this snapshot'),
        ('cur', 'and is visible in this one'),
        ('floor_at', 'no change of this or a later block was made before, save for steps of the clock'),
        ('prev_at', 'when prev was taken'),
        ('cur_at', 'when cur was taken'),
        ('origin', 'system identifier of the cluster whose transactions the snapshots speak of'),
        ('rows', 'how many rows of quote_changes'),
        ('root', 'SHA-256 over its rows, as quote_block_query() has it'),
        ('hash', 'SHA-256 over the hash of the block before and all of this block'),
        ('sealed_at', 'when the block was made'),
        ('form', 'how its rows are hashed: 1 as 0.2.0 did, 2 by quote_changes_digest()'),
        ('signature', 'Ed25519 signature of the hash; null when no key was configured'),
        ('signed_by', 'public key that it holds under'),
        ('released', 'in a block that lets rows go: how many, blocks of which none is left, rows and root of what is left of others')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', seals, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', seals, 'chain of seals over quote_changes; verify_quote_history() checks it');
    execute format('insert into %s (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form)
        select 0, ''3:3:'', ''3:3:'', ''-infinity'', ''-infinity'', ''-infinity'', @extschema@.quote_cluster_identifier(), 0, sha256(''''),
        sha256(convert_to(''quote_changes'', ''UTF8'')), clock_timestamp(), 2', seals);
    execute format('alter table %s owner to %I', seals, target_owner);
    execute format('alter table %s enable row level security', seals);
    execute format('alter table %s force row level security', seals);
end $$;

-- 58_descriptions.sql
create or replace function quote_descriptions() returns table (kind text, relation text, name text, text text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values
        ('table', 'quote_changes_default', null, 'changes of a month that has no partition; empty while maintenance runs'),
        ('sequence', 'quote_changes_position_seq', null, 'gives each row change its position'),
        ('constraint', 'quote_changes', 'quote_changes_pkey', 'the event feed: what transactions wrote, in order; the time is in it because it is the partition key'),
        ('index', 'quote_changes_quote', null, 'history of one quote, newest first'),
        ('index', 'quote_changes_feed', null, 'the event feed: what transactions wrote, in order'),
        ('index', 'quote_changes_changed_at', null, 'spans of time'),
        ('constraint', 'quote_changes_archive', 'quote_changes_archive_pkey', 'what transactions wrote, in order, for seals; the time is in it because it is the partition key'),
        ('index', 'quote_changes_archive_quote_id_position_idx', null, 'history of one quote, newest first'),
        ('index', 'quote_changes_archive_xid_position_idx', null, 'what transactions wrote, in order, for seals'),
        ('index', 'quote_changes_archive_changed_at_idx', null, 'spans of time'),
        ('constraint', 'quote_changes_seals', 'quote_changes_seals_pkey', 'blocks are numbered'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_pkey', 'key of the row'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_session', 'a session has one quote open'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_status', 'what a session can be doing'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_cursor', 'a caret is not before the beginning'),
        ('index', 'active_quote_sessions_quote', null, 'who has a quote open'),
        ('column', 'quote_relay_batch', 'no', 'number of the batch, without gaps; 0 is where the feed began'),
        ('column', 'quote_relay_batch', 'prev', 'the batch holds what was not visible in this snapshot'),
        ('column', 'quote_relay_batch', 'cur', 'and is visible in this one'),
        ('column', 'quote_relay_batch', 'prev_at', 'when prev was taken'),
        ('column', 'quote_relay_batch', 'cur_at', 'when cur was taken'),
        ('column', 'quote_relay_batch', 'origin', 'system identifier of the cluster whose transactions the snapshots speak of'),
        ('column', 'quote_relay_batch', 'cur_xmax', 'end of cur, to find the batch that an event was in'),
        ('constraint', 'quote_relay_batch', 'quote_relay_batch_pkey', 'batches are numbered'),
        ('index', 'quote_relay_batch_xmax', null, 'the first batch that an event can have been in'),
        ('column', 'quote_relay_lease', 'singleton', 'true: there is one row'),
        ('column', 'quote_relay_lease', 'epoch', 'how often the relay has changed hands'),
        ('column', 'quote_relay_lease', 'holder', 'who relays now'),
        ('column', 'quote_relay_lease', 'expires_at', 'until when, unless it is renewed'),
        ('column', 'quote_relay_lease', 'batch', 'batch of the last event that is known to be in the stream'),
        ('column', 'quote_relay_lease', 'position', 'position of that event'),
        ('column', 'quote_relay_lease', 'stream_seq', 'its sequence number in the stream'),
        ('constraint', 'quote_relay_lease', 'quote_relay_lease_pkey', 'there is one row'),
        ('constraint', 'quote_relay_lease', 'quote_relay_lease_singleton', 'there is one row')
$$;

-- 80_events.sql
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('e.changed_by');
    return query execute format($query$
        select concat_ws('/', '1', $1, $2, $3, $4, $5, $6, e.position),
            e.event || jsonb_build_object('actor_name', %3$s)
        from (
            select v.* from %1$I.v_quote_change_events v
            where v.xid = any (array(select pg_snapshot_xip($2)))
              and v.origin = $1 and v.changed_at between $8 and $10 and v.position > $7 and pg_visible_in_snapshot(v.xid, $5)
            union all
            select v.* from %1$I.v_quote_change_events v
            where v.xid >= pg_snapshot_xmax($2) and v.xid < pg_snapshot_xmax($5)
              and v.origin = $1 and v.changed_at between $8 and $10 and v.position > $7 and pg_visible_in_snapshot(v.xid, $5)
            order by position limit $9) e %2$s
        order by e.position$query$, @extschema@.quote_collab_home(), author.join_clause, author.name_expression)
    using c.origin, c.prev, c.prev_at, c.floor_at, c.cur, c.cur_at, c.position,
        to_timestamp(c.floor_at) - interval '1 day', max, to_timestamp(c.cur_at) + interval '1 day';
end $$;

-- 85_relay.sql
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
    execute format('select * from %s order by no desc limit 1', @extschema@.quote_relay_table('quote_relay_batch')) into last;
    prev := last.cur;
    prev_at := last.cur_at;
    floor_at := case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    if last.origin <> here then
        prev := '3:3:';
        prev_at := '-infinity';
        floor_at := '-infinity';
    end if;
    cur := pg_current_snapshot();
    execute format($query$
        insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, xids, origin)
        select $1, $2, $3, $4, $5, $6, x.xids, $7
        from (select array_agg(distinct c.xid) as xids from (
            select c.xid from %2$s c where c.xid = any (array(select pg_snapshot_xip($2))) and c.origin = $7 and c.changed_at between $8 and $9
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3)
            union all
            select c.xid from %2$s c where c.xid >= pg_snapshot_xmax($2) and c.xid < pg_snapshot_xmax($3) and c.origin = $7 and c.changed_at between $8 and $9
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3)) c) x
        where x.xids is not null
        returning no$query$, @extschema@.quote_relay_table('quote_relay_batch'), @extschema@.quote_relay_table('quote_changes'))
    into opened
    using last.no + 1, prev, cur, prev_at, clock_timestamp(), floor_at, here, floor_at - interval '1 day', clock_timestamp() + interval '1 day';
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
    author record;
begin
    execute format('select * from %s where no = $1', @extschema@.quote_relay_table('quote_relay_batch')) into b using batch;
    if b.no is null then
        return;
    end if;
    select * into author from @extschema@.quote_user_join('e.changed_by');
    return query execute format($query$
        select e.position, e.event || jsonb_build_object('actor_name', %3$s)
        from (
            select v.* from unnest($1) as x (xid) cross join lateral (
                select w.* from %1$s w
                where w.xid = x.xid and w.position > $2 and w.origin = $3 and w.changed_at between $4 and $5
                order by w.position limit $6) v
            order by v.position limit $6) e %2$s
        order by e.position$query$, @extschema@.quote_relay_table('v_quote_change_events'), author.join_clause, author.name_expression)
    using b.xids, after_position, b.origin, b.floor_at - interval '1 day', b.cur_at + interval '1 day', max;
end $$;

-- 86_resume.sql
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
    start record;
    author record;
begin
    execute format('select b.* from %s b where b.no >= $1 order by b.no limit 1', @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.origin <> @extschema@.quote_cluster_identifier() then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            hint = 'Read the quote again and subscribe without a cursor.';
    end if;
    select * into author from @extschema@.quote_user_join('e.changed_by');
    return query execute format($query$
        select b.no, e.position, e.event || jsonb_build_object('actor_name', %4$s)
        from %1$s e
        cross join lateral (
            select x.no from %2$s x where x.cur_xmax > e.xid and pg_visible_in_snapshot(e.xid, x.cur) and x.no > 0
            order by x.cur_xmax, x.no limit 1) b
        %3$s
        where e.quote_id = $1 and ($2 is null or e.tenant_id = $2) and e.origin = $3 and e.changed_at >= $4
          and not pg_visible_in_snapshot(e.xid, $5)
          and (b.no, e.position) > ($6, $7) and (b.no, e.position) <= ($8, $9)
        order by b.no, e.position limit $10$query$,
        @extschema@.quote_relay_table('v_quote_change_events'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression)
    using quote_id, @extschema@.current_quote_tenant(), start.origin, start.floor_at - interval '1 day', start.prev,
        after_batch, after_position, until_batch, until_position, max;
end $$;

-- 87_seals.sql
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
create or replace function digest_quote_changes(form smallint, prev pg_snapshot, cur pg_snapshot, origin bigint, from_at timestamptz, to_at timestamptz,
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
    execute @extschema@.quote_block_query(form, @extschema@.quote_relay_table('v_quote_changes_all'))
    into rows, root using prev, cur, origin, from_at, to_at, before_cur, before_origin;
end $$;
comment on function digest_quote_changes(smallint, pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint) is 'hashes the rows of one block of the audit log';
create or replace function quote_seal_hash(before bytea, no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz,
    cur_at timestamptz, origin bigint, rows bigint, root bytea, sealed_at timestamptz, form smallint) returns bytea
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select sha256(before || convert_to(jsonb_build_array(no, prev::text, cur::text, extract(epoch from floor_at)::text,
        extract(epoch from prev_at)::text, extract(epoch from cur_at)::text, origin, rows, encode(root, 'hex'), extract(epoch from sealed_at)::text)::text
        || case when form > 1 then form::text else '' end, 'UTF8'))
$$;
comment on function quote_seal_hash(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea, timestamptz, smallint) is 'hash of a block over the one before it and all of its own';
create function append_quote_seal(last_hash bytea, no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz,
    cur_at timestamptz, origin bigint, rows bigint, root bytea, sealed_at timestamptz, released jsonb default null) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    form constant smallint := 2;
    hash bytea := @extschema@.quote_seal_hash(last_hash, no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, sealed_at, form);
begin
    execute format('insert into %s (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, signature, signed_by, released)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)', @extschema@.quote_relay_table('quote_changes_seals'))
    using no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form, @extschema@.sign_quote_seal(hash),
        @extschema@.quote_seal_key(), released;
end $$;
comment on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, jsonb) is 'appends a block to the chain of seals';
revoke execute on function append_quote_seal(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea,
    timestamptz, jsonb) from public;
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
    now_at timestamptz := clock_timestamp();
begin
    begin
        execute format('lock table %s in share update exclusive mode nowait', seals);
    exception when lock_not_available then
        return 0;
    end;
    execute format('select * from %s order by no desc limit 1', seals) into strict last;
    cur := pg_current_snapshot();
    prev := case when last.origin = here then last.cur else '3:3:'::pg_snapshot end;
    -- As in the event feed: what ran already when the last block was cut may hold changes older than that.
    floor_at := case when last.origin <> here then '-infinity'
        when pg_snapshot_xmin(last.cur) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    select * into block from @extschema@.digest_quote_changes(2::smallint, prev, cur, here, floor_at - interval '1 day',
        now_at + interval '1 day', last.cur, last.origin);
    if block.rows > 0 or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, last.cur_at, now_at, here, block.rows, block.root, now_at);
    end if;
    return block.rows;
end $$;
create or replace function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    log text := @extschema@.quote_relay_table('v_quote_changes_all');
    before record;
    b record;
    released record;
    actual record;
    here bigint := @extschema@.quote_cluster_identifier();
    sealed bigint := 0;
    counted bigint;
begin
    select * into released from @extschema@.quote_history_released();
    for b in execute format('select * from %s order by no', seals) loop
        block := b.no;
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

-- 88_release.sql
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
        select * from (select s.*, lag(s.cur) over chain as before_cur, lag(s.origin) over chain as before_origin from %s s window chain as (order by s.no)) x
        where x.no > 0 and x.released is null and not $1 @> x.no
            and (x.floor_at - interval '1 day' < $3 and x.cur_at + interval '1 day' > $2 or x.origin <> x.before_origin)
        order by x.no$query$, @extschema@.quote_relay_table('quote_changes_seals')) using released.gone, from_at, until_at
    loop
        no := b.no;
        expected_rows := coalesce((released.remains -> b.no::text ->> 'rows')::bigint, b.rows);
        expected_root := coalesce(decode(released.remains -> b.no::text ->> 'root', 'hex'), b.root);
        select d.rows, d.root into rows, root from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at - interval '1 day',
            b.cur_at + interval '1 day', b.before_cur, b.before_origin) d;
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
    floor_at timestamptz;
    root bytea := sha256(convert_to(released::text, 'UTF8'));
begin
    execute format('select * from %s order by no desc limit 1', seals) into strict last;
    floor_at := case when pg_snapshot_xmin(last.cur) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    perform @extschema@.append_quote_seal(last.hash, last.no + 1, last.cur, last.cur, floor_at, last.cur_at, last.cur_at, last.origin, 0, root,
        clock_timestamp(), released);
end $$;

-- 89_retention.sql
create or replace function keep_quote_history(out archived integer, out dropped integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    policy record;
begin
    select * into policy from @extschema@.quote_history_policy();
    archived := 0;
    dropped := 0;
    begin
        if policy.archive_after is not null then
            archived := @extschema@.archive_quote_changes(policy.archive_after);
        end if;
    exception when lock_not_available then
        archived := 0;
    end;
    begin
        if policy.drop_after is not null and not exists (
            select from @extschema@.quote_collab_settings s where s.drop_refused_at > now() - interval '1 day')
        then
            dropped := @extschema@.drop_archived_quote_changes(policy.drop_after);
            update @extschema@.quote_collab_settings s set drop_refused_at = null where s.drop_refused_at is not null;
        end if;
    exception
        when lock_not_available then
            dropped := 0;
        when object_not_in_prerequisite_state then
            update @extschema@.quote_collab_settings s set drop_refused_at = now() where s.entity = 'QUOTE';
            raise warning 'quote history is not dropped: %', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
end $$;

-- 92_doctor.sql
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := to_regclass(format('%I.quote_changes', target_schema));
    sessions regclass := to_regclass(format('%I.active_quote_sessions', target_schema));
    found_rows boolean;
    at timestamptz;
    lag interval;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', 'select attach_quote_collaboration();');
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month',
        to_regclass(format('%I.quote_changes_%s', target_schema, to_char(now() at time zone 'UTC', 'YYYY_MM'))) is not null, 'error',
        'rows go to the default partition', 'select quote_collab_maintenance();');
    return next @extschema@.quote_collab_verdict('partition of next month',
        to_regclass(format('%I.quote_changes_%s', target_schema, to_char((now() + interval '1 month') at time zone 'UTC', 'YYYY_MM'))) is not null,
        'warning', 'nobody creates partitions ahead', 'select quote_collab_maintenance(); and preload the library or run it from cron');
    execute format('select exists (select from %I.quote_changes_default)', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('default partition empty', not found_rows, 'warning',
        'rows lie in the default partition: a month had no partition when they were written',
        'Move them out, create the partition, insert them again.');
    return next @extschema@.quote_collab_verdict('positions left',
        (select coalesce(q.last_value, 0) < 4000000000000000000 from pg_sequences q where q.schemaname = target_schema and q.sequencename = 'quote_changes_position_seq'),
        'error', 'the sequence of positions nears its end', 'Start a new log: detach, rename quote_changes, attach.');
    execute format('select max(b.cur_at) from %I.quote_relay_batch b where b.no > 0', target_schema) into at;
    execute format('select now() - max(c.changed_at) from %I.quote_changes c where c.changed_at > now() - interval ''1 day'' and c.changed_at > $1 + interval ''30 seconds''
        and c.conflict_resolution is distinct from ''REJECTED''', target_schema) into lag using coalesce(at, '-infinity');
    return next @extschema@.quote_collab_verdict('relay keeps up', lag is null or lag < interval '30 seconds', 'warning',
        format('the newest change is %s old and no gateway has cut a batch since', lag), 'Look at the /health of the gateway.');
    execute format('select l.expires_at from %I.quote_relay_lease l', target_schema) into at;
    return next @extschema@.quote_collab_verdict('a gateway is connected', at > now(), 'warning', 'no gateway holds the lease: events wait in quote_changes', 'Start the gateway.');
    -- Sessions are unlogged: a standby has none.
    found_rows := false;
    if not pg_is_in_recovery() then
        execute format('select exists (select from %s x where x.last_heartbeat < now() - @extschema@.quote_session_ttl() * 3)', sessions) into found_rows;
    end if;
    return next @extschema@.quote_collab_verdict('stale sessions swept', not found_rows, 'warning', 'nobody calls quote_collab_maintenance()',
        'Preload the library, run a gateway, or call select quote_collab_maintenance(); from cron.');
    execute format('select exists (select from %1$I.quote_changes c where c.changed_at between now() - interval ''1 day'' and now() - interval ''5 minutes''
        and not pg_visible_in_snapshot(c.xid, (select s.cur from %1$I.quote_changes_seals s order by s.no desc limit 1)))', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed', 'select seal_quote_history();');
    return next @extschema@.quote_collab_verdict('seals signed as configured', @extschema@.quote_seal_key_problem() is null, 'error',
        format('seals are not signed with quote_collab.seal_key: %s', @extschema@.quote_seal_key_problem()),
        'Set it to what openssl rand -base64 32 prints, preload the library and restart.');
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        'archived history is not as it was sealed, and is kept although drop_after lets it go',
        'See what select * from verify_quote_history() finds, keep its findings, and take the partitions away by hand.');
    return next @extschema@.quote_collab_verdict('history bounded',
        (select count(*) < 61 from pg_inherits i where i.inhparent = log), 'warning', 'the log holds more than 5 years', 'select archive_quote_changes(''24 months'');');
end $$;

