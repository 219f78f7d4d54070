//! Whoever may create something beside the extension, or owns a database, plants what looks like part of it: nothing of that is
//! run with the rights of the superuser, and nothing of it is taken for ours.

use std::sync::Arc;

use quote_collab_tests::{Erp, Postgres, Settings};
use tokio_postgres::Client;

async fn run(client: &Client, statements: &str) {
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}

async fn refused(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.expect_err(statement);
    error.as_db_error().expect("the server answered").code().code().to_owned()
}

#[tokio::test]
async fn a_table_of_somebody_else_is_not_taken_for_ours() {
    const ATTACH: &str = "select attach_quote_collaboration()";
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create extension quote_collab_ext; create role planter in role pg_read_all_data").await;
    for (name, columns) in [
        ("quote_changes", "(changed_at timestamptz) partition by range (changed_at)"),
        ("active_quote_sessions", "(id uuid)"),
        ("quote_relay_batch", "(no bigint)"),
        ("quote_relay_lease", "(epoch bigint)"),
        ("quote_changes_seals", "(no bigint)"),
    ] {
        run(&admin, &format!("create table {name} {columns}; alter table {name} owner to planter")).await;
        assert_eq!(refused(&admin, ATTACH).await, "42P07", "{name}");
        run(&admin, &format!("drop table {name}")).await;
    }
    run(&admin, ATTACH).await;
    run(
        &admin,
        "create table quote_changes_archive (like quote_changes) partition by range (changed_at);
         alter table quote_changes_archive owner to planter;
         create table quote_changes_2000_01 partition of quote_changes for values from ('2000-01-01 00:00+00') to ('2000-02-01 00:00+00')",
    )
    .await;
    assert_eq!(refused(&admin, "select archive_quote_changes('1 month')").await, "42P07");
    // What stands in the way of a month costs that month its own partition, and nobody his change.
    run(&admin, "drop table quote_changes_archive").await;
    let month = "quote_changes_' || to_char(now() at time zone 'UTC', 'YYYY_MM')";
    run(
        &admin,
        &format!(
            "do $$ begin
                 execute 'drop table if exists {month};
                 execute 'create table {month} || ' (like quote_changes)';
             end $$;
             select quote_collab_maintenance(); update quotes set notes = 'kept'"
        ),
    )
    .await;
    assert!(erp.count("select count(*) from quote_changes_default").await > 0);
}

#[tokio::test]
async fn names_of_users_are_read_without_the_code_of_others() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create extension quote_collab_ext; create role hr; create schema hr authorization hr;
         create table hr.people (id uuid, name text, email text);
         create view hr.staff as select id, name, email from hr.people;
         create type hr.label as enum ('x'); create table hr.labelled (id uuid, name hr.label, email text);
         alter table hr.people owner to hr; alter view hr.staff owner to hr; alter type hr.label owner to hr; alter table hr.labelled owner to hr",
    )
    .await;
    let attach = |table: &str| {
        format!(
            "select attach_quote_collaboration('quotes', 'quote_lines', '{{\"users\": {{\"schema\": \"hr\", \"table\": \"{table}\"}}}}')"
        )
    };
    for unsafe_one in ["staff", "labelled"] {
        assert_eq!(refused(&admin, &attach(unsafe_one)).await, "42809", "{unsafe_one}");
    }
    // A table may become a view later, or change hands: asked again whenever names are read.
    run(&admin, &attach("people")).await;
    run(
        &admin,
        "create table visits (who text); grant insert on visits to public;
         create function hr.visit() returns text language plpgsql as $$ begin insert into public.visits values (current_user); return ''; end $$;
         alter table hr.people rename to humans;
         create view hr.people as select id, name || hr.visit() as name, email from hr.humans; alter view hr.people owner to hr;
         insert into hr.humans values ('00000000-0000-4000-8000-000000000001', 'Ada', null);
         select set_config('app.current_user_id', '00000000-0000-4000-8000-000000000001', false); update quotes set notes = 'by Ada'",
    )
    .await;
    run(&admin, "select quote_relay_lease('test', '1 minute'); select quote_relay_open_batch(1)").await;
    run(&admin, "select * from quote_relay_read(1, 0, 100)").await;
    assert_eq!(erp.count("select count(*) from visits").await, 0);
    run(&admin, "alter view hr.people owner to postgres; select * from quote_relay_read(1, 0, 100)").await;
    assert!(erp.count("select count(*) from visits").await > 0, "a superuser's view is read");
}

#[tokio::test]
async fn history_is_not_made_up_with_a_trigger_on_a_table_of_ones_own() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create extension quote_collab_ext; create role forger; create role erp_partitions; grant create on schema public to erp_partitions;
         create table offers (id uuid, tenant_id uuid, region text, primary key (id, region)) partition by list (region);
         create table offer_items (id uuid primary key, tenant_id uuid, offer_id uuid);
         alter table offers owner to erp_partitions; alter table offer_items owner to erp_partitions;
         select attach_quote_collaboration('offers', 'offer_items')",
    )
    .await;
    run(
        &admin,
        "set role forger; create temp table own (id uuid, tenant_id uuid, version integer, notes text)",
    )
    .await;
    let forge = "create trigger own after insert on own for each row execute function capture_quote_change(
        '{\"id\": \"id\", \"tenant\": \"tenant_id\", \"version\": \"version\", \"entity\": \"QUOTE\", \"log\": \"public.quote_changes\"}')";
    assert_eq!(refused(&admin, forge).await, "42501");
    // The owner of a partitioned table goes on adding partitions, whose changes are recorded.
    run(
        &admin,
        "set role erp_partitions; create table offers_north partition of offers for values in ('north'); reset role;
         insert into offers values (gen_random_uuid(), gen_random_uuid(), 'north')",
    )
    .await;
    assert_eq!(erp.count("select count(*) from quote_changes").await, 1);
    run(&admin, "select detach_quote_collaboration(drop_history => true)").await;
    let left = "select count(*) from pg_proc p, aclexplode(p.proacl) a where p.proname = 'capture_quote_change' and a.grantee not in (0, p.proowner)";
    assert_eq!(erp.count(left).await, 0);
}

#[tokio::test]
async fn the_keeper_runs_no_code_of_a_database() {
    let server = Arc::new(Postgres::start_with(Settings::preloaded(&[])).await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create table visits (who text); grant insert on visits to public;
             create schema planted;
             create function planted.equals(a name, b name) returns boolean language plpgsql as
                 $$ begin insert into public.visits values (current_user); return a operator(pg_catalog.=) b; end $$;
             create operator planted.= (leftarg = name, rightarg = name, function = planted.equals);
             create function public.quote_ident(n name) returns text language plpgsql as
                 $$ begin insert into public.visits values (current_user); return pg_catalog.quote_ident(n::text); end $$;
             alter database {} set search_path = planted, pg_catalog, public",
            erp.database()
        ),
    )
    .await;
    let app = erp.client("erp_app").await;
    run(&app, "set search_path = public; update quotes set notes = 'to be sealed'").await;
    erp.wait_until(
        "select (select pg_catalog.sum(rows) from public.quote_changes_seals) operator(pg_catalog.=) (select pg_catalog.count(*) from public.quote_changes)",
    )
    .await;
    assert_eq!(erp.count("select pg_catalog.count(*) from public.visits").await, 0);
}
