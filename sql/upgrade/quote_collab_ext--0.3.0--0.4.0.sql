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
