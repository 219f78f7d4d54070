use serde_json::{Value, json};

use super::*;
use crate::change::FieldChange;

fn change(entity: Entity, operation: Operation, fields: &[(&str, Value, Value)]) -> Change {
    Change {
        position: 17,
        event_id: Uuid::from_u128(1),
        tenant_id: Uuid::from_u128(2),
        quote_id: Uuid::from_u128(3),
        line_id: (entity == Entity::QuoteLine).then(|| Uuid::from_u128(4)),
        entity,
        operation,
        actor: Some(Uuid::from_u128(5)),
        actor_name: Some("alice".to_owned()),
        at: "2026-11-22T21:00:00.123456+00:00".to_owned(),
        session_id: None,
        version_before: Some(4),
        version_after: Some(5),
        context: None,
        fields: fields
            .iter()
            .map(|(field, old, new)| FieldChange { field: (*field).to_owned(), old: raw(old), new: raw(new) })
            .collect(),
        truncated: false,
    }
}

fn raw(value: &Value) -> JsonText {
    JsonText::of(value).unwrap()
}

fn update(columns: &[&str]) -> Change {
    let fields: Vec<_> = columns.iter().map(|column| (*column, json!("a"), json!("b"))).collect();
    change(Entity::Quote, Operation::Update, &fields)
}

fn number(digits: &str) -> Value {
    serde_json::from_str(digits).unwrap()
}

#[test]
fn header_updates_are_told_apart_by_their_columns() {
    use ChangeType as C;
    use EventType as E;
    let cases: [(&[&str], E, C); 10] = [
        (&["subtotal"], E::QuoteTotalsRecalculated, C::Recalculated),
        (&["subtotal", "total_amount", "margin_percentage"], E::QuoteTotalsRecalculated, C::Recalculated),
        // No total that a reader shows is another one.
        (&["margin_amount", "margin_percentage"], E::QuoteUpdated, C::HeaderUpdated),
        (&["subtotal", "notes"], E::QuoteUpdated, C::HeaderUpdated),
        (&["status"], E::QuoteStatusChanged, C::StatusChanged),
        (&["status", "notes"], E::QuoteStatusChanged, C::StatusChanged),
        (&["notes"], E::QuoteUpdated, C::NotesUpdated),
        (&["notes", "terms_and_conditions"], E::QuoteUpdated, C::NotesUpdated),
        (&["notes", "contact_name"], E::QuoteUpdated, C::HeaderUpdated),
        (&["expiration_date"], E::QuoteUpdated, C::HeaderUpdated),
    ];
    for (columns, event_type, change_type) in cases {
        let event = EventPayload::of(update(columns));
        assert_eq!((event.event_type, event.change_type), (event_type, change_type), "{columns:?}");
        assert_eq!(event.entity(), Entity::Quote);
        assert_eq!(event.changes.unwrap().len(), columns.len());
    }
}

#[test]
fn a_status_change_names_both_and_keeps_the_other_fields() {
    let event = EventPayload::of(change(
        Entity::Quote,
        Operation::Update,
        &[("status", json!("DRAFT"), json!("ISSUED")), ("contact_name", json!(null), json!("Ann"))],
    ));
    assert_eq!((event.old_status.as_deref(), event.new_status.as_deref()), (Some("DRAFT"), Some("ISSUED")));
    assert_eq!(
        serde_json::to_value(&event.changes).unwrap(),
        json!([{"field": "status", "oldValue": "DRAFT", "newValue": "ISSUED"},
               {"field": "contactName", "oldValue": null, "newValue": "Ann"}])
    );
}

