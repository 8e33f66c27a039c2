//! Invitations: pins of their own beside the host's, each with a public id and rights of its own.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::pin::LETTERS;

/// Longest id, in characters.
const MAX_ID: usize = 16;

/// Number of characters of a generated id. Ids are public, so they only have to differ.
const GENERATED_ID: usize = 4;

/// The public name of an invitation: 1 to 16 of `a` to `z`, `0` to `9` and hyphens. It picks the pin before that is
/// proved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InvitationId(String);

/// The error for a text that is no [`InvitationId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the id of an invitation has 1 to {MAX_ID} of a to z, 0 to 9 and hyphen")]
pub struct InvitationIdError;

impl InvitationId {
    /// Generates an id.
    pub(crate) fn generate() -> InvitationId {
        let mut rng = rand::rng();
        InvitationId((0..GENERATED_ID).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect())
    }

    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InvitationId {
    type Err = InvitationIdError;

    fn from_str(text: &str) -> Result<InvitationId, InvitationIdError> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_id = (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_id { Ok(InvitationId(text.to_owned())) } else { Err(InvitationIdError) }
    }
}

impl TryFrom<String> for InvitationId {
    type Error = InvitationIdError;

    fn try_from(text: String) -> Result<InvitationId, InvitationIdError> {
        text.parse()
    }
}

impl From<InvitationId> for String {
    fn from(id: InvitationId) -> String {
        id.0
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an invitation admits nobody any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// Its time is over.
    Expired,
    /// The host's owner took it back, or too many guesses at its pin failed.
    Revoked,
    /// It was for one client, which has come.
    Used,
}

impl Lapse {
    /// Returns the words that tell a client, which are those of the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Lapse::Expired => "the invitation has expired",
            Lapse::Revoked => "the invitation was revoked",
            Lapse::Used => "the invitation was used",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for text in ["k", "k3", "guests-2026", "0123456789abcdef", "-"] {
            assert_eq!(text.parse::<InvitationId>().map(String::from).as_deref(), Ok(text));
        }
        for text in ["", "K3", "k 3", "k_3", "k.3", "ä", "k3/", "0123456789abcdefg"] {
            assert_eq!(text.parse::<InvitationId>(), Err(InvitationIdError), "{text}");
        }
    }

    #[test]
    fn generated_ids_are_ids() {
        for _ in 0..100 {
            let id = InvitationId::generate();
            assert_eq!(id.as_str().parse(), Ok(id));
        }
    }
}
