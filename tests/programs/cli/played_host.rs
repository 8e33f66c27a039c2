//! A hostile forwarder that plays the host to a client: it cuts connections, lies about sessions, and guesses the pin.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use pinhole::internals::signaling::handshake::{HostHandshake, HostStep};
use pinhole::internals::signaling::pin::Pin;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::{Message, WebSocket};

use crate::common::pinhole::{Pinhole, text};
use crate::common::services::echo;
use crate::common::system::{figure, skipped};
use crate::common::{DEADLINE, ReservedPort, any_port, connect};

const PIN: &str = "123456";

/// How the forwarder ends an exchange once it knows whether a guess was right.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Says(&'static str),
    HangsUp,
    Babbles,
}

/// What the forwarder does with the next connection.
#[derive(Debug, Clone, Copy)]
enum Role {
    /// Passes it on.
    Forwards,
    /// Closes it at once.
    HangsUp,
    /// Says that the host does not know the session.
    Forgets,
    /// Plays a host without room, before the client has shown anything.
    IsBusy,
    /// Plays a host that does not know the session, and guesses the pin.
    Guesses(Ending),
}

/// The actions and observations of the forwarder.
#[derive(Default)]
struct Record {
    /// Connections from here on are treated so, those that come first first; the last one stays.
    plan: Vec<Role>,
    /// What is passed on at the moment.
    live: Vec<TcpStream>,
    /// Guesses made.
    guesses: usize,
    /// Clients that were told that there is no room.
    busy: usize,
}

struct Forwarder {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

impl Forwarder {
    fn to(host: SocketAddr, plan: &[Role]) -> Forwarder {
        let listener = TcpListener::bind(any_port()).unwrap();
        let record = Arc::new(Mutex::new(Record { plan: plan.to_vec(), ..Record::default() }));
        let forwarder = Forwarder { address: listener.local_addr().unwrap(), record: record.clone() };
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let role = record.lock().unwrap().plan[0];
                match role {
                    Role::Forwards => forward(&record, near, host),
                    Role::HangsUp => drop(near),
                    Role::Forgets | Role::IsBusy | Role::Guesses(_) => {
                        let record = record.clone();
                        // A client that is tired of it hangs up.
                        thread::spawn(move || play(&record, near, role));
                    }
                }
            }
        });
        forwarder
    }

    fn url(&self) -> String {
        format!("ws://{}/ws?pin={PIN}", self.address)
    }

    /// Treats connections so from here on, and cuts those that are open.
    fn cut(&self, plan: &[Role]) {
        let mut record = self.record.lock().unwrap();
        record.plan = plan.to_vec();
        for stream in record.live.drain(..) {
            // One that is gone already cannot be cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn guesses(&self) -> usize {
        self.record.lock().unwrap().guesses
    }
}

/// Goes on to the next role, once something came of this one.
fn advance(record: &mut Record) {
    if record.plan.len() > 1 {
        record.plan.remove(0);
    }
}

