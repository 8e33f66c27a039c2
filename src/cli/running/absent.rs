//! What is said where nothing runs that could be asked.

use super::ask::Processes;
use super::{Ending, Scene};
use crate::status::text::{MAX_PEER_TEXT, sanitize};

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
fn names(processes: &Processes) -> String {
    let names = processes.running().map(|(socket, _)| sanitize(&socket.name, MAX_PEER_TEXT));
    names.collect::<Vec<_>>().join(", ")
}
