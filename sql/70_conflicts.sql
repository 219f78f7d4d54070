-- What stands against a save that is based on an older version, from the history of its row.

-- The quotes that a line was of, sixteen at most, as far as its history leads from this one to them: by a transaction that took it from one and put it
-- into the other, or by the time when its last life ended. is_whole: that end is among what they know of it.
create function quote_line_quotes(log_schema name, quote_id uuid, line_id uuid, ended_at timestamptz, out quotes uuid[], out is_whole boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    history text := @extschema@.quote_history_to_read(log_schema);
    here integer := 1;
    came xid8[];
    others uuid[];
begin
    quotes := array[quote_id];
    loop
        -- Asked one after the other: together they would be planned over each pair of months.
        while here <= cardinality(quotes) and here <= 16 loop
            execute format('select array_agg(distinct c.xid) from %s c where c.quote_id = $1 and c.quote_line_id = $2 and c.change_type = ''CREATE''', history)
            into came using quotes[here], line_id;
            execute format('select array_agg(distinct c.quote_id) from %s c
                where c.xid = any ($1) and c.quote_line_id = $2 and c.change_type = ''DELETE'' and c.quote_id <> all ($3)', history)
            into others using came, line_id, quotes;
            quotes := quotes || coalesce(others, '{}');
            here := here + 1;
        end loop;
        -- A line that only moved goes on behind its version.
        execute format('select exists (select from unnest($1) q (id) cross join lateral (select from %1$s c
            where c.quote_id = q.id and c.quote_line_id = $2 and c.change_type = ''DELETE'' and c.changed_at >= $3 and not exists (
                select from %1$s moved where moved.xid = c.xid and moved.quote_line_id = $2 and moved.change_type = ''CREATE''
                    and moved.position > c.position and moved.entity_version_after > c.entity_version_before) limit 1) c)', history)
        into is_whole using quotes, line_id, ended_at;
        exit when is_whole;
        -- When rows are deleted the clock is asked, and the transaction may have begun before.
        execute format('select array_agg(distinct c.quote_id) from %1$s c where c.changed_at between $3 and $3 + interval ''10 minutes''
            and c.quote_line_id = $2 and c.change_type = ''DELETE'' and c.quote_id <> all ($1)', history)
        into others using quotes, line_id, ended_at;
        exit when others is null;
        quotes := quotes || others;
    end loop;
end $$;
comment on function quote_line_quotes(name, uuid, uuid, timestamptz) is 'the quotes that a line was of, and whether its last one is among them';

-- What a row was that had the version in one life. $1: its quote; $2: the line, null for the quote itself; $3: the version; $4: the change set; $5: the
-- row. A row that moved between partitions was deleted and created meanwhile, by one transaction, and so was a line that moved to another
-- quote: stays are the quotes that it was of, and until when.
create function quote_versions_query(history text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        with recursive stays (quote_id, until) as (
            select $1[1], 9223372036854775807
            union all
            select gone.quote_id, gone.position from stays s
            cross join lateral (select c.xid, c.position from %1$s c where c.quote_id = s.quote_id and c.quote_line_id = $2 and c.position < s.until
                and c.change_type = 'CREATE' order by c.position desc limit 1) came
            cross join lateral (select c.quote_id, c.position from %1$s c where c.xid = came.xid and c.quote_line_id = $2 and c.position < came.position
                and c.change_type = 'DELETE' order by c.position desc limit 1) gone
            where gone.quote_id <> s.quote_id),
        seen (position) as (
            select coalesce(max(b.position), 0) from stays s
            cross join lateral (select c.position from %1$s c where c.quote_id = s.quote_id and c.position <= s.until and c.entity_version_after = $3
                and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED' order by c.position desc limit 1) b),
        -- In order, so that PostgreSQL goes to each stay by the index of quotes: it expects a hundred of them, and would read all months at once.
        log as materialized (
            select c.* from stays s
            cross join lateral (select c.field_name, c.change_type, c.old_value, c.changed_by, c.changed_at, c.position from %1$s c
                where c.quote_id = s.quote_id and c.position <= s.until and c.position > (select n.position from seen n)
                    and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED'
                    and (c.entity_version_after > $3 or c.change_type = 'DELETE' and c.entity_version_before >= $3) order by c.position) c),
        firsts as materialized (
            select distinct on (l.field_name) l.field_name, l.old_value, l.position from log l where l.change_type <> 'CREATE' order by l.field_name, l.position),
        lasts as materialized (
            select distinct on (l.field_name) l.field_name, l.changed_by, l.changed_at, l.position from log l order by l.field_name, l.position desc),
        told as (
            select f.key, case when base.position is null then $5 -> f.key else base.old_value end as base, last.changed_by, last.changed_at
            from jsonb_each($4) f
            left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as old_value from firsts l
                               where l.field_name in (f.key, '*') order by l.position limit 1) base on true
            left join lateral (select l.changed_by, l.changed_at from lasts l
                               order by l.field_name = f.key desc, l.position desc limit 1) last on true)$query$, history)
$$;
comment on function quote_versions_query(text) is 'what the fields of a row were at a version, and who changed them since';

-- What a row was that may have had the version in several lives, of which each but the one of now (0) ends with a DELETE: the parameters are those
-- of quote_versions_query(), and $1: all quotes that a line was of; $6: its version column; $7: whether they are known. A field is told as it was in the last life in
-- which it was another than now, so that what is different is never told as the same, and as null where that life may be one of which nothing is known.
-- The last hundred lives count. Whoever changed it since the row came back is told before others.
create function quote_lives_query(history text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        with log as materialized (
            select c.*, count(*) filter (where c.change_type = 'DELETE') over (order by c.position desc) as life
            from unnest($1) q (id)
            cross join lateral (select c.position, c.field_name, c.change_type, c.old_value, c.changed_by, c.changed_at, c.entity_version_before, c.entity_version_after
                from %1$s c where c.quote_id = q.id and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED' offset 0) c),
        lives as (
            select l.life from log l where l.life <= 100 group by l.life
            having $3 between coalesce(min(l.entity_version_after) filter (where l.change_type = 'CREATE'), -2147483648)
                and case l.life when 0 then ($5 ->> $6)::numeric else coalesce(max(l.entity_version_before) filter (where l.change_type = 'DELETE'), 2147483647) end),
        firsts as materialized (
            select distinct on (l.life, l.field_name) l.life, l.field_name, l.old_value, l.position from log l join lives v on v.life = l.life
            where l.change_type = 'DELETE' or l.change_type <> 'CREATE' and l.entity_version_after > $3 order by l.life, l.field_name, l.position),
        told as (
            select f.key, base.value as base, last.changed_by, last.changed_at
            from jsonb_each($4) f
            cross join lateral (select coalesce($5 -> f.key, 'null')) now (value)
            left join lateral (
                select b.value from lives v
                left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as value from firsts l
                                   where l.life = v.life and l.field_name in (f.key, '*') order by l.position limit 1) first on true
                cross join lateral (select case when v.life = 0 and first.position is null then now.value else coalesce(first.value, 'null') end) b (value)
                where $7 or b.value <> now.value
                order by b.value <> now.value desc, v.life limit 1) base on true
            left join lateral (
                select l.changed_by, l.changed_at from log l
                order by l.life, l.field_name in (f.key, '*') desc, l.position desc limit 1) last on true)$query$, history)
$$;
comment on function quote_lives_query(text) is 'what the fields of a row were at a version that it may have had in several lives, and who changed them since';

-- What stands against a save based on an older version, a jsonb array with one object per attempted field: the value at
-- the expected version, the value now, the attempted value, who changed it last and when.
create function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    conflicts jsonb;
    author record;
    row_id uuid := (current_row ->> (target.columns ->> 'id'))::uuid;
    line_id uuid := case target.entity when 'QUOTE_LINE' then row_id end;
    quotes uuid[] := array[coalesce(current_row ->> (target.columns ->> 'quote'), row_id::text)::uuid];
    is_whole boolean := true;
    former record;
    query text;
    history text := @extschema@.quote_history_to_read(target.log_schema);
begin
    select * into author from @extschema@.quote_user_join('t.changed_by');
    select * into former from @extschema@.quote_former_life(target.entity, row_id);
    query := @extschema@.quote_versions_query(history);
    if former.version >= expected_version then
        query := @extschema@.quote_lives_query(history);
        if line_id is not null then
            select q.quotes, q.is_whole into quotes, is_whole from @extschema@.quote_line_quotes(target.log_schema, quotes[1], line_id, former.ended_at) q;
        end if;
    end if;
    execute format($query$%s
        select jsonb_agg(jsonb_build_object(
            'field', t.key, 'expectedVersion', $3, 'actualVersion', $5 -> $6,
            'baseValue', t.base, 'currentValue', $5 -> t.key, 'attemptedValue', $4 -> t.key,
            'lastChangedBy', t.changed_by, 'lastChangedByName', %s, 'lastChangedAt', t.changed_at) order by t.key)
        from told t %s$query$, query, author.name_expression, author.join_clause)
    into conflicts using quotes, line_id, expected_version, changes, current_row, target.columns ->> 'version', is_whole;
    return coalesce(conflicts, '[]');
end $$;
comment on function quote_conflicts(quote_collab_settings, jsonb, integer, jsonb) is 'what stands against a save based on an older version';
