-- Saving with the version one has seen. A conflict is an answer, not an error: it returns success = false with what
-- the others changed, and leaves a REJECTED row in the audit log.

-- The row of an attached table, for the caller's rights and tenant, as it is written whatever the session is set to; null when it does
-- not exist for him.
create function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(t.*) from %I.%I t where t.%s = $1 and ($3 or t.%s = $2) %s',
        target.table_schema, target.table_name, @extschema@.quote_collab_column(target, 'id'),
        @extschema@.quote_collab_column(target, 'tenant'),
        case locking when 'for no key update' then 'for no key update' when 'for update' then 'for update' else '' end)
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return found_row;
end $$;
comment on function find_quote_row(quote_collab_settings, uuid, text) is 'one row of an attached table as jsonb, under the caller''s rights and tenant';

create function require_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
    noun text := case target.entity when 'QUOTE' then 'quote' else 'quote line' end;
begin
    if row_id is null then
        raise exception 'the % id must not be null', noun using errcode = 'null_value_not_allowed', hint = 'Name the row to work on.';
    end if;
    found_row := @extschema@.find_quote_row(target, row_id, locking);
    if found_row is null then
        raise exception 'unknown %', noun using errcode = 'no_data_found',
            detail = format('There is no %s with id %s for the current tenant.', noun, row_id),
            hint = 'Check the id and app.current_tenant_id.';
    end if;
    return found_row;
end $$;
comment on function require_quote_row(quote_collab_settings, uuid, text) is 'like find_quote_row, but raises P0002 when there is none';

create function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the version that you read, 0 for null.';
    elsif expected_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version), hint = 'Pass the version that you read, 0 for null.';
    end if;
end $$;
comment on function require_quote_version(integer) is 'refuses a null or negative version';

-- The version of a row as everybody counts it: 0 where it has none yet, as the trigger counts it. SQLSTATE 22003 beyond integer, of
-- which versions are in functions and history.
create function quote_row_version(target quote_collab_settings, found_row jsonb) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    version numeric := coalesce((found_row ->> (target.columns ->> 'version'))::numeric, 0);
begin
    if version not between -2147483648 and 2147483647 then
        raise exception 'the version of the row is out of range' using errcode = 'numeric_value_out_of_range',
            detail = format('It is %s; saves compare versions of type integer.', version), hint = 'Let the versions of this table begin again at 1.';
    end if;
    return version;
end $$;
comment on function quote_row_version(quote_collab_settings, jsonb) is 'version of a row of an attached table';

create function check_quote_version(quote_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, quote_id, '')) = expected_version;
end $$;
comment on function check_quote_version(uuid, integer) is 'true when the quote still has that version; raises P0002 for an unknown quote';

create function check_quote_line_version(line_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, line_id, '')) = expected_version;
end $$;
comment on function check_quote_line_version(uuid, integer) is 'true when the line still has that version; raises P0002 for an unknown line';

