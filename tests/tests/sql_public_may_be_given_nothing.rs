//! Clusters in which PUBLIC may execute no function: what its statements give the gateway's role is all that it needs.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, text};

const HARDEN: &str = "alter default privileges revoke execute on functions from public";
const MISSING: &str =
    "select coalesce(string_agg(f.function::text, ' '), '') from quote_extension_functions() f
    where f.is_public and not has_function_privilege('quote_gateway', f.function, 'execute')";
const NAMED: &str = "select count(*) filter (where not f.is_public) || ' ' || count(*) filter (where f.is_public)
    from quote_extension_functions() f join pg_proc p on p.oid = f.function cross join lateral aclexplode(p.proacl) a
    where a.grantee = 'quote_gateway'::regrole";

#[tokio::test]
async fn the_gateway_is_given_what_everybody_has_elsewhere() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, HARDEN).await;
    run(&admin, "create extension quote_collab_ext").await;
    run(&admin, "select attach_quote_collaboration()").await;
    assert_ne!(text(&admin, MISSING).await, "");
    run(&admin, "select grant_quote_gateway('quote_gateway')").await;
    assert_eq!(text(&admin, MISSING).await, "");
    let doctor = "select severity from quote_collab_doctor() where check_name = 'gateways have their rights'";
    assert_eq!(text(&admin, doctor).await, "ok");
    let gateway = erp.client("quote_gateway").await;
    assert!(text(&gateway, "select quote_database_identity()").await.contains('/'));

    // Or taken from all later.
    run(&admin, "revoke execute on all functions in schema public from public, quote_gateway").await;
    assert_ne!(text(&admin, MISSING).await, "");
    run(&admin, "select grant_quote_gateway('quote_gateway')").await;
    assert_eq!(text(&admin, MISSING).await, "");
}

#[tokio::test]
async fn nobody_is_given_what_everybody_has() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let before = text(&admin, NAMED).await;
    run(&admin, "select grant_quote_gateway('quote_gateway')").await;
    assert_eq!(text(&admin, NAMED).await, before);
    assert!(before.ends_with(" 0"), "{before}");
}
