//! `ALTER EXTENSION UPDATE` brings every release before to this one, with its history, and to what a fresh install gives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quote_collab_tests::rights::{CLERK, GIVE, GIVEN};
use quote_collab_tests::statement::{backend, run, text};
use quote_collab_tests::{Erp, Postgres, Settings, built, catalog};
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

const UPDATE: &str = "alter extension quote_collab_ext update";
const ATTACH: &str = "select attach_quote_collaboration()";
const GRANT: &str = "select grant_quote_gateway('quote_gateway')";

const SETTINGS: &str = "select string_agg((to_jsonb(s) - '{attached_at,anchors,settled_in}'::text[])::text, ' ' order by s.entity) from quote_collab_settings s";

const HISTORY: &str =
    "select md5(string_agg(c::text, '|' order by position, id)) || '/' || count(*) from quote_changes c";

/// Milestones that attach as this one does: after an update from them there is nothing to attach again.
const ATTACHED_ALIKE: [&str; 3] = ["0.9.0", "0.13.0", "0.21.0"];

/// The install scripts of the releases before this one, as they were.
fn releases() -> Vec<(String, PathBuf)> {
    let dir = built::place().releases();
    let files =
        std::fs::read_dir(&dir).expect("the releases are kept").map(|entry| entry.expect("a file").path());
    let version = |file: &Path| {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        name.strip_prefix("quote_collab_ext--").expect("an install script").to_owned()
    };
    files.map(|file| (version(&file), file)).collect()
}

/// Those among which most was decided anew, the first and the last, in order: for what takes long, and does not differ from each to the next.
fn milestones() -> Vec<(String, PathBuf)> {
    let milestone = |(version, _): &(String, PathBuf)| {
        ["0.1.0", "0.3.0", "0.6.0", "0.9.0", "0.13.0", "0.21.0"].contains(&version.as_str())
    };
    let mut milestones: Vec<_> = releases().into_iter().filter(milestone).collect();
    milestones.sort_by_key(|(version, _)| {
        version.split('.').filter_map(|part| part.parse().ok()).collect::<Vec<u32>>()
    });
    milestones
}

/// The sample ERP with a release before this one in a schema, and the superuser in it.
async fn old(version: &str, script: &Path, schema: &str) -> (Erp, Client) {
    old_on(Postgres::shared().await, version, script, schema).await
}

/// The same on a server of one's own.
async fn old_on(server: Arc<Postgres>, version: &str, script: &Path, schema: &str) -> (Erp, Client) {
    server.add_script(script);
    let erp = Erp::bare_on(server).await;
    let admin = erp.client("postgres").await;
    if schema != "public" {
        run(&admin, &format!("create schema {schema}; set search_path = public, {schema}")).await;
    }
    run(&admin, &format!("create extension quote_collab_ext schema {schema} version '{version}'")).await;
    (erp, admin)
}

/// A catalog without what an update leaves as the older release made it: key and indexes of the log.
fn without_indexes_of_the_log(catalog: &BTreeSet<String>) -> BTreeSet<String> {
    let is_index = |line: &str| line.starts_with("index ") && line.contains(" public.quote_changes");
    let is_key = |line: &str| line.starts_with("constraint quote_changes") && line.contains(" PRIMARY KEY ");
    let differs = |line: &str| (is_index(line) || is_key(line)) && !line.contains("quote_changes_seals");
    catalog.iter().filter(|line| !differs(line)).cloned().collect()
}

/// Fields of one change, saved and written past the functions.
async fn change(admin: &Client, note: &str) {
    run(
        admin,
        &format!(
            "update quotes set notes = '{note}' where quote_number in (select quote_number from quotes order by 1 limit 3);
             update quote_lines set description = '{note}' where quote_id = (select id from quotes order by quote_number limit 1);
             select update_quote_with_version_check(id, version, '{{\"contactName\": \"{note}\"}}') from quotes order by quote_number limit 1"
        ),
    )
    .await;
}

