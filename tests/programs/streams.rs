//! Behaviour that TCP programs rely on: the end of one direction, which side sends first, and how failures look.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::thread;

use socket2::SockRef;

use crate::common::bytes::{check_pattern, pattern_digest, write_pattern};
use crate::common::pinhole::{Pair, read_all};
use crate::common::services::{one_shot, serve, sink, source};
use crate::common::system::program;
use crate::common::{ReservedPort, connect, try_connect};

const LEN: u64 = 8 * 1024 * 1024;

#[test]
fn a_request_its_end_then_the_full_answer() {
    let pair = Pair::of(sink());
    let mut stream = connect(pair.local);
    write_pattern(&mut stream, LEN).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("{LEN} {}\n", pattern_digest(LEN)));
    pair.stop();
}

#[test]
fn the_other_direction_goes_on_after_the_end_of_one() {
    // The service ends its direction first and goes on reading.
    let (target, service) = one_shot(|mut stream| {
        stream.write_all(b"over to you").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        check_pattern(&mut stream, 0, LEN);
        stream.read(&mut [0]).unwrap()
    });
    let pair = Pair::of(target);
    let mut stream = connect(pair.local);
    let mut words = String::new();
    stream.read_to_string(&mut words).unwrap();
    assert_eq!(words, "over to you");
    write_pattern(&mut stream, LEN).unwrap();
    drop(stream);
    assert_eq!(service.result(), 0, "the service sees the end");
    pair.stop();
}

#[test]
fn netcat_sends_ends_and_gets_the_full_answer() {
    let Some(nc) = program("nc", "half-close by nc -N") else { return };
    let help = Command::new(&nc).arg("-h").output().unwrap();
    if !String::from_utf8_lossy(&help.stderr).contains("OpenBSD") {
        return crate::common::system::skipped("half-close by nc -N", "nc is not netcat-openbsd, which has -N");
    }
    let pair = Pair::of(sink());
    let mut netcat = Command::new(nc)
        .args(["-N", &pair.local.ip().to_string(), &pair.local.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    write_pattern(&mut netcat.stdin.take().unwrap(), LEN).unwrap();
    let output = netcat.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{LEN} {}\n", pattern_digest(LEN)));
    pair.stop();
}

#[test]
fn the_server_may_speak_first() {
    let target = serve(|mut stream| {
        stream.write_all(b"220 ready\r\n")?;
        let mut name = [0; 5];
        stream.read_exact(&mut name)?;
        stream.write_all(b"hello ")?;
        stream.write_all(&name)
    });
    let pair = Pair::of(target);
    let mut stream = connect(pair.local);
    let mut banner = [0; 11];
    stream.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"220 ready\r\n");
    stream.write_all(b"world").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello world");
    pair.stop();
}

#[test]
fn a_refusal_reaches_the_program_as_a_reset() {
    let target = ReservedPort::new();
    let pair = Pair::of(target.address);
    // What was sent before the refusal is known changes nothing.
    for request in [&b""[..], b"request"] {
        let mut answer = Vec::new();
        let result = try_connect(pair.local).and_then(|mut stream| {
            stream.write_all(request)?;
            stream.read_to_end(&mut answer)
        });
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset), "{answer:?}");
    }
    pair.stop();
}

#[test]
fn a_reset_travels_both_ways() {
    // The service resets in the middle of its answer.
    let (target, service) = one_shot(|mut stream| {
        stream.write_all(b"partial").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let pair = Pair::of(target);
    let mut stream = connect(pair.local);
    let mut partial = [0; 7];
    stream.read_exact(&mut partial).unwrap();
    stream.write_all(b"more").unwrap();
    assert_eq!(read_all(&mut stream).1.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    service.result();
    pair.stop();

    // The local program resets while the service waits for more.
    let (target, service) = one_shot(|mut stream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(b"got it").unwrap();
        read_all(&mut stream).1.map_err(|error| error.kind())
    });
    let pair = Pair::of(target);
    let mut stream = connect(pair.local);
    stream.write_all(b"some").unwrap();
    // A reset right away may overtake the dial, and the service would see nothing at all.
    stream.read_exact(&mut [0; 6]).unwrap();
    SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    assert_eq!(service.result(), Err(ErrorKind::ConnectionReset));
    pair.stop();
}

#[test]
fn many_transfers_in_both_directions_at_once() {
    const EACH: u64 = 2 * 1024 * 1024;
    let down = Pair::of(source());
    let up = Pair::of(sink());
    let transfers: Vec<_> = (0..8)
        .map(|index| {
            let (down, up) = (down.local, up.local);
            thread::spawn(move || {
                if index % 2 == 0 {
                    let mut stream = connect(down);
                    writeln!(stream, "{EACH}").unwrap();
                    check_pattern(&mut stream, 0, EACH);
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                } else {
                    let mut stream = connect(up);
                    write_pattern(&mut stream, EACH).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let (answer, _) = read_all(&mut stream);
                    assert_eq!(String::from_utf8(answer).unwrap(), format!("{EACH} {}\n", pattern_digest(EACH)));
                }
            })
        })
        .collect();
    transfers.into_iter().for_each(|transfer| transfer.join().unwrap());
    down.stop();
    up.stop();
}
