-- What the chain of seals hashes: rows of log and archive, read from the tables themselves and by the names of their columns.

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

-- Columns of the tables of the history, in their order, and their types: what is hashed of a row, what makes a block, and so on. Everything below reads
-- the tables by these names, and no view: those are the owner's to redefine.
create function quote_history_columns(relation text) returns table (column_name name, column_type regtype)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.name, c.type::regtype from pg_proc p cross join lateral unnest(p.proargnames, p.proargtypes::oid[]) c (name, type)
    where relation in ('quote_changes', 'quote_changes_archive') and p.pronamespace = '@extschema@'::regnamespace and p.proname = 'quote_changes_digest'
    union all
    select c.name, k.type::regtype from (values
        ('quote_changes_seals', '{no}'::name[], 'bigint'), ('quote_changes_seals', '{prev,cur}', 'pg_snapshot'),
        ('quote_changes_seals', '{floor_at,prev_at,cur_at}', 'timestamptz'), ('quote_changes_seals', '{origin,rows}', 'bigint'),
        ('quote_changes_seals', '{root,hash}', 'bytea'), ('quote_changes_seals', '{sealed_at}', 'timestamptz'), ('quote_changes_seals', '{form}', 'smallint'),
        ('quote_changes_seals', '{signature,signed_by}', 'bytea'), ('quote_changes_seals', '{released}', 'jsonb'),
        ('active_quote_sessions', '{id,tenant_id,session_id,quote_id,user_id,current_line_id}', 'uuid'),
        ('active_quote_sessions', '{user_name,user_email,current_field,status}', 'text'), ('active_quote_sessions', '{joined_at,last_heartbeat}', 'timestamptz'),
        ('active_quote_sessions', '{cursor_position}', 'integer'), ('active_quote_sessions', '{is_editing}', 'boolean'),
        ('quote_relay_batch', '{no,origin}', 'bigint'), ('quote_relay_batch', '{prev,cur}', 'pg_snapshot'),
        ('quote_relay_batch', '{prev_at,cur_at,floor_at}', 'timestamptz'), ('quote_relay_batch', '{cur_xmax}', 'xid8'),
        ('quote_relay_lease', '{singleton}', 'boolean'), ('quote_relay_lease', '{epoch,batch,position,stream_seq}', 'bigint'),
        ('quote_relay_lease', '{holder}', 'text'), ('quote_relay_lease', '{expires_at}', 'timestamptz')) k (relation, names, type)
    cross join lateral unnest(k.names) c (name)
    where k.relation = quote_history_columns.relation
$$;
comment on function quote_history_columns(text) is 'columns that a table of the history must have';

-- Tables of a history that lack columns, of those whom attach takes for its own, and what is to be done.
create function quote_columns_missing(home name, owner name) returns table (relation regclass, names text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, string_agg(format('%I %s', k.column_name, k.column_type), ', ' order by k.column_name),
        format('If a column was renamed: alter table %s rename ... to ...; if one was dropped, bring it back from a dump. If the table is none that attach made: alter table %1$s rename to %I;',
            c.oid::regclass, left('not_ours_' || c.relname, 63))
    from @extschema@.quote_home_tables() h
    join pg_class c on c.relname = h.name and c.relkind = h.kind join pg_namespace n on n.oid = c.relnamespace and n.nspname = home
    cross join lateral @extschema@.quote_history_columns(h.name::text) k
    where (pg_get_userbyid(c.relowner) = owner or @extschema@.quote_owner_trusted(c.relowner))
        and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = k.column_name and not a.attisdropped)
    group by c.oid, c.relname
$$;
comment on function quote_columns_missing(name, name) is 'tables of a history that lack columns, and what is to be done';

