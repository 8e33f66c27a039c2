//! Asks all running processes what they are doing, at the same time and each for a short while.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{self, Answer, Ask, AskError, PATIENCE};
use super::place::{self, Found, Socket};

/// Time beyond [`PATIENCE`] for a socket that does not even take a connection.
const SLACK: Duration = Duration::from_millis(200);

/// What a process says of itself, or why it says nothing.
pub(super) type State<'a> = Result<&'a Value, &'a AskError>;

/// A process, or what is left of one.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) socket: Socket,
    /// What it says of itself, an object.
    pub(super) status: Result<Value, AskError>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Processes {
    /// Ordered by their names.
    pub(super) all: Vec<Process>,
    /// Folders of units that this user may not look into.
    pub(super) hidden: usize,
    /// Sockets beyond those that are asked.
    pub(super) unlisted: usize,
}

impl Processes {
    /// Asks each process whose socket is there, or each of this name.
    pub(super) fn ask(folders: &[PathBuf], name: Option<&str>) -> Processes {
        let Found { sockets, hidden, unlisted } = place::sockets(folders, name);
        let (answered, answers) = mpsc::channel();
        for (number, socket) in sockets.iter().enumerate() {
            let (path, answered) = (socket.path.clone(), answered.clone());
            // A connection that nobody takes holds up its thread, which ends with this process.
            thread::spawn(move || answered.send((number, status(&path))));
        }
        drop(answered);
        let by = Instant::now() + PATIENCE + SLACK;
        let mut states: Vec<Option<Result<Value, AskError>>> = sockets.iter().map(|_| None).collect();
        // Whoever has not answered by then, or never will, is silent.
        while let Ok((number, status)) = answers.recv_timeout(by.saturating_duration_since(Instant::now())) {
            if let Some(state) = states.get_mut(number) {
                *state = Some(status);
            }
        }
        let states = states.into_iter().map(|state| state.unwrap_or(Err(AskError::Silent)));
        let all = sockets.into_iter().zip(states).map(|(socket, status)| Process { socket, status }).collect();
        Processes { all, hidden, unlisted }
    }

    /// Returns all.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Socket, State<'_>)> {
        self.all.iter().map(|process| (&process.socket, process.status.as_ref()))
    }

    /// Returns those that answered.
    pub(super) fn running(&self) -> impl Iterator<Item = (&Socket, &Value)> {
        self.all.iter().filter_map(|process| Some((&process.socket, process.status.as_ref().ok()?)))
    }
}

/// Asks a process what it is doing.
pub(super) fn status(socket: &Path) -> Result<Value, AskError> {
    let Answer { status, body } = http::ask(socket, Ask { method: "GET", target: "/v1/status", body: None })?;
    if status != 200 {
        return Err(AskError::Foreign("it does not say what it is doing"));
    }
    object(&body).ok_or(AskError::Foreign("it says what it is doing in other words"))
}

/// Asks a process to do something. A socket that does not take a connection is not waited for.
///
/// # Errors
/// It gave no answer.
pub(super) fn tell(
    socket: &Path,
    method: &'static str,
    target: String,
    body: Option<String>,
) -> Result<Answer, AskError> {
    let (answered, answer) = mpsc::sync_channel(1);
    let path = socket.to_owned();
    thread::spawn(move || answered.send(http::ask(&path, Ask { method, target: &target, body: body.as_deref() })));
    answer.recv_timeout(PATIENCE + SLACK).unwrap_or(Err(AskError::Silent))
}

/// Parses a JSON object.
pub(super) fn object(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().filter(Value::is_object)
}
