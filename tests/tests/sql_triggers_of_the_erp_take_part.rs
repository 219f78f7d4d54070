//! The ERP has triggers of its own, which change rows while a change is being recorded: the history has each change once, and no code of
//! others that runs in between can hurt the server.

use std::process::Command;

use quote_collab_tests::history::OUT_OF_CHAIN;
use quote_collab_tests::statement::{backend, run};
use quote_collab_tests::{Erp, built};
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

const SIBLING: &str = "select id from quotes where quote_number = (select max(quote_number) from quotes)";

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
    let pid = backend(client).await;
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
