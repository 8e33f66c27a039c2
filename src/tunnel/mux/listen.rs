//! Reverse forwards: the client asks, the host listens or refuses (`docs/protocol.md`, "Reverse forwards").

use std::collections::{BTreeMap, BTreeSet};

use super::outbound::Control;
use super::{Life, Mux};
use crate::tunnel::Role;
use crate::tunnel::event::Event;
use crate::tunnel::frame::{self, MAX_LISTEN_TEXT};

/// Maximum number of reverse forwards a host keeps for one session; further ones are refused.
pub const MAX_LISTENS: usize = 256;

/// Refusals that may wait to be sent. A LISTEN beyond that gets no answer on this carrier.
const MAX_REFUSALS: usize = 256;

/// State of a reverse forward that we asked for.
#[derive(Debug)]
enum Asked {
    /// Not answered yet; a LISTEN goes out on each carrier.
    Waiting(String),
    Granted,
    Refused,
}

/// A reverse forward the peer asked for.
#[derive(Debug, Default)]
struct Wanted {
    answer: Option<Result<String, String>>,
    /// Carrier on which the answer went out last. Either it arrives there, or a LISTEN on the next carrier asks again.
    told_on: Option<u32>,
}

/// The reverse forwards of a session.
#[derive(Debug, Default)]
pub(super) struct Listens {
    asked: BTreeMap<u16, Asked>,
    to_ask: BTreeSet<u16>,
    wanted: BTreeMap<u16, Wanted>,
    /// Ids whose answer waits to be sent, including those that are refused and not kept.
    to_answer: BTreeSet<u16>,
}

impl Listens {
    /// Prepares for a further carrier: open requests go out again.
    pub(super) fn ask_again(&mut self) {
        let waiting = self.asked.iter().filter(|(_, asked)| matches!(asked, Asked::Waiting(_)));
        self.to_ask = waiting.map(|(id, _)| *id).collect();
        // The peer asks again for refused ones that are not kept, and gets the answer then.
        self.to_answer.retain(|id| self.wanted.contains_key(id));
    }

    /// Tells whether a LISTEN or LISTENED waits to be sent.
    pub(super) fn is_due(&self) -> bool {
        !self.to_ask.is_empty() || !self.to_answer.is_empty()
    }
}

impl Mux {
    /// Asks the host to listen at `bind`; an event gives the answer. Streams that come from there are opened to
    /// `ConnectTarget::Reverse(id)`. A second call for the same id changes nothing, and so does a call as the host.
    pub fn listen(&mut self, id: u16, bind: &str) {
        if self.config.role != Role::Client || self.listens.asked.contains_key(&id) {
            return;
        }
        if bind.len() > MAX_LISTEN_TEXT {
            let result = Err("the address to listen on is too long".to_owned());
            self.listens.asked.insert(id, Asked::Refused);
            return self.events.push_back(Event::Listened { id, result });
        }
        self.listens.asked.insert(id, Asked::Waiting(bind.to_owned()));
        self.listens.to_ask.insert(id);
    }

    /// Answers an `Event::Listen`: where we listen, or why we do not. Only the first answer counts.
    pub fn listened(&mut self, id: u16, result: Result<&str, &str>) {
        if let Some(wanted) = self.listens.wanted.get_mut(&id)
            && wanted.answer.is_none()
        {
            wanted.answer = Some(result.map(str::to_owned).map_err(str::to_owned));
            self.listens.to_answer.insert(id);
        }
    }

    /// Tells whether the peer may open streams to `ConnectTarget::Reverse(id)`: we asked for it, and it was not
    /// refused. A CONNECT may overtake the LISTENED, so the answer may still be missing. Abort all other streams as
    /// denied.
    pub fn takes_reverse(&self, id: u16) -> bool {
        matches!(self.listens.asked.get(&id), Some(Asked::Waiting(_) | Asked::Granted))
    }

    /// Handles a LISTEN.
    pub(super) fn handle_listen(&mut self, id: u16, bind: String) {
        if self.config.role != Role::Host {
            self.counters.ignored += 1;
            return;
        }
        let (carrier, listens) = (self.carrier, &mut self.listens);
        match listens.wanted.get(&id) {
            Some(wanted) if wanted.answer.is_none() || wanted.told_on == Some(carrier) => self.counters.duplicate += 1,
            Some(_) => {
                listens.to_answer.insert(id);
            }
            None if self.life == Life::Running && listens.wanted.len() < MAX_LISTENS => {
                listens.wanted.insert(id, Wanted::default());
                self.events.push_back(Event::Listen { id, bind });
            }
            None if listens.to_answer.len() < MAX_LISTENS + MAX_REFUSALS => {
                listens.to_answer.insert(id);
            }
            None => self.counters.ignored += 1,
        }
    }

    /// Handles a LISTENED.
    pub(super) fn handle_listened(&mut self, id: u16, result: Result<String, String>) {
        match self.listens.asked.get_mut(&id) {
            Some(asked @ Asked::Waiting(_)) => {
                *asked = if result.is_ok() { Asked::Granted } else { Asked::Refused };
                self.listens.to_ask.remove(&id);
                self.events.push_back(Event::Listened { id, result });
            }
            Some(Asked::Granted | Asked::Refused) => self.counters.duplicate += 1,
            None => self.counters.ignored += 1,
        }
    }

    /// Encodes the next LISTEN or LISTENED into the scratch buffer.
    pub(super) fn encode_listen(&mut self, max_len: usize) -> Control {
        let scratch = &mut self.pending.scratch;
        while let Some(&id) = self.listens.to_ask.first() {
            if let Some(Asked::Waiting(bind)) = self.listens.asked.get(&id) {
                frame::encode_listen(scratch, id, bind);
                if scratch.len() > max_len {
                    return Control::Waits;
                }
                self.listens.to_ask.pop_first();
                return Control::Encoded;
            }
            self.listens.to_ask.pop_first();
        }
        let Some(&id) = self.listens.to_answer.first() else { return Control::Nothing };
        let refusal = match self.life {
            Life::Running => "as many reverse forwards as one session may have are there already",
            _ => "the session is ending",
        };
        let wanted = self.listens.wanted.get_mut(&id);
        let answer = wanted.as_ref().and_then(|wanted| wanted.answer.as_ref());
        let result = answer.map_or(Err(refusal), |answer| match answer {
            Ok(bound) => Ok(bound.as_str()),
            Err(reason) => Err(reason.as_str()),
        });
        frame::encode_listened(scratch, id, result);
        if scratch.len() > max_len {
            return Control::Waits;
        }
        self.listens.to_answer.pop_first();
        if let Some(wanted) = wanted {
            wanted.told_on = Some(self.carrier);
        }
        Control::Encoded
    }
}
