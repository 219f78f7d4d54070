//! Tables are found by name. Where one of attach is gone, whoever may create something in its place puts one there whose triggers, views
//! or policies would run his code with the rights of a superuser or of the gateway: none is read, written or planned.

use quote_collab_tests::Erp;
use quote_collab_tests::doctor::consult;
use quote_collab_tests::statement::{run, sqlstate, text};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// A role without rights, but for CREATE on the database and in the schema of the quotes, and code of his that shows whose rights it has.
async fn stranger(erp: &Erp, admin: &Client) -> Client {
    run(
        admin,
        &format!(
            "do $$ begin create role table_stranger login; exception when duplicate_object or unique_violation then null; end $$;
             grant create on database {} to table_stranger; grant create on schema public to table_stranger;
             create table public.evidence (who name, what text); grant insert on evidence to public",
            erp.database()
        ),
    )
    .await;
    let stranger = erp.client("table_stranger").await;
    run(
        &stranger,
        "create function public.evil() returns boolean language plpgsql as $$ begin
             if current_user <> 'table_stranger' then insert into public.evidence values (current_user, 'function'); end if; return true; end $$;
         create function public.evil_trigger() returns trigger language plpgsql as $$ begin perform public.evil(); return coalesce(new, old); end $$",
    )
    .await;
    stranger
}

async fn evidence(admin: &Client) -> String {
    text(admin, "select coalesce(string_agg(distinct who, ', '), 'none') from evidence").await
}

/// What runs with the rights of the extension's owner.
const DEFINERS: [&str; 13] = [
    "select quote_collab_maintenance()",
    "select cleanup_stale_quote_sessions()",
    "select seal_quote_history()",
    "select quote_history_digest()",
    "select quote_relay_lease('somebody', '1 minute')",
    "select * from quote_relay_next_batch(1, 0, '1', 1, 10, 0)",
    "select quote_relay_first_batch()",
    "select quote_relay_last_batch()",
    "select * from quote_relay_read(1, 0, 10)",
    "select quote_relay_checkpoint(1, 1, 1, 1)",
    "select * from quote_relay_position()",
    "select * from quote_presence_snapshot()",
    "select drop_archived_quote_changes('1 day')",
];

/// Tables of the home under their names, with code of their owner wherever it could run.
const HOME: &str = "
    create table HOME.active_quote_sessions (id uuid, last_heartbeat timestamptz);
    insert into HOME.active_quote_sessions values (gen_random_uuid(), 'epoch');
    create trigger evil before delete on HOME.active_quote_sessions for each row execute function public.evil_trigger();
    create view HOME.quote_relay_batch as select 1::bigint as no, evil() as prev from (select) x where public.evil();
    create view HOME.quote_relay_lease as select 1::bigint as epoch where public.evil();
    create view HOME.quote_changes_seals as select 1::bigint as no where public.evil();
    create table HOME.quote_changes (changed_at timestamptz, position bigint) partition by range (changed_at)";

#[tokio::test]
async fn a_schema_that_took_the_name_of_the_home_is_left_alone() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create extension quote_collab_ext; create schema sales authorization erp_owner; set role erp_owner;
         create table sales.quotes (id uuid primary key, tenant_id uuid not null, notes text);
         create table sales.quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid not null);
         reset role; select attach_quote_collaboration('sales.quotes', 'sales.quote_lines')",
    )
    .await;
    let stranger = stranger(&erp, &admin).await;
    run(&admin, "set role erp_owner; drop schema sales cascade; reset role").await;
    run(&stranger, &format!("create schema sales; {}", HOME.replace("HOME", "sales"))).await;
    run(
        &stranger,
        "create view sales.quotes as select gen_random_uuid() as id, gen_random_uuid() as tenant_id, 1 as version where public.evil();
         create view sales.quote_lines as select gen_random_uuid() as id, gen_random_uuid() as tenant_id, gen_random_uuid() as quote_id, 1 as version
         where public.evil()",
    )
    .await;
    for definer in DEFINERS {
        assert_eq!(sqlstate(&admin, definer).await, "55000", "{definer}");
    }
    assert_eq!(
        text(&admin, "select string_agg(distinct finding, ',') from verify_quote_history()").await,
        "structure"
    );
    for reader in [
        "select get_quote(gen_random_uuid())",
        "select record_rejected_quote_change('QUOTE', gen_random_uuid(), 1, '{}')",
        "select update_quote_with_version_check(gen_random_uuid(), 1, '{}')",
        "select update_quote_line_with_version_check(gen_random_uuid(), 1, '{}')",
        "begin; set local app.current_tenant_id = '00000000-0000-4000-8000-000000000001'; select list_quotes()",
    ] {
        assert_eq!(sqlstate(&admin, reader).await, "55000", "{reader}");
        run(&admin, "rollback").await;
    }
    let told = text(
        &admin,
        "select severity || ': ' || message from quote_collab_doctor() where check_name = 'tables are those of attach'",
    )
    .await;
    assert!(told.starts_with("error: ") && told.contains("sales.quote_changes of table_stranger"), "{told}");
    assert_eq!(evidence(&admin).await, "none");
}

