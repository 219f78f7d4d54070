//! The page about tenants is a script that runs, and does what it says.

use quote_collab_tests::Erp;

#[tokio::test]
async fn every_statement_of_the_page_runs() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    let page = include_str!("../../docs/tenants.md");
    let blocks: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        admin.batch_execute(block).await.unwrap_or_else(|error| panic!("{block}\n{error:?}"));
    }
    let tenants = erp.tenants().await;
    for role in ["shop_app", "shop_gateway"] {
        let client = erp.client(role).await;
        let seen = |table: &'static str| {
            let client = &client;
            async move {
                client
                    .query_one(&format!("select count(*), count(distinct tenant_id) from {table}"), &[])
                    .await
                    .expect("the table is readable")
            }
        };
        assert_eq!(seen("quotes").await.get::<_, i64>(0), 0, "{role} without a tenant");
        client
            .batch_execute(&format!(
                "set app.current_tenant_id = '{}'; update quotes set notes = 'own'",
                tenants[0]
            ))
            .await
            .unwrap();
        for table in ["quotes", "quote_lines", "quote_changes", "v_quote_changes_all"] {
            let row = seen(table).await;
            assert!(row.get::<_, i64>(0) > 0 && row.get::<_, i64>(1) == 1, "{role}: {table}");
        }
    }
}
