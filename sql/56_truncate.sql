-- TRUNCATE of an attached table: refused, since it would leave no history, or recorded where attach was told so.

-- The attached table that a table is, or is a partition of; null when it is none, as a partition is once it is detached. One whose detaching was
-- interrupted still records what happens to it.
create function quote_collab_settings_of(target regclass) returns quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive ancestors (relation) as (
        select target::oid
        union all
        select i.inhparent from ancestors a join pg_class c on c.oid = a.relation and c.relispartition join pg_inherits i on i.inhrelid = c.oid)
    select s.* from @extschema@.quote_collab_settings s
    where @extschema@.quote_collab_table(s) in (select a.relation from ancestors a)
    order by s.attached_at limit 1
$$;
comment on function quote_collab_settings_of(regclass) is 'settings of the attached table that a table is or belongs to';

-- Partitions whose rows are on other servers.
create function quote_foreign_partitions(target regclass) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind = 'f' $$;
comment on function quote_foreign_partitions(regclass) is 'foreign tables among the partitions of a table';

-- Statement triggers are not inherited: each partition has its own, against a TRUNCATE that names it.
create function create_quote_truncate_triggers(target regclass, settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    trigger_name name := (select q.name from @extschema@.quote_triggers(settings) q where q.firing like '%truncate%');
begin
    for part in select * from @extschema@.quote_foreign_partitions(target) loop
        raise warning 'truncate of foreign partition % leaves no history', part using detail = 'PostgreSQL has no triggers for it there.',
            hint = format('Let nobody do that: revoke truncate on %s from everybody but its owner.', part);
    end loop;
    for part in select target union select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind in ('r', 'p') loop
        execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, part);
        execute format('drop trigger if exists trg_record_%s_truncate on %s', kind, part);
        perform @extschema@.create_quote_trigger(part, settings, trigger_name);
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
        where g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f where f.guards_truncate)
            and (@extschema@.quote_collab_settings_of(g.tgrelid::regclass)).entity is null
    loop
        execute format('drop trigger %I on %s', item.tgname, item.relation);
    end loop;
end $$;
comment on function drop_quote_truncate_triggers() is 'drops the truncate triggers of tables that are not attached any more';

create function refuse_quote_truncate() returns trigger
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
comment on function refuse_quote_truncate() is 'before-truncate trigger: refuses';

-- Notes every row as deleted. The table is locked already, so that what the next statement sees is all there is; under
-- repeatable read it might see less. A partition with a trigger of its own notes its rows itself.
create function record_quote_truncate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
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
    select * into part from @extschema@.quote_foreign_partitions(tg_relid::regclass) limit 1;
    if found then
        raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
            detail = format('It would remove rows of foreign partition %s without a trace in quote_changes.', part),
            hint = 'Use delete there, and truncate the other partitions one by one.';
    end if;
    select * into part from @extschema@.quote_inheriting_tables(tg_relid::regclass) limit 1;
    if found then
        raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
            detail = format('It may remove rows of %s, which inherits from it, without a trace in quote_changes.', part),
            hint = 'Use delete, or let it inherit no longer: alter table ... no inherit.';
    end if;
    perform @extschema@.require_quote_table(settings), @extschema@.require_quote_home('{quote_changes}'::text[]);
    -- Positions are given to whoever has a number: readers of the feed rely on that order.
    perform pg_current_xact_id();
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
        perform @extschema@.remember_quote_versions(settings, part);
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
comment on function record_quote_truncate() is 'before-truncate trigger: notes every row of the table as deleted';
revoke execute on function record_quote_truncate() from public;

-- One DELETE per row, as the row trigger would write it: none for a row that belongs to nobody. $1: who,
-- $2: editing session.
create function quote_truncate_statement(settings quote_collab_settings, part regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
            change_type, session_id, was_conflict, entity_version_before, event_id, position, xid, origin, context)
        select @extschema@.uuid_generate_v7(), t.%2$s, t.%3$s, %4$s, $1, clock_timestamp(), %5$L, '*', to_jsonb(t.*),
            'DELETE', $2, false, case when t.%6$s between -2147483648 and 2147483647 then t.%6$s::integer end, @extschema@.uuid_generate_v7(),
            nextval(%9$L), pg_current_xact_id(), @extschema@.quote_cluster_identifier(), %7$s
        from (select %11$s from only %8$s t) t where num_nulls(t.%10$s, t.%2$s, t.%3$s) = 0$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and exists (select from pg_attribute a
                where a.attrelid = part and a.attname = settings.columns ->> 'line_number' and not a.attisdropped and a.attgenerated <> 'v')
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part, format('%I.quote_changes_position_seq', settings.log_schema), @extschema@.quote_collab_column(settings, 'id'),
        @extschema@.quote_safe_columns(part))
$$;
comment on function quote_truncate_statement(quote_collab_settings, regclass) is 'writes a table''s rows into the audit log as deleted';

-- Whatever our triggers are called on a table, by these they are known. Those that guard TRUNCATE each partition has for itself.
create function quote_trigger_functions() returns table (function regprocedure, guards_truncate boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.increment_quote_version()'::regprocedure, false), ('@extschema@.increment_quote_line_version()', false),
        ('@extschema@.capture_quote_change()', false), ('@extschema@.flush_quote_changes()', false),
        ('@extschema@.refuse_quote_truncate()', true), ('@extschema@.record_quote_truncate()', true)
$$;
comment on function quote_trigger_functions() is 'the functions that triggers of ours execute';
