//! With the library preloaded, listeners are woken after the commit by a background worker, and without it by the transaction.

use futures_util::future::join_all;
use quote_collab_tests::doctor::consult;
use quote_collab_tests::postgres::APP;
use quote_collab_tests::statement::{backend, dropped, left};
use quote_collab_tests::waker::{WAKER, quiet, sealed, settled, touch, waker};
use quote_collab_tests::{Listener, Postgres, Settings, eventually};
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test]
async fn each_database_has_a_waker_of_its_own() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let (first, second) = (server.database().await, server.database().await);
    let (mut in_first, app_first, waker_first) = settled(&server, &first).await;
    let (mut in_second, app_second, waker_second) = settled(&server, &second).await;
    assert_ne!(waker_first, waker_second);
    touch(&app_first).await;
    assert_eq!(in_first.next().await.payload(), "");
    touch(&app_second).await;
    assert_eq!(in_second.next().await.process_id(), waker_second);
}

#[tokio::test]
async fn first_commits_at_once_are_told_by_one_waker() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    for _ in 0..5 {
        let database = server.database().await;
        let mut apps = Vec::new();
        for _ in 0..12 {
            apps.push(server.client(&database, APP).await);
        }
        // Each its own row: nobody waits for another.
        let first = apps.iter().enumerate().map(async |(place, app)| {
            let change = format!("update quotes set notes = 'first' where id = (select id from quotes order by id offset {place} limit 1)");
            app.batch_execute(&change).await.expect("a quote changes");
        });
        join_all(first).await;
        let (mut listener, _app, waker) = settled(&server, &database).await;
        for app in &apps {
            touch(app).await;
        }
        let heard = quiet(&mut listener, waker).await;
        assert!(
            !heard.is_empty() && heard.iter().all(|process| *process == waker),
            "{heard:?} is not {waker} alone"
        );
    }
}

#[tokio::test]
async fn a_prepared_transaction_wakes_when_it_is_committed() {
    let server = Postgres::start_with(Settings::preloaded(&[("max_prepared_transactions", "2")])).await;
    let database = server.database().await;
    let (mut listener, app, waker) = settled(&server, &database).await;
    app.batch_execute("begin; update quotes set notes = 'prepared'; prepare transaction 'p'").await.unwrap();
    let admin = server.client(&database, "postgres").await;
    admin.batch_execute("commit prepared 'p'").await.unwrap();
    assert_eq!(listener.next().await.process_id(), waker);
    app.batch_execute("begin; update quotes set notes = 'given up'; prepare transaction 'q'").await.unwrap();
    admin.batch_execute("rollback prepared 'q'").await.unwrap();
    let recorded = "select count(*) filter (where new_value = '\"prepared\"') > 0, count(*) filter (where new_value = '\"given up\"') from quote_changes";
    let row = admin.query_one(recorded, &[]).await.unwrap();
    assert_eq!((row.get::<_, bool>(0), row.get::<_, i64>(1)), (true, 0));
}

#[tokio::test]
async fn a_waker_that_was_terminated_is_replaced() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (mut listener, app, old) = settled(&server, &database).await;
    listener.client.execute("select pg_terminate_backend($1)", &[&old]).await.unwrap();
    let client = &listener.client;
    eventually("the waker is gone", || async {
        client.query_opt(WAKER, &[&database]).await.unwrap().is_none_or(|row| row.get::<_, i32>(0) != old)
    })
    .await;
    touch(&app).await;
    let new = waker(&listener.client, &database).await;
    assert_ne!(old, new);
    listener.hears_from(new).await;
    touch(&app).await;
    listener.hears_from(new).await;
}

#[tokio::test]
async fn the_launcher_comes_back_too() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let admin = server.client("postgres", "postgres").await;
    let launcher = "select pid from pg_stat_activity where backend_type = 'quote_collab launcher'";
    let old: i32 = admin.query_one(launcher, &[]).await.unwrap().get(0);
    admin.execute("select pg_terminate_backend($1)", &[&old]).await.unwrap();
    eventually("another launcher runs", || async {
        admin.query_opt(launcher, &[]).await.unwrap().is_some_and(|row| row.get::<_, i32>(0) != old)
    })
    .await;
    let database = server.database().await;
    let (mut listener, app, waker) = settled(&server, &database).await;
    touch(&app).await;
    listener.hears_from(waker).await;
}

