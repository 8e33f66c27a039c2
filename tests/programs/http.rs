//! HTTP: one large download by curl, and many connections at once.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use crate::common::bytes::{Digester, check_pattern, pattern_digest, write_pattern};
use crate::common::connect;
use crate::common::pinhole::Pair;
use crate::common::services::{read_head, serve};
use crate::common::system::{figure, program};

/// `GET /<n>` answers that much of the pattern; the connection stays.
fn http_server() -> SocketAddr {
    serve(|mut stream| {
        let mut requests = BufReader::new(stream.try_clone()?);
        while let Some(len) = request(&mut requests)? {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")?;
            write_pattern(&mut stream, len)?;
        }
        Ok(())
    })
}

fn request(input: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut len = None;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            return Ok(len);
        }
        len = len.or_else(|| line.split(['/', ' ']).find_map(|part| part.parse().ok()));
    }
}

#[test]
fn curl_fetches_200_mb_unchanged() {
    const LEN: u64 = 200_000_000;
    let Some(curl) = program("curl", "200 MB through the tunnel by curl") else { return };
    let pair = Pair::of(http_server());
    let start = Instant::now();
    let url = format!("http://{}/{LEN}", pair.local);
    let mut curl = Command::new(curl)
        .args(["-sSf", "--noproxy", "*", "--max-time", "300", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut digest = Digester::default();
    io::copy(&mut curl.stdout.take().unwrap(), &mut digest).unwrap();
    let time = start.elapsed();
    assert!(curl.wait().unwrap().success());
    assert_eq!(digest.finish(), (LEN, pattern_digest(LEN)));
    figure(&format!("200 MB by curl in {time:?}, {:.0} Mbit/s", LEN as f64 * 8e-6 / time.as_secs_f64()));
    pair.stop();
}

#[test]
fn a_hundred_connections_at_once_each_with_two_requests() {
    const CONNECTIONS: u64 = 100;
    let pair = Pair::of(http_server());
    let local = pair.local;
    let start = Instant::now();
    let barrier = Arc::new(Barrier::new(CONNECTIONS as usize));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|index| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(connect(local));
                // All are connected before the first asks.
                barrier.wait();
                for len in [100_000 + index, index] {
                    get(&mut stream, len);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    figure(&format!("100 parallel HTTP connections, 10 MB together: {:?}", start.elapsed()));
    pair.stop();
}

/// Asks for that much and checks what comes.
fn get(stream: &mut BufReader<TcpStream>, len: u64) {
    write!(stream.get_mut(), "GET /{len} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let head = read_head(stream).unwrap();
    assert!(head.contains(&format!("Content-Length: {len}\r\n")), "{head}");
    check_pattern(stream, 0, len);
}
