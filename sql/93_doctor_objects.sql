-- doctor: views and rules.

-- What EXPLAIN says of a query: it runs nothing, but the planner computes constants, and so calls functions. Of a query alone: EXPLAIN EXECUTE works
-- out parameters.
create function explain_quote_query(query text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    line text;
    plan text := '';
begin
    for line in execute format('explain (verbose, costs off) select * from (%s) planned', query) loop
        plan := concat(plan, line, chr(10));
    end loop;
    return plan;
end $$;
comment on function explain_quote_query(text) is 'doctor: the plan of a query, under the rights of the caller';

-- Does a view show something else than a query? PostgreSQL keeps a view as a tree of its own and prints that as each release
-- likes; planned they are alike. It is planned as it is printed, with the aliases that it has once it came out of a dump, whatever they
-- were when it was made. Planned again where they are not alike, since statistics may have come between.
create function quote_view_differs(target regclass, query text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text := (select string_agg(format('x.%I', a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped);
begin
    for attempt in 1 .. 3 loop
        if @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, rtrim(pg_get_viewdef(target), ';')))
            = @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, query))
        then
            return false;
        end if;
    end loop;
    return true;
-- A syntax error where the view was dropped in between, an invalid definition where it reads itself.
exception when undefined_column or ambiguous_column or undefined_function or undefined_table or syntax_error or invalid_object_definition or statement_too_complex then
    return true;
end $$;
comment on function quote_view_differs(regclass, text) is 'doctor: true when a view shows something else than a query';

-- What a view reads or calls that no view of ours does. Such a view is not planned: that might run what others wrote.
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

-- Functions that views read and that are not as attach made them: views that read them are not planned either.
create function quote_view_functions_changed(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(p.oid::regprocedure::text, ', ')
    from @extschema@.quote_view_functions(target_schema) f
    join pg_proc p on p.proname = f.function_name and p.pronargs = 0 join pg_namespace n on n.oid = p.pronamespace and n.nspname = target_schema
    join pg_roles r on r.oid = p.proowner join pg_language l on l.oid = p.prolang
    where p.prosrc <> f.query or not r.rolsuper or l.lanname <> 'sql' or p.prosecdef or p.proconfig is not null or p.provolatile <> 's'
$$;
comment on function quote_view_functions_changed(name) is 'doctor: functions that views read and that do something else than those that attach creates';

create function quote_collab_doctor_objects(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hints text;
    names text;
    item record;
    wrong text[] := '{}'::text[];
    changed text := @extschema@.quote_view_functions_changed(target_schema);
begin
    select string_agg(v.view_name, ', ') into names from @extschema@.quote_view_queries(target_schema) v
    where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = v.view_name and c.relkind = 'v');
    return next @extschema@.quote_collab_verdict('views present', names is null, 'error', format('these views are missing: %s', names), null);
    select string_agg(c.oid::regclass::text, ', ') into names
    from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
    where c.relkind = 'v' and not coalesce(c.reloptions @> '{security_invoker=true}', false);
    return next @extschema@.quote_collab_verdict('views ask as the caller', names is null, 'error',
        format('these views show what their owner may see: %s', names), null);
    -- Sessions are unlogged: a standby cannot plan what reads them.
    begin
        for item in
            select c.oid::regclass as relation, v.query, coalesce(@extschema@.quote_view_strangers(c.oid::regclass), case
                when v.view_name in ('v_recent_quote_changes', 'v_active_quote_collaborators') then changed end) as strangers
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
            format('these views show something else than those that attach creates: %s', array_to_string(wrong, ', ')), null);
    exception when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked('views as attached', sqlerrm, 'Run it as a superuser.');
    end;
    -- Where the table is gone other checks say so.
    return next @extschema@.quote_collab_verdict('presence guarded',
        coalesce(@extschema@.quote_sessions_guarded(to_regclass(format('%I.active_quote_sessions', target_schema))), true), 'error',
        'who may write sessions may write those of others, and times that never come', null);
    select string_agg(k.problem, ', '), string_agg(k.repair, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_session_keys_missing(r.relation) k
    where r.is_presence and not k.is_key;
    return next @extschema@.quote_collab_verdict('sessions found by an index', names is null, 'warning',
        format('whoever looks who is there reads all sessions: %s', names), hints);
    select string_agg(format('%s on %s', r.rulename, c.oid::regclass), ', '), string_agg(format('drop rule %I on %s;', r.rulename, c.oid::regclass), ' ')
    into names, hints from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    where r.rulename <> '_RETURN' and r.is_instead and (n.nspname = target_schema and c.relname in (select v.view_name from @extschema@.quote_view_queries(target_schema) v)
        or c.oid in (select l.relation from @extschema@.quote_own_relations(target_schema) l)
        or c.oid in (select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)::oid
            union select p.relid from pg_partition_tree(@extschema@.quote_collab_table(s)) p) t (oid)));
    return next @extschema@.quote_collab_verdict('no rules', names is null, 'error',
        format('these rules turn statements into others: %s', names), hints);
end $$;
comment on function quote_collab_doctor_objects(name) is 'doctor: views and rules';
