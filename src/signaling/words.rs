//! Free text of a peer.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// Longest free text that is taken from a peer, in characters.
pub(super) const MAX_WORDS: usize = 200;

/// Takes free text from a peer such that it can be printed: a terminal obeys control characters, and right-to-left
/// marks can make a line read as another.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    let harmless = |c: &char| {
        !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    Ok(text.chars().filter(harmless).take(MAX_WORDS).collect())
}
