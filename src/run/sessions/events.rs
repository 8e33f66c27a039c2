//! Events of sessions: some are for people, some for the side, the rest for the owners of streams.

use super::{SessionEvent, Sessions};
use crate::run::keys::{Scope, SessionKey};
use crate::run::notice::{ClientNotice, PeerNotice};
use crate::run::turn::Turn;
use crate::session::{Event, Path};
use crate::status::event::{Event as StatusEvent, Way};

impl Sessions {
    /// Returns the next event of a session that others must handle. Handling it may cause more output, so the session
    /// is marked again.
    pub(in crate::run) fn poll_event(&mut self, turn: &mut Turn, key: SessionKey) -> Option<SessionEvent> {
        while let Some(event) = self.table.get_mut(key)?.session.poll_event(turn.now) {
            match event {
                Event::Ended(end) => return Some(SessionEvent::Ended(end)),
                Event::Stream(event) => {
                    self.touch(key);
                    return Some(SessionEvent::Stream(event));
                }
                event => {
                    self.handle(turn, key, event);
                    self.touch(key);
                }
            }
        }
        None
    }

    fn handle(&mut self, turn: &mut Turn, key: SessionKey, event: Event) {
        let now = turn.now;
        let entry = &mut self.table[key];
        if entry.scope == Scope::Peer {
            entry.tally.observe(&mut turn.tally, &event);
        }
        match event {
            Event::Gather { carrier } => self.gather(turn, key, carrier),
            Event::Release { carrier } => self.release(turn, key, carrier),
            Event::Connected { path, round_trip } => {
                entry.connected_at = Some(now);
                if entry.scope == Scope::Peer {
                    let session = entry.name.clone();
                    let rtt_ms = (round_trip.as_secs_f64() * 1e6).round() / 1e3;
                    turn.report(&StatusEvent::Connected { session, way: way(path), rtt_ms });
                }
                turn.tell(ClientNotice::Connected { session: key });
            }
            Event::PathChanged { path, reason } => {
                let session = entry.name.clone();
                let cause = matches!(path, Path::Direct(_)).then_some(reason);
                turn.report(&StatusEvent::Path { session, way: way(path), cause });
            }
            Event::Recovering { reason } => {
                let session = entry.name.clone();
                turn.report(&StatusEvent::Recovering { session, reason });
                turn.tell(ClientNotice::Recovering { session: key });
            }
            Event::Recovered { path, after } => {
                let (session, after_ms) = (entry.name.clone(), u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                turn.report(&StatusEvent::Recovered { session, way: way(path), after_ms });
                turn.tell(ClientNotice::Connected { session: key });
            }
            Event::RoundTrip(round_trip) => turn.tell(ClientNotice::RoundTrip { session: key, round_trip }),
            Event::SignalingDone => turn.tell(PeerNotice::SignalingDone { session: key }),
            Event::GoAway(reason) => turn.tell(ClientNotice::GoAway { session: key, reason }),
            Event::Stream(_) | Event::Ended(_) => {}
        }
    }
}

pub(in crate::run) fn way(path: Path) -> Way {
    match path {
        Path::Direct(path) => Way::Direct { candidates: path.candidates, local: path.local, remote: path.remote },
        Path::Relayed { reason } => Way::Relayed { reason },
    }
}
