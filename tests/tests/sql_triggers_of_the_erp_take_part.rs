//! The ERP has triggers of its own, which change rows while a change is being recorded: the history has each change once, in the
//! order of versions, and no code of others that runs in between can hurt the server.

use std::process::Command;

use quote_collab_tests::history::OUT_OF_CHAIN;
use quote_collab_tests::statement::run;
use quote_collab_tests::{Erp, built};
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

/// Versions of each row as the feed hands them out, where they do not ascend.
const OUT_OF_ORDER: &str = "
    select count(*) from (
        select (e.event ->> 'version_after')::integer as after, lag((e.event ->> 'version_after')::integer) over (
            partition by e.event ->> 'quote_id', e.event ->> 'line_id' order by e.place) as ended
        from quote_events_since(null, 10000) with ordinality e (cursor, event, place)) x
    where x.after <= x.ended";

/// An ERP that keeps the total of a quote by a trigger on its lines.
const TOTAL: &str = "create function erp() returns trigger language plpgsql as $$ begin
         update quotes q set total_amount = (select sum(l.quantity) from quote_lines l where l.quote_id = q.id) where q.id = new.quote_id; return null; end $$;
     create trigger a_total after insert or update on quote_lines for each row execute function erp();";

const SIBLING: &str = "select id from quotes where quote_number = (select max(quote_number) from quotes)";

#[tokio::test]
async fn what_triggers_change_in_turn_is_recorded_in_order() {
    for (what, trigger, changes) in [
        (
            "a number that is given after the insert",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quotes set notes = 'numbered' where id = new.id; return null; end $$;
             create trigger assign_number after insert on quotes for each row execute function erp();",
            "insert into quotes select (jsonb_populate_record(q, jsonb_build_object('id', gen_random_uuid(), 'quote_number', 'NEW-1', 'version', 1))).* from quotes q limit 1",
        ),
        (
            "a row changed again before its own change is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 if pg_trigger_depth() < 4 then update quotes set notes = new.notes || '.' where id = new.id; end if; return null; end $$;
             create trigger a_first after update on quotes for each row execute function erp();",
            "update quotes set notes = 'again'",
        ),
        (
            "another row of the same statement",
            "create function erp() returns trigger language plpgsql as $$ begin
                 if pg_trigger_depth() < 2 then update quotes set contact_name = new.quote_number where id <> new.id; end if; return null; end $$;
             create trigger zz_last after update on quotes for each row execute function erp();",
            "update quotes set notes = 'z' where quote_number in (select quote_number from quotes order by 1 limit 3)",
        ),
        (
            "a row that is deleted before its own change is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 delete from quote_lines where id = new.id; return null; end $$;
             create trigger a_first after update on quote_lines for each row execute function erp();",
            "update quote_lines set description = 'gone'",
        ),
        (
            "a table that is not attached",
            "create table orders (id integer); insert into orders values (1);
             create function erp() returns trigger language plpgsql as $$ begin
                 update quotes set notes = 'one'; update quotes set notes = 'two'; return null; end $$;
             create trigger touch after update on orders for each row execute function erp();",
            "update orders set id = 2; update quotes set notes = 'three'",
        ),
        (
            "an exception block around it",
            "create function erp() returns trigger language plpgsql as $$ begin
                 begin update quotes set contact_name = 'kept' where id = new.id; exception when others then null; end;
                 begin update quotes set contact_name = 'lost' where id = new.id; raise division_by_zero; exception when division_by_zero then null; end;
                 return null; end $$;
             create trigger a_first after update of notes on quotes for each row execute function erp();",
            "update quotes set notes = 'blocks'",
        ),
        (
            "a row that is deleted before its creation is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set description = 'merged' where id = new.id; delete from quote_lines where id = new.id; return null; end $$;
             create trigger a_first after insert on quote_lines for each row execute function erp();",
            "insert into quote_lines select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(), 'line_number', 99, 'version', 1))).* from quote_lines l limit 1",
        ),
        (
            "a row that comes back before its end is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 insert into quote_lines select old.*; return null; end $$;
             create trigger a_first after delete on quote_lines for each row execute function erp();",
            "delete from quote_lines where line_number = 1",
        ),
    ] {
        in_order(what, trigger, changes).await;
    }
}

