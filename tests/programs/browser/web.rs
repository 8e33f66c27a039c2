//! The web on loopback: the page with its scripts, which reports back, and the service it reaches through the tunnel.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crossbeam_channel::{Receiver, unbounded};
use serde_json::Value;

use crate::common::bytes::{Digester, write_pattern};
use crate::common::process::Process;
use crate::common::services::{OneShot, one_shot, serve};
use crate::common::wait_until;

/// The files of the page: name, type, content.
const FILES: [(&str, &str, &str); 6] = [
    ("/index.html", "text/html", include_str!("index.html")),
    ("/bytes.js", "text/javascript", include_str!("bytes.js")),
    ("/main.js", "text/javascript", include_str!("main.js")),
    ("/signaling.js", "text/javascript", include_str!("signaling.js")),
    ("/spake2.js", "text/javascript", include_str!("spake2.js")),
    ("/tunnel.js", "text/javascript", include_str!("tunnel.js")),
];

/// An HTTP request whose body was not read yet.
struct Request {
    path: String,
    len: u64,
    body: BufReader<TcpStream>,
}

impl Request {
    fn read(stream: &TcpStream) -> io::Result<Request> {
        let mut body = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        body.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut len = 0;
        while line != "\r\n" {
            line.clear();
            if body.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
        }
        Ok(Request { path, len, body })
    }
}

/// Serves the page.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    reports: Receiver<Value>,
}

impl Site {
    pub(crate) fn start() -> Site {
        let (sender, reports) = unbounded();
        let address = serve(move |mut stream| {
            let mut request = Request::read(&stream)?;
            if request.path == "/report" {
                let mut body = vec![0; request.len.try_into().unwrap()];
                request.body.read_exact(&mut body)?;
                // A test that failed meanwhile waits no more.
                let _ = sender.send(serde_json::from_slice(&body)?);
                return stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            }
            let path = request.path.split('?').next();
            match FILES.iter().find(|(name, ..)| Some(*name) == path) {
                Some((_, kind, content)) => write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{content}",
                    content.len()
                ),
                None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            }
        });
        Site { address, reports }
    }

    /// Waits for what the page reports.
    #[track_caller]
    pub(crate) fn report(&self, peer: &mut Process) -> Value {
        let mut report = None;
        wait_until("a report of the page", || {
            peer.expect_running();
            report = self.reports.try_recv().ok();
            report.is_some()
        });
        report.unwrap()
    }
}

/// Answers one `POST` with three bytes and closes without having read what is posted, so that its system sends a reset
/// behind them.
pub(crate) fn refusal() -> (SocketAddr, OneShot<io::Result<()>>) {
    one_shot(|mut stream| {
        Request::read(&stream)?;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
    })
}

/// Answers one `POST /<n>` with that much of the pattern. The result is length and digest of what was posted.
pub(crate) fn upload_and_download() -> (SocketAddr, OneShot<io::Result<(u64, String)>>) {
    one_shot(|mut stream| {
        let mut request = Request::read(&stream)?;
        let mut digest = Digester::default();
        io::copy(&mut (&mut request.body).take(request.len), &mut digest)?;
        let len = request.path.trim_start_matches('/').parse().unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")?;
        write_pattern(&mut stream, len)?;
        Ok(digest.finish())
    })
}
