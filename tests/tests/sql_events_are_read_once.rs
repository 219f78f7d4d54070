//! `quote_events_since`: commits that overtake each other, rollbacks and savepoints lose and repeat nothing.

use std::collections::{HashMap, HashSet};

use quote_collab_tests::Erp;

const WRITERS: usize = 8;
const TRANSACTIONS: usize = 150;

#[tokio::test]
async fn a_reader_beside_eight_writers_gets_every_event_once_and_in_version_order() {
    let erp = Erp::attached().await;
    let reader = erp.client("postgres").await;
    let mut cursor: String = reader.query_one("select quote_events_cursor()", &[]).await.unwrap().get(0);
    // A transaction that took its id and its positions first and commits last.
    let mut slow = erp.client("erp_app").await;
    let last = erp.quote(150).await;
    let slow = slow.transaction().await.unwrap();
    slow.execute("update quotes set notes = 'slow' where id = $1", &[&last]).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = erp.client("erp_app").await;
        let quotes = [erp.quote(writer).await, erp.quote(writer + 1).await];
        writers.spawn(async move {
            for turn in 0..TRANSACTIONS {
                let quote = quotes[turn % 2];
                let end = if turn % 20 == 19 { "rollback" } else { "commit" };
                let statement = format!(
                    "begin; update quotes set notes = '{writer}.{turn}' where id = '{quote}'; savepoint s;
                     update quotes set contact_name = '{turn}' where id = '{quote}'; {} {end}",
                    if turn % 5 == 0 { "rollback to s;" } else { "release s;" }
                );
                client.batch_execute(&statement).await.unwrap();
            }
        });
    }
    let mut seen = Vec::new();
    let mut done = false;
    let mut slow = Some(slow);
    loop {
        let rows =
            reader.query("select cursor, event from quote_events_since($1, 7)", &[&cursor]).await.unwrap();
        if let Some(row) = rows.last() {
            cursor = row.get(0);
        }
        seen.extend(rows.iter().map(|row| row.get::<_, serde_json::Value>(1)));
        if rows.is_empty() && done {
            match slow.take() {
                Some(slow) => slow.commit().await.unwrap(),
                None => break,
            }
        }
        done = done || {
            while writers.try_join_next().is_some() {}
            writers.is_empty()
        };
    }
    let ids: HashSet<&str> = seen.iter().filter_map(|event| event["event_id"].as_str()).collect();
    assert_eq!(ids.len(), seen.len(), "nothing twice");
    assert_eq!(
        i64::try_from(ids.len()).unwrap(),
        erp.count("select count(distinct event_id) from quote_changes").await,
        "nothing lost"
    );
    let mut versions: HashMap<&str, i64> = HashMap::new();
    for event in &seen {
        let version = event["version_after"].as_i64().unwrap();
        let before = versions.insert(event["quote_id"].as_str().unwrap(), version).unwrap_or(1);
        assert_eq!(version, before + 1, "in version order per row");
    }
}

#[tokio::test]
async fn a_tenant_reads_its_own_events_only() {
    let erp = Erp::attached().await;
    erp.client("postgres").await.batch_execute("update quotes set notes = 'x'").await.unwrap();
    let app = erp.client("erp_app").await;
    assert!(app.query("select * from quote_events_since(null, 1000)", &[]).await.unwrap().is_empty());
    for tenant in erp.tenants().await {
        app.batch_execute(&format!("set app.current_tenant_id = '{tenant}'")).await.unwrap();
        let rows =
            app.query("select event ->> 'tenant_id' from quote_events_since(null, 1000)", &[]).await.unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.get::<_, String>(0) == tenant.to_string()));
    }
}
