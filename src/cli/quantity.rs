//! Sizes, rates and counts, as people type them.

use std::time::Duration;

use super::problem::{Problem, WrongValue};
use crate::address::digits;
use crate::config::Rate;

/// Most streams that `--max-streams` allows. It is below half the ids of one side, so streams that end slowly do not
/// use the ids up.
pub const MAX_STREAMS: u16 = 16_384;

/// Least memory of a session, in bytes.
const MIN_MEMORY: u64 = 4 << 20;

/// Most memory of a session, in bytes: more than any path holds.
const MAX_MEMORY: u64 = 64 << 30;

/// Digits after the point that count.
const MAX_DECIMALS: usize = 9;

const BITS: [(&str, u64); 4] = [("bit", 1), ("kbit", 1000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];

const BYTES: [(&str, u64); 7] = [
    ("b", 1),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

/// Parses a rate: `20mbit`, `1gbit`, `500kbit`, `2.5mbit/s`, and in bytes `2.5MB/s`. Units in small or capital letters.
/// `mbps` and `MB` alone are refused: people mean eight times different things by them.
///
/// # Errors
/// It is not a rate, or not between [`Rate::MIN`] and [`Rate::MAX`].
pub fn rate(text: &str) -> Result<Rate, WrongValue> {
    let parsed = number_and_unit(text).and_then(|(number, unit)| {
        let per_second = unit.strip_suffix("/s");
        let size = match (find(&BITS, per_second.unwrap_or(&unit)), per_second.and_then(|unit| find(&BYTES, unit))) {
            (Some(size), _) => size,
            (None, Some(size)) => 8 * size,
            (None, None) => return Err(Problem::Unit),
        };
        let bits = times(number, size).unwrap_or(u64::MAX);
        Rate::from_bits_per_second(bits).ok_or(Problem::Bounds("64kbit", "100gbit"))
    });
    parsed.map_err(|problem| {
        let hint = "give bits or bytes a second, for example 20mbit, 500kbit or 2.5MB/s";
        WrongValue::new(text, problem, hint)
    })
}

/// Parses a time in seconds, which may have a point: `1`, `0.5`.
///
/// # Errors
/// It is none, or not between 0.1 and 3600.
pub fn interval(text: &str) -> Result<Duration, WrongValue> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse::<f64>().ok().filter(|seconds| is_plain && (0.1..=3600.0).contains(seconds));
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| WrongValue::new(text, Problem::Bounds("0.1", "3600"), "give seconds, for example 0.5"))
}

/// Parses an amount of memory in bytes: `64MiB`, `100MB`, `2.5MB`. Units in small or capital letters.
///
/// # Errors
/// It is not an amount, or not between 4 MiB and 64 GiB.
pub fn memory(text: &str) -> Result<usize, WrongValue> {
    let parsed = number_and_unit(text).and_then(|(number, unit)| {
        let size = find(&BYTES, &unit).ok_or(Problem::Unit)?;
        let bytes = times(number, size).filter(|bytes| (MIN_MEMORY..=MAX_MEMORY).contains(bytes));
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or(Problem::Bounds("4MiB", "64GiB"))
    });
    parsed.map_err(|problem| WrongValue::new(text, problem, "give a number and a unit, for example 64MiB or 100MB"))
}

/// Parses how many streams a session may have open, 1 to [`MAX_STREAMS`].
///
/// # Errors
/// It is not a number, or not in that range.
pub fn max_streams(text: &str) -> Result<u16, WrongValue> {
    let number = digits(text.trim()).and_then(|number| u16::try_from(number).ok());
    number.filter(|number| (1..=MAX_STREAMS).contains(number)).ok_or_else(|| {
        let hint = "give a whole number, for example 4096";
        WrongValue::new(text, Problem::Bounds("1", "16384"), hint)
    })
}

/// A number with a decimal point: what is before it, and the digits after it.
struct Decimal<'a> {
    whole: &'a str,
    decimals: &'a str,
}

/// Splits a number from its unit, which is returned in small letters.
fn number_and_unit(text: &str) -> Result<(Decimal<'_>, String), Problem> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if digits(whole).is_none() || decimals.is_empty() || digits(decimals).is_none() || decimals.len() > MAX_DECIMALS {
        return Err(Problem::NoNumber);
    }
    match unit.trim_start() {
        "" => Err(Problem::NoUnit),
        unit => Ok((Decimal { whole, decimals }, unit.to_ascii_lowercase())),
    }
}

