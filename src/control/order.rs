//! What requests ask for.

use std::time::Duration;

use super::guard::Door;
use super::reader::Request;
use super::{page, refusal};
use crate::http::Answer;

/// Shortest and longest time between two states of a follower, in milliseconds.
const INTERVALS: std::ops::RangeInclusive<u64> = 250..=60_000;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// What the process is doing.
    Status,
    /// What a session is doing.
    Session(String),
    /// The events from now on; also what the process is doing, at most once in an interval.
    Events(Option<Duration>),
    /// What a check of this machine's network finds.
    Check,
    /// Counters.
    Metrics,
    /// Whether the process lives.
    Health,
    /// Whether the process is of use at the moment.
    Ready,
    /// What is known of a cluster.
    Cluster,
    /// That a session ends.
    EndSession(String),
    /// That an invitation is made; its JSON.
    Invite(Vec<u8>),
    /// That an invitation is taken back.
    Uninvite(String),
    /// That the registration of a host at a server ends.
    EndHost(String),
    /// That a client of a host at a server goes.
    EndClient(String, String),
}

impl Order {
    /// Tells whether it ends something. That is done even if whoever asked for it does not wait for the answer.
    pub fn is_end(&self) -> bool {
        match self {
            Order::EndSession(_) | Order::Uninvite(_) | Order::EndHost(_) | Order::EndClient(..) => true,
            Order::Status | Order::Session(_) | Order::Events(_) | Order::Check | Order::Metrics => false,
            Order::Health | Order::Ready | Order::Cluster | Order::Invite(_) => false,
        }
    }
}

/// What follows from a request.
pub enum Wanted {
    /// The side has to answer.
    Order(Order),
    /// This is the answer.
    Answer(Answer),
}

/// Finds out what a request wants that came in by a door, and whether it may.
pub fn understand(door: &Door, request: &Request) -> Wanted {
    let found = || {
        door.admit(request)?;
        let found = route(request);
        // Nobody without a token is told what there is.
        if !found.as_ref().is_ok_and(is_for_all) {
            door.authorize(request)?;
        }
        found
    };
    match found() {
        Ok(wanted) => wanted,
        Err(answer) => Wanted::Answer(answer),
    }
}

/// Tells whether something is for everybody: it says nothing of anybody.
fn is_for_all(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Answer(_) | Wanted::Order(Order::Health | Order::Ready | Order::Metrics))
}

fn route(request: &Request) -> Result<Wanted, Answer> {
    let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
    if let Some(answer) = page(&request.path) {
        return if is_read { Ok(Wanted::Answer(answer)) } else { Err(not_allowed("GET, HEAD")) };
    }
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let text = |part: &str| part.to_owned();
    let read = |order: Result<Order, Answer>| if is_read { order } else { Err(not_allowed("GET, HEAD")) };
    let delete = |order| if request.method == "DELETE" { Ok(order) } else { Err(not_allowed("DELETE")) };
    let order = match parts[..] {
        ["v1", "status"] => read(Ok(Order::Status)),
        ["v1", "events"] => read(interval(&request.query).map(Order::Events)),
        ["v1", "check"] => read(Ok(Order::Check)),
        ["metrics"] => read(Ok(Order::Metrics)),
        ["healthz"] => read(Ok(Order::Health)),
        ["readyz"] => read(Ok(Order::Ready)),
        ["cluster"] => read(Ok(Order::Cluster)),
        ["v1", "sessions", id] => match request.method.as_str() {
            "GET" | "HEAD" => Ok(Order::Session(text(id))),
            "DELETE" => Ok(Order::EndSession(text(id))),
            _ => Err(not_allowed("GET, HEAD, DELETE")),
        },
        ["v1", "invitations"] if request.method == "POST" => Ok(Order::Invite(request.body.clone())),
        ["v1", "invitations"] => Err(not_allowed("POST")),
        ["v1", "invitations", id] => delete(Order::Uninvite(text(id))),
        ["v1", "hosts", id] => delete(Order::EndHost(text(id))),
        ["v1", "hosts", id, "clients", number] => delete(Order::EndClient(text(id), text(number))),
        _ => Err(refusal(404, "nothing is here; docs/control.md says what is where")),
    };
    order.map(Wanted::Order)
}

/// Reads how often the state is wanted, from a query.
fn interval(query: &str) -> Result<Option<Duration>, Answer> {
    let Some(text) = query.split('&').find_map(|part| part.strip_prefix("status=")) else { return Ok(None) };
    let milliseconds = text.parse::<u64>().ok().filter(|number| INTERVALS.contains(number));
    match milliseconds {
        Some(milliseconds) => Ok(Some(Duration::from_millis(milliseconds))),
        None => Err(refusal(400, "status is a number of milliseconds from 250 to 60000")),
    }
}

fn not_allowed(methods: &str) -> Answer {
    refusal(405, "the method does not fit the path").with_header("Allow", methods)
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
