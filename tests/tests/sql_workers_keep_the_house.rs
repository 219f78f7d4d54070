//! With the library preloaded, the house is kept by a background worker: sessions, months, seals.

use quote_collab_tests::statement::dropped;
use quote_collab_tests::waker::{WAKER, sealed, settled, touch};
use quote_collab_tests::{Erp, Postgres, Settings, eventually};

#[tokio::test]
async fn the_house_is_kept_whatever_role_sessions_are_put_into() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let admin = server.client(&database, "postgres").await;
    admin
        .batch_execute(&format!(
            "alter database {database} set role = 'erp_owner'; update quotes set notes = 'kept'"
        ))
        .await
        .unwrap();
    sealed(&admin).await;
}

#[tokio::test]
async fn the_house_is_kept_where_wakers_have_every_place() {
    // The launcher, PostgreSQL's own for logical replication, and one waker or keeper at a time.
    let server = Postgres::start_with(Settings::preloaded(&[("max_worker_processes", "3")])).await;
    let database = server.database().await;
    let admin = server.client("postgres", "postgres").await;
    for other in ["erp", "erp_template"] {
        dropped(&admin, other).await;
    }
    let (_listener, app, _waker) = settled(&server, &database).await;
    touch(&app).await;
    let inside = server.client(&database, "postgres").await;
    let sealed = "select (select sum(rows) from quote_changes_seals) = (select count(*) from quote_changes)";
    eventually("what was changed is sealed", || async {
        inside.query_one(sealed, &[]).await.unwrap().get::<_, Option<bool>>(0) == Some(true)
    })
    .await;
}

#[tokio::test]
async fn what_an_interrupted_drop_left_is_not_entered() {
    let mut server = Postgres::start_with(Settings::preloaded(&[])).await;
    let broken = server.database().await;
    let admin = server.client("postgres", "postgres").await;
    // As DROP DATABASE leaves it when it is interrupted.
    admin.execute("update pg_database set datconnlimit = -2 where datname = $1", &[&broken]).await.unwrap();
    let whole = server.database().await;
    drop(admin);
    server.stop_hard();
    server.restart().await;
    let admin = server.client(&whole, "postgres").await;
    admin.batch_execute("update quotes set notes = 'kept'").await.unwrap();
    sealed(&admin).await;
    assert!(!server.log().contains("FATAL:  cannot connect to"), "{}", server.log());
}

#[tokio::test]
async fn a_database_that_takes_no_more_connections_is_left_to_its_sessions() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (listener, app, waker) = settled(&server, &database).await;
    let admin = server.client("postgres", "postgres").await;
    admin.batch_execute(&format!("alter database {database} allow_connections false")).await.unwrap();
    admin.execute("select pg_terminate_backend($1)", &[&waker]).await.unwrap();
    eventually("the waker is gone", || async {
        admin.query_opt(WAKER, &[&database]).await.unwrap().is_none()
    })
    .await;
    for _ in 0..3 {
        touch(&app).await;
    }
    // Another round of housekeeping has passed it by.
    let other = server.database().await;
    let inside = server.client(&other, "postgres").await;
    inside.batch_execute("update quotes set notes = 'kept'").await.unwrap();
    sealed(&inside).await;
    assert!(!server.log().contains("not currently accepting connections"), "{}", server.log());
    drop(listener);
}

#[tokio::test]
async fn stale_sessions_go_and_partitions_come_by_themselves() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (listener, _app, _waker) = settled(&server, &database).await;
    let admin = &listener.client;
    admin
        .batch_execute(
            "insert into active_quote_sessions (id, tenant_id, session_id, quote_id, user_id, joined_at, last_heartbeat, is_editing, status)
             select gen_random_uuid(), tenant_id, gen_random_uuid(), id, gen_random_uuid(), now() - interval '1 hour', now() - interval '1 hour', false, 'VIEWING' from quotes limit 3;
             do $$ begin execute format('drop table quote_changes_%s', to_char(now() + interval '3 months', 'YYYY_MM')); end $$",
        )
        .await
        .unwrap();
    let kept = "select not exists (select from active_quote_sessions) and to_regclass('quote_changes_' || to_char(now() + interval '3 months', 'YYYY_MM')) is not null";
    eventually("the keeper has been there", || async { admin.query_one(kept, &[]).await.unwrap().get(0) })
        .await;
}

