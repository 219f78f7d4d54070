//! Subscribers with the npm package `graphql-ws`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::gateway::Gateway;
use crate::node::{Node, node};

/// Between two tries to be heard. Only a try is repeated after it; nothing is assumed to have happened by then.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// What is subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `quoteChanged`.
    Quote,
    /// `quoteLineChanged`.
    Line,
    /// `presenceUpdated`.
    Presence,
}

/// One process with one socket and any number of subscriptions; it comes back by itself, from the last cursor.
#[derive(Debug)]
pub struct Subscriber {
    node: Node,
    subscriptions: BTreeSet<(Kind, Uuid)>,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Line => "line",
            Self::Presence => "presence",
        }
    }
}

impl Subscriber {
    /// Subscribes to every kind for every quote.
    #[must_use]
    pub fn start(gateway: &Gateway, token: &str, quotes: &[Uuid], kinds: &[Kind]) -> Self {
        Self::start_after(gateway, token, quotes, kinds, None)
    }

    /// Subscribes to every kind for every quote behind a cursor.
    #[must_use]
    pub fn start_after(
        gateway: &Gateway,
        token: &str,
        quotes: &[Uuid],
        kinds: &[Kind],
        after: Option<&str>,
    ) -> Self {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let (url, kind) = (gateway.web_socket_url(), names.join(","));
        let mut args =
            vec!["--url".to_owned(), url, "--token".to_owned(), token.to_owned(), "--kind".to_owned(), kind];
        args.extend(quotes.iter().flat_map(|quote| ["--quote".to_owned(), quote.to_string()]));
        args.extend(after.into_iter().flat_map(|cursor| ["--after".to_owned(), cursor.to_owned()]));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let subscriptions =
            quotes.iter().flat_map(|quote| kinds.iter().map(move |kind| (*kind, *quote))).collect();
        Self { node: node("subscriber.mjs", &args, &[]), subscriptions }
    }

    /// The next line that the process prints: an event, an error, or something about the connection.
    pub async fn next_line(&mut self) -> Value {
        self.node.next().await
    }

    /// The next event of any subscription. An error fails the test, save a `LAGGED` that the client survives.
    pub async fn next_event(&mut self) -> Value {
        self.next_event_line().await["event"].take()
    }

    async fn next_event_line(&mut self) -> Value {
        loop {
            let line = self.node.next().await;
            match line["type"].as_str() {
                Some("event") => return line,
                Some("error") if !is_survived(&line) => panic!("{line}"),
                Some("complete") => panic!("{line}"),
                _ => {}
            }
        }
    }

    /// The next error of any subscription, events passed over.
    pub async fn next_error(&mut self) -> Value {
        self.node.next_where(|line| line["type"] == "error").await["errors"][0].take()
    }

    /// Waits until the connection is closed: code and reason.
    pub async fn next_closed(&mut self) -> Value {
        self.node.next_where(|line| line["type"] == "closed").await
    }

    /// Waits until the connection is made again.
    pub async fn reconnected(&mut self) {
        self.node.next_where(|line| line["type"] == "connected").await;
    }

    /// Uses another token from the next connection on.
    pub async fn use_token(&mut self, token: &str) {
        self.node.tell(&json!({ "token": token })).await;
    }

    /// Changes every subscribed quote until each subscription has heard a change: a subscription is not acknowledged,
    /// so being heard is the only sign that it is there. Returns with no change on its way.
    pub async fn settle(&mut self, app: &Client) {
        if let Err(error) = self.try_to_settle(app).await {
            panic!("ended before it was heard of: {error}");
        }
    }

    /// As [`Self::settle`], but gives the error that ended a subscription.
    ///
    /// # Errors
    ///
    /// The first error of any subscription, save a `LAGGED` that the client survives.
    pub async fn try_to_settle(&mut self, app: &Client) -> Result<(), Value> {
        let mut silent: BTreeSet<_> =
            self.subscriptions.iter().copied().filter(|(kind, _)| *kind != Kind::Presence).collect();
        let mut round = 0;
        while !silent.is_empty() {
            round += 1;
            assert!(round < 200, "never heard of {silent:?}");
            for (kind, quote) in &silent {
                knock(app, *kind, *quote, &format!("knock {round}")).await;
            }
            while let Ok(line) = tokio::time::timeout(TRY_AGAIN, self.next_line()).await {
                match line["type"].as_str() {
                    Some("event") => _ = silent.remove(&heard(&line)),
                    Some("error") if !is_survived(&line) => return Err(line["errors"][0].clone()),
                    _ => {}
                }
                if silent.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Changes what is subscribed once more, and collects every event up to these changes.
    pub async fn drain(&mut self, app: &Client) -> Vec<Value> {
        let mark = Uuid::now_v7().to_string();
        let mut waiting: BTreeSet<_> =
            self.subscriptions.iter().copied().filter(|(kind, _)| *kind != Kind::Presence).collect();
        for (kind, quote) in &waiting {
            knock(app, *kind, *quote, &mark).await;
        }
        let mut events = Vec::new();
        while !waiting.is_empty() {
            let mut line = self.next_event_line().await;
            if line["event"]["changes"][0]["newValue"] == mark.as_str() {
                waiting.remove(&heard(&line));
            } else {
                events.push(line["event"].take());
            }
        }
        events
    }
}

/// Whether the client begins anew by itself after this error.
fn is_survived(error: &Value) -> bool {
    error["errors"][0]["extensions"]["code"] == "LAGGED"
}

async fn knock(app: &Client, kind: Kind, quote: Uuid, text: &str) {
    let statement = match kind {
        Kind::Line => "update quote_lines set description = $1 where quote_id = $2 and line_number = 1",
        _ => "update quotes set contact_name = $1 where id = $2",
    };
    app.execute(statement, &[&text, &quote]).await.expect("the ERP may change a quote");
}

fn heard(line: &Value) -> (Kind, Uuid) {
    let kind = if line["kind"] == "line" { Kind::Line } else { Kind::Quote };
    let quote = line["quoteId"].as_str().and_then(|quote| quote.parse().ok());
    (kind, quote.unwrap_or_else(|| panic!("an event without its quote: {line}")))
}
