//! The protocol as a state machine: text in, steps out. No socket, no clock, no execution.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::graphql::Operation;

/// The subprotocol's name.
pub const SUBPROTOCOL: &str = "graphql-transport-ws";
/// A close frame holds 125 bytes, two of them the code.
const LONGEST_REASON: usize = 123;
/// Ids are the client's; a longer one would only be carried around.
const LONGEST_ID: usize = 256;
/// Bytes of a message that is no operation, and of any from somebody who has not been let in.
const LARGEST_OTHER: usize = 16 << 10;
/// Operations of one socket at a time.
pub const MOST_OPERATIONS: usize = 100;

/// Why a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// A frame against the rules of WebSocket.
    Protocol,
    /// A text that is no UTF-8.
    NotText,
    /// A message is larger than allowed.
    TooBig,
    /// The gateway is shutting down: come back, to another one.
    Restart,
    /// There are too many sockets: come back later.
    Overload,
    /// A message is not one of the protocol.
    BadMessage,
    /// An operation before the acknowledgement.
    Unauthorized,
    /// No good token, or not any more: come back with a fresh one.
    Forbidden,
    /// Another subprotocol, or none.
    Subprotocol,
    /// No `connection_init` in time.
    InitTimeout,
    /// An id that is in use.
    DuplicateId,
    /// A second `connection_init`, or more sockets, or sockets with large messages, than the user or the tenant may have.
    TooMany,
}

/// A close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub code: CloseCode,
    /// In words.
    pub reason: String,
}

/// What to do about a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Check the token of a `connection_init`; then acknowledge or close.
    Authenticate(Option<String>),
    /// Check the fresh token of a `ping`; then answer it or close.
    Refresh(String),
    /// Start an operation.
    Start(Arc<str>, Box<Operation>),
    /// Refuse an operation: there are too many.
    Refuse(Arc<str>),
    /// Stop an operation.
    Stop(Arc<str>),
    /// Answer.
    Send(String),
    /// Nothing.
    Ignore,
    /// Give up.
    Close(Close),
}

/// What the protocol remembers of a socket.
#[derive(Debug, Default)]
pub struct Conversation {
    initialised: bool,
    acknowledged: bool,
    operations: HashSet<Arc<str>>,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotText => 1007,
            Self::TooBig => 1009,
            Self::Restart => 1012,
            Self::Overload => 1013,
            Self::BadMessage => 4400,
            Self::Unauthorized => 4401,
            Self::Forbidden => 4403,
            Self::Subprotocol => 4406,
            Self::InitTimeout => 4408,
            Self::DuplicateId => 4409,
            Self::TooMany => 4429,
        }
    }
}

impl Close {
    /// A close frame whose reason is cut to what fits.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = LONGEST_REASON.min(reason.len());
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code, reason }
    }
}

impl Conversation {
    /// Whether the client has said `connection_init` and was let in.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// Lets the client in.
    pub fn acknowledge(&mut self) -> String {
        self.acknowledged = true;
        json!({"type": "connection_ack"}).to_string()
    }

    /// An operation has ended by itself; false when the client had stopped it already.
    pub fn complete(&mut self, id: &str) -> bool {
        self.operations.remove(id)
    }

    /// What to do about a text message.
    pub fn receive(&mut self, text: &str) -> Step {
        let is_large = text.len() > LARGEST_OTHER;
        if is_large && !self.acknowledged {
            return too_big();
        }
        match parse(text) {
            Ok(message) if is_large && !matches!(message, ClientMessage::Subscribe(..)) => too_big(),
            Ok(message) => self.step(message),
            Err(reason) => Step::Close(Close::new(CloseCode::BadMessage, reason)),
        }
    }

