//! The ways to keep a version and a history that the write bench sets side by side, each in a database of its own.

use tokio_postgres::Client;

use crate::postgres::{ADMIN, Postgres};

/// One way.
pub struct Peer {
    /// Name of its database.
    pub name: &'static str,
    /// What it is, for the table.
    pub title: &'static str,
    /// What it adds to the plain table.
    pub setup: Vec<&'static str>,
    /// The UPDATE of two columns, `$1` an amount, `$2` a name, `$3` the quote.
    pub update: &'static str,
}

/// How many quotes there are.
pub const QUOTES: usize = 10_000;

/// The id of a quote is this plus its number, from 1.
pub const QUOTE_ID: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0000;

/// 25 columns, 1.5 kB a row, a text that is stored compressed; 10,000 quotes and 40,000 lines.
pub const TABLES: &str = "
create table quotes (
    id uuid primary key, tenant_id uuid not null, quote_number text, customer_id uuid, status text, subtotal numeric(18, 4),
    tax_amount numeric(18, 4), shipping_amount numeric(18, 4), discount_amount numeric(18, 4), total_amount numeric(18, 4),
    currency text, contact_name text, contact_email text, contact_phone text, valid_until date, delivery_date date, notes text,
    terms_and_conditions text, created_by uuid, created_at timestamptz, updated_at timestamptz, updated_by uuid, region text,
    priority integer, version integer not null default 1);
create table quote_lines (
    id uuid primary key, tenant_id uuid not null, quote_id uuid not null, line_number integer, description text,
    quantity numeric(18, 4), unit_price numeric(18, 4), line_amount numeric(18, 4), updated_at timestamptz, updated_by uuid,
    version integer not null default 1);
create function quote(n integer) returns uuid language sql immutable
    return ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid;
insert into quotes select quote(n), quote(n % 10), 'Q-' || n, gen_random_uuid(), 'DRAFT', 100, 19, 5, 0, 124, 'EUR', 'Ada', 'ada@example.test',
    '123', now(), now(), repeat('a note ', 58), repeat('terms and conditions apply ', 120), gen_random_uuid(), now(), now(), gen_random_uuid(),
    'north', 3, 1 from generate_series(1, 10000) n;
insert into quote_lines select gen_random_uuid(), q.tenant_id, q.id, n, 'line', 1, 2, 2, now(), null, 1 from quotes q, generate_series(1, 4) n;
";

const LOG: &str = "
create table quote_changes (
    id uuid not null default gen_random_uuid(), tenant_id uuid not null, quote_id uuid not null, quote_line_id uuid, changed_by uuid,
    changed_at timestamptz not null default now(), entity_type varchar(20) not null, field_name varchar(63) not null, old_value jsonb, new_value jsonb,
    change_type varchar(20) not null, session_id uuid, entity_version_before integer, entity_version_after integer,
    position bigint not null generated always as identity, xid xid8 not null default pg_current_xact_id(), primary key (id, changed_at));
create index on quote_changes (quote_id, position);
create index on quote_changes (xid, position);
create index on quote_changes using brin (changed_at);
";

const VERSION: &str = "
create function stamp() returns trigger language plpgsql as $$
begin
    if new is distinct from old then
        new.version := old.version + 1;
        new.updated_at := now();
    end if;
    return new;
end $$;
create trigger stamp before update on quotes for each row execute function stamp();
";

const DIFF: &str = "
create function diff() returns trigger language plpgsql as $$
begin
    insert into quote_changes (tenant_id, quote_id, entity_type, field_name, old_value, new_value, change_type, entity_version_before, entity_version_after)
    select new.tenant_id, new.id, 'QUOTE', n.key, o.value, n.value, 'UPDATE', old.version, new.version
    from jsonb_each(to_jsonb(new)) n join jsonb_each(to_jsonb(old)) o using (key)
    where n.value is distinct from o.value and n.key not in ('version', 'updated_at');
    return null;
end $$;
create trigger diff after update on quotes for each row execute function diff();
";

