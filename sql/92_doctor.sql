-- quote_collab_doctor(): what a careful DBA would look at, each with a hint that mends it. Reads only; also on a standby.
create type @extschema@.quote_collab_check as (check_name text, severity text, message text, hint text);
comment on type @extschema@.quote_collab_check is 'one finding of quote_collab_doctor()';

-- ok, or a finding of a severity when the condition does not hold; null counts as not holding. A finding without a hint is mended by attaching
-- again: quote_collab_doctor() says how, once there is one.
create function quote_collab_verdict(check_name text, holds boolean, severity text, message text, hint text) returns quote_collab_check
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when holds then (check_name, 'ok', '', '')::@extschema@.quote_collab_check
        else (check_name, severity, message, hint)::@extschema@.quote_collab_check end
$$;
comment on function quote_collab_verdict(text, boolean, text, text, text) is 'one line of quote_collab_doctor()';

-- What the caller has no right to look at is no finding and not in order either.
create function quote_collab_unchecked(check_name text, reason text, hint text) returns quote_collab_check
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select (check_name, 'warning', 'cannot be checked: ' || reason, hint)::@extschema@.quote_collab_check $$;
comment on function quote_collab_unchecked(text, text, text) is 'a line of quote_collab_doctor() about what it may not see';

-- Where an attached table is now: under the name that was noted, else, where there is no such table any more, under the one that it
-- was given since. Null when it is gone, or when which one it is cannot be told.
create function quote_table_found(settings quote_collab_settings) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select c.oid::regclass from pg_class c where c.oid = @extschema@.quote_collab_table(settings) and c.relkind in ('r', 'p')), (
        select c.oid::regclass from @extschema@.moved_quote_tables('{}'::regclass[]) m
        join pg_namespace n on n.nspname = m.new_schema join pg_class c on c.relnamespace = n.oid and c.relname = m.new_name
        where ((m.settings).table_schema, (m.settings).table_name) = (settings.table_schema, settings.table_name)))
$$;
comment on function quote_table_found(quote_collab_settings) is 'doctor: an attached table, also where it was renamed or moved; null when it is gone';

