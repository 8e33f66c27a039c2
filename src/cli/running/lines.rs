//! Processes as text for people and as lines of JSON, and where both go.

use std::io::{self, Write as _};

use serde_json::Value;

use super::ask::State;
use super::place::Socket;
use super::show;
use crate::status::json;
use crate::status::text::{MAX_MESSAGE, sanitize};

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
    json::line(value).map(|line| String::from_utf8_lossy(&line).into_owned()).unwrap_or_default()
}
