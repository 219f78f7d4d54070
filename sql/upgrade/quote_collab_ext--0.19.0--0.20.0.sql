-- From 0.19.0 to 0.20.0.
drop function check_quote_column_types(regclass, jsonb);
create or replace function quote_collab_target(entity text) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings;
begin
    select s.* into target from @extschema@.quote_collab_settings s
    where s.entity = quote_collab_target.entity
    order by s.attached_at, s.table_schema, s.table_name limit 1;
    if not found then
        raise exception 'quote collaboration is not attached to any table'
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'This function works on the tables that attach_quote_collaboration() was given, and there are none.',
                  hint = 'Run select attach_quote_collaboration() as a superuser.';
    end if;
    return target;
end $$;
create or replace function require_quote_table(target quote_collab_settings) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if @extschema@.quote_table_trusted(target) then
        return;
    elsif @extschema@.quote_collab_table(target) is null then
        raise exception 'there is no table %.%', target.table_schema, target.table_name using errcode = 'undefined_table',
            detail = 'It was attached under this name, and no table of this name is there now.',
            hint = 'It was renamed or dropped: attach the table anew, as a superuser.';
    end if;
    raise exception 'table %.% is not the one that was attached', target.table_schema, target.table_name
        using errcode = 'object_not_in_prerequisite_state', detail = 'It belongs to somebody who owned neither that one nor the history.',
              hint = @extschema@.quote_strangers_hint('Attach it anew, as a superuser, if it took the place of the other.');
end $$;
create or replace function guard_quote_settings() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not pg_has_role(current_user, @extschema@.quote_extension_owner(), 'member') then
        raise exception 'table % is written by functions of the extension alone', tg_relid::regclass using errcode = 'insufficient_privilege',
            detail = format('Role %s does not own the extension, and is no member of its owner.', current_user),
            hint = 'Settings are given to attach_quote_collaboration(), by a superuser; the anchor of the seals is kept by sealing.';
    end if;
    return null;
end $$;
create or replace function require_quote_relations(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(a.relation::text, ', '), string_agg(@extschema@.quote_relation_return(a.relation, home, a.name), ' ')
    into names, hints from @extschema@.quote_relations_astray(home) a;
    if names is not null then
        raise exception 'tables of the history were moved away: %', names using errcode = 'object_not_in_prerequisite_state',
            detail = format('They are expected in schema %s, under the names that attach gave them.', home), hint = format('Put them back: %s', hints);
    end if;
end $$;
comment on function quote_own_relations(name) is 'history, presence, relay, seals and the sequence of positions';
create or replace function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first timestamptz;
    ends timestamptz;
    month_name name;
    archived regclass;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(months_ahead::text, 'null')), hint = 'Maintenance makes three.';
    end if;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        month_name := @extschema@.quote_changes_month_name(log, first);
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        continue when @extschema@.quote_month_stands(log, first);
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        begin
            archived := (select a.month from @extschema@.quote_archived_months(log) a where (a.month_start, a.month_end) = (first, ends));
            if archived is null then
                perform @extschema@.create_quote_changes_month(log, month_name, first, ends);
                made := made + 1;
            else
                made := made + @extschema@.return_quote_month(log, archived, month_name, first, ends)::integer;
            end if;
        exception when others then
            raise warning 'month % of the audit log has no partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm
                using hint = 'The default partition takes its rows until the next attempt.';
            -- Who keeps the log from one month keeps it from the others.
            exit when sqlstate = '55P03';
        end;
    end loop;
    return made;
end $$;
create or replace function place_quote_strays(log regclass, at_most integer default 120, largest bigint default null) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    first timestamptz;
    ends timestamptz;
    months regclass[] := array[]::regclass[];
    starts timestamptz[] := array[]::timestamptz[];
    month regclass;
    archived integer := 0;
    is_moved boolean;