#[test]
fn columns_play_their_roles_under_any_name() {
    let told = |columns: &[&str], roles: Value| {
        let context = Some([("roles".to_owned(), raw(&roles))].into());
        EventPayload::of(Change { context, ..update(columns) })
    };
    let roles = json!({"Status Text": "status", "net": "subtotal", "remark": "notes", "status": null});
    let status = told(&["Status Text", "status"], roles.clone());
    assert_eq!(
        (status.event_type, status.change_type),
        (EventType::QuoteStatusChanged, ChangeType::StatusChanged)
    );
    assert_eq!((status.old_status.as_deref(), status.new_status.as_deref()), (Some("a"), Some("b")));
    assert_eq!(status.changes.unwrap()[0].field, "Status Text");
    assert_eq!(told(&["status"], roles.clone()).change_type, ChangeType::HeaderUpdated);
    assert_eq!(told(&["remark"], roles.clone()).change_type, ChangeType::NotesUpdated);
    let totals = told(&["net", "margin_amount"], roles);
    assert_eq!(totals.change_type, ChangeType::Recalculated);
    assert_eq!(serde_json::to_string(&totals.new_totals).unwrap(), r#"{"subtotal":"b"}"#);
}

#[test]
fn columns_whose_spelling_is_another_columns_name_are_told_as_they_are_named() {
    let named = json!({"contact_name": null});
    let updated = EventPayload::of(Change {
        context: Some([("named".to_owned(), raw(&named))].into()),
        ..update(&["contact_name", "contactName", "quote_number"])
    });
    let fields: Vec<_> = updated.changes.unwrap().into_iter().map(|change| change.field).collect();
    assert_eq!(fields, ["contact_name", "contactName", "quoteNumber"]);
}

#[test]
fn totals_come_from_the_context_and_keep_their_scale() {
    let mut recalculated =
        change(Entity::Quote, Operation::Update, &[("subtotal", number("0.1000"), number("0.2000"))]);
    recalculated.context = Some(
        [("subtotal", "0.2000"), ("tax_amount", "0.0000"), ("total_amount", "100000000000000000.0001")]
            .into_iter()
            .map(|(column, digits)| (column.to_owned(), raw(&number(digits))))
            .collect(),
    );
    let text = serde_json::to_string(&EventPayload::of(recalculated.clone())).unwrap();
    assert!(
        text.contains(
            r#""newTotals":{"subtotal":0.2000,"taxAmount":0.0000,"totalAmount":100000000000000000.0001}"#
        ),
        "{text}"
    );
    recalculated.context = None;
    let totals = EventPayload::of(recalculated).new_totals.unwrap();
    assert_eq!(serde_json::to_string(&totals).unwrap(), r#"{"subtotal":0.2000}"#);
}

#[test]
fn a_new_line_carries_its_row_and_a_deleted_one_its_number() {
    let row = json!({"line_number": 3, "unit_price": number("0.1000"), "description": null});
    let added = change(Entity::QuoteLine, Operation::Create, &[("*", json!(null), row.clone())]);
    let event = EventPayload::of(added);
    assert_eq!((event.event_type, event.change_type), (EventType::QuoteLineAdded, ChangeType::LineAdded));
    assert_eq!(event.entity(), Entity::QuoteLine);
    assert_eq!(event.line_number, Some(3));
    assert_eq!(event.changes, None);
    assert_eq!(
        serde_json::to_string(&event.line_data).unwrap(),
        r#"{"description":null,"lineNumber":3,"unitPrice":0.1000}"#
    );
    let deleted = EventPayload::of(change(Entity::QuoteLine, Operation::Delete, &[("*", row, json!(null))]));
    assert_eq!(
        (deleted.event_type, deleted.line_number, deleted.line_data),
        (EventType::QuoteLineDeleted, Some(3), None)
    );
}

#[test]
fn the_number_of_an_updated_line_comes_from_the_context() {
    let mut updated = change(Entity::QuoteLine, Operation::Update, &[("quantity", number("1"), number("2"))]);
    updated.context = Some([("line_number".to_owned(), raw(&number("7")))].into_iter().collect());
    let event = EventPayload::of(updated);
    assert_eq!((event.line_id, event.line_number), (Some(Uuid::from_u128(4)), Some(7)));
    assert_eq!((event.event_type, event.version), (EventType::QuoteLineUpdated, Some(5)));
}

#[test]
fn what_is_written_is_read_back() {
    let events = [
        update(&["status", "notes"]),
        update(&["subtotal"]),
        change(Entity::Quote, Operation::Create, &[("*", json!(null), json!({"a": [1, null]}))]),
        change(Entity::Quote, Operation::Delete, &[("*", json!({}), json!(null))]),
        change(Entity::QuoteLine, Operation::Update, &[("unit_price", json!(null), number("1e400"))]),
        change(Entity::QuoteLine, Operation::Update, &[("quantity", number("0.1000"), json!("NaN"))]),
    ];
    for written in events.into_iter().map(EventPayload::of) {
        for event in [written.clone(), written.truncated()] {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<EventPayload>(&text).unwrap(), event, "{text}");
        }
    }
}

#[test]
fn a_truncated_event_names_its_fields_without_values() {
    let large = "x".repeat(1 << 20);
    let event = EventPayload::of(change(
        Entity::Quote,
        Operation::Update,
        &[("status", json!("DRAFT"), json!("ISSUED")), ("notes", json!(null), json!(large))],
    ));
    let text = serde_json::to_string(&event.truncated()).unwrap();
    assert!(text.len() < 1_000);
    assert!(text.contains(r#""changes":[{"field":"status"},{"field":"notes"}]"#), "{text}");
    assert!(text.contains(r#""eventType":"QUOTE_STATUS_CHANGED""#), "{text}");
    assert!(text.contains(r#""truncated":true"#), "{text}");
}

#[test]
fn a_bare_event_says_only_which_row_is_another_now() {
    let mut updated = update(&["status", "notes"]);
    updated.actor_name = Some("x".repeat(1 << 20));
    let event = EventPayload::of(updated).bare();
    let text = serde_json::to_string(&event).unwrap();
    assert!(text.len() < 500, "{text}");
    assert!(text.contains(r#""version":5,"changes":[],"truncated":true"#), "{text}");
}

#[test]
fn values_of_any_depth_and_any_key_pass_as_they_are() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [deep.as_str(), r#"{"$serde_json::private::Number": "5"}"#] {
        let value: JsonText = serde_json::from_str(value).unwrap();
        let mut updated = update(&["data"]);
        updated.fields[0].new = value.clone();
        let written = serde_json::to_string(&EventPayload::of(updated)).unwrap();
        let read: EventPayload = serde_json::from_str(&written).unwrap();
        assert_eq!(read.changes.unwrap()[0].new_value, Some(value));
    }
}
