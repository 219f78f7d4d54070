//! Ways around row security that are not through the rows: conflicts, views that write, statistics, files, dumps; and what
//! newer versions of PostgreSQL bring.

use futures_util::TryStreamExt as _;
use quote_collab_tests::bypass::Outcome::{Empty, Own, Refused};
use quote_collab_tests::bypass::{self, Attempt, scene, try_all, version};
use quote_collab_tests::{Erp, built};

/// Around row security: rows that conflict, views that write, sequences, files, other servers.
const AROUND: [Attempt; 30] = [
    ("for no key update", "select * from quotes where id = 'QUOTE' for no key update nowait", Empty),
    ("for share", "select * from quotes where tenant_id = 'TENANT' for share skip locked", Empty),
    ("for key share", "select * from quotes where id = 'QUOTE' for key share", Empty),
    ("lock", "lock table quotes in share mode; select * from quotes where id = 'QUOTE'", Empty),
    (
        "update from",
        "update quote_lines l set description = q.notes from quotes q where q.id = 'QUOTE' returning q.notes",
        Empty,
    ),
    (
        "delete using",
        "delete from quote_lines l using quotes q where q.id = 'QUOTE' returning q.notes",
        Empty,
    ),
    ("a key that is taken", "INSERT_TAKEN", Refused("23505")),
    ("a key that is taken, do nothing", "INSERT_TAKEN on conflict do nothing returning notes", Empty),
    (
        "a key that is taken, update",
        "INSERT_TAKEN on conflict (id) do update set notes = 'taken' returning notes",
        Refused("42501"),
    ),
    ("copy in", "copy quotes from stdin", Refused("0A000")),
    (
        "a view that can be updated",
        "create temp view v as select * from quotes; update v set notes = 'taken' where id = 'QUOTE' returning notes",
        Empty,
    ),
    (
        "a view without barrier",
        "create temp view v with (security_invoker = false, security_barrier = false) as select * from quotes; select * from v where id = 'QUOTE'",
        Empty,
    ),
    (
        "a view with an instead-of trigger",
        "create temp view v as select * from quotes; create function pg_temp.f() returns trigger language plpgsql as $$ begin update public.quotes set notes = 'taken' where id = 'QUOTE'; return new; end $$; create trigger t instead of update on v for each row execute function pg_temp.f(); update v set notes = 'mine'; select * from quotes where id = 'QUOTE'",
        Empty,
    ),
    (
        "a rule on a view",
        "create temp view v as select 1 as a; create rule r as on update to v do instead update public.quotes set notes = 'taken' where id = 'QUOTE' returning 1; update v set a = 2 returning a",
        Empty,
    ),
    ("a rule on the table", "create rule r as on select to quotes do instead select null", Refused("42501")),
    (
        "a materialized view",
        "create schema mine; create materialized view mine.kept as select * from public.quotes; select * from mine.kept where id = 'QUOTE'",
        Refused("42501"),
    ),
    ("inheritance", "create temp table child () inherits (public.quotes)", Refused("42501")),
    ("the sequence, set", "select setval('quote_changes_position_seq', 1)", Refused("42501")),
    ("the sequence, read", "select last_value from quote_changes_position_seq", Refused("42501")),
    (
        "the sequence in the catalogue",
        "select * from pg_sequences where sequencename = 'quote_changes_position_seq' and last_value is not null",
        Empty,
    ),
    ("statistics", "select * from pg_stats where tablename in ('quotes', 'quote_lines')", Empty),
    (
        "extended statistics",
        "select * from pg_stats_ext where tablename in ('quotes', 'quote_changes')",
        Empty,
    ),
    ("statistics, raw", "select * from pg_statistic", Refused("42501")),
    ("a large object", "select lo_get(424242)", Refused("42501")),
    ("a large object, opened", "select loread(lo_open(424242, 262144), 100)", Refused("42501")),
    ("to a program", "copy (select 1) to program 'cat'", Refused("42501")),
    ("from a program", "create temp table t (a text); copy t from program 'id'", Refused("42501")),
    ("to a file", "copy quotes to '/tmp/quotes'", Refused("42501")),
    ("a foreign data wrapper", "create foreign data wrapper mine", Refused("42501")),
    (
        "a subscription",
        "create subscription mine connection 'dbname=postgres' publication p with (connect = false)",
        Refused("42501"),
    ),
];