-- Attaches a pair again with the options that it was attached with, under the names that its tables have now. Null where one is gone.
create function quote_attach_statement(settings quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    header @extschema@.quote_collab_settings;
    line @extschema@.quote_collab_settings;
    header_found regclass;
    line_found regclass;
    options jsonb;
begin
    select (p.header).* into header from @extschema@.quote_collab_pairs() p
    where ((p.header).header_schema, (p.header).header_table) = (settings.header_schema, settings.header_table);
    line := @extschema@.quote_collab_partner(header);
    header_found := @extschema@.quote_table_found(header);
    line_found := @extschema@.quote_table_found(line);
    if header_found is null or line_found is null then
        return null;
    end if;
    options := (
        select coalesce(jsonb_object_agg(c.key, c.value), '{}') from (values
            ('columns', @extschema@.quote_chosen_columns(header, header)), ('line_columns', @extschema@.quote_chosen_columns(line, header))) c (key, value)
        where c.value is not null) || jsonb_strip_nulls(jsonb_build_object(
        'ignored_columns', nullif(to_jsonb(array(select i.name from unnest(header.ignored_columns) i (name)
            where exists (select from pg_attribute a where a.attrelid in (header_found, line_found) and a.attname = i.name and not a.attisdropped))), '[]'),
        'system_user_id', header.system_user_id,
        'truncate', nullif(header.truncation, 'refuse'), 'replicated_history', nullif(header.replicated_history, false),
        'archive_after', header.archive_after, 'drop_after', header.drop_after)) || @extschema@.quote_chosen_relations(header, header_found);
    return format('select @extschema@.attach_quote_collaboration(%L, %L, %L);', header_found, line_found, options);
end $$;
comment on function quote_attach_statement(quote_collab_settings) is 'statement that attaches a pair of tables again as it was attached; null where one is gone';

-- Takes a pair away of which a table is gone: named by what is left of it, else as one of those of which nothing is. Not where a table
-- with triggers of ours could be the one that is missed: detach would take them from it.
create function quote_detach_statement(settings quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    others text := (select string_agg(c.relation::text, ', ' order by c.relation::text) from @extschema@.quote_carriers() c
        where not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_table_found(s) = c.relation));
    rest regclass := (select r.relation from @extschema@.quote_collab_settings s
        cross join lateral (select coalesce(@extschema@.quote_table_found(s), @extschema@.quote_collab_table(s))) r (relation)
        where (s.header_schema, s.header_table) = (settings.header_schema, settings.header_table) and r.relation is not null limit 1);
begin
    if others is not null then
        return format('Attach the pair under the names that its tables have now. These have its triggers and are not attached: %s.', others);
    end if;
    return format('select @extschema@.detach_quote_collaboration(%s);', 'quotes => ' || quote_literal(rest));
end $$;
comment on function quote_detach_statement(quote_collab_settings) is 'statement that takes away a pair of which a table is gone';

-- What puts a pair in order again.
create function quote_repair_statement(settings quote_collab_settings) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(@extschema@.quote_attach_statement(settings), @extschema@.quote_detach_statement(settings)) $$;
comment on function quote_repair_statement(quote_collab_settings) is 'statement that attaches a pair of tables again, or takes it away where one is gone';

create function quote_attach_statement() returns text
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select coalesce(a.statement, @extschema@.quote_detach_statement(s)) from @extschema@.quote_collab_settings s
    cross join lateral (select @extschema@.quote_attach_statement(s)) a (statement)
    where s.entity = 'QUOTE'
    order by a.statement is null, s.attached_at, s.table_schema, s.table_name limit 1
$$;
comment on function quote_attach_statement() is 'statement that attaches the first pair of tables again that is whole, and with it what all pairs share';

-- The columns that attach would not find by itself, and null for amounts that play no role, also those that the ERP does not have yet: its totals
-- would be written over. Columns that are gone are left out: it may find others.
create function quote_chosen_columns(settings quote_collab_settings, header quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass := @extschema@.quote_table_found(settings);
    chosen jsonb := (select jsonb_object_agg(c.key, c.value) from jsonb_each_text(settings.columns) c
        where exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped));
    found_alone jsonb;
begin
    found_alone := @extschema@.find_quote_columns(target, settings.entity, '{}'::jsonb,
        @extschema@.quote_reference_candidates(target, @extschema@.quote_table_found(header), (header.columns ->> 'id')::name));
    select jsonb_object_agg(c.key, c.value) into chosen from (
        select c.key, to_jsonb(c.value) from jsonb_each_text(chosen) c where c.value is distinct from found_alone ->> c.key
        union all select r.role, 'null' from @extschema@.quote_column_roles('{}'::text[]) r
        where r.entity = settings.entity and 'numeric'::regtype = any (r.types) and not settings.columns ? r.role) c (key, value);
    return chosen;
exception when undefined_column then
    return chosen;
end $$;
comment on function quote_chosen_columns(quote_collab_settings, quote_collab_settings) is 'columns of an attached table that must be named to attach it again';

-- The tables that name users and customers, also where their schema was renamed together with the header's; null for none. One that is
-- gone is left out: attach may find another.
create function quote_chosen_relations(header quote_collab_settings, found regclass) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(k.name, coalesce(v.value, 'null')), '{}')
    from unnest('{users,customers}'::text[]) k (name)
    cross join lateral (select header.relations -> k.name ->> 'schema', header.relations -> k.name ->> 'table') noted (schema_name, table_name)
    left join lateral (
        select jsonb_set(header.relations -> k.name, '{schema}'::text[], to_jsonb(n.nspname::text))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = noted.table_name
            and @extschema@.quote_relation_fits_still(k.name, jsonb_set(header.relations -> k.name, '{schema}'::text[], to_jsonb(n.nspname::text))) and (n.nspname = noted.schema_name
            or noted.schema_name = header.table_schema and n.oid = (select h.relnamespace from pg_class h where h.oid = found))
        order by n.nspname <> noted.schema_name limit 1) v (value) on true
    where v.value is not null or not header.relations ? k.name
