//! What linters made for extensions look for is not there: names that somebody else could have taken first, statements
//! that an argument could continue, PL/pgSQL that would fail when it is reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use quote_collab_tests::{Erp, built};

/// The scripts that install and update, as they were packaged.
fn scripts(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the package is read").flatten().map(|entry| entry.path());
    let below = |path: PathBuf| if path.is_dir() { scripts(&path) } else { vec![path] };
    entries
        .flat_map(below)
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect()
}

/// What pgspot cannot read, said otherwise and with the same meaning: it loses the quotes of a quoted parameter and the
/// SELECT before the expression of RETURN NEXT, and cannot read a body whose names PostgreSQL looks up once and for all, when
/// the function is created. The first line of an update is for psql alone.
fn legible(script: &str) -> String {
    script
        .replace("\\echo ", "-- ")
        .replace("return next @extschema@", "return query select @extschema@")
        .replace("\"position\"", "\"place\"")
        .replace("begin atomic\n", "set search_path = pg_catalog, pg_temp\nas $$\n")
        .replace(") s;\nend;", ") s $$;")
}

/// PostgreSQL reads a script in the encoding of the database: what is not ASCII is refused by some before attach can say which it needs.
#[test]
fn the_script_is_in_ascii() {
    let script = format!("quote_collab_ext--{}.sql", env!("CARGO_PKG_VERSION"));
    let scripts = scripts(&built::extension());
    let installed = scripts.iter().find(|path| path.ends_with(&script)).expect("it is packaged");
    let text = fs::read_to_string(installed).expect("the script is read");
    let odd: Vec<_> = text.lines().filter(|line| !line.is_ascii()).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

/// PS002 is CREATE OR REPLACE. An update replaces functions that are members of the extension; where somebody else has taken
/// the name, PostgreSQL refuses.
const OF_UPDATES: [&str; 2] = ["--ignore", "PS002"];

#[test]
fn nothing_in_the_scripts_can_be_hijacked() {
    let Some(pgspot) = built::pgspot() else {
        println!("skipped: pgspot is not on this machine");
        return;
    };
    let scripts = scripts(&built::extension());
    assert!(scripts.len() > 1, "the package has a script to install and one for each release before");
    for (number, script) in scripts.iter().enumerate() {
        let name = script.file_name().unwrap_or_default().to_string_lossy();
        let is_update = name.matches("--").count() > 1;
        let copy = std::env::temp_dir().join(format!("pgspot-{}-{number}.sql", std::process::id()));
        let text = fs::read_to_string(script).expect("the script is read");
        fs::write(&copy, legible(&text)).expect("a copy is written");
        let mut command = Command::new("python3");
        command.args(["-m", "pgspot"]).args(if is_update { &OF_UPDATES[..] } else { &[] }).arg(&copy);
        let said = command.env("PYTHONPATH", &pgspot).env("PYTHONDONTWRITEBYTECODE", "1").output();
        fs::remove_file(&copy).expect("the copy is removed");
        let said = said.expect("pgspot runs");
        let text = String::from_utf8_lossy(&said.stdout);
        // It says so only when it has read everything.
        let is_clean = text.trim() == "Errors: 0 Warnings: 0 Unknown: 0" && said.stderr.is_empty();
        assert!(said.status.success() && is_clean, "{name}: {text}{}", String::from_utf8_lossy(&said.stderr));
    }
}

/// Functions that read a table of attach's into a record: the table is not there when the function is created, so that
/// `plpgsql_check` does not know the record's fields, and says itself that what follows from it may be wrong.
const RECORDS_OF_DYNAMIC_SQL: [&str; 8] = [
    "examine_quote_seals",
    "join_quote_session",
    "quote_events_between",
    "quote_relay_next_batch",
    "quote_relay_read",
    "seal_quote_history",
    "seal_quote_release",
    "verify_quote_history",
];

/// Functions whose statements hold a text that was quoted elsewhere, and where.
const QUOTED_ELSEWHERE: [(&str, &str); 26] = [
    ("active_quote_names", "quote_collab_column() and quote_customer_join() quote"),
    ("add_quote_column", "what is added is one of two columns, each a constant of its caller"),
    ("update_quote_row", "assignments are built with %I from columns, values come from quote_new_value()"),
    ("close_quote_extension", "quote_grants_on() and quote_extension_function_grants() quote"),
    ("close_quote_table", "a role is quoted in its query, where PUBLIC must not be"),
    ("copy_quote_privileges", "a role is quoted in its query, where PUBLIC must not be"),
    ("create_quote_changes_archive", "a role is quoted in its query, where PUBLIC must not be"),
    ("complete_quote_changes", "quote_changes_all_query() names the log and its archive with %I"),
    ("continue_quote_positions", "quote_positions_statement() quotes"),
    (
        "create_quote_view_functions",
        "quote_view_functions() says which columns; the name and the query are quoted",
    ),
    ("create_quote_trigger", "quote_triggers() says when it fires; its name, table and argument are quoted"),
    (
        "explain_quote_query",
        "queries are those that attach makes views of, and what it is given is planned as one and not run",
    ),
    ("exchange_quote_months", "bounds are what pg_get_expr() says of a partition"),
    ("find_quote_row_safely", "columns are quoted in its query"),
    ("first_quote_version", "quote_changes_all_query() quotes"),
    ("get_quote_change_history", "quote_user_join() quotes"),
    ("grant_quote_gateway", "quote_gateway_rights() quotes"),
    ("protect_quote_table", "quote_policy_command() gives one of two words, quote_tenant_rule() quotes"),
    ("quote_conflicts", "quote_user_join() quotes"),
    ("quote_line_quotes", "quote_history_to_read() names the log and its archive with %I"),
    ("quote_events_between", "quote_user_join() quotes"),
    ("quote_relay_read", "quote_user_join() quotes"),
    ("read_quote_events", "quote_user_join() quotes"),
    ("recent_quote_change_names", "quote_collab_column() and quote_user_join() quote"),
    ("revoke_quote_privileges", "a role is quoted in its query, where PUBLIC must not be"),
    ("replace_quote_view", "who creates a view quotes its name and makes its query"),
];

/// Whoever is refused is told what is wrong, and what to do.
#[test]
fn refusals_say_why_and_what_helps() {
    let script = format!("quote_collab_ext--{}.sql", env!("CARGO_PKG_VERSION"));
    let scripts = scripts(&built::extension());
    let installed = scripts.iter().find(|path| path.ends_with(&script)).expect("it is packaged");
    let text = fs::read_to_string(installed).expect("the script is read");
    let refusals = refusals_in(&text);
    assert!(refusals.len() > 100, "{}", refusals.len());
    let says = |refusal: &&&str, part: &str| refusal.contains(&format!("{part} = "));
    let helpless: Vec<_> = refusals
        .iter()
        .filter(|refusal| !["errcode", "detail", "hint"].iter().all(|part| says(refusal, part)))
        .collect();
    assert!(helpless.is_empty(), "{helpless:#?}");
}

/// The statements that raise an error; a semicolon in a text ends none.
fn refusals_in(source: &str) -> Vec<&str> {
    let end = |statement: &str| {
        let mut is_text = false;
        let ends = |c: char| {
            is_text ^= c == '\'';
            c == ';' && !is_text
        };
        statement.find(ends).unwrap_or(statement.len())
    };
    source.match_indices("raise exception").map(|(at, _)| &source[at..][..end(&source[at..])]).collect()
}

#[tokio::test]
async fn plpgsql_is_sound() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let available = "select count(*) from pg_available_extensions where name = 'plpgsql_check'";
    if erp.count(available).await == 0 {
        println!("skipped: this server has no plpgsql_check");
        return;
    }
    admin.batch_execute("create schema linter; create extension plpgsql_check schema linter").await.unwrap();
    let findings = "
        select p.proname::text, c.level, c.message, format('%s, line %s, %s: %s %s', p.oid::regprocedure, c.lineno, c.statement, c.message, c.query)
        from pg_proc p
        join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
        join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
        cross join lateral linter.plpgsql_check_function_tb(p.oid, security_warnings => true, extra_warnings => false,
            performance_warnings => false, fatal_errors => false,
            relid => case when p.proname = 'guard_quote_session' then 'active_quote_sessions'::regclass
                when p.prorettype = 'trigger'::regtype then 'quotes'::regclass else 0 end) c";
    let mut wrong = Vec::new();
    for row in admin.query(findings, &[]).await.expect("every function is checked") {
        let (function, level, message): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let of_record = message.starts_with("record \"") || message.contains("result of dynamic SQL");
        let expected = if level == "security" {
            QUOTED_ELSEWHERE.iter().any(|(name, _)| *name == function)
        } else {
            of_record && RECORDS_OF_DYNAMIC_SQL.contains(&function.as_str())
        };
        if !expected {
            wrong.push(format!("{level}: {}", row.get::<_, String>(3)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