-- The query behind quote_conflicts(). $1: the quote; $2: the line, null for the quote itself; $3: the expected version; $4: the change set; $5: the row;
-- $6: its version column; $7: whether the row may have had that version in an earlier life; $8: when its last one ended, at the earliest.
-- A row that moved between partitions was deleted and created meanwhile. A line that moved to another quote was deleted from one and
-- created in the other, by one transaction or not: stays are the quotes that it was of, and until when. lives are the places where it had
-- the version last in each of its lives: the value at that version is told as it was in the last of them in which it was another than now, so that what
-- is different is never told as the same. A row that was there before its history had its first version at place 0, and so has one whose
-- history of that version is gone, if it never was deleted.
create function quote_conflicts_query(history text, join_clause text, name_expression text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        with recursive stays (quote_id, until) as (
            (select $1, 9223372036854775807
             union all
             select gone.quote_id, gone.position from (select c.quote_id, c.position from %1$s c where $7 and c.changed_at between $8 and $8 + interval '10 minutes'
                and c.quote_line_id = $2 and c.change_type = 'DELETE' order by c.position desc limit 1) gone where gone.quote_id <> $1)
            union all
            select gone.quote_id, gone.position from stays s
            cross join lateral (select c.xid, c.position from %1$s c where c.quote_id = s.quote_id and c.quote_line_id = $2 and c.position < s.until
                and c.change_type = 'CREATE' order by c.position desc limit 1) came
            cross join lateral (select c.quote_id, c.position from %1$s c where c.xid = came.xid and c.quote_line_id = $2 and c.position < came.position
                and c.change_type = 'DELETE' order by c.position desc limit 1) gone
            where gone.quote_id <> s.quote_id),
        ends (position) as materialized (
            select c.position from stays s join %1$s c on $7 and c.quote_id = s.quote_id and c.position <= s.until
            where c.quote_line_id is not distinct from $2 and c.change_type = 'DELETE'),
        seen (position) as (
            select distinct b.position from stays s cross join (select 9223372036854775807 union all select e.position from ends e) e (position)
            cross join lateral (select c.position from %1$s c where c.quote_id = s.quote_id and c.position <= least(s.until, e.position) and c.entity_version_after = $3
                and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED' order by c.position desc limit 1) b),
        first (change_type, version) as (
            select c.change_type, c.entity_version_before from stays s join %1$s c on $7 and c.quote_id = s.quote_id and c.position <= s.until
            where c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED' order by c.position limit 1),
        lives (position) as materialized (
            select n.position from seen n where $7 or n.position = (select max(m.position) from seen m)
            union all select 0 where case when $7 then exists (select from first f where f.change_type <> 'CREATE' and f.version = $3) else not exists (select from seen) end),
        log as materialized (
            select c.field_name, c.change_type, c.old_value, c.changed_by, c.changed_at, c.position, o.is_newer from stays s
            join %1$s c on c.quote_id = s.quote_id and c.position <= s.until and c.position > coalesce((select min(l.position) from lives l), 0)
            cross join lateral (select coalesce(c.entity_version_after > $3 or c.change_type = 'DELETE' and c.entity_version_before >= $3, false)) o (is_newer)
            where c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED'
                and (o.is_newer or c.position > (select max(e.position) from ends e))),
        firsts as materialized (
            select distinct on (v.position, l.field_name) v.position as life, l.field_name, l.old_value, l.position from lives v join log l on l.position > v.position
            where l.is_newer and l.change_type <> 'CREATE' order by v.position, l.field_name, l.position),
        lasts as materialized (
            select distinct on (l.field_name) l.field_name, l.changed_by, l.changed_at, l.position from log l order by l.field_name, l.position desc)
        select jsonb_agg(jsonb_build_object(
            'field', f.key, 'expectedVersion', $3, 'actualVersion', $5 -> $6,
            'baseValue', base.value, 'currentValue', $5 -> f.key, 'attemptedValue', f.value,
            'lastChangedBy', last.changed_by, 'lastChangedByName', %3$s, 'lastChangedAt', last.changed_at) order by f.key)
        from jsonb_each($4) f
        left join lateral (
            select b.value from lives v
            left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as old_value from firsts l
                               where l.life = v.position and l.field_name in (f.key, '*') order by l.position limit 1) first on true
            cross join lateral (select coalesce(case when first.position is null then $5 -> f.key else first.old_value end, 'null')) b (value)
            order by b.value is distinct from coalesce($5 -> f.key, 'null') desc, v.position desc limit 1) base on true
        left join lateral (select l.changed_by, l.changed_at from lasts l
                           order by l.field_name = f.key desc, l.position desc limit 1) last on true
        %2$s$query$, history, join_clause, name_expression)
$$;
comment on function quote_conflicts_query(text, text, text) is 'the query that finds what stands against a save';

-- What stands against a save based on an older version, a jsonb array with one object per attempted field: the value at
-- the expected version, the value now, the attempted value, who changed it last and when.
create function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    conflicts jsonb;
    author record;
    row_id uuid := (current_row ->> (target.columns ->> 'id'))::uuid;
    former record;
    history text := format(case when @extschema@.quote_archive_stands(target.log_schema)
            and has_table_privilege(to_regclass(format('%I.quote_changes_archive', target.log_schema)), 'select')
        then '(select * from %1$I.quote_changes union all select * from %1$I.quote_changes_archive)' else '%1$I.quote_changes' end, target.log_schema);
begin
    select * into author from @extschema@.quote_user_join('last.changed_by');
    select * into former from @extschema@.quote_former_life(target.entity, row_id);
    execute @extschema@.quote_conflicts_query(history, author.join_clause, author.name_expression) into conflicts
    using coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case target.entity when 'QUOTE_LINE' then row_id end,
          expected_version, changes, current_row, target.columns ->> 'version', coalesce(former.version >= expected_version, false), former.ended_at;
    return coalesce(conflicts, '[]');
end $$;
comment on function quote_conflicts(quote_collab_settings, jsonb, integer, jsonb) is 'what stands against a save based on an older version';

create function require_conflict_policy(on_conflict text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if on_conflict in ('merge', 'overwrite') then
        raise exception 'on_conflict => ''%'' is not available in this release', on_conflict
            using errcode = 'feature_not_supported', hint = 'Use on_conflict => ''reject''.';
    elsif on_conflict is distinct from 'reject' then
        raise exception 'unknown on_conflict policy' using errcode = 'invalid_parameter_value',
            hint = 'Use on_conflict => ''reject''.';
    end if;
end $$;
comment on function require_conflict_policy(text) is 'refuses what on_conflict does not know';
