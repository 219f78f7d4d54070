//! The fields that an operation asks of its root, wherever they stand: plainly, in fragments, behind conditions.

use std::collections::HashMap;
use std::slice::Iter;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    Directive, Field, FragmentDefinition, InlineFragment, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, Value, Variables};

/// Root fields by the key of the result that they give, at least one each.
pub type Groups<'a> = IndexMap<Name, Vec<&'a Positioned<Field>>>;

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

/// By their keys, each in the order in which it stands first.
pub fn by_key(fields: Vec<&Positioned<Field>>) -> Groups<'_> {
    let mut groups = Groups::new();
    for field in fields {
        groups.entry(field.node.response_key().node.clone()).or_default().push(field);
    }
    groups
}

/// Whether those of one key are one field with the same arguments. The library compares neither across fragments that name their type.
pub fn is_one(fields: &[&Positioned<Field>]) -> bool {
    fields.iter().all(|field| is_alike(&fields[0].node, &field.node))
}

fn is_alike(one: &Field, other: &Field) -> bool {
    one.name.node == other.name.node
        && one.arguments.len() == other.arguments.len()
        && one
            .arguments
            .iter()
            .all(|(name, value)| other.get_argument(&name.node).is_some_and(|given| given.node == value.node))
}

/// Whether the library finds the only field of a subscription: it looks at plain fields alone.
pub fn is_plain(operation: &OperationDefinition) -> bool {
    let items = &operation.selection_set.node.items;
    matches!(items.as_slice(), [only] if matches!(&only.node, Selection::Field(field) if field.node.directives.is_empty()))
}

/// Those of one key as one plain field.
pub fn merged(fields: &[&Positioned<Field>]) -> Positioned<Field> {
    let mut merged = fields[0].clone();
    merged.node.directives.retain(|directive| condition(directive).is_none());
    let others = fields[1..].iter().flat_map(|field| items(&field.node.selection_set));
    merged.node.selection_set.node.items.extend(others.cloned());
    merged
}

/// Writes the root fields plainly, as the specification collects them (6.3.2). What the client wrote stays behind a condition that never
/// holds, so that it is checked as it was written.
pub fn write(operation: &mut OperationDefinition, fields: Vec<Positioned<Field>>) {
    let position = operation.selection_set.pos;
    let written = std::mem::take(&mut operation.selection_set.node);
    let kept = InlineFragment {
        type_condition: None,
        directives: vec![Positioned::new(never(position), position)],
        selection_set: Positioned::new(written, position),
    };
    let plain = fields.into_iter().map(Selection::Field);
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