#[tokio::test]
async fn a_waker_killed_by_the_kernel_restarts_the_server_and_loses_nothing() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (listener, _app, waker) = settled(&server, &database).await;
    kill_process(Pid::from_raw(waker).expect("a process id"), Signal::KILL).expect("the waker is killed");
    eventually("the server ends every session", || async { listener.client.is_closed() }).await;
    let url = server.url(&database, "postgres");
    eventually("the server is back", || async {
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_ok()
    })
    .await;
    let (mut listener, app, waker) = settled(&server, &database).await;
    touch(&app).await;
    listener.hears_from(waker).await;
    let recorded = "select count(*) from quote_changes where field_name = 'notes'";
    assert_eq!(listener.client.query_one(recorded, &[]).await.unwrap().get::<_, i64>(0), 3);
    assert!(server.log().contains("keeps house in"), "housekeeping is what may have brought it down");
    sealed(&listener.client).await;
}

#[tokio::test]
async fn a_waker_stands_in_nobodys_way() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let admin = server.client("postgres", "postgres").await;
    for statement in [
        "create database copied template NAME",
        "alter database NAME rename to renamed",
        "drop database renamed",
    ] {
        let name = if statement.starts_with("drop") { "renamed" } else { &database };
        let (listener, app, _waker) = settled(&server, name).await;
        let (ended, closed) = (listener.client.is_closed(), app.is_closed());
        assert!(!ended && !closed);
        drop((listener, app));
        left(&admin, name).await;
        admin
            .batch_execute(&statement.replace("NAME", &database))
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

#[tokio::test]
async fn a_template_that_nobody_names_is_left_alone_too() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let template = server.client("template1", "postgres").await;
    template
        .batch_execute(
            "create table quotes (id uuid primary key, tenant_id uuid, notes text);
             create table quote_lines (id uuid primary key, tenant_id uuid, quote_id uuid);
             create extension quote_collab_ext; select attach_quote_collaboration()",
        )
        .await
        .unwrap();
    let admin = server.client("postgres", "postgres").await;
    waker(&admin, "template1").await;
    drop(template);
    left(&admin, "template1").await;
    admin.batch_execute("create database copied").await.unwrap();
}

#[tokio::test]
async fn nobody_sends_a_waker_away_who_may_not_drop_its_database() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (_listener, _app, old) = settled(&server, &database).await;
    let admin = server.client("postgres", "postgres").await;
    admin.batch_execute("create role nobody_special login").await.unwrap();
    let nobody = server.client("postgres", "nobody_special").await;
    for statement in [
        format!("drop database {database}"),
        format!("alter database {database} rename to taken"),
        format!("create database copied template {database}"),
    ] {
        let error = nobody.batch_execute(&statement).await.expect_err(&statement);
        assert_eq!(error.as_db_error().unwrap().code().code(), "42501", "{statement}");
    }
    // A waker that was told to leave would have gone before it told of this.
    let (mut listener, app, now) = settled(&server, &database).await;
    assert_eq!(now, old);
    touch(&app).await;
    listener.hears_from(old).await;
}

#[tokio::test]
async fn a_waker_on_its_way_stands_in_nobodys_way_either() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let admin = server.client("postgres", "postgres").await;
    let gone = "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity
        where datname = $1 and backend_type = 'quote_collab waker') ended";
    for turn in 0..20 {
        admin.query_one(gone, &[&database]).await.expect("the waker is ended");
        let app = server.client(&database, "postgres").await;
        app.batch_execute("select start_quote_worker()").await.expect("a waker is asked for");
        drop(app);
        // It comes now, and may be told to leave before it is there.
        let copy = format!("create database copied_{turn} template {database}");
        admin.batch_execute(&copy).await.unwrap_or_else(|error| panic!("{copy}: {error:?}"));
    }
}

