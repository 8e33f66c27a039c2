//! Processes that are looked at and steered while they run, as `docs/control.md` describes it.

/// Clients of the control interface that mean no good, and those who mean well beside them.
mod hostile;
/// What is asked for, and what follows.
mod orders;
/// Where the socket is, and who may open it.
mod places;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::DEADLINE;
use crate::common::http::Answer;
use crate::common::pinhole::{Pinhole, runtime_folder};

/// The control socket of a process.
struct Socket(PathBuf);

impl Socket {
    /// The one of a process without a name.
    fn of(role: &str, process: &Pinhole) -> Socket {
        Socket(runtime_folder().join(format!("pinhole/{role}-{}.sock", process.pid())))
    }

    #[track_caller]
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.0).unwrap_or_else(|error| panic!("{}: {error}", self.0.display()));
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends bytes, and returns the answer to them.
    #[track_caller]
    fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        // What is refused is not read to its end.
        let _ = stream.write_all(request.as_ref());
        Answer::read(&mut BufReader::new(stream)).unwrap()
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// Returns what is at a path.
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")), "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[track_caller]
    fn status(&self) -> Value {
        self.get("/v1/status")
    }

    #[track_caller]
    fn delete(&self, path: &str) -> u16 {
        self.ask("DELETE", path, "").status
    }

    /// Follows events.
    #[track_caller]
    fn follow(&self, query: &str) -> Follower {
        let mut stream = self.connect();
        write!(stream, "GET /v1/events{query} HTTP/1.1\r\n\r\n").unwrap();
        let mut follower = Follower { lines: BufReader::new(stream) };
        assert_eq!(follower.line(), "HTTP/1.1 200 OK");
        while !follower.line().is_empty() {}
        follower
    }
}

/// Somebody who follows events.
struct Follower {
    lines: BufReader<UnixStream>,
}

impl Follower {
    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).unwrap();
        assert!(read > 0, "it was cut off");
        line.trim_end().to_owned()
    }

    /// Waits for an event that fits; skips others.
    #[track_caller]
    fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.line();
            let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            if fits(&event) {
                return event;
            }
        }
    }

    #[track_caller]
    fn event(&mut self, name: &str) -> Value {
        self.find(|event| event["event"] == name)
    }
}
