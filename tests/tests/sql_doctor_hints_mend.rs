//! What the doctor hints at mends what it is given for, word for word.

use std::sync::Arc;

use quote_collab_tests::doctor::{consult, examine, mend};
use quote_collab_tests::{Erp, Postgres, Settings};

/// Faults that the hint mends word for word, and the check that must tell.
const MENDED: [(&str, &str); 159] = [
    (
        "create or replace function quote_grantee(role oid) returns text language sql stable set search_path = pg_catalog, pg_temp as 'select ''nobody'''",
        "functions as released",
    ),
    (
        "create or replace function increment_quote_line_version() returns trigger language plpgsql as 'begin return new; end'",
        "functions as released",
    ),
    ("alter function current_quote_tenant() immutable", "functions as released"),
    ("alter function quote_relay_read(bigint, bigint, integer) reset enable_seqscan", "functions as released"),
    ("alter function quote_relay_table(text) set search_path = public", "functions as released"),
    ("alter function quote_collab_maintenance() owner to erp_app", "functions as released"),
    ("alter extension quote_collab_ext drop function quote_grantee(oid)", "functions as released"),
    (
        "alter extension quote_collab_ext drop function drop_archived_quote_changes(interval); drop function drop_archived_quote_changes(interval)",
        "functions as released",
    ),
    (
        "alter extension quote_collab_ext drop function quote_relay_first_batch(); drop function quote_relay_first_batch()",
        "functions as released",
    ),
    (
        "alter extension quote_collab_ext drop function uuid_generate_v7(); create function uuid_generate_v7(integer) returns uuid language sql as 'select null::uuid'",
        "functions as released",
    ),
    (
        "create function everything() returns boolean language sql as 'select true'; alter extension quote_collab_ext add function everything()",
        "functions as released",
    ),
    (
        "create or replace trigger trg_guard_quote_session before insert or update of status or delete on active_quote_sessions for each row execute function guard_quote_session()",
        "presence guarded",
    ),
    ("alter table active_quote_sessions disable trigger trg_guard_quote_session", "presence guarded"),
    ("drop trigger trg_guard_quote_session on active_quote_sessions", "presence guarded"),
    ("alter table quote_changes alter column position drop default", "positions left"),
    (
        "do $$ begin execute format('alter table quote_changes detach partition quote_changes_%s', to_char(now() at time zone 'UTC', 'YYYY_MM')); end $$",
        "partition of this month",
    ),
    (
        "do $$ begin execute format('drop table quote_changes_%s', to_char((date_trunc('month', now() at time zone 'UTC') + interval '1 month'), 'YYYY_MM')); end $$",
        "partition of next month",
    ),
    ("alter table quote_changes detach partition quote_changes_default", "default partition present"),
    ("drop table quote_changes_default", "default partition present"),
    ("drop sequence quote_changes_position_seq cascade", "positions left"),
    (
        "update quotes set notes = 'numbered'; drop sequence quote_changes_position_seq cascade",
        "positions left",
    ),
    (
        "do $$ begin execute format('alter table quote_changes detach partition quote_changes_%s', to_char(now() at time zone 'UTC', 'YYYY_MM')); end $$;
         update quotes set notes = 'since'",
        "partition of this month",
    ),
    ("grant quote_gateway to erp_app", "nobody becomes a gateway"),
    ("revoke select on quotes from quote_gateway", "gateways have their rights"),
    ("revoke delete on active_quote_sessions from quote_gateway", "gateways have their rights"),
    ("revoke execute on function quote_relay_read(bigint, bigint, integer) from quote_gateway", "gateways have their rights"),
    (
        "create table orders (like quotes including all); create table order_lines (like quote_lines including all);
         select attach_quote_collaboration('orders', 'order_lines', '{\"line_columns\": {\"quote\": \"quote_id\"}}')",
        "gateways have their rights",
    ),
    ("alter role quote_gateway nologin", "a gateway may log in"),
    ("alter table quotes drop constraint quotes_pkey cascade", "rows found by an index: public.quotes"),
    (
        "alter table quote_lines drop constraint quote_lines_number_key",
        "rows found by an index: public.quote_lines",
    ),
    (
        "create index on quotes (id) where status is not null; alter table quotes drop constraint quotes_pkey cascade",
        "rows found by an index: public.quotes",
    ),
    ("alter role quote_gateway bypassrls", "row security holds gateways"),
    (
        "create role gateways nologin; select grant_quote_gateway('gateways'); create role one_of_them login bypassrls in role gateways",
        "row security holds gateways",
    ),
    ("alter sequence quote_changes_position_seq cycle cache 20", "positions left"),
    (
        "update quotes set notes = 'numbered'; alter sequence quote_changes_position_seq restart",
        "positions ascend",
    ),
    ("alter table quote_changes_default owner to erp_app", "log as attached"),
    ("alter table quote_changes_default set unlogged", "log as attached"),
    ("drop index quote_changes_quote", "log as attached"),
    ("drop index quote_changes_changed_at", "log as attached"),
    ("alter table quote_changes add constraint named check (changed_by is not null)", "log as attached"),
    ("alter table quote_changes_default add constraint named check (changed_by is not null)", "log as attached"),
    ("alter table quote_changes alter changed_by set not null", "log as attached"),
    ("alter table quote_changes add foreign key (changed_by) references products (id)", "log as attached"),
    ("create unique index on quote_changes_default (quote_id, changed_at)", "log as attached"),
    ("alter table quote_changes alter tenant_id drop not null", "log as attached"),
    (
        "select create_quote_changes_archive('quote_changes'); create schema attic; alter table quote_changes_archive set schema attic",
        "history in its place",
    ),
    (
        "select create_quote_changes_archive('quote_changes'); alter table quote_changes_archive rename to old_changes",
        "history in its place",
    ),
    (
        "update quotes set notes = 'copied'; create table quote_changes_archive (like quote_changes including all);
         insert into quote_changes_archive select * from quote_changes; delete from quote_changes",
        "archive made by archiving",
    ),
    ("create table quote_changes_archive (changed_at timestamptz)", "archive made by archiving"),
    ("alter table quote_relay_lease rename to leases", "history in its place"),
    ("alter table quote_changes rename to changes", "history in its place"),
    (
        "create schema attic; alter table quote_changes_seals set schema attic; alter table active_quote_sessions rename to sessions",
        "history in its place",
    ),
    ("create schema attic; alter table quote_changes set schema attic", "history in its place"),
    ("delete from quote_relay_lease", "lease of the relay stands"),
    ("delete from quote_relay_batch", "lease of the relay stands"),
    ("alter table quote_former_versions disable row level security", "tables of the extension guarded"),
    ("alter table quote_relay_batch no force row level security", "row security forced everywhere"),
    (
        "drop policy quote_changes_tenant_isolation on quote_changes_default; create policy quote_changes_tenant_isolation on quote_changes_default
             using (tenant_id = (select current_quote_tenant()))",
        "tenant policies present",
    ),
    (
        "do $$ begin
             if current_setting('server_version_num')::int < 160000 then create role maker createrole;
             else create role maker; execute 'grant quote_gateway to maker with admin true, inherit false, set false'; end if;
         end $$",
        "nobody becomes a gateway",
    ),
    ("alter table quote_former_versions drop constraint quote_former_versions_pkey", "keys stand"),
    (
        "alter table quote_changes drop constraint quote_changes_pkey; alter table quote_relay_batch drop constraint quote_relay_batch_pkey",
        "keys stand",
    ),
    ("alter sequence quote_changes_position_seq set unlogged", "positions left"),
    ("alter table quote_lines set unlogged", "rows survive a crash: public.quote_lines"),
    ("alter table quote_seal_anchor owner to erp_app", "tables of the extension guarded"),
    ("grant update on quote_collab_settings to erp_app", "tables of the extension guarded"),
    ("grant select on quote_former_versions to erp_app", "tables of the extension guarded"),
    ("alter table quote_collab_settings disable trigger all", "tables of the extension guarded"),
    ("drop trigger guard_quote_settings on quote_seal_anchor", "tables of the extension guarded"),
    ("revoke execute on function current_quote_tenant() from public", "functions open to who needs them"),
    ("revoke select on quote_collab_settings from public", "functions open to who needs them"),
    (
        "alter table quotes rename to quotes_before; create table quotes (like quotes_before including all);
         alter table quote_lines drop constraint quote_lines_quote_fkey; select attach_quote_collaboration()",
        "history of attached tables only",
    ),
    (
        "create table quote_lines_before (like quote_lines);
         do $$ begin execute (select replace(pg_get_triggerdef(oid), 'quote_lines', 'quote_lines_before') from pg_trigger where tgname = 'trg_capture_quote_line_change'); end $$",
        "history of attached tables only",
    ),
    ("drop table users cascade", "names are read: public.quotes"),
    ("alter table users rename column username to login", "names are read: public.quotes"),
    ("alter table customers rename column customer_name to called", "names are read: public.quotes"),
    ("alter table quotes alter version drop default", "added columns intact: public.quotes"),
    ("alter table users owner to erp_app", "names are read: public.quotes"),
    (
        "TRIGGER after insert or update or delete FOR row execute function noop()",
        "triggers as attached: public.quotes",
    ),
    (
        "TRIGGER after insert or delete FOR row execute function capture_quote_change('TOLD')",
        "triggers as attached: public.quotes",
    ),
    (
        "TRIGGER after insert or update or delete FOR row when (pg_backend_pid() = 0) execute function capture_quote_change('TOLD')",
        "triggers as attached: public.quotes",
    ),
    (
        "TRIGGER after insert or update or delete FOR row execute function capture_quote_change('IGNORING')",
        "triggers as attached: public.quotes",
    ),
    (
        "TRIGGER after insert or update or delete FOR row execute function capture_quote_change('TOLD', 'more')",
        "triggers as attached: public.quotes",
    ),
    (
        "TRIGGER after insert or update or delete FOR row execute function capture_quote_change()",
        "triggers as attached: public.quotes",
    ),
    (
        "create or replace trigger trg_increment_quote_line_version before update on quote_lines for each row execute function noop()",
        "triggers as attached: public.quote_lines",
    ),
    (
        "create or replace trigger trg_flush_quote_changes after insert or update or delete on quotes for each statement execute function noop()",
        "triggers as attached: public.quotes",
    ),
    (
        "create or replace trigger trg_refuse_quote_truncate before truncate on quotes for each statement execute function noop()",
        "triggers as attached: public.quotes",
    ),
    ("alter table quotes disable trigger trg_capture_quote_change", "triggers enabled always: public.quotes"),
    ("drop trigger trg_refuse_quote_line_truncate on quote_lines", "triggers present: public.quote_lines"),
    ("alter table quote_lines rename column unit_price to price_each", "columns exist: public.quote_lines"),
    (
        "alter policy quote_changes_tenant_isolation on quote_changes using (tenant_id = (select current_quote_tenant()) or true)",
        "tenant policies present",
    ),
    (
        "alter policy quote_sessions_tenant_isolation on active_quote_sessions with check (true)",
        "tenant policies present",
    ),
    (
        "alter policy quote_sessions_tenant_isolation on active_quote_sessions to erp_app",
        "tenant policies present",
    ),
    (
        "drop policy quote_changes_tenant_isolation on quote_changes; create policy quote_changes_tenant_isolation on quote_changes as restrictive using (tenant_id = (select current_quote_tenant()))",
        "tenant policies present",
    ),
    (
        "drop policy quote_changes_tenant_isolation on quote_changes; create policy quote_changes_tenant_isolation on quote_changes for insert with check (tenant_id = (select current_quote_tenant()))",
        "tenant policies present",
    ),
    ("create policy quote_sessions_tenant_isolation on quote_changes using (true)", "no other policy"),
    ("create policy auditors on quote_changes_seals using (true)", "no other policy"),
    (
        "create table old_changes partition of quote_changes for values from ('2001-01-01') to ('2001-02-01')",
        "tenant policies present",
    ),
    (
        "create table old_changes partition of quote_changes for values from ('2001-01-01') to ('2001-02-01')",
        "row security forced everywhere",
    ),
    (
        "select create_quote_changes_archive('quote_changes'); create table attic partition of quote_changes_archive default",
        "row security forced everywhere",
    ),
    ("grant insert on quote_changes to erp_app with grant option", "log written by triggers only"),
    ("grant update (new_value) on quote_changes to erp_app", "log written by triggers only"),
    ("grant insert (tenant_id, quote_id) on quote_changes_default to public", "log written by triggers only"),
    ("grant update on sequence quote_changes_position_seq to erp_app", "log written by triggers only"),
    ("grant delete on quote_relay_batch to erp_app", "log written by triggers only"),
    ("grant select on quote_relay_batch to public", "private tables read by nobody"),
    ("grant select (holder) on quote_relay_lease to erp_app", "private tables read by nobody"),
    ("grant select on quote_changes_seals to erp_app", "private tables read by nobody"),
    ("grant truncate on quotes to erp_app", "truncate granted to nobody"),
    (
        "grant execute on function quote_relay_read(bigint, bigint, integer) to public",
        "functions open as installed",
    ),
    (
        "grant execute on function quote_collab_maintenance(), attach_quote_collaboration(regclass, regclass, jsonb) to public",
        "functions open as installed",
    ),
    ("grant execute on function quote_relay_lease(text, interval) to erp_app", "relay run by gateways only"),
    ("WHERE v_quote_changes_all", "views as attached"),
    ("WHERE v_quote_change_events", "views as attached"),
    ("WHERE v_recent_quote_changes", "views as attached"),
    ("WHERE v_active_quote_collaborators", "views as attached"),
    (
        "do $$ begin execute 'create or replace view v_quote_changes_all with (security_invoker = true) as '
             || rtrim(pg_get_viewdef('v_quote_changes_all'), ';') || ' where exists (select from v_quote_changes_all)'; end $$",
        "views as attached",
    ),
    (
        "drop view v_quote_changes_all; create view v_quote_changes_all with (security_invoker = true) as select id, tenant_id from quote_changes",
        "views as attached",
    ),
    (
        "drop view v_quote_changes_all; create view v_quote_changes_all with (security_invoker = true) as select *, 1 as more from quote_changes",
        "views as attached",
    ),
    ("alter view v_quote_changes_all rename column old_value to was", "views as attached"),
    // A function that is taken for a constant runs as soon as the view is planned: by whoever asks the doctor.
    (
        "create function everything() returns boolean immutable language plpgsql as 'begin raise exception ''planned''; end'; alter function everything() owner to erp_owner; create or replace view v_quote_changes_all with (security_invoker = true) as select * from quote_changes where everything()",
        "views as attached",
    ),
    (
        "do $$ begin execute replace(pg_get_functiondef('recent_quote_changes()'::regprocedure), '24 hours', '1 hour'); end $$",
        "views as attached",
    ),
    ("alter function active_quote_collaborators() security definer", "views as attached"),
    ("alter function active_quote_collaborators() owner to erp_owner", "views as attached"),
    (
        "create function erp() returns trigger language plpgsql as 'begin return new; end'; create trigger zz before update on quotes for each row execute function erp()",
        "version stamped last: public.quotes",
    ),
    ("drop view v_recent_quote_changes", "views present"),
    ("alter function quote_collab_maintenance() reset search_path", "definer functions pinned"),
    (
        "create trigger zz before insert on quote_changes for each row execute function noop()",
        "no trigger on the log",
    ),
    ("create rule hush as on update to quotes where new.notes is null do instead nothing", "no rules"),
    ("create rule hush as on insert to quote_changes do instead nothing", "no rules"),
    (
        "alter table active_quote_sessions rename to sessions_of_last_year; create role table_stranger_of_the_doctor; grant create on schema public to table_stranger_of_the_doctor;
         set role table_stranger_of_the_doctor; create table active_quote_sessions (id uuid); reset role",
        "tables are those of attach",
    ),
    ("grant create on schema public to public", "schemas closed to others"),
    ("revoke all on quotes from erp_app", "history read by readers of quotes"),
    (
        "grant select on quotes to public; select attach_quote_collaboration(); revoke all on quotes from public",
        "history read by readers of quotes",
    ),
    (
        "create role doctor_visitor; grant insert on active_quote_sessions to doctor_visitor",
        "history read by readers of quotes",
    ),
    (
        "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$",
        "transactions may write",
    ),
    (
        "do $$ begin execute format('alter role quote_gateway in database %I set default_transaction_read_only = yes', current_database()); end $$",
        "transactions may write",
    ),
    (
        "do $$ begin execute format('alter database %I set row_security = off', current_database()); end $$",
        "rows are filtered",
    ),
    (
        "do $$ begin execute format('alter role erp_app in database %I set row_security = no', current_database()); end $$",
        "rows are filtered",
    ),
    (
        "do $$ begin execute format('alter database %1$I set row_security = off; alter role erp_app in database %1$I set row_security = 0', current_database()); end $$",
        "rows are filtered",
    ),
    ("alter table quote_changes_seals set unlogged", "history survives a crash"),
    ("drop table quote_changes_seals", "history can be sealed"),
    ("alter table quote_changes_seals alter column rows type numeric, alter column signature type text", "history can be sealed"),
    (
        "alter table quote_relay_batch set unlogged; alter table quote_relay_lease set unlogged",
        "history survives a crash",
    ),
    (
        "select create_quote_changes_archive('quote_changes'); create unlogged table attic partition of quote_changes_archive default",
        "history survives a crash",
    ),
    (
        "alter table quote_collab_settings set unlogged; alter table quote_seal_anchor set unlogged;
         alter table quote_former_versions set unlogged; alter table quote_log_cuts set unlogged",
        "history survives a crash",
    ),
    ("alter extension quote_collab_ext add table quote_changes", "dumps hold the history"),
    (
        "alter extension quote_collab_ext add table quote_changes_default; alter extension quote_collab_ext add table quote_lines;
         alter extension quote_collab_ext add sequence quote_changes_position_seq; alter extension quote_collab_ext add view v_quote_changes_all",
        "dumps hold the history",
    ),
    (
        "create function told(uuid) returns uuid language sql immutable as 'select $1'; alter function told(uuid) owner to erp_owner;
         create index on quote_changes (told(quote_id)); create index on quote_changes_default (tenant_id) where told(tenant_id) is not null",
        "history can be sealed",
    ),
    (
        "create function told(jsonb) returns boolean language sql immutable as 'select true'; alter function told(jsonb) owner to erp_owner;
         alter table quote_changes add constraint told check (told(context)); alter table quote_changes_default alter column context set default jsonb_build_object('told', told(null))",
        "history can be sealed",
    ),
    (
        "alter table quote_changes_seals add constraint told check (no >= 0); alter table quote_changes_seals alter column sealed_at set default now();
         create index on quote_changes_seals ((no + 1)); create rule told as on insert to quote_changes_seals do also notify told;
         create trigger told before insert on quote_changes_seals for each row execute function noop()",
        "history can be sealed",
    ),
    (
        "alter table quote_changes_seals add exclude using gist (int8range(no, no, '[]') with &&) where (no > 0)",
        "history can be sealed",
    ),
    (
        "create table attic partition of quote_changes for values from ('2001-01-01') to ('2001-02-01') partition by range (changed_at)",
        "history can be sealed",
    ),
    ("alter table active_quote_sessions drop constraint active_quote_sessions_session", "keys stand"),
    (
        "alter table active_quote_sessions drop constraint active_quote_sessions_session, drop constraint active_quote_sessions_pkey;
         create unique index active_quote_sessions_session on active_quote_sessions (session_id, quote_id)",
        "keys stand",
    ),
    (
        "alter table active_quote_sessions drop constraint active_quote_sessions_session, add constraint active_quote_sessions_session unique (session_id) deferrable",
        "keys stand",
    ),
    (
        "alter table active_quote_sessions drop constraint active_quote_sessions_session; create table active_quote_sessions_session (id integer)",
        "keys stand",
    ),
    ("drop index active_quote_sessions_quote", "sessions found by an index"),
    ("alter role quote_gateway connection limit 20", "gateways find connections"),
    (
        "do $$ begin execute format('alter database %I connection limit 20', current_database()); end $$",
        "gateways find connections",
    ),
];

