//! What a reader needs to try it: URLs, tokens, a quote to edit.

use std::path::Path;

use xtask::erp::{ALICE, BOB, CAROL, OTHER_TENANT, TENANT};
use xtask::failure::{Failure, Result};
use xtask::gateway::Claims;

use crate::stack::Stack;

/// The variables of `target/up/env`.
pub fn variables(stack: &Stack) -> Result<Vec<(&'static str, String)>> {
    // A draft of Alice's tenant, and its first line.
    let sample = stack.psql.query(
        "erp",
        &format!(
            "select q.id, l.id from quotes q join quote_lines l on l.quote_id = q.id \
             where q.tenant_id = '{TENANT}' and q.status = 'DRAFT' order by q.quote_number, l.line_number limit 1"
        ),
    )?;
    let (quote, line) = sample
        .split_once('|')
        .ok_or_else(|| Failure::Refused("the sample ERP has no draft to try".to_owned()))?;
    let token = |user, name, tenant| stack.gateway.token(Claims { user, name, tenant, expires: "24h" });
    let mut variables = vec![
        ("DATABASE_URL", stack.url("erp_app", &stack.secrets.erp_app)),
        ("ADMIN_DATABASE_URL", stack.url("postgres", &stack.secrets.postgres)),
        ("GATEWAY_DATABASE_URL", stack.url("quote_gateway", &stack.secrets.quote_gateway)),
    ];
    if let Some(nats) = &stack.nats {
        variables.push(("NATS_URL", nats.url()));
    }
    variables.extend([
        ("GATEWAY_URL", stack.gateway.url()),
        ("JWT_SECRET", stack.secrets.jwt.clone()),
        ("TOKEN_ALICE", token(ALICE, "alice", TENANT)?),
        ("TOKEN_BOB", token(BOB, "bob", TENANT)?),
        ("TOKEN_OTHER_TENANT", token(CAROL, "carol", OTHER_TENANT)?),
        ("TENANT_ID", TENANT.to_owned()),
        ("QUOTE_ID", quote.to_owned()),
        ("QUOTE_LINE_ID", line.to_owned()),
    ]);
    Ok(variables)
}

/// Prints what to try, in an order that shows the flow of a change.
pub fn print(file: &Path, variables: &[(&str, String)], detached: bool) {
    let value = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value.as_str())
    };
    let web_socket = value("GATEWAY_URL").replacen("http", "ws", 1);
    println!("\n  page       {}/", value("GATEWAY_URL"));
    println!("  GraphQL    {}/graphql", value("GATEWAY_URL"));
    println!("  PostgreSQL {}", value("DATABASE_URL"));
    println!(
        "  NATS       {}",
        if value("NATS_URL").is_empty() { "none (embedded)" } else { value("NATS_URL") }
    );
    for (who, name) in [
        ("alice", "TOKEN_ALICE"),
        ("bob, same tenant", "TOKEN_BOB"),
        ("carol, other tenant", "TOKEN_OTHER_TENANT"),
    ] {
        println!("\n  token of {who}\n  {}", value(name));
    }
    println!("\nListen to a quote, in one terminal:\n\n  . {}", file.display());
    println!("  npx wscat -w 600 -s graphql-transport-ws -c {web_socket}/graphql \\");
    println!(r#"    -x '{{"type":"connection_init","payload":{{"authToken":"Bearer '$TOKEN_ALICE'"}}}}' \"#);
    println!(
        r#"    -x '{{"id":"1","type":"subscribe","payload":{{"query":"subscription {{ quoteChanged(quoteId: \"'$QUOTE_ID'\") {{ eventType version changes {{ field oldValue newValue }} }} }}"}}}}'"#
    );
    println!("\nChange it, in another:\n\n  . {}", file.display());
    println!(
        "  psql \"$DATABASE_URL\" -c \"update quotes set notes = 'Call before delivery' where id = '$QUOTE_ID'\""
    );
    println!(
        "\n{}",
        if detached { "`cargo xtask down` stops all of it." } else { "Ctrl-C stops all of it." }
    );
}