#[tokio::test]
async fn a_row_that_lives_again_is_recorded_in_order() {
    for (what, trigger, changes) in [
        (
            "room made before an insert",
            "create function erp() returns trigger language plpgsql as $$ begin
                 delete from quote_lines where id = new.id; return new; end $$;
             create trigger a_first before insert on quote_lines for each row execute function erp();",
            "insert into quote_lines select (jsonb_populate_record(l, '{\"description\": \"replaced\"}')).* from quote_lines l order by id limit 1",
        ),
        (
            "a change and room made before an insert",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set description = 'last words' where id = new.id;
                 delete from quote_lines where id = new.id; return new; end $$;
             create trigger a_first before insert on quote_lines for each row execute function erp();",
            "insert into quote_lines select (jsonb_populate_record(l, '{\"description\": \"replaced\"}')).* from quote_lines l order by id limit 1",
        ),
        (
            "a second life that ends with the first",
            "create function erp() returns trigger language plpgsql as $$ begin
                 if pg_trigger_depth() = 1 then
                     old.description := 'second life';
                     insert into quote_lines select old.*;
                     delete from quote_lines where id = old.id;
                 end if;
                 return null; end $$;
             create trigger a_twice after delete on quote_lines for each row execute function erp();",
            "delete from quote_lines where line_number = 1",
        ),
        (
            "a line that a trigger makes again while the statement deletes it",
            "create function erp() returns trigger language plpgsql as $$ begin
                 insert into quote_lines select (jsonb_populate_record(null::quote_lines, to_jsonb(l) || jsonb_build_object('id', 'a0000000-0000-4000-8000-0000000000ab', 'quote_id', new.id, 'line_number', 999, 'version', 1))).*
                 from quote_lines l limit 1 on conflict do nothing; return null; end $$;
             create trigger again after update on quotes for each row execute function erp();",
            "update quotes set notes = 'makes the line' where id = (select id from quotes order by id limit 1);
             with a as (delete from quote_lines where id = 'a0000000-0000-4000-8000-0000000000ab')
             update quotes set notes = 'n' where id = (select id from quotes order by id limit 1)",
        ),
    ] {
        in_order(what, trigger, changes).await;
    }
}

#[tokio::test]
async fn a_statement_for_several_tables_is_recorded_in_order() {
    for (what, trigger, changes) in [
        (
            "a header that is touched without a change in between",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quotes set updated_at = now() where id = new.quote_id;
                 update quotes set subtotal = subtotal + 1 where id = new.quote_id; return null; end $$;
             create trigger zz_touch after update on quote_lines for each row execute function erp();",
            "with a as (update quotes set notes = 'of the statement') update quote_lines set description = 'd' where line_number = 1",
        ),
        (
            "a header that a statement for lines and header changes, too, lines first",
            "TOTAL",
            "with h as (update quotes set status = 'ISSUED', total_amount = 0) update quote_lines set quantity = quantity + 5",
        ),
        (
            "a header that a statement for lines and header changes, too, header first",
            "TOTAL",
            "with l as (update quote_lines set quantity = quantity + 6 returning quote_id)
             update quotes set status = 'ACCEPTED' where id in (select quote_id from l)",
        ),
        (
            "a header that one statement creates together with its lines",
            "TOTAL",
            "with h as (insert into quotes select (jsonb_populate_record(q, jsonb_build_object('id', 'a0000000-0000-4000-8000-0000000000aa', 'quote_number', 'NEW-1', 'version', 1))).*
                 from quotes q limit 1)
             insert into quote_lines select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(), 'quote_id', 'a0000000-0000-4000-8000-0000000000aa', 'line_number', n, 'version', 1))).*
             from quote_lines l, generate_series(1, 3) n where l.id = (select id from quote_lines limit 1)",
        ),
        (
            "lines that a statement for header and lines changes, too",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set description = new.status where quote_id = new.id; return null; end $$;
             create trigger zz_last after update on quotes for each row execute function erp();",
            "with l as (update quote_lines set quantity = quantity + 1) update quotes set status = 'ISSUED';
             with h as (update quotes set status = 'DRAFT') update quote_lines set quantity = quantity + 1",
        ),
        (
            "a row whose own change is none, by a statement for two tables",
            "TOTAL",
            "with h as (update quotes set updated_at = now()) update quote_lines set quantity = quantity + 7; update quotes set notes = 'later'",
        ),
    ] {
        in_order(what, &trigger.replace("TOTAL", TOTAL), changes).await;
    }
}

