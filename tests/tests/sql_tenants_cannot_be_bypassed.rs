//! A role with rights on the tables, row security on all of them, and another tenant's rows that it must never reach.

use quote_collab_tests::Erp;
use quote_collab_tests::bypass::Outcome::{Empty, Harmless, Own, Refused};
use quote_collab_tests::bypass::{Attempt, scene, try_all};
use quote_collab_tests::statement::{run, text};

/// On the log and what belongs to it.
const LOG: [Attempt; 34] = [
    ("own history is there", "select new_value from quote_changes", Own),
    ("history by quote", "select * from quote_changes where quote_id = 'QUOTE'", Empty),
    ("history by tenant", "select * from quote_changes where tenant_id = 'TENANT'", Empty),
    ("history through or true", "select * from quote_changes where tenant_id = 'TENANT' or true", Own),
    ("history only", "select * from only quote_changes", Empty),
    ("view of events", "select * from v_quote_change_events where quote_id = 'QUOTE'", Empty),
    ("view of recent changes", "select * from v_recent_quote_changes where quote_id = 'QUOTE'", Empty),
    ("view of all history", "select * from v_quote_changes_all where quote_id = 'QUOTE'", Empty),
    ("view of collaborators", "select * from v_active_quote_collaborators where quote_id = 'QUOTE'", Empty),
    ("sessions", "select * from active_quote_sessions where quote_id = 'QUOTE'", Empty),
    ("partition of this month", "PARTITION", Refused("42501")),
    ("default partition", "select * from quote_changes_default", Refused("42501")),
    ("relay batches", "select * from quote_relay_batch", Refused("42501")),
    ("relay lease", "update quote_relay_lease set epoch = 0", Refused("42501")),
    ("seals", "select * from quote_changes_seals", Refused("42501")),
    ("insert into the log", "insert into quote_changes select * from quote_changes", Refused("42501")),
    ("update the log", "update quote_changes set new_value = null", Refused("42501")),
    ("delete from the log", "delete from quote_changes", Refused("42501")),
    ("truncate the log", "truncate quote_changes", Refused("42501")),
    ("lock the log", "lock table quote_changes in access exclusive mode", Refused("42501")),
    (
        "merge into the log",
        "merge into quote_changes c using quotes q on false when not matched then insert (id) values (q.id)",
        Refused("42501"),
    ),
    ("copy into the log", "copy quote_changes from stdin", Refused("42501")),
    ("disable row security", "alter table quote_changes disable row level security", Refused("42501")),
    ("drop the policy", "drop policy quote_changes_tenant_isolation on quote_changes", Refused("42501")),
    ("add a policy", "create policy mine on quote_changes using (true)", Refused("42501")),
    (
        "add a trigger",
        "create trigger mine after insert on quote_changes for each row execute function tsvector_update_trigger('a', 'b', 'c')",
        Refused("42501"),
    ),
    (
        "switch row security off",
        "set local row_security = off; select * from quote_changes",
        Refused("42501"),
    ),
    ("replication role", "set local session_replication_role = replica", Refused("42501")),
    (
        "statistics",
        "select * from pg_stats where tablename like 'quote_changes%' and most_common_vals::text like '%canary%'",
        Empty,
    ),
    ("next position", "select nextval('quote_changes_position_seq')", Refused("42501")),
    (
        "division by zero as an oracle",
        "select 1 / (case when new_value::text like '%canary%' then 0 else 1 end) from quote_changes",
        Own,
    ),
    (
        "cast error as an oracle",
        "select case when new_value::text like '%canary%' then new_value::text::int end from quote_changes",
        Harmless,
    ),
    (
        "a cheap function that tells",
        "create function pg_temp.tell(x jsonb) returns boolean language plpgsql cost 0.0000001 as $$ begin if x::text like '%canary%' then raise exception 'leak %', x; end if; return true; end $$; select 1 from quote_changes where pg_temp.tell(new_value)",
        Own,
    ),
    (
        "a cheap operator that tells",
        "create function pg_temp.tells(a jsonb, b jsonb) returns boolean language plpgsql cost 0.0000001 as $$ begin if a::text like '%canary%' then raise exception 'leak %', a; end if; return true; end $$; create operator pg_temp.<<< (leftarg = jsonb, rightarg = jsonb, function = pg_temp.tells, restrict = contsel); select 1 from quote_changes where new_value operator(pg_temp.<<<) '1'::jsonb",
        Own,
    ),
];

