//! The log is made the same wherever, whenever and under whatever settings; what stands in its way costs no change.

use quote_collab_tests::Erp;
use quote_collab_tests::rights::{CLERK, GIVE, GIVEN};
use quote_collab_tests::statement::{WRITE, run, sqlstate, text};
use tokio_postgres::Client;

async fn bare() -> (Erp, Client) {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create extension quote_collab_ext").await;
    (erp, admin)
}

const ATTACH: &str = "select attach_quote_collaboration()";

/// Months whose partition does not begin at midnight of the first, in UTC.
const CROOKED: &str = "
    select count(*) from (
        select (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz
        from pg_class c where c.relispartition and c.relname like 'quote_changes%') b (at)
    where to_char(b.at at time zone 'UTC', 'DD HH24:MI') <> '01 00:00'";

#[tokio::test]
async fn default_privileges_do_not_open_it() {
    let (erp, admin) = bare().await;
    run(
        &admin,
        "create role clerk; grant usage on schema public to clerk;
         alter default privileges in schema public grant all on tables to clerk, public;
         alter default privileges in schema public grant all on sequences to clerk;
         grant select, update on quotes, quote_lines to clerk",
    )
    .await;
    run(&admin, ATTACH).await;
    run(
        &admin,
        "create table quote_changes_2000_01 partition of quote_changes for values from ('2000-01-01 00:00+00') to ('2000-02-01 00:00+00');
         revoke all on quote_changes_2000_01 from clerk, public;
         select archive_quote_changes('1 month'); select create_quote_changes_partitions('quote_changes', 5)",
    )
    .await;
    let open = "
        select count(*) from pg_class c cross join lateral aclexplode(c.relacl) a
        where c.relname ~ '^(quote_changes|quote_relay)' and c.relkind in ('r', 'p', 'S') and a.grantee <> c.relowner
            and (a.privilege_type <> 'SELECT' or c.relname !~ '^quote_changes(_archive)?$')";
    assert_eq!(erp.count(open).await, 0);
}

#[tokio::test]
async fn default_privileges_open_nothing_of_the_extension() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, &format!("{CLERK}; alter default privileges grant all on tables to clerk_of_all; alter default privileges grant all on functions to clerk_of_all")).await;
    run(&admin, "create extension quote_collab_ext; select attach_quote_collaboration()").await;
    assert_eq!(erp.count(GIVEN).await, 0);
    // What is for everybody stays so.
    run(&admin, "set role clerk_of_all; select quote_session_ttl(); reset role").await;
    run(&admin, GIVE).await;
    assert!(erp.count(GIVEN).await > 0);
    run(
        &admin,
        "create schema clerks authorization clerk_of_all; set role clerk_of_all;
         create function clerks.plant() returns trigger language plpgsql as 'begin raise exception ''planted''; end';
         create trigger plant before update on public.quote_collab_settings for each statement execute function clerks.plant(); reset role",
    )
    .await;
    run(&admin, "select close_quote_extension(); select attach_quote_collaboration()").await;
    assert_eq!(erp.count(GIVEN).await, 0);
}

#[tokio::test]
async fn a_month_takes_over_what_the_default_partition_has_of_it() {
    let (erp, admin) = bare().await;
    run(&admin, ATTACH).await;
    let month = "to_char(now() at time zone 'UTC', '\"quote_changes_\"YYYY_MM')";
    run(
        &admin,
        &format!("do $$ begin execute 'drop table ' || {month}; end $$; update quotes set notes = 'stray'"),
    )
    .await;
    let strays = erp.count("select count(*) from quote_changes_default").await;
    assert!(strays > 0);
    run(&admin, "select quote_collab_maintenance()").await;
    assert_eq!(erp.count("select count(*) from quote_changes_default").await, 0);
    assert_eq!(erp.count("select count(*) from quote_changes").await, strays);
    run(&admin, "update quotes set notes = 'at home'; select quote_collab_maintenance()").await;
    assert_eq!(erp.count("select count(*) from quote_changes_default").await, 0);
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
    let unprotected = "select count(*) from pg_class where relname like 'quote_changes%' and relkind in ('r', 'p') and not relforcerowsecurity";
    assert_eq!(erp.count(unprotected).await, 0);
}