$$;
comment on function quote_chosen_relations(quote_collab_settings, regclass) is 'tables of users and customers that must be named to attach a pair again';

-- The triggers that an attached table and its partitions should have, and those that they have under these names.
create function quote_collab_triggers_found(settings quote_collab_settings)
returns table (relation regclass, is_partition boolean, name name, is_there boolean, is_ours boolean, firing "char")
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, c.oid <> target.oid, t.name, g.oid is not null,
        g.tgfoid = t.function and g.tgtype = t.type and g.tgqual is null and cardinality(g.tgattr::smallint[]) = 0 and not g.tgdeferrable
            and g.tgargs = case when t.argument is null then '' else convert_to(t.argument, 'UTF8') || E'\\x00' end, g.tgenabled
    from (select @extschema@.quote_collab_table(settings)::oid) target (oid)
    cross join lateral (select target.oid union select p.relid from pg_partition_tree(target.oid) p) part (oid)
    join pg_class c on c.oid = part.oid and c.relkind in ('r', 'p')
    join @extschema@.quote_triggers(settings) t on c.oid = target.oid or t.on_partitions
    left join pg_trigger g on g.tgrelid = c.oid and g.tgname = t.name
$$;
comment on function quote_collab_triggers_found(quote_collab_settings) is 'doctor: triggers of an attached table beside what attach creates';

-- Tables with triggers of ours that are not attached, also not under another name, and what takes the triggers from them.
create function quote_tables_unknown() returns table (relation regclass, statements text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.relation, (select string_agg(format('drop trigger %I on %s;', g.tgname, t.relation), ' ' order by g.tgname) from pg_trigger g
        where g.tgrelid = t.relation and g.tgparentid = 0 and g.tgfoid in (select f.function from @extschema@.quote_trigger_functions() f))
    from @extschema@.stray_quote_tables() t (relation)
    -- One of a pair whose settings are not whole: attach it again.
    where (select count(*) filter (where s.entity = 'QUOTE') = count(*) filter (where s.entity = 'QUOTE_LINE') from @extschema@.quote_collab_settings s)
        and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_table_found(s) = t.relation
            -- Whoever put our triggers on a table that inherits from it has its changes told: of that the check of inheritance speaks.
            or t.relation in (select i.relation from @extschema@.quote_inheriting_tables(@extschema@.quote_table_found(s)) i (relation)))
$$;
comment on function quote_tables_unknown() is 'doctor: tables that write to the history and are not attached, and statements that end that';

-- The attached tables: columns and triggers as attach left them.
create function quote_collab_doctor_tables() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    s @extschema@.quote_collab_settings;
    target regclass;
    now_there regclass;
    name text;
    missing text;
    repair text;
    renames text;
    others text;
