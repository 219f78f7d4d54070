//! What attach refuses: it says what is in the way and what helps, and leaves it as it was.

use std::sync::Arc;

use quote_collab_tests::statement::{refusal, run, sqlstate, text};
use quote_collab_tests::{Erp, Postgres};
use tokio_postgres::Client;

#[tokio::test]
async fn tables_that_are_not_the_erps_own_are_refused() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("create temp table passing (id uuid, tenant_id uuid, quote_id uuid); select create_quote_changes_archive('quote_changes')")
        .await
        .unwrap();
    let month: String = admin
        .query_one("select 'quote_changes_' || to_char(now() at time zone 'UTC', 'YYYY_MM')", &[])
        .await
        .unwrap()
        .get(0);
    let ours = ["quote_changes", "quote_changes_default", "quote_changes_archive", &month];
    for table in ours.iter().chain(&[
        "active_quote_sessions",
        "quote_relay_batch",
        "quote_relay_lease",
        "quote_changes_seals",
        "quote_collab_settings",
        "pg_class",
        "information_schema.sql_features",
        "passing",
    ]) {
        for statement in [
            format!("select attach_quote_collaboration('{table}', 'quote_lines')"),
            format!("select attach_quote_collaboration('quotes', '{table}')"),
        ] {
            assert_eq!(sqlstate(&admin, &statement).await, "42809", "{statement}");
        }
    }
    admin.batch_execute("select detach_quote_collaboration()").await.unwrap();
    for table in ours {
        let statement = format!("select attach_quote_collaboration('{table}', 'quote_lines')");
        assert_eq!(sqlstate(&admin, &statement).await, "42809", "{statement}");
    }
}

#[tokio::test]
async fn a_table_that_others_inherit_from_is_refused_and_an_heir_is_not() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("create extension quote_collab_ext; create table bids (id uuid, tenant_id uuid, notes text); create table bids_abroad () inherits (bids);
            create table bid_lines (id uuid, tenant_id uuid, bid_id uuid); create table bid_lines_abroad () inherits (bid_lines);
            insert into bids_abroad values (gen_random_uuid(), gen_random_uuid(), 'a')")
        .await
        .unwrap();
    for pair in ["'bids', 'bid_lines_abroad'", "'bids_abroad', 'bid_lines'", "'bids', 'bid_lines'"] {
        assert_eq!(
            sqlstate(&admin, &format!("select attach_quote_collaboration({pair})")).await,
            "0A000",
            "{pair}"
        );
    }
    admin
        .batch_execute("select attach_quote_collaboration('bids_abroad', 'bid_lines_abroad', '{\"line_columns\": {\"quote\": \"bid_id\"}}'); update bids set notes = 'b'")
        .await
        .unwrap();
    let told =
        "select string_agg(change_type || ' ' || field_name, ', ' order by position) from quote_changes";
    assert_eq!(text(&admin, told).await, "UPDATE notes");
}

/// The catalog that says which tables are hypertables.
const HYPERTABLES: &str = "create schema _timescaledb_catalog; create table _timescaledb_catalog.hypertable (schema_name name, table_name name);
    insert into _timescaledb_catalog.hypertable values ('public', 'quotes')";

/// Has it belong to an extension of that name, as if `TimescaleDB` were there, which is not at hand for these servers.
const TIMESCALEDB: &str = "set local allow_system_table_mods = on;
    insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        select 4294967000, 'timescaledb', e.extowner, e.extnamespace, false, '1' from pg_extension e where e.extname = 'plpgsql';
    insert into pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
        values ('pg_class'::regclass, '_timescaledb_catalog.hypertable'::regclass, 0, 'pg_extension'::regclass, 4294967000, 0, 'e')";

