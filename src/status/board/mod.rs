//! What a run is doing, as a few lines at the bottom of a terminal. Values in, lines out: who draws them is elsewhere.
//!
//! States are words. Lines are cut at the width and never wrap.

mod columns;
mod rows;

use std::cmp::Reverse;

use self::columns::{fit, join};
use self::rows::{Moving, Row};
use super::snapshot::{Side, Snapshot, Stage};
use super::text::{MAX_PEER_TEXT, sanitize};

/// Sessions that are kept apart: more never fit.
const MAX_ROWS: usize = MAX_LINES;

/// Most lines, however high the terminal is: what is printed above them matters, too.
const MAX_LINES: usize = 12;

/// The part of a terminal's rows that lines may have.
const PART: usize = 3;

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its width.
    pub columns: usize,
    /// Its height.
    pub rows: usize,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its text, without characters that a terminal would act on.
    pub text: String,
    /// It names the columns below it.
    pub is_heading: bool,
}

/// What is shown of a run, whatever the size of the terminal.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// What the run is doing, then details, the most important first.
    headline: Vec<String>,
    /// The busiest sessions, the busiest first.
    rows: Vec<Row>,
    /// What the other sessions do together.
    others: Moving,
}

/// Makes boards of one run, and remembers what words depend on.
#[derive(Debug, Default)]
pub struct Watch {
    had_session: bool,
}

impl Watch {
    /// Returns what is to be shown.
    pub fn board(&mut self, snapshot: &Snapshot) -> Board {
        let mut rows: Vec<Row> =
            snapshot.sessions.iter().enumerate().map(|(age, session)| Row::new(age, session, snapshot)).collect();
        let headline = self.headline(snapshot, Moving::of(&rows));
        rows.sort_by_key(|row| (Reverse(row.rate()), Reverse(row.streams()), row.age));
        let others = Moving::of(rows.get(MAX_ROWS..).unwrap_or_default());
        rows.truncate(MAX_ROWS);
        Board { headline, rows, others }
    }

    fn headline(&mut self, snapshot: &Snapshot, all: Moving) -> Vec<String> {
        let is_ending = snapshot.stage == Stage::Ending;
        let mut parts = match snapshot.role {
            Side::Host => {
                let name = match &snapshot.id {
                    Some(id) => format!("host {}", sanitize(&id.to_string(), MAX_PEER_TEXT)),
                    None => "host".to_owned(),
                };
                match (is_ending, snapshot.sessions.len()) {
                    (true, _) => vec![format!("{name}: ending")],
                    (false, 0) => vec![format!("{name}: waiting for clients")],
                    (false, count) => vec![format!("{name}: {}", counted(count, "session"))],
                }
            }
            Side::Client => {
                let to = snapshot.url.as_deref().map(|url| format!(" to {}", place(url))).unwrap_or_default();
                let word = match snapshot.stage {
                    Stage::Ending => "ending".to_owned(),
                    Stage::Serving => format!("connected{to}"),
                    Stage::Connecting if self.had_session => format!("reconnecting{to}"),
                    Stage::Connecting => format!("connecting{to}"),
                };
                self.had_session |= snapshot.stage == Stage::Serving;
                vec![format!("client: {word}")]
            }
            Side::Server => {
                let totals = snapshot.totals.unwrap_or_default();
                let word = if is_ending { "ending, " } else { "" };
                let open =
                    if totals.open_requests > 0 { format!(", {} open", totals.open_requests) } else { String::new() };
                vec![
                    format!("server: {word}{}", counted(totals.hosts, "host")),
                    counted(totals.clients, "client"),
                    format!("{}{open}", counted(totals.requests, "request")),
                ]
            }
        };
        if all.sessions > 0 {
            parts.extend(all.parts());
        }
        if !snapshot.invitations.is_empty() {
            parts.push(counted(snapshot.invitations.len(), "invitation"));
        }
        parts
    }
}

impl Board {
    /// Returns the lines for a terminal. Together with an empty line above them they are at most as high as it is.
    pub fn lines(&self, size: Size) -> Vec<Line> {
        let room = match size.rows {
            0..=2 => return Vec::new(),
            rows => (rows / PART).clamp(1, MAX_LINES),
        };
        // What is printed never touches the last column: the cursor of some terminals is on the next line then.
        let Some(width @ 1..) = size.columns.checked_sub(1) else { return Vec::new() };
        let mut lines = vec![Line { text: join(&self.headline, width), is_heading: false }];
        lines.extend(self.table(width, room - 1));
        lines
    }

    /// Returns the lines of the sessions, at most this many.
    fn table(&self, width: usize, room: usize) -> Vec<Line> {
        let count = self.rows.len() + self.others.sessions;
        // A heading, and a summary of those that do not fit.
        let fitting = match room.saturating_sub(1) {
            room if count <= room => count,
            room => room.saturating_sub(1),
        };
        let (shown, hidden) = self.rows.split_at(fitting.min(self.rows.len()));
        if shown.is_empty() {
            return Vec::new();
        }
        let mut shown: Vec<&Row> = shown.iter().collect();
        // Rows keep their places while others become busier.
        shown.sort_unstable_by_key(|row| row.age);
        let columns = rows::columns(width, &shown);
        let mut lines = vec![Line { text: columns.heading(), is_heading: true }];
        // Reasons that do not fit beside their sessions go below them, while there is room.
        let mut spare = room.saturating_sub(1 + count);
        for row in shown {
            let reason = columns.reason_below(row).filter(|_| spare > 0);
            lines.push(Line { text: columns.row(row, reason.is_some()), is_heading: false });
            if let Some(reason) = reason {
                spare -= 1;
                lines.push(Line { text: fit(&format!("  {reason}"), width), is_heading: false });
            }
        }
        let hidden = Moving::of(hidden).and(self.others);
        if hidden.sessions > 0 {
            let mut parts = hidden.paths();
            parts.extend(hidden.parts());
            let first = parts.remove(0);
            parts.insert(0, format!("{} more: {first}", hidden.sessions));
            lines.push(Line { text: join(&parts, width), is_heading: false });
        }
        lines
    }
}

/// Returns the host of a URL, with its port.
fn place(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    sanitize(rest.split(['/', '?', '#']).next().unwrap_or_default(), MAX_PEER_TEXT)
}

fn counted(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