begin
    for s in select * from @extschema@.quote_collab_settings order by attached_at loop
        name := format('%I.%I', s.table_schema, s.table_name);
        target := @extschema@.quote_collab_table(s);
        now_there := @extschema@.quote_table_found(s);
        repair := @extschema@.quote_repair_statement(s);
        return next @extschema@.quote_collab_verdict('table exists: ' || name, now_there = target, 'error', case
            when now_there is null then 'the attached table is gone'
            else format('the attached table was renamed or moved to %s, where saves, lists and views do not find it', now_there) end, repair);
        continue when (now_there = target) is not true;
        -- Without its keys a table cannot be attached again, and beside a version that was renamed another is added.
        select string_agg(c.value, ', '),
            string_agg(format('alter table %s rename ... to %I;', name, c.value), ' ') filter (where c.key = any ('{id,tenant,quote,version}'::text[]))
        into missing, renames from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing),
            case when renames is null then repair else format('If it was renamed: %s If it was a version, and dropped: %s', renames, repair) end);
        begin
            others := null;
            perform @extschema@.check_quote_column_types(target, s.columns, to_regclass(format('%I.%I', s.header_schema, s.header_table)));
        exception when datatype_mismatch or generated_always then
            get stacked diagnostics others = pg_exception_hint;
            others := concat_ws(' ', 'Give the column a type that can be one, or attach anew.', others);
            missing := sqlerrm;
        end;
        return next @extschema@.quote_collab_verdict('columns can play their roles: ' || name, others is null, 'error', missing, others);
        select string_agg(a.name, ', ') into missing from @extschema@.quote_columns_altered(target, s.added_columns) a;
        return next @extschema@.quote_collab_verdict('added columns intact: ' || name, missing is null, 'error',
            format('columns that attach added lost their default, NOT NULL or comment: %s', missing), repair);
        select string_agg(c.column_name, ', '), string_agg(format('create index on %s (%I);', name, c.column_name), ' ')
        into missing, others from @extschema@.quote_columns_unindexed(s) c (column_name);
        return next @extschema@.quote_collab_verdict('rows found by an index: ' || name, missing is null, 'warning',
            format('every save and every list reads the whole table, since no index begins with: %s', missing), others);
        return query select * from @extschema@.quote_collab_doctor_references(s);
        return query select * from @extschema@.quote_collab_doctor_triggers(s, repair);
        return query select * from @extschema@.quote_collab_doctor_bypasses(s);
        return next @extschema@.quote_collab_verdict('row security on the table: ' || name,
            (select c.relrowsecurity and c.relforcerowsecurity from pg_class c where c.oid = target)
                and exists (select from pg_policy p where p.polrelid = target and p.polpermissive), 'warning',
            case when (select c.relrowsecurity from pg_class c where c.oid = target)
                then 'its policies let nobody see a row, or its owner sees all'
                else 'only the functions of the extension keep tenants apart here; SQL users with rights on the table see all' end,
            format('alter table %s enable row level security, force row level security; and a policy on the tenant', name));
        select string_agg(format('alter table %s set logged;', c.oid::regclass), ' ') into others from pg_class c
        where c.relpersistence = 'u' and (c.oid = target or c.oid in (select t.relid from pg_partition_tree(target) t));
        return next @extschema@.quote_collab_verdict('rows survive a crash: ' || name, others is null, 'warning',
            'the table is unlogged: a crash empties it, and nothing in the history says so', others);
        continue when s.entity <> 'QUOTE';
        select string_agg(format('%I.%I', x.key, x.value), ', ') into missing from (
            select x.value ->> 'schema', x.value ->> 'table' from jsonb_each(s.relations) x where not @extschema@.quote_relation_fits_still(x.key, x.value)) x (key, value);
        select string_agg(format('%I.%I', x.value ->> 'schema', x.value ->> 'table'), ', '),
            string_agg(format('alter table %I.%I owner to %I;', x.value ->> 'schema', x.value ->> 'table', pg_get_userbyid(c.relowner)), ' ')
        into others, repair
        from pg_class c cross join jsonb_each(s.relations) x
        where c.oid = target and missing is null and not @extschema@.quote_relation_trusted(x.value, c.relowner);
        return next @extschema@.quote_collab_verdict('names are read: ' || name, missing is null and others is null, 'warning',
            coalesce('tables of names, or columns of theirs, are gone: ' || missing,
                format('names are not read from tables that belong to another than the owner of the quotes: %s', others)),
            case when missing is null then repair else @extschema@.quote_repair_statement(s) end);
    end loop;
    select string_agg(t.relation::text, ', '), string_agg(t.statements, ' ') into missing, repair from @extschema@.quote_tables_unknown() t;
    return next @extschema@.quote_collab_verdict('history of attached tables only', missing is null, 'error',
        format('these tables are not attached, and their changes are told as changes of quotes that are: %s', missing), repair);
end $$;
comment on function quote_collab_doctor_tables() is 'doctor: the attached tables';

