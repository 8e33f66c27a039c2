//! `pinhole status`.

use std::io::{self, Write as _};

use serde_json::Value;

use super::arguments::StatusArguments;
use super::ask::Processes;
use super::http::AskError;
use super::place::Socket;
use super::{Ending, Scene, show, watch};
use crate::config::ProcessName;
use crate::status::json as lines;
use crate::status::text::{MAX_MESSAGE, MAX_PEER_TEXT, sanitize};

/// Shows what runs.
pub fn status(arguments: &StatusArguments, scene: &Scene) -> Ending {
    let name = arguments.name.as_ref().map(ProcessName::as_str);
    if arguments.watch {
        return watch::watch(name, arguments.json, scene);
    }
    let processes = Processes::ask(&scene.folders, name);
    let text = match arguments.json {
        true => processes.iter().map(|(socket, state)| line(socket, state)).collect(),
        false => picture(processes.iter()),
    };
    if let Err(error) = print(&text) {
        return Ending::Failed("system", error);
    }
    match processes.running().next() {
        Some(_) => Ending::Done,
        None => nothing(&processes, name, scene),
    }
}

/// Says that nothing runs, or not what was asked for.
pub(super) fn nothing(processes: &Processes, name: Option<&str>, scene: &Scene) -> Ending {
    if let Some(name) = name {
        let name = sanitize(name, MAX_PEER_TEXT);
        if !processes.all.is_empty() {
            return Ending::Failed("not-running", format!("{name} does not run"));
        }
        let others = Processes::ask(&scene.folders, None);
        return Ending::Failed(
            "not-running",
            match names(&others) {
                names if names.is_empty() => format!("no process of the name {name} runs, and no other"),
                names => format!("no process of the name {name} runs; there are {names}"),
            },
        );
    }
    let hidden = match processes.hidden {
        0 => "",
        _ => "; what systemd runs is shown to root: sudo pinhole status",
    };
    Ending::Failed("not-running", format!("no pinhole of this user runs{hidden}"))
}

/// Returns the names of those that run.
pub(super) fn names(processes: &Processes) -> String {
    let names = processes.running().map(|(socket, _)| sanitize(&socket.name, MAX_PEER_TEXT));
    names.collect::<Vec<_>>().join(", ")
}

/// What a process says of itself, or why it says nothing.
pub(super) type State<'a> = Result<&'a Value, &'a AskError>;

/// Returns the lines of processes, with an empty one between them.
pub(super) fn picture<'a>(processes: impl Iterator<Item = (&'a Socket, State<'a>)>) -> String {
    let blocks = processes.map(|(socket, state)| show::lines(socket, state).join("\n"));
    let mut text = blocks.collect::<Vec<_>>().join("\n\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Returns a process as a line of JSON.
pub(super) fn line(socket: &Socket, state: State<'_>) -> String {
    let path = socket.path.display().to_string();
    let mut object = match state {
        Ok(status) => status.clone(),
        Err(error) => serde_json::json!({
            "event": "warning",
            "code": error.code(),
            "message": sanitize(&format!("{}: {error}", socket.name), MAX_MESSAGE),
        }),
    };
    if let Value::Object(fields) = &mut object {
        fields.entry("event").or_insert_with(|| "status".into());
        fields.entry("name").or_insert_with(|| socket.name.clone().into());
        fields.insert("socket".to_owned(), path.into());
    }
    as_line(&object)
}

/// Prints a text on stdout.
pub(super) fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.map_err(|error| format!("stdout takes no more: {error}"))
}

/// Returns a value as a line of JSON, whoever chose the texts in it.
pub(super) fn as_line(value: &Value) -> String {
    lines::line(value).map(|line| String::from_utf8_lossy(&line).into_owned()).unwrap_or_default()
}
