//! Text in columns of a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Sign of a cut.
const CUT: char = '…';

/// Returns how many columns a text has. Terminals disagree about characters that are joined to one; this is for those
/// that show each by itself.
pub(super) fn width(text: &str) -> usize {
    let each: usize = text.chars().map(|c| c.width().unwrap_or(0)).sum();
    each.max(text.width())
}

/// Returns as much of a text as has so many columns; a cut shows.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut kept = text.to_owned();
    while width(&kept) > columns - 1 {
        kept.pop();
    }
    kept.push(CUT);
    kept
}

/// Returns a text of exactly so many columns.
pub(super) fn left(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let space = columns.saturating_sub(width(&text));
    format!("{text}{}", " ".repeat(space))
}

/// Returns a text at the end of so many columns.
pub(super) fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let space = columns.saturating_sub(width(&text));
    format!("{}{text}", " ".repeat(space))
}

/// Joins the first parts by commas, as many as fit. The first is there in any case, cut if need be.
pub(super) fn join(parts: &[String], columns: usize) -> String {
    let mut line = String::new();
    for (index, part) in parts.iter().enumerate() {
        let longer = if index == 0 { part.clone() } else { format!("{line}, {part}") };
        if index > 0 && width(&longer) > columns {
            break;
        }
        line = longer;
    }
    fit(&line, columns)
}
