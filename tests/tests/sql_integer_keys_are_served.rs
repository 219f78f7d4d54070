//! An ERP whose keys are numbers is told how to attach, and loses nothing by it.

use quote_collab_tests::doctor::{consult, mend};
use quote_collab_tests::statement::{backend, count, refusal, run, sqlstate, text};
use quote_collab_tests::{Erp, TENANT};
use serde_json::{Value, json};
use tokio_postgres::Client;

const TABLES: &str = "create table offers (id bigint primary key, customer text, uid integer, updated_by uuid);
    create table offer_items (id integer primary key, offer_id bigint not null references offers on delete cascade, description text)";

const ROWS: &str = "insert into offers (id, customer) values (1, 'Ada'), (2, 'Bob'); insert into offer_items values (10, 1, 'Desk')";

/// Attaches, and does what each refusal hints at.
async fn attach_as_told(admin: &Client) -> Value {
    let mut options = json!({});
    for _ in 0..8 {
        let attach =
            format!("select attach_quote_collaboration('offers', 'offer_items', options => '{options}')");
        let Err(error) = admin.batch_execute(&attach).await else { return options };
        let error = error.as_db_error().expect("the server answered");
        let hint = error.hint().expect("a hint").to_owned();
        let told = hint.split_once("generate one of it: ").or_else(|| hint.split_once("of one tenant: "));
        let (_, told) = told.unwrap_or_else(|| panic!("{error:?}"));
        let (statements, option) = told.split_once(" Then name it: ").unwrap_or((told, "{}"));
        run(admin, statements).await;
        let named: Value = serde_json::from_str(option).expect("an option");
        for (key, columns) in named.as_object().expect("options") {
            let chosen = options.as_object_mut().expect("options").entry(key).or_insert_with(|| json!({}));
            chosen.as_object_mut().expect("columns").extend(columns.as_object().expect("columns").clone());
        }
    }
    panic!("never attached with {options}")
}

#[tokio::test]
async fn the_refusals_say_how_to_attach() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, &format!("create extension quote_collab_ext; {TABLES}")).await;
    run(&admin, ROWS).await;
    let options = attach_as_told(&admin).await;
    assert_eq!(
        options,
        json!({"columns": {"id": "collab_id"}, "line_columns": {"id": "collab_id", "quote": "collab_quote"}})
    );
    let checks = consult(&admin).await;
    for check in ["rows found by an index", "updates lock no references"] {
        for table in ["offers", "offer_items"] {
            assert_eq!(checks[&format!("{check}: public.{table}")], "ok");
        }
    }
    // Lines and headers are of each other, and are saved and told by what was generated.
    run(
        &admin,
        "update offers set customer = 'Eve' where id = 1; update offer_items set description = 'Table'",
    )
    .await;
    let saved = "select success::text from update_quote_line_with_version_check((select collab_id from offer_items), 2, '{\"description\": \"Chair\"}')";
    assert_eq!(text(&admin, saved).await, "true");
    let events = "select string_agg(c.entity_type || ' ' || c.field_name || ' ' || (c.new_value #>> '{}'), ', ' order by c.position)
        from quote_changes c join offers o on o.collab_id = c.quote_id where o.id = 1";
    assert_eq!(
        text(&admin, events).await,
        "QUOTE customer Eve, QUOTE_LINE description Table, QUOTE_LINE description Chair"
    );
    // Two rows never have one id.
    assert_eq!(sqlstate(&admin, "insert into offers (id) values (1)").await, "23505");
}

/// Whoever updates a header keeps nobody from adding lines to it, who asks whether it is there.
#[tokio::test]
async fn an_update_keeps_nobody_from_referring_to_its_row() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, &format!("create extension quote_collab_ext; {TABLES}")).await;
    run(&admin, ROWS).await;
    attach_as_told(&admin).await;
    let other = erp.client("postgres").await;
    let adds =
        |item: i32| format!("set lock_timeout = '5s'; insert into offer_items values ({item}, 1, 'Lamp')");
    run(&admin, "begin").await;
    run(&admin, "update offers set customer = 'Eve' where id = 1").await;
    run(&other, &adds(11)).await;
    run(&admin, "commit").await;
    // With an index as one would make it first.
    run(&admin, "create unique index by_id on offers (collab_id)").await;
    run(&admin, "begin").await;
    run(&admin, "update offers set customer = 'Bob' where id = 1").await;
    let waiting = backend(&other).await;
    let adding = async { run(&other, &adds(12)).await };
    let then = async {
        erp.wait_for_waiting(waiting).await;
        run(&admin, "commit").await;
    };
    tokio::join!(adding, then);
}

