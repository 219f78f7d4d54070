//! Where tenants are verified, no ordinary role gets at another tenant by setting something.

use std::sync::Arc;

use quote_collab_tests::bypass::Outcome::{Empty, Own, Refused};
use quote_collab_tests::bypass::{Attempt, attempt_all};
use quote_collab_tests::signer::{self, authenticate};
use quote_collab_tests::spoof::{NOBODY, PARALLEL, code, in_workers, scene, visible};
use quote_collab_tests::{ALICE, BOB, CAROL, Erp, Postgres, Settings};
use tokio_postgres::Client;
use uuid::Uuid;

/// Refused for want of rights, and for what only the server's configuration says.
const DENIED: quote_collab_tests::bypass::Outcome = Refused("42501");
const FIXED: quote_collab_tests::bypass::Outcome = Refused("55P02");

/// In a session that is nobody.
const AS_NOBODY: [Attempt; 41] = [
    ("nothing set", "select * from quote_changes", Empty),
    ("set", "set app.current_tenant_id = 'TENANT'", DENIED),
    ("set session", "set session app.current_tenant_id = 'TENANT'", DENIED),
    ("set local", "set local app.current_tenant_id = 'TENANT'", DENIED),
    ("set to default", "set app.current_tenant_id to default", DENIED),
    ("set in other letters", "set \"App\".\"CURRENT_tenant_ID\" = 'TENANT'", DENIED),
    ("set_config", "select set_config('app.current_tenant_id', 'TENANT', false)", DENIED),
    ("set_config, local", "select set_config('app.current_tenant_id', 'TENANT', true)", DENIED),
    ("set_config in other letters", "select set_config('APP.Current_Tenant_Id', 'TENANT', true)", DENIED),
    ("set_config to null", "select set_config('app.current_tenant_id', null, true)", DENIED),
    (
        "set_config beside the rows",
        "select * from quote_changes, set_config('app.current_tenant_id', 'TENANT', true)",
        DENIED,
    ),
    ("pg_settings", "update pg_settings set setting = 'TENANT' where name = 'app.current_tenant_id'", DENIED),
    ("role", "alter role spoofer set app.current_tenant_id = 'TENANT'", DENIED),
    (
        "role in this database",
        "alter role spoofer in database DATABASE set app.current_tenant_id = 'TENANT'",
        DENIED,
    ),
    ("all roles", "alter role all set app.current_tenant_id = 'TENANT'", DENIED),
    ("database of one's own", "alter database DATABASE set app.current_tenant_id = 'TENANT'", DENIED),
    ("role from current", "alter role spoofer set app.current_tenant_id from current", DENIED),
    (
        "function",
        "create function pg_temp.f() returns bigint language sql set app.current_tenant_id = 'TENANT' as 'select 1'",
        DENIED,
    ),
    (
        "function, later",
        "create function pg_temp.f() returns int language sql as 'select 1'; alter function pg_temp.f() set app.current_tenant_id = 'TENANT'",
        DENIED,
    ),
    (
        "procedure",
        "create procedure pg_temp.p() language sql set app.current_tenant_id = 'TENANT' as 'select 1'",
        DENIED,
    ),
    (
        "security definer of one's own",
        "create function pg_temp.f() returns text language sql security definer as $$ select set_config('app.current_tenant_id', 'TENANT', false) $$; select pg_temp.f()",
        DENIED,
    ),
    ("block", "do $$ begin perform set_config('app.current_tenant_id', 'TENANT', true); end $$", DENIED),
    (
        "block that forgives",
        "do $$ begin perform set_config('app.current_tenant_id', 'TENANT', true); exception when others then null; end $$; select * from quote_changes",
        Empty,
    ),
    ("reset", "reset app.current_tenant_id", DENIED),
    ("reset all", "reset all; select * from quote_changes", Empty),
    ("the verified user", "set quote_collab.verified_user = 'TENANT'", DENIED),
    ("the end of a token", "select set_config('quote_collab.verified_until', '', true)", DENIED),
    ("the mode", "set quote_collab.tenant_source = 'setting'", FIXED),
    ("the mode by set_config", "select set_config('quote_collab.tenant_source', 'setting', true)", FIXED),
    ("the mode of the role", "alter role spoofer set quote_collab.tenant_source = 'setting'", FIXED),
    ("the secret", "set quote_collab.jwt_secret = 'mine'", FIXED),
    ("the keys", "select set_config('quote_collab.jwt_keys', '{}', true)", FIXED),
    ("the secret, read", "select current_setting('quote_collab.jwt_secret')", DENIED),
    ("the configuration, read", "select * from pg_file_settings", DENIED),
    ("the configuration file", "select pg_read_file('postgresql.auto.conf')", DENIED),
    ("a program", "copy quote_changes to program 'cat'", DENIED),
    ("superuser by set role", "set role postgres", DENIED),
    ("superuser by session authorization", "set session authorization postgres", DENIED),
    ("gateway by set role", "set local role quote_gateway", DENIED),
    ("grant", "grant set on parameter app.current_tenant_id to spoofer", DENIED),
    ("catalog", "insert into pg_db_role_setting values (0, 0, '{app.current_tenant_id=TENANT}')", DENIED),
];

