//! What was renamed, moved or dropped since attach is known again, and detach leaves nothing of ours behind.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{refusal, run, text};
use tokio_postgres::Client;

/// Triggers that call a function of ours, wherever they are.
/// Triggers of the extension on tables that are not its own.
const LEFT: &str = "select count(*) from pg_trigger g join pg_depend d on d.objid = g.tgfoid and d.deptype = 'e' and d.classid = 'pg_proc'::regclass
    where not exists (select from pg_depend m where m.objid = g.tgrelid and m.deptype = 'e' and m.classid = 'pg_class'::regclass)";

/// A pair in a schema of its own, without columns of ours.
const SALES: &str = "create schema sales;
    create table sales.quotes (id uuid primary key, tenant_id uuid not null, notes text);
    create table sales.quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid not null references sales.quotes, description text);
    insert into sales.quotes values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'a');
    insert into sales.quote_lines select gen_random_uuid(), tenant_id, id, 'a' from sales.quotes;";

const ATTACH: &str = "select attach_quote_collaboration('sales.quotes', 'sales.quote_lines')";

/// Each way to give a table another name, and the way back.
const MOVES: [(&str, &str); 5] = [
    ("alter table sales.quotes rename to offers", "alter table sales.offers rename to quotes"),
    ("alter table sales.quote_lines rename to items", "alter table sales.items rename to quote_lines"),
    (
        "alter table sales.quotes rename to offers; alter table sales.quote_lines rename to items",
        "alter table sales.offers rename to quotes; alter table sales.items rename to quote_lines",
    ),
    (
        "create schema crm; alter table sales.quotes set schema crm; alter table sales.quote_lines set schema crm",
        "alter table crm.quotes set schema sales; alter table crm.quote_lines set schema sales; drop schema crm",
    ),
    ("alter schema sales rename to crm", "alter schema crm rename to sales"),
];

#[tokio::test]
async fn detach_finds_a_table_under_its_new_name() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, SALES).await;
    let before = erp.schema().await;
    for (there, back) in MOVES {
        run(&admin, "create extension quote_collab_ext").await;
        run(&admin, ATTACH).await;
        run(&admin, &format!("{there}; select detach_quote_collaboration(drop_history => true)")).await;
        assert_eq!(erp.count(LEFT).await, 0, "{there}");
        run(&admin, &format!("{back}; update sales.quotes set notes = 'free'; update sales.quote_lines set description = 'free'; drop extension quote_collab_ext")).await;
        assert_eq!(erp.schema().await, before, "{there}");
    }
}

#[tokio::test]
async fn attach_goes_on_under_the_new_name_and_detach_takes_what_it_added() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, SALES).await;
    let before = erp.schema().await;
    for (there, back) in MOVES {
        run(&admin, "create extension quote_collab_ext").await;
        run(&admin, ATTACH).await;
        run(&admin, &format!("update sales.quotes set notes = 'before'; {there}")).await;
        let names = text(&admin, "select string_agg(format('%I.%I', n.nspname, c.relname), ''',''' order by c.relname ~ 'line|item')
            from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('sales', 'crm') and c.relname in ('quotes', 'offers', 'quote_lines', 'items')").await;
        run(&admin, &format!("select attach_quote_collaboration('{names}')")).await;
        let header = names.split('\'').next().expect("a name");
        run(&admin, &format!("update {header} set notes = 'after'")).await;
        let home = text(&admin, "select quote_collab_home()").await;
        let told = format!(
            "select string_agg(new_value #>> '{{}}', ' ' order by position) from {home}.quote_changes where field_name = 'notes'"
        );
        assert_eq!(text(&admin, &told).await, "before after", "{there}");
        assert_eq!(
            erp.count("select count(*) from quote_collab_settings where cardinality(added_columns) > 0")
                .await,
            2
        );
        run(&admin, &format!("select detach_quote_collaboration(drop_history => true); {back}; drop extension quote_collab_ext")).await;
        assert_eq!(erp.schema().await, before, "{there}");
    }
}

#[tokio::test]
async fn a_log_that_was_moved_alone_is_asked_back() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create schema hist; alter table quote_changes set schema hist").await;
    for statement in
        ["select attach_quote_collaboration()", "select detach_quote_collaboration(drop_history => true)"]
    {
        let (code, hint) = refusal(&admin, statement).await;
        assert!(code == "55000" && hint.contains("hist.quote_changes set schema public"), "{code}: {hint}");
    }
    run(&admin, "alter table hist.quote_changes set schema public; update quotes set notes = 'x'; select attach_quote_collaboration()").await;
    assert_eq!(erp.count("select count(*) from quote_changes").await, 200);
}

