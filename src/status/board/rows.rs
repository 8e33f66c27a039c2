//! Sessions as rows of a table.

use super::columns::{left, right, width};
use super::counted;
use crate::status::event::Way;
use crate::status::snapshot::{SessionState, SessionStatus, Snapshot};
use crate::status::text::{MAX_PEER_TEXT, bytes, round_trip, sanitize};

/// Columns between two of a table.
const GAP: usize = 2;

/// Fewest columns of the session's name: its id.
const MIN_NAME: usize = 8;

/// Fewest columns of the path in which the beginning of a reason says more than a word.
const GOOD_PATH: usize = 24;

/// What the name has before the path has its details, and what it has at most.
const GOOD_NAME: usize = 20;
const MAX_NAME: usize = 44;

/// What is shown of a session.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// How many sessions are older.
    pub(super) age: usize,
    name: String,
    /// A word for the path, or for what the session is at.
    word: &'static str,
    /// What is known of the path beside that.
    detail: Option<Detail>,
    is_direct: bool,
    rtt_ms: Option<f64>,
    moving: Moving,
}

#[derive(Debug, Clone, PartialEq)]
enum Detail {
    /// Of a direct path: what kinds of addresses it joins.
    Candidates(String),
    /// Why it is relayed.
    Reason(String),
}

/// What sessions do together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moving {
    pub(super) sessions: usize,
    direct: usize,
    relayed: usize,
    sent_per_s: u64,
    received_per_s: u64,
    bytes: u64,
    streams: usize,
}

impl Row {
    pub(super) fn new(age: usize, session: &SessionStatus, snapshot: &Snapshot) -> Row {
        let mut name = sanitize(&session.session, MAX_PEER_TEXT);
        if let Some(id) = &session.invitation {
            let label = snapshot.invitations.iter().find(|invitation| invitation.id == *id);
            let label = label.map_or_else(|| id.to_string(), |invitation| invitation.label.clone());
            name = format!("{name} {}", sanitize(&label, MAX_PEER_TEXT));
        }
        let is_passing = matches!(session.state, SessionState::Connected);
        let (way, detail, address) = match &session.way {
            Way::Direct { candidates, remote, .. } => {
                ("direct", Detail::Candidates(sanitize(candidates, MAX_PEER_TEXT)), Some(*remote))
            }
            Way::Relayed { reason } => ("relayed", Detail::Reason(sanitize(reason, MAX_PEER_TEXT)), session.signaling),
        };
        if let Some(address) = address.or(session.signaling) {
            name = format!("{name} {}", address.ip());
        }
        let is_direct = way == "direct";
        let counts = |yes: bool| usize::from(is_passing && yes);
        Row {
            age,
            name,
            word: match session.state {
                SessionState::Connecting => "connecting",
                SessionState::Connected => way,
                SessionState::Recovering => "recovering",
                SessionState::Ending => "ending",
            },
            detail: is_passing.then_some(detail),
            is_direct,
            rtt_ms: session.rtt_ms,
            moving: Moving {
                sessions: 1,
                direct: counts(is_direct),
                relayed: counts(!is_direct),
                sent_per_s: session.sent_per_s,
                received_per_s: session.received_per_s,
                bytes: session.sent.saturating_add(session.received),
                streams: session.streams,
            },
        }
    }

    /// Returns the bytes a second, both ways.
    pub(super) fn rate(&self) -> u64 {
        self.moving.sent_per_s.saturating_add(self.moving.received_per_s)
    }

    pub(super) fn streams(&self) -> usize {
        self.moving.streams
    }

    /// Returns the path with all that is known of it.
    fn path(&self) -> String {
        match &self.detail {
            None => self.word.to_owned(),
            Some(Detail::Candidates(candidates)) => format!("{} ({candidates})", self.word),
            Some(Detail::Reason(reason)) => format!("{}, because {reason}", self.word),
        }
    }
}

impl Moving {
    pub(super) fn of(rows: &[Row]) -> Moving {
        rows.iter().fold(Moving::default(), |sum, row| sum.and(row.moving))
    }

    pub(super) fn and(self, other: Moving) -> Moving {
        Moving {
            sessions: self.sessions + other.sessions,
            direct: self.direct + other.direct,
            relayed: self.relayed + other.relayed,
            sent_per_s: self.sent_per_s.saturating_add(other.sent_per_s),
            received_per_s: self.received_per_s.saturating_add(other.received_per_s),
            bytes: self.bytes.saturating_add(other.bytes),
            streams: self.streams + other.streams,
        }
    }

