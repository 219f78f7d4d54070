-- quote_collab_ext 0.1.0

create function uuid_generate_v7() returns uuid
strict volatile parallel safe
language c
as 'MODULE_PATHNAME', 'uuid_generate_v7_wrapper';

create function current_quote_tenant() returns uuid
strict stable parallel safe
language c
as 'MODULE_PATHNAME', 'current_quote_tenant_wrapper';

comment on function uuid_generate_v7() is 'a new UUID of version 7, ascending with time';
comment on function current_quote_tenant() is 'tenant of the current transaction, from app.current_tenant_id; null when none is set';

-- What attach decided, one row per attached table. Names, never OIDs: a dump restores into another cluster.
create table quote_collab_settings (
    table_schema    name        not null,
    table_name      name        not null,
    entity          text        not null,
    columns         jsonb       not null,
    ignored_columns name[]      not null,
    added_columns   name[]      not null,
    relations       jsonb       not null default '{}',
    system_user_id  uuid,
    attached_at     timestamptz not null default now(),
    constraint quote_collab_settings_pkey primary key (table_schema, table_name),
    constraint quote_collab_settings_entity check (entity in ('QUOTE', 'QUOTE_LINE'))
);

select pg_extension_config_dump('quote_collab_settings', '');

comment on table quote_collab_settings is 'one row per table attached to quote collaboration; written by attach_quote_collaboration()';
comment on column quote_collab_settings.table_schema is 'schema of the attached table; quote_changes and active_quote_sessions live in the schema of the quotes';
comment on column quote_collab_settings.table_name is 'name of the attached table';
comment on column quote_collab_settings.entity is 'QUOTE (the header) or QUOTE_LINE';
comment on column quote_collab_settings.columns is 'role of a column → its name in this table, e.g. {"unit_price": "price_each"}';
comment on column quote_collab_settings.ignored_columns is 'columns whose change is no change: they raise no version and leave no history';
comment on column quote_collab_settings.added_columns is 'columns that attach added and detach takes away again';
comment on column quote_collab_settings.relations is 'users and customers tables for names in views: {"users": {"schema", "table", "id", "name", "email"}}';
comment on column quote_collab_settings.system_user_id is 'who is named as author when neither app.current_user_id nor updated_by says';
comment on column quote_collab_settings.attached_at is 'when the table was first attached';

-- The settings of the attached header or line table. SQLSTATE 55000 when nothing is attached.
create function quote_collab_target(entity text) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings;
begin
    select s.* into target from @extschema@.quote_collab_settings s
    where s.entity = quote_collab_target.entity
    order by s.attached_at, s.table_schema, s.table_name limit 1;
    if not found then
        raise exception 'quote collaboration is not attached to any table'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Run select attach_quote_collaboration() as the owner of the database.';
    end if;
    return target;
end $$;
comment on function quote_collab_target(text) is 'settings of the attached QUOTE or QUOTE_LINE table';

-- Column a role is played by, quoted for use in dynamic SQL; null when the table has no such column.
create function quote_collab_column(settings quote_collab_settings, role text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select quote_ident(settings.columns ->> role) $$;
comment on function quote_collab_column(quote_collab_settings, text) is 'quoted name of the column that plays a role in an attached table';

grant select on quote_collab_settings to public;

-- One session as the presence functions return it.
create type quote_session as (
    id uuid, tenant_id uuid, session_id uuid, quote_id uuid, user_id uuid, user_name text, user_email text,
    joined_at timestamptz, last_heartbeat timestamptz, current_line_id uuid, current_field varchar(63),
    cursor_position integer, is_editing boolean, status varchar(20)
);
comment on type quote_session is 'one session on one quote';

-- A client sends a heartbeat every 10 seconds; three missed ones end the session.
create function quote_session_ttl() returns interval
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
return interval '30 seconds';
comment on function quote_session_ttl() is 'a session without a heartbeat for this long is stale';

-- The cluster that transaction ids belong to: ids of another cluster mean nothing here.
create function quote_cluster_identifier() returns bigint
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select system_identifier from pg_control_system() $$;
comment on function quote_cluster_identifier() is 'system identifier of this cluster';

-- Name and e-mail of a user from the ERP's users table, as far as the caller may read it; known is null when he may not.
create function find_quote_user(user_id uuid, out user_name text, out user_email text, out known boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := (@extschema@.quote_collab_target('QUOTE')).relations -> 'users';
begin
    if users is not null and has_table_privilege(format('%I.%I', users ->> 'schema', users ->> 'table'), 'select') then
        execute format('select u.%I::text, %s, true from %I.%I u where u.%I = $1', users ->> 'name',
            coalesce(format('u.%I::text', users ->> 'email'), 'null'), users ->> 'schema', users ->> 'table', users ->> 'id')
        into user_name, user_email, known using user_id;
        known := coalesce(known, false);
    end if;
end $$;
comment on function find_quote_user(uuid) is 'name and e-mail of a user, nulls when unknown or not readable';

-- updated_by as a derived column of a save: the acting user, unless the ERP knows no such user.
create function quote_author_column(target quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    who uuid := nullif(current_setting('app.current_user_id', true), '')::uuid;
begin
    if who is null or not target.columns ? 'updated_by'
            or target.relations ? 'users' and (select u.known from @extschema@.find_quote_user(who) u) is not true then
        return '{}';
    end if;
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::uuid', who));
end $$;
comment on function quote_author_column(quote_collab_settings) is 'who saves, as an assignment to updated_by';

-- The audit log. The tables are ordinary tables of the ERP's schema, not members of the extension: pg_dump keeps
-- every row and DROP EXTENSION cannot drop an audit trail.

-- First day of the month of a time, in UTC: partition bounds must not move with the session's time zone.
create function quote_changes_month(at timestamptz) returns timestamptz
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select date_trunc('month', at at time zone 'UTC') at time zone 'UTC' $$;
comment on function quote_changes_month(timestamptz) is 'start of the monthly partition of quote_changes that a time belongs to';

-- Row security of one table by the tenant, enabled and forced.
create function protect_quote_table(target regclass, policy name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format('drop policy if exists %I on %s', policy, target);
    execute format(
        'create policy %I on %s using (tenant_id = (select @extschema@.current_quote_tenant()))', policy, target);
    execute format('comment on policy %I on %s is %L', policy, target,
        'a row is visible to, and writable for, its own tenant only; nobody when no tenant is set');
end $$;
comment on function protect_quote_table(regclass, name) is 'enables and forces row security by tenant on one table';

-- Creates the monthly partitions that are missing up to months_ahead; returns how many it made. A partition carries
-- its own row security, because a partition read directly bypasses its parent's policies.
create function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_schema name;
    log_name name;
    log_owner name;
    first timestamptz;
    partition_name text;
    made integer := 0;
begin
    select n.nspname, c.relname, r.rolname into log_schema, log_name, log_owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
    where c.oid = log;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        partition_name := format('%s_%s', log_name, to_char(first at time zone 'UTC', 'YYYY_MM'));
        continue when to_regclass(format('%I.%I', log_schema, partition_name)) is not null;
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)',
            log_schema, partition_name, log, first, @extschema@.quote_changes_month(first + interval '32 days'));
        execute format('alter table %I.%I owner to %I', log_schema, partition_name, log_owner);
        execute format('comment on table %I.%I is %L', log_schema, partition_name, 'one month of the quote audit log');
        perform @extschema@.protect_quote_table(
            format('%I.%I', log_schema, partition_name)::regclass, 'quote_changes_tenant_isolation');
        made := made + 1;
    end loop;
    return made;
end $$;
comment on function create_quote_changes_partitions(regclass, integer) is 'creates the missing monthly partitions of an audit log';

-- The audit log and what belongs to it, in the schema of the quotes table, owned by its owner. Idempotent. No check
-- constraints: only our trigger writes it, and PostgreSQL would parse each of them again for every insert.
create function create_quote_changes(target_schema name, target_owner name) returns regclass
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
                constraint quote_changes_pkey primary key (id, changed_at)
            ) partition by range (changed_at)$ddl$, log);
        execute format('create index quote_changes_quote on %s (quote_id, position)', log);
        execute format('create index quote_changes_feed on %s (xid, position)', log);
        execute format('create index quote_changes_changed_at on %s using brin (changed_at)', log);
        execute format('create table %I.quote_changes_default partition of %s default', target_schema, log);
        execute format('create sequence %I.quote_changes_position_seq as bigint owned by %s.position', target_schema, log);
        perform @extschema@.comment_quote_changes(log::regclass);
        execute format('alter table %I.quote_changes_default owner to %I', target_schema, target_owner);
        execute format('alter table %s owner to %I', log, target_owner);
    end if;
    perform @extschema@.protect_quote_table(format('%I.quote_changes_default', target_schema)::regclass, 'quote_changes_tenant_isolation');
    perform @extschema@.protect_quote_table(log::regclass, 'quote_changes_tenant_isolation');
    perform @extschema@.create_quote_changes_partitions(log::regclass);
    return log::regclass;
end $$;
comment on function create_quote_changes(name, name) is 'creates the partitioned audit log of an attached pair of tables';

