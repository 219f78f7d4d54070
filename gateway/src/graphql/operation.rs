//! An operation as a client sends it, over HTTP or a socket alike.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Variables};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::plan::Plan;
use super::variables::LARGEST_KEPT;
use crate::failure::{Code, Failure};
use crate::rate_limit::OperationBudget;

/// Bytes of a message that brings one: a mutation of a megabyte, and its envelope.
pub const LARGEST_MESSAGE: usize = (1 << 20) + (64 << 10);
/// Bytes of a text. It grows many times as it is read, and a name in it may stand in the answer often.
const LONGEST_QUERY: usize = 64 << 10;
/// Every so many bytes of a message count like one more operation: while a large one waits for its turn it takes a multiple of them.
const COUNTED: usize = 8 << 10;

/// A query, mutation or subscription with its variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    query: String,
    name: Option<String>,
    variables: Map<String, Value>,
    /// Bytes of the message that brought it.
    bytes: usize,
}

/// An operation that can be executed.
#[derive(Debug)]
pub struct Prepared {
    /// For the library.
    pub request: Request,
    /// What is known of it.
    pub plan: Plan,
}

/// What is wrong with an operation's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// It is a list or a bare value.
    #[error("the request must be one JSON object")]
    NotAnObject,
    /// There is a query that should be known from before; Apollo's clients know this word for it, and send the query then.
    #[error("PersistedQueryNotSupported")]
    PersistedQuery,
    /// There is no query.
    #[error("query must be given, as a string")]
    Query,
    /// The name is something else than text.
    #[error("operationName must be a string")]
    OperationName,
    /// The variables are something else than an object.
    #[error("variables must be an object")]
    Variables,
    /// The extensions are something else than an object.
    #[error("extensions must be an object")]
    Extensions,
}

impl Operation {
    /// Reads the form that GraphQL over HTTP and graphql-transport-ws share, of a message of so many bytes.
    ///
    /// # Errors
    ///
    /// When a part has another type.
    pub fn from_json(value: Value, bytes: usize) -> Result<Self, OperationError> {
        let Value::Object(mut parts) = value else { return Err(OperationError::NotAnObject) };
        let is_known = parts.get("extensions").is_some_and(|known| known.get("persistedQuery").is_some());
        let query = match parts.remove("query") {
            Some(Value::String(query)) => query,
            None if is_known => return Err(OperationError::PersistedQuery),
            _ => return Err(OperationError::Query),
        };
        let name = match parts.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(OperationError::OperationName),
        };
        let variables = match parts.remove("variables") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => return Err(OperationError::Variables),
        };
        match parts.remove("extensions") {
            None | Some(Value::Null | Value::Object(_)) => Ok(Self { query, name, variables, bytes }),
            Some(_) => Err(OperationError::Extensions),
        }
    }

    /// Takes what it costs from the user's budget, and makes it ready to be executed. What the message itself costs is taken before its
    /// text is read.
    ///
    /// # Errors
    ///
    /// When the budget does not reach, or as for [`Operation::prepare`].
    pub fn admit(self, budget: &OperationBudget, user: Uuid) -> Result<Prepared, Failure> {
        let message = u32::try_from(self.bytes / COUNTED).unwrap_or(u32::MAX).saturating_add(1);
        budget.take(user, message, 0).map_err(Failure::rate_limited)?;
        let prepared = self.prepare()?;
        budget.take(user, prepared.plan.cost - 1, message).map_err(Failure::rate_limited)?;
        Ok(prepared)
    }

    /// Makes it ready to be executed. What cannot be read the library refuses with a better message than we could.
    ///
    /// # Errors
    ///
    /// When it asks for more than one operation may, or a subscription for anything but one field.
    pub fn prepare(self) -> Result<Prepared, Failure> {
        let name = self.name.filter(|name| !name.is_empty());
        check_length(&self.query, LONGEST_QUERY)?;
        let (mut plan, mut variables) = (Plan::default(), Variables::default());
        let mut request = Request::new(self.query);
        if let Ok(mut document) = parse_query(&request.query) {
            (plan, variables) = Plan::of(&mut document, name.as_deref(), self.variables)?;
            if plan.kind == Some(OperationType::Subscription) {
                check_length(&request.query, LARGEST_KEPT)?;
            }
            request.set_parsed_query(document);
        }
        request = request.variables(variables);
        if let Some(name) = name {
            request = request.operation_name(name);
        }
        Ok(Prepared { request, plan })
    }
}

