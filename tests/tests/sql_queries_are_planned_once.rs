//! `quote_prepared_rows` keeps plans, and answers as if it did not.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::sqlstate;
use tokio_postgres::Client;

async fn text(client: &Client, query: &str) -> Option<String> {
    client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

#[tokio::test]
async fn rows_are_those_of_the_query_whatever_changes_beneath_it() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let rows = |query: &str, parameters: &str, columns: &str| {
        format!(
            "select string_agg(r::text, ' ' order by r) from quote_prepared_rows({query}, row({parameters})) r ({columns})"
        )
    };
    let of_table = rows("'select t.a, t.b from pg_temp.t t where t.a > $1'", "1", "a integer, b text");
    for (change, expected) in [
        (
            "create temp table t (a integer, b text); insert into t values (1, 'one'), (2, 'two'), (3, null)",
            "(2,two) (3,)",
        ),
        ("insert into t values (4, 'four'); create index on t (a); analyze t", "(2,two) (3,) (4,four)"),
        (
            "alter table t add column c integer default 7; alter table t alter column a type integer using a + 10",
            "(11,one) (12,two) (13,) (14,four)",
        ),
        ("drop table t; create temp table t (b text, a integer); insert into t values ('new', 5)", "(5,new)"),
        (
            "discard plans; drop table t; create temp table t (a integer, b text); insert into t values (6, 'discarded')",
            "(6,discarded)",
        ),
    ] {
        admin.batch_execute(change).await.unwrap();
        assert_eq!(text(&admin, &of_table).await.as_deref(), Some(expected), "{change}");
    }
    // The same text with parameters of other types, without parameters, with a null, and nested.
    for (query, parameters, columns, expected) in [
        ("'select $1'", "1::bigint", "a bigint", Some("(1)")),
        ("'select $1'", "'x'::text", "a text", Some("(x)")),
        ("'select $1'", "null::uuid", "a uuid", Some("()")),
        ("'select 1, 2'", "", "a integer, b integer", Some("(1,2)")),
        ("'select 1 where false'", "", "a integer", None),
        ("'select n from generate_series(1, $1) n'", "3", "a integer", Some("(1) (2) (3)")),
        (
            "$q$select r.a from quote_prepared_rows('select $1 + 1', row($1)) r (a integer)$q$",
            "1",
            "a integer",
            Some("(2)"),
        ),
        ("'insert into pg_temp.t values ($1, $2) returning a'", "7, 'seven'::text", "a integer", Some("(7)")),
    ] {
        assert_eq!(text(&admin, &rows(query, parameters, columns)).await.as_deref(), expected, "{query}");
    }
}

#[tokio::test]
async fn many_queries_and_many_rows_are_taken() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let sum = "select (select sum(r.a) from generate_series(1, 300) n, quote_prepared_rows('select $1 + ' || n, row(n)) r (a integer))::text";
    for _ in 0..2 {
        assert_eq!(text(&admin, sum).await.as_deref(), Some("90300"));
    }
    let count = "select count(*)::text from quote_prepared_rows('select repeat(''x'', 100) from generate_series(1, $1)', row(200000)) r (a text)";
    admin.batch_execute("set work_mem = '64kB'").await.unwrap();
    assert_eq!(text(&admin, count).await.as_deref(), Some("200000"));
}

#[tokio::test]
async fn what_is_no_query_for_it_is_refused_and_disturbs_nobody() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for (statement, expected) in [
        ("select quote_prepared_rows('select 1', row())", "22023"),
        ("select * from quote_prepared_rows(null, row()) r (a integer)", "22023"),
        ("select * from quote_prepared_rows('select 1', null) r (a integer)", "22023"),
        ("select * from quote_prepared_rows('select $1', row(1)) r (a text)", "42804"),
        ("select * from quote_prepared_rows('select 1, 2', row()) r (a integer)", "42804"),
        ("select * from quote_prepared_rows('selec', row()) r (a integer)", "42601"),
        ("select * from quote_prepared_rows('select 1 / $1', row(0)) r (a integer)", "22012"),
        ("select * from quote_prepared_rows('select $2', row(1)) r (a integer)", "42P02"),
        ("select * from quote_prepared_rows('commit', row()) r (a integer)", "42601"),
    ] {
        assert_eq!(sqlstate(&admin, statement).await, expected, "{statement}");
        let still = "select r.a::text from quote_prepared_rows('select 1 / $1', row(1)) r (a integer)";
        assert_eq!(text(&admin, still).await.as_deref(), Some("1"), "after {statement}");
    }
    let app = erp.client("erp_app").await;
    assert_eq!(
        sqlstate(&app, "select * from quote_prepared_rows('select 1', row()) r (a integer)").await,
        "42501"
    );
}

/// Where the planner's prices make every query dear, PostgreSQL would compile each for longer than it runs.
#[tokio::test]
async fn nothing_that_applications_call_is_compiled() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let compiled = "select string_agg(p.proname, ', ' order by p.proname) from pg_proc p
        where p.proname in ('save_quote', 'save_quote_line', 'get_quote', 'list_quotes', 'get_quote_change_history', 'has_quote_been_updated',
            'join_quote_session', 'heartbeat_quote_session', 'leave_quote_session', 'get_active_quote_sessions', 'quote_events_since',
            'quote_relay_next_batch', 'quote_relay_read', 'quote_events_between', 'quote_presence_snapshot', 'quote_collab_maintenance')
        and not coalesce(p.proconfig @> '{jit=off}', false)";
    assert_eq!(text(&admin, compiled).await, None);
}
