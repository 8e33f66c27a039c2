//! Who may register as a host: the file of `pinhole server --tokens`.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::constant_time;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::net::files;
use crate::signaling::rendezvous::{HostId, Token};

/// The largest file that is read: some 40,000 entries.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Longest id, in bytes.
const MAX_ID: usize = 63;

/// Longest part of a wrong pattern that an error shows, in characters.
const MAX_SHOWN: usize = 80;

/// The permissions of each token. Only the hashes of tokens are known.
#[derive(Debug, Clone)]
pub struct Tokens {
    grants: Vec<Grant>,
}

/// The permissions of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// Its holder may dial through the hosts that have its ids.
    pub dial: bool,
    /// How many hosts may be registered with it at a time.
    pub max_hosts: Option<usize>,
    /// How many clients each of these may have at a time.
    pub max_clients: Option<usize>,
    ids: Vec<Pattern>,
}

/// The reason why a text is not a list of tokens. Entries are counted from 1, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokensError {
    /// The text is not TOML, or has an unknown key.
    #[error("line {line}: {message}; an entry is [[token]], and below it hash = \"<hex>\" and ids = [\"team-*\"]")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// The parser's message.
        message: String,
    },
    /// There is no entry.
    #[error("there is no token; write [[token]], and below it hash = \"<hex>\" and ids = [\"team-*\"]")]
    Empty,
    /// The hash is malformed. It is not shown, because it may be a token.
    #[error(
        "token {entry}: its hash is not 64 hexadecimal digits; write what this prints, without the dash: \
         printf %s \"$TOKEN\" | sha256sum"
    )]
    Hash {
        /// The entry's number, from 1.
        entry: usize,
    },
    /// The hash of a variable that was not set.
    #[error("token {entry}: its hash is that of nothing; set TOKEN first: printf %s \"$TOKEN\" | sha256sum")]
    HashOfNothing {
        /// The entry's number, from 1.
        entry: usize,
    },
    /// Two entries have one hash.
    #[error("token {entry}: its hash is that of token {first}, too; write all of its ids into one of them")]
    Duplicate {
        /// The later one.
        entry: usize,
        /// The earlier one.
        first: usize,
    },
    /// The token permits nothing.
    #[error("token {entry}: it has no ids; write those that it may register, for example ids = [\"team-*\"]")]
    NoIds {
        /// The entry's number, from 1.
        entry: usize,
    },
    /// A pattern that no id can match.
    #[error("token {entry}: {pattern:?} matches no id: {problem}; write one such as blog, team-* or *-team")]
    Pattern {
        /// The entry's number, from 1.
        entry: usize,
        /// The beginning of the pattern.
        pattern: String,
        /// The reason.
        problem: PatternError,
    },
    /// A limit that lets nobody in.
    #[error("token {entry}: {key} = 0 lets nobody in; write at least 1, or leave the entry out")]
    Zero {
        /// The entry's number, from 1.
        entry: usize,
        /// The limit's name.
        key: &'static str,
    },
}

/// The reason why a file gives no tokens.
#[derive(Debug, Error)]
pub enum TokensFileError {
    /// It is not there, or cannot be read.
    #[error("cannot read the file of tokens {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is larger than any such file.
    #[error("the file of tokens {path} is larger than {MAX_FILE} bytes", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("the file of tokens {path} is not UTF-8", path = path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Something in it is wrong.
    #[error("{path}: {source}", path = path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The error in the file.
        source: TokensError,
    },
}

