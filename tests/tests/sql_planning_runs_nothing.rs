//! Planning a query is enough to run what the owner of a table, an index or a type put there. Where the rights are a superuser's, or
//! those of the gateway, only what belongs to trusted owners is planned over.

use quote_collab_tests::Erp;
use quote_collab_tests::history::PAST;
use quote_collab_tests::statement::{run, sqlstate};
use tokio_postgres::Client;
use uuid::Uuid;

/// A session folds an expression once and remembers: each victim is a new one.
async fn victim(erp: &Erp, statements: &str) {
    run(&erp.client("postgres").await, statements).await;
}

/// A role that may create things in the schema of the quotes, and functions of its own that write down when a superuser runs them, at
/// execution and at planning: the planner folds an immutable function of constants.
const PLANTER: &str = "
    do $$ begin create role planter; exception when duplicate_object or unique_violation then null; end $$;
    create schema own authorization planter; grant create on schema public to planter; grant usage on schema own to public;
    create table visits (who text); grant insert on visits to public;
    set role planter;
    create function own.visit() returns text language plpgsql as $$ begin
        if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then insert into public.visits values (current_user); end if;
        return 'x';
    end $$;
    create function own.folded(integer) returns text language plpgsql immutable as $$ begin return own.visit(); end $$;
    reset role;";

async fn planted() -> (Erp, Client) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, PLANTER).await;
    (erp, admin)
}

async fn visits(erp: &Erp) -> i64 {
    erp.count("select count(*) from visits").await
}

#[tokio::test]
async fn a_planted_archive_is_none_of_the_history() {
    let (erp, admin) = planted().await;
    run(
        &admin,
        "create table quote_changes_archive (like quote_changes) partition by range (changed_at);
         create table planted_month partition of quote_changes_archive default;
         alter table quote_changes_archive owner to planter; alter table planted_month owner to planter;
         set role planter; create index on planted_month (own.folded(1)); reset role",
    )
    .await;
    victim(&erp, "select * from planted_month").await;
    assert!(visits(&erp).await > 0, "the trap works");
    run(&admin, "delete from visits").await;
    for statement in [
        "update quotes set notes = 'x'",
        "select seal_quote_history()",
        "select quote_collab_maintenance()",
        "select * from verify_quote_history()",
        "select drop_archived_quote_changes('1 day')",
        "select * from quote_collab_doctor()",
        "select grant_quote_gateway('quote_gateway')",
        "select attach_quote_collaboration()",
    ] {
        let outcome = erp.client("postgres").await.batch_execute(statement).await;
        assert!(outcome.is_ok() || statement.contains("attach"), "{statement}: {outcome:?}");
        assert_eq!(visits(&erp).await, 0, "{statement}");
    }
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
    run(&admin, PAST).await;
    assert_eq!(
        sqlstate(&erp.client("postgres").await, "select archive_quote_changes('3 months')").await,
        "42P07"
    );
    assert_eq!(visits(&erp).await, 0);
}

#[tokio::test]
async fn tables_of_names_belong_to_the_owner_of_the_quotes() {
    let (erp, admin) = planted().await;
    run(
        &admin,
        "create table own.people (id uuid, name text, email text); alter table own.people owner to planter;
         set role planter; create index on own.people ((own.folded(1))); reset role",
    )
    .await;
    for kind in ["users", "customers"] {
        let named = format!(
            "select attach_quote_collaboration(options => '{{\"{kind}\": {{\"schema\": \"own\", \"table\": \"people\"}}}}')"
        );
        assert_eq!(sqlstate(&admin, &named).await, "42809", "{kind}");
    }
    // What was read until now changes hands.
    run(
        &admin,
        "alter table users owner to planter; alter table customers owner to planter; set role planter;
         create index on users ((own.folded(1))); create index on customers ((own.folded(1))); reset role",
    )
    .await;
    victim(&erp, "select * from users").await;
    assert!(visits(&erp).await > 0, "the trap works");
    let quote = erp.quote(0).await;
    let tenant = format!(
        "select set_config('app.current_tenant_id', tenant_id::text, false), set_config('app.current_user_id', created_by::text, false)
         from quotes where id = '{quote}'"
    );
    run(&admin, &format!("delete from visits; {tenant}; update quotes set notes = 'x' where id = '{quote}'"))
        .await;
    run(&admin, "select quote_relay_lease('test', '1 minute'); select quote_relay_open_batch(1)").await;
    let read = format!(
        "{tenant}; select * from quote_relay_read(1, 0, 100); select * from list_quotes(); select * from get_quote_change_history('{quote}', 5);
         select * from quote_events_since(null, 10); select * from join_quote_session('{quote}');
         select * from update_quote_with_version_check('{quote}', (select version from quotes where id = '{quote}'), '{{\"notes\": \"y\"}}')"
    );
    victim(&erp, &read).await;
    assert_eq!(visits(&erp).await, 0);
    run(&admin, "grant erp_owner to planter").await;
    victim(&erp, &read).await;
    assert!(visits(&erp).await > 0, "who may act as the owner of the quotes is trusted as he is");
    run(&admin, "revoke erp_owner from planter; delete from visits").await;
    victim(&erp, "select attach_quote_collaboration()").await;
    victim(&erp, "select * from quote_collab_doctor()").await;
    victim(&erp, &read).await;
    assert_eq!(visits(&erp).await, 0);
}

