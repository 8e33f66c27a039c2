//! Invitations, byte by byte: what somebody learns who has no pin, and what a client is told that knows none of them.

use std::thread;
use std::time::{Duration, Instant};

use pinhole::config::{Invitation, InvitationId};
use pinhole::internals::config::HostConfig;
use pinhole::internals::run::Host;
use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep};
use pinhole::internals::signaling::pin::Pin;
use serde_json::Value;
use tungstenite::{Message, WebSocket};

use super::{PIN, Served, connect, echo, reporter, warnings};
use crate::common::sides::Side;

/// A host of an echo service, with its own pin and the invitation `k3` with the pin `guest`.
fn inviting() -> Served {
    let (reporter, events) = reporter();
    let mut config = HostConfig::sharing(echo().into());
    let mut invitation = Invitation::new("guests");
    (invitation.id, invitation.pin) = ("k3".parse().ok(), Pin::new("guest"));
    invitation.services = vec![config.services[0].name.clone()];
    (config.pin, config.invitations) = (Pin::new(PIN), vec![invitation]);
    let host = Host::bind(config, reporter).unwrap();
    let (url, address, stopper) = (host.url().unwrap(), host.local_addr().unwrap(), host.stopper());
    let side = Side { events, stopper, thread: thread::spawn(move || host.run()) };
    Served { side, url, address }
}

/// What a host says to a client, as far as that is not random, and how the WebSocket ends.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    hello: String,
    answer: String,
    end: String,
}

fn text(websocket: &mut WebSocket<std::net::TcpStream>) -> String {
    websocket.read().unwrap().into_text().unwrap().to_string()
}

/// Makes one guess, and returns all that it shows.
fn guess(served: &Served, invite: Option<&str>) -> Said {
    let (mut websocket, _) =
        tungstenite::client(format!("ws://{}/ws", served.address), connect(served.address)).unwrap();
    let invite: Option<InvitationId> = invite.map(|id| id.parse().unwrap());
    let (mut handshake, hello) = ClientHandshake::with(&Pin::new("wrong").unwrap(), invite.as_ref());
    websocket.send(Message::text(hello)).unwrap();
    let hello = text(&mut websocket);
    let Ok(ClientStep::Send(confirm)) = handshake.handle_text(&hello) else { panic!("no hello: {hello}") };
    websocket.send(Message::text(confirm)).unwrap();
    let answer = text(&mut websocket);
    let Message::Close(Some(frame)) = websocket.read().unwrap() else { panic!("it is not closed") };
    let pake = serde_json::from_str::<Value>(&hello).unwrap()["pake"].as_str().unwrap().to_owned();
    Said { hello: hello.replace(&pake, "…"), answer, end: format!("{} {}", frame.code, frame.reason) }
}

#[test]
fn ids_cannot_be_found_out_by_what_a_host_says() {
    let served = inviting();
    let known = guess(&served, Some("k3"));
    let expected = r#"{"type":"hello","version":1,"pake":"…","invitations":true}"#;
    assert_eq!((known.hello.as_str(), known.end.as_str()), (expected, "1000 bad-pin"));
    assert!(known.answer.starts_with(r#"{"type":"error","code":"bad-pin","message":"#), "{known:?}");
    for unknown in ["k4", "0123456789abcdef", "-"] {
        assert_eq!(guess(&served, Some(unknown)), known, "{unknown}");
    }
    // Not even that it is an invitation's pin that is wrong.
    assert_eq!(guess(&served, None), known);
    let events = served.side.stop();
    assert_eq!(warnings(&events, "bad-pin").len(), 5, "each guess is one counted confirm: {events:?}");
}

/// Returns how long a host takes from a client's hello to its own.
fn hello_time(served: &Served, invite: &str) -> Duration {
    let (mut websocket, _) =
        tungstenite::client(format!("ws://{}/ws", served.address), connect(served.address)).unwrap();
    let invite: InvitationId = invite.parse().unwrap();
    let (_, hello) = ClientHandshake::with(&Pin::new("wrong").unwrap(), Some(&invite));
    let begin = Instant::now();
    websocket.send(Message::text(hello)).unwrap();
    text(&mut websocket);
    begin.elapsed()
}

/// Virtual time shows that both wait as long for their turn (`run/world/inviting.rs`); this is about what the processor
/// does meanwhile. Both are asked in turns, so whatever else the machine does slows down both.
#[test]
fn ids_cannot_be_found_out_by_how_long_a_host_thinks() {
    const ROUNDS: usize = 300;
    let served = inviting();
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for kind in order {
            let unknown = format!("x{round}");
            times[kind].push(hello_time(&served, ["k3", &unknown][kind]));
        }
    }
    served.side.stop();
    times.iter_mut().for_each(|times| times.sort());
    let [known, unknown] = times.map(|times| (times[ROUNDS / 4].as_secs_f64(), times[ROUNDS / 2].as_secs_f64()));
    for (one, other) in [(known.0, unknown.0), (known.1, unknown.1)] {
        // Without the made-up pin the exchange with an unknown id would not be computed at all: an answer in a tenth.
        assert!(one / other < 1.5 && other / one < 1.5, "quartiles and medians: {known:?} {unknown:?}");
    }
}

#[test]
fn a_client_that_leaves_the_invitation_in_its_request_is_told_to_be_updated_and_costs_no_guess() {
    let served = inviting();
    for path in ["/ws?invite=k3", "/ws?x=1&Invite=k3", "/ws?%69nvite=k3&y"] {
        let (mut websocket, _) =
            tungstenite::client(format!("ws://{}{path}", served.address), connect(served.address)).unwrap();
        // What such a client does: it takes the pin for the host's own.
        let (_, hello) = ClientHandshake::start(&Pin::new("guest").unwrap());
        let _ = websocket.send(Message::text(hello));
        let said: Value = serde_json::from_str(&text(&mut websocket)).unwrap();
        assert_eq!((said["type"].as_str(), said["code"].as_str()), (Some("error"), Some("version")), "{path}: {said}");
        assert!(said["message"].as_str().unwrap().contains("update"), "{said}");
        let Message::Close(Some(frame)) = websocket.read().unwrap() else { panic!("it is not closed") };
        assert_eq!(frame.reason.as_str(), "version");
    }
    served.serves();
    let events = served.side.stop();
    assert_eq!(warnings(&events, "bad-pin"), [""; 0], "{events:?}");
}