    /// Returns how many sessions have which path.
    pub(super) fn paths(&self) -> Vec<String> {
        let without = self.sessions.saturating_sub(self.direct + self.relayed);
        let counts = [(self.direct, "direct"), (self.relayed, "relayed"), (without, "without a path")];
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect()
    }

    /// Returns what passes, in words.
    pub(super) fn parts(&self) -> Vec<String> {
        vec![
            format!("out {}", rate(self.sent_per_s)),
            format!("in {}", rate(self.received_per_s)),
            counted(self.streams, "stream"),
            format!("{} so far", bytes(self.bytes)),
        ]
    }
}

fn rate(per_s: u64) -> String {
    format!("{}/s", bytes(per_s))
}

/// A column of figures.
struct Figures {
    heading: &'static str,
    width: usize,
    of: fn(&Row) -> String,
}

/// What is shown where there is room, in the order in which it matters. Rates come and go together.
const FIGURES: [&[Figures]; 4] = [
    &[Figures { heading: "rtt", width: 8, of: |row| row.rtt_ms.map(round_trip).unwrap_or_default() }],
    &[
        Figures { heading: "out", width: 10, of: |row| rate(row.moving.sent_per_s) },
        Figures { heading: "in", width: 10, of: |row| rate(row.moving.received_per_s) },
    ],
    &[Figures { heading: "streams", width: 7, of: |row| row.moving.streams.to_string() }],
    &[Figures { heading: "bytes", width: 8, of: |row| bytes(row.moving.bytes) }],
];

/// The columns of a table.
pub(super) struct Columns {
    name: usize,
    path: usize,
    figures: Vec<&'static Figures>,
}

/// Divides a width among the columns.
pub(super) fn columns(columns: usize, rows: &[&Row]) -> Columns {
    let longest = |text: fn(&Row) -> String| rows.iter().map(|row| width(&text(row))).max().unwrap_or(0);
    let (names, paths) = (longest(|row| row.name.clone()), longest(Row::path));
    let mut name = MIN_NAME.min(columns);
    let mut path = longest(|row| row.word.to_owned()).min(columns.saturating_sub(name + GAP));
    let mut spare = columns.saturating_sub(name + GAP + path);
    let mut figures = Vec::new();
    for group in &FIGURES {
        let wanted: usize = group.iter().map(|column| GAP + column.width).sum();
        if wanted > spare {
            break;
        }
        spare -= wanted;
        figures.extend(group.iter());
    }
    let mut grow = |column: &mut usize, wanted: usize| {
        let more = wanted.saturating_sub(*column).min(spare);
        *column += more;
        spare -= more;
    };
    grow(&mut name, names.min(GOOD_NAME));
    grow(&mut path, paths);
    grow(&mut name, names.min(MAX_NAME));
    Columns { name, path, figures }
}

impl Columns {
    /// Returns the line that names the columns.
    pub(super) fn heading(&self) -> String {
        self.line("session", "path", |figures| figures.heading.to_owned())
    }

    /// Returns the line of a session; `has_reason_below` tells whether the reason follows on a line of its own.
    pub(super) fn row(&self, row: &Row, has_reason_below: bool) -> String {
        let path = row.path();
        // A word is better than half a reason.
        let is_short = width(&path) > self.path && (has_reason_below || self.path < GOOD_PATH);
        let path = if is_short { row.word } else { &path };
        self.line(&row.name, path, |figures| (figures.of)(row))
    }

    /// Returns why a session is relayed, if its row does not say so.
    pub(super) fn reason_below(&self, row: &Row) -> Option<String> {
        match &row.detail {
            Some(Detail::Reason(reason)) if !row.is_direct && width(&row.path()) > self.path => {
                Some(format!("because {reason}"))
            }
            _ => None,
        }
    }

    fn line(&self, name: &str, path: &str, figures: impl Fn(&Figures) -> String) -> String {
        let mut line = left(name, self.name);
        if self.path > 0 {
            line.push_str(&format!("{}{}", " ".repeat(GAP), left(path, self.path)));
        }
        for column in &self.figures {
            line.push_str(&format!("{}{}", " ".repeat(GAP), right(&figures(column), column.width)));
        }
        line.trim_end().to_owned()
    }
}