#[tokio::test]
async fn months_are_months_whatever_dates_look_like() {
    let (erp, admin) = bare().await;
    run(&admin, "set timezone = 'Asia/Kolkata'; set datestyle = 'SQL, DMY'").await;
    run(&admin, ATTACH).await;
    run(&admin, "set timezone = 'UTC'; set datestyle = 'ISO'; select create_quote_changes_partitions('quote_changes', 6)")
        .await;
    assert_eq!(erp.count(CROOKED).await, 0);
    run(
        &admin,
        "create table quote_changes_2000_01 partition of quote_changes for values from ('2000-01-01 00:00+00') to ('2000-02-01 00:00+00');
         insert into quote_changes select (jsonb_populate_record(null::quote_changes, jsonb_build_object('id', gen_random_uuid(), 'tenant_id', gen_random_uuid(),
             'quote_id', gen_random_uuid(), 'changed_at', '2000-01-01 00:30+00', 'entity_type', 'QUOTE', 'field_name', 'notes', 'change_type', 'UPDATE',
             'was_conflict', false, 'event_id', gen_random_uuid(), 'position', 1, 'xid', 3, 'origin', 1))).*;
         set timezone = 'Asia/Kolkata'; set datestyle = 'SQL, DMY'",
    )
    .await;
    let moved: i32 =
        admin.query_one("select archive_quote_changes('1 month')", &[]).await.expect("archived").get(0);
    assert_eq!(moved, 1);
    run(&admin, "set timezone = 'UTC'; set datestyle = 'ISO'").await;
    assert_eq!(erp.count(CROOKED).await, 0);
}

#[tokio::test]
async fn a_schema_may_have_an_apostrophe() {
    let (erp, admin) = bare().await;
    run(
        &admin,
        r#"create schema "o'brien"; alter table quotes set schema "o'brien"; alter table quote_lines set schema "o'brien"; set search_path = "o'brien", public;
           select attach_quote_collaboration(options => '{"truncate": "record"}'); update quotes set notes = 'b';
           select update_quote_with_version_check(id, 1, '{"notes": "c"}') from quotes limit 1; truncate quote_lines"#,
    )
    .await;
    let refused = r#"select count(*) from "o'brien".quote_changes where conflict_resolution = 'REJECTED'"#;
    assert_eq!(erp.count(refused).await, 1);
    let truncated = r#"select count(*) from "o'brien".quote_changes where change_type = 'DELETE'"#;
    assert!(erp.count(truncated).await > 0);
}

#[tokio::test]
async fn who_comes_after_the_archive_reads_it_too() {
    let (erp, admin) = bare().await;
    run(&admin, ATTACH).await;
    run(
        &admin,
        "create table quote_changes_2000_01 partition of quote_changes for values from ('2000-01-01 00:00+00') to ('2000-02-01 00:00+00');
         select archive_quote_changes('1 month'); create role late_reader login; grant usage on schema public to late_reader;
         create role late_gateway login; grant select on quotes, quote_lines to late_reader; select attach_quote_collaboration();
         select grant_quote_gateway('late_gateway')",
    )
    .await;
    for role in ["late_reader", "late_gateway"] {
        run(
            &erp.client(role).await,
            "select * from v_quote_changes_all; select get_quote_change_history(gen_random_uuid())",
        )
        .await;
    }
}

