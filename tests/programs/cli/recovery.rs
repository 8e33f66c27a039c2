//! Relayed sessions whose signaling connection is cut, through a forwarder in place of a dev tunnel.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::common::bytes::{check_pattern, write_pattern};
use crate::common::pinhole::{Pinhole, text};
use crate::common::services::serve;
use crate::common::system::figure;
use crate::common::{any_port, connect};

/// Forwards connections to a host until it is told to cut them.
struct Forwarder {
    address: SocketAddr,
    live: Arc<Mutex<Vec<TcpStream>>>,
    /// How many bytes of the host's each of the next connections lets through before it is cut.
    limits: Arc<Mutex<Vec<usize>>>,
    /// Connections since the last cut.
    dials: Arc<AtomicUsize>,
}

impl Forwarder {
    fn to(host: SocketAddr) -> Forwarder {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let forwarder = Forwarder { address, live: Arc::default(), limits: Arc::default(), dials: Arc::default() };
        let (live, limits, dials) = (forwarder.live.clone(), forwarder.limits.clone(), forwarder.dials.clone());
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                dials.fetch_add(1, Ordering::Relaxed);
                let mut limits = limits.lock().unwrap();
                let limit = if limits.is_empty() { usize::MAX } else { limits.remove(0) };
                let far = connect(host);
                live.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                let (near_out, far_out) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || pass(near, far_out, usize::MAX));
                thread::spawn(move || pass(far, near_out, limit));
            }
        });
        forwarder
    }

    fn url(&self, url: &str) -> String {
        let (_, query) = url.split_once("/ws").unwrap();
        format!("ws://{}/ws{query}", self.address)
    }

    /// Cuts what is open; the next connections get no further than those limits.
    fn cut(&self, limits: &[usize]) {
        *self.limits.lock().unwrap() = limits.to_vec();
        self.dials.store(0, Ordering::Relaxed);
        for stream in self.live.lock().unwrap().drain(..) {
            // One that is gone already cannot be cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: usize) {
    let mut left = limit;
    let mut buffer = [0; 16 * 1024];
    let mut pass_on = || -> io::Result<usize> {
        let len = from.read(&mut buffer)?.min(left);
        to.write_all(&buffer[..len])?;
        left -= len;
        Ok(if left == 0 { 0 } else { len })
    };
    while pass_on().is_ok_and(|len| len > 0) {}
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_relay_that_is_cut_again_while_it_is_repaired_loses_nothing() {
    const LEN: u64 = 30_000_000;
    let service = serve(|mut stream| {
        let mut request = [0; 2];
        stream.read_exact(&mut request)?;
        write_pattern(&mut stream, LEN)
    });
    let mut host = Pinhole::host(service, &[]);
    let url = host.url();
    let forwarder = Forwarder::to(text(&host.events_so_far()[0], "addr").parse().unwrap());
    let mut client = Pinhole::client(&forwarder.url(&url), &["--relay-only"]);
    let mut stream = connect(client.local());
    stream.write_all(b"go").unwrap();
    let mut offset = 0;
    // Within the upgrade's answer, within what the host proves, within RESUME, and in the middle of data.
    for limits in [&[50][..], &[300], &[600], &[900, 1200, 20_000], &[]] {
        check_pattern(&mut stream, offset, 1_000_000);
        offset += 1_000_000;
        let cut = Instant::now();
        forwarder.cut(limits);
        client.event("recovering");
        client.event("recovered");
        figure(&format!("cut, and again after {limits:?} bytes: recovered after {:?}", cut.elapsed()));
        let dials = forwarder.dials.load(Ordering::Relaxed);
        assert!(dials <= limits.len() + 1, "{dials} dials, of which {} were cut", limits.len());
    }
    check_pattern(&mut stream, offset, LEN - offset);
    client.stop();
    host.stop();
}
