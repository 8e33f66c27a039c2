//! Where the directory of a cluster is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::cluster::directory::Login;
use crate::net::files;
use crate::signaling::url::{SignalingUrl, UrlError};

/// Port of Redis and Valkey.
const DEFAULT_PORT: u16 = 6379;

/// The user whom a password without a name is for.
const DEFAULT_USER: &str = "default";

/// Longest URL, in bytes.
const MAX_URL: usize = 1024;

/// The address of a Redis or a Valkey, with the login. Neither `Debug` nor `Display` shows that.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectoryUrl {
    /// Whether TLS is used, and the host and port.
    base: SignalingUrl,
    login: Login,
}

/// Where the address of the directory stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryAddress {
    /// Here.
    Url(DirectoryUrl),
    /// In the first line of this file.
    File(PathBuf),
}

/// The directory in which servers of a cluster find each other and each other's hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryConfig {
    /// Where it is.
    pub address: DirectoryAddress,
    /// Where other servers come to this one.
    pub advertise: SignalingUrl,
}

/// Why a text is no address of a directory. Shows nothing of the text, which may have a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DirectoryUrlError {
    /// Another scheme, or none.
    #[error("it does not begin with redis:// or rediss://")]
    Scheme,
    /// More than any address needs.
    #[error("it is longer than {MAX_URL} bytes")]
    TooLong,
    /// No user name and password.
    #[error("before the @ stand a user name, a colon and a password, percent-encoded where needed")]
    Login,
    /// No number of a database.
    #[error("behind the port may stand the number of a database, and nothing else")]
    Database,
    /// No host, or another port than a number.
    #[error("{}", .0.problem())]
    Place(UrlError),
}

/// Why a file gives no address of a directory. Shows nothing of what is in it.
#[derive(Debug, Error)]
pub enum DirectoryFileError {
    /// It is not there, or cannot be read as text.
    #[error("cannot read the address of the directory in {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// What is in it is no address.
    #[error("the address of the directory in {path} is none: {source}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: DirectoryUrlError,
    },
}

impl DirectoryConfig {
    /// Creates the settings of a server to which others come at `advertise`.
    pub fn new(address: DirectoryAddress, advertise: SignalingUrl) -> DirectoryConfig {
        DirectoryConfig { address, advertise }
    }
}

impl DirectoryAddress {
    /// Returns the address, which may have to be read, and what its owner should know about the file.
    ///
    /// # Errors
    /// [`DirectoryFileError`], naming the file.
    pub(crate) fn read(&self) -> Result<(DirectoryUrl, Option<String>), DirectoryFileError> {
        match self {
            DirectoryAddress::Url(url) => Ok((url.clone(), None)),
            DirectoryAddress::File(path) => read(path),
        }
    }
}

fn read(path: &Path) -> Result<(DirectoryUrl, Option<String>), DirectoryFileError> {
    use std::io::Read as _;
    let unreadable = |source| DirectoryFileError::Unreadable { path: path.into(), source };
    let file = files::open(path).map_err(unreadable)?;
    let is_shared = files::is_shared(&file);
    let mut text = String::new();
    file.take(2 * MAX_URL as u64).read_to_string(&mut text).map_err(unreadable)?;
    let line = text.lines().next().unwrap_or_default().trim();
    let url: DirectoryUrl = line.parse().map_err(|source| DirectoryFileError::Invalid { path: path.into(), source })?;
    let remark = (is_shared && url.has_password()).then(|| {
        let path = path.display();
        format!("others than its owner can read the password of the directory in {path}; chmod 600 keeps it secret")
    });
    Ok((url, remark))
}

impl DirectoryUrl {
    /// Returns whether TLS is used.
    pub(crate) fn tls(&self) -> bool {
        self.base.tls()
    }

    /// Returns the host name or IP literal, without brackets.
    pub(crate) fn host(&self) -> &str {
        self.base.host()
    }

    /// Returns the TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.base.port()
    }

    /// Returns the login and the database.
    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// Tells whether there is a password in it.
    pub(crate) fn has_password(&self) -> bool {
        self.login.credentials.is_some()
    }
}

impl FromStr for DirectoryUrl {
    type Err = DirectoryUrlError;

