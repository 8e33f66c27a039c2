//! Tickets of clients that proved the pin, valid as long as this process lives.

use std::collections::HashMap;

use crate::run::keys::SessionKey;
use crate::signaling::{ResumeKey, SessionId, Ticket};

/// Maximum number of clients that are remembered. Each takes a few hundred bytes; a forgotten client proves the pin
/// again.
const MAX_TICKETS: usize = 1024;

/// The tickets of a host.
#[derive(Default)]
pub(super) struct Tickets {
    entries: HashMap<SessionId, Entry>,
    /// Number of sessions so far.
    count: u64,
}

/// A client that is remembered.
struct Entry {
    key: ResumeKey,
    /// Its last session.
    session: SessionKey,
    /// That session's name, for people.
    name: String,
    /// `count` when that session began.
    used: u64,
}

impl Tickets {
    /// Returns the key of a ticket, and the last session of the client that holds it.
    pub(super) fn find(&self, id: &SessionId) -> Option<(ResumeKey, SessionKey)> {
        let entry = self.entries.get(id)?;
        Some((entry.key.clone(), entry.session))
    }

    /// Stores a client's new session, and returns the name of its last one, if there was one. If there are too many
    /// clients, forgets the one that has not come for longest.
    pub(super) fn note(&mut self, ticket: Ticket, session: SessionKey, name: String) -> Option<String> {
        self.count += 1;
        if self.entries.len() >= MAX_TICKETS && !self.entries.contains_key(&ticket.id) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.entries.remove(&oldest));
        }
        let entry = Entry { key: ticket.key, session, name, used: self.count };
        self.entries.insert(ticket.id, entry).map(|before| before.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::handshake::{ClientHandshake, ClientStep, HostHandshake, HostStep};
    use crate::signaling::pin::Pin;

    fn ticket() -> Ticket {
        let pin = Pin::generate();
        let (mut client, hello) = ClientHandshake::start(&pin);
        let mut host = HostHandshake::new();
        let Ok(HostStep::Send(hello)) = host.handle_text(&hello, &pin) else { panic!("no hello") };
        let Ok(ClientStep::Send(confirm)) = client.handle_text(&hello) else { panic!("no confirm") };
        assert_eq!(host.handle_text(&confirm, &pin).unwrap(), HostStep::Verify);
        host.verify().unwrap().1.ticket
    }

    #[test]
    fn those_that_came_longest_ago_are_forgotten_first() {
        let mut tickets = Tickets::default();
        let (first, second) = (ticket(), ticket());
        assert_eq!(tickets.note(first.clone(), SessionKey::of_nothing(1), "one".into()), None);
        assert_eq!(tickets.note(second.clone(), SessionKey::of_nothing(2), "two".into()), None);
        assert_eq!(tickets.note(first.clone(), SessionKey::of_nothing(3), "three".into()).as_deref(), Some("one"));
        assert_eq!(tickets.find(&first.id).map(|(_, session)| session), Some(SessionKey::of_nothing(3)));
        for serial in 4..4 + MAX_TICKETS as u64 - 1 {
            let _ = tickets.note(
                Ticket { id: SessionId::random(), ..second.clone() },
                SessionKey::of_nothing(serial),
                String::new(),
            );
        }
        assert!(tickets.find(&second.id).is_none());
        assert!(tickets.find(&first.id).is_some());
        assert_eq!(tickets.entries.len(), MAX_TICKETS);
    }
}