#[tokio::test]
async fn an_extension_that_is_dropped_and_made_again_is_served_again() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (listener, app, old) = settled(&server, &database).await;
    let admin = &listener.client;
    admin
        .batch_execute(
            "select detach_quote_collaboration(drop_history => true); drop extension quote_collab_ext",
        )
        .await
        .unwrap();
    eventually("the waker leaves", || async {
        admin.query_opt(WAKER, &[&database]).await.unwrap().is_none()
    })
    .await;
    admin.batch_execute("create extension quote_collab_ext; select attach_quote_collaboration(); select grant_quote_gateway('quote_gateway')").await.unwrap();
    drop((listener, app));
    let (mut listener, app, new) = settled(&server, &database).await;
    assert_ne!(old, new);
    touch(&app).await;
    listener.hears_from(new).await;
}

#[tokio::test]
async fn without_a_free_worker_the_transaction_notifies() {
    // The launcher takes the only place.
    let server = Postgres::start_with(Settings::preloaded(&[("max_worker_processes", "1")])).await;
    let database = server.database().await;
    let mut listener = Listener::to("quote_events", &server.url(&database, "postgres")).await;
    let app = server.client(&database, "erp_app").await;
    let me = backend(&app).await;
    for _ in 0..3 {
        touch(&app).await;
        assert_eq!(listener.next().await.process_id(), me);
    }
}

#[tokio::test]
async fn the_setting_chooses_who_notifies() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (mut listener, app, waker) = settled(&server, &database).await;
    drop(app);
    for way in ["transaction", "worker", "auto", "off"] {
        listener
            .client
            .batch_execute(&format!("alter database {database} set quote_collab.notify = '{way}'"))
            .await
            .unwrap();
        let app = server.client(&database, "erp_app").await;
        let own = backend(&app).await;
        touch(&app).await;
        let expected = match way {
            "transaction" => vec![own],
            "off" => vec![],
            _ => vec![waker],
        };
        assert_eq!(quiet(&mut listener, waker).await, expected, "{way}");
    }
}

