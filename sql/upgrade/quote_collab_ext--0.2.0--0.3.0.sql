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
alter table @extschema@.quote_collab_settings add column readers_granted name[] not null default '{}';
alter table @extschema@.quote_collab_settings add column writers_granted name[] not null default '{}';
create table @extschema@.quote_seal_anchor (
    log_schema  name   not null,
    no          bigint not null,
    hash        bytea  not null,
    signed_from bigint,
    constraint quote_seal_anchor_pkey primary key (log_schema)
);
drop function quote_change_digest_expression();
drop function digest_quote_changes(pg_snapshot, pg_snapshot, bigint, timestamptz, timestamptz, pg_snapshot, bigint);
drop function quote_seal_hash(bytea, bigint, pg_snapshot, pg_snapshot, timestamptz, timestamptz, timestamptz, bigint, bigint, bytea, timestamptz);
drop function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb);
drop function recalculate_quote_totals(quote_collab_settings, quote_collab_settings, uuid);


-- functions in Rust
CREATE  FUNCTION "flush_quote_feed"() RETURNS void
STRICT VOLATILE PARALLEL UNSAFE
LANGUAGE c
AS 'MODULE_PATHNAME', 'flush_quote_feed_wrapper';
CREATE  FUNCTION "next_quote_transaction"() RETURNS bigint
STRICT VOLATILE PARALLEL SAFE
LANGUAGE c
AS 'MODULE_PATHNAME', 'next_quote_transaction_wrapper';
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
comment on function flush_quote_feed() is 'makes durable what readers of the event feed are about to count as over';
comment on function next_quote_transaction() is 'the lowest number that no transaction has yet';

-- 10_settings.sql
comment on column @extschema@.quote_collab_settings.readers_granted is 'roles that attach gave the history, because they may read this header';
comment on column @extschema@.quote_collab_settings.writers_granted is 'roles that attach gave presence, because they may change this header';
comment on column @extschema@.quote_collab_settings.drop_refused_at is 'when maintenance last found that what drop_after lets go is not as it was sealed; it tries again a day later';

-- 13_pairs.sql
create or replace function quote_collab_target(entity text) returns quote_collab_settings
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
                  hint = 'Run select attach_quote_collaboration() as a superuser.';
    end if;
    return target;
end $$;
create function sees_every_quote_tenant() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@.current_quote_tenant() is null and (
        exists (select from pg_roles r where r.rolname = session_user and (r.rolsuper or r.rolbypassrls))
        or current_setting('quote_collab.tenant_source', true) = 'setting'
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.context = 'superuser'))
$$;
comment on function sees_every_quote_tenant() is 'true when no tenant is set and the session need not name one';
create or replace function quote_table_holds(target quote_collab_settings, row_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    holds boolean;
begin
    execute format('select exists (select from %I.%I t where t.%I = $1 and ($3 or t.%I = $2))',
        target.table_schema, target.table_name, target.columns ->> 'id', target.columns ->> 'tenant')
    into holds using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return holds;
exception when insufficient_privilege or undefined_table or undefined_column or invalid_schema_name then
    return false;
end $$;
create or replace function find_quote_target(entity text, row_id uuid) returns quote_collab_settings
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
        if @extschema@.quote_columns_readable(target, '{id,tenant}'::text[]) then
            return target;
        end if;
    end loop;
    return targets[1];
end $$;

-- 14_users.sql
create function quote_users_safe(users jsonb, quotes_owner oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select c.relowner = quotes_owner or r.rolsuper or c.relkind in ('r', 'p') and not exists (
            select from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = t.typbasetype
            where a.attrelid = c.oid and a.attname in (users ->> 'id', users ->> 'name', users ->> 'email')
                and (coalesce(b.typtype, t.typtype) <> 'b' or not exists (
                    select from pg_roles o where o.oid = coalesce(b.typowner, t.typowner) and o.rolsuper)))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
        where n.nspname = users ->> 'schema' and c.relname = users ->> 'table'), false)
$$;
comment on function quote_users_safe(jsonb, oid) is 'whether a superuser can read names from a relation without running code of others';
create or replace function quote_user_relations() returns setof jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.relations -> 'users' from @extschema@.quote_collab_settings s
    where s.entity = 'QUOTE' and @extschema@.quote_relation_readable(s.relations -> 'users')
        and @extschema@.quote_users_safe(s.relations -> 'users', (select c.relowner from pg_class c where c.oid = @extschema@.quote_collab_table(s)))
    group by 1 order by min(s.attached_at)