#[tokio::test]
async fn an_update_and_an_attach_give_what_a_fresh_install_gives() {
    let fresh = Erp::attached().await;
    let newest = fresh.client("postgres").await;
    let expected = without_indexes_of_the_log(&catalog::read(&newest).await);
    let settings = text(&newest, SETTINGS).await;
    for (version, script) in releases() {
        let (_erp, admin) = old(&version, &script, "public").await;
        run(&admin, ATTACH).await;
        run(&admin, GRANT).await;
        change(&admin, "before").await;
        run(&admin, UPDATE).await;
        change(&admin, "between").await;
        run(&admin, ATTACH).await;
        run(&admin, GRANT).await;
        let found = without_indexes_of_the_log(&catalog::read(&admin).await);
        let difference = catalog::difference(&expected, &found);
        assert!(difference.is_empty(), "updated from {version}:\n{difference}");
        assert_eq!(text(&admin, SETTINGS).await, settings, "updated from {version}");
    }
}

#[tokio::test]
async fn history_and_versions_go_on_after_an_update() {
    for (version, script) in releases() {
        let (_erp, admin) = old(&version, &script, "collab").await;
        run(&admin, ATTACH).await;
        change(&admin, "before").await;
        run(&admin, "select quote_collab_maintenance()").await;
        let history = text(&admin, HISTORY).await;
        let number = "select version::text from quotes order by quote_number limit 1";
        assert_eq!(text(&admin, number).await, "3", "{version} counts");
        run(&admin, &format!("begin; {UPDATE}; {ATTACH}; commit")).await;
        assert_eq!(text(&admin, HISTORY).await, history, "updated from {version}");
        run(&admin, "select quote_collab_maintenance()").await;
        change(&admin, "after").await;
        run(&admin, "select quote_collab_maintenance()").await;
        assert_eq!(text(&admin, number).await, "5", "updated from {version}");
        let untold = "select ((select sum(rows) from quote_changes_seals) - (select count(*) from quote_changes))::text";
        assert_eq!(text(&admin, untold).await, "0", "all history of {version} is sealed");
        assert_eq!(text(&admin, "select count(*)::text from verify_quote_history()").await, "0");
        // What the older release sealed is still known for what it was.
        run(&admin, "begin; update quote_changes set new_value = '\"forged\"' where position = (select min(position) from quote_changes)").await;
        assert_eq!(
            text(&admin, "select string_agg(finding, ' ') from verify_quote_history()").await,
            "content"
        );
        run(&admin, "rollback").await;
        let told = "select string_agg(new_value #>> '{}', ' ' order by entity_version_after) from get_quote_change_history(
            (select id from quotes order by quote_number limit 1)) where field_name = 'contact_name'";
        assert_eq!(text(&admin, told).await, "before after", "updated from {version}");
        let wrong = "select string_agg(check_name || ': ' || message, '; ') from quote_collab_doctor()
            where severity <> 'ok' and (hint ~ 'attach_quote|alter extension' or check_name ~ 'log as attached|tenant policies|row security forced|guarded')";
        assert_eq!(text(&admin, wrong).await, "", "updated from {version}");
    }
}

#[tokio::test]
async fn nobody_who_writes_waits_for_the_attach_after_an_update() {
    for (version, script) in milestones() {
        let (_erp, admin) = old(&version, &script, "public").await;
        run(&admin, ATTACH).await;
        change(&admin, "before").await;
        run(&admin, UPDATE).await;
        change(&admin, "between").await;
        let told = "select string_agg(distinct new_value #>> '{}', ' ') from quote_changes where field_name = 'notes'";
        assert_eq!(text(&admin, told).await, "before between", "updated from {version}");
        run(&admin, "select set_config('app.current_tenant_id', tenant_id::text, false) from quotes limit 1")
            .await;
        for reading in [
            "select count(*) = (select count(*) from quote_changes) from v_recent_quote_changes",
            "select count(*) = (select count(distinct event_id) from quote_changes) from quote_events_since(null)",
            "select count(*) > 0 from list_quotes()",
            "select quote_relay_open_batch(quote_relay_lease('test', '1 minute')) = 1",
        ] {
            assert!(admin.query_one(reading, &[]).await.unwrap().get::<_, bool>(0), "{version}: {reading}");
        }
        // Views and triggers are brought to the newest form by attaching again, which the doctor says.
        let asks = "select (count(*) > 0)::text from quote_collab_doctor() where severity <> 'ok' and hint ~ '^select .*attach_quote_collaboration'";
        let differs = !ATTACHED_ALIKE.contains(&version.as_str());
        assert_eq!(text(&admin, asks).await, differs.to_string(), "{version}");
        let gone = "select detach_quote_collaboration(drop_history => true); drop extension quote_collab_ext";
        run(&admin, gone).await;
    }
}