#[tokio::test]
async fn history_that_was_kept_is_protected_again() {
    let (_erp, admin) = bare().await;
    run(&admin, ATTACH).await;
    run(&admin, "update quotes set notes = 'kept'; select detach_quote_collaboration(); select attach_quote_collaboration()")
        .await;
    let wrong = "select string_agg(check_name || ': ' || message, '; ') from quote_collab_doctor() where severity = 'error' and check_name ~ 'row security|tenant'";
    let row = admin.query_one(wrong, &[]).await.expect("the doctor answers");
    assert_eq!(row.get::<_, Option<String>>(0), None);
}

#[tokio::test]
async fn tables_without_their_first_rows_get_them() {
    let (erp, admin) = bare().await;
    run(&admin, ATTACH).await;
    // As a dump without data leaves them.
    run(
        &admin,
        "delete from quote_relay_batch; delete from quote_relay_lease; delete from quote_changes_seals",
    )
    .await;
    run(&admin, ATTACH).await;
    run(&admin, "update quotes set notes = 'on'; select quote_collab_maintenance()").await;
    assert_eq!(erp.count("select quote_relay_lease('test', '1 minute')").await, 1);
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

#[tokio::test]
async fn times_of_what_is_written_are_summarized() {
    const MONTH: &str = "to_char(now() at time zone 'UTC', '\"quote_changes_\"YYYY_MM')";
    let (erp, admin) = bare().await;
    run(&admin, ATTACH).await;
    let month = text(&admin, &format!("select {MONTH}")).await;
    // More than one range of 128 pages.
    run(
        &admin,
        "do $$ begin for i in 1..40 loop update quotes set notes = repeat('a note ', i); end loop; end $$",
    )
    .await;
    assert!(erp.count(&format!("select pg_relation_size('{month}') / 8192")).await > 200);
    let another = erp.client("postgres").await;
    run(&another, &format!("begin; lock table {month} in share update exclusive mode")).await;
    run(&admin, "set statement_timeout = '30s'; select quote_collab_maintenance()").await;
    let left = format!("select brin_summarize_new_values('{month}_changed_at_idx')::bigint");
    run(&another, "commit").await;
    run(&admin, "select quote_collab_maintenance()").await;
    assert_eq!(erp.count(&left).await, 0);
    // Nobody else is asked to, whose list may be full: PostgreSQL would log the statement that filled it. Nor by a log of an earlier release.
    let asks = "select count(*) from pg_class where 'autosummarize=on' = any (reloptions)";
    assert_eq!(erp.count(asks).await, 0);
    run(
        &admin,
        "drop index quote_changes_changed_at;
         create index quote_changes_changed_at on quote_changes using brin (changed_at) with (autosummarize = on)",
    )
    .await;
    let before = erp.count(asks).await;
    run(&admin, "select create_quote_changes_partitions('quote_changes', 6)").await;
    assert_eq!(erp.count(asks).await, before);
}

#[tokio::test]
async fn a_month_may_have_any_name_and_length() {
    let (erp, admin) = bare().await;
    run(&admin, ATTACH).await;
    let year = "extract(year from now() at time zone 'UTC')::integer + 1";
    run(
        &admin,
        &format!(
            "do $$ declare month regclass; begin
                execute format('alter table quote_changes_%s rename to this_month', to_char(now() at time zone 'UTC', 'YYYY_MM'));
                for month in select relid from pg_partition_tree('quote_changes') where isleaf and relid::regclass::text not in ('this_month', 'quote_changes_default') loop
                    execute format('drop table %s', month);
                end loop;
                execute format('create table rest_of_year partition of quote_changes for values from (%L) to (%L)',
                    date_trunc('month', now(), 'UTC') + interval '1 month', make_timestamptz({year}, 1, 1, 0, 0, 0, 'UTC') + interval '2 years');
            end $$"
        ),
    )
    .await;
    let partitions = "select count(*) from pg_partition_tree('quote_changes')";
    let before = erp.count(partitions).await;
    assert_eq!(erp.count("select (quote_collab_maintenance() ->> 'partitions_created')::bigint").await, 0);
    assert_eq!(erp.count(partitions).await, before);
    run(&admin, "update quotes set notes = 'this month'").await;
    assert!(erp.count("select count(*) from this_month").await > 0);
    let unwell =
        "select count(*) from quote_collab_doctor() where check_name ~ '^partition of' and severity <> 'ok'";
    assert_eq!(erp.count(unwell).await, 0);
}

#[tokio::test]
async fn an_erp_may_give_new_tables_to_a_role_of_its_own() {
    let (erp, admin) = bare().await;
    run(
        &admin,
        "create role keeper;
         create function give() returns event_trigger language plpgsql as $$
             declare made record;
             begin
                 for made in select * from pg_event_trigger_ddl_commands() where object_type = 'table' loop
                     execute format('alter table %s owner to keeper', made.object_identity);
                 end loop;
             end $$;
         create event trigger give on ddl_command_end when tag in ('CREATE TABLE') execute function give()",
    )
    .await;
    run(&admin, ATTACH).await;
    let strangers = "select count(*) from pg_class where relname ~ '^quote_changes' and relkind in ('r', 'p', 'S') and relowner = 'keeper'::regrole";
    assert_eq!(erp.count(strangers).await, 0);
    run(
        &admin,
        "drop event trigger give; select detach_quote_collaboration(drop_history => true); drop role keeper",
    )
    .await;
}

#[tokio::test]
async fn whoever_drops_what_he_does_not_know_is_refused_the_sequence() {
    let erp = Erp::attached().await;
    let (admin, owner) = (erp.client("postgres").await, erp.client("postgres").await);
    run(&owner, "set role erp_owner").await;
    let drop = "drop sequence quote_changes_position_seq";
    assert_eq!(sqlstate(&owner, drop).await, "2BP01");
    // Of an earlier release.
    run(&admin, "alter table quote_changes alter column position drop default").await;
    run(&admin, ATTACH).await;
    assert_eq!(sqlstate(&owner, drop).await, "2BP01");
    run(&owner, &format!("{drop} cascade")).await;
    let fresh = erp.client("postgres").await;
    let error = fresh.batch_execute("update quotes set notes = 'no'").await.unwrap_err();
    let error = error.as_db_error().expect("the server answered");
    assert_eq!(error.code().code(), "42P01");
    assert!(error.message().contains("public.quote_changes_position_seq"), "{error}");
    run(&admin, ATTACH).await;
    run(&fresh, "update quotes set notes = 'yes'").await;
    // What is in the archive keeps nothing of the log from being dropped.
    run(
        &admin,
        "create table quote_changes_2000_01 partition of quote_changes for values from ('2000-01-01 00:00+00') to ('2000-02-01 00:00+00');
         select protect_quote_table('quote_changes_2000_01', 'quote_changes_tenant_isolation'); select archive_quote_changes('1 month')",
    )
    .await;
    run(&admin, "begin; drop table quote_changes cascade; rollback; select detach_quote_collaboration(drop_history => true)").await;
}

#[tokio::test]
async fn rows_are_placed_in_months_of_the_log_alone() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let alike =
        "create table mine (changed_at timestamptz not null, tenant_id uuid) partition by range (changed_at);
        create table mine_default partition of mine default;
        insert into mine values (now() - interval '2 months', null)";
    run(&admin, alike).await;
    for table in ["mine", "quotes", "quote_changes_default"] {
        assert_eq!(
            sqlstate(&admin, &format!("select place_quote_strays('{table}')")).await,
            "22023",
            "{table}"
        );
    }
}

