-- Tables and the log are noted by name. One that was renamed or moved is known again: a table by our triggers on it, a log by
-- the policy that calls a function of ours.

-- What a trigger was created with; null when it is not as this release writes it.
create function quote_trigger_arguments(arguments bytea) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return convert_from(substring(arguments, 1, octet_length(arguments) - 1), 'UTF8')::jsonb;
exception when data_exception or program_limit_exceeded then
    return null;
end $$;
comment on function quote_trigger_arguments(bytea) is 'the argument of one of our triggers';

-- Partitions have copies of these triggers, which come and go with their parent's.
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

-- Attached tables that are not where they were noted, and where they are: with the triggers that attach made for them. Of several
-- that it could be, the one that kept its name, or its schema; none where that does not decide. Anybody may put such triggers on a table
-- of his own: only one of an owner that attach trusted is followed. kept: tables that the caller means by the names that they have now.
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
        where not exists (select from noted n where n.relation = c.relation) and @extschema@.quote_owner_trusted(t.relowner)),
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

-- A schema that was renamed has taken everything along. SQLSTATE 55000 for a log that was moved alone.
create function follow_quote_home() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    homes name[] := array(
        select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = 'quote_changes' and c.relkind = 'p' and @extschema@.quote_owner_trusted(c.relowner) and exists (
            select from pg_policy p join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid
            where p.polrelid = c.oid and d.refclassid = 'pg_proc'::regclass and d.refobjid = '@extschema@.current_quote_tenant()'::regprocedure));
    known name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
begin
    if known is null or cardinality(homes) <> 1 or known = homes[1] or to_regclass(format('%I.quote_changes', known)) is not null then
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

-- Attached tables whose triggers write to another log than this one.
create function quote_tables_elsewhere(home name) returns setof quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.* from @extschema@.quote_collab_settings s join @extschema@.quote_carriers() c on c.relation = @extschema@.quote_collab_table(s)
    where c.arguments ->> 'log' is distinct from format('%I.quote_changes', home)
    order by s.attached_at, s.table_schema, s.table_name
$$;
comment on function quote_tables_elsewhere(name) is 'attached tables whose changes go to a log that is gone or was moved';

-- Drops the triggers of one table, whatever they are called.
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

-- Tables with triggers of ours that no settings speak of: what was attached under this name before another table took its place goes on
-- writing into the history of that one.
create function stray_quote_tables() returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct g.tgrelid::regclass from pg_trigger g
    where g.tgparentid = 0 and g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f where not f.guards_truncate)
        and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = g.tgrelid)
$$;
comment on function stray_quote_tables() is 'tables with triggers of ours that are not attached';

create function warn_of_stray_quote_tables() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    stray regclass;
begin
    for stray in select * from @extschema@.stray_quote_tables() loop
        raise warning 'table % is not attached and writes to the history', stray using hint = 'quote_collab_doctor() says how to end that.';
    end loop;
end $$;
comment on function warn_of_stray_quote_tables() is 'warns of tables that write to the history and are not attached';
