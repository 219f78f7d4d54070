//! What a client is told when something does not work: one code per kind, a message, and what helps.

use std::time::Duration;

/// The kind of a failure, as `extensions.code` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// No token, or not a good one.
    Unauthenticated,
    /// The request cannot be right.
    BadUserInput,
    /// The quote, line or session does not exist for this tenant.
    NotFound,
    /// The database does not allow it.
    Forbidden,
    /// More than a request, an event or an answer may carry.
    PayloadTooLarge,
    /// The cursor is no longer known: read the quote again and subscribe without one.
    ResyncRequired,
    /// The reader was too slow: subscribe again with the last cursor.
    Lagged,
    /// Too many operations.
    RateLimited,
    /// Too many subscriptions on one socket.
    TooManySubscriptions,
    /// The database or NATS is away: try again.
    ServiceUnavailable,
    /// A fault of ours; details are in the log only.
    Internal,
}

/// What a client is told. It is deliberately no `std::error::Error`: the GraphQL library would turn any such into a
/// message without a code, and an error of another room could slip through the same door unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub code: Code,
    /// One sentence, lower case.
    pub message: String,
    /// More about this case.
    pub detail: Option<String>,
    /// What helps.
    pub hint: Option<String>,
    /// The SQLSTATE, when the database said so.
    pub sqlstate: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Code {
    /// The spelling in `extensions.code`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::NotFound => "NOT_FOUND",
            Self::Forbidden => "FORBIDDEN",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::ResyncRequired => "RESYNC_REQUIRED",
            Self::Lagged => "LAGGED",
            Self::RateLimited => "RATE_LIMITED",
            Self::TooManySubscriptions => "TOO_MANY_SUBSCRIPTIONS",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

impl Failure {
    /// A failure with a message and nothing else.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, hint: None, sqlstate: None, retry_after: None }
    }

    /// Adds what helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The request cannot be right.
    #[must_use]
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Code::BadUserInput, message)
    }

    /// The quote does not exist, or not for this tenant: the two must not be told apart.
    #[must_use]
    pub fn quote_not_found() -> Self {
        Self::new(Code::NotFound, "quote not found")
    }

    /// The cursor means nothing any more.
    #[must_use]
    pub fn resync() -> Self {
        Self::new(Code::ResyncRequired, "the cursor is no longer known")
            .hint("Read the quote again and subscribe without a cursor.")
    }

    /// The subscriber's queue was full.
    #[must_use]
    pub fn lagged() -> Self {
        Self::new(Code::Lagged, "the subscriber was too slow")
            .hint("Subscribe again with the cursor of the last event.")
    }

    /// Nobody knows what became of a change.
    #[must_use]
    pub fn perhaps_done(self) -> Self {
        self.hint("It may have been done all the same: read again before you repeat it.")
    }

    /// The user's budget is empty.
    #[must_use]
    pub fn rate_limited(wait: Duration) -> Self {
        let mut failure = Self::new(Code::RateLimited, "too many operations");
        failure.retry_after = Some(wait);
        failure
    }
}
