//! Whoever may create something beside the extension, or owns a database, plants what looks like part of it: nothing of that is
//! run with the rights of the superuser, and nothing of it is taken for ours.

use std::sync::Arc;

use quote_collab_tests::statement::{run, sqlstate, text};
use quote_collab_tests::{Erp, Postgres, Settings};

/// Beside each function one for each type that PostgreSQL might like better for an argument, and one for each argument that
/// could be left out. Of what people call without all arguments, only internal calls count.
const PLANT: &str = r#"
    do $$
    declare
        f record;
        others jsonb := '{
            "name": ["text", "varchar"], "text": ["name", "varchar"], "regclass": ["oid", "text"], "uuid": ["text"], "jsonb": ["json", "text"],
            "integer": ["bigint", "smallint", "numeric"], "bigint": ["integer", "numeric"], "smallint": ["integer", "text"],
            "interval": ["text"], "timestamp with time zone": ["timestamp", "text"], "boolean": ["text"], "oid": ["regclass", "bigint"],
            "text[]": ["name[]", "text"], "regclass[]": ["oid[]"], "bytea": ["text"], "pg_snapshot": ["text"], "name[]": ["text[]"]}';
        types text[];
        other text;
        planted integer := 0;
    begin
        for f in
            select p.oid, p.proname, p.pronargs, p.pronargdefaults, n.nspname,
                array(select format_type(a.t, null) from unnest(p.proargtypes) with ordinality a (t, place) order by a.place) as arguments
            from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
            join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
            where p.prokind = 'f' and p.pronargs > 0 and 'internal'::regtype <> all (p.proargtypes)
        loop
            for place in 1 .. f.pronargs loop
                for other in select jsonb_array_elements_text(others -> f.arguments[place]) loop
                    types := f.arguments;
                    types[place] := other;
                    begin
                        execute format($f$create function %I.%I(%s) returns text language plpgsql as
                            'begin raise exception ''planted %s was called''; end'$f$, f.nspname, f.proname, array_to_string(types, ', '), f.proname);
                        planted := planted + 1;
                    exception when duplicate_function then null;
                    end;
                end loop;
            end loop;
            for arguments in f.pronargs - f.pronargdefaults .. f.pronargs - 1 loop
                continue when f.proname ~ '^(attach|detach)_quote_collaboration$';
                begin
                    execute format($f$create function %I.%I(%s) returns text language plpgsql as
                        'begin raise exception ''planted %s was called''; end'$f$, f.nspname, f.proname,
                        array_to_string(f.arguments[1 : arguments], ', '), f.proname);
                    planted := planted + 1;
                exception when duplicate_function then null;
                end;
            end loop;
        end loop;
        assert planted > 300, planted;
    end $$"#;

