//! JSON between our world and the GraphQL library's, digit for digit.
//!
//! What goes out is the text that the database wrote. The library's values have no place for a text that is JSON
//! already, so it travels as their bytes, which nothing else uses, and the writer of responses puts it in as it is.
//! What comes in is a tree: both worlds keep a number as its text, but going from one to the other through serde would
//! turn it into an object with a private key. So it is done by hand.

use std::io;

use async_graphql::{InputValueError, InputValueResult, Name, Scalar, ScalarType, Value as GraphqlValue};
use bytes::Bytes;
use quote_collab_core::json::{JsonText, Members};
use quote_collab_core::payload::spelled_row;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

use crate::postgres::WholeQuote;

/// Whole numbers up to here are exact in JavaScript.
const LARGEST_EXACT: u64 = 1 << 53;

/// Any JSON value. Numbers keep all their digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub JsonText);

/// Date and time as RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTime(pub String);

/// Any JSON value. Numbers keep all their digits.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: GraphqlValue) -> InputValueResult<Self> {
        JsonText::of(&from_graphql(value)).map(Self).map_err(InputValueError::custom)
    }

    fn to_value(&self) -> GraphqlValue {
        GraphqlValue::Binary(Bytes::copy_from_slice(self.0.text().as_bytes()))
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

/// Writes the library's values, JSON texts among them.
///
/// # Errors
///
/// When something cannot be written as JSON.
pub fn write(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut text, Texts))?;
    String::from_utf8(text).map_err(<serde_json::Error as serde::ser::Error>::custom)
}

/// Bytes are JSON already.
struct Texts;

impl Formatter for Texts {
    fn write_byte_array<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        writer.write_all(value)
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

/// A row as the front end wants it: camelCase where no other column has that name, and every number that JavaScript could not hold
/// exactly as text.
#[must_use]
pub fn front_end_row(row: Members) -> Json {
    json(&front_end_members(row))
}

/// A list of rows.
#[must_use]
pub fn front_end_rows(rows: Vec<Members>) -> Json {
    json(&rows.into_iter().map(front_end_members).collect::<Vec<_>>())
}

/// `{"lines": [row, …], "quote": row}` with each row as the front end wants it.
#[must_use]
pub fn front_end_quote(WholeQuote { quote, lines }: WholeQuote) -> Json {
    let (Json(quote), Json(lines)) = (front_end_row(quote), front_end_rows(lines));
    json(&Members::from([("quote".to_owned(), quote), ("lines".to_owned(), lines)]))
}

fn front_end_members(row: Members) -> Members {
    spelled_row(row).into_iter().map(|(field, value)| (field, front_end_value(value))).collect()
}

/// Only numbers of the row itself become text: inside a jsonb column the ERP's own program decides.
fn front_end_value(value: JsonText) -> JsonText {
    if value.is_number() && !is_exact_in_javascript(&value) { json(value.text()).0 } else { value }
}

fn is_exact_in_javascript(number: &JsonText) -> bool {
    number.integer().is_some_and(|number| number.unsigned_abs() <= LARGEST_EXACT)
}

/// Strings, lists and objects of JSON can always be written.
fn json<T: Serialize + ?Sized>(value: &T) -> Json {
    Json(JsonText::of(value).unwrap_or_default())
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
        let Json(row) = front_end_row(serde_json::from_str(ROW).unwrap());
        let expected = r#"{"big":"9007199254740993","data":{"a_b":1.50},"huge":"100000000000000000.0001","lineNumber":3,"none":null,"note":"x","power":"1e+2","small":-9007199254740992,"unitPrice":"0.1000"}"#;
        assert_eq!(row.text(), expected);
    }

    #[test]
    fn what_the_database_wrote_is_written_as_it_is() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for text in [deep.as_str(), r#"{"$serde_json::private::Number": "5"}"#, "0.1000", "\"ä\\n\""] {
            let value = Json(serde_json::from_str(text).unwrap());
            let list = GraphqlValue::List(vec![value.to_value(), GraphqlValue::from("x")]);
            assert_eq!(write(&list).unwrap(), format!(r#"[{text},"x"]"#));
        }
    }
}