#[tokio::test]
async fn a_trigger_that_was_renamed_does_not_fire_beside_a_new_one() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let triggers = erp.count(LEFT).await;
    run(
        &admin,
        "alter trigger trg_capture_quote_change on quotes rename to captured; alter trigger trg_increment_quote_version on quotes rename to counted;
         alter trigger trg_refuse_quote_truncate on quotes rename to refused;
         select attach_quote_collaboration(); update quotes set notes = 'once'",
    )
    .await;
    assert_eq!(erp.count("select count(*) from quote_changes").await, 200);
    assert_eq!(erp.count(LEFT).await, triggers);
    run(&admin, "alter trigger trg_capture_quote_change on quotes rename to captured; select detach_quote_collaboration()").await;
    assert_eq!(erp.count(LEFT).await, 0);
}

#[tokio::test]
async fn a_table_that_took_the_name_of_an_attached_one_is_left_alone() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, SALES).await;
    run(&admin, "create extension quote_collab_ext").await;
    run(&admin, ATTACH).await;
    run(&admin, "alter table sales.quotes rename to quotes_old; create table sales.quotes (id uuid primary key, tenant_id uuid, version integer)").await;
    run(&admin, "select detach_quote_collaboration(drop_history => true)").await;
    assert_eq!(erp.count(LEFT).await, 0);
    let versions = "select string_agg(attrelid::regclass::text, ',') from pg_attribute where attname = 'version' and attrelid in ('sales.quotes'::regclass, 'sales.quotes_old'::regclass)";
    assert_eq!(text(&admin, versions).await, "sales.quotes");
    // Several pairs of the same shape, all of them renamed: which is which cannot be told, and nothing stays all the same.
    let again = "drop table sales.quotes; alter table sales.quotes_old rename to quotes; create table sales.bids (like sales.quotes); create table sales.bid_lines (id uuid, tenant_id uuid, bid_id uuid)";
    run(&admin, again).await;
    run(&admin, &format!("{ATTACH}; select attach_quote_collaboration('sales.bids', 'sales.bid_lines')"))
        .await;
    run(
        &admin,
        "alter table sales.quotes rename to a; alter table sales.bids rename to b; alter table sales.bid_lines rename to d;
         select detach_quote_collaboration(quotes => 'sales.quote_lines'); select detach_quote_collaboration(drop_history => true)",
    )
    .await;
    assert_eq!(erp.count(LEFT).await, 0);
    assert_eq!(
        erp.count("select count(*) from pg_attribute where attname in ('version', 'updated_by') and attrelid in (select oid from pg_class where relnamespace = 'sales'::regnamespace)").await,
        0
    );
    run(&admin, "update sales.a set notes = 'free'").await;
}

#[tokio::test]
async fn a_column_of_the_erp_is_not_dropped_for_ours() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, SALES).await;
    run(&admin, "create extension quote_collab_ext").await;
    run(&admin, ATTACH).await;
    let columns = "select string_agg(attname::text, ',' order by attnum) from pg_attribute where attrelid = 'sales.quotes'::regclass and attnum > 0 and not attisdropped";
    let added =
        "select array_to_string(added_columns, ',') from quote_collab_settings where table_name = 'quotes'";
    run(&admin, "alter table sales.quotes rename version to row_version; alter table sales.quotes add column version text").await;
    let renamed = "select attach_quote_collaboration('sales.quotes', 'sales.quote_lines', '{\"columns\": {\"version\": \"row_version\"}}')";
    run(&admin, &format!("{renamed}; {renamed}; update sales.quotes set notes = 'counted'")).await;
    assert_eq!(text(&admin, added).await, "row_version");
    assert_eq!(text(&admin, "select row_version::text from sales.quotes").await, "2");
    run(&admin, "select detach_quote_collaboration()").await;
    assert_eq!(text(&admin, columns).await, "id,tenant_id,notes,version");
    // The same without an attach in between; and where comments were lost, by name and type.
    run(&admin, "alter table sales.quotes drop column version").await;
    run(&admin, ATTACH).await;
    run(&admin, "alter table sales.quotes rename version to row_version; alter table sales.quotes add column version text; select detach_quote_collaboration()").await;
    assert_eq!(text(&admin, columns).await, "id,tenant_id,notes,version");
    run(&admin, "alter table sales.quotes drop column version").await;
    run(&admin, ATTACH).await;
    run(&admin, ATTACH).await;
    assert_eq!(text(&admin, added).await, "version");
    run(&admin, "comment on column sales.quotes.version is null; select detach_quote_collaboration()").await;
    assert_eq!(text(&admin, columns).await, "id,tenant_id,notes");
}

