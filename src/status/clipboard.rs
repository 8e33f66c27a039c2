//! A terminal's clipboard.

use data_encoding::BASE64;

/// Returns what has a terminal put a text into its clipboard (OSC 52 of xterm). Many do, some ask first, others ignore
/// it.
pub(super) fn copy(text: &str) -> String {
    format!("\x1b]52;c;{}\x07", BASE64.encode(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_text_ends_the_sequence() {
        assert_eq!(copy("a\x07b"), "\x1b]52;c;YQdi\x07");
    }
}
