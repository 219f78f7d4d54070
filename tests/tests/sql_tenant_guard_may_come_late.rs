//! A library that nobody preloaded, or that was loaded before tenants were verified: nobody sees a row of another.

use std::sync::Arc;

use quote_collab_tests::signer::{self, Key, authenticate, signed};
use quote_collab_tests::spoof::{NOBODY, PARALLEL, code, in_workers, scene, visible};
use quote_collab_tests::{ALICE, CAROL, Erp, Postgres, Settings};
use uuid::Uuid;

#[tokio::test]
async fn a_mode_switched_on_under_way_shows_nobody_a_row_until_the_restart() {
    let mut server = Postgres::start_with(Settings::preloaded(&[])).await;
    let database = server.database().await;
    let admin = server.client(&database, "postgres").await;
    admin.batch_execute("update quotes set notes = 'x'").await.unwrap();
    let app = server.client(&database, "erp_app").await;
    let set = format!("set app.current_tenant_id = '{}'", ALICE.tenant);
    app.batch_execute(&set).await.unwrap();
    assert_eq!(visible(&app).await, [ALICE.tenant]);
    admin.batch_execute("alter system set quote_collab.tenant_source = 'verified'").await.unwrap();
    admin.batch_execute("select pg_reload_conf()").await.unwrap();
    quote_collab_tests::eventually("the mode is read", || async {
        let fresh = server.client(&database, "erp_app").await;
        let mode: String = fresh.query_one("show quote_collab.tenant_source", &[]).await.unwrap().get(0);
        mode == "verified" && visible(&app).await.is_empty()
    })
    .await;
    let fresh = server.client(&database, "erp_app").await;
    fresh.batch_execute(&set).await.unwrap();
    assert_eq!(visible(&fresh).await, NOBODY);
    assert_eq!(code(&authenticate(&fresh, &signer::token(ALICE)).await.unwrap_err()), "55000");
    let told = admin
        .query_one("select severity, hint from quote_collab_doctor() where check_name = 'tenant guarded as configured'", &[])
        .await
        .unwrap();
    assert_eq!((told.get(0), told.get(1)), ("error", "Restart the server."));
    server.restart().await;
    let fresh = server.client(&database, "erp_app").await;
    assert_eq!(code(&fresh.batch_execute(&set).await.unwrap_err()), "42501");
    assert_eq!(visible(&fresh).await, NOBODY);
}

/// A server that names the library nowhere: each session loads it when it first needs it.
fn unloaded() -> Settings {
    let verified = Settings::verified();
    Settings {
        extra: verified.extra.into_iter().filter(|(name, _)| *name != "shared_preload_libraries").collect(),
        ..verified
    }
}