#[tokio::test]
async fn a_table_that_took_the_name_of_an_attached_one_is_not_read() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let stranger = stranger(&erp, &admin).await;
    run(&admin, "alter table quotes rename to quotes_of_last_year").await;
    run(
        &stranger,
        "create view public.quotes as select gen_random_uuid() as id, gen_random_uuid() as tenant_id, 1 as version where public.evil();
         grant select on public.quotes to public",
    )
    .await;
    for call in [
        "select record_rejected_quote_change('QUOTE', gen_random_uuid(), 1, '{}')",
        "select get_quote(gen_random_uuid())",
        "select quote_is_accessible(gen_random_uuid())",
        "select * from get_active_quote_sessions(gen_random_uuid())",
    ] {
        assert_eq!(sqlstate(&admin, call).await, "55000", "{call}");
    }
    run(&admin, "select count(*) from quote_collab_doctor()").await;
    assert_eq!(evidence(&admin).await, "none");
    let hint = text(
        &admin,
        "select hint from quote_collab_doctor() where check_name = 'tables are those of attach'",
    )
    .await;
    assert!(hint.starts_with("alter table public.quotes rename to not_ours_quotes;"), "{hint}");
    run(&admin, "drop view quotes; alter table quotes_of_last_year rename to quotes; select get_quote(id) from quotes limit 1").await;
}

#[tokio::test]
async fn who_may_write_every_table_does_not_write_the_settings() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    stranger(&erp, &admin).await;
    run(&admin, "do $$ begin create role writes_all login; exception when duplicate_object or unique_violation then null; end $$; grant pg_write_all_data to writes_all").await;
    let writer = erp.client("writes_all").await;
    for statement in [
        "update quote_collab_settings set log_schema = 'elsewhere'",
        "update quote_collab_settings set owners = owners || 'writes_all'::name",
        "delete from quote_collab_settings",
        "delete from quote_seal_anchor",
    ] {
        assert_eq!(sqlstate(&writer, statement).await, "42501", "{statement}");
    }
}

/// Nor the history of his own tenant, nor what the relay knows.
#[tokio::test]
async fn who_may_write_every_table_does_not_write_the_history() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "do $$ begin create role writes_all login; exception when duplicate_object or unique_violation then null; end $$;
         grant pg_write_all_data, pg_read_all_data to writes_all;
         update quotes set notes = 'theirs'; delete from quote_lines where quote_id = (select id from quotes order by id limit 1)").await;
    let tenant = text(&admin, "select tenant_id::text from quotes limit 1").await;
    let writer = erp.client("writes_all").await;
    run(&writer, &format!("select set_config('app.current_tenant_id', '{tenant}', false)")).await;
    assert_ne!(
        text(&writer, "select count(*)::text from quote_changes").await,
        "0",
        "he reads what is his tenant's"
    );
    for statement in [
        "insert into quote_changes select * from quote_changes limit 1",
        "insert into quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin) values (1, '3:3:', '3:3:', now(), now(), now(), 1)",
        "insert into quote_relay_lease values (true, 1, 'me', 'infinity', 0, 0, 0)",
        "insert into quote_changes_seals select 1",
        "insert into quote_former_versions values (gen_random_uuid(), false, 5, now())",
    ] {
        assert_eq!(sqlstate(&writer, statement).await, "42501", "{statement}");
    }
    for statement in [
        "update quote_changes set changed_by = null",
        "delete from quote_changes",
        "delete from quote_relay_batch",
        "update quote_relay_lease set expires_at = 'infinity'",
        "delete from quote_changes_seals",
        "update quote_former_versions set version = 9223372036854775807",
    ] {
        assert_eq!(writer.execute(statement, &[]).await.unwrap(), 0, "{statement}");
    }
    assert_eq!(text(&writer, "select count(*)::text from quote_former_versions").await, "0");
    assert_ne!(text(&admin, "select count(*)::text from quote_former_versions").await, "0");
}

#[tokio::test]
async fn tables_that_change_hands_are_served_on() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "do $$ begin create role next_owner; exception when duplicate_object or unique_violation then null; end $$;
         do $$ begin create role last_owner; exception when duplicate_object or unique_violation then null; end $$;
         reassign owned by erp_owner to next_owner; select quote_collab_maintenance(); select get_quote(id) from quotes limit 1",
    )
    .await;
    run(&admin, "alter table quotes owner to last_owner; select quote_collab_maintenance(); select get_quote(id) from quotes limit 1").await;
    run(&admin, "select attach_quote_collaboration(); select quote_collab_maintenance()").await;
    assert_eq!(
        text(&admin, "select owners::text from quote_collab_settings where entity = 'QUOTE'").await,
        "{last_owner,next_owner}"
    );
    run(&admin, "reassign owned by next_owner, last_owner to erp_owner").await;
}