/// Who changes quotes holds them, and then reads the settings; the update holds the settings, and attach wants the quotes.
#[tokio::test]
async fn an_update_and_an_attach_in_one_transaction_end_nobodys_work() {
    // Those of before had no way to lock several tables at once.
    for (version, script) in milestones().into_iter().filter(|(version, _)| version.as_str() > "0.2.0") {
        let (erp, admin) = old(&version, &script, "public").await;
        run(&admin, ATTACH).await;
        let writer = erp.client("postgres").await;
        run(&writer, "begin; select count(*) from quotes").await;
        let waiting = backend(&admin).await;
        let updating = tokio::spawn(async move {
            admin.batch_execute(&format!("begin; {UPDATE}; {ATTACH}; commit")).await.map(|()| admin)
        });
        erp.wait_for_waiting(waiting).await;
        change(&writer, "meanwhile").await;
        run(&writer, "commit").await;
        let updated = updating.await.expect("it does not panic");
        let admin = updated.unwrap_or_else(|error| panic!("updated from {version}: {error:?}"));
        change(&admin, "after").await;
    }
}

#[tokio::test]
async fn an_extension_without_an_attached_pair_is_updated_too() {
    let fresh = Erp::bare().await;
    let newest = fresh.client("postgres").await;
    run(&newest, "create extension quote_collab_ext").await;
    let expected = catalog::read(&newest).await;
    for (version, script) in releases() {
        let (_erp, admin) = old(&version, &script, "public").await;
        run(&admin, UPDATE).await;
        let difference = catalog::difference(&expected, &catalog::read(&admin).await);
        assert!(difference.is_empty(), "updated from {version}:\n{difference}");
        run(&admin, ATTACH).await;
    }
}

#[tokio::test]
async fn background_workers_serve_an_older_release_until_its_update() {
    // A database for each release, with a waker each.
    let server = Arc::new(Postgres::start_with(Settings::preloaded(&[("max_worker_processes", "32")])).await);
    for (version, script) in milestones() {
        let (erp, admin) = old_on(Arc::clone(&server), &version, &script, "public").await;
        run(&admin, ATTACH).await;
        change(&admin, "before").await;
        let has_waker = "select exists (select from pg_stat_activity where backend_type = 'quote_collab waker' and datname = current_database())";
        erp.wait_until(has_waker).await;
        change(&admin, "woken for").await;
        run(&admin, &format!("begin; {UPDATE}; {ATTACH}; commit")).await;
        change(&admin, "after").await;
        // The keeper seals, unless this does it first.
        run(&admin, "select quote_collab_maintenance()").await;
        let unsealed =
            "select (select sum(rows) from quote_changes_seals) = (select count(*) from quote_changes)";
        erp.wait_until(unsealed).await;
        let log = server.log();
        let complaints: Vec<&str> =
            log.lines().filter(|line| line.contains("ERROR") || line.contains("WARNING")).collect();
        assert!(complaints.is_empty(), "{version}: {}", complaints.join("\n"));
    }
}

#[tokio::test]
async fn a_release_is_installed_while_others_add_it_again() {
    let server = Postgres::shared().await;
    let (version, script) = releases().swap_remove(0);
    let (_erp, admin) = old_on(Arc::clone(&server), &version, &script, "public").await;
    let others: Vec<_> = (0..2)
        .map(|_| {
            let (server, script) = (Arc::clone(&server), script.clone());
            spawn_blocking(move || (0..500).for_each(|_| server.add_script(&script)))
        })
        .collect();
    for _ in 0..10 {
        let again = format!("create extension quote_collab_ext version '{version}'; rollback");
        run(&admin, &format!("begin; drop extension quote_collab_ext; {again}")).await;
    }
    for other in others {
        other.await.expect("the script is added");
    }
}