/// After a token of one's own.
const AS_ONESELF: [Attempt; 15] = [
    ("own rows", "select new_value from quote_changes", Own),
    ("own quotes", "select * from quotes", Own),
    ("rows of the other", "select * from quote_changes where tenant_id = 'TENANT'", Empty),
    ("set local", "set local app.current_tenant_id = 'TENANT'", DENIED),
    ("set_config", "select set_config('app.current_tenant_id', 'TENANT', true)", DENIED),
    ("reset", "reset app.current_tenant_id", DENIED),
    ("reset all", "reset all; select * from quote_changes", Empty),
    ("session authorization", "set session authorization default; select new_value from quote_changes", Own),
    ("role none", "set role none; select new_value from quote_changes", Own),
    (
        "an exception that takes it back",
        "savepoint a; do $$ begin perform authenticate_quote_user('nonsense'); exception when others then null; end $$; select new_value from quote_changes",
        Own,
    ),
    ("a bad token after a good one", "select authenticate_quote_user('nonsense')", Refused("28000")),
    (
        "isolation",
        "set local default_transaction_isolation = 'serializable'; select new_value from quote_changes",
        Own,
    ),
    (
        "security definer of one's own",
        "create function pg_temp.f() returns setof jsonb language sql security definer as 'select new_value from public.quote_changes'; select * from pg_temp.f()",
        Own,
    ),
    (
        "a function that resets",
        "create function pg_temp.f() returns setof jsonb language sql set search_path = public as 'select new_value from quote_changes'; select * from pg_temp.f()",
        Own,
    ),
    (
        "a temporary table kept",
        "create temp table kept as select new_value from quote_changes; select * from kept",
        Own,
    ),
];

async fn try_all(attempts: &[Attempt], before: &str) {
    let erp = Erp::verified().await;
    scene(&erp).await;
    let client = erp.client("spoofer").await;
    let before_all = erp.fingerprint().await;
    let fill = |text: &str| {
        let text = text.replace("TENANT", &CAROL.tenant.to_string()).replace("DATABASE", erp.database());
        format!("{before}{text}")
    };
    let wrong = attempt_all(&client, attempts, fill).await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
    assert_eq!(erp.fingerprint().await, before_all);
}

#[tokio::test]
async fn by_a_session_that_is_nobody() {
    try_all(&AS_NOBODY, "").await;
}

#[tokio::test]
async fn by_a_session_with_a_token_of_its_own() {
    let before = format!("select authenticate_quote_user('{}'); ", signer::token(ALICE));
    try_all(&AS_ONESELF, &before).await;
}

#[tokio::test]
async fn by_a_history_that_is_written_for_another() {
    let erp = Erp::verified().await;
    let quote = scene(&erp).await;
    let client = erp.client("spoofer").await;
    let forge =
        format!("select record_rejected_quote_change('QUOTE', '{quote}', 1, '{{\"notes\": \"forged\"}}')");
    client.batch_execute(&forge).await.unwrap();
    client.batch_execute("begin").await.unwrap();
    authenticate(&client, &signer::token(ALICE)).await.unwrap();
    client.batch_execute(&forge).await.unwrap();
    client.batch_execute("commit").await.unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes where was_conflict").await, 0);
}