fn hint(error: &tokio_postgres::Error) -> String {
    error.as_db_error().and_then(|error| error.hint()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_dump_under_other_owners_says_what_mends_it() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // As a dump brings them from where the tables belonged to somebody else.
    run(&admin, "update quote_collab_settings set owners = '{of_another_cluster}', settled_in = null").await;
    for refused in [
        "select quote_collab_maintenance()",
        "select * from quote_events_since(null)",
        "select get_quote(id) from quotes limit 1",
    ] {
        let error = admin.batch_execute(refused).await.expect_err(refused);
        assert_eq!(error.code().map(SqlState::code), Some("55000"), "{refused}");
        assert!(hint(&error).contains("attach_quote_collaboration() once"), "{refused}: {}", hint(&error));
    }
    run(&admin, "select attach_quote_collaboration(); select quote_collab_maintenance(); select get_quote(id) from quotes limit 1").await;
}

#[tokio::test]
async fn a_history_of_before_is_taken_over_by_the_statements_that_are_told() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "do $$ begin create role new_owner; exception when duplicate_object or unique_violation then null; end $$;
         grant create on schema public to new_owner;
         alter table quotes owner to new_owner; alter table quote_lines owner to new_owner; select attach_quote_collaboration();
         drop extension quote_collab_ext cascade; create extension quote_collab_ext",
    )
    .await;
    let error =
        admin.batch_execute("select attach_quote_collaboration()").await.expect_err("it is of others");
    assert_eq!(error.code().map(SqlState::code), Some("42P07"));
    let hint = hint(&error);
    let statements =
        hint.strip_prefix("If it is of an earlier attach: ").and_then(|hint| hint.split(" Else").next());
    run(&admin, statements.expect("statements")).await;
    run(&admin, "select attach_quote_collaboration(); update quotes set notes = 'taken over'").await;
    assert!(
        consult(&admin)
            .await
            .iter()
            .all(|(check, severity)| severity != "error" || check == "survives a power cut")
    );
    run(&admin, "reassign owned by new_owner to erp_owner; drop owned by new_owner").await;
}

#[tokio::test]
async fn a_log_that_took_the_place_of_the_history_is_not_written() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let stranger = stranger(&erp, &admin).await;
    let quote = erp.quote(0).await;
    run(&admin, "grant select, update on quotes to table_stranger; alter table quote_changes rename to changes_of_last_year; grant select on changes_of_last_year to table_stranger").await;
    run(
        &stranger,
        "create table public.quote_changes (like public.changes_of_last_year); create trigger evil before insert on public.quote_changes
             for each row execute function public.evil_trigger()",
    )
    .await;
    let forged = format!(
        "begin; select set_config('app.current_tenant_id', tenant_id::text, true) from quotes where id = '{quote}'; select from quotes where id = '{quote}' for update;
         select record_rejected_quote_change('QUOTE', '{quote}', 99, '{{\"notes\": \"q\"}}')"
    );
    assert_eq!(sqlstate(&stranger, &forged).await, "55000");
    for reader in [
        format!("select get_quote_change_history('{quote}')"),
        "select * from quote_events_since(null)".to_owned(),
        "select recent_quote_change_names()".to_owned(),
    ] {
        assert_eq!(sqlstate(&admin, &reader).await, "55000", "{reader}");
    }
    assert_eq!(evidence(&admin).await, "none");
}

#[tokio::test]
async fn one_of_several_pairs_may_be_a_strangers() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let stranger = stranger(&erp, &admin).await;
    run(
        &admin,
        "create table orders (like quotes including all); create table order_lines (like quote_lines including all); alter table order_lines rename quote_id to order_id;
         select attach_quote_collaboration('orders', 'order_lines'); alter table orders rename to orders_of_last_year",
    )
    .await;
    run(
        &stranger,
        "create view public.orders as select gen_random_uuid() as id, gen_random_uuid() as tenant_id, 1 as version where public.evil(); grant select on public.orders to public",
    )
    .await;
    run(
        &admin,
        "select get_quote(id) from quotes limit 1; select record_rejected_quote_change('QUOTE', gen_random_uuid(), 1, '{}'); select active_quote_names(), recent_quote_change_names();
         set app.current_tenant_id = 'a0000000-0000-4000-8000-000000000001'; select list_quotes(); select * from v_active_quote_collaborators, v_recent_quote_changes limit 1",
    )
    .await;
    assert_eq!(evidence(&admin).await, "none");
}
