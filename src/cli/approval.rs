//! `--ask`: a person at the terminal decides about each client.

use std::io::{self, BufRead, Write};

use crate::config::{Approver, JoinRequest};

/// Asks at the terminal.
pub(super) fn at_terminal() -> Approver {
    Approver::new(ask)
}

fn ask(request: &JoinRequest) -> bool {
    let mut stderr = io::stderr().lock();
    // Without a terminal to write to there is none to answer at either: the answer is no.
    if write!(stderr, "{request} [y/N] ").and_then(|()| stderr.flush()).is_err() {
        return false;
    }
    drop(stderr);
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) => matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
        Err(_) => false,
    }
}
