-- The audit log. The tables are ordinary tables of the ERP's schema, not members of the extension: pg_dump keeps
-- every row and DROP EXTENSION cannot drop an audit trail.

-- The rule of row security, as PostgreSQL prints it: what is created and what the catalogs say can then be compared.
create function quote_tenant_rule() returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
    select format('(tenant_id = ( SELECT %s() AS current_quote_tenant))', to_regprocedure('@extschema@.current_quote_tenant()')::oid::regproc)
$$;
comment on function quote_tenant_rule() is 'condition under which a row of history or presence is a tenant''s';

-- What a policy is for: the history is read, and written by nobody whom policies concern; presence is written by its own tenant.
create function quote_policy_command(policy name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case when policy = 'quote_changes_tenant_isolation' then 'select' else 'all' end $$;
comment on function quote_policy_command(name) is 'the command that a policy of ours is for';

-- Row security that, without a policy, lets nobody see or write a row: for tables that the functions of the extension alone work with.
create function seclude_quote_table(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_class c where c.oid = target and not (c.relrowsecurity and c.relforcerowsecurity)) then
        execute format('alter table %s enable row level security, force row level security', target);
    end if;
end $$;
comment on function seclude_quote_table(regclass) is 'enables and forces row security without a policy on one table';

-- Row security of one table by the tenant, enabled and forced. Who may write every table (pg_write_all_data) writes no history.
create function protect_quote_table(target regclass, policy name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    perform @extschema@.seclude_quote_table(target);
    execute format('drop policy if exists %I on %s', policy, target);
    execute format('create policy %I on %s for %s using %s', policy, target, @extschema@.quote_policy_command(policy), @extschema@.quote_tenant_rule());
    execute format('comment on policy %I on %s is %L', policy, target,
        'a row is its own tenant''s only, and nobody''s when no tenant is set');
end $$;
comment on function protect_quote_table(regclass, name) is 'enables and forces row security by tenant on one table';

create function quote_table_is_protected(target regclass, policy name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
    select c.relrowsecurity and c.relforcerowsecurity and exists (
        select from pg_policy p
        where p.polrelid = c.oid and p.polname = policy and p.polpermissive
            and p.polcmd = case @extschema@.quote_policy_command(policy) when 'select' then 'r' else '*' end and p.polroles = '{0}'
            and p.polwithcheck is null and pg_get_expr(p.polqual, p.polrelid) = @extschema@.quote_tenant_rule())
    from pg_class c where c.oid = target
$$;
comment on function quote_table_is_protected(regclass, name) is 'true when a table is as protect_quote_table() leaves it';

-- The tables that a tenant sees his rows of, each with the policy that keeps them apart: the log and its archive with all
-- partitions, whatever they are called, and presence.
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

-- Everything that holds data of ours.
create function quote_own_relations(target_schema name) returns table (relation regclass, is_private boolean, is_presence boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.relation, false, t.policy = 'quote_sessions_tenant_isolation' from @extschema@.quote_tenant_tables(target_schema) t
    union all
    select c.oid, c.relkind = 'r', false from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname in ('quote_relay_batch', 'quote_relay_lease', 'quote_changes_seals', 'quote_changes_position_seq')
$$;
comment on function quote_own_relations(name) is 'history, presence, relay, seals and the sequence of positions';

-- Does a relation of ours stand under this name? SQLSTATE 42P07 when what stands there is of another kind, or belongs to
-- neither the owner, a superuser nor the owner of an attached table: attach and maintenance run as superuser, and whoever may create
-- something in the schema must not have them take what he planted there for theirs.
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
    elsif found_kind = kind and (pg_get_userbyid(found_owner) = owner or @extschema@.quote_owner_trusted(found_owner)) then
        return true;
    end if;
    if found_kind <> kind then
        raise exception 'relation % is in the way', relation
            using errcode = 'duplicate_table', detail = 'It is none that attach or the archive has made.',
                hint = @extschema@.quote_copy_return(to_regclass(relation), 'rename it or move it to another schema.');
    end if;
    raise exception 'relation % is in the way', relation
        using errcode = 'duplicate_table', detail = format('It belongs to %s, to whom nothing belonged that attach knows.', pg_get_userbyid(found_owner)),
              hint = format('If it is of an earlier attach: %s Else rename it, and let nobody but %s create anything in schema %I.',
                  @extschema@.quote_home_handover(to_regclass(relation), owner), owner, (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass(relation)));
end $$;
comment on function quote_relation_stands(text, "char", name) is 'whether a relation of ours stands under a name; refuses another that does';

-- What becomes of a table beside the log to which somebody has copied rows of it by hand: they go back. Of any other what is said.
create function quote_copy_return(target regclass, other text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (
        select l.oid from pg_class l join pg_class t on t.relnamespace = l.relnamespace
        where t.oid = target and t.relkind = 'r' and l.relname = 'quote_changes' and l.relkind = 'p' and l.oid <> t.oid);
    columns text[] := array(select a.attname::text from pg_attribute a where a.attrelid = log and a.attnum > 0 and not a.attisdropped order by a.attnum);
begin
    if log is null or columns <> array(select a.attname::text from pg_attribute a where a.attrelid = target and a.attnum > 0 and not a.attisdropped order by a.attnum) then
        return other;
    end if;
    return format('insert into %s select * from %s; drop table %s;', log, target, target);
end $$;
comment on function quote_copy_return(regclass, text) is 'statements that put rows back which were copied out of an audit log by hand';

-- Index names that a new log needs, where an earlier table took them.
create function require_quote_index_names(target_schema name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    taken record;
begin
    select i.indexrelid::regclass as index, i.indrelid::regclass as relation into taken
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_index i on i.indexrelid = c.oid
    where n.nspname = target_schema and c.relname in ('quote_changes_pkey', 'quote_changes_quote', 'quote_changes_changed_at') order by c.relname limit 1;
    if found then
        raise exception 'relation % is in the way', taken.index
            using errcode = 'duplicate_table', detail = format('It is an index of table %s.', taken.relation),
                hint = 'Move that table to another schema, or rename its indexes.';
    end if;
end $$;
comment on function require_quote_index_names(name) is 'refuses to make an audit log where an index of another table has the name of one of its own';

create function quote_grantee(role oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end $$;
comment on function quote_grantee(oid) is 'a role as GRANT and REVOKE name it';

-- Takes away what default privileges gave others on a table that was just made: they are meant for tables of the ERP, and would
-- let its roles write the history.
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

-- The audit log and what belongs to it, in the schema of the quotes table, owned by its owner. Idempotent. No check
-- constraints: only the extension writes it, and PostgreSQL would parse each of them again for every insert. Each index
-- serves a named query and no more, since its entries are most of what a change costs: the key is the event feed, what
-- transactions wrote in order; the second is the history of a quote; spans of time need no entry a row, because rows come in
-- order of time.
create function create_quote_changes(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := format('%I.quote_changes', target_schema);
    item record;
begin
    if not @extschema@.quote_relation_stands(log, 'p'::"char", target_owner) then
        perform @extschema@.require_quote_index_names(target_schema);
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
        execute format('create index quote_changes_changed_at on %s using brin (changed_at)', log);
        execute format('alter table %s owner to %I', log, target_owner);
        perform @extschema@.close_quote_table(log::regclass);
    end if;
    perform @extschema@.complete_quote_changes(log::regclass, target_schema, target_owner);
    perform @extschema@.comment_quote_changes(log::regclass);
    for item in select t.* from @extschema@.quote_tenant_tables(target_schema) t
        where t.policy = 'quote_changes_tenant_isolation' and not @extschema@.quote_table_is_protected(t.relation, t.policy) loop
        perform @extschema@.protect_quote_table(item.relation, item.policy);
    end loop;
    perform @extschema@.create_quote_changes_partitions(log::regclass, 3);
    return log::regclass;
end $$;
comment on function create_quote_changes(name, name) is 'creates the partitioned audit log of an attached pair of tables';

-- Whether something depends on the sequence of positions, so that whoever drops what no model of his knows is refused it: the default of
-- the log's column, which nothing else uses, and its partitions do without.
create function quote_positions_kept(log regclass, target_schema name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_attrdef d join pg_depend x on x.classid = 'pg_attrdef'::regclass and x.objid = d.oid and x.refclassid = 'pg_class'::regclass
        where d.adrelid = log and x.refobjid = to_regclass(format('%I.quote_changes_position_seq', target_schema)))
$$;
comment on function quote_positions_kept(regclass, name) is 'whether the sequence of positions cannot be dropped alone';

-- The default partition and the sequence of positions, where a log has none: a new one, or one that lost them. An event trigger of the ERP may
-- have given new tables to somebody else already: a sequence is linked to a column of its own owner.
create function complete_quote_changes(log regclass, target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    spare text := format('%I.quote_changes_default', target_schema);
    positions text := format('%I.quote_changes_position_seq', target_schema);
    newest bigint;
begin
    if @extschema@.quote_changes_spare(log) is null then
        if @extschema@.quote_relation_stands(spare, 'r'::"char", target_owner) then
            execute format('alter table %s attach partition %s default', log, spare);
        else
            execute format('create table %s partition of %s default', spare, log);
            execute format('alter table %s alter column position drop default', spare);
        end if;
        execute format('alter table %s owner to %I', spare, target_owner);
        perform @extschema@.close_quote_table(spare::regclass);
    end if;
    if not @extschema@.quote_relation_stands(positions, 'S'::"char", target_owner) then
        execute format('create sequence %s as bigint', positions);
        execute format('alter sequence %s owner to %I', positions, target_owner);
        execute format('alter sequence %s owned by %s.position', positions, log);
        perform @extschema@.close_quote_table(positions::regclass);
        execute format('select max(c.position) from (%s) c', @extschema@.quote_changes_all_query(target_schema)) into newest;
        perform setval(positions::regclass, newest) where newest is not null;
    end if;
    if not @extschema@.quote_positions_kept(log, target_schema) then
        execute format('alter table only %s alter column position set default nextval(%L)', log, positions);
    end if;
end $$;
comment on function complete_quote_changes(regclass, name, name) is 'gives an audit log the default partition and the sequence that it lacks';

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
        ('context', 'what a reader needs beside the change: line_number, the totals after it, roles of columns that are called otherwise')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', log, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', log, @extschema@.quote_table_comment('quote_changes'::name));
end $$;
comment on function comment_quote_changes(regclass) is 'describes the audit log and its columns';

-- Was the sequence of positions set back? A dump that is restored in parts sets it to where it stood, behind what was recorded meanwhile. Looks at
-- the last day, of which the log knows where it lies. One that is gone was not set back.
create function quote_positions_set_back(target_schema name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    is_back boolean;
begin
    execute format('select coalesce((select max(c.position) from %1$I.quote_changes c
            where c.changed_at > now() - interval ''1 day'' and c.origin = @extschema@.quote_cluster_identifier()), 0)
        > (select coalesce(q.last_value, 0) from pg_sequences q where (q.schemaname, q.sequencename) = (%1$L, ''quote_changes_position_seq''))', target_schema)
    into is_back;
    return coalesce(is_back, false);
end $$;
comment on function quote_positions_set_back(name) is 'whether positions of an audit log would be given again';

-- The statement that sets the sequence of positions behind all that were given, but for those from which on it counts as near its end: behind those
-- no change could be written before long, and their numbers are part of what was sealed.
create function quote_positions_statement(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('select setval(%L, (select coalesce(max(c.position), 1) from %I.quote_changes c where c.position < 4000000000000000000));',
        format('%I.quote_changes_position_seq', target_schema), target_schema)
$$;
comment on function quote_positions_statement(name) is 'statement that has positions of an audit log go on';

create function continue_quote_positions(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass(format('%I.quote_changes', target_schema)) is not null and @extschema@.quote_positions_set_back(target_schema) then
        execute @extschema@.quote_positions_statement(target_schema);
    end if;
end $$;
comment on function continue_quote_positions(name) is 'has positions of an audit log go on where they were set back';