/// Where tenants are verified: rights on settings of the server that decide about tenants, authors and keys.
const DECISIVE: [&str; 8] = [
    "alter system on parameter quote_collab.jwt_keys",
    "alter system on parameter quote_collab.jwt_secret",
    "alter system on parameter quote_collab.tenant_source",
    "alter system on parameter quote_collab.seal_key",
    "alter system on parameter app.current_tenant_id",
    "set on parameter quote_collab.verified_user",
    "set on parameter quote_collab.verified_until",
    "set, alter system on parameter quote_collab.tenant_source",
];

/// Each in a database of its own, one fault after the other.
async fn hints_mend(faults: &[(&str, &str)]) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let noop = "create function noop() returns trigger language plpgsql as 'begin return new; end'";
    admin.batch_execute(noop).await.expect("a function is made");
    let healthy = consult(&admin).await;
    for (fault, check) in faults {
        mend(&admin, &healthy, fault, check).await;
    }
    assert_eq!(consult(&admin).await, healthy);
}

#[tokio::test]
async fn a_hint_mends_what_it_is_given_for() {
    hints_mend(&MENDED[..MENDED.len() / 2]).await;
}

#[tokio::test]
async fn so_do_the_hints_of_the_other_faults() {
    hints_mend(&MENDED[MENDED.len() / 2..]).await;
}