#[tokio::test]
async fn an_update_takes_back_what_a_grant_on_all_gave() {
    let ends = |(version, _): &(String, PathBuf)| ["0.1.0", "0.21.0"].contains(&version.as_str());
    for (version, script) in releases().into_iter().filter(ends) {
        let (erp, admin) = old(&version, &script, "public").await;
        run(&admin, &format!("{CLERK}; alter default privileges grant all on functions to clerk_of_all; {GIVE}; alter extension quote_collab_ext update"))
            .await;
        assert_eq!(erp.count(GIVEN).await, 0, "{version}");
        run(&admin, "select attach_quote_collaboration(); select grant_quote_gateway('quote_gateway')").await;
        let may = "select has_function_privilege('quote_gateway', 'quote_relay_position()', 'execute')::integer::bigint";
        assert_eq!(erp.count(may).await, 1, "{version}");
    }
}

/// Default privileges that name it are no grant on all: what the gateway was given by name it keeps.
#[tokio::test]
async fn an_update_leaves_a_gateway_what_it_was_given() {
    let (version, script) = milestones().pop().expect("the release before");
    let (erp, admin) = old(&version, &script, "public").await;
    run(
        &admin,
        &format!("{ATTACH}; {GRANT}; alter default privileges grant execute on functions to quote_gateway"),
    )
    .await;
    run(&admin, UPDATE).await;
    let lacking = "select count(*) from quote_gateway_functions() f where not has_function_privilege('quote_gateway', f, 'execute')";
    assert_eq!(erp.count(lacking).await, 0, "{version}");
    let more = "select count(*) from quote_function_grants() g where g.grantee = 'quote_gateway'::regrole and g.function not in (select quote_gateway_functions())";
    assert_eq!(erp.count(more).await, 0, "{version}");
}

/// Where default privileges take EXECUTE from PUBLIC, what an update makes would be open to nobody.
#[tokio::test]
async fn what_an_update_makes_is_open_to_whom_all_the_rest_was() {
    for (given, closed) in [
        (
            "select grant_quote_functions('CLERK')",
            "select grant_quote_functions('CLERK'); revoke execute on function list_quotes(integer) from CLERK",
        ),
        ("select", "revoke execute on function list_quotes(integer) from public"),
    ] {
        for (rights, is_open) in [(given, true), (closed, false)] {
            let server = Postgres::shared().await;
            server.add_script(&built::place().releases().join("quote_collab_ext--0.17.0.sql"));
            let erp = Erp::bare_on(server).await;
            let admin = erp.client("postgres").await;
            let clerk = format!("{}_clerk", erp.database());
            let early = "alter default privileges revoke execute on functions from public";
            let install = "create extension quote_collab_ext version '0.17.0'";
            let begun =
                if given == "select" { format!("{install}; {early}") } else { format!("{early}; {install}") };
            run(
                &admin,
                &format!(
                    "create role {clerk}; {begun}; select attach_quote_collaboration(); {}",
                    rights.replace("CLERK", &clerk)
                ),
            )
            .await;
            run(
                &admin,
                "begin; savepoint before; alter extension quote_collab_ext update; release before; commit",
            )
            .await;
            run(&admin, "select attach_quote_collaboration()").await;
            let missing = format!(
                "select count(*)::text from quote_extension_functions() f where f.is_public and not has_function_privilege('{clerk}', f.function, 'execute')"
            );
            assert_eq!(text(&admin, &missing).await == "0", is_open, "{rights}");
            let private = format!(
                "select count(*)::text from quote_extension_functions() f where not f.is_public and has_function_privilege('{clerk}', f.function, 'execute')"
            );
            assert_eq!(text(&admin, &private).await, "0", "{rights}");
            let noted = "select count(*)::text from quote_rights_in_release()";
            assert_eq!(text(&admin, noted).await, "0", "a dump would leave it out");
            run(&admin, &format!("drop owned by {clerk}; drop role {clerk}")).await;
        }
    }
}
