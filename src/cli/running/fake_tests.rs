//! What pretends to be a process that can be asked.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// A folder of sockets, which goes with it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pinhole-control-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn socket(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.sock"))
    }

    /// Answers every request on a socket with these bytes, and then closes. Returns what is asked.
    pub(super) fn answering(&self, name: &str, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Receiver<String> {
        let listener = UnixListener::bind(self.socket(name)).unwrap();
        let (asked, requests) = mpsc::channel();
        thread::spawn(move || serve(&listener, &answer, &asked));
        requests
    }

    /// Answers with JSON.
    pub(super) fn saying(&self, name: &str, status: u16, body: &str) -> Receiver<String> {
        let answer = json(status, body);
        self.answering(name, move |_| answer.clone())
    }

    /// Leaves a socket that nobody has any more.
    pub(super) fn leave(&self, name: &str) {
        drop(UnixListener::bind(self.socket(name)).unwrap());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns an answer with a body of JSON.
pub(super) fn json(status: u16, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    format!("{head}Connection: close\r\n\r\n{body}").into_bytes()
}

fn serve(listener: &UnixListener, answer: &dyn Fn(&str) -> Vec<u8>, asked: &Sender<String>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let request = read(&mut stream);
        let bytes = answer(&request);
        let _ = asked.send(request);
        // The other side may have had enough.
        let _ = stream.write_all(&bytes);
    }
}

/// Reads a request to the end of its body.
fn read(stream: &mut UnixStream) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => return text,
        }
    }
}