#[tokio::test]
async fn an_attach_of_ones_own_is_done_again_as_it_was() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create schema collab; create extension quote_collab_ext schema collab; create schema \"Sales dept\"; set search_path = \"Sales dept\", collab;
             create table offers (id uuid, tenant_id uuid, region text, remark text, changes integer not null default 1, primary key (id, region)) partition by list (region);
             create table offers_north partition of offers for values in ('north');
             create table offers_south partition of offers for values in ('south');
             create table items (id uuid primary key, tenant_id uuid, belongs_to uuid, price_each numeric);
             create function noop() returns trigger language plpgsql as 'begin return new; end';
             select attach_quote_collaboration('offers', 'items', '{\"columns\": {\"version\": \"changes\"}, \"truncate\": \"record\", \"archive_after\": \"2 years\",
                \"line_columns\": {\"quote\": \"belongs_to\", \"unit_price\": \"price_each\"}, \"ignored_columns\": [\"remark\"]}')",
        )
        .await
        .expect("it is attached");
    let settings = "select string_agg((to_jsonb(s) - 'attached_at')::text, ' ' order by s.entity) from quote_collab_settings s";
    let before: String = admin.query_one(settings, &[]).await.unwrap().get(0);
    let healthy = consult(&admin).await;
    for (fault, check) in [
        (
            "alter table offers_north disable trigger trg_capture_quote_change",
            "triggers enabled always: \"Sales dept\".offers",
        ),
        (
            "alter table offers drop column remark; alter table offers_north disable trigger trg_capture_quote_change",
            "triggers enabled always: \"Sales dept\".offers",
        ),
        (
            "alter table offers_south enable trigger trg_capture_quote_change",
            "triggers enabled always: \"Sales dept\".offers",
        ),
        (
            "alter table offers_south disable trigger trg_record_quote_truncate",
            "triggers enabled always: \"Sales dept\".offers",
        ),
        (
            "drop trigger trg_record_quote_truncate on offers_north",
            "truncate guarded on partitions: \"Sales dept\".offers",
        ),
        (
            "create or replace trigger trg_record_quote_truncate before truncate on offers_north for each statement execute function noop()",
            "triggers as attached: \"Sales dept\".offers",
        ),
        ("create rule hush as on delete to offers_north do instead nothing", "no rules"),
        ("grant update on offers to erp_app", "functions within reach"),
        ("alter schema collab owner to erp_owner", "schema of a superuser"),
        ("grant create on schema collab to public", "schemas closed to others"),
        ("grant create on schema \"Sales dept\" to erp_app with grant option", "schemas closed to others"),
        ("alter view v_quote_changes_all rename column old_value to was", "views as attached"),
        ("drop policy quote_changes_tenant_isolation on quote_changes_default", "tenant policies present"),
        ("grant update on sequence quote_changes_position_seq to erp_app", "log written by triggers only"),
    ] {
        mend(&admin, &healthy, fault, check).await;
    }
    let (_, _, hint) = {
        admin.batch_execute("begin; drop trigger trg_flush_quote_line_changes on items").await.unwrap();
        examine(&admin).await.remove("triggers present: \"Sales dept\".items").unwrap()
    };
    admin.batch_execute(&hint).await.unwrap_or_else(|error| panic!("{hint}: {error:?}"));
    assert_eq!(admin.query_one(settings, &[]).await.unwrap().get::<_, String>(0), before, "{hint}");
}