#[tokio::test]
async fn hypertables_are_refused_while_they_are_empty_and_told_where_they_came_later() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let told = "select message || ' ' || hint from quote_collab_doctor() where check_name = 'no inheritance: public.quotes'";
    run(&admin, HYPERTABLES).await;
    assert_eq!(text(&admin, told).await, " ", "whoever makes such a catalog himself has no hypertables");
    run(&admin, TIMESCALEDB).await;
    let said = text(&admin, told).await;
    assert!(said.contains("hypertable") && said.contains("detach_quote_collaboration"), "{said}");
    for statement in [
        "select attach_quote_collaboration()",
        "select detach_quote_collaboration(); select attach_quote_collaboration()",
    ] {
        let error = admin.batch_execute(statement).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "0A000", "{statement}");
        assert!(error.hint().is_some() && error.detail().unwrap().contains("TimescaleDB"));
    }
}

/// What attach says of a table under a name of ours that lacks a column.
async fn lacks(admin: &Client, statement: &str, table: &str, column: &str) {
    run(admin, statement).await;
    let error = admin.batch_execute("select attach_quote_collaboration()").await.expect_err(statement);
    let error = error.as_db_error().expect("the server says it");
    assert_eq!(error.code().code(), "42703", "{statement}");
    assert!(error.message().contains(table), "{statement}: {error}");
    assert!(error.detail().expect("a detail").contains(column), "{statement}: {error:?}");
    assert!(error.hint().expect("a hint").contains("rename"), "{statement}");
}

/// Whether they are of others or were altered.
#[tokio::test]
async fn tables_of_another_shape_are_told_with_what_they_lack() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create extension quote_collab_ext").await;
    for (table, column) in [
        ("active_quote_sessions", "tenant_id uuid"),
        ("quote_changes_seals", "hash bytea"),
        ("quote_relay_batch", "cur_xmax xid8"),
        ("quote_relay_lease", "epoch bigint"),
    ] {
        lacks(&admin, &format!("create table {table} (id uuid)"), table, column).await;
        run(&admin, &format!("drop table {table}")).await;
    }
    run(&admin, "select attach_quote_collaboration()").await;
    for (table, name, column) in [
        ("quote_changes", "origin", "origin bigint"),
        ("quote_changes_seals", "root", "root bytea"),
        ("active_quote_sessions", "user_id", "user_id uuid"),
        ("quote_relay_batch", "floor_at", "floor_at timestamp with time zone"),
        ("quote_relay_lease", "holder", "holder text"),
    ] {
        lacks(&admin, &format!("alter table {table} rename {name} to another"), table, column).await;
        run(&admin, &format!("alter table {table} rename another to {name}")).await;
        run(&admin, "select attach_quote_collaboration()").await;
    }
    run(&admin, "alter table quote_relay_lease alter stream_seq type numeric").await;
    run(&admin, "select attach_quote_collaboration()").await;
}

/// It belongs to the owner of the quotes, whom the first attach does not know yet.
#[tokio::test]
async fn a_history_that_was_kept_is_told_with_what_it_lacks() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    let owner = format!("{}_owner", erp.database());
    run(
        &admin,
        &format!(
            "create role {owner}; alter table quotes owner to {owner}; alter table quote_lines owner to {owner};
             create extension quote_collab_ext; select attach_quote_collaboration(); select detach_quote_collaboration()"
        ),
    )
    .await;
    for (table, name) in [("quote_changes", "origin"), ("quote_relay_batch", "floor_at")] {
        lacks(&admin, &format!("alter table {table} rename {name} to another"), table, name).await;
        run(&admin, &format!("alter table {table} rename another to {name}")).await;
    }
    run(&admin, "select attach_quote_collaboration()").await;
    run(&admin, &format!("reassign owned by {owner} to postgres; drop owned by {owner}; drop role {owner}"))
        .await;
}

/// Also an archive that somebody else has made, before a policy is put on it.
#[tokio::test]
async fn an_archive_of_somebody_else_is_in_the_way() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create table quote_changes_archive (x integer) partition by range (x); alter table quote_changes_archive owner to erp_app").await;
    let error = admin.batch_execute("select attach_quote_collaboration()").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "42P07");
    assert!(error.detail().unwrap().contains("erp_app") && error.hint().is_some());
}