    fn step(&mut self, message: ClientMessage) -> Step {
        match message {
            ClientMessage::Init(token) => {
                if std::mem::replace(&mut self.initialised, true) {
                    return Step::Close(Close::new(CloseCode::TooMany, "Too many initialisation requests"));
                }
                Step::Authenticate(token)
            }
            ClientMessage::Ping(payload) => match token_in(payload.as_ref()) {
                Some(token) if self.acknowledged => Step::Refresh(token),
                _ => Step::Send(pong(payload.map(Value::Object))),
            },
            ClientMessage::Pong => Step::Ignore,
            ClientMessage::Subscribe(id, operation) => self.subscribe(id, operation),
            ClientMessage::Complete(id) => {
                if self.operations.remove(id.as_str()) {
                    Step::Stop(id.into())
                } else {
                    Step::Ignore
                }
            }
        }
    }

    fn subscribe(&mut self, id: String, operation: Operation) -> Step {
        if !self.acknowledged {
            return Step::Close(Close::new(CloseCode::Unauthorized, "Unauthorized"));
        }
        if self.operations.contains(id.as_str()) {
            return Step::Close(Close::new(
                CloseCode::DuplicateId,
                format!("Subscriber for {id} already exists"),
            ));
        }
        let id: Arc<str> = id.into();
        if self.operations.len() >= MOST_OPERATIONS {
            return Step::Refuse(id);
        }
        self.operations.insert(Arc::clone(&id));
        Step::Start(id, Box::new(operation))
    }
}

fn too_big() -> Step {
    Step::Close(Close::new(CloseCode::TooBig, "Message too big"))
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: Option<Value>) -> String {
    match payload {
        Some(payload) => json!({"type": "pong", "payload": payload}).to_string(),
        None => json!({"type": "pong"}).to_string(),
    }
}

/// A result of an operation; `response` is JSON already.
#[must_use]
pub fn next(id: &str, response: &str) -> String {
    envelope("next", id, response)
}

/// The end of an operation that failed; `errors` is a JSON list already.
#[must_use]
pub fn error(id: &str, errors: &str) -> String {
    envelope("error", id, errors)
}

/// The end of an operation.
#[must_use]
pub fn complete(id: &str) -> String {
    json!({"type": "complete", "id": id}).to_string()
}

fn envelope(kind: &str, id: &str, payload: &str) -> String {
    let id = Value::from(id).to_string();
    format!(r#"{{"type":"{kind}","id":{id},"payload":{payload}}}"#)
}

enum ClientMessage {
    Init(Option<String>),
    Ping(Option<Map<String, Value>>),
    Pong,
    Subscribe(String, Operation),
    Complete(String),
}

fn parse(text: &str) -> Result<ClientMessage, String> {
    let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
        return Err("Message must be a JSON object".to_owned());
    };
    let Some(Value::String(kind)) = message.remove("type") else {
        return Err("Message is missing the 'type' property".to_owned());
    };
    match kind.as_str() {
        "connection_init" => Ok(ClientMessage::Init(token_in(payload(&mut message)?.as_ref()))),
        "ping" => Ok(ClientMessage::Ping(payload(&mut message)?)),
        "pong" => payload(&mut message).map(|_| ClientMessage::Pong),
        "subscribe" => {
            let id = id(&mut message)?;
            let operation = Operation::from_json(message.remove("payload").unwrap_or_default(), text.len());
            Ok(ClientMessage::Subscribe(
                id,
                operation.map_err(|error| format!("Invalid 'subscribe' payload: {error}"))?,
            ))
        }
        "complete" => id(&mut message).map(ClientMessage::Complete),
        other => Err(format!("Invalid message 'type' property \"{other}\"")),
    }
}

fn id(message: &mut Map<String, Value>) -> Result<String, String> {
    match message.remove("id") {
        Some(Value::String(id)) if !id.is_empty() && id.len() <= LONGEST_ID => Ok(id),
        _ => Err("Message needs an 'id' that is a string of 1 to 256 bytes".to_owned()),
    }
}

fn payload(message: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, String> {
    match message.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err("Message 'payload' must be an object".to_owned()),
    }
}

/// Front ends name it `authToken`; the others are what similar servers accept.
fn token_in(payload: Option<&Map<String, Value>>) -> Option<String> {
    let payload = payload?;
    let names = ["authToken", "Authorization", "authorization", "token"];
    names.iter().find_map(|name| payload.get(*name)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests;
