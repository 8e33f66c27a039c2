//! A forwarder between processes that records what it passes on, and cuts connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::{any_port, connect};

/// Passes connections on.
pub(crate) struct Forwarder {
    pub(crate) address: SocketAddr,
    passages: Arc<Mutex<Vec<Passage>>>,
    swallowed: Arc<Mutex<Option<Half>>>,
}

/// What one side of a connection sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    FromNear,
    FromFar,
}

/// One connection through a forwarder.
struct Passage {
    /// The one that connected.
    near: TcpStream,
    is_cut: Arc<AtomicBool>,
    /// Who sent what.
    from_near: Arc<Mutex<Vec<u8>>>,
    from_far: Arc<Mutex<Vec<u8>>>,
}

impl Forwarder {
    pub(crate) fn to(far: SocketAddr) -> Forwarder {
        let listener = TcpListener::bind(any_port()).unwrap();
        let forwarder =
            Forwarder { address: listener.local_addr().unwrap(), passages: Arc::default(), swallowed: Arc::default() };
        let passages = forwarder.passages.clone();
        let swallowed = forwarder.swallowed.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = connect(far);
                near.set_nodelay(true).unwrap();
                let passage = Passage {
                    near: near.try_clone().unwrap(),
                    is_cut: Arc::default(),
                    from_near: Arc::default(),
                    from_far: Arc::default(),
                };
                let (is_cut, from_near) = (passage.is_cut.clone(), passage.from_near.clone());
                let (is_cut_too, from_far) = (passage.is_cut.clone(), passage.from_far.clone());
                passages.lock().unwrap().push(passage);
                let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (swallowed, swallowed_too) = (swallowed.clone(), swallowed.clone());
                thread::spawn(move || {
                    let vanishes = || *swallowed.lock().unwrap() == Some(Half::FromNear);
                    pass((near, far), &from_near, &is_cut, vanishes);
                });
                thread::spawn(move || {
                    let vanishes = || *swallowed_too.lock().unwrap() == Some(Half::FromFar);
                    pass((far_again, near_again), &from_far, &is_cut_too, vanishes);
                });
            }
        });
        forwarder
    }

    /// Cuts the connections on the connecting side; the other ends do not notice.
    pub(crate) fn cut_near(&self) {
        for passage in self.passages.lock().unwrap().iter() {
            passage.is_cut.store(true, Ordering::SeqCst);
            // One that is gone already cannot be cut.
            let _ = passage.near.shutdown(Shutdown::Both);
        }
    }

    /// Passes nothing on any more of what one side of every connection sends, its end included; `None` has later
    /// connections pass.
    pub(crate) fn swallow(&self, half: Option<Half>) {
        *self.swallowed.lock().unwrap() = half;
    }

    /// What was said in each connection so far: by the one that connected, and by the other.
    pub(crate) fn captured(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let passages = self.passages.lock().unwrap();
        let copy = |bytes: &Mutex<Vec<u8>>| bytes.lock().unwrap().clone();
        passages.iter().map(|passage| (copy(&passage.from_near), copy(&passage.from_far))).collect()
    }
}

fn pass(
    (mut from, mut to): (TcpStream, TcpStream),
    kept: &Mutex<Vec<u8>>,
    is_cut: &AtomicBool,
    vanishes: impl Fn() -> bool,
) {
    let (mut buffer, mut is_swallowed) = ([0; 16 * 1024], false);
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        is_swallowed |= vanishes();
        if is_swallowed {
            continue;
        }
        kept.lock().unwrap().extend_from_slice(&buffer[..len]);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    // The other direction is still read, and so keeps the connection.
    if !is_swallowed && !vanishes() && !is_cut.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// Takes the payloads out of one direction of a WebSocket, its HTTP head before them; what is masked is unmasked.
pub(crate) fn payloads(bytes: &[u8]) -> Vec<u8> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("there is a head") + 4;
    let (mut out, mut rest) = (bytes[..head].to_vec(), &bytes[head..]);
    // The last frame may be cut off.
    while let Some((payload, behind)) = frame(rest) {
        out.extend(payload);
        rest = behind;
    }
    out
}

/// Splits off the first frame (RFC 6455, section 5.2).
fn frame(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&[_, second], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*len), rest)
        }
        len => (u64::from(len), rest),
    };
    let (mask, rest) = if second & 0x80 == 0 { (&[0; 4], rest) } else { rest.split_first_chunk::<4>()? };
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect(), rest))
}
