//! What others were told of people, by whichever gateway.
//!
//! Only the relay's leader tells. When another takes over it tells what differs from what it has heard, so that whoever
//! came while nobody led is told, too, and nobody twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quote_collab_core::payload::{PresenceEventType, PresencePayload};
use tokio::time::Instant;
use uuid::Uuid;

use super::diff::diff;
use crate::postgres::{PresenceSnapshot, Session};

/// Longer than nobody leads, as a rule.
const LAPSE: Duration = Duration::from_mins(1);

/// Sessions as they were told last.
#[derive(Debug, Default)]
pub struct Told {
    sessions: Option<BTreeMap<Uuid, Session>>,
    /// Since when those of them are away that were not told to have left.
    away: BTreeMap<Uuid, Instant>,
}

impl Told {
    /// At the first look somebody else has told of whoever is there.
    pub fn begin(&mut self, snapshot: &PresenceSnapshot) {
        let sessions = || snapshot.sessions.iter().map(|session| (session.session_id, session.clone()));
        self.sessions.get_or_insert_with(|| sessions().collect());
    }

    /// Nobody was there to tell of anybody.
    pub fn forget(&mut self) {
        self.sessions = Some(BTreeMap::new());
    }

    /// Another gateway leads. Whoever has been away for longer than nobody leads was told to have left, also where that was not heard.
    pub fn lapse(&mut self, snapshot: &PresenceSnapshot, now: Instant) {
        let here: BTreeSet<Uuid> = snapshot.sessions.iter().map(|session| session.session_id).collect();
        let (sessions, away) = (self.sessions.get_or_insert_default(), &mut self.away);
        away.retain(|id, _| !here.contains(id) && sessions.contains_key(id));
        sessions
            .retain(|id, _| here.contains(id) || now.duration_since(*away.entry(*id).or_insert(now)) < LAPSE);
    }

    /// What is to be told.
    pub fn untold(&self, snapshot: &PresenceSnapshot) -> Vec<PresencePayload> {
        let none = BTreeMap::new();
        diff(self.sessions.as_ref().unwrap_or(&none), &snapshot.sessions, &snapshot.seen_at)
    }

    /// This gateway has told of an event.
    pub fn tell(&mut self, event: &PresencePayload, snapshot: &PresenceSnapshot) {
        self.away.remove(&event.session_id);
        let sessions = self.sessions.get_or_insert_default();
        let now = snapshot.sessions.iter().find(|session| session.session_id == event.session_id);
        match now.filter(|_| event.event_type != PresenceEventType::UserLeft) {
            Some(session) => sessions.insert(event.session_id, session.clone()),
            None => sessions.remove(&event.session_id),
        };
    }

    /// Another gateway has told of an event.
    pub fn hear(&mut self, event: &PresencePayload) {
        let sessions = self.sessions.get_or_insert_default();
        if event.event_type == PresenceEventType::UserLeft {
            sessions.remove(&event.session_id);
            return;
        }
        let session = sessions.entry(event.session_id).or_insert_with(|| joined(event));
        if session.quote_id != event.quote_id || event.event_type == PresenceEventType::UserJoined {
            *session = joined(event);
        }
        if event.event_type == PresenceEventType::CursorMoved {
            session.current_line_id = event.line_id;
            session.current_field.clone_from(&event.field);
            session.cursor_position = event.cursor_position;
        }
        if event.is_editing.is_some() {
            session.is_editing = event.is_editing;
        }
    }
}

/// Somebody who has just come, as far as an event tells.
fn joined(event: &PresencePayload) -> Session {
    Session {
        session_id: event.session_id,
        tenant_id: event.tenant_id,
        quote_id: event.quote_id,
        user_id: event.user_id,
        user_name: event.user_name.clone(),
        user_email: event.user_email.clone(),
        joined_at: String::new(),
        last_heartbeat: String::new(),
        current_line_id: None,
        current_field: None,
        cursor_position: None,
        is_editing: Some(false),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::diff::tests::session;
    use super::*;

    fn snapshot(sessions: &[Session]) -> PresenceSnapshot {
        PresenceSnapshot { sessions: sessions.to_vec(), ..PresenceSnapshot::default() }
    }

    fn kinds(events: &[PresencePayload]) -> Vec<(PresenceEventType, u128)> {
        events.iter().map(|event| (event.event_type, event.session_id.as_u128())).collect()
    }

    /// Tells everything.
    fn lead(told: &mut Told, now: &PresenceSnapshot) -> Vec<PresencePayload> {
        let events = told.untold(now);
        for event in &events {
            told.tell(event, now);
        }
        assert_eq!(told.untold(now), []);
        events
    }

    #[test]
    fn a_new_leader_tells_what_happened_while_nobody_led_and_nothing_twice() {
        use PresenceEventType as E;
        let (mut old, mut new) = (Told::default(), Told::default());
        for told in [&mut old, &mut new] {
            told.begin(&snapshot(&[session(1, 7)]));
        }
        let editing = Session { is_editing: Some(true), cursor_position: Some(3), ..session(1, 7) };
        for now in [
            &[session(1, 7), session(2, 7)][..],
            &[editing.clone(), session(2, 8)],
            &[editing.clone(), session(2, 8), session(3, 8)],
        ] {
            for event in lead(&mut old, &snapshot(now)) {
                new.hear(&event);
            }
            assert_eq!(new.untold(&snapshot(now)), []);
        }
        let now = snapshot(&[editing, session(3, 8), session(4, 8)]);
        assert_eq!(kinds(&lead(&mut new, &now)), [(E::UserLeft, 2), (E::UserJoined, 4)]);
    }

    #[test]
    fn who_left_unheard_lapses() {
        use PresenceEventType as E;
        let (mut told, begun) = (Told::default(), Instant::now());
        told.begin(&snapshot(&[session(1, 7), session(2, 7), session(3, 7)]));
        told.lapse(&snapshot(&[session(2, 7)]), begun);
        told.lapse(&snapshot(&[session(2, 7), session(3, 7)]), begun + LAPSE / 2);
        let now = snapshot(&[session(2, 7)]);
        told.lapse(&now, begun + LAPSE - Duration::from_secs(1));
        assert_eq!(kinds(&told.untold(&now)), [(E::UserLeft, 1), (E::UserLeft, 3)], "perhaps nobody led");
        told.lapse(&now, begun + LAPSE);
        assert_eq!(kinds(&told.untold(&now)), [(E::UserLeft, 3)]);
        told.lapse(&now, begun + LAPSE * 2);
        assert_eq!(told.untold(&now), []);
    }

    #[test]
    fn what_could_not_be_told_is_told_later() {
        let mut told = Told::default();
        told.begin(&snapshot(&[]));
        let now = snapshot(&[session(1, 7)]);
        assert_eq!(told.untold(&now).len(), 1);
        told.begin(&now);
        assert_eq!(lead(&mut told, &now).len(), 1);
        told.forget();
        assert_eq!(lead(&mut told, &now).len(), 1);
    }
}
