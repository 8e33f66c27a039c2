//! One source against each table of a host: clients from elsewhere get in as if it were not there, and clients from the
//! same address get in by trying again.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep};
use pinhole::internals::signaling::pin::Pin;
use tungstenite::{Message, WebSocket};

use super::{PIN, Ready, Served, warnings};
use crate::common::system::figure;
use crate::common::{connect, connect_from, some_are_open};

/// Where whoever attacks comes from; honest clients come from 127.0.0.1.
const STRANGER: u8 = 5;
const SAME: u8 = 1;

/// Confirms that are held at a time.
const HELD: usize = 40;

/// How often somebody comes again who is told to: far more often than it takes.
const ATTEMPTS: u32 = 50;

/// Wrong confirms, one after the other on each of many connections, until it is over.
struct Guessers {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u32>>,
}

impl Guessers {
    fn start(address: SocketAddr, from: u8, count: usize) -> Guessers {
        let is_over = Arc::<AtomicBool>::default();
        let guesser = |_| {
            let is_over = is_over.clone();
            thread::spawn(move || {
                let mut answered = 0;
                while !is_over.load(Ordering::Relaxed) {
                    answered += u32::from(guess(connect_from(from, address), &is_over).is_some());
                }
                answered
            })
        };
        Guessers { threads: (0..count).map(guesser).collect(), is_over }
    }