const WHOLE_ROWS: &str = "
create table record_version (
    id bigint primary key generated always as identity, record_id uuid, old_record_id uuid, op text not null, ts timestamptz not null default now(),
    table_oid oid not null, table_schema name not null, table_name name not null, record jsonb, old_record jsonb);
create index on record_version (record_id);
create index on record_version (old_record_id);
create index on record_version (table_oid);
create index on record_version using brin (ts);
create function record_key(relation oid, whole jsonb) returns uuid language plpgsql stable as $$
declare
    keys text[] := array(select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
        where i.indrelid = relation and i.indisprimary order by a.attnum);
begin
    return md5(relation::text || (select string_agg(whole ->> k, ',') from unnest(keys) k))::uuid;
end $$;
create function keep_rows() returns trigger language plpgsql as $$
declare
    after_row jsonb := to_jsonb(new);
    before_row jsonb := to_jsonb(old);
begin
    insert into record_version (record_id, old_record_id, op, table_oid, table_schema, table_name, record, old_record)
    values (record_key(tg_relid, after_row), record_key(tg_relid, before_row), tg_op, tg_relid, tg_table_schema, tg_table_name, after_row, before_row);
    return null;
end $$;
create trigger keep_rows after update on quotes for each row execute function keep_rows();
";

/// The UPDATE of the peers that do everything in triggers.
pub const UPDATE: &str =
    "update quotes set shipping_amount = $1::text::numeric, contact_name = $2::text where id = $3::uuid";

/// Makes the database of a peer; returns a session in it.
pub async fn prepare(server: &Postgres, peer: &Peer) -> Client {
    let admin = server.client("postgres", ADMIN).await;
    let create = format!("create database {} template template0", peer.name);
    admin.batch_execute(&create).await.expect("a database");
    let client = server.client(peer.name, ADMIN).await;
    for statement in std::iter::once(TABLES).chain(peer.setup.iter().copied()) {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{}: {error:?}", peer.name));
    }
    client.batch_execute("vacuum analyze").await.expect("vacuum");
    client
}

/// An UPDATE of a peer as pgbench's clients run it: another quote each time.
#[must_use]
pub fn pgbench_script(update: &str) -> String {
    let update = update
        .replace("$1::text::numeric", "(:amount)::numeric")
        .replace("$2::text", "('n' || (:amount)::text)")
        .replace("$3::uuid", "quote((:quote)::integer)")
        .replace('\n', " ");
    format!("\\set quote random(1, {QUOTES})\n\\set amount random(1, 100000)\n{update};\n")
}

/// All of them; the first is the measure of the others.
#[must_use]
pub fn all() -> Vec<Peer> {
    let peer =
        |name, title, update, setup: &[&'static str]| Peer { name, title, setup: setup.to_vec(), update };
    let known = "with u as (update quotes set shipping_amount = $1::text::numeric, contact_name = $2::text where id = $3::uuid returning id, tenant_id, version)
        insert into quote_changes (tenant_id, quote_id, entity_type, field_name, old_value, new_value, change_type, entity_version_before, entity_version_after)
        select u.tenant_id, u.id, 'QUOTE', f.name, f.old, f.new, 'UPDATE', u.version - 1, u.version
        from u, (values ('shipping_amount', '5'::jsonb, to_jsonb($1::text::numeric)), ('contact_name', '\"Ada\"', to_jsonb($2::text))) f (name, old, new)";
    vec![
        peer("bench_plain", "plain table", UPDATE, &[]),
        peer("bench_version", "PL/pgSQL version trigger", UPDATE, &[VERSION]),
        peer("bench_diff", "PL/pgSQL version + set-based jsonb diff", UPDATE, &[VERSION, LOG, DIFF]),
        peer("bench_rows", "PL/pgSQL version + whole rows", UPDATE, &[VERSION, WHOLE_ROWS]),
        peer("bench_client", "PL/pgSQL version, client sends the diff", known, &[VERSION, LOG]),
        ours(),
    ]
}

/// Our own way.
#[must_use]
pub fn ours() -> Peer {
    let setup = vec!["create extension quote_collab_ext", "select attach_quote_collaboration()"];
    Peer { name: "bench_ours", title: "quote collaboration", update: UPDATE, setup }
}
