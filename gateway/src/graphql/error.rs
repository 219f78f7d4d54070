//! Failures as GraphQL errors.

use std::sync::Arc;

use async_graphql::{Error, ErrorExtensionValues, Response, ServerError};
use serde_json::Value;
use uuid::Uuid;

use super::json;
use crate::failure::{Code, Failure};

/// Where a client finds the kind of an error.
const CODE: &str = "code";

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let extensions = Some(extensions(&failure));
        Self { message: failure.message, source: Some(Arc::new(failure.code)), extensions }
    }
}

impl From<Failure> for ServerError {
    fn from(failure: Failure) -> Self {
        let mut error = Self::new(failure.message.clone(), None);
        error.extensions = Some(extensions(&failure));
        error
    }
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        Self::from_errors(vec![failure.into()])
    }
}

fn extensions(failure: &Failure) -> ErrorExtensionValues {
    let mut values = ErrorExtensionValues::default();
    values.set(CODE, failure.code.as_str());
    for (name, text) in
        [("detail", &failure.detail), ("hint", &failure.hint), ("sqlstate", &failure.sqlstate)]
    {
        if let Some(text) = text {
            values.set(name, text.as_str());
        }
    }
    if let Some(wait) = failure.retry_after {
        values.set("retryAfterMs", u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
    }
    values
}

/// The kind of a resolver's error. What the library refuses cannot be right.
#[must_use]
pub fn kind(error: &ServerError) -> Code {
    error.source::<Code>().copied().unwrap_or(Code::BadUserInput)
}

/// How the kind of an error is spelled, if one of ours.
#[must_use]
pub fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get(CODE)? {
        async_graphql::Value::String(code) => Some(code),
        _ => None,
    }
}

/// More than these say nothing more, and make a large answer of a small request.
const MOST_ERRORS: usize = 50;

/// In bytes: the library repeats what it complains of.
const LONGEST_MESSAGE: usize = 2_000;

/// Gives every error a kind, and keeps the first of many. Resolvers only fail with one of ours, so what has none is the library refusing the
/// request.
#[must_use]
pub fn with_codes(mut response: Response) -> Response {
    response.errors.truncate(MOST_ERRORS);
    for error in &mut response.errors {
        let end = error.message.floor_char_boundary(LONGEST_MESSAGE);
        error.message.truncate(end);
        if code(error).is_none() {
            let mut extensions = error.extensions.take().unwrap_or_default();
            extensions.set(CODE, Code::BadUserInput.as_str());
            error.extensions = Some(extensions);
        }
    }
    response
}

/// Whether the request failed before any of it was executed.
#[must_use]
pub fn is_request_error(response: &Response) -> bool {
    response.data == async_graphql::Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// The JSON of a response. One that was never executed has no data, not even null.
#[must_use]
pub fn write(response: &Response) -> String {
    if is_request_error(response) {
        text(&RequestErrors { errors: &response.errors })
    } else {
        write_executed(response)
    }
}

/// The JSON of a response to what was executed, as far as anybody knows.
#[must_use]
pub fn write_executed(response: &Response) -> String {
    text(response)
}

/// Strings, numbers and lists cannot fail to be written.
fn text(value: &impl serde::Serialize) -> String {
    json::write(value).unwrap_or_else(|_| Value::Null.to_string())
}

#[derive(serde::Serialize)]
struct RequestErrors<'a> {
    errors: &'a [ServerError],
}

/// Reads an id argument.
///
/// # Errors
///
/// When it is no UUID.
pub fn uuid(name: &str, id: &async_graphql::ID) -> Result<Uuid, Failure> {
    Uuid::try_parse(id).map_err(|_| Failure::bad_input(format!("{name} must be a UUID")))
}

/// Reads an id argument that may be absent.
///
/// # Errors
///
/// When it is there but no UUID.
pub fn optional_uuid(name: &str, id: Option<&async_graphql::ID>) -> Result<Option<Uuid>, Failure> {
    id.map(|id| uuid(name, id)).transpose()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_failure_is_written_with_its_code_and_help() {
        let response = Response::from(Failure::rate_limited(Duration::from_millis(12)));
        assert!(is_request_error(&response));
        assert_eq!(
            write(&response),
            r#"{"errors":[{"message":"too many operations","extensions":{"code":"RATE_LIMITED","retryAfterMs":12}}]}"#
        );
    }

    #[test]
    fn an_error_of_the_library_is_the_clients() {
        let response = with_codes(Response::from_errors(vec![ServerError::new("x", None)]));
        assert_eq!(code(&response.errors[0]), Some("BAD_USER_INPUT"));
    }
}