    fn end(self) -> u32 {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

/// Sends a wrong confirm and waits for what becomes of it. Nothing if it was not even taken.
fn guess(stream: TcpStream, is_over: &AtomicBool) -> Option<String> {
    let (mut websocket, mut handshake) = hello(stream, "wrong")?;
    let answer = websocket.read().ok()?.into_text().ok()?;
    let Ok(ClientStep::Send(confirm)) = handshake.handle_text(&answer) else { return None };
    websocket.send(Message::text(confirm)).ok()?;
    websocket.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while !is_over.load(Ordering::Relaxed) {
        match websocket.read() {
            Ok(message) => return message.into_text().ok().map(|text| text.as_str().to_owned()),
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    None
}

fn hello(stream: TcpStream, pin: &str) -> Option<(WebSocket<TcpStream>, ClientHandshake)> {
    let url = format!("ws://{}/ws", stream.peer_addr().ok()?);
    let (mut websocket, _) = tungstenite::client(url, stream).ok()?;
    let (handshake, hello) = ClientHandshake::start(&Pin::new(pin).unwrap());
    websocket.send(Message::text(hello)).ok()?;
    Some((websocket, handshake))
}

/// Waits until the host has counted so many wrong guesses.
fn wait_for_guesses(host: &Served, count: usize) {
    let mut seen = 0;
    while seen < count {
        let event = host.side.events.recv_timeout(crate::common::DEADLINE).unwrap();
        seen += warnings(&[event], "bad-pin").len();
    }
}

/// Comes in with the right pin, and comes again when it is told to; returns how often it came, and the shortest time it
/// was told to wait.
fn enters(host: &Served) -> (u32, Option<u64>) {
    let mut told: Option<u64> = None;
    for attempt in 1..ATTEMPTS {
        let Some((mut websocket, mut handshake)) = hello(connect(host.address), PIN) else { continue };
        let mut exchange = || {
            loop {
                let answer = websocket.read().ok()?.into_text().ok()?;
                match handshake.handle_text(&answer) {
                    Ok(ClientStep::Send(confirm)) => websocket.send(Message::text(confirm)).ok()?,
                    Ok(_) => return Some(String::new()),
                    Err(_) => return Some(answer.as_str().to_owned()),
                }
            }
        };
        match exchange() {
            Some(refusal) if refusal.is_empty() => return (attempt, told),
            Some(refusal) => {
                let refusal: serde_json::Value = serde_json::from_str(&refusal).unwrap();
                assert_eq!(refusal["code"], "busy", "{refusal}");
                let seconds = refusal["retry_after"].as_u64().expect("whole seconds");
                told = Some(told.map_or(seconds, |told| told.min(seconds)));
                thread::park_timeout(Duration::from_secs(seconds));
            }
            None => {}
        }
    }
    panic!("not in after {ATTEMPTS} attempts")
}

#[test]
fn somebody_who_guesses_makes_nobody_wait_who_comes_from_elsewhere() {
    let host = Served::new(2);
    let guessers = Guessers::start(host.address, STRANGER, HELD);
    // From here on each of its guesses waits for four seconds and more, and all the others behind it.
    wait_for_guesses(&host, 7);
    let times: Vec<Duration> = (0..10)
        .map(|_| {
            let start = Instant::now();
            assert!(host.ready(PIN).enters(), "at once");
            start.elapsed()
        })
        .collect();
    let events: Vec<_> = host.side.events.try_iter().collect();
    let guesses = warnings(&events, "bad-pin").len();
    let longest = times.iter().max().unwrap();
    figure(&format!(
        "ten clients beside {HELD} wrong confirms from elsewhere: the slowest came in within {longest:?}, {guesses} guesses \
         were answered meanwhile"
    ));
    assert!(guesses < times.len(), "they waited behind {guesses} guesses: {times:?}");
    host.serves();
    guessers.end();
    host.side.stop();
}

#[test]
fn beside_somebody_who_guesses_from_the_same_address_clients_get_in() {
    let host = Served::new(16);
    let guessers = Guessers::start(host.address, SAME, HELD);
    wait_for_guesses(&host, 6);
    let start = Instant::now();
    let came: Vec<u32> = (0..2).map(|_| enters(&host).0).collect();
    let time = start.elapsed();
    let answered = guessers.end();
    figure(&format!(
        "two clients beside {HELD} wrong confirms from one address came in within {time:?}, at attempts {came:?}; \
         {answered} confirms were answered meanwhile"
    ));
    host.side.stop();
}

#[test]
fn whoever_gives_way_is_told_to_come_again() {
    let host = Served::new(2);
    // From here on the next confirm waits for seconds.
    for guess in 0..6 {
        assert!(!host.ready("wrong").enters(), "guess {guess}");
    }
    // More of one address than there are places for it.
    let mut waiting: Vec<Ready> = (0..140).map(|_| host.ready("wrong")).collect();
    waiting.iter_mut().for_each(Ready::confirm);
    let mut told = 0;
    for client in &mut waiting {
        let Ok(Message::Text(refusal)) = client.websocket.read() else { continue };
        let refusal: serde_json::Value = serde_json::from_str(&refusal).unwrap();
        if refusal["code"] == "busy" {
            assert!((1..=5).contains(&refusal["retry_after"].as_u64().unwrap()), "{refusal}");
            told += 1;
        }
    }
    figure(&format!("of 140 that waited {told} were told to come again"));
    assert!(told >= 12, "{told}");
    // A real client does what it is told.
    host.serves();
    host.side.stop();
}

#[test]
fn connections_that_get_no_further_keep_nobody_out() {
    let host = Served::new(2);
    // More than one source has places, at three steps of the way.
    let silent: Vec<TcpStream> = (0..170).map(|_| connect_from(STRANGER, host.address)).collect();
    let half: Vec<_> = (0..170).map(|_| hello(connect_from(STRANGER, host.address), "wrong")).collect();
    let confirmed = Guessers::start(host.address, STRANGER, HELD);
    for from in [SAME, SAME + 1] {
        for _ in 0..5 {
            assert!(host.ready_on(connect_from(from, host.address), PIN).enters());
        }
        let half = half.iter().flatten().map(|(websocket, _)| websocket.get_ref());
        assert!(some_are_open(silent.iter().chain(half)), "nobody was there any more");
    }
    host.serves();
    // From the same address it may take another attempt.
    let held: Vec<_> = (0..300).map(|_| hello(connect(host.address), "wrong")).collect();
    let (came, told) = enters(&host);
    figure(&format!("beside 300 connections from the same address a client came in at attempt {came}"));
    assert!(told.is_none_or(|seconds| seconds >= 1));
    confirmed.end();
    drop((silent, half, held));
    host.side.stop();
}
