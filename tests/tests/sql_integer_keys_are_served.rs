//! An ERP whose keys are numbers is told how to attach, and loses nothing by it.

use quote_collab_tests::doctor::{consult, examine, mend};
use quote_collab_tests::statement::{backend, count, refusal, run, sqlstate, text};
use quote_collab_tests::{Erp, TENANT};
use serde_json::{Value, json};
use tokio_postgres::Client;

const TABLES: &str = "create table offers (id bigint primary key, tenant_id uuid not null default 'a0000000-0000-4000-8000-000000000001', customer text);
    create table offer_items (id integer primary key, tenant_id uuid not null default 'a0000000-0000-4000-8000-000000000001',
        offer_id bigint not null references offers on delete cascade, description text)";

const ROWS: &str = "insert into offers (id, customer) values (1, 'Ada'), (2, 'Bob'); insert into offer_items (id, offer_id, description) values (10, 1, 'Desk')";

/// Attaches, and does what each refusal hints at.
async fn attach_as_told(admin: &Client) -> Value {
    let mut options = json!({});
    for _ in 0..8 {
        let attach =
            format!("select attach_quote_collaboration('offers', 'offer_items', options => '{options}')");
        let Err(error) = admin.batch_execute(&attach).await else { return options };
        let error = error.as_db_error().expect("the server answered");
        let hint = error.hint().expect("a hint").to_owned();
        let told =
            hint.split_once("Make one of it: ").and_then(|(_, told)| told.split_once(" Then name it: "));
        let (statements, option) = told.unwrap_or_else(|| panic!("{error:?}"));
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
    assert_eq!(checks["lines name headers: public.offer_items"], "ok");
    // Lines and headers are of each other, and are saved and told by what was made.
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
    // Whoever writes rows whole, with what he has read or with nothing, changes no id by it.
    for whole in [
        "update offers set id = id, customer = customer, collab_id = collab_id where id = 1",
        "update offers set collab_id = null where id = 1",
        "insert into offers (id, collab_id) values (3, null), (4, gen_random_uuid())",
    ] {
        run(&admin, whole).await;
    }
    assert_eq!(
        count(&admin, "select count(*) from offers where collab_id = md5('public.offers ' || id)::uuid")
            .await,
        4
    );
}

/// What it makes is made as the ERP's own triggers leave the row, and by nobody's rights but those of whoever writes.
#[tokio::test]
async fn a_made_key_follows_what_the_erp_makes() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, &format!("create extension quote_collab_ext; {TABLES}")).await;
    run(
        &admin,
        "create sequence numbers;
         create function numbered() returns trigger language plpgsql as 'begin new.id := coalesce(new.id, nextval(''numbers'')); return new; end';
         create trigger set_number before insert on offers for each row execute function numbered();
         create function moved() returns trigger language plpgsql as 'begin if new.description = ''moves'' then new.offer_id := 2; end if; return new; end';
         create trigger follow before update on offer_items for each row execute function moved()",
    )
    .await;
    let options = attach_as_told(&admin).await;
    run(
        &admin,
        "insert into offers (customer) values ('Ada'), ('Bob'); insert into offer_items (id, offer_id) values (1, 1);
         update offer_items set description = 'moves'",
    )
    .await;
    let found = "select count(*) from offer_items i join offers o on o.collab_id = i.collab_quote and o.id = i.offer_id where o.id = 2";
    assert_eq!(count(&admin, found).await, 1);
    let definers = "select count(*) from pg_proc p where p.proname like '%collab%' and p.pronamespace = 'public'::regnamespace and p.prosecdef and p.prorettype = 'trigger'::regtype and p.prosrc like '%new.%'";
    assert_eq!(count(&admin, definers).await, 0);
    // A restored database has the columns, and not the options.
    run(&admin, "select detach_quote_collaboration()").await;
    let (_, hint) = refusal(&admin, "select attach_quote_collaboration('offers', 'offer_items')").await;
    assert!(hint.contains(r#"Name it: {"columns": {"id": "collab_id"}}"#), "{hint}");
    run(
        &admin,
        &format!("select attach_quote_collaboration('offers', 'offer_items', options => '{options}')"),
    )
    .await;
}

#[tokio::test]
async fn lines_that_name_no_header_are_told() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let check = "lines name headers: public.quote_lines";
    assert_eq!(consult(&admin).await[check], "ok");
    run(&admin, "begin; alter table quote_lines disable trigger all; update quote_lines set quote_id = md5(quote_id::text)::uuid")
    .await;
    assert_eq!(consult(&admin).await[check], "warning");
    run(&admin, "rollback").await;
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
    let adds = |item: i32| {
        format!("set lock_timeout = '5s'; insert into offer_items (id, offer_id) values ({item}, 1)")
    };
    run(&admin, "begin").await;
    run(&admin, "update offers set customer = 'Eve' where id = 1").await;
    run(&other, &adds(11)).await;
    run(&admin, "commit").await;
    // With a generated column in a unique index.
    run(&admin, "alter table offers add twin uuid generated always as (md5(id::text)::uuid) stored unique")
        .await;
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
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create extension quote_collab_ext; {TABLES}; alter table offers add collab_id uuid generated always as (md5('o' || id)::uuid) stored not null;
             alter table offer_items alter id type uuid using md5(id::text)::uuid, add quote_id uuid generated always as (md5('o' || offer_id)::uuid) stored;
             create unique index on offers (collab_id) where collab_id is not null;
             select attach_quote_collaboration('offers', 'offer_items', options => '{{\"columns\": {{\"id\": \"collab_id\"}}, \"line_columns\": {{\"quote\": \"quote_id\"}}}}')"
        ),
    )
    .await;
    let healthy = consult(&admin).await;
    assert_eq!(healthy["rows found by an index: public.offers"], "ok");
    let check = "updates lock no references: public.offers";
    for index in [
        "alter table offers add unique (collab_id)",
        "create unique index \" ON ONLY by id\" on offers (collab_id desc)",
    ] {
        mend(&admin, &healthy, index, check).await;
    }
    let twin = "alter table offers add \"twin of\" uuid generated always as (md5(id::text)::uuid) stored";
    // Somebody may need these as they are: nothing is done about them word for word.
    for index in [
        "alter table offers add unique (\"twin of\")",
        "alter table offers add unique nulls not distinct (collab_id)",
        "alter table offers add unique (collab_id) deferrable",
        "create unique index by_id on offers (collab_id); alter table offers replica identity using index by_id",
        "alter table offers add unique (collab_id); create table notes (of uuid references offers (collab_id))",
    ] {
        run(&admin, &format!("begin; {twin}; {index}")).await;
        let told = examine(&admin).await;
        let (severity, _, hint) = &told[check];
        assert!(severity == "warning" && hint.starts_with("Where nobody needs"), "{index}: {hint}");
        run(&admin, "rollback").await;
    }
    for harmless in [
        "create index on offers (\"twin of\")",
        "create unique index on offers (\"twin of\") where \"twin of\" is not null",
        "create unique index on offers (id) include (\"twin of\")",
    ] {
        run(&admin, &format!("begin; {twin}; {harmless}")).await;
        assert_eq!(consult(&admin).await[check], "ok", "{harmless}");
        run(&admin, "rollback").await;
    }
}

