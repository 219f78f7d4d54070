//! Configuration. Every variable but `RUST_LOG` is also a flag of the same meaning (`DATABASE_URL` is `--database-url`). A variable that
//! is set to nothing means the same as one that is not set.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `DATABASE_URL` | required | `postgresql://user:password@host:port/database` of the gateway's own role |
//! | `DATABASE_LISTEN_URL` | `DATABASE_URL` | a direct connection for LISTEN, when `DATABASE_URL` is a pooler in session or transaction mode |
//! | `PG_POOL_SIZE` | 16 | connections for requests, of which a tenant has at most half at a time and a user a quarter; the gateway's own work has up to five more |
//! | `PG_STATEMENT_TIMEOUT` | 5s | longest run of one request's statement |
//! | `NATS_URL` | none | `nats://host:port[,…]`, with credentials as `nats://user:password@host` or `nats://token@host`, percent-encoded; absent: events stay in this process, for a single gateway |
//! | `NATS_USER`, `NATS_PASSWORD` | none | credentials, when the server asks for them; they count before those in `NATS_URL` |
//! | `NATS_STREAM_MAX_AGE` | 24h | how long the stream keeps events, used only when the stream is created |
//! | `NATS_STREAM_MAX_BYTES` | unlimited | largest size of the stream, used only when the stream is created |
//! | `NATS_STREAM_REPLICAS` | 1 | copies in a NATS cluster, used only when the stream is created |
//! | `JWT_SECRET` | required | key of the HS256 tokens |
//! | `JWT_EXPIRATION` | 24h | life of a token minted by `gateway token` |
//! | `HOST`, `PORT` | 127.0.0.1, 3000 | where to listen |
//! | `ALLOWED_ORIGINS` | none | further origins, comma separated, whose pages may call the gateway; `*` for all. A page served by the same host name is always allowed, and so is a caller without an Origin, which is no browser |
//! | `RATE_LIMIT_PER_SECOND`, `RATE_LIMIT_BURST` | 200, 400 | operations per user; each root field is one, and so is each 8 KiB of a message |
//! | `MAX_SOCKETS` | 20000 | WebSocket connections of this gateway, of which a tenant has at most half at a time and a user a quarter |
//! | `DRAIN_TIMEOUT` | 10s | time that running requests get after SIGTERM |
//! | `RUST_LOG` | info | log filter; of the libraries inside it shows no more than warnings, because they would print tokens and quotes |
//! | `LOG_FORMAT` | text | `text` or `json` |

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::duration::parse_duration;
use crate::secret::Secret;

/// Quote collaboration for PostgreSQL: events from the database to browsers.
#[derive(Debug, Parser)]
#[command(name = "gateway", version)]
pub struct Cli {
    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until stopped; this is what happens without a command
    Serve(Box<ServeConfig>),
    /// Print a token for development
    Token(TokenConfig),
    /// Print the GraphQL schema
    Schema,
}

/// How to log.
#[derive(Clone, Debug, Args)]
pub struct LogConfig {
    /// Form of a log line
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// Everything that `serve` needs.
#[derive(Clone, Debug, Args)]
pub struct ServeConfig {
    /// Where and how to reach PostgreSQL
    #[command(flatten)]
    pub postgres: PostgresConfig,
    /// Where and how to reach NATS
    #[command(flatten)]
    pub nats: NatsConfig,
    /// Where and how to answer
    #[command(flatten)]
    pub http: HttpConfig,
    /// Key of the tokens
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Secret,
}

/// Where and how to reach PostgreSQL.
#[derive(Clone, Debug, Args)]
pub struct PostgresConfig {
    /// Address of the database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,
    /// Direct address for LISTEN
    #[arg(long, env = "DATABASE_LISTEN_URL", hide_env_values = true)]
    pub database_listen_url: Option<Secret>,
    /// Connections for requests
    #[arg(long, env = "PG_POOL_SIZE", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub pg_pool_size: u16,
    /// Longest run of one statement
    #[arg(long, env = "PG_STATEMENT_TIMEOUT", default_value = "5s", value_parser = parse_statement_timeout)]
    pub pg_statement_timeout: Duration,
}

/// Where and how to reach NATS.
#[derive(Clone, Debug, Args)]
pub struct NatsConfig {
    /// Address of NATS; absent: embedded
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<Secret>,
    /// User name at NATS
    #[arg(long, env = "NATS_USER", requires = "nats_password")]
    pub nats_user: Option<String>,
    /// Password at NATS
    #[arg(long, env = "NATS_PASSWORD", requires = "nats_user", hide_env_values = true)]
    pub nats_password: Option<Secret>,
    /// How long the stream keeps events
    #[arg(long, env = "NATS_STREAM_MAX_AGE", default_value = "24h", value_parser = parse_duration)]
    pub nats_stream_max_age: Duration,
    /// Largest size of the stream
    #[arg(long, env = "NATS_STREAM_MAX_BYTES")]
    pub nats_stream_max_bytes: Option<i64>,
    /// Copies of the stream
    #[arg(long, env = "NATS_STREAM_REPLICAS", default_value_t = 1)]
    pub nats_stream_replicas: usize,
}

/// Where and how to answer.
#[derive(Clone, Debug, Args)]
pub struct HttpConfig {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 3000)]
    pub port: u16,
    /// Further origins that may call
    #[arg(long, env = "ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// Operations per user and second
    #[arg(long, env = "RATE_LIMIT_PER_SECOND", default_value = "200")]
    pub rate_limit_per_second: std::num::NonZeroU32,
    /// Operations per user at once
    #[arg(long, env = "RATE_LIMIT_BURST", default_value = "400")]
    pub rate_limit_burst: std::num::NonZeroU32,
    /// WebSocket connections
    #[arg(long, env = "MAX_SOCKETS", default_value_t = 20_000)]
    pub max_sockets: usize,
    /// Time that running requests get after SIGTERM
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "10s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
}

