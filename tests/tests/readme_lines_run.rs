//! The SQL and shell lines of README.md and the SQL of docs/ run as they stand there.

use std::process::Command;

use quote_collab_tests::{ALICE, BOB, CAROL, Erp, World, built};

/// A fenced block of a Markdown file.
struct Block {
    language: String,
    text: String,
}

fn blocks(file: &str) -> Vec<Block> {
    let path = built::place().root.join(file);
    let text = std::fs::read_to_string(path).expect("the document is there");
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block { language: language.to_owned(), text: String::new() });
            }
        } else if open && let Some(block) = blocks.last_mut() {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    blocks
}

fn run(program: &mut Command, text: &str) -> String {
    let output = program.output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{out}\n{err}");
    out.into_owned()
}

#[tokio::test]
async fn the_sql_runs_in_order_in_an_erp_without_anything() {
    let erp = Erp::bare().await;
    let quote = erp.quote(0).await;
    let url = erp.url("postgres");
    let orders = "create schema sales;
        create table sales.sales_orders (id uuid primary key, tenant_id uuid not null, notes text);
        create table sales.sales_order_lines (id uuid primary key, tenant_id uuid not null, sales_order_id uuid not null)";
    erp.client("postgres").await.batch_execute(orders).await.expect("an ERP has orders, too");
    let mut ran = 0;
    for file in ["README.md", "docs/sql.md"] {
        for block in blocks(file).into_iter().filter(|block| block.language == "sql") {
            let script = std::env::temp_dir().join(format!("readme-{}-{ran}.sql", std::process::id()));
            std::fs::write(&script, &block.text).expect("a script is written");
            let mut psql = Command::new(built::server_programs().join("psql"));
            psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-v", &format!("quote_id={quote}"), "-d", &url, "-f"])
                .arg(&script);
            run(&mut psql, &block.text);
            std::fs::remove_file(&script).expect("the script is removed");
            ran += 1;
        }
    }
    assert!(ran >= 3, "the documents have SQL");
    assert_eq!(
        erp.count("select count(*) from quote_changes where field_name = 'notes'").await,
        1,
        "the save took place"
    );
}

#[tokio::test]
async fn the_shell_lines_run_beside_a_running_stack() {
    let world = World::start().await;
    let quote = world.quote_of(ALICE.tenant).await;
    let home = std::env::temp_dir().join(format!("readme-{}", std::process::id()));
    std::fs::create_dir_all(home.join("target/up")).expect("a directory is made");
    let variables = [
        ("DATABASE_URL", world.postgres.url("erp", "erp_app")),
        ("ADMIN_DATABASE_URL", world.postgres.url("erp", "postgres")),
        ("GATEWAY_URL", world.gateway.url()),
        ("TOKEN_ALICE", world.gateway.token(&ALICE)),
        ("TOKEN_BOB", world.gateway.token(&BOB)),
        ("TOKEN_OTHER_TENANT", world.gateway.token(&CAROL)),
        ("QUOTE_ID", quote.id.to_string()),
    ];
    let env: Vec<String> = variables.iter().map(|(name, value)| format!("export {name}='{value}'")).collect();
    std::fs::write(home.join("target/up/env"), env.join("\n")).expect("the variables are written");
    let mut ran = 0;
    for block in blocks("README.md").into_iter().filter(|block| block.language == "sh") {
        // The two commands themselves are what runs this test, and what it runs beside.
        let lines: Vec<&str> = block.text.lines().filter(|line| !line.starts_with("cargo ")).collect();
        let text = lines.join("\n");
        let mut shell = Command::new("bash");
        shell.args(["-e", "-u", "-o", "pipefail", "-c", &text]).current_dir(&home);
        let printed = tokio::task::spawn_blocking(move || run(&mut shell, &text)).await.expect("bash runs");
        ran += printed.len();
        if block.text.contains("getQuoteChangeHistory") {
            assert!(
                printed.contains("Rush order") && printed.contains(r#""fieldName":"notes""#),
                "{printed}"
            );
        }
    }
    std::fs::remove_dir_all(&home).expect("the directory is removed");
    assert!(ran > 0, "the README has shell lines");
}
