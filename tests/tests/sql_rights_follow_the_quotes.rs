//! Who may read or change the quotes may do so with their history and presence; who may not any more loses that with the next attach.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::run;
use tokio_postgres::Client;

/// What a role was granted in a schema and on the extension's functions, PUBLIC's rights aside.
async fn rights(admin: &Client, role: &str) -> String {
    let granted = format!(
        "select coalesce(string_agg(r.what, ', ' order by r.what), '') from (
            select distinct c.relname || ' ' || lower(acl.privilege_type) from pg_class c cross join lateral aclexplode(c.relacl) acl
            where c.relnamespace = 'public'::regnamespace and c.relname not in ('quotes', 'quote_lines')
                and acl.grantee = coalesce(to_regrole('{role}')::oid, 0) and c.relname not in ('quote_collab_settings', 'quote_seal_anchor')
            union select p.proname::text from pg_proc p cross join lateral aclexplode(p.proacl) acl
            where p.pronamespace = 'public'::regnamespace and acl.grantee = to_regrole('{role}')
            union select 'schema ' || n.nspname from pg_namespace n cross join lateral aclexplode(n.nspacl) acl
            where acl.grantee = to_regrole('{role}')) r (what)"
    );
    admin.query_one(&granted, &[]).await.expect("the catalogs are read").get(0)
}

const READS: &str = "active_quote_sessions select, quote_changes select, quote_changes_archive select, v_active_quote_collaborators select, v_quote_change_events select, v_quote_changes_all select, v_recent_quote_changes select";
const WRITES: &str = "active_quote_sessions delete, active_quote_sessions insert, active_quote_sessions select, active_quote_sessions update, cleanup_stale_quote_sessions, quote_changes select, quote_changes_archive select, v_active_quote_collaborators select, v_quote_change_events select, v_quote_changes_all select, v_recent_quote_changes select";

async fn scene(roles: &[&str]) -> (Erp, Client) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for role in roles {
        run(&admin, &format!("create role {role}")).await;
    }
    run(&admin, "select create_quote_changes_archive('quote_changes')").await;
    (erp, admin)
}

#[tokio::test]
async fn what_attach_gave_it_takes_back() {
    let (_erp, admin) = scene(&["rights_reader", "rights_writer", "rights_auditor"]).await;
    let gateway = rights(&admin, "quote_gateway").await;
    run(
        &admin,
        "grant select on quotes to rights_reader, public; grant select, update on quotes to rights_writer; select attach_quote_collaboration();
         grant select on quote_changes to rights_auditor",
    )
    .await;
    assert_eq!(rights(&admin, "rights_reader").await, READS);
    assert_eq!(rights(&admin, "rights_writer").await, WRITES);
    assert_eq!(rights(&admin, "public").await, READS);
    let granted = [rights(&admin, "erp_app").await, rights(&admin, "erp_owner").await];
    // A writer who may only read from now on, and readers who may not even that.
    run(&admin, "revoke update on quotes from rights_writer; revoke all on quotes from rights_reader, public, quote_gateway; select attach_quote_collaboration()").await;
    assert_eq!(rights(&admin, "rights_reader").await, "");
    assert_eq!(rights(&admin, "rights_writer").await, READS);
    assert_eq!(rights(&admin, "public").await, "");
    // What others gave, and who was not spoken of.
    assert_eq!(rights(&admin, "rights_auditor").await, "quote_changes select");
    assert!(rights(&admin, "quote_gateway").await.contains(&gateway), "what a gateway was granted stays");
    assert_eq!([rights(&admin, "erp_app").await, rights(&admin, "erp_owner").await], granted);
    run(&admin, "revoke all on quotes from rights_writer; drop role rights_reader; select attach_quote_collaboration(); drop owned by rights_auditor").await;
    assert_eq!(rights(&admin, "rights_writer").await, "");
    run(&admin, "drop role rights_writer, rights_auditor").await;
}

#[tokio::test]
async fn a_right_on_another_header_keeps_the_history() {
    let (_erp, admin) = scene(&["rights_seller"]).await;
    run(
        &admin,
        "create schema sales; create table sales.orders (id uuid primary key, tenant_id uuid not null);
         create table sales.order_lines (id uuid primary key, tenant_id uuid, order_id uuid);
         revoke usage on schema public from public;
         grant select on quotes to rights_seller; grant select, update on sales.orders to rights_seller;
         select attach_quote_collaboration(); select attach_quote_collaboration('sales.orders', 'sales.order_lines');
         revoke all on quotes from rights_seller; select attach_quote_collaboration()",
    )
    .await;
    let seller = rights(&admin, "rights_seller").await;
    assert_eq!(seller.replace("schema public, ", ""), WRITES);
    assert!(seller.contains("schema public"), "{seller}");
    run(&admin, "select detach_quote_collaboration(quotes => 'sales.orders')").await;
    assert_eq!(rights(&admin, "rights_seller").await, "");
    run(&admin, "drop schema sales cascade; drop role rights_seller").await;
}

#[tokio::test]
async fn the_last_detach_leaves_no_right_behind() {
    let (_erp, admin) = scene(&["rights_leaver"]).await;
    run(&admin, "grant select, update on quotes to rights_leaver; select attach_quote_collaboration()").await;
    assert_eq!(rights(&admin, "rights_leaver").await, WRITES);
    run(&admin, "select detach_quote_collaboration(drop_history => true)").await;
    assert_eq!(rights(&admin, "rights_leaver").await, "");
    run(&admin, "revoke all on quotes from rights_leaver; drop role rights_leaver").await;
}
