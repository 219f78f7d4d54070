//! In a database whose language has letters of its own: in Turkish an I is no capital of an i.

use quote_collab_tests::Postgres;
use quote_collab_tests::statement::{dropped, run, text};

#[tokio::test]
async fn a_turkish_database_is_one_as_others() {
    let server = Postgres::shared().await;
    let admin = server.client("postgres", "postgres").await;
    let name = format!("turkish_{}", std::process::id());
    let create = "encoding 'UTF8' locale 'C.UTF-8' locale_provider icu icu_locale 'tr-TR'";
    if let Err(error) =
        admin.batch_execute(&format!("create database {name} template template0 {create}")).await
    {
        let error = error.as_db_error().expect("the server answered");
        assert_eq!(error.message(), "ICU is not supported in this build");
        println!("not tried: this server is built without ICU");
        return;
    }
    let erp = server.client(&name, "postgres").await;
    assert_eq!(text(&erp, "select lower('I')").await, "\u{131}");
    run(&erp, "create table quotes (id uuid primary key, tenant_id uuid not null, notes text);
        create table quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid references quotes, description text);
        create extension quote_collab_ext").await;
    run(&erp, "select attach_quote_collaboration()").await;
    let errors = "select coalesce(string_agg(check_name || ': ' || message, E'\\n'), '') from quote_collab_doctor() where severity = 'error' and check_name <> 'survives a power cut'";
    assert_eq!(text(&erp, errors).await, "");

    // Hints are SQL there, too.
    run(&erp, "grant insert on quote_changes to public").await;
    let hint = text(
        &erp,
        "select hint from quote_collab_doctor() where check_name = 'log written by triggers only'",
    )
    .await;
    run(&erp, &hint).await;
    assert_eq!(text(&erp, errors).await, "");

    // And messages say what they say elsewhere.
    run(&erp, "insert into quotes (id, tenant_id) values (md5('q')::uuid, md5('t')::uuid);
        insert into quote_lines (id, tenant_id, quote_id) values (md5('l')::uuid, md5('t')::uuid, md5('q')::uuid);
        create function skips() returns trigger language plpgsql as 'begin return null; end';
        create trigger a_skips before update on quote_lines for each row execute function skips()").await;
    let save = "select update_quote_line_with_version_check(md5('l')::uuid, 1, '{\"description\": \"x\"}')";
    let error = erp.batch_execute(save).await.expect_err(save);
    assert_eq!(error.as_db_error().unwrap().message(), "the quote line cannot be changed");
    drop(erp);
    dropped(&admin, &name).await;
}
