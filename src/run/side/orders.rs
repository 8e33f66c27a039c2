//! What a side does for those who look at it and steer it.

use std::process;
use std::time::Duration;

use bytes::Bytes;

use super::Side;
use crate::control::{Order, refusal};
use crate::http::Answer;
use crate::run::control::{About, ControlKey, done, encoded, json};
use crate::run::keys::SessionKey;
use crate::run::notice::ControlNotice;
use crate::status::metrics::CONTENT_TYPE;
use crate::status::overview::{Overview, SessionDetails};
use crate::status::snapshot::Snapshot;

/// Maximum number of streams of a session that are listed.
const MAX_STREAMS: usize = 200;

/// Handles a notice, and answers the requests that are complete by it.
pub(super) fn handle<S: Side + ?Sized>(side: &mut S, notice: ControlNotice) {
    let core = side.core();
    core.control.handle(&mut core.turn, notice);
    while let Some((key, order)) = side.core().control.poll_order() {
        match order {
            Order::Events(interval) => follow(side, key, interval),
            Order::Check => check(side, key),
            order => {
                let answer = obey(side, order);
                let core = side.core();
                core.control.answer(&mut core.turn, key, &answer);
            }
        }
    }
}

/// Shows what the run is doing to those for whom it is time.
pub(super) fn look<S: Side + ?Sized>(side: &mut S) {
    let snapshot = side.snapshot();
    let due = side.core().turn.show(&snapshot);
    if !due.is_empty() {
        let line = overview(side, &snapshot, Some("status"));
        let core = side.core();
        core.control.show(&mut core.turn, &line, &due);
    }
}

fn follow<S: Side + ?Sized>(side: &mut S, key: ControlKey, interval: Option<Duration>) {
    let first = interval.map(|_| state(side, Some("status")));
    let core = side.core();
    // What was reported before is not for this one.
    core.control.follow(&mut core.turn);
    core.control.begin_to_follow(&mut core.turn, key, (interval, first));
}

fn check<S: Side + ?Sized>(side: &mut S, key: ControlKey) {
    let stun = side.checked();
    let core = side.core();
    match stun {
        Some(stun) => core.control.check(&mut core.turn, key, stun),
        None => core.control.answer(&mut core.turn, key, &refusal(404, "a server has no paths to check")),
    }
}

fn obey<S: Side + ?Sized>(side: &mut S, order: Order) -> Answer {
    match order {
        Order::Status => json(200, state(side, None)),
        Order::Session(id) => match session(side, &id) {
            Some(key) => show_session(side, key),
            None => no_session(),
        },
        Order::EndSession(id) => match session(side, &id) {
            Some(key) => {
                side.end_session(key);
                done()
            }
            None => no_session(),
        },
        Order::Metrics => Answer::content(200, CONTENT_TYPE, side.metrics()),
        order => side.obey(order),
    }
}

/// Returns the session of a peer with a short id.
fn session<S: Side + ?Sized>(side: &mut S, id: &str) -> Option<SessionKey> {
    let sessions = &side.core().sessions;
    sessions.of_peers().into_iter().find(|key| sessions.get(*key).is_some_and(|entry| entry.name == id))
}

fn show_session<S: Side + ?Sized>(side: &mut S, key: SessionKey) -> Answer {
    let name = side.core().sessions[key].name.clone();
    let snapshot = side.snapshot();
    let Some(session) = snapshot.sessions.into_iter().find(|session| session.session == name) else {
        return no_session();
    };
    let mut list = side.core().streams_of(key);
    list.sort_unstable();
    let unlisted = list.len().saturating_sub(MAX_STREAMS);
    list.truncate(MAX_STREAMS);
    json(200, encoded(&SessionDetails { session, list, unlisted }))
}

/// Returns what a process says of itself, on a line. All who ask in a turn are told the same.
fn state<S: Side + ?Sized>(side: &mut S, event: Option<&'static str>) -> Bytes {
    let core = side.core();
    let at = (core.turn.now, core.turn.looks.changes());
    if let Some(line) = core.control.latest.get(at, event.is_some()) {
        return line;
    }
    let snapshot = side.snapshot();
    let line = overview(side, &snapshot, event);
    side.core().control.latest.set(at, event.is_some(), line.clone());
    line
}

/// Returns what a process says of itself, on a line.
fn overview<S: Side + ?Sized>(side: &mut S, snapshot: &Snapshot, event: Option<&'static str>) -> Bytes {
    let server = side.server_status();
    let core = side.core();
    let About { name, since } = &core.control.about;
    encoded(&Overview {
        event,
        name,
        pid: process::id(),
        version: env!("CARGO_PKG_VERSION"),
        since: Some(*since),
        snapshot,
        warnings: core.turn.tap.remarks(),
        server,
    })
}

fn no_session() -> Answer {
    refusal(404, "there is no session of that id")
}
