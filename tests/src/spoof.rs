//! A role that owns the database, nothing in it, and would like to be another tenant.

use tokio::sync::Mutex;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::erp::Erp;
use crate::people::CAROL;

/// Whose rows are visible when no tenant is set.
pub const NOBODY: [Uuid; 0] = [];

/// Two tenants with history, row security on the quotes, and the role `spoofer`. Returns a quote of the other tenant.
pub async fn scene(erp: &Erp) -> Uuid {
    // Roles and their rights on settings belong to the cluster, which other tests share.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let admin = erp.client("postgres").await;
    let database = erp.database();
    admin
        .batch_execute(&format!(
            "do $$ begin if to_regrole('spoofer') is null then create role spoofer login; end if; end $$;
             alter database {database} owner to spoofer;
             update quotes set notes = case tenant_id when '{other}' then 'canary' else 'own' end;
             grant usage on schema public to spoofer;
             grant select, insert, update, delete on quotes, quote_lines to spoofer;
             grant select on users to spoofer;
             alter table quotes enable row level security, force row level security;
             create policy own on quotes using (tenant_id = (select current_quote_tenant()));
             select attach_quote_collaboration(), grant_quote_gateway('quote_gateway');
             analyze quote_changes",
            other = CAROL.tenant
        ))
        .await
        .expect("the scene is set");
    let quote = admin.query_one("select id from quotes where tenant_id = $1 limit 1", &[&CAROL.tenant]).await;
    quote.expect("the other has a quote").get(0)
}

/// The tenants whose history is visible.
pub async fn visible(client: &Client) -> Vec<Uuid> {
    let rows = client.query("select distinct tenant_id from quote_changes", &[]).await;
    rows.expect("the history is readable").iter().map(|row| row.get(0)).collect()
}

/// The SQLSTATE of a refusal.
#[must_use]
pub fn code(error: &tokio_postgres::Error) -> &str {
    error.as_db_error().unwrap_or_else(|| panic!("{error:?}")).code().code()
}

/// Makes the planner use workers for anything.
pub const PARALLEL: &str =
    "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
    set max_parallel_workers_per_gather = 2";

/// What a query says about the tenant from within parallel workers: how many rows, and whether workers took part.
pub async fn in_workers(client: &Client) -> (i64, bool) {
    const QUERY: &str = "select count(*) from quote_changes where tenant_id = current_quote_tenant() and new_value is not null";
    let plan: String = client
        .query_one(&format!("explain (analyze, format json) {QUERY}"), &[])
        .await
        .map(|row| row.get::<_, tokio_postgres::types::Json<serde_json::Value>>(0).0.to_string())
        .expect("the plan is explained");
    let count = client.query_one(QUERY, &[]).await.expect("workers are let in").get(0);
    (count, (1..=2).any(|number| plan.contains(&format!("\"Workers Launched\":{number}"))))
}
