//! When something ends, as people write it: a time from now, or a date with a time.

use super::problem::WrongValue;
use crate::config::Expiry;

const HINT: &str = "give 30s, 15m, 2h, 7d, or a date with a time and an offset such as 2026-12-24T18:00:00+08:00";

/// Parses when an invitation ends: `30s`, `15m`, `2h`, `7d`, or a time of day as RFC 3339 writes it.
///
/// # Errors
/// It is neither, or is too far away.
pub fn expiry(text: &str) -> Result<Expiry, WrongValue> {
    text.parse().map_err(|problem| WrongValue::new(text.trim(), problem, HINT))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use proptest::prelude::*;

    /// Longest time from now, in seconds: ten years.
    const MOST: u64 = 3660 * 86_400;

    #[test]
    fn times_from_now_are_understood() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("2h", 7200), (" 7d ", 604_800), ("3660d", MOST)] {
            assert_eq!(expiry(text), Ok(Expiry::After(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "2", "h", "2 h", "2w", "1.5h", "+2h", "2H", "0s", "3661d", "99999999999999999999d", "ä"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_with_their_offset_are_understood() {
        let rows = [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2026-11-28T12:00:00Z", 1_795_867_200),
            ("2026-11-28 20:00:00.5+08:00", 1_795_867_200),
            ("2026-11-28t04:30:00-07:30", 1_795_867_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ];
        for (text, seconds) in rows {
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(expiry(text), Ok(Expiry::At(moment)), "{text}");
        }
        for text in [
            "2026-11-28",
            "2026-11-28T12:00:00",
            "2026-11-31T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-11-28T24:00:00Z",
            "2026-11-28T12:60:00Z",
            "2026-11-28T12:00Z",
            "2026-11-28T12:00:00+24:00",
            "1969-12-31T23:59:59Z",
            "-",
        ] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[T ][0-9:.]{0,12}[Z+-]?[0-9:]{0,6}") {
            let _ = (expiry(&text), expiry(&near));
        }
    }
}