async fn in_order(what: &str, trigger: &str, changes: &str) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, trigger).await;
    // Also before the commit, as whoever goes on in the transaction reads it.
    run(&admin, "begin").await;
    run(&admin, changes).await;
    assert_eq!(counted(&admin, OUT_OF_CHAIN).await, 0, "{what}: the history in the transaction");
    run(&admin, "rollback").await;
    run(&admin, changes).await;
    assert!(erp.count("select count(*) from quote_changes").await > 0, "{what}");
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{what}: the history");
    assert_eq!(erp.count(OUT_OF_ORDER).await, 0, "{what}: the feed");
}

#[tokio::test]
async fn a_batch_that_is_full_in_the_middle_of_a_statement_is_in_order_too() {
    const QUOTES: &str = "insert into quotes select (jsonb_populate_record(null::quotes, to_jsonb(q.*) ||
            jsonb_build_object('id', gen_random_uuid(), 'quote_number', 'NEW-' || n, 'version', 1))).*
        from generate_series(1, 1500) n, (select * from quotes order by id limit 1) q";
    const AGAIN: &str = "create function erp() returns trigger language plpgsql as $$ begin
             if pg_trigger_depth() < 2 and CONDITION then update quotes set contact_name = VALUE where id = new.id; end if; return null; end $$;
         create trigger NAME after update on quotes for each row execute function erp();";
    for (what, name, condition, value, change) in [
        (
            "before its change is noted, one row",
            "a_first",
            "new.quote_number = 'NEW-700'",
            "'again'",
            "update quotes set notes = 'all'",
        ),
        (
            "before its change is noted, every row",
            "a_first",
            "true",
            "'again'",
            "update quotes set notes = 'all'",
        ),
        ("after its change is noted", "zz_last", "true", "'again'", "update quotes set notes = 'all'"),
        (
            "another row, which comes later",
            "a_first",
            "new.quote_number = 'NEW-1'",
            "'again'",
            "update quotes set notes = 'all'",
        ),
        (
            "with a value that fills a batch",
            "a_first",
            "new.quote_number = 'NEW-7'",
            "repeat('x', 9000000)",
            "update quotes set notes = 'all' where quote_number like 'NEW-7%'",
        ),
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(&admin, QUOTES).await;
        let mut trigger = AGAIN.replace("NAME", name).replace("CONDITION", condition).replace("VALUE", value);
        if what.starts_with("another") {
            trigger = trigger.replace("where id = new.id", "where quote_number like 'NEW-1_99'");
        }
        run(&admin, "alter table quotes alter column contact_name type text").await;
        run(&admin, &trigger).await;
        run(&admin, change).await;
        assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{what}: the history");
        assert_eq!(erp.count(OUT_OF_ORDER).await, 0, "{what}: the feed");
    }
}

#[tokio::test]
async fn what_a_savepoint_writes_leaves_the_rest_to_be_put_in_order() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function again() returns trigger language plpgsql as $$ begin
             if new.contact_name is distinct from 'again' then update quotes set contact_name = 'again' where id = new.id; end if; return null; end $$;
         create trigger a_first after update of notes on quotes for each row execute function again();
         create table job (id integer);
         create function job() returns trigger language plpgsql as $$ begin
             update quotes set notes = 'by job' where quote_number = (select min(quote_number) from quotes); return null; end $$;
         create trigger job after insert on job for each row execute function job();
         begin; insert into job values (1); savepoint s; update quotes set notes = 'other' where quote_number = (select max(quote_number) from quotes);
         release s; commit",
    )
    .await;
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
    assert_eq!(erp.count(OUT_OF_ORDER).await, 0);
}

#[tokio::test]
async fn a_row_that_a_trigger_replaces_lives_twice() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table kept as select * from quote_lines limit 0;
         create function replace() returns trigger language plpgsql as $$ begin
             if pg_trigger_depth() < 2 then delete from quote_lines where id = new.id; insert into quote_lines select new.*; end if; return null; end $$;
         create trigger a_first after update on quote_lines for each row execute function replace();
         update quote_lines set description = 'replaced'",
    )
    .await;
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
}

#[tokio::test]
async fn what_follows_from_ignored_columns_is_no_change() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "alter table quotes add column day date generated always as ((updated_at at time zone 'UTC')::date) stored;
         update quotes set updated_at = '2020-02-02'",
    )
    .await;
    assert_eq!(erp.count("select count(*) from quote_changes").await, 0);
    run(&admin, "update quotes set notes = 'changed', updated_at = '2020-02-03'").await;
    assert_eq!(
        erp.count("select count(*) from quote_changes where field_name = 'day'").await,
        erp.count("select count(*) from quotes").await
    );
}