begin
    if log is distinct from to_regclass(format('%I.quote_changes', @extschema@.quote_collab_home())) then
        raise exception '% is not the audit log', log using errcode = 'invalid_parameter_value',
            detail = 'Each history has one, beside the first pair that was attached to it.', hint = 'Name quote_changes.';
    elsif spare is null or pg_relation_size(spare) > largest then
        return 0;
    end if;
    -- Before anything is read: two of these at once would each wait for what the other has read.
    perform @extschema@.lock_quote_seals(log);
    for first in execute format('select distinct date_trunc(''month'', c.changed_at at time zone ''UTC'') at time zone ''UTC'' from %s c
        where isfinite(c.changed_at) order by 1', spare)
    loop
        exit when cardinality(starts) + archived >= at_most;
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        begin
            is_moved := @extschema@.archive_quote_strays(log, spare, first, ends);
            if is_moved is not null then
                archived := archived + is_moved::integer;
                continue;
            end if;
            select m.month into month from @extschema@.quote_changes_months_before(log, 'infinity'::timestamptz) m
            where m.month_start < ends and m.month_end > first limit 1;
            if found then
                raise exception 'partition % has a part of it', month using errcode = 'invalid_object_definition',
                    detail = format('It overlaps with the month that begins at %s.', first), hint = 'Partitions are to have a month each.';
            end if;
            month := @extschema@.build_quote_changes_month(log, spare, @extschema@.quote_changes_month_name(log, first), first, ends);
            months := months || month;
            starts := starts || first;
        exception when others then
            raise warning 'rows of month % of the audit log stay in its default partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm;
            -- Who keeps one month from being built keeps the others, and each would wait as long.
            exit when sqlstate = '55P03';
        end;
    end loop;
    if cardinality(starts) > 0 then
        perform @extschema@.lock_quote_log(log, array[spare], '{}'::regclass[]);
        for i in 1 .. cardinality(starts) loop
            perform @extschema@.join_quote_changes_month(log, spare, months[i], @extschema@.quote_changes_month_name(log, starts[i]), starts[i],
                @extschema@.quote_changes_month(starts[i] + interval '32 days'));
        end loop;
    end if;
    return cardinality(starts) + archived;
end $$;
create or replace function archive_quote_strays(log regclass, spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_log_schema(log);
    archived regclass := (
        select a.month from @extschema@.quote_archived_months(log) a
        where a.month_start <= archive_quote_strays.month_start and a.month_end >= archive_quote_strays.month_end);
begin
    if archived is null then
        return null;
    elsif @extschema@.quote_strays_awaited(home, spare, month_start, month_end) then
        return false;
    elsif @extschema@.quote_log_is_published(log) then
        raise exception 'their month is archived, and the log is published' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Moving them by DELETE and INSERT would be told to subscribers as changes.',
            hint = 'Take the audit log out of its publications while they move.';
    end if;
    perform @extschema@.lock_quote_seals(log);
    perform @extschema@.note_quote_log_cut(log, m.newest, m.last_position) from @extschema@.move_quote_strays(spare, archived, month_start, month_end) m;
    return true;
end $$;
create or replace function require_quote_session_texts(user_name text, user_email text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if greatest(char_length(user_name), char_length(user_email)) > 255 then
        raise exception 'the % is too long', case when char_length(user_name) > 255 then 'name of the user' else 'address of the user' end
            using errcode = 'string_data_right_truncation',
            detail = format('It has %s characters.', greatest(char_length(user_name), char_length(user_email))), hint = 'Pass at most 255 characters.';
    end if;
end $$;
create or replace function guard_quote_session() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    verified uuid := @extschema@.verified_quote_user();
    known record;
begin
    if verified is not null and (tg_op <> 'DELETE' and new.user_id <> verified
            or tg_op <> 'INSERT' and old.user_id <> verified and @extschema@.quote_session_lives(old.last_heartbeat)) then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            detail = 'Whoever is verified by a token joins, changes and ends sessions of his own.',
            hint = 'Join with a session id of your own, or with none to get one.';
    elsif tg_op = 'DELETE' then
        return old;
    end if;
    if verified is not null and (tg_op = 'INSERT' or (new.user_id, new.user_name, new.user_email) is distinct from (old.user_id, old.user_name, old.user_email)) then
        select * into known from @extschema@.find_quote_user(verified);
        if known.known then
            new.user_name := left(known.user_name, 255);
            new.user_email := left(known.user_email, 255);
        end if;
    end if;
    perform @extschema@.require_quote_session_texts(new.user_name, new.user_email);
    if new.last_heartbeat not between '2000-01-01' and clock_timestamp() then
        new.last_heartbeat := greatest('2000-01-01', least(new.last_heartbeat, clock_timestamp()));
    end if;
    if new.joined_at not between '2000-01-01' and new.last_heartbeat then
        new.joined_at := new.last_heartbeat;
    end if;
    return new;
end $$;
create or replace function quote_collab_settings_of(target regclass) returns quote_collab_settings
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
create or replace function quote_reference_candidates(lines regclass, header regclass, header_id name) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with header_name (name) as (select c.relname::text from pg_class c where c.oid = header),
    keys (name, is_of_id) as (
        select a.attname::text, bool_or(h.attname = header_id)
        from pg_constraint k
        cross join lateral unnest(k.conkey, k.confkey) u (here, there)
        join pg_attribute a on a.attrelid = lines and a.attnum = u.here
        join pg_attribute h on h.attrelid = header and h.attnum = u.there
        where k.contype = 'f' and k.conrelid = lines and k.confrelid = header and (h.attname = header_id or cardinality(k.conkey) = 1)
        group by a.attname),
    candidates (name, place) as (
        select regexp_replace(n.name, 's$', '') || '_id', 1 from header_name n
        union all select n.name || '_id', 2 from header_name n
        union all select min(k.name), 3 from keys k where k.is_of_id having count(*) = 1
        union all select min(k.name), 4 from keys k having count(*) = 1
        union all select u.name, 4 + u.place::integer from unnest('{quote_id,order_id,document_id,header_id}'::text[]) with ordinality u (name, place))
    select array(select c.name from candidates c group by c.name order by min(c.place))
$$;
create or replace function add_quote_column(target regclass, column_name name, definition text, role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    foreign_part regclass := (select f from @extschema@.quote_foreign_partitions(target) f limit 1);
    by_hand text := (
        select case c.reloftype when 0 then format('alter table %s add column %I %s;', target, column_name, k.type)
            else format('alter type %s add attribute %I %s cascade;', c.reloftype::regtype, column_name, k.type) end
        from pg_class c cross join lateral (select split_part(definition, ' ', 1)) k (type) where c.oid = target);
begin
    if foreign_part is not null then
        raise exception 'table % has a foreign partition and no column "%"', target, column_name using errcode = 'feature_not_supported',
            detail = format('The server of %s would not have the column that attach adds.', foreign_part),
            hint = format('Add it there, then here, and attach then: %s', by_hand);
    end if;
    begin
        execute format('alter table %s add column %I %s', target, column_name, definition);
    exception when feature_not_supported or wrong_object_type then
        raise exception '%', sqlerrm using errcode = sqlstate,
            detail = format('PostgreSQL does not add column %I to %s as it stands.', column_name, target),
            hint = format('Add the column by hand, as far as it takes, and attach then: %s', by_hand);
    end;
    execute format('comment on column %s.%I is %L', target, column_name, @extschema@.quote_added_column_comment(role));
end $$;
create or replace function check_quote_tables(header regclass, lines regclass, options jsonb) returns void
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
create or replace function check_quote_options(options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    known text[] := '{columns,line_columns,ignored_columns,users,customers,system_user_id,truncate,replicated_history,archive_after,drop_after}'::text[];
    unknown text;
begin
    if jsonb_typeof(options) is distinct from 'object' then
        raise exception 'options must be a json object' using errcode = 'invalid_parameter_value', detail = format('It may have: %s.', array_to_string(known, ', ')),
            hint = 'Pass {"option": value, ...}.';
    end if;
    select k.name into unknown from jsonb_object_keys(options) k (name) where k.name <> all (known) limit 1;
    if found then
        raise exception 'attach has no option "%"', unknown
            using errcode = 'invalid_parameter_value',
            detail = 'An option that is not known could be a known one mistyped.', hint = format('Use one of: %s.', array_to_string(known, ', '));
    elsif options ->> 'truncate' not in ('refuse', 'record') then
        raise exception 'unknown option for truncate' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(options ->> 'truncate', 63)), hint = 'Use "refuse" or "record".';
    elsif jsonb_typeof(options -> 'replicated_history') not in ('boolean', 'null') then
        raise exception 'replicated_history must be true or false' using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(options -> 'replicated_history')),
            hint = 'Pass {"replicated_history": true}, or leave it out.';
    elsif options ->> 'system_user_id' !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
        raise exception 'system_user_id must be a uuid' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(options ->> 'system_user_id', 63)),
            hint = 'Name a user by his id: {"system_user_id": "00000000-0000-4000-8000-000000000001"}.';
    end if;
    perform @extschema@.check_quote_column_option(options, 'columns', 'QUOTE'), @extschema@.check_quote_column_option(options, 'line_columns', 'QUOTE_LINE'),
        @extschema@.check_quote_relation_option(options, 'users'), @extschema@.check_quote_relation_option(options, 'customers'),
        @extschema@.check_quote_ages(options);
end $$;
create or replace function check_quote_column_option(options jsonb, option text, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    roles text[] := array(select r.role from @extschema@.quote_column_roles('{}'::text[]) r where r.entity = check_quote_column_option.entity);
    free text[] := array(select r.role from @extschema@.quote_column_roles('{}'::text[]) r
        where r.entity = check_quote_column_option.entity and not r.required and r.role <> 'version');
    wrong record;
begin
    if jsonb_typeof(options -> option) <> 'object' then
        raise exception 'option "%" must be a json object', option
            using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(options -> option)), hint = format('Name columns by role: {"%s": {"tenant": "..."}}.', option);
    end if;
    select e.key, e.value into wrong from jsonb_each(options -> option) e
    where e.key <> all (roles) or jsonb_typeof(e.value) <> case when e.key = any (free) and e.value = 'null' then 'null' else 'string' end limit 1;
    if found and wrong.key = any (roles) then
        raise exception 'option "%" must name a column for the role "%"', option, wrong.key using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(wrong.value)),
            hint = format('Give its name as text%s.', case when wrong.key = any (free) then ', or null where no column shall play the role' else '' end);
    elsif found then
        raise exception 'option "%" knows no role "%"', option, wrong.key
            using errcode = 'invalid_parameter_value',
            detail = 'A role is what a column is to the extension.', hint = format('Use one of: %s.', array_to_string(roles, ', '));
    end if;
end $$;
create or replace function check_quote_relation_option(options jsonb, option text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    chosen jsonb := options -> option;
    shape text := format('For example {"%s": {"schema": "...", "table": "...", "id": "...", "name": "...", "email": "..."}}, or null for none.', option);
begin
    if chosen is null or chosen in ('null'::jsonb, 'false'::jsonb) then
        return;
    elsif jsonb_typeof(chosen) <> 'object' then
        raise exception 'option "%" must be a json object or null', option using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(chosen)), hint = shape;
    elsif exists (select from jsonb_each(chosen) e where e.key not in ('schema', 'table', 'id', 'name', 'email') or jsonb_typeof(e.value) <> 'string') then
        raise exception 'option "%" does not name a table and its columns', option using errcode = 'invalid_parameter_value',
            detail = 'It may have schema, table, id, name and email, each a text.', hint = shape;
    end if;
end $$;
create or replace function check_quote_option_columns(header regclass, lines regclass, options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ignored jsonb := options -> 'ignored_columns';
    unknown text;
begin
    if jsonb_typeof(ignored) <> 'array' or jsonb_path_exists(ignored, 'strict $[*] ? (@.type() != "string")') then
        raise exception 'option "ignored_columns" must be a list of columns'
            using errcode = 'invalid_parameter_value',
            detail = 'It is a json array of texts, each the name of a column.', hint = 'For example {"ignored_columns": ["last_viewed_at"]}.';
    end if;
    select i.name into unknown from jsonb_array_elements_text(ignored) i (name)
    where not exists (select from pg_attribute a where a.attrelid in (header, lines) and a.attname = i.name and a.attnum > 0 and not a.attisdropped)
    limit 1;
    if found then
        raise exception 'neither % nor % has a column "%" to ignore', header, lines, unknown using errcode = 'undefined_column',
            detail = 'It was named in the option "ignored_columns".', hint = 'Name columns as they are in the catalog.';
    end if;
end $$;
create or replace function check_quote_ages(options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    example text := 'For example {"archive_after": "24 months", "drop_after": "10 years"}.';
    archive_after interval;
    drop_after interval;
begin
    if jsonb_typeof(options -> 'archive_after') not in ('string', 'null') or jsonb_typeof(options -> 'drop_after') not in ('string', 'null') then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value',
            detail = 'Each is a text that can be read as an interval, or null.', hint = example;
    end if;
    begin
        archive_after := (options ->> 'archive_after')::interval;
        drop_after := (options ->> 'drop_after')::interval;
    exception when data_exception then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value',
            detail = 'Each is a text that can be read as an interval, or null.', hint = example;
    end;
    if archive_after <= interval '0' or drop_after <= interval '0' then
        raise exception 'ages of history must be positive' using errcode = 'invalid_parameter_value',
            detail = 'What is younger than nothing cannot be archived or dropped.', hint = example;
    elsif drop_after < archive_after or drop_after is not null and archive_after is null then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'It is archived first and dropped later.', hint = example;
    elsif greatest(archive_after, drop_after) > interval '1000 years' then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'The longest age is 1000 years.', hint = 'Leave the option out to keep history for ever.';
    end if;
end $$;
create or replace function find_quote_column(target regclass, role text, chosen jsonb, candidates text[], required boolean)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_column text;
begin
    if not required and chosen -> role = 'null' then
        return null;
    end if;
    select a.attname into found_column
    from unnest(case when chosen ? role then array[chosen ->> role] else candidates end) with ordinality c (name, place)
    join pg_attribute a on a.attrelid = target and a.attname = c.name and a.attnum > 0 and not a.attisdropped
    order by c.place limit 1;
    if found_column is null and (required or chosen ? role) then
        raise exception 'table % has no column for the role "%"', target, role
            using errcode = 'undefined_column',
                  detail = format('Looked for: %s.', array_to_string(case when chosen ? role then array[chosen ->> role] else candidates end, ', ')),
                  hint = format('Name it in the options, "columns" for the header, "line_columns" for the lines: {"%s": "..."}.', role)
                      || case when role = 'tenant' and not chosen ? role
                          then ' Where there is none, add one: for lines that of their header, for all a constant where all rows are of one tenant.' else '' end;
    end if;
    return found_column;
end $$;
create function check_quote_column_types(target regclass, columns jsonb, header regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
    another text := 'Name another column, which is added if it is not there: {"columns": {"version": "collab_version"}}, "line_columns" for the lines.';
begin
    select a.attname, r.role, r.types into wrong
    from @extschema@.quote_column_roles('{}'::text[]) r
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and not a.attisdropped
    where @extschema@.quote_base_type(a.atttypid) <> all (r.types)
    limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'datatype_mismatch', detail = format('It must be of type %s.', array_to_string(wrong.types, ' or ')),
                hint = case wrong.role when 'version' then another else
                    coalesce(@extschema@.quote_made_key(target, wrong.attname, wrong.role, header),
                        format('Name another column: {"columns": {"%s": "..."}}, "line_columns" for the lines.', wrong.role)) end;
    end if;
    select a.attname, r.role into wrong from unnest('{id,tenant,quote,updated_by,created_by}'::text[]) r (role)
    join pg_attribute a on a.attrelid = target and a.attname = columns ->> r.role and a.attgenerated = 'v'
    order by r.role limit 1;
    if found then
        raise exception 'column "%" of % cannot play the role "%"', wrong.attname, target, wrong.role
            using errcode = 'generated_always', detail = 'It is virtual: no row holds its value, and no trigger sees it.',
                  hint = 'Generate it stored, or name another column.';
    end if;
    select a.attname into wrong from pg_attribute a
    where a.attrelid = target and a.attname = columns ->> 'version' and (a.attgenerated <> '' or a.attidentity <> '');
    if found then
        raise exception 'column "%" of % cannot play the role "version"', wrong.attname, target
            using errcode = 'generated_always', detail = 'PostgreSQL generates its values, and each change counts it up.',
                  hint = another;
    end if;
end $$;
comment on function check_quote_column_types(regclass, jsonb, regclass) is 'refuses columns of types that cannot work';
create function tell_of_quote_version(target regclass, columns jsonb, added name[], chosen jsonb, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    taken name := columns ->> 'version';
    shared text;
    advice text := format('Where it counts something else, a revision that people see: {"%1$s": {"version": "collab_version"}}. Where it counts changes, name it: {"%1$s": {"version": "%2$s"}}.',
        case entity when 'QUOTE' then 'columns' else 'line_columns' end, taken);
begin
    if chosen ? 'version' or taken = any (added) then
        return;
    end if;
    select string_agg(i.indexrelid::regclass::text, ', ') into shared from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = target and a.attname = taken and i.indnatts > 1;
    if shared is not null then
        raise warning '"%" of % counts every change from now on', taken, target using detail = format('It was there before, and is part of %s.', shared), hint = advice;
    else
        raise notice '"%" of % counts every change from now on', taken, target using detail = 'It was there before.', hint = advice;
    end if;
end $$;
comment on function tell_of_quote_version(regclass, jsonb, name[], jsonb, text) is 'says that a version of the ERP is taken';
create function quote_locking_indexes(target regclass, id_column name) returns table (index regclass, mend text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with locking as (
        select i.*, x.relkind, g.attname from (select target::oid union select p.relid from pg_partition_tree(target) p) t (relid)
        join pg_index i on i.indrelid = t.relid join pg_class x on x.oid = i.indexrelid
        cross join lateral (
            select min(a.attname) as attname from pg_attribute a
            where a.attrelid = i.indrelid and a.attgenerated = 's' and a.attnum = any ((i.indkey::smallint[])[0:i.indnkeyatts - 1])) g
        where i.indisunique and i.indislive and i.indpred is null and i.indexprs is null and g.attname is not null and (i.indisvalid or x.relkind = 'i')
            and exists (select from pg_constraint f where f.contype = 'f' and f.confrelid = i.indrelid))
    select l.indexrelid::regclass, case when l.attname = id_column and l.indrelid = target and l.relkind = 'i' and l.indnatts = 1 and l.indisvalid and l.indimmediate
            and not (l.indisprimary or l.indisreplident or l.indisclustered or l.indnullsnotdistinct)
            and not exists (select from pg_constraint f where f.contype = 'f' and f.conindid = l.indexrelid) then
        format('create unique index on %s (%I) where %I is not null; ', target, l.attname, l.attname)
            || coalesce((select format('alter table %s drop constraint %I;', target, k.conname) from pg_constraint k where k.conindid = l.indexrelid and k.conrelid = target),
                format('drop index %s;', l.indexrelid::regclass)) end
    from locking l
    where not exists (select from pg_inherits h join locking p on p.indexrelid = h.inhparent where h.inhrelid = l.indexrelid)
$$;
comment on function quote_locking_indexes(regclass, name) is 'unique indexes that have updates lock out whoever refers to the row';
create function quote_locking_index_advice(index regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('Where nobody needs %s as it is, by ON CONFLICT, by a foreign key or as replica identity, make one with a predicate in its place (where ... is not null).', index)
$$;
comment on function quote_locking_index_advice(regclass) is 'what helps against a unique index over a generated column';
create function tell_of_quote_locking_indexes(target regclass, id_column name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    locking record;
begin
    for locking in select * from @extschema@.quote_locking_indexes(target, id_column) loop
        raise warning 'each update of % keeps others from inserting rows that refer to its row', target
            using detail = format('Index %s is unique over a generated column, which PostgreSQL takes for a changed key wherever a trigger runs before an update.', locking.index),
                hint = coalesce(locking.mend, @extschema@.quote_locking_index_advice(locking.index));
    end loop;
end $$;
comment on function tell_of_quote_locking_indexes(regclass, name) is 'warns of unique indexes over generated columns';
create function quote_key_rule(header regclass, column_name name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('md5(%L || new.%I)::uuid', format('%I.%I ', n.nspname, c.relname), column_name)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header
$$;
comment on function quote_key_rule(regclass, name) is 'expression that makes the id of a header of a column with its key';
create function quote_key_body(made name, rule text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select format('begin new.%I := %s; return new; end', made, rule) $$;
comment on function quote_key_body(name, text) is 'body of a trigger function that fills a column';
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
create or replace function find_quote_relation(target_schema name, chosen jsonb, default_table text, names text[], emails text[])
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass;
begin
    select c.oid into target from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = coalesce(chosen ->> 'schema', target_schema) and c.relname = coalesce(chosen ->> 'table', default_table)
        and c.relkind in ('r', 'p', 'v', 'm', 'f');
    if target is null and chosen is null then
        return null;
    elsif target is null then
        raise exception 'no table %.%', quote_ident(coalesce(chosen ->> 'schema', target_schema)), quote_ident(coalesce(chosen ->> 'table', default_table))
            using errcode = 'undefined_table',
            detail = 'It is looked for among tables, views, materialized views and foreign tables.',
            hint = format('Name the table: {"%s": {"schema": "...", "table": "..."}}, or null for none.', default_table);
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'schema', coalesce(chosen ->> 'schema', target_schema),
        'table', coalesce(chosen ->> 'table', default_table),
        'id', @extschema@.find_quote_column(target, 'id', chosen, '{id}'::text[], false),
        'name', @extschema@.find_quote_column(target, 'name', chosen, names, false),
        'email', @extschema@.find_quote_column(target, 'email', chosen, emails, false)));
end $$;
create function tell_of_quote_readers(header regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lines regclass := (select @extschema@.quote_collab_table(@extschema@.quote_collab_partner(s)) from @extschema@.quote_collab_settings s
        where s.entity = 'QUOTE' and @extschema@.quote_collab_table(s) = header);
    names text := (select string_agg(r.name, ', ') from unnest(@extschema@.quote_header_grantees(header, 'SELECT')) r (name)
        where case r.name when 'public' then 'public' <> all (@extschema@.quote_header_grantees(lines, 'SELECT')) else not has_table_privilege(r.name, lines, 'select') end);
begin
    if names is not null then
        raise notice 'the history of % shows changes of % to who may not read that: %', header, lines, names
            using hint = format('Where prices of lines are not for them, give them a view in the place of the right to read %s, and attach again.', header);
    end if;
end $$;
comment on function tell_of_quote_readers(regclass) is 'says who reads changes of lines and may not read lines';
create or replace function copy_quote_privileges(header regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    readers name[] := @extschema@.quote_header_grantees(header, 'SELECT');
    writers name[] := array_remove(@extschema@.quote_header_grantees(header, 'UPDATE'), 'public');
    before @extschema@.quote_collab_settings;
    role text;
begin
    for role in select case r.name when 'public' then 'public' else quote_ident(r.name) end from unnest(readers) r (name) loop
        execute format('grant select on %s, %I.active_quote_sessions to %s', @extschema@.quote_history_relations(home), home, role);
    end loop;
    for role in select quote_ident(r.name) from unnest(writers) r (name) loop
        execute format('grant select, insert, update, delete on %I.active_quote_sessions to %s', home, role);
        execute format('grant execute on function @extschema@.cleanup_stale_quote_sessions() to %s', role);
    end loop;
    perform @extschema@.grant_quote_home(header), @extschema@.tell_of_quote_readers(header);
    select s.* into before from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' and @extschema@.quote_collab_table(s) = header;
    update @extschema@.quote_collab_settings s set readers_granted = readers, writers_granted = writers
    where (s.table_schema, s.table_name) = (before.table_schema, before.table_name);
    perform @extschema@.revoke_quote_privileges(before.readers_granted || before.writers_granted);
end $$;
create or replace function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb, first_version integer)
returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
    chosen jsonb := coalesce(options -> case entity when 'QUOTE' then 'columns' else 'line_columns' end, '{}');
    reference text[] := @extschema@.quote_reference_candidates(target, header, coalesce(options -> 'columns' ->> 'id', 'id')::name);
    columns jsonb;
    added name[];
    names record;
begin
    select n.nspname as schema_name, c.relname as table_name, hn.nspname as header_schema, h.relname as header_table, ln.nspname as log_schema
    into names from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_class h join pg_namespace hn on hn.oid = h.relnamespace,
        pg_class l join pg_namespace ln on ln.oid = l.relnamespace
    where c.oid = target and h.oid = header and l.oid = log;
    added := @extschema@.add_quote_columns(target, entity, chosen, first_version);
    added := @extschema@.quote_added_columns(target, added || coalesce((
        select s.added_columns from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = target), '{}'::name[]));
    perform @extschema@.restore_quote_columns(target, added);
    columns := @extschema@.find_quote_columns(target, entity, chosen, reference);
    perform @extschema@.check_quote_column_types(target, columns, header), @extschema@.check_quote_ignored(target, columns, options -> 'ignored_columns'),
        @extschema@.tell_of_quote_null_keys(target, columns), @extschema@.tell_of_quote_lost_roles(target, columns, chosen, entity),
        @extschema@.tell_of_quote_locking_indexes(target, (columns ->> 'id')::name), @extschema@.tell_of_quote_version(target, columns, added, chosen, entity);
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, header_schema, header_table, log_schema, columns, ignored_columns, added_columns, relations,
        system_user_id, truncation, replicated_history, archive_after, drop_after, owners, anchors, settled_in)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema, columns,
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        @extschema@.find_quote_relations(header, entity, columns, options),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval,
        array(select distinct pg_get_userbyid(c.relowner) from pg_class c where c.oid in (target, log)), array[target, log]::oid[],
        '@extschema@.quote_collab_settings'::regclass)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after, owners = excluded.owners, anchors = excluded.anchors,
        settled_in = excluded.settled_in
    returning s.* into settings;
    perform @extschema@.drop_quote_triggers(target), @extschema@.create_quote_triggers(target, settings),
        @extschema@.tell_of_quote_late_triggers(settings);
    return settings;
end $$;
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set quote_all_identifiers = off
as $$
declare
    header regclass := quotes;
    lines regclass := quote_lines;
    home name;
    home_owner name;
    homes name[];
    log regclass;
    is_elsewhere boolean;
    is_followed boolean;
    first_version integer;
    patience text := @extschema@.bound_quote_patience();
begin
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s union select a.log_schema from @extschema@.quote_seal_anchor a);
    perform @extschema@.follow_quote_tables(array[header, lines]), @extschema@.follow_quote_home();
    perform @extschema@.check_quote_tables(header, lines, options);
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.require_quote_relations(home), @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner);
    is_elsewhere := exists (select from @extschema@.quote_collab_settings s where s.log_schema <> home);
    is_followed := exists (select from @extschema@.quote_collab_settings s where s.replicated_history);
    -- While the tables are not locked yet: it may take its time.
    first_version := @extschema@.first_quote_version(home, header, lines, options);
    perform @extschema@.continue_quote_positions(home);
    perform @extschema@.lock_quote_relations(array[header, lines] || @extschema@.quote_home_relations(home) || array(
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s) || @extschema@.quote_tables_to_seclude());
    perform @extschema@.seclude_quote_table(t.relation) from unnest(@extschema@.quote_tables_to_seclude()) t (relation);
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.guard_quote_history(t) from @extschema@.quote_tables_kept(home) t;
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options, first_version);
    perform @extschema@.tell_of_quote_lines_astray(@extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options, first_version));
    execute format('select @extschema@.begin_quote_seal_anchor(s.no, s.hash) from %I.quote_changes_seals s order by s.no desc limit 1', home);
    if is_followed and not exists (select from @extschema@.quote_collab_settings s where s.replicated_history) then
        -- What came along from now on is its own: the next seal takes it up.
        update @extschema@.quote_seal_anchor a set settled_in = null where a.log_schema = home;
    end if;
    perform @extschema@.lead_quote_tables_to(home), @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(@extschema@.quote_collab_table(p.header)) from @extschema@.quote_collab_pairs() p
    where @extschema@.quote_collab_table(p.header) = attach_quote_collaboration.quotes or is_elsewhere and @extschema@.quote_collab_table(p.header) is not null;
    perform @extschema@.start_quote_worker(), @extschema@.warn_of_stray_quote_tables();
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create or replace function choose_quote_pairs(named regclass) returns quote_collab_settings[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    chosen @extschema@.quote_collab_settings[] := array(
        select p.header from @extschema@.quote_collab_pairs() p
        where named in (@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))
            or named is null and @extschema@.quote_collab_table(p.header) is null and @extschema@.quote_collab_table(p.line) is null);
begin
    if named is null and (select count(*) from @extschema@.quote_collab_pairs()) < 2 then
        return array[first];
    elsif chosen = '{}' then
        raise exception 'quote collaboration is attached to %', case when named is null then 'more than one pair of tables' else 'other tables' end
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'Detach takes the pair whose header or lines are named.',
                  hint = coalesce((select format('Name one: %s.', string_agg(format('select detach_quote_collaboration(quotes => %L)', t.relation), ' or '))
                      from @extschema@.quote_collab_pairs() p
                      cross join lateral (select coalesce(@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))) t (relation)
                      where t.relation is not null having count(*) > 0), 'Their tables are gone: select detach_quote_collaboration().');
    end if;
    return chosen;
end $$;
create or replace function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    headers @extschema@.quote_collab_settings[];
    leaving @extschema@.quote_collab_settings[];
    header @extschema@.quote_collab_settings;
    is_last boolean;
    patience text := @extschema@.bound_quote_patience();
begin
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.follow_quote_tables('{}'::regclass[]), @extschema@.follow_quote_home();
    headers := @extschema@.choose_quote_pairs(quotes);
    header := @extschema@.join_quote_headers(headers);
    if drop_history then
        perform @extschema@.require_quote_relations(header.log_schema);
    end if;
    leaving := headers || array(select @extschema@.quote_collab_partner(h) from unnest(headers) h);
    perform @extschema@.lock_quote_pairs(leaving);
    delete from @extschema@.quote_collab_settings s where (s.table_schema, s.table_name) in (select l.table_schema, l.table_name from unnest(leaving) l);
    is_last := not exists (select from @extschema@.quote_collab_settings);
    if drop_history and not is_last then
        raise exception 'the history belongs to other pairs of tables too' using errcode = 'object_not_in_prerequisite_state',
            detail = 'They are attached to the same tables of history, which would go.',
            hint = 'Detach this pair without drop_history, and drop the history with the last one.';
    elsif is_last then
        perform @extschema@.drop_quote_pair_views(header.log_schema);
    else
        perform @extschema@.leave_quote_home(header);
    end if;
    perform @extschema@.detach_quote_table(l) from unnest(leaving) l;
    perform @extschema@.drop_quote_truncate_triggers(), @extschema@.grant_quote_capture();
    if is_last then
        perform @extschema@.detach_stray_quote_tables(), @extschema@.detach_quote_home(header, drop_history);
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return case when not is_last then format('quote collaboration is detached from %s',
            (select string_agg(format('%I.%I', h.table_schema, h.table_name), ', ') from unnest(headers) h))
        when drop_history then 'quote collaboration is detached, its history is dropped'
        when to_regclass(format('%I.quote_changes', header.log_schema)) is null then 'quote collaboration is detached, its history is gone'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;
create or replace function normalise_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    normal jsonb := '{}'::jsonb;
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    item record;
    column_name name;
    generated boolean;
    is_text boolean;
begin
    if changes is null then
        raise exception 'the changes must not be null' using errcode = 'null_value_not_allowed',
            detail = 'A save without changes is an empty object.', hint = 'Pass {"field": value, ...}.';
    elsif jsonb_typeof(changes) <> 'object' then
        raise exception 'the changes must be a json object' using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(changes)), hint = 'Pass {"field": value, ...}.';
    elsif jsonb_path_exists(changes, '$.** ? (@ > 1e300 || @ < -1e300)') or exists (
            select from jsonb_path_query(changes, '$.** ? (@.type() == "number")') n (value) where scale(n.value::numeric) > 300) then
        -- A few bytes name a number that takes a hundred thousand to write down.
        raise exception 'a number is too long' using errcode = 'numeric_value_out_of_range', detail = 'It has more than 300 digits before or after the point.',
            hint = 'Give a number that fits its column.';
    elsif octet_length(changes::text) > 1048576 then
        raise exception 'the changes are too large' using errcode = 'program_limit_exceeded',
            detail = 'At most 1 MiB of changes is accepted at once.', hint = 'Save fewer fields at a time.';
    end if;
    for item in select key, value from jsonb_each(changes) loop
        select a.attname, a.attgenerated <> '' or a.attidentity = 'a', t.typcategory = 'S' into column_name, generated, is_text
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
          and a.attname in (item.key, @extschema@.quote_field_name(item.key))
        order by a.attname = item.key desc limit 1;
        if not found then
            raise exception 'unknown field "%"', left(item.key, 63) using errcode = 'undefined_column',
                detail = format('%s has no such column.', relation),
                hint = format('Fields are the columns of %s, as they are named or in camelCase.', relation);
        elsif generated or column_name in (select target.columns ->> r from unnest('{id,tenant,version,quote,updated_at,updated_by,created_by}'::text[]) r)
                or column_name = 'created_at' then
            raise exception 'field "%" is read-only', column_name using errcode = 'insufficient_privilege',
                detail = 'It is generated, or a key, a version, or a note of who wrote the row and when.',
                hint = 'Leave it out of the changes: it is set by the database.';
        elsif is_text and jsonb_typeof(item.value) in ('object', 'array') then
            raise exception 'the value of field "%" does not fit its column', column_name using errcode = 'invalid_text_representation',
                detail = 'The column is a text.', hint = 'Give it as text.';
        elsif normal ? column_name::text then
            raise exception 'field "%" is given twice', column_name using errcode = 'invalid_parameter_value',
                detail = 'Once in camelCase and once in snake_case.', hint = 'Name it once.';
        end if;
        normal := normal || jsonb_build_object(column_name, item.value);
    end loop;
    return normal;
end $$;
create or replace function refuse_quote_amounts(target quote_collab_settings, coerced jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    field text := (
        select c.key from jsonb_each_text(coerced) c join pg_attribute a on a.attrelid = @extschema@.quote_collab_table(target) and a.attname = c.key
        join pg_type t on t.oid = a.atttypid and t.typcategory = 'N'
        where c.value in ('NaN', 'Infinity', '-Infinity') order by c.key limit 1);
begin
    if field is not null then
        raise exception 'the value of field "%" is no amount', field using errcode = 'numeric_value_out_of_range',
            detail = 'NaN and infinities have no total.', hint = 'Give it as a number with an end, or null.';
    end if;
end $$;
create or replace function require_quote_settings(claimed quote_collab_settings) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
begin
    select s.* into settings from @extschema@.quote_collab_settings s where (s.table_schema, s.table_name) = (claimed.table_schema, claimed.table_name);
    if not found then
        raise exception 'the table is not attached' using errcode = 'object_not_in_prerequisite_state',
            detail = format('There are no settings for "%s" in schema "%s".', claimed.table_name, claimed.table_schema), hint = 'Attach it first.';
    end if;
    return @extschema@.present_quote_columns(settings);
end $$;
create or replace function update_quote_row(claimed quote_collab_settings, row_id uuid, changes jsonb, cause text, amounts jsonb, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.require_quote_settings(claimed);
    record_definition text := @extschema@.quote_changes_record(target, changes);
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    assignments text;
    updated jsonb;
    changed bigint;
    told text;
    advice text;
begin
    select string_agg(a, ', ') into assignments from (
        select format('%I = r.%I', key, key) from jsonb_object_keys(changes) key
        union all
        select format('%I = %s', d.key, case when amounts ? d.key then format('%L::pg_catalog.numeric', (amounts ->> d.key)::numeric) else d.value end)
        from jsonb_each_text(@extschema@.quote_derived_columns(target, row_id, changes, cause)) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return null;
    end if;
    perform @extschema@.set_quote_option('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')));
    begin
        execute format('update %I.%I t set %s %s where t.%s operator(pg_catalog.=) $1 returning pg_catalog.to_jsonb(t.*)',
            target.table_schema, target.table_name, assignments,
            case when record_definition is null then '' else format('from pg_catalog.jsonb_to_record($2) as r(%s)', record_definition) end,
            @extschema@.quote_collab_column(target, 'id'))
        into updated using row_id, changes;
        get diagnostics changed = row_count;
    exception when insufficient_privilege then
        get stacked diagnostics told = pg_exception_detail, advice = pg_exception_hint;
        raise exception using errcode = 'insufficient_privilege', message = sqlerrm, detail = told,
            hint = coalesce(nullif(advice, ''), format('Saving %s needs, for role %s, whatever its triggers, rules and policies need too.', relation, current_user));
    end;
    perform @extschema@.set_quote_option('search_path', 'pg_catalog, pg_temp');
    if changed > 1 then
        raise exception 'several rows have this id' using errcode = 'cardinality_violation',
            detail = format('%s rows of %s have it, and a save is based on one.', changed, relation), hint = 'Let a unique index say that an id names one row.';
    elsif updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            detail = format('The UPDATE of %s changed no row.', relation),
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    return updated;
end $$;
create or replace function quote_amounts_tried(claimed quote_collab_settings, row_id uuid, changes jsonb, cause text, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.require_quote_settings(claimed);
    tried jsonb;
begin
    begin
        tried := @extschema@.update_quote_row(target, row_id, changes, cause, '{}'::jsonb, path);
        raise exception 'the row is put back' using errcode = 'QC004',
            detail = 'It was changed to learn its amount.', hint = 'Nobody is told of this.';
    exception when sqlstate 'QC004' then
        return jsonb_build_object(target.columns ->> case target.entity when 'QUOTE' then 'total_amount' else 'line_amount' end,
            @extschema@.quote_amount_of_row(target, tried));
    end;
end $$;
create or replace function require_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
    noun text := case target.entity when 'QUOTE' then 'quote' else 'quote line' end;
begin
    if row_id is null then
        raise exception 'the % id must not be null', noun using errcode = 'null_value_not_allowed',
            detail = 'No row has a null for its id.', hint = 'Name the row to work on.';
    end if;
    found_row := @extschema@.find_quote_row(target, row_id, locking);
    if found_row is null then
        raise exception 'unknown %', noun using errcode = 'no_data_found',
            detail = format('There is no %s with id %s for the current tenant.', noun, row_id),
            hint = 'Check the id and app.current_tenant_id.';
    end if;
    return found_row;
end $$;
create or replace function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed',
            detail = 'A save says which version of the row it is based on.', hint = 'Pass the version that you read, 0 for null.';
    elsif expected_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version), hint = 'Pass the version that you read, 0 for null.';
    end if;
end $$;
create or replace function require_conflict_policy(on_conflict text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if on_conflict in ('merge', 'overwrite') then
        raise exception 'on_conflict => ''%'' is not available in this release', on_conflict
            using errcode = 'feature_not_supported',
            detail = 'The name is kept for it.', hint = 'Use on_conflict => ''reject''.';
    elsif on_conflict is distinct from 'reject' then
        raise exception 'unknown on_conflict policy' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(coalesce(on_conflict, 'null'), 63)), hint = 'Use on_conflict => ''reject''.';
    end if;
end $$;
create or replace function save_quote_line(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(line);
    parent uuid;
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(line, @extschema@.normalise_quote_changes(line, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.find_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure',
            detail = 'It did so between being found and being locked.', hint = 'Try again.';
    elsif quote is null then
        quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    end if;
    previous_version := @extschema@.quote_row_version(line, quote_line);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(line, line_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
        new_version := @extschema@.quote_row_version(line, quote_line);
    end if;
    if new_version <> expected_version then
        success := false;
        fields := @extschema@.quote_changes_told(line, fields);
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, quote_line, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
create or replace function require_quote_session_status(status text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if status not in ('VIEWING', 'EDITING', 'IDLE') then
        raise exception 'unknown session status' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(status, 63)), hint = 'Use VIEWING, EDITING or IDLE.';
    end if;
end $$;
create or replace function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_variable
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    who uuid := @extschema@.current_quote_user(user_id);
    known record;
    session @extschema@.quote_session;
begin
    perform @extschema@.require_quote_session_status(status);
    if @extschema@.current_quote_tenant() is null and row_security_active(@extschema@.quote_session_target()) then
        raise exception 'no tenant is set' using errcode = 'insufficient_privilege',
            detail = 'A session belongs to the tenant of whoever joins.',
            hint = 'Set app.current_tenant_id for the transaction, or where tenants are verified, call authenticate_quote_user(token).';
    elsif who is null then
        raise exception 'the user id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'Others see who has the quote open.', hint = 'Pass user_id or set app.current_user_id.';
    end if;
    select * into known from @extschema@.find_quote_user(who);
    if known.known and @extschema@.verified_quote_user() = who then
        user_name := null;
        user_email := null;
    end if;
    perform @extschema@.require_quote_session_texts(user_name, user_email);
    perform @extschema@.require_quote_session_room((quote ->> (header.columns ->> 'tenant'))::uuid, who, session_id);
    begin
        execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict (session_id) do update set
            quote_id = excluded.quote_id, user_id = excluded.user_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id and @extschema@.quote_session_lives(s.last_heartbeat) then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where (s.user_id = excluded.user_id or not @extschema@.quote_session_lives(s.last_heartbeat)) and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
        into session
        using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
            coalesce(user_name, left(known.user_name, 255)), coalesce(user_email, left(known.user_email, 255)), coalesce(status, 'VIEWING');
    exception when insufficient_privilege then
        -- Row security says no to a session of another tenant, and names the table; a right that is missing it leaves alone.
        if not has_table_privilege(@extschema@.quote_session_target(), 'insert') or not has_table_privilege(@extschema@.quote_session_target(), 'update') then
            raise;
        end if;
    end;
    if session.session_id is null then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            detail = 'It was given to whoever joined with it.', hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform @extschema@.wake_quote_presence();
    return next session;
end $$;
create or replace function heartbeat_quote_session(
    session_id uuid, current_line_id uuid default null, current_field text default null, cursor_position integer default null,
    is_editing boolean default null, status text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    moved boolean;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'No session has a null for its id.', hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    perform @extschema@.require_quote_session_status(status);
    if cursor_position < 0 then
        raise exception 'the cursor position must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', cursor_position), hint = 'Count from 0, in UTF-16 code units.';
    elsif char_length(current_field) > 63 then
        raise exception 'the field name is too long' using errcode = 'string_data_right_truncation',
            detail = 'The name of a column has at most 63 characters.', hint = 'Pass the name of a column.';
    end if;
    execute format($query$
        with before as (
            select s.* from %1$s s
            where s.session_id = $1 and @extschema@.quote_session_lives(s.last_heartbeat)
              and ($7 is null or s.user_id = $7) and ($9 or s.tenant_id = $8)
            for no key update)
        update %1$s s set last_heartbeat = clock_timestamp(), current_line_id = $2, current_field = $3, cursor_position = $4,
            is_editing = coalesce($5, s.is_editing), status = coalesce($6, s.status)
        from before b where s.id = b.id
        returning (b.current_line_id, b.current_field, b.cursor_position, b.is_editing, b.status)
            is distinct from (s.current_line_id, s.current_field, s.cursor_position, s.is_editing, s.status)$query$,
        @extschema@.quote_session_target())
    into moved using session_id, current_line_id, current_field, cursor_position, is_editing, status,
        @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if moved then
        perform @extschema@.wake_quote_presence();
    end if;
    return moved is not null;
end $$;
create or replace function leave_quote_session(session_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    gone uuid;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'No session has a null for its id.', hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    execute format('delete from %s s where s.session_id = $1 and ($2 is null or s.user_id = $2) and ($4 or s.tenant_id = $3) returning s.id',
        @extschema@.quote_session_target())
    into gone using session_id, @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if gone is not null then
        perform @extschema@.wake_quote_presence();
    end if;
    return gone is not null;
end $$;
create or replace function get_quote_change_history(quote_id uuid, max_rows integer default 50) returns setof quote_change
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    author record;
begin
    if quote_id is null then
        raise exception 'the quote id must not be null' using errcode = 'null_value_not_allowed',
            detail = 'A history is that of one quote.', hint = 'Name the quote.';
    elsif max_rows is null or max_rows not between 0 and 10000 then
        raise exception 'the limit must be between 0 and 10000' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(max_rows::text, 'null')), hint = 'Ask for fewer at a time.';
    end if;
    perform @extschema@.require_quote_home('{quote_changes,v_quote_changes_all}'::text[]);
    select * into author from @extschema@.quote_user_join('c.changed_by');
    return query execute format($query$
        select c.id, c.tenant_id, c.quote_id, c.quote_line_id, c.changed_by, %s, c.changed_at, c.entity_type::text,
            c.field_name::text, c.old_value, c.new_value, c.change_type::text, c.session_id, c.was_conflict,
            c.conflict_resolution::text, c.entity_version_before, c.entity_version_after, c.event_id, c.position
        from %I.v_quote_changes_all c %s
        where c.quote_id = $1 and ($4 or c.tenant_id = $2)
        order by c.position desc, c.id desc limit $3$query$, author.name_expression,
        @extschema@.quote_collab_home(), author.join_clause)
    using quote_id, @extschema@.current_quote_tenant(), max_rows, @extschema@.sees_every_quote_tenant();
end $$;
create or replace function list_quotes(max_rows integer default 50) returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    tenant uuid := @extschema@.current_quote_tenant();
    alone boolean := (select count(*) < 2 from @extschema@.quote_collab_pairs());
    query text;
begin
    if tenant is null then
        raise exception 'no tenant is set' using errcode = 'invalid_parameter_value',
            detail = 'The list is that of one tenant.', hint = 'Set app.current_tenant_id, or where tenants are verified, call authenticate_quote_user(token).';
    elsif max_rows is null or max_rows not between 0 and 1000 then
        raise exception 'the limit must be between 0 and 1000' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(max_rows::text, 'null')), hint = 'Ask for fewer at a time.';
    end if;
    if alone then
        perform @extschema@.require_quote_table(@extschema@.quote_collab_target('QUOTE'::text));
        query := @extschema@.quote_list_query(@extschema@.present_quote_columns(@extschema@.quote_collab_target('QUOTE')));
    else
        select string_agg(format('select q.item, q.place, %s from %s q (item, place)', p.pair, @extschema@.quote_list_query(p.header)), ' union all ')
        into query from (select @extschema@.present_quote_columns(a.header), a.pair from @extschema@.quote_collab_pairs() with ordinality a (header, line, pair)) p (header, pair)
        where @extschema@.quote_table_trusted(p.header) and @extschema@.quote_columns_readable(p.header, '{id,tenant,quote_number,customer,status,total_amount,version}'::text[]);
    end if;
    return query execute format('select x.item from (%s) x (item, place%s) order by x.place%s limit $2',
        coalesce(query, 'select null::jsonb, 0, 0 where false'), case when alone then '' else ', pair' end, case when alone then '' else ', x.pair' end)
    using tenant, max_rows;
end $$;
create or replace function parse_quote_cursor(cursor text) returns quote_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part text[] := string_to_array(cursor, '/');
    place text[];
    parsed @extschema@.quote_cursor;
begin
    if cursor is null then
        return row(@extschema@.quote_cluster_identifier(), '3:3:'::pg_snapshot, 0, 0, null, null, null, null, null, null,
            @extschema@.quote_log_cut(null::pg_snapshot))::@extschema@.quote_cursor;
    end if;
    if part[1] = '4' then
        place := part[3:6];
        part := part[1:2] || part[7:];
    elsif part[1] = '3' then
        place := part[3:5];
        part := part[1:2] || part[6:];
    elsif part[1] = '2' then
        place := null::text || part[3:4];
        part := part[1:2] || part[5:];
    elsif part[1] <> '1' then
        raise invalid_text_representation;
    end if;
    if cardinality(part) not in (5, 8) then
        raise invalid_text_representation;
    end if;
    parsed := row(part[2]::bigint, part[3]::pg_snapshot, part[4]::numeric, part[5]::numeric,
        part[6]::pg_snapshot, part[7]::numeric, part[8]::bigint, place[2]::integer, place[3]::bigint, place[1],
        place[4]::bigint)::@extschema@.quote_cursor;
    -- Times that are none, or that no timestamp holds; and no number of a cut.
    if not (parsed.prev_at between 0 and 1e11 and parsed.floor_at between 0 and 1e11 and coalesce(parsed.cur_at, 0) between 0 and 1e11
            and coalesce(parsed.cut, 0) >= 0) then
        raise invalid_text_representation;
    end if;
    return parsed;
exception when data_exception then
    raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
        detail = 'It is not as the feed writes cursors.', hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
end $$;
create or replace function require_quote_cursor_seen(c quote_cursor) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := pg_current_snapshot();
    counted pg_snapshot := coalesce(c.cur, c.prev);
begin
    if current_setting('transaction_isolation') <> 'read committed' and exists (
            select from (select x from pg_snapshot_xip(seen) x
                union all select n::text::xid8 from generate_series(pg_snapshot_xmax(seen)::text::bigint, pg_snapshot_xmax(counted)::text::bigint - 1) n) r (xid)
            where pg_visible_in_snapshot(r.xid, counted)) then
        raise exception 'the cursor is newer than this transaction' using errcode = 'object_not_in_prerequisite_state',
            detail = 'It counts on transactions that this one, by its snapshot, does not see.',
            hint = 'Read the event feed in a transaction of its own, or in read committed.';
    end if;
end $$;
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    begun @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    c @extschema@.quote_cursor := begun;
    cut bigint := @extschema@.quote_log_cut(seen);
    waypoint record;
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(max::text, 'null')), hint = 'Call again with the last cursor for more.';
    end if;
    perform @extschema@.require_quote_cursor(c), @extschema@.require_quote_home('{quote_changes}'::text[]), @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed(),
        @extschema@.watch_quote_clock();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            select w.* into waypoint from @extschema@.quote_feed_waypoint(c.prev, seen) w;
            c := row(c.origin, c.prev, c.prev_at,
                greatest(extract(epoch from @extschema@.quote_feed_floor(c.prev, coalesce(waypoint.cur, seen), to_timestamp(c.floor_at))), 0), coalesce(waypoint.cur, seen),
                extract(epoch from coalesce(waypoint.cur_at, clock_timestamp())), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity(), cut)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        exit when given >= max or c.cur::text = seen::text;
        c := @extschema@.next_quote_cursor(c);
    end loop;
    -- What left the log meanwhile may be missing.
    if cut <> @extschema@.quote_log_cut(null::pg_snapshot) then
        perform @extschema@.require_quote_cursor(begun);
    end if;
end $$;
create or replace function refuse_lost_quote_lease() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the relay''s lease is lost' using errcode = 'QC002',
        detail = 'Its row has another epoch than this relay was given.', hint = 'Another relay has taken over; take the lease again before you go on.';
end $$;
create or replace function quote_relay_next_batch(epoch bigint, known bigint, system_identifier text, timeline integer, max integer, max_bytes bigint)
returns table (batch bigint, "position" bigint, event text, size integer, has_next boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    here bigint := @extschema@.quote_cluster_identifier();
    log oid;
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    seen pg_snapshot;
    prev_at timestamptz;
    cur_at timestamptz;
    even_floor timestamptz;
    floor_at timestamptz;
begin
    perform @extschema@.set_quote_option('synchronous_commit', 'on');
    select r.* into last from @extschema@.quote_prepared_rows(
        @extschema@.quote_kept_query('@extschema@.quote_relay_state_query()'::regprocedure::oid), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if @extschema@.quote_database_identity() <> system_identifier or @extschema@.quote_feed_timeline() <> timeline or last.no < known then
        raise exception 'the log has another history' using errcode = 'QC001',
            detail = 'The server is another cluster, or on another timeline, or knows fewer batches than this relay has read.',
            hint = 'Take the lease again, and find out where to go on.';
    end if;
    if last.held is not true then
        perform @extschema@.refuse_lost_quote_lease();
    elsif last.no is null then
        raise exception 'the relay has no batch to go on from' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Somebody has emptied quote_relay_batch.', hint = @extschema@.quote_attach_statement();
    end if;
    prev := last.cur;
    prev_at := last.cur_at;
    even_floor := case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    if last.origin <> here then
        prev := @extschema@.quote_snapshot_before(last.writer);
        prev_at := '-infinity';
        even_floor := '-infinity';
    end if;
    seen := @extschema@.quote_feed_snapshot();
    perform @extschema@.watch_quote_clock();
    if seen::text = prev::text then
        return;
    end if;
    log := @extschema@.quote_kept_query('@extschema@.quote_log_identity()'::regprocedure::oid)::oid;
    cur := prev;
    loop
        -- Past what has no events: a batch is of some.
        select coalesce(w.cur, seen), w.cur_at into cur, cur_at from @extschema@.quote_feed_waypoint(cur, seen) w;
        floor_at := @extschema@.quote_feed_floor(prev, cur, even_floor);
        return query select last.no + 1, r.* from @extschema@.quote_prepared_rows(
            @extschema@.quote_query_of_months(@extschema@.quote_kept_query('@extschema@.quote_relay_events_query()'::regprocedure::oid),
                log, @extschema@.quote_log_months(log, floor_at - interval '24 hours')),
            row(prev, cur, 0::bigint, here, floor_at - interval '24 hours', 'infinity'::timestamptz, max, max_bytes))
            r ("position" bigint, event text, size integer, has_next boolean);
        exit when found or cur::text = seen::text;
    end loop;
    if found and not exists (
            select from @extschema@.quote_prepared_rows(
                @extschema@.quote_kept_query('@extschema@.quote_relay_batch_insertion()'::regprocedure::oid),
                row(epoch, last.no + 1, prev, cur, prev_at, floor_at, here, cur_at)) r (no bigint)) then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
end $$;
create or replace function refuse_unknown_quote_place() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the cursor is no longer known' using errcode = 'QC001',
        detail = 'What it counts on was archived, or another cluster has relayed since.', hint = 'Read the quote again and subscribe without a cursor.';
end $$;
create or replace function drop_archived_quote_changes(older_than interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    archive regclass := case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then @extschema@.quote_relay_table('quote_changes_archive')::regclass end;
    months regclass[];
    from_at timestamptz;
    until_at timestamptz;
    month regclass;
    present bigint;
    arrived bigint;
    before record;
    after record;
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals}'::text[]);
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(older_than::text, 'null')),
            hint = 'For example select drop_archived_quote_changes(interval ''10 years'').';
    end if;
    perform @extschema@.require_quote_months_seen();
    if not exists (select from @extschema@.quote_changes_months_before(archive, now() - older_than)) then
        perform @extschema@.note_quote_drop_refused(null::timestamptz);
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.lock_quote_seals(@extschema@.quote_relay_table('quote_changes')::regclass), @extschema@.seal_quote_history();
    -- Of two at once the other may have dropped them.
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    end if;
    present := @extschema@.lock_quote_months(months);
    arrived := @extschema@.count_arrived_quote_changes(months);
    select sum(x.rows) as rows, bool_and(x.rows = x.expected_rows and x.root = x.expected_root) as intact
    into before from @extschema@.examine_quote_seals(from_at, until_at) x;
    foreach month in array months loop
        execute format('drop table %s', month);
    end loop;
    select coalesce(sum(x.rows), 0) as rows,
        coalesce(range_agg(int8range(x.no, x.no, '[]')) filter (where x.rows = 0), '{}') as gone,
        coalesce(jsonb_object_agg(x.no, jsonb_build_object('rows', x.rows, 'root', encode(x.root, 'hex')))
            filter (where x.rows > 0 and x.rows <> x.expected_rows), '{}') as remains
    into after from @extschema@.examine_quote_seals(from_at, until_at) x;
    if coalesce(before.intact, arrived = present) is not true or coalesce(before.rows, 0) - after.rows <> present - arrived then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            detail = 'The rows of these months are not those that the seals count.',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    perform @extschema@.note_quote_drop_refused(null::timestamptz), @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    log regclass;
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
    sealed bigint := 0;
    archived integer := 0;
    released integer := 0;
    alone boolean;
    advice text;
    patience text;
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            detail = 'It makes months ahead, ends stale sessions and seals.', hint = 'Begin one that may write: begin read write.';
    end if;
    patience := @extschema@.bound_quote_patience();
    -- Asked for what it does on the way: a queue of NOTIFY that was full stays full, when all have read it, until somebody asks.
    perform pg_notification_queue_usage();
    begin
        perform @extschema@.note_quote_owners();
    exception when others then
        raise warning 'owners of tables are not noted: %', sqlerrm;
    end;
    -- Whoever may write presence may lock it.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    alone := @extschema@.lock_quote_batches();
    if alone then
        dropped := @extschema@.drop_old_quote_batches();
    end if;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        get stacked diagnostics advice = pg_exception_hint;
        raise warning 'the history is not sealed: %', sqlerrm using hint = @extschema@.quote_seal_advice(sqlstate, advice);
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        begin
            made := @extschema@.extend_quote_log(log);
            if made = 0 then
                select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
            end if;
        exception when others then
            raise warning 'months of the audit log are neither made nor moved: %', sqlerrm;
        end;
        begin
            perform @extschema@.summarize_quote_changes(log);
        exception when others then
            raise warning 'times of the audit log are not summarized: %', sqlerrm;
        end;
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
create or replace function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz;
    months regclass[];
    others regclass[];
    newest bigint;
    last_position bigint;
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals,quote_relay_batch}'::text[]);
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be an interval from 0 to 1000 years' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(older_than::text, 'null')), hint = 'For example select archive_quote_changes(interval ''24 months'').';
    end if;
    perform @extschema@.require_quote_months_seen();
    if not exists (select from @extschema@.quote_months_due(log, @extschema@.quote_archive_limit(older_than))) then
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.seal_quote_history();
    until := @extschema@.quote_archive_end(older_than);
    months := array(select m.month from @extschema@.quote_months_due(log, until) m);
    if cardinality(months) = 0 then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    elsif (select sum(pg_relation_size(m.month)) > 67108864 from @extschema@.quote_months_due(log, until) m where m.proved is null) then
        raise exception 'months are not ready to be archived' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Their bounds were not noted yet, and to prove them would keep everybody waiting.',
            hint = 'Call select quote_collab_maintenance(), or let it be called, and try again.';
    end if;
    -- Whoever seals has decided where he looks for rows.
    perform @extschema@.lock_quote_seals(log), @extschema@.prove_quote_months(log, until, 9223372036854775807);
    select e.newest, e.last_position into newest, last_position from @extschema@.quote_months_end(months) e;
    others := array(
        select @extschema@.quote_changes_spare(log) union
        select @extschema@.quote_changes_spare(to_regclass(@extschema@.quote_relay_table('quote_changes_archive'))));
    perform @extschema@.lock_quote_log(log, array_remove(others, null) || months, case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then '{}'
        else array_remove(array[to_regclass(@extschema@.quote_relay_table('v_quote_changes_all'))], null) end);
    if @extschema@.quote_archive_end(older_than) < until then
        raise exception 'months were written to while they were locked' using errcode = 'lock_not_available',
            detail = 'Their newest changes are younger than what is to be archived.', hint = 'Try again.';
    end if;
    perform @extschema@.exchange_quote_months(log, months, until), @extschema@.note_quote_log_cut(log, newest, last_position),
        @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
create or replace function quote_collab_doctor_tables() returns setof quote_collab_check
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
create or replace function quote_columns_unindexed(settings quote_collab_settings) returns setof text
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
create or replace function quote_collab_doctor_part(part text, home name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    case part
        when 'server' then return query select * from @extschema@.quote_collab_doctor_server();
        when 'tables' then return query select * from @extschema@.quote_collab_doctor_tables();
        when 'history' then return query select * from @extschema@.quote_collab_doctor_history(home);
        when 'rows' then return query select * from @extschema@.quote_collab_doctor_rows(home);
        when 'objects' then return query select * from @extschema@.quote_collab_doctor_objects(home);
        when 'security' then return query select * from @extschema@.quote_collab_doctor_security(home);
        when 'grants' then return query select * from @extschema@.quote_collab_doctor_grants(home);
        when 'tenants' then return query select * from @extschema@.quote_collab_doctor_tenants();
        else raise exception 'the doctor has no such part' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(part, 63)), hint = 'Its parts are server, tables, history, rows, objects, security, grants and tenants.';
    end case;
exception
    when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Run it as a superuser.');
    when undefined_table or undefined_column or undefined_function or wrong_object_type then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, @extschema@.quote_attach_statement());
    -- The transaction of the caller is not one that sees this.
    when serialization_failure or invalid_transaction_state then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Ask again, in a transaction of its own: begin isolation level read committed.');
    when insufficient_resources then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Raise what the message names, and ask again.');
end $$;
create or replace function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    needed record;
begin
    if role is null then
        raise exception 'the role must not be null' using errcode = 'null_value_not_allowed',
            detail = 'Rights are given to a role that is there.', hint = 'Name the role of the gateway.';
    elsif not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object',
            detail = 'The name is taken as it is written, with its capital letters.', hint = 'Create it first: create role ... login.';
    end if;
    perform @extschema@.quote_collab_home();
    for needed in select r.privilege, r.kind, string_agg(r.told, ', ') as objects from @extschema@.quote_gateway_rights() r group by r.privilege, r.kind loop
        execute format('grant %s on %s %s to %I', needed.privilege, needed.kind, needed.objects, role);
    end loop;
    -- The gateway verifies tokens itself and then sets the tenant. PostgreSQL 14 has no such grant.
    if current_setting('quote_collab.tenant_source', true) = 'verified' and current_setting('server_version_num')::integer >= 150000 then
        execute format('grant set on parameter app.current_tenant_id to %I', role);
    end if;
end $$;
-- Whatever default privileges gave of what this release made.
select @extschema@.close_quote_extension();
