//! How every connection to PostgreSQL is set up.

use std::time::Duration;

use tokio_postgres::Config;

use super::error::DatabaseError;
use crate::secret::Secret;

/// Longest wait for a connection to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent peer is asked after this time, then every interval, so many times: dead after about 19 seconds.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_RETRIES: u32 = 3;
/// Sent data that nobody acknowledges for so long means that the peer is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Reads an address and adds the time-outs that it does not set itself.
pub fn connection_config(url: &Secret, application_name: &str) -> Result<Config, DatabaseError> {
    // The error of the parser may repeat the address, and with it the password.
    let mut config: Config = url.expose().parse().map_err(|_| DatabaseError::Address)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name(application_name);
    }
    config
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(USER_TIMEOUT);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_refused_without_its_password() {
        let url = Secret::from("postgresql://gateway:hunter2@host:port/db".to_owned());
        let error = connection_config(&url, "test").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        let url = Secret::from("postgresql://gateway:hunter2@host:1/db".to_owned());
        let config = connection_config(&url, "test").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
