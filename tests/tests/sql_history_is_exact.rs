//! The history holds exactly what `to_jsonb` gives, before and after, for every kind of value.

use quote_collab_tests::Erp;

/// A pair of tables with awkward names and one column of each kind.
const TABLES: &str = r#"
create type mood as enum ('sad', 'happy');
create domain price as numeric(18, 4) check (value >= 0);
create type address as (street text, number int);
create schema sales;
create table sales."Offers" (
    id uuid primary key, tenant_id uuid not null, num numeric, num4 numeric(18, 4), txt text, js jsonb, plain_json json,
    arr int[], texts text[], feeling mood, cost price, day date, ts timestamp, tstz timestamptz, span interval,
    bytes bytea, f8 float8, f4 float4, flag boolean, fixed char(5), short varchar(10), home address, spread int4range,
    net inet, "Mixed Case" text, "select" int, twice numeric generated always as (num4 * 2) stored);
create table sales.items (id uuid primary key, tenant_id uuid not null,
    quote_id uuid not null references sales."Offers" (id) on delete cascade);
select attach_quote_collaboration('sales."Offers"', 'sales.items');
insert into sales."Offers" (id, tenant_id) values (uuid_generate_v7(), uuid_generate_v7());

-- Applies an assignment list and compares the log with to_jsonb of the row before and after, as text: every digit.
create function deviations(assignments text) returns table (problem text) language plpgsql as $$
declare
    before jsonb; after jsonb; last bigint;
begin
    select to_jsonb(o) into before from sales."Offers" o;
    select coalesce(max(position), 0) into last from sales.quote_changes;
    execute 'update sales."Offers" set ' || assignments;
    select to_jsonb(o) into after from sales."Offers" o;
    return query
        select format('%s: logged %s → %s, expected %s → %s', c.field_name, c.old_value, c.new_value, before -> c.field_name, after -> c.field_name)
        from sales.quote_changes c where c.position > last
          and (coalesce(c.old_value, 'null')::text <> (before -> c.field_name)::text
            or coalesce(c.new_value, 'null')::text <> (after -> c.field_name)::text)
        union all
        select format('%s: changed and not logged', e.key) from jsonb_each(before) e
        where e.key <> 'version' and (e.value is distinct from after -> e.key)
          and not exists (select from sales.quote_changes c where c.position > last and c.field_name = e.key)
        union all
        select format('%s: null logged as a value', c.field_name) from sales.quote_changes c
        where c.position > last and (c.old_value::text = 'null' and before -> c.field_name = 'null' and c.field_name not in ('js', 'plain_json'));
end $$;
"#;

const ASSIGNMENTS: &[&str] = &[
    "num = 0.1000",
    "num = 'NaN'",
    "num = 100000000000000000.0001",
    "num = null",
    "num4 = 0.1",
    "num4 = 99999999999999.9999",
    "txt = repeat('x', 1048576)",
    "txt = (select string_agg(md5(i::text), '') from generate_series(1, 32768) i)",
    "txt = txt || 'a'",
    "txt = 'short again'",
    r#"js = '{"a": [1, 2.50, null], "b": {"c": 1e3}}'"#,
    "js = 'null'",
    "js = null",
    r#"plain_json = '{"b": 1, "a": 2}'"#,
    "arr = '{1,NULL,3}'",
    "arr = '{{1,2},{3,4}}'",
    "arr = '{}'",
    r#"texts = array['a', null, 'quo"te', 'ünï']"#,
    "feeling = 'happy'",
    "cost = 12.5",
    "day = 'infinity'",
    "ts = '2020-01-01 10:00:00.123456'",
    "tstz = '-infinity'",
    "tstz = '2026-03-29 02:30+01'",
    "span = '1 mon 2 days 03:04:05.6'",
    r"bytes = '\xdeadbeef'",
    "f8 = 'NaN', f4 = 0.1",
    "f8 = 0.1::float8 + 0.2::float8",
    "flag = true",
    "fixed = 'a'",
    "short = ''",
    "home = row('Main St', 3)",
    "spread = '[1,5)'",
    "net = '10.0.0.1/8'",
    r#""Mixed Case" = 'y', "select" = 4"#,
    "num = 1, num4 = 2, txt = null, flag = null, day = null",
];

#[tokio::test]
async fn every_kind_of_value_is_logged_as_to_jsonb_gives_it() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("create extension quote_collab_ext").await.unwrap();
    admin.batch_execute(TABLES).await.unwrap();
    for assignments in ASSIGNMENTS {
        let problems = admin.query("select problem from deviations($1)", &[assignments]).await.unwrap();
        let problems: Vec<String> = problems.iter().map(|row| row.get(0)).collect();
        assert!(problems.is_empty(), "{assignments}: {problems:?}");
    }
}

#[tokio::test]
async fn an_unchanged_value_leaves_no_trace() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("create extension quote_collab_ext").await.unwrap();
    admin.batch_execute(TABLES).await.unwrap();
    admin
        .batch_execute(r#"update sales."Offers" set txt = repeat('x', 1048576), num = 0.1000, arr = '{1,2}'"#)
        .await
        .unwrap();
    let before = erp.count("select count(*) from sales.quote_changes").await;
    // The same megabyte, once stored out of line and once fresh from the statement; and a version of the writer's own.
    admin
        .batch_execute(r#"update sales."Offers" set txt = repeat('x', 1048576), num = 0.1000, arr = '{1,2}'"#)
        .await
        .unwrap();
    admin.batch_execute(r#"update sales."Offers" set version = 99"#).await.unwrap();
    assert_eq!(erp.count("select count(*) from sales.quote_changes").await, before);
    assert_eq!(erp.count(r#"select version::bigint from sales."Offers""#).await, 2);
}

#[tokio::test]
async fn the_trigger_notices_an_altered_table() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("create extension quote_collab_ext").await.unwrap();
    admin.batch_execute(TABLES).await.unwrap();
    for (alteration, assignments) in [
        ("add column later text default 'given'", "later = 'z'"),
        ("drop column short", "num = 5"),
        (r#"rename column fixed to "fixed width""#, r#""fixed width" = 'bb'"#),
        (r#"alter column "select" type bigint"#, r#""select" = 123456789012"#),
    ] {
        admin.batch_execute(&format!(r#"alter table sales."Offers" {alteration}"#)).await.unwrap();
        let problems = admin.query("select problem from deviations($1)", &[&assignments]).await.unwrap();
        assert!(problems.is_empty(), "{alteration}");
    }
}
