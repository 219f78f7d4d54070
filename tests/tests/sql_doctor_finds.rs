//! The doctor finds what is wrong, and nothing in a healthy database.

use std::sync::Arc;

use quote_collab_tests::doctor::{consult, examine, spelled_out};
use quote_collab_tests::signer::{SECRET, key_set, public_key};
use quote_collab_tests::statement::{WRITE, count, run, sqlstate, text};
use quote_collab_tests::{Erp, Postgres, Settings};

/// What is broken, how, and the check that must tell.
const FAULTS: [(&str, &str); 36] = [
    ("alter table active_quote_sessions disable trigger trg_guard_quote_session", "presence guarded"),
    ("alter table quotes disable trigger trg_capture_quote_change", "triggers enabled always: public.quotes"),
    (
        "alter table quote_lines enable trigger trg_increment_quote_line_version",
        "triggers enabled always: public.quote_lines",
    ),
    ("drop trigger trg_flush_quote_changes on quotes", "triggers present: public.quotes"),
    ("alter table quote_lines rename column unit_price to price_each", "columns exist: public.quote_lines"),
    ("alter table quotes rename column id to number", "columns exist: public.quotes"),
    (
        "alter table quotes alter version type smallint; alter table quotes alter version type text",
        "columns can play their roles: public.quotes",
    ),
    ("create table quote_drafts () inherits (quotes)", "no inheritance: public.quotes"),
    ("drop table quote_lines cascade", "table exists: public.quote_lines"),
    (
        "do $$ begin execute format('drop table quote_changes_%s', to_char(now() at time zone 'UTC', 'YYYY_MM')); end $$",
        "partition of this month",
    ),
    (
        "do $$ begin execute format('drop table quote_changes_%s', to_char((now() + interval '1 month') at time zone 'UTC', 'YYYY_MM')); end $$",
        "partition of next month",
    ),
    ("INSERT now() - interval '2 years'", "default partition empty"),
    (
        "alter sequence quote_changes_position_seq restart with 5000000000000000000; select nextval('quote_changes_position_seq')",
        "positions left",
    ),
    ("INSERT now() - interval '1 minute'", "relay keeps up"),
    ("INSERT now() - interval '10 minutes'", "history sealed"),
    (
        "insert into active_quote_sessions (id, tenant_id, session_id, quote_id, user_id, joined_at, last_heartbeat, is_editing, status) select gen_random_uuid(), tenant_id, gen_random_uuid(), id, gen_random_uuid(), now(), now() - interval '1 hour', false, 'VIEWING' from quotes limit 1",
        "stale sessions swept",
    ),
    (
        "do $$ begin for y in 2000 .. 2004 loop for m in 1 .. 12 loop execute format('create table old_%s_%s partition of quote_changes for values from (%L) to (%L)', y, m, make_date(y, m, 1), make_date(y, m, 1) + interval '1 month'); end loop; end loop; end $$",
        "history bounded",
    ),
    ("select create_quote_changes_partitions('quote_changes', 70)", "locks suffice for the history"),
    ("grant execute on all functions in schema public to erp_app", "functions open as installed"),
    (
        "create function erp() returns trigger language plpgsql as 'begin return new; end'; create trigger zz before insert on quote_collab_settings for each row execute function erp()",
        "tables of the extension guarded",
    ),
    ("alter table quote_relay_lease rename holder to owner", "tables beside the log as attached"),
    ("alter table quote_relay_batch drop column floor_at", "tables beside the log as attached"),
    ("alter table quote_changes no force row level security", "row security forced everywhere"),
    ("alter table quote_changes_default disable row level security", "row security forced everywhere"),
    ("drop policy quote_changes_tenant_isolation on quote_changes_default", "tenant policies present"),
    ("create policy open on quote_changes using (true)", "no other policy"),
    ("alter view v_recent_quote_changes set (security_invoker = false)", "views ask as the caller"),
    ("grant insert on quote_changes to erp_app", "log written by triggers only"),
    ("grant truncate on quotes to erp_app", "truncate granted to nobody"),
    ("alter function quote_collab_maintenance() reset search_path", "definer functions pinned"),
    (
        "create function erp() returns trigger language plpgsql as 'begin return new; end'; create trigger zz before insert on quote_changes for each row execute function erp()",
        "no trigger on the log",
    ),
    ("set local quote_collab.notify = 'off'", "listeners are woken"),
    ("set local synchronous_commit = off", "commits are durable"),
    ("grant set on parameter app.current_tenant_id to erp_app", "tenant set by gateways only"),
    ("drop table quote_changes cascade", "audit log present"),
    ("select detach_quote_collaboration()", "attached"),
];