#[tokio::test]
async fn maintenance_is_held_up_by_nobody_without_rights() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("do $$ begin create role bystander login; exception when duplicate_object or unique_violation then null; end $$")
        .await
        .unwrap();
    let bystander = erp.client("bystander").await;
    for key in ["c.oid::bigint", "c.oid::integer, 1", "c.oid::integer, 0"] {
        let take = format!(
            "select pg_advisory_lock({key}) from pg_class c where c.relname ~ '^(quote_|active_quote_)'"
        );
        bystander.batch_execute(&take).await.unwrap();
    }
    let lock = "lock table quote_relay_batch in access share mode";
    assert!(bystander.batch_execute(lock).await.is_err(), "the lock of maintenance is out of reach");
    let last = "select max(relname)::text from pg_class where relname ~ '^quote_changes_\\d{4}_\\d\\d$'";
    let month: String = admin.query_one(last, &[]).await.unwrap().get(0);
    // Who cuts batches at the moment is in nobody's way, and whoever is at it already leaves nothing to do.
    admin.batch_execute(&format!("drop table {month}")).await.unwrap();
    let relay = erp.client("postgres").await;
    let cut = "begin; insert into quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select no + 1, prev, cur, prev_at, cur_at, floor_at, origin from quote_relay_batch";
    relay.batch_execute(cut).await.unwrap();
    let other = erp.client("postgres").await;
    other.batch_execute("begin; lock table quote_relay_batch in share update exclusive mode").await.unwrap();
    let made = "select (quote_collab_maintenance() ->> 'partitions_created')::bigint";
    assert_eq!(erp.count(made).await, 0);
    other.batch_execute("commit").await.unwrap();
    assert_eq!(erp.count(made).await, 1);
    relay.batch_execute("rollback").await.unwrap();
    // Nor by who may write presence, and so may lock it.
    let app = erp.client("erp_app").await;
    app.batch_execute("begin; lock table active_quote_sessions in access exclusive mode").await.unwrap();
    admin.batch_execute("update quotes set notes = 'to be sealed'").await.unwrap();
    let sealed = "select (quote_collab_maintenance() ->> 'rows_sealed')::bigint from set_config('lock_timeout', '50ms', false)";
    assert!(erp.count(sealed).await > 0);
    app.batch_execute("rollback").await.unwrap();
    // Nor by an owner who made something else of the seals.
    admin
        .batch_execute(&format!(
            "drop table {month}; alter table quote_changes_seals rename column hash to digest"
        ))
        .await
        .unwrap();
    assert_eq!(erp.count(made).await, 1);
}

#[tokio::test]
async fn long_maintenance_ends_when_its_database_is_to_go() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (admin, owner) =
        (server.client("postgres", "postgres").await, server.client(&database, "postgres").await);
    let slow = "create or replace function quote_collab_maintenance() returns jsonb language plpgsql security definer
            set search_path = pg_catalog, pg_temp as $$ begin perform pg_sleep(600); return null; end $$";
    owner.batch_execute(&format!("{slow}; select start_quote_worker()")).await.unwrap();
    drop(owner);
    let keeps = format!(
        "select exists (select from pg_stat_activity where backend_type = 'quote_collab keeper' and datname = '{database}' and wait_event = 'PgSleep')"
    );
    eventually("it keeps house", || async { admin.query_one(&keeps, &[]).await.unwrap().get(0) }).await;
    admin.batch_execute(&format!("drop database {database} with (force)")).await.unwrap();
}
