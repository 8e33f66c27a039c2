//! The death of a process or of a peer's machine, as programs at its connections see it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use socket2::SockRef;

use crate::common::connect;
use crate::common::pinhole::{Pair, Pinhole, read_all};
use crate::common::services::{one_shot, serve};

/// Sends without end.
fn pour(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        stream.write_all(&[7; 10_000])?;
    }
}

fn kill(side: &mut Pinhole) {
    side.signal(Signal::SIGKILL);
    assert_eq!(side.end().code, None);
}

#[test]
fn a_killed_client_is_no_end_of_an_answer() {
    let mut pair = Pair::of(serve(pour));
    let mut stream = connect(pair.local);
    stream.read_exact(&mut [0; 100_000]).unwrap();
    kill(&mut pair.client);
    assert_eq!(read_all(&mut stream).1.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    pair.host.stop();
}

#[test]
fn a_killed_client_is_no_end_of_silence() {
    // Nothing is unread anywhere: only the reset tells.
    let mut pair = Pair::of(serve(|mut stream| {
        stream.write_all(b"hello")?;
        stream.read(&mut [0]).map(drop)
    }));
    let mut stream = connect(pair.local);
    stream.read_exact(&mut [0; 5]).unwrap();
    kill(&mut pair.client);
    assert_eq!(read_all(&mut stream).1.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    pair.host.stop();
}

#[test]
fn a_killed_host_is_no_end_of_an_upload() {
    let (target, service) = one_shot(|mut stream| {
        stream.read_exact(&mut [0; 100_000]).unwrap();
        stream.write_all(b"!").unwrap();
        read_all(&mut stream).1.map_err(|error| error.kind())
    });
    let mut pair = Pair::of(target);
    let mut stream = connect(pair.local);
    stream.write_all(&[7; 150_000]).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    kill(&mut pair.host);
    assert_eq!(service.result(), Err(ErrorKind::ConnectionReset));
    pair.client.stop();
}

#[test]
fn what_a_process_had_finished_outlives_it() {
    // More than the system takes at once from one that does not read: the rest is in the client's socket when that is
    // killed.
    const LEN: usize = 1_000_000;
    let (target, service) = one_shot(|mut stream| {
        stream.write_all(&[7; LEN]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read(&mut [0]).unwrap()
    });
    let mut pair = Pair::of(target);
    let mut stream = connect(pair.local);
    SockRef::from(&stream).set_recv_buffer_size(16 * 1024).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(service.result(), 0);
    pair.client.event("stream-closed");
    kill(&mut pair.client);
    let (answer, end) = read_all(&mut stream);
    assert_eq!((answer.len(), end.map_err(|error| error.kind())), (LEN, Ok(())));
    pair.host.stop();
}

/// The system checks silent machines, which shows in the state of the sockets on both sides.
#[cfg(target_os = "linux")]
#[test]
fn forwarded_connections_are_kept_alive() {
    let Some(ss) = crate::common::system::program("ss", "keep-alive of forwarded connections") else { return };
    let pair = Pair::of(serve(|mut stream| {
        stream.write_all(b"!")?;
        stream.read(&mut [0]).map(drop)
    }));
    let mut stream = connect(pair.local);
    stream.read_exact(&mut [0]).unwrap();
    for side in [&pair.client, &pair.host] {
        let output = std::process::Command::new(&ss).args(["-tnopH", "state", "established"]).output().unwrap();
        let sockets = String::from_utf8(output.stdout).unwrap();
        let own = format!("pid={},", side.pid());
        let kept = sockets.lines().filter(|line| line.contains(&own) && line.contains("timer:(keepalive")).count();
        assert_eq!(kept, 1, "{sockets}");
    }
    drop(stream);
    pair.stop();
}
