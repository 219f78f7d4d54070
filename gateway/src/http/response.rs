//! GraphQL responses over HTTP: which status and which media type.

use async_graphql::Response as GraphqlResponse;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::failure::{Code, Failure};
use crate::graphql::{code, is_request_error, write, write_executed};

/// The media type of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// The current one, in which the status tells how the request went.
    GraphqlResponse,
    /// The old one, in which a well-formed request is always 200.
    Json,
}

impl Media {
    /// What the client prefers; none when it accepts neither.
    #[must_use]
    pub fn accepted_by(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        let mut any = false;
        for value in headers.get_all(header::ACCEPT) {
            for range in
                value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|range| !range.is_empty())
            {
                any = true;
                let (media, quality) =
                    range.split_once(';').map_or((range, 1.0), |(media, rest)| (media, quality(rest)));
                let offered = match media.trim().to_ascii_lowercase().as_str() {
                    "application/graphql-response+json" => Self::GraphqlResponse,
                    // Clients that accept anything are mostly older than the current type.
                    "application/json" | "application/*" | "*/*" => Self::Json,
                    _ => continue,
                };
                if quality > 0.0 && best.is_none_or(|(known, _)| quality > known) {
                    best = Some((quality, offered));
                }
            }
        }
        if any { best.map(|(_, media)| media) } else { Some(Self::Json) }
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::GraphqlResponse => {
                HeaderValue::from_static("application/graphql-response+json; charset=utf-8")
            }
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
        }
    }
}

fn quality(parameters: &str) -> f32 {
    let named = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
    named.map_or(1.0, |quality| quality.trim().parse().unwrap_or(0.0))
}

/// A small response.
#[must_use]
pub fn respond(media: Media, response: &GraphqlResponse) -> Response {
    answer(media, response, true, Body::from(write(response)))
}

/// A response of the schema that is written already. What was done in part is no refusal: whoever were told to come back would do
/// it again.
#[must_use]
pub fn answer(media: Media, response: &GraphqlResponse, nothing_done: bool, body: Body) -> Response {
    let status = response.errors.iter().find_map(status_of).filter(|_| nothing_done);
    let status = match (status, media) {
        (Some(status), _) => status,
        (None, Media::GraphqlResponse) if is_request_error(response) => StatusCode::BAD_REQUEST,
        (None, _) => StatusCode::OK,
    };
    let mut answer = with_status(status, media, body);
    if let Some(wait) = retry_after(response).filter(|_| nothing_done) {
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    answer
}

/// A request that is not even a GraphQL request.
#[must_use]
pub fn refuse(status: StatusCode, media: Media, failure: Failure) -> Response {
    with_status(status, media, Body::from(write(&failure.into())))
}

/// A request that was given up. What a mutation does is done in the database, and nobody waits for its word any more.
#[must_use]
pub fn give_up(media: Media, is_mutation: bool) -> Response {
    let failure = Failure::new(Code::ServiceUnavailable, "the request took too long");
    if is_mutation {
        let text = write_executed(&failure.perhaps_done().into());
        return with_status(StatusCode::SERVICE_UNAVAILABLE, media, Body::from(text));
    }
    refuse(StatusCode::SERVICE_UNAVAILABLE, media, failure)
}

/// An address that is none of ours.
pub async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}

/// Kinds that have a status of their own in both media types, because proxies and clients act on them.
fn status_of(error: &async_graphql::ServerError) -> Option<StatusCode> {
    let code = code(error)?;
    let known = [
        (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
        (Code::RateLimited, StatusCode::TOO_MANY_REQUESTS),
        (Code::ServiceUnavailable, StatusCode::SERVICE_UNAVAILABLE),
    ];
    known.into_iter().find_map(|(known, status)| (known.as_str() == code).then_some(status))
}

fn retry_after(response: &GraphqlResponse) -> Option<HeaderValue> {
    let extensions = response.errors.first()?.extensions.as_ref()?;
    let async_graphql::Value::Number(milliseconds) = extensions.get("retryAfterMs")? else { return None };
    Some(HeaderValue::from(milliseconds.as_u64()?.div_ceil(1_000)))
}

fn with_status(status: StatusCode, media: Media, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_preference_decides() {
        let cases = [
            (None, Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/json"), Some(Media::Json)),
            (Some("application/json; charset=utf-8"), Some(Media::Json)),
            (Some("application/graphql-response+json"), Some(Media::GraphqlResponse)),
            (Some("application/graphql-response+json; charset=utf-8"), Some(Media::GraphqlResponse)),
            (Some("application/graphql-response+json, application/json;q=0.9"), Some(Media::GraphqlResponse)),
            (
                Some("application/json;q=0.5, application/graphql-response+json;q=0.8"),
                Some(Media::GraphqlResponse),
            ),
            (Some("text/html, */*;q=0.8"), Some(Media::Json)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ];
        for (accept, media) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Media::accepted_by(&headers), media, "{accept:?}");
        }
    }

    #[test]
    fn kinds_with_a_status_keep_it_in_both_types() {
        let limited = GraphqlResponse::from(Failure::rate_limited(std::time::Duration::from_millis(1_200)));
        for media in [Media::Json, Media::GraphqlResponse] {
            let response = respond(media, &limited);
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        }
        // Its second field was refused, and a field that may not be null takes the results of the others away.
        let mut half = limited;
        half.errors[0].path = vec![async_graphql::PathSegment::Field("second".to_owned())];
        for media in [Media::Json, Media::GraphqlResponse] {
            let response = answer(media, &half, false, Body::from(write(&half)));
            assert_eq!(
                (response.status(), response.headers().get(header::RETRY_AFTER)),
                (StatusCode::OK, None)
            );
        }
        let away = GraphqlResponse::from(Failure::new(Code::ServiceUnavailable, "x"));
        assert_eq!(respond(Media::Json, &away).status(), StatusCode::SERVICE_UNAVAILABLE);
        let invalid = GraphqlResponse::from(Failure::bad_input("x"));
        assert_eq!(respond(Media::Json, &invalid).status(), StatusCode::OK);
        assert_eq!(respond(Media::GraphqlResponse, &invalid).status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn what_was_given_up_is_told_as_not_done_only_where_that_is_known() {
        for (is_mutation, data) in [(true, Some(&serde_json::Value::Null)), (false, None)] {
            let response = give_up(Media::Json, is_mutation);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let told: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(told.get("data"), data);
            assert_eq!(told["errors"][0]["extensions"].get("hint").is_some(), is_mutation);
        }
    }
}
