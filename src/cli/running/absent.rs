//! What is said where nothing runs that could be asked.

use super::ask::Processes;
use super::http::AskError;
use super::{Ending, Scene};
use crate::status::text::{MAX_PEER_TEXT, sanitize};

/// Says that nothing runs, or not what was asked for.
pub(super) fn nothing(processes: &Processes, name: Option<&str>, scene: &Scene) -> Ending {
    if let Some(name) = name {
        let name = sanitize(name, MAX_PEER_TEXT);
        // Whoever hears that it does not run starts it once more.
        let reasons = processes.iter().filter_map(|(_, state)| state.err());
        match reasons.max_by_key(|error| !matches!(error, AskError::Left)) {
            Some(AskError::Left) => return Ending::Failed("not-running", format!("{name} does not run")),
            Some(error) => return Ending::Failed(error.code(), format!("{name} cannot be asked: {error}")),
            None => {}
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
fn names(processes: &Processes) -> String {
    let names = processes.running().map(|(socket, _)| sanitize(&socket.name, MAX_PEER_TEXT));
    names.collect::<Vec<_>>().join(", ")
}