fn check_length(query: &str, most: usize) -> Result<(), Failure> {
    if query.len() <= most {
        return Ok(());
    }
    let message = format!("the text of the operation is longer than {most} bytes");
    Err(Failure::new(Code::PayloadTooLarge, message).hint("Give values as variables."))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_another_type_are_refused() {
        let cases = [
            (json!([]), OperationError::NotAnObject),
            (json!("{ a }"), OperationError::NotAnObject),
            (json!({}), OperationError::Query),
            (json!({"query": 7}), OperationError::Query),
            (json!({"extensions": {"persistedQuery": {"version": 1}}}), OperationError::PersistedQuery),
            (json!({"query": "{ a }", "operationName": 7}), OperationError::OperationName),
            (json!({"query": "{ a }", "variables": [1]}), OperationError::Variables),
            (json!({"query": "{ a }", "variables": "{}"}), OperationError::Variables),
            (json!({"query": "{ a }", "extensions": 7}), OperationError::Extensions),
        ];
        for (value, error) in cases {
            assert_eq!(Operation::from_json(value.clone(), 0), Err(error), "{value}");
        }
        let nulls = json!({"query": "{ a }", "operationName": null, "variables": null, "extensions": null});
        assert!(Operation::from_json(nulls, 0).is_ok());
    }

    #[test]
    fn the_type_is_that_of_the_operation_that_is_executed() {
        let cases = [
            ("{ a }", "", Some(OperationType::Query)),
            ("query A { a } mutation B { b }", "B", Some(OperationType::Mutation)),
            ("subscription C { c }", "C", Some(OperationType::Subscription)),
            ("mutation B { b }", "", Some(OperationType::Mutation)),
            ("query A { a } mutation B { b }", "C", None),
            ("query A { a } mutation B { b }", "", None),
            ("{", "", None),
        ];
        for (query, name, kind) in cases {
            let operation = Operation::from_json(json!({"query": query, "operationName": name}), 0).unwrap();
            assert_eq!(operation.prepare().unwrap().plan.kind, kind, "{query}");
        }
    }

    #[test]
    fn a_text_is_short_and_one_that_is_kept_shorter() {
        let code = |query: &str, bytes: usize| {
            let query = format!("{query}{}", " ".repeat(bytes - query.len()));
            let operation = Operation::from_json(json!({ "query": query }), 0).unwrap();
            operation.prepare().map_err(|failure| failure.code).err()
        };
        assert_eq!(code("{ a }", LONGEST_QUERY), None);
        assert_eq!(code("{ a }", LONGEST_QUERY + 1), Some(Code::PayloadTooLarge));
        assert_eq!(code("subscription { a }", LARGEST_KEPT), None);
        assert_eq!(code("subscription { a }", LARGEST_KEPT + 1), Some(Code::PayloadTooLarge));
    }

    #[test]
    fn a_large_message_costs_more() {
        let budget = OperationBudget::new(NonZeroU32::MIN, NonZeroU32::new(200).unwrap());
        let admit = |bytes| {
            let operation = Operation::from_json(json!({"query": "{ a }"}), bytes).unwrap();
            operation.admit(&budget, Uuid::nil()).map(|_| ()).map_err(|failure| failure.code)
        };
        assert_eq!(admit(1 << 20), Ok(()));
        assert_eq!(admit(1 << 20), Err(Code::RateLimited));
        assert!((0..71).all(|_| admit(COUNTED - 1).is_ok()));
        assert_eq!(admit(0), Err(Code::RateLimited));
    }

    #[test]
    fn variables_keep_their_digits() {
        let text = r#"{"query":"query ($changes: JSON) { a }","variables":{"changes":{"unitPrice":100000000000000000.0001,"b":[0.1000,5]}}}"#;
        let prepared =
            Operation::from_json(serde_json::from_str(text).unwrap(), 0).unwrap().prepare().unwrap();
        let written = serde_json::to_string(&prepared.request.variables).unwrap();
        assert_eq!(written, r#"{"changes":{"b":[0.1000,5],"unitPrice":100000000000000000.0001}}"#);
    }
}