#[tokio::test]
async fn a_trigger_on_the_log_may_change_what_it_likes() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function on_log() returns trigger language plpgsql as $$ begin
             if new.field_name = 'notes' then
                 update quotes set terms_and_conditions = repeat(md5(new.position::text), 100) where id = new.quote_id;
             end if;
             return new; end $$;
         create trigger on_log after insert on quote_changes for each row execute function on_log();",
    )
    .await;
    for size in [100, 20_000] {
        run(
            &admin,
            &format!("update quotes set notes = repeat(md5(random()::text), {size}), terms_and_conditions = repeat(md5(random()::text), {size})"),
        )
        .await;
    }
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
    assert!(erp.count("select sum(length(new_value::text)) from quote_changes").await > 100_000);
}

#[tokio::test]
async fn a_cast_may_change_what_it_likes() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create type place as enum ('home', 'work');
             create function as_json(place) returns json language plpgsql as $$ begin
                 update quotes set contact_name = 'seen ' || $1 where id = ({SIBLING}); return to_json('at ' || $1::text); end $$;
             create cast (place as json) with function as_json(place);
             alter table quotes add column place place default 'home';"
        ),
    )
    .await;
    run(
        &admin,
        &format!("update quotes set notes = repeat(md5(random()::text), 20000), place = 'work' where id <> ({SIBLING})"),
    )
    .await;
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
    let told = "select count(*) from quote_changes where field_name = 'place' and new_value = '\"at work\"'";
    assert_eq!(erp.count(told).await + 1, erp.count("select count(*) from quotes").await);
}

#[tokio::test]
async fn what_waits_for_the_commit_is_written_the_general_way_too() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create index on quote_changes ((new_value #>> '{}'));
         create table orders (id integer); insert into orders values (1);
         create function erp() returns trigger language plpgsql as $$ begin update quotes set notes = 'by order'; return null; end $$;
         create trigger touch after update on orders for each row execute function erp();",
    )
    .await;
    run(&admin, "update orders set id = 2").await;
    let told = "select count(*) from quote_changes where new_value = '\"by order\"'";
    assert_eq!(erp.count(told).await, erp.count("select count(*) from quotes").await);
}

#[tokio::test]
async fn a_save_is_an_update_to_the_triggers_of_the_erp() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table touched (quote uuid); grant insert on touched to public;
         create function erp() returns trigger language plpgsql as $$ begin
             insert into touched values (new.id);
             if new.contact_name is distinct from 'by trigger' then update quotes set contact_name = 'by trigger' where id = new.id; end if;
             return null; end $$;
         create trigger zz_touch after update of notes on quotes for each row execute function erp();
         create function erp_line() returns trigger language plpgsql as $$ begin insert into touched values (new.quote_id); return null; end $$;
         create trigger zz_touch after update on quote_lines for each row execute function erp_line();",
    )
    .await;
    let app = erp.client("erp_app").await;
    run(&app, "select set_config('app.current_tenant_id', tenant_id::text, false) from (select tenant_id from quotes limit 1) q").await;
    let saved = "
        with saved as materialized (
            select q.id, s.* from (select id, version from quotes order by quote_number limit 1) q,
                update_quote_with_version_check(q.id, q.version, '{\"notes\": \"saved\"}') s)
        select success, new_version, quote ->> 'contact_name', id from saved";
    for _ in 0..2 {
        let row = app.query_one(saved, &[]).await.expect("the quote is saved");
        assert!(row.get::<_, bool>(0));
        assert_eq!(row.get::<_, String>(2), "by trigger");
        let now: i32 = app
            .query_one("select version from quotes where id = $1", &[&row.get::<_, uuid::Uuid>(3)])
            .await
            .expect("the version")
            .get(0);
        assert_eq!(row.get::<_, i32>(1), now, "the version that the next save expects");
    }
    let line = "select (update_quote_line_with_version_check(id, version, '{\"quantity\": 7}')).success from quote_lines limit 1";
    assert!(app.query_one(line, &[]).await.expect("the line is saved").get::<_, bool>(0));
    assert_eq!(erp.count("select count(*) from touched").await, 3);
}