#[tokio::test]
async fn tables_with_copied_triggers_are_not_taken_for_renamed_ones() {
    let (erp, admin) = planted().await;
    run(
        &admin,
        "create table own.quotes (like quotes); create table own.quote_lines (like quote_lines);
         alter table own.quotes owner to planter; alter table own.quote_lines owner to planter",
    )
    .await;
    let triggers: Vec<String> = admin
        .query(
            "select replace(pg_get_triggerdef(oid), ' ON public.', ' ON own.') from pg_trigger
             where tgname like 'trg\\_increment%' and tgrelid in ('quotes'::regclass, 'quote_lines'::regclass)",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(triggers.len(), 2);
    for trigger in triggers {
        run(&admin, &format!("set role planter; {trigger}; reset role")).await;
    }
    run(
        &admin,
        "alter table quotes rename to offers; alter table quote_lines rename to offer_lines;
         select attach_quote_collaboration('offers', 'offer_lines')",
    )
    .await;
    let pairs = "select count(*) from quote_collab_settings where table_schema = 'own'";
    assert_eq!(erp.count(pairs).await, 0);
    assert_eq!(erp.count("select count(*) from quote_collab_settings").await, 2);
    run(&admin, "select detach_quote_collaboration(drop_history => true)").await;
    // An argument that is no JSON, however deep, is nobody's.
    run(
        &admin,
        "set role planter;
         do $$ begin execute format('create trigger deep before update on own.quotes for each row execute function increment_quote_version(%L)', repeat('[', 60000)); end $$;
         reset role; select attach_quote_collaboration('offers', 'offer_lines'); select detach_quote_collaboration()",
    )
    .await;
}

#[tokio::test]
async fn a_save_runs_nothing_that_the_path_brings() {
    let (erp, admin) = planted().await;
    let quote = erp.quote(0).await;
    let line: Uuid = admin
        .query_one("select id from quote_lines where quote_id = $1 limit 1", &[&quote])
        .await
        .unwrap()
        .get(0);
    run(
        &admin,
        &format!(
            "alter table quotes alter tax_amount type bigint; set role planter;
             create function public.to_jsonb(q public.quotes) returns jsonb language plpgsql as $$ begin perform own.visit(); return '{{}}'; end $$;
             create function public.to_jsonb(q public.quote_lines) returns jsonb language plpgsql as $$ begin perform own.visit(); return '{{}}'; end $$;
             create function public.planted(a numeric, b bigint) returns numeric language plpgsql as $$ begin perform own.visit(); return 300; end $$;
             create operator public.+ (leftarg = numeric, rightarg = bigint, function = public.planted);
             create function public.sum_step(a numeric, b numeric) returns numeric language plpgsql as $$ begin perform own.visit(); return 300; end $$;
             reset role;
             select set_config('app.current_tenant_id', tenant_id::text, false), set_config('app.current_user_id', created_by::text, false)
             from quotes where id = '{quote}'; set search_path = public"
        ),
    )
    .await;
    let saved = format!(
        "do $$ begin
             if not (select success from update_quote_with_version_check('{quote}', (select version from quotes where id = '{quote}'),
                 '{{\"shipping_amount\": 5, \"notes\": \"x\"}}')) then raise 'not saved'; end if;
             if not (select success from update_quote_line_with_version_check('{line}', (select version from quote_lines where id = '{line}'),
                 '{{\"quantity\": 2, \"unit_price\": 3}}')) then raise 'not saved'; end if;
         end $$"
    );
    run(&admin, &saved).await;
    assert_eq!(visits(&erp).await, 0);
    let right = format!(
        "select count(*) from quotes where id = '{quote}' and total_amount = subtotal operator(pg_catalog.+) tax_amount::numeric + shipping_amount - discount_amount"
    );
    assert_eq!(erp.count(&right).await, 1);
}

#[tokio::test]
async fn a_rejection_runs_no_cast_of_a_type() {
    let (erp, admin) = planted().await;
    let quote = erp.quote(0).await;
    run(
        &admin,
        &format!(
            "set role planter; create type own.state as enum ('open', 'shut'); reset role;
             alter table quotes add column state own.state default 'open', add column states own.state[] default '{{open,shut}}';
             set role planter;
             create function own.told(own.state) returns json language plpgsql as $$ begin perform own.visit(); return '\"told\"'; end $$;
             create function own.told_text(own.state) returns text language plpgsql as $$ begin perform own.visit(); return 'told'; end $$;
             create cast (own.state as json) with function own.told(own.state); create cast (own.state as text) with function own.told_text(own.state);
             reset role; grant usage on schema own to erp_app;
             update quotes set notes = 'seen' where id = '{quote}'"
        ),
    )
    .await;
    let tenant: Uuid =
        admin.query_one("select tenant_id from quotes where id = $1", &[&quote]).await.unwrap().get(0);
    run(&admin, "delete from visits").await;
    let app = erp.client("erp_app").await;
    run(
        &app,
        &format!(
            "begin; select set_config('app.current_tenant_id', '{tenant}', true); select from quotes where id = '{quote}' for update;
             select record_rejected_quote_change('QUOTE', '{quote}', 1, '{{\"state\": \"shut\", \"states\": null, \"notes\": \"mine\"}}'); commit"
        ),
    )
    .await;
    assert_eq!(visits(&erp).await, 0);
    let noted = "select count(*) from quote_changes where conflict_resolution = 'REJECTED'
        and (field_name, old_value) in (('state', '\"open\"'), ('states', '\"{open,shut}\"'), ('notes', '\"seen\"'))";
    assert_eq!(erp.count(noted).await, 3);
}
