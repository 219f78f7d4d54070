//! What can be known to be wrong before anything is started, and what to advise when the database refuses.

use quote_collab_core::token::SHORTEST_SECRET;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::ServeError;
use crate::config::{PostgresConfig, ServeConfig};
use crate::postgres::DatabaseError;
use crate::secret::Secret;

/// No right to a function or table, or no such function, table or schema.
const NOT_PREPARED: [&str; 4] = ["42501", "42883", "42P01", "3F000"];

/// Refuses what waiting cannot mend.
pub fn check(config: &ServeConfig) -> Result<(), ServeError> {
    check_secret(&config.jwt_secret)?;
    check_address(&config.postgres.database_url)?;
    check_address(listen_url(&config.postgres))
}

/// Where to listen: an address of nothing means the same as none.
pub fn listen_url(config: &PostgresConfig) -> &Secret {
    let given = config.database_listen_url.as_ref().filter(|url| !url.expose().trim().is_empty());
    given.unwrap_or(&config.database_url)
}

/// Tells the operator what is missing in a database that refuses the gateway.
pub fn advise(error: &ServeError, config: &PostgresConfig) {
    let ServeError::Database(error) = error else { return };
    if error.sqlstate().is_some_and(|sqlstate| NOT_PREPARED.contains(&sqlstate)) {
        let role = role(&config.database_url).unwrap_or_else(|| "the gateway's role".to_owned());
        tracing::error!(
            "the database is not prepared for the gateway; as a superuser run: \
            select attach_quote_collaboration(), once, then select grant_quote_gateway('{role}')"
        );
    }
}

fn check_secret(secret: &Secret) -> Result<(), ServeError> {
    match secret.expose().len() {
        0 => Err(ServeError::NoSecret),
        length if length < SHORTEST_SECRET => {
            tracing::warn!("JWT_SECRET is shorter than {SHORTEST_SECRET} bytes: use it for development only");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_address(url: &Secret) -> Result<(), ServeError> {
    // The error of the parser may repeat the address, and with it the password.
    let config: Config = url.expose().parse().map_err(|_| DatabaseError::Address)?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(DatabaseError::Address.into());
    }
    match config.get_ssl_mode() {
        SslMode::Require => Err(ServeError::NoTls),
        _ => Ok(()),
    }
}

fn role(url: &Secret) -> Option<String> {
    let config: Config = url.expose().parse().ok()?;
    config.get_user().map(|user| user.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> Option<String> {
        check_address(&Secret::from(url.to_owned())).err().map(|error| error.to_string())
    }

    #[test]
    fn an_address_that_can_never_work_is_refused() {
        for url in ["", "x", "postgresql://ann:hunter2@host:port/db", "postgresql:///db", "user=ann"] {
            let refusal = refusal(url).unwrap();
            assert!(refusal.contains("cannot be read") && !refusal.contains("hunter2"), "{url}: {refusal}");
        }
        assert!(refusal("postgresql://ann@host/db?sslmode=require").unwrap().contains("sslmode"));
        for url in
            ["postgresql://ann@host/db", "host=/run/postgresql user=ann", "postgresql://h/d?sslmode=prefer"]
        {
            assert_eq!(refusal(url), None, "{url}");
        }
    }

    #[test]
    fn the_role_is_named_as_sql_names_it() {
        let role = role(&Secret::from("postgresql://o'neil:hunter2@host/db".to_owned()));
        assert_eq!(role.as_deref(), Some("o''neil"));
    }
}
