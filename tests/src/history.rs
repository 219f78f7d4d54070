//! The history as a proof: what was there before, changed as the log says, must be what is there now.

use tokio_postgres::Client;

use crate::erp::Erp;
use crate::postgres::ADMIN;
use crate::statement::WRITE;

/// January and February of the year before last, with one change of every quote in each.
pub const PAST: &str = "do $$
declare
    first timestamptz := date_trunc('year', now() - interval '2 years', 'UTC');
begin
    for month in 0 .. 1 loop
        execute format('create table quote_changes_past_%s partition of quote_changes for values from (%L) to (%L)', month,
            first + make_interval(months => month), first + make_interval(months => month + 1));
        perform protect_quote_table(format('quote_changes_past_%s', month)::regclass, 'quote_changes_tenant_isolation');
        insert into quote_changes (id, tenant_id, quote_id, changed_at, entity_type, field_name, old_value, new_value, change_type, was_conflict,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select uuid_generate_v7(), tenant_id, id, first + make_interval(months => month, days => 3), 'QUOTE', 'notes', null, to_jsonb('past'::text), 'UPDATE', false,
            1, 2, uuid_generate_v7(), nextval('quote_changes_position_seq'), pg_current_xact_id(), quote_cluster_identifier() from quotes;
    end loop;
end $$";

/// Has the database look as if an earlier release had been updated: what left the log before then is noted nowhere.
pub const UPDATED: &str = "insert into quote_log_cuts (no, log, moved_by, newest, shown, last_position, moved_at) overriding system value
    select 0, log, moved_by, newest, shown, last_position, moved_at from quote_log_cuts; delete from quote_log_cuts where no > 0";

/// Rows whose changes, by position, are no chain of versions; and rows whose current version is not where it ends, or that are gone while
/// it goes on.
pub const OUT_OF_CHAIN: &str = "
    with steps as (
        select distinct c.position, coalesce(c.quote_line_id, c.quote_id) as id, c.entity_version_before as before, c.entity_version_after as after
        from quote_changes c where c.conflict_resolution is null),
    chain as (select s.*, lag(s.after) over w as ended, row_number() over w as place from steps s window w as (partition by s.id order by s.position)),
    ends as (select distinct on (s.id) s.id, s.after from steps s order by s.id, s.position desc)
    select (select count(*) from chain c where c.place > 1 and c.ended is distinct from c.before)
        + (select count(*) from ends e join (select id, version from quotes union all select id, version from quote_lines) q using (id)
            where q.version is distinct from e.after)
        + (select count(*) from ends e where e.after is not null and e.id not in (select id from quotes union all select id from quote_lines))
        + (select count(*) from quote_changes where jsonb_typeof(coalesce(new_value, old_value)) is null and field_name = '*')";

/// Versions of each row as the feed hands them out, where they do not ascend.
pub const OUT_OF_ORDER: &str = "
    select count(*) from (
        select (e.event ->> 'version_after')::integer as after, lag((e.event ->> 'version_after')::integer) over (
            partition by e.event ->> 'quote_id', e.event ->> 'line_id' order by e.place) as ended
        from quote_events_since(null, 10000) with ordinality e (cursor, event, place)) x
    where x.after <= x.ended";

/// Makes the functions of the proof in a database with attached tables.
const PROOF: &str = r"
create schema proof;
create table proof.known (entity text, id uuid, doc jsonb, primary key (entity, id));
create table proof.read (position bigint);

-- Every attached row as it is now, without what counts as no change.
create function proof.rows() returns table (entity text, id uuid, doc jsonb) language plpgsql as $$
declare
    s record;
begin
    for s in select * from quote_collab_settings loop
        return query execute format('select %L::text, t.%I, to_jsonb(t) - %L::text[] from %I.%I t', s.entity, s.columns ->> 'id',
            array[s.columns ->> 'updated_at', s.columns ->> 'updated_by'], s.table_schema, s.table_name);
    end loop;
end $$;

create function proof.log() returns text language sql as
$$ select format('%I.quote_changes', s.table_schema) from quote_collab_settings s where s.entity = 'QUOTE' $$;

create function proof.begin() returns void language plpgsql as $$
begin
    delete from proof.known;
    delete from proof.read;
    insert into proof.known select * from proof.rows();
    execute format('insert into proof.read select coalesce(max(c.position), 0) from %s c', proof.log());
end $$;

-- Applies the log to what was known. One row per thing that does not fit.
create function proof.deviations() returns setof text language plpgsql as $$
declare
    c record;
    before jsonb;
    v text := 'version';
begin
    for c in execute format('select * from %s c where c.position > (select r.position from proof.read r) order by c.position, c.id', proof.log()) loop
        select k.doc into before from proof.known k where k.entity = c.entity_type and k.id = coalesce(c.quote_line_id, c.quote_id);
        if c.change_type = 'CREATE' then
            if before is not null then return next format('%s: created and there already', c.position); end if;
            insert into proof.known values (c.entity_type, coalesce(c.quote_line_id, c.quote_id), c.new_value - '{updated_at,updated_by}'::text[])
            on conflict (entity, id) do update set doc = excluded.doc;
            continue;
        end if;
        if before is null then return next format('%s: %s of an unknown row', c.position, c.change_type); continue; end if;
        if c.change_type = 'DELETE' then
            if before <> c.old_value - '{updated_at,updated_by}'::text[] then return next format('%s: deleted as it was not', c.position); end if;
            delete from proof.known k where k.entity = c.entity_type and k.id = coalesce(c.quote_line_id, c.quote_id);
            continue;
        end if;
        if before -> c.field_name is distinct from coalesce(c.old_value, 'null') then
            return next format('%s: %s was %s, not %s', c.position, c.field_name, before -> c.field_name, c.old_value);
        end if;
        if (before ->> v)::integer not in (c.entity_version_before, c.entity_version_after) or c.entity_version_after <> c.entity_version_before + 1 then
            return next format('%s: version %s after %s', c.position, c.entity_version_after, before ->> v);
        end if;
        update proof.known k set doc = k.doc || jsonb_build_object(c.field_name, c.new_value, v, c.entity_version_after)
        where k.entity = c.entity_type and k.id = coalesce(c.quote_line_id, c.quote_id);
    end loop;
    return query select format('%s %s: the log gives %s, there is %s', coalesce(k.entity, r.entity), coalesce(k.id, r.id), k.doc, r.doc)
        from proof.known k full join proof.rows() r on r.entity = k.entity and r.id = k.id where k.doc is distinct from r.doc;
end $$;

-- How many row changes of each kind: 'CREATE 1, UPDATE 2'.
create function proof.counts() returns text language plpgsql as $$
declare
    counts text;
begin
    execute format('select string_agg(format(''%%s %%s'', x.change_type, x.n), '', '' order by x.change_type) from (
        select c.change_type, count(distinct c.event_id) n from %s c where c.position > (select r.position from proof.read r) group by 1) x', proof.log()) into counts;
    return coalesce(counts, '');
end $$;
";

/// Makes a database ready to prove its history.
pub async fn prepare(admin: &Client) {
    admin.batch_execute(PROOF).await.expect("the proof is prepared");
}

/// Notes what is there now.
pub async fn begin(admin: &Client) {
    admin.batch_execute("select proof.begin()").await.expect("what is there is noted");
}

/// How many row changes of each kind were recorded since [`begin`], after proving that they lead from what was there to
/// what is there.
///
/// # Errors
/// What does not fit, after the counts.
pub async fn proven(admin: &Client) -> Result<String, String> {
    let counts: String =
        admin.query_one("select proof.counts()", &[]).await.expect("the log is counted").get(0);
    let rows = admin.query("select proof.deviations()", &[]).await.expect("the log is applied");
    let deviations: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if deviations.is_empty() { Ok(counts) } else { Err(format!("{counts}:\n{}", deviations.join("\n"))) }
}

/// A change, told for good by a relay that has only begun to ask.
pub async fn tell(erp: &Erp, epoch: i64) {
    let relay = erp.client(ADMIN).await;
    for _ in 0..2 {
        relay.batch_execute(WRITE).await.expect("a change");
        let open = "select quote_relay_open_batch($1)";
        let batch: i64 = relay.query_one(open, &[&epoch]).await.expect("a batch").get(0);
        let note = "select quote_relay_checkpoint($1, $2, 0, 1)";
        relay.query_one(note, &[&epoch, &batch]).await.expect("it is noted");
    }
}
