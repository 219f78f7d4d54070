-- The triggers of one attached table. They carry what they need as an argument, readable in \d, so that firing one reads
-- no table of ours; as one argument, because PostgreSQL copies each with every statement. ENABLE ALWAYS: rows applied by a
-- replication role leave a history too, unless they bring it along.
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

-- What attach creates and the doctor compares. type is what pg_trigger says of when it fires; on_partitions: each partition
-- has it, by inheritance when it fires for rows.
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

-- Triggers fire in the order of their names. What one of the ERP changes after the version was decided is recorded, but a row that
-- nothing else changed keeps its version.
create function quote_late_triggers(settings quote_collab_settings) returns table (name text, rename text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.tgname::text, format('alter trigger %I on %s rename to %I;', g.tgname, g.tgrelid::regclass, 'a_' || g.tgname) from pg_trigger g
    where g.tgrelid = @extschema@.quote_collab_table(settings) and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 19 = 19
        and g.tgname > (select t.name from @extschema@.quote_triggers(settings) t where t.type = 19)
    order by g.tgname
$$;
comment on function quote_late_triggers(quote_collab_settings) is 'triggers that may change a row after its version was decided';

create function tell_of_quote_late_triggers(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    late record;
begin
    select string_agg(t.name, ', ') as names, string_agg(t.rename, ' ') as hints into late from @extschema@.quote_late_triggers(settings) t;
    if late.names is not null then
        raise notice 'triggers of % fire after its version is decided: %', @extschema@.quote_collab_table(settings), late.names
            using detail = 'Where one changes a row that the statement left as it was, the version stays, and a save may overwrite that change unseen.',
                  hint = format('Rename them so that they fire before: %s', late.hints);
    end if;
end $$;
comment on function tell_of_quote_late_triggers(quote_collab_settings) is 'notice about triggers that may change a row after its version was decided';

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

create function create_quote_triggers(target regclass, settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.create_quote_trigger(target, settings, t.name) from @extschema@.quote_triggers(settings) t where t.firing not like '%truncate%';
    perform @extschema@.create_quote_truncate_triggers(target, settings);
end $$;
comment on function create_quote_triggers(regclass, quote_collab_settings) is 'creates the triggers of one attached table';

create function increment_quote_version() returns trigger language c as 'MODULE_PATHNAME', 'increment_version';
comment on function increment_quote_version() is 'before-update trigger: stamps version and updated_at on a changed quote';
create function increment_quote_line_version() returns trigger language c as 'MODULE_PATHNAME', 'increment_version';
comment on function increment_quote_line_version() is 'before-update trigger: stamps version and updated_at on a changed line';
create function flush_quote_changes() returns trigger language c as 'MODULE_PATHNAME', 'flush_changes';
comment on function flush_quote_changes() is 'after-statement trigger: writes what was noted into quote_changes';
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