/// With the functions of the extension.
const FUNCTIONS: [Attempt; 30] = [
    ("get_quote", "select get_quote('QUOTE')", Refused("P0002")),
    ("get_quote_change_history", "select * from get_quote_change_history('QUOTE')", Empty),
    ("has_quote_been_updated", "select has_quote_been_updated('QUOTE', 1)", Refused("P0002")),
    ("quote_is_accessible", "select 1 where quote_is_accessible('QUOTE')", Empty),
    ("list_quotes", "select * from list_quotes(1000)", Own),
    ("check_quote_version", "select check_quote_version('QUOTE', 1)", Refused("P0002")),
    ("check_quote_line_version", "select check_quote_line_version('LINE', 1)", Refused("P0002")),
    (
        "save",
        "select update_quote_with_version_check('QUOTE', 2, '{\"notes\": \"taken\"}')",
        Refused("P0002"),
    ),
    (
        "save of a line",
        "select update_quote_line_with_version_check('LINE', 2, '{\"description\": \"taken\"}')",
        Refused("P0002"),
    ),
    ("join", "select join_quote_session('QUOTE', null, gen_random_uuid())", Refused("P0002")),
    (
        "join with the session of another",
        "select join_quote_session((select id from quotes limit 1), 'SESSION', gen_random_uuid())",
        Refused("42501"),
    ),
    ("heartbeat for another", "select 1 where heartbeat_quote_session('SESSION')", Empty),
    ("leave for another", "select 1 where leave_quote_session('SESSION')", Empty),
    ("who is there", "select get_active_quote_sessions('QUOTE')", Refused("P0002")),
    ("events from the beginning", "select * from quote_events_since(null, 10000)", Own),
    (
        "events between",
        "select * from quote_events_between('QUOTE', 0, 0, 9223372036854775807, 0, 100)",
        Refused("42501"),
    ),
    ("relay: open", "select quote_relay_open_batch(1)", Refused("42501")),
    ("relay: next", "select * from quote_relay_next_batch(1, 0, '', 1, 10, 0)", Refused("42501")),
    (
        "relay: text of a query",
        "select quote_kept_query('quote_batch_query()'::regprocedure::oid)",
        Refused("42501"),
    ),
    (
        "relay: months of the log",
        "select quote_log_months('quote_changes'::regclass::oid, now())",
        Refused("42501"),
    ),
    ("relay: read", "select * from quote_relay_read(1, 0, 100)", Refused("42501")),
    ("relay: lease", "select quote_relay_lease('me', '1 hour')", Refused("42501")),
    ("presence of all", "select quote_presence_snapshot()", Refused("42501")),
    ("maintenance", "select quote_collab_maintenance()", Refused("42501")),
    ("archive", "select archive_quote_changes('1 day')", Refused("42501")),
    ("attach", "select attach_quote_collaboration()", Refused("42501")),
    ("detach", "select detach_quote_collaboration(true)", Refused("42501")),
    ("grant", "select grant_quote_gateway('erp_app')", Refused("42501")),
    (
        "note a rejection for another",
        "select record_rejected_quote_change('QUOTE', 'QUOTE', 1, '{\"notes\": \"forged\"}'); select * from quote_changes where quote_id = 'QUOTE'",
        Empty,
    ),
    (
        "shadowed by temporary objects",
        "create temp table quotes (id uuid, tenant_id uuid, version int); create temp table quote_collab_settings (entity text); create function pg_temp.now() returns timestamptz language sql as 'select null::timestamptz'; set local search_path = pg_temp, public; select * from public.list_quotes(5)",
        Own,
    ),
];

