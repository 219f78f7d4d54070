//! How much a text asks for, counted before any of it is executed. The text must be bounded for everything else here.

use std::collections::HashMap;
use std::slice::Iter;

use async_graphql::Positioned;
use async_graphql::parser::types::{ExecutableDocument, Field, Selection};

use super::root::{Fragments, inside, items};
use crate::failure::Failure;

/// Selections of a text when every fragment is written out. Fragments that name others twice double with each step, and
/// the library follows every one: a text of a kilobyte would keep it busy for ever.
const MOST_SELECTIONS: usize = 10_000;
/// Bytes of a name in the answer, which stands there as often as what it names.
const LONGEST_KEY: usize = 128;
/// What was done is told in any case, and so is what happens: so many large values of each root field.
const MOST_LARGE: usize = 10;
/// For the same reason any one field may be asked for so often inside of a root field.
const MOST_TOLD: usize = 30;
/// The same for what the schema says of itself: the usual tools ask for a name on about 70 places.
const MOST_DESCRIBED: usize = 100;

/// Fields that may be large. What is written of them grows with the names that they are asked for by.
pub const LARGE: [&str; 9] = [
    "quote",
    "quoteLine",
    "lineData",
    "newTotals",
    "oldValue",
    "newValue",
    "baseValue",
    "currentValue",
    "attemptedValue",
];
/// Lists in what the schema says of itself. They lead to types that have such lists again, so that each step would
/// multiply the answer.
const LISTS: [&str; 7] =
    ["types", "fields", "args", "inputFields", "interfaces", "possibleTypes", "enumValues"];

/// Refuses a text that grows beyond bounds when its fragments are written out, as those do that lead in a circle, and one
/// with long names.
///
/// # Errors
///
/// When it does, or has one.
pub fn check_text(document: &ExecutableDocument) -> Result<(), Failure> {
    let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set);
    let open = operations.map(|selections| ((), items(selections))).collect();
    let mut count = 0;
    walk(open, &document.fragments, |(), selection| {
        count += 1;
        if count > MOST_SELECTIONS {
            return Err(Failure::bad_input("the operation is too large when its fragments are written out"));
        }
        match selection {
            Selection::Field(field) if field.node.response_key().node.len() > LONGEST_KEY => {
                Err(Failure::bad_input(format!("a name in the answer may have {LONGEST_KEY} bytes")))
            }
            _ => Ok(()),
        }
    })
}

/// Refuses root fields, one or several of one name, that ask for too much of what is told in any case.
///
/// # Errors
///
/// When they do.
pub fn check_told(fields: &[&Positioned<Field>], fragments: &Fragments) -> Result<(), Failure> {
    let places = Places::inside(fields, fragments)?;
    let large: usize = LARGE.iter().filter_map(|name| places.times.get(name)).sum();
    if large > MOST_LARGE {
        return Err(Failure::bad_input(format!(
            "a mutation or subscription may ask for {MOST_LARGE} rows and values of each root field, aliases included"
        )));
    }
    places.check(MOST_TOLD)
}

/// Refuses a root field that asks the schema for too much of itself; any other one is not looked at.
///
/// # Errors
///
/// When it does.
pub fn check_described(field: &Positioned<Field>, fragments: &Fragments) -> Result<(), Failure> {
    if !field.node.name.node.starts_with("__") {
        return Ok(());
    }
    let places = Places::inside(&[field], fragments)?;
    if let Some(name) = places.within_itself(&LISTS) {
        return Err(Failure::bad_input(format!("{name} may not be asked for inside of {name}")));
    }
    places.check(MOST_DESCRIBED)
}

