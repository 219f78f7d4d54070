//! What is known of an operation before it is executed: its type, its cost, the order of its result.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType,
};
use async_graphql::{Name, PathSegment, Response, ServerError, Value, Variables};
use serde_json::Map;

use super::error::code;
use super::variables::{self, MOST_VARIABLES};
use super::{demand, root};
use crate::failure::{Code, Failure};

/// Each is a statement of its own, so that a list of aliases must not be one operation.
const MOST_ROOT_FIELDS: usize = 50;

/// What is known of an operation before it is executed.
#[derive(Debug)]
pub struct Plan {
    /// Its type, when the text can be read.
    pub kind: Option<OperationType>,
    /// What it takes of the user's budget: one for each root field.
    pub cost: u32,
    /// Keys of the result.
    order: Vec<Name>,
}

impl Plan {
    /// Reads the operation of this name, and what it uses of the variables that are given, and writes its root fields as the library
    /// executes them: each key once, since it would do a field that stands twice twice; and that of a subscription plainly.
    ///
    /// # Errors
    ///
    /// When it asks for too much, or a subscription for anything but one field.
    pub fn of(
        document: &mut ExecutableDocument,
        name: Option<&str>,
        given: Map<String, serde_json::Value>,
    ) -> Result<(Self, Variables), Failure> {
        demand::check_text(document)?;
        let definitions =
            document.operations.iter().map(|(_, operation)| operation.node.variable_definitions.len());
        if definitions.sum::<usize>() > MOST_VARIABLES {
            return Err(Failure::bad_input(format!("a request may have {MOST_VARIABLES} variables")));
        }
        let ExecutableDocument { operations, fragments } = document;
        let Some(operation) = selected(operations, name) else { return Ok(Default::default()) };
        let variables = variables::declared(given, operation)?;
        let groups = root::by_key(root::fields(operation, fragments, &variables));
        if let Some((key, _)) = groups.iter().find(|(_, fields)| !root::is_one(fields)) {
            return Err(Failure::bad_input(format!(
                "\"{key}\" stands for different fields, or for one with different arguments"
            )));
        }
        let cost = groups.values().filter(|fields| !fields[0].node.name.node.starts_with("__")).count();
        if cost > MOST_ROOT_FIELDS {
            return Err(Failure::bad_input(format!(
                "an operation may ask for {MOST_ROOT_FIELDS} root fields, aliases included"
            )));
        }
        for field in groups.values().flatten() {
            demand::check_described(field, fragments)?;
        }
        if operation.ty == OperationType::Subscription && groups.len() != 1 {
            return Err(Failure::bad_input("a subscription must select exactly one root field"));
        }
        if operation.ty != OperationType::Query {
            for fields in groups.values() {
                demand::check_told(fields, fragments)?;
            }
        }
        let is_as_executed = match operation.ty {
            OperationType::Subscription => root::is_plain(operation),
            OperationType::Query | OperationType::Mutation => groups.values().all(|fields| fields.len() == 1),
        };
        let order = groups.keys().cloned().collect();
        if !is_as_executed {
            let fields = groups.values().map(|fields| root::merged(fields)).collect();
            root::write(operation, fields);
        }
        let cost = u32::try_from(cost).unwrap_or(u32::MAX).max(1);
        Ok((Self { kind: Some(operation.ty), cost, order }, variables))
    }

    /// Whether the result tells that nothing was done, so that the operation may be asked again. Of a mutation the fields are done
    /// one after the other, and behind one that fails none is begun.
    #[must_use]
    pub fn did_nothing(&self, response: &Response) -> bool {
        let is_first = |error: &ServerError| match error.path.first() {
            None => true,
            Some(PathSegment::Field(key)) => {
                code(error) == Some(Code::RateLimited.as_str())
                    && self.order.first().is_some_and(|first| first == key)
            }
            Some(PathSegment::Index(_)) => false,
        };
        response.data == Value::Null
            && (self.kind != Some(OperationType::Mutation) || response.errors.first().is_none_or(is_first))
    }

