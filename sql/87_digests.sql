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

-- Why log, archive and seals cannot be read as what attach made of them: gone, of another kind, without one of their columns. And why
-- the seals cannot be written: what the owner puts on them would run with the rights of the extension's owner, who alone
-- writes the anchor.
create function quote_history_faults() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with expected (name, kind, relation) as (
        select r.name, r.kind, c.oid from (
            select k.* from (values ('quote_changes', 'p'), ('quote_changes_archive', 'p'), ('quote_changes_seals', 'r')) k (name, kind)
            where k.name <> 'quote_changes_archive' or @extschema@.quote_archive_stands(@extschema@.quote_collab_home())) r
        left join pg_class c on c.relname = r.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home()))
    select format('there is no table %s', e.name) from expected e where e.relation is null and e.name <> 'quote_changes_archive'
    union all
    select format('%s belongs to %s, whom attach did not know', c.oid::regclass, pg_get_userbyid(c.relowner)) from expected e
    join pg_class c on c.oid = e.relation where not @extschema@.quote_owner_trusted(c.relowner)
    union all
    select f.problem from @extschema@.quote_extension_table_faults() f where f.relation = '@extschema@.quote_seal_anchor'::regclass
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
    where e.name = 'quote_changes_seals' and (exists (select from pg_trigger t where t.tgrelid = e.relation and not t.tgisinternal
            and t.tgfoid <> '@extschema@.refuse_history_truncate()'::regprocedure)
        or exists (select from pg_rewrite r where r.ev_class = e.relation)
        or exists (select from pg_constraint k where k.conrelid = e.relation and k.contype in ('c', 'x'))
        or exists (select from pg_index i where i.indrelid = e.relation and (i.indexprs is not null or i.indpred is not null))
        or exists (select from pg_attribute a where a.attrelid = e.relation and a.atthasdef))
    union all
    select format('%s has a check, default or index that calls a function of %s', c.oid::regclass, pg_get_userbyid(p.proowner)) from expected e
    cross join lateral (select e.relation union select t.relid from pg_partition_tree(e.relation) t) t (relid)
    join pg_class c on c.oid = t.relid
    cross join lateral (
        select 'pg_constraint'::regclass::oid, k.oid from pg_constraint k where k.conrelid = t.relid
        union all select 'pg_attrdef'::regclass, f.oid from pg_attrdef f where f.adrelid = t.relid
        union all select 'pg_class'::regclass, i.indexrelid from pg_index i where i.indrelid = t.relid) made (classid, objid)
    join pg_depend d on d.classid = made.classid and d.objid = made.objid
    left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
    join pg_proc p on p.oid = coalesce(o.oprcode::oid, case when d.refclassid = 'pg_proc'::regclass then d.refobjid end)
    join pg_roles r on r.oid = p.proowner and not r.rolsuper
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