-- What keeps log, archive and seals from being read and sealed, each with what ends that, if attach does not: tables that are gone or of another kind,
-- columns of another type, and what is put on them and would run with the rights of the extension's owner, who alone writes the anchor.
create function quote_history_obstacles() returns table (problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with roots as (
        select c.oid, c.relname, c.relkind, case c.relname when 'quote_changes_seals' then 'r' else 'p' end::"char" as kind from pg_class c
        where c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home())
            and (c.relname in ('quote_changes', 'quote_changes_seals')
                or c.relname = 'quote_changes_archive' and @extschema@.quote_archive_stands(@extschema@.quote_collab_home()))),
    tables as (
        select r.oid, r.relname as root from roots r
        union
        select p.relid, r.relname from roots r cross join lateral pg_partition_tree(r.oid) p),
    -- Everything that runs when rows of these are read or written, with what it calls.
    made as (
        select t.oid, t.root, 'pg_constraint'::regclass::oid as classid, k.oid as objid, k.contype in ('c', 'x') as is_refused,
            case when k.coninhcount = 0 then format('alter table %s drop constraint if exists %I;', t.oid::regclass, k.conname) end as repair
        from tables t join pg_constraint k on k.conrelid = t.oid
        union all
        select t.oid, t.root, 'pg_attrdef'::regclass, f.oid, true,
            format('alter table %s alter column %I drop %s;', t.oid::regclass, a.attname, case a.attgenerated when '' then 'default' else 'expression' end)
        from tables t join pg_attrdef f on f.adrelid = t.oid join pg_attribute a on (a.attrelid, a.attnum) = (f.adrelid, f.adnum)
        union all
        select t.oid, t.root, 'pg_class'::regclass, i.indexrelid, i.indexprs is not null or i.indpred is not null, coalesce((
                select case when k.coninhcount = 0 then format('alter table %s drop constraint if exists %I;', t.oid::regclass, k.conname) end
                from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = t.oid),
            case when not exists (select from pg_inherits h where h.inhrelid = i.indexrelid) then format('drop index if exists %s;', i.indexrelid::regclass) end)
        from tables t join pg_index i on i.indrelid = t.oid
        union all
        select t.oid, t.root, 'pg_trigger'::regclass, g.oid, true, format('drop trigger if exists %I on %s;', g.tgname, t.oid::regclass)
        from tables t join pg_trigger g on g.tgrelid = t.oid where not g.tgisinternal and t.root = 'quote_changes_seals'
            and g.oid not in (select o.guard from @extschema@.quote_truncate_guards() o)
        union all
        select t.oid, t.root, 'pg_rewrite'::regclass, r.oid, true, format('drop rule if exists %I on %s;', r.rulename, t.oid::regclass)
        from tables t join pg_rewrite r on r.ev_class = t.oid where t.root = 'quote_changes_seals')
    select format('there is no table %s', k.name), null
    from unnest('{quote_changes,quote_changes_seals}'::name[]) k (name) where not exists (select from roots r where r.relname = k.name)
    union all
    select format('%s is not a table as attach made it', r.oid::regclass),
        format('alter %s %s rename to %I;', case r.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end,
            r.oid::regclass, left('not_ours_' || r.relname, 63)) from roots r where r.relkind <> r.kind
    union all
    select format('%s is not a table as attach made it', c.oid::regclass), format('alter table %s detach partition %s;', i.inhparent::regclass, c.oid::regclass)
    from tables t join pg_class c on c.oid = t.oid join pg_inherits i on i.inhrelid = t.oid
    where t.root <> 'quote_changes_seals' and c.relkind <> 'r' and not exists (select from roots r where r.oid = t.oid)
    union all
    select format('%s has no column %s of type %s', r.oid::regclass, k.column_name, k.column_type),
        format('alter table %1$s alter column %2$I type %3$s using %2$I::text::%3$s;', r.oid::regclass, k.column_name, k.column_type)
    from roots r cross join lateral @extschema@.quote_history_columns(r.relname::text) k
    join pg_attribute a on (a.attrelid, a.attname) = (r.oid, k.column_name) and not a.attisdropped
    where a.atttypid <> k.column_type and not (a.atttypid = 'varchar'::regtype and k.column_type = 'text'::regtype)
    union all
    select format('%s has a trigger, rule, check or expression that attach did not make', m.oid::regclass), m.repair
    from made m where m.root = 'quote_changes_seals' and m.is_refused
    union all
    select format('%s has a check, default or index that calls a function of %s', m.oid::regclass, r.rolname), m.repair
    from made m join pg_depend d on d.classid = m.classid and d.objid = m.objid
    left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
    join pg_proc p on p.oid = coalesce(o.oprcode::oid, case when d.refclassid = 'pg_proc'::regclass then d.refobjid end)
    join pg_roles r on r.oid = p.proowner and not r.rolsuper
$$;
comment on function quote_history_obstacles() is 'what keeps log, archive and seals from being sealed, and what takes it away';

-- Everything for which the history is not sealed and cannot be verified.
create function quote_history_faults() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with expected (name, relation) as (
        select k.name, c.oid from unnest('{quote_changes,quote_changes_archive,quote_changes_seals}'::text[]) k (name)
        join pg_class c on c.relname = k.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home())
        where k.name <> 'quote_changes_archive' or @extschema@.quote_archive_stands(@extschema@.quote_collab_home()))
    select format('%s belongs to %s, whom attach did not know', c.oid::regclass, pg_get_userbyid(c.relowner)) from expected e
    join pg_class c on c.oid = e.relation where not @extschema@.quote_owner_trusted(c.relowner)
    union all
    select f.problem from @extschema@.quote_extension_table_faults() f where f.relation = '@extschema@.quote_seal_anchor'::regclass
    union all
    select distinct o.problem from @extschema@.quote_history_obstacles() o
    union all
    select format('%s has no column %s of type %s', e.relation::regclass, k.column_name, k.column_type) from expected e
    cross join lateral @extschema@.quote_history_columns(e.name) k
    where not exists (
        select from pg_attribute a where a.attrelid = e.relation and a.attname = k.column_name and not a.attisdropped)
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
    where t.name = 'quote_changes' or @extschema@.quote_archive_stands(@extschema@.quote_collab_home())
$$;
comment on function quote_history_query() is 'query for the rows of log and archive';
