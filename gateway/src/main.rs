//! The gateway binary: reads its arguments and leaves the rest to the library.

use std::io::Write as _;
use std::process::ExitCode;

use quote_collab_gateway::config::{Cli, Command, TokenConfig};
use quote_collab_gateway::token::{Identity, expiry, sign};
use quote_collab_gateway::{graphql, serve, shutdown, telemetry};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::read();
    telemetry::log(&cli.log);
    let done = match cli.command {
        Command::Serve(config) => run(*config),
        Command::Token(config) => token(config),
        Command::Schema => print(&graphql::sdl()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tasks between two looks at what the system has for others: one that reads a large message takes milliseconds.
const EVENT_INTERVAL: u32 = 16;

fn run(config: quote_collab_gateway::config::ServeConfig) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().event_interval(EVENT_INTERVAL).enable_all().build()?;
    let served = runtime.block_on(async {
        let stop = shutdown::on_signal()?;
        let metrics = telemetry::count()?;
        serve::serve(config, Some(metrics), stop).await?;
        Ok(())
    });
    // A name that is being looked up cannot be given up, and nobody waits for it any more.
    runtime.shutdown_background();
    served
}

fn token(config: TokenConfig) -> Result<(), Error> {
    let identity = Identity {
        user: config.user,
        username: Some(config.username),
        tenant: config.tenant,
        email: config.email,
        expires_at: expiry(config.expires),
    };
    print(&sign(&identity, &config.jwt_secret)?)
}

fn print(text: &str) -> Result<(), Error> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
