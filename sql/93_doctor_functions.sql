-- doctor: the extension's functions against the script that made them.

-- The script of the installed release as CREATE EXTENSION runs it; null where it is not on this server any more. Only who may read files of
-- the server may read it. Debian's servers look below another root first, PostgreSQL 18 along a path.
create function quote_release_script() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select replace(f.script, '@' || 'extschema@', quote_ident(n.nspname))
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace cross join pg_config() c
    cross join unnest(array[current_setting('extension_destdir', true) || c.setting]
        || string_to_array(coalesce(current_setting('extension_control_path', true), '$system'), ':')) with ordinality p (path, place)
    cross join lateral (select pg_read_file(format('%s/extension/quote_collab_ext--%s.sql', replace(p.path, '$system', c.setting), e.extversion),
        0, 100000000, true)) f (script)
    where e.extname = 'quote_collab_ext' and c.name = 'SHAREDIR' and f.script is not null
    order by p.place limit 1
$$;
comment on function quote_release_script() is 'doctor: the script of the installed release';
revoke execute on function quote_release_script() from public;

-- Where the files of this server are of an earlier release than what is installed, as on a server that was built anew, no script leads back. Null
-- where they are not.
create function quote_files_hint(installed text, available text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('Install the files of release %s of the extension on this server, or of a later one: they are of %s.', installed, available)
    from (values (string_to_array(substring(available from '^[0-9]+(?:[.][0-9]+)*'), '.')::integer[],
        string_to_array(substring(installed from '^[0-9]+(?:[.][0-9]+)*'), '.')::integer[])) v (available_numbers, installed_numbers)
    where v.available_numbers < v.installed_numbers
$$;
comment on function quote_files_hint(text, text) is 'doctor: what to do where the server''s files are of an earlier release than is installed; null where they are not';

-- A function as a script makes it. body: as pg_proc keeps it, the symbol of one in C, nothing where it is kept parsed.
create type @extschema@.quote_released_function as (name text, header text, body text, statement text);
comment on type @extschema@.quote_released_function is 'a function as a script makes it';

-- The functions of a script. CREATE EXTENSION puts other words in the place of some, here too if they stood in one piece.
create function quote_script_functions(script text) returns setof quote_released_function
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select x.name, h.header, case when h.in_c then split_part(split_part(p.piece, format('%L, ''', k.library), 2), '''', 1)
            when h.is_parsed then '' else split_part(p.piece, '$' || '$', 2) end,
        case when h.in_c then replace(split_part(p.piece, ';', 1), k.library, '$libdir/quote_collab_ext')
            when h.is_parsed then split_part(p.piece, E'\nend;', 1) || E'\nend'
            else (string_to_array(p.piece, '$' || '$'))[1] || '$' || '$' || split_part(p.piece, '$' || '$', 2) || '$' || '$' end || ';'
    from string_to_table(replace(script, E'\nCREATE  FUNCTION ', E'\ncreate function '), E'\ncreate function ') with ordinality p (piece, place)
    cross join lateral (select substring(p.piece from E'\\w+')) x (name)
    cross join lateral (select split_part(p.piece, '$' || '$', 1), split_part(p.piece, ';', 1)) s (to_body, to_end)
    cross join lateral (select 'MODULE_' || 'PATHNAME') l (library)
    cross join lateral (select l.library, s.to_end like format('%%%L%%', l.library), s.to_end like E'%\nbegin atomic%') k (library, in_c, is_parsed)
    cross join lateral (select case when k.in_c or k.is_parsed then s.to_end else s.to_body end, k.in_c, k.is_parsed) h (header, in_c, is_parsed)
    where p.place > 1
$$;
comment on function quote_script_functions(text) is 'doctor: the functions that a script creates';

-- Functions that do something else than those of the release, or run in another way, with the statements that make them again. Two functions that
-- are kept parsed are looked at for how they run only. Whoever installed it with quote_all_identifiers has quotes in its functions.
create function quote_functions_altered(released quote_released_function[]) returns table (function regprocedure, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with own as (
        select f.function, p.*, n.nspname, owner.rolsuper as is_trusted
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function join pg_namespace n on n.oid = p.pronamespace
        join pg_roles owner on owner.oid = p.proowner
        where p.prokind = 'f'),
    as_released as (
        select p.function from own p join unnest(released) r on r.name = p.proname
        cross join lateral (select '"' || replace(p.nspname, '"', '""') || '"', quote_ident(p.nspname)) s (quoted, plain)
        cross join lateral (select replace(lower(r.header collate "C"), E'\n', ' ') || ' ') h (words)
        where replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain)
            and coalesce(p.probin, '$libdir/quote_collab_ext') = '$libdir/quote_collab_ext'
            and p.prosecdef = (h.words like '% security definer %') and p.proisstrict = (h.words like '% strict %')
            and p.provolatile = case when h.words like '% immutable %' then 'i' when h.words like '% stable %' then 's' else 'v' end
            and array(select lower(split_part(c, '=', 1) collate "C") || replace(substr(c, strpos(c, '=')), '"', '') from unnest(p.proconfig) c order by 1)
                = array(select lower(split_part(c, ' = ', 1) collate "C") || '=' || translate(split_part(split_part(c, E'\n', 1), ' = ', 2), '''"', '')
                    from unnest((string_to_array(r.header, E'\nset '))[2:]) c order by 1)
            and p.proparallel = case when h.words like '% parallel safe %' then 's' when h.words like '% parallel restricted %' then 'r' else 'u' end)
    select p.function, case when p.is_trusted then coalesce((
                select string_agg(format('set search_path = %I, pg_temp; create or replace function %s reset search_path;', p.nspname, r.statement), ' ')
                from unnest(released) r where r.name = p.proname),
            format('alter extension quote_collab_ext drop function %s;', p.function))
        else format('alter function %s owner to %I;', p.function, @extschema@.quote_superuser()) end
    from own p where not p.is_trusted or not exists (select from as_released r where r.function = p.function)