#[tokio::test]
async fn each_fault_is_told_by_its_check() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let healthy = consult(&admin).await;
    assert!(healthy.len() >= 20, "{} checks", healthy.len());
    let errors: Vec<_> =
        healthy.iter().filter(|(_, severity)| *severity == "error").map(|(name, _)| name).collect();
    // The servers of tests do not flush.
    assert_eq!(errors, ["survives a power cut"]);
    for (fault, check) in FAULTS {
        let statement = spelled_out(fault);
        assert_eq!(healthy.get(check).map(String::as_str), Some("ok"), "{check} before {fault}");
        admin
            .batch_execute(&format!("begin; {statement}"))
            .await
            .unwrap_or_else(|error| panic!("{fault}: {error:?}"));
        let told = consult(&admin).await;
        assert_ne!(told.get(check).map_or("absent", String::as_str), "ok", "{fault}");
        assert!(told.contains_key(check), "{check} after {fault}");
        admin.batch_execute("rollback").await.unwrap();
    }
    assert_eq!(consult(&admin).await, healthy);
}

/// What is to be told of a database where nothing is wrong but how tests run it.
const OF_TESTS: [&str; 5] = [
    "a gateway is connected",
    "library preloaded",
    "survives a power cut",
    "tenant cannot be chosen by SQL users",
    "this role",
];

#[tokio::test]
async fn nothing_is_told_of_what_the_page_about_tenants_sets_up() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    let page = include_str!("../../docs/tenants.md").split("## Each transaction").next().unwrap();
    for block in page.split("```sql\n").skip(1) {
        let block = block.split("```").next().unwrap();
        admin.batch_execute(block).await.unwrap_or_else(|error| panic!("{block}: {error:?}"));
    }
    // Whom the tables belonged to before the page gave them away has nothing to make there any more.
    admin.batch_execute("revoke create on schema public from erp_owner").await.unwrap();
    admin.batch_execute("select create_quote_changes_archive('quote_changes')").await.unwrap();
    let told = examine(&admin).await;
    let told: Vec<_> = told
        .iter()
        .filter(|(name, (severity, ..))| {
            severity != "ok" && !OF_TESTS.iter().any(|start| name.starts_with(start))
        })
        .collect();
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test]
async fn a_gateway_and_row_security_are_good_news() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for (repair, check) in [
        ("select quote_relay_lease('a gateway', interval '1 hour')", "a gateway is connected"),
        (
            "alter table quotes enable row level security, force row level security;
             create policy tenant on quotes using (tenant_id = (select current_quote_tenant()))",
            "row security on the table: public.quotes",
        ),
    ] {
        assert_eq!(consult(&admin).await[check], "warning");
        admin.batch_execute(repair).await.unwrap();
        assert_eq!(consult(&admin).await[check], "ok");
    }
}

