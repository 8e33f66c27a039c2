//! A host in this process against clients made by hand that stop, send or hang up where an honest one would not.

mod invitations;
mod shares;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use pinhole::internals::address::Target;
use pinhole::internals::config::{ClientConfig, HostConfig};
use pinhole::internals::net::limits::raise_descriptor_limit;
use pinhole::internals::run::{Client, Host};
use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep};
use pinhole::internals::signaling::pin::Pin;
use pinhole::internals::signaling::url::SignalingUrl;
use pinhole::internals::status::event::Event;
use socket2::SockRef;
use tungstenite::{Message, WebSocket};

use crate::common::services::echo;
use crate::common::sides::{Side, reporter};
use crate::common::system::{figure, skipped};
use crate::common::{DEADLINE, any_port, connect, ping};

const PIN: &str = "7391846";

/// Connections at once to a target with a name: more than look-ups may wait.
const BURST: usize = 400;

/// Echoes of a session beside a flood.
const ECHOES: usize = 100;

/// Returns the messages of the warnings of a code.
fn warnings<'a>(events: &'a [Event], code: &str) -> Vec<&'a str> {
    let message = |event: &'a Event| match event {
        Event::Warning { code: found, message, .. } if found == code => Some(message.as_str()),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

/// A host of an echo service.
struct Served {
    side: Side,
    url: SignalingUrl,
    address: SocketAddr,
}

impl Served {
    fn new(max_sessions: usize) -> Served {
        let target = echo();
        Served::of(target.into(), max_sessions)
    }

    fn of(target: Target, max_sessions: usize) -> Served {
        let (reporter, events) = reporter();
        let pin = Pin::new(PIN);
        let mut config = HostConfig::sharing(target);
        (config.pin, config.max_sessions) = (pin, max_sessions);
        let host = Host::bind(config, reporter).unwrap();
        let (url, address, stopper) = (host.url().unwrap(), host.local_addr().unwrap(), host.stopper());
        let side = Side { events, stopper, thread: thread::spawn(move || host.run()) };
        Served { side, url, address }
    }

    /// A real client that has a session or will have one; its local port takes connections at once.
    fn client(&self) -> (Side, SocketAddr) {
        let (client, local) = self.bind_client();
        (client.start(), local)
    }

    fn bind_client(&self) -> (Bound, SocketAddr) {
        let (reporter, events) = reporter();
        let (url, pin) = (self.url.clone(), Pin::new(PIN).unwrap());
        let client = Client::bind(ClientConfig::joining(url, pin, any_port()), reporter).unwrap();
        let local = client.local_addr().expect("a port is bound");
        (Bound { client, events }, local)
    }

    /// A real client comes in, its stream works, and it leaves.
    fn serves(&self) {
        let (client, local) = self.client();
        let mut stream = connect(local);
        ping(&mut stream);
        drop(stream);
        client.stop();
    }

    /// A client made by hand that needs its confirm only.
    fn ready(&self, pin: &str) -> Ready {
        self.ready_on(connect(self.address), pin)
    }

    fn ready_on(&self, stream: TcpStream, pin: &str) -> Ready {
        let url = format!("ws://{}/ws", self.address);
        let (mut websocket, _) = tungstenite::client(url, stream).unwrap();
        let (mut handshake, hello) = ClientHandshake::start(&Pin::new(pin).unwrap());
        websocket.send(Message::text(hello)).unwrap();
        let answer = websocket.read().unwrap().into_text().unwrap();
        let Ok(ClientStep::Send(confirm)) = handshake.handle_text(&answer) else { panic!("no hello: {answer}") };
        Ready { websocket, handshake, confirm }
    }
}

/// A client that is to run yet.
struct Bound {
    client: Client,
    events: Receiver<Event>,
}

impl Bound {
    fn start(self) -> Side {
        let Bound { client, events } = self;
        Side { events, stopper: client.stopper(), thread: thread::spawn(move || client.run()) }
    }
}

struct Ready {
    websocket: WebSocket<TcpStream>,
    handshake: ClientHandshake,
    confirm: String,
}

impl Ready {
    fn confirm(&mut self) {
        self.websocket.send(Message::text(self.confirm.clone())).unwrap();
    }

    /// Sends the confirm and takes the answer; `true` if that is the host's own confirm.
    fn enters(mut self) -> bool {
        self.confirm();
        let answer = self.websocket.read().unwrap().into_text().unwrap();
        matches!(self.handshake.handle_text(&answer), Ok(ClientStep::Done(_)))
    }

