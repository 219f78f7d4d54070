//! Variables of an operation: those that it declares. What else a client sends with it is not kept.

use async_graphql::Variables;
use async_graphql::parser::types::{OperationDefinition, OperationType};
use serde_json::{Map, Value};

use super::json::to_graphql;
use crate::failure::{Code, Failure};

/// Each is checked, and complained of where nothing uses it.
pub const MOST_VARIABLES: usize = 500;
/// Values in them, lists and objects included: each takes many times what it takes as text.
const MOST_VALUES: usize = 20_000;
/// Bytes of a subscription's variables, as of its text: both are kept for as long as it lives.
pub const LARGEST_KEPT: usize = 16 << 10;
/// What a value takes beside its text.
const VALUE: usize = 8;

/// The variables that an operation declares, defaults among them: the library forgets a default where its variable is a
/// condition.
///
/// # Errors
///
/// When they are too much, or one that must be given is not.
pub fn declared(
    mut given: Map<String, Value>,
    operation: &OperationDefinition,
) -> Result<Variables, Failure> {
    let mut variables = Variables::default();
    let mut size = Measure::default();
    for definition in &operation.variable_definitions {
        let (name, is_needed) = (&definition.node.name.node, !definition.node.var_type.node.nullable);
        let is_null = given.get(name.as_str()).map(Value::is_null);
        if is_needed && is_null.unwrap_or(definition.node.default_value.is_none()) {
            let kind = &definition.node.var_type.node;
            return Err(Failure::bad_input(format!("variable \"${name}\" of type {kind} is not given")));
        }
        if let Some(value) = given.remove(name.as_str()) {
            size.add(&value);
            if size.values > MOST_VALUES {
                return Err(Failure::bad_input(format!("variables may have {MOST_VALUES} values")));
            }
            if operation.ty == OperationType::Subscription && size.bytes > LARGEST_KEPT {
                let message = format!("variables of a subscription may have {LARGEST_KEPT} bytes");
                return Err(Failure::new(Code::PayloadTooLarge, message));
            }
            variables.insert(name.clone(), to_graphql(&value));
        } else if let Some(default) = &definition.node.default_value {
            variables.entry(name.clone()).or_insert_with(|| default.node.clone());
        }
    }
    Ok(variables)
}

#[derive(Default)]
struct Measure {
    values: usize,
    bytes: usize,
}

impl Measure {
    fn add(&mut self, value: &Value) {
        self.values += 1;
        self.bytes += VALUE;
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.bytes += number.as_str().len(),
            Value::String(text) => self.bytes += text.len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => fields.iter().for_each(|(name, item)| {
                self.bytes += name.len();
                self.add(item);
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn of(query: &str, given: Value) -> Result<String, Code> {
        let document = parse_query(query).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let Value::Object(given) = given else { panic!("an object expected") };
        let variables = declared(given, &operation.node).map_err(|failure| failure.code)?;
        Ok(serde_json::to_string(&variables).unwrap())
    }

    #[test]
    fn what_is_not_declared_is_not_kept() {
        let query = "query ($a: Int, $b: Boolean = true, $c: Int = 1, $d: Int) { x }";
        let kept = of(query, json!({"a": 1, "c": null, "other": "x".repeat(1 << 20)})).unwrap();
        assert_eq!(kept, r#"{"a":1,"b":true,"c":null}"#);
    }

    #[test]
    fn what_must_be_given_is() {
        let query = "query ($a: Int!, $b: Int! = 1, $c: [Int!]) { x }";
        assert_eq!(of(query, json!({"a": 1, "c": null})).unwrap(), r#"{"a":1,"b":1,"c":null}"#);
        for given in [json!({}), json!({"a": null}), json!({"a": 1, "b": null})] {
            assert_eq!(of(query, given.clone()), Err(Code::BadUserInput), "{given}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let query = "mutation ($a: JSON) { x }";
        assert!(of(query, json!({"a": "x".repeat(1 << 20)})).is_ok());
        assert!(of(query, json!({"a": vec![0; MOST_VALUES - 1]})).is_ok());
        assert_eq!(of(query, json!({"a": vec![0; MOST_VALUES]})), Err(Code::BadUserInput));
        assert!(of(query, json!({"b": vec![0; MOST_VALUES]})).is_ok());
        let subscription = "subscription ($a: String) { x }";
        assert!(of(subscription, json!({"a": "x".repeat(100)})).is_ok());
        assert_eq!(of(subscription, json!({"a": "x".repeat(LARGEST_KEPT)})), Err(Code::PayloadTooLarge));
    }
}
