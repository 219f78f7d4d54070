//! Whatever is passed to a function of the extension, the answer is a result or a clear error: never an internal one,
//! never the end of the server, never a statement that the arguments wrote.

use quote_collab_tests::Erp;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Values of a type, each as ugly as it can be; null is tried with every type.
fn nonsense(type_name: &str) -> &'static [&'static str] {
    match type_name {
        "uuid" => &[
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "(select q.id from quotes q order by q.quote_number limit 1)",
            "(select l.id from quote_lines l order by l.id limit 1)",
        ],
        "smallint" | "integer" => &["0", "1", "-1", "2147483647", "'-2147483648'"],
        "bigint" => &["0", "1", "-1", "9223372036854775807", "'-9223372036854775808'"],
        "numeric" => &["0", "-1", "'NaN'", "'1e1000'"],
        "text" | "name" | "character varying" => &[
            "''",
            "'QUOTE'",
            "'\"; drop table quotes; --'",
            "''' || pg_sleep(60) || '''",
            "'%s%I%L%1$s%'",
            "E'\\x01\\n\\\\'",
            "'🦀''$$'",
            "repeat('x', 1048577)",
            "'1/0/1:1:/0/0/9:9:/0/0'",
            "'9223372036854775807:' || repeat('0', 64)",
        ],
        "jsonb" => &[
            "'{}'",
            "'[]'",
            "'null'",
            "'\"x\"'",
            "'1e400'",
            "'{\"\": null}'",
            "'{\"notes\": null, \"version\": -1}'",
            "'{\"notes\": {\"notes\": []}, \"totalAmount\": \"x\"}'",
            "'{\"notes = null; drop table quotes; --\": 1}'",
            "jsonb_build_object('notes', repeat('x', 2097152))",
            "repeat('[', 2000)::text::jsonb",
            "'{\"columns\": [], \"users\": 7, \"ignored_columns\": {}, \"system_user_id\": \"x\"}'",
        ],
        "boolean" => &["true", "false"],
        "interval" => &["'0'", "'-1 year'", "'178000000 years'"],
        "timestamp with time zone" => &["'epoch'", "'infinity'", "'-infinity'", "'294276-01-01'"],
        "oid" => &[
            "'small'::regclass",
            "'quote_changes'::regclass",
            "'parted_by_list'::regclass",
            "'parted_by_hash'::regclass",
            "'pg_class'::regclass",
            "0",
            "4294967295",
        ],
        "tid" => &["'(0,1)'", "'(0,0)'", "'(4294967295,1)'", "'(4294967294,65535)'"],
        "regclass" => &["'quotes'", "'quote_changes'", "'pg_class'", "0::oid", "'quotes_pkey'"],
        "pg_snapshot" => &["'1:1:'", "'3:9223372036854775807:4'"],
        "xid8" => &["'0'", "'18446744073709551615'"],
        "bytea" => &["''", "sha256('')"],
        "text[]" | "name[]" | "uuid[]" => &["'{}'", "'{null}'"],
        "quote_collab_settings" => &[
            "(select s from quote_collab_settings s where s.entity = 'QUOTE')",
            "(select s from quote_collab_settings s where s.entity = 'QUOTE_LINE')",
            "jsonb_populate_record(null::quote_collab_settings, '{\"table_schema\": \"x; y\", \"table_name\": \"\\\"\", \"entity\": \"QUOTE\", \"columns\": []}')",
            "(select jsonb_populate_record(s, '{\"table_schema\": \"pg_catalog\", \"table_name\": \"pg_class\", \"columns\": {\"id\": \"oid\", \"tenant\": \"relname\"}, \"relations\": 7}')
                from quote_collab_settings s where s.entity = 'QUOTE')",
        ],
        "quote_cursor" => &[
            "jsonb_populate_record(null::quote_cursor, '{\"origin\": 0, \"prev\": \"1:1:\", \"prev_at\": -1, \"floor_at\": \"NaN\", \"cur\": \"1:1:\", \"cur_at\": 1e300, \"position\": -1, \"begin_at\": 1e300}')",
            "jsonb_populate_record(null::quote_cursor, jsonb_build_object('origin', quote_cluster_identifier(), 'prev', '3:3:', 'prev_at', 0, 'floor_at', 0, 'cur', pg_current_snapshot()::text, 'cur_at', 0, 'position', 0, 'begin_at', 0))",
        ],
        _ => &[],
    }
}

