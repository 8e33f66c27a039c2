//! Proof that the laboratory works as assumed: links delay, lose and reorder as configured, and the tunnel carries
//! data, can be cut, and comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::services::{echo_once, serve_on};
use crate::common::system::figure;
use crate::common::{DEADLINE, any_port, wait_until};
use crate::lab::{INTERNET, Lab};
use crate::link::{Conditions, DOWN, GOOD};
use crate::nat::Nat;
use crate::pass;
use crate::tunnel::{DevTunnel, PUBLIC};

/// Datagrams of a measurement. Of 1000 with a loss of 20 %, chance takes 160 to 240 and hardly ever others.
const DATAGRAMS: u32 = 1000;

const PAYLOAD: usize = 1000;

/// The fate of datagrams sent over the client's link.
struct Arrivals {
    count: u32,
    /// How many came after one that was sent later.
    overtaken: u32,
    first_after: Duration,
    /// From the first to the last.
    span: Duration,
}

/// Sends numbered datagrams to the internet, with a pause after each.
fn measure(lab: &Lab, pause: Duration) -> Arrivals {
    let receiver = lab.internet.run(|| UdpSocket::bind((INTERNET[0], 7)).unwrap());
    let sender = lab.client.inside.run(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..DATAGRAMS {
                let mut datagram = [0; PAYLOAD];
                datagram[..4].copy_from_slice(&number.to_be_bytes());
                sender.send_to(&datagram, (INTERNET[0], 7)).unwrap();
                pass(pause);
            }
        });
        let (mut times, mut newest, mut overtaken) = (Vec::new(), 0, 0);
        let mut datagram = [0; PAYLOAD];
        while receiver.recv(&mut datagram).is_ok() {
            times.push(start.elapsed());
            let number = u32::from_be_bytes(datagram[..4].try_into().unwrap());
            overtaken += u32::from(number < newest);
            newest = newest.max(number);
        }
        Arrivals {
            count: times.len().try_into().unwrap(),
            overtaken,
            first_after: times.first().copied().unwrap_or_default(),
            span: times.last().copied().unwrap_or_default() - times.first().copied().unwrap_or_default(),
        }
    })
}

#[test]
fn links_do_what_they_are_told() {
    let Some(mut lab) = Lab::new("links_do_what_they_are_told", Nat::Port, Nat::Port) else { return };
    let pause = Duration::from_micros(200);
    let millis = Duration::from_millis;

    let good = measure(&lab, pause);
    assert_eq!((good.count, good.overtaken), (DATAGRAMS, 0));
    assert!(good.first_after >= GOOD.delay, "{:?}", good.first_after);

    lab.client.link.set(&Conditions { delay: millis(200), ..GOOD });
    let far = measure(&lab, pause);
    assert_eq!((far.count, far.overtaken), (DATAGRAMS, 0));
    assert!(far.first_after >= millis(200) && far.first_after > good.first_after, "{:?}", far.first_after);

    lab.client.link.set(&Conditions { loss_percent: 20.0, ..GOOD });
    let lossy = measure(&lab, pause);
    assert!((700..900).contains(&lossy.count) && lossy.overtaken == 0, "{} of {DATAGRAMS}", lossy.count);

    // Whoever skips 10 ms overtakes the fifty before it, so nearly all the others are overtaken.
    lab.client.link.set(&Conditions { reorder_percent: 30.0, ..GOOD });
    let mixed = measure(&lab, pause);
    assert_eq!(mixed.count, DATAGRAMS);
    assert!(mixed.overtaken > DATAGRAMS / 2, "{}", mixed.overtaken);

    lab.client.link.set(&Conditions { rate_mbit: 10.0, queue_packets: 10_000, ..GOOD });
    let slow = measure(&lab, Duration::ZERO);
    let mbit = f64::from(slow.count) * (PAYLOAD + 28) as f64 * 8.0 / slow.span.as_secs_f64() / 1e6;
    assert!(slow.count == DATAGRAMS && mbit < 11.0, "{} at {mbit} Mbit/s", slow.count);

    lab.client.link.set(&Conditions { rate_mbit: 10.0, queue_packets: 100, ..GOOD });
    let short = measure(&lab, Duration::ZERO);
    assert!(short.count < DATAGRAMS, "a full queue turns away");

    lab.client.link.set(&DOWN);
    assert_eq!(measure(&lab, Duration::ZERO).count, 0);
}

/// Connects through the tunnel to an echo behind it, and exchanges a byte.
fn converse(lab: &Lab) -> std::io::Result<TcpStream> {
    let mut stream = lab.client.inside.run(|| TcpStream::connect_timeout(&PUBLIC.into(), DEADLINE))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    echo(&mut stream)?;
    Ok(stream)
}

fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

#[test]
fn the_tunnel_carries_and_is_cut_and_comes_back() {
    let test = "the_tunnel_carries_and_is_cut_and_comes_back";
    let Some(mut lab) = Lab::new(test, Nat::Symmetric, Nat::NoUdp) else { return };
    let listener = lab.host.inside.run(|| TcpListener::bind(any_port()).unwrap());
    let address = serve_on(listener, echo_once);
    let tunnel = DevTunnel::new(&lab, address.port());
    let mut first = converse(&lab).unwrap();
    let mut second = converse(&lab).unwrap();
    echo(&mut first).unwrap();

    assert_eq!(tunnel.cut(), 2);
    for stream in [&mut first, &mut second] {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "cut is an end, or a reset");
    }
    let mut third = converse(&lab).unwrap();

    tunnel.close();
    assert_eq!(third.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(converse(&lab).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    tunnel.open();
    converse(&lab).unwrap();

    lab.host.link.set(&DOWN);
    pass(Duration::from_secs(5));
    lab.host.link.set(&GOOD);
    let back = Instant::now();
    wait_until("the tunnel carries again", || converse(&lab).is_ok());
    figure(&format!("the dev tunnel carries {:?} after the return of the host's link", back.elapsed()));
}