#[tokio::test]
async fn the_home_is_dropped_and_the_other_pair_goes_on() {
    for mend in [true, false] {
        let erp = Erp::bare().await;
        let admin = erp.client("postgres").await;
        run(&admin, SALES).await;
        run(&admin, &SALES.replace("sales", "bids")).await;
        run(&admin, "create extension quote_collab_ext").await;
        run(&admin, ATTACH).await;
        run(&admin, &ATTACH.replace("sales", "bids")).await;
        run(&admin, "create role bidder; grant select on bids.quotes to bidder; drop schema sales cascade")
            .await;
        assert_eq!(refusal(&admin, "update bids.quotes set notes = 'lost'").await.0, "42P01");
        if mend {
            run(&admin, "select attach_quote_collaboration()").await;
            assert_eq!(
                text(
                    &admin,
                    "select string_agg(distinct log_schema, ',') || count(*) from quote_collab_settings"
                )
                .await,
                "public4"
            );
            run(
                &admin,
                "update bids.quotes set notes = 'told'; update bids.quote_lines set description = 'told'",
            )
            .await;
            assert_eq!(erp.count("select count(*) from public.quote_changes").await, 2);
            assert_eq!(
                text(&admin, "select has_table_privilege('bidder', 'public.quote_changes', 'select')::text")
                    .await,
                "true"
            );
            run(&admin, "select detach_quote_collaboration(quotes => 'quotes')").await;
        } else {
            run(&admin, "select detach_quote_collaboration()").await;
        }
        run(
            &admin,
            "select detach_quote_collaboration(drop_history => true); update bids.quotes set notes = 'free'",
        )
        .await;
        assert_eq!(erp.count(LEFT).await, 0);
        run(&admin, "drop owned by bidder; drop role bidder").await;
    }
}

/// What the doctor says is wrong, beside how the servers of tests are run.
const TOLD: &str =
    "from quote_collab_doctor() where severity = 'error' and check_name <> 'survives a power cut'";

#[tokio::test]
async fn the_doctor_hints_at_the_attach_that_follows_a_table() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, SALES).await;
    run(&admin, "create table sales.people (id uuid primary key, name text); alter table sales.quotes add column remark text").await;
    let before = erp.schema().await;
    let options = "'{\"users\": {\"schema\": \"sales\", \"table\": \"people\", \"id\": \"id\", \"name\": \"name\"}, \"customers\": null,
        \"ignored_columns\": [\"remark\"], \"truncate\": \"record\"}'";
    let kept = "select string_agg(concat_ws(' ', columns, ignored_columns, added_columns, truncation, relations #- '{users,schema}'), ' ' order by entity) from quote_collab_settings";
    for (there, back) in MOVES {
        run(&admin, "create extension quote_collab_ext").await;
        run(
            &admin,
            &format!("select attach_quote_collaboration('sales.quotes', 'sales.quote_lines', {options})"),
        )
        .await;
        let settings = text(&admin, kept).await;
        run(&admin, there).await;
        let hint = text(&admin, &format!("select string_agg(distinct hint, ' and ') {TOLD}")).await;
        assert!(hint.contains(".attach_quote_collaboration(") && !hint.contains(" and "), "{there}: {hint}");
        run(&admin, &hint).await;
        assert_eq!(
            text(&admin, &format!("select string_agg(message, ', ') {TOLD}")).await,
            "",
            "{there}: {hint}"
        );
        assert_eq!(text(&admin, kept).await, settings, "{there}: {hint}");
        run(&admin, &format!("select detach_quote_collaboration(drop_history => true); {back}; drop extension quote_collab_ext")).await;
        assert_eq!(erp.schema().await, before, "{there}");
    }
}

#[tokio::test]
async fn the_doctor_hints_at_detach_where_a_table_is_gone_and_no_other_may_be_it() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, SALES).await;
    run(&admin, "create extension quote_collab_ext").await;
    run(&admin, ATTACH).await;
    let hint = format!("select string_agg(distinct hint, ' and ') {TOLD} and check_name ~ '^table exists'");
    for gone in [
        "drop table sales.quote_lines",
        "alter table sales.quotes rename to offers; drop table sales.quote_lines",
        "drop table sales.quotes, sales.quote_lines",
        "drop table sales.quotes cascade; create view sales.quotes as select 1 as id",
    ] {
        run(&admin, &format!("begin; {gone}")).await;
        let detach = text(&admin, &hint).await;
        run(&admin, &detach).await;
        assert_eq!(erp_is_free(&admin).await, "0,0", "{gone}: {detach}");
        run(&admin, "rollback").await;
    }
    // A view that took the name is not the table.
    run(&admin, "begin; alter table sales.quotes rename to offers; create view sales.quotes as select * from sales.offers").await;
    let attach = text(&admin, &hint).await;
    assert!(attach.contains("'sales.offers', 'sales.quote_lines'"), "{attach}");
    run(&admin, &format!("{attach}; rollback")).await;
    // Two of the same shape: neither is taken apart, and attaching one tells the other.
    run(&admin, "create table sales.bids (like sales.quotes); alter table sales.bids drop column version; create table sales.bid_lines (id uuid, tenant_id uuid, bid_id uuid)").await;
    run(&admin, "select attach_quote_collaboration('sales.bids', 'sales.bid_lines'); alter table sales.quotes rename to a; alter table sales.bids rename to b").await;
    let which = text(&admin, &hint).await;
    assert!(which.contains("sales.a, sales.b") && !which.starts_with("select"), "{which}");
    run(&admin, "select attach_quote_collaboration('sales.a', 'sales.quote_lines')").await;
    run(&admin, &text(&admin, &hint).await).await;
    assert_eq!(text(&admin, &format!("select string_agg(message, ', ') {TOLD}")).await, "");
}

