-- What cannot be attached is refused before anything is touched.

create function check_quote_tables(header regclass, lines regclass, options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if header is null or lines is null then
        raise exception 'no table "%" on the search path', case when header is null then 'quotes' else 'quote_lines' end
            using errcode = 'undefined_table',
                  detail = 'Without names in its arguments, attach looks for quotes and quote_lines.',
                  hint = 'Name both tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    end if;
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'quote collaboration needs a database in UTF8' using errcode = 'feature_not_supported',
            detail = format('This one is in %s.', getdatabaseencoding()),
                hint = 'Make another from a dump: create database ... encoding ''UTF8'' template template0;';
    end if;
    if header = lines then
        raise exception 'a table cannot be attached as its own lines' using errcode = 'invalid_parameter_value',
            detail = format('Both names lead to %s.', header), hint = 'Name two tables: the header and its lines.';
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
        @extschema@.find_quote_columns(header, 'QUOTE', @extschema@.quote_columns_chosen(header, coalesce(options -> 'columns', '{}')), '{quote_id}'::text[]);
end $$;
comment on function check_quote_tables(regclass, regclass, jsonb) is 'refuses what cannot be attached, and forgets tables that are gone';

-- Tables whose rows a query of this one finds, and whose changes its triggers do not see; partitions have them.
create function quote_inheriting_tables(target regclass) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = target and not c.relispartition
$$;
comment on function quote_inheriting_tables(regclass) is 'tables that inherit from a table and are no partitions of it';

-- Will TimescaleDB have tables inherit from it as soon as it has rows? Its catalog says so.
create function quote_table_is_chunked(target regclass) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    is_chunked boolean := false;
begin
    if exists (select from pg_extension e join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
            where e.extname = 'timescaledb' and d.classid = 'pg_class'::regclass and d.objid = to_regclass('_timescaledb_catalog.hypertable')) then
        execute format('select exists (select from %I.hypertable h join pg_class c on c.relname = h.table_name
            join pg_namespace n on n.oid = c.relnamespace and n.nspname = h.schema_name where c.oid = $1)', '_timescaledb_catalog')
        into is_chunked using target;
    end if;
    return is_chunked;
end $$;
comment on function quote_table_is_chunked(regclass) is 'whether a table is a hypertable of TimescaleDB';

-- Is it a table of the ERP's, whose rows are all its own? SQLSTATE 42809, 0A000.
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
            using errcode = 'wrong_object_type', detail = format('%s is neither.', target), hint = 'Name the tables that hold the rows.';
    elsif found.relpersistence = 't' then
        raise exception 'table % is temporary', target
            using errcode = 'wrong_object_type', detail = 'Its rows are seen by one session, and gone with it.', hint = 'Attach tables that stay.';
    elsif found.is_member or @extschema@.is_quote_history(target) then
        raise exception 'table % is not a table of the ERP', target
            using errcode = 'wrong_object_type', detail = 'It belongs to PostgreSQL, to an extension or to quote collaboration itself.',
                  hint = 'Name the ERP''s own tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    elsif @extschema@.quote_table_is_chunked(target) then
        raise exception 'table % is a hypertable', target
            using errcode = 'feature_not_supported', detail = 'TimescaleDB keeps its rows in tables that inherit from it.',
                  hint = 'Attach a partitioned table. Where it is attached from before: select @extschema@.detach_quote_collaboration(...);';
    elsif exists (select from @extschema@.quote_inheriting_tables(target)) then
        raise exception 'table % has tables that inherit from it', target
            using errcode = 'feature_not_supported', detail = 'Triggers are not inherited: changes of their rows would leave no history.',
                  hint = 'Make them partitions, or let them inherit no longer: alter table ... no inherit.';
    end if;
end $$;
comment on function check_quote_target(regclass) is 'refuses tables that cannot be attached';

-- Is it a table that attach makes: known by its policy, or as what stands beside such a log or one that is in use.
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

-- What stands under our names and is not ours is not taken away. SQLSTATE 42710 for triggers, 42P07 for views, 42723 for functions.
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
    other regprocedure;
begin
    select f.function into other from @extschema@.quote_view_functions_found(home) f where not f.is_ours limit 1;
    if found then
        raise exception 'function % is in the way', other
            using errcode = 'duplicate_function', detail = 'It was not made by quote collaboration.', hint = 'Rename or drop it.';
    end if;
    for view_name in select format('%I.%I', home, v.name)
        from unnest('{v_quote_change_events,v_quote_changes_all,v_recent_quote_changes,v_active_quote_collaborators}'::text[]) v (name)
    loop
        continue when not @extschema@.quote_relation_stands(view_name, 'v'::"char", home_owner);
        continue when exists (
            select from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            where r.ev_class = to_regclass(view_name) and (d.refclassid = 'pg_class'::regclass
                    and d.refobjid in (to_regclass(format('%I.quote_changes', home)), to_regclass(format('%I.active_quote_sessions', home)))
                or d.refclassid = 'pg_proc'::regclass
                    and d.refobjid in (select f.function from @extschema@.quote_view_functions_found(home) f where f.is_ours)));
        raise exception 'view % is in the way', view_name
            using errcode = 'duplicate_table', detail = 'It was not made by quote collaboration.', hint = 'Rename or drop it.';
    end loop;
end $$;
comment on function check_quote_views(name, name) is 'refuses views and functions of others under our names';

-- SQLSTATE 42703 for tables of the history that lack columns: those of the owner of the quotes, too, to whom a history that was kept belongs.
create function require_quote_columns(header regclass, home name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lacking record;
begin
    select m.* into lacking from pg_class c cross join lateral @extschema@.quote_columns_missing(home, pg_get_userbyid(c.relowner)) m
    where c.oid = header limit 1;
    if found then
        raise exception 'table % is not as attach makes it', lacking.relation
            using errcode = 'undefined_column', detail = format('It lacks: %s.', lacking.names), hint = lacking.repair;
    end if;
end $$;
comment on function require_quote_columns(regclass, name) is 'refuses tables under names of ours that lack columns';

-- A log that stands where a first pair's belongs is taken up when it belongs to the owner of the quotes or a superuser: it was kept
-- when a pair was detached. SQLSTATE 42P07 for another's, 42703 where columns are missing. homes: where pairs were attached up to now.
create function check_quote_home(header regclass, home name, homes name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.quote_relation_stands(format('%I.%I', home, k.name), 'p'::"char", pg_get_userbyid(c.relowner))
    from pg_class c, unnest('{quote_changes,quote_changes_archive}'::name[]) k (name)
    where c.oid = header and (k.name = 'quote_changes_archive' or home <> all (homes));
    perform @extschema@.require_quote_columns(header, home);
end $$;
comment on function check_quote_home(regclass, name, name[]) is 'refuses a log or an archive that somebody else has planted, or that lacks columns';

-- A table has one role, lines have one header, and a header has one table of lines. SQLSTATE 55000.
create function check_quote_pairing(target regclass, entity text, header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    other record;
begin
    select s.* into other from (
        select a.*, @extschema@.quote_collab_table(a) as relation, case a.entity when 'QUOTE' then @extschema@.quote_collab_table(a)
            else @extschema@.quote_collab_table(@extschema@.quote_collab_partner(a)) end as header
        from @extschema@.quote_collab_settings a) s
    where s.relation = target and (s.entity <> check_quote_pairing.entity or s.header <> check_quote_pairing.header)
        or s.relation <> target and s.header = check_quote_pairing.header and s.entity = check_quote_pairing.entity
        or s.relation in (select t.relid from pg_partition_tree(target) t where t.relid <> target
            union select p.relid from pg_partition_ancestors(target) p where p.relid <> target)
    limit 1;
    if not found then
        return;
    end if;
    raise exception 'table % cannot be attached like this', target
        using errcode = 'object_not_in_prerequisite_state',
              detail = format('%I.%I is attached as the %s of %I.%I.', other.table_schema, other.table_name,
                  case other.entity when 'QUOTE' then 'header' else 'lines' end, other.header_schema, other.header_table),
              hint = format('Detach that pair first: select detach_quote_collaboration(quotes => %L).',
                  format('%I.%I', other.table_schema, other.table_name));
end $$;
comment on function check_quote_pairing(regclass, text, regclass) is 'refuses a table that another pair holds';

-- Where the audit log is, or will be: a pair that is attached later writes to the log of the first. Where the log's schema is gone,
-- a new one begins beside this header.
create function choose_quote_home(header regclass, out home name, out home_owner name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select x.home, pg_get_userbyid(coalesce(l.relowner, x.relowner)) from (
        select coalesce((select s.log_schema from @extschema@.quote_collab_settings s join pg_namespace h on h.nspname = s.log_schema limit 1), n.nspname)
            as home, c.relowner
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header) x
    left join (pg_class l join pg_namespace ln on ln.oid = l.relnamespace) on ln.nspname = x.home and l.relname = 'quote_changes'
$$;
comment on function choose_quote_home(regclass) is 'schema of the audit log, and who owns what is in it';
