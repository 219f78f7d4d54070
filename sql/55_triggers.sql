-- The triggers of one attached table. They carry what they need as an argument, readable in \d, so that firing one reads
-- no table of ours; as one argument, because PostgreSQL copies each with every statement. ENABLE ALWAYS: rows applied by a
-- replication role leave a history too, unless they bring it along.
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
comment on function create_quote_triggers(regclass, quote_collab_settings, regclass) is 'creates the triggers of one attached table';

create function increment_quote_version() returns trigger language c as 'MODULE_PATHNAME', 'increment_version';
comment on function increment_quote_version() is 'before-update trigger: stamps version and updated_at on a changed quote';
create function increment_quote_line_version() returns trigger language c as 'MODULE_PATHNAME', 'increment_version';
comment on function increment_quote_line_version() is 'before-update trigger: stamps version and updated_at on a changed line';
create function capture_quote_change() returns trigger language c as 'MODULE_PATHNAME', 'capture_change';
comment on function capture_quote_change() is 'after-row trigger: notes what changed in one row';
-- On a table of one's own, with arguments of one's own, it would write whatever history one likes.
revoke execute on function capture_quote_change() from public;

-- Who owns an attached table may create triggers with it, and nobody else: PostgreSQL asks for that right when a partition is
-- added, which takes over the row triggers.
create function grant_quote_capture() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    change text;
begin
    for change in
        with owners as (
            select distinct c.relowner as role from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)),
        granted as (
            select acl.grantee as role from pg_proc p cross join lateral aclexplode(p.proacl) acl
            where p.oid = '@extschema@.capture_quote_change()'::regprocedure and acl.grantee not in (0, p.proowner))
        select format('grant execute on function @extschema@.capture_quote_change() to %I', pg_get_userbyid(o.role))
        from owners o where o.role not in (select g.role from granted g)
        union all
        select format('revoke execute on function @extschema@.capture_quote_change() from %I', pg_get_userbyid(g.role))
        from granted g where g.role not in (select o.role from owners o)
    loop
        execute change;
    end loop;
end $$;
comment on function grant_quote_capture() is 'lets the owners of attached tables, and nobody else, add partitions with the row trigger';
create function flush_quote_changes() returns trigger language c as 'MODULE_PATHNAME', 'flush_changes';
comment on function flush_quote_changes() is 'after-statement trigger: writes what was noted into quote_changes';
