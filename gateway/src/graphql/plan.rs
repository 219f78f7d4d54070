//! What is known of an operation before it is executed: its type, its cost, the order of its result.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType,
};
use async_graphql::{Name, Response, Value, Variables};

use super::root;
use crate::failure::Failure;

/// Each is a statement of its own, so that a list of aliases must not be one operation.
const MOST_ROOT_FIELDS: usize = 50;
/// Each is checked, and complained of where nothing uses it.
const MOST_VARIABLES: usize = 500;
/// For each root field of an operation whose answer cannot be refused.
const MOST_LARGE_FIELDS: usize = 10;

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
    /// Reads the operation of this name, and makes a subscription one that the library can execute.
    ///
    /// # Errors
    ///
    /// When it asks for too much, or a subscription for anything but one field.
    pub fn of(
        document: &mut ExecutableDocument,
        name: Option<&str>,
        variables: &mut Variables,
    ) -> Result<Self, Failure> {
        if !root::is_bounded(document) {
            return Err(Failure::bad_input("the operation is too large when its fragments are written out"));
        }
        let definitions =
            document.operations.iter().map(|(_, operation)| operation.node.variable_definitions.len());
        if definitions.sum::<usize>() > MOST_VARIABLES {
            return Err(Failure::bad_input(format!("a request may have {MOST_VARIABLES} variables")));
        }
        let ExecutableDocument { operations, fragments } = document;
        let Some(operation) = selected(operations, name) else { return Ok(Self::default()) };
        set_defaults(operation, variables);
        let fields = root::fields(operation, fragments, variables);
        let order = root::keys(&fields);
        let cost = fields.iter().filter(|field| !field.node.name.node.starts_with("__")).count();
        if cost > MOST_ROOT_FIELDS {
            return Err(Failure::bad_input(format!(
                "an operation may ask for {MOST_ROOT_FIELDS} root fields, aliases included"
            )));
        }
        // What was done is told in any case, and so is what happens: too much of it is refused before.
        let most_large = MOST_LARGE_FIELDS * cost.max(1);
        if operation.ty != OperationType::Query && root::large_fields(operation, fragments) > most_large {
            return Err(Failure::bad_input(format!(
                "a mutation or subscription may ask for {MOST_LARGE_FIELDS} rows and values of each root field, aliases included"
            )));
        }
        if operation.ty == OperationType::Subscription {
            if order.len() != 1 {
                return Err(Failure::bad_input("a subscription must select exactly one root field"));
            }
            if !root::is_plain(operation) {
                let fields = fields.into_iter().cloned().collect();
                root::make_plain(operation, fields);
            }
        }
        Ok(Self { kind: Some(operation.ty), cost: u32::try_from(cost).unwrap_or(u32::MAX).max(1), order })
    }

    /// Puts the result's fields in the order in which they were asked for: the library puts them in the order in which
    /// they are ready.
    pub fn arrange(&self, response: &mut Response) {
        let Value::Object(fields) = &mut response.data else { return };
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

/// The library forgets a variable's default where the variable is a condition.
fn set_defaults(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in &operation.variable_definitions {
        let Some(default) = &definition.node.default_value else { continue };
        variables.entry(definition.node.name.node.clone()).or_insert_with(|| default.node.clone());
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::super::json::to_graphql;
    use super::*;

    fn plan(query: &str) -> Result<Plan, Failure> {
        let mut variables = Variables::default();
        variables.insert(Name::new("yes"), Value::Boolean(true));
        Plan::of(&mut parse_query(query).unwrap(), None, &mut variables)
    }

    #[test]
    fn each_root_field_costs_one_wherever_it_stands() {
        let cases = [
            ("{ __typename }", 1),
            ("{ a }", 1),
            ("{ a b c: a __typename }", 3),
            ("{ a a }", 2),
            ("{ ...F ...F } fragment F on Query { a ... { b } }", 4),
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
    fn fragments_that_multiply_or_lead_in_a_circle_are_refused_at_once() {
        let step =
            |step: usize| format!("fragment F{step} on Query {{ ...F{next} ...F{next} }}", next = step + 1);
        let steps: Vec<String> = (0..22).map(step).collect();
        let doubling = format!("{{ ...F0 }} {} fragment F22 on Query {{ a }}", steps.join(" "));
        for query in [doubling.as_str(), "{ ...F } fragment F on Query { a ...F }"] {
            assert!(plan(query).is_err(), "{query}");
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
        let data = to_graphql(&json!({"a": 1, "b": 2, "other": 3, "z": 4}));
        let mut response = Response::new(data);
        plan.arrange(&mut response);
        assert_eq!(serde_json::to_string(&response.data).unwrap(), r#"{"z":4,"b":2,"a":1,"other":3}"#);
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
    }
}
