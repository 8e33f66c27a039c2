//! `pinhole status`.

use super::arguments::StatusArguments;
use super::ask::Processes;
use super::{Ending, Scene, absent, lines, watch};
use crate::config::ProcessName;

/// Shows what runs.
pub fn status(arguments: &StatusArguments, scene: &Scene) -> Ending {
    let name = arguments.name.as_ref().map(ProcessName::as_str);
    if arguments.watch {
        return watch::watch(name, arguments.json, scene);
    }
    let processes = Processes::ask(&scene.folders, name);
    let text = match arguments.json {
        true => processes.iter().map(|(socket, state)| lines::line(socket, state)).collect(),
        false => lines::picture(processes.iter()),
    };
    if processes.unlisted > 0 {
        log::warn!(
            "{} sockets more are there than are asked; remove those that killed processes left",
            processes.unlisted
        );
    }
    if let Err(error) = lines::print(&text) {
        return Ending::Failed("system", error);
    }
    match processes.running().next() {
        Some(_) => Ending::Done,
        None => absent::nothing(&processes, name, scene),
    }
}