#[tokio::test]
async fn a_standby_has_no_workers_until_it_is_promoted() {
    let primary = Postgres::start_with(Settings::preloaded(&[])).await;
    let standby = primary.standby_with(Settings::preloaded(&[])).await;
    let reader = standby.client("erp", "postgres").await;
    let workers = "select count(*) from pg_stat_activity where backend_type ~ '^quote_collab'";
    assert_eq!(reader.query_one(workers, &[]).await.unwrap().get::<_, i64>(0), 0);
    reader.batch_execute("select quote_collab_maintenance()").await.unwrap();
    reader.batch_execute("select pg_promote()").await.unwrap();
    let (mut listener, app, waker) = settled(&standby, "erp").await;
    touch(&app).await;
    assert_eq!(quiet(&mut listener, waker).await, [waker]);
    // A tool that makes it another cluster has time to do so before anything is sealed.
    assert!(standby.log().contains("keeps house in 20 s: the server was a standby"), "{}", standby.log());
    let kept = "select count(*) from quote_changes_seals where no > 0";
    eventually("the keeper seals", || async {
        reader.query_one(kept, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
}

#[tokio::test]
async fn workers_come_back_with_a_server_that_crashed() {
    let mut server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (listener, app, _waker) = settled(&server, &database).await;
    server.stop_hard();
    drop((listener, app));
    server.restart().await;
    let (mut listener, app, waker) = settled(&server, &database).await;
    touch(&app).await;
    assert_eq!(quiet(&mut listener, waker).await, [waker]);
    let recorded = "select count(*) from quote_changes where field_name = 'notes'";
    assert_eq!(listener.client.query_one(recorded, &[]).await.unwrap().get::<_, i64>(0), 3);
}

#[tokio::test]
async fn a_place_that_becomes_free_is_taken() {
    let begun = std::time::Instant::now();
    // The launcher, PostgreSQL's own for logical replication, and one waker or keeper at a time.
    let server = Postgres::start_with(Settings::preloaded(&[("max_worker_processes", "3")])).await;
    let (first, second) = (server.database().await, server.database().await);
    let admin = server.client("postgres", "postgres").await;
    // These are attached, too, and would take the place.
    for other in ["erp", "erp_template"] {
        dropped(&admin, other).await;
    }
    let (listener, app, _waker) = settled(&server, &first).await;
    let mut crowded = Listener::to("quote_events", &server.url(&second, "postgres")).await;
    let writer = server.client(&second, "erp_app").await;
    let me = backend(&writer).await;
    touch(&writer).await;
    assert_eq!(crowded.next().await.process_id(), me, "no place: the transaction notifies");
    eventually("the log says why", || async { server.log().contains("raise max_worker_processes") }).await;
    let doctor = server.client(&second, "postgres").await;
    assert_eq!(consult(&doctor).await["background worker free"], "warning");
    drop((listener, app));
    dropped(&admin, &first).await;
    let waker = waker(&admin, &second).await;
    quiet(&mut crowded, waker).await;
    touch(&writer).await;
    assert_eq!(quiet(&mut crowded, waker).await, [waker]);
    assert_eq!(consult(&doctor).await["background worker free"], "ok");
    let said = u64::try_from(server.log().matches("raise max_worker_processes").count()).unwrap();
    let minutes = begun.elapsed().as_secs() / 60;
    assert!((1..=1 + minutes).contains(&said), "{said} times in {minutes} minutes and a part of one");
}

#[tokio::test]
async fn an_extension_that_is_altered_stays_served() {
    let server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let (mut listener, app, waker) = settled(&server, &database).await;
    for statement in [
        "alter extension quote_collab_ext update",
        "alter extension quote_collab_ext drop function quote_field_name(text)",
        "alter extension quote_collab_ext add function quote_field_name(text)",
        "select attach_quote_collaboration()",
    ] {
        listener.client.batch_execute(statement).await.unwrap();
        touch(&app).await;
        assert_eq!(quiet(&mut listener, waker).await, [waker], "{statement}");
    }
}

/// Whether the waker tells listeners, which the queue refuses then, or the writer does.
#[tokio::test]
async fn a_full_queue_fails_no_writer() {
    let server = Postgres::start_with(Settings::default()).await;
    let admin = server.client("postgres", "postgres").await;
    let version: String = admin.query_one("show server_version_num", &[]).await.unwrap().get(0);
    if version.as_str() < "170000" {
        println!("skipped: the queue of this server has a fixed size of 8 GB, which takes minutes to fill");
        return;
    }
    drop((admin, server));
    let pages = [("max_notify_queue_pages", "64")];
    let server = Postgres::start_with(Settings::preloaded(&pages)).await;
    let database = server.database().await;
    let (mut listener, app, waker) = settled(&server, &database).await;
    let stuck = fill_queue(&server, &database).await;
    for _ in 0..20 {
        touch(&app).await;
    }
    eventually("the waker says why", || async { server.log().contains("too many notifications") }).await;
    stuck.client.batch_execute("commit").await.unwrap();
    listener.hears_from(waker).await;

    let server = Postgres::start_with(Settings::default().with(&pages)).await;
    let database = server.database().await;
    let mut listener = Listener::to("quote_events", &server.url(&database, "postgres")).await;
    let app = server.client(&database, "erp_app").await;
    let stuck = fill_queue(&server, &database).await;
    let admin = server.client(&database, "postgres").await;
    let join =
        "select set_config('app.current_tenant_id', tenant_id::text, false) from quotes order by id limit 1;
        select join_quote_session(id, gen_random_uuid(), gen_random_uuid()) from quotes order by id limit 1";
    for _ in 0..20 {
        touch(&app).await;
        admin.batch_execute(join).await.expect("presence is told by the queue, too");
    }
    stuck.client.batch_execute("commit").await.unwrap();
    // What was full stays full until somebody asks, which the next writer does.
    touch(&app).await;
    touch(&app).await;
    let me = backend(&app).await;
    listener.hears_from(me).await;
}

/// Fills the queue of NOTIFY behind a listener that sits in a transaction.
async fn fill_queue(server: &Postgres, database: &str) -> Listener {
    let stuck = Listener::to("nothing", &server.url(database, "postgres")).await;
    stuck.client.batch_execute("begin; select 1").await.expect("it begins");
    let fill = "select pg_notify('filling', repeat('x', 7000) || n) from generate_series(1, 20) n";
    let filler = server.client(database, "postgres").await;
    let mut refused = None;
    for _ in 0..1000 {
        if let Err(error) = filler.batch_execute(fill).await {
            refused = error.code().cloned();
            break;
        }
    }
    assert_eq!(refused.expect("the queue is full at last").code(), "54000");
    stuck
}