-- Columns by which the functions find rows, id and the line's quote, with which no index of the table begins that finds single rows.
create function quote_columns_unindexed(settings quote_collab_settings) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.column_name from unnest('{id,quote}'::text[]) r (role) cross join lateral (select settings.columns ->> r.role) c (column_name)
    where c.column_name is not null and not exists (
        select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
        where i.indrelid = @extschema@.quote_collab_table(settings) and i.indisvalid and a.attname = c.column_name
            and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname))
            and m.amname in ('btree', 'hash', 'gist'))
$$;
comment on function quote_columns_unindexed(quote_collab_settings) is 'doctor: columns by which rows are found, and no index has them first';

-- How rows refer to each other: lines to their headers, others to the keys of the table, and partitions to it.
create function quote_collab_doctor_references(s quote_collab_settings) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.%I', s.table_schema, s.table_name);
    target regclass := @extschema@.quote_collab_table(s);
    names text;
    hints text;
begin
    if s.entity = 'QUOTE_LINE' then
        return next @extschema@.quote_collab_verdict('lines name headers: ' || name, not @extschema@.quote_lines_astray(s), 'warning',
            format('no line that was looked at has in "%s" the id of a header', s.columns ->> 'quote'),
            'See that the column is made as the id of the header is, or attach anew and name another: {"line_columns": {"quote": "..."}}.');
    end if;
    select string_agg(i.index::text, ', '), string_agg(coalesce(i.mend, @extschema@.quote_locking_index_advice(i.index)), ' ')
    into names, hints from @extschema@.quote_locking_indexes(target, (s.columns ->> 'id')::name) i;
    return next @extschema@.quote_collab_verdict('updates lock no references: ' || name, names is null, 'warning',
        format('each update keeps others from inserting rows that refer to its row, since unique indexes are over generated columns: %s', names), hints);
    select string_agg(i.inhrelid::regclass::text, ', '),
        string_agg(format('alter table %s detach partition %s finalize;', i.inhparent::regclass, i.inhrelid::regclass), ' ')
    into names, hints from pg_inherits i
    where i.inhdetachpending and i.inhparent in (select target union select p.relid from pg_partition_tree(target) p);
    return next @extschema@.quote_collab_verdict('partitions whole: ' || name, names is null, 'warning',
        format('detaching was interrupted, and attach does not reach partitions any more: %s', names), hints);
end $$;
comment on function quote_collab_doctor_references(quote_collab_settings) is 'doctor: how rows refer to each other';

-- What changes rows past our triggers, or after them.
create function quote_collab_doctor_bypasses(s quote_collab_settings) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.%I', s.table_schema, s.table_name);
    target regclass := @extschema@.quote_collab_table(s);
    names text;
    hints text;
begin
    select string_agg(t.name, ', '), string_agg(t.rename, ' ') into names, hints from @extschema@.quote_late_triggers(s) t;
    return next @extschema@.quote_collab_verdict('version stamped last: ' || name, names is null, 'warning',
        format('these triggers may change a row after its version was decided: %s', names), hints);
    if @extschema@.quote_table_is_chunked(target) then
        return next @extschema@.quote_collab_verdict('no inheritance: ' || name, false, 'error',
            'it is a hypertable of TimescaleDB, whose rows lie in tables that inherit from it: what drops or replicates those leaves no history, and it cannot be attached again',
            format('Have its rows in an ordinary or a partitioned table. Until then: select @extschema@.detach_quote_collaboration(quotes => %L);', target));
        return;
    end if;
    select string_agg(t.relation::text, ', '), string_agg(format('alter table %s no inherit %s;', t.relation, target), ' ')
    into names, hints from @extschema@.quote_inheriting_tables(target) t (relation);
    return next @extschema@.quote_collab_verdict('no inheritance: ' || name, names is null, 'error',
        format('triggers are not inherited: changes of rows of these tables may leave no history and raise no version, and saves of them be lost: %s', names),
        format('Make them partitions, or let them inherit no longer: %s', hints));
end $$;
comment on function quote_collab_doctor_bypasses(quote_collab_settings) is 'doctor: triggers and tables by which rows change past those that attach creates';

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