    /// Puts the result's fields in the order in which they were asked for: the library puts them in the order in which
    /// they are ready. It leaves those out that failed though they may not be null: then there is no result, by the specification
    /// (6.4.4, Handling Execution Errors).
    pub fn arrange(&self, response: &mut Response) {
        if self.kind.is_some() && self.order.is_empty() && response.errors.is_empty() {
            response.data = Value::Object(IndexMap::new());
        }
        let Value::Object(fields) = &mut response.data else { return };
        if self.order.iter().any(|key| !fields.contains_key(key)) {
            response.data = Value::Null;
            return;
        }
        if fields.len() < 2 {
            return;
        }
        let mut ready = std::mem::take(fields);
        for key in &self.order {
            if let Some((key, value)) = ready.swap_remove_entry(key) {
                fields.insert(key, value);
            }
        }
        fields.extend(ready);
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self { kind: None, cost: 1, order: Vec::new() }
    }
}

/// The operation that the library will execute.
fn selected<'a>(
    operations: &'a mut DocumentOperations,
    name: Option<&str>,
) -> Option<&'a mut OperationDefinition> {
    let operation = match (operations, name) {
        (DocumentOperations::Single(operation), None) => operation,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get_mut(name)?,
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values_mut().next()?
        }
        _ => return None,
    };
    Some(&mut operation.node)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::super::json::to_graphql;
    use super::*;

    fn plan(query: &str) -> Result<Plan, Failure> {
        let given = Map::from_iter([("yes".to_owned(), serde_json::Value::Bool(true))]);
        Ok(Plan::of(&mut parse_query(query).unwrap(), None, given)?.0)
    }

    #[test]
    fn each_root_field_costs_one_wherever_it_stands() {
        let cases = [
            ("{ __typename }", 1),
            ("{ a }", 1),
            ("{ a b c: a __typename }", 3),
            ("{ a a }", 1),
            ("{ a x: a x: a }", 2),
            ("{ ...F ...F } fragment F on Query { a ... { b } }", 2),
            ("{ ... @include(if: false) { a b } c @skip(if: true) d @skip(if: false) }", 1),
            ("query ($yes: Boolean!) { a @include(if: $yes) b @skip(if: $yes) c }", 2),
            ("query ($no: Boolean = true) { a @include(if: $no) b @skip(if: $other) }", 2),
        ];
        for (query, cost) in cases {
            assert_eq!(plan(query).unwrap().cost, cost, "{query}");
        }
        let many = |count: usize| {
            let aliases: Vec<String> = (0..count).map(|alias| format!("a{alias}: quotes")).collect();
            plan(&format!("{{ {} }}", aliases.join(" ")))
        };
        assert_eq!(many(MOST_ROOT_FIELDS).unwrap().cost, 50);
        assert!(many(MOST_ROOT_FIELDS + 1).is_err());
        let variables = |count: usize| {
            let names: Vec<String> = (0..count).map(|name| format!("$v{name}: Int")).collect();
            plan(&format!("query A({}) {{ a }} query B({}) {{ b }}", names.join(" "), names.join(" ")))
        };
        assert!(variables(MOST_VARIABLES / 2).is_ok());
        assert!(variables(MOST_VARIABLES / 2 + 1).is_err());
    }

    #[test]
    fn a_key_is_of_one_field_wherever_it_stands() {
        for (query, is_one) in [
            ("{ a(x: 1, y: 2) ...F } fragment F on Query { a(y: 2, x: 1) }", true),
            ("{ a(x: 1) ...F } fragment F on Query { a(x: 2) }", false),
            ("{ a(x: 1) ... on Query { a } }", false),
            ("{ a ... on Query { a(x: 1) } }", false),
            ("{ k: a ... on Query { k: b } }", false),
            ("{ a(x: 1) ... on Query @include(if: false) { a(x: 2) } }", true),
            ("mutation ($yes: Boolean) { a(x: $yes) ... on Mutation { a(x: $no) } }", false),
            ("subscription { a(x: 1) ... on Subscription { a(x: 2) } }", false),
        ] {
            assert_eq!(plan(query).is_ok(), is_one, "{query}");
        }
    }

    #[test]
    fn a_subscription_has_one_root_field() {
        for query in [
            "subscription { a b }",
            "subscription { a __typename }",
            "subscription { a @include(if: false) }",
            "subscription { ...F } fragment F on Subscription { a b }",
            "subscription { ...Missing }",
        ] {
            assert!(plan(query).is_err(), "{query}");
        }
        for query in
            ["subscription { a }", "subscription { a b @skip(if: true) }", "subscription { a { b } a { c } }"]
        {
            assert!(plan(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn a_result_is_in_the_order_of_the_question() {
        let plan = plan("{ z ...F a } fragment F on Query { b z }").unwrap();
        let arranged = |data: serde_json::Value| {
            let mut response = Response::new(to_graphql(&data));
            plan.arrange(&mut response);
            serde_json::to_string(&response.data).unwrap()
        };
        let data = json!({"a": 1, "b": 2, "other": 3, "z": 4});
        assert_eq!(arranged(data), r#"{"z":4,"b":2,"a":1,"other":3}"#);
        assert_eq!(arranged(json!({"a": 1, "b": 2})), "null", "one that may not be null is missing");
        let mut nothing = Response::new(Value::Null);
        super::tests::plan("{ a @skip(if: true) }").unwrap().arrange(&mut nothing);
        assert_eq!(serde_json::to_string(&nothing.data).unwrap(), "{}");
        assert_eq!(arranged(json!({"a": 1, "b": 2, "z": null})), r#"{"z":null,"b":2,"a":1}"#);
    }

    #[test]
    fn what_cannot_be_refused_afterwards_names_few_large_values() {
        let values =
            |count: usize| (0..count).map(|n| format!("v{n}: newValue ")).collect::<Vec<_>>().concat();
        let subscription = |count| {
            format!(
                "subscription {{ a(quoteId: 1) {{ changes {{ ...v }} }} }} fragment v on V {{ {} }}",
                values(count)
            )
        };
        assert!(plan(&subscription(10)).is_ok());
        assert!(plan(&subscription(11)).is_err());
        let saved = "{ success quote conflicts { baseValue currentValue attemptedValue } }";
        let mutation = (0..50).map(|n| format!("m{n}: save {saved} ")).collect::<Vec<_>>().concat();
        assert!(plan(&format!("mutation {{ {mutation} }}")).is_ok());
        assert!(plan(&format!("mutation {{ save {{ {} }} }}", values(11))).is_err());
        assert!(plan(&format!("query {{ a {{ {} }} }}", values(11))).is_ok());
        let one = format!("mutation {{ a: save b: save c: save {{ {} }} }}", values(11));
        assert!(plan(&one).is_err(), "others of the mutation leave it nothing");
        let parts = format!("mutation {{ save {{ {} }} save {{ w: newValue }} }}", values(10));
        assert!(plan(&parts).is_err(), "it is told at once");
    }

    #[test]
    fn a_mutation_that_failed_behind_its_first_field_did_something() {
        let failed = |failure: Failure, key: Option<&str>| {
            let mut error = ServerError::from(failure);
            error.path = key.map(|key| PathSegment::Field(key.to_owned())).into_iter().collect();
            Response::from_errors(vec![error])
        };
        let limited = || Failure::rate_limited(std::time::Duration::from_secs(1));
        let away = || Failure::new(Code::ServiceUnavailable, "x");
        let mutation = plan("mutation { a: save b: save }").unwrap();
        assert!(mutation.did_nothing(&failed(limited(), None)));
        assert!(mutation.did_nothing(&failed(limited(), Some("a"))));
        assert!(!mutation.did_nothing(&failed(limited(), Some("b"))));
        assert!(!mutation.did_nothing(&failed(away(), Some("a"))), "nobody knows");
        let mut both = failed(limited(), Some("a"));
        both.errors.extend(failed(limited(), Some("b")).errors);
        assert!(mutation.did_nothing(&both));
        let query = plan("{ a b }").unwrap();
        assert!(query.did_nothing(&failed(away(), Some("b"))));
        assert!(!query.did_nothing(&Response::new(to_graphql(&json!({"a": 1})))));
    }
}