/// What attach, saving, reading, relaying and keeping house call, each argument of its very type.
const LIVE: [&str; 31] = [
    "select attach_quote_collaboration('quotes'::regclass, 'quote_lines'::regclass, '{\"truncate\": \"record\", \"archive_after\": \"1 day\", \"drop_after\": \"2 days\"}'::jsonb)",
    "select grant_quote_gateway('quote_gateway'::name)",
    "update quotes set notes = 'one'; update quote_lines set description = 'two'",
    "select update_quote_with_version_check(id, version, '{\"notes\": \"three\"}'::jsonb, null::uuid, 'reject'::text) from quotes limit 1",
    "select update_quote_with_version_check(id, version - 1, '{\"notes\": \"four\"}'::jsonb, null::uuid, 'reject'::text) from quotes where version > 1 limit 1",
    "select update_quote_line_with_version_check(id, version, '{\"quantity\": 3}'::jsonb, null::uuid, 'reject'::text) from quote_lines limit 1",
    "select check_quote_version(id, version), has_quote_been_updated(id, version), quote_is_accessible(id), get_quote(id) from quotes limit 1",
    "select check_quote_line_version(id, version) from quote_lines limit 1",
    "select record_rejected_quote_change('QUOTE'::text, id, version, '{\"notes\": \"five\"}'::jsonb) from quotes limit 1",
    "select get_quote_change_history(id, 10::integer) from quotes limit 1",
    "select set_config('app.current_tenant_id', gen_random_uuid()::text, true), list_quotes(10::integer)",
    "select join_quote_session(id, null::uuid, '00000000-0000-4000-8000-000000000001'::uuid, 'Ada'::text, 'ada@example.test'::text, 'VIEWING'::text) from quotes limit 1",
    "select heartbeat_quote_session(session_id, null::uuid, 'notes'::text, 3::integer, true, 'EDITING'::text), get_active_quote_sessions(quote_id) from active_quote_sessions",
    "select leave_quote_session(session_id) from active_quote_sessions",
    "select quote_events_since(quote_events_cursor(), 10::integer), quote_events_since(null::text, 10::integer)",
    "select count(*) from v_recent_quote_changes, v_active_quote_collaborators",
    "select quote_relay_lease('test'::text, '1 minute'::interval)",
    "select quote_relay_open_batch(1::bigint)",
    "update quotes set notes = 'relayed'; select quote_relay_next_batch(1::bigint, 0::bigint, i.system_identifier, i.timeline, 10::integer, 0::bigint) from quote_relay_identity() i",
    "select quote_relay_read(1::bigint, 0::bigint, 10::integer), quote_relay_identity(), quote_relay_first_batch(), quote_relay_last_batch()",
    "select quote_relay_checkpoint(1::bigint, 1::bigint, 1::bigint, 1::bigint), quote_relay_position(), quote_presence_snapshot()",
    "select quote_events_between(id, 0::bigint, 0::bigint, 1::bigint, 1000::bigint, 10::integer) from quotes limit 1",
    "select quote_collab_maintenance()",
    "select verify_quote_history(quote_history_digest()), verify_quote_history(null::text)",
    "select quote_collab_doctor()",
    "select archive_quote_changes('1 day'::interval), drop_archived_quote_changes('1 day'::interval)",
    "alter table quotes add column remark text; select attach_quote_collaboration('quotes'::regclass, 'quote_lines'::regclass, '{\"truncate\": \"record\"}'::jsonb)",
    "truncate quote_lines",
    "create table orders (like quotes including all); create table order_lines (like quote_lines including all); alter table order_lines rename quote_id to order_id",
    "select attach_quote_collaboration('orders'::regclass, 'order_lines'::regclass, '{}'::jsonb); select count(*) from v_recent_quote_changes, v_active_quote_collaborators",
    "select detach_quote_collaboration(false, 'orders'::regclass), detach_quote_collaboration(true, null::regclass)",
];

#[tokio::test]
async fn an_overload_of_a_function_is_never_called() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create extension quote_collab_ext").await;
    run(&admin, PLANT).await;
    let mut wrong = Vec::new();
    for statement in LIVE {
        if let Err(error) = admin.batch_execute(statement).await {
            let error = error.as_db_error().expect("the server answered");
            wrong.push(format!("{statement}: {} {:?} {:?}", error.message(), error.detail(), error.where_()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
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
        assert_eq!(sqlstate(&admin, ATTACH).await, "42P07", "{name}");
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
    assert_eq!(sqlstate(&admin, "select archive_quote_changes('1 month')").await, "42P07");
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
async fn a_truncate_runs_no_cast_of_somebody_else() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create extension quote_collab_ext; create role caster; create schema planted authorization caster; grant usage on schema planted to public;
         set role caster; create type planted.mood as enum ('good', 'bad'); create domain planted.moods as planted.mood;
         create function planted.evil(planted.mood) returns json language plpgsql as $$ begin raise exception 'run as %', current_user; end $$;
         create cast (planted.mood as json) with function planted.evil(planted.mood);
         reset role; create type marks as (mark planted.mood, grade integer); create type size as (width integer, height integer); alter type size owner to caster;
         alter table quotes add mood planted.mood default 'good', add moods planted.moods[] default '{bad}', add marks marks default '(bad,2)', add none planted.mood,
             add size size default '(3,4)', add sizes size[] default '{\"(5,6)\"}';
         select attach_quote_collaboration(options => '{\"truncate\": \"record\"}'); truncate quotes cascade",
    )
    .await;
    let told = "select distinct concat_ws(' ', old_value -> 'mood', old_value -> 'moods', old_value -> 'marks', old_value -> 'none', old_value -> 'size', old_value -> 'sizes')
        from quote_changes where entity_type = 'QUOTE' and change_type = 'DELETE'";
    assert_eq!(
        text(&admin, told).await,
        "\"good\" \"{bad}\" \"(bad,2)\" null {\"width\": 3, \"height\": 4} [{\"width\": 5, \"height\": 6}]"
    );
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
    for unsafe_one in ["staff", "labelled", "people"] {
        assert_eq!(sqlstate(&admin, &attach(unsafe_one)).await, "42809", "{unsafe_one}");
    }
    // A table may become a view later, or change hands: asked again whenever names are read.
    run(&admin, &format!("grant erp_owner to hr; {}; revoke erp_owner from hr", attach("people"))).await;
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
    assert_eq!(sqlstate(&admin, forge).await, "42501");
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
