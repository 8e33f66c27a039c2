//! Answers that all sides give.

use bytes::Bytes;

use crate::http::Answer;
use crate::status::json::line;
use crate::status::snapshot::{Side, Snapshot};

/// Returns a value as JSON on a line.
pub(in crate::run) fn encoded(value: &impl serde::Serialize) -> Bytes {
    // Nothing here fails to be JSON; an empty line says as little as can be.
    line(value).unwrap_or_else(|_| vec![b'\n']).into()
}

/// Returns an answer for programs.
pub(in crate::run) fn json(status: u16, line: Bytes) -> Answer {
    Answer::content(status, "application/json", String::from_utf8_lossy(&line).into_owned())
}

/// Says that what was asked for is done.
pub(in crate::run) fn done() -> Answer {
    Answer::content(204, "", String::new())
}

/// Returns an answer of one sentence.
pub(in crate::run) fn text(sentence: &str) -> Answer {
    Answer::text(200, sentence)
}

/// Returns what is counted of a host or a client.
pub(in crate::run) fn counts(snapshot: &Snapshot) -> String {
    let role = match snapshot.role {
        Side::Host => "host",
        Side::Client => "client",
        Side::Server => "server",
    };
    format!(
        "# HELP pinhole_build_info What runs.\n# TYPE pinhole_build_info gauge\n\
         pinhole_build_info{{version=\"{}\",role=\"{role}\"}} 1\n\
         # HELP pinhole_sessions Sessions at present.\n# TYPE pinhole_sessions gauge\npinhole_sessions {}\n",
        env!("CARGO_PKG_VERSION"),
        snapshot.sessions.len(),
    )
}
