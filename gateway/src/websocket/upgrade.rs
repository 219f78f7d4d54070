//! From a request to a socket: who may have one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use super::handshake::Handshake;
use super::origin::AllowedOrigins;
use super::protocol::{Close, CloseCode};
use super::socket::Socket;
use crate::graphql::Schema;
use crate::rate_limit::OperationBudget;
use crate::reading::Reading;
use crate::shares::Shares;
use crate::token::{Identity, TokenVerifier};
use crate::unread::Unread;

/// Where the guide's example puts the token.
const AUTH_TOKEN: &str = "authtoken";

/// What all sockets share.
pub struct Sockets {
    /// Executes operations.
    pub schema: Schema,
    /// Checks tokens.
    pub verifier: TokenVerifier,
    /// Budgets of users.
    pub budget: Arc<OperationBudget>,
    /// How fast they are read.
    pub reading: Arc<Reading>,
    /// Room for what they answer.
    pub unread: Unread,
    /// Pages that may open one.
    pub origins: AllowedOrigins,
    /// How many there may be.
    pub most: usize,
    /// How many of them somebody may have.
    pub shares: Shares,
    /// On how many of them somebody may send large messages.
    pub large: Shares,
    /// How many there are.
    pub open: AtomicUsize,
    /// Tells them to end.
    pub drain: CancellationToken,
    /// Longest wait for the mutations of one that ends.
    pub patience: Duration,
}

/// Counts one socket for as long as it lives.
struct Seat(Arc<Sockets>);

impl Seat {
    fn take(sockets: &Arc<Sockets>) -> Option<Self> {
        let seat = Self(Arc::clone(sockets));
        let before = sockets.open.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("gateway_sockets").increment(1.0);
        (before < sockets.most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("gateway_sockets").decrement(1.0);
    }
}

/// Answers an upgrade. What can be told as a close code is told as one, because a browser shows its page nothing of a
/// refused upgrade.
pub fn upgrade(sockets: &Arc<Sockets>, handshake: Handshake, headers: &HeaderMap) -> Response {
    if !sockets.origins.allows(headers) {
        metrics::counter!("gateway_sockets_refused_total", "reason" => "origin").increment(1);
        return (StatusCode::FORBIDDEN, "this origin may not connect").into_response();
    }
    let refusal = if !handshake.is_of_ours() {
        Some(Close::new(CloseCode::Subprotocol, "Subprotocol not acceptable"))
    } else if sockets.drain.is_cancelled() {
        Some(Close::new(CloseCode::Restart, "Restarting"))
    } else {
        None
    };
    let refusal = match (refusal, Seat::take(sockets)) {
        (None, Some(seat)) => {
            let identity = from_headers(&sockets.verifier, headers);
            return handshake.open(move |link| async move {
                Socket::new(link, Arc::clone(&seat.0), identity).run().await;
                drop(seat);
            });
        }
        (None, None) => Close::new(CloseCode::Overload, "Too many connections"),
        (Some(refusal), _) => refusal,
    };
    metrics::counter!("gateway_sockets_refused_total", "reason" => "close").increment(1);
    handshake.open(move |link| link.close(refusal))
}

/// A token of the upgrade request itself; browsers cannot send one, other programs can.
fn from_headers(verifier: &TokenVerifier, headers: &HeaderMap) -> Option<Identity> {
    let text = headers.get(header::AUTHORIZATION).or_else(|| headers.get(AUTH_TOKEN))?;
    verifier.verify_bearer(text.to_str().ok()?).ok()
}
