//! JSON between our world and the GraphQL library's, digit for digit.
//!
//! Both keep a number as its text, but going from one to the other through serde would turn it into an object with a
//! private key. So it is done by hand.

use async_graphql::{InputValueError, InputValueResult, Name, Scalar, ScalarType, Value as GraphqlValue};
use quote_collab_core::naming::camel_case;
use serde_json::{Map, Number, Value};

/// Whole numbers up to here are exact in JavaScript.
const LARGEST_EXACT: u64 = 1 << 53;

/// Any JSON value. Numbers keep all their digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub Value);

/// Date and time as RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTime(pub String);

/// Any JSON value. Numbers keep all their digits.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: GraphqlValue) -> InputValueResult<Self> {
        Ok(Self(from_graphql(value)))
    }

    fn to_value(&self) -> GraphqlValue {
        to_graphql(&self.0)
    }
}

/// Date and time as RFC 3339, by the database's clock.
#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: GraphqlValue) -> InputValueResult<Self> {
        match value {
            GraphqlValue::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> GraphqlValue {
        GraphqlValue::String(self.0.clone())
    }
}

/// Into the library's world.
#[must_use]
pub fn to_graphql(value: &Value) -> GraphqlValue {
    match value {
        Value::Null => GraphqlValue::Null,
        Value::Bool(truth) => GraphqlValue::Boolean(*truth),
        Value::Number(number) => GraphqlValue::Number(number.clone()),
        Value::String(text) => GraphqlValue::String(text.clone()),
        Value::Array(items) => GraphqlValue::List(items.iter().map(to_graphql).collect()),
        Value::Object(fields) => GraphqlValue::Object(
            fields.iter().map(|(name, value)| (Name::new(name), to_graphql(value))).collect(),
        ),
    }
}

/// Out of the library's world.
#[must_use]
pub fn from_graphql(value: GraphqlValue) -> Value {
    match value {
        GraphqlValue::Null => Value::Null,
        GraphqlValue::Boolean(truth) => Value::Bool(truth),
        GraphqlValue::Number(number) => Value::Number(number),
        GraphqlValue::String(text) => Value::String(text),
        GraphqlValue::Enum(name) => Value::String(name.to_string()),
        GraphqlValue::Binary(bytes) => Value::Array(bytes.iter().map(|byte| Value::from(*byte)).collect()),
        GraphqlValue::List(items) => Value::Array(items.into_iter().map(from_graphql).collect()),
        GraphqlValue::Object(fields) => Value::Object(
            fields.into_iter().map(|(name, value)| (name.to_string(), from_graphql(value))).collect(),
        ),
    }
}

/// A row as the front end wants it: camelCase, and every number that JavaScript could not hold exactly as text.
#[must_use]
pub fn front_end_row(row: &Value) -> Value {
    match row {
        Value::Object(fields) => {
            let field = |(column, value): (&String, &Value)| (camel_case(column), front_end_value(value));
            Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
        }
        other => front_end_value(other),
    }
}

/// `{"quote": row, "lines": [row, …]}` with each row as the front end wants it.
#[must_use]
pub fn front_end_quote(mut quote: Value) -> Value {
    if let Some(header) = quote.get_mut("quote") {
        *header = front_end_row(header);
    }
    for line in quote.get_mut("lines").and_then(Value::as_array_mut).into_iter().flatten() {
        *line = front_end_row(line);
    }
    quote
}

/// Only numbers of the row itself become text: inside a jsonb column the ERP's own program decides.
fn front_end_value(value: &Value) -> Value {
    match value {
        Value::Number(number) if !is_exact_in_javascript(number) => Value::String(number.to_string()),
        other => other.clone(),
    }
}

fn is_exact_in_javascript(number: &Number) -> bool {
    let small = |magnitude: u64| magnitude <= LARGEST_EXACT;
    number.as_u64().is_some_and(small) || number.as_i64().is_some_and(|number| small(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"unit_price":0.1000,"line_number":3,"big":9007199254740993,"huge":100000000000000000.0001,
        "small":-9007199254740992,"power":1e+2,"note":"x","none":null,"data":{"a_b":1.50}}"#;

    #[test]
    fn numbers_cross_both_ways_with_every_digit() {
        for digits in
            ["0.1000", "100000000000000000.0001", "-0", "1e+400", "0.10", "9007199254740993", "0", "12"]
        {
            let value: Value = serde_json::from_str(&format!(r#"{{"a":[{digits}]}}"#)).unwrap();
            let crossed = to_graphql(&value);
            assert_eq!(serde_json::to_string(&crossed).unwrap(), format!(r#"{{"a":[{digits}]}}"#));
            assert_eq!(from_graphql(crossed), value);
        }
    }

    #[test]
    fn a_literal_in_a_query_keeps_its_digits() {
        for digits in ["0.1000", "100000000000000000.0001", "-12", "1e+3"] {
            let document = async_graphql::parser::parse_query(format!("{{ a(b: {digits}) }}")).unwrap();
            let debug = format!("{document:?}");
            assert!(debug.contains(digits), "{digits} in {debug}");
        }
    }

    #[test]
    fn money_becomes_text_and_counts_stay_numbers() {
        let row = front_end_row(&serde_json::from_str(ROW).unwrap());
        let expected: Value = serde_json::from_str(
            r#"{"unitPrice":"0.1000","lineNumber":3,"big":"9007199254740993","huge":"100000000000000000.0001",
                "small":-9007199254740992,"power":"1e+2","note":"x","none":null,"data":{"a_b":1.50}}"#,
        )
        .unwrap();
        assert_eq!(row, expected);
    }
}
