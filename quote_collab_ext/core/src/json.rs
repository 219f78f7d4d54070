//! A JSON value as its text.
//!
//! Nobody between the database and a reader needs to look into a value, so nobody takes it apart: a tree would have a
//! limit of depth, and keys that mean something to its library. What PostgreSQL wrote arrives byte for byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// The members of an object, by name.
pub type Members = BTreeMap<String, JsonText>;

/// One JSON value. Equal are two with the same text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// The JSON of something.
    ///
    /// # Errors
    ///
    /// When it has none, as a map whose keys are no strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        to_raw_value(value).map(Self)
    }

    /// The text.
    ///
    /// # Examples
    /// ```
    /// use quote_collab_core::json::JsonText;
    /// let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    /// assert_eq!(serde_json::from_str::<JsonText>(&deep).unwrap().text(), deep);
    /// ```
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.text().starts_with('{')
    }

    /// Whether it is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.text().starts_with(|first: char| first == '-' || first.is_ascii_digit())
    }

    /// The whole number it is.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        self.text().parse().ok()
    }

    /// The string it is.
    #[must_use]
    pub fn string(&self) -> Option<String> {
        serde_json::from_str(self.text()).ok()
    }

    /// The members of the object it is.
    #[must_use]
    pub fn members(&self) -> Option<Members> {
        serde_json::from_str(self.text()).ok()
    }
}

impl Default for JsonText {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for JsonText {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> JsonText {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_text_is_kept() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in [
            "null",
            "0.1000",
            "100000000000000000.0001",
            r#"{"$serde_json::private::Number": "5"}"#,
            r#"{"$serde_json::private::RawValue": "x"}"#,
            r#"{"b": [1, 2], "a": null}"#,
            "\"\\u0001\"",
            &deep,
        ] {
            let value = read(text);
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!(value.text(), text);
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        assert!(read("null").is_null() && JsonText::default().is_null() && !read("\"null\"").is_null());
        assert!(read("-1.5").is_number() && read("0").is_number() && !read("\"1\"").is_number());
        assert_eq!(
            (read("7").integer(), read("7.5").integer(), read("\"7\"").integer()),
            (Some(7), None, None)
        );
        assert_eq!((read("\"a\\n\"").string().as_deref(), read("7").string()), (Some("a\n"), None));
        let members = read(r#"{"b":[1],"$serde_json::private::Number":{}}"#).members().unwrap();
        assert_eq!(
            serde_json::to_string(&members).unwrap(),
            r#"{"$serde_json::private::Number":{},"b":[1]}"#
        );
        assert_eq!((read("[]").members(), read("7").members()), (None, None));
    }
}
