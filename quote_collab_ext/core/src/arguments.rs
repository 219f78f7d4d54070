//! Arguments of a trigger, by name; a name may occur more than once.

use serde_json::{Map, Value};

/// Parsed arguments, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(String, String)>);

impl Arguments {
    /// Parses one JSON object whose values are texts or arrays of texts. Triggers made by version 0.1.0 have a text
    /// `name=value` for each argument instead; the value may hold further `=`. `None` for anything else.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut texts = texts.into_iter();
        let first = texts.next()?;
        if first.as_ref().starts_with('{') {
            return Self::of_object(&serde_json::from_str(first.as_ref()).ok()?);
        }
        std::iter::once(first)
            .chain(texts)
            .map(|text| {
                let (name, value) = text.as_ref().split_once('=')?;
                (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    fn of_object(object: &Map<String, Value>) -> Option<Self> {
        let mut arguments = Vec::new();
        for (name, value) in object {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for value in values {
                arguments.push((name.clone(), value.as_str()?.to_owned()));
            }
        }
        Some(Self(arguments))
    }

    /// The first value under a name.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every value under a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    #[test]
    fn an_object_holds_texts_and_arrays_of_texts() {
        let parsed = Arguments::parse([r#"{"id": "a\"=\nb", "ignore": ["x", "y"], "none": []}"#]);
        let parsed = parsed.expect("well formed");
        assert_eq!(parsed.one("id"), Some("a\"=\nb"));
        assert_eq!(parsed.all("ignore").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(parsed.one("none"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["{", "{}x", r#"{"a": 1}"#, r#"{"a": [["b"]]}"#, "id", "=x", ""] {
            assert_eq!(Arguments::parse([text]), None, "{text}");
        }
        assert_eq!(Arguments::parse([""; 0]), None);
    }

    #[test]
    fn values_keep_their_equals_signs() {
        let parsed = Arguments::parse(["id=a=b", "ignore=x", "ignore=y"]).expect("well formed");
        assert_eq!(parsed.one("id"), Some("a=b"));
        assert_eq!(parsed.all("ignore").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(parsed.one("absent"), None);
    }
}