impl Tokens {
    /// Parses the text of a file of tokens, which is TOML:
    ///
    /// ```toml
    /// [[token]]
    /// hash = "<SHA-256 of the token, in hex>"
    /// ids = ["team-*", "blog"]
    /// dial = false
    /// max-hosts = 10
    /// max-clients = 100
    /// ```
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Tokens, TokensError> {
        let file: Entries = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        if file.token.is_empty() {
            return Err(TokensError::Empty);
        }
        let mut known = HashMap::new();
        let mut grants = Vec::with_capacity(file.token.len());
        for (index, token) in file.token.into_iter().enumerate() {
            let entry = index + 1;
            let grant = token.grant(entry)?;
            if let Some(first) = known.insert(grant.hash, entry) {
                return Err(TokensError::Duplicate { entry, first });
            }
            grants.push(grant);
        }
        Ok(Tokens { grants })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`TokensFileError`], naming the file.
    pub fn read(path: &Path) -> Result<Tokens, TokensFileError> {
        let mut text = Vec::new();
        let read = files::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text));
        let path = || PathBuf::from(path);
        read.map_err(|source| TokensFileError::Unreadable { path: path(), source })?;
        if text.len() as u64 > MAX_FILE {
            return Err(TokensFileError::TooLarge { path: path() });
        }
        let text = String::from_utf8(text).map_err(|_| TokensFileError::NotText { path: path() })?;
        Tokens::parse(&text).map_err(|source| TokensFileError::Wrong { path: path(), source })
    }

    /// Returns what a token's holder may do. How long that takes tells nothing about any token.
    pub fn find(&self, token: &Token) -> Option<&Grant> {
        self.find_hash(&token.hash())
    }

    /// Returns what the holder of the token with this SHA-256 may do: of a token that was known before the file was
    /// read again.
    pub fn find_hash(&self, hash: &[u8; 32]) -> Option<&Grant> {
        let mut found = None;
        // Compare with every entry, so the time does not tell which one it is.
        for grant in &self.grants {
            if constant_time::verify_slices_are_equal(&grant.hash, hash).is_ok() {
                found = Some(grant);
            }
        }
        found
    }

    /// Returns every entry, in the order of the file.
    #[cfg(test)]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }
}

impl Grant {
    /// Tells whether the token's holder may register this id.
    pub fn owns(&self, id: &HostId) -> bool {
        self.ids.iter().any(|pattern| pattern.matches(id.as_str()))
    }
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    hash: String,
    ids: Vec<String>,
    #[serde(default)]
    dial: bool,
    max_hosts: Option<usize>,
    max_clients: Option<usize>,
}

impl Entry {
    fn grant(self, entry: usize) -> Result<Grant, TokensError> {
        let hash = HEXLOWER_PERMISSIVE.decode(self.hash.trim().as_bytes()).ok().and_then(|hash| hash.try_into().ok());
        let hash: [u8; 32] = hash.ok_or(TokensError::Hash { entry })?;
        if hash == <[u8; 32]>::from(Sha256::digest(b"")) {
            return Err(TokensError::HashOfNothing { entry });
        }
        if self.ids.is_empty() {
            return Err(TokensError::NoIds { entry });
        }
        let pattern = |text: &String| {
            let shown = || text.chars().take(MAX_SHOWN).collect();
            text.parse().map_err(|problem| TokensError::Pattern { entry, pattern: shown(), problem })
        };
        let ids = self.ids.iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
        for (limit, key) in [(self.max_hosts, "max-hosts"), (self.max_clients, "max-clients")] {
            if limit == Some(0) {
                return Err(TokensError::Zero { entry, key });
            }
        }
        Ok(Grant { hash, ids, dial: self.dial, max_hosts: self.max_hosts, max_clients: self.max_clients })
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> TokensError {
    let before = error.span().and_then(|span| text.as_bytes().get(..span.start)).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    TokensError::Syntax { line, message: error.message().replace('\n', ", ") }
}

/// Ids that a token may register: an id, with `*` for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// What stands before, between and after the asterisks.
    parts: Vec<String>,
}

/// The reason why no id can match a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A character that no id has.
    #[error("ids have a to z, 0 to 9 and hyphen")]
    Character,
    /// A hyphen where no id has one.
    #[error("ids have no hyphen at their ends")]
    Hyphen,
    /// More, or without an asterisk fewer, characters than any id has.
    #[error("ids have 3 to 63 characters")]
    Length,
}

impl Pattern {
    fn matches(&self, id: &str) -> bool {
        let [first, others @ ..] = &self.parts[..] else { return false };
        let Some(rest) = id.strip_prefix(first.as_str()) else { return false };
        let [middle @ .., last] = others else { return rest.is_empty() };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
        // The first place is the best one: it leaves the most for what follows.
        for part in middle {
            let Some(index) = rest.find(part.as_str()) else { return false };
            rest = &rest[index + part.len()..];
        }
        true
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(PatternError::Character);
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(PatternError::Hyphen);
        }
        let literal = text.bytes().filter(|byte| *byte != b'*').count();
        // What begins or ends with a hyphen beside an asterisk needs a further character there.
        let inner = text.trim_matches('*');
        let further = usize::from(inner.starts_with('-')) + usize::from(inner.ends_with('-'));
        if literal + further > MAX_ID || (literal == text.len() && text.parse::<HostId>().is_err()) {
            return Err(PatternError::Length);
        }
        Ok(Pattern { parts: text.split('*').map(str::to_owned).collect() })
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