$$;
create or replace function quote_author_column(target quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    who uuid := @extschema@.current_quote_user(null::uuid);
begin
    if who is null or not target.columns ? 'updated_by' or target.relations ? 'users'
            and (select u.known from @extschema@.find_quote_user_in(target.relations -> 'users', who) u) is not true then
        return '{}'::jsonb;
    end if;
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::uuid', who));
end $$;

-- 15_seal_anchor.sql
select pg_catalog.pg_extension_config_dump('@extschema@.quote_seal_anchor', '');
comment on table @extschema@.quote_seal_anchor is 'the block that was sealed last; stays where it is once the chain was changed by others';
comment on column @extschema@.quote_seal_anchor.log_schema is 'schema of the audit log';
comment on column @extschema@.quote_seal_anchor.no is 'number of the block';
comment on column @extschema@.quote_seal_anchor.hash is 'hash of the block';
comment on column @extschema@.quote_seal_anchor.signed_from is 'number of the first block that was signed; null while none was';
comment on constraint quote_seal_anchor_pkey on @extschema@.quote_seal_anchor is 'a log has one chain';
grant select on @extschema@.quote_seal_anchor to public;
create function begin_quote_seal_anchor(newest_no bigint, newest_hash bytea) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    signed_from bigint;
begin
    if not exists (select from @extschema@.quote_seal_anchor a where a.log_schema = home) then
        execute format('select min(s.no) from %I.quote_changes_seals s where s.signature is not null', home) into signed_from;
        insert into @extschema@.quote_seal_anchor values (home, newest_no, newest_hash, signed_from);
    end if;
end $$;
comment on function begin_quote_seal_anchor(bigint, bytea) is 'anchors a chain of seals that has no anchor yet';
revoke execute on function begin_quote_seal_anchor(bigint, bytea) from public;
create function move_quote_seal_anchor(before_hash bytea, no bigint, hash bytea, signed boolean) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update @extschema@.quote_seal_anchor a set no = move_quote_seal_anchor.no, hash = move_quote_seal_anchor.hash,
        signed_from = coalesce(a.signed_from, case when signed then move_quote_seal_anchor.no end)
    where a.log_schema = @extschema@.quote_collab_home() and a.no = move_quote_seal_anchor.no - 1 and a.hash = before_hash
$$;
comment on function move_quote_seal_anchor(bytea, bigint, bytea, boolean) is 'moves the anchor to the block that was sealed on top of it';
revoke execute on function move_quote_seal_anchor(bytea, bigint, bytea, boolean) from public;

-- 20_quote_changes.sql
create function quote_tenant_rule() returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select '(tenant_id = ( SELECT @extschema@.current_quote_tenant() AS current_quote_tenant))' $$;
comment on function quote_tenant_rule() is 'condition under which a row of history or presence is seen and written';
create or replace function protect_quote_table(target regclass, policy name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format('drop policy if exists %I on %s', policy, target);
    execute format('create policy %I on %s using %s', policy, target, @extschema@.quote_tenant_rule());
    execute format('comment on policy %I on %s is %L', policy, target,
        'a row is visible to, and writable for, its own tenant only; nobody when no tenant is set');
end $$;
create function quote_table_is_protected(target regclass, policy name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.relrowsecurity and c.relforcerowsecurity and exists (
        select from pg_policy p
        where p.polrelid = c.oid and p.polname = policy and p.polpermissive and p.polcmd = '*' and p.polroles = '{0}'
            and p.polwithcheck is null and pg_get_expr(p.polqual, p.polrelid) = @extschema@.quote_tenant_rule())
    from pg_class c where c.oid = target
$$;
comment on function quote_table_is_protected(regclass, name) is 'true when a table is as protect_quote_table() leaves it';
create function quote_tenant_tables(target_schema name) returns table (relation regclass, policy name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.relid, 'quote_changes_tenant_isolation'::name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral pg_partition_tree(c.oid) t
    where n.nspname = target_schema and c.relname in ('quote_changes', 'quote_changes_archive')
    union all
    select c.oid, 'quote_sessions_tenant_isolation' from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname = 'active_quote_sessions'
$$;
comment on function quote_tenant_tables(name) is 'tables of history and presence, each with the name of its policy';
create function quote_relation_stands(relation text, kind "char", owner name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_kind "char";
    found_owner oid;
begin
    select c.relkind, c.relowner into found_kind, found_owner from pg_class c where c.oid = to_regclass(relation);
    if not found then
        return false;
    elsif found_kind = kind and exists (
            select from pg_roles r where r.oid = found_owner and (r.rolsuper or r.rolname = owner or r.oid in (
                select c.relowner from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)))) then
        return true;
    end if;
    raise exception 'relation % is in the way', relation
        using errcode = 'duplicate_table', detail = format('It belongs to %s and was not made by quote collaboration.', pg_get_userbyid(found_owner)),
              hint = format('Give it to the owner of the quotes if it is of an earlier attach, else rename or drop it. Let nobody but that owner create anything in schema %s.', split_part(relation, '.', 1));
end $$;
comment on function quote_relation_stands(text, "char", name) is 'whether a relation of ours stands under a name; refuses another that does';
create function quote_grantee(role oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end $$;
comment on function quote_grantee(oid) is 'a role as GRANT and REVOKE name it';
create function close_quote_table(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    role text;
begin
    for role in
        select distinct @extschema@.quote_grantee(acl.grantee)
        from pg_class c cross join lateral aclexplode(c.relacl) acl where c.oid = target and acl.grantee <> c.relowner
    loop
        execute format('revoke all on %s from %s', target, role);
    end loop;
end $$;
comment on function close_quote_table(regclass) is 'takes away what default privileges gave others on a table';
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
        execute format('create index quote_changes_changed_at on %s using brin (changed_at) with (autosummarize = on)', log);
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

-- 21_quote_changes_months.sql
create function create_quote_changes_month(log regclass, month_name name, month_start timestamptz, month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name;
    log_owner name;
    month regclass;
    spare regclass;
    has_strays boolean := false;
begin
    select n.nspname, pg_get_userbyid(c.relowner), nullif(p.partdefid, 0)::regclass into log_schema, log_owner, spare
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_partitioned_table p on p.partrelid = c.oid where c.oid = log;
    if spare is not null then
        execute format('select exists (select from %s where changed_at >= $1 and changed_at < $2)', spare)
        into has_strays using month_start, month_end;
    end if;
    if has_strays then
        execute format('lock table %s in access exclusive mode', spare);
        execute format('create table %I.%I (like %s including defaults)', log_schema, month_name, log);
        month := format('%I.%I', log_schema, month_name)::regclass;
        execute format('with strays as (delete from %s where changed_at >= $1 and changed_at < $2 returning *) insert into %s select * from strays',
            spare, month) using month_start, month_end;
        execute format('alter table %s attach partition %s for values from (%L) to (%L)', log, month, month_start, month_end);
    else
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)', log_schema, month_name, log, month_start, month_end);
        month := format('%I.%I', log_schema, month_name)::regclass;
    end if;
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name);
end $$;
comment on function create_quote_changes_month(regclass, name, timestamptz, timestamptz) is 'creates one monthly partition of an audit log';
create or replace function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_name name;
    first timestamptz;
    month_name name;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value';
    end if;
    select c.relname into log_name from pg_class c where c.oid = log;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        month_name := format('%s_%s', log_name, to_char(first at time zone 'UTC', 'YYYY_MM'));
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        begin
            perform @extschema@.create_quote_changes_month(log, month_name, first, @extschema@.quote_changes_month(first + interval '32 days'));
            made := made + 1;
        exception when others then
            raise warning 'month % of the audit log has no partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm
                using hint = 'The default partition takes its rows until the next attempt.';
        end;
    end loop;
    return made;
end $$;

-- 30_presence_tables.sql
create or replace function create_active_quote_sessions(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sessions text := format('%I.active_quote_sessions', target_schema);
begin
    if not @extschema@.quote_relation_stands(sessions, 'r'::"char", target_owner) then
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
        perform @extschema@.close_quote_table(sessions::regclass), @extschema@.comment_active_quote_sessions(sessions::regclass);
    end if;
    perform @extschema@.protect_quote_table(sessions::regclass, 'quote_sessions_tenant_isolation'::name);
    return sessions::regclass;
end $$;

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
                xids      xid8[]      not null,
                origin    bigint      not null,
                cur_xmax  xid8        not null generated always as (pg_snapshot_xmax(cur)) stored,
                constraint quote_relay_batch_pkey primary key (no)
            )$ddl$, batch);
        execute format('create index quote_relay_batch_xmax on %s (cur_xmax, no)', batch);
        execute format('comment on table %s is %L', batch, 'batches of the event feed: what is visible in cur and was not in prev');
        execute format('comment on column %s.xids is %L', batch, 'transactions of the batch');
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
    execute format('insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, xids, origin)
        select 0, s, s, now(), now(), now(), ''{}'', @extschema@.quote_cluster_identifier()
        from pg_current_snapshot() s where not exists (select from %1$s)', batch);
    execute format('insert into %1$s select true, 0, '''', ''-infinity'', 0, 0, 0 where not exists (select from %1$s)', lease);
end $$;

-- 42_seal_table.sql
create function begin_quote_changes_seals(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('insert into %1$I.quote_changes_seals (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form)
        select 0, ''3:3:'', ''3:3:'', ''-infinity'', ''-infinity'', ''-infinity'', @extschema@.quote_cluster_identifier(), 0, sha256(''''),
        sha256(convert_to(''quote_changes'', ''UTF8'')), clock_timestamp(), 2
        where not exists (select from %1$I.quote_changes_seals)', target_schema);
end $$;
comment on function begin_quote_changes_seals(name) is 'begins a chain of seals with its first block';
create or replace function create_quote_changes_seals(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := format('%I.quote_changes_seals', target_schema);
    item record;
begin
    if @extschema@.quote_relation_stands(seals, 'r'::"char", target_owner) then
        perform @extschema@.begin_quote_changes_seals(target_schema);
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
    perform @extschema@.begin_quote_changes_seals(target_schema);
    execute format('alter table %s owner to %I', seals, target_owner);
    perform @extschema@.close_quote_table(seals::regclass);
    execute format('alter table %s enable row level security', seals);
    execute format('alter table %s force row level security', seals);
end $$;

-- 50_views.sql
create function quote_change_events_query(target_schema name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
               jsonb_build_object(
                   'position', position, 'event_id', event_id, 'tenant_id', tenant_id, 'quote_id', quote_id,
                   'line_id', quote_line_id, 'entity', entity_type, 'operation', change_type,
                   'actor', changed_by, 'at', changed_at, 'session_id', session_id,
                   'version_before', entity_version_before, 'version_after', entity_version_after,
                   'context', (array_agg(context) filter (where context is not null))[1],
                   'fields', jsonb_agg(jsonb_build_object('field', field_name, 'old', old_value, 'new', new_value)
                                       order by id)) as event
        from %I.quote_changes
        where conflict_resolution is distinct from 'REJECTED'
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, target_schema)
$$;
comment on function quote_change_events_query(name) is 'query of the view of events over the audit log';
create or replace function create_quote_change_events_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.replace_quote_view(format('%I.v_quote_change_events', target_schema), @extschema@.quote_change_events_query(target_schema),
        'one row per row change: the rows of quote_changes that share an event_id, as the event that is published', target_owner);
end $$;
create or replace function replace_quote_view(view_name text, query text, description text, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    privilege text;
    privileges text[] := array(
        select format('grant %s on %s to %s', acl.privilege_type, view_name, @extschema@.quote_grantee(acl.grantee))
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

-- 51_archive_view.sql
create function quote_changes_all_query(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('select * from %I.quote_changes%s', target_schema,
        case when to_regclass(a.name) is null then '' else ' union all select * from ' || a.name end)
    from format('%I.quote_changes_archive', target_schema) a (name)
$$;
comment on function quote_changes_all_query(name) is 'query of the view over the audit log and its archive';
create or replace function create_quote_changes_all_view(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    perform @extschema@.quote_relation_stands(format('%I.quote_changes_archive', target_schema), 'p'::"char", target_owner);
    perform @extschema@.replace_quote_view(format('%I.v_quote_changes_all', target_schema), @extschema@.quote_changes_all_query(target_schema),
        'every row of the audit log, also those in the archive', target_owner);
end $$;

-- 52_pair_views.sql
create or replace function recent_quote_change_names() returns table (change_id uuid, quote_number text, line_number text, user_name text)
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
        if @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number}'::text[]) then
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
create or replace function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    customers jsonb;
    customer_column text;
begin
    for pair in select * from @extschema@.quote_collab_pairs() loop
        continue when not @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number,customer}'::text[]);
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
create function quote_pair_view_queries(home name, out recent text, out active text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
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
            @extschema@.quote_common_type('QUOTE_LINE', '{line_number,version}'::text[], 'integer'), home);
        active := format('%s from %I.active_quote_sessions s
            join @extschema@.active_quote_names() n on n.quote_id = s.quote_id and n.tenant_id = s.tenant_id
            where s.last_heartbeat > statement_timestamp() - @extschema@.quote_session_ttl() group by 1, 2, 3, 4, 5',
            @extschema@.active_quote_collaborators_columns('n.quote_number',
                'n.customer_id::' || @extschema@.quote_common_type('QUOTE', '{customer}'::text[], 'uuid'), 'n.customer_name'), home);
    end if;
end $$;
comment on function quote_pair_view_queries(name, out text, out text) is 'queries of the views of recent changes and active collaborators';
create function quote_view_queries(home name) returns table (view_name name, query text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from @extschema@.quote_pair_view_queries(home) p
    cross join lateral (values
        ('v_quote_changes_all'::name, @extschema@.quote_changes_all_query(home)), ('v_quote_change_events', @extschema@.quote_change_events_query(home)),
        ('v_recent_quote_changes', p.recent), ('v_active_quote_collaborators', p.active)) v
$$;
comment on function quote_view_queries(name) is 'the views beside an audit log, each with its query';
create or replace function create_pair_views(home name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    queries record;
begin
    select * into queries from @extschema@.quote_pair_view_queries(home);
    perform @extschema@.replace_quote_view(format('%I.v_recent_quote_changes', home), queries.recent,
        'changes of the last 24 hours with quote number, line number and user name', target_owner);
    perform @extschema@.replace_quote_view(format('%I.v_active_quote_collaborators', home), queries.active,
        'who is looking at or editing which quote now', target_owner);
end $$;

-- 55_triggers.sql
create function quote_trigger_argument(settings quote_collab_settings) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select (settings.columns || jsonb_build_object('entity', settings.entity, 'ignore', to_jsonb(settings.ignored_columns::text[] || array(
            select settings.columns ->> r from unnest('{version,updated_at,updated_by}'::text[]) r where settings.columns ? r)),
        'log', format('%I.quote_changes', settings.log_schema))
        || case when settings.columns ->> 'updated_by' = any (settings.added_columns::text[]) then '{"stamp_user": "yes"}' else '{}' end::jsonb
        || jsonb_strip_nulls(jsonb_build_object('system_user', settings.system_user_id)))::text
$$;
comment on function quote_trigger_argument(quote_collab_settings) is 'what the row triggers of an attached table are told';
create function quote_triggers(settings quote_collab_settings)
returns table (name name, firing text, type smallint, function regprocedure, argument text, on_partitions boolean, description text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(t.name, case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end)::name, t.firing, t.type::smallint,
        format('@extschema@.%s()', t.function)::regprocedure, t.argument, t.on_partitions, t.description
    from (values
        ('trg_increment_%s_version', 'before update on %s for each row', 19,
            case settings.entity when 'QUOTE' then 'increment_quote_version' else 'increment_quote_line_version' end,
            @extschema@.quote_trigger_argument(settings), true, 'version + 1 and updated_at = now() when a row really changes'),
        ('trg_capture_%s_change', 'after insert or update or delete on %s for each row', 29, 'capture_quote_change',
            @extschema@.quote_trigger_argument(settings), true, 'compares the row before and after and notes what changed'),
        ('trg_flush_%s_changes', 'after insert or update or delete on %s for each statement', 28, 'flush_quote_changes',
            null, false, 'writes what the statement changed into quote_changes'),
        ('trg_' || settings.truncation || '_%s_truncate', 'before truncate on %s for each statement', 34, settings.truncation || '_quote_truncate',
            null, true, case settings.truncation
                when 'refuse' then 'TRUNCATE would leave no history' else 'notes every row as deleted before TRUNCATE removes it' end)
    ) t (name, firing, type, function, argument, on_partitions, description)
$$;
comment on function quote_triggers(quote_collab_settings) is 'the triggers of an attached table';
create function create_quote_trigger(target regclass, settings quote_collab_settings, name name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    made record;
begin
    select * into made from @extschema@.quote_triggers(settings) t where t.name = create_quote_trigger.name;
    execute format('drop trigger if exists %I on %s', made.name, target);
    execute format('create trigger %I %s execute function %s(%s)', made.name, format(made.firing, target), made.function::regproc,
        quote_literal(made.argument));
    execute format('alter table %s enable %s trigger %I', target, case when settings.replicated_history then '' else 'always' end, made.name);
    execute format('comment on trigger %I on %s is %L', made.name, target, made.description);
end $$;
comment on function create_quote_trigger(regclass, quote_collab_settings, name) is 'creates one trigger of an attached table, or of its partition';
create or replace function create_quote_triggers(target regclass, settings quote_collab_settings, log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.create_quote_trigger(target, settings, t.name) from @extschema@.quote_triggers(settings) t where t.firing not like '%truncate%';
    perform @extschema@.create_quote_truncate_triggers(target, settings);
end $$;
revoke execute on function capture_quote_change() from public;
create function grant_quote_capture() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    change record;
begin
    for change in
        with owners as (
            select distinct c.relowner as role from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)),
        granted as (
            select acl.grantee as role from pg_proc p cross join lateral aclexplode(p.proacl) acl
            where p.oid = '@extschema@.capture_quote_change()'::regprocedure and acl.grantee not in (0, p.proowner))
        select pg_get_userbyid(r.role) as role, o.role is not null as owns
        from owners o full join granted g using (role) cross join lateral (select coalesce(o.role, g.role)) r (role)
        where o.role is null or g.role is null
    loop
        if change.owns then
            execute format('grant execute on function @extschema@.capture_quote_change() to %I', change.role);
        else
            execute format('revoke execute on function @extschema@.capture_quote_change() from %I', change.role);
        end if;
    end loop;
end $$;
comment on function grant_quote_capture() is 'lets the owners of attached tables, and nobody else, add partitions with the row trigger';

-- 56_truncate.sql
create or replace function create_quote_truncate_triggers(target regclass, settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    trigger_name name := (select q.name from @extschema@.quote_triggers(settings) q where q.firing like '%truncate%');
begin
    for part in select target union select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind in ('r', 'p') loop
        execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, part);
        execute format('drop trigger if exists trg_record_%s_truncate on %s', kind, part);
        perform @extschema@.create_quote_trigger(part, settings, trigger_name);
    end loop;
end $$;
create or replace function drop_quote_truncate_triggers() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in
        select g.tgname, g.tgrelid::regclass as relation from pg_trigger g
        where g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f where f.guards_truncate)
            and (@extschema@.quote_collab_settings_of(g.tgrelid::regclass)).entity is null
    loop
        execute format('drop trigger %I on %s', item.tgname, item.relation);
    end loop;
end $$;
create or replace function refuse_quote_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if (@extschema@.quote_collab_settings_of(tg_relid::regclass)).entity is not null then
        raise exception 'truncate of % is refused', tg_relid::regclass
            using errcode = 'feature_not_supported',
                  detail = 'It would remove quotes without a trace in quote_changes.',
                  hint = 'Use delete, or attach with the option {"truncate": "record"}.';
    end if;
    return null;
end $$;
create or replace function record_quote_truncate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    settings @extschema@.quote_collab_settings := @extschema@.quote_collab_settings_of(tg_relid::regclass);
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
            coalesce(@extschema@.current_quote_user(null::uuid), settings.system_user_id),
            nullif(current_setting('app.current_session_id', true), '')::uuid;
        get diagnostics noted = row_count;
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
create or replace function quote_truncate_statement(settings quote_collab_settings, part regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
            change_type, session_id, was_conflict, entity_version_before, event_id, position, xid, origin, context)
        select @extschema@.uuid_generate_v7(), t.%2$s, t.%3$s, %4$s, $1, clock_timestamp(), %5$L, '*', to_jsonb(t),
            'DELETE', $2, false, case when t.%6$s between -2147483648 and 2147483647 then t.%6$s::integer end, @extschema@.uuid_generate_v7(),
            nextval(%9$L), pg_current_xact_id(), @extschema@.quote_cluster_identifier(), %7$s
        from only %8$s t$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and settings.columns ? 'line_number'
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part, format('%I.quote_changes_position_seq', settings.log_schema))
$$;
create function quote_trigger_functions() returns table (function regprocedure, guards_truncate boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.increment_quote_version()'::regprocedure, false), ('@extschema@.increment_quote_line_version()', false),
        ('@extschema@.capture_quote_change()', false), ('@extschema@.flush_quote_changes()', false),
        ('@extschema@.refuse_quote_truncate()', true), ('@extschema@.record_quote_truncate()', true)
$$;
comment on function quote_trigger_functions() is 'the functions that triggers of ours execute';

-- 57_carriers.sql
create function quote_trigger_arguments(arguments bytea) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return convert_from(substring(arguments, 1, octet_length(arguments) - 1), 'UTF8')::jsonb;
exception when data_exception then
    return null;
end $$;
comment on function quote_trigger_arguments(bytea) is 'the argument of one of our triggers';
create function quote_carriers() returns table (relation regclass, entity text, arguments jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.tgrelid::regclass, case when g.tgfoid = '@extschema@.increment_quote_version()'::regprocedure then 'QUOTE' else 'QUOTE_LINE' end,
        @extschema@.quote_trigger_arguments(g.tgargs)
    from pg_trigger g
    where g.tgparentid = 0
        and g.tgfoid in ('@extschema@.increment_quote_version()'::regprocedure, '@extschema@.increment_quote_line_version()'::regprocedure)
$$;
comment on function quote_carriers() is 'every table that stamps versions, attached or not';
create function moved_quote_tables(kept regclass[]) returns table (settings quote_collab_settings, new_schema name, new_name name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with noted as (
        select s, @extschema@.quote_collab_table(s) as relation from @extschema@.quote_collab_settings s),
    lost as (
        select n.s from noted n
        where (n.relation is null or n.relation <> all (kept))
            and not exists (select from @extschema@.quote_carriers() c where c.relation = n.relation and c.entity = (n.s).entity)),
    stray as (
        select c.relation, c.entity, c.arguments, t.relname, ns.nspname
        from @extschema@.quote_carriers() c join pg_class t on t.oid = c.relation join pg_namespace ns on ns.oid = t.relnamespace
        where not exists (select from noted n where n.relation = c.relation)),
    possible as (
        select l.s, y.relation, y.nspname, y.relname,
            case when y.relname = (l.s).table_name then 2 else 0 end + case when y.nspname = (l.s).table_schema then 1 else 0 end as likeness
        from lost l join stray y on y.entity = (l.s).entity and (y.arguments is null
            or y.arguments @> (l.s).columns and y.arguments ->> 'log' = format('%I.quote_changes', (l.s).log_schema)))
    select p.s, p.nspname, p.relname from possible p
    where not exists (select from possible o where o.s = p.s and o.relation <> p.relation and o.likeness >= p.likeness)
        and not exists (select from possible o where o.s <> p.s and o.relation = p.relation and o.likeness >= p.likeness)
$$;
comment on function moved_quote_tables(regclass[]) is 'attached tables that were renamed or moved, and their new names';
create function follow_quote_tables(kept regclass[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    moved record;
begin
    for moved in
        select (m.settings).table_schema, (m.settings).table_name, (m.settings).entity, m.new_schema, m.new_name
        from @extschema@.moved_quote_tables(kept) m
    loop
        update @extschema@.quote_collab_settings s set table_schema = moved.new_schema, table_name = moved.new_name
        where (s.table_schema, s.table_name) = (moved.table_schema, moved.table_name);
        update @extschema@.quote_collab_settings s set header_schema = moved.new_schema, header_table = moved.new_name
        where moved.entity = 'QUOTE' and (s.header_schema, s.header_table) = (moved.table_schema, moved.table_name);
    end loop;
end $$;
comment on function follow_quote_tables(regclass[]) is 'notes the new names of attached tables that were renamed or moved';
create function follow_quote_home() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    homes name[] := array(
        select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = 'quote_changes' and c.relkind = 'p' and exists (
            select from pg_policy p join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid
            where p.polrelid = c.oid and d.refclassid = 'pg_proc'::regclass and d.refobjid = '@extschema@.current_quote_tenant()'::regprocedure));
    known name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
begin
    if cardinality(homes) <> 1 or known = homes[1] or to_regclass(format('%I.quote_changes', known)) is not null then
        return;
    elsif exists (select from pg_namespace n where n.nspname = known) then
        raise exception 'the audit log was moved away from schema %', quote_ident(known)
            using errcode = 'object_not_in_prerequisite_state', detail = 'What belongs to it is still there: partitions, views, the tables of the relay.',
                  hint = format('Move it back: alter table %I.quote_changes set schema %I.', homes[1], known);
    end if;
    update @extschema@.quote_collab_settings s set log_schema = homes[1];
    update @extschema@.quote_seal_anchor a set log_schema = homes[1] where a.log_schema = known;
end $$;
comment on function follow_quote_home() is 'notes the new name of the schema of the audit log';
create function quote_tables_elsewhere(home name) returns setof quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.* from @extschema@.quote_collab_settings s join @extschema@.quote_carriers() c on c.relation = @extschema@.quote_collab_table(s)
    where c.arguments ->> 'log' is distinct from format('%I.quote_changes', home)
    order by s.attached_at, s.table_schema, s.table_name
$$;
comment on function quote_tables_elsewhere(name) is 'attached tables whose changes go to a log that is gone or was moved';
create function drop_quote_triggers(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    trigger_name name;
begin
    for trigger_name in
        select g.tgname from pg_trigger g
        where g.tgrelid = target and g.tgparentid = 0 and g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f)
    loop
        execute format('drop trigger %I on %s', trigger_name, target);
    end loop;
end $$;
comment on function drop_quote_triggers(regclass) is 'drops the triggers that record the changes of a table';
create function stray_quote_tables() returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct g.tgrelid::regclass from pg_trigger g
    where g.tgparentid = 0 and g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f where not f.guards_truncate)
        and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = g.tgrelid)
$$;
comment on function stray_quote_tables() is 'tables with triggers of ours that are not attached';

-- 57_locks.sql
create function try_lock_quote_tables(tables regclass[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('lock table only %s in access exclusive mode nowait', array_to_string(tables, ', only '));
    return true;
exception when lock_not_available then
    return false;
end $$;
comment on function try_lock_quote_tables(regclass[]) is 'locks tables if all of them are free';
create function try_lock_quote_view(view regclass) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('lock_timeout', '10ms', true);
    execute format('alter view %s set (security_invoker = true)', view);
    return true;
exception when lock_not_available then
    return false;
end $$;
comment on function try_lock_quote_view(regclass) is 'locks a view if it is free';
create function try_lock_quote_relations(first regclass, tables regclass[], views regclass[]) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    deadline timestamptz;
    relation regclass;
begin
    execute format('lock table only %s in access exclusive mode', first);
    deadline := clock_timestamp() + interval '100 ms';
    while not @extschema@.try_lock_quote_tables(tables) loop
        if clock_timestamp() > deadline then
            foreach relation in array tables loop
                exit when not @extschema@.try_lock_quote_tables(array[relation]);
            end loop;
            return relation;
        end if;
        perform pg_sleep(0.005);
    end loop;
    foreach relation in array views loop
        if not @extschema@.try_lock_quote_view(relation) then
            return relation;
        end if;
    end loop;
    return null;
end $$;
comment on function try_lock_quote_relations(regclass, regclass[], regclass[]) is 'locks relations, waiting for the first of them only';
create function lock_quote_relations(relations regclass[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    patience text := current_setting('lock_timeout');
    deadline timestamptz := clock_timestamp() + patience::interval;
    tables regclass[] := array(
        select p.relid from unnest(relations) with ordinality r (relation, place)
        cross join lateral (select r.relation union select t.relid from pg_partition_tree(r.relation) t) p (relid)
        join pg_class c on c.oid = p.relid where c.relkind in ('r', 'p') order by r.place, c.relispartition, p.relid);
    views regclass[] := array(select c.oid::regclass from pg_class c where c.oid = any (relations) and c.relkind = 'v');
    first regclass := tables[1];
    busy regclass;
    pause double precision := 0.02;
begin
    while first is not null loop
        begin
            perform set_config('lock_timeout', greatest(1, ceil(extract(epoch from deadline - clock_timestamp()) * 1000))::bigint::text, true);
            busy := first;
            busy := @extschema@.try_lock_quote_relations(first, tables, views);
            perform set_config('lock_timeout', patience, true);
            exit when busy is null;
            raise lock_not_available;
        exception when lock_not_available then
            first := case when busy = any (tables) then busy else first end;
        end;
        if clock_timestamp() >= deadline then
            raise exception 'relation % is in use', busy
                using errcode = 'lock_not_available', detail = format('It was not free within %s.', patience),
                      hint = 'Try again when no long transaction uses it, or set lock_timeout to wait longer.';
        end if;
        perform pg_sleep(pause * (0.5 + random()));
        pause := least(pause * 2, 0.2);
    end loop;
end $$;
comment on function lock_quote_relations(regclass[]) is 'locks relations that attach or detach will change, all or none';
create function quote_home_relations(home name) returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = home and c.relkind in ('r', 'p', 'v') and c.relname in ('quote_changes', 'quote_changes_archive', 'quote_changes_seals',
            'active_quote_sessions', 'quote_relay_batch', 'quote_relay_lease', 'v_quote_change_events', 'v_quote_changes_all',
            'v_recent_quote_changes', 'v_active_quote_collaborators')
        order by c.relkind = 'v', c.relname)
$$;
comment on function quote_home_relations(name) is 'what belongs to an audit log, as far as it is there';

-- 58_attach_checks.sql
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
    perform @extschema@.check_quote_target(header), @extschema@.check_quote_target(lines);
    perform @extschema@.check_quote_options(options), @extschema@.check_quote_option_columns(header, lines, options);
    -- What was dropped is forgotten, unless its partner is still attached and not spoken of here.
    delete from @extschema@.quote_collab_settings s
    where @extschema@.quote_collab_table(s) is null and not exists (
        select from @extschema@.quote_collab_settings p
        where (p.header_schema, p.header_table) = (s.header_schema, s.header_table) and @extschema@.quote_collab_table(p) not in (header, lines));
    perform @extschema@.check_quote_pairing(header, 'QUOTE', header), @extschema@.check_quote_pairing(lines, 'QUOTE_LINE', header),
        @extschema@.check_quote_names(header, 'QUOTE'), @extschema@.check_quote_names(lines, 'QUOTE_LINE'),
        @extschema@.find_quote_columns(header, 'QUOTE', coalesce(options -> 'columns', '{}'), '{quote_id}'::text[]);
end $$;
create function check_quote_target(target regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found record;
begin
    select c.relkind, c.relpersistence, n.nspname in ('pg_catalog', 'information_schema', 'pg_toast') or exists (
            select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') as is_member
    into found from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target;
    if found.relkind not in ('r', 'p') then
        raise exception 'quote collaboration attaches to ordinary and partitioned tables only'
            using errcode = 'wrong_object_type', detail = format('%s is neither.', target);
    elsif found.relpersistence = 't' then
        raise exception 'table % is temporary', target
            using errcode = 'wrong_object_type', detail = 'Its rows are seen by one session, and gone with it.', hint = 'Attach tables that stay.';
    elsif found.is_member or @extschema@.is_quote_history(target) then
        raise exception 'table % is not a table of the ERP', target
            using errcode = 'wrong_object_type', detail = 'It belongs to PostgreSQL, to an extension or to quote collaboration itself.',
                  hint = 'Name the ERP''s own tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    elsif exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = target and not c.relispartition) then
        raise exception 'table % has tables that inherit from it', target
            using errcode = 'feature_not_supported', detail = 'Triggers are not inherited: changes of their rows would leave no history.',
                  hint = 'Make them partitions, or let them inherit no longer: alter table ... no inherit.';
    end if;
end $$;
comment on function check_quote_target(regclass) is 'refuses tables that cannot be attached';
create function is_quote_history(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_policy p where p.polrelid = target and p.polname in ('quote_changes_tenant_isolation', 'quote_sessions_tenant_isolation'))
        or exists (
            select from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.oid = target and c.relname in ('quote_changes', 'quote_changes_default', 'quote_changes_archive', 'quote_changes_seals',
                    'active_quote_sessions', 'quote_relay_batch', 'quote_relay_lease')
                and (exists (select from @extschema@.quote_collab_settings s where s.log_schema = n.nspname) or exists (
                    select from pg_policy p where p.polname = 'quote_changes_tenant_isolation' and p.polrelid = to_regclass(format('%I.quote_changes', n.nspname)))))
$$;
comment on function is_quote_history(regclass) is 'whether a table is one of those that attach makes';
create function check_quote_names(target regclass, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    kind text := case entity when 'QUOTE' then 'quote' else 'quote_line' end;
    other record;
begin
    select g.tgname, g.tgrelid::regclass as relation into other from pg_trigger g
    where (g.tgrelid = target or g.tgrelid in (select t.relid from pg_partition_tree(target) t))
        and g.tgname in (format('trg_increment_%s_version', kind), format('trg_capture_%s_change', kind), format('trg_flush_%s_changes', kind),
            format('trg_refuse_%s_truncate', kind), format('trg_record_%s_truncate', kind))
        and g.tgfoid not in (select f.function from @extschema@.quote_trigger_functions() f)
    limit 1;
    -- Of a table that is attached it is ours that was replaced, and is again.
    if found and (@extschema@.quote_collab_settings_of(target)).entity is null then
        raise exception 'trigger "%" of % is in the way', other.tgname, other.relation
            using errcode = 'duplicate_object', detail = 'It was not made by quote collaboration.', hint = 'Rename or drop it.';
    end if;
end $$;
comment on function check_quote_names(regclass, text) is 'refuses a table with triggers of others under our names';
create function check_quote_views(home name, home_owner name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    view_name text;
begin
    for view_name in select format('%I.%I', home, v.name)
        from unnest('{v_quote_change_events,v_quote_changes_all,v_recent_quote_changes,v_active_quote_collaborators}'::text[]) v (name)
    loop
        continue when not @extschema@.quote_relation_stands(view_name, 'v'::"char", home_owner);
        continue when exists (
            select from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            where r.ev_class = to_regclass(view_name) and d.refclassid = 'pg_class'::regclass
                and d.refobjid in (to_regclass(format('%I.quote_changes', home)), to_regclass(format('%I.active_quote_sessions', home))));
        raise exception 'view % is in the way', view_name
            using errcode = 'duplicate_table', detail = 'It was not made by quote collaboration.', hint = 'Rename or drop it.';
    end loop;
end $$;
comment on function check_quote_views(name, name) is 'refuses views of others under our names';
create function check_quote_home(header regclass, home name, homes name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if home <> all (homes) then
        perform @extschema@.quote_relation_stands(format('%I.quote_changes', home), 'p'::"char", pg_get_userbyid(c.relowner))
        from pg_class c where c.oid = header;
    end if;
end $$;
comment on function check_quote_home(regclass, name, name[]) is 'refuses a log that somebody else has planted';
create or replace function choose_quote_home(header regclass, out home name, out home_owner name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select x.home, pg_get_userbyid(coalesce(l.relowner, x.relowner)) from (
        select coalesce((select s.log_schema from @extschema@.quote_collab_settings s join pg_namespace h on h.nspname = s.log_schema limit 1), n.nspname)
            as home, c.relowner
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header) x
    left join (pg_class l join pg_namespace ln on ln.oid = l.relnamespace) on ln.nspname = x.home and l.relname = 'quote_changes'
$$;

-- 58_attach_options.sql
create or replace function check_quote_options(options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    known text[] := '{columns,line_columns,ignored_columns,users,customers,system_user_id,truncate,replicated_history,archive_after,drop_after}'::text[];
    unknown text;
begin
    if jsonb_typeof(options) is distinct from 'object' then
        raise exception 'options must be a json object' using errcode = 'invalid_parameter_value', detail = format('It may have: %s.', array_to_string(known, ', '));
    end if;
    select k.name into unknown from jsonb_object_keys(options) k (name) where k.name <> all (known) limit 1;
    if found then
        raise exception 'attach has no option "%"', unknown
            using errcode = 'invalid_parameter_value', hint = format('Use one of: %s.', array_to_string(known, ', '));
    elsif options ->> 'truncate' not in ('refuse', 'record') then
        raise exception 'unknown option for truncate' using errcode = 'invalid_parameter_value', hint = 'Use "refuse" or "record".';
    elsif jsonb_typeof(options -> 'replicated_history') not in ('boolean', 'null') then
        raise exception 'replicated_history must be true or false' using errcode = 'invalid_parameter_value';
    elsif options ->> 'system_user_id' !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
        raise exception 'system_user_id must be a uuid' using errcode = 'invalid_parameter_value',
            hint = 'Name a user by his id: {"system_user_id": "00000000-0000-4000-8000-000000000001"}.';
    end if;
    perform @extschema@.check_quote_column_option(options, 'columns', 'QUOTE'), @extschema@.check_quote_column_option(options, 'line_columns', 'QUOTE_LINE'),
        @extschema@.check_quote_relation_option(options, 'users'), @extschema@.check_quote_relation_option(options, 'customers'),
        @extschema@.check_quote_ages(options);
end $$;
create function check_quote_column_option(options jsonb, option text, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    roles text[] := array(select r.role from @extschema@.quote_column_roles('{}'::text[]) r where r.entity = check_quote_column_option.entity);
    wrong record;
begin
    if jsonb_typeof(options -> option) <> 'object' then
        raise exception 'option "%" must be a json object', option
            using errcode = 'invalid_parameter_value', hint = format('Name columns by role: {"%s": {"tenant": "..."}}.', option);
    end if;
    select e.key, e.value into wrong from jsonb_each(options -> option) e where e.key <> all (roles) or jsonb_typeof(e.value) <> 'string' limit 1;
    if found and wrong.key = any (roles) then
        raise exception 'option "%" must name a column for the role "%"', option, wrong.key using errcode = 'invalid_parameter_value';
    elsif found then
        raise exception 'option "%" knows no role "%"', option, wrong.key
            using errcode = 'invalid_parameter_value', hint = format('Use one of: %s.', array_to_string(roles, ', '));
    end if;
end $$;
comment on function check_quote_column_option(jsonb, text, text) is 'refuses roles that there are not';
create function check_quote_relation_option(options jsonb, option text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    chosen jsonb := options -> option;
    shape text := format('For example {"%s": {"schema": "...", "table": "...", "id": "...", "name": "...", "email": "..."}}, or null for none.', option);
begin
    if chosen is null or chosen in ('null'::jsonb, 'false'::jsonb) then
        return;
    elsif jsonb_typeof(chosen) <> 'object' then
        raise exception 'option "%" must be a json object or null', option using errcode = 'invalid_parameter_value', hint = shape;
    elsif exists (select from jsonb_each(chosen) e where e.key not in ('schema', 'table', 'id', 'name', 'email') or jsonb_typeof(e.value) <> 'string') then
        raise exception 'option "%" does not name a table and its columns', option using errcode = 'invalid_parameter_value', hint = shape;
    end if;
end $$;
comment on function check_quote_relation_option(jsonb, text) is 'refuses what does not name a table of users or customers';
create function check_quote_option_columns(header regclass, lines regclass, options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ignored jsonb := options -> 'ignored_columns';
    unknown text;
begin
    if jsonb_typeof(ignored) <> 'array' or jsonb_path_exists(ignored, 'strict $[*] ? (@.type() != "string")') then
        raise exception 'option "ignored_columns" must be a list of columns'
            using errcode = 'invalid_parameter_value', hint = 'For example {"ignored_columns": ["last_viewed_at"]}.';
    end if;
    select i.name into unknown from jsonb_array_elements_text(ignored) i (name)
    where not exists (select from pg_attribute a where a.attrelid in (header, lines) and a.attname = i.name and a.attnum > 0 and not a.attisdropped)
    limit 1;
    if found then
        raise exception 'neither % nor % has a column "%" to ignore', header, lines, unknown using errcode = 'undefined_column',
            detail = 'It was named in the option "ignored_columns".';
    end if;
end $$;
comment on function check_quote_option_columns(regclass, regclass, jsonb) is 'refuses to ignore columns that there are not';
create function check_quote_ages(options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    example text := 'For example {"archive_after": "24 months", "drop_after": "10 years"}.';
    archive_after interval;
    drop_after interval;
begin
    if jsonb_typeof(options -> 'archive_after') not in ('string', 'null') or jsonb_typeof(options -> 'drop_after') not in ('string', 'null') then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value', hint = example;
    end if;
    begin
        archive_after := (options ->> 'archive_after')::interval;
        drop_after := (options ->> 'drop_after')::interval;
    exception when data_exception then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value', hint = example;
    end;
    if archive_after <= interval '0' or drop_after < archive_after or drop_after is not null and archive_after is null then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'It is archived first and dropped later.', hint = example;
    elsif greatest(archive_after, drop_after) > interval '1000 years' then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'The longest age is 1000 years.', hint = 'Leave the option out to keep history for ever.';
    end if;
end $$;
comment on function check_quote_ages(jsonb) is 'refuses ages at which history cannot be archived or dropped';

-- 58_columns.sql
create function quote_base_type(declared oid) returns oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive below (oid, kind, base) as (
        select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = declared
        union all
        select t.oid, t.typtype, t.typbasetype from below b join pg_type t on t.oid = b.base where b.kind = 'd')
    select b.oid from below b where b.kind <> 'd'
$$;
comment on function quote_base_type(oid) is 'the type that a domain stands for, through domains over domains';
create function quote_column_roles(reference text[])
returns table (entity text, role text, candidates text[], required boolean, types regtype[])
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values
        ('QUOTE', 'id', '{id}'::text[], true, '{uuid}'::regtype[]), ('QUOTE', 'tenant', '{tenant_id}', true, '{uuid}'),
        ('QUOTE', 'version', '{version}', false, '{smallint,integer,bigint}'), ('QUOTE', 'updated_at', '{updated_at}', false, null),
        ('QUOTE', 'updated_by', '{updated_by}', false, '{uuid}'), ('QUOTE', 'created_by', '{created_by}', false, '{uuid}'),
        ('QUOTE', 'quote_number', '{quote_number,order_number,document_number}', false, null), ('QUOTE', 'customer', '{customer_id}', false, null),
        ('QUOTE', 'status', '{status}', false, null), ('QUOTE', 'subtotal', '{subtotal}', false, null),
        ('QUOTE', 'tax_amount', '{tax_amount}', false, null), ('QUOTE', 'shipping_amount', '{shipping_amount}', false, null),
        ('QUOTE', 'discount_amount', '{discount_amount}', false, null), ('QUOTE', 'total_amount', '{total_amount}', false, null),
        ('QUOTE_LINE', 'id', '{id}', true, '{uuid}'), ('QUOTE_LINE', 'tenant', '{tenant_id}', true, '{uuid}'),
        ('QUOTE_LINE', 'quote', reference, true, '{uuid}'), ('QUOTE_LINE', 'version', '{version}', false, '{smallint,integer,bigint}'),
        ('QUOTE_LINE', 'updated_at', '{updated_at}', false, null), ('QUOTE_LINE', 'updated_by', '{updated_by}', false, '{uuid}'),
        ('QUOTE_LINE', 'created_by', '{created_by}', false, '{uuid}'), ('QUOTE_LINE', 'line_number', '{line_number}', false, null),
        ('QUOTE_LINE', 'quantity', '{quantity,quantity_quoted,quantity_ordered}', false, null),
        ('QUOTE_LINE', 'unit_price', '{unit_price}', false, null), ('QUOTE_LINE', 'line_amount', '{line_amount}', false, null)
$$;
comment on function quote_column_roles(text[]) is 'the roles that columns of a header and of lines play';
create or replace function find_quote_columns(target regclass, entity text, chosen jsonb, reference text[] default '{quote_id}') returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from @extschema@.quote_column_roles(reference) r
    cross join lateral (
        select case when r.role in ('updated_by', 'created_by') then array(
            select n.name from unnest(r.candidates) n (name) join pg_attribute a on a.attrelid = target and a.attname = n.name
            where @extschema@.quote_base_type(a.atttypid) = any (r.types)) else r.candidates end) f (names)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, f.names, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
create function quote_added_column_comment(role text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case role when 'version' then 'optimistic-lock token: +1 per change of the row' when 'updated_by' then 'who changed the row last' end $$;
comment on function quote_added_column_comment(text) is 'the comment that attach gives a column that it adds';
create or replace function add_quote_columns(target regclass, entity text, columns jsonb) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    added name[] := '{}'::name[];
begin
    if not columns ? 'version' then
        execute format('alter table %s add column version integer not null default 1', target);
        execute format('comment on column %s.version is %L', target, @extschema@.quote_added_column_comment('version'));
        added := added || 'version'::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' and not exists (
            select from pg_attribute a where a.attrelid = target and a.attname = 'updated_by' and not a.attisdropped) then
        execute format('alter table %s add column updated_by uuid', target);
        execute format('comment on column %s.updated_by is %L', target, @extschema@.quote_added_column_comment('updated_by'));
        added := added || 'updated_by'::name;
    end if;
    return added;
end $$;
create function quote_added_columns(target regclass, noted name[]) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with added (attnum, name, type, described) as (
        select a.attnum, a.attname, k.type, coalesce(col_description(target, a.attnum) = k.description, false)
        from (values
            ('integer'::regtype, @extschema@.quote_added_column_comment('version'), array_length(array_remove(noted, 'updated_by'::name), 1) > 0),
            ('uuid'::regtype, @extschema@.quote_added_column_comment('updated_by'), cardinality(noted) > 1 or 'updated_by' = any (noted))
        ) k (type, description, is_noted)
        join pg_attribute a on a.attrelid = target and a.atttypid = k.type and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where k.is_noted and (col_description(target, a.attnum) = k.description
            or a.attname = any (noted) and exists (select from @extschema@.quote_carriers() c where c.relation = target)
                and (k.type = 'uuid'::regtype or a.attnotnull and pg_get_expr(d.adbin, d.adrelid) = '1')))
    select array(
        select a.name from added a where a.described or not exists (select from added o where o.type = a.type and o.described)
        order by a.attnum)
$$;
comment on function quote_added_columns(regclass, name[]) is 'the columns of a table that attach added and detach takes away';
create or replace function check_quote_column_types(target regclass, columns jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    select a.attname, r.role, r.types into wrong
    from @extschema@.quote_column_roles('{}'::text[]) r
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and not a.attisdropped
    where @extschema@.quote_base_type(a.atttypid) <> all (r.types)
    limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'datatype_mismatch', detail = format('It must be of type %s.', array_to_string(wrong.types, ' or '));
    end if;
    select a.attname into wrong from pg_attribute a
    where a.attrelid = target and a.attname = columns ->> 'version' and (a.attgenerated <> '' or a.attidentity <> '');
    if found then
        raise exception 'column "%" of % cannot play the role "version"', wrong.attname, target
            using errcode = 'generated_always', detail = 'PostgreSQL generates its values, and each change counts it up.',
                  hint = 'Name another column: {"columns": {"version": "..."}}, "line_columns" for the lines.';
    end if;
end $$;
comment on function check_quote_column_types(regclass, jsonb) is 'refuses columns of types that cannot work';

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

-- 58_people.sql
create or replace function find_quote_relation(target_schema name, chosen jsonb, default_table text, names text[], emails text[])
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass;
begin
    select c.oid into target from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = coalesce(chosen ->> 'schema', target_schema) and c.relname = coalesce(chosen ->> 'table', default_table)
        and c.relkind in ('r', 'p', 'v', 'm', 'f');
    if target is null and chosen is null then
        return null;
    elsif target is null then
        raise exception 'no table %.%', quote_ident(coalesce(chosen ->> 'schema', target_schema)), quote_ident(coalesce(chosen ->> 'table', default_table))
            using errcode = 'undefined_table', hint = format('Name the table: {"%s": {"schema": "...", "table": "..."}}, or null for none.', default_table);
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'schema', coalesce(chosen ->> 'schema', target_schema),
        'table', coalesce(chosen ->> 'table', default_table),
        'id', @extschema@.find_quote_column(target, 'id', chosen, '{id}'::text[], false),
        'name', @extschema@.find_quote_column(target, 'name', chosen, names, false),
        'email', @extschema@.find_quote_column(target, 'email', chosen, emails, false)));
end $$;
create function quote_relation_fits(kind text, relation jsonb, named boolean, key oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_key oid;
    shape text := format('It needs a column "id"%s and a column "name", or others that are named.', coalesce(' of type ' || format_type(key, null), ''));
begin
    select @extschema@.quote_base_type(a.atttypid) into found_key
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = relation ->> 'schema' and c.relname = relation ->> 'table' and a.attname = relation ->> 'id';
    if relation ? 'name' and (key is null or found_key = key or exists (
            select from pg_type f join pg_type k on k.typcategory = f.typcategory where f.oid = found_key and k.oid = key and f.typcategory in ('N', 'S'))) then
        return relation ? 'id';
    elsif not named then
        raise notice 'names of % are not read from %.%', kind, quote_ident(relation ->> 'schema'), quote_ident(relation ->> 'table') using detail = shape;
        return false;
    end if;
    raise exception 'names of % cannot be read from %.%', kind, quote_ident(relation ->> 'schema'), quote_ident(relation ->> 'table')
        using errcode = case when relation ?& '{id,name}'::text[] then 'datatype_mismatch' else 'undefined_column' end, detail = shape,
              hint = format('Name the columns: {"%s": {"table": "...", "id": "...", "name": "..."}}, or null for none.', kind);
end $$;
comment on function quote_relation_fits(text, jsonb, boolean, oid) is 'whether a table can name users or customers; refuses one that was named and cannot';
create function find_quote_users(target_schema name, chosen jsonb, header regclass) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb;
begin
    if jsonb_typeof(chosen) <> 'object' then
        return null;
    end if;
    users := @extschema@.find_quote_relation(target_schema, chosen, 'users'::text, '{username,user_name,name}'::text[], '{email}'::text[]);
    if users is null or not @extschema@.quote_relation_fits('users', users, chosen is not null, 'uuid'::regtype::oid) then
        return null;
    elsif @extschema@.quote_users_safe(users, (select c.relowner from pg_class c where c.oid = header)) then
        return users;
    elsif chosen is null then
        raise notice 'names of users are not read from %.%', quote_ident(users ->> 'schema'), quote_ident(users ->> 'table')
            using detail = 'It is not a table of ordinary columns, and belongs to another than the owner of the quotes.';
        return null;
    end if;
    raise exception 'names of users cannot be read from %.%', quote_ident(users ->> 'schema'), quote_ident(users ->> 'table')
        using errcode = 'wrong_object_type',
              detail = 'The relay reads it with the rights of the extension''s owner, and whoever made a view or a type has his functions run then.',
              hint = 'Name a table with columns of PostgreSQL''s own types, or let the view belong to the owner of the quotes.';
end $$;
comment on function find_quote_users(name, jsonb, regclass) is 'finds the table that names users';
create function find_quote_customers(target_schema name, chosen jsonb, header regclass, columns jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb;
    key oid;
begin
    if jsonb_typeof(chosen) <> 'object' then
        return null;
    end if;
    customers := @extschema@.find_quote_relation(target_schema, chosen, 'customers'::text, '{customer_name,name}'::text[], '{email}'::text[]);
    select @extschema@.quote_base_type(a.atttypid) into key from pg_attribute a where a.attrelid = header and a.attname = columns ->> 'customer';
    if customers is not null and @extschema@.quote_relation_fits('customers', customers, chosen is not null, key) then
        return customers;
    end if;
    return null;
end $$;
comment on function find_quote_customers(name, jsonb, regclass, jsonb) is 'finds the table that names customers';
create function find_quote_relations(header regclass, entity text, columns jsonb, options jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    header_schema name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header);
begin
    if entity <> 'QUOTE' then
        return (select s.relations from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = header);
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'users', @extschema@.find_quote_users(header_schema, options -> 'users', header),
        'customers', @extschema@.find_quote_customers(header_schema, options -> 'customers', header, columns)));
end $$;
comment on function find_quote_relations(regclass, text, jsonb, jsonb) is 'the tables that name users and customers of a pair';

-- 59_privileges.sql
create function quote_history_relations(home name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('%I.%I', home, c.relname), ', ' order by c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = home and c.relname in ('quote_changes', 'quote_changes_archive', 'v_quote_changes_all', 'v_quote_change_events',
        'v_recent_quote_changes', 'v_active_quote_collaborators')
$$;
comment on function quote_history_relations(name) is 'what readers of the quotes may read of their history';
create function quote_header_grantees(header regclass, privilege text) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(distinct case acl.grantee when 0 then 'public'::name else r.rolname end), '{}')
    from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl left join pg_roles r on r.oid = acl.grantee
    where c.oid = header and acl.privilege_type = privilege
        and acl.grantee <> (select l.relowner from pg_class l where l.oid = format('%I.quote_changes', @extschema@.quote_collab_home())::regclass)
$$;
comment on function quote_header_grantees(regclass, text) is 'roles with a right on a header';
create or replace function copy_quote_privileges(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    readers name[] := @extschema@.quote_header_grantees(header, 'SELECT');
    writers name[] := array_remove(@extschema@.quote_header_grantees(header, 'UPDATE'), 'public');
    before @extschema@.quote_collab_settings;
    role text;
begin
    for role in select case r.name when 'public' then 'public' else quote_ident(r.name) end from unnest(readers) r (name) loop
        execute format('grant select on %s, %I.active_quote_sessions to %s', @extschema@.quote_history_relations(home), home, role);
    end loop;
    for role in select quote_ident(r.name) from unnest(writers) r (name) loop
        execute format('grant select, insert, update, delete on %I.active_quote_sessions to %s', home, role);
        execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions() to %s', role);
    end loop;
    perform @extschema@.grant_quote_home(header);
    select s.* into before from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' and @extschema@.quote_collab_table(s) = header;
    update @extschema@.quote_collab_settings s set readers_granted = readers, writers_granted = writers
    where (s.table_schema, s.table_name) = (before.table_schema, before.table_name);
    perform @extschema@.revoke_quote_privileges(before.readers_granted || before.writers_granted);
end $$;
create function revoke_quote_privileges(roles name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    former record;
begin
    for former in
        select case f.name when 'public' then 'public' else quote_ident(f.name) end as role, f.name,
            exists (select from @extschema@.quote_collab_settings s where f.name = any (s.readers_granted)) as reads,
            exists (select from @extschema@.quote_collab_settings s where f.name = any (s.writers_granted)) as writes
        from (select distinct u.name from unnest(roles) u (name)) f left join pg_roles r on r.rolname = f.name
        where (f.name = 'public' or r.oid is not null)
            and r.oid is distinct from (select c.relowner from pg_class c where c.oid = format('%I.quote_changes', home)::regclass)
            and not exists (select from pg_proc p cross join lateral aclexplode(p.proacl) acl
                where p.oid = '@extschema@.quote_relay_lease(text, interval)'::regprocedure and acl.grantee = r.oid and acl.grantee <> p.proowner)
    loop
        if not former.reads then
            execute format('revoke select on %s from %s', @extschema@.quote_history_relations(home), former.role);
        end if;
        if not former.writes then
            execute format('revoke insert, update, delete on %I.active_quote_sessions from %s', home, former.role);
            execute format('revoke execute on function @extschema@.cleanup_stale_quote_sessions() from %s', former.role);
        end if;
        if not former.reads and not former.writes then
            execute format('revoke select on %I.active_quote_sessions from %s', home, former.role);
            if exists (select from @extschema@.quote_collab_settings s where former.name = any (s.usage_granted)) then
                execute format('revoke usage on schema %I from %s', home, former.role);
                update @extschema@.quote_collab_settings s set usage_granted = array_remove(s.usage_granted, former.name)
                where former.name = any (s.usage_granted);
            end if;
        end if;
    end loop;
end $$;
comment on function revoke_quote_privileges(name[]) is 'takes rights on history and presence from those who have none on the quotes any more';

-- 60_attach.sql
create or replace function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
    chosen jsonb := coalesce(options -> case entity when 'QUOTE' then 'columns' else 'line_columns' end, '{}');
    reference text[] := @extschema@.quote_reference_candidates(target, header, coalesce(options -> 'columns' ->> 'id', 'id')::name);
    columns jsonb;
    added name[];
    names record;
begin
    select n.nspname as schema_name, c.relname as table_name, hn.nspname as header_schema, h.relname as header_table, ln.nspname as log_schema
    into names from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_class h join pg_namespace hn on hn.oid = h.relnamespace,
        pg_class l join pg_namespace ln on ln.oid = l.relnamespace
    where c.oid = target and h.oid = header and l.oid = log;
    added := @extschema@.add_quote_columns(target, entity, @extschema@.find_quote_columns(target, entity, chosen, reference));
    added := @extschema@.quote_added_columns(target, added || coalesce((
        select s.added_columns from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = target), '{}'::name[]));
    columns := @extschema@.find_quote_columns(target, entity, chosen, reference);
    perform @extschema@.check_quote_column_types(target, columns);
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, header_schema, header_table, log_schema, columns, ignored_columns, added_columns, relations,
        system_user_id, truncation, replicated_history, archive_after, drop_after)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema, columns,
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        @extschema@.find_quote_relations(header, entity, columns, options),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after
    returning s.* into settings;
    perform @extschema@.drop_quote_triggers(target), @extschema@.create_quote_triggers(target, settings, log);
    return settings;
end $$;
create function lead_quote_tables_to(log regclass, home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    other @extschema@.quote_collab_settings;
begin
    update @extschema@.quote_collab_settings s set log_schema = home, usage_granted = '{}'::name[] where s.log_schema <> home;
    for other in select * from @extschema@.quote_tables_elsewhere(home) loop
        perform @extschema@.create_quote_triggers(@extschema@.quote_collab_table(other), other, log);
    end loop;
end $$;
comment on function lead_quote_tables_to(regclass, name) is 'makes every attached table write to this log';
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
    homes name[];
    log regclass;
    is_elsewhere boolean;
begin
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s union select a.log_schema from @extschema@.quote_seal_anchor a);
    perform @extschema@.follow_quote_tables(array[header, lines]), @extschema@.follow_quote_home();
    perform @extschema@.check_quote_tables(header, lines, options);
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner);
    is_elsewhere := exists (select from @extschema@.quote_collab_settings s where s.log_schema <> home);
    perform @extschema@.lock_quote_relations(array[header, lines] || @extschema@.quote_home_relations(home) || array(
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s));
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options);
    perform @extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options);
    execute format('select @extschema@.begin_quote_seal_anchor(s.no, s.hash) from %I.quote_changes_seals s order by s.no desc limit 1', home);
    perform @extschema@.lead_quote_tables_to(log, home), @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(@extschema@.quote_collab_table(p.header)) from @extschema@.quote_collab_pairs() p
    where @extschema@.quote_collab_table(p.header) = attach_quote_collaboration.quotes or is_elsewhere and @extschema@.quote_collab_table(p.header) is not null;
    perform @extschema@.start_quote_worker();
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;

-- 65_detach.sql
create or replace function detach_quote_table(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    target regclass := @extschema@.quote_collab_table(settings);
    added name;
    all_added name[];
begin
    if target is not null then
        all_added := @extschema@.quote_added_columns(target, settings.added_columns);
        perform @extschema@.drop_quote_triggers(target);
        foreach added in array all_added loop
            execute format('alter table %s drop column %I', target, added);
        end loop;
    end if;
end $$;
create function detach_stray_quote_tables() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    stray record;
    added name;
    all_added name[];
begin
    for stray in
        select t.relation, c.arguments from @extschema@.stray_quote_tables() t (relation)
        left join @extschema@.quote_carriers() c on c.relation = t.relation
    loop
        select array(
            select a.attname from pg_attribute a
            where a.attrelid = stray.relation and not a.attisdropped and (a.attname = stray.arguments ->> 'version'
                    and col_description(stray.relation, a.attnum) = @extschema@.quote_added_column_comment('version')
                or a.attname = stray.arguments ->> 'updated_by' and stray.arguments ? 'stamp_user')) into all_added;
        perform @extschema@.drop_quote_triggers(stray.relation);
        foreach added in array all_added loop
            execute format('alter table %s drop column %I', stray.relation, added);
        end loop;
    end loop;
end $$;
comment on function detach_stray_quote_tables() is 'takes triggers and added columns away from tables that are not attached';
create or replace function detach_quote_home(header quote_collab_settings, drop_history boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    role name;
begin
    execute format('drop view if exists %1$I.v_quote_change_events, %1$I.v_quote_changes_all', header.log_schema);
    execute format('drop table if exists %I.active_quote_sessions', header.log_schema);
    for role in select r.rolname from pg_roles r where r.rolname = any (header.writers_granted) loop
        execute format('revoke execute on function @extschema@.cleanup_stale_quote_sessions() from %I', role);
    end loop;
    if not drop_history then
        perform @extschema@.release_quote_history(header.log_schema);
        return;
    end if;
    execute format('drop table if exists %1$I.quote_changes, %1$I.quote_changes_archive, %1$I.quote_changes_seals, %1$I.quote_relay_batch,
        %1$I.quote_relay_lease', header.log_schema);
    delete from @extschema@.quote_seal_anchor a where a.log_schema = header.log_schema;
    for role in
        select r.rolname from pg_roles r join pg_namespace n on n.nspname = header.log_schema where r.rolname = any (header.usage_granted)
    loop
        execute format('revoke usage on schema %I from %I', header.log_schema, role);
    end loop;
end $$;
create function leave_quote_home(header quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    home name := header.log_schema;
    log regclass := to_regclass(format('%I.quote_changes', home));
begin
    if log is null then
        raise warning 'the audit log of the tables that remain attached is gone'
            using hint = 'Until they are attached again, they cannot be written to: select attach_quote_collaboration(...).';
        return;
    end if;
    perform @extschema@.lead_quote_tables_to(log, home);
    -- The views over several pairs do without a table that is gone.
    perform @extschema@.create_pair_views(home, pg_get_userbyid(c.relowner)) from pg_class c
    where c.oid = log and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) is null);
    update @extschema@.quote_collab_settings s set usage_granted = s.usage_granted || header.usage_granted
    where (s.table_schema, s.table_name) = (select t.table_schema, t.table_name from @extschema@.quote_collab_target('QUOTE') t);
    perform @extschema@.revoke_quote_privileges(header.readers_granted || header.writers_granted);
end $$;
comment on function leave_quote_home(quote_collab_settings) is 'leaves the log to the pairs that remain';
create function lock_quote_pair(header quote_collab_settings, line quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    is_last boolean := not exists (
        select from @extschema@.quote_collab_settings s where (s.header_schema, s.header_table) <> (header.header_schema, header.header_table));
    relations regclass[] := array_remove(array[@extschema@.quote_collab_table(header), @extschema@.quote_collab_table(line)], null)
        || array(select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(header.log_schema) s)
        || array(select t.relation from @extschema@.stray_quote_tables() t (relation) where is_last)
        || @extschema@.quote_home_relations(header.log_schema);
begin
    perform @extschema@.lock_quote_relations(relations);
end $$;
comment on function lock_quote_pair(quote_collab_settings, quote_collab_settings) is 'locks what detach changes, all or nothing';
create or replace function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    header @extschema@.quote_collab_settings;
    line @extschema@.quote_collab_settings;
    is_last boolean;
begin
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.follow_quote_tables('{}'::regclass[]), @extschema@.follow_quote_home();
    header := @extschema@.choose_quote_pair(quotes);
    line := @extschema@.quote_collab_partner(header);
    perform @extschema@.lock_quote_pair(header, line);
    delete from @extschema@.quote_collab_settings s where (s.header_schema, s.header_table) = (header.header_schema, header.header_table);
    is_last := not exists (select from @extschema@.quote_collab_settings);
    if drop_history and not is_last then
        raise exception 'the history belongs to other pairs of tables too' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Detach this pair without drop_history, and drop the history with the last one.';
    elsif is_last then
        execute format('drop view if exists %1$I.v_active_quote_collaborators, %1$I.v_recent_quote_changes', header.log_schema);
    else
        perform @extschema@.leave_quote_home(header);
    end if;
    perform @extschema@.detach_quote_table(line), @extschema@.detach_quote_table(header), @extschema@.drop_quote_truncate_triggers(),
        @extschema@.grant_quote_capture();
    if is_last then
        perform @extschema@.detach_stray_quote_tables(), @extschema@.detach_quote_home(header, drop_history);
    end if;
    return case when not is_last then format('quote collaboration is detached from %I.%I', header.table_schema, header.table_name)
        when drop_history then 'quote collaboration is detached, its history is dropped'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;

-- 69_rejection.sql
create function quote_row_is_locked(target quote_collab_settings, row_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    holder xid;
    mine xid[] := array(select l.transactionid from pg_locks l
        where l.locktype = 'transactionid' and l.pid = pg_backend_pid() and l.mode = 'ExclusiveLock' and l.granted);
begin
    execute format('select t.xmax from %I.%I t where t.%s = $1', target.table_schema, target.table_name,
        @extschema@.quote_collab_column(target, 'id')) into holder using row_id;
    return holder = any (mine) or exists (
        select from pg_get_multixact_members(holder) m where m.xid = any (mine) and m.mode not in ('keysh', 'sh'));
exception when invalid_parameter_value or internal_error then
    -- No transaction of several.
    return false;
end $$;
comment on function quote_row_is_locked(quote_collab_settings, uuid) is 'true when this transaction has locked a row of an attached table';
create or replace function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target(entity, row_id);
    current_row jsonb := @extschema@.find_quote_row(target, row_id, '');
    actual_version integer := (current_row ->> (target.columns ->> 'version'))::integer;
    fields jsonb;
begin
    if current_row is null or actual_version = expected_version or expected_version is null or not @extschema@.quote_row_is_locked(target, row_id) then
        return;
    end if;
    fields := @extschema@.normalise_quote_changes(target, changes);
    execute format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type,
            field_name, old_value, new_value, change_type, session_id, was_conflict, conflict_resolution,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select @extschema@.uuid_generate_v7(), $1, $2, $3, $4, clock_timestamp(), $5, f.key, $6 -> f.key, f.value, 'UPDATE',
            $7, true, 'REJECTED', $8, $9, e.event_id, e.position, pg_current_xact_id(), @extschema@.quote_cluster_identifier()
        from jsonb_each($10) f,
            (select @extschema@.uuid_generate_v7(), nextval(%2$L)) e (event_id, position)$query$,
        target.log_schema, format('%I.quote_changes_position_seq', target.log_schema))
    using (current_row ->> (target.columns ->> 'tenant'))::uuid,
          coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case entity when 'QUOTE_LINE' then row_id end,
          coalesce(@extschema@.current_quote_user(null::uuid), target.system_user_id),
          entity, current_row, nullif(current_setting('app.current_session_id', true), '')::uuid,
          expected_version, actual_version, fields;
end $$;

-- 70_version_check.sql
create or replace function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(t) from %I.%I t where t.%s = $1 and ($3 or t.%s = $2) %s',
        target.table_schema, target.table_name, @extschema@.quote_collab_column(target, 'id'),
        @extschema@.quote_collab_column(target, 'tenant'),
        case locking when 'for no key update' then 'for no key update' when 'for update' then 'for update' else '' end)
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
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
    return (@extschema@.require_quote_row(target, quote_id, '') ->> (target.columns ->> 'version'))::integer = expected_version;
end $$;
create or replace function check_quote_line_version(line_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return (@extschema@.require_quote_row(target, line_id, '') ->> (target.columns ->> 'version'))::integer = expected_version;
end $$;
create function refuse_quote_value(target quote_collab_settings, changes jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    field text;
    record_definition text;
begin
    for field in select key from jsonb_object_keys(changes) key order by key loop
        record_definition := @extschema@.quote_changes_record(target, jsonb_build_object(field, null));
        begin
            execute format('select from jsonb_to_record($1) as r(%s)', record_definition) using changes;
        exception when data_exception then
            raise exception 'the value of field "%" does not fit its column', field using errcode = sqlstate,
                detail = format('The column is: %s.', record_definition);
        end;
    end loop;
end $$;
comment on function refuse_quote_value(quote_collab_settings, jsonb) is 'refuses the field of a change set whose value is of another type';
create or replace function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    coerced jsonb := '{}'::jsonb;
begin
    if record_definition is not null then
        begin
            execute format('select to_jsonb(r) from jsonb_to_record($1) as r(%s)', record_definition) into coerced using changes;
        exception when data_exception then
            perform @extschema@.refuse_quote_value(target, changes);
            raise;
        end;
    end if;
    return coerced;
end $$;
create or replace function apply_quote_changes(target quote_collab_settings, row_id uuid, changes jsonb, derived jsonb, path text) returns jsonb
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
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    perform set_config('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')), true);
    execute format('update %I.%I t set %s %s where t.%s = $1 returning to_jsonb(t)',
        target.table_schema, target.table_name, assignments,
        case when record_definition is null then '' else format('from jsonb_to_record($2) as r(%s)', record_definition) end,
        @extschema@.quote_collab_column(target, 'id'))
    into updated using row_id, changes;
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role.';
    end if;
    return coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
end $$;
comment on function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, text) is 'updates one row of an attached table from a change set';

-- 71_update_quote.sql
create function save_quote(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
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
        quote := @extschema@.apply_quote_changes(header, quote_id, fields, derived, path);
    end if;
    new_version := (quote ->> (header.columns ->> 'version'))::integer;
    success := true;
    conflicts := '[]';
end $$;
comment on function save_quote(uuid, integer, jsonb, uuid, text, text) is 'saves fields of a quote for a caller with that search path';
create or replace function update_quote_with_version_check(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language sql
begin atomic
    select s.success, s.quote, s.previous_version, s.new_version, s.conflicts
    from @extschema@.save_quote(quote_id, expected_version, changes, session_id, on_conflict, pg_catalog.current_setting('search_path')) s;
end;

-- 72_update_quote_line.sql
create or replace function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sum_expression text;
    derived jsonb := '{}'::jsonb;
begin
    if not (header.columns ? 'subtotal' and line.columns ? 'line_amount') then
        return @extschema@.find_quote_row(header, quote_id, '');
    end if;
    sum_expression := format('(select coalesce(sum(l.%s), 0) from %I.%I l where l.%s = t.%s)',
        @extschema@.quote_collab_column(line, 'line_amount'), line.table_schema, line.table_name,
        @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(header, 'id'));
    derived := jsonb_build_object(header.columns ->> 'subtotal', sum_expression);
    if header.columns ? 'total_amount' then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, sum_expression, '{}'::jsonb));
    end if;
    return @extschema@.apply_quote_changes(header, quote_id, '{}'::jsonb, derived, path);
end $$;
comment on function recalculate_quote_totals(quote_collab_settings, quote_collab_settings, uuid, text) is 'subtotal and total of a quote from its lines';
create function save_quote_line(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
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
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
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
            @extschema@.quote_author_column(line) || @extschema@.derived_line_columns(line, fields), path);
    end if;
    new_version := (quote_line ->> (line.columns ->> 'version'))::integer;
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    success := true;
    conflicts := '[]';
end $$;
comment on function save_quote_line(uuid, integer, jsonb, uuid, text, text) is 'saves fields of a line for a caller with that search path';
create or replace function update_quote_line_with_version_check(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language sql
begin atomic
    select s.success, s.quote_line, s.previous_version, s.new_version, s.conflicts, s.quote
    from @extschema@.save_quote_line(line_id, expected_version, changes, session_id, on_conflict, pg_catalog.current_setting('search_path')) s;
end;

-- 75_sessions.sql
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
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
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
    if known.known and current_setting('quote_collab.verified_user', true) = who::text then
        user_name := known.user_name;
        user_email := known.user_email;
    end if;
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
              and ($7 is null or s.user_id = $7) and ($9 or s.tenant_id = $8)
            for no key update)
        update %1$s s set last_heartbeat = clock_timestamp(), current_line_id = $2, current_field = $3, cursor_position = $4,
            is_editing = coalesce($5, s.is_editing), status = coalesce($6, s.status)
        from before b where s.id = b.id
        returning (b.current_line_id, b.current_field, b.cursor_position, b.is_editing, b.status)
            is distinct from (s.current_line_id, s.current_field, s.cursor_position, s.is_editing, s.status)$query$,
        @extschema@.quote_session_target())
    into moved using session_id, current_line_id, current_field, cursor_position, is_editing, status,
        @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
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
    execute format('delete from %s s where s.session_id = $1 and ($2 is null or s.user_id = $2) and ($4 or s.tenant_id = $3) returning s.id',
        @extschema@.quote_session_target())
    into gone using session_id, @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
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
    perform @extschema@.require_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '');
    return query execute format('select s.* from %s s where s.quote_id = $1 and ($3 or s.tenant_id = $2)
        and s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl() order by s.joined_at, s.session_id',
        @extschema@.quote_session_target())
    using quote_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
end $$;

-- 77_history.sql
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
        where c.quote_id = $1 and ($4 or c.tenant_id = $2)
        order by c.position desc, c.id desc limit $3$query$, author.name_expression,
        @extschema@.quote_collab_home(), author.join_clause)
    using quote_id, @extschema@.current_quote_tenant(), max_rows, @extschema@.sees_every_quote_tenant();
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
    return (@extschema@.require_quote_row(header, quote_id, '') ->> (header.columns ->> 'version'))::integer > since_version;
end $$;
create or replace function quote_is_accessible(quote_id uuid) returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.find_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '') is not null $$;
create or replace function get_quote(quote_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(header);
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    lines jsonb;
begin
    execute format('select jsonb_agg(to_jsonb(l) order by %s) from %I.%I l where l.%s = $1 and l.%s = $2',
        coalesce('l.' || @extschema@.quote_collab_column(line, 'line_number') || ', ', '') || 'l.' || @extschema@.quote_collab_column(line, 'id'),
        line.table_schema, line.table_name, @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(line, 'tenant'))
    into lines using quote_id, (quote ->> (header.columns ->> 'tenant'))::uuid;
    return jsonb_build_object('quote', quote, 'lines', coalesce(lines, '[]'));
end $$;
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
        where @extschema@.quote_columns_readable(p.header, '{id,tenant,quote_number,customer,status,total_amount,version}'::text[]);
    end if;
    return query execute format('select x.item from (%s) x (item, place%s) order by x.place%s limit $2',
        coalesce(query, 'select null::jsonb, 0, 0 where false'), case when alone then '' else ', pair' end, case when alone then '' else ', x.pair' end)
    using tenant, max_rows;
end $$;

-- 80_events.sql
create function quote_feed_snapshot() returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot;
    next bigint;
begin
    if pg_is_in_recovery() then
        raise exception 'the event feed cannot be read on a standby' using errcode = 'object_not_in_prerequisite_state',
            detail = 'A standby does not know which transactions are running.', hint = 'Read it on the primary.';
    end if;
    seen := pg_current_snapshot();
    next := @extschema@.next_quote_transaction();
    select format('%s:%s:%s', coalesce((array_agg(r.xid order by r.xid))[1]::text, next::text), next, string_agg(r.xid::text, ',' order by r.xid))::pg_snapshot
    into seen
    from (select pg_snapshot_xip(seen) union select o.xid from pg_current_xact_id_if_assigned() o (xid) where o.xid is not null
        union select n::text::xid8 from generate_series(pg_snapshot_xmax(seen)::text::bigint, next - 1) n) r (xid);
    return seen;
end $$;
comment on function quote_feed_snapshot() is 'snapshot of the event feed: what is over';
create or replace function quote_events_cursor() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    now_at numeric := extract(epoch from clock_timestamp());
begin
    perform @extschema@.flush_quote_feed();
    -- Who is running may have changed something long ago.
    return concat_ws('/', '1', @extschema@.quote_cluster_identifier(), seen, now_at,
        case when pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) then now_at else 0 end);
end $$;
create or replace function parse_quote_cursor(cursor text) returns quote_cursor
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
        -- Times that are none, or that no timestamp holds.
        if not (parsed.prev_at between 0 and 1e11 and parsed.floor_at between 0 and 1e11 and coalesce(parsed.cur_at, 0) between 0 and 1e11) then
            raise invalid_text_representation;
        end if;
    exception when data_exception then
        raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
            hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
    end;
    if parsed.origin <> @extschema@.quote_cluster_identifier() then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It was given by another cluster.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    if pg_snapshot_xmax(coalesce(parsed.cur, parsed.prev))::text::bigint > @extschema@.next_quote_transaction() then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It is ahead of this cluster, which lost its end in a failover.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    return parsed;
end $$;
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    perform @extschema@.flush_quote_feed();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            -- The clock may have been set back since: changes were then made before the floor.
            c := row(c.origin, c.prev, c.prev_at, least(c.floor_at, extract(epoch from clock_timestamp())), seen,
                extract(epoch from clock_timestamp()), 0)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
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
              and v.origin = $1 and v.changed_at >= $8 and v.position > $7 and pg_visible_in_snapshot(v.xid, $5)
            union all
            select v.* from %1$I.v_quote_change_events v
            where v.xid >= pg_snapshot_xmax($2) and v.xid < pg_snapshot_xmax($5)
              and v.origin = $1 and v.changed_at >= $8 and v.position > $7 and pg_visible_in_snapshot(v.xid, $5)
            order by position limit $9) e %2$s
        order by e.position$query$, @extschema@.quote_collab_home(), author.join_clause, author.name_expression)
    using c.origin, c.prev, c.prev_at, c.floor_at, c.cur, c.cur_at, c.position,
        to_timestamp(c.floor_at) - interval '1 day', max;
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
    -- The clock may have been set back since: changes were then made before the floor.
    floor_at := least(case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end, clock_timestamp());
    if last.origin <> here then
        prev := '3:3:';
        prev_at := '-infinity';
        floor_at := '-infinity';
    end if;
    cur := @extschema@.quote_feed_snapshot();
    execute format($query$
        insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, xids, origin)
        select $1, $2, $3, $4, $5, $6, x.xids, $7
        from (select array_agg(distinct c.xid) as xids from (
            select c.xid from %2$s c where c.xid = any (array(select pg_snapshot_xip($2))) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3)
            union all
            select c.xid from %2$s c where c.xid >= pg_snapshot_xmax($2) and c.xid < pg_snapshot_xmax($3) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3)) c) x
        where x.xids is not null
        returning no$query$, @extschema@.quote_relay_table('quote_relay_batch'), @extschema@.quote_relay_table('quote_changes'))
    into opened
    using last.no + 1, prev, cur, prev_at, clock_timestamp(), floor_at, here, floor_at - interval '1 day';
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
                where w.xid = x.xid and w.position > $2 and w.origin = $3 and w.changed_at >= $4
                order by w.position limit $5) v
            order by v.position limit $5) e %2$s
        order by e.position$query$, @extschema@.quote_relay_table('v_quote_change_events'), author.join_clause, author.name_expression)
    using b.xids, after_position, b.origin, b.floor_at - interval '1 day', max;
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
        where e.quote_id = $1 and ($11 or e.tenant_id = $2) and e.origin = $3 and e.changed_at >= $4
          and not pg_visible_in_snapshot(e.xid, $5)
          and (b.no, e.position) > ($6, $7) and (b.no, e.position) <= ($8, $9)
        order by b.no, e.position limit $10$query$,
        @extschema@.quote_relay_table('v_quote_change_events'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression)
    using quote_id, @extschema@.current_quote_tenant(), start.origin, start.floor_at - interval '1 day', start.prev,
        after_batch, after_position, until_batch, until_position, max, @extschema@.sees_every_quote_tenant();
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
    execute @extschema@.quote_block_query(form, @extschema@.quote_history_query())
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
create or replace function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
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
        select * from (select lag(s.cur) over chain as before_cur, lag(s.origin) over chain as before_origin, s.* from %s s window chain as (order by s.no)) x
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
    begin
        -- What is wrong with the history is verify_quote_history()'s to tell, and must not stop the rest.
    begin
        sealed := @extschema@.seal_quote_history();
    exception when object_not_in_prerequisite_state then
        raise warning '%', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    exception when object_not_in_prerequisite_state then
        raise warning 'quote history is not sealed' using hint = 'See what select * from verify_quote_history() finds.';
    end;
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;

-- 91_archive.sql
create or replace function create_quote_changes_archive(log regclass) returns regclass
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
    if not @extschema@.quote_relation_stands(archive, 'p'::"char", log_owner) then
        execute format('create table %s (like %s including all) partition by range (changed_at)', archive, log);
        execute format('comment on table %s is %L', archive, 'audit log of earlier months, moved here by archive_quote_changes(); append-only');
        execute format('alter table %s owner to %I', archive, log_owner);
        perform @extschema@.close_quote_table(archive::regclass);
        perform @extschema@.protect_quote_table(archive::regclass, 'quote_changes_tenant_isolation'::name);
        for privilege in
            select @extschema@.quote_grantee(acl.grantee) as role
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
create or replace function quote_changes_months_before(log regclass, until timestamptz)
returns table (month regclass, bounds text, month_start timestamptz, month_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
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
create or replace function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
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
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
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

-- 92_doctor.sql
create function quote_collab_unchecked(check_name text, reason text, hint text) returns quote_collab_check
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select (check_name, 'warning', 'cannot be checked: ' || reason, hint)::@extschema@.quote_collab_check $$;
comment on function quote_collab_unchecked(text, text, text) is 'a line of quote_collab_doctor() about what it may not see';
create function quote_attach_statement(settings quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings;
    line @extschema@.quote_collab_settings;
    options jsonb;
begin
    select (p.header).* into header from @extschema@.quote_collab_pairs() p
    where ((p.header).header_schema, (p.header).header_table) = (settings.header_schema, settings.header_table);
    line := @extschema@.quote_collab_partner(header);
    if header.table_name is null or line.table_name is null then
        return 'select @extschema@.attach_quote_collaboration();';
    end if;
    options := jsonb_strip_nulls(jsonb_build_object(
        'columns', @extschema@.quote_chosen_columns(header, header), 'line_columns', @extschema@.quote_chosen_columns(line, header),
        'ignored_columns', nullif(to_jsonb(header.ignored_columns), '[]'), 'users', header.relations -> 'users',
        'customers', header.relations -> 'customers', 'system_user_id', header.system_user_id, 'truncate', nullif(header.truncation, 'refuse'),
        'replicated_history', nullif(header.replicated_history, false), 'archive_after', header.archive_after, 'drop_after', header.drop_after));
    return format('select @extschema@.attach_quote_collaboration(%L, %L, %L);', format('%I.%I', header.table_schema, header.table_name),
        format('%I.%I', line.table_schema, line.table_name), options);
end $$;
comment on function quote_attach_statement(quote_collab_settings) is 'statement that attaches a pair of tables again as it was attached';
create function quote_attach_statement() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.quote_attach_statement(s) from @extschema@.quote_collab_settings s order by s.attached_at, s.table_schema, s.table_name limit 1 $$;
comment on function quote_attach_statement() is 'statement that attaches the first pair of tables again, and with it what all pairs share';
create function quote_chosen_columns(settings quote_collab_settings, header quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass := @extschema@.quote_collab_table(settings);
    chosen jsonb := (select jsonb_object_agg(c.key, c.value) from jsonb_each_text(settings.columns) c
        where exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped));
begin
    select jsonb_object_agg(c.key, c.value) into chosen from jsonb_each_text(chosen) c
    where c.value is distinct from (@extschema@.find_quote_columns(target, settings.entity, '{}'::jsonb,
        @extschema@.quote_reference_candidates(target, @extschema@.quote_collab_table(header), (header.columns ->> 'id')::name)) ->> c.key);
    return chosen;
exception when undefined_column then
    return chosen;
end $$;
comment on function quote_chosen_columns(quote_collab_settings, quote_collab_settings) is 'columns of an attached table that must be named to attach it again';
create function quote_collab_triggers_found(settings quote_collab_settings)
returns table (relation regclass, is_partition boolean, name name, is_there boolean, is_ours boolean, firing "char")
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, c.oid <> target.oid, t.name, g.oid is not null,
        g.tgfoid = t.function and g.tgtype = t.type and g.tgqual is null and cardinality(g.tgattr::smallint[]) = 0 and not g.tgdeferrable
            and g.tgargs = case when t.argument is null then '' else convert_to(t.argument, 'UTF8') || '\x00' end, g.tgenabled
    from (select @extschema@.quote_collab_table(settings)::oid) target (oid)
    cross join lateral (select target.oid union select p.relid from pg_partition_tree(target.oid) p) part (oid)
    join pg_class c on c.oid = part.oid and c.relkind in ('r', 'p')
    join @extschema@.quote_triggers(settings) t on c.oid = target.oid or t.on_partitions
    left join pg_trigger g on g.tgrelid = c.oid and g.tgname = t.name
$$;
comment on function quote_collab_triggers_found(quote_collab_settings) is 'doctor: triggers of an attached table beside what attach creates';
create or replace function quote_collab_doctor_tables() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    s @extschema@.quote_collab_settings;
    target regclass;
    name text;
    missing text;
    repair text;
begin
    for s in select * from @extschema@.quote_collab_settings order by attached_at loop
        name := format('%I.%I', s.table_schema, s.table_name);
        target := @extschema@.quote_collab_table(s);
        return next @extschema@.quote_collab_verdict('table exists: ' || name, target is not null, 'error', 'the attached table is gone',
            format('select @extschema@.detach_quote_collaboration(%s);',
                'quotes => ' || quote_literal(@extschema@.quote_collab_table(@extschema@.quote_collab_partner(s))::text)));
        continue when target is null;
        repair := @extschema@.quote_attach_statement(s);
        select string_agg(c.value, ', ') into missing from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing), repair);
        return query select * from @extschema@.quote_collab_doctor_triggers(s, repair);
        select string_agg(g.tgname, ', ') into missing from pg_trigger g
        where g.tgrelid = target and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 19 = 19
            and g.tgname > (select t.name from @extschema@.quote_triggers(s) t where t.type = 19);
        return next @extschema@.quote_collab_verdict('version stamped last: ' || name, missing is null, 'warning',
            format('these triggers may change a row after its version was decided: %s', missing),
            'Rename them so that they sort before trg_increment.');
        return next @extschema@.quote_collab_verdict('row security on the table: ' || name,
            (select c.relrowsecurity and c.relforcerowsecurity from pg_class c where c.oid = target), 'warning',
            'only the functions of the extension keep tenants apart here; SQL users with rights on the table see all',
            format('alter table %s enable row level security, force row level security; and a policy on the tenant', name));
    end loop;
end $$;
create function quote_collab_doctor_triggers(s quote_collab_settings, repair text) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.%I', s.table_schema, s.table_name);
    missing text;
    unguarded text;
    foreign_ones text;
    disabled text;
begin
    select string_agg(t.name, ', ') filter (where not t.is_there and not (t.is_partition and t.name like '%truncate')),
        string_agg(t.relation::text, ', ') filter (where not t.is_there and t.is_partition and t.name like '%truncate'),
        string_agg(format('%s on %s', t.name, t.relation), ', ') filter (where not t.is_ours),
        string_agg(format('%s on %s', t.name, t.relation), ', ') filter (where t.firing <> case when s.replicated_history then 'O' else 'A' end::"char")
    into missing, unguarded, foreign_ones, disabled from @extschema@.quote_collab_triggers_found(s) t;
    return next @extschema@.quote_collab_verdict('triggers present: ' || name, missing is null, 'error',
        format('changes are not recorded, these triggers are missing: %s', missing), repair);
    return next @extschema@.quote_collab_verdict('triggers as attached: ' || name, foreign_ones is null, 'error',
        format('these triggers do something else than those that attach creates: %s', foreign_ones), repair);
    return next @extschema@.quote_collab_verdict(case when s.replicated_history then 'triggers enabled: ' else 'triggers enabled always: ' end || name,
        disabled is null, 'error', format('these triggers are disabled, or differ on replicated rows from what attach was told: %s', disabled), repair);
    return next @extschema@.quote_collab_verdict('truncate guarded on partitions: ' || name, unguarded is null, 'warning',
        format('a TRUNCATE that names one of these partitions leaves no history: %s', unguarded), repair);
end $$;
comment on function quote_collab_doctor_triggers(quote_collab_settings, text) is 'doctor: the triggers of an attached table';

-- 93_doctor_grants.sql
create function quote_own_relations(target_schema name) returns table (relation regclass, is_private boolean, is_presence boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.relation, false, t.policy = 'quote_sessions_tenant_isolation' from @extschema@.quote_tenant_tables(target_schema) t
    union all
    select c.oid, c.relkind = 'r', false from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname in ('quote_relay_batch', 'quote_relay_lease', 'quote_changes_seals', 'quote_changes_position_seq')
$$;
comment on function quote_own_relations(name) is 'doctor: history, presence, relay, seals and the sequence of positions';
create function quote_grants_on(target regclass) returns table (grantee oid, privilege text, told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.grantee, a.privilege_type, format('%s%s on %s to %s', a.privilege_type, a.attribute, target, @extschema@.quote_grantee(a.grantee)),
        format('revoke %s%s on %s %s from %s%s;', lower(a.privilege_type), a.attribute, case a.relkind when 'S' then 'sequence' else 'table' end,
            target, @extschema@.quote_grantee(a.grantee), case when a.is_grantable then ' cascade' else '' end)
    from (
        select acl.*, '' as attribute, c.relkind, c.relowner from pg_class c cross join lateral aclexplode(c.relacl) acl where c.oid = target
        union all
        select acl.*, format(' (%I)', a.attname), c.relkind, c.relowner
        from pg_class c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped cross join lateral aclexplode(a.attacl) acl where c.oid = target) a
    where a.grantee <> a.relowner
$$;
comment on function quote_grants_on(regclass) is 'doctor: privileges of others than its owner on a table or sequence';
create function quote_collab_doctor_grants(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where not r.is_presence and g.privilege in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'USAGE');
    return next @extschema@.quote_collab_verdict('log written by triggers only', names is null, 'error',
        format('somebody may write the log: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where r.is_private and g.privilege = 'SELECT';
    return next @extschema@.quote_collab_verdict('private tables read by nobody', names is null, 'warning',
        format('relay and seals are for the functions of the extension alone: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_collab_settings s
    cross join lateral @extschema@.quote_grants_on(@extschema@.quote_collab_table(s)) g
    where s.truncation = 'refuse' and g.privilege = 'TRUNCATE';
    return next @extschema@.quote_collab_verdict('truncate granted to nobody', names is null, 'warning',
        format('the trigger alone refuses what these roles may do: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_functions();
    return query select * from @extschema@.quote_collab_doctor_schemas(target_schema);
    return query select * from @extschema@.quote_collab_doctor_readers(target_schema);
end $$;
comment on function quote_collab_doctor_grants(name) is 'doctor: what is granted to whom';
create function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(p.oid::regprocedure::text, ', '), string_agg(format('revoke execute on function %s from public;', p.oid::regprocedure), ' ')
    into names, hints
    from pg_extension e
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
    join pg_proc p on p.oid = d.objid
    left join pg_init_privs i on i.classoid = 'pg_proc'::regclass and i.objoid = p.oid and i.objsubid = 0
    where e.extname = 'quote_collab_ext'
        and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl where acl.grantee = 0)
        and not exists (select from aclexplode(coalesce(i.initprivs, acldefault('f', p.proowner))) acl where acl.grantee = 0);
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('everybody may call: %s', names), hints);
    select string_agg(format('%s to %s', f.function, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke execute on function %s from %s;', f.function, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints
    from @extschema@.quote_gateway_functions() f (function) join pg_proc p on p.oid = f.function cross join lateral aclexplode(p.proacl) acl
    join pg_roles r on r.oid = acl.grantee
    where f.function::text like '%quote_relay_%' and acl.grantee <> p.proowner and not r.rolsuper
        and exists (select from @extschema@.quote_gateway_functions() g (function) where not has_function_privilege(r.oid, g.function, 'execute'));
    return next @extschema@.quote_collab_verdict('relay run by gateways only', names is null, 'warning',
        format('these roles are no gateway and may disturb it: %s', names), hints);
    select string_agg(p.oid::regprocedure::text, ', '),
        string_agg(format('alter function %s set search_path = pg_catalog, pg_temp;', p.oid::regprocedure), ' ')
    into names, hints from pg_proc p
    join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
    where p.prosecdef and not coalesce(p.proconfig::text like '%search_path=pg_catalog, pg_temp%', false);
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
comment on function quote_collab_doctor_functions() is 'doctor: who may call what';
create function quote_collab_doctor_schemas(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    trusted oid[] := array(select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes' or exists (
            select from @extschema@.quote_collab_settings s where (n.nspname, c.relname) = (s.table_schema, s.table_name) or exists (
                select from jsonb_each(s.relations) x where (n.nspname, c.relname) = (x.value ->> 'schema', x.value ->> 'table'))));
    names text;
    hints text;
begin
    select string_agg(format('%s in %I', @extschema@.quote_grantee(acl.grantee), n.nspname), ', '),
        string_agg(format('revoke create on schema %I from %s%s;', n.nspname, @extschema@.quote_grantee(acl.grantee),
            case when acl.is_grantable then ' cascade' else '' end), ' ')
    into names, hints
    from pg_namespace n cross join lateral aclexplode(n.nspacl) acl left join pg_roles r on r.oid = acl.grantee
    where n.oid in ('@extschema@'::regnamespace, (select h.oid from pg_namespace h where h.nspname = target_schema))
        and acl.privilege_type = 'CREATE' and r.rolsuper is not true and pg_has_role(r.oid, n.nspowner, 'usage') is not true
        and not exists (select from unnest(trusted) t (owner) where pg_has_role(r.oid, t.owner, 'usage'));
    return next @extschema@.quote_collab_verdict('schemas closed to others', names is null, 'warning',
        format('these roles may plant objects under names that attach, archive and maintenance use: %s', names), hints);
end $$;
comment on function quote_collab_doctor_schemas(name) is 'doctor: who may create objects beside ours';
create function quote_collab_doctor_readers(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    headers regclass[] := array(select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)) t (oid)
        where s.entity = 'QUOTE' and t.oid is not null);
    copied text := concat_ws(', ', @extschema@.quote_history_relations(target_schema),
        (select r.relation::text from @extschema@.quote_own_relations(target_schema) r where r.is_presence));
    names text;
    hints text;
begin
    select string_agg(@extschema@.quote_grantee(h.grantee), ', '),
        string_agg(format('revoke all on %1$s from %2$s; revoke execute on function @extschema@.cleanup_stale_quote_sessions() from %2$s;',
            copied, @extschema@.quote_grantee(h.grantee)), ' ')
    into names, hints
    from (
        select g.grantee, coalesce(r.rolname, 'public') as role, bool_or(c.relname = 'quote_changes' and g.privilege = 'SELECT') as reads
        from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral @extschema@.quote_grants_on(c.oid::regclass) g
        left join pg_roles r on r.oid = g.grantee
        where n.nspname = target_schema
            and (c.relname, g.privilege) in (('quote_changes', 'SELECT'), ('active_quote_sessions', 'INSERT'))
            and r.rolsuper is not true and (r.oid is null or not pg_has_role(r.oid, c.relowner, 'usage')
                and not has_function_privilege(r.oid, '@extschema@.quote_relay_lease(text, interval)', 'execute'))
        group by 1, 2) h
    where headers <> '{}' and not exists (select from unnest(headers) t (oid)
        where has_any_column_privilege(h.role, t.oid, 'select') or not h.reads and has_any_column_privilege(h.role, t.oid, 'update'));
    return next @extschema@.quote_collab_verdict('history read by readers of quotes', names is null, 'warning',
        format('these roles may read no quotes any more, but still their history or presence: %s', names), hints);
end $$;
comment on function quote_collab_doctor_readers(name) is 'doctor: rights on history without rights on quotes';

-- 93_doctor_history.sql
create function quote_rows_all_seen(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(has_table_privilege(target, 'select') and not row_security_active(target), false) $$;
comment on function quote_rows_all_seen(regclass) is 'true when the caller may read a table and no row security hides a row from him';
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    repair text := @extschema@.quote_attach_statement();
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', repair);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month',
        format('quote_changes_%s', to_char(now() at time zone 'UTC', 'YYYY_MM')) = any (partitions), 'error',
        'rows go to the default partition', 'select @extschema@.quote_collab_maintenance();');
    return next @extschema@.quote_collab_verdict('partition of next month',
        format('quote_changes_%s', to_char((now() + interval '1 month') at time zone 'UTC', 'YYYY_MM')) = any (partitions),
        'warning', 'nobody creates partitions ahead', 'select @extschema@.quote_collab_maintenance(); and preload the library or run it from cron');
    return next @extschema@.quote_collab_verdict('positions left',
        (select coalesce(q.last_value, 0) < 4000000000000000000 from pg_sequences q
            where q.schemaname = target_schema and q.sequencename = 'quote_changes_position_seq'),
        'error', 'the sequence of positions nears its end', 'Start a new log: detach, rename quote_changes, attach.');
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        'archived history is not as it was sealed, and is kept although drop_after lets it go',
        'See what select * from verify_quote_history() finds, keep its findings, and take the partitions away by hand.');
    return next @extschema@.quote_collab_verdict('history bounded', cardinality(partitions) < 61, 'warning', 'the log holds more than 5 years',
        'select @extschema@.archive_quote_changes(''24 months'');');
    if not has_function_privilege('@extschema@.quote_seal_key_problem()', 'execute') then
        return next @extschema@.quote_collab_unchecked('seals signed as configured', 'the key is kept from this role',
            format('grant execute on function @extschema@.quote_seal_key_problem() to %I;', current_user));
    else
        return next @extschema@.quote_collab_verdict('seals signed as configured', @extschema@.quote_seal_key_problem() is null, 'error',
            format('seals are not signed with quote_collab.seal_key: %s', @extschema@.quote_seal_key_problem()),
            'Set it to what openssl rand -base64 32 prints, preload the library and restart.');
    end if;
end $$;
comment on function quote_collab_doctor_history(name) is 'doctor: the audit log';
create function quote_collab_doctor_rows(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hidden text;
    found_rows boolean := false;
    at timestamptz;
    lag interval;
begin
    select string_agg(c.relname, ', ' order by c.relname) into hidden from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and not @extschema@.quote_rows_all_seen(c.oid::regclass) and c.relname in
        ('quote_changes', 'quote_changes_default', 'quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease', 'active_quote_sessions');
    if hidden is not null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('rows of %s are hidden from %s', hidden, current_user),
            'Run it as a superuser.')).* from unnest(array['default partition empty', 'relay keeps up', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    execute format('select exists (select from %I.quote_changes_default)', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('default partition empty', not found_rows, 'warning',
        'rows lie in the default partition: a month had no partition when they were written',
        'Move them out, create the partition, insert them again.');
    execute format('select max(b.cur_at) from %I.quote_relay_batch b where b.no > 0', target_schema) into at;
    execute format('select now() - max(c.changed_at) from %I.quote_changes c
        where c.changed_at > now() - interval ''1 day'' and c.changed_at > $1 + interval ''30 seconds''
        and c.conflict_resolution is distinct from ''REJECTED''', target_schema) into lag using coalesce(at, '-infinity');
    return next @extschema@.quote_collab_verdict('relay keeps up', lag is null or lag < interval '30 seconds', 'warning',
        format('the newest change is %s old and no gateway has cut a batch since', lag), 'Look at the /health of the gateway.');
    execute format('select l.expires_at from %I.quote_relay_lease l', target_schema) into at;
    return next @extschema@.quote_collab_verdict('a gateway is connected', at > now(), 'warning',
        'no gateway holds the lease: events wait in quote_changes', 'Start the gateway.');
    -- Sessions are unlogged: a standby has none.
    found_rows := false;
    if not pg_is_in_recovery() then
        execute format('select exists (select from %I.active_quote_sessions x where x.last_heartbeat < now() - @extschema@.quote_session_ttl() * 3)',
            target_schema) into found_rows;
    end if;
    return next @extschema@.quote_collab_verdict('stale sessions swept', not found_rows, 'warning', 'nobody calls quote_collab_maintenance()',
        'Preload the library, run a gateway, or call select quote_collab_maintenance(); from cron.');
    execute format('select exists (select from %1$I.quote_changes c where c.changed_at between now() - interval ''1 day'' and now() - interval ''5 minutes''
        and not pg_visible_in_snapshot(c.xid, (select s.cur from %1$I.quote_changes_seals s order by s.no desc limit 1)))', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed',
        'select @extschema@.seal_quote_history();');
end $$;
comment on function quote_collab_doctor_rows(name) is 'doctor: what the rows of history, presence and relay tell';

-- 93_doctor_objects.sql
create function explain_quote_query(query text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    line text;
    plan text := '';
begin
    for line in execute 'explain (verbose, costs off) ' || query loop
        plan := concat(plan, line, chr(10));
    end loop;
    return plan;
end $$;
comment on function explain_quote_query(text) is 'doctor: the plan of a query, under the rights of the caller';
create function quote_view_differs(target regclass, query text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text := (select string_agg(format('x.%I', a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped);
begin
    for attempt in 1 .. 3 loop
        if @extschema@.explain_quote_query(format('select %s, x.* from %s x', names, target))
            = @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, query))
        then
            return false;
        end if;
    end loop;
    return true;
exception when undefined_column or ambiguous_column then
    return true;
end $$;
comment on function quote_view_differs(regclass, text) is 'doctor: true when a view shows something else than a query';
create function quote_view_strangers(target regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(pg_describe_object(d.refclassid, d.refobjid, 0), ', ')
    from pg_rewrite r
    cross join lateral (select distinct p.refclassid, p.refobjid from pg_depend p where p.classid = 'pg_rewrite'::regclass and p.objid = r.oid) d
    left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
    left join pg_proc f on f.oid = case d.refclassid when 'pg_proc'::regclass then d.refobjid else o.oprcode end
    left join pg_roles owner on owner.oid = f.proowner
    left join pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
    left join pg_namespace n on n.oid = c.relnamespace
    where r.ev_class = target and r.rulename = '_RETURN' and (not owner.rolsuper or c.oid <> target and not exists (
        select from @extschema@.quote_collab_settings s
        where n.nspname = s.log_schema and c.relname in ('quote_changes', 'quote_changes_archive', 'active_quote_sessions')
            or (n.nspname, c.relname) = (s.table_schema, s.table_name)
            or exists (select from jsonb_each(s.relations) x where (n.nspname, c.relname) = (x.value ->> 'schema', x.value ->> 'table'))))
$$;
comment on function quote_view_strangers(regclass) is 'doctor: functions and tables of a view that attach does not put there';
create function quote_collab_doctor_objects(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    repair text := @extschema@.quote_attach_statement();
    hints text;
    names text;
    item record;
    wrong text[] := '{}'::text[];
begin
    select string_agg(v.view_name, ', ') into names from @extschema@.quote_view_queries(target_schema) v
    where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = v.view_name and c.relkind = 'v');
    return next @extschema@.quote_collab_verdict('views present', names is null, 'error', format('these views are missing: %s', names), repair);
    select string_agg(c.oid::regclass::text, ', ') into names
    from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
    where c.relkind = 'v' and not coalesce(c.reloptions @> '{security_invoker=true}', false);
    return next @extschema@.quote_collab_verdict('views ask as the caller', names is null, 'error',
        format('these views show what their owner may see: %s', names), repair);
    -- Sessions are unlogged: a standby cannot plan what reads them.
    begin
        for item in
            select c.oid::regclass as relation, v.query, @extschema@.quote_view_strangers(c.oid::regclass) as strangers
            from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
            join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
            where c.relkind = 'v' and (v.view_name <> 'v_active_quote_collaborators' or not pg_is_in_recovery())
        loop
            if item.strangers is not null then
                wrong := wrong || format('%s (%s)', item.relation, item.strangers);
            elsif @extschema@.quote_view_differs(item.relation, item.query) then
                wrong := wrong || item.relation::text;
            end if;
        end loop;
        return next @extschema@.quote_collab_verdict('views as attached', wrong = '{}', 'error',
            format('these views show something else than those that attach creates: %s', array_to_string(wrong, ', ')), repair);
    exception when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked('views as attached', sqlerrm, 'Run it as a superuser.');
    end;
    select string_agg(format('%s on %s', r.rulename, c.oid::regclass), ', '), string_agg(format('drop rule %I on %s;', r.rulename, c.oid::regclass), ' ')
    into names, hints from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    where r.rulename <> '_RETURN' and (n.nspname = target_schema and c.relname in (select v.view_name from @extschema@.quote_view_queries(target_schema) v)
        or c.oid in (select l.relation from @extschema@.quote_own_relations(target_schema) l)
        or c.oid in (select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)::oid
            union select p.relid from pg_partition_tree(@extschema@.quote_collab_table(s)) p) t (oid)));
    return next @extschema@.quote_collab_verdict('no rules', names is null, 'error',
        format('these rules turn statements into others: %s', names), hints);
end $$;
comment on function quote_collab_doctor_objects(name) is 'doctor: views and rules';

-- 93_doctor_security.sql
create or replace function quote_collab_doctor_security(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(c.oid::regclass::text, ', '),
        string_agg(format('alter table %s enable row level security, force row level security;', c.oid::regclass), ' ')
    into names, hints from pg_class c
    where c.oid in (select t.relation from @extschema@.quote_tenant_tables(target_schema) t
            union select s.oid from pg_class s join pg_namespace n on n.oid = s.relnamespace
            where n.nspname = target_schema and s.relname = 'quote_changes_seals')
        and not (c.relrowsecurity and c.relforcerowsecurity);
    return next @extschema@.quote_collab_verdict('row security forced everywhere', names is null, 'error',
        format('not enabled and forced on: %s', names), hints);
    select string_agg(t.relation::text, ', '), string_agg(format('select @extschema@.protect_quote_table(%L, %L);', t.relation, t.policy), ' ')
    into names, hints from @extschema@.quote_tenant_tables(target_schema) t
    where not @extschema@.quote_table_is_protected(t.relation, t.policy);
    return next @extschema@.quote_collab_verdict('tenant policies present', names is null, 'error',
        format('the policy that compares the tenant is missing or altered on: %s', names), hints);
    select string_agg(format('%s on %s', p.polname, p.polrelid::regclass), ', '),
        string_agg(format('drop policy %I on %s;', p.polname, p.polrelid::regclass), ' ')
    into names, hints from pg_policy p join @extschema@.quote_own_relations(target_schema) r on r.relation = p.polrelid
    where p.polpermissive and not exists (
        select from @extschema@.quote_tenant_tables(target_schema) t where t.relation = p.polrelid and t.policy = p.polname);
    return next @extschema@.quote_collab_verdict('no other policy', names is null, 'warning',
        format('permissive policies of others let rows through: %s', names), hints);
    select string_agg(format('%s on %s', g.tgname, g.tgrelid::regclass), ', '),
        string_agg(format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass), ' ')
    into names, hints from pg_trigger g join @extschema@.quote_own_relations(target_schema) r on r.relation = g.tgrelid
    where not g.tgisinternal and g.tgparentid = 0;
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log, where events would tell as much: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_caller(target_schema);
end $$;
comment on function quote_collab_doctor_security(name) is 'doctor: row security of history and presence';
create function quote_collab_doctor_caller(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    becomes text := case when current_setting('server_version_num')::integer < 160000 then 'MEMBER' else 'SET, MEMBER WITH ADMIN OPTION' end;
    me pg_roles := (select r from pg_roles r where r.rolname = session_user);
    names text;
    hints text;
begin
    return next @extschema@.quote_collab_verdict('this role is held to its tenant', not (me.rolsuper or me.rolbypassrls), 'warning',
        format('%s is not held by row security', session_user), 'Connect applications as a role without SUPERUSER and BYPASSRLS.');
    select string_agg(r.rolname, ', ') into names from pg_roles r
    where (r.rolsuper or r.rolbypassrls) and r.oid <> me.oid and not me.rolsuper and pg_has_role(me.oid, r.oid, becomes);
    select string_agg(distinct format('revoke %I from %I;', g.rolname, session_user), ' ') into hints
    from pg_auth_members m join pg_roles g on g.oid = m.roleid
    where m.member = me.oid and exists (select from pg_roles r where (r.rolsuper or r.rolbypassrls) and pg_has_role(g.oid, r.oid, becomes));
    return next @extschema@.quote_collab_verdict('this role becomes no other that sees all', names is null, 'warning',
        format('%s can become, by SET ROLE, what row security does not hold: %s', session_user, names), hints);
    return next @extschema@.quote_collab_verdict('this role does not own the log', not exists (
            select from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = target_schema and c.relname = 'quote_changes' and pg_has_role(me.oid, c.relowner, 'member')), 'warning',
        format('%s may change the log and its policies', session_user), 'Connect applications as a role that owns nothing.');
end $$;
comment on function quote_collab_doctor_caller(name) is 'doctor: the rights of the connected role';

-- 93_doctor_tenants.sql
create or replace function quote_collab_doctor_tenants() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    guard jsonb;
    verified boolean;
    guarded boolean;
begin
    if not has_function_privilege('@extschema@.quote_tenant_guard()', 'execute') then
        return next @extschema@.quote_collab_unchecked('tenant guarded as configured', 'settings and keys are kept from this role',
            format('grant execute on function @extschema@.quote_tenant_guard() to %I;', current_user));
        return query select * from @extschema@.quote_collab_doctor_tenant_roles(
            exists (select from pg_settings s where s.name = 'quote_collab.tenant_source' and s.setting = 'verified'));
        return;
    end if;
    guard := @extschema@.quote_tenant_guard();
    verified := (guard ->> 'verified')::boolean;
    guarded := (guard ->> 'guarded')::boolean;
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
create or replace function quote_collab_doctor_tenant_roles(verified boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select r.oid from pg_roles r
        where not r.rolsuper and has_function_privilege(r.oid, '@extschema@.quote_relay_lease(text, interval)', 'execute'));
    setters oid[] := '{}'::oid[];
    names text;
    hints text;
begin
    setters := array(select acl.grantee from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl
        left join pg_roles r on r.oid = acl.grantee
        where p.parname = 'app.current_tenant_id' and acl.privilege_type = 'SET' and r.rolsuper is not true);
    select string_agg(distinct @extschema@.quote_grantee(setter), ', '),
        string_agg(distinct format('revoke set on parameter app.current_tenant_id from %s;', @extschema@.quote_grantee(setter)), ' ')
    into names, hints from unnest(setters) setter where setter <> all (gateways);
    return next @extschema@.quote_collab_verdict('tenant set by gateways only', names is null, 'warning',
        format('these roles may set any tenant: %s', names), hints);
    -- quote_collab.notify decides how listeners are woken, and nothing about tenants or keys.
    select string_agg(format('%s on %s to %s', acl.privilege_type, p.parname, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke %s on parameter %s from %s;', lower(acl.privilege_type), p.parname, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl left join pg_roles r on r.oid = acl.grantee
    where (p.parname like 'quote\_collab.%' and p.parname <> 'quote_collab.notify' or p.parname = 'app.current_tenant_id' and acl.privilege_type <> 'SET')
        and r.rolsuper is not true;
    return next @extschema@.quote_collab_verdict('settings changed by superusers only', names is null, 'error',
        format('whoever may set these chooses tenants, users or keys: %s', names), hints);
    select string_agg(@extschema@.quote_grantee(gateway), ', '),
        string_agg(format('select @extschema@.grant_quote_gateway(%L);', pg_get_userbyid(gateway)), ' ')
    into names, hints from unnest(gateways) gateway where gateway <> all (setters) and not 0::oid = any (setters);
    return next @extschema@.quote_collab_verdict('gateways may set the tenant', not verified or names is null, 'error',
        format('the gateway fails as: %s', names), hints);
    select string_agg(distinct coalesce(pg_get_userbyid(nullif(s.setrole, 0))::text, 'everybody'), ', ') into names
    from pg_db_role_setting s cross join lateral unnest(s.setconfig) setting
    where setting ~* '^(app\.current_tenant_id|quote_collab\.verified_)';
    return next @extschema@.quote_collab_verdict('no tenant by default', not verified or names is null
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.reset_val <> ''), 'warning',
        format('sessions begin with a tenant that no token vouches for: %s', coalesce(names, 'this one')),
        'alter role … reset app.current_tenant_id; and look into postgresql.conf.');
end $$;

-- 94_doctor_server.sql
create or replace function quote_collab_doctor_server() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    version integer := current_setting('server_version_num')::integer;
    oldest integer := case version / 10000 when 15 then 150014 when 16 then 160010 when 17 then 170006 when 18 then 180000 end;
    available text;
    installed text;
begin
    return next @extschema@.quote_collab_verdict('listeners are woken', current_setting('quote_collab.notify', true) is distinct from 'off', 'warning',
        'quote_collab.notify is off: readers only poll', 'alter system reset quote_collab.notify;');
    return next @extschema@.quote_collab_verdict('no old prepared transaction',
        not exists (select from pg_prepared_xacts x where x.prepared < now() - interval '1 hour'), 'warning',
        'a transaction was prepared an hour ago and holds its locks', 'commit prepared or rollback prepared; see pg_prepared_xacts.');
    return next @extschema@.quote_collab_verdict('notification queue', pg_notification_queue_usage() < 0.5, 'error',
        format('the queue of NOTIFY is %s %% full: a listener sits in an open transaction', round((pg_notification_queue_usage() * 100)::numeric)),
        'End the oldest transaction of a listening session; see pg_stat_activity.');
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
    return query select * from @extschema@.quote_collab_doctor_processes(@extschema@.quote_library_preloaded());
end $$;
create function quote_library_preloaded() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if has_function_privilege('@extschema@.quote_tenant_guard()', 'execute') then
        return (@extschema@.quote_tenant_guard() ->> 'preloaded')::boolean;
    end if;
    return (select position('quote_collab_ext' in s.setting) > 0 from pg_settings s where s.name = 'shared_preload_libraries');
end $$;
comment on function quote_library_preloaded() is 'doctor: whether the server preloads the library; null when that is kept from the caller';
create function quote_collab_doctor_processes(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    notify text := coalesce(current_setting('quote_collab.notify', true), 'auto');
    -- Of the processes of others the rest see the number alone.
    sees_processes boolean := pg_has_role('pg_read_all_stats', 'usage');
    unseen text := format('processes of others are hidden from %s', current_user);
    see_processes text := format('grant pg_read_all_stats to %I;', current_user);
    names text;
begin
    if preloaded is null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('settings of the server are hidden from %s', current_user),
            format('grant pg_read_all_settings to %I;', current_user))).* from unnest(array['library preloaded', 'transactions can be prepared']) c (name);
    else
        return next @extschema@.quote_collab_verdict('library preloaded', preloaded, 'warning',
            'a NOTIFY inside each writing transaction holds a lock of the whole cluster through the flush',
            'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
        return next @extschema@.quote_collab_verdict('transactions can be prepared',
            current_setting('max_prepared_transactions') = '0' or preloaded and notify <> 'transaction' or notify = 'off', 'warning',
            'a transaction that notifies cannot be prepared', 'Preload the library.');
    end if;
    if preloaded is not false and not pg_is_in_recovery() and not sees_processes then
        return next @extschema@.quote_collab_unchecked('background worker alive', unseen, see_processes);
    else
        return next @extschema@.quote_collab_verdict('background worker alive', not coalesce(preloaded, false) or pg_is_in_recovery()
                or exists (select from pg_stat_activity a where a.backend_type = 'quote_collab launcher'), 'error',
            'the library is preloaded and its launcher does not run', 'Look into the server''s log; raise max_worker_processes.');
    end if;
    if not sees_processes then
        return next @extschema@.quote_collab_unchecked('no hour-long writer', unseen, see_processes);
        return;
    end if;
    select string_agg(a.pid::text, ', ') into names from pg_stat_activity a
    where a.datname = current_database() and a.backend_xid is not null and a.xact_start < now() - interval '1 hour';
    return next @extschema@.quote_collab_verdict('no hour-long writer', names is null, 'warning',
        format('these sessions write in a transaction that is older than an hour: %s', names), 'select pg_terminate_backend(…);');
end $$;
comment on function quote_collab_doctor_processes(boolean) is 'doctor: the processes of the server';
create function quote_collab_doctor_part(part text, home name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    case part
        when 'server' then return query select * from @extschema@.quote_collab_doctor_server();
        when 'tables' then return query select * from @extschema@.quote_collab_doctor_tables();
        when 'history' then return query select * from @extschema@.quote_collab_doctor_history(home);
        when 'rows' then return query select * from @extschema@.quote_collab_doctor_rows(home);
        when 'objects' then return query select * from @extschema@.quote_collab_doctor_objects(home);
        when 'security' then return query select * from @extschema@.quote_collab_doctor_security(home);
        when 'grants' then return query select * from @extschema@.quote_collab_doctor_grants(home);
        when 'tenants' then return query select * from @extschema@.quote_collab_doctor_tenants();
    end case;
exception
    when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Run it as a superuser.');
    when undefined_table or undefined_column or wrong_object_type then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, @extschema@.quote_attach_statement());
end $$;
comment on function quote_collab_doctor_part(text, name) is 'doctor: one part of its checks';
create or replace function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
    part text;
begin
    return next @extschema@.quote_collab_verdict('attached', home is not null, 'error', 'quote collaboration is not attached',
        'select @extschema@.attach_quote_collaboration();');
    foreach part in array '{server,tables,history,rows,objects,security,grants,tenants}'::text[] loop
        if home is not null or part = 'server' then
            return query select * from @extschema@.quote_collab_doctor_part(part, home);
        end if;
    end loop;
end $$;
revoke execute on function quote_collab_doctor() from public;

-- 95_grants.sql
create function quote_gateway_functions() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.cleanup_stale_quote_sessions()'::regprocedure),
        ('@extschema@.quote_collab_maintenance()'::regprocedure),
        ('@extschema@.quote_presence_snapshot()'::regprocedure),
        ('@extschema@.quote_relay_identity()'::regprocedure),
        ('@extschema@.quote_relay_lease(text, interval)'::regprocedure),
        ('@extschema@.quote_relay_open_batch(bigint)'::regprocedure),
        ('@extschema@.quote_relay_last_batch()'::regprocedure),
        ('@extschema@.quote_relay_first_batch()'::regprocedure),
        ('@extschema@.quote_relay_read(bigint, bigint, integer)'::regprocedure),
        ('@extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint)'::regprocedure),
        ('@extschema@.quote_relay_position()'::regprocedure),
        ('@extschema@.quote_events_between(uuid, bigint, bigint, bigint, bigint, integer)'::regprocedure)
$$;
comment on function quote_gateway_functions() is 'functions that the role of the gateway calls';
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
    execute format('grant execute on function %s to %I', (select string_agg(f::text, ', ') from @extschema@.quote_gateway_functions() f), role);
    execute format('grant select on %1$I.quote_changes, %1$I.v_quote_changes_all, %1$I.v_quote_change_events, %1$I.v_recent_quote_changes,
        %1$I.v_active_quote_collaborators to %2$I', home, role);
    if to_regclass(format('%I.quote_changes_archive', home)) is not null then
        execute format('grant select on %I.quote_changes_archive to %I', home, role);
    end if;
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

-- The doctor asks with the rights of whoever calls it.
grant execute on function quote_collab_doctor_server(), quote_collab_doctor_tables(), quote_collab_doctor_history(name),
    quote_collab_doctor_security(name), quote_collab_doctor_tenants(), quote_collab_doctor_tenant_roles(boolean) to public;

-- Owners of attached tables go on adding partitions.
select @extschema@.grant_quote_capture();
