-- Keys that are made of the ERP's own, where those are no uuids: columns that a trigger fills, so that clients may write rows whole, which they
-- may not with generated columns.

-- How an id is made of a column: the same for each row that has the same value there, and for no row of another table.
create function quote_key_rule(header regclass, column_name name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('md5(%L || new.%I)::uuid', format('%I.%I ', n.nspname, c.relname), column_name)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header
$$;
comment on function quote_key_rule(regclass, name) is 'expression that makes the id of a header of a column with its key';

-- What the function of a trigger does that fills a column.
create function quote_key_body(made name, rule text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select format('begin new.%I := %s; return new; end', made, rule) $$;
comment on function quote_key_body(name, text) is 'body of a trigger function that fills a column';

-- How the column that names the header is made of one that names it by another key: as the header's id is made of that key; null where it is not. What would
-- have to be looked up in the header is not made: it would need rights that whoever hangs the function on a table of his own could misuse.
create function quote_reference_rule(target regclass, column_name name, header regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with reference as (
        select f.confkey, @extschema@.quote_base_type(a.atttypid) as kind
        from pg_attribute a left join pg_constraint f on f.contype = 'f' and f.conrelid = target and f.confrelid = header and a.attnum = any (f.conkey)
        where a.attrelid = target and a.attname = column_name
        order by cardinality(f.conkey), f.oid limit 1)
    select min(@extschema@.quote_key_rule(header, column_name))
    from reference r join pg_attribute k on k.attrelid = header and k.attnum > 0 and (r.confkey is null or r.confkey = array[k.attnum])
    join pg_trigger g on g.tgrelid = header and g.tgname = 'trg_collab_id'
    join pg_proc p on p.oid = g.tgfoid and p.prosrc = @extschema@.quote_key_body('collab_id'::name, @extschema@.quote_key_rule(header, k.attname))
    where exists (select from (values ('{smallint,integer,bigint}'::regtype[]), ('{text,character varying}')) alike (kinds)
        where r.kind = any (alike.kinds) and @extschema@.quote_base_type(k.atttypid) = any (alike.kinds))
$$;
comment on function quote_reference_rule(regclass, name, regclass) is 'expression that makes the id of a header of a column of its lines';

-- The statements that give a table a uuid for a role, made of a column that is none, and the option that names it; null where it might mix up rows: what is
-- equal to the ERP must have equal uuids, and nothing else. The trigger fires behind those of the ERP that make keys, as far as names say so, and before ours.
create function quote_made_key(target regclass, column_name name, role text, header regclass) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    made name := 'collab_' || role;
    option text := format('{"%s": {"%s": "%s"}}', case when target = header then 'columns' else 'line_columns' end, role, made);
    source record;
    rule text;
    maker text;
begin
    if exists (select from pg_attribute a where a.attrelid = target and a.attname = made and a.atttypid = 'uuid'::regtype and not a.attisdropped) then
        return format('There is one. Name it: %s', option);
    end if;
    select a.attnum, a.attnotnull, c.relkind, c.relname, n.nspname into source
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attname = column_name
    where c.oid = target and a.attgenerated = '' and @extschema@.quote_base_type(a.atttypid) = any ('{smallint,integer,bigint,text,character varying}'::regtype[])
        and not exists (select from pg_collation k where k.oid = a.attcollation and not k.collisdeterministic)
        and not exists (select from pg_attribute o where o.attrelid = target and o.attname = made and not o.attisdropped);
    if not found then
        return null;
    end if;
    rule := case
        when role = 'tenant' then format('md5(%L || new.%I)::uuid', 'tenant ', column_name)
        when role = 'quote' then @extschema@.quote_reference_rule(target, column_name, header)
        when role = 'id' and exists (
            select from pg_index i where i.indrelid = target and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
                and i.indnkeyatts = 1 and i.indkey[0] = source.attnum) then @extschema@.quote_key_rule(target, column_name) end;
    if rule is null then
        return null;
    end if;
    maker := format('%I.%I', source.nspname, case when octet_length(source.relname) < 45 then source.relname else left(source.relname, 11) end || '_' || made);
    return format('Make one of it: alter table %1$s add %2$I uuid; create function %3$s() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as %4$L; '
            'create trigger %5$I before insert or update on %1$s for each row execute function %3$s(); alter table %1$s enable always trigger %5$I; '
            'update %1$s set %6$I = %6$I;', target, made, maker, @extschema@.quote_key_body(made, rule), 'trg_' || made, column_name)
        || case when source.attnotnull then format(' alter table %s alter %I set not null;', target, made) else '' end
        || case role when 'tenant' then '' else format(' create %sindex on %s (%I);', case when role = 'id' and source.relkind <> 'p' then 'unique ' else '' end, target, made) end
        || format(' Then name it: %s', option);
end $$;
comment on function quote_made_key(regclass, name, text, regclass) is 'statements that make a uuid of a column that is none';

-- Whether lines name headers that are not there: none of some of them. Whoever does not see all headers is told nothing.
create function quote_lines_astray(line quote_collab_settings) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lines regclass := @extschema@.quote_collab_table(line);
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(line);
    headers regclass := @extschema@.quote_collab_table(header);
    astray boolean;
begin
    -- Another check tells of columns that are gone, and of what stands in the place of a table.
    if (select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p')
            where (a.attrelid, a.attname) in ((lines, line.columns ->> 'quote'), (headers, header.columns ->> 'id')) and a.attnum > 0
                and @extschema@.quote_base_type(a.atttypid) = 'uuid'::regtype and has_table_privilege(c.oid, 'select') and not row_security_active(c.oid)) < 2 then
        return false;
    end if;
    execute format('select count(*) > 0 and count(h.found) = 0 from (select l.%1$I as quote from %2$s l where l.%1$I is not null limit 100) l
        left join lateral (select true as found from %3$s h where h.%4$I = l.quote limit 1) h on true',
        line.columns ->> 'quote', lines, headers, header.columns ->> 'id') into astray;
    return astray;
end $$;
comment on function quote_lines_astray(quote_collab_settings) is 'whether no line that is looked at names a header that is there';

create function tell_of_quote_lines_astray(line quote_collab_settings) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if @extschema@.quote_lines_astray(line) then
        raise warning 'lines of % name no header', @extschema@.quote_collab_table(line)
            using detail = format('No row that was looked at has in "%s" the id of a header.', line.columns ->> 'quote'),
                hint = 'See that the column is made as the id of the header is, or name another: {"line_columns": {"quote": "..."}}.';
    end if;
end $$;
comment on function tell_of_quote_lines_astray(quote_collab_settings) is 'warns of lines that belong to no header';