fn forward(record: &Mutex<Record>, near: TcpStream, host: SocketAddr) {
    let far = connect(host);
    let mut record = record.lock().unwrap();
    record.live.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
    for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
        thread::spawn(move || {
            // Either end of it may be cut.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

/// The error by which tungstenite has an upgrade refused is as large as an answer.
#[expect(clippy::result_large_err)]
fn agree(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("Sec-WebSocket-Protocol", "pinhole-signal.1".parse().unwrap());
    Ok(response)
}

/// Plays the host; `None` once the client is gone.
fn play(record: &Mutex<Record>, near: TcpStream, role: Role) -> Option<()> {
    near.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut websocket = tungstenite::accept_hdr(near, agree).ok()?;
    let first = next_text(&mut websocket)?;
    let error = |code: &str| format!(r#"{{"type":"error","code":"{code}","message":"so it says","retry_after":1}}"#);
    let Role::Guesses(ending) = role else {
        let mut record = record.lock().unwrap();
        advance(&mut record);
        let is_busy = matches!(role, Role::IsBusy);
        record.busy += usize::from(is_busy);
        drop(record);
        return finish(websocket, error(if is_busy { "busy" } else { "unknown-session" }));
    };
    if first.contains(r#""type":"resume""#) {
        return finish(websocket, error("unknown-session"));
    }
    let (mut host, guess) = (HostHandshake::new(), Pin::new("000000").unwrap());
    let Ok(HostStep::Send(hello)) = host.handle_text(&first, &guess) else { panic!("no hello: {first}") };
    websocket.send(Message::text(hello)).ok()?;
    let confirm = next_text(&mut websocket)?;
    assert_eq!(host.handle_text(&confirm, &guess).unwrap(), HostStep::Verify);
    // This is what a guess is: had it been right, the forwarder would know, and go on with the client.
    assert!(host.verify().is_err());
    {
        let mut record = record.lock().unwrap();
        record.guesses += 1;
        advance(&mut record);
    }
    match ending {
        Ending::Says(code) => finish(websocket, error(code)),
        Ending::Babbles => finish(websocket, "{\"type\":\"confirm\"".to_owned()),
        Ending::HangsUp => Some(()),
    }
}

fn finish(mut websocket: WebSocket<TcpStream>, text: String) -> Option<()> {
    websocket.send(Message::text(text)).ok()?;
    while websocket.read().is_ok() {}
    None
}

fn next_text(websocket: &mut WebSocket<TcpStream>) -> Option<String> {
    loop {
        match websocket.read().ok()? {
            Message::Text(text) => return Some(text.as_str().to_owned()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// A host with the pin, and where it listens.
fn host(more: &[&str]) -> (Pinhole, SocketAddr) {
    let mut host = Pinhole::host(echo(), &[&["--pin", PIN], more].concat());
    let address = text(&host.event("listening"), "addr").parse().unwrap();
    (host, address)
}

#[test]
fn a_forwarder_that_plays_host_to_a_client_that_was_connected_has_five_guesses_in_all() {
    // The client that comes back does not stand in its own way, although its last session is still there.
    let (mut host, address) = host(&["--max-sessions", "1"]);
    let forwarder = Forwarder::to(address, &[Role::Forwards]);
    let mut client = Pinhole::client(&forwarder.url(), &["--relay-only"]);
    client.local();
    forwarder.cut(&[
        Role::Guesses(Ending::Says("busy")),
        Role::Guesses(Ending::HangsUp),
        // What was guessed is not forgiven for an exchange that is let through.
        Role::Forwards,
    ]);
    client.event("connected");
    assert_eq!(forwarder.guesses(), 2);
    forwarder.cut(&[
        Role::Guesses(Ending::Babbles),
        Role::Guesses(Ending::Says("unknown-session")),
        Role::Guesses(Ending::Says("full")),
        Role::Guesses(Ending::HangsUp),
    ]);
    client.end().expect(1, &[r#""code":"pin-exposed""#, "new pin", "Check who that is"]);
    assert_eq!(forwarder.guesses(), 5, "whatever the reason given");
    figure(
        "guesses of the pin by a forwarder that plays host: 5 in the life of a client, 2 of them before an honest exchange",
    );
    host.stop();
}

#[test]
fn a_client_that_was_never_connected_is_no_better_to_guess_at() {
    let (mut host, address) = host(&[]);
    // The reasons that end a first attempt end the run: one guess.
    for ending in [Ending::HangsUp, Ending::Babbles, Ending::Says("bad-pin"), Ending::Says("unknown-session")] {
        let forwarder = Forwarder::to(address, &[Role::Guesses(ending)]);
        for command in [&["check"][..], &["client", "0"], &["client", "0", "--once"], &["client", "-W", "x"]] {
            let url = forwarder.url();
            let arguments = [&command[..1], &[&url], &command[1..], &["--json", "--no-stun"]].concat();
            assert_eq!(Pinhole::start("client", &arguments).end().code, Some(1), "{ending:?} {command:?}");
        }
        assert_eq!(forwarder.guesses(), 4, "{ending:?}");
    }
    // The one that is waited out is waited out five times.
    let forwarder = Forwarder::to(address, &[Role::Guesses(Ending::Says("busy"))]);
    let mut client = Pinhole::client(&forwarder.url(), &[]);
    client.end().expect(1, &[r#""code":"pin-exposed""#, r#""event":"reconnecting""#, "the host is busy"]);
    assert_eq!(forwarder.guesses(), 5);
    host.stop();
}

#[test]
fn a_client_that_is_told_busy_before_it_has_shown_anything_waits_and_comes_in() {
    let (mut host, address) = host(&[]);
    let plan = [[Role::IsBusy; 7].as_slice(), &[Role::Forwards]].concat();
    let forwarder = Forwarder::to(address, &plan);
    let mut client = Pinhole::client(&forwarder.url(), &[]);
    let message = text(&client.event("reconnecting"), "message");
    assert!(message.contains("busy") && message.contains("asked again"), "{message}");
    client.event("connected");
    let told = client.events_so_far().iter().filter(|event| event["event"] == "reconnecting").count();
    assert_eq!((told, forwarder.record.lock().unwrap().busy), (1, 7), "once is enough");
    client.stop();
    host.stop();
}

#[test]
fn a_session_that_the_host_gave_up_is_followed_by_another_without_the_pin() {
    let (mut host, address) = host(&["--grace", "1"]);
    let forwarder = Forwarder::to(address, &[Role::Forwards]);
    let mut client = Pinhole::client(&forwarder.url(), &["--relay-only"]);
    let local = client.local();
    for _ in 0..2 {
        let before = text(&host.event("connected"), "session");
        forwarder.cut(&[Role::HangsUp]);
        host.event("disconnected");
        forwarder.cut(&[Role::Forwards]);
        // Only who shows a ticket is known to be the same.
        let returned = host.event("returned");
        assert_eq!(text(&returned, "before"), before);
        let connected = client
            .find("another session", |event| event["event"] == "connected" && event["session"] == returned["session"]);
        assert_eq!(connected["path"], "relayed");
        drop(connect(local));
    }
    client.stop();
    host.stop();
}

#[test]
fn a_host_that_was_started_again_gets_the_pin_once_more() {
    let listen = ReservedPort::new();
    let address = listen.address;
    drop(listen);
    let start = || host(&["--listen", &address.to_string()]).0;
    let mut host = start();
    let mut client = Pinhole::client(&format!("ws://{address}/ws?pin={PIN}"), &["--relay-only"]);
    client.event("connected");
    for _ in 0..3 {
        host.signal(nix::sys::signal::Signal::SIGKILL);
        client.event("recovering");
        host = start();
        client.event("connected");
    }
    client.stop();
    host.stop();
}

#[test]
fn a_client_does_not_show_its_pin_whenever_somebody_says_that_it_is_not_known() {
    if std::env::var_os("PIPE_FULL").is_none() {
        return skipped("a client that is called for its pin again and again", "it takes a minute: PIPE_FULL");
    }
    let (mut host, address) = host(&[]);
    let forwarder = Forwarder::to(address, &[Role::Forwards]);
    let mut client = Pinhole::client(&forwarder.url(), &["--relay-only"]);
    client.event("connected");
    // The session is not known, nor is the ticket; what is left is the pin.
    for _ in 0..9 {
        forwarder.cut(&[Role::Forgets, Role::Forgets, Role::Forwards]);
        client.event("connected");
    }
    forwarder.cut(&[Role::Forgets, Role::Forgets, Role::Forwards]);
    let waits =
        |event: &serde_json::Value| event["message"].as_str().is_some_and(|text| text.contains("is used again in"));
    client.find("a pause", |event| event["event"] == "reconnecting" && waits(event));
    client.stop();
    host.stop();
}
