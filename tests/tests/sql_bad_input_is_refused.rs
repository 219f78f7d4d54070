//! Bad input to the SQL functions: a clear message, the right SQLSTATE, nothing written.

use std::io::Write;
use std::process::Stdio;

use quote_collab_tests::{Erp, Postgres};

#[tokio::test]
async fn each_bad_call_has_its_sqlstate_and_writes_nothing() {
    let erp = Erp::attached().await;
    let (quote, nobody) = (erp.quote(0).await, uuid::Uuid::from_u128(7));
    let line: uuid::Uuid = erp
        .client("postgres")
        .await
        .query_one("select id from quote_lines where quote_id = $1 limit 1", &[&quote])
        .await
        .unwrap()
        .get(0);
    let save = |id: &str, version: &str, changes: &str| {
        format!("select * from update_quote_with_version_check({id}, {version}, {changes})")
    };
    let save_line = |id: &str, version: &str, changes: &str| {
        format!("select * from update_quote_line_with_version_check({id}, {version}, {changes})")
    };
    let (q, l, n) = (format!("'{quote}'"), format!("'{line}'"), format!("'{nobody}'"));
    let note = r#"'{"notes": "x"}'"#;
    let cases = [
        (save(&n, "1", note), "P0002"),
        (save_line(&n, "1", r#"'{"quantity": 1}'"#), "P0002"),
        (save(&q, "1", r#"'{"colour": "red"}'"#), "42703"),
        (save(&q, "1", r#"'{"id": "00000000-0000-0000-0000-000000000001"}'"#), "42501"),
        (save(&q, "1", r#"'{"tenantId": "00000000-0000-0000-0000-000000000001"}'"#), "42501"),
        (save(&q, "1", r#"'{"version": 7}'"#), "42501"),
        (save_line(&l, "1", r#"'{"quote_id": "00000000-0000-0000-0000-000000000001"}'"#), "42501"),
        (save_line(&l, "1", r#"'{"quantity": "xxxxxxxx"}'"#), "22P02"),
        (save_line(&l, "1", r#"'{"description": "fits", "unitPrice": "xxxxxxxx"}'"#), "22P02"),
        (save_line(&l, "1", r#"'{"promisedDeliveryDate": "xxxxxxxx"}'"#), "22007"),
        (save_line(&l, "1", r#"'{"quantity": 1e30}'"#), "22003"),
        (save_line(&l, "1", r#"'{"quantity": "NaN"}'"#), "22003"),
        (save(&q, "1", r#"'{"notes": "fits", "taxAmount": "nan"}'"#), "22003"),
        (save_line(&l, "1", r#"'{"promisedDeliveryDate": "31.31.2026"}'"#), "22008"),
        (save(&q, "1", r#"'{"quoteCurrencyCode": "much too long"}'"#), "22001"),
        (save("null", "1", note), "22004"),
        (save(&q, "null", note), "22004"),
        (save(&q, "-1", note), "22023"),
        (save(&q, "1", "null"), "22004"),
        (save(&q, "1", "'[1]'"), "22023"),
        (save(&q, "1", r#"'{"notes": "a", "Notes": "b"}'"#), "22023"),
        (save(&q, "1", "jsonb_build_object('notes', repeat('x', 10485760))"), "54000"),
        (format!("select * from update_quote_with_version_check({q}, 1, {note}, on_conflict => 'guess')"), "22023"),
        (format!("select * from update_quote_with_version_check({q}, 1, {note}, on_conflict => 'merge')"), "0A000"),
        (format!("select check_quote_version({n}, 1)"), "P0002"),
        (format!("select check_quote_line_version({n}, 1)"), "P0002"),
        (format!("select check_quote_version({q}, -1)"), "22023"),
        ("select set_quote_option('log_statement', 'none')".to_owned(), "22023"),
        ("select check_quote_version(null, 1)".to_owned(), "22004"),
        (format!("select has_quote_been_updated({q}, null)"), "22004"),
        (format!("select * from join_quote_session({n}, null, {n})"), "P0002"),
        ("do $$ begin perform set_config('app.current_tenant_id', tenant_id::text, true), join_quote_session(id) from quotes limit 1; end $$".to_owned(), "22004"),
        (format!("select * from join_quote_session({q}, null, {n}, status => 'DANCING')"), "22023"),
        (format!("select * from join_quote_session({q}, null, {n})"), "42501"),
        ("select heartbeat_quote_session(null)".to_owned(), "22004"),
        ("select leave_quote_session(null)".to_owned(), "22004"),
        (format!("select * from get_quote_change_history({q}, -1)"), "22023"),
        ("select * from quote_events_since('nonsense', 1)".to_owned(), "22023"),
        ("select * from quote_events_since('1/5/1:1:/0/0', 1)".to_owned(), "QC001"),
        ("select * from quote_events_since('1/' || quote_cluster_identifier() || '/3:3:/NaN/NaN', 1)".to_owned(), "22023"),
        ("select * from quote_events_since('1/' || quote_cluster_identifier() || '/3:3:/0/1e300', 1)".to_owned(), "22023"),
        ("select * from quote_events_since('1/' || quote_cluster_identifier() || '/3:3:/0/-1e12', 1)".to_owned(), "22023"),
        ("select * from quote_events_since('1/' || quote_cluster_identifier() || '/3:3:/0/0/3:3:/Infinity/0', 1)".to_owned(), "22023"),
        ("select * from quote_events_since(null, 0)".to_owned(), "22023"),
        ("set app.current_user_id = 'me'; update quotes set notes = 'x'".to_owned(), "22P02"),
        ("set app.current_tenant_id = 'us'; select current_quote_tenant()".to_owned(), "22P02"),
        ("select attach_quote_collaboration('users', 'customers')".to_owned(), "42501"),
        ("select quote_relay_lease('me', '1 s')".to_owned(), "42501"),
        ("select * from quote_presence_snapshot()".to_owned(), "42501"),
    ];
    let before = erp.fingerprint().await;
    for (statement, expected) in cases {
        let app = erp.client("erp_app").await;
        let error = app.batch_execute(&statement).await.expect_err(&statement);
        let error = error.as_db_error().expect("an error of the database");
        assert_eq!(
            error.code().code(),
            expected,
            "{}: {}",
            &statement[..statement.len().min(120)],
            error.message()
        );
        assert!(
            error.message().starts_with(|first: char| !first.is_uppercase()),
            "lower case: {}",
            error.message()
        );
        let said = format!("{error:?}");
        assert!(!said.contains("xxxxxxxx"), "no contents in a message: {said}");
    }
    assert_eq!(erp.fingerprint().await, before, "nothing was written");
}

#[tokio::test]
async fn attach_refuses_what_it_cannot_serve_and_leaves_no_trace() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("create extension quote_collab_ext; create view a_view as select * from quotes; create table half (id uuid, tenant_id uuid); create table numbered (id bigint, tenant_id uuid); \
             create table other_version (id uuid, tenant_id uuid, version text); \
             create table counted (id uuid, tenant_id uuid, n integer, version integer generated always as (n + 1) stored); \
             create table numbered_by_itself (id uuid, tenant_id uuid, version integer generated by default as identity)")
        .await
        .unwrap();
    let before = erp.schema().await;
    for (statement, expected) in [
        ("select attach_quote_collaboration('a_view', 'quote_lines')", "42809"),
        ("select attach_quote_collaboration('quotes', 'half')", "42703"),
        ("select attach_quote_collaboration('numbered', 'quote_lines')", "42804"),
        ("select attach_quote_collaboration('other_version', 'quote_lines')", "42804"),
        (
            r#"select attach_quote_collaboration(options => '{"columns": {"total_amount": "sum_total"}}')"#,
            "42703",
        ),
        (r#"select attach_quote_collaboration(options => '{"truncat": "record"}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"columns": []}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"columns": "x"}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"line_columns": null}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"columns": {"nosuchrole": "id"}}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"columns": {"quantity": "id"}}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"line_columns": {"id": 7}}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"ignored_columns": ["nope"]}')"#, "42703"),
        (r#"select attach_quote_collaboration(options => '{"ignored_columns": [["notes"]]}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"ignored_columns": "notes"}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"ignored_columns": null}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"system_user_id": "bob"}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"system_user_id": 7}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"archive_after": "soon"}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"archive_after": 5}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"archive_after": "7000 years"}')"#, "22023"),
        (
            r#"select attach_quote_collaboration(options => '{"archive_after": "1 year", "drop_after": "99999999 years"}')"#,
            "22023",
        ),
        (r#"select attach_quote_collaboration(options => '{"users": "people"}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"users": {"tabel": "people"}}')"#, "22023"),
        (r#"select attach_quote_collaboration(options => '{"users": {"table": "people"}}')"#, "42P01"),
        (r#"select attach_quote_collaboration(options => '{"customers": {"id": "no_such"}}')"#, "42703"),
        (r#"select attach_quote_collaboration(options => '{"columns": {"updated_by": "notes"}}')"#, "42804"),
        ("select attach_quote_collaboration('counted', 'quote_lines')", "428C9"),
        ("select attach_quote_collaboration('numbered_by_itself', 'quote_lines')", "428C9"),
        ("select attach_quote_collaboration(options => null)", "22023"),
        ("select attach_quote_collaboration(options => '[]')", "22023"),
        ("set search_path = pg_catalog; select public.attach_quote_collaboration()", "42P01"),
        ("select detach_quote_collaboration()", "55000"),
        ("select check_quote_version(uuid_generate_v7(), 1)", "55000"),
    ] {
        let admin = erp.client("postgres").await;
        let error = admin.batch_execute(statement).await.expect_err(statement);
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), expected, "{statement}: {}", error.message());
        assert!(error.message().starts_with(|first: char| !first.is_uppercase()), "{}", error.message());
        assert!(error.hint().is_some() && error.detail().is_some(), "{statement}: {error:?}");
    }
    assert_eq!(erp.schema().await, before);
    // Each of these names a thing that there is, or says that there is none.
    for options in [
        r#"{"users": null, "customers": false, "system_user_id": null, "archive_after": null, "truncate": null}"#,
        r#"{"ignored_columns": ["notes", "description"], "archive_after": "1000 years"}"#,
        r#"{"ignored_columns": [], "columns": {"status": "status"}, "line_columns": {}}"#,
    ] {
        admin
            .batch_execute(&format!("select attach_quote_collaboration(options => '{options}')"))
            .await
            .unwrap_or_else(|error| panic!("{options}: {error:?}"));
    }
}

/// The direct way into a partition knows its columns; one that is not as it was made is written by SQL, or refused.
#[tokio::test]
async fn a_column_of_the_log_that_changes_its_type_is_an_error_and_no_crash() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let views = "drop view v_quote_change_events, v_quote_changes_all, v_recent_quote_changes";
    for (column, kind) in [
        ("was_conflict", "text"),
        ("new_value", "bigint using null"),
        ("new_value", "text"),
        ("position", "text"),
        ("changed_by", "text"),
        ("session_id", "bytea using null"),
        ("entity_version_after", "bigint"),
        ("field_name", "text"),
        ("context", "json"),
    ] {
        admin
            .batch_execute(&format!("update quotes set notes = 'before'; begin; {views}; alter table quote_changes alter {column} type {kind}"))
            .await
            .unwrap_or_else(|error| panic!("{column} {kind}: {error:?}"));
        let written = admin.batch_execute("update quotes set notes = 'after'").await;
        let refused =
            written.err().map(|error| error.as_db_error().expect("the server answered").code().clone());
        assert!(refused.as_ref().is_none_or(|code| code.code() == "42804"), "{column} {kind}: {refused:?}");
        if refused.is_none() {
            let kept = format!(
                "select count(*) from quote_changes where field_name = 'notes' and {column} is null and '{column}' not in ('session_id', 'changed_by', 'context')"
            );
            assert_eq!(admin.query_one(&kept, &[]).await.unwrap().get::<_, i64>(0), 0, "{column} {kind}");
        }
        admin.batch_execute("rollback").await.unwrap();
    }
    assert_eq!(erp.count("select 1::bigint").await, 1);
}

#[tokio::test]
async fn a_key_that_changes_its_type_is_an_error_and_no_crash() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("create table offers (id uuid primary key, tenant_id uuid, amount int); create table items (id uuid, tenant_id uuid, quote_id uuid);
            alter table offers owner to erp_owner; alter table items owner to erp_owner;
            select detach_quote_collaboration(); select attach_quote_collaboration('offers', 'items');
            insert into offers values (uuid_generate_v7(), uuid_generate_v7(), 1); update offers set amount = 2;
            insert into items select uuid_generate_v7(), tenant_id, id from offers;
            alter table offers alter column version type text; alter table items alter column quote_id type bigint using 5")
        .await
        .unwrap();
    for statement in ["update offers set amount = 3", "update items set id = id", "delete from items"] {
        let error = admin.batch_execute(statement).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().code().code(), "42804", "{statement}");
    }
    let repair = "alter table offers alter column version type int using 2; update offers set amount = 4";
    admin.batch_execute(repair).await.unwrap();
    let rename = "alter table offers rename column tenant_id to firm; update offers set amount = 5";
    let error = admin.batch_execute(rename).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().code().code(), "42703");
    assert_eq!(erp.count("select amount::bigint from offers").await, 4);
}

#[tokio::test]
async fn a_schema_that_no_format_can_hold() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("create schema \"100%s\"; create schema \"sold off\"").await.unwrap();
    let create = "create extension quote_collab_ext schema \"100%s\"";
    let error = admin.batch_execute(create).await.expect_err(create);
    assert_eq!(error.as_db_error().unwrap().code().code(), "0A000");
    let create = "create extension quote_collab_ext schema \"sold off\"; select \"sold off\".attach_quote_collaboration(); update quotes set notes = 'x'";
    admin.batch_execute(create).await.unwrap();
}

/// What one process of a stopped server says to a statement, started with a setting of its environment.
fn answer(server: &Postgres, setting: &str, database: &str, statement: &str) -> String {
    let mut process = server.single_user(&["env", setting], database);
    let process = process.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = process.spawn().expect("the process starts");
    child.stdin.take().expect("a pipe").write_all(statement.as_bytes()).expect("the statement is read");
    let output = child.wait_with_output().expect("the process ends");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn errors_show_frames_of_the_server_only_where_they_are_asked_for() {
    let mut server = Postgres::start().await;
    let database = server.database().await;
    server.stop();
    for (setting, expected) in [("RUST_BACKTRACE=1", false), ("RUST_LIB_BACKTRACE=1", true)] {
        let failing = "select * from quote_prepared_rows('select 1 / 0', row()) r (a integer)\n";
        let said = answer(&server, setting, &database, failing);
        assert!(said.contains("division by zero"), "{said}");
        assert_eq!(said.contains("SPI_execute_plan"), expected, "{setting}: {said}");
    }
}