#[tokio::test]
async fn settings_that_verify_badly_are_told() {
    let weak = serde_json::json!({ "keys": [public_key("weak")] }).to_string();
    let all = key_set();
    let servers = [
        (
            vec![("tenant_source", "verified"), ("jwt_secret", "short"), ("jwt_keys", weak.as_str())],
            true,
            vec![
                ("token secret long enough", "warning"),
                ("token keys usable", "error"),
                ("token keys configured", "ok"),
            ],
        ),
        (
            vec![("tenant_source", "verified"), ("jwt_keys", "no JSON")],
            true,
            vec![
                ("token secret long enough", "ok"),
                ("token keys usable", "error"),
                ("token keys configured", "warning"),
            ],
        ),
        (
            vec![("tenant_source", "verifyed"), ("jwt_keys", all.as_str())],
            true,
            vec![
                ("settings known", "error"),
                ("tenant guarded as configured", "error"),
                ("token keys usable", "ok"),
            ],
        ),
        (
            vec![("tenant_source", "verified"), ("jwt_secret", SECRET)],
            false,
            vec![
                ("token secret kept", "error"),
                ("tenants verified from the start", "warning"),
                ("token keys configured", "warning"),
                ("tenant guarded as configured", "ok"),
            ],
        ),
    ];
    for (settings, is_preloaded, expected) in servers {
        let mut setup = if is_preloaded { Settings::preloaded(&[]) } else { Settings::default() };
        setup.extra.extend(settings.iter().map(|(name, value)| {
            let name: &'static str = format!("quote_collab.{name}").leak();
            (name, (*value).to_owned())
        }));
        let erp = Erp::attached_on(Arc::new(Postgres::start_with(setup).await)).await;
        let told = consult(&erp.client("postgres").await).await;
        for (check, severity) in expected {
            assert_eq!(told.get(check).map(String::as_str), Some(severity), "{check} with {settings:?}");
        }
    }
}

#[tokio::test]
async fn it_is_not_for_everybody() {
    let erp = Erp::attached().await;
    let error =
        erp.client("erp_app").await.batch_execute("select * from quote_collab_doctor()").await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().code().code(), "42501");
}

/// What is only seen with a right of its own, once the owner of the history may ask.
const UNSEEN: [(&str, &str); 14] = [
    ("tenant guarded as configured", "grant"),
    ("seals signed as configured", "grant"),
    ("library preloaded", "grant"),
    ("transactions can be prepared", "grant"),
    ("background worker alive", "grant"),
    ("background worker free", "grant"),
    ("no hour-long writer", "grant"),
    ("functions as released", "Run it as a superuser."),
    ("positions ascend", "Run it as a superuser."),
    ("default partition empty", "Run it as a superuser."),
    ("relay keeps up", "Run it as a superuser."),
    ("lease of the relay stands", "Run it as a superuser."),
    ("stale sessions swept", "Run it as a superuser."),
    ("history sealed", "Run it as a superuser."),
];

#[tokio::test]
async fn what_the_owner_of_the_history_cannot_see_is_told_and_the_rest_is_checked() {
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(Settings::preloaded(&[])).await)).await;
    let admin = erp.client("postgres").await;
    let all = consult(&admin).await;
    admin
        .batch_execute("grant execute on function quote_collab_doctor() to erp_owner; set role erp_owner")
        .await
        .unwrap();
    let told = examine(&admin).await;
    for (check, hint) in UNSEEN {
        let (severity, message, mends) = &told[check];
        assert!(severity == "warning" && message.starts_with("cannot be checked: "), "{check}: {message}");
        assert!(mends.starts_with(hint), "{check}: {mends}");
    }
    let seen =
        |name: &str| UNSEEN.iter().all(|(check, _)| *check != name) && name != "a gateway is connected";
    for (name, (severity, message, _)) in told.iter().filter(|(name, _)| seen(name)) {
        assert!(!message.starts_with("cannot be checked"), "{name}: {message}");
        assert_eq!(Some(severity), all.get(name), "{name}: {message}");
    }
    // What it finds, it finds for him, too.
    admin
        .batch_execute("reset role; grant update (new_value) on quote_changes to erp_app; set role erp_owner")
        .await
        .unwrap();
    assert_eq!(consult(&admin).await["log written by triggers only"], "error");
    for (name, (_, _, hint)) in told.iter().filter(|(_, (_, _, hint))| hint.starts_with("grant")) {
        admin.batch_execute(&format!("reset role; {hint}; set role erp_owner")).await.unwrap();
        let (severity, message, _) = &examine(&admin).await[name];
        assert!(!message.starts_with("cannot be checked"), "{name}: {message}");
        assert_eq!(severity, &all[name], "{name}: {message}");
    }
}

#[tokio::test]
async fn settings_are_enough_for_the_library_and_not_for_its_processes() {
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(Settings::preloaded(&[])).await)).await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("grant execute on function quote_collab_doctor() to erp_owner; grant pg_read_all_settings to erp_owner; set role erp_owner")
        .await
        .unwrap();
    let told = examine(&admin).await;
    assert_eq!(told["library preloaded"].0, "ok");
    assert_eq!(told["background worker alive"].0, "warning");
}

