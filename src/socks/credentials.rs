//! The user name and password that `--proxy-auth` requires of local programs, and `--public-auth` of visitors.

use std::fmt;

use aws_lc_rs::constant_time;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest user name and longest password, in bytes (RFC 1929, section 2).
const MAX_LENGTH: usize = 255;

/// A user name and its password. Only their hash is stored: it cannot be shown by mistake, and comparing hashes takes
/// the same time wherever the input differs and however long the password is.
#[derive(Clone)]
pub struct Credentials {
    hash: [u8; 32],
}

/// Why a text is not a user name and password. Does not show the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// There is no colon between the two.
    #[error("there is no colon between user name and password")]
    NoColon,
    /// One of them is empty, or longer than 255 bytes.
    #[error("user name and password have 1 to 255 bytes each")]
    Length,
    /// One of them has a character that HTTP does not allow there (RFC 7617, section 2).
    #[error("user name and password have no control characters")]
    Control,
}

impl Credentials {
    /// Parses `user:password`; the password may contain colons.
    ///
    /// # Errors
    /// [`CredentialsError`] if SOCKS5 or HTTP could not express them.
    pub fn parse(text: &str) -> Result<Credentials, CredentialsError> {
        let (user, password) = text.split_once(':').ok_or(CredentialsError::NoColon)?;
        if [user, password].iter().any(|part| part.is_empty() || part.len() > MAX_LENGTH) {
            return Err(CredentialsError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(CredentialsError::Control);
        }
        Ok(Credentials { hash: hash(user.as_bytes(), password.as_bytes()) })
    }

    /// Creates credentials from a [`Credentials::hash`].
    pub(crate) fn from_hash(hash: [u8; 32]) -> Credentials {
        Credentials { hash }
    }

    /// Tells whether these are the right ones.
    pub(crate) fn are(&self, user: &[u8], password: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.hash, &hash(user, password)).is_ok()
    }

    /// Returns SHA-256 over the user name's length (u64, big-endian), the user name and the password. The hash has no
    /// salt, so its holder can test passwords against it: give it only to those who check logins.
    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

fn hash(user: &[u8], password: &[u8]) -> [u8; 32] {
    // The length tells `ab` and `c` from `a` and `bc`.
    let length = (user.len() as u64).to_be_bytes();
    Sha256::new().chain_update(length).chain_update(user).chain_update(password).finalize().into()
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod vectors;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_pair_is_right() {
        let credentials = Credentials::parse("me:p:w").unwrap();
        assert!(credentials.are(b"me", b"p:w"));
        for (user, password) in [("me", "p"), ("me:p", "w"), ("m", "ep:w"), ("", ""), ("me", ""), ("Me", "p:w")] {
            assert!(!credentials.are(user.as_bytes(), password.as_bytes()), "{user} {password}");
        }
        assert_eq!(format!("{credentials:?}"), "Credentials(…)");
        let checked_elsewhere = Credentials::from_hash(*credentials.hash());
        assert!(checked_elsewhere.are(b"me", b"p:w") && !checked_elsewhere.are(b"me", b"p"));
    }

    #[test]
    fn what_a_protocol_cannot_express_is_refused() {
        let long = "x".repeat(256);
        let rows = [
            ("", CredentialsError::NoColon),
            ("me", CredentialsError::NoColon),
            (":", CredentialsError::Length),
            ("me:", CredentialsError::Length),
            (":secret", CredentialsError::Length),
            (&format!("me:{long}"), CredentialsError::Length),
            (&format!("{long}:secret"), CredentialsError::Length),
            ("me:sec\nret", CredentialsError::Control),
            ("me:\u{85}", CredentialsError::Control),
        ];
        for (text, expected) in rows {
            assert_eq!(Credentials::parse(text).map(drop), Err(expected), "{text}");
            assert!(!expected.to_string().contains("secret"));
        }
        assert!(Credentials::parse("jürgen:pässword").is_ok());
    }
}
