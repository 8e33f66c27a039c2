//! The length of a message's body, by its fields (RFC 9112, section 6).
//!
//! If the fields contradict each other, none is believed: contradictions are how request smuggling makes two sides see
//! different requests.

use httparse::Header;
use thiserror::Error;

use super::fields::values;

/// Framing of a body, as the fields describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing.
    Unsaid,
    /// A length, which may be 0.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// Why the fields cannot be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding")]
    Both,
    /// `Content-Length` is not a number, or there are several.
    #[error("a Content-Length that is not one number")]
    Length,
    /// `Transfer-Encoding` is not `chunked`, or comes with HTTP/1.0.
    #[error("a Transfer-Encoding that is not chunked once, or is in HTTP/1.0")]
    Coding,
    /// `Transfer-Encoding` has another coding beside chunks.
    #[error("a Transfer-Encoding that is not understood")]
    UnknownCoding,
}

impl Framing {
    /// Reads the framing fields. An answer may repeat the same length: some servers send that, and RFC 9110, section
    /// 8.6, allows it. No honest client repeats it in a request.
    pub(super) fn of(fields: &[Header<'_>], minor_version: u8, is_answer: bool) -> Result<Framing, FramingError> {
        let mut lengths = values(fields, "content-length");
        let mut codings = values(fields, "transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Framing::Unsaid),
            (Some(_), Some(_)) => Err(FramingError::Both),
            (None, Some(coding)) => {
                if minor_version == 0 || codings.next().is_some() {
                    return Err(FramingError::Coding);
                }
                check_coding(coding).map(|()| Framing::Chunked)
            }
            (Some(value), None) => {
                let length = number(value).ok_or(FramingError::Length)?;
                match lengths.all(|other| is_answer && number(other) == Some(length)) {
                    true => Ok(Framing::Length(length)),
                    false => Err(FramingError::Length),
                }
            }
        }
    }
}

/// Checks a coding. By RFC 9112, section 6.1, an unknown coding is 501; anything malformed is 400.
fn check_coding(value: &[u8]) -> Result<(), FramingError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let codings: Vec<&str> = std::str::from_utf8(value)
        .unwrap_or_default()
        .split(',')
        .map(|coding| coding.trim_matches([' ', '\t']))
        .collect();
    let is_last = codings.last().is_some_and(|last| last.eq_ignore_ascii_case("chunked"));
    let is_once = codings.iter().filter(|coding| coding.eq_ignore_ascii_case("chunked")).count() == 1;
    let are_tokens = codings.iter().all(|coding| !coding.is_empty() && coding.bytes().all(super::fields::is_token));
    Err(if is_last && is_once && are_tokens { FramingError::UnknownCoding } else { FramingError::Coding })
}

/// Parses a number made of digits only.
fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_is_believed_and_two_are_not() {
        use FramingError::{Both, Coding, Length, UnknownCoding};
        let cl = |value: &'static str| ("Content-Length", value);
        let te = |value: &'static str| ("transfer-encoding", value);
        type Row = (Vec<(&'static str, &'static str)>, Result<Framing, FramingError>, Option<Framing>);
        let rows: Vec<Row> = vec![
            (vec![], Ok(Framing::Unsaid), None),
            (vec![cl("0")], Ok(Framing::Length(0)), None),
            (vec![cl("18446744073709551615")], Ok(Framing::Length(u64::MAX)), None),
            (vec![cl("18446744073709551616")], Err(Length), None),
            (vec![cl("+1")], Err(Length), None),
            (vec![cl("-1")], Err(Length), None),
            (vec![cl("")], Err(Length), None),
            (vec![cl("1 1")], Err(Length), None),
            (vec![cl("1, 1")], Err(Length), None),
            (vec![cl("0x1")], Err(Length), None),
            (vec![cl("1\u{a0}")], Err(Length), None),
            (vec![cl("1"), cl("1")], Err(Length), Some(Framing::Length(1))),
            (vec![cl("1"), cl("2")], Err(Length), None),
            (vec![te("chunked")], Ok(Framing::Chunked), None),
            (vec![te("CHUNKED")], Ok(Framing::Chunked), None),
            (vec![te("chunked"), te("chunked")], Err(Coding), None),
            (vec![te("chunked, chunked")], Err(Coding), None),
            (vec![te("chunked, gzip")], Err(Coding), None),
            (vec![te("gzip, chunked")], Err(UnknownCoding), None),
            (vec![te("xchunked")], Err(Coding), None),
            (vec![te("identity")], Err(Coding), None),
            (vec![te("")], Err(Coding), None),
            (vec![te("chunked\u{a0}")], Err(Coding), None),
            (vec![te("\"chunked\"")], Err(Coding), None),
            (vec![te("chunked;a")], Err(Coding), None),
            (vec![te(",chunked")], Err(Coding), None),
            (vec![cl("1"), te("chunked")], Err(Both), None),
            (vec![te("identity"), cl("1")], Err(Both), None),
        ];
        for (given, expected, of_answer) in rows {
            let fields: Vec<Header<'_>> =
                given.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
            assert_eq!(Framing::of(&fields, 1, false), expected, "{given:?}");
            assert_eq!(Framing::of(&fields, 1, true), of_answer.map_or(expected, Ok), "{given:?}");
        }
        let fields = [Header { name: "Transfer-Encoding", value: b"chunked" }];
        assert_eq!(Framing::of(&fields, 0, false), Err(Coding));
    }
}
