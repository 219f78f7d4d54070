//! One socket: a single task that reads, executes, writes and keeps time. While it writes it does nothing else: what its operations
//! run in the database goes on meanwhile, each statement as an errand, and what belongs to a socket ends with it.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, Value};
use axum::body::Bytes;
use futures_util::stream::{AbortHandle, Abortable, BoxStream, SelectAll};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::fault::fault;
use super::link::Link;
use super::protocol::{self, Close, CloseCode, Conversation, Step};
use super::silence::{Silence, patience_for};
use super::upgrade::Sockets;
use crate::failure::{Code, Failure};
use crate::graphql::{Operation, Prepared, is_request_error, with_codes, write};
use crate::shares::Share;
use crate::token::{Identity, TokenError};
use crate::unread::Room;
use crate::unsent::Unsent;

/// Longest wait for `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a ping is sent.
const PING_PERIOD: Duration = Duration::from_secs(10);

/// What an operation yields.
enum Outcome {
    Result(Arc<str>, Box<Response>, Option<OperationType>, Arc<Room>),
    End(Arc<str>),
}

/// Why the loop ends.
enum Ending {
    /// We close.
    Close(Close),
    /// The client closes.
    Closed,
    /// The client is gone.
    Gone,
}

/// An operation that runs.
struct Running {
    handle: AbortHandle,
    is_mutation: bool,
}

/// One socket.
pub struct Socket {
    link: Link,
    sockets: Arc<Sockets>,
    conversation: Conversation,
    identity: Option<Identity>,
    share: Option<Share>,
    unsent: Unsent,
    results: SelectAll<Abortable<BoxStream<'static, Outcome>>>,
    running: HashMap<Arc<str>, Running>,
    opened: Instant,
    silence: Silence,
    /// A message that waits for its turn; nothing is read behind it.
    held: Option<(Instant, Utf8Bytes)>,
    next_ping: Instant,
    expires: Option<Instant>,
}

impl Socket {
    /// A socket whose upgrade may already have brought a token.
    pub fn new(link: Link, sockets: Arc<Sockets>, identity: Option<Identity>) -> Self {
        let now = Instant::now();
        Self {
            link,
            sockets,
            conversation: Conversation::default(),
            identity,
            share: None,
            unsent: Unsent::default(),
            results: SelectAll::new(),
            running: HashMap::new(),
            opened: now,
            silence: Silence::at(now),
            held: None,
            next_ping: now + PING_PERIOD,
            expires: None,
        }
    }

    /// Serves the socket until either side ends it.
    pub async fn run(mut self) {
        let drain = self.sockets.drain.clone();
        let ending = loop {
            let deadline = self.deadline();
            let step = tokio::select! {
                biased;
                () = drain.cancelled() => Err(closing(CloseCode::Restart, "Restarting")),
                () = sleep_until(deadline) => self.on_time().await,
                message = self.link.recv(), if self.held.is_none() => self.on_message(message).await,
                Some(outcome) = self.results.next() => self.on_outcome(outcome).await,
            };
            if let Err(ending) = step {
                break ending;
            }
            // Whoever sends without a pause has others wait no longer than for one message.
            yield_now().await;
        };
        match ending {
            Ending::Close(close) => {
                metrics::counter!("gateway_sockets_closed_total", "code" => close.code.number().to_string())
                    .increment(1);
                // The client is not at fault: it would come back and do again what is being done.
                let is_our_own = matches!(close.code, CloseCode::Restart | CloseCode::Forbidden);
                match if is_our_own { self.finish().await } else { Ok(()) } {
                    Ok(()) => self.close(close).await,
                    Err(Ending::Closed) => self.answer_close().await,
                    Err(_) => {}
                }
            }
            Ending::Closed => self.answer_close().await,
            Ending::Gone => {}
        }
    }

    /// Tells what becomes of the mutations that run, and begins nothing new, unless the client ends it.
    async fn finish(&mut self) -> Result<(), Ending> {
        for operation in self.running.values().filter(|operation| !operation.is_mutation) {
            operation.handle.abort();
        }
        let patience = self.sockets.patience;
        let finishing = async {
            while self.running.values().any(|operation| operation.is_mutation) {
                let step = tokio::select! {
                    message = self.link.recv() => match message {
                        Some(Ok(Message::Close(_))) => Err(Ending::Closed),
                        Some(Err(_)) | None => Err(Ending::Gone),
                        Some(Ok(_)) => Ok(()),
                    },
                    Some(outcome) = self.results.next() => self.on_outcome(outcome).await,
                };
                step?;
            }
            Ok::<(), Ending>(())
        };
        timeout(patience, finishing).await.unwrap_or(Ok(()))
    }