    fn from_str(text: &str) -> Result<DirectoryUrl, DirectoryUrlError> {
        if text.len() > MAX_URL {
            return Err(DirectoryUrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(DirectoryUrlError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "redis" => "ws",
            "rediss" => "wss",
            _ => return Err(DirectoryUrlError::Scheme),
        };
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let database = if database.is_empty() { Ok(0) } else { database.parse() };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let port = if has_port { String::new() } else { format!(":{DEFAULT_PORT}") };
        let base = SignalingUrl::parse_server(&format!("{scheme}://{authority}{port}"));
        Ok(DirectoryUrl {
            base: base.map_err(DirectoryUrlError::Place)?,
            login: Login {
                credentials: login.map(credentials).transpose()?,
                database: database.map_err(|_| DirectoryUrlError::Database)?,
            },
        })
    }
}

fn credentials(text: &str) -> Result<(String, String), DirectoryUrlError> {
    let decoded = |text| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
    let (user, password) = text.split_once(':').ok_or(DirectoryUrlError::Login)?;
    let (Ok(user), Ok(password)) = (decoded(user), decoded(password)) else { return Err(DirectoryUrlError::Login) };
    if password.is_empty() {
        return Err(DirectoryUrlError::Login);
    }
    Ok((if user.is_empty() { DEFAULT_USER.to_owned() } else { user }, password))
}

/// Without the login.
impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls() { "rediss" } else { "redis" };
        let host = if self.host().contains(':') { format!("[{}]", self.host()) } else { self.host().to_owned() };
        write!(f, "{scheme}://{host}:{}", self.port())?;
        match self.login.database {
            0 => Ok(()),
            database => write!(f, "/{database}"),
        }
    }
}

impl fmt::Debug for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<DirectoryUrl, DirectoryUrlError> {
        text.parse()
    }

    #[test]
    fn a_url_has_a_place_a_login_and_a_database() {
        let url = parsed("redis://me:a%3ab@db.example.org:7000/3").unwrap();
        assert_eq!((url.host(), url.port(), url.tls()), ("db.example.org", 7000, false));
        let credentials = Some(("me".to_owned(), "a:b".to_owned()));
        assert_eq!(url.login(), &Login { credentials, database: 3 });
        assert_eq!(parsed("redis://:x@a").unwrap().login().credentials, Some(("default".to_owned(), "x".to_owned())));
        let secure = parsed("rediss://[::1]").unwrap();
        assert_eq!((secure.host(), secure.port(), secure.tls(), secure.has_password()), ("::1", 6379, true, false));
        assert_eq!(secure.to_string(), "rediss://[::1]:6379");
        assert_eq!(parsed("redis://10.0.0.5/").unwrap().to_string(), "redis://10.0.0.5:6379");
    }

    #[test]
    fn neither_texts_nor_errors_show_the_password() {
        let shown = |text: &str| match parsed(text) {
            Ok(url) => format!("{url} {url:?} {:?}", url.login()),
            Err(error) => format!("{error} {error:?}"),
        };
        for text in [
            "redis://me:secret@a:1/2",
            "redis://:secret@a/x",
            "redis://secret@a",
            "redis://:secret@",
            "redis://:secret@a:b",
            "http://:secret@a",
            "redis://:secret%ff@a",
            "redis://secret:@a",
        ] {
            assert!(!shown(text).contains("secret"), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, expected) in [
            ("a:6379", DirectoryUrlError::Scheme),
            ("http://a", DirectoryUrlError::Scheme),
            ("redis://a/b", DirectoryUrlError::Database),
            ("redis://a/-1", DirectoryUrlError::Database),
            ("redis://me@a", DirectoryUrlError::Login),
            ("redis://me:@a", DirectoryUrlError::Login),
            ("redis://", DirectoryUrlError::Place(UrlError::NoHost)),
            ("redis://a:0", DirectoryUrlError::Place(UrlError::Port)),
        ] {
            assert_eq!(parsed(text), Err(expected), "{text}");
        }
        assert_eq!(parsed(&format!("redis://{}", "a".repeat(2000))), Err(DirectoryUrlError::TooLong));
    }
}
