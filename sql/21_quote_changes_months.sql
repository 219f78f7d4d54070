-- The monthly partitions of the audit log.

-- First day of the month of a time, in UTC: partition bounds must not move with the session's time zone.
create function quote_changes_month(at timestamptz) returns timestamptz
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select date_trunc('month', at at time zone 'UTC') at time zone 'UTC' $$;
comment on function quote_changes_month(timestamptz) is 'start of the monthly partition of quote_changes that a time belongs to';

-- One month. Rows of it that the default partition took meanwhile move over, which keeps writers out for as long as that takes.
create function create_quote_changes_month(log regclass, month_name name, month_start timestamptz, month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name;
    log_owner name;
    month regclass;
    spare regclass;
    has_strays boolean := false;
begin
    select n.nspname, pg_get_userbyid(c.relowner), nullif(p.partdefid, 0)::regclass into log_schema, log_owner, spare
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_partitioned_table p on p.partrelid = c.oid where c.oid = log;
    if spare is not null then
        execute format('select exists (select from %s where changed_at >= $1 and changed_at < $2)', spare)
        into has_strays using month_start, month_end;
    end if;
    if has_strays then
        execute format('lock table %s in access exclusive mode', spare);
        execute format('create table %I.%I (like %s including defaults)', log_schema, month_name, log);
        month := format('%I.%I', log_schema, month_name)::regclass;
        execute format('with strays as (delete from %s where changed_at >= $1 and changed_at < $2 returning *) insert into %s select * from strays',
            spare, month) using month_start, month_end;
        execute format('alter table %s attach partition %s for values from (%L) to (%L)', log, month, month_start, month_end);
    else
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)', log_schema, month_name, log, month_start, month_end);
        month := format('%I.%I', log_schema, month_name)::regclass;
    end if;
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name);
end $$;
comment on function create_quote_changes_month(regclass, name, timestamptz, timestamptz) is 'creates one monthly partition of an audit log';

-- Creates the monthly partitions that are missing up to months_ahead; returns how many it made. A partition carries
-- its own row security, because a partition read directly bypasses its parent's policies. A month that cannot be made is
-- said and left to the default partition, and stops nobody else's work.
create function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_name name;
    first timestamptz;
    month_name name;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value';
    end if;
    select c.relname into log_name from pg_class c where c.oid = log;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        month_name := format('%s_%s', log_name, to_char(first at time zone 'UTC', 'YYYY_MM'));
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        begin
            perform @extschema@.create_quote_changes_month(log, month_name, first, @extschema@.quote_changes_month(first + interval '32 days'));
            made := made + 1;
        exception when others then
            raise warning 'month % of the audit log has no partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm
                using hint = 'The default partition takes its rows until the next attempt.';
        end;
    end loop;
    return made;
end $$;
comment on function create_quote_changes_partitions(regclass, integer) is 'creates the missing monthly partitions of an audit log';