#[tokio::test]
async fn what_stands_under_our_names_is_not_taken_away() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    let attach = "select attach_quote_collaboration()";
    admin
        .batch_execute("create extension quote_collab_ext; create function own() returns trigger language plpgsql as 'begin return new; end'")
        .await
        .unwrap();
    for (made, code) in [
        (
            "trigger trg_increment_quote_version before update on quotes for each row execute function own()",
            "42710",
        ),
        (
            "trigger trg_flush_quote_line_changes after update on quote_lines for each row execute function own()",
            "42710",
        ),
        (
            "trigger trg_record_quote_truncate after update on quotes for each row execute function own()",
            "42710",
        ),
        ("view v_recent_quote_changes as select * from quotes", "42P07"),
        ("view v_quote_changes_all as select 1 as one", "42P07"),
    ] {
        admin.batch_execute(&format!("create {made}")).await.unwrap();
        let before = erp.schema().await;
        assert_eq!(sqlstate(&admin, attach).await, code, "{made}");
        assert_eq!(erp.schema().await, before, "{made}");
        let made: Vec<_> = made.split(' ').collect();
        let on = made.iter().position(|word| *word == "on" && made[0] == "trigger");
        let on = on.map_or_else(String::new, |place| format!(" on {}", made[place + 1]));
        admin.batch_execute(&format!("drop {} {}{on}", made[0], made[1])).await.unwrap();
    }
    admin.batch_execute(attach).await.unwrap();
    admin.batch_execute(attach).await.unwrap();
}

/// Users and customers as attach noted them for the quotes.
async fn people(client: &Client) -> String {
    let query = "select string_agg(r.key || ':' || (r.value ->> 'schema') || '.' || (r.value ->> 'table'), ' ' order by r.key)
        from quote_collab_settings s, jsonb_each(s.relations) r where s.entity = 'QUOTE'";
    client.query_one(query, &[]).await.expect("one row").get::<_, Option<String>>(0).unwrap_or_default()
}

