//! `--ask`: a person at the terminal decides about each client.

use std::io::{self, BufRead};

use crate::config::Approver;
use crate::status::printer::Printer;

/// Asks at the terminal.
pub(super) fn at_terminal(printer: Printer) -> Approver {
    Approver::new(move |request| {
        printer.ask(format!("{request} [y/N] "));
        let mut line = String::new();
        // Without a terminal to write to there is none to answer at either: the answer is no.
        let is_read = io::stdin().lock().read_line(&mut line).is_ok();
        printer.answered(line.ends_with('\n'));
        is_read && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    })
}

/// Refuses everybody, until the terminal is there to ask.
pub(super) fn nobody() -> Approver {
    Approver::new(|_| false)
}