#[tokio::test]
async fn a_role_that_can_become_one_that_sees_all_is_told() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create role doctor_above bypassrls; create role doctor_between in role doctor_above; create role doctor_below login in role doctor_between;
             grant execute on function quote_collab_doctor() to doctor_below",
        )
        .await
        .unwrap();
    let below = erp.client("doctor_below").await;
    let check = "this role becomes no other that sees all";
    let (severity, message, hint) = examine(&below).await.remove(check).unwrap();
    assert!(severity == "warning" && message.ends_with("doctor_above"), "{message}");
    admin.batch_execute(&hint).await.unwrap();
    assert_eq!(consult(&below).await[check], "ok");
    admin.batch_execute("grant postgres to doctor_below").await.unwrap();
    assert_eq!(consult(&below).await[check], "warning");
}

#[tokio::test]
async fn a_standby_is_looked_at_too() {
    let primary = Arc::new(Postgres::start().await);
    let erp = Erp::attached_on(Arc::clone(&primary)).await;
    let standby = primary.standby().await;
    let healthy = consult(&erp.client("postgres").await).await;
    assert_eq!(consult(&standby.client(erp.database(), "postgres").await).await, healthy);
}

/// The right to set the tenant holds in the whole cluster: what the doctor of one database says of the gateway of another.
#[tokio::test]
async fn the_gateway_of_another_database_keeps_its_right() {
    let server = Arc::new(Postgres::start().await);
    let (here, elsewhere) =
        (Erp::attached_on(Arc::clone(&server)).await, Erp::attached_on(Arc::clone(&server)).await);
    let admin = here.client("postgres").await;
    let granted = "create role gateway_elsewhere login; create role anybody login;
        grant set on parameter app.current_tenant_id to gateway_elsewhere, anybody";
    admin.batch_execute(granted).await.unwrap();
    let there = elsewhere.client("postgres").await;
    there.batch_execute("select grant_quote_gateway('gateway_elsewhere')").await.unwrap();
    let check = "tenant set by gateways only";
    let (severity, message, hint) = examine(&there).await.remove(check).unwrap();
    assert_eq!(severity, "warning");
    assert!(message.contains("whole cluster") && !message.contains("gateway_elsewhere"), "{message}");
    let revoked = "revoke set on parameter app.current_tenant_id from anybody;";
    assert_eq!(hint, revoked);
    let (_, message, hint) = examine(&admin).await.remove(check).unwrap();
    assert!(
        message.contains(&format!("gateway_elsewhere (perhaps the gateway of {})", elsewhere.database()))
    );
    assert!(hint.starts_with(&format!("{revoked} Unless ")), "{hint}");
    admin.batch_execute(revoked).await.unwrap();
    let (_, _, hint) = examine(&admin).await.remove(check).unwrap();
    assert!(hint.starts_with("Unless ") && hint.contains("from gateway_elsewhere;"), "{hint}");
    assert_eq!(consult(&there).await[check], "ok");
}

#[tokio::test]
async fn without_a_gateway_whoever_calls_maintenance_must_write() {
    let erp = Erp::bare_on(Arc::new(Postgres::start().await)).await;
    let admin = erp.client("postgres").await;
    let read_only = "create extension quote_collab_ext; select attach_quote_collaboration();
        do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$";
    admin.batch_execute(read_only).await.unwrap();
    let (severity, _, hint) = examine(&admin).await.remove("transactions may write").unwrap();
    assert!(severity == "warning" && hint.contains("begin read write;"), "{severity}: {hint}");
    let cron = erp.client("postgres").await;
    let refused = cron.batch_execute("select quote_collab_maintenance()").await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "25006");
    let (_, says) = hint.split_once("cron with ").unwrap();
    cron.batch_execute(says).await.unwrap_or_else(|error| panic!("{says}: {error:?}"));
}

