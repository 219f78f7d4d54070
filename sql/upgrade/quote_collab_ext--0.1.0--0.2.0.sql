\echo Use "alter extension quote_collab_ext update to '0.2.0'" to load this file. \quit

-- What is gone, and what takes or gives something else now. Nothing of an attached pair hangs on these.
drop function @extschema@.detach_quote_collaboration(boolean);
drop function @extschema@.attach_quote_table(regclass, text, regclass, jsonb);
drop function @extschema@.find_quote_columns(regclass, text, jsonb);
drop function @extschema@.create_active_quote_collaborators_view(quote_collab_settings, name);
drop function @extschema@.create_recent_quote_changes_view(quote_collab_settings, quote_collab_settings, name);

-- What 0.1.0 attached is one pair of tables, with the log in the schema of its header.
alter table @extschema@.quote_collab_settings
    add column header_schema name,
    add column header_table name,
    add column log_schema name,
    add column truncation text not null default 'refuse',
    add column replicated_history boolean not null default false,
    add column archive_after interval,
    add column drop_after interval,
    add column usage_granted name[] not null default '{}',
    alter column attached_at set default pg_catalog.clock_timestamp();
update @extschema@.quote_collab_settings s
set header_schema = h.table_schema, header_table = h.table_name, log_schema = h.table_schema
from @extschema@.quote_collab_settings h where h.entity operator(pg_catalog.=) 'QUOTE';
alter table @extschema@.quote_collab_settings
    alter column header_schema set not null,
    alter column header_table set not null,
    alter column log_schema set not null,
    add constraint quote_collab_settings_pair unique (header_schema, header_table, entity),
    add constraint quote_collab_settings_truncation check (truncation operator(pg_catalog.=) any (array['refuse', 'record']));

create function authenticate_quote_user(token text) returns uuid
volatile parallel unsafe
language c
as 'MODULE_PATHNAME', 'authenticate_quote_user_wrapper';

create function current_quote_user(claimed uuid default null) returns uuid
stable parallel safe
language c
as 'MODULE_PATHNAME', 'current_quote_user_wrapper';

create function quote_tenant_guard() returns jsonb
strict stable parallel restricted
language c
as 'MODULE_PATHNAME', 'quote_tenant_guard_wrapper';
comment on function current_quote_user(uuid) is 'who acts: the verified user, else who is claimed to, else app.current_user_id';
comment on function authenticate_quote_user(text) is 'verifies a token and makes its tenant and user those of the transaction';
comment on function quote_tenant_guard() is 'doctor: how this process keeps tenants apart';

create function start_quote_worker() returns bool
strict volatile parallel restricted
language c
as 'MODULE_PATHNAME', 'start_quote_worker_wrapper';

create function wake_quote_listeners() returns void
strict volatile parallel unsafe
language c
as 'MODULE_PATHNAME', 'wake_quote_listeners_wrapper';
comment on function start_quote_worker() is 'asks for the background worker of this database; false when the library is not preloaded';
comment on function wake_quote_listeners() is 'wakes the listeners of events when the current transaction has committed';
comment on column @extschema@.quote_collab_settings.table_schema is 'schema of the attached table';
comment on column @extschema@.quote_collab_settings.header_schema is 'schema of the header of this pair of tables; the header''s own row names itself';
comment on column @extschema@.quote_collab_settings.header_table is 'name of the header of this pair of tables';
comment on column @extschema@.quote_collab_settings.log_schema is 'schema of quote_changes and all that is one per database: that of the header that was attached first';
comment on column @extschema@.quote_collab_settings.truncation is 'what becomes of a TRUNCATE: refuse, or record every row as deleted';
comment on column @extschema@.quote_collab_settings.replicated_history is 'rows that logical replication applies bring their history along: the triggers leave them alone';
comment on column @extschema@.quote_collab_settings.archive_after is 'age at which maintenance archives whole months; null: never';
comment on column @extschema@.quote_collab_settings.drop_after is 'age at which maintenance drops archived months; null: never';
comment on column @extschema@.quote_collab_settings.usage_granted is 'roles that attach gave USAGE on the schema of the log';
comment on constraint quote_collab_settings_pkey on @extschema@.quote_collab_settings is 'a table is attached once';
comment on constraint quote_collab_settings_pair on @extschema@.quote_collab_settings is 'a header has one table of lines';
comment on constraint quote_collab_settings_entity on @extschema@.quote_collab_settings is 'what there is to attach: headers and lines';
comment on constraint quote_collab_settings_truncation on @extschema@.quote_collab_settings is 'what may become of a TRUNCATE';

-- A client sends a heartbeat every 10 seconds; three missed ones end the session.
create or replace function quote_session_ttl() returns interval
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select interval '30 seconds' $$;
comment on function quote_collab_target(text) is 'settings of the QUOTE or QUOTE_LINE table that was attached first';

-- Schema of the audit log and all that is one per database. SQLSTATE 55000 when nothing is attached.
create function quote_collab_home() returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select (@extschema@.quote_collab_target('QUOTE')).log_schema $$;
comment on function quote_collab_home() is 'schema of the audit log, the presence table and the relay';

create function quote_collab_pairs() returns table (header quote_collab_settings, line quote_collab_settings)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select h, l from @extschema@.quote_collab_settings h
    join @extschema@.quote_collab_settings l on (l.header_schema, l.header_table, l.entity) = (h.header_schema, h.header_table, 'QUOTE_LINE')
    where h.entity = 'QUOTE'
    order by h.attached_at, h.table_schema, h.table_name
$$;
comment on function quote_collab_pairs() is 'the attached pairs of tables in the order of attaching';

create function quote_collab_partner(target quote_collab_settings) returns quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.* from @extschema@.quote_collab_settings s
    where (s.header_schema, s.header_table) = (target.header_schema, target.header_table) and s.entity <> target.entity
$$;
comment on function quote_collab_partner(quote_collab_settings) is 'settings of the lines of a header, or of the header of lines';

-- Asked of the catalogs, since to_regclass() refuses whoever may not use the schema. Null when the table is gone.
create function quote_collab_table(settings quote_collab_settings) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = settings.table_schema and c.relname = settings.table_name
$$;
comment on function quote_collab_table(quote_collab_settings) is 'an attached table; null when it is gone';

-- May the caller read the columns that play these roles? Roles without a column do not count; a column that is gone since
-- attach says no.
create function quote_columns_readable(settings quote_collab_settings, roles text[]) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select count(*) = (select count(distinct settings.columns ->> r) from unnest(roles) r)
        and coalesce(bool_and(has_schema_privilege(c.relnamespace, 'usage') and has_column_privilege(c.oid, a.attnum, 'select')), false)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid = @extschema@.quote_collab_table(settings) and a.attname in (select settings.columns ->> r from unnest(roles) r)
$$;
comment on function quote_columns_readable(quote_collab_settings, text[]) is 'true when the caller may read the columns that play these roles';

