//! A header field that somebody adds to the request of a WebSocket.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest value, in bytes; also the most of all fields of a request together, which servers commonly bound like
/// this.
pub const MAX_FIELDS: usize = 8 * 1024;

/// What the request says itself, or must not say: it has no body, and nothing is to be sent before it is answered.
const RESERVED: [&str; 6] = ["connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"];

/// Names that begin so belong to the handshake and to browsers.
const RESERVED_PREFIX: &str = "sec-";

/// A header field that can be added to the request of a WebSocket without changing what it is (RFC 9110, sections 5.1
/// and 5.5). `Debug` shows its name only, for the value may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderField {
    name: String,
    value: String,
}

/// Why a text is no [`HeaderField`]. Shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderFieldError {
    /// There is no colon behind the name.
    #[error("it has no colon")]
    NoColon,
    /// The name is no token (RFC 9110, section 5.6.2).
    #[error("the name of a header has letters, digits and hyphens only")]
    Name,
    /// The value has what would end the field, or what not every server reads alike.
    #[error("the value has a line break, a control character or a letter beyond ASCII")]
    Value,
    /// The value is longer than 8 KiB.
    #[error("the value is longer than 8 KiB")]
    Length,
    /// The request depends on that field.
    #[error("pinhole sets that header itself, or has to leave it out")]
    Reserved,
}

impl HeaderField {
    /// Makes a field; white space around the value is none of it.
    ///
    /// # Errors
    /// [`HeaderFieldError`], but [`NoColon`](HeaderFieldError::NoColon).
    pub fn new(name: &str, value: &str) -> Result<HeaderField, HeaderFieldError> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(HeaderFieldError::Name);
        }
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) || lower.starts_with(RESERVED_PREFIX) {
            return Err(HeaderFieldError::Reserved);
        }
        let value = value.trim_matches([' ', '\t']);
        if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return Err(HeaderFieldError::Value);
        }
        if value.len() > MAX_FIELDS {
            return Err(HeaderFieldError::Length);
        }
        Ok(HeaderField { name: name.to_owned(), value: value.to_owned() })
    }

    /// Returns the name, as it was written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns how many bytes of a request the field takes.
    pub(crate) fn size(&self) -> usize {
        self.name.len() + ": ".len() + self.value.len() + "\r\n".len()
    }
}

impl FromStr for HeaderField {
    type Err = HeaderFieldError;

    /// Parses `Name: value`.
    fn from_str(text: &str) -> Result<HeaderField, HeaderFieldError> {
        let (name, value) = text.split_once(':').ok_or(HeaderFieldError::NoColon)?;
        HeaderField::new(name, value)
    }
}

impl fmt::Debug for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderField({}: …)", self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn name_and_value_are_split() {
        let cases = [
            ("Name: value", ("Name", "value")),
            ("X-Token:abc:def ", ("X-Token", "abc:def")),
            ("Cookie: a=b;\tc=\"d\"", ("Cookie", "a=b;\tc=\"d\"")),
            ("User-Agent: curl/8", ("User-Agent", "curl/8")),
            ("Empty:", ("Empty", "")),
        ];
        for (given, expected) in cases {
            let field: HeaderField = given.parse().unwrap();
            assert_eq!((field.name(), field.value()), expected);
            assert_eq!(field.size(), format!("{}: {}\r\n", expected.0, expected.1).len());
        }
    }

    #[test]
    fn what_would_change_the_request_is_refused() {
        let long = format!("A: {}", "x".repeat(MAX_FIELDS + 1));
        let cases = [
            ("Name", HeaderFieldError::NoColon),
            ("", HeaderFieldError::NoColon),
            (": value", HeaderFieldError::Name),
            ("Na me: value", HeaderFieldError::Name),
            ("Name : value", HeaderFieldError::Name),
            ("Näme: value", HeaderFieldError::Name),
            ("A\r\nB: value", HeaderFieldError::Name),
            ("A: b\r\nC: d", HeaderFieldError::Value),
            ("A: b\n", HeaderFieldError::Value),
            ("A: \0", HeaderFieldError::Value),
            ("A: \u{7f}", HeaderFieldError::Value),
            ("A: ü", HeaderFieldError::Value),
            (long.as_str(), HeaderFieldError::Length),
            ("Host: a", HeaderFieldError::Reserved),
            ("upgrade: h2c", HeaderFieldError::Reserved),
            ("CONNECTION: close", HeaderFieldError::Reserved),
            ("Content-Length: 5", HeaderFieldError::Reserved),
            ("Transfer-Encoding: chunked", HeaderFieldError::Reserved),
            ("Expect: 100-continue", HeaderFieldError::Reserved),
            ("Sec-WebSocket-Key: a", HeaderFieldError::Reserved),
            ("sec-fetch-mode: a", HeaderFieldError::Reserved),
        ];
        for (given, expected) in cases {
            assert_eq!(given.parse::<HeaderField>(), Err(expected), "{given}");
        }
    }

    #[test]
    fn a_value_is_not_shown() {
        let field = HeaderField::new("Authorization", "secret").unwrap();
        assert_eq!(format!("{field:?}"), "HeaderField(Authorization: …)");
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_or_refused(text in "\\PC{0,40}", near in "[a-z-]{1,9}:[ -~\\r\\n\\t]{0,30}") {
            for text in [text, near] {
                if let Ok(field) = text.parse::<HeaderField>() {
                    prop_assert!(!field.name().contains(['\r', '\n', ':']) && !field.value().contains(['\r', '\n']));
                }
            }
        }
    }
}