#[tokio::test]
async fn settings_of_the_installer_are_no_faults() {
    let usual = Erp::attached().await;
    let usual = consult(&usual.client("postgres").await).await;
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    for setting in
        ["quote_all_identifiers = on", "standard_conforming_strings = off", "escape_string_warning = off"]
    {
        admin.batch_execute(&format!("alter database {} set {setting}", erp.database())).await.unwrap();
    }
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("create extension quote_collab_ext; select attach_quote_collaboration()")
        .await
        .unwrap();
    assert_eq!(consult(&admin).await, usual);
    admin.batch_execute(&format!("alter database {} reset all", erp.database())).await.unwrap();
    assert_eq!(consult(&erp.client("postgres").await).await, usual);
}

#[tokio::test]
async fn what_a_session_set_for_itself_hides_no_setting_of_the_server() {
    let erp = Erp::attached_on(Arc::new(
        Postgres::start_with(Settings::default().with(&[("row_security", "off")])).await,
    ))
    .await;
    let admin = erp.client("postgres").await;
    for own in ["reset row_security", "set row_security = on"] {
        admin.batch_execute(own).await.unwrap();
        let (severity, _, hint) = examine(&admin).await.remove("rows are filtered").unwrap();
        assert_eq!(severity, "warning", "{own}");
        assert_eq!(hint, format!("alter database {} set row_security = on;", erp.database()));
    }
    admin.batch_execute(&format!("alter database {} set row_security = on", erp.database())).await.unwrap();
    // Whoever has nothing to do with quotes may have it as he likes.
    admin
        .batch_execute("create role dumps_only login; alter role dumps_only set row_security = off")
        .await
        .unwrap();
    assert_eq!(consult(&admin).await["rows are filtered"], "ok");
}

#[tokio::test]
async fn a_function_that_is_made_again_is_as_closed_as_it_was() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let gone = "drop_archived_quote_changes(interval)";
    let closed = format!(
        "select (not exists (select from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         where p.oid = '{gone}'::regprocedure and a.grantee = 0))::text"
    );
    assert_eq!(text(&admin, &closed).await, "true");
    let taken = format!("alter extension quote_collab_ext drop function {gone}; drop function {gone}");
    admin.batch_execute(&taken).await.unwrap();
    let (_, _, hint) = examine(&admin).await.remove("functions as released").unwrap();
    admin.batch_execute(&hint).await.unwrap();
    assert_eq!(text(&admin, &closed).await, "true", "{hint}");
    assert_eq!(consult(&admin).await["functions as released"], "ok");
}

/// Behind the last number of a sequence nothing can be written: what puts positions there is told, and what helps is not to go on behind it.
#[tokio::test]
async fn positions_near_their_end_are_not_gone_on_behind() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "{WRITE}; alter sequence quote_changes_position_seq restart with 9223372036854775807; {WRITE}"
        ),
    )
    .await;
    assert_eq!(sqlstate(&admin, WRITE).await, "2200H");
    for check in ["positions left", "positions ascend"] {
        let (severity, _, hint) = examine(&admin).await.remove(check).unwrap();
        assert_eq!(severity, "error", "{check}");
        let statement = &hint[hint.find("select setval(").unwrap()..];
        run(&admin, &statement[..=statement.find(';').unwrap()]).await;
        run(&admin, WRITE).await;
        assert_eq!(consult(&admin).await["positions left"], "ok");
    }
    let doubled = "select count(*) from (select from quote_changes group by position having count(distinct event_id) > 1) d";
    assert_eq!(count(&admin, doubled).await, 0);
}

#[tokio::test]
async fn an_extension_of_an_ordinary_role_is_told_and_any_superuser_may_have_its_tables() {
    let erp = Erp::bare_on(Arc::new(Postgres::start().await)).await;
    let admin = erp.client("postgres").await;
    run(&admin, "create role \"Quote admin\" superuser login; create role another superuser login").await;
    run(
        &erp.client("Quote admin").await,
        "create extension quote_collab_ext; select attach_quote_collaboration()",
    )
    .await;
    run(
        &admin,
        "alter table quote_seal_anchor owner to another; alter function quote_grantee(oid) owner to another",
    )
    .await;
    let checks =
        ["extension belongs to a superuser", "tables of the extension guarded", "functions as released"];
    let healthy = consult(&admin).await;
    for check in checks {
        assert_eq!(healthy[check], "ok", "{check}");
    }
    run(&admin, "alter role \"Quote admin\" nosuperuser").await;
    let told = examine(&admin).await;
    for check in checks {
        assert_eq!(told[check].0, "error", "{check}");
    }
    for check in &checks[1..] {
        assert!(told[*check].2.contains(" owner to postgres;"), "{}", told[*check].2);
    }
    let (_, _, hint) = &told[checks[0]];
    let (stays, moves) = hint.split_once(" Or, where that role must be none: ").unwrap();
    let (moves, _) = moves.split_once(';').unwrap();
    for statement in [stays, moves] {
        run(&admin, &format!("begin; {statement}")).await;
        assert_eq!(consult(&admin).await, healthy, "{statement}");
        run(&admin, "rollback").await;
    }
    // What is mended one by one is mended, too.
    for check in &checks[1..] {
        run(&admin, &told[*check].2).await;
    }
    let mended = consult(&admin).await;
    assert_eq!([&mended[checks[1]], &mended[checks[2]]], ["ok", "ok"]);
}

