//! Tokens that PostgreSQL verifies: which are taken, which are refused, and what a refusal tells.

use quote_collab_tests::signer::{self, Key, SECRET, claims, hs256, now, signed};
use quote_collab_tests::{ALICE, CAROL, Erp, Postgres, Settings, eventually};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_postgres::Client;
use uuid::Uuid;

/// What becomes of a token: taken, or refused with this detail.
type Verdict = Option<&'static str>;

const TAKEN: Verdict = None;
const ABSENT: Verdict = Some("There is none.");
const TOO_LARGE: Verdict = Some("It is larger than 8 kB.");
const FORM: Verdict = Some("It does not have the form of a signed token.");
const KEY: Verdict = Some("No configured key fits its algorithm and key id.");
const SIGNATURE: Verdict = Some("Its signature does not verify.");
const CLAIMS: Verdict = Some("Its claims are missing or malformed.");
const EXPIRED: Verdict = Some("It has expired.");
const NOT_YET: Verdict = Some("It is not valid yet.");
const AUDIENCE: Verdict = Some("It is meant for another audience.");
const ISSUER: Verdict = Some("It comes from another issuer.");

const HS256: &str = r#"{"alg":"HS256"}"#;

/// Alice's claims with some replaced; a null takes one away.
fn with(changes: &Value) -> Value {
    let mut claims = claims(ALICE);
    let all = claims.as_object_mut().expect("claims are an object");
    for (name, value) in changes.as_object().expect("changes are an object") {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// Half a second later.
fn fraction(seconds: u64) -> Value {
    serde_json::from_str(&format!("{seconds}.5")).expect("a number")
}

fn secret() -> Key<'static> {
    Key::Secret(SECRET.as_bytes())
}

/// Signed with the secret: these very texts.
fn text(header: &str, claims: &str) -> String {
    signed(header, claims, secret())
}

/// Alice's claims as text, with one piece of the text replaced.
fn edited(from: &str, to: &str) -> String {
    let claims = claims(ALICE).to_string();
    assert!(claims.contains(from), "{from} is in the claims");
    text(HS256, &claims.replacen(from, to, 1))
}

async fn judge(client: &Client, name: &str, token: Option<&str>, verdict: Verdict) {
    client.batch_execute("begin").await.expect("a transaction begins");
    let outcome =
        client.query_one("select authenticate_quote_user($1), current_quote_tenant()", &[&token]).await;
    match (outcome, verdict) {
        (Ok(row), None) => assert_eq!((row.get(0), row.get(1)), (ALICE.id, Some(ALICE.tenant)), "{name}"),
        (Ok(_), Some(reason)) => panic!("{name}: taken, although: {reason}"),
        (Err(error), verdict) => {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{name}: {error:?}"));
            assert_eq!((error.detail(), error.code().code()), (verdict, "28000"), "{name}");
            let told = (error.message(), error.hint());
            assert_eq!(
                told,
                ("the token is refused", Some("Log in again, and pass the token that is signed then.")),
                "{name}"
            );
        }
    }
    client.batch_execute("rollback").await.expect("a transaction is rolled back");
    let tenant: Option<Uuid> =
        client.query_one("select current_quote_tenant()", &[]).await.expect("it can be asked").get(0);
    assert_eq!(tenant, None, "{name}: nothing stays");
}

async fn judge_all(client: &Client, cases: &[(&str, String, Verdict)]) {
    for (name, token, verdict) in cases {
        judge(client, name, Some(token), *verdict).await;
    }
}

#[tokio::test]
async fn good_tokens_of_each_kind_are_taken() {
    let erp = Erp::verified().await;
    let app = erp.client("erp_app").await;
    let honest = claims(ALICE).to_string();
    let now = now();
    let fractions = json!({ "exp": fraction(now + 600), "nbf": fraction(now), "iat": fraction(now) });
    let cases = [
        ("secret", signer::token(ALICE), TAKEN),
        ("secret, with a key id that means nothing", text(r#"{"alg":"HS256","kid":"rsa"}"#, &honest), TAKEN),
        ("RSA", signed(r#"{"alg":"RS256","kid":"rsa"}"#, &honest, Key::Rsa), TAKEN),
        ("P-256", signed(r#"{"alg":"ES256","kid":"ec","typ":"JWT"}"#, &honest, Key::Ec), TAKEN),
        ("Ed25519", signed(r#"{"alg":"EdDSA","kid":"ed"}"#, &honest, Key::Ed), TAKEN),
        ("valid since now", hs256(&with(&json!({ "nbf": now }))), TAKEN),
        ("a clock 3 seconds ahead", hs256(&with(&json!({ "nbf": now + 3 }))), TAKEN),
        ("times with a fraction", hs256(&with(&fractions)), TAKEN),
        ("without a name", hs256(&with(&json!({ "username": null, "email": null, "iat": null }))), TAKEN),
        ("for ever", hs256(&with(&json!({ "exp": u64::MAX }))), TAKEN),
        ("with further claims", hs256(&with(&json!({ "role": "superuser", "scope": ["a"] }))), TAKEN),
        ("for an audience that nobody asks for", hs256(&with(&json!({ "aud": "x", "iss": "y" }))), TAKEN),
        (
            "a UUID in capitals",
            hs256(&with(&json!({ "tenantId": ALICE.tenant.to_string().to_uppercase() }))),
            TAKEN,
        ),
    ];
    judge_all(&app, &cases).await;
}

#[tokio::test]
async fn what_is_not_a_token_is_refused() {
    let erp = Erp::verified().await;
    let app = erp.client("erp_app").await;
    let token = signer::token(ALICE);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let honest = claims(ALICE).to_string();
    judge(&app, "null", None, ABSENT).await;
    let cases = [
        ("empty", String::new(), ABSENT),
        ("huge", format!("{token}{}", "A".repeat(9_000)), TOO_LARGE),
        ("huge and honest", hs256(&with(&json!({ "note": "x".repeat(9_000) }))), TOO_LARGE),
        ("one dot", format!("{header}.{payload}"), FORM),
        ("no dot", format!("{header}{payload}{signature}"), FORM),
        ("four parts", format!("{token}.{signature}"), FORM),
        ("dots alone", "..".to_owned(), FORM),
        ("cut short", token[..token.len() / 2].to_owned(), FORM),
        ("a bearer token", format!("Bearer {token}"), FORM),
        ("a space before", format!(" {token}"), FORM),
        ("a line feed after", format!("{token}\n"), FORM),
        ("padded", format!("{token}=="), FORM),
        ("unicode", "🔑.🔑.🔑".to_owned(), FORM),
        ("unicode that looks like it", token.replacen('e', "е", 1), FORM),
        ("a header that is no JSON", text("alg=HS256", &honest), FORM),
        ("a header without algorithm", text(r#"{"typ":"JWT"}"#, &honest), FORM),
        ("two algorithms", text(r#"{"alg":"HS256","alg":"HS256"}"#, &honest), FORM),
        ("a critical extension", text(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &honest), FORM),
        ("an extension that is not called critical", text(r#"{"alg":"HS256","b64":true}"#, &honest), FORM),
        ("algorithm none", text(r#"{"alg":"none"}"#, &honest), FORM),
        ("algorithm None", text(r#"{"alg":"None"}"#, &honest), FORM),
        (
            "algorithm none, unsigned",
            {
                let none = text(r#"{"alg":"none"}"#, &honest);
                none[..=none.rfind('.').unwrap()].to_owned()
            },
            FORM,
        ),
        ("algorithm of a wrong type", text(r#"{"alg":["HS256"]}"#, &honest), FORM),
        ("SQL", "'; set app.current_tenant_id = ''; --".to_owned(), FORM),
    ];
    judge_all(&app, &cases).await;
}

#[tokio::test]
async fn a_signature_of_somebody_else_is_refused() {
    let erp = Erp::verified().await;
    let app = erp.client("erp_app").await;
    let (token, other) = (signer::token(ALICE), signer::token(CAROL));
    let honest = claims(ALICE).to_string();
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (own, foreign) = (parts(&token), parts(&other));
    let key_set = signer::key_set();
    let public: Value = serde_json::from_str(&key_set).unwrap();
    let modulus = public["keys"][0]["n"].as_str().unwrap();
    let embedded = |id: &str| {
        let header = json!({ "alg": "EdDSA", "kid": id, "jwk": signer::public_key("stranger") });
        signed(&header.to_string(), &honest, Key::Stranger)
    };
    let confused = |key: &[u8]| signed(r#"{"alg":"HS256","kid":"rsa"}"#, &honest, Key::Secret(key));
    let cases = [
        ("another secret", signed(HS256, &honest, Key::Secret(b"another secret")), SIGNATURE),
        ("an empty secret", signed(HS256, &honest, Key::Secret(b"")), SIGNATURE),
        ("the tenant of another", format!("{}.{}.{}", own[0], foreign[1], own[2]), SIGNATURE),
        ("another header", format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", own[1], own[2]), SIGNATURE),
        ("the signature of another", format!("{}.{}.{}", own[0], own[1], foreign[2]), SIGNATURE),
        ("no signature", format!("{}.{}.", own[0], own[1]), SIGNATURE),
        ("half a signature", format!("{}.{}.{}", own[0], own[1], &own[2][..20]), SIGNATURE),
        ("the public modulus as secret", confused(modulus.as_bytes()), SIGNATURE),
        ("the public keys as secret", confused(key_set.as_bytes()), SIGNATURE),
        ("Ed25519 by a stranger", signed(r#"{"alg":"EdDSA","kid":"ed"}"#, &honest, Key::Stranger), SIGNATURE),
        ("a key brought along", embedded("ed"), SIGNATURE),
        ("a key brought along under its name", embedded("stranger"), KEY),
        ("an unknown key id", signed(r#"{"alg":"EdDSA","kid":"none"}"#, &honest, Key::Ed), KEY),
        ("a key id as path", signed(r#"{"alg":"EdDSA","kid":"../ed"}"#, &honest, Key::Ed), KEY),
        ("no key id", signed(r#"{"alg":"EdDSA"}"#, &honest, Key::Ed), KEY),
        ("the algorithm of another key", signed(r#"{"alg":"RS256","kid":"ed"}"#, &honest, Key::Ed), KEY),
        ("RSA as HMAC", signed(r#"{"alg":"HS256","kid":"rsa"}"#, &honest, Key::Rsa), SIGNATURE),
        ("HMAC as RSA", signed(r#"{"alg":"RS256","kid":"rsa"}"#, &honest, secret()), SIGNATURE),
        ("HS384", text(r#"{"alg":"HS384"}"#, &honest), KEY),
        ("HS512", text(r#"{"alg":"HS512"}"#, &honest), KEY),
        ("PS256", signed(r#"{"alg":"PS256","kid":"rsa"}"#, &honest, Key::Rsa), KEY),
        ("RS512", signed(r#"{"alg":"RS512","kid":"rsa"}"#, &honest, Key::Rsa), KEY),
        ("ES384", signed(r#"{"alg":"ES384","kid":"ec"}"#, &honest, Key::Ec), KEY),
    ];
    judge_all(&app, &cases).await;
}

#[tokio::test]
async fn claims_that_are_missing_or_malformed_are_refused() {
    let erp = Erp::verified().await;
    let app = erp.client("erp_app").await;
    let exp = json!(now() + 600).to_string();
    let changed = |changes: Value| hs256(&with(&changes));
    let tenant = format!("\"tenantId\":\"{}\"", CAROL.tenant);
    let cases = [
        ("no exp", changed(json!({ "exp": null })), CLAIMS),
        ("null exp", edited(&exp[..], "null"), CLAIMS),
        ("text exp", changed(json!({ "exp": exp })), CLAIMS),
        ("negative exp with a fraction", edited(&exp[..], "-0.5"), CLAIMS),
        ("exp as a float", edited(&exp[..], "1e300"), CLAIMS),
        ("negative exp", changed(json!({ "exp": -1 })), CLAIMS),
        ("exp beyond 64 bits", edited(&exp[..], "99999999999999999999"), CLAIMS),
        ("exp twice", edited("\"exp\"", "\"exp\":99999999999,\"exp\""), CLAIMS),
        ("no sub", changed(json!({ "sub": null })), CLAIMS),
        ("a name as sub", changed(json!({ "sub": "alice" })), CLAIMS),
        ("unicode sub", changed(json!({ "sub": "ａlice" })), CLAIMS),
        ("sub twice", edited("\"sub\"", &format!("\"sub\":\"{}\",\"sub\"", CAROL.id)), CLAIMS),
        ("no tenant", changed(json!({ "tenantId": null })), CLAIMS),
        ("a name as tenant", changed(json!({ "tenantId": "northlight" })), CLAIMS),
        ("an empty tenant", changed(json!({ "tenantId": "" })), CLAIMS),
        ("two tenants", changed(json!({ "tenantId": [ALICE.tenant, CAROL.tenant] })), CLAIMS),
        ("the tenant twice", edited("\"tenantId\"", &format!("{tenant},\"tenantId\"")), CLAIMS),
        ("a tenant by another name", changed(json!({ "tenantId": null, "tenant_id": ALICE.tenant })), CLAIMS),
        ("a tenant and more", changed(json!({ "tenantId": format!("{} ", ALICE.tenant) })), CLAIMS),
        ("a number as name", changed(json!({ "username": 7 })), CLAIMS),
        ("text iat", changed(json!({ "iat": "now" })), CLAIMS),
        ("text nbf", changed(json!({ "nbf": "0" })), CLAIMS),
        ("an array", text(HS256, "[]"), CLAIMS),
        ("no JSON", text(HS256, "sub=alice"), CLAIMS),
        ("nothing", text(HS256, ""), CLAIMS),
        ("more than JSON", text(HS256, &format!("{}x", claims(ALICE))), CLAIMS),
        ("ended this second", changed(json!({ "exp": now() })), EXPIRED),
        ("ended with a fraction of this second", changed(json!({ "exp": fraction(now()) })), EXPIRED),
        ("ended long ago", changed(json!({ "exp": 0 })), EXPIRED),
        ("begins in a minute and a fraction", changed(json!({ "nbf": fraction(now() + 60) })), NOT_YET),
        ("begins in a minute", changed(json!({ "nbf": now() + 60 })), NOT_YET),
        ("begins at the end of time", changed(json!({ "nbf": u64::MAX })), NOT_YET),
    ];
    judge_all(&app, &cases).await;
}

#[tokio::test]
async fn audience_and_issuer_count_once_they_are_configured() {
    let server = Arc::new(Postgres::start_with(Settings::verified()).await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let admin = erp.client("postgres").await;
    judge(&erp.client("erp_app").await, "before", Some(&signer::token(ALICE)), TAKEN).await;
    for statement in [
        "alter system set quote_collab.jwt_audience = 'erp'",
        "alter system set quote_collab.jwt_issuer = 'https://login.example'",
        "select pg_reload_conf()",
    ] {
        admin.batch_execute(statement).await.unwrap();
    }
    erp.wait_until("select current_setting('quote_collab.jwt_issuer') <> ''").await;
    let app = erp.client("erp_app").await;
    let meant = |aud: Value, iss: Value| hs256(&with(&json!({ "aud": aud, "iss": iss })));
    let here = || json!("https://login.example");
    let cases = [
        ("both", meant(json!("erp"), here()), TAKEN),
        ("one of several", meant(json!(["shop", "erp"]), here()), TAKEN),
        ("no audience", meant(json!(null), here()), AUDIENCE),
        ("another audience", meant(json!("shop"), here()), AUDIENCE),
        ("a longer audience", meant(json!("erp2"), here()), AUDIENCE),
        ("an audience in capitals", meant(json!("ERP"), here()), AUDIENCE),
        ("an audience of nobody", meant(json!([]), here()), AUDIENCE),
        ("an audience that is an object", meant(json!({ "erp": "erp" }), here()), AUDIENCE),
        ("the audience twice", edited("\"sub\"", "\"aud\":\"shop\",\"aud\":\"erp\",\"sub\""), CLAIMS),
        ("no issuer", meant(json!("erp"), json!(null)), ISSUER),
        ("another issuer", meant(json!("erp"), json!("https://login.example.org")), ISSUER),
        ("an issuer with a slash", meant(json!("erp"), json!("https://login.example/")), ISSUER),
    ];
    judge_all(&app, &cases).await;
}

#[tokio::test]
async fn a_key_that_is_rotated_out_is_refused_at_once() {
    let server = Arc::new(Postgres::start_with(Settings::verified()).await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let (admin, app) = (erp.client("postgres").await, erp.client("erp_app").await);
    let honest = claims(ALICE).to_string();
    let old = signed(r#"{"alg":"EdDSA","kid":"ed"}"#, &honest, Key::Ed);
    let new = signed(r#"{"alg":"EdDSA","kid":"stranger"}"#, &honest, Key::Stranger);
    judge(&app, "before", Some(&old), TAKEN).await;
    judge(&app, "before", Some(&new), KEY).await;
    let keys = json!({ "keys": [signer::public_key("stranger"), signer::public_key("weak")] });
    admin.batch_execute(&format!("alter system set quote_collab.jwt_keys = '{keys}'")).await.unwrap();
    admin.batch_execute("select pg_reload_conf()").await.unwrap();
    // The session that was open reads its configuration again before one of the next statements.
    eventually("the keys are read again", || async {
        app.query_one("select authenticate_quote_user($1)", &[&new]).await.is_ok()
    })
    .await;
    judge(&app, "after", Some(&old), KEY).await;
    let weak = signed(r#"{"alg":"RS256","kid":"weak"}"#, &honest, Key::Rsa);
    judge(&app, "a key of 1024 bits", Some(&weak), KEY).await;
}

#[tokio::test]
async fn a_transaction_sees_nothing_once_its_token_has_ended() {
    let erp = Erp::verified().await;
    let app = erp.client("erp_app").await;
    let short = hs256(&with(&json!({ "exp": now() + 5 })));
    app.batch_execute("begin").await.unwrap();
    app.query_one("select authenticate_quote_user($1)", &[&short]).await.unwrap();
    assert!(app.query_one("select current_quote_tenant() is not null", &[]).await.unwrap().get::<_, bool>(0));
    eventually("the token ends", || async {
        app.query_one("select current_quote_tenant() is null", &[]).await.unwrap().get(0)
    })
    .await;
    let rows = app.query_one("select count(*) from quote_changes", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 0);
    let author: Uuid = app.query_one("select current_quote_user()", &[]).await.unwrap().get(0);
    assert_eq!(author, ALICE.id);
    app.batch_execute("rollback").await.unwrap();
}

/// A block of many queries is one statement: it does not outlive its token.
#[tokio::test]
async fn a_statement_that_goes_on_is_refused_once_its_token_has_ended() {
    let erp = Erp::verified().await;
    let app = erp.client("erp_app").await;
    app.batch_execute("begin").await.unwrap();
    app.query_one("select authenticate_quote_user($1)", &[&hs256(&with(&json!({ "exp": now() + 2 })))])
        .await
        .unwrap();
    let reading = "do $$ begin for i in 1..600 loop
            perform current_quote_tenant(); perform pg_sleep(0.1);
        end loop; raise exception 'it was never refused'; end $$";
    let refused = app.batch_execute(reading).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "28000", "{refused:?}");
    app.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn nobody_is_shown_a_key() {
    let erp = Erp::verified().await;
    let app = erp.client("erp_app").await;
    for setting in ["jwt_secret", "jwt_keys", "jwt_audience", "jwt_issuer"] {
        for statement in [
            format!("show quote_collab.{setting}"),
            format!("select current_setting('quote_collab.{setting}', true)"),
        ] {
            let error = app.batch_execute(&statement).await.unwrap_err();
            assert_eq!(error.as_db_error().unwrap().code().code(), "42501", "{statement}");
        }
        let error = app.batch_execute(&format!("set quote_collab.{setting} = 'x'")).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().code().code(), "55P02", "{setting}");
    }
    let rows = app.query("select from pg_settings where name like 'quote_collab.jwt%'", &[]).await.unwrap();
    assert_eq!(rows.len(), 0);
    let admin = erp.client("postgres").await;
    let shown: String = admin.query_one("show quote_collab.jwt_secret", &[]).await.unwrap().get(0);
    assert_eq!(shown, "********");
    let rows =
        admin.query("select name from pg_settings where name like 'quote_collab.jwt%' order by 1", &[]).await;
    let names: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["quote_collab.jwt_audience", "quote_collab.jwt_issuer", "quote_collab.jwt_keys"]);
    admin
        .batch_execute("create role settings_reader login; grant pg_read_all_settings to settings_reader")
        .await
        .unwrap();
    let reader = erp.client("settings_reader").await;
    let shown: String = reader.query_one("show quote_collab.jwt_secret", &[]).await.unwrap().get(0);
    assert_eq!(shown, "********");
}

/// Whoever may run a statement may take settings away in the middle of it, between the change of a row and its record.
#[tokio::test]
async fn the_author_is_who_was_verified_whatever_becomes_of_the_settings() {
    let erp = Erp::verified().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("alter table quotes enable row level security, force row level security")
        .await
        .unwrap();
    admin
        .batch_execute("create policy tenants on quotes using (tenant_id = (select current_quote_tenant()))")
        .await
        .unwrap();
    let app = erp.client("erp_app").await;
    let other = CAROL.id;
    let spoof = format!(
        "create function pg_temp.spoof() returns text language plpgsql as $$ begin
             reset all; perform set_config('app.current_user_id', '{other}', false); return 'x'; end $$"
    );
    app.batch_execute(&spoof).await.expect("anybody has temporary functions");
    let begun = format!("begin; select authenticate_quote_user('{}')", signer::token(ALICE));
    for (before, statement, after) in [
        (
            "",
            "update quotes set notes = 'spoofed', updated_by = 'OTHER' where tenant_id = 'TENANT' returning pg_temp.spoof()",
            "",
        ),
        (
            "savepoint s;",
            "update quotes set notes = 'kept' where tenant_id = 'TENANT' returning pg_temp.spoof()",
            "release s;",
        ),
        (
            "savepoint s; update quotes set notes = 'undone'; rollback to s;",
            "update quotes set notes = 'again' where tenant_id = 'TENANT' returning pg_temp.spoof()",
            "",
        ),
        ("", "delete from quote_lines where tenant_id = 'TENANT' returning pg_temp.spoof()", ""),
    ] {
        let statement =
            statement.replace("OTHER", &other.to_string()).replace("TENANT", &ALICE.tenant.to_string());
        app.batch_execute(&format!("{begun}; {before} {statement}; {after} set constraints all immediate"))
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        app.batch_execute("commit").await.expect("it commits");
        let last = format!("select string_agg(distinct coalesce(changed_by::text, 'nobody'), ',') from quote_changes
            where xid = (select xid from quote_changes where tenant_id = '{}' order by position desc limit 1)", ALICE.tenant);
        let told: Option<String> = admin.query_one(&last, &[]).await.unwrap().get(0);
        assert_eq!(told, Some(ALICE.id.to_string()), "{statement}");
    }
    // Who was verified only in a savepoint that is rolled back, or in another transaction, is not the author.
    for nobody in ["begin; savepoint s; AUTH; rollback to s", "begin; AUTH; commit; begin"] {
        let begun =
            nobody.replace("AUTH", &format!("select authenticate_quote_user('{}')", signer::token(ALICE)));
        app.batch_execute(&begun).await.unwrap();
        let user: Option<Uuid> = app.query_one("select current_quote_user()", &[]).await.unwrap().get(0);
        assert_eq!(user, Some(other), "{nobody}");
        app.batch_execute("rollback").await.unwrap();
    }
}