/// With statements on the ERP's own tables, which carry row security in this test.
const TABLES: [Attempt; 21] = [
    ("select", "select * from quotes where id = 'QUOTE'", Empty),
    ("select for update", "select * from quotes where id = 'QUOTE' for update", Empty),
    ("update", "update quotes set notes = 'taken' where id = 'QUOTE' returning id", Empty),
    (
        "update without a condition",
        "update quotes set notes = 'mine' where tenant_id = 'TENANT' returning id",
        Empty,
    ),
    ("move a quote there", "update quotes set tenant_id = 'TENANT'", Refused("42501")),
    (
        "insert there",
        "insert into quote_lines (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount) select gen_random_uuid(), 'TENANT', 'QUOTE', 99, 1, 1, 1",
        Refused("42501"),
    ),
    ("delete", "delete from quote_lines where id = 'LINE' returning id", Empty),
    (
        "merge",
        "merge into quotes q using (select 'QUOTE'::uuid as id) x on q.id = x.id when matched then update set notes = 'taken'; select * from quotes where id = 'QUOTE'",
        Empty,
    ),
    (
        "as json",
        "select json_agg(c) from quote_changes c where quote_id = 'QUOTE' having count(*) > 0",
        Empty,
    ),
    ("truncate", "truncate quote_lines", Refused("42501")),
    ("no tenant", "select set_config('app.current_tenant_id', '', true); select * from quote_changes", Empty),
    (
        "a tenant that is none",
        "select set_config('app.current_tenant_id', 'nonsense', true); select * from quote_changes",
        Refused("22P02"),
    ),
    (
        "a tenant that does not exist",
        "select set_config('app.current_tenant_id', gen_random_uuid()::text, true); select * from quote_changes",
        Empty,
    ),
    (
        "a view of one's own",
        "create temp view v as select * from quote_changes; select * from v where quote_id = 'QUOTE'",
        Empty,
    ),
    (
        "a rule of one's own",
        "create temp table t (a int); create rule r as on insert to t do instead select * from quote_changes where quote_id = 'QUOTE'; insert into t values (1)",
        Empty,
    ),
    (
        "a cursor kept over a change of tenant",
        "declare c cursor for select * from quote_changes; select set_config('app.current_tenant_id', gen_random_uuid()::text, true); fetch all from c",
        Harmless,
    ),
    (
        "a savepoint that sets no tenant",
        "savepoint a; select set_config('app.current_tenant_id', '', true); rollback to a; select new_value from quote_changes",
        Own,
    ),
    (
        "parallel workers",
        "set local max_parallel_workers_per_gather = 4; set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local min_parallel_table_scan_size = 0; select * from quote_changes where quote_id = 'QUOTE'",
        Empty,
    ),
    (
        "large join",
        "select c.* from quote_changes c right join generate_series(1, 10) g on true where c.quote_id = 'QUOTE'",
        Empty,
    ),
    (
        "explain analyze",
        "explain (analyze, verbose, costs off, timing off) select * from quote_changes where quote_id = 'QUOTE'",
        Harmless,
    ),
    (
        "lateral subquery",
        "select (select max(new_value::text) from quote_changes c where c.tenant_id = 'TENANT') is not null as seen group by 1 having (select max(new_value::text) from quote_changes c where c.tenant_id = 'TENANT') is not null",
        Empty,
    ),
];

#[tokio::test]
async fn through_the_log() {
    try_all(&LOG).await;
}

#[tokio::test]
async fn through_the_functions() {
    try_all(&FUNCTIONS).await;
}

#[tokio::test]
async fn through_the_tables() {
    try_all(&TABLES).await;
}

#[tokio::test]
async fn through_a_plan_that_was_made_for_another() {
    let erp = Erp::attached().await;
    let (victim, client) = scene(&erp, "erp_app").await;
    for mode in ["force_generic_plan", "force_custom_plan", "auto"] {
        client.batch_execute(&format!("set plan_cache_mode = {mode}; deallocate all; prepare seen as select tenant_id::text from quote_changes")).await.unwrap();
        for turn in 0..8 {
            let tenant = if turn % 2 == 0 { victim.tenant } else { erp.tenants().await[0] };
            client.batch_execute(&format!("set app.current_tenant_id = '{tenant}'")).await.unwrap();
            for message in client.simple_query("execute seen").await.unwrap() {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                    assert_eq!(row.get(0), Some(tenant.to_string().as_str()), "{mode}");
                }
            }
        }
    }
}

