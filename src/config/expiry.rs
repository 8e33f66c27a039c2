//! When something ends, as people write it: a time from now, or a date with a time.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::invitation::Expiry;
use crate::address::digits;

const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// Longest time from now, in seconds: ten years.
const MOST: u64 = 3660 * 86_400;

/// The reason why a text says no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExpiryError {
    /// It does not begin with a whole number.
    #[error("it does not begin with a number such as 20")]
    NoNumber,
    /// No unit that is known stands behind the number.
    #[error("it has no unit")]
    NoUnit,
    /// It is too soon or too far away.
    #[error("it is not between 1s and 3660d")]
    Bounds,
    /// It looks like a date, and is none.
    #[error("it is no such date")]
    NoMoment,
}

impl FromStr for Expiry {
    type Err = ExpiryError;

    /// Parses `30s`, `15m`, `2h`, `7d`, or a time of day as RFC 3339 writes it.
    fn from_str(text: &str) -> Result<Expiry, ExpiryError> {
        let text = text.trim();
        match text.contains('-') {
            true => moment(text).map(Expiry::At).ok_or(ExpiryError::NoMoment),
            false => life(text).map(Expiry::After),
        }
    }
}

fn life(text: &str) -> Result<Duration, ExpiryError> {
    let unit = text.chars().last().ok_or(ExpiryError::NoNumber)?;
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(ExpiryError::NoUnit)?;
    let number = text.strip_suffix(unit).and_then(digits).ok_or(ExpiryError::NoNumber)?;
    let seconds = u64::try_from(number).ok().and_then(|number| number.checked_mul(*size));
    let seconds = seconds.filter(|seconds| (1..=MOST).contains(seconds));
    seconds.map(Duration::from_secs).ok_or(ExpiryError::Bounds)
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
