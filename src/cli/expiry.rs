//! When something ends, as people write it: a time from now, or a date with a time.

use std::time::{Duration, SystemTime};

use super::problem::{Problem, WrongValue};
use crate::address::digits;
use crate::config::Expiry;

const HINT: &str = "give 30s, 15m, 2h, 7d, or a date with a time and an offset such as 2026-12-24T18:00:00+08:00";

const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// Longest time from now, in seconds: ten years.
const MOST: u64 = 3660 * 86_400;

/// Parses when an invitation ends: `30s`, `15m`, `2h`, `7d`, or a time of day as RFC 3339 writes it.
///
/// # Errors
/// It is neither, or is too far away.
pub fn expiry(text: &str) -> Result<Expiry, WrongValue> {
    let text = text.trim();
    let parsed = match text.contains('-') {
        true => moment(text).map(Expiry::At).ok_or(Problem::NoMoment),
        false => life(text).map(Expiry::After),
    };
    parsed.map_err(|problem| WrongValue::new(text, problem, HINT))
}

fn life(text: &str) -> Result<Duration, Problem> {
    let unit = text.chars().last().ok_or(Problem::NoNumber)?;
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(Problem::NoUnit)?;
    let number = text.strip_suffix(unit).and_then(digits).ok_or(Problem::NoNumber)?;
    let seconds = u64::try_from(number).ok().and_then(|number| number.checked_mul(*size));
    let seconds = seconds.filter(|seconds| (1..=MOST).contains(seconds));
    seconds.map(Duration::from_secs).ok_or(Problem::Bounds("1s", "3660d"))
}

/// Parses a time of day with its offset (RFC 3339, section 5.6), from 1970 on. Fractions of a second do not count.
fn moment(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let offset = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let [hours, minutes] = numbers(zone, ':', [2, 2])?;
            let offset = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            if sign == "-" { -offset } else { offset }
        }
    };
    let is_time = hour < 24 && minute < 60 && second < 61;
    let seconds = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let seconds = u64::try_from(seconds).ok().filter(|_| is_time)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Splits text into numbers with so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let parts: [&str; N] = parts.try_into().ok()?;
    if parts.iter().zip(lengths).any(|(part, length)| part.len() != length) {
        return None;
    }
    let numbers: Vec<i64> = parts.iter().map(|part| digits(part)?.try_into().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Returns the days from 1970 to a date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years from March on, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