#[tokio::test]
async fn a_library_that_is_loaded_late_throws_away_what_was_set_before() {
    let server = Arc::new(Postgres::start_with(unloaded()).await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    scene(&erp).await;
    let other = CAROL.tenant;
    for (name, before) in [
        ("set", format!("set app.current_tenant_id = '{other}'")),
        ("set local", format!("begin; set local app.current_tenant_id = '{other}'")),
        (
            "set twice",
            format!(
                "begin; set local app.current_tenant_id = '{other}'; savepoint a; set local app.current_tenant_id = '{other}'"
            ),
        ),
        (
            "set and saved",
            format!(
                "set app.current_tenant_id = '{other}'; begin; savepoint a; set local app.current_tenant_id = ''; release a"
            ),
        ),
        (
            "the mode",
            format!("set app.current_tenant_id = '{other}'; set quote_collab.tenant_source = 'setting'"),
        ),
        (
            "the user",
            format!("set quote_collab.verified_user = '{}'; set app.current_tenant_id = '{other}'", CAROL.id),
        ),
    ] {
        let client = erp.client("spoofer").await;
        client.batch_execute(&before).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(visible(&client).await, NOBODY, "{name}");
        let user = client.query_one("select current_quote_user()", &[]).await.unwrap();
        assert_eq!(user.get::<_, Option<Uuid>>(0), None, "{name}");
        client.batch_execute("rollback").await.unwrap();
        assert_eq!(visible(&client).await, NOBODY, "{name}, after");
        let refused =
            client.batch_execute(&format!("set app.current_tenant_id = '{other}'")).await.unwrap_err();
        assert_eq!(code(&refused), "42501", "{name}");
    }
    let client = erp.client("spoofer").await;
    let taken_back = format!(
        "begin; set local app.current_tenant_id = '{other}'; savepoint a; select current_quote_tenant()"
    );
    client.batch_execute(&taken_back).await.unwrap();
    client.batch_execute("rollback to a").await.unwrap();
    assert_eq!(visible(&client).await, NOBODY, "loaded in a savepoint that was rolled back");
    let client = erp.client("spoofer").await;
    let rows = client
        .query(
            "select c.* from set_config('app.current_tenant_id', $1, false), quote_changes c",
            &[&other.to_string()],
        )
        .await;
    assert!(rows.is_err() || rows.is_ok_and(|rows| rows.is_empty()), "set in the very statement");
}

#[tokio::test]
async fn a_library_that_is_loaded_late_trusts_no_option_of_the_connection() {
    let server = Arc::new(Postgres::start_with(unloaded()).await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let quote = scene(&erp).await;
    let bare = "alter table quotes disable row level security, no force row level security";
    erp.client("postgres").await.batch_execute(bare).await.unwrap();
    let other = CAROL.tenant;
    let honest = signer::claims(ALICE).to_string();
    let good = signed(r#"{"alg":"EdDSA","kid":"ed"}"#, &honest, Key::Ed);
    let client = erp.client("spoofer").await;
    client.batch_execute("begin").await.unwrap();
    authenticate(&client, &good).await.expect("public keys need no preloading");
    assert_eq!(visible(&client).await, [ALICE.tenant]);
    client.batch_execute(PARALLEL).await.unwrap();
    let own = format!(
        "select count(*) from quote_changes where tenant_id = '{}' and new_value is not null",
        ALICE.tenant
    );
    assert_eq!(in_workers(&client).await, (erp.count(&own).await, true));
    client.batch_execute("commit").await.unwrap();
    // Anybody could read the secret before the library is loaded, so that it is none.
    assert_eq!(code(&authenticate(&client, &signer::token(ALICE)).await.unwrap_err()), "28000");
    let stranger = serde_json::json!({ "keys": [signer::public_key("stranger")] }).to_string();
    let forged =
        signed(r#"{"alg":"EdDSA","kid":"stranger"}"#, &signer::claims(CAROL).to_string(), Key::Stranger);
    for options in [
        format!("-c app.current_tenant_id={other}"),
        format!("-c app.current_tenant_id={other} -c quote_collab.tenant_source=setting"),
        format!("-c app.current_tenant_id={other} -c quote_collab.tenant_source=nonsense"),
        format!("-c app.current_tenant_id={other} -c quote_collab.tenant_source="),
        format!("-c quote_collab.jwt_keys={stranger}"),
        "-c quote_collab.jwt_audience=anything".to_owned(),
        "-c quote_collab.jwt_issuer=".to_owned(),
    ] {
        let client = erp.client_with("spoofer", &options).await.expect("the library is not there to refuse");
        let seen = client.query_one("select quote_is_accessible($1)", &[&quote]).await.unwrap();
        assert!(!seen.get::<_, bool>(0), "{options}, by a function");
        assert_eq!(visible(&client).await, NOBODY, "{options}");
        let set = format!("set app.current_tenant_id = '{other}'");
        assert_eq!(code(&client.batch_execute(&set).await.unwrap_err()), "42501", "{options}");
        client.batch_execute("begin").await.unwrap();
        let expected = if options.contains("quote_collab") { "55000" } else { "28000" };
        assert_eq!(code(&authenticate(&client, &forged).await.unwrap_err()), expected, "{options}");
        client.batch_execute("rollback; reset all").await.unwrap();
        assert_eq!(visible(&client).await, NOBODY, "{options}, after a reset");
    }
}
