//! A small HTTP proxy that supports CONNECT.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::services::read_head;

/// The usual answer of proxies.
pub(crate) const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy on its own port that treats every connection alike.
pub(crate) struct ConnectProxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What clients sent.
#[derive(Default)]
struct Seen {
    heads: Vec<String>,
    passed: Vec<u8>,
}

impl ConnectProxy {
    /// Connects to `target`, whatever is requested, and answers piece by piece.
    pub(crate) fn to(target: SocketAddr, answer: Vec<Vec<u8>>) -> ConnectProxy {
        ConnectProxy::serve(move |mut client, seen| {
            seen.lock().unwrap().heads.push(read_head(&mut client)?);
            let host = TcpStream::connect(target)?;
            client.set_nodelay(true)?;
            for piece in &answer {
                client.write_all(piece)?;
            }
            relay(client, host, &seen)
        })
    }

    /// Answers every request with these bytes and hangs up.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> ConnectProxy {
        let answer = answer.into();
        ConnectProxy::serve(move |mut client, seen| {
            seen.lock().unwrap().heads.push(read_head(&mut client)?);
            client.write_all(&answer)?;
            client.shutdown(Shutdown::Write)?;
            // Until the client has left: unread bytes would turn the end into a reset.
            client.read_to_end(&mut Vec::new()).map(drop)
        })
    }

    /// Hangs up without an answer.
    pub(crate) fn silent() -> ConnectProxy {
        ConnectProxy::serve(|_, _| Ok(()))
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }

    /// The data passed on for clients so far.
    pub(crate) fn passed(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().passed).into_owned()
    }

    fn serve(talk: impl Fn(TcpStream, Arc<Mutex<Seen>>) -> io::Result<()> + Clone + Send + 'static) -> ConnectProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = ConnectProxy { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = proxy.seen.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (talk, seen) = (talk.clone(), seen.clone());
                // A client may leave at any time.
                thread::spawn(move || talk(client, seen));
            }
        });
        proxy
    }
}

/// Passes bytes both ways until both sides have ended.
fn relay(mut client: TcpStream, mut host: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    let (mut to_client, mut from_host) = (client.try_clone()?, host.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from_host, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut piece) {
        seen.lock().unwrap().passed.extend_from_slice(&piece[..count]);
        host.write_all(&piece[..count])?;
    }
    let _ = host.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}
