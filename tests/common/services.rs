//! Services to tunnel to, as threads over `std::net`. They live as long as the test process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::bytes::{Digester, write_pattern};
use super::{DEADLINE, any_port};

/// Answers every connection on a thread of its own.
pub(crate) fn serve(answer: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    serve_on(TcpListener::bind(any_port()).unwrap(), answer)
}

/// Like [`serve`], on a listener that is there already.
pub(crate) fn serve_on(
    listener: TcpListener,
    answer: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // What a connection fails with shows at its other end.
            thread::spawn(move || stream.set_nodelay(true).and_then(|()| answer(stream)));
        }
    });
    address
}

/// Sends back what it receives, and then the end.
pub(crate) fn echo() -> SocketAddr {
    serve(echo_once)
}

/// Sends back what one connection receives, and then the end.
pub(crate) fn echo_once(mut stream: TcpStream) -> io::Result<()> {
    let mut input = stream.try_clone()?;
    io::copy(&mut input, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}

/// Reads an HTTP head, and nothing after it.
pub(crate) fn read_head(input: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Takes everything until the end, then answers `<bytes> <SHA-256>` and ends.
pub(crate) fn sink() -> SocketAddr {
    serve(|mut stream| {
        let mut digest = Digester::default();
        io::copy(&mut stream, &mut digest)?;
        let (len, digest) = digest.finish();
        writeln!(stream, "{len} {digest}")
    })
}

/// Takes a line with a number, answers that much of the pattern and ends.
pub(crate) fn source() -> SocketAddr {
    serve(|mut stream| {
        let mut line = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut line)?;
        write_pattern(&mut stream, line.trim().parse().unwrap_or(0))
    })
}

/// Answers one connection; the result is the return value of `answer`.
pub(crate) fn one_shot<T: Send + 'static>(
    answer: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, OneShot<T>) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, result) = bounded(1);
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // A test that failed meanwhile waits no more.
        let _ = sender.send(answer(stream));
    });
    (address, OneShot(result))
}

/// The future result of [`one_shot`].
pub(crate) struct OneShot<T>(Receiver<T>);

impl<T> OneShot<T> {
    /// Waits for the answer to be over.
    #[track_caller]
    pub(crate) fn result(self) -> T {
        let result = self.0.recv_timeout(DEADLINE);
        result.unwrap_or_else(|error| panic!("the service got no connection, or did not finish: {error}"))
    }
}