/// Everything that `token` needs.
#[derive(Clone, Debug, Args)]
pub struct TokenConfig {
    /// Id of the user
    #[arg(long)]
    pub user: Uuid,
    /// Name of the user
    #[arg(long)]
    pub username: String,
    /// Id of the user's tenant
    #[arg(long)]
    pub tenant: Uuid,
    /// E-mail of the user
    #[arg(long)]
    pub email: Option<String>,
    /// Life of the token
    #[arg(long, env = "JWT_EXPIRATION", default_value = "24h", value_parser = parse_duration)]
    pub expires: Duration,
    /// Key to sign with
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Secret,
}

impl Cli {
    /// Reads arguments and environment; without a command it is `serve`.
    #[must_use]
    pub fn read() -> Self {
        let command = without_empty_variables(Self::command());
        let matches = command.get_matches_from(with_default_command(std::env::args_os().collect()));
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// As PostgreSQL takes it. None at all would let a request wait for as long as a lock is held.
fn parse_statement_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text).map_err(|error| error.to_string())?;
    let is_taken = i32::try_from(timeout.as_millis()).is_ok_and(|milliseconds| milliseconds > 0);
    is_taken.then_some(timeout).ok_or_else(|| "expected a time from 1ms to 24d".to_owned())
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty =
        |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.to_string_lossy().trim().is_empty());
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(Resettable::Reset),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// A leading flag that is not of all commands, or nothing at all, means that no command was given.
fn with_default_command(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    if arguments.is_empty() {
        arguments.push(PathBuf::from("gateway").into());
    }
    let place = 1 + global_flags(&arguments[1..]);
    let first = arguments.get(place).map(|first| first.to_string_lossy().into_owned());
    let asks = matches!(first.as_deref(), Some("-h" | "--help" | "-V" | "--version"));
    if !asks && first.is_none_or(|first| first.starts_with('-')) {
        arguments.insert(place, "serve".into());
    }
    arguments
}

/// How many arguments at the beginning are flags of all commands, and their values.
fn global_flags(arguments: &[std::ffi::OsString]) -> usize {
    const FLAG: &str = "--log-format";
    let mut count = 0;
    while let Some(argument) = arguments.get(count) {
        count += match argument.to_string_lossy().strip_prefix(FLAG) {
            Some("") => 2,
            Some(value) if value.starts_with('=') => 1,
            _ => break,
        };
    }
    count.min(arguments.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let arguments = arguments.iter().map(std::ffi::OsString::from).collect();
        Cli::try_parse_from(with_default_command(arguments))
    }

    #[test]
    fn serve_is_the_default_and_hides_its_secrets() {
        let cli =
            parse(&["gateway", "--database-url=postgresql://u:hunter2@h/d", "--jwt-secret=hunter2"]).unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
        let Command::Serve(config) = cli.command else { panic!("serve expected") };
        assert_eq!(config.postgres.pg_pool_size, 16);
        assert_eq!(config.nats.nats_stream_max_age, Duration::from_hours(24));
    }

    #[test]
    fn a_token_needs_a_user_and_a_tenant() {
        let id = "0190b7a1-0000-7000-8000-00000000000a";
        let token =
            ["gateway", "token", "--user", id, "--username", "ann", "--tenant", id, "--jwt-secret", "x"];
        assert!(matches!(parse(&token).unwrap().command, Command::Token(_)));
        assert!(parse(&["gateway", "token", "--user", "7", "--username", "ann", "--tenant", id]).is_err());
    }

    #[test]
    fn a_flag_of_all_commands_may_stand_before_the_command() {
        let id = "0190b7a1-0000-7000-8000-00000000000a";
        let token = ["token", "--user", id, "--username", "ann", "--tenant", id, "--jwt-secret", "x"];
        let serve = ["--database-url=x", "--jwt-secret=x"];
        for flag in [&["--log-format=json"][..], &["--log-format", "json"]] {
            let cli = parse(&[&["gateway"], flag, &token].concat()).unwrap();
            assert!(matches!(cli.command, Command::Token(_)) && cli.log.log_format == LogFormat::Json);
            let cli = parse(&[&["gateway"], flag, &serve].concat()).unwrap();
            assert!(matches!(cli.command, Command::Serve(_)) && cli.log.log_format == LogFormat::Json);
        }
        assert!(parse(&["gateway", "--log-format"]).is_err());
    }

    #[test]
    fn bad_values_are_refused() {
        let base = ["gateway", "--database-url=x", "--jwt-secret=x"];
        for flag in [
            "--pg-pool-size=0",
            "--port=70000",
            "--rate-limit-burst=0",
            "--pg-statement-timeout=soon",
            "--pg-statement-timeout=0",
            "--pg-statement-timeout=30d",
        ] {
            assert!(parse(&[&base[..], &[flag]].concat()).is_err(), "{flag}");
        }
    }
}