#[tokio::test]
async fn by_functions_where_quotes_have_no_row_security() {
    let erp = Erp::verified().await;
    let quote = scene(&erp).await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("alter table quotes disable row level security, no force row level security")
        .await
        .unwrap();
    let line: Uuid = admin
        .query_one("select id from quote_lines where tenant_id = $1 limit 1", &[&CAROL.tenant])
        .await
        .unwrap()
        .get(0);
    let client = erp.client("spoofer").await;
    attempt_on(&client, quote, line, "P0002").await;
    // The token has ended meanwhile; or it is another's.
    for (person, seconds) in [(CAROL, 2), (ALICE, 600)] {
        client.batch_execute("begin").await.unwrap();
        let mut claims = signer::claims(person);
        claims["exp"] = (signer::now() + seconds).into();
        authenticate(&client, &signer::hs256(&claims)).await.unwrap();
        if person.id == CAROL.id {
            client.batch_execute(&format!("select pg_sleep({seconds} + 1)")).await.unwrap();
        }
        attempt_on(&client, quote, line, "P0002").await;
        client.batch_execute("rollback").await.unwrap();
    }
    // Whoever is held by nothing sees what he asks for, as before.
    assert!(admin.query_one("select quote_is_accessible($1)", &[&quote]).await.unwrap().get::<_, bool>(0));
    // What somebody missed, the gateway asks for a tenant.
    admin
        .batch_execute("update quotes set notes = 'missed'; select quote_relay_open_batch(quote_relay_lease('me', '1 hour'))")
        .await
        .unwrap();
    let missed = "select count(*) from quote_events_between($1, 0, 0, 1000, 0, 100)";
    assert_eq!(admin.query_one(missed, &[&quote]).await.unwrap().get::<_, i64>(0), 1);
    let gateway = erp.client("quote_gateway").await;
    assert_eq!(gateway.query_one(missed, &[&quote]).await.unwrap().get::<_, i64>(0), 0);
}

