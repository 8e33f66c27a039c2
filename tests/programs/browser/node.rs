//! Node.js with `node-datachannel` as a foreign peer: its WebRTC is libdatachannel, its SCTP usrsctp.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::process::Process;
use crate::common::system::{find as find_program, skipped};

/// Where the package is installed for the tests, below the folder of the tests' files.
const FOLDER: &str = "node-datachannel";

/// From version 22 on a `WebSocket` is there without the flag, which is still known.
const WEBSOCKET: &str = "--experimental-websocket";

/// Finds the program and the folder of the package. A test without them says so, and how to install them.
pub(crate) fn find(test: &str) -> Option<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(FOLDER);
    let Some(program) = find_program("node") else {
        skipped(test, "Node.js is not installed; version 20 or later is needed");
        return None;
    };
    let prefix = folder.display();
    if !folder.join("node_modules/node-datachannel/dist").exists() {
        skipped(test, &format!("node-datachannel is not installed: `npm install --prefix {prefix} node-datachannel`"));
        return None;
    }
    let mut probe = Command::new(&program);
    probe.arg(WEBSOCKET).arg("-e").arg("require('node-datachannel/polyfill'); process.exit()").current_dir(&folder);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        skipped(test, &format!("Node.js is older than 20.10, or cannot load what is in {prefix}"));
        return None;
    }
    Some((program, folder))
}

/// Runs the scripts of the page at that address.
pub(crate) fn open((program, packages): &(PathBuf, PathBuf), page: &str) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/browser/node.js");
    Process::start("node", |_| {
        let mut command = Command::new(program);
        command.arg(WEBSOCKET).arg(script).arg(page).arg(packages);
        command
    })
}
