//! STUN Binding (RFC 8489) over IPv4: a server and a client.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_SUCCESS: [u8; 2] = [1, 1];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0, 0x20];
const FAMILY_IPV4: u8 = 1;
const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const HEADER_LEN: usize = 20;

/// How often a server checks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

/// Answers Binding requests on some sockets until it is dropped.
pub(crate) struct Server {
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn new(sockets: impl IntoIterator<Item = UdpSocket>) -> Server {
        let is_over = Arc::new(AtomicBool::new(false));
        for socket in sockets {
            let is_over = is_over.clone();
            thread::spawn(move || serve(&socket, &is_over));
        }
        Server { is_over }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn serve(socket: &UdpSocket, is_over: &AtomicBool) {
    socket.set_read_timeout(Some(LOOK)).unwrap();
    let mut request = [0; 1500];
    while !is_over.load(Ordering::Relaxed) {
        let Ok((len, std::net::SocketAddr::V4(source))) = socket.recv_from(&mut request) else { continue };
        if let Some(answer) = answer(&request[..len], source) {
            // The asker asks again.
            let _ = socket.send_to(&answer, source);
        }
    }
}

fn answer(request: &[u8], source: SocketAddrV4) -> Option<Vec<u8>> {
    if request.len() < HEADER_LEN || request[..2] != BINDING_REQUEST || request[4..8] != COOKIE {
        return None;
    }
    let value = [&[0, FAMILY_IPV4], &masked(source)[..]].concat();
    let value_len = u16::try_from(value.len()).expect("an address is short");
    let attribute = [&XOR_MAPPED_ADDRESS[..], &value_len.to_be_bytes(), &value].concat();
    let len = u16::try_from(attribute.len()).expect("an address is short");
    Some([&BINDING_SUCCESS[..], &len.to_be_bytes(), &request[4..HEADER_LEN], &attribute].concat())
}

/// Port and address, combined with the cookie so that no router on the way rewrites them.
fn masked(address: SocketAddrV4) -> [u8; 6] {
    let [p, q] = address.port().to_be_bytes();
    let [a, b, c, d] = address.ip().octets();
    let plain = [p, q, a, b, c, d];
    let mask = [COOKIE[0], COOKIE[1], COOKIE[0], COOKIE[1], COOKIE[2], COOKIE[3]];
    std::array::from_fn(|index| plain[index] ^ mask[index])
}

/// How long one question waits for its answer: several round trips.
const ANSWER: Duration = Duration::from_millis(100);

/// Asks a server for a socket's public address, at most three times.
pub(crate) fn ask(socket: &UdpSocket, server: SocketAddrV4) -> io::Result<SocketAddrV4> {
    let transaction: [u8; 12] = rand::random();
    let request = [&BINDING_REQUEST[..], &[0, 0], &COOKIE, &transaction].concat();
    socket.set_read_timeout(Some(ANSWER))?;
    let mut answer = [0; 1500];
    for _ in 0..3 {
        socket.send_to(&request, server)?;
        let Ok((32, _)) = socket.recv_from(&mut answer) else { continue };
        if answer[..2] == BINDING_SUCCESS && answer[8..HEADER_LEN] == transaction {
            let hidden = SocketAddrV4::new(
                Ipv4Addr::new(answer[28], answer[29], answer[30], answer[31]),
                u16::from_be_bytes([answer[26], answer[27]]),
            );
            let [p, q, a, b, c, d] = masked(hidden);
            return Ok(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([p, q])));
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
