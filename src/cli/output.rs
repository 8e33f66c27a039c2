//! How a run reports: where, and in which form.

use super::logging::Verbosity;
use crate::status::printer::{Format, Printer};
use crate::status::report::Reporter;
use crate::status::style::{Role, Style};

/// How a run reports to whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Output {
    /// Report JSON objects on stdout, one a line, and nothing else there.
    pub json: bool,
    /// How much is logged; [`Verbosity::Quiet`] also leaves out lines about streams.
    pub verbosity: Verbosity,
    /// Show a QR code of what is passed on.
    pub qr: bool,
}

impl Output {
    /// Builds the reporter of one side on stderr alone, without a line for every stream: stdout carries something else.
    pub fn reporter_on_stderr(&self, role: Role, printer: &Printer) -> Reporter {
        if self.json {
            Reporter::json(printer.err())
        } else {
            Reporter::human(printer.err(), printer.err(), role, Style::of_process(false))
        }
    }

    /// Builds the reporter of one side on this process's stdout and stderr.
    pub fn reporter(&self, role: Role, printer: &Printer) -> Reporter {
        if self.json {
            Reporter::json(printer.out())
        } else {
            let style = Style { qr: self.qr, ..Style::of_process(self.verbosity != Verbosity::Quiet) };
            Reporter::human(printer.out(), printer.err(), role, style)
        }
    }

    /// Takes over stdout and stderr. Where stdout carries something else, the run reports on stderr.
    pub fn printer(&self, is_on_stderr: bool) -> Printer {
        match (self.json, is_on_stderr) {
            (true, false) => Printer::of_process(Format::Json, Format::Text),
            (true, true) => Printer::of_process(Format::Text, Format::Json),
            (false, _) => Printer::of_process(Format::Text, Format::Text),
        }
    }
}
