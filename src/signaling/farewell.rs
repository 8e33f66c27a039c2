//! Why a side ends a session, as told over signaling: the `reason` of `bye`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::invitation::Lapse;

/// What a client says that only looked whether the two can connect.
pub const VISITED: &str = "check";

/// The `reason` of a `bye` (`docs/protocol.md`, "Words of goodbye").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// No path was found in time.
    NoPath,
    /// The visitor only checked whether the two can connect.
    Check,
    /// The invitation that the peer came with admits it no more.
    Lapsed(Lapse),
    /// Words for people. A peer's words are shortened and stripped of control characters.
    Other(String),
}

impl Farewell {
    /// Returns the reason as it is sent.
    pub fn as_str(&self) -> &str {
        match self {
            Farewell::NoPath => "no direct path was found",
            Farewell::Check => VISITED,
            Farewell::Lapsed(lapse) => lapse.as_str(),
            Farewell::Other(words) => words,
        }
    }
}

impl Default for Farewell {
    fn default() -> Farewell {
        Farewell::Other(String::new())
    }
}

impl From<String> for Farewell {
    fn from(words: String) -> Farewell {
        let lapses = [Lapse::Expired, Lapse::Revoked, Lapse::Used].map(Farewell::Lapsed);
        let mut known = [Farewell::NoPath, Farewell::Check].into_iter().chain(lapses);
        let known = known.find(|known| known.as_str() == words);
        known.unwrap_or(Farewell::Other(words))
    }
}

impl From<&str> for Farewell {
    fn from(words: &str) -> Farewell {
        Farewell::from(words.to_owned())
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Farewell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Farewell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Farewell, D::Error> {
        super::words::words(deserializer).map(Farewell::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::message::Inner;

    #[test]
    fn the_words_on_the_wire_are_those_of_the_protocol() {
        for (reason, text) in [
            (Farewell::NoPath, "no direct path was found"),
            (Farewell::Check, "check"),
            (Farewell::Lapsed(Lapse::Expired), "the invitation has expired"),
            (Farewell::Lapsed(Lapse::Revoked), "the invitation was revoked"),
            (Farewell::Lapsed(Lapse::Used), "the invitation was used"),
            (Farewell::Other("done".to_owned()), "done"),
            (Farewell::default(), ""),
        ] {
            let bye = Inner::Bye { reason };
            let json = format!(r#"{{"type":"bye","reason":"{text}"}}"#);
            assert_eq!((bye.to_text(), Inner::parse(&json)), (json.clone(), Ok(bye)));
        }
        assert_eq!(Inner::parse(r#"{"type":"bye"}"#), Ok(Inner::Bye { reason: Farewell::default() }));
    }
}