/// Every function that takes the id of a quote or a line says that there is none.
async fn attempt_on(client: &tokio_postgres::Client, quote: Uuid, line: Uuid, expected: &str) {
    for call in [
        "check_quote_version('QUOTE', 1)",
        "check_quote_line_version('LINE', 1)",
        "has_quote_been_updated('QUOTE', 0)",
        "get_quote('QUOTE')",
        "get_active_quote_sessions('QUOTE')",
        "update_quote_with_version_check('QUOTE', 1, '{\"notes\": \"forged\"}')",
        "update_quote_line_with_version_check('LINE', 1, '{\"description\": \"forged\"}')",
        "join_quote_session('QUOTE')",
    ] {
        let call = call.replace("QUOTE", &quote.to_string()).replace("LINE", &line.to_string());
        client.batch_execute("savepoint a").await.ok();
        let refused = client.batch_execute(&format!("select {call}")).await.expect_err(&call);
        assert_eq!(code(&refused), expected, "{call}");
        client.batch_execute("rollback to a").await.ok();
    }
    for nothing in ["where quote_is_accessible($1)", "from get_quote_change_history($1)"] {
        let rows = client.query(&format!("select {nothing}"), &[&quote]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{nothing}: {error:?}"));
        assert!(rows.is_empty(), "{nothing}");
    }
}

#[tokio::test]
async fn by_another_name_in_presence() {
    let erp = Erp::verified().await;
    scene(&erp).await;
    let client = erp.client("spoofer").await;
    client.batch_execute("begin").await.unwrap();
    authenticate(&client, &signer::token(ALICE)).await.unwrap();
    let join = "select user_id, user_name, user_email from join_quote_session((select id from quotes limit 1), null, $1, $2, 'carol@example')";
    let joined = client.query_one(join, &[&CAROL.id, &CAROL.name]).await.unwrap();
    let known = erp.client("postgres").await;
    let known = known
        .query_one("select username::text, email::text from users where id = $1", &[&ALICE.id])
        .await
        .unwrap();
    let (name, email): (String, String) = (known.get(0), known.get(1));
    assert_eq!((joined.get::<_, Uuid>(0), joined.get(1), joined.get(2)), (ALICE.id, name, email));
}

#[tokio::test]
async fn by_options_of_the_connection() {
    let erp = Erp::verified().await;
    scene(&erp).await;
    let other = CAROL.tenant;
    for (options, expected) in [
        (format!("-c app.current_tenant_id={other}"), "42501"),
        (format!("--app.current-tenant-id={other}"), "42501"),
        (format!("-c quote_collab.verified_user={}", CAROL.id), "42501"),
        ("-c quote_collab.tenant_source=setting".to_owned(), "55P02"),
        ("-c quote_collab.jwt_secret=mine".to_owned(), "55P02"),
        ("-c session_preload_libraries=".to_owned(), "42501"),
    ] {
        let refused = erp.client_with("spoofer", &options).await.expect_err(&options);
        assert_eq!(code(&refused), expected, "{options}");
    }
    let client = erp.client("spoofer").await;
    for (statement, expected) in [
        (format!("alter system set app.current_tenant_id = '{other}'"), "42501"),
        ("alter system reset quote_collab.tenant_source".to_owned(), "42501"),
    ] {
        assert_eq!(code(&client.batch_execute(&statement).await.unwrap_err()), expected, "{statement}");
    }
    // Other programs' settings are nobody's business.
    let client = erp.client_with("spoofer", "-c app.other=1").await.expect("other settings are free");
    client.batch_execute("set app.current_theme = 'dark'; set app.current_user_id = 'x'").await.unwrap();
    assert_eq!(visible(&client).await, NOBODY);
}

#[tokio::test]
async fn by_what_the_session_keeps_after_its_transaction() {
    let erp = Erp::verified().await;
    scene(&erp).await;
    let client = erp.client("spoofer").await;
    let (alice, carol) = (signer::token(ALICE), signer::token(CAROL));
    for end in ["commit", "rollback", "commit and chain; commit", "rollback and chain; rollback"] {
        client.batch_execute("begin").await.unwrap();
        assert_eq!(authenticate(&client, &alice).await.unwrap(), ALICE.id);
        assert_eq!(visible(&client).await, [ALICE.tenant]);
        client.batch_execute(end).await.unwrap();
        assert_eq!(visible(&client).await, NOBODY, "after {end}");
        let left = client.query_one("select current_quote_user()", &[]).await.unwrap();
        assert_eq!(left.get::<_, Option<Uuid>>(0), None, "after {end}");
    }
    client.batch_execute("begin").await.unwrap();
    authenticate(&client, &alice).await.unwrap();
    client.batch_execute("select 1 / 0").await.unwrap_err();
    client.batch_execute("commit").await.unwrap();
    assert_eq!(visible(&client).await, NOBODY, "after an error");
    // A statement alone is a transaction.
    authenticate(&client, &alice).await.unwrap();
    assert_eq!(visible(&client).await, NOBODY, "after a statement");

    client.batch_execute("begin").await.unwrap();
    authenticate(&client, &alice).await.unwrap();
    client.batch_execute("savepoint a").await.unwrap();
    authenticate(&client, &carol).await.unwrap();
    assert_eq!(visible(&client).await, [CAROL.tenant]);
    client.batch_execute("rollback to a").await.unwrap();
    assert_eq!(visible(&client).await, [ALICE.tenant], "a savepoint restores");
    authenticate(&client, &carol).await.unwrap();
    client.batch_execute("release a").await.unwrap();
    assert_eq!(visible(&client).await, [CAROL.tenant], "a released savepoint keeps");
    client.batch_execute("commit").await.unwrap();
    client.batch_execute("discard all").await.unwrap();
    assert_eq!(visible(&client).await, NOBODY);
}

#[tokio::test]
async fn by_a_plan_that_was_made_for_another() {
    let erp = Erp::verified().await;
    scene(&erp).await;
    let client = erp.client("spoofer").await;
    for mode in ["force_generic_plan", "force_custom_plan", "auto"] {
        client.batch_execute(&format!("set plan_cache_mode = {mode}")).await.unwrap();
        let seen = client.prepare("select distinct tenant_id from quote_changes").await.unwrap();
        for turn in 0..12 {
            let person = if turn % 2 == 0 { CAROL } else { ALICE };
            client.batch_execute("begin").await.unwrap();
            authenticate(&client, &signer::token(person)).await.unwrap();
            let rows = client.query(&seen, &[]).await.unwrap();
            assert_eq!(
                rows.iter().map(|row| row.get::<_, Uuid>(0)).collect::<Vec<_>>(),
                [person.tenant],
                "{mode}"
            );
            client.batch_execute("commit").await.unwrap();
            assert_eq!(client.query(&seen, &[]).await.unwrap().len(), 0, "{mode}");
        }
    }
}

#[tokio::test]
async fn parallel_workers_inherit_the_tenant_and_nothing_else() {
    // A server of its own: the wakers of many databases would leave no place for parallel workers.
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(Settings::verified()).await)).await;
    scene(&erp).await;
    let client = erp.client("spoofer").await;
    client.batch_execute(PARALLEL).await.unwrap();
    for person in [ALICE, CAROL] {
        let count = format!(
            "select count(*) from quote_changes where tenant_id = '{}' and new_value is not null",
            person.tenant
        );
        client.batch_execute("begin").await.unwrap();
        authenticate(&client, &signer::token(person)).await.unwrap();
        assert_eq!(in_workers(&client).await, (erp.count(&count).await, true));
        client.batch_execute("commit").await.unwrap();
    }
    assert_eq!(in_workers(&client).await.0, 0);
}

