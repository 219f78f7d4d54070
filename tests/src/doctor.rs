//! What the doctor says of a database.

use std::collections::BTreeMap;

use tokio_postgres::Client;

/// A change of the header, written by hand.
const INSERT: &str = "insert into quote_changes (id, tenant_id, quote_id, changed_at, entity_type, field_name, change_type, was_conflict, event_id, position, xid, origin)
    select gen_random_uuid(), tenant_id, id, MOMENT, 'QUOTE', 'notes', 'UPDATE', false, gen_random_uuid(), 1, pg_current_xact_id(), quote_cluster_identifier() from quotes limit 1";

/// What a fault stands for, in SQL.
#[must_use]
pub fn spelled_out(fault: &str) -> String {
    let (word, rest) = fault.split_once(' ').unwrap_or((fault, ""));
    match word {
        "INSERT" => INSERT.replace("MOMENT", rest),
        "WHERE" => format!(
            "do $$ begin execute format('create or replace view {rest} with (security_invoker = true) as select * from (%s) x where random() < 2', rtrim(pg_get_viewdef('{rest}'), ';')); end $$"
        ),
        "TRIGGER" => format!(
            "do $$ declare told text := (select convert_from(substr(tgargs, 1, length(tgargs) - 1), 'UTF8') from pg_trigger where tgname = 'trg_capture_quote_change');
             begin execute format({}, told, told::jsonb || '{{\"ignore\": [\"notes\"]}}'); end $$",
            quoted(&format!("create or replace trigger trg_capture_quote_change {rest}")
                .replace("FOR", "on quotes for each")
                .replace("'TOLD'", "%1$L")
                .replace("'IGNORING'", "%2$L"))
        ),
        _ => fault.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Each check with its severity, message and hint.
pub async fn examine(client: &Client) -> BTreeMap<String, (String, String, String)> {
    let rows =
        client.query("select check_name, severity, message, hint from quote_collab_doctor()", &[]).await;
    let mut findings = BTreeMap::new();
    for row in rows.unwrap_or_else(|error| panic!("the doctor fails: {error:?}")) {
        let (name, severity): (String, String) = (row.get(0), row.get(1));
        let (message, hint): (String, String) = (row.get(2), row.get(3));
        let told = !message.is_empty() && !hint.is_empty();
        assert!(
            ["ok", "warning", "error"].contains(&severity.as_str()) && told == (severity != "ok"),
            "{name}"
        );
        assert!(findings.insert(name.clone(), (severity, message, hint)).is_none(), "{name} is told twice");
    }
    findings
}

/// Each check with its severity.
pub async fn consult(client: &Client) -> BTreeMap<String, String> {
    examine(client).await.into_iter().map(|(name, (severity, ..))| (name, severity)).collect()
}

/// Breaks something, asks the doctor, does what he says and asks again; leaves nothing.
pub async fn mend(admin: &Client, healthy: &BTreeMap<String, String>, fault: &str, check: &str) {
    assert_eq!(healthy.get(check).map(String::as_str), Some("ok"), "{check} before {fault}");
    let broken = admin.batch_execute(&format!("begin; {}", spelled_out(fault))).await;
    broken.unwrap_or_else(|error| panic!("{fault}: {error:?}"));
    let told = examine(admin).await;
    let (severity, message, hint) = told.get(check).unwrap_or_else(|| panic!("no {check} after {fault}"));
    assert!(
        severity != "ok" && !message.starts_with("cannot be checked"),
        "{check} after {fault}: {message}"
    );
    admin.batch_execute(hint).await.unwrap_or_else(|error| panic!("{fault}: {hint}: {error:?}"));
    assert_eq!(consult(admin).await.get(check).map(String::as_str), Some("ok"), "{fault}: {hint}");
    admin.batch_execute("rollback").await.expect("nothing stays");
}