$$;
comment on function quote_functions_altered(quote_released_function[]) is 'doctor: functions that are not as the release made them';

-- Functions of the release that are no longer the extension's, with what takes them back: DROP EXTENSION leaves them behind, and updates fail on
-- them. One that is gone is made first, as closed as it was; one of somebody else's under its name does not count.
create function quote_functions_missing(script text, functions quote_released_function[]) returns table (name text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with released as materialized (select r.* from unnest(functions) r),
    own as (select p.proname, count(*) as functions from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function group by p.proname),
    missing as (select r.name from released r left join own o on o.proname = r.name group by r.name, o.functions having count(*) > coalesce(o.functions, 0))
    select m.name, coalesce((
            select string_agg(format('alter extension quote_collab_ext add function %s;', p.oid::regprocedure), ' ')
            from pg_proc p join pg_roles o on o.oid = p.proowner
            where p.pronamespace = e.extnamespace and p.proname = m.name and o.rolsuper and exists (
                    select from released r where r.name = m.name and replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain))
                and not exists (select from @extschema@.quote_extension_functions() f where f.function = p.oid)),
        format('set search_path = %s, pg_temp; ', s.plain)
            || (select string_agg(format('create or replace function %s ', r.statement), '') from released r where r.name = m.name)
            || (select string_agg(format('comment on function %s is %s; ', c[1], c[2]), '')
                from regexp_matches(script, format(E'\\ncomment on function (%s[(][^)]*[)]) is ([^\\n]*);', m.name), 'g') c)
            || coalesce((select string_agg(r[1] || ' ', '') from regexp_matches(script, format(E'\\n(revoke [^;]*\\m%s[(][^;]*;)', m.name), 'g') r), '')
            || (select string_agg(format('alter extension quote_collab_ext add function %s; ', c[1]), '')
                from regexp_matches(script, format(E'\\ncomment on function (%s[(][^)]*[)]) is ', m.name), 'g') c)
            || 'reset search_path;')
    from missing m cross join pg_extension e join pg_namespace n on n.oid = e.extnamespace
    cross join lateral (select '"' || replace(n.nspname, '"', '""') || '"', quote_ident(n.nspname)) s (quoted, plain)
    where e.extname = 'quote_collab_ext'
$$;
comment on function quote_functions_missing(text, quote_released_function[]) is 'doctor: functions of the release that are not the extension''s';

create function quote_collab_doctor_functions_released() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    script text;
    released @extschema@.quote_released_function[];
    names text;
    hints text;
begin
    script := @extschema@.quote_release_script();
    released := array(select f from @extschema@.quote_script_functions(script) f);
    if cardinality(released) = 0 then
        return @extschema@.quote_collab_unchecked('functions as released', 'the script of the installed release is not on this server any more, or cannot be read',
            coalesce((select @extschema@.quote_files_hint(e.extversion, v.default_version) from pg_extension e join pg_available_extensions v on v.name = e.extname
                where e.extname = 'quote_collab_ext'), 'alter extension quote_collab_ext update;'));
    end if;
    select string_agg(f.name, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_missing(script, released) f;
    if names is not null then
        return @extschema@.quote_collab_verdict('functions as released', false, 'error',
            format('these functions of the release are no longer the extension''s: %s', names), hints);
    end if;
    select string_agg(f.function::text, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_altered(released) f;
    return @extschema@.quote_collab_verdict('functions as released', names is null, 'error',
        format('these functions do something else than the release has them do, or as another role: %s', names), hints);
exception when insufficient_privilege then
    return @extschema@.quote_collab_unchecked('functions as released', sqlerrm, 'Run it as a superuser.');
end $$;
comment on function quote_collab_doctor_functions_released() is 'doctor: the extension''s functions against the script that made them';
