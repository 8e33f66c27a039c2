//! The form of an answer of ours that the other side asks for.

use crate::http::Headers;

/// How much of `Accept` is looked at; browsers send fewer than ten.
const MAX_RANGES: usize = 32;

/// What a program or a person would rather read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For browsers.
    Page,
    /// For programs that say so.
    Json,
    /// For all others; `curl` shows it as it is.
    Text,
}

impl Format {
    /// Reads `Accept`, roughly: quality values would not decide anything between a page and JSON.
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