/// Of a partition: its own, and what refers to it alone.
#[tokio::test]
async fn an_index_of_a_partition_is_told_too() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table offers (id uuid, tenant_id uuid not null, region integer, code text generated always as (upper(region::text)) stored, primary key (id, region))
             partition by list (region);
         create table offers_1 partition of offers for values in (1); create table offers_2 partition of offers for values in (2);
         create table offer_items (id uuid primary key, tenant_id uuid not null, offer_id uuid not null);
         create extension quote_collab_ext; select attach_quote_collaboration('offers', 'offer_items')",
    )
    .await;
    let check = "updates lock no references: public.offers";
    for (locking, severity) in [
        (
            "create unique index on offers_1 (code); create table notes (of uuid, region integer, foreign key (of, region) references offers)",
            "warning",
        ),
        (
            "create unique index on offers (code, region); create table notes (of uuid, region integer, foreign key (of, region) references offers_1)",
            "warning",
        ),
        (
            "create unique index on only offers (code, region); create table notes (of uuid, region integer, foreign key (of, region) references offers)",
            "ok",
        ),
        ("create unique index on offers_1 (code)", "ok"),
    ] {
        run(&admin, &format!("begin; {locking}")).await;
        assert_eq!(consult(&admin).await[check], severity, "{locking}");
        run(&admin, "rollback").await;
    }
}

