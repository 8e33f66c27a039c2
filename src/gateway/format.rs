//! The format of an answer of our own that the other side asks for.

use crate::http::Headers;

/// Maximum number of entries of `Accept` that are read; browsers send fewer than ten.
const MAX_RANGES: usize = 32;

/// The format a program or a person prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For browsers.
    Page,
    /// For programs that ask for it.
    Json,
    /// For all others; `curl` shows it unchanged.
    Text,
}

impl Format {
    /// Reads `Accept`, without quality values: they would not decide between a page and JSON.
    pub(super) fn of(headers: &Headers<'_>) -> Format {
        let accepts = |check: fn(&str) -> bool| {
            headers.tokens("accept").take(MAX_RANGES).any(|range| {
                let kind = range.split(';').next().unwrap_or(range).trim().to_ascii_lowercase();
                check(&kind)
            })
        };
        if accepts(|kind| kind == "text/html") {
            Format::Page
        } else if accepts(|kind| kind == "application/json" || kind.ends_with("+json")) {
            Format::Json
        } else {
            Format::Text
        }
    }
}