fn find(units: &[(&str, u64)], name: &str) -> Option<u64> {
    units.iter().find(|(unit, _)| *unit == name).map(|(_, size)| *size)
}

/// Multiplies exactly and rounds down; `None` if it is too much.
fn times(number: Decimal<'_>, size: u64) -> Option<u64> {
    let Decimal { whole, decimals } = number;
    let scale = 10u128.pow(u32::try_from(decimals.len()).ok()?);
    let scaled = whole.parse::<u64>().map(u128::from).ok()? * scale + decimals.parse::<u128>().ok()?;
    u64::try_from(scaled.checked_mul(u128::from(size))? / scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_understood() {
        let cases = [
            ("20mbit", 2_500_000),
            ("1gbit", 125_000_000),
            ("500kbit", 62_500),
            ("2.5Mbit/s", 312_500),
            (" 20 MBIT ", 2_500_000),
            ("2.5MB/s", 2_500_000),
            ("1MiB/s", 1_048_576),
            ("64000bit", 8000),
            ("0.064mbit", 8000),
            ("100gbit", 12_500_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(rate(text).map(Rate::bytes_per_second), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_rates_are_explained() {
        let bounds = Problem::Bounds("64kbit", "100gbit");
        let cases = [
            ("", Problem::NoNumber),
            ("fast", Problem::NoNumber),
            ("-1mbit", Problem::NoNumber),
            ("+1mbit", Problem::NoNumber),
            (".5mbit", Problem::NoNumber),
            ("1.mbit", Problem::NoNumber),
            ("1.2.3mbit", Problem::NoNumber),
            ("1,5mbit", Problem::Unit),
            ("1e6bit", Problem::Unit),
            ("0.0000000001gbit", Problem::NoNumber),
            ("99999999999999999999999mbit", Problem::NoNumber),
            ("20", Problem::NoUnit),
            ("20mbps", Problem::Unit),
            ("20m", Problem::Unit),
            ("20MB", Problem::Unit),
            ("20mibit", Problem::Unit),
            ("20mbit/m", Problem::Unit),
            ("0mbit", bounds.clone()),
            ("63kbit", bounds.clone()),
            ("101gbit", bounds.clone()),
            ("18446744073709551615gbit", bounds),
        ];
        for (text, expected) in cases {
            assert_eq!(rate(text).unwrap_err().problem, expected, "{text}");
        }
    }

    #[test]
    fn sizes_and_counts_are_checked() {
        for (text, expected) in [("64MiB", 64 << 20), ("100MB", 100_000_000), ("4.5mb", 4_500_000), ("1 gib", 1 << 30)]
        {
            assert_eq!(memory(text), Ok(expected), "{text}");
        }
        for text in ["", "64", "64M", "64mbit", "64MiB/s", "1MiB", "65GiB", "-64MiB"] {
            assert!(memory(text).is_err(), "{text}");
        }
        assert_eq!(
            memory("64").unwrap_err().to_string(),
            "it has no unit; give a number and a unit, for example 64MiB or 100MB"
        );
        for (text, expected) in [("1", Some(1)), ("16384", Some(16_384)), ("0", None), ("16385", None), ("x", None)] {
            assert_eq!(max_streams(text).ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in r"[0-9.]{0,30} ?[kmgib]{0,3}(it)?(/s)?") {
            for text in [text, near] {
                let _ = (rate(&text), memory(&text), max_streams(&text));
            }
        }

        #[test]
        fn rates_come_back(bits in 64_000u64..=100_000_000_000) {
            let given = Rate::from_bits_per_second(bits).unwrap();
            prop_assert_eq!(rate(&given.to_string()), Ok(given));
        }

        #[test]
        fn decimals_are_exact(thousandths in 64u64..1_000_000) {
            let text = format!("{}.{:03}mbit", thousandths / 1000, thousandths % 1000);
            prop_assert_eq!(rate(&text).map(Some), Ok(Rate::from_bits_per_second(thousandths * 1000)));
        }
    }
}