/// The most memory that a backend has had, in kB.
async fn peak(client: &Client) -> i64 {
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.expect("a number").get(0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the backend runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line about memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn memory_is_bounded_by_bytes_and_given_back_by_failures() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "insert into quotes select (jsonb_populate_record(q, jsonb_build_object('id', gen_random_uuid(), 'quote_number', 'BIG-' || n, 'version', 1,
             'notes', repeat(md5(n::text), 15000)))).* from quotes q, generate_series(1, 150) n where q.quote_number = (select min(quote_number) from quotes)",
    )
    .await;
    let bulk = erp.client("postgres").await;
    run(&bulk, "update quotes set contact_name = 'warm'").await;
    let before = peak(&bulk).await;
    run(&bulk, "update quotes set notes = notes || 'x'").await;
    let grown = peak(&bulk).await - before;
    assert!(grown < 60_000, "{grown} kB for 150 rows of half a megabyte");
    let failing = erp.client("postgres").await;
    run(
        &failing,
        "create function erp() returns trigger language plpgsql as $$ begin raise division_by_zero; end $$;
         create trigger zz_fails after insert on quotes for each row execute function erp();",
    )
    .await;
    let fail = |times: i32| {
        format!(
            "do $$ declare one quotes; begin
                 select * into one from quotes limit 1; one.notes := repeat('x', 100000);
                 for n in 1 .. {times} loop
                     begin one.id := gen_random_uuid(); one.quote_number := 'F-' || n; insert into quotes values (one.*);
                     exception when division_by_zero then null; end;
                 end loop; end $$"
        )
    };
    run(&failing, &fail(20)).await;
    let before = peak(&failing).await;
    run(&failing, &fail(600)).await;
    let grown = peak(&failing).await - before;
    assert!(grown < 20_000, "{grown} kB for 600 failures of 100 kB");
}

/// What PostgreSQL says beside an answer.
async fn said(erp: &Erp, statement: &'static str) -> String {
    let mut psql = Command::new(built::server_programs().join("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--dbname", &erp.url("postgres"), "--command", statement]);
    let output = spawn_blocking(move || psql.output()).await.expect("psql runs").expect("psql runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn attach_names_those_that_fire_after_the_version_is_decided() {
    const ATTACH: &str = "select attach_quote_collaboration()";
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create function erp() returns trigger language plpgsql as $$ begin new.contact_name := concat(new.contact_name, '.'); return new; end $$;
        create trigger \"ZZ\" before update on quotes for each row execute function erp();
        create trigger zz before update on quotes for each row execute function erp();
        create trigger inserted before insert on quotes for each row execute function erp()").await;
    let told = said(&erp, ATTACH).await;
    assert!(
        told.contains("triggers of public.quotes fire after its version is decided: zz\n")
            || told.contains("triggers of quotes fire after its version is decided: zz\n"),
        "{told}"
    );
    let rename =
        told.split_once("fire before: ").and_then(|(_, rest)| rest.split_once(';')).expect("it says how").0;
    run(&admin, rename).await;
    assert_eq!(said(&erp, ATTACH).await, "");
    let unchanged = "select count(*) from quotes where version = 1";
    run(&admin, "update quotes set id = id").await;
    assert_eq!(erp.count(unchanged).await, 0, "each row was changed by the trigger, and has another version");
}

#[tokio::test]
async fn what_they_changed_goes_with_the_history() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create table batches (id integer);
        create function erp() returns trigger language plpgsql as $$ begin update quotes set notes = 'batch ' || new.id; return null; end $$;
        create trigger erp after insert on batches for each row execute function erp()").await;
    let detach = "select detach_quote_collaboration(drop_history => true)";
    // Taken back, the history is there, and what was changed is written.
    run(
        &admin,
        &format!("begin; insert into batches values (1); savepoint s; {detach}; rollback to s; commit"),
    )
    .await;
    let written = "select count(*) from quote_changes where new_value = '\"batch 1\"'";
    assert_eq!(erp.count(written).await, 200);
    run(&admin, &format!("begin; insert into batches values (2); {detach}; commit")).await;
    assert_eq!(erp.count("select count(*) from pg_class where relname = 'quote_changes'").await, 0);
    assert_eq!(erp.count("select count(*) from quotes where notes = 'batch 2'").await, 200);
    run(&admin, "select attach_quote_collaboration()").await;
    run(&admin, &format!("begin; insert into batches values (3); savepoint s; {detach}; release s; select attach_quote_collaboration(); update quotes set notes = 'new'; commit")).await;
    assert_eq!(erp.count("select count(*) from quote_changes").await, 200);
}

async fn counted(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}