/// Where tenants are verified: what is broken, and the check that must tell.
const FAULTS_OF_VERIFIED: [(&str, &str); 6] = [
    ("revoke set on parameter app.current_tenant_id from quote_gateway", "gateways may set the tenant"),
    ("grant set on parameter app.current_tenant_id to erp_app", "tenant set by gateways only"),
    ("grant set on parameter app.current_tenant_id to public", "tenant set by gateways only"),
    (
        "alter role erp_app set app.current_tenant_id = 'a0000000-0000-4000-8000-000000000001'",
        "no tenant by default",
    ),
    (
        "do $$ begin execute format('alter database %I set app.current_tenant_id = %L', current_database(), 'x'); end $$",
        "no tenant by default",
    ),
    ("alter role all set quote_collab.verified_user = 'x'", "no tenant by default"),
];

#[tokio::test]
async fn verified_tenants_are_good_news_until_somebody_else_may_set_them() {
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(Settings::verified()).await)).await;
    let admin = erp.client("postgres").await;
    assert_eq!(consult(&admin).await["gateways may set the tenant"], "error");
    admin.batch_execute("select grant_quote_gateway('quote_gateway')").await.unwrap();
    let healthy = consult(&admin).await;
    assert_eq!(healthy["tenant cannot be chosen by SQL users"], "ok");
    for (fault, check) in FAULTS_OF_VERIFIED {
        assert_eq!(healthy.get(check).map(String::as_str), Some("ok"), "{check} before {fault}");
        admin.batch_execute(&format!("begin; {fault}")).await.unwrap();
        assert_ne!(consult(&admin).await[check], "ok", "{fault}");
        admin.batch_execute("rollback").await.unwrap();
    }
    for right in DECISIVE {
        for role in ["erp_app", "public"] {
            let fault = format!("grant {right} to {role}");
            mend(&admin, &healthy, &fault, "settings changed by superusers only").await;
        }
    }
    let granted = "grant set on parameter app.current_tenant_id to public";
    mend(&admin, &healthy, granted, "tenant set by gateways only").await;
    let revoked = "revoke set on parameter app.current_tenant_id from quote_gateway";
    mend(&admin, &healthy, revoked, "gateways may set the tenant").await;
    assert_eq!(consult(&admin).await, healthy);
}

