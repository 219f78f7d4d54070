//! Seals are signed with a key that no table holds: whoever rewrites all tables cannot make up the chain.

use std::sync::Arc;

use quote_collab_tests::statement::text;
use quote_collab_tests::{Erp, Postgres, Settings, eventually};
use tokio_postgres::Client;

/// The first test vector of RFC 8032, section 7.1: secret key in base64, and its public key.
const KEY: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// The second one.
const NEXT: &str = "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";
const NEXT_PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

async fn signing(key: &'static str) -> (Erp, Client) {
    let (_server, erp, admin) = signing_on(key).await;
    (erp, admin)
}

async fn signing_on(key: &'static str) -> (Arc<Postgres>, Erp, Client) {
    let settings = Settings::preloaded(&[("quote_collab.seal_key", key)]);
    let server = Arc::new(Postgres::start_with(settings).await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let admin = erp.client("postgres").await;
    (server, erp, admin)
}

async fn findings(admin: &Client) -> String {
    text(
        admin,
        "select string_agg(finding || ': ' || detail, '; ' order by block) from verify_quote_history()",
    )
    .await
}

/// Changes quotes and seals, in blocks of their own.
async fn seal(admin: &Client, blocks: usize) {
    for block in 0..blocks {
        let change = format!(
            "update quotes set notes = 'block {block} ' || clock_timestamp() where quote_number in (select quote_number from quotes limit 2)"
        );
        admin.batch_execute(&change).await.expect("a change");
        admin.batch_execute("select seal_quote_history()").await.expect("a seal");
    }
}

#[tokio::test]
async fn the_owner_of_the_tables_cannot_make_up_the_chain() {
    let (_erp, admin) = signing(KEY).await;
    seal(&admin, 3).await;
    assert_eq!(text(&admin, "select encode(quote_seal_key(), 'hex')").await, PUBLIC);
    let unsigned = "select count(*)::text from quote_changes_seals where no > 0
        and not coalesce(quote_seal_signature_holds(hash, signature, signed_by), false)";
    assert_eq!(text(&admin, unsigned).await, "0");
    assert_eq!(findings(&admin).await, "");
    // A change of the newest block's rows, and a block that fits: all of it is correct but for the signature, and that the server
    // remembers another.
    let forged = "
        update quote_changes set new_value = '\"forged\"' where position = (select max(position) from quote_changes);
        with block as (
            select s.*, lag(s.hash) over chain as before, lag(s.cur) over chain as before_cur, lag(s.origin) over chain as before_origin
            from quote_changes_seals s window chain as (order by s.no)),
        made as (
            select b.*, d.root as new_root from block b, lateral digest_quote_changes(b.form, b.prev, b.cur, b.origin,
                b.floor_at - interval '1 day', b.cur_at + interval '1 day', b.before_cur, b.before_origin) d
            where b.no = (select max(no) from quote_changes_seals))
        update quote_changes_seals s set root = m.new_root, hash = quote_seal_hash(m.before, m.no, m.prev, m.cur, m.floor_at, m.prev_at,
            m.cur_at, m.origin, m.rows, m.new_root, m.sealed_at, m.form)
        from made m where m.no = s.no";
    let newest = "where no = (select max(no) from quote_changes_seals)";
    for signature in [
        String::new(),
        format!("; update quote_changes_seals set signature = null, signed_by = null {newest}"),
        format!("; update quote_changes_seals set signature = null {newest}"),
        format!("; update quote_changes_seals set signed_by = null {newest}"),
        format!("; update quote_changes_seals set signature = signature || '\\x00' {newest}"),
        format!("; update quote_changes_seals set signed_by = sha256(signed_by) {newest}"),
        // Of no order: holds for many messages unless it is refused.
        format!(
            "; update quote_changes_seals set signed_by = decode(repeat('00', 32), 'hex'), signature = decode(repeat('00', 64), 'hex') {newest}"
        ),
    ] {
        admin.batch_execute(&format!("begin; {forged}{signature}")).await.unwrap();
        let found = findings(&admin).await;
        let is_expected = |one: &str| one.starts_with("signature: ") || one.starts_with("anchor: ");
        assert!(
            found.starts_with("signature: ") && found.split("; ").all(is_expected),
            "{signature}: {found}"
        );
        admin.batch_execute("rollback").await.unwrap();
    }
    let denied =
        admin.batch_execute("set role quote_gateway; select sign_quote_seal('x')").await.unwrap_err();
    assert_eq!(denied.as_db_error().unwrap().code().code(), "42501");
}

#[tokio::test]
async fn another_key_signs_at_once_and_vouches_for_all_before() {
    let (server, erp, admin) = signing_on("").await;
    seal(&admin, 2).await;
    assert_eq!(
        text(&admin, "select count(*)::text from quote_changes_seals where signature is not null").await,
        "0"
    );
    for (key, public) in [(KEY, PUBLIC), (NEXT, NEXT_PUBLIC)] {
        admin.batch_execute(&format!("alter system set quote_collab.seal_key = '{key}'")).await.unwrap();
        let secret = format!("alter system set quote_collab.jwt_secret = 'secret {key}'");
        admin.batch_execute(&secret).await.unwrap();
        admin.batch_execute("select pg_reload_conf()").await.unwrap();
        // The worker seals, too; no row changes meanwhile. This session must know the new key itself before it judges.
        eventually("the new key signs", || async {
            admin.batch_execute("select seal_quote_history()").await.expect("a seal");
            let signed = "select encode(s.signed_by, 'hex') || encode(quote_seal_key(), 'hex') from quote_changes_seals s order by s.no desc limit 1";
            text(&admin, signed).await == format!("{public}{public}")
        })
        .await;
        assert_eq!(findings(&admin).await, "");
        seal(&admin, 1).await;
        assert_eq!(findings(&admin).await, "");
    }
    assert_eq!(text(&admin, "select count(distinct signed_by)::text from quote_changes_seals").await, "2");
    let log = server.log();
    assert!(log.contains("received SIGHUP"), "the server reads its configuration again, and says so");
    assert!(!log.contains(KEY) && !log.contains(NEXT), "what changed is a secret");
    assert_eq!(text(&admin, "show quote_collab.seal_key").await, "********");
    let app = erp.client("erp_app").await;
    let denied = app.batch_execute("show quote_collab.seal_key").await.unwrap_err();
    assert_eq!(denied.as_db_error().unwrap().code().code(), "42501");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told() {
    let check = "select severity || ': ' || message from quote_collab_doctor() where check_name = 'seals signed as configured'";
    let (_erp, admin) = signing(KEY).await;
    assert_eq!(text(&admin, check).await, "ok: ");
    let (_erp, admin) = signing("too short").await;
    assert!(text(&admin, check).await.starts_with("error: "), "not 32 bytes");
    assert_eq!(text(&admin, "select encode(quote_seal_key(), 'hex')").await, "");
    let settings = Settings::default().with(&[("quote_collab.seal_key", KEY)]);
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(settings).await)).await;
    let admin = erp.client("postgres").await;
    assert!(text(&admin, check).await.starts_with("error: "), "not preloaded");
    seal(&admin, 1).await;
    assert_eq!(findings(&admin).await, "");
}
