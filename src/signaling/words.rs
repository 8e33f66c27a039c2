//! Free text of a peer.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// Longest free text taken from a peer, in characters.
pub(super) const MAX_WORDS: usize = 200;

/// Deserializes free text of a peer so that it can be printed: a terminal obeys control characters, and right-to-left
/// marks can make a line look like another.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    let harmless = |c: &char| {
        !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    Ok(text.chars().filter(harmless).take(MAX_WORDS).collect())
}
