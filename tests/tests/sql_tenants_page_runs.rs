//! The page about tenants is a script that runs, and does what it says, in both modes.

use std::sync::Arc;

use quote_collab_tests::signer::{Key, claims, signed};
use quote_collab_tests::{ALICE, Erp, Postgres, Settings};
use tokio_postgres::Client;

const PAGE: &str = include_str!("../../docs/tenants.md");
/// Where the page turns to the other mode.
const VERIFIED: &str = "## Verified tenants";

/// What stands in blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let after: Vec<&str> = page.split(fence.as_str()).skip(1).collect();
    after.iter().filter_map(|rest| rest.split("```").next()).collect()
}

async fn run(erp: &Erp, page: &str, token: &str) {
    let admin = erp.client("postgres").await;
    let blocks = blocks(page, "sql");
    assert!(blocks.len() >= 5);
    for block in blocks {
        let block = block.replace("TOKEN", token);
        admin.batch_execute(&block).await.unwrap_or_else(|error| panic!("{block}\n{error:?}"));
    }
}

/// The rows of a table that a role sees, and of how many tenants.
async fn seen(client: &Client, table: &str) -> (i64, i64) {
    let query = format!("select count(*), count(distinct tenant_id) from {table}");
    let row = client.query_one(&query, &[]).await.expect("the table is readable");
    (row.get(0), row.get(1))
}

/// Nothing before `opening`, then rows of one's own alone, everywhere.
async fn sees_its_own(erp: &Erp, role: &str, opening: &str) {
    let client = erp.client(role).await;
    assert_eq!(seen(&client, "quotes").await.0, 0, "{role} without a tenant");
    client
        .batch_execute(&format!("begin; {opening}; update quotes set notes = 'own'"))
        .await
        .expect("it may write");
    for table in ["quotes", "quote_lines", "quote_changes", "v_quote_changes_all"] {
        let (rows, tenants) = seen(&client, table).await;
        assert!(rows > 0 && tenants == 1, "{role}: {table}");
    }
    client.batch_execute("commit").await.expect("it is saved");
}

#[tokio::test]
async fn every_statement_runs_where_tenants_are_set() {
    let erp = Erp::bare().await;
    let page = PAGE.split(VERIFIED).next().expect("the page begins");
    run(&erp, page, "").await;
    let set = format!("set local app.current_tenant_id = '{}'", ALICE.tenant);
    for role in ["shop_app", "shop_gateway"] {
        sees_its_own(&erp, role, &set).await;
    }
    takes_itself_away(&erp).await;
}

/// With all that the page offers, the end of the page leaves the ERP as it was, and no role of the gateway.
async fn takes_itself_away(erp: &Erp) {
    let admin = erp.client("postgres").await;
    let inside = PAGE.split("## Inside a tenant").nth(1).and_then(|rest| rest.split("\n## ").next());
    let away = PAGE.split("## Taking it away").nth(1);
    admin.batch_execute("create table cost_editors (user_id uuid)").await.expect("a table is made");
    for block in [inside, away].into_iter().flat_map(|part| blocks(part.expect("the page has it"), "text")) {
        for statement in statements(block) {
            admin.batch_execute(&statement).await.unwrap_or_else(|error| panic!("{statement}\n{error:?}"));
        }
    }
    assert!(
        seen(&erp.client("shop_app").await, "quotes").await.1 > 1,
        "what the ERP sees is its own affair again"
    );
    let left = "select exists (select from pg_roles where rolname = 'shop_gateway') or exists (select from pg_extension where extname = 'quote_collab_ext')";
    assert!(!admin.query_one(left, &[]).await.expect("the catalogs answer").get::<_, bool>(0));
}

/// The statements of a block, each by itself, as psql runs them.
fn statements(block: &str) -> Vec<String> {
    let (mut all, mut open) = (Vec::new(), String::new());
    for line in block.lines() {
        open = format!("{open}{line}\n");
        let is_whole = open.matches("$$").count() % 2 == 0;
        if is_whole && line.split("--").next().is_some_and(|text| text.trim_end().ends_with(';')) {
            all.push(std::mem::take(&mut open));
        }
    }
    all
}

#[tokio::test]
async fn every_statement_runs_where_tenants_are_verified() {
    let lines = blocks(PAGE, "ini");
    let setting = |line: &'static str| {
        let (name, value) = line.split_once(" = ").expect("a line is a setting");
        // Named with its directory, since the tests install it elsewhere.
        (name, value.trim_matches('\'').replace("quote_collab_ext", "$libdir/quote_collab_ext"))
    };
    let extra: Vec<_> = lines.iter().flat_map(|lines| lines.lines()).map(setting).collect();
    let secret =
        extra.iter().find(|(name, _)| name.ends_with("secret")).expect("there is a secret").1.clone();
    let token = signed(r#"{"alg":"HS256"}"#, &claims(ALICE).to_string(), Key::Secret(secret.as_bytes()));
    let server = Postgres::start_with(Settings { durable: false, extra }).await;
    let erp = Erp::bare_on(Arc::new(server)).await;
    run(&erp, PAGE, &token).await;
    sees_its_own(&erp, "shop_app", &format!("select authenticate_quote_user('{token}')")).await;
    let set = format!("set local app.current_tenant_id = '{}'", ALICE.tenant);
    sees_its_own(&erp, "shop_gateway", &set).await;
    let refused = erp.client("shop_app").await.batch_execute(&set).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "42501");
    let doctor = erp.client("postgres").await;
    let complaints = doctor
        .query("select check_name from quote_collab_doctor_tenants() where severity <> 'ok'", &[])
        .await
        .unwrap();
    assert!(complaints.is_empty(), "{complaints:?}");
}