/// A table under the name of a month that is not as the log's months are stands in the way of that month alone, and nothing of it is run.
#[tokio::test]
async fn a_table_that_is_no_month_stands_in_the_way_of_one_month() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let strays = "update quotes set notes = 'once' where id = (select id from quotes order by id limit 1);
        with earlier as (select c.*, m.months from quote_changes c, generate_series(5, 6) m (months))
        insert into quote_changes_default (id, tenant_id, quote_id, changed_at, entity_type, field_name, change_type, was_conflict, event_id, position, xid, origin)
        select gen_random_uuid(), tenant_id, quote_id, changed_at - make_interval(months => months), entity_type, field_name, change_type, was_conflict,
            gen_random_uuid(), position, xid, origin from earlier";
    run(&admin, strays).await;
    let month =
        "select 'quote_changes_' || to_char((now() - interval '5 months') at time zone 'UTC', 'YYYY_MM')";
    let month = text(&admin, month).await;
    let trap = "create function trap() returns trigger language plpgsql as $$ begin raise 'run as %', current_user; end $$";
    run(&admin, trap).await;
    for misfit in [
        format!("create table {month} as select * from quote_changes limit 0"),
        format!(
            "create table {month} (like quote_changes including all); alter table {month} add extra integer"
        ),
        format!(
            "create table {month} (like quote_changes including all); create trigger t before insert on {month} for each row execute function trap()"
        ),
        format!("create table {month} (like quote_changes including all, check (old_value is null))"),
    ] {
        run(&admin, &format!("begin; {misfit}; alter table {month} owner to erp_owner")).await;
        assert_eq!(text(&admin, "select place_quote_strays('quote_changes')::text").await, "1", "{misfit}");
        let left = "select count(distinct date_trunc('month', changed_at))::text from quote_changes_default";
        assert_eq!(text(&admin, left).await, "1", "{misfit}");
        run(&admin, "rollback").await;
    }
    assert_eq!(text(&admin, "select place_quote_strays('quote_changes')::text").await, "2");
}

