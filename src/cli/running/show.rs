//! What a process says of itself, as a few lines for people. Whatever it says is text of somebody else: it is read
//! carefully, escaped, and cut.

use std::time::Duration;

use serde_json::Value;

use super::ask::State;
use super::place::Socket;
use crate::status::text::{self, MAX_MESSAGE, MAX_PEER_TEXT, sanitize};

/// Most entries of a list that are shown; how many more there are is said.
const MOST: usize = 50;

/// Most warnings that are shown.
const WARNINGS: usize = 3;

/// Returns the lines of a process.
pub(super) fn lines(socket: &Socket, state: State<'_>) -> Vec<String> {
    let name = sanitize(&socket.name, MAX_PEER_TEXT);
    let status = match state {
        Ok(status) => status,
        Err(error) => {
            let path = sanitize(&socket.path.display().to_string(), MAX_MESSAGE);
            return vec![format!("{name}: {error} ({path})")];
        }
    };
    let mut lines = vec![headline(&name, status)];
    lines.extend(entrance(status));
    list(&mut lines, status, "services", service);
    list(&mut lines, status, "forwards", forward);
    let sessions = items(status, "sessions").len();
    if sessions == 0 && word(status, "role").is_some_and(|role| role != "server") {
        lines.push("  no session".to_owned());
    }
    list(&mut lines, status, "sessions", session);
    list(&mut lines, status, "hosts", host);
    list(&mut lines, status, "invitations", invitation);
    let warnings = items(status, "warnings");
    for warning in warnings.iter().skip(warnings.len().saturating_sub(WARNINGS)) {
        let at = word(warning, "at").map(|at| format!(" at {at}")).unwrap_or_default();
        lines.push(format!("  warning{at}: {}", message(warning, "message")));
    }
    lines
}

/// Returns its name, what it is, and since when.
fn headline(name: &str, status: &Value) -> String {
    let role = word(status, "role").unwrap_or_else(|| "process".to_owned());
    let stage = word(status, "stage").filter(|stage| stage != "serving");
    let mut facts = vec![format!("{name}: {role}")];
    facts.extend(stage);
    facts.extend(number(status, "pid").map(|pid| format!("pid {pid}")));
    facts.extend(word(status, "since").map(|since| format!("since {since}")));
    facts.join(", ")
}

/// Says where clients come in, or where a client goes.
fn entrance(status: &Value) -> Vec<String> {
    let is_client = word(status, "role").is_some_and(|role| role == "client");
    let url = word(status, "url").map(|url| match is_client {
        true => format!("  joins {url}"),
        false => format!("  clients come in at {url}"),
    });
    let listen = word(status, "listen").map(|listen| format!("  listens on {listen}"));
    let id = word(status, "id").map(|id| format!("  registered as {id}"));
    url.into_iter().chain(listen).chain(id).collect()
}

fn service(service: &Value) -> String {
    let name = word(service, "name").unwrap_or_default();
    match word(service, "target") {
        Some(target) => format!("service {name}: {target}"),
        None => format!("service {name}"),
    }
}

fn forward(forward: &Value) -> String {
    let local = word(forward, "local").unwrap_or_default();
    match word(forward, "service") {
        Some(service) => format!("{local} is {service} on the other side"),
        None => format!("{local} waits for the host"),
    }
}

fn session(session: &Value) -> String {
    let id = word(session, "session").unwrap_or_default();
    let mut travel: Vec<String> = word(session, "state").filter(|state| state != "connected").into_iter().collect();
    travel.push(way(session));
    travel.extend(real(session, "rtt_ms").map(|rtt| format!("round trip {}", text::round_trip(rtt))));
    let moved = |bytes: &str, rate: &str| {
        let bytes = text::bytes(number(session, bytes).unwrap_or_default());
        match number(session, rate).unwrap_or_default() {
            0 => bytes,
            rate => format!("{bytes} ({}/s)", text::bytes(rate)),
        }
    };
    let mut load = vec![
        format!("sent {}", moved("sent", "sent_per_s")),
        format!("received {}", moved("received", "received_per_s")),
    ];
    load.push(count(number(session, "streams").unwrap_or_default(), "stream"));
    load.extend(number(session, "connected_ms").map(|ms| format!("for {}", text::duration(Duration::from_millis(ms)))));
    let mut peer: Vec<String> = word(session, "agent").into_iter().collect();
    peer.extend(word(session, "signaling").map(|from| format!("signaling from {from}")));
    peer.extend(word(session, "invitation").map(|id| format!("by the invitation {id}")));
    // What people watch stands where a terminal of 80 columns shows it.
    let lines = [travel, load, peer].map(|facts| facts.join(", ")).into_iter().filter(|line| !line.is_empty());
    format!("session {id}: {}", lines.collect::<Vec<_>>().join("\n    "))
}

/// Says how messages travel, and why not better.
pub(super) fn way(session: &Value) -> String {
    match word(session, "path").as_deref() {
        Some("direct") => {
            let remote = word(session, "remote").unwrap_or_default();
            let candidates = word(session, "candidates").map(|kinds| format!(" ({kinds})")).unwrap_or_default();
            format!("direct to {remote}{candidates}")
        }
        Some("relayed") => format!("relayed, because {}", message(session, "reason")),
        _ => "no path".to_owned(),
    }
}

fn host(host: &Value) -> String {
    let id = word(host, "id").unwrap_or_default();
    let mut facts = vec![format!("host {id}")];
    facts.extend(word(host, "remote").map(|remote| format!("from {remote}")));
    facts.push(count(items(host, "clients").len() as u64, "client"));
    facts.join(", ")
}

fn invitation(invitation: &Value) -> String {
    let id = word(invitation, "id").unwrap_or_default();
    let services: Vec<String> = items(invitation, "services").iter().filter_map(text_of).take(MOST).collect();
    let mut facts: Vec<String> = Vec::new();
    if !services.is_empty() {
        facts.push(services.join(" "));
    }
    facts.extend(word(invitation, "expires").map(|end| format!("until {end}")));
    if invitation.get("once").and_then(Value::as_bool) == Some(true) {
        facts.push("for one client".to_owned());
    }
    facts.push(count(number(invitation, "sessions").unwrap_or_default(), "session"));
    let label = word(invitation, "label").map(|label| format!(" {label}")).unwrap_or_default();
    format!("invitation {id}{label}: {}", facts.join(", "))
}

/// Adds a line for each entry of a list, as long as they are not too many.
fn list(lines: &mut Vec<String>, status: &Value, key: &str, line: fn(&Value) -> String) {
    let all = items(status, key);
    lines.extend(all.iter().take(MOST).map(|item| format!("  {}", line(item))));
    if all.len() > MOST {
        lines.push(format!("  and {} {key} more", all.len() - MOST));
    }
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns a short text of somebody else.
fn word(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(text_of)
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(|text| sanitize(text, MAX_PEER_TEXT))
}

/// Returns a sentence of somebody else.
fn message(value: &Value, key: &str) -> String {
    sanitize(value.get(key).and_then(Value::as_str).unwrap_or("it does not say why"), MAX_MESSAGE)
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

fn real(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
