//! The doctor finds what is wrong, and nothing in a healthy database.

use std::collections::BTreeMap;
use std::sync::Arc;

use quote_collab_tests::signer::{SECRET, key_set, public_key};
use quote_collab_tests::{Erp, Postgres, Settings};
use tokio_postgres::Client;

/// What is broken, how, and the check that must tell.
const FAULTS: [(&str, &str); 28] = [
    ("alter table quotes disable trigger trg_capture_quote_change", "triggers enabled always: public.quotes"),
    (
        "alter table quote_lines enable trigger trg_increment_quote_line_version",
        "triggers enabled always: public.quote_lines",
    ),
    ("drop trigger trg_flush_quote_changes on quotes", "triggers present: public.quotes"),
    ("alter table quote_lines rename column unit_price to price_each", "columns exist: public.quote_lines"),
    (
        "create function erp() returns trigger language plpgsql as 'begin return new; end'; create trigger zz before update on quotes for each row execute function erp()",
        "version stamped last: public.quotes",
    ),
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

const INSERT: &str = "insert into quote_changes (id, tenant_id, quote_id, changed_at, entity_type, field_name, change_type, was_conflict, event_id, position, xid, origin)
    select gen_random_uuid(), tenant_id, id, MOMENT, 'QUOTE', 'notes', 'UPDATE', false, gen_random_uuid(), 1, pg_current_xact_id(), quote_cluster_identifier() from quotes limit 1";

async fn consult(client: &Client) -> BTreeMap<String, String> {
    let rows =
        client.query("select check_name, severity, message, hint from quote_collab_doctor()", &[]).await;
    let mut findings = BTreeMap::new();
    for row in rows.unwrap_or_else(|error| panic!("the doctor fails: {error:?}")) {
        let (name, severity): (String, String) = (row.get(0), row.get(1));
        let told = !row.get::<_, String>(2).is_empty() && !row.get::<_, String>(3).is_empty();
        assert!(
            ["ok", "warning", "error"].contains(&severity.as_str()) && told == (severity != "ok"),
            "{name}"
        );
        findings.insert(name, severity);
    }
    findings
}

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
        let statement =
            fault.strip_prefix("INSERT ").map_or_else(|| fault.to_owned(), |at| INSERT.replace("MOMENT", at));
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

#[tokio::test]
async fn a_gateway_and_row_security_are_good_news() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for (repair, check) in [
        ("select quote_relay_lease('a gateway', interval '1 hour')", "a gateway is connected"),
        (
            "alter table quotes enable row level security, force row level security",
            "row security on the table: public.quotes",
        ),
    ] {
        assert_eq!(consult(&admin).await[check], "warning");
        admin.batch_execute(repair).await.unwrap();
        assert_eq!(consult(&admin).await[check], "ok");
    }
}

/// Where tenants are verified: what is broken, and the check that must tell.
const FAULTS_OF_VERIFIED: [(&str, &str); 6] = [
    ("revoke set on parameter app.current_tenant_id from quote_gateway", "gateways may set the tenant"),
    ("grant set on parameter app.current_tenant_id to erp_app", "tenant set by gateways only"),
    ("grant set on parameter app.current_tenant_id to public", "tenant set by gateways only"),
    (
        "alter role erp_app set app.current_tenant_id = 'a0000000-0000-4000-8000-000000000001'",
        "no tenant by default",
    ),
    (
        "do $$ begin execute format('alter database %I set app.current_tenant_id = %L', current_database(), 'x'); end $$",
        "no tenant by default",
    ),
    ("alter role all set quote_collab.verified_user = 'x'", "no tenant by default"),
];

#[tokio::test]
async fn verified_tenants_are_good_news_until_somebody_else_may_set_them() {
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(Settings::verified()).await)).await;
    let admin = erp.client("postgres").await;
    assert_eq!(consult(&admin).await["gateways may set the tenant"], "error");
    admin.batch_execute("select grant_quote_gateway('quote_gateway')").await.unwrap();
    let healthy = consult(&admin).await;
    assert_eq!(healthy["tenant cannot be chosen by SQL users"], "ok");
    for (fault, check) in FAULTS_OF_VERIFIED {
        assert_eq!(healthy.get(check).map(String::as_str), Some("ok"), "{check} before {fault}");
        admin.batch_execute(&format!("begin; {fault}")).await.unwrap();
        assert_ne!(consult(&admin).await[check], "ok", "{fault}");
        admin.batch_execute("rollback").await.unwrap();
    }
    assert_eq!(consult(&admin).await, healthy);
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