#[tokio::test]
async fn a_granted_gateway_works_as_before_and_leaves_without_a_trace() {
    let server = Arc::new(Postgres::start_with(Settings::verified()).await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("update quotes set notes = 'x'; create role other_gateway login; grant usage on schema public to other_gateway")
        .await
        .unwrap();
    let opening = format!(
        "begin; select set_config('app.current_tenant_id', '{}', true), set_config('app.current_user_id', '{}', true)",
        ALICE.tenant, ALICE.id
    );
    // Attached before tenants were verified: the role has everything but this.
    let refused = erp.client("quote_gateway").await.batch_execute(&opening).await.unwrap_err();
    assert_eq!(code(&refused), "42501");
    admin
        .batch_execute("select grant_quote_gateway('quote_gateway'), grant_quote_gateway('other_gateway')")
        .await
        .unwrap();
    for role in ["quote_gateway", "other_gateway"] {
        let gateway = erp.client(role).await;
        gateway.batch_execute(PARALLEL).await.unwrap();
        gateway.batch_execute(&opening).await.unwrap();
        assert_eq!(visible(&gateway).await, [ALICE.tenant], "{role}");
        let count = format!(
            "select count(*) from quote_changes where tenant_id = '{}' and new_value is not null",
            ALICE.tenant
        );
        assert_eq!(in_workers(&gateway).await, (erp.count(&count).await, true), "{role}");
        gateway
            .batch_execute("select update_quote_with_version_check(id, version, '{\"notes\": \"gateway\"}') from quotes where notes = 'x' and tenant_id = current_quote_tenant() limit 1; commit")
            .await
            .unwrap();
        assert_eq!(visible(&gateway).await, NOBODY, "{role}");
        gateway
            .batch_execute("begin; select set_config('app.current_tenant_id', '', true); commit")
            .await
            .unwrap();
    }
    let author: Uuid = admin
        .query_one("select changed_by from quote_changes where new_value = '\"gateway\"' limit 1", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(author, ALICE.id);
    admin
        .batch_execute("select detach_quote_collaboration(); drop extension quote_collab_ext; drop owned by other_gateway; drop role other_gateway")
        .await
        .unwrap();
    // What stays of the history is nobody's: without the library the setting is anybody's.
    admin.batch_execute("grant select on quote_changes to public").await.unwrap();
    let gateway = erp.client("quote_gateway").await;
    gateway.batch_execute(&format!("set app.current_tenant_id = '{}'", ALICE.tenant)).await.unwrap();
    assert_eq!(visible(&gateway).await, NOBODY);
}

#[tokio::test]
async fn a_verified_user_is_the_author_whoever_is_claimed() {
    let erp = Erp::verified().await;
    scene(&erp).await;
    let client = erp.client("spoofer").await;
    let changed_by = |client: Client| async move {
        let rows = client
            .query(
                "select changed_by from quote_changes where xid = pg_current_xact_id() order by position",
                &[],
            )
            .await
            .expect("the history is readable");
        (client, rows.iter().map(|row| row.get::<_, Option<Uuid>>(0)).collect::<Vec<_>>())
    };
    client.batch_execute("begin").await.unwrap();
    authenticate(&client, &signer::token(ALICE)).await.unwrap();
    client
        .batch_execute(&format!(
            "set app.current_user_id = '{bob}';
             update quotes set notes = 'mine', updated_by = '{bob}' where id = (select id from quotes order by id limit 1);
             select update_quote_with_version_check(id, version, '{{\"notes\": \"saved\"}}') from quotes order by id limit 1;
             select update_quote_with_version_check(id, version - 1, '{{\"notes\": \"late\"}}') from quotes order by id limit 1",
            bob = BOB.id
        ))
        .await
        .unwrap();
    let (client, authors) = changed_by(client).await;
    assert!(authors.len() >= 3 && authors.iter().all(|author| *author == Some(ALICE.id)), "{authors:?}");
    let joined = client
        .query_one(
            "select user_id from join_quote_session((select id from quotes limit 1), null, $1)",
            &[&BOB.id],
        )
        .await
        .unwrap();
    assert_eq!(joined.get::<_, Uuid>(0), ALICE.id);
    client.batch_execute("rollback").await.unwrap();
    let claimed =
        client.query_one("select current_quote_user($1), current_quote_user()", &[&BOB.id]).await.unwrap();
    assert_eq!((claimed.get(0), claimed.get::<_, Option<Uuid>>(1)), (Some(BOB.id), None));
}