/// A megabyte of text, which every call copies some times: two companies of other values are enough for it.
fn is_wide(value: &str) -> bool {
    value.contains("repeat('x'")
}

/// A function: how it is called, and the types of its arguments.
struct Function {
    call: String,
    types: Vec<String>,
}

async fn functions(admin: &Client) -> Vec<Function> {
    let query = "select p.oid::regproc::text, array(select format_type(t, null) from unnest(p.proargtypes) with ordinality a (t, n) order by n)
        from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
        where p.prokind = 'f' and p.prorettype <> 'trigger'::regtype order by p.oid";
    let rows = admin.query(query, &[]).await.expect("the functions are listed");
    rows.iter().map(|row| Function { call: row.get(0), types: row.get(1) }).collect()
}

impl Function {
    /// Calls with one argument after the other null, and with ugly values in changing company.
    fn calls(&self) -> Vec<String> {
        let values: Vec<Vec<String>> = self
            .types
            .iter()
            .map(|name| {
                let ugly = nonsense(name).iter().map(|value| format!("({value})::{name}"));
                ugly.chain([format!("null::{name}")]).collect()
            })
            .collect();
        let rounds = values.iter().map(Vec::len).max().unwrap_or(1);
        let mut calls = Vec::new();
        for stride in 0..if values.len() > 1 { 4 } else { 1 } {
            for round in 0..rounds {
                let arguments: Vec<&str> = values
                    .iter()
                    .enumerate()
                    .map(|(at, values)| values[(round + at * stride) % values.len()].as_str())
                    .collect();
                if stride > 1 && arguments.iter().any(|value| is_wide(value)) {
                    continue;
                }
                calls.push(format!("select * from {}({})", self.call, arguments.join(", ")));
            }
        }
        calls.sort_unstable();
        calls.dedup();
        calls
    }
}

/// Makes each call in a transaction that is rolled back; returns those that went wrong, and how many there were.
async fn survive(client: &Client, functions: &[Function]) -> (Vec<String>, usize) {
    client
        .batch_execute(
            "set statement_timeout = '20s'; set app.current_tenant_id = 'a0000000-0000-4000-8000-000000000001'",
        )
        .await
        .expect("a session is set up");
    let (mut wrong, mut made) = (Vec::new(), 0);
    for call in functions.iter().flat_map(Function::calls) {
        made += 1;
        client.batch_execute("begin").await.expect("the server is there");
        if let Err(error) = client.batch_execute(&call).await {
            let code = error.code().cloned().unwrap_or(SqlState::CONNECTION_FAILURE);
            let said = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
            // Internal errors, what takes for ever, the end; and a statement that a word of an argument got into.
            if ["XX", "57", "08", "58"].iter().any(|bad| code.code().starts_with(bad))
                || ["drop", "pg_sleep"].iter().any(|word| said.contains(&format!("at or near \"{word}")))
            {
                wrong.push(format!("{} {said}: {:.300}", code.code(), call));
            }
        }
        client.batch_execute("rollback").await.expect("the server is there");
    }
    (wrong, made)
}

#[tokio::test]
async fn every_function_survives_every_argument() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let parted = "create table small (a integer); insert into small values (1); create table parted_by_list (a timestamptz, b integer) partition by list (b); create table one partition of parted_by_list for values in (1, 2);
        create table parted_by_hash (a timestamptz) partition by hash (a); create table two partition of parted_by_hash for values with (modulus 2, remainder 0)";
    admin.batch_execute(parted).await.expect("tables in the way");
    let functions = functions(&admin).await;
    // Sequences go on whatever becomes of the transaction.
    let left = || async {
        let all = erp.fingerprint().await;
        let size = erp.count("select pg_relation_size('small')").await;
        let lines = all.lines().filter(|line| !line.contains("setval"));
        lines.collect::<Vec<_>>().join("\n") + &format!("\n{size} bytes")
    };
    let before = left().await;
    let mut all = Vec::new();
    for role in ["erp_app", "quote_gateway", "postgres"] {
        let (wrong, made) = survive(&erp.client(role).await, &functions).await;
        assert!(made > 1000, "only {made} calls were made");
        all.extend(wrong.into_iter().map(|what| format!("{role}: {what}")));
    }
    assert!(all.is_empty(), "{} calls went wrong:\n{}", all.len(), all.join("\n"));
    assert!(left().await == before, "a call that was rolled back left something");
}