/// The first version that knows the statement, and an attempt.
type Newer = (i32, &'static str, &'static str, bypass::Outcome);

/// With statements that only newer versions know.
const NEWER: [Newer; 9] = [
    (
        17,
        "merge, returning",
        "merge into quotes q using (select 'QUOTE'::uuid as id) x on q.id = x.id when matched then update set notes = 'taken' returning q.notes",
        Empty,
    ),
    (
        17,
        "merge, by source",
        "merge into quotes q using (select 1) x on false when not matched by source and q.id = 'QUOTE' then update set notes = 'taken' returning q.notes",
        Empty,
    ),
    (
        17,
        "merge into a view",
        "create temp view v as select * from quotes; merge into v using (select 'QUOTE'::uuid as id) x on v.id = x.id when matched then delete returning v.notes",
        Empty,
    ),
    (
        18,
        "returning old",
        "update quotes set notes = 'taken' where id = 'QUOTE' returning old.notes, new.notes",
        Empty,
    ),
    (18, "returning old of all", "update quotes set notes = notes returning old.notes", Own),
    (
        18,
        "delete, returning old",
        "delete from quote_lines where id = 'LINE' returning old.description",
        Empty,
    ),
    (
        18,
        "conflict, returning old",
        "INSERT_TAKEN on conflict (id) do update set notes = 'taken' returning old.notes",
        Refused("42501"),
    ),
    (18, "a virtual column", "select loud from quotes where loud = 'CANARY'", Empty),
    (
        18,
        "a virtual column of one's own",
        "alter table quotes add column seen text generated always as (notes) virtual",
        Refused("42501"),
    ),
];

#[tokio::test]
async fn around_row_security() {
    try_all(&AROUND).await;
}

#[tokio::test]
async fn through_statements_of_newer_versions() {
    let erp = Erp::attached().await;
    let known = version(&erp.client("postgres").await).await;
    let (now, later): (Vec<Newer>, Vec<Newer>) =
        NEWER.iter().copied().partition(|(first, ..)| *first <= known);
    for (first, name, ..) in later {
        println!("{name}: not on PostgreSQL {known}, comes with {first}");
    }
    try_all(&now.into_iter().map(|(_, name, text, outcome)| (name, text, outcome)).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn through_copy() {
    let erp = Erp::attached().await;
    let (_, client) = scene(&erp, "erp_app").await;
    for what in
        ["quotes", "(table quotes)", "(select * from quote_changes)", "(select * from v_quote_changes_all)"]
    {
        let copied = client.copy_out(&format!("copy {what} to stdout")).await.expect("it is copied");
        let rows: Vec<_> = copied.try_collect().await.expect("it is copied");
        assert!(!rows.is_empty(), "{what}");
        assert!(rows.iter().all(|row| !String::from_utf8_lossy(row).contains("canary")), "{what}");
    }
}

#[tokio::test]
async fn through_a_dump_by_the_owner() {
    let erp = Erp::attached().await;
    let (victim, _) = scene(&erp, "erp_app").await;
    erp.client("postgres").await.batch_execute("alter role erp_owner login").await.unwrap();
    let dump = |arguments: &'static [&'static str], options: String| {
        let mut dump = std::process::Command::new(built::server_programs().join("pg_dump"));
        dump.args(["--data-only", "--table=quote*"]).args(arguments).env("PGOPTIONS", options);
        dump.arg(erp.url("erp_owner"));
        tokio::task::spawn_blocking(move || dump.output().expect("pg_dump runs"))
    };
    let refused = dump(&[], String::new()).await.unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("row-level security"), "{refused:?}");
    for (tenant, is_victim) in [(erp.tenants().await[0], false), (victim.tenant, true)] {
        let options = format!("-c app.current_tenant_id={tenant}");
        let dumped = dump(&["--enable-row-security"], options).await.unwrap();
        assert!(dumped.status.success(), "{dumped:?}");
        assert_eq!(String::from_utf8_lossy(&dumped.stdout).contains("canary"), is_victim);
    }
}
