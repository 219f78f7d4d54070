-- What cannot be attached is refused before anything is touched.

create function check_quote_tables(header regclass, lines regclass, options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if header is null or lines is null then
        raise exception 'no table "%" on the search path', case when header is null then 'quotes' else 'quote_lines' end
            using errcode = 'undefined_table',
                  hint = 'Name both tables: select attach_quote_collaboration(''sales.offers'', ''sales.offer_items'').';
    end if;
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'quote collaboration needs a database in UTF8' using errcode = 'feature_not_supported',
            detail = format('This one is in %s.', getdatabaseencoding());
    end if;
    if header = lines then
        raise exception 'a table cannot be attached as its own lines' using errcode = 'invalid_parameter_value',
            hint = 'Name two tables: the header and its lines.';
    end if;
    if exists (select from pg_class c where c.oid in (header, lines) and c.relkind not in ('r', 'p')) then
        raise exception 'quote collaboration attaches to ordinary and partitioned tables only'
            using errcode = 'wrong_object_type';
    end if;
    perform @extschema@.check_quote_options(options), @extschema@.check_quote_option_columns(header, lines, options);
    -- What was dropped or renamed is forgotten, unless its partner is still attached and not spoken of here.
    delete from @extschema@.quote_collab_settings s
    where @extschema@.quote_collab_table(s) is null and not exists (
        select from @extschema@.quote_collab_settings p
        where (p.header_schema, p.header_table) = (s.header_schema, s.header_table) and @extschema@.quote_collab_table(p) not in (header, lines));
    perform @extschema@.check_quote_pairing(header, 'QUOTE', header), @extschema@.check_quote_pairing(lines, 'QUOTE_LINE', header),
        @extschema@.find_quote_columns(header, 'QUOTE', coalesce(options -> 'columns', '{}'), '{quote_id}'::text[]);
end $$;
comment on function check_quote_tables(regclass, regclass, jsonb) is 'refuses what cannot be attached, and forgets tables that are gone';

-- A log that stands where a first pair's belongs is taken up when it belongs to the owner of the quotes or a superuser: it was kept
-- when a pair was detached. SQLSTATE 42P07 for another's.
create function check_quote_home(header regclass, home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from @extschema@.quote_collab_settings s where s.log_schema = home) then
        perform @extschema@.quote_relation_stands(format('%I.quote_changes', home), 'p'::"char", pg_get_userbyid(c.relowner))
        from pg_class c where c.oid = header;
    end if;
end $$;
comment on function check_quote_home(regclass, name) is 'refuses a log that somebody else has planted';

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

-- Where the audit log is, or will be: a pair that is attached later writes to the log of the first.
create function choose_quote_home(header regclass, out home name, out home_owner name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select x.home, pg_get_userbyid(coalesce(l.relowner, x.relowner)) from (
        select coalesce((select s.log_schema from @extschema@.quote_collab_settings s limit 1), n.nspname) as home, c.relowner
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header) x
    left join (pg_class l join pg_namespace ln on ln.oid = l.relnamespace) on ln.nspname = x.home and l.relname = 'quote_changes'
$$;
comment on function choose_quote_home(regclass) is 'schema of the audit log, and who owns what is in it';