#[tokio::test]
async fn no_function_of_ours_promises_too_much() {
    let erp = Erp::attached().await;
    let ours = "from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'";
    // An immutable function that reads a setting keeps one tenant's answer in another's plan.
    let immutable = format!(
        "select count(*) {ours} where p.provolatile = 'i' and (p.prosrc ~ 'current_setting|current_quote_tenant' or p.proname = 'current_quote_tenant')"
    );
    assert_eq!(erp.count(&immutable).await, 0);
    let open: Vec<String> = erp
        .client("postgres")
        .await
        .query(&format!("select p.proname::text {ours} where p.prosecdef and has_function_privilege('public', p.oid, 'execute') order by 1"), &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    // They believe nothing: they find the row themselves, for the current tenant, and say nothing unless the caller has locked it. Those of the
    // feed say when somebody sealed, what was over then, and whether anything was archived since.
    let expected = [
        "quote_feed_floor",
        "quote_feed_is_cut",
        "quote_feed_waypoint",
        "quote_former_life",
        "quote_log_cut",
        "record_rejected_quote_change",
    ];
    assert_eq!(open, expected);
}

/// An API server that offers functions to its users, with the role and the tenant set for each, has them run with all that its login may.
#[tokio::test]
async fn no_function_for_everybody_runs_sql_that_it_is_given() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let taken = "select p.oid::regprocedure::text from pg_proc p join pg_depend d on d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
        join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
        where has_function_privilege('public', p.oid, 'execute') and p.prosrc ~ '\\mexecute\\M' and 'text'::regtype = any (p.proargtypes::oid[]) order by 1";
    let taken: Vec<String> = admin.query(taken, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let harmless = [
        "add_quote_columns(regclass,text,jsonb,integer)", // which kind of table
        "explain_quote_query(text)",                      // EXPLAIN runs nothing that is not immutable
        "find_quote_row(quote_collab_settings,uuid,text)", // one of two locks
        "heartbeat_quote_session(uuid,uuid,text,integer,boolean,text)", // values
        "join_quote_session(uuid,uuid,uuid,text,text,text)", // values
        "quote_made_key(regclass,name,text,regclass)",    // a hint, of statements that it does not run
        "record_rejected_quote_change(text,uuid,integer,jsonb)", // which kind of table
        "update_quote_row(quote_collab_settings,uuid,jsonb,text,jsonb,text)", // why, a number, and a search path
    ];
    assert_eq!(taken, harmless);
    run(
        &admin,
        "create function planted(quotes) returns numeric language sql volatile as
             $$ select length(set_config('app.current_tenant_id', 'b0000000-0000-4000-8000-000000000002', false)) $$",
    )
    .await;
    let app = erp.client("erp_app").await;
    let quote = erp.quote(0).await;
    run(
        &app,
        "prepare mine (text) as select $1; set app.current_tenant_id = 'a0000000-0000-4000-8000-000000000001'; create temp view v as select 1 as a; create temp table mine ()",
    )
    .await;
    let other = "set_config('app.current_tenant_id', 'b0000000-0000-4000-8000-000000000002', false)";
    for given in [
        format!("replace_quote_view('pg_temp.v', $$select 1 a; select {other}$$, '', 'erp_app')"),
        format!(
            "update_quote_row(s, '{quote}', '{{}}', 'lines', jsonb_build_object('total_amount', $$1::numeric; select {other}$$), '') from quote_collab_settings s where entity = 'QUOTE'"
        ),
        format!(
            "update_quote_row(s, '{quote}', jsonb_build_object('notes = (select {}), notes', 1), 'save', '{{}}', '') from quote_collab_settings s where entity = 'QUOTE'",
            other.replace('\'', "''")
        ),
        format!(
            "quote_amounts_tried(s, '{quote}', '{{}}', $$(select {other})$$, $$public; select {other}$$) from quote_collab_settings s where entity = 'QUOTE'"
        ),
        format!("add_quote_column('mine', 'a', $$text default {other}$$, 'version')"),
        format!(
            "apply_quote_changes(s, '{quote}', '{{}}', '{{}}', $$(select {other})$$, '') from quote_collab_settings s where entity = 'QUOTE'"
        ),
        format!(
            "apply_quote_changes(s, '{quote}', '{{}}', '{{}}', 'lines', $$public; select {other}$$) from quote_collab_settings s where entity = 'QUOTE'"
        ),
        format!(
            "quote_line_quotes($$public.quote_changes where {other} = ''; --$$, '{quote}', '{quote}', now())"
        ),
        format!("explain_quote_query($$select {other}$$)"),
        format!("explain_quote_query($$execute mine({other})$$)"),
        format!("explain_quote_query($$select 1) planned; select {other}; select * from (select 1$$)"),
        format!(
            "apply_quote_changes(json_populate_record(s, '{{\"columns\": {{\"id\": \"id\", \"tenant\": \"tenant_id\", \"subtotal\": \"version\",
                 \"total_amount\": \"total_amount\", \"tax_amount\": \"planted\"}}}}'), '{quote}', '{{}}', '{{\"version\": 5}}', 'save', 'public')
             from quote_collab_settings s where entity = 'QUOTE'"
        ),
        format!(
            "find_quote_row(s, '{quote}', $$; select {other}$$) from quote_collab_settings s where entity = 'QUOTE'"
        ),
    ] {
        let _ = app.batch_execute(&format!("select {given}")).await;
        assert_eq!(
            text(&app, "show app.current_tenant_id").await,
            "a0000000-0000-4000-8000-000000000001",
            "{given}"
        );
    }
}