    /// Ends the TCP connection with a reset.
    fn reset(self) {
        SockRef::from(self.websocket.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Guesses until the next confirm has to wait for a second; then `fourth` does something with a waiting confirm, and a
/// client with the right pin is admitted all the same.
fn guessing_and_then(fourth: impl FnOnce(Ready)) {
    let host = Served::new(2);
    // Everything is prepared, so that nothing but one text is to be sent within the second.
    let (strange, right) = (host.ready("another wrong one"), host.ready(PIN));
    for guess in 0..5 {
        assert!(!host.ready("wrong").enters(), "guess {guess}");
    }
    fourth(strange);
    assert!(right.enters());
    host.serves();
    assert_eq!(warnings(&host.side.stop(), "bad-pin").len(), 5, "a confirm that went away in the queue is no guess");
}

#[test]
fn a_client_that_talks_while_its_confirm_waits_holds_nobody_up() {
    guessing_and_then(|mut client| {
        // Both in one segment.
        client.websocket.write(Message::text(client.confirm.clone())).unwrap();
        client.websocket.write(Message::text(r#"{"type":"confirm","mac":""}"#)).unwrap();
        client.websocket.flush().unwrap();
        // The refusal is here before anybody else's confirm goes out.
        let refusal = client.websocket.read().unwrap().into_text().unwrap();
        assert!(refusal.contains("error"), "{refusal}");
    });
}

#[test]
fn a_client_that_hangs_up_while_its_confirm_waits_holds_nobody_up() {
    guessing_and_then(|mut client| {
        client.confirm();
        client.websocket.get_ref().shutdown(Shutdown::Both).unwrap();
    });
}

#[test]
fn clients_that_reset_right_after_their_confirm_do_not_end_the_host() {
    let host = Served::new(16);
    for _ in 0..50 {
        let mut client = host.ready(PIN);
        client.confirm();
        client.reset();
    }
    host.serves();
    let events = host.side.stop();
    let lost = warnings(&events, "not-connected");
    figure(&format!("of 50 clients that reset, {} had a session for a moment", lost.len()));
}

#[test]
fn clients_that_hang_up_right_after_their_confirm_take_no_places() {
    let host = Served::new(2);
    for _ in 0..100 {
        // Each hangs up before the next connects, so the host knows of the one before it hears of the other.
        host.ready(PIN).confirm();
    }
    host.serves();
    let events = host.side.stop();
    assert_eq!(warnings(&events, "full"), [""; 0]);
    let lost = warnings(&events, "not-connected");
    figure(&format!("of 100 clients that hung up, {} had a session for a moment", lost.len()));
    for message in &lost {
        assert!(message.contains("signaling connection was lost"), "not at once, but: {message}");
    }
}

/// Sends PINGs as fast as the host takes them, on one WebSocket after the other, and takes the PONGs.
fn flood(address: SocketAddr, under_way: &Sender<()>, is_over: &AtomicBool) -> u64 {
    // Empty and masked with zeros: the least bytes for the most work.
    let pings: Vec<u8> = [0x89, 0x80, 0, 0, 0, 0].repeat(10_000);
    let mut bytes = 0;
    while !is_over.load(Ordering::Relaxed) {
        let (websocket, _) = tungstenite::client(format!("ws://{address}/ws"), connect(address)).unwrap();
        let stream = websocket.get_ref();
        let mut input = stream.try_clone().unwrap();
        let pongs = thread::spawn(move || std::io::copy(&mut input, &mut std::io::sink()));
        // The host cuts it because it never says hello.
        while !is_over.load(Ordering::Relaxed) && (&mut &*stream).write_all(&pings).is_ok() {
            bytes += pings.len() as u64;
            // It is awaited once.
            let _ = under_way.try_send(());
        }
        // It may be cut already.
        let _ = stream.shutdown(Shutdown::Both);
        let _ = pongs.join().unwrap();
    }
    bytes / 6
}

#[test]
fn a_session_goes_on_beside_stalled_links_and_a_flood_of_pings() {
    let host = Served::new(2);
    let (client, local) = host.client();
    let mut stream = connect(local);
    ping(&mut stream);

    let stalled: Vec<Ready> = (0..64).map(|_| host.ready(PIN)).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let (sender, under_way) = bounded(1);
    let flood = thread::spawn({
        let (address, is_over) = (host.address, is_over.clone());
        move || flood(address, &sender, &is_over)
    });
    under_way.recv_timeout(DEADLINE).unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..ECHOES {
        let start = Instant::now();
        ping(&mut stream);
        longest = longest.max(start.elapsed());
    }
    is_over.store(true, Ordering::Relaxed);
    let pings = flood.join().unwrap();
    figure(&format!("{ECHOES} echoes beside {pings} PINGs, the longest took {longest:?}"));
    drop((stalled, stream));
    client.stop();
    host.side.stop();
}

#[test]
fn a_burst_of_connections_to_a_target_with_a_name_is_served() {
    // Both sides, the service and the programs that use it are in this process.
    match raise_descriptor_limit() {
        Ok(limit) if limit > 6 * BURST as u64 => {}
        other => return skipped("a burst of connections", &format!("descriptors: {other:?}")),
    }
    let host = Served::of(Target { host: "localhost".to_owned(), port: echo().port() }, 2);
    let (client, local) = host.bind_client();
    // The system keeps them until there is a session.
    let mut streams: Vec<TcpStream> = (0..BURST).map(|_| connect(local)).collect();
    let client = client.start();
    for stream in &mut streams {
        ping(stream);
    }
    drop(streams);
    client.stop();
    let events = host.side.stop();
    assert_eq!(warnings(&events, "dial-failed"), [""; 0]);
}
