//! Text for printing: a peer's words, byte counts, durations.

use std::fmt::Write;
use std::time::Duration;

/// Longest name or reason from a peer that is printed, in characters.
pub const MAX_PEER_TEXT: usize = 200;

/// Longest message of a warning or an error that is printed, in characters.
pub const MAX_MESSAGE: usize = 1000;

/// Returns `text` with characters escaped that could move the cursor, or hide or reorder what follows. At most
/// `max_chars` of its characters are kept; a cut shows as `…`.
pub fn sanitize(text: &str, max_chars: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(4 * max_chars));
    for (index, c) in text.chars().enumerate() {
        if index == max_chars {
            clean.push('…');
            break;
        }
        if is_unprintable(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Tells whether a terminal would act on the character instead of showing it: controls (C0, DEL, C1), line separators,
/// zero-width and bidirectional formatting, and the invisible tag characters.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Returns a byte count in decimal units: `999 B`, `1.2 kB`, `34.5 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    // One decimal, rounded half up, in integers: 999 950 is 1.0 MB, not 1000.0 kB.
    let mut tenths = (u128::from(count) + 50) / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Returns what was sent and received, as text.
pub(super) fn moved(sent: u64, received: u64) -> String {
    format!("sent {}, received {}", bytes(sent), bytes(received))
}

/// Returns a round trip in milliseconds, with a decimal if it is short.
pub fn round_trip(milliseconds: f64) -> String {
    if !milliseconds.is_finite() || milliseconds < 0.0 {
        "unknown".into()
    } else if milliseconds < 99.95 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

/// Returns a duration with its two largest units: `850 ms`, `12.3 s`, `2 min 3 s`, `1 h 2 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        let mut text = format!("{large} {large_unit}");
        if small > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, " {small} {small_unit}");
        }
        text
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// Returns `word` quoted as one argument for a POSIX shell; PowerShell reads it the same unless it contains a quote.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        let cases = [
            ("web", "web"),
            ("Zoë's café 火", "Zoë's café 火"),
            ("a\x1b[2Jb", r"a\u{1b}[2Jb"),
            ("a\r\nb\t", r"a\r\nb\t"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("\u{7f}\0", r"\u{7f}\u{0}"),
            ("\u{202e}gpj.exe", r"\u{202e}gpj.exe"),
            ("a\u{200b}b\u{2028}", r"a\u{200b}b\u{2028}"),
            ("\u{e0041}", r"\u{e0041}"),
        ];
        for (given, expected) in cases {
            assert_eq!(sanitize(given, 100), expected, "{given:?}");
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(sanitize("äbcdef", 3), "äbc…");
        assert_eq!(sanitize("abc", 3), "abc");
        assert_eq!(sanitize("", 0), "");
        assert_eq!(sanitize("x", 0), "…");
    }

    #[test]
    fn byte_counts_have_units() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1249, "1.2 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (34_500_000, "34.5 MB"),
            (2_000_000_000, "2.0 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected, "{count}");
        }
    }

    #[test]
    fn durations_have_two_units() {
        let cases = [
            (0, "0 ms"),
            (850, "850 ms"),
            (1000, "1.0 s"),
            (12_390, "12.3 s"),
            (60_000, "1 min"),
            (123_000, "2 min 3 s"),
            (3_720_000, "1 h 2 min"),
            (273_600_000, "3 d 4 h"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
        }
        assert!(!duration(Duration::MAX).is_empty());
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        let cases = [
            ("25565", "25565"),
            ("[::1]:80", "'[::1]:80'"),
            ("ws://h/ws?pin=1", "'ws://h/ws?pin=1'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$(x)", "'$(x)'"),
        ];
        for (given, expected) in cases {
            assert_eq!(shell_quote(given), expected);
        }
    }

    proptest! {
        #[test]
        fn sanitized_text_is_printable_and_bounded(text in any::<String>(), max in 0usize..50) {
            let clean = sanitize(&text, max);
            prop_assert!(!clean.contains(is_unprintable));
            // The longest escape is `\u{10ffff}`.
            prop_assert!(clean.chars().count() <= max * 10 + 1);
        }

        #[test]
        fn byte_counts_never_show_four_digits(count in any::<u64>()) {
            let text = bytes(count);
            let whole = text.split(['.', ' ']).next().unwrap();
            prop_assert!(whole.len() <= 3, "{}", text);
        }
    }
}
