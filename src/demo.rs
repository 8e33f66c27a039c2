//! `pinhole demo`: a host, a client and a small web service on this machine, and real traffic through them.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

use crate::address::Target;
use crate::config::{ClientConfig, HostConfig};
use crate::run::{Client, Host, Reporter, RunError, Stopper};
use crate::status::event::Event;

/// Bytes fetched through the tunnel.
const FETCH: u64 = 128 * 1024 * 1024;

/// Small requests whose round trip is measured.
const PINGS: usize = 200;

/// How long the two sides may take to meet.
const MEET: Duration = Duration::from_secs(20);

/// How long a read through the tunnel may take before the demo has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The host or the client failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The two sides did not meet in time.
    #[error("the host and the client did not connect: {0}")]
    NotConnected(String),
    /// The fetch through the tunnel failed.
    #[error("the fetch through the tunnel failed: {0}")]
    Fetch(#[from] io::Error),
    /// Something arrived that was not sent.
    #[error("byte {0} arrived with a wrong value")]
    WrongByte(u64),
}

/// Runs the demo; `report` takes the events of both sides and the result.
///
/// # Errors
/// No sockets, no session, or bytes that did not arrive as they were sent.
pub fn run(mut report: Reporter) -> Result<(), DemoError> {
    let service = TcpListener::bind("127.0.0.1:0")?;
    let target = Target { host: "127.0.0.1".to_owned(), port: service.local_addr()?.port() };
    thread::spawn(move || serve(&service));

    let (sender, events) = unbounded();
    let for_host = sender.clone();
    let host = Host::bind(
        HostConfig { stun: Vec::new(), ..HostConfig::sharing(target) },
        // A send fails only once the demo is over and nobody listens.
        Box::new(move |event| drop(for_host.send(event.clone()))),
    )?;
    let client = Client::bind(
        ClientConfig {
            once: true,
            stun: Vec::new(),
            ..ClientConfig::joining(
                host.url().expect("the host listens"),
                host.pin().clone(),
                SocketAddr::from(([127, 0, 0, 1], 0)),
            )
        },
        Box::new(move |event| drop(sender.send(event.clone()))),
    )?;
    let (local, host_stopper, client_stopper) = (client.local_addr(), host.stopper(), client.stopper());
    let local = local.ok_or_else(|| io::Error::other("the client has no port"))?;
    let host = thread::spawn(move || host.run());
    let client = thread::spawn(move || client.run());

    let result = meet(&events, &mut report).and_then(|()| measure(local));
    let (client, host) = (end(client, &client_stopper), end(host, &host_stopper));
    events.try_iter().for_each(|event| report(&event));
    // The error of a side says more than the timeout of whoever waited for it.
    client.and(host)?;
    report(&result?);
    Ok(())
}

/// Waits until the client forwards its port.
fn meet(events: &Receiver<Event>, report: &mut Reporter) -> Result<(), DemoError> {
    let deadline = Instant::now() + MEET;
    loop {
        match events.recv_deadline(deadline) {
            Ok(event) => {
                report(&event);
                if let Event::Forwarding { .. } = event {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(DemoError::NotConnected(format!("no session within {} s", MEET.as_secs())));
            }
        }
    }
}

fn end(side: thread::JoinHandle<Result<(), RunError>>, stopper: &Stopper) -> Result<(), DemoError> {
    stopper.stop();
    match side.join() {
        Ok(result) => Ok(result?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Fetches through the tunnel: small requests for the round trip, then a large body, checked byte by byte.
fn measure(local: SocketAddr) -> Result<Event, DemoError> {
    let mut stream = TcpStream::connect(local)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
    let mut round_trips = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = Instant::now();
        stream.write_all(b"GET /bytes/2 HTTP/1.1\r\nHost: demo\r\n\r\n")?;
        check(&mut reader, 2)?;
        round_trips.push(start.elapsed());
    }
    round_trips.sort();
    let start = Instant::now();
    stream.write_all(format!("GET /bytes/{FETCH} HTTP/1.1\r\nHost: demo\r\n\r\n").as_bytes())?;
    check(&mut reader, FETCH)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Event::Demo {
        bytes: FETCH,
        mbit_per_s: (FETCH as f64 * 8.0 / seconds / 1e6).round(),
        round_trip_ms: (round_trips[PINGS / 2].as_secs_f64() * 1e6).round() / 1e3,
    })
}

/// Reads one response of `len` bytes and checks every one.
fn check(reader: &mut impl BufRead, len: u64) -> Result<(), DemoError> {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    let mut offset = 0;
    while offset < len {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let count = available.len().min(usize::try_from(len - offset).unwrap_or(usize::MAX));
        if let Some(wrong) = available[..count].iter().zip(offset..).position(|(byte, at)| *byte != value(at)) {
            return Err(DemoError::WrongByte(offset + wrong as u64));
        }
        reader.consume(count);
        offset += count as u64;
    }
    Ok(())
}

/// Returns the byte at an offset of every body. It differs from place to place, so a swap is noticed.
fn value(offset: u64) -> u8 {
    (offset ^ (offset >> 8) ^ (offset >> 16) ^ (offset >> 24)) as u8
}

/// The web service: `GET /bytes/N` answers N bytes.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut body = Vec::new();
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let len: u64 = request.split(['/', ' ']).find_map(|part| part.parse().ok()).unwrap_or(0);
        while request != "\r\n" {
            request.clear();
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
        }
        let mut pending = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes();
        let mut offset = 0;
        while offset < len {
            body.clear();
            body.extend((offset..len.min(offset + 128 * 1024)).map(value));
            offset += body.len() as u64;
            pending.append(&mut body);
            stream.write_all(&pending)?;
            pending.clear();
        }
        stream.write_all(&pending)?;
    }
}