create function comment_quote_changes(log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in select * from (values
        ('id', 'key of the row, UUIDv7: sorts by time'),
        ('tenant_id', 'tenant of the quote; row security compares it'),
        ('quote_id', 'the quote; no foreign key: the log outlives a deleted quote'),
        ('quote_line_id', 'the line, null when the header changed'),
        ('changed_by', 'who: app.current_user_id, else the row''s updated_by, else the configured system user'),
        ('changed_at', 'when, by the database''s clock; partition key'),
        ('entity_type', 'QUOTE or QUOTE_LINE'),
        ('field_name', 'changed column; * for a whole row'),
        ('old_value', 'value before, exactly as to_jsonb gives it; null on CREATE'),
        ('new_value', 'value after, exactly as to_jsonb gives it; null on DELETE'),
        ('change_type', 'CREATE, UPDATE or DELETE'),
        ('session_id', 'editing session, from app.current_session_id'),
        ('was_conflict', 'true when the row tells of a conflict'),
        ('conflict_resolution', 'ACCEPTED, REJECTED or MERGED; a REJECTED row was never applied'),
        ('entity_version_before', 'version the change started from'),
        ('entity_version_after', 'version the change produced'),
        ('event_id', 'shared by the rows of one row change; message id on the way to NATS'),
        ('position', 'order of row changes: within one snapshot of the log it is version order per row'),
        ('xid', 'top-level transaction that wrote it; readers batch by it'),
        ('origin', 'system identifier of the cluster whose xid it is'),
        ('context', 'what a reader needs beside the change: line_number, or the totals after it')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', log, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', log, 'audit log of quotes and their lines, one row per changed field; append-only');
end $$;
comment on function comment_quote_changes(regclass) is 'describes the audit log and its columns';

-- Who has a quote open. Unlogged: a crash of the server ends every session anyway. Room on each page and no index on
-- what a heartbeat writes, so that a heartbeat is a heap-only update.
create function create_active_quote_sessions(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sessions text := format('%I.active_quote_sessions', target_schema);
begin
    if to_regclass(sessions) is null then
        execute format($ddl$
            create unlogged table %s (
                id              uuid        not null,
                tenant_id       uuid        not null,
                session_id      uuid        not null,
                quote_id        uuid        not null,
                user_id         uuid        not null,
                user_name       text,
                user_email      text,
                joined_at       timestamptz not null,
                last_heartbeat  timestamptz not null,
                current_line_id uuid,
                current_field   varchar(63),
                cursor_position integer,
                is_editing      boolean     not null,
                status          varchar(20) not null,
                constraint active_quote_sessions_pkey primary key (id),
                constraint active_quote_sessions_session unique (session_id),
                constraint active_quote_sessions_status check (status in ('VIEWING', 'EDITING', 'IDLE')),
                constraint active_quote_sessions_cursor check (cursor_position >= 0)
            ) with (fillfactor = 50)$ddl$, sessions);
        execute format('create index active_quote_sessions_quote on %s (quote_id)', sessions);
        execute format('alter table %s owner to %I', sessions, target_owner);
        perform @extschema@.comment_active_quote_sessions(sessions::regclass);
    end if;
    perform @extschema@.protect_quote_table(sessions::regclass, 'quote_sessions_tenant_isolation');
    return sessions::regclass;
end $$;
comment on function create_active_quote_sessions(name, name) is 'creates the presence table of an attached pair of tables';

create function comment_active_quote_sessions(sessions regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in select * from (values
        ('id', 'key of the row, UUIDv7'),
        ('tenant_id', 'tenant of the quote; row security compares it'),
        ('session_id', 'one browser tab or client; joining again with it moves the session'),
        ('quote_id', 'the quote that is open'),
        ('user_id', 'who'),
        ('user_name', 'name to show'),
        ('user_email', 'address to show'),
        ('joined_at', 'when the session joined'),
        ('last_heartbeat', 'last sign of life by the database''s clock; stale after 30 seconds'),
        ('current_line_id', 'line that has the focus'),
        ('current_field', 'field that has the focus'),
        ('cursor_position', 'caret in the field, in UTF-16 code units'),
        ('is_editing', 'true while something is being typed'),
        ('status', 'VIEWING, EDITING or IDLE')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', sessions, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', sessions, 'who has which quote open; rows without a heartbeat for 30 seconds are gone from every list');
end $$;
comment on function comment_active_quote_sessions(regclass) is 'describes the presence table and its columns';

-- What the relay knows: the batches it cut (pairs of snapshots) and who may cut them. Private: nobody but the owner is
-- granted anything, the gateway goes through the functions of 80_relay.sql.
create function create_quote_relay_tables(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    batch text := format('%I.quote_relay_batch', target_schema);
    lease text := format('%I.quote_relay_lease', target_schema);
begin
    if to_regclass(batch) is null then
        execute format($ddl$
            create table %s (
                no        bigint      not null,
                prev      pg_snapshot not null,
                cur       pg_snapshot not null,
                prev_at   timestamptz not null,
                cur_at    timestamptz not null,
                floor_at  timestamptz not null,
                xids      xid8[]      not null,
                origin    bigint      not null,
                cur_xmax  xid8        not null generated always as (pg_snapshot_xmax(cur)) stored,
                constraint quote_relay_batch_pkey primary key (no)
            )$ddl$, batch);
        execute format('create index quote_relay_batch_xmax on %s (cur_xmax, no)', batch);
        execute format('comment on table %s is %L', batch, 'batches of the event feed: what is visible in cur and was not in prev');
        execute format('comment on column %s.xids is %L', batch, 'transactions of the batch');
        execute format('comment on column %s.floor_at is %L', batch, 'no change of this or a later batch was made before, save for steps of the clock');
        execute format('insert into %s (no, prev, cur, prev_at, cur_at, floor_at, xids, origin)
                        select 0, s, s, now(), now(), now(), ''{}'', @extschema@.quote_cluster_identifier()
                        from pg_current_snapshot() s', batch);
        execute format('alter table %s owner to %I', batch, target_owner);
    end if;
    if to_regclass(lease) is null then
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
        execute format('insert into %s values (true, 0, '''', ''-infinity'', 0, 0, 0)', lease);
        execute format('alter table %s owner to %I', lease, target_owner);
    end if;
end $$;
comment on function create_quote_relay_tables(name, name) is 'creates the private tables of the event relay';

-- Views for people and reports. Each is security_invoker: whoever reads it needs, and is held to, his own rights.

-- One row per row change: the event that the relay publishes, as jsonb.
create function create_quote_change_events_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text := format('%I.v_quote_change_events', target_schema);
begin
    execute format($ddl$
        create or replace view %1$s with (security_invoker = true) as
        select position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
               jsonb_build_object(
                   'position', position, 'event_id', event_id, 'tenant_id', tenant_id, 'quote_id', quote_id,
                   'line_id', quote_line_id, 'entity', entity_type, 'operation', change_type,
                   'actor', changed_by, 'at', changed_at, 'session_id', session_id,
                   'version_before', entity_version_before, 'version_after', entity_version_after,
                   'context', (array_agg(context) filter (where context is not null))[1],
                   'fields', jsonb_agg(jsonb_build_object('field', field_name, 'old', old_value, 'new', new_value)
                                       order by id)) as event
        from %2$I.quote_changes
        where conflict_resolution is distinct from 'REJECTED'
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$ddl$,
        view_name, target_schema);
    execute format('comment on view %s is %L', view_name, 'one row per row change: the rows of quote_changes that share an event_id, as the event that is published');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_quote_change_events_view(name, name) is 'creates the view of events over the audit log';

create function create_recent_quote_changes_view(header quote_collab_settings, line quote_collab_settings, target_owner name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text := format('%I.v_recent_quote_changes', header.table_schema);
    users jsonb := header.relations -> 'users';
begin
    execute format($ddl$
        create or replace view %s with (security_invoker = true) as
        select c.id as change_id, c.tenant_id, c.quote_id, q.%s::text as quote_number, c.quote_line_id,
               l.%s as line_number, c.changed_by, %s::text as changed_by_username, c.changed_at, c.entity_type,
               c.field_name, c.old_value, c.new_value, c.change_type, c.was_conflict, c.conflict_resolution,
               c.entity_version_before, c.entity_version_after
        from %I.quote_changes c
        left join %I.%I q on q.%s = c.quote_id and q.%s = c.tenant_id
        left join %I.%I l on l.%s = c.quote_line_id and l.%s = c.tenant_id
        %s
        where c.changed_at > now() - interval '24 hours'$ddl$,
        view_name,
        coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id')),
        coalesce(@extschema@.quote_collab_column(line, 'line_number'), @extschema@.quote_collab_column(line, 'version')),
        case when users is null then 'null' else format('u.%I', users ->> 'name') end,
        header.table_schema,
        header.table_schema, header.table_name, @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'id'), @extschema@.quote_collab_column(line, 'tenant'),
        case when users is null then '' else format('left join %I.%I u on u.%I = c.changed_by',
            users ->> 'schema', users ->> 'table', users ->> 'id') end);
    execute format('comment on view %s is %L', view_name, 'changes of the last 24 hours with quote number, line number and user name');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_recent_quote_changes_view(quote_collab_settings, quote_collab_settings, name) is 'creates the view of recent changes';

create function create_active_quote_collaborators_view(header quote_collab_settings, target_owner name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text := format('%I.v_active_quote_collaborators', header.table_schema);
    customers jsonb := header.relations -> 'customers';
    customer_column text := @extschema@.quote_collab_column(header, 'customer');
    named boolean := customers is not null and customer_column is not null;
begin
    execute format($ddl$
        create or replace view %1$s with (security_invoker = true) as
        select s.quote_id, s.tenant_id, q.%2$s::text as quote_number, %3$s as customer_id, %4$s as customer_name,
               count(distinct s.user_id)::integer as active_user_count,
               jsonb_agg(jsonb_build_object(
                   'userId', s.user_id, 'userName', s.user_name, 'userEmail', s.user_email, 'status', s.status,
                   'isEditing', s.is_editing, 'currentField', s.current_field, 'currentLineId', s.current_line_id,
                   'joinedAt', s.joined_at, 'lastSeen', s.last_heartbeat) order by s.joined_at, s.session_id) as active_users
        from %5$I.active_quote_sessions s
        join %5$I.%6$I q on q.%7$s = s.quote_id and q.%8$s = s.tenant_id
        %9$s
        where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl()
        group by 1, 2, 3, 4, 5$ddl$,
        view_name,
        coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id')),
        coalesce('q.' || customer_column, 'null::uuid'),
        case when named then format('c.%I::text', customers ->> 'name') else 'null::text' end,
        header.table_schema, header.table_name,
        @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        case when named then format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', customer_column) else '' end);
    execute format('comment on view %s is %L', view_name, 'who is looking at or editing which quote now');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_active_quote_collaborators_view(quote_collab_settings, name) is 'creates the view of active collaborators';

-- The triggers of one attached table. They carry what they need as arguments, readable in \d, so that firing one reads
-- no table of ours. ENABLE ALWAYS: rows applied by a replication role leave a history too.
create function create_quote_triggers(target regclass, settings quote_collab_settings, log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    arguments text;
    ignored text[] := settings.ignored_columns::text[] || array(
        select settings.columns ->> r from unnest('{version,updated_at,updated_by}'::text[]) r where settings.columns ? r);
begin
    select string_agg(quote_literal(a), ', ' order by a) into arguments from (
        select format('entity=%s', settings.entity)
        union all select format('log=%s', (select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log))
        union all select format('%s=%s', key, value) from jsonb_each_text(settings.columns)
        union all select format('ignore=%s', i) from unnest(ignored) i
        union all select 'stamp_user=yes' where settings.columns ->> 'updated_by' = any (settings.added_columns::text[])
        union all select format('system_user=%s', settings.system_user_id) where settings.system_user_id is not null) x (a);
    execute format('drop trigger if exists trg_increment_%s_version on %s', kind, target);
    execute format('drop trigger if exists trg_capture_%s_change on %s', kind, target);
    execute format('drop trigger if exists trg_flush_%s_changes on %s', kind, target);
    execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, target);
    execute format('create trigger trg_increment_%1$s_version before update on %2$s for each row
        execute function @extschema@.increment_%1$s_version(%3$s)', kind, target, arguments);
    execute format('create trigger trg_capture_%1$s_change after insert or update or delete on %2$s for each row
        execute function @extschema@.capture_quote_change(%3$s)', kind, target, arguments);
    execute format('create trigger trg_flush_%1$s_changes after insert or update or delete on %2$s for each statement
        execute function @extschema@.flush_quote_changes()', kind, target);
    execute format('create trigger trg_refuse_%1$s_truncate before truncate on %2$s for each statement
        execute function @extschema@.refuse_quote_truncate()', kind, target);
    execute format('alter table %2$s enable always trigger trg_increment_%1$s_version, enable always trigger trg_capture_%1$s_change,
        enable always trigger trg_flush_%1$s_changes, enable always trigger trg_refuse_%1$s_truncate', kind, target);
    execute format('comment on trigger trg_increment_%s_version on %s is %L', kind, target, 'version + 1 and updated_at = now() when a row really changes');
    execute format('comment on trigger trg_capture_%s_change on %s is %L', kind, target, 'compares the row before and after and notes what changed');
    execute format('comment on trigger trg_flush_%s_changes on %s is %L', kind, target, 'writes what the statement changed into quote_changes');
    execute format('comment on trigger trg_refuse_%s_truncate on %s is %L', kind, target, 'TRUNCATE would leave no history');
end $$;
comment on function create_quote_triggers(regclass, quote_collab_settings, regclass) is 'creates the triggers of one attached table';

create function increment_quote_version() returns trigger language c as 'MODULE_PATHNAME', 'increment_version';
comment on function increment_quote_version() is 'before-update trigger: stamps version and updated_at on a changed quote';
create function increment_quote_line_version() returns trigger language c as 'MODULE_PATHNAME', 'increment_version';
comment on function increment_quote_line_version() is 'before-update trigger: stamps version and updated_at on a changed line';
create function capture_quote_change() returns trigger language c as 'MODULE_PATHNAME', 'capture_change';
comment on function capture_quote_change() is 'after-row trigger: notes what changed in one row';
create function flush_quote_changes() returns trigger language c as 'MODULE_PATHNAME', 'flush_changes';
comment on function flush_quote_changes() is 'after-statement trigger: writes what was noted into quote_changes';

create function refuse_quote_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'truncate of % is refused', tg_relid::regclass
        using errcode = 'feature_not_supported',
              detail = 'It would remove quotes without a trace in quote_changes.',
              hint = 'Use delete, or disable the trigger as the table''s owner and write down why.';
end $$;
comment on function refuse_quote_truncate() is 'before-truncate trigger: refuses';

-- attach: makes an ERP's header and line tables collaborative. Idempotent: run it again after a migration.

-- First existing column of a list of candidates, or the one that the options name. SQLSTATE 42703 when a named column
-- is missing, or when a required role has no column.
create function find_quote_column(target regclass, role text, chosen jsonb, candidates text[], required boolean)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_column text;
begin
    select a.attname into found_column
    from unnest(case when chosen ? role then array[chosen ->> role] else candidates end) with ordinality c (name, place)
    join pg_attribute a on a.attrelid = target and a.attname = c.name and a.attnum > 0 and not a.attisdropped
    order by c.place limit 1;
    if found_column is null and (required or chosen ? role) then
        raise exception 'table % has no column for the role "%"', target, role
            using errcode = 'undefined_column',
                  detail = format('Looked for: %s.', array_to_string(case when chosen ? role then array[chosen ->> role] else candidates end, ', ')),
                  hint = format('Name it in the options: {"columns": {"%s": "..."}}.', role);
    end if;
    return found_column;
end $$;
comment on function find_quote_column(regclass, text, jsonb, text[], boolean) is 'finds the column that plays a role in a table';

-- Role → column of a header or line table.
create function find_quote_columns(target regclass, entity text, chosen jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from (values
        ('QUOTE', 'id', '{id}'::text[], true), ('QUOTE', 'tenant', '{tenant_id}', true),
        ('QUOTE', 'version', '{version}', false), ('QUOTE', 'updated_at', '{updated_at}', false),
        ('QUOTE', 'updated_by', '{updated_by}', false), ('QUOTE', 'created_by', '{created_by}', false),
        ('QUOTE', 'quote_number', '{quote_number}', false), ('QUOTE', 'customer', '{customer_id}', false),
        ('QUOTE', 'status', '{status}', false), ('QUOTE', 'subtotal', '{subtotal}', false),
        ('QUOTE', 'tax_amount', '{tax_amount}', false), ('QUOTE', 'shipping_amount', '{shipping_amount}', false),
        ('QUOTE', 'discount_amount', '{discount_amount}', false), ('QUOTE', 'total_amount', '{total_amount}', false),
        ('QUOTE_LINE', 'id', '{id}', true), ('QUOTE_LINE', 'tenant', '{tenant_id}', true),
        ('QUOTE_LINE', 'quote', '{quote_id}', true), ('QUOTE_LINE', 'version', '{version}', false),
        ('QUOTE_LINE', 'updated_at', '{updated_at}', false), ('QUOTE_LINE', 'updated_by', '{updated_by}', false),
        ('QUOTE_LINE', 'created_by', '{created_by}', false), ('QUOTE_LINE', 'line_number', '{line_number}', false),
        ('QUOTE_LINE', 'quantity', '{quantity,quantity_quoted}', false),
        ('QUOTE_LINE', 'unit_price', '{unit_price}', false), ('QUOTE_LINE', 'line_amount', '{line_amount}', false)
    ) as r (entity, role, candidates, required)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, r.candidates, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
comment on function find_quote_columns(regclass, text, jsonb) is 'finds the columns of an ERP table by role';

-- {"schema", "table", "id", "name", "email"} of a table of people or firms; null when the ERP has none.
create function find_quote_relation(target_schema name, chosen jsonb, default_table text, names text[], emails text[])
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass := to_regclass(format('%I.%I', coalesce(chosen ->> 'schema', target_schema), coalesce(chosen ->> 'table', default_table)));
begin
    if target is null then
        return null;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'schema', coalesce(chosen ->> 'schema', target_schema),
        'table', coalesce(chosen ->> 'table', default_table),
        'id', @extschema@.find_quote_column(target, 'id', chosen, '{id}', true),
        'name', @extschema@.find_quote_column(target, 'name', chosen, names, true),
        'email', @extschema@.find_quote_column(target, 'email', chosen, emails, false)));
end $$;
comment on function find_quote_relation(name, jsonb, text, text[], text[]) is 'finds a table that names users or customers';

-- Adds the version column (and updated_by to lines) where the table has none; returns the names it added.
create function add_quote_columns(target regclass, entity text, columns jsonb) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    added name[] := '{}';
begin
    if not columns ? 'version' then
        execute format('alter table %s add column version integer not null default 1', target);
        execute format('comment on column %s.version is %L', target, 'optimistic-lock token: +1 per change of the row');
        added := added || 'version'::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' then
        execute format('alter table %s add column updated_by uuid', target);
        execute format('comment on column %s.updated_by is %L', target, 'who changed the row last');
        added := added || 'updated_by'::name;
    end if;
    return added;
end $$;
comment on function add_quote_columns(regclass, text, jsonb) is 'adds the columns that collaboration needs to an ERP table';

-- Keys must be uuids and versions whole numbers. SQLSTATE 42804.
create function check_quote_column_types(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    select a.attname, r.role, r.types into wrong
    from (values ('id', '{uuid}'::regtype[]), ('tenant', '{uuid}'), ('quote', '{uuid}'), ('version', '{smallint,integer,bigint}')) r (role, types)
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    where case when t.typtype = 'd' then t.typbasetype else t.oid end <> all (r.types)
    limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'datatype_mismatch', detail = format('It must be of type %s.', array_to_string(wrong.types, ' or '));
    end if;
end $$;
comment on function check_quote_column_types(regclass, jsonb) is 'refuses key and version columns of types that cannot work';

-- One table: columns, settings row, triggers.
create function attach_quote_table(target regclass, entity text, log regclass, options jsonb) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
    chosen jsonb := coalesce(options -> case entity when 'QUOTE' then 'columns' else 'line_columns' end, '{}');
    added name[];
    target_schema name;
    target_name name;
begin
    select n.nspname, c.relname into target_schema, target_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target;
    added := @extschema@.add_quote_columns(target, entity, @extschema@.find_quote_columns(target, entity, chosen));
    perform @extschema@.check_quote_column_types(target, @extschema@.find_quote_columns(target, entity, chosen));
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, columns, ignored_columns, added_columns, relations, system_user_id)
    values (target_schema, target_name, entity, @extschema@.find_quote_columns(target, entity, chosen),
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        jsonb_strip_nulls(jsonb_build_object(
            'users', @extschema@.find_quote_relation(target_schema, options -> 'users', 'users', '{username,user_name,name}', '{email}'),
            'customers', @extschema@.find_quote_relation(target_schema, options -> 'customers', 'customers', '{customer_name,name}', '{email}'))),
        (options ->> 'system_user_id')::uuid)
    on conflict (table_schema, table_name) do update set
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = s.added_columns || excluded.added_columns, system_user_id = excluded.system_user_id
    returning s.* into settings;
    perform @extschema@.create_quote_triggers(target, settings, log);
    return settings;
end $$;
comment on function attach_quote_table(regclass, text, regclass, jsonb) is 'makes one ERP table collaborative';

-- Copies privileges: who may read the quotes may read their history, who may change them may take part in presence.
-- PUBLIC gets nothing that writes.
create function copy_quote_privileges(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_schema name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header);
    grantee record;
begin
    for grantee in
        select acl.privilege_type, case acl.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(acl.grantee)) end as role
        from pg_class c cross join lateral aclexplode(c.relacl) acl
        where c.oid = header and acl.privilege_type in ('SELECT', 'UPDATE') and acl.grantee <> c.relowner
    loop
        if grantee.privilege_type = 'SELECT' then
            execute format('grant select on %1$I.quote_changes, %1$I.active_quote_sessions, %1$I.v_quote_change_events,
                %1$I.v_recent_quote_changes, %1$I.v_active_quote_collaborators to %2$s', log_schema, grantee.role);
        elsif grantee.role <> 'public' then
            execute format('grant select, insert, update, delete on %I.active_quote_sessions to %s', log_schema, grantee.role);
            execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions() to %s', grantee.role);
        end if;
    end loop;
end $$;
comment on function copy_quote_privileges(regclass) is 'gives the readers and writers of the quotes their rights on history and presence';

-- Attaches collaboration to a pair of tables. quotes and quote_lines default to the tables of those names on the
-- search path. options: {"columns": {role: column}, "line_columns": {role: column}, "ignored_columns": [...],
-- "users": {"schema","table","id","name","email"}, "customers": {...}, "system_user_id": uuid}.
-- Everything or nothing: an error leaves no trace. Waits at most 5 seconds for a lock, unless lock_timeout says otherwise.
create function attach_quote_collaboration(quotes regclass default null, quote_lines regclass default null, options jsonb default '{}')
returns text
language plpgsql
as $$
declare
    header regclass := coalesce(quotes, to_regclass('quotes'));
    lines regclass := coalesce(quote_lines, to_regclass('quote_lines'));
    target_schema name;
    target_owner name;
    log regclass;
    header_settings @extschema@.quote_collab_settings;
    line_settings @extschema@.quote_collab_settings;
begin
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.check_quote_tables(header, lines, options);
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    select n.nspname, r.rolname into target_schema, target_owner
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_roles r on r.oid = c.relowner
    where c.oid = header;
    log := @extschema@.create_quote_changes(target_schema, target_owner);
    perform @extschema@.create_active_quote_sessions(target_schema, target_owner);
    perform @extschema@.create_quote_relay_tables(target_schema, target_owner);
    header_settings := @extschema@.attach_quote_table(header, 'QUOTE', log, options);
    line_settings := @extschema@.attach_quote_table(lines, 'QUOTE_LINE', log, options);
    perform @extschema@.create_quote_change_events_view(target_schema, target_owner);
    perform @extschema@.create_recent_quote_changes_view(header_settings, line_settings, target_owner);
    perform @extschema@.create_active_quote_collaborators_view(header_settings, target_owner);
    perform @extschema@.copy_quote_privileges(header);
    return format('quote collaboration is attached to %s and %s', header, lines);
end $$;
comment on function attach_quote_collaboration(regclass, regclass, jsonb) is 'attaches history, versions, presence and events to a header table and its lines';

create function check_quote_tables(header regclass, lines regclass, options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    other @extschema@.quote_collab_settings;
begin
    if header is null or lines is null then
        raise exception 'no table "%" on the search path', case when header is null then 'quotes' else 'quote_lines' end
            using errcode = 'undefined_table',
                  hint = 'Name both tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    end if;
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'quote collaboration needs a database in UTF8' using errcode = 'feature_not_supported',
            detail = format('This one is in %s.', getdatabaseencoding());
    end if;
    if jsonb_typeof(options) is distinct from 'object' then
        raise exception 'options must be a json object' using errcode = 'invalid_parameter_value';
    end if;
    if exists (select from pg_class c where c.oid in (header, lines) and c.relkind not in ('r', 'p')) then
        raise exception 'quote collaboration attaches to ordinary and partitioned tables only'
            using errcode = 'wrong_object_type';
    end if;
    select s.* into other from @extschema@.quote_collab_settings s
    where format('%I.%I', s.table_schema, s.table_name)::regclass not in (header, lines) limit 1;
    if found then
        raise exception 'quote collaboration is already attached to %', format('%I.%I', other.table_schema, other.table_name)
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Detach it first; this release serves one pair of tables in a database.';
    end if;
end $$;
comment on function check_quote_tables(regclass, regclass, jsonb) is 'refuses what cannot be attached';

-- detach: the ERP's tables as they were before attach. The audit log stays, readable by tenant as before, unless
-- drop_history says otherwise; then nothing of ours is left but the extension itself.
create function detach_quote_table(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    target text := format('%I.%I', settings.table_schema, settings.table_name);
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    added name;
begin
    if to_regclass(target) is not null then
        execute format('drop trigger if exists trg_increment_%s_version on %s', kind, target);
        execute format('drop trigger if exists trg_capture_%s_change on %s', kind, target);
        execute format('drop trigger if exists trg_flush_%s_changes on %s', kind, target);
        execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, target);
        foreach added in array settings.added_columns loop
            execute format('alter table %s drop column if exists %I', target, added);
        end loop;
    end if;
    delete from @extschema@.quote_collab_settings s
    where s.table_schema = settings.table_schema and s.table_name = settings.table_name;
end $$;
comment on function detach_quote_table(quote_collab_settings) is 'takes triggers, settings and added columns away from one table';

-- Row security of a log that stays behind: the same rule in words of PostgreSQL alone, so that DROP EXTENSION can follow.
create function release_quote_history(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
begin
    for part in select t.relid from pg_partition_tree(format('%I.quote_changes', target_schema)::regclass) t loop
        execute format('drop policy if exists quote_changes_tenant_isolation on %s', part);
        execute format('create policy quote_changes_tenant_isolation on %s using
            (tenant_id = (select nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid))', part);
    end loop;
end $$;
comment on function release_quote_history(name) is 'frees the policies of a remaining audit log from the extension';

create function detach_quote_collaboration(drop_history boolean default false) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE_LINE');
    s name := header.table_schema;
begin
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    execute format('drop view if exists %1$I.v_active_quote_collaborators, %1$I.v_recent_quote_changes, %1$I.v_quote_change_events', s);
    perform @extschema@.detach_quote_table(line);
    perform @extschema@.detach_quote_table(header);
    execute format('drop table if exists %I.active_quote_sessions', s);
    if drop_history then
        execute format('drop table if exists %1$I.quote_changes, %1$I.quote_relay_batch, %1$I.quote_relay_lease', s);
        return 'quote collaboration is detached, its history is dropped';
    end if;
    perform @extschema@.release_quote_history(s);
    return format('quote collaboration is detached, its history stays in %I.quote_changes', s);
end $$;
comment on function detach_quote_collaboration(boolean) is 'takes collaboration away again; history stays unless drop_history => true';

-- Notes a refused save in the audit log. Runs with the extension owner's rights, since nobody may write the log, and
-- therefore believes nothing: it finds the row itself, for the current tenant, and does nothing unless the version
-- really differs.
create function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.quote_collab_target(entity);
    log_schema name := (@extschema@.quote_collab_target('QUOTE')).table_schema;
    current_row jsonb := @extschema@.find_quote_row(target, row_id);
    actual_version integer := (current_row ->> (target.columns ->> 'version'))::integer;
begin
    if current_row is null or actual_version = expected_version then
        return;
    end if;
    execute format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type,
            field_name, old_value, new_value, change_type, session_id, was_conflict, conflict_resolution,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select @extschema@.uuid_generate_v7(), $1, $2, $3, $4, clock_timestamp(), $5, f.key, $6 -> f.key, f.value, 'UPDATE',
            $7, true, 'REJECTED', $8, $9, e.event_id, e.position, pg_current_xact_id(), @extschema@.quote_cluster_identifier()
        from jsonb_each($10) f,
            (select @extschema@.uuid_generate_v7(), nextval('%1$I.quote_changes_position_seq')) e (event_id, position)$query$, log_schema)
    using (current_row ->> (target.columns ->> 'tenant'))::uuid,
          coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case entity when 'QUOTE_LINE' then row_id end,
          coalesce(nullif(current_setting('app.current_user_id', true), '')::uuid, target.system_user_id),
          entity, current_row, nullif(current_setting('app.current_session_id', true), '')::uuid,
          expected_version, actual_version, changes;
end $$;
comment on function record_rejected_quote_change(text, uuid, integer, jsonb) is 'notes a save that was refused because of its version';

-- Saving with the version one has seen. A conflict is an answer, not an error: it returns success = false with what
-- the others changed, and leaves a REJECTED row in the audit log.

-- The row of an attached table, for the caller's rights and tenant; null when it does not exist for him.
create function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(t) from %I.%I t where t.%s = $1 and ($2 is null or t.%s = $2) %s',
        target.table_schema, target.table_name, @extschema@.quote_collab_column(target, 'id'),
        @extschema@.quote_collab_column(target, 'tenant'), locking)
    into found_row using row_id, @extschema@.current_quote_tenant();
    return found_row;
end $$;
comment on function find_quote_row(quote_collab_settings, uuid, text) is 'one row of an attached table as jsonb, under the caller''s rights and tenant';

create function require_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
    noun text := case target.entity when 'QUOTE' then 'quote' else 'quote line' end;
begin
    if row_id is null then
        raise exception 'the % id must not be null', noun using errcode = 'null_value_not_allowed';
    end if;
    found_row := @extschema@.find_quote_row(target, row_id, locking);
    if found_row is null then
        raise exception 'unknown %', noun using errcode = 'no_data_found',
            detail = format('There is no %s with id %s for the current tenant.', noun, row_id),
            hint = 'Check the id and app.current_tenant_id.';
    end if;
    return found_row;
end $$;
comment on function require_quote_row(quote_collab_settings, uuid, text) is 'like find_quote_row, but raises P0002 when there is none';

create function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the expected version must not be null' using errcode = 'null_value_not_allowed';
    elsif expected_version < 1 then
        raise exception 'the expected version must be positive' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions start at 1.', expected_version);
    end if;
end $$;
comment on function require_quote_version(integer) is 'refuses a null, zero or negative version';

create function check_quote_version(quote_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
begin
    perform @extschema@.require_quote_version(expected_version);
    return (@extschema@.require_quote_row(target, quote_id) ->> (target.columns ->> 'version'))::integer = expected_version;
end $$;
comment on function check_quote_version(uuid, integer) is 'true when the quote still has that version; raises P0002 for an unknown quote';

create function check_quote_line_version(line_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE_LINE');
begin
    perform @extschema@.require_quote_version(expected_version);
    return (@extschema@.require_quote_row(target, line_id) ->> (target.columns ->> 'version'))::integer = expected_version;
end $$;
comment on function check_quote_line_version(uuid, integer) is 'true when the line still has that version; raises P0002 for an unknown line';

-- unitPrice → unit_price; a name that is snake_case already stays as it is.
create function quote_field_name(field text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select lower(regexp_replace(field, '([a-z0-9])([A-Z])', '\1_\2', 'g')) $$;
comment on function quote_field_name(text) is 'column name of a field given in camelCase';

-- Field names of a change set → column names, checked: unknown 42703, read-only 42501, not an object 22023, over 1 MiB 54000.
create function normalise_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    normal jsonb := '{}';
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    item record;
    column_name name;
    generated boolean;
begin
    if changes is null then
        raise exception 'the changes must not be null' using errcode = 'null_value_not_allowed';
    elsif jsonb_typeof(changes) <> 'object' then
        raise exception 'the changes must be a json object' using errcode = 'invalid_parameter_value',
            hint = 'Pass {"field": value, ...}.';
    elsif octet_length(changes::text) > 1048576 then
        raise exception 'the changes are too large' using errcode = 'program_limit_exceeded',
            detail = 'At most 1 MiB of changes is accepted at once.';
    end if;
    for item in select key, value from jsonb_each(changes) loop
        select a.attname, a.attgenerated <> '' or a.attidentity = 'a' into column_name, generated
        from pg_attribute a
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
          and a.attname in (item.key, @extschema@.quote_field_name(item.key))
        order by a.attname = item.key desc limit 1;
        if not found then
            raise exception 'unknown field "%"', left(item.key, 63) using errcode = 'undefined_column',
                hint = format('Fields are the columns of %s, in camelCase or snake_case.', relation);
        elsif generated or column_name in (select target.columns ->> r from unnest('{id,tenant,version,quote,updated_at,updated_by,created_by}'::text[]) r)
                or column_name = 'created_at' then
            raise exception 'field "%" is read-only', column_name using errcode = 'insufficient_privilege',
                hint = 'Leave it out of the changes: it is set by the database.';
        elsif normal ? column_name::text then
            raise exception 'field "%" is given twice', column_name using errcode = 'invalid_parameter_value';
        end if;
        normal := normal || jsonb_build_object(column_name, item.value);
    end loop;
    return normal;
end $$;
comment on function normalise_quote_changes(quote_collab_settings, jsonb) is 'checks the fields of a change set and gives them their column names';

-- Column definition list of the changed columns, for jsonb_to_record; null for an empty change set.
create function quote_changes_record(target quote_collab_settings, changes jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ')
    from pg_attribute a
    where a.attrelid = format('%I.%I', target.table_schema, target.table_name)::regclass
      and a.attnum > 0 and not a.attisdropped and changes ? a.attname::text
$$;
comment on function quote_changes_record(quote_collab_settings, jsonb) is 'names and types of the columns of a change set';

-- A change set as the table's own types print it ("12.5" for a numeric(18,4) becomes 12.5000): comparable with a row.
create function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    coerced jsonb := '{}';
begin
    if record_definition is not null then
        execute format('select to_jsonb(r) from jsonb_to_record($1) as r(%s)', record_definition) into coerced using changes;
    end if;
    return coerced;
end $$;
comment on function coerce_quote_changes(quote_collab_settings, jsonb) is 'values of a change set in the types of their columns';

-- What stands against a save based on an older version, a jsonb array with one object per attempted field: the value at
-- the expected version, the value now, the attempted value, who changed it last and when.
create function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    conflicts jsonb;
    users jsonb := target.relations -> 'users';
    log_schema name := (@extschema@.quote_collab_target('QUOTE')).table_schema;
begin
    execute format($query$
        with log as materialized (
            select c.field_name, c.old_value, c.changed_by, c.changed_at, c.position from %1$I.quote_changes c
            where c.quote_id = $1 and c.quote_line_id is not distinct from $2 and c.change_type = 'UPDATE'
              and c.conflict_resolution is distinct from 'REJECTED' and c.entity_version_after > $3)
        select jsonb_agg(jsonb_build_object(
            'field', f.key, 'expectedVersion', $3, 'actualVersion', $5 -> $6,
            'baseValue', case when base.position is null then $5 -> f.key else base.old_value end,
            'currentValue', $5 -> f.key, 'attemptedValue', f.value,
            'lastChangedBy', last.changed_by, 'lastChangedByName', %2$s, 'lastChangedAt', last.changed_at) order by f.key)
        from jsonb_each($4) f
        left join lateral (select l.position, l.old_value from log l where l.field_name = f.key order by l.position limit 1) base on true
        left join lateral (select l.changed_by, l.changed_at from log l
                           order by l.field_name = f.key desc, l.position desc limit 1) last on true$query$,
        log_schema,
        case when users is null or not has_table_privilege(format('%I.%I', users ->> 'schema', users ->> 'table'), 'select') then 'null'
             else format('(select u.%I from %I.%I u where u.%I = last.changed_by)', users ->> 'name', users ->> 'schema', users ->> 'table', users ->> 'id') end)
    into conflicts
    using coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case target.entity when 'QUOTE_LINE' then (current_row ->> (target.columns ->> 'id'))::uuid end,
          expected_version, changes, current_row, target.columns ->> 'version';
    return coalesce(conflicts, '[]');
end $$;
comment on function quote_conflicts(quote_collab_settings, jsonb, integer, jsonb) is 'what stands against a save based on an older version';

create function require_conflict_policy(on_conflict text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if on_conflict in ('merge', 'overwrite') then
        raise exception 'on_conflict => ''%'' is not available in this release', on_conflict
            using errcode = 'feature_not_supported', hint = 'Use on_conflict => ''reject''.';
    elsif on_conflict is distinct from 'reject' then
        raise exception 'unknown on_conflict policy' using errcode = 'invalid_parameter_value',
            hint = 'Use on_conflict => ''reject''.';
    end if;
end $$;
comment on function require_conflict_policy(text) is 'refuses what on_conflict does not know';

-- Applies a normalised change set, plus derived columns as SQL expressions (t: the row before, r: the new values).
create function apply_quote_changes(target quote_collab_settings, row_id uuid, changes jsonb, derived jsonb default '{}') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    assignments text;
    updated jsonb;
begin
    select string_agg(a, ', ') into assignments from (
        select format('%I = r.%I', key, key) from jsonb_object_keys(changes) key
        union all select format('%I = %s', key, value) from jsonb_each_text(derived) where not changes ? key) x (a);
    if assignments is null then
        return @extschema@.require_quote_row(target, row_id);
    end if;
    execute format('update %I.%I t set %s %s where t.%s = $1 returning to_jsonb(t)',
        target.table_schema, target.table_name, assignments,
        case when record_definition is null then '' else format('from jsonb_to_record($2) as r(%s)', record_definition) end,
        @extschema@.quote_collab_column(target, 'id'))
    into updated using row_id, changes;
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role.';
    end if;
    return updated;
end $$;
comment on function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb) is 'updates one row of an attached table from a change set';

-- Value of a column after a change set is applied: r.column when it is in the set, else t.column.
create function quote_new_value(target quote_collab_settings, role text, changes jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when target.columns ? role
        then format('%s.%I', case when changes ? (target.columns ->> role) then 'r' else 't' end, target.columns ->> role)
        else '0' end
$$;
comment on function quote_new_value(quote_collab_settings, text, jsonb) is 'expression for a column after a change set';

-- total = subtotal + tax + shipping - discount, over the values after a change set.
create function quote_total_expression(header quote_collab_settings, subtotal text, changes jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('coalesce(%s, 0) + coalesce(%s, 0) + coalesce(%s, 0) - coalesce(%s, 0)', subtotal,
        @extschema@.quote_new_value(header, 'tax_amount', changes),
        @extschema@.quote_new_value(header, 'shipping_amount', changes),
        @extschema@.quote_new_value(header, 'discount_amount', changes))
$$;
comment on function quote_total_expression(quote_collab_settings, text, jsonb) is 'the total of a quote from its parts, in SQL';

-- Saves fields of a header based on the version seen. Locks the header first. total_amount follows its parts.
create function update_quote_with_version_check(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    fields jsonb;
    derived jsonb := @extschema@.quote_author_column(header);
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(header, @extschema@.normalise_quote_changes(header, changes));
    if session_id is not null then
        perform set_config('app.current_session_id', session_id::text, true);
    end if;
    quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
    previous_version := (quote ->> (header.columns ->> 'version'))::integer;
    new_version := previous_version;
    if previous_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(header, quote, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE', quote_id, expected_version, fields);
        return;
    end if;
    if header.columns ? 'total_amount' and header.columns ? 'subtotal' and fields ?| array(
            select header.columns ->> part from unnest('{subtotal,tax_amount,shipping_amount,discount_amount}'::text[]) part
            where header.columns ? part) then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount',
            @extschema@.quote_total_expression(header, @extschema@.quote_new_value(header, 'subtotal', fields), fields));
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, fields, derived);
    end if;
    new_version := (quote ->> (header.columns ->> 'version'))::integer;
    success := true;
    conflicts := '[]';
end $$;
comment on function update_quote_with_version_check(uuid, integer, jsonb, uuid, text) is
    'saves fields of a quote based on the version seen; success = false with the conflicts when somebody was faster';

-- Sums the lines into the header, in a statement of its own: its snapshot is taken after the header was locked, so it
-- sees every line that a faster transaction saved. Returns the header.
create function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sum_expression text;
    derived jsonb := '{}';
begin
    if not (header.columns ? 'subtotal' and line.columns ? 'line_amount') then
        return @extschema@.find_quote_row(header, quote_id);
    end if;
    sum_expression := format('(select coalesce(sum(l.%s), 0) from %I.%I l where l.%s = t.%s)',
        @extschema@.quote_collab_column(line, 'line_amount'), line.table_schema, line.table_name,
        @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(header, 'id'));
    derived := jsonb_build_object(header.columns ->> 'subtotal', sum_expression);
    if header.columns ? 'total_amount' then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, sum_expression, '{}'));
    end if;
    return @extschema@.apply_quote_changes(header, quote_id, '{}', derived);
end $$;
comment on function recalculate_quote_totals(quote_collab_settings, quote_collab_settings, uuid) is 'subtotal and total of a quote from its lines';

-- line_amount = quantity × unit_price, as an expression over the new values, when either is being saved.
create function derived_line_columns(line quote_collab_settings, fields jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when line.columns ?& '{quantity,unit_price,line_amount}' and fields ?| array[line.columns ->> 'quantity', line.columns ->> 'unit_price']
        then jsonb_build_object(line.columns ->> 'line_amount', @extschema@.quote_new_value(line, 'quantity', fields) || ' * ' || @extschema@.quote_new_value(line, 'unit_price', fields))
        else '{}' end
$$;
comment on function derived_line_columns(quote_collab_settings, jsonb) is 'columns of a line that follow from the saved ones';

-- Saves fields of a line based on the version seen, and the header's totals with it. Header before line, always: two
-- people never deadlock.
create function update_quote_line_with_version_check(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE_LINE');
    parent uuid;
    fields jsonb;
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(line, @extschema@.normalise_quote_changes(line, changes));
    if session_id is not null then
        perform set_config('app.current_session_id', session_id::text, true);
    end if;
    parent := (@extschema@.require_quote_row(line, line_id) ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure', hint = 'Try again.';
    end if;
    previous_version := (quote_line ->> (line.columns ->> 'version'))::integer;
    new_version := previous_version;
    if previous_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, fields,
            @extschema@.quote_author_column(line) || @extschema@.derived_line_columns(line, fields));
    end if;
    new_version := (quote_line ->> (line.columns ->> 'version'))::integer;
    quote := @extschema@.recalculate_quote_totals(header, line, parent);
    success := true;
    conflicts := '[]';
end $$;
comment on function update_quote_line_with_version_check(uuid, integer, jsonb, uuid, text) is
    'saves fields of a line based on the version seen, and the totals of its quote';

-- Presence: join, leave, heartbeat, list. Under the caller's rights and row security.
create function quote_session_target() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select format('%I.active_quote_sessions', (@extschema@.quote_collab_target('QUOTE')).table_schema) $$;
comment on function quote_session_target() is 'quoted name of the presence table';

create function require_quote_session_status(status text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if status not in ('VIEWING', 'EDITING', 'IDLE') then
        raise exception 'unknown session status' using errcode = 'invalid_parameter_value',
            hint = 'Use VIEWING, EDITING or IDLE.';
    end if;
end $$;
comment on function require_quote_session_status(text) is 'refuses a status that is none';

-- An upsert by session_id: joining again moves the session and counts as a heartbeat. user_id defaults to
-- app.current_user_id. SQLSTATE 42501 when the session belongs to somebody else.
create function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    quote jsonb := @extschema@.require_quote_row(header, quote_id);
    who uuid := coalesce(user_id, nullif(current_setting('app.current_user_id', true), '')::uuid);
    known record;
    session @extschema@.quote_session;
begin
    perform @extschema@.require_quote_session_status(status);
    if @extschema@.current_quote_tenant() is null and row_security_active(@extschema@.quote_session_target()) then
        raise exception 'no tenant is set' using errcode = 'insufficient_privilege',
            hint = 'Set app.current_tenant_id for the transaction.';
    elsif who is null then
        raise exception 'the user id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass user_id or set app.current_user_id.';
    end if;
    select * into known from @extschema@.find_quote_user(who);
    execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict on constraint active_quote_sessions_session do update set
            quote_id = excluded.quote_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where s.user_id = excluded.user_id and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
    into session
    using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
        coalesce(user_name, known.user_name), coalesce(user_email, known.user_email), coalesce(status, 'VIEWING');
    if session.session_id is null then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform pg_notify('quote_presence', '');
    return next session;
end $$;
comment on function join_quote_session(uuid, uuid, uuid, text, text, text) is 'opens a quote for a session, or moves the session to it';

-- A sign of life, and where the focus is. Returns false when the session is unknown or already stale: join again.
-- current_line_id, current_field and cursor_position are set as given; is_editing and status stay when null.
create function heartbeat_quote_session(
    session_id uuid, current_line_id uuid default null, current_field text default null, cursor_position integer default null,
    is_editing boolean default null, status text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    moved boolean;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed';
    end if;
    perform @extschema@.require_quote_session_status(status);
    execute format($query$
        with before as (
            select s.* from %1$s s
            where s.session_id = $1 and s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl()
              and ($7 is null or s.user_id = $7) and ($8 is null or s.tenant_id = $8)
            for no key update)
        update %1$s s set last_heartbeat = clock_timestamp(), current_line_id = $2, current_field = $3, cursor_position = $4,
            is_editing = coalesce($5, s.is_editing), status = coalesce($6, s.status)
        from before b where s.id = b.id
        returning (b.current_line_id, b.current_field, b.cursor_position, b.is_editing, b.status)
            is distinct from (s.current_line_id, s.current_field, s.cursor_position, s.is_editing, s.status)$query$,
        @extschema@.quote_session_target())
    into moved using session_id, current_line_id, current_field, cursor_position, is_editing, status,
        nullif(current_setting('app.current_user_id', true), '')::uuid, @extschema@.current_quote_tenant();
    if moved then
        perform pg_notify('quote_presence', '');
    end if;
    return moved is not null;
end $$;
comment on function heartbeat_quote_session(uuid, uuid, text, integer, boolean, text) is 'keeps a session alive and tells where its focus is';

create function leave_quote_session(session_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    gone uuid;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed';
    end if;
    execute format('delete from %s s where s.session_id = $1 and ($2 is null or s.user_id = $2) and ($3 is null or s.tenant_id = $3) returning s.id',
        @extschema@.quote_session_target())
    into gone using session_id, nullif(current_setting('app.current_user_id', true), '')::uuid, @extschema@.current_quote_tenant();
    if gone is not null then
        perform pg_notify('quote_presence', '');
    end if;
    return gone is not null;
end $$;
comment on function leave_quote_session(uuid) is 'ends a session; false when there was none';

create function get_active_quote_sessions(quote_id uuid) returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_row(@extschema@.quote_collab_target('QUOTE'), quote_id);
    return query execute format('select s.* from %s s where s.quote_id = $1 and ($2 is null or s.tenant_id = $2)
        and s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl() order by s.joined_at, s.session_id',
        @extschema@.quote_session_target())
    using quote_id, @extschema@.current_quote_tenant();
end $$;
comment on function get_active_quote_sessions(uuid) is 'who has a quote open, oldest session first';

-- Deletes stale sessions of every tenant and tells the listeners; returns how many. Two sweepers at once share the work.
create function cleanup_stale_quote_sessions() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    swept integer;
begin
    execute format('delete from %1$s s using (select x.id from %1$s x
            where x.last_heartbeat <= clock_timestamp() - @extschema@.quote_session_ttl() for update skip locked) stale
        where s.id = stale.id', @extschema@.quote_session_target());
    get diagnostics swept = row_count;
    if swept > 0 then
        perform pg_notify('quote_presence', '');
    end if;
    return swept;
end $$;
comment on function cleanup_stale_quote_sessions() is 'deletes sessions without a heartbeat for 30 seconds';

-- Reading what happened. Under the caller's rights, row security and tenant.
create type quote_change as (
    id uuid, tenant_id uuid, quote_id uuid, quote_line_id uuid, changed_by uuid, changed_by_name text,
    changed_at timestamptz, entity_type text, field_name text, old_value jsonb, new_value jsonb, change_type text,
    session_id uuid, was_conflict boolean, conflict_resolution text, entity_version_before integer,
    entity_version_after integer, event_id uuid, position bigint
);
comment on type quote_change is 'one changed field of one quote or line';

-- Join to the users table as " left join … u on u.id = <column>", and the expression of the name; empty and null when
-- the ERP has no such table or the caller may not read it.
create function quote_user_join(column_name text, out join_clause text, out name_expression text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := (@extschema@.quote_collab_target('QUOTE')).relations -> 'users';
begin
    join_clause := '';
    name_expression := 'null::text';
    if users is not null and has_table_privilege(format('%I.%I', users ->> 'schema', users ->> 'table'), 'select') then
        join_clause := format('left join %I.%I u on u.%I = %s', users ->> 'schema', users ->> 'table', users ->> 'id', column_name);
        name_expression := format('u.%I::text', users ->> 'name');
    end if;
end $$;
comment on function quote_user_join(text) is 'how a query names the author of a change';

create function get_quote_change_history(quote_id uuid, max_rows integer default 50) returns setof quote_change
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    author record;
begin
    if quote_id is null then
        raise exception 'the quote id must not be null' using errcode = 'null_value_not_allowed';
    elsif max_rows is null or max_rows not between 0 and 10000 then
        raise exception 'the limit must be between 0 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format($query$
        select c.id, c.tenant_id, c.quote_id, c.quote_line_id, c.changed_by, %s, c.changed_at, c.entity_type::text,
            c.field_name::text, c.old_value, c.new_value, c.change_type::text, c.session_id, c.was_conflict,
            c.conflict_resolution::text, c.entity_version_before, c.entity_version_after, c.event_id, c.position
        from %I.quote_changes c %s
        where c.quote_id = $1 and ($2 is null or c.tenant_id = $2)
        order by c.position desc, c.id desc limit $3$query$, author.name_expression, header.table_schema, author.join_clause)
    using quote_id, @extschema@.current_quote_tenant(), max_rows;
end $$;
comment on function get_quote_change_history(uuid, integer) is 'changes of a quote and its lines, newest first; a deleted quote keeps its history';

create function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
begin
    if since_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed';
    elsif since_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value';
    end if;
    return (@extschema@.require_quote_row(header, quote_id) ->> (header.columns ->> 'version'))::integer > since_version;
end $$;
comment on function has_quote_been_updated(uuid, integer) is 'true when the quote has a newer version; raises P0002 for an unknown quote';

-- May the caller see this quote? Asked under his own rights and row security, with the tenant set.
create function quote_is_accessible(quote_id uuid) returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.find_quote_row(@extschema@.quote_collab_target('QUOTE'), quote_id) is not null $$;
comment on function quote_is_accessible(uuid) is 'true when the quote exists for the caller and the current tenant';

create function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE_LINE');
    quote jsonb := @extschema@.require_quote_row(header, quote_id);
    lines jsonb;
begin
    execute format('select jsonb_agg(to_jsonb(l) order by %s) from %I.%I l where l.%s = $1 and l.%s = $2',
        coalesce('l.' || @extschema@.quote_collab_column(line, 'line_number') || ', ', '') || 'l.' || @extschema@.quote_collab_column(line, 'id'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(line, 'tenant'))
    into lines using quote_id, (quote ->> (header.columns ->> 'tenant'))::uuid;
    return jsonb_build_object('quote', quote, 'lines', coalesce(lines, '[]'));
end $$;
comment on function get_quote(uuid) is 'a quote and its lines as they are now';

create function list_quotes(max_rows integer default 50) returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    customers jsonb := header.relations -> 'customers';
    tenant uuid := @extschema@.current_quote_tenant();
begin
    if tenant is null then
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value', hint = 'Set app.current_tenant_id.';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value';
    elsif customers is not null and not has_table_privilege(format('%I.%I', customers ->> 'schema', customers ->> 'table'), 'select') then
        customers := null;
    end if;
    return query execute format($query$
        select jsonb_build_object('id', q.%s, 'quote_number', %s, 'customer_name', %s, 'status', %s, 'total_amount', %s, 'version', q.%s)
        from %I.%I q %s where q.%s = $1 order by %s limit $2$query$,
        @extschema@.quote_collab_column(header, 'id'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'quote_number'), 'null'),
        case when customers is null then 'null' else format('c.%I', customers ->> 'name') end,
        coalesce('q.' || @extschema@.quote_collab_column(header, 'status'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'total_amount'), 'null'),
        @extschema@.quote_collab_column(header, 'version'),
        header.table_schema, header.table_name,
        case when customers is null then '' else format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', @extschema@.quote_collab_column(header, 'customer')) end,
        @extschema@.quote_collab_column(header, 'tenant'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'quote_number') || ' desc', 'q.' || @extschema@.quote_collab_column(header, 'id')))
    using tenant, max_rows;
end $$;
comment on function list_quotes(integer) is 'quotes of the current tenant for a picker';

-- The event feed by snapshot difference (the algorithm of PgQ): a batch is what is visible in cur and was not in prev.
-- Nothing is lost when transactions commit out of order, nothing repeats, and per row the order is version order.

-- Cursor as text: version, cluster, prev, time of prev, floor, and while a batch is being read its cur, time of cur and
-- the last position handed out.
create function quote_events_cursor() returns text
language sql
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws('/', '1', @extschema@.quote_cluster_identifier(), pg_current_snapshot(),
        extract(epoch from clock_timestamp())::numeric(20, 6), extract(epoch from clock_timestamp())::numeric(20, 6))
$$;
comment on function quote_events_cursor() is 'cursor that stands at now: quote_events_since gives what commits from here on';

-- A parsed cursor. floor_at: no change that is still to be read was made before, save for steps of the clock.
create type quote_cursor as (
    origin bigint, prev pg_snapshot, prev_at numeric, floor_at numeric, cur pg_snapshot, cur_at numeric, position bigint
);
comment on type quote_cursor is 'place in the event feed';

create function parse_quote_cursor(cursor text) returns quote_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part text[] := string_to_array(cursor, '/');
    parsed @extschema@.quote_cursor;
begin
    if cursor is null then
        return row(@extschema@.quote_cluster_identifier(), '3:3:'::pg_snapshot, 0, 0, null, null, null)::@extschema@.quote_cursor;
    end if;
    begin
        if part[1] <> '1' or cardinality(part) not in (5, 8) then
            raise invalid_text_representation;
        end if;
        parsed := row(part[2]::bigint, part[3]::pg_snapshot, part[4]::numeric, part[5]::numeric,
            part[6]::pg_snapshot, part[7]::numeric, part[8]::bigint)::@extschema@.quote_cursor;
    exception when data_exception then
        raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
            hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
    end;
    if parsed.origin <> @extschema@.quote_cluster_identifier() then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It was given by another cluster.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    return parsed;
end $$;
comment on function parse_quote_cursor(text) is 'reads a cursor; 22023 when malformed, QC001 when of another cluster';

-- The next events after a cursor, oldest first, each with the cursor behind it. Without a cursor: from the beginning of
-- the log. Under the caller's rights and row security. At most max events; call again with the last cursor.
create type quote_event as (cursor text, event jsonb);
comment on type quote_event is 'an event and the cursor behind it';

create function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    loop
        if c.cur is null then
            exit when c.prev::text = pg_current_snapshot()::text;
            c.cur := pg_current_snapshot();
            c.cur_at := extract(epoch from clock_timestamp());
            c.position := 0;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
comment on function quote_events_since(text, integer) is 'events behind a cursor, for anyone, under row security';

-- The cursor at the end of a batch. The lowest transaction still to come was unassigned when prev was taken, unless it
-- was running then already: only in that case the old floor stays.
create function next_quote_cursor(c quote_cursor) returns quote_cursor
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select row(c.origin, c.cur, c.cur_at,
        case when pg_snapshot_xmin(c.cur) >= pg_snapshot_xmax(c.prev) then c.prev_at else c.floor_at end,
        null, null, null)::@extschema@.quote_cursor
$$;
comment on function next_quote_cursor(quote_cursor) is 'cursor behind a batch that is read to its end';

-- Events of the batch (prev, cur) behind its position: two index ranges, xids that were running in prev and xids since.
create function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
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
        order by e.position$query$, header.table_schema, author.join_clause, author.name_expression)
    using c.origin, c.prev, c.prev_at, c.floor_at, c.cur, c.cur_at, c.position,
        to_timestamp(c.floor_at) - interval '1 day', max, to_timestamp(c.cur_at) + interval '1 day';
end $$;
comment on function read_quote_events(quote_cursor, integer) is 'events of one batch of the feed';

-- What the relay of the gateway calls. Revoked from PUBLIC; these functions see every tenant.
-- Each query names the span of time it can concern, a day wider than the batches say in case the clock was set: the
-- planner then sees one partition or two, however many months there are. Sequential scans are off where the log is read:
-- a log without statistics must not tempt the planner; and what that costs on paper must not bring in the JIT compiler.
create function quote_relay_table(name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select format('%I.%I', (@extschema@.quote_collab_target('QUOTE')).table_schema, name) $$;
comment on function quote_relay_table(text) is 'quoted name of a table beside the audit log';

create function quote_relay_identity(out system_identifier text, out timeline integer)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.system_identifier::text, case when pg_is_in_recovery() then k.timeline_id
        else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer end
    from pg_control_system() s, pg_control_checkpoint() k
$$;
comment on function quote_relay_identity() is 'which cluster and timeline this is';

-- Takes or renews the lease; the epoch when holder has it now, null while another has. The lease saves work; what keeps
-- two relays from harming each other is the fence in the stream.
create function quote_relay_lease(holder text, ttl interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    granted bigint;
begin
    execute format('update %s l set holder = $1, expires_at = clock_timestamp() + $2,
            epoch = case when l.holder = $1 then l.epoch else l.epoch + 1 end
        where l.holder = $1 or l.expires_at < clock_timestamp() returning l.epoch', @extschema@.quote_relay_table('quote_relay_lease'))
    into granted using holder, ttl;
    return granted;
end $$;
comment on function quote_relay_lease(text, interval) is 'takes or renews the relay''s lease';

create function require_quote_relay_epoch(epoch bigint) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    held boolean;
begin
    execute format('select l.epoch = $1 from %s l for update', @extschema@.quote_relay_table('quote_relay_lease')) into held using epoch;
    if held is not true then
        raise exception 'the relay''s lease is lost' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another relay has taken over; take the lease again before you go on.';
    end if;
end $$;
comment on function require_quote_relay_epoch(bigint) is 'refuses a relay whose lease another has taken';

-- Cuts a batch when something new is visible; its number, or null. The caller commits before he reads it: that commit is
-- durable whatever synchronous_commit says, and with it every transaction of the batch, so that nothing is ever
-- published that a crash takes back.
create function quote_relay_open_batch(epoch bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
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
comment on function quote_relay_open_batch(bigint) is 'cuts the next batch of the event feed';

create function quote_relay_last_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    execute format('select coalesce(max(b.no), 0) from %s b', @extschema@.quote_relay_table('quote_relay_batch')) into no;
    return no;
end $$;
comment on function quote_relay_last_batch() is 'number of the newest batch, 0 when there is none';

create function quote_relay_first_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    execute format('select coalesce(min(b.no), 0) from %s b where b.no > 0', @extschema@.quote_relay_table('quote_relay_batch')) into no;
    return no;
end $$;
comment on function quote_relay_first_batch() is 'number of the oldest batch still kept, 0 when there is none';

-- Events of a batch behind a position, oldest first. Each transaction of the batch is one range of the feed index, so a
-- batch cut by max is never sorted whole.
create function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
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
comment on function quote_relay_read(bigint, bigint, integer) is 'events of a committed batch';

create function quote_relay_checkpoint(epoch bigint, batch bigint, "position" bigint, stream_seq bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('update %s l set batch = $2, position = $3, stream_seq = $4 where l.epoch = $1 and l.stream_seq < $4',
        @extschema@.quote_relay_table('quote_relay_lease')) using epoch, batch, "position", stream_seq;
end $$;
comment on function quote_relay_checkpoint(bigint, bigint, bigint, bigint) is 'keeps a lazy copy of the position in the stream';

create function quote_relay_position(out batch bigint, out "position" bigint, out stream_seq bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('select l.batch, l.position, l.stream_seq from %s l', @extschema@.quote_relay_table('quote_relay_lease'))
    into batch, "position", stream_seq;
end $$;
comment on function quote_relay_position() is 'the lazy copy of the position in the stream';

-- Sessions of every tenant, for the gateway that shows each to its own.
create function quote_presence_snapshot() returns setof quote_session
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query execute format('select s.* from %s s where s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl()
        order by s.joined_at, s.session_id', @extschema@.quote_session_target());
end $$;
comment on function quote_presence_snapshot() is 'every live session of every tenant';

-- Events of one quote between two places of the relay's feed: what a subscriber missed. (after) < event <= (until).
-- SQLSTATE QC001 when the feed does not reach back to after_batch any more.
create function quote_events_between(
    quote_id uuid, after_batch bigint, after_position bigint, until_batch bigint, until_position bigint, max integer)
returns table (batch bigint, "position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
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
comment on function quote_events_between(uuid, bigint, bigint, bigint, bigint, integer) is 'what a subscriber of a quote missed between two cursors';

-- Everything that must happen now and then: stale sessions, partitions ahead, old batches. Safe to call by many at
-- once: whoever finds another at it does nothing. The gateway calls it every 10 seconds; cron can.
create function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    lease text := @extschema@.quote_relay_table('quote_relay_lease');
    batch text := @extschema@.quote_relay_table('quote_relay_batch');
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
begin
    swept := @extschema@.cleanup_stale_quote_sessions();
    if pg_try_advisory_xact_lock(batch::regclass::oid::integer, 1) then
        made := @extschema@.create_quote_changes_partitions(@extschema@.quote_relay_table('quote_changes')::regclass);
        execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
            and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
        get diagnostics dropped = row_count;
    end if;
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped);
end $$;
comment on function quote_collab_maintenance() is 'sweeps stale sessions, creates partitions ahead, drops old batches';

-- Nothing that writes with the extension owner's rights is open to PUBLIC.
revoke execute on function
    cleanup_stale_quote_sessions(), quote_collab_maintenance(), quote_presence_snapshot(), quote_relay_identity(),
    quote_relay_lease(text, interval), quote_relay_open_batch(bigint), quote_relay_last_batch(), quote_relay_first_batch(),
    quote_relay_read(bigint, bigint, integer), quote_relay_checkpoint(bigint, bigint, bigint, bigint), quote_relay_position(),
    quote_events_between(uuid, bigint, bigint, bigint, bigint, integer),
    attach_quote_collaboration(regclass, regclass, jsonb), detach_quote_collaboration(boolean)
from public;

-- Lets a role run the gateway: the relay's functions, and the rights that the gateway's queries need. The role itself
-- stays an ordinary one, held to the tenant of each request.
create function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE_LINE');
    relation jsonb;
begin
    execute format('grant usage on schema %I, @extschema@ to %I', header.table_schema, role);
    execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions(), @extschema@.quote_collab_maintenance(),
        @extschema@.quote_presence_snapshot(), @extschema@.quote_relay_identity(), @extschema@.quote_relay_lease(text, interval),
        @extschema@.quote_relay_open_batch(bigint), @extschema@.quote_relay_last_batch(), @extschema@.quote_relay_first_batch(),
        @extschema@.quote_relay_read(bigint, bigint, integer), @extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint),
        @extschema@.quote_relay_position(), @extschema@.quote_events_between(uuid, bigint, bigint, bigint, bigint, integer) to %I', role);
    execute format('grant select, update on %I.%I, %I.%I to %I', header.table_schema, header.table_name, line.table_schema, line.table_name, role);
    execute format('grant select on %1$I.quote_changes, %1$I.v_quote_change_events, %1$I.v_recent_quote_changes,
        %1$I.v_active_quote_collaborators to %2$I', header.table_schema, role);
    execute format('grant select, insert, update, delete on %I.active_quote_sessions to %I', header.table_schema, role);
    for relation in select value from jsonb_each(header.relations) loop
        execute format('grant select on %I.%I to %I', relation ->> 'schema', relation ->> 'table', role);
    end loop;
end $$;
comment on function grant_quote_gateway(name) is 'gives a role what the gateway needs';
revoke execute on function grant_quote_gateway(name) from public;