#[tokio::test]
async fn an_index_that_has_updates_lock_references_is_told() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let healthy = consult(&admin).await;
    let check = "updates lock no references: public.quotes";
    let twin = "alter table quotes add \"twin of\" uuid generated always as (md5(id::text)::uuid) stored";
    for index in [
        "alter table quotes add unique (\"twin of\")",
        "create unique index \"by twin\" on quotes (\"twin of\")",
        "create unique index on quotes (tenant_id, \"twin of\" desc) include (status) with (fillfactor = 70)",
    ] {
        mend(&admin, &healthy, &format!("{twin}; {index}"), check).await;
    }
    // Nothing mends these word for word.
    for index in [
        "alter table quotes add unique nulls not distinct (\"twin of\")",
        "alter table quotes add unique (\"twin of\"); create table notes (of uuid references quotes (\"twin of\"))",
    ] {
        run(&admin, &format!("begin; {twin}; {index}")).await;
        assert_eq!(consult(&admin).await[check], "warning", "{index}");
        run(&admin, "rollback").await;
    }
    for harmless in [
        "create index on quotes (\"twin of\")",
        "create unique index on quotes (\"twin of\") where \"twin of\" is not null",
        "create unique index on quotes (id) include (\"twin of\")",
    ] {
        run(&admin, &format!("begin; {twin}; {harmless}")).await;
        assert_eq!(consult(&admin).await[check], "ok", "{harmless}");
        run(&admin, "rollback").await;
    }
}

/// The way of docs/sql.md for lines that do not say whose they are.
#[tokio::test]
async fn lines_may_follow_the_tenant_of_their_header() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table offers (id uuid primary key, tenant_id uuid not null, notes text);
         create table offer_items (id uuid primary key, offer_id uuid not null references offers, description text);
         insert into offers select md5(n::text)::uuid, md5('of' || n)::uuid from generate_series(1, 2) n;
         insert into offer_items select md5('i' || n)::uuid, md5(n::text)::uuid from generate_series(1, 2) n;
         create extension quote_collab_ext",
    )
    .await;
    let (state, hint) = refusal(&admin, "select attach_quote_collaboration('offers', 'offer_items')").await;
    assert!(state == "42703" && hint.contains("one tenant"), "{state} {hint}");
    let docs =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql.md")).expect("the docs");
    let way = docs.split("```text\n").find(|block| block.contains("offer_items_tenant")).expect("the way");
    run(&admin, way.split("```").next().expect("statements")).await;
    run(&admin, "select attach_quote_collaboration('offers', 'offer_items')").await;
    run(
        &admin,
        "insert into offer_items (id, offer_id) values (md5('new')::uuid, md5('1')::uuid);
         update offer_items set offer_id = md5('2')::uuid where id = md5('i1')::uuid;
         update offer_items set description = 'Desk' where id = md5('i2')::uuid",
    )
    .await;
    let astray = "select count(*) from quote_changes c join offers o on o.id = c.quote_id where c.tenant_id <> o.tenant_id";
    assert_eq!(count(&admin, astray).await, 0);
    let told = "select string_agg(change_type, ',' order by position) from quote_changes where quote_line_id = md5('i1')::uuid";
    assert_eq!(text(&admin, told).await, "DELETE,CREATE");
    assert_eq!(count(&admin, "select count(*) from quote_changes").await, 4);
}

/// PostgreSQL counts a generated column among those that any UPDATE assigns.
#[tokio::test]
async fn a_generated_author_is_named_by_who_sets_what_it_is_generated_of() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create table offers (id uuid primary key default gen_random_uuid(), tenant_id uuid not null default '{TENANT}', uid integer, notes text,
                 updated_by uuid generated always as (md5('user ' || uid)::uuid) stored);
             create table offer_items (id uuid primary key, tenant_id uuid not null, offer_id uuid not null);
             insert into offers (uid) values (1); create extension quote_collab_ext;
             select attach_quote_collaboration('offers', 'offer_items')"
        ),
    )
    .await;
    let author = "select coalesce((select u::text from generate_series(1, 2) u where md5('user ' || u)::uuid = c.changed_by), '-')
        from quote_changes c order by c.position desc limit 1";
    for (change, expected) in [
        ("update offers set notes = 'nobody'", "-"),
        ("update offers set uid = 2, notes = 'the other'", "2"),
        ("update offers set notes = 'nobody again'", "-"),
        ("update offers set uid = 2, notes = 'the same'", "2"),
        (
            "do $$ begin perform update_quote_with_version_check(id, version, '{\"notes\": \"saved\"}') from offers; end $$",
            "-",
        ),
    ] {
        run(&admin, change).await;
        assert_eq!(text(&admin, author).await, expected, "{change}");
    }
}
