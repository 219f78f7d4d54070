//! Arguments of a trigger, each `name=value`; a name may occur more than once.

/// Parsed arguments, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(String, String)>);

impl Arguments {
    /// Parses `name=value` texts; `None` when one has no `=` or no name. A value may hold further `=`.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Option<Self> {
        texts
            .into_iter()
            .map(|text| {
                let (name, value) = text.as_ref().split_once('=')?;
                (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
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
    fn values_keep_their_equals_signs() {
        let parsed = Arguments::parse(["id=a=b", "ignore=x", "ignore=y"]).expect("well formed");
        assert_eq!(parsed.one("id"), Some("a=b"));
        assert_eq!(parsed.all("ignore").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(parsed.one("absent"), None);
    }

    #[test]
    fn a_text_without_a_name_is_refused() {
        assert_eq!(Arguments::parse(["id"]), None);
        assert_eq!(Arguments::parse(["=x"]), None);
    }
}
