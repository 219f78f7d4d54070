//! What happened between two looks at the sessions.

use std::collections::{BTreeMap, HashMap};

use quote_collab_core::payload::{PresenceEventType, PresencePayload};
use uuid::Uuid;

use crate::postgres::Session;

/// The events between two looks, those who left first.
pub fn diff(was: &BTreeMap<Uuid, Session>, after: &[Session], at: &str) -> Vec<PresencePayload> {
    let is: HashMap<Uuid, &Session> = after.iter().map(|session| (session.session_id, session)).collect();
    let stayed =
        |session: &Session| is.get(&session.session_id).is_some_and(|now| now.quote_id == session.quote_id);
    let mut events: Vec<PresencePayload> = was
        .values()
        .filter(|session| !stayed(session))
        .map(|session| event(PresenceEventType::UserLeft, session, at))
        .collect();
    for session in after {
        match was.get(&session.session_id).filter(|was| was.quote_id == session.quote_id) {
            None => events.push(event(PresenceEventType::UserJoined, session, at)),
            Some(was) => {
                if place(was) != place(session) {
                    events.push(event(PresenceEventType::CursorMoved, session, at));
                }
                if was.is_editing != session.is_editing {
                    events.push(event(PresenceEventType::EditingStatusChanged, session, at));
                }
            }
        }
    }
    events
}

/// Whether two lists look the same to a reader. A mere sign of life is no change.
pub fn same_people(before: &[Session], after: &[Session]) -> bool {
    let alike = |(one, other): (&Session, &Session)| {
        let mut one = one.clone();
        one.last_heartbeat.clone_from(&other.last_heartbeat);
        one == *other
    };
    before.len() == after.len() && before.iter().zip(after).all(alike)
}

fn place(session: &Session) -> (Option<Uuid>, Option<&str>, Option<i32>) {
    (session.current_line_id, session.current_field.as_deref(), session.cursor_position)
}

fn event(event_type: PresenceEventType, session: &Session, at: &str) -> PresencePayload {
    let moved = event_type == PresenceEventType::CursorMoved;
    let editing = event_type == PresenceEventType::EditingStatusChanged;
    PresencePayload {
        event_id: Uuid::now_v7(),
        timestamp: at.to_owned(),
        tenant_id: session.tenant_id,
        quote_id: session.quote_id,
        user_id: session.user_id,
        user_name: session.user_name.clone(),
        user_email: session.user_email.clone(),
        session_id: session.session_id,
        event_type,
        line_id: session.current_line_id.filter(|_| moved || editing),
        field: session.current_field.clone().filter(|_| moved || editing),
        cursor_position: session.cursor_position.filter(|_| moved),
        is_editing: session.is_editing.filter(|_| editing),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn session(id: u128, quote: u128) -> Session {
        Session {
            session_id: Uuid::from_u128(id),
            tenant_id: Uuid::from_u128(1),
            quote_id: Uuid::from_u128(quote),
            user_id: Uuid::from_u128(9),
            user_name: None,
            user_email: None,
            joined_at: "then".to_owned(),
            last_heartbeat: "now".to_owned(),
            current_line_id: None,
            current_field: None,
            cursor_position: None,
            is_editing: Some(false),
            status: None,
        }
    }

    fn kinds(before: &[Session], after: &[Session]) -> Vec<(PresenceEventType, u128, u128)> {
        let before = before.iter().map(|session| (session.session_id, session.clone())).collect();
        let events = diff(&before, after, "at");
        events
            .iter()
            .map(|event| (event.event_type, event.session_id.as_u128(), event.quote_id.as_u128()))
            .collect()
    }

    #[test]
    fn joining_leaving_and_moving_are_told() {
        use PresenceEventType as E;
        let moved = Session { cursor_position: Some(3), ..session(1, 7) };
        let editing = Session { is_editing: Some(true), ..moved.clone() };
        assert_eq!(kinds(&[], &[session(1, 7)]), [(E::UserJoined, 1, 7)]);
        assert_eq!(kinds(&[session(1, 7)], &[]), [(E::UserLeft, 1, 7)]);
        assert_eq!(kinds(&[session(1, 7)], &[session(1, 8)]), [(E::UserLeft, 1, 7), (E::UserJoined, 1, 8)]);
        assert_eq!(kinds(&[session(1, 7)], std::slice::from_ref(&moved)), [(E::CursorMoved, 1, 7)]);
        assert_eq!(kinds(&[moved], std::slice::from_ref(&editing)), [(E::EditingStatusChanged, 1, 7)]);
        assert_eq!(
            kinds(&[session(1, 7)], &[editing]),
            [(E::CursorMoved, 1, 7), (E::EditingStatusChanged, 1, 7)]
        );
    }

    #[test]
    fn a_sign_of_life_is_no_change() {
        let later = Session { last_heartbeat: "later".to_owned(), ..session(1, 7) };
        assert_eq!(kinds(&[session(1, 7)], std::slice::from_ref(&later)), []);
        assert!(same_people(&[session(1, 7)], &[later]));
        assert!(!same_people(&[session(1, 7)], &[]));
        assert!(!same_people(&[session(1, 7)], &[session(2, 7)]));
    }
}