/// Where fields stand in the answer. The same name in the same place is one: fragments that ask for the same are merged.
#[derive(Default)]
struct Places<'a> {
    /// How often each field is asked for.
    times: HashMap<&'a str, usize>,
    /// The field of each place, and the place around it; 0 is around all, and the first of these is 1.
    all: Vec<(&'a str, usize)>,
    /// Each by the place around it and its name in the answer.
    known: HashMap<(usize, &'a str), usize>,
}

impl<'a> Places<'a> {
    fn inside(fields: &[&'a Positioned<Field>], fragments: &'a Fragments) -> Result<Self, Failure> {
        let mut places = Self::default();
        let open = fields.iter().map(|field| (0, items(&field.node.selection_set))).collect();
        walk(open, fragments, |around, selection| match selection {
            Selection::Field(field) => Ok(places.place(around, field)),
            _ => Ok(around),
        })?;
        Ok(places)
    }

    fn place(&mut self, around: usize, field: &'a Positioned<Field>) -> usize {
        let (name, key) = (field.node.name.node.as_str(), field.node.response_key().node.as_str());
        *self.known.entry((around, key)).or_insert_with(|| {
            // Clients ask for the name of the type with each object.
            if key != "__typename" {
                *self.times.entry(name).or_default() += 1;
            }
            self.all.push((name, around));
            self.all.len()
        })
    }

    /// One of these fields that stands inside of one of its name.
    fn within_itself(&self, names: &[&str]) -> Option<&'a str> {
        let (name, _) = self.all.iter().find(|(name, around)| {
            let mut around = *around;
            names.contains(name)
                && std::iter::from_fn(|| {
                    let (outer, next) = *self.all.get(around.checked_sub(1)?)?;
                    around = next;
                    Some(outer)
                })
                .any(|outer| outer == *name)
        })?;
        Some(name)
    }

    fn check(&self, most: usize) -> Result<(), Failure> {
        if self.times.values().all(|times| *times <= most) {
            return Ok(());
        }
        Err(Failure::bad_input(format!("one field may be asked for {most} times here, aliases included")))
    }
}

/// Visits all selections, with those inside of them, fragments written out. What `visit` says of a field is around those inside of it.
fn walk<'a, T: Copy>(
    mut open: Vec<(T, Iter<'a, Positioned<Selection>>)>,
    fragments: &'a Fragments,
    mut visit: impl FnMut(T, &'a Selection) -> Result<T, Failure>,
) -> Result<(), Failure> {
    while let Some((around, selections)) = open.last_mut() {
        let around = *around;
        let Some(selection) = selections.next().map(|selection| &selection.node) else {
            open.pop();
            continue;
        };
        let place = visit(around, selection)?;
        match selection {
            Selection::Field(field) => open.push((place, items(&field.node.selection_set))),
            fragment => open.extend(inside(fragment, fragments).map(|items| (around, items))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::OperationType;

    use super::super::root;
    use super::*;

    fn check(query: &str) -> Result<(), Failure> {
        let document = parse_query(query).unwrap();
        check_text(&document)?;
        let (_, operation) = document.operations.iter().next().unwrap();
        let fields = root::fields(&operation.node, &document.fragments, &async_graphql::Variables::default());
        for field in fields {
            check_described(field, &document.fragments)?;
            if operation.node.ty != OperationType::Query {
                check_told(&[field], &document.fragments)?;
            }
        }
        Ok(())
    }

    fn names(count: usize, field: &str) -> String {
        (0..count).map(|n| format!("n{n}: {field} ")).collect::<Vec<_>>().concat()
    }

    #[test]
    fn fragments_that_multiply_or_lead_in_a_circle_are_refused_at_once() {
        let step =
            |step: usize| format!("fragment F{step} on Query {{ ...F{next} ...F{next} }}", next = step + 1);
        let steps: Vec<String> = (0..22).map(step).collect();
        let doubling = format!("{{ ...F0 }} {} fragment F22 on Query {{ a }}", steps.join(" "));
        for query in [doubling.as_str(), "{ ...F } fragment F on Query { a ...F }"] {
            assert!(check_text(&parse_query(query).unwrap()).is_err(), "{query}");
        }
    }

    #[test]
    fn names_in_the_answer_are_short() {
        for (length, is_fine) in [(LONGEST_KEY, true), (LONGEST_KEY + 1, false)] {
            let query = format!("{{ a {{ {}: b }} }}", "x".repeat(length));
            assert_eq!(check(&query).is_ok(), is_fine, "{length}");
        }
    }

    #[test]
    fn what_cannot_be_refused_afterwards_is_asked_for_few_times() {
        let told = |inside: &str| check(&format!("mutation {{ save {{ rows {{ {inside} }} }} }}"));
        assert!(told(&names(MOST_LARGE, "newValue")).is_ok());
        assert!(told(&names(MOST_LARGE + 1, "newValue")).is_err());
        assert!(told(&format!("{} oldValue", names(MOST_LARGE, "newValue"))).is_err());
        assert!(told(&names(MOST_TOLD, "field")).is_ok());
        assert!(told(&names(MOST_TOLD + 1, "field")).is_err());
        let again = format!("{} {}", "...V ".repeat(20), "__typename inner { __typename } ".repeat(20));
        let merged = format!(
            "mutation {{ save {{ rows {{ {again} }} }} }} fragment V on V {{ newValue oldValue field }}"
        );
        assert!(check(&merged).is_ok());
        let nested = names(6, &format!("inner {{ {} }}", names(6, "field")));
        assert!(told(&nested).is_err(), "they multiply");
    }

    #[test]
    fn the_schema_tells_itself_to_tools_and_does_not_multiply() {
        let of_type =
            (0..9).fold("kind name".to_owned(), |inner, _| format!("kind name ofType {{ {inner} }}"));
        let tool = format!(
            "{{ __schema {{ queryType {{ name }} mutationType {{ name }} types {{ ...T }}
                directives {{ name description args {{ ...I }} }} }} }}
            fragment T on __Type {{ kind name description fields {{ name description args {{ ...I }} type {{ ...R }}
                isDeprecated }} inputFields {{ ...I }} interfaces {{ ...R }} enumValues {{ name }} possibleTypes {{ ...R }} }}
            fragment I on __InputValue {{ name description type {{ ...R }} defaultValue }}
            fragment R on __Type {{ {of_type} }}"
        );
        check(&tool).unwrap();
        let steps = "{ __schema { types { fields { type { ofType { fields { name } } } } } } }";
        assert!(check(steps).is_err());
        let many = format!("{{ __schema {{ types {{ {} }} }} }}", names(MOST_DESCRIBED + 1, "name"));
        assert!(check(&many).is_err());
    }
}
