//! How a run reports: where, and in which form.

use super::bottom;
use super::logging::Verbosity;
use crate::net::interfaces::network_address;
use crate::status::printer::{Format, Printer};
use crate::status::report::Reporter;
use crate::status::style::{Role, Streams, Style};

/// How a run reports to whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Output {
    /// Report JSON objects on stdout, one a line, and nothing else there.
    pub json: bool,
    /// How much is logged; [`Verbosity::Quiet`] also leaves out lines about streams that fail, and those about others
    /// need [`Verbosity::Info`].
    pub verbosity: Verbosity,
    /// Print line by line: nothing stays at the bottom of the terminal.
    pub plain: bool,
    /// Show a QR code of what is passed on.
    pub qr: bool,
    /// Copy the command for the other side to the terminal's clipboard.
    pub copy: bool,
}

impl Output {
    /// Builds the reporter of one side on stderr alone, without a line for every stream: stdout carries something else.
    pub fn reporter_on_stderr(&self, role: Role, printer: &Printer) -> Reporter {
        if self.json {
            Reporter::json(printer.err())
        } else {
            Reporter::human(printer.err(), printer.err(), role, Style::of_process(Streams::Silent))
        }
    }

    /// Builds the reporter of one side on this process's stdout and stderr.
    pub fn reporter(&self, role: Role, printer: &Printer) -> Reporter {
        if self.json {
            Reporter::json(printer.out())
        } else {
            let streams = match self.verbosity {
                Verbosity::Quiet => Streams::Silent,
                Verbosity::Normal => Streams::Failed,
                Verbosity::Info | Verbosity::Debug | Verbosity::Trace => Streams::All,
            };
            let address = matches!(role, Role::Host { .. }).then(network_address).flatten();
            let style = Style { qr: self.qr, copy: self.copy, address, ..Style::of_process(streams) };
            Reporter::human(printer.out(), printer.err(), role, style)
        }
    }

    /// Takes over stdout and stderr. Where stdout carries something else, the run reports on stderr, and the terminal
    /// is perhaps that of the program at the other end.
    pub fn printer(&self, is_on_stderr: bool) -> Printer {
        let formats = match (self.json, is_on_stderr) {
            (true, false) => [Format::Json, Format::Text],
            (true, true) => [Format::Text, Format::Json],
            (false, _) => [Format::Text, Format::Text],
        };
        let is_steady = !self.json && !self.plain && !is_on_stderr;
        Printer::of_process(formats, is_steady.then(bottom::terminal).flatten())
    }
}