-- Does the table hold this row for the caller and the current tenant? No where the caller, or a policy that acts as him, has
-- no right to ask, and where the table is not as attach left it. Asked without looking into the catalogs first: every call
-- that names a row pays for it.
create function quote_table_holds(target quote_collab_settings, row_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    holds boolean;
begin
    execute format('select exists (select from %I.%I t where t.%I = $1 and ($2 is null or t.%I = $2))',
        target.table_schema, target.table_name, target.columns ->> 'id', target.columns ->> 'tenant')
    into holds using row_id, @extschema@.current_quote_tenant();
    return holds;
exception when insufficient_privilege or undefined_table or undefined_column or invalid_schema_name then
    return false;
end $$;
comment on function quote_table_holds(quote_collab_settings, uuid) is 'true when an attached table has this row for the caller';

-- The attached table that holds a row, in the order of attaching, under the caller's rights: an id names its row. Where
-- none does, a table that the caller may read, so that what follows says that the row is unknown.
create function find_quote_target(entity text, row_id uuid) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings;
    targets @extschema@.quote_collab_settings[] := array(
        select s from @extschema@.quote_collab_settings s where s.entity = find_quote_target.entity
        order by s.attached_at, s.table_schema, s.table_name);
begin
    if cardinality(targets) < 2 or row_id is null then
        return coalesce(targets[1], @extschema@.quote_collab_target(entity));
    end if;
    foreach target in array targets loop
        if @extschema@.quote_table_holds(target, row_id) then
            return target;
        end if;
    end loop;
    foreach target in array targets loop
        if @extschema@.quote_columns_readable(target, '{id,tenant}') then
            return target;
        end if;
    end loop;
    return targets[1];
end $$;
comment on function find_quote_target(text, uuid) is 'settings of the attached table that holds a row';

-- May the caller read a table that attach found, users or customers? No when it is gone or its schema is closed to him.
create function quote_relation_readable(relation jsonb) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table'), false)
$$;
comment on function quote_relation_readable(jsonb) is 'true when the caller may read a table of users or customers';

-- Each once, in the order of attaching.
create function quote_user_relations() returns setof jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.relations -> 'users' from @extschema@.quote_collab_settings s
    where s.entity = 'QUOTE' and @extschema@.quote_relation_readable(s.relations -> 'users')
    group by 1 order by min(s.attached_at)
$$;
comment on function quote_user_relations() is 'the users tables of all attached pairs that the caller may read';

create function find_quote_user_in(users jsonb, user_id uuid, out user_name text, out user_email text, out known boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if @extschema@.quote_relation_readable(users) then
        execute format('select u.%I::text, %s, true from %I.%I u where u.%I = $1', users ->> 'name',
            coalesce(format('u.%I::text', users ->> 'email'), 'null'), users ->> 'schema', users ->> 'table', users ->> 'id')
        into user_name, user_email, known using user_id;
        known := coalesce(known, false);
    end if;
end $$;
comment on function find_quote_user_in(jsonb, uuid) is 'name and e-mail of a user in one users table';

-- Name and e-mail of a user from the ERP's users tables, as far as the caller may read them; known is null when he may not.
create or replace function find_quote_user(user_id uuid, out user_name text, out user_email text, out known boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb;
begin
    for users in select * from @extschema@.quote_user_relations() loop
        select u.* into user_name, user_email, known from @extschema@.find_quote_user_in(users, user_id) u;
        exit when known;
    end loop;
end $$;

-- Join to the users tables as " left join … u1 on u1.id = <column>", and the expression of the name; empty and null when
-- the ERP has no such table or the caller may not read it.
create or replace function quote_user_join(column_name text, out join_clause text, out name_expression text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(string_agg(format('left join %I.%I %s on %s.%I = %s', r.users ->> 'schema', r.users ->> 'table', r.alias, r.alias,
            r.users ->> 'id', column_name), ' ' order by r.place), ''),
        coalesce('coalesce(' || string_agg(format('%s.%I::text', r.alias, r.users ->> 'name'), ', ' order by r.place) || ')', 'null::text')
    from (select u.users, u.place, 'u' || u.place from @extschema@.quote_user_relations() with ordinality u (users, place)) r (users, place, alias)
$$;

-- updated_by as a derived column of a save: the acting user, unless the ERP knows no such user.
create or replace function quote_author_column(target quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    who uuid := @extschema@.current_quote_user();
begin
    if who is null or not target.columns ? 'updated_by' or target.relations ? 'users'
            and (select u.known from @extschema@.find_quote_user_in(target.relations -> 'users', who) u) is not true then
        return '{}'::jsonb;
    end if;
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::uuid', who));
end $$;

-- Creates the monthly partitions that are missing up to months_ahead; returns how many it made. A partition carries
-- its own row security, because a partition read directly bypasses its parent's policies.
create or replace function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
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
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value';
    end if;
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

-- The audit log and what belongs to it, in the schema of the quotes table, owned by its owner. Idempotent. No check
-- constraints: only our trigger writes it, and PostgreSQL would parse each of them again for every insert.
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
                constraint quote_changes_pkey primary key (changed_at, id)
            ) partition by range (changed_at)$ddl$, log);
        execute format('create index quote_changes_quote on %s (quote_id, position) with (deduplicate_items = off)', log);
        execute format('create index quote_changes_feed on %s (xid, position) with (deduplicate_items = off)', log);
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

create or replace function comment_quote_changes(log regclass) returns void
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
        ('changed_by', 'who: the verified user, else app.current_user_id, else the row''s updated_by, else the configured system user'),
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

-- Seals of the audit log: a chain of blocks, each over what became visible since the one before. Private to the owner.
create function create_quote_changes_seals(target_schema name, target_owner name) returns void
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
        ('root', 'SHA-256 over the SHA-256 of each row, in order of position and id'),
        ('hash', 'SHA-256 over the hash of the block before and all of this block'),
        ('sealed_at', 'when the block was made'),
        ('released', 'in a block that lets rows go: how many, blocks of which none is left, rows and root of what is left of others')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', seals, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', seals, 'chain of seals over quote_changes; verify_quote_history() checks it');
    execute format('insert into %s select 0, ''3:3:'', ''3:3:'', ''-infinity'', ''-infinity'', ''-infinity'', @extschema@.quote_cluster_identifier(), 0, sha256(''''),
        sha256(convert_to(''quote_changes'', ''UTF8'')), clock_timestamp()', seals);
    execute format('alter table %s owner to %I', seals, target_owner);
    execute format('alter table %s enable row level security', seals);
    execute format('alter table %s force row level security', seals);
end $$;
comment on function create_quote_changes_seals(name, name) is 'creates the chain of seals beside an audit log';

-- Replaces a view; where the type of a column changes it is made anew, and whoever was granted something on it is again.
create function replace_quote_view(view_name text, query text, description text, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    privilege text;
    privileges text[] := array(
        select format('grant %s on %s to %s', acl.privilege_type, view_name,
            case acl.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(acl.grantee)) end)
        from pg_class c cross join lateral aclexplode(c.relacl) acl where c.oid = to_regclass(view_name) and acl.grantee <> c.relowner);
begin
    begin
        execute format('create or replace view %s with (security_invoker = true) as %s', view_name, query);
    exception when invalid_table_definition then
        execute format('drop view %s', view_name);
        execute format('create view %s with (security_invoker = true) as %s', view_name, query);
        foreach privilege in array privileges loop
            execute privilege;
        end loop;
    end;
    execute format('comment on view %s is %L', view_name, description);
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function replace_quote_view(text, text, text, name) is 'creates or replaces a view and keeps what is granted on it';

create function recent_quote_changes_query(header quote_collab_settings, line quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := header.relations -> 'users';
begin
    return format($query$
        select c.id as change_id, c.tenant_id, c.quote_id, q.%s::text as quote_number, c.quote_line_id,
               l.%s as line_number, c.changed_by, %s::text as changed_by_username, c.changed_at, c.entity_type,
               c.field_name, c.old_value, c.new_value, c.change_type, c.was_conflict, c.conflict_resolution,
               c.entity_version_before, c.entity_version_after
        from %I.quote_changes c
        left join %I.%I q on q.%s = c.quote_id and q.%s = c.tenant_id
        left join %I.%I l on l.%s = c.quote_line_id and l.%s = c.tenant_id
        %s
        where c.changed_at > now() - interval '24 hours'$query$,
        coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id')),
        coalesce(@extschema@.quote_collab_column(line, 'line_number'), @extschema@.quote_collab_column(line, 'version')),
        case when users is null then 'null' else format('u.%I', users ->> 'name') end,
        header.log_schema,
        header.table_schema, header.table_name, @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'id'), @extschema@.quote_collab_column(line, 'tenant'),
        case when users is null then '' else format('left join %I.%I u on u.%I = c.changed_by',
            users ->> 'schema', users ->> 'table', users ->> 'id') end);
end $$;
comment on function recent_quote_changes_query(quote_collab_settings, quote_collab_settings) is 'recent changes of the only attached pair';

create function active_quote_collaborators_columns(quote_number text, customer_id text, customer_name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select s.quote_id, s.tenant_id, %s as quote_number, %s as customer_id, %s as customer_name,
               count(distinct s.user_id)::integer as active_user_count,
               jsonb_agg(jsonb_build_object(
                   'userId', s.user_id, 'userName', s.user_name, 'userEmail', s.user_email, 'status', s.status,
                   'isEditing', s.is_editing, 'currentField', s.current_field, 'currentLineId', s.current_line_id,
                   'joinedAt', s.joined_at, 'lastSeen', s.last_heartbeat) order by s.joined_at, s.session_id) as active_users$query$,
        quote_number, customer_id, customer_name)
$$;
comment on function active_quote_collaborators_columns(text, text, text) is 'columns of the view of active collaborators';

create function active_quote_collaborators_query(header quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb := header.relations -> 'customers';
    customer_column text := @extschema@.quote_collab_column(header, 'customer');
    named boolean := customers is not null and customer_column is not null;
begin
    return format('%s from %I.active_quote_sessions s
        join %I.%I q on q.%s = s.quote_id and q.%s = s.tenant_id
        %s
        where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl()
        group by 1, 2, 3, 4, 5',
        @extschema@.active_quote_collaborators_columns(
            format('q.%s::text', coalesce(@extschema@.quote_collab_column(header, 'quote_number'), @extschema@.quote_collab_column(header, 'id'))),
            coalesce('q.' || customer_column, 'null::uuid'),
            case when named then format('c.%I::text', customers ->> 'name') else 'null::text' end),
        header.log_schema, header.table_schema, header.table_name,
        @extschema@.quote_collab_column(header, 'id'), @extschema@.quote_collab_column(header, 'tenant'),
        case when named then format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', customer_column) else '' end);
end $$;
comment on function active_quote_collaborators_query(quote_collab_settings) is 'active collaborators on the only attached pair';

-- The whole history: what is in the log and what was moved to the archive, one view for both.
create function create_quote_changes_all_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    view_name text := format('%I.v_quote_changes_all', target_schema);
    archive text := format('%I.quote_changes_archive', target_schema);
begin
    execute format('create or replace view %s with (security_invoker = true) as select * from %I.quote_changes%s', view_name, target_schema,
        case when to_regclass(archive) is null then '' else ' union all select * from ' || archive end);
    execute format('comment on view %s is %L', view_name, 'every row of the audit log, also those in the archive');
    execute format('alter view %s owner to %I', view_name, target_owner);
end $$;
comment on function create_quote_changes_all_view(name, name) is 'creates the view over the audit log and its archive';

-- Type of the column that plays a role in the attached tables of one kind: where they differ the widest whole number, or text.
create function quote_common_type(entity text, roles text[], fallback text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case count(distinct t.type) when 0 then fallback when 1 then min(t.type)
        else case when bool_and(t.type in ('smallint', 'integer')) then 'integer'
            when bool_and(t.type in ('smallint', 'integer', 'bigint')) then 'bigint' else 'text' end end
    from @extschema@.quote_collab_settings s
    cross join lateral (
        select format_type(a.atttypid, a.atttypmod) from unnest(roles) with ordinality r (role, place)
        join pg_attribute a on a.attrelid = @extschema@.quote_collab_table(s) and a.attname = s.columns ->> r.role and not a.attisdropped
        order by r.place limit 1) t (type)
    where s.entity = quote_common_type.entity
$$;
comment on function quote_common_type(text, text[], text) is 'type of the column that plays a role, text where the pairs differ';

create function quote_change_join(target quote_collab_settings, alias text, key text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(' left join %I.%I %s on %s.%s = c.%I and %s.%s = c.tenant_id', target.table_schema, target.table_name, alias,
        alias, @extschema@.quote_collab_column(target, 'id'), key, alias, @extschema@.quote_collab_column(target, 'tenant'))
$$;
comment on function quote_change_join(quote_collab_settings, text, text) is 'how a query over the audit log joins an attached table';

create function recent_quote_change_names() returns table (change_id uuid, quote_number text, line_number text, user_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    quote_numbers text := 'null::text';
    line_numbers text := 'null::text';
    joins text := '';
    place integer := 0;
    author record;
    role text;
begin
    for pair in select * from @extschema@.quote_collab_pairs() loop
        place := place + 1;
        if @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number}') then
            quote_numbers := quote_numbers || format(', q%s.%s::text', place,
                coalesce(@extschema@.quote_collab_column(pair.header, 'quote_number'), @extschema@.quote_collab_column(pair.header, 'id')));
            joins := joins || @extschema@.quote_change_join(pair.header, 'q' || place, 'quote_id');
        end if;
        role := case when (pair.line).columns ? 'line_number' then 'line_number' else 'version' end;
        if @extschema@.quote_columns_readable(pair.line, array['id', 'tenant', role]) then
            line_numbers := line_numbers || format(', l%s.%s::text', place, @extschema@.quote_collab_column(pair.line, role));
            joins := joins || @extschema@.quote_change_join(pair.line, 'l' || place, 'quote_line_id');
        end if;
    end loop;
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format('select c.id, coalesce(%s), coalesce(%s), %s from %I.quote_changes c %s %s
        where c.changed_at > now() - interval ''24 hours''', quote_numbers, line_numbers, author.name_expression,
        @extschema@.quote_collab_home(), joins, author.join_clause);
end $$;
comment on function recent_quote_change_names() is 'numbers and author of each change of the last 24 hours, from the tables that the caller may read';

create function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    customers jsonb;
    customer_column text;
begin
    for pair in select * from @extschema@.quote_collab_pairs() loop
        continue when not @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number,customer}');
        customer_column := @extschema@.quote_collab_column(pair.header, 'customer');
        customers := (pair.header).relations -> 'customers';
        if customer_column is null or not @extschema@.quote_relation_readable(customers) then
            customers := null;
        end if;
        return query execute format('select q.%1$s, q.%2$s, q.%3$s::text, %4$s::text, %5$s::text from %6$I.%7$I q %8$s
            where q.%1$s in (select s.quote_id from %9$I.active_quote_sessions s
                where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl())',
            @extschema@.quote_collab_column(pair.header, 'id'), @extschema@.quote_collab_column(pair.header, 'tenant'),
            coalesce(@extschema@.quote_collab_column(pair.header, 'quote_number'), @extschema@.quote_collab_column(pair.header, 'id')),
            coalesce('q.' || customer_column, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
            (pair.header).table_schema, (pair.header).table_name,
            case when customers is null then '' else format('left join %I.%I c on c.%I = q.%s', customers ->> 'schema',
                customers ->> 'table', customers ->> 'id', customer_column) end, (pair.header).log_schema);
    end loop;
end $$;
comment on function active_quote_names() is 'number and customer of each quote that is open, from the tables that the caller may read';

-- Both views, over one pair of tables or over all.
create function create_pair_views(home name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    recent text;
    active text;
begin
    if (select count(*) from @extschema@.quote_collab_pairs()) = 1 then
        select @extschema@.recent_quote_changes_query(p.header, p.line), @extschema@.active_quote_collaborators_query(p.header)
        into recent, active from @extschema@.quote_collab_pairs() p;
    else
        recent := format($query$
            select c.id as change_id, c.tenant_id, c.quote_id, n.quote_number, c.quote_line_id, n.line_number::%s as line_number, c.changed_by,
                   n.user_name as changed_by_username, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type,
                   c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after
            from %I.quote_changes c left join @extschema@.recent_quote_change_names() n on n.change_id = c.id
            where c.changed_at > now() - interval '24 hours'$query$,
            @extschema@.quote_common_type('QUOTE_LINE', '{line_number,version}', 'integer'), home);
        active := format('%s from %I.active_quote_sessions s
            join @extschema@.active_quote_names() n on n.quote_id = s.quote_id and n.tenant_id = s.tenant_id
            where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl() group by 1, 2, 3, 4, 5',
            @extschema@.active_quote_collaborators_columns('n.quote_number',
                'n.customer_id::' || @extschema@.quote_common_type('QUOTE', '{customer}', 'uuid'), 'n.customer_name'), home);
    end if;
    perform @extschema@.replace_quote_view(format('%I.v_recent_quote_changes', home), recent,
        'changes of the last 24 hours with quote number, line number and user name', target_owner);
    perform @extschema@.replace_quote_view(format('%I.v_active_quote_collaborators', home), active,
        'who is looking at or editing which quote now', target_owner);
end $$;
comment on function create_pair_views(name, name) is 'creates the views of recent changes and active collaborators over all attached pairs';

-- The triggers of one attached table. They carry what they need as an argument, readable in \d, so that firing one reads
-- no table of ours; as one argument, because PostgreSQL copies each with every statement. ENABLE ALWAYS: rows applied by a
-- replication role leave a history too, unless they bring it along.
create or replace function create_quote_triggers(target regclass, settings quote_collab_settings, log regclass) returns void
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
    select quote_literal(settings.columns || jsonb_build_object('entity', settings.entity, 'ignore', to_jsonb(ignored), 'log', format('%I.%I', n.nspname, c.relname))
        || case when settings.columns ->> 'updated_by' = any (settings.added_columns::text[]) then '{"stamp_user": "yes"}' else '{}' end::jsonb
        || jsonb_strip_nulls(jsonb_build_object('system_user', settings.system_user_id)))
    into arguments
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log;
    execute format('drop trigger if exists trg_increment_%s_version on %s', kind, target);
    execute format('drop trigger if exists trg_capture_%s_change on %s', kind, target);
    execute format('drop trigger if exists trg_flush_%s_changes on %s', kind, target);
    execute format('create trigger trg_increment_%1$s_version before update on %2$s for each row
        execute function @extschema@.increment_%1$s_version(%3$s)', kind, target, arguments);
    execute format('create trigger trg_capture_%1$s_change after insert or update or delete on %2$s for each row
        execute function @extschema@.capture_quote_change(%3$s)', kind, target, arguments);
    execute format('create trigger trg_flush_%1$s_changes after insert or update or delete on %2$s for each statement
        execute function @extschema@.flush_quote_changes()', kind, target);
    execute format('alter table %2$s enable %3$s trigger trg_increment_%1$s_version, enable %3$s trigger trg_capture_%1$s_change,
        enable %3$s trigger trg_flush_%1$s_changes', kind, target, case when settings.replicated_history then '' else 'always' end);
    execute format('comment on trigger trg_increment_%s_version on %s is %L', kind, target, 'version + 1 and updated_at = now() when a row really changes');
    execute format('comment on trigger trg_capture_%s_change on %s is %L', kind, target, 'compares the row before and after and notes what changed');
    execute format('comment on trigger trg_flush_%s_changes on %s is %L', kind, target, 'writes what the statement changed into quote_changes');
    perform @extschema@.create_quote_truncate_triggers(target, settings);
end $$;

-- The attached table that a table is, or is a partition of; null when it is none, as a partition is once it is detached.
create function quote_collab_settings_of(target regclass) returns quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.* from @extschema@.quote_collab_settings s
    where @extschema@.quote_collab_table(s) = target
        or @extschema@.quote_collab_table(s) in (select a.relid from pg_partition_ancestors(target) a)
    order by s.attached_at limit 1
$$;
comment on function quote_collab_settings_of(regclass) is 'settings of the attached table that a table is or belongs to';

-- Statement triggers are not inherited: each partition has its own, against a TRUNCATE that names it.
create function create_quote_truncate_triggers(target regclass, settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    trigger_name name := format('trg_%s_%s_truncate', settings.truncation, kind);
begin
    for part in select target union select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind in ('r', 'p') loop
        execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, part);
        execute format('drop trigger if exists trg_record_%s_truncate on %s', kind, part);
        execute format('create trigger %I before truncate on %s for each statement execute function @extschema@.%I()',
            trigger_name, part, settings.truncation || '_quote_truncate');
        execute format('alter table %s enable %s trigger %I', part, case when settings.replicated_history then '' else 'always' end, trigger_name);
        execute format('comment on trigger %I on %s is %L', trigger_name, part, case settings.truncation
            when 'refuse' then 'TRUNCATE would leave no history' else 'notes every row as deleted before TRUNCATE removes it' end);
    end loop;
end $$;
comment on function create_quote_truncate_triggers(regclass, quote_collab_settings) is 'creates the triggers that refuse or record TRUNCATE';

-- Takes them away wherever they are without use: on a table that was detached, and on what was its partition.
create function drop_quote_truncate_triggers() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in
        select g.tgname, g.tgrelid::regclass as relation from pg_trigger g
        where g.tgfoid in ('@extschema@.refuse_quote_truncate()'::regprocedure, '@extschema@.record_quote_truncate()'::regprocedure)
            and (@extschema@.quote_collab_settings_of(g.tgrelid)).entity is null
    loop
        execute format('drop trigger %I on %s', item.tgname, item.relation);
    end loop;
end $$;
comment on function drop_quote_truncate_triggers() is 'drops the truncate triggers of tables that are not attached any more';

create or replace function refuse_quote_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if (@extschema@.quote_collab_settings_of(tg_relid)).entity is not null then
        raise exception 'truncate of % is refused', tg_relid::regclass
            using errcode = 'feature_not_supported',
                  detail = 'It would remove quotes without a trace in quote_changes.',
                  hint = 'Use delete, or attach with the option {"truncate": "record"}.';
    end if;
    return null;
end $$;

-- Notes every row as deleted. The table is locked already, so that what the next statement sees is all there is; under
-- repeatable read it might see less. A partition with a trigger of its own notes its rows itself.
create function record_quote_truncate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    settings @extschema@.quote_collab_settings := @extschema@.quote_collab_settings_of(tg_relid);
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
    for part in
        select t.relid from pg_partition_tree(tg_relid) t join pg_class c on c.oid = t.relid
        where t.isleaf and c.relkind = 'r' and (t.relid = tg_relid or not exists (
            select from pg_trigger g where g.tgrelid = t.relid and g.tgfoid = '@extschema@.record_quote_truncate()'::regprocedure))
        union select tg_relid where not (select c.relispartition or c.relkind = 'p' from pg_class c where c.oid = tg_relid)
    loop
        execute @extschema@.quote_truncate_statement(settings, part) using
            coalesce(nullif(current_setting('app.current_user_id', true), '')::uuid, settings.system_user_id),
            nullif(current_setting('app.current_session_id', true), '')::uuid;
        get diagnostics noted = row_count;
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
comment on function record_quote_truncate() is 'before-truncate trigger: notes every row of the table as deleted';

-- One DELETE per row, as the row trigger would write it. $1: who, $2: editing session.
create function quote_truncate_statement(settings quote_collab_settings, part regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
            change_type, session_id, was_conflict, entity_version_before, event_id, position, xid, origin, context)
        select @extschema@.uuid_generate_v7(), t.%2$s, t.%3$s, %4$s, $1, clock_timestamp(), %5$L, '*', to_jsonb(t),
            'DELETE', $2, false, case when t.%6$s between -2147483648 and 2147483647 then t.%6$s::integer end, @extschema@.uuid_generate_v7(),
            nextval('%1$I.quote_changes_position_seq'), pg_current_xact_id(), @extschema@.quote_cluster_identifier(), %7$s
        from only %8$s t$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and settings.columns ? 'line_number'
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part)
$$;
comment on function quote_truncate_statement(quote_collab_settings, regclass) is 'writes a table''s rows into the audit log as deleted';

-- Which column of the lines names their header, best first: one that is called after the header's table, the one that a
-- foreign key to the header starts from, or one of the usual names.
create function quote_reference_candidates(lines regclass, header regclass, header_id name) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with header_name (name) as (select c.relname::text from pg_class c where c.oid = header),
    keys (name) as (
        select distinct a.attname::text
        from pg_constraint k
        cross join lateral unnest(k.conkey, k.confkey) u (here, there)
        join pg_attribute a on a.attrelid = lines and a.attnum = u.here
        join pg_attribute h on h.attrelid = header and h.attnum = u.there and h.attname = header_id
        where k.contype = 'f' and k.conrelid = lines and k.confrelid = header)
    select array(select regexp_replace(n.name, 's$', '') || '_id' from header_name n)
        || array(select n.name || '_id' from header_name n)
        || case when (select count(*) from keys) = 1 then array(select k.name from keys k) else '{}' end
        || '{quote_id,order_id,document_id,header_id}'::text[]
$$;
comment on function quote_reference_candidates(regclass, regclass, name) is 'columns of the lines that may name their header, best first';

create or replace function check_quote_tables(header regclass, lines regclass, options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
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
    if header = lines then
        raise exception 'a table cannot be attached as its own lines' using errcode = 'invalid_parameter_value',
            hint = 'Name two tables: the header and its lines.';
    end if;
    if exists (select from pg_class c where c.oid in (header, lines) and c.relkind not in ('r', 'p')) then
        raise exception 'quote collaboration attaches to ordinary and partitioned tables only'
            using errcode = 'wrong_object_type';
    end if;
    perform @extschema@.check_quote_options(options);
    -- What was dropped or renamed is forgotten, unless its partner is still attached and not spoken of here.
    delete from @extschema@.quote_collab_settings s
    where @extschema@.quote_collab_table(s) is null and not exists (
        select from @extschema@.quote_collab_settings p
        where (p.header_schema, p.header_table) = (s.header_schema, s.header_table) and @extschema@.quote_collab_table(p) not in (header, lines));
    perform @extschema@.check_quote_pairing(header, 'QUOTE', header), @extschema@.check_quote_pairing(lines, 'QUOTE_LINE', header),
        @extschema@.find_quote_columns(header, 'QUOTE', coalesce(options -> 'columns', '{}'));
end $$;
comment on function check_quote_tables(regclass, regclass, jsonb) is 'refuses what cannot be attached, and forgets tables that are gone';

-- A table has one role, lines have one header, and a header has one table of lines. SQLSTATE 55000.
create function check_quote_pairing(target regclass, entity text, header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    other record;
begin
    select s.* into other from (
        select a.*, @extschema@.quote_collab_table(a) as relation, case a.entity when 'QUOTE' then @extschema@.quote_collab_table(a)
            else @extschema@.quote_collab_table(@extschema@.quote_collab_partner(a)) end as header
        from @extschema@.quote_collab_settings a) s
    where s.relation = target and (s.entity <> check_quote_pairing.entity or s.header <> check_quote_pairing.header)
        or s.relation <> target and s.header = check_quote_pairing.header and s.entity = check_quote_pairing.entity
        or s.relation in (select t.relid from pg_partition_tree(target) t where t.relid <> target
            union select p.relid from pg_partition_ancestors(target) p where p.relid <> target)
    limit 1;
    if not found then
        return;
    end if;
    raise exception 'table % cannot be attached like this', target
        using errcode = 'object_not_in_prerequisite_state',
              detail = format('%I.%I is attached as the %s of %I.%I.', other.table_schema, other.table_name,
                  case other.entity when 'QUOTE' then 'header' else 'lines' end, other.header_schema, other.header_table),
              hint = format('Detach that pair first: select detach_quote_collaboration(quotes => %L).',
                  format('%I.%I', other.table_schema, other.table_name));
end $$;
comment on function check_quote_pairing(regclass, text, regclass) is 'refuses a table that another pair holds';

create function check_quote_options(options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    archive_after interval;
    drop_after interval;
begin
    if jsonb_typeof(options) is distinct from 'object' then
        raise exception 'options must be a json object' using errcode = 'invalid_parameter_value';
    elsif options ->> 'truncate' not in ('refuse', 'record') then
        raise exception 'unknown option for truncate' using errcode = 'invalid_parameter_value', hint = 'Use "refuse" or "record".';
    elsif jsonb_typeof(options -> 'replicated_history') not in ('boolean', 'null') then
        raise exception 'replicated_history must be true or false' using errcode = 'invalid_parameter_value';
    end if;
    archive_after := (options ->> 'archive_after')::interval;
    drop_after := (options ->> 'drop_after')::interval;
    if archive_after <= interval '0' or drop_after < archive_after or drop_after is not null and archive_after is null then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'It is archived first and dropped later.', hint = 'For example {"archive_after": "24 months", "drop_after": "10 years"}.';
    end if;
end $$;
comment on function check_quote_options(jsonb) is 'refuses options that attach cannot follow';

-- Where the audit log is, or will be: a pair that is attached later writes to the log of the first.
create function choose_quote_home(header regclass, out home name, out home_owner name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select x.home, pg_get_userbyid(coalesce(l.relowner, x.relowner)) from (
        select coalesce((select s.log_schema from @extschema@.quote_collab_settings s limit 1), n.nspname) as home, c.relowner
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header) x
    left join (pg_class l join pg_namespace ln on ln.oid = l.relnamespace) on ln.nspname = x.home and l.relname = 'quote_changes'
$$;
comment on function choose_quote_home(regclass) is 'schema of the audit log, and who owns what is in it';

-- What is said in \d+ of the objects that attach makes and that have no better place for it: keys, indexes, checks, the
-- private tables' columns. Written again by each attach, for what is there.
create function describe_quote_objects(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in
        select d.kind, d.text, r.target, d.name
        from @extschema@.quote_descriptions() d
        cross join lateral (select to_regclass(format('%I.%I', target_schema, d.relation))) r (target)
        where case d.kind
            when 'constraint' then exists (select from pg_constraint k where k.conrelid = r.target and k.conname = d.name)
            else r.target is not null end
    loop
        case item.kind
            when 'constraint' then execute format('comment on constraint %I on %s is %L', item.name, item.target, item.text);
            when 'column' then execute format('comment on column %s.%I is %L', item.target, item.name, item.text);
            when 'index' then execute format('comment on index %s is %L', item.target, item.text);
            when 'sequence' then execute format('comment on sequence %s is %L', item.target, item.text);
            when 'table' then execute format('comment on table %s is %L', item.target, item.text);
        end case;
    end loop;
end $$;
comment on function describe_quote_objects(name) is 'comments on the keys, indexes and private tables beside an audit log';

create function quote_descriptions() returns table (kind text, relation text, name text, text text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values
        ('table', 'quote_changes_default', null, 'changes of a month that has no partition; empty while maintenance runs'),
        ('sequence', 'quote_changes_position_seq', null, 'gives each row change its position'),
        ('constraint', 'quote_changes', 'quote_changes_pkey', 'one row per changed field; the time is in it because it is the partition key'),
        ('index', 'quote_changes_quote', null, 'history of one quote, newest first'),
        ('index', 'quote_changes_feed', null, 'the event feed: what transactions wrote, in order'),
        ('index', 'quote_changes_changed_at', null, 'spans of time'),
        ('constraint', 'quote_changes_archive', 'quote_changes_archive_pkey', 'one row per changed field; the time is in it because it is the partition key'),
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
comment on function quote_descriptions() is 'what describe_quote_objects() says of what';

create or replace function copy_quote_privileges(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    grantee record;
begin
    for grantee in
        select acl.privilege_type, case acl.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(acl.grantee)) end as role
        from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl
        where c.oid = header and acl.privilege_type in ('SELECT', 'UPDATE')
            and acl.grantee <> (select l.relowner from pg_class l where l.oid = format('%I.quote_changes', home)::regclass)
    loop
        if grantee.privilege_type = 'SELECT' then
            execute format('grant select on %1$I.quote_changes, %1$I.v_quote_changes_all, %1$I.active_quote_sessions, %1$I.v_quote_change_events,
                %1$I.v_recent_quote_changes, %1$I.v_active_quote_collaborators to %2$s', home, grantee.role);
        elsif grantee.role <> 'public' then
            execute format('grant select, insert, update, delete on %I.active_quote_sessions to %s', home, grantee.role);
            execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions() to %s', grantee.role);
        end if;
    end loop;
    perform @extschema@.grant_quote_home(header);
end $$;

-- The log may lie in a schema that readers of this header may not use yet. Noted in the settings, for the day when nothing
-- of ours is left there. Not for PUBLIC: a schema is not opened to everybody.
create function grant_quote_home(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    role name;
begin
    for role in
        select distinct r.rolname from pg_class c cross join lateral aclexplode(c.relacl) acl join pg_roles r on r.oid = acl.grantee
        where c.oid = header and acl.privilege_type in ('SELECT', 'UPDATE') and not has_schema_privilege(r.oid, home, 'usage')
        union
        select r.rolname from pg_class c join pg_roles r on r.oid = c.relowner where c.oid = header and not has_schema_privilege(r.oid, home, 'usage')
    loop
        execute format('grant usage on schema %I to %I', home, role);
        update @extschema@.quote_collab_settings s set usage_granted = s.usage_granted || role
        where s.entity = 'QUOTE' and @extschema@.quote_collab_table(s) = header;
    end loop;
end $$;
comment on function grant_quote_home(regclass) is 'lets the readers of a header use the schema of the audit log';

-- First existing column of a list of candidates, or the one that the options name. SQLSTATE 42703 when a named column
-- is missing, or when a required role has no column.
create or replace function find_quote_column(target regclass, role text, chosen jsonb, candidates text[], required boolean)
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
                  hint = format('Name it in the options, "columns" for the header, "line_columns" for the lines: {"%s": "..."}.', role);
    end if;
    return found_column;
end $$;

-- Role → column of a header or line table. reference: names of the column by which lines know their header, best first.
create function find_quote_columns(target regclass, entity text, chosen jsonb, reference text[] default '{quote_id}') returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from (values
        ('QUOTE', 'id', '{id}'::text[], true), ('QUOTE', 'tenant', '{tenant_id}', true),
        ('QUOTE', 'version', '{version}', false), ('QUOTE', 'updated_at', '{updated_at}', false),
        ('QUOTE', 'updated_by', '{updated_by}', false), ('QUOTE', 'created_by', '{created_by}', false),
        ('QUOTE', 'quote_number', '{quote_number,order_number,document_number}', false), ('QUOTE', 'customer', '{customer_id}', false),
        ('QUOTE', 'status', '{status}', false), ('QUOTE', 'subtotal', '{subtotal}', false),
        ('QUOTE', 'tax_amount', '{tax_amount}', false), ('QUOTE', 'shipping_amount', '{shipping_amount}', false),
        ('QUOTE', 'discount_amount', '{discount_amount}', false), ('QUOTE', 'total_amount', '{total_amount}', false),
        ('QUOTE_LINE', 'id', '{id}', true), ('QUOTE_LINE', 'tenant', '{tenant_id}', true),
        ('QUOTE_LINE', 'quote', reference, true), ('QUOTE_LINE', 'version', '{version}', false),
        ('QUOTE_LINE', 'updated_at', '{updated_at}', false), ('QUOTE_LINE', 'updated_by', '{updated_by}', false),
        ('QUOTE_LINE', 'created_by', '{created_by}', false), ('QUOTE_LINE', 'line_number', '{line_number}', false),
        ('QUOTE_LINE', 'quantity', '{quantity,quantity_quoted,quantity_ordered}', false),
        ('QUOTE_LINE', 'unit_price', '{unit_price}', false), ('QUOTE_LINE', 'line_amount', '{line_amount}', false)
    ) as r (entity, role, candidates, required)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, r.candidates, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
comment on function find_quote_columns(regclass, text, jsonb, text[]) is 'finds the columns of an ERP table by role';

-- Adds the version column (and updated_by to lines) where the table has none; returns the names it added.
create or replace function add_quote_columns(target regclass, entity text, columns jsonb) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    added name[] := '{}'::name[];
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

-- One table: columns, settings row, triggers.
create function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
    chosen jsonb := coalesce(options -> case entity when 'QUOTE' then 'columns' else 'line_columns' end, '{}');
    reference text[] := @extschema@.quote_reference_candidates(target, header, coalesce(options -> 'columns' ->> 'id', 'id'));
    added name[];
    names record;
begin
    select n.nspname as schema_name, c.relname as table_name, hn.nspname as header_schema, h.relname as header_table, ln.nspname as log_schema
    into names from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_class h join pg_namespace hn on hn.oid = h.relnamespace,
        pg_class l join pg_namespace ln on ln.oid = l.relnamespace
    where c.oid = target and h.oid = header and l.oid = log;
    added := @extschema@.add_quote_columns(target, entity, @extschema@.find_quote_columns(target, entity, chosen, reference));
    perform @extschema@.check_quote_column_types(target, @extschema@.find_quote_columns(target, entity, chosen, reference));
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, header_schema, header_table, log_schema, columns, ignored_columns, added_columns, relations,
        system_user_id, truncation, replicated_history, archive_after, drop_after)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema,
        @extschema@.find_quote_columns(target, entity, chosen, reference),
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        jsonb_strip_nulls(jsonb_build_object(
            'users', @extschema@.find_quote_relation(names.schema_name, options -> 'users', 'users', '{username,user_name,name}', '{email}'),
            'customers', @extschema@.find_quote_relation(names.schema_name, options -> 'customers', 'customers', '{customer_name,name}', '{email}'))),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = s.added_columns || excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after
    returning s.* into settings;
    perform @extschema@.create_quote_triggers(target, settings, log);
    return settings;
end $$;
comment on function attach_quote_table(regclass, text, regclass, regclass, jsonb) is 'makes one ERP table collaborative';

-- Attaches collaboration to a pair of tables. quotes and quote_lines default to the tables of those names on the
-- caller's search path: a default is evaluated where the call is written. options: {"columns": {role: column},
-- "line_columns": {role: column}, "ignored_columns": [...], "users": {"schema","table","id","name","email"},
-- "customers": {...}, "system_user_id": uuid, "truncate": "refuse" | "record", "replicated_history": boolean,
-- "archive_after": interval, "drop_after": interval}.
-- Everything or nothing: an error leaves no trace. Waits at most 5 seconds for a lock, unless lock_timeout says otherwise.
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header regclass := quotes;
    lines regclass := quote_lines;
    home name;
    home_owner name;
    log regclass;
begin
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.check_quote_tables(header, lines, options);
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options);
    perform @extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options);
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(header);
    perform @extschema@.start_quote_worker();
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;

-- detach: the ERP's tables as they were before attach. The audit log stays, readable by tenant as before, unless
-- drop_history says otherwise; then nothing of ours is left but the extension itself.
create or replace function detach_quote_table(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    target regclass := @extschema@.quote_collab_table(settings);
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    added name;
begin
    if target is not null then
        execute format('drop trigger if exists trg_increment_%s_version on %s', kind, target);
        execute format('drop trigger if exists trg_capture_%s_change on %s', kind, target);
        execute format('drop trigger if exists trg_flush_%s_changes on %s', kind, target);
        foreach added in array settings.added_columns loop
            execute format('alter table %s drop column if exists %I', target, added);
        end loop;
    end if;
end $$;
comment on function detach_quote_table(quote_collab_settings) is 'takes triggers and added columns away from one table';

-- Row security of a log that stays behind: the same rule in words of PostgreSQL alone, so that DROP EXTENSION can follow.
-- Verified tenants have no such words: without the library anybody sets app.current_tenant_id, so nobody sees a row.
create or replace function release_quote_history(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    rule text := case when current_setting('quote_collab.tenant_source', true) = 'verified' then 'false'
        else 'tenant_id = (select nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)' end;
begin
    for part in
        select t.relid from unnest(array['quote_changes', 'quote_changes_archive']) log (name)
        cross join lateral pg_partition_tree(to_regclass(format('%I.%I', target_schema, log.name))) t
    loop
        execute format('drop policy if exists quote_changes_tenant_isolation on %s', part);
        execute format('create policy quote_changes_tenant_isolation on %s using (%s)', part, rule);
        execute format('comment on policy quote_changes_tenant_isolation on %s is %L', part,
            'a row is visible to its own tenant only; nobody when no tenant is set');
    end loop;
end $$;

-- The header of the pair to be detached: the one that is named, by its header or its lines; else the only one, or the
-- only one whose tables are gone and cannot be named.
create function choose_quote_pair(named regclass) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    chosen @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    candidates integer;
begin
    if named is null and (select count(*) from @extschema@.quote_collab_pairs()) < 2 then
        return chosen;
    end if;
    select count(*) into candidates from @extschema@.quote_collab_pairs() p
    where named in (@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))
        or named is null and @extschema@.quote_collab_table(p.header) is null and @extschema@.quote_collab_table(p.line) is null;
    if candidates <> 1 then
        raise exception 'quote collaboration is attached to %', case when named is null then 'more than one pair of tables' else 'other tables' end
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Name one: %s.', (select string_agg(format('select detach_quote_collaboration(quotes => %L)',
                      format('%I.%I', (p.header).table_schema, (p.header).table_name)), ' or ') from @extschema@.quote_collab_pairs() p));
    end if;
    select (p.header).* into chosen from @extschema@.quote_collab_pairs() p
    where named in (@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))
        or named is null and @extschema@.quote_collab_table(p.header) is null and @extschema@.quote_collab_table(p.line) is null;
    return chosen;
end $$;
comment on function choose_quote_pair(regclass) is 'the pair that detach is to take away';

-- What belongs to all pairs, when the last of them goes.
create function detach_quote_home(header quote_collab_settings, drop_history boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    role name;
begin
    execute format('drop view if exists %1$I.v_quote_change_events, %1$I.v_quote_changes_all', header.log_schema);
    execute format('drop table if exists %I.active_quote_sessions', header.log_schema);
    if not drop_history then
        perform @extschema@.release_quote_history(header.log_schema);
        return;
    end if;
    execute format('drop table if exists %1$I.quote_changes, %1$I.quote_changes_archive, %1$I.quote_changes_seals, %1$I.quote_relay_batch,
        %1$I.quote_relay_lease', header.log_schema);
    for role in select r.rolname from pg_roles r where r.rolname = any (header.usage_granted) loop
        execute format('revoke usage on schema %I from %I', header.log_schema, role);
    end loop;
end $$;
comment on function detach_quote_home(quote_collab_settings, boolean) is 'takes away what belongs to no pair of tables alone';

-- quotes: the pair, by its header; needed where several are attached. Detaching one leaves the log, the relay and the
-- other pairs whole, also where the log lies in its schema. History can go with the last pair only.
create function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    header @extschema@.quote_collab_settings;
    line @extschema@.quote_collab_settings;
    home_owner name;
    is_last boolean;
begin
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    header := @extschema@.choose_quote_pair(quotes);
    line := @extschema@.quote_collab_partner(header);
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    delete from @extschema@.quote_collab_settings s where (s.header_schema, s.header_table) = (header.header_schema, header.header_table);
    is_last := not exists (select from @extschema@.quote_collab_settings);
    if drop_history and not is_last then
        raise exception 'the history belongs to other pairs of tables too' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Detach this pair without drop_history, and drop the history with the last one.';
    elsif is_last then
        execute format('drop view if exists %1$I.v_active_quote_collaborators, %1$I.v_recent_quote_changes', header.log_schema);
    else
        select pg_get_userbyid(c.relowner) into home_owner from pg_class c where c.oid = format('%I.quote_changes', header.log_schema)::regclass;
        perform @extschema@.create_pair_views(header.log_schema, home_owner);
        update @extschema@.quote_collab_settings s set usage_granted = s.usage_granted || header.usage_granted
        where (s.table_schema, s.table_name) = (select t.table_schema, t.table_name from @extschema@.quote_collab_target('QUOTE') t);
    end if;
    perform @extschema@.detach_quote_table(line), @extschema@.detach_quote_table(header), @extschema@.drop_quote_truncate_triggers();
    if is_last then
        perform @extschema@.detach_quote_home(header, drop_history);
    end if;
    return case when not is_last then format('quote collaboration is detached from %I.%I', header.table_schema, header.table_name)
        when drop_history then 'quote collaboration is detached, its history is dropped'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;
comment on function detach_quote_collaboration(boolean, regclass) is 'takes collaboration away again; history stays unless drop_history => true';

-- Notes a refused save in the audit log. Runs with the extension owner's rights, since nobody may write the log, and
-- therefore believes nothing: it finds the row itself, for the current tenant, and does nothing unless the version
-- really differs. Where tenants are verified, no tenant means no row, unless row security does not hold the session.
create or replace function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target(entity, row_id);
    current_row jsonb := @extschema@.find_quote_row(target, row_id);
    actual_version integer := (current_row ->> (target.columns ->> 'version'))::integer;
begin
    if @extschema@.current_quote_tenant() is null and current_setting('quote_collab.tenant_source') = 'verified'
            and exists (select from pg_roles r where r.rolname = session_user and not (r.rolsuper or r.rolbypassrls)) then
        return;
    end if;
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
            (select @extschema@.uuid_generate_v7(), nextval('%1$I.quote_changes_position_seq')) e (event_id, position)$query$, target.log_schema)
    using (current_row ->> (target.columns ->> 'tenant'))::uuid,
          coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case entity when 'QUOTE_LINE' then row_id end,
          coalesce(@extschema@.current_quote_user(), target.system_user_id),
          entity, current_row, nullif(current_setting('app.current_session_id', true), '')::uuid,
          expected_version, actual_version, changes;
end $$;

-- The row of an attached table, for the caller's rights and tenant; null when it does not exist for him.
create or replace function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(t) from %I.%I t where t.%s = $1 and ($2 is null or t.%s = $2) %s',
        target.table_schema, target.table_name, @extschema@.quote_collab_column(target, 'id'),
        @extschema@.quote_collab_column(target, 'tenant'),
        case locking when 'for no key update' then 'for no key update' when 'for update' then 'for update' else '' end)
    into found_row using row_id, @extschema@.current_quote_tenant();
    return found_row;
end $$;

create or replace function check_quote_version(quote_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return (@extschema@.require_quote_row(target, quote_id) ->> (target.columns ->> 'version'))::integer = expected_version;
end $$;

create or replace function check_quote_line_version(line_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return (@extschema@.require_quote_row(target, line_id) ->> (target.columns ->> 'version'))::integer = expected_version;
end $$;

-- Field names of a change set → column names, checked: unknown 42703, read-only 42501, not an object 22023, over 1 MiB 54000.
create or replace function normalise_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    normal jsonb := '{}'::jsonb;
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

-- A change set as the table's own types print it ("12.5" for a numeric(18,4) becomes 12.5000): comparable with a row.
create or replace function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    coerced jsonb := '{}'::jsonb;
begin
    if record_definition is not null then
        execute format('select to_jsonb(r) from jsonb_to_record($1) as r(%s)', record_definition) into coerced using changes;
    end if;
    return coerced;
end $$;

-- What stands against a save based on an older version, a jsonb array with one object per attempted field: the value at
-- the expected version, the value now, the attempted value, who changed it last and when.
create or replace function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    conflicts jsonb;
    author record;
begin
    select * into author from @extschema@.quote_user_join('last.changed_by');
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
                           order by l.field_name = f.key desc, l.position desc limit 1) last on true
        %3$s$query$, target.log_schema, author.name_expression, author.join_clause)
    into conflicts
    using coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case target.entity when 'QUOTE_LINE' then (current_row ->> (target.columns ->> 'id'))::uuid end,
          expected_version, changes, current_row, target.columns ->> 'version';
    return coalesce(conflicts, '[]');
end $$;

-- Saves fields of a header based on the version seen. Locks the header first. total_amount follows its parts.
create or replace function update_quote_with_version_check(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
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

-- Sums the lines into the header, in a statement of its own: its snapshot is taken after the header was locked, so it
-- sees every line that a faster transaction saved. Returns the header.
create or replace function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sum_expression text;
    derived jsonb := '{}'::jsonb;
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

-- Saves fields of a line based on the version seen, and the header's totals with it. Header before line, always: two
-- people never deadlock.
create or replace function update_quote_line_with_version_check(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(line);
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

-- Presence: join, leave, heartbeat, list. Under the caller's rights and row security.
create or replace function quote_session_target() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select format('%I.active_quote_sessions', @extschema@.quote_collab_home()) $$;

-- An upsert by session_id: joining again moves the session and counts as a heartbeat. user_id defaults to
-- app.current_user_id; a verified user joins as himself whatever is passed. SQLSTATE 42501 when the session belongs to somebody else.
create or replace function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    quote jsonb := @extschema@.require_quote_row(header, quote_id);
    who uuid := @extschema@.current_quote_user(user_id);
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

-- A sign of life, and where the focus is. Returns false when the session is unknown or already stale: join again.
-- current_line_id, current_field and cursor_position are set as given; is_editing and status stay when null.
create or replace function heartbeat_quote_session(
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
        @extschema@.current_quote_user(), @extschema@.current_quote_tenant();
    if moved then
        perform pg_notify('quote_presence', '');
    end if;
    return moved is not null;
end $$;

create or replace function leave_quote_session(session_id uuid) returns boolean
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
    into gone using session_id, @extschema@.current_quote_user(), @extschema@.current_quote_tenant();
    if gone is not null then
        perform pg_notify('quote_presence', '');
    end if;
    return gone is not null;
end $$;

create or replace function get_active_quote_sessions(quote_id uuid) returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id);
    return query execute format('select s.* from %s s where s.quote_id = $1 and ($2 is null or s.tenant_id = $2)
        and s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl() order by s.joined_at, s.session_id',
        @extschema@.quote_session_target())
    using quote_id, @extschema@.current_quote_tenant();
end $$;

create or replace function get_quote_change_history(quote_id uuid, max_rows integer default 50) returns setof quote_change
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
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
        from %I.v_quote_changes_all c %s
        where c.quote_id = $1 and ($2 is null or c.tenant_id = $2)
        order by c.position desc, c.id desc limit $3$query$, author.name_expression,
        @extschema@.quote_collab_home(), author.join_clause)
    using quote_id, @extschema@.current_quote_tenant(), max_rows;
end $$;

create or replace function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    if since_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed';
    elsif since_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value';
    end if;
    return (@extschema@.require_quote_row(header, quote_id) ->> (header.columns ->> 'version'))::integer > since_version;
end $$;

-- May the caller see this quote? Asked under his own rights and row security, with the tenant set.
create or replace function quote_is_accessible(quote_id uuid) returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.find_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id) is not null $$;

create or replace function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(header);
    quote jsonb := @extschema@.require_quote_row(header, quote_id);
    lines jsonb;
begin
    execute format('select jsonb_agg(to_jsonb(l) order by %s) from %I.%I l where l.%s = $1 and l.%s = $2',
        coalesce('l.' || @extschema@.quote_collab_column(line, 'line_number') || ', ', '') || 'l.' || @extschema@.quote_collab_column(line, 'id'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(line, 'tenant'))
    into lines using quote_id, (quote ->> (header.columns ->> 'tenant'))::uuid;
    return jsonb_build_object('quote', quote, 'lines', coalesce(lines, '[]'));
end $$;

-- How a header is listed: its row as jsonb, and its place, last number first. $1: tenant, $2: at most so many.
create function quote_list_query(header quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb := header.relations -> 'customers';
    number text := 'q.' || @extschema@.quote_collab_column(header, 'quote_number');
    id text := 'q.' || @extschema@.quote_collab_column(header, 'id');
    customer text := 'q.' || @extschema@.quote_collab_column(header, 'customer');
begin
    if customer is null or not @extschema@.quote_relation_readable(customers) then
        customers := null;
    end if;
    return format($query$
        (select jsonb_build_object('id', %1$s, 'quote_number', %2$s, 'customer_name', %3$s, 'status', %4$s, 'total_amount', %5$s, 'version', q.%6$s),
            row_number() over (order by %7$s) from %8$I.%9$I q %10$s where q.%11$s = $1 order by %7$s limit $2)$query$,
        id, coalesce(number, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'status'), 'null'),
        coalesce('q.' || @extschema@.quote_collab_column(header, 'total_amount'), 'null'),
        @extschema@.quote_collab_column(header, 'version'), coalesce(number || ' desc', id), header.table_schema, header.table_name,
        case when customers is null then '' else format('left join %I.%I c on c.%I = %s', customers ->> 'schema', customers ->> 'table',
            customers ->> 'id', customer) end,
        @extschema@.quote_collab_column(header, 'tenant'));
end $$;
comment on function quote_list_query(quote_collab_settings) is 'query of the rows of one header for list_quotes()';

-- Of several pairs those that the caller may read, in turn, so that a long one hides none.
create or replace function list_quotes(max_rows integer default 50) returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    tenant uuid := @extschema@.current_quote_tenant();
    alone boolean := (select count(*) < 2 from @extschema@.quote_collab_pairs());
    query text;
begin
    if tenant is null then
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value', hint = 'Set app.current_tenant_id.';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value';
    end if;
    if alone then
        query := @extschema@.quote_list_query(@extschema@.quote_collab_target('QUOTE'));
    else
        select string_agg(format('select q.item, q.place, %s from %s q (item, place)', p.pair, @extschema@.quote_list_query(p.header)), ' union all ')
        into query from @extschema@.quote_collab_pairs() with ordinality p (header, line, pair)
        where @extschema@.quote_columns_readable(p.header, '{id,tenant,quote_number,customer,status,total_amount,version}');
    end if;
    return query execute format('select x.item from (%s) x (item, place%s) order by x.place%s limit $2',
        coalesce(query, 'select null::jsonb, 0, 0 where false'), case when alone then '' else ', pair' end, case when alone then '' else ', x.pair' end)
    using tenant, max_rows;
end $$;

create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
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
            c := row(c.origin, c.prev, c.prev_at, c.floor_at, pg_current_snapshot(), extract(epoch from clock_timestamp()), 0)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;

-- Events of the batch (prev, cur) behind its position: two index ranges, xids that were running in prev and xids since.
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
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

-- What the relay of the gateway calls. Revoked from PUBLIC; these functions see every tenant.
-- Each query names the span of time it can concern, a day wider than the batches say in case the clock was set: the
-- planner then sees one partition or two, however many months there are. Sequential scans are off where the log is read:
-- a log without statistics must not tempt the planner; and what that costs on paper must not bring in the JIT compiler.
create or replace function quote_relay_table(name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select format('%I.%I', @extschema@.quote_collab_home(), name) $$;

-- What is hashed of a row: all columns as a jsonb array, whose text has one form whatever the session is set to.
create function quote_change_digest_expression() returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select $digest$sha256(convert_to(jsonb_build_array(c.id, c.tenant_id, c.quote_id, c.quote_line_id, c.changed_by,
    extract(epoch from c.changed_at), c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.session_id,
    c.was_conflict, c.conflict_resolution, c.entity_version_before, c.entity_version_after, c.event_id, c.position,
    c.xid::text, c.origin, c.context)::text, 'UTF8'))$digest$ $$;
comment on function quote_change_digest_expression() is 'SQL expression of the hash of a row of the audit log';

-- Rows and root of a block. When it follows a block of another cluster it also takes what that one had not sealed.
create function digest_quote_changes(prev pg_snapshot, cur pg_snapshot, origin bigint, from_at timestamptz, to_at timestamptz,
    before_cur pg_snapshot, before_origin bigint, out rows bigint, out root bytea)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
    execute format($query$
        select count(*), sha256(coalesce(string_agg(d.digest, ''::bytea order by d.position, d.id), ''))
        from (
            select c.position, c.id, %2$s as digest from %1$s c
            where c.xid = any (array(select pg_snapshot_xip($1))) and c.origin = $3 and c.changed_at between $4 and $5
                and pg_visible_in_snapshot(c.xid, $2)
            union all
            select c.position, c.id, %2$s from %1$s c
            where c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2) and c.origin = $3 and c.changed_at between $4 and $5
                and pg_visible_in_snapshot(c.xid, $2)
            union all
            select c.position, c.id, %2$s from %1$s c
            where $7 <> $3 and c.origin = $7 and not pg_visible_in_snapshot(c.xid, $6)) d$query$,
        @extschema@.quote_relay_table('v_quote_changes_all'), @extschema@.quote_change_digest_expression())
    into rows, root using prev, cur, origin, from_at, to_at, before_cur, before_origin;
end $$;
comment on function digest_quote_changes(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint) is 'hashes the rows of one block of the audit log';

create function quote_seal_hash(before bytea, no bigint, prev pg_snapshot, cur pg_snapshot, floor_at timestamptz, prev_at timestamptz,
    cur_at timestamptz, origin bigint, rows bigint, root bytea, sealed_at timestamptz) returns bytea
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select sha256(before || convert_to(jsonb_build_array(no, prev::text, cur::text, extract(epoch from floor_at)::text,
        extract(epoch from prev_at)::text, extract(epoch from cur_at)::text, origin, rows, encode(root, 'hex'), extract(epoch from sealed_at)::text)::text, 'UTF8'))
$$;
comment on function quote_seal_hash(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea, timestamptz) is 'hash of a block over the one before it and all of its own';

-- Seals what is visible and not sealed yet; returns how many rows. One at a time: 0 when another is at it.
create function seal_quote_history() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    here bigint := @extschema@.quote_cluster_identifier();
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
    select * into block from @extschema@.digest_quote_changes(prev, cur, here, floor_at - interval '1 day', now_at + interval '1 day', last.cur, last.origin);
    if block.rows > 0 then
        execute format('insert into %s (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, @extschema@.quote_seal_hash($10, $1, $2, $3, $4, $5, $6, $7, $8, $9, $6), $6)', seals)
        using last.no + 1, prev, cur, floor_at, last.cur_at, now_at, here, block.rows, block.root, last.hash;
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

-- Checks every block against its rows and against the block before it. One row per finding, none when all is as it was
-- sealed; "released" is no fault but names what drop_archived_quote_changes() let go. expected: a digest that quote_history_digest() gave; the block it names must be there with that hash.
create function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
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
                    b.root, b.sealed_at) then
                finding := 'block'; detail := 'this block or the one before it was changed'; return next;
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
            select * into actual from @extschema@.digest_quote_changes(b.prev, b.cur, b.origin, b.floor_at - interval '1 day',
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

-- What the releases of a chain say: the blocks of which no row is left, and rows and root of what is left of others, by number.
create function quote_history_released(out gone int8multirange, out remains jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    release jsonb;
begin
    gone := '{}';
    remains := '{}';
    for release in execute format('select s.released from %s s where s.released is not null order by s.no', @extschema@.quote_relay_table('quote_changes_seals')) loop
        gone := gone + coalesce((release ->> 'gone')::int8multirange, '{}');
        remains := remains || coalesce(release -> 'remains', '{}');
    end loop;
end $$;
comment on function quote_history_released(out int8multirange, out jsonb) is 'what was let go of the sealed history';

-- The blocks that may hold rows of a span of time, each with what its rows must be and are: a block of another cluster's
-- rows may hold any.
create function examine_quote_seals(from_at timestamptz, until_at timestamptz)
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
        select d.rows, d.root into rows, root from @extschema@.digest_quote_changes(b.prev, b.cur, b.origin, b.floor_at - interval '1 day',
            b.cur_at + interval '1 day', b.before_cur, b.before_origin) d;
        return next;
    end loop;
end $$;
comment on function examine_quote_seals(timestamptz, timestamptz) is 'the sealed blocks of a span of time beside what their rows are';

-- Adds the block that lets rows go. Between its neighbours as if nothing had become visible meanwhile.
create function seal_quote_release(released jsonb) returns void
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
    execute format('insert into %s (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, released)
        values ($1, $2, $2, $3, $4, $4, $5, 0, $6, @extschema@.quote_seal_hash($7, $1, $2, $2, $3, $4, $4, $5, 0, $6, $8), $8, $9)', seals)
    using last.no + 1, last.cur, floor_at, last.cur_at, last.origin, root, last.hash, clock_timestamp(), released;
end $$;
comment on function seal_quote_release(jsonb) is 'adds a block to the chain of seals that lets rows go';

-- Keeps writers away from months that are to go, and counts their rows.
create function lock_quote_months(months regclass[]) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    month regclass;
    counted bigint;
    present bigint := 0;
begin
    foreach month in array months loop
        execute format('lock table %s in share mode', month);
        execute format('select count(*) from %s', month) into counted;
        present := present + counted;
    end loop;
    return present;
end $$;
comment on function lock_quote_months(regclass[]) is 'locks months of the audit log against writers and counts their rows';

-- Drops the archived months that ended before now() - older_than, all or none; returns how many. Refuses, with 55000, to
-- let go what is not as it was sealed: the evidence would go with it. Reads all that it drops; waits at most 5 seconds for
-- its locks, unless lock_timeout says otherwise.
create function drop_archived_quote_changes(older_than interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    archive regclass := to_regclass(@extschema@.quote_relay_table('quote_changes_archive'));
    months regclass[];
    from_at timestamptz;
    until_at timestamptz;
    month regclass;
    present bigint;
    before record;
    after record;
begin
    if older_than is null or older_than <= interval '0' then
        raise exception 'the age must be a positive interval' using errcode = 'invalid_parameter_value',
            hint = 'For example select drop_archived_quote_changes(''10 years'').';
    elsif current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        return 0;
    end if;
    execute format('lock table %s in share update exclusive mode', @extschema@.quote_relay_table('quote_changes_seals'));
    perform @extschema@.seal_quote_history();
    present := @extschema@.lock_quote_months(months);
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
    if before.intact is not true or coalesce(before.rows, 0) - after.rows <> present then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    return cardinality(months);
end $$;
comment on function drop_archived_quote_changes(interval) is 'drops archived months of the audit log after their retention; returns how many';

-- How long history is kept, by the options of attach. The log is one for all pairs: the longest age that they name counts,
-- and as long as one of them names none, nothing is moved or dropped by itself.
create function quote_history_policy(out archive_after interval, out drop_after interval)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when bool_and(s.archive_after is not null) then max(s.archive_after) end, case when bool_and(s.drop_after is not null) then max(s.drop_after) end
    from @extschema@.quote_collab_settings s where s.entity = 'QUOTE'
$$;
comment on function quote_history_policy(out interval, out interval) is 'ages at which history is archived and dropped by itself; null: never';

-- Archives and drops by that policy. It gives way to everybody: what it cannot lock at once it does another time.
create function keep_quote_history(out archived integer, out dropped integer)
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
        if policy.drop_after is not null then
            dropped := @extschema@.drop_archived_quote_changes(policy.drop_after);
        end if;
    exception
        when lock_not_available then
            dropped := 0;
        when object_not_in_prerequisite_state then
            raise warning 'quote history is not dropped: %', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
end $$;
comment on function keep_quote_history(out integer, out integer) is 'archives and drops history by the options of attach';

-- Everything that must happen now and then: stale sessions, partitions ahead, old batches, retention. Safe to call by many at
-- once: whoever finds another at it does nothing. The gateway calls it every 10 seconds; cron can.
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
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    end if;
    swept := @extschema@.cleanup_stale_quote_sessions();
    if pg_try_advisory_xact_lock(batch::regclass::oid::integer, 1) then
        made := @extschema@.create_quote_changes_partitions(@extschema@.quote_relay_table('quote_changes')::regclass);
        execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
            and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)', batch, lease);
        get diagnostics dropped = row_count;
        select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
    end if;
    sealed := @extschema@.seal_quote_history();
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
comment on function quote_collab_maintenance() is 'sweeps stale sessions, creates partitions ahead, drops old batches, archives and seals the audit log';

create function create_quote_changes_archive(log regclass) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_schema name;
    log_owner name;
    archive text;
    privilege record;
begin
    select n.nspname, r.rolname into log_schema, log_owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner where c.oid = log;
    archive := format('%I.quote_changes_archive', log_schema);
    if to_regclass(archive) is null then
        execute format('create table %s (like %s including all) partition by range (changed_at)', archive, log);
        execute format('comment on table %s is %L', archive, 'audit log of earlier months, moved here by archive_quote_changes(); append-only');
        execute format('alter table %s owner to %I', archive, log_owner);
        perform @extschema@.protect_quote_table(archive::regclass, 'quote_changes_tenant_isolation');
        for privilege in
            select case acl.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(acl.grantee)) end as role
            from pg_class c cross join lateral aclexplode(c.relacl) acl
            where c.oid = log and acl.privilege_type = 'SELECT' and acl.grantee <> c.relowner
        loop
            execute format('grant select on %s to %s', archive, privilege.role);
        end loop;
        perform @extschema@.create_quote_changes_all_view(log_schema, log_owner);
        perform @extschema@.describe_quote_objects(log_schema);
    end if;
    return archive::regclass;
end $$;
comment on function create_quote_changes_archive(regclass) is 'creates the archive of an audit log';

-- Months of a partitioned log that ended before a time: partition and its bounds.
create function quote_changes_months_before(log regclass, until timestamptz)
returns table (month regclass, bounds text, month_start timestamptz, month_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.* from (
        select i.inhrelid::regclass, pg_get_expr(c.relpartbound, c.oid),
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz,
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = log and not i.inhdetachpending) m (month, bounds, month_start, month_end)
    where m.month_end <= until
    order by m.month_start
$$;
comment on function quote_changes_months_before(regclass, timestamptz) is 'partitions of an audit log that ended before a time';

-- Moves the months that ended before now() - older_than to quote_changes_archive, all or none; returns how many. Months
-- that the relay may still need, a day back, stay. Waits at most 5 seconds for its locks, unless lock_timeout says otherwise.
create function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz := least(now() - older_than, now() - interval '1 day');
    needed timestamptz;
    archive regclass;
    part record;
    moved integer := 0;
begin
    if older_than is null or older_than < interval '0' then
        raise exception 'the age must be a positive interval' using errcode = 'invalid_parameter_value',
            hint = 'For example select archive_quote_changes(''24 months'').';
    end if;
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    -- What the newest batch of the relay may still have to read.
    execute format('select b.floor_at - interval ''1 day'' from %s b where b.no > 0 order by b.no desc limit 1',
        @extschema@.quote_relay_table('quote_relay_batch')) into needed;
    until := least(until, coalesce(needed, until));
    for part in select * from @extschema@.quote_changes_months_before(log, until) loop
        archive := coalesce(archive, @extschema@.create_quote_changes_archive(log));
        -- Proved before the log is locked, so that attaching it needs no look at the rows.
        execute format('alter table %s add constraint quote_changes_month check (changed_at >= %L and changed_at < %L)',
            part.month, part.month_start, part.month_end);
        execute format('alter table %s detach partition %s', log, part.month);
        execute format('alter table %s attach partition %s %s', archive, part.month, part.bounds);
        execute format('alter table %s drop constraint quote_changes_month', part.month);
        moved := moved + 1;
    end loop;
    return moved;
end $$;
comment on function archive_quote_changes(interval) is 'moves whole months of the audit log to the archive; returns how many';

-- quote_collab_doctor(): what a careful DBA would look at, each with a hint that mends it. Reads only; also on a standby.
create type @extschema@.quote_collab_check as (check_name text, severity text, message text, hint text);
comment on type @extschema@.quote_collab_check is 'one finding of quote_collab_doctor()';

-- ok, or a finding of a severity when the condition does not hold; null counts as not holding.
create function quote_collab_verdict(check_name text, holds boolean, severity text, message text, hint text) returns quote_collab_check
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when holds then (check_name, 'ok', '', '')::@extschema@.quote_collab_check
        else (check_name, severity, message, hint)::@extschema@.quote_collab_check end
$$;
comment on function quote_collab_verdict(text, boolean, text, text, text) is 'one line of quote_collab_doctor()';

-- The attached tables: columns and triggers as attach left them.
create function quote_collab_doctor_tables() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    s @extschema@.quote_collab_settings;
    target regclass;
    kind text;
    expected text[];
    name text;
    missing text;
begin
    for s in select * from @extschema@.quote_collab_settings order by attached_at loop
        name := format('%I.%I', s.table_schema, s.table_name);
        kind := case s.entity when 'QUOTE' then 'quote' else 'quote_line' end;
        target := @extschema@.quote_collab_table(s);
        expected := array[format('trg_increment_%s_version', kind), format('trg_capture_%s_change', kind),
            format('trg_flush_%s_changes', kind), format('trg_%s_%s_truncate', s.truncation, kind)];
        return next @extschema@.quote_collab_verdict('table exists: ' || name, target is not null, 'error',
            'the attached table is gone', 'select detach_quote_collaboration();');
        continue when target is null;
        select string_agg(c.value, ', ') into missing from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing), 'select attach_quote_collaboration();');
        select string_agg(t.name, ', ') into missing
        from unnest(expected) t (name)
        where not exists (select from pg_trigger g where g.tgrelid = target and g.tgname = t.name);
        return next @extschema@.quote_collab_verdict('triggers present: ' || name, missing is null, 'error',
            format('changes are not recorded, these triggers are missing: %s', missing), 'select attach_quote_collaboration();');
        select string_agg(g.tgname, ', ') into missing from pg_trigger g
        where g.tgrelid = target and g.tgname = any (expected) and g.tgenabled <> case when s.replicated_history then 'O' else 'A' end::"char";
        return next @extschema@.quote_collab_verdict(case when s.replicated_history then 'triggers enabled: ' else 'triggers enabled always: ' end || name,
            missing is null, 'error', format('these triggers are disabled, or differ on replicated rows from what attach was told: %s', missing),
            'select attach_quote_collaboration();');
        select string_agg(t.relid::text, ', ') into missing from pg_partition_tree(target) t join pg_class c on c.oid = t.relid
        where c.relkind in ('r', 'p') and not exists (select from pg_trigger g where g.tgrelid = t.relid and g.tgname = expected[4]);
        return next @extschema@.quote_collab_verdict('truncate guarded on partitions: ' || name, missing is null, 'warning',
            format('a TRUNCATE that names one of these partitions leaves no history: %s', missing), 'select attach_quote_collaboration();');
        select string_agg(g.tgname, ', ') into missing from pg_trigger g
        where g.tgrelid = target and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 19 = 19
            and g.tgname > format('trg_increment_%s_version', kind);
        return next @extschema@.quote_collab_verdict('version stamped last: ' || name, missing is null, 'warning',
            format('these triggers may change a row after its version was decided: %s', missing),
            'Rename them so that they sort before trg_increment.');
        return next @extschema@.quote_collab_verdict('row security on the table: ' || name,
            (select c.relrowsecurity and c.relforcerowsecurity from pg_class c where c.oid = target), 'warning',
            'only the functions of the extension keep tenants apart here; SQL users with rights on the table see all',
            format('alter table %s enable row level security, force row level security; and a policy on the tenant', name));
    end loop;
end $$;
comment on function quote_collab_doctor_tables() is 'doctor: the attached tables';

-- The audit log and what delivers it.
create function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
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
    return next @extschema@.quote_collab_verdict('history bounded',
        (select count(*) < 61 from pg_inherits i where i.inhparent = log), 'warning', 'the log holds more than 5 years', 'select archive_quote_changes(''24 months'');');
end $$;
comment on function quote_collab_doctor_history(name) is 'doctor: the audit log and its delivery';

-- Who may see and do what.
create function quote_collab_doctor_security(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    me record;
begin
    select string_agg(c.oid::regclass::text, ', ') into names from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relkind in ('r', 'p') and c.relname ~ '^(quote_changes|active_quote_sessions)'
        and not (c.relrowsecurity and c.relforcerowsecurity);
    return next @extschema@.quote_collab_verdict('row security forced everywhere', names is null, 'error',
        format('not enabled and forced on: %s', names), 'select attach_quote_collaboration();');
    select string_agg(c.oid::regclass::text, ', ') into names from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relkind in ('r', 'p') and c.relname ~ '^(quote_changes|active_quote_sessions)'
        and c.relname !~ '^quote_changes_seals$'
        and not exists (select from pg_policy p where p.polrelid = c.oid and pg_get_expr(p.polqual, p.polrelid) like '%current_quote_tenant()%');
    return next @extschema@.quote_collab_verdict('tenant policies present', names is null, 'error',
        format('no policy compares the tenant on: %s', names), 'select attach_quote_collaboration();');
    select string_agg(format('%s on %s', p.polname, p.polrelid::regclass), ', ') into names
    from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname ~ '^(quote_changes|active_quote_sessions)' and p.polpermissive
        and p.polname not in ('quote_changes_tenant_isolation', 'quote_sessions_tenant_isolation');
    return next @extschema@.quote_collab_verdict('no other policy', names is null, 'warning',
        format('permissive policies of others let rows through: %s', names), 'Drop them, or make them restrictive.');
    select string_agg(c.oid::regclass::text, ', ') into names from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relkind = 'v'
        and c.relname in ('v_quote_change_events', 'v_recent_quote_changes', 'v_active_quote_collaborators', 'v_quote_changes_all')
        and not coalesce(c.reloptions @> '{security_invoker=true}', false);
    return next @extschema@.quote_collab_verdict('views ask as the caller', names is null, 'error',
        format('these views show what their owner may see: %s', names), 'select attach_quote_collaboration();');
    select string_agg(distinct format('%s on %s', acl.privilege_type, c.oid::regclass), ', ') into names
    from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral aclexplode(c.relacl) acl
    where n.nspname = target_schema and c.relname ~ '^(quote_changes|quote_relay)' and c.relkind in ('r', 'p')
        and acl.grantee <> c.relowner and acl.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER');
    return next @extschema@.quote_collab_verdict('log written by triggers only', names is null, 'error',
        format('somebody may write the log: %s', names), 'Revoke these privileges.');
    select string_agg(distinct case acl.grantee when 0 then 'public' else pg_get_userbyid(acl.grantee)::text end, ', ') into names
    from @extschema@.quote_collab_settings s join pg_namespace n on n.nspname = s.table_schema join pg_class c on c.relnamespace = n.oid and c.relname = s.table_name
    cross join lateral aclexplode(c.relacl) acl
    where s.truncation = 'refuse' and acl.privilege_type = 'TRUNCATE' and acl.grantee <> c.relowner;
    return next @extschema@.quote_collab_verdict('truncate granted to nobody', names is null, 'warning',
        format('these roles may truncate the quotes, which the trigger alone refuses: %s', names), 'revoke truncate on quotes, quote_lines from …;');
    select string_agg(p.oid::regprocedure::text, ', ') into names from pg_proc p
    join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
    where p.prosecdef and not coalesce(p.proconfig::text like '%search_path=pg_catalog, pg_temp%', false);
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), 'Install the extension again.');
    select string_agg(format('%s on %s', g.tgname, g.tgrelid::regclass), ', ') into names
    from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and not g.tgisinternal and c.relname ~ '^(quote_changes|quote_relay|active_quote_sessions)';
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log: %s', names), 'Drop them; subscribe to events instead.');
    select r.rolsuper, r.rolbypassrls, pg_has_role(r.oid, c.relowner, 'member') as owns into me
    from pg_roles r, pg_class c where r.rolname = session_user and c.oid = to_regclass(format('%I.quote_changes', target_schema));
    return next @extschema@.quote_collab_verdict('this role is held to its tenant', not (me.rolsuper or me.rolbypassrls), 'warning',
        format('%s is not held by row security', session_user), 'Connect applications as a role without SUPERUSER and BYPASSRLS.');
    return next @extschema@.quote_collab_verdict('this role does not own the log', not me.owns, 'warning',
        format('%s may change the log and its policies', session_user), 'Connect applications as a role that owns nothing.');
end $$;
comment on function quote_collab_doctor_security(name) is 'doctor: who may see and do what';

-- Who vouches for the tenant of a transaction.
create function quote_collab_doctor_tenants() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    guard jsonb := @extschema@.quote_tenant_guard();
    verified boolean := (guard ->> 'verified')::boolean;
    guarded boolean := (guard ->> 'guarded')::boolean;
begin
    return next @extschema@.quote_collab_verdict('tenant cannot be chosen by SQL users', verified and guarded, 'warning',
        'any SQL user can set app.current_tenant_id', 'Give SQL access to the application and the gateway only, or have tenants verified: quote_collab.tenant_source.');
    return next @extschema@.quote_collab_verdict('tenant guarded as configured', guarded = verified, 'error',
        format('quote_collab.tenant_source is %s, this process does %s', case when verified then 'verified' else 'setting' end,
            case when guarded then 'keep ordinary roles from setting the tenant' else 'not guard the tenant and shows nobody a row' end), 'Restart the server.');
    return next @extschema@.quote_collab_verdict('settings known', not (guard ->> 'in_doubt')::boolean, 'error',
        'a value of quote_collab.* is wrong, or the session brought its own: tenants are guarded and no token is taken',
        'Look into the server''s log for a refused value, correct it and restart; preload the library.');
    return next @extschema@.quote_collab_verdict('tenants verified from the start', not verified or (guard ->> 'preloaded')::boolean, 'warning',
        'a session is guarded from the first use of the extension on, and tokens of HS256 are refused',
        'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
    return next @extschema@.quote_collab_verdict('token secret kept', not (guard ->> 'secret')::boolean or (guard ->> 'preloaded')::boolean, 'error',
        'until a session uses the extension it can read quote_collab.jwt_secret', 'Change the secret, preload the library and restart; or use public keys.');
    return next @extschema@.quote_collab_verdict('token secret long enough', not (guard ->> 'short_secret')::boolean, 'warning',
        'quote_collab.jwt_secret is shorter than 32 bytes and can be guessed', 'Take 32 random bytes, for example from openssl rand -base64 32.');
    return next @extschema@.quote_collab_verdict('token keys usable', not (guard ->> 'unusable_keys')::boolean, 'error',
        'quote_collab.jwt_keys is not a key set, or some of its keys are left out',
        'Each key needs a kid of its own and is RSA of 2048 bits or more (RS256), P-256 (ES256) or Ed25519 (EdDSA).');
    return next @extschema@.quote_collab_verdict('token keys configured', not verified or not (guard ->> 'keyless')::boolean, 'warning',
        'authenticate_quote_user() refuses every token', 'Set quote_collab.jwt_secret or quote_collab.jwt_keys and reload.');
    return query select * from @extschema@.quote_collab_doctor_tenant_roles(verified);
end $$;
comment on function quote_collab_doctor_tenants() is 'doctor: who vouches for the tenant of a transaction';

-- Roles that set the tenant without a token; the gateway's, which verifies tokens itself, is known by its rights.
create function quote_collab_doctor_tenant_roles(verified boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select r.oid from pg_roles r
        where not r.rolsuper and has_function_privilege(r.oid, '@extschema@.quote_relay_lease(text, interval)', 'execute'));
    setters oid[] := '{}'::oid[];
    names text;
begin
    if current_setting('server_version_num')::integer >= 150000 then
        setters := array(select acl.grantee from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl
            left join pg_roles r on r.oid = acl.grantee
            where p.parname = 'app.current_tenant_id' and acl.privilege_type = 'SET' and r.rolsuper is not true);
    end if;
    select string_agg(distinct case setter when 0 then 'public' else pg_get_userbyid(setter)::text end, ', ') into names
    from unnest(setters) setter where setter <> all (gateways);
    return next @extschema@.quote_collab_verdict('tenant set by gateways only', names is null, 'warning',
        format('these roles may set any tenant: %s', names), 'revoke set on parameter app.current_tenant_id from …;');
    select string_agg(pg_get_userbyid(gateway)::text, ', ') into names
    from unnest(gateways) gateway where gateway <> all (setters) and not 0::oid = any (setters);
    return next @extschema@.quote_collab_verdict('gateways may set the tenant', not verified or names is null, 'error',
        format('the gateway fails as: %s', names), 'select grant_quote_gateway(…);');
    select string_agg(distinct coalesce(pg_get_userbyid(nullif(s.setrole, 0))::text, 'everybody'), ', ') into names
    from pg_db_role_setting s cross join lateral unnest(s.setconfig) setting
    where setting ~* '^(app\.current_tenant_id|quote_collab\.verified_)';
    return next @extschema@.quote_collab_verdict('no tenant by default', not verified or names is null
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.reset_val <> ''), 'warning',
        format('sessions begin with a tenant that no token vouches for: %s', coalesce(names, 'this one')),
        'alter role … reset app.current_tenant_id; and look into postgresql.conf.');
end $$;
comment on function quote_collab_doctor_tenant_roles(boolean) is 'doctor: roles that set the tenant without a token';

-- The server around it.
create function quote_collab_doctor_server() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    preloaded boolean := position('quote_collab_ext' in current_setting('shared_preload_libraries')) > 0;
    version integer := current_setting('server_version_num')::integer;
    oldest integer := case version / 10000 when 15 then 150014 when 16 then 160010 when 17 then 170006 when 18 then 180000 end;
    available text;
    installed text;
    names text;
begin
    return next @extschema@.quote_collab_verdict('library preloaded', preloaded, 'warning',
        'a NOTIFY inside each writing transaction holds a lock of the whole cluster through the flush',
        'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
    return next @extschema@.quote_collab_verdict('background worker alive', not preloaded or pg_is_in_recovery()
            or exists (select from pg_stat_activity a where a.backend_type = 'quote_collab launcher'), 'error',
        'the library is preloaded and its launcher does not run', 'Look into the server''s log; raise max_worker_processes.');
    return next @extschema@.quote_collab_verdict('listeners are woken', current_setting('quote_collab.notify', true) is distinct from 'off', 'warning',
        'quote_collab.notify is off: readers only poll', 'alter system reset quote_collab.notify;');
    return next @extschema@.quote_collab_verdict('transactions can be prepared',
        current_setting('max_prepared_transactions') = '0' or preloaded and current_setting('quote_collab.notify', true) is distinct from 'transaction'
            or current_setting('quote_collab.notify', true) = 'off', 'warning',
        'a transaction that notifies cannot be prepared', 'Preload the library.');
    return next @extschema@.quote_collab_verdict('no old prepared transaction',
        not exists (select from pg_prepared_xacts x where x.prepared < now() - interval '1 hour'), 'warning',
        'a transaction was prepared an hour ago and holds its locks', 'commit prepared or rollback prepared; see pg_prepared_xacts.');
    return next @extschema@.quote_collab_verdict('notification queue', pg_notification_queue_usage() < 0.5, 'error',
        format('the queue of NOTIFY is %s %% full: a listener sits in an open transaction', round((pg_notification_queue_usage() * 100)::numeric)),
        'End the oldest transaction of a listening session; see pg_stat_activity.');
    select string_agg(a.pid::text, ', ') into names from pg_stat_activity a
    where a.datname = current_database() and a.backend_xid is not null and a.xact_start < now() - interval '1 hour';
    return next @extschema@.quote_collab_verdict('no hour-long writer', names is null, 'warning',
        format('these sessions write in a transaction that is older than an hour: %s', names), 'select pg_terminate_backend(…);');
    return next @extschema@.quote_collab_verdict('server patch level', version >= coalesce(oldest, version), 'warning',
        format('PostgreSQL %s lacks fixes of row security', current_setting('server_version')), 'Install the latest minor release.');
    select e.extversion, v.default_version into installed, available from pg_extension e
    left join pg_available_extensions v on v.name = e.extname where e.extname = 'quote_collab_ext';
    return next @extschema@.quote_collab_verdict('extension up to date', installed = coalesce(available, installed), 'warning',
        format('version %s is installed, %s is available', installed, available), 'alter extension quote_collab_ext update; and, in the same transaction, select attach_quote_collaboration();');
    return next @extschema@.quote_collab_verdict('survives a power cut',
        current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on', 'error',
        'fsync or full_page_writes is off: a crash loses or corrupts prices', 'alter system reset fsync; alter system reset full_page_writes;');
    return next @extschema@.quote_collab_verdict('commits are durable', current_setting('synchronous_commit') <> 'off', 'warning',
        'synchronous_commit is off: a crash takes back what users saw saved', 'alter system reset synchronous_commit;');
    return next @extschema@.quote_collab_verdict('transaction ids left', (select age(d.datfrozenxid) < 1500000000 from pg_database d where d.datname = current_database()),
        'error', 'this database is close to transaction id wraparound', 'vacuum freeze;');
    return next @extschema@.quote_collab_verdict('encoding', getdatabaseencoding() = 'UTF8', 'error', 'the database is not in UTF8', 'Create it anew in UTF8.');
end $$;
comment on function quote_collab_doctor_server() is 'doctor: the server';

-- Everything at once. Not for PUBLIC: it tells how this server is set up.
create function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
begin
    return next @extschema@.quote_collab_verdict('attached', home is not null, 'error', 'quote collaboration is not attached', 'select attach_quote_collaboration();');
    return query select * from @extschema@.quote_collab_doctor_server();
    if home is not null then
        begin
            return query select * from @extschema@.quote_collab_doctor_tables();
            return query select * from @extschema@.quote_collab_doctor_history(home);
            return query select * from @extschema@.quote_collab_doctor_security(home);
            return query select * from @extschema@.quote_collab_doctor_tenants();
        exception when insufficient_privilege or undefined_table then
            return next @extschema@.quote_collab_verdict('everything can be checked', false, 'warning', sqlerrm,
                case sqlstate when '42P01' then 'select attach_quote_collaboration();' else 'Run it as the owner of quote_changes.' end);
        end;
    end if;
end $$;
comment on function quote_collab_doctor() is 'checks everything that can be wrong, each with a hint that mends it';

-- Lets a role run the gateway: the relay's functions, and the rights that the gateway's queries need on every attached pair
-- of tables; call it again when a pair is attached later. The role itself stays an ordinary one, held to the tenant of
-- each request; where tenants are verified, it may set that tenant.
create or replace function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    pair record;
    relation jsonb;
begin
    execute format('grant usage on schema %I, @extschema@ to %I', home, role);
    execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions(), @extschema@.quote_collab_maintenance(),
        @extschema@.quote_presence_snapshot(), @extschema@.quote_relay_identity(), @extschema@.quote_relay_lease(text, interval),
        @extschema@.quote_relay_open_batch(bigint), @extschema@.quote_relay_last_batch(), @extschema@.quote_relay_first_batch(),
        @extschema@.quote_relay_read(bigint, bigint, integer), @extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint),
        @extschema@.quote_relay_position(), @extschema@.quote_events_between(uuid, bigint, bigint, bigint, bigint, integer) to %I', role);
    execute format('grant select on %1$I.quote_changes, %1$I.v_quote_changes_all, %1$I.v_quote_change_events, %1$I.v_recent_quote_changes,
        %1$I.v_active_quote_collaborators to %2$I', home, role);
    execute format('grant select, insert, update, delete on %I.active_quote_sessions to %I', home, role);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        execute format('grant usage on schema %I, %I to %I', (pair.header).table_schema, (pair.line).table_schema, role);
        execute format('grant select, update on %I.%I, %I.%I to %I', (pair.header).table_schema, (pair.header).table_name,
            (pair.line).table_schema, (pair.line).table_name, role);
        for relation in select value from jsonb_each((pair.header).relations) loop
            execute format('grant usage on schema %I to %I', relation ->> 'schema', role);
            execute format('grant select on %I.%I to %I', relation ->> 'schema', relation ->> 'table', role);
        end loop;
    end loop;
    -- The gateway verifies tokens itself and then sets the tenant. PostgreSQL 14 has no such grant.
    if current_setting('quote_collab.tenant_source', true) = 'verified' and current_setting('server_version_num')::integer >= 150000 then
        execute format('grant set on parameter app.current_tenant_id to %I', role);
    end if;
end $$;

-- Nothing that writes with the extension owner's rights is open to PUBLIC.
revoke execute on function quote_tenant_guard() from public;
revoke execute on function start_quote_worker(), wake_quote_listeners() from public;
revoke execute on function record_quote_truncate() from public;
revoke execute on function quote_history_released(out int8multirange, out jsonb) from public;
revoke execute on function examine_quote_seals(timestamptz, timestamptz) from public;
revoke execute on function seal_quote_release(jsonb) from public;
revoke execute on function drop_archived_quote_changes(interval) from public;
revoke execute on function keep_quote_history(out integer, out integer) from public;
revoke execute on function archive_quote_changes(interval), create_quote_changes_archive(regclass) from public;
revoke execute on function quote_collab_doctor_tenant_roles(boolean) from public;
revoke execute on function quote_collab_doctor(), quote_collab_doctor_server(), quote_collab_doctor_tables(),
    quote_collab_doctor_history(name), quote_collab_doctor_security(name), quote_collab_doctor_tenants() from public;
revoke execute on function
    cleanup_stale_quote_sessions(), quote_collab_maintenance(), quote_presence_snapshot(), quote_relay_identity(),
    quote_relay_lease(text, interval), quote_relay_open_batch(bigint), quote_relay_last_batch(), quote_relay_first_batch(),
    quote_relay_read(bigint, bigint, integer), quote_relay_checkpoint(bigint, bigint, bigint, bigint), quote_relay_position(),
    quote_events_between(uuid, bigint, bigint, bigint, bigint, integer),
    seal_quote_history(), verify_quote_history(text), quote_history_digest(),
    attach_quote_collaboration(regclass, regclass, jsonb), detach_quote_collaboration(boolean, regclass)
from public;