/// A statement that would attach, and mix up rows that are not the same, is none to give.
#[tokio::test]
async fn nothing_is_hinted_at_that_would_mix_up_rows() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create extension quote_collab_ext; create schema sales; create schema purchase").await;
    // Equal names and numbers are different documents.
    for schema in ["sales", "purchase"] {
        run(&admin, &format!("set search_path = {schema}, public; {TABLES}")).await;
        run(&admin, ROWS).await;
        attach_as_told(&admin).await;
    }
    let ids = "select count(distinct id) from (select collab_id from sales.offers union all select collab_id from purchase.offers) o (id)";
    assert_eq!(count(&admin, ids).await, 4);
    run(&admin, "set search_path = public").await;
    let tenant = "tenant_id uuid not null";
    let id = "id uuid primary key";
    let generated = r#"{"columns": {"id": "collab_id"}, "line_columns": {"quote": "offer"}}"#;
    let with_id =
        "alter table offers add collab_id uuid generated always as (md5('o' || no)::uuid) stored not null";
    for (header, lines, after, options) in [
        // Not unique by itself, generated itself, or the name is taken.
        (
            format!("no integer, id integer, {tenant}, primary key (no, id)"),
            format!("{id}, {tenant}, quote_id uuid"),
            "",
            "{}",
        ),
        (
            format!("no integer, id integer generated always as (no) stored unique, {tenant}"),
            format!("{id}, {tenant}, quote_id uuid"),
            "",
            "{}",
        ),
        (
            format!("id integer primary key, collab_id text, {tenant}"),
            format!("{id}, {tenant}, quote_id uuid"),
            "",
            "{}",
        ),
        // Equal for whoever compares, and not as text.
        (format!("id numeric primary key, {tenant}"), format!("{id}, {tenant}, quote_id uuid"), "", "{}"),
        // The header's id is its own, of another column, or of another type.
        (
            format!("{id}, no integer unique, {tenant}"),
            format!("{id}, {tenant}, offer integer"),
            "",
            r#"{"line_columns": {"quote": "offer"}}"#,
        ),
        (
            format!("{id}, no integer unique, {tenant}"),
            format!("{id}, {tenant}, offer integer references offers (no)"),
            "",
            r#"{"line_columns": {"quote": "offer"}}"#,
        ),
        (
            format!("no integer primary key, {tenant}"),
            format!("{id}, {tenant}, offer bigint"),
            with_id,
            generated,
        ),
    ] {
        let tables = format!(
            "begin; create table offers ({header}); create table offer_items ({lines}); {after}; select attach_quote_collaboration('offers', 'offer_items', options => '{options}')"
        );
        let (state, hint) = refusal(&admin, &tables).await;
        assert!(state == "42804" && !hint.contains("alter table"), "{tables}: {hint}");
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
    assert!(state == "42703" && hint.contains("that of their header"), "{state} {hint}");
    let way = include_str!("../../docs/sql.md")
        .split("```text\n")
        .find(|block| block.contains("offer_items_tenant"))
        .expect("the way");
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