#[tokio::test]
async fn people_of_another_shape_are_left_alone_and_refused_by_name() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create extension quote_collab_ext; create schema crm; create table crm.quotes (id uuid, tenant_id uuid, customer_id bigint, notes text);
             create table crm.quote_lines (id uuid, tenant_id uuid, quote_id uuid); insert into crm.quotes values (gen_random_uuid(), gen_random_uuid(), 1, 'a');
             create table crm.users (id bigint, login text); create table crm.customers (number bigint, customer_name text)",
        )
        .await
        .unwrap();
    let attach = |options: &str| {
        format!("select attach_quote_collaboration('crm.quotes', 'crm.quote_lines', '{options}')")
    };
    let look = "update crm.quotes set notes = notes || 'b'; select * from crm.v_recent_quote_changes; select * from crm.v_active_quote_collaborators";
    admin.batch_execute(&format!("{}; {look}", attach("{}"))).await.unwrap();
    assert_eq!(people(&admin).await, "");
    for (options, code) in [
        (r#"{"users": {"table": "users"}}"#, "42703"),
        (r#"{"users": {"table": "users", "name": "no_such"}}"#, "42703"),
        (r#"{"users": {"table": "users", "name": "login"}}"#, "42804"),
        (r#"{"users": {"table": "nobody"}}"#, "42P01"),
        (r#"{"users": {"schema": "nowhere"}}"#, "42P01"),
        (r#"{"customers": {"table": "customers"}}"#, "42703"),
        (r#"{"customers": {"table": "customers", "id": "customer_name"}}"#, "42804"),
    ] {
        let error = admin.batch_execute(&attach(options)).await.expect_err(options);
        let error = error.as_db_error().expect("PostgreSQL refuses");
        assert_eq!(error.code().code(), code, "{options}: {}", error.message());
        assert!(error.hint().is_some_and(|hint| hint.contains("{\"")), "{options}: {:?}", error.hint());
    }
    admin.batch_execute("alter table public.users owner to postgres").await.unwrap();
    let fits = r#"{"users": {"schema": "public"}, "customers": {"id": "number"}}"#;
    admin.batch_execute(&format!("{}; {look}", attach(fits))).await.unwrap();
    assert_eq!(people(&admin).await, "customers:crm.customers users:public.users");
    admin
        .batch_execute(&format!("{}; {look}", attach(r#"{"users": false, "customers": null}"#)))
        .await
        .unwrap();
    assert_eq!(people(&admin).await, "");
}

#[tokio::test]
async fn what_is_no_table_is_refused() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create extension quote_collab_ext; create view v as select * from quotes; create sequence s",
        )
        .await
        .unwrap();
    let before = erp.schema().await;
    for (statement, code) in [
        ("select attach_quote_collaboration('v', 'quote_lines')", "42809"),
        ("select attach_quote_collaboration('quotes', 'v')", "42809"),
        ("select attach_quote_collaboration('s', 'quote_lines')", "42809"),
        ("select attach_quote_collaboration('pg_class', 'quote_lines')", "42809"),
        ("select attach_quote_collaboration('quotes', 'nothing')", "42P01"),
        ("select attach_quote_collaboration(options => '[]')", "22023"),
        ("select attach_quote_collaboration(options => '{\"columns\": {\"tenant\": \"no_such\"}}')", "42703"),
        ("select attach_quote_collaboration(options => '{\"columns\": {\"tenant\": \"notes\"}}')", "42804"),
        ("select detach_quote_collaboration()", "55000"),
    ] {
        assert_eq!(sqlstate(&admin, statement).await, code, "{statement}");
        assert_eq!(erp.schema().await, before, "{statement}");
    }
}

#[tokio::test]
async fn what_postgresql_refuses_is_told_with_what_helps() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("create extension quote_collab_ext; create table audit (before quote_lines)")
        .await
        .unwrap();
    let (code, hint) = refusal(&admin, "select attach_quote_collaboration()").await;
    assert!(
        code == "0A000" && hint.contains("alter table public.quote_lines add column version integer"),
        "{code} {hint}"
    );
    admin
        .batch_execute(
            "alter table quote_lines add column version integer; begin; select attach_quote_collaboration()",
        )
        .await
        .unwrap();
    let patience = admin.query_one("show lock_timeout", &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(patience, "0", "the rest of the transaction waits as it did");
    admin.batch_execute("commit; create view versions as select version from quotes").await.unwrap();
    let (code, hint) = refusal(&admin, "select detach_quote_collaboration()").await;
    assert!(code == "2BP01" && hint.contains("drop first what uses it"), "{code} {hint}");
    admin.batch_execute("drop view versions; begin; select detach_quote_collaboration()").await.unwrap();
    assert_eq!(admin.query_one("show lock_timeout", &[]).await.unwrap().get::<_, String>(0), "0");
    admin.batch_execute("commit").await.unwrap();
}

/// It may be a revision that people see, and that other rows refer to.
#[tokio::test]
async fn a_version_of_the_erp_is_not_taken_in_silence() {
    let server = Postgres::shared().await;
    let erp = Erp::bare_on(Arc::clone(&server)).await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table revised (id uuid primary key, tenant_id uuid not null, version integer not null default 1);
         create table revised_lines (id uuid primary key, tenant_id uuid not null, revised_id uuid, version integer, place integer, unique (revised_id, version, place));
         create extension quote_collab_ext; set log_min_messages = notice",
    )
    .await;
    let told = || {
        let log = server.log();
        let of = |line: &str| log.matches(line).count();
        (
            of("NOTICE:  \"version\" of public.revised counts every change from now on"),
            of("WARNING:  \"version\" of public.revised_lines counts every change from now on"),
        )
    };
    let attach = |options: &str| {
        format!("select attach_quote_collaboration('revised', 'revised_lines', options => '{options}')")
    };
    run(&admin, &attach("{}")).await;
    assert_eq!(told(), (1, 1));
    // What is named is meant, and what attach added is ours.
    let named = r#"{"columns": {"version": "version"}, "line_columns": {"version": "collab_version"}}"#;
    run(&admin, &attach(named)).await;
    run(&admin, &attach(named)).await;
    run(&admin, &attach(&named.replace(r#""columns": {"version": "version"}, "#, ""))).await;
    assert_eq!(told(), (2, 1));
}
