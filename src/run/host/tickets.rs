//! Tickets of clients that proved the pin, valid as long as this process lives. One that an invitation led to is worth
//! as much as that is.

use std::collections::HashMap;

use super::entrance::Before;
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
    before: Before,
    /// That session's name, for people.
    name: String,
    /// `count` when that session began.
    used: u64,
}

impl Tickets {
    /// Returns the key of a ticket, and how the client that holds it was here last.
    pub(super) fn find(&self, id: &SessionId) -> Option<(ResumeKey, Before)> {
        let entry = self.entries.get(id)?;
        Some((entry.key.clone(), entry.before))
    }

    /// Forgets the clients that know the host's own pin: it was replaced.
    pub(super) fn pin_replaced(&mut self) {
        self.entries.retain(|_, entry| entry.before.invitation.is_some());
    }

    /// Stores a client's new session, and returns the name of its last one, if there was one. If there are too many
    /// clients, forgets the one that has not come for longest.
    pub(super) fn note(&mut self, ticket: Ticket, before: Before, name: String) -> Option<String> {
        self.count += 1;
        if self.entries.len() >= MAX_TICKETS && !self.entries.contains_key(&ticket.id) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.entries.remove(&oldest));
        }
        let entry = Entry { key: ticket.key, before, name, used: self.count };
        self.entries.insert(ticket.id, entry).map(|before| before.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::keys::SessionKey;
    use crate::run::rights::Serial;
    use crate::signaling::handshake::{ClientHandshake, ClientStep, HostHandshake, HostStep};
    use crate::signaling::pin::Pin;

    fn of(session: u64) -> Before {
        Before { session: SessionKey::of_nothing(session), invitation: None }
    }

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
        assert_eq!(tickets.note(first.clone(), of(1), "one".into()), None);
        assert_eq!(tickets.note(second.clone(), of(2), "two".into()), None);
        assert_eq!(tickets.note(first.clone(), of(3), "three".into()).as_deref(), Some("one"));
        assert_eq!(tickets.find(&first.id).map(|(_, before)| before), Some(of(3)));
        for serial in 4..4 + MAX_TICKETS as u64 - 1 {
            let _ = tickets.note(Ticket { id: SessionId::random(), ..second.clone() }, of(serial), String::new());
        }
        assert!(tickets.find(&second.id).is_none());
        assert!(tickets.find(&first.id).is_some());
        assert_eq!(tickets.entries.len(), MAX_TICKETS);
    }

    #[test]
    fn another_pin_leaves_the_tickets_of_invitations() {
        let mut tickets = Tickets::default();
        let (own, invited) = (ticket(), ticket());
        let _ = tickets.note(own.clone(), of(1), String::new());
        let _ = tickets.note(invited.clone(), Before { invitation: Some(Serial(0)), ..of(2) }, String::new());
        tickets.pin_replaced();
        assert_eq!([tickets.find(&own.id).is_some(), tickets.find(&invited.id).is_some()], [false, true]);
    }
}
