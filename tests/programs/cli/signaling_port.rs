//! Strangers at the signaling port: whatever they send, or do not send, costs little and keeps nobody out.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::common::pinhole::{Pinhole, read_all, text};
use crate::common::services::echo;
use crate::common::system::{descriptors, figure, peak_resident_kib, program};
use crate::common::{connect, ping, wait_until};

/// Maximum memory that a host may use, in kibibytes.
const MEMORY_LIMIT: u64 = 64 * 1024;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: pinhole-signal.1\r\n\r\n";

struct Target {
    host: Pinhole,
    signaling: SocketAddr,
    url: String,
}

impl Target {
    fn new() -> Target {
        let mut host = Pinhole::host(echo(), &["--pin", "7391846"]);
        let listening = host.event("listening");
        Target { host, signaling: text(&listening, "addr").parse().unwrap(), url: text(&listening, "url") }
    }

    /// A real client comes in and its stream works.
    fn serves(&self) {
        let mut client = Pinhole::client(&self.url, &[]);
        let mut stream = connect(client.local());
        ping(&mut stream);
        client.stop();
    }

    fn end(mut self) {
        let peak = peak_resident_kib(self.host.pid());
        assert!(peak < MEMORY_LIMIT, "the host needed {peak} KiB");
        let ended = self.host.stop();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

/// Reads to the end. A reset is one too, as long as the host made it.
fn end(stream: &mut TcpStream) -> Vec<u8> {
    let (bytes, result) = read_all(stream);
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "after {} bytes", bytes.len());
    }
    bytes
}

#[test]
fn two_hundred_idle_connections_and_a_stalled_handshake_keep_nobody_out() {
    let target = Target::new();
    let before = descriptors(target.host.pid());
    let silent = connect(target.signaling);
    let mut half_a_head = connect(target.signaling);
    half_a_head.write_all(&UPGRADE.as_bytes()[..60]).unwrap();
    let mut no_hello = connect(target.signaling);
    no_hello.write_all(UPGRADE.as_bytes()).unwrap();
    let idle: Vec<TcpStream> = (0..200).map(|_| connect(target.signaling)).collect();
    target.serves();
    figure(&format!("descriptors of a host with 203 idle connections: {}", descriptors(target.host.pid())));

    // How long they may stay is told to the moment in `run/world`.
    drop((silent, half_a_head, no_hello, idle));
    target.serves();
    wait_until("descriptors to be given back", || descriptors(target.host.pid()) <= before);
    target.end();
}

#[test]
fn more_connections_than_the_limit_push_out_the_oldest_that_proved_nothing() {
    let target = Target::new();
    let crowd: Vec<TcpStream> = (0..600).map(|_| connect(target.signaling)).collect();
    target.serves();
    let held = descriptors(target.host.pid());
    assert!(held < 400, "{held} descriptors are held");
    drop(crowd);
    target.serves();
    target.end();
}

#[test]
fn bytes_that_are_no_websocket_are_refused() {
    let target = Target::new();
    let noise: Vec<u8> = (0..100_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let not_websocket = b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let frames = [UPGRADE.as_bytes(), &noise].concat();
    for bytes in [noise, tls_hello, not_websocket, frames, vec![0; 100_000], vec![b'\n'; 100_000]] {
        let mut stream = connect(target.signaling);
        // The host may well close before it has read everything.
        let _ = stream.write_all(&bytes);
        end(&mut stream);
    }
    target.serves();
    target.end();
}

#[test]
fn a_head_without_end_is_cut() {
    let target = Target::new();
    let mut stream = connect(target.signaling);
    stream.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\n").unwrap();
    let line = format!("X-Long: {}\r\n", "x".repeat(1000));
    let written = (0..64 * 1024).take_while(|_| stream.write_all(line.as_bytes()).is_ok()).count();
    assert!(written < 64 * 1024, "64 MiB of a head were taken");
    target.serves();
    target.end();
}

#[test]
fn a_browser_gets_a_page_with_the_command_and_without_the_pin() {
    let target = Target::new();
    let mut stream = connect(target.signaling);
    write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", target.signaling).unwrap();
    check_page(&String::from_utf8(end(&mut stream)).unwrap(), target.signaling);
    if let Some(curl) = program("curl", "the page as curl gets it") {
        let url = format!("http://{}/", target.signaling);
        let output = Command::new(curl).args(["-sSi", "--noproxy", "*", "--max-time", "60", &url]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        check_page(&String::from_utf8(output.stdout).unwrap(), target.signaling);
    }
    target.end();
}

fn check_page(answer: &str, signaling: SocketAddr) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("pinhole client &quot;ws://{signaling}/ws?pin=&lt;pin&gt;&quot;")), "{answer}");
    assert!(!answer.contains("7391846"), "the pin is nobody's business");
}