#[tokio::test]
async fn files_of_an_earlier_release_are_not_updated_to() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for (installed, available) in [("0.19.0", "0.18.2"), ("0.10.0", "0.9.0"), ("1.0", "0.99.99-rc1")] {
        let says = text(&admin, &format!("select quote_files_hint('{installed}', '{available}')")).await;
        assert!(says.starts_with(&format!("Install the files of release {installed} of")), "{says}");
        let other = text(&admin, &format!("select quote_files_hint('{available}', '{installed}')")).await;
        assert_eq!(other, "", "{available} may be updated to {installed}");
    }
    assert_eq!(text(&admin, "select quote_files_hint('0.19.0', null)").await, "");
}

/// Also where it says so, verifying fails.
#[tokio::test]
async fn a_server_with_fewer_locks_than_the_history_takes_is_told() {
    let few = [
        ("max_locks_per_transaction", "10"),
        ("max_connections", "10"),
        ("max_wal_senders", "0"),
        ("max_worker_processes", "1"),
    ];
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(Settings::default().with(&few)).await)).await;
    let admin = erp.client("postgres").await;
    let check = "locks suffice for sealing";
    assert_eq!(consult(&admin).await[check], "ok");
    for months in 1..=120 {
        run(&admin, &format!("select create_quote_changes_partitions('quote_changes', {months})")).await;
    }
    run(&admin, WRITE).await;
    let (severity, message, hint) = examine(&admin).await.remove(check).unwrap();
    assert_eq!(severity, "error", "{message}");
    assert!(hint.starts_with("alter system set max_locks_per_transaction = "), "{hint}");
    run(&admin, hint.split_once(';').unwrap().0).await;
}

#[tokio::test]
async fn a_server_without_room_for_a_gateway_is_told() {
    let few = [("max_connections", "20")];
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(Settings::default().with(&few)).await)).await;
    let admin = erp.client("postgres").await;
    let (severity, message, hint) = examine(&admin).await.remove("gateways find connections").unwrap();
    assert_eq!(severity, "warning");
    assert!(message.ends_with("the server has 17 for others than superusers"), "{message}");
    assert_eq!(hint, "alter system set max_connections = 103; then restart.");
    run(&admin, "drop owned by quote_gateway").await;
    assert_eq!(consult(&admin).await["gateways find connections"], "ok");
}

/// What a serializable transaction may not read any more is no verdict, and keeps none of the others back.
#[tokio::test]
async fn a_transaction_that_looks_back_is_told_what_it_cannot_see() {
    let erp = Erp::attached().await;
    let [reader, pivot, last] =
        [erp.client("postgres").await, erp.client("postgres").await, erp.client("postgres").await];
    let begin = "begin isolation level serializable; select pg_current_xact_id()";
    run(&reader, begin).await;
    run(&pivot, &format!("{begin}; select count(*) from products; {WRITE}")).await;
    run(&last, &format!("{begin}; update products set id = id; commit")).await;
    run(&pivot, "commit").await;
    let told = examine(&reader).await;
    let (severity, message, hint) = &told["rows can be checked"];
    assert!(
        severity == "warning" && message.starts_with("cannot be checked: could not serialize"),
        "{message}"
    );
    assert!(hint.contains("read committed"), "{hint}");
    assert!(told.contains_key("row security holds gateways"), "{told:?}");
}