/// The owner of a database works in `public`, where small ERPs keep all that is theirs.
#[tokio::test]
async fn the_owner_of_a_schema_that_a_superuser_takes_still_works_in_it() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let alter = format!(
        "alter database {} owner to erp_owner; revoke create on schema public from erp_owner",
        erp.database()
    );
    admin.batch_execute(&alter).await.unwrap();
    let healthy = consult(&admin).await;
    for owner in ["pg_database_owner", "erp_owner"] {
        admin.batch_execute(&format!("alter schema public owner to {owner}")).await.unwrap();
        let told = admin
            .query_one(
                "select severity, hint from quote_collab_doctor() where check_name = 'schema of a superuser'",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(told.get::<_, String>(0), "warning");
        admin.batch_execute(told.get(1)).await.unwrap();
        admin
            .batch_execute("begin; set local role erp_owner; create table public.plan (id integer); rollback")
            .await
            .expect("migrations go on");
        let mended = consult(&admin).await;
        assert_eq!(mended["schema of a superuser"], "ok");
        assert_eq!(mended["schemas closed to others"], healthy["schemas closed to others"]);
    }
}

/// What is set for a database is not mended in the server's configuration.
#[tokio::test]
async fn settings_of_a_database_are_taken_away_there() {
    let erp = Erp::attached_on(Arc::new(
        Postgres::start_with(Settings::preloaded(&[("max_prepared_transactions", "5")])).await,
    ))
    .await;
    for (setting, check) in [
        ("synchronous_commit = off", "commits are durable"),
        ("quote_collab.notify = off", "listeners are woken"),
        ("quote_collab.notify = 'transaction'", "transactions can be prepared"),
    ] {
        for whose in [
            format!("database {}", erp.database()),
            format!("role postgres in database {}", erp.database()),
            "role postgres".to_owned(),
        ] {
            erp.client("postgres")
                .await
                .batch_execute(&format!("alter {whose} set {setting}"))
                .await
                .unwrap();
            let admin = erp.client("postgres").await;
            let (severity, _, hint) = examine(&admin).await.remove(check).unwrap();
            assert_eq!(severity, "warning", "{whose}: {setting}");
            admin.batch_execute(&hint).await.unwrap_or_else(|error| panic!("{hint}: {error:?}"));
            assert_eq!(
                consult(&erp.client("postgres").await).await[check],
                "ok",
                "{whose}: {setting}: {hint}"
            );
        }
    }
}

/// A gateway that lacks a right is given it, and not taken the others; a table that inherits an attached one keeps the triggers that somebody gave it.
#[tokio::test]
async fn a_hint_takes_nothing_that_is_needed() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let lacking = "select grant_quote_gateway('quote_gateway'); begin; revoke execute on function quote_relay_read(bigint, bigint, integer) from quote_gateway";
    admin.batch_execute(lacking).await.unwrap();
    let told = consult(&admin).await;
    assert_eq!(
        (told["relay run by gateways only"].as_str(), told["gateways have their rights"].as_str()),
        ("ok", "warning")
    );
    let child = "rollback; begin; create table quotes_of_berlin () inherits (quotes); create trigger trg_capture_quote_change after insert or update or delete on quotes_of_berlin for each row execute function capture_quote_change('{}')";
    admin.batch_execute(child).await.unwrap();
    let told = consult(&admin).await;
    assert_eq!(
        (told["no inheritance: public.quotes"].as_str(), told["history of attached tables only"].as_str()),
        ("error", "ok")
    );
}
