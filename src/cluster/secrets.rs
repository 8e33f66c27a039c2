//! The secrets that the servers of a cluster share, and what is derived from them.

use std::fmt;

use aws_lc_rs::hmac;
use thiserror::Error;

use crate::signaling::binary::{Binary, MAC_LEN};

/// Shortest secret, in bytes.
pub const MIN_SECRET: usize = 16;

/// Longest secret, in bytes.
const MAX_SECRET: usize = 1024;

/// Maximum number of secrets: an old and a new one are enough.
const MAX_SECRETS: usize = 8;

/// What a secret is used for: each use has a key of its own.
const LINK: &[u8] = b"pinhole cluster link";
const OWNER: &[u8] = b"pinhole cluster owner";
const INSTANCE: &[u8] = b"pinhole cluster instance";

/// What tells owners and processes from others without showing their tokens.
pub type Tag = Binary<MAC_LEN>;

/// The secrets of a cluster, at least one. The first proves who we are, all verify, so a secret can be replaced without
/// a moment in which servers refuse each other. Never shown by `Debug`.
#[derive(Clone)]
pub struct Secrets(Vec<Secret>);

/// One secret.
#[derive(Clone)]
pub(super) struct Secret {
    link: [u8; MAC_LEN],
    owner: hmac::Key,
    instance: hmac::Key,
}

/// Why a text holds no secrets. Shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretsError {
    /// There is none.
    #[error("there is no secret; write one a line, for example what openssl rand -hex 32 prints")]
    Empty,
    /// One is too short to be safe from guessing, or too long.
    #[error("the secret in line {line} has not {MIN_SECRET} to {MAX_SECRET} bytes; openssl rand -hex 32 makes one")]
    Length {
        /// Where, from 1.
        line: usize,
    },
    /// There are many.
    #[error("there are more than {MAX_SECRETS} secrets; leave out those that no server proves with any more")]
    TooMany,
}

impl Secrets {
    /// Reads secrets, one a line. White space at the ends of a line and empty lines do not count.
    ///
    /// # Errors
    /// [`SecretsError`].
    pub fn parse(text: &str) -> Result<Secrets, SecretsError> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let mut secrets = Vec::new();
        for (line, text) in lines.filter(|(_, text)| !text.is_empty()) {
            if !(MIN_SECRET..=MAX_SECRET).contains(&text.len()) {
                return Err(SecretsError::Length { line });
            }
            secrets.push(Secret::new(text));
        }
        match secrets.len() {
            0 => Err(SecretsError::Empty),
            1..=MAX_SECRETS => Ok(Secrets(secrets)),
            _ => Err(SecretsError::TooMany),
        }
    }

    /// Returns the tags of an owner, the one that we announce first. `owner` is the hash of its token, or an instance.
    pub fn owner_tags(&self, owner: &[u8]) -> Vec<Tag> {
        self.0.iter().map(|secret| tag(&secret.owner, owner)).collect()
    }

    /// Returns the tags of a host's process, the one that we announce first.
    pub fn instance_tags(&self, instance: &[u8]) -> Vec<Tag> {
        self.0.iter().map(|secret| tag(&secret.instance, instance)).collect()
    }

    pub(super) fn first(&self) -> &Secret {
        &self.0[0]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }
}

impl Secret {
    fn new(text: &str) -> Secret {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        let key = |label| hmac::Key::new(hmac::HMAC_SHA256, &tag(&secret, label).0);
        Secret { link: tag(&secret, LINK).0, owner: key(OWNER), instance: key(INSTANCE) }
    }

    /// Returns the key of proofs and of sealing on links.
    pub(super) fn link(&self) -> &[u8; MAC_LEN] {
        &self.link
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

fn tag(key: &hmac::Key, of: &[u8]) -> Tag {
    Binary(hmac::sign(key, of).as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_secret_a_line() {
        let secrets = Secrets::parse("0123456789abcdef\r\n\n  another secret of a cluster  \n").unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
        let alone = Secrets::parse("another secret of a cluster").unwrap();
        assert_eq!(secrets.owner_tags(b"x")[1], alone.owner_tags(b"x")[0]);
        assert_ne!(alone.owner_tags(b"x"), alone.instance_tags(b"x"));
        assert_ne!(alone.owner_tags(b"x"), alone.owner_tags(b"y"));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        let many = "0123456789abcdef\n".repeat(MAX_SECRETS + 1);
        let cases = [
            ("", SecretsError::Empty),
            (" \n\n", SecretsError::Empty),
            ("\n0123456789abcde", SecretsError::Length { line: 2 }),
            (&"x".repeat(MAX_SECRET + 1), SecretsError::Length { line: 1 }),
            (&many, SecretsError::TooMany),
        ];
        for (text, expected) in cases {
            let error = Secrets::parse(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("0123"), "{error}");
        }
    }
}
