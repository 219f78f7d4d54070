//! The fields that an operation asks of its root, wherever they stand: plainly, in fragments, behind conditions.

use std::collections::HashMap;
use std::slice::Iter;

use async_graphql::parser::types::{
    Directive, Field, FragmentDefinition, InlineFragment, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, Value, Variables};

/// Fragments by name.
pub type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// The root fields of an operation in the order of the text, those that conditions leave out not among them. The text
/// must be bounded.
pub fn fields<'a>(
    operation: &'a OperationDefinition,
    fragments: &'a Fragments,
    variables: &Variables,
) -> Vec<&'a Positioned<Field>> {
    let mut open = vec![items(&operation.selection_set)];
    let mut fields = Vec::new();
    while let Some(selections) = open.last_mut() {
        match selections.next().map(|selection| &selection.node) {
            None => drop(open.pop()),
            Some(selection) if is_left_out(selection.directives(), variables) => {}
            Some(Selection::Field(field)) => fields.push(field),
            Some(fragment) => open.extend(inside(fragment, fragments)),
        }
    }
    fields
}

/// Keys of the result, each once, in the order in which the fields stand.
pub fn keys(fields: &[&Positioned<Field>]) -> Vec<Name> {
    let mut keys: Vec<Name> = Vec::new();
    for field in fields {
        let key = &field.node.response_key().node;
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

/// A key that stands for different fields, or for one with different arguments. The library compares neither across fragments that name
/// their type.
pub fn conflict<'a>(fields: &[&'a Positioned<Field>]) -> Option<&'a Name> {
    let mut first: HashMap<&Name, &Field> = HashMap::new();
    let mut conflicts = fields.iter().filter(|field| {
        let first = first.entry(&field.node.response_key().node).or_insert(&field.node);
        first.name.node != field.node.name.node || !has_arguments_of(first, &field.node)
    });
    conflicts.next().map(|field| &field.node.response_key().node)
}

fn has_arguments_of(one: &Field, other: &Field) -> bool {
    one.arguments.len() == other.arguments.len()
        && one
            .arguments
            .iter()
            .all(|(name, value)| other.get_argument(&name.node).is_some_and(|given| given.node == value.node))
}

/// Those of one key.
pub fn of_key<'a>(fields: &[&'a Positioned<Field>], key: &Name) -> Vec<&'a Positioned<Field>> {
    fields.iter().copied().filter(|field| field.node.response_key().node == *key).collect()
}

/// How many statements fields are: one for each key but those that ask of the schema.
pub fn statements(fields: &[&Positioned<Field>]) -> usize {
    let asking = fields.iter().copied().filter(|field| !field.node.name.node.starts_with("__"));
    keys(&asking.collect::<Vec<_>>()).len()
}

/// Whether the library finds the only field of a subscription: it looks at plain fields alone.
pub fn is_plain(operation: &OperationDefinition) -> bool {
    let items = &operation.selection_set.node.items;
    matches!(items.as_slice(), [only] if matches!(&only.node, Selection::Field(field) if field.node.directives.is_empty()))
}

/// Writes the root fields plainly, those of one key as one field, as the specification collects them (6.3.2). What the client
/// wrote stays behind a condition that never holds, so that it is checked as it was written. Those of one key must be the same.
pub fn merge(operation: &mut OperationDefinition, fields: Vec<Positioned<Field>>) {
    let mut merged: Vec<Positioned<Field>> = Vec::new();
    for mut field in fields {
        let key = field.node.response_key().node.clone();
        if let Some(first) = merged.iter_mut().find(|first| first.node.response_key().node == key) {
            first.node.selection_set.node.items.extend(field.node.selection_set.node.items);
        } else {
            field.node.directives.retain(|directive| condition(directive).is_none());
            merged.push(field);
        }
    }
    let position = operation.selection_set.pos;
    let written = std::mem::take(&mut operation.selection_set.node);
    let kept = InlineFragment {
        type_condition: None,
        directives: vec![Positioned::new(never(position), position)],
        selection_set: Positioned::new(written, position),
    };
    let plain = merged.into_iter().map(Selection::Field);
    operation.selection_set.node.items = plain
        .chain([Selection::InlineFragment(Positioned::new(kept, position))])
        .map(|selection| Positioned::new(selection, position))
        .collect();
}

/// What a selection set has.
pub fn items(set: &Positioned<SelectionSet>) -> Iter<'_, Positioned<Selection>> {
    set.node.items.iter()
}

/// What a fragment stands for. One that does not exist the library refuses later.
pub fn inside<'a>(
    selection: &'a Selection,
    fragments: &'a Fragments,
) -> Option<Iter<'a, Positioned<Selection>>> {
    match selection {
        Selection::Field(_) => None,
        Selection::InlineFragment(fragment) => Some(items(&fragment.node.selection_set)),
        Selection::FragmentSpread(spread) => {
            fragments.get(&spread.node.fragment_name.node).map(|fragment| items(&fragment.node.selection_set))
        }
    }
}

fn is_left_out(directives: &[Positioned<Directive>], variables: &Variables) -> bool {
    directives.iter().any(|directive| {
        let (Some(wanted), Some(given)) = (condition(directive), directive.node.get_argument("if")) else {
            return false;
        };
        let given = given.node.clone().into_const_with(|name| variables.get(&name).cloned().ok_or(()));
        (given == Ok(Value::Boolean(true))) != wanted
    })
}

/// The truth for which a condition lets its selection in; none when the directive is no condition.
fn condition(directive: &Positioned<Directive>) -> Option<bool> {
    match directive.node.name.node.as_str() {
        "include" => Some(true),
        "skip" => Some(false),
        _ => None,
    }
}

fn never(position: Pos) -> Directive {
    let name = |text: &str| Positioned::new(Name::new(text), position);
    let arguments = vec![(name("if"), Positioned::new(Value::Boolean(false).into_value(), position))];
    Directive { name: name("include"), arguments }
}