/// Triggers of ours and tables that are attached.
async fn erp_is_free(client: &Client) -> String {
    let attached = "select count(*) from quote_collab_settings";
    text(client, &format!("select concat(({LEFT}), ',', ({attached}))")).await
}

#[tokio::test]
async fn columns_of_an_attach_that_nothing_tells_of_are_known_by_their_comments() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, SALES).await;
    let columns = "select string_agg(c.relname || '.' || a.attname, ' ' order by c.relname, a.attnum) from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'sales'::regnamespace and c.relname in ('quotes', 'quote_lines') and a.attnum > 0 and not a.attisdropped";
    let before = text(&admin, columns).await;
    run(&admin, "create extension quote_collab_ext").await;
    run(&admin, ATTACH).await;
    run(&admin, "drop extension quote_collab_ext cascade; create extension quote_collab_ext").await;
    run(&admin, ATTACH).await;
    run(&admin, ATTACH).await;
    run(&admin, "select detach_quote_collaboration()").await;
    assert_eq!(text(&admin, columns).await, before);
    // An ERP may describe its own in these words.
    run(&admin, "alter table sales.quote_lines add column updated_by uuid; comment on column sales.quote_lines.updated_by is 'who changed the row last'").await;
    run(&admin, ATTACH).await;
    run(&admin, ATTACH).await;
    run(&admin, "select detach_quote_collaboration()").await;
    assert_eq!(
        text(&admin, columns).await,
        before.replace("quote_lines.description", "quote_lines.description quote_lines.updated_by")
    );
}

#[tokio::test]
async fn a_gateway_is_taken_away_as_the_page_says() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    let page = include_str!("../../docs/tenants.md").split("## Taking it away").nth(1).expect("a chapter");
    let block = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its lines");
    for way in [block, "drop owned by shop_gateway; drop role shop_gateway"] {
        let way = way.replace("shop_gateway", "gateway_to_go");
        run(&admin, "create extension if not exists quote_collab_ext; select attach_quote_collaboration(); create role gateway_to_go login").await;
        run(&admin, "select grant_quote_gateway('gateway_to_go')").await;
        run(&admin, &way).await;
    }
}

#[tokio::test]
async fn tables_without_their_settings_are_attached_again() {
    // As a dump of the ERP's schema alone brings them.
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "update quotes set notes = 'before'; delete from quote_collab_settings").await;
    let history = "select count(*) from quote_changes";
    let before = erp.count(history).await;
    run(&admin, "select attach_quote_collaboration()").await;
    run(&admin, "update quotes set notes = 'after'; select seal_quote_history()").await;
    assert!(erp.count(history).await > before);
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

/// An ERP may have tables of such names, and an administrator copies of ours.
#[tokio::test]
async fn what_only_has_a_name_of_ours_is_no_history() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create schema crm; create table crm.quote_changes (id serial primary key, note text);
         create table crm.quote_changes_archive (id serial primary key); create table crm.locks (id integer, constraint quote_relay_lease_pkey primary key (id));
         create extension quote_collab_ext; select attach_quote_collaboration(); update quotes set notes = 'x'",
    )
    .await;
    run(
        &admin,
        "create schema legal; create table legal.quote_changes (like quote_changes including all excluding defaults);
         create table legal.quote_changes_archive (like quote_changes including all excluding defaults) partition by range (changed_at);
         select attach_quote_collaboration()",
    )
    .await;
    let told = "select severity from quote_collab_doctor() where check_name = 'history in its place'";
    assert_eq!(text(&admin, told).await, "ok");
    run(
        &admin,
        "select detach_quote_collaboration(drop_history => true); select attach_quote_collaboration()",
    )
    .await;
    // Kept, and attached elsewhere.
    run(&admin, "select detach_quote_collaboration()").await;
    run(&admin, &format!("{SALES} {ATTACH}")).await;
    assert_eq!(text(&admin, told).await, "ok");
}