    fn deadline(&self) -> Instant {
        let init = (!self.conversation.is_acknowledged()).then(|| self.opened + INIT_TIMEOUT);
        let turn = self.held.as_ref().map(|(turn, _)| *turn);
        [Some(self.next_ping), Some(self.silence.ends()), init, self.expires, turn]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.next_ping)
    }

    async fn on_time(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if let Some((_, text)) = self.held.take_if(|(turn, _)| *turn <= now) {
            return self.on_text(&text).await;
        }
        let is_awaited = now >= self.opened + INIT_TIMEOUT && !self.conversation.is_acknowledged();
        let is_silent = now >= self.silence.ends();
        // What has come while this task was busy, or others were, has not been looked at.
        if (is_awaited || is_silent && self.held.is_none())
            && let Some(message) = unconstrained(self.link.recv()).now_or_never()
        {
            self.on_message(message).await?;
        } else if is_silent {
            return Err(Ending::Gone);
        }
        if is_awaited && !self.conversation.is_acknowledged() {
            return Err(closing(CloseCode::InitTimeout, "Connection initialisation timeout"));
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(closing(CloseCode::Forbidden, TokenError::Expired.to_string()));
        }
        if now >= self.next_ping {
            self.next_ping = now + PING_PERIOD;
            // The system takes one at once, which says nothing of the client.
            return self.put(0, async |link| link.send(Message::Ping(Bytes::new())).await).await;
        }
        Ok(())
    }

    async fn on_message(&mut self, message: Option<Result<Message, Error>>) -> Result<(), Ending> {
        self.silence.heard(Instant::now());
        match message {
            Some(Ok(Message::Text(text))) => self.hear(text).await,
            Some(Ok(Message::Binary(_))) => Err(closing(CloseCode::BadMessage, "Message must be text")),
            // The library answers a ping by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(_))) => Err(Ending::Closed),
            Some(Err(error)) => Err(fault(&error).map_or(Ending::Gone, Ending::Close)),
            None => Err(Ending::Gone),
        }
    }

    /// Reading a message costs, whatever is in it: those of somebody who sends much wait for their turn.
    async fn hear(&mut self, text: Utf8Bytes) -> Result<(), Ending> {
        let now = Instant::now();
        let turn = match &self.identity {
            Some(identity) if self.conversation.is_acknowledged() => {
                self.sockets.reading.turn(identity.user, text.len(), now)
            }
            _ => now,
        };
        if turn <= now {
            return self.on_text(&text).await;
        }
        // Until then nothing more is heard of him.
        self.silence.heard(turn);
        self.held = Some((turn, text));
        Ok(())
    }

    async fn on_text(&mut self, text: &str) -> Result<(), Ending> {
        match self.conversation.receive(text) {
            Step::Authenticate(token) => self.authenticate(token).await,
            Step::Refresh(token) => self.refresh(&token).await,
            Step::Start(id, operation) => self.start(id, *operation).await,
            Step::Refuse(id) => {
                let failure =
                    Failure::new(Code::TooManySubscriptions, "too many operations on one connection");
                self.send(protocol::error(&id, &errors(&failure.into()))).await
            }
            Step::Stop(id) => {
                if let Some(operation) = self.running.remove(&id) {
                    operation.handle.abort();
                }
                Ok(())
            }
            Step::Send(message) => self.send(message).await,
            Step::Ignore => Ok(()),
            Step::Close(close) => Err(Ending::Close(close)),
        }
    }

    /// A token of the message counts before one of the upgrade.
    async fn authenticate(&mut self, token: Option<String>) -> Result<(), Ending> {
        let identity = match (token, self.identity.take()) {
            (Some(token), _) => self.verify(&token),
            (None, Some(identity)) => Ok(identity),
            (None, None) => Err(TokenError::Absent),
        };
        let identity = identity.map_err(|error| closing(CloseCode::Forbidden, error.to_string()))?;
        self.share = self.sockets.shares.take(&identity);
        if self.share.is_none() {
            return Err(closing(CloseCode::TooMany, "Too many connections of this user or tenant"));
        }
        self.admit(identity);
        let acknowledgement = self.conversation.acknowledge();
        self.send(acknowledgement).await
    }

    /// A fresh token must be of the same person: running subscriptions were opened in that name.
    async fn refresh(&mut self, token: &str) -> Result<(), Ending> {
        let same = |fresh: &Identity| {
            self.identity.as_ref().is_some_and(|was| (was.user, was.tenant) == (fresh.user, fresh.tenant))
        };
        match self.verify(token) {
            Ok(fresh) if same(&fresh) => self.admit(fresh),
            Ok(_) => return Err(closing(CloseCode::Forbidden, "the token is of another user")),
            Err(error) => return Err(closing(CloseCode::Forbidden, error.to_string())),
        }
        self.send(protocol::pong(None)).await
    }

    fn admit(&mut self, identity: Identity) {
        self.link.admit(self.sockets.large.clone(), identity.clone());
        self.expires = Instant::now().checked_add(identity.remaining());
        self.identity = Some(identity);
    }

    /// With or without the word `Bearer`: several clients leave it out.
    fn verify(&self, text: &str) -> Result<Identity, TokenError> {
        let verifier = &self.sockets.verifier;
        if text.contains(' ') { verifier.verify_bearer(text) } else { verifier.verify(text) }
    }

    async fn start(&mut self, id: Arc<str>, operation: Operation) -> Result<(), Ending> {
        let Some(identity) = self.identity.clone() else {
            return Err(closing(CloseCode::Unauthorized, "Unauthorized"));
        };
        let Prepared { request, plan } = match operation.admit(&self.sockets.budget, identity.user) {
            Ok(prepared) => prepared,
            Err(failure) => {
                self.conversation.complete(&id);
                return self.send(protocol::error(&id, &errors(&failure.into()))).await;
            }
        };
        let kind = plan.kind;
        let room = Arc::new(self.sockets.unread.room_at(&identity, self.unsent.clone()));
        let request = request.data(identity).data(Arc::clone(&room));
        let (result_id, end_id) = (Arc::clone(&id), Arc::clone(&id));
        let results = self
            .sockets
            .schema
            .execute_stream(request)
            .map(move |mut response| {
                plan.arrange(&mut response);
                Outcome::Result(Arc::clone(&result_id), Box::new(response), kind, Arc::clone(&room))
            })
            .chain(stream::once(ready(Outcome::End(end_id))))
            .boxed();
        let (handle, registration) = AbortHandle::new_pair();
        self.results.push(Abortable::new(results, registration));
        let is_mutation = kind == Some(OperationType::Mutation);
        self.running.insert(id, Running { handle, is_mutation });
        Ok(())
    }

    async fn on_outcome(&mut self, outcome: Outcome) -> Result<(), Ending> {
        match outcome {
            Outcome::Result(id, response, kind, room) => {
                let response = with_codes(*response);
                if !ends_operation(&response, kind) {
                    return self.answer(&id, response, kind, &room).await;
                }
                self.forget(&id);
                self.send(protocol::error(&id, &errors(&response))).await
            }
            Outcome::End(id) => {
                if self.forget(&id) {
                    return self.send(protocol::complete(&id)).await;
                }
                Ok(())
            }
        }
    }

    /// The answer to a query is refused where its user leaves too much unread; events and what was done are told in any case.
    async fn answer(
        &mut self,
        id: &Arc<str>,
        response: Response,
        kind: Option<OperationType>,
        room: &Room,
    ) -> Result<(), Ending> {
        let is_refusable = kind == Some(OperationType::Query);
        if let Some(failure) = room.refusal().filter(|_| is_refusable) {
            drop(response);
            return self.refuse(id, failure).await;
        }
        let text = protocol::next(id, &write(&response));
        // Sending may take long.
        drop(response);
        // An event has the room of its page, or none.
        let is_event = kind == Some(OperationType::Subscription);
        if !is_event
            && let Err(failure) = room.grow(text.len())
            && is_refusable
        {
            drop(text);
            return self.refuse(id, failure).await;
        }
        self.send(text).await
    }

    async fn refuse(&mut self, id: &Arc<str>, failure: Failure) -> Result<(), Ending> {
        self.forget(id);
        self.send(protocol::error(id, &errors(&failure.into()))).await
    }

    fn forget(&mut self, id: &Arc<str>) -> bool {
        if let Some(operation) = self.running.remove(id) {
            operation.handle.abort();
        }
        self.conversation.complete(id)
    }

    async fn send(&mut self, text: String) -> Result<(), Ending> {
        let size = text.len();
        self.put(size, async |link| link.send_text(text).await).await?;
        self.silence.taken(Instant::now(), size);
        Ok(())
    }

    /// While a client takes nothing its queues in the hub fill, and it is told that it lagged; one that takes nothing at
    /// all, or a large message too slowly, is gone.
    async fn put(
        &mut self,
        size: usize,
        send: impl AsyncFnOnce(&mut Link) -> Result<(), Error>,
    ) -> Result<(), Ending> {
        match timeout(patience_for(size), send(&mut self.link)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Ending::Gone),
        }
    }

    /// Nobody waits for what runs any more.
    async fn answer_close(mut self) {
        self.results.clear();
        self.link.answer_close().await;
    }

    async fn close(mut self, close: Close) {
        self.results.clear();
        self.link.close(close).await;
    }
}

fn closing(code: CloseCode, reason: impl Into<String>) -> Ending {
    Ending::Close(Close::new(code, reason))
}

/// Whether a response is the protocol's `error`, after which nothing follows: the request was refused, or a
/// subscription has failed. A query or mutation that ran has a result, also when parts of it failed.
fn ends_operation(response: &Response, kind: Option<OperationType>) -> bool {
    let failed = response.data == Value::Null && !response.errors.is_empty();
    failed && (kind == Some(OperationType::Subscription) || is_request_error(response))
}

fn errors(response: &Response) -> String {
    serde_json::to_string(&response.errors).unwrap_or_else(|_| "[]".to_owned())
}
