//! How a process is looked at and steered while it runs.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use aws_lc_rs::constant_time;
use data_encoding::HEXLOWER;
use rand::Rng as _;
use thiserror::Error;

use super::forwards::is_service_name;

/// Random bytes of a token that is generated.
const TOKEN_BYTES: usize = 16;

/// Shortest and longest token that somebody chose, in bytes.
const MIN_TOKEN: usize = 16;
const MAX_TOKEN: usize = 256;

/// Where a run can be looked at and steered, and under which name. `docs/control.md` describes what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlConfig {
    /// What the process is called.
    pub name: ProcessName,
    /// Folders for its unix socket, `NAME.sock`: the first that can be used has it. Without one there is no socket.
    pub folders: Vec<ControlFolder>,
    /// Somebody chose the name and looks for it, so that it is said if there is no socket of that name.
    pub is_named: bool,
    /// The TCP address where those who have the token can do the same.
    pub listen: Option<SocketAddr>,
    /// The token; `None` generates one, which [`Event::Administration`](crate::Event::Administration) tells.
    pub token: Option<AdminToken>,
}

/// A folder for sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlFolder {
    /// Its path.
    pub path: PathBuf,
    /// It is made if it is not there; its parent has to be.
    pub is_made: bool,
}

impl ControlFolder {
    /// Names a folder that is made if it is not there.
    pub fn made(path: impl Into<PathBuf>) -> ControlFolder {
        ControlFolder { path: path.into(), is_made: true }
    }

    /// Names a folder that has to be there.
    pub fn present(path: impl Into<PathBuf>) -> ControlFolder {
        ControlFolder { path: path.into(), is_made: false }
    }
}

impl ControlConfig {
    /// Creates settings without a socket and without an address: add one of them.
    pub fn new(name: ProcessName) -> ControlConfig {
        ControlConfig { name, folders: Vec::new(), is_named: false, listen: None, token: None }
    }
}

/// The name of a process: 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore, and no hyphen first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessName(String);

/// A text is not the name of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a name has 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore, and does not begin with a hyphen")]
pub struct ProcessNameError;

impl ProcessName {
    /// Returns the name that is nearest to a text; `None` if nothing of it can be in one.
    pub fn near(text: &str) -> Option<ProcessName> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let mapped = text.chars().map(|c| c.to_ascii_lowercase()).map(|c| if allowed(c) { c } else { '-' });
        let name: String = mapped.skip_while(|c| *c == '-').take(63).collect();
        name.trim_end_matches('-').parse().ok()
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessName {
    type Err = ProcessNameError;

    fn from_str(text: &str) -> Result<ProcessName, ProcessNameError> {
        if is_service_name(text) { Ok(ProcessName(text.to_owned())) } else { Err(ProcessNameError) }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What those show who look at a process over TCP. `Debug` does not show it.
#[derive(Clone)]
pub struct AdminToken(String);

/// A text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a token has {MIN_TOKEN} to {MAX_TOKEN} letters, digits or -._~+/=")]
pub struct AdminTokenError;

impl AdminToken {
    /// Generates a token of 128 bits.
    pub fn generate() -> AdminToken {
        let mut bytes = [0; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        AdminToken(HEXLOWER.encode(&bytes))
    }

    /// Returns the token as text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Tells whether a text is the token. How long that takes does not depend on where they differ.
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), text).is_ok()
    }
}

impl FromStr for AdminToken {
    type Err = AdminTokenError;

    /// Parses what fits into a header field as it is (RFC 6750, section 2.1).
    fn from_str(text: &str) -> Result<AdminToken, AdminTokenError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        match (MIN_TOKEN..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(fits) {
            true => Ok(AdminToken(text.to_owned())),
            false => Err(AdminTokenError),
        }
    }
}

impl PartialEq for AdminToken {
    fn eq(&self, other: &AdminToken) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for AdminToken {}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names_that_need_no_quotes() {
        for name in ["a", "web", "host-4711", "a.b_c", &"x".repeat(63)] {
            assert_eq!(name.parse::<ProcessName>().unwrap().as_str(), name);
        }
        for name in ["", "-a", "A", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(name.parse::<ProcessName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn any_file_gives_a_name() {
        let near = |text: &str| ProcessName::near(text).map(|name| name.to_string());
        for (text, name) in [
            ("web", Some("web")),
            ("My Host", Some("my-host")),
            ("../x", Some("..-x")),
            ("-a-", Some("a")),
            ("日本", None),
            ("", None),
            ("ä1", Some("1")),
        ] {
            assert_eq!(near(text).as_deref(), name, "{text:?}");
        }
        assert_eq!(near(&"x".repeat(100)).unwrap().len(), 63);
    }

    #[test]
    fn tokens_are_long_and_stay_secret() {
        let token = AdminToken::generate();
        assert_eq!(token.reveal().len(), 2 * TOKEN_BYTES);
        assert_ne!(token, AdminToken::generate());
        assert!(!format!("{token:?}").contains(token.reveal()));
        assert!(token.is(token.reveal().as_bytes()) && !token.is(b"") && !token.is(&token.reveal().as_bytes()[1..]));
        for text in ["", "short", &"x".repeat(257), "with space and more", "with\nline break....", "ümlaut-ümlaut-ü"]
        {
            assert_eq!(text.parse::<AdminToken>(), Err(AdminTokenError), "{text:?}");
        }
        assert_eq!("abcDEF0123456789-._~+/=".parse::<AdminToken>().unwrap().reveal(), "abcDEF0123456789-._~+/=");
    }
}