/// What somebody forbids the history is refused, and not written all the same: no dump of it would come back.
#[tokio::test]
async fn a_constraint_on_the_log_is_kept() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let month = text(&admin, "select 'quote_changes_' || to_char(now() at time zone 'UTC', 'YYYY_MM')").await;
    run(&admin, WRITE).await;
    run(&admin, "delete from quote_changes").await;
    for (forbids, allows, expected) in [
        (
            "quote_changes add constraint named check (changed_by is not null)",
            "quote_changes drop constraint named",
            "23514",
        ),
        ("MONTH add constraint named check (changed_by is not null)", "MONTH drop constraint named", "23514"),
        (
            "quote_changes alter changed_by set not null",
            "quote_changes alter changed_by drop not null",
            "23502",
        ),
    ] {
        run(&admin, &format!("alter table {}", forbids.replace("MONTH", &month))).await;
        assert_eq!(sqlstate(&admin, WRITE).await, expected, "{forbids}");
        run(
            &admin,
            &format!("alter table {}; {WRITE}; delete from quote_changes", allows.replace("MONTH", &month)),
        )
        .await;
    }
}

/// What attach and the doctor ask of the tables of a history is what attach makes.
#[tokio::test]
async fn a_history_has_the_columns_that_are_asked_for() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "select create_quote_changes_archive('quote_changes')").await;
    let told = text(
        &admin,
        "with made as (select h.name, a.attname, a.atttypid::regtype as type from quote_home_tables() h
                join pg_attribute a on a.attrelid = to_regclass(h.name) and a.attnum > 0 and not a.attisdropped),
            asked as (select h.name, k.column_name, k.column_type from quote_home_tables() h cross join quote_history_columns(h.name::text) k)
         select string_agg(concat_ws(' ', coalesce(m.name, a.name), m.attname, m.type, a.column_name, a.column_type), ', ')
         from made m full join asked a on a.name = m.name and a.column_name = m.attname
         where m.type is distinct from a.column_type and (m.attname, m.type, a.column_type) is distinct from (m.attname, 'varchar'::regtype, 'text'::regtype)",
    )
    .await;
    assert_eq!(told, "");
    assert_eq!(
        erp.count(
            "select count(distinct h.name) from quote_home_tables() h, quote_history_columns(h.name::text)"
        )
        .await,
        6
    );
}
