//! Secrets that are given by flags, files and variables of the environment: which of them counts, and who else may read
//! it.

use std::ffi::OsString;
use std::path::Path;

use clap::ArgMatches;

use super::choices::{PIN_VARIABLE, TOKEN_VARIABLE};
use super::failure::UsageError;
use super::parse;
use super::problem::WrongValue;
use super::secret_file::{self, Secret};
use crate::signaling::pin::Pin;
use crate::signaling::rendezvous::Token;
use crate::socks::Credentials;

/// How one secret is given.
pub(super) struct SecretFlags<T> {
    names: Names,
    parse: fn(&str) -> Result<T, WrongValue>,
}

/// What one secret is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// The flag with the secret itself.
    pub(super) flag: &'static str,
    /// The flag with a file.
    pub(super) file: &'static str,
    /// The variable of the environment.
    pub(super) variable: &'static str,
    /// What it is.
    pub(super) name: &'static str,
    /// What belongs into the file.
    line: &'static str,
    /// What belongs into the variable.
    wanted: &'static str,
}

/// What clients prove to the host.
pub(super) const PIN: SecretFlags<Pin> = SecretFlags {
    names: Names {
        flag: "--pin",
        file: "--pin-file",
        variable: PIN_VARIABLE,
        name: "the pin",
        line: "the pin",
        wanted: "the pin that the host printed, for example 123456",
    },
    parse: parse::pin,
};

/// What a host shows to a server.
pub(super) const TOKEN: SecretFlags<Token> = SecretFlags {
    names: Names {
        flag: "--token",
        file: "--token-file",
        variable: TOKEN_VARIABLE,
        name: "the token",
        line: "the token",
        wanted: "a token that the server knows",
    },
    parse: parse::token,
};

/// What visitors of a published service log in with.
pub(super) const PUBLIC_AUTH: SecretFlags<Credentials> = SecretFlags {
    names: Names {
        flag: "--public-auth",
        file: "--public-auth-file",
        variable: "PINHOLE_PUBLIC_AUTH",
        name: "the login",
        line: "USER:PASSWORD",
        wanted: "USER:PASSWORD",
    },
    parse: parse::login,
};

/// What programs log in with that use a proxy of `-D`.
pub(super) const PROXY_AUTH: SecretFlags<Credentials> = SecretFlags {
    names: Names {
        flag: "--proxy-auth",
        file: "--proxy-auth-file",
        variable: "PINHOLE_PROXY_AUTH",
        ..PUBLIC_AUTH.names
    },
    parse: parse::login,
};

/// What the pin is called.
#[cfg(unix)]
pub(super) const PIN_NAMES: Names = PIN.names;

/// The names of all secrets.
pub(super) const ALL: [Names; 4] = [PIN.names, TOKEN.names, PUBLIC_AUTH.names, PROXY_AUTH.names];

impl Names {
    /// Returns the key of a file of settings that has the secret itself.
    pub(super) fn key(&self) -> &'static str {
        self.flag.trim_start_matches('-')
    }

    /// Returns the key that has its file.
    #[cfg(unix)]
    pub(super) fn file_key(&self) -> &'static str {
        self.file.trim_start_matches('-')
    }
}

impl<T> SecretFlags<T> {
    /// Returns the value of the variable.
    pub(super) fn environment(&self) -> Option<OsString> {
        std::env::var_os(self.names.variable)
    }

    /// Picks the secret of the flag, or of the file, or else of the environment, where an empty one is none. What is to
    /// be warned of goes to `remarks`.
    pub(super) fn pick(
        &self,
        flag: Option<T>,
        file: Option<&Path>,
        environment: Option<OsString>,
        remarks: &mut Vec<String>,
    ) -> Result<Option<T>, UsageError> {
        let Names { name, line, wanted, variable, .. } = self.names;
        let (origin, text) = match (flag, file) {
            (Some(_), Some(_)) => return Err(UsageError::FlagAndFile(self.names.flag, self.names.file, name)),
            (Some(secret), None) => return Ok(Some(secret)),
            (None, Some(path)) => {
                let (text, remark) = secret_file::read(Secret { flag: self.names.file, name: line }, path)?;
                remarks.extend(remark);
                (self.names.file, text)
            }
            (None, None) => {
                let text = environment.unwrap_or_default().into_string();
                (variable, text.map_err(|_| UsageError::Encoding { variable, wanted })?)
            }
        };
        if text.is_empty() {
            return Ok(None);
        }
        (self.parse)(&text).map(Some).map_err(|wrong| wrong.of(origin))
    }
}

/// The argument with the URL of the directory, and a warning for one with a password.
const DIRECTORY: &str = "directory";
const DIRECTORY_SHOWN: &str = "--directory: others on this machine can read the password in the list of processes; \
                               --directory-file keeps it out of there";

/// Says of each secret among the arguments of a command that others can read it there, and where else it may be.
pub(super) fn shown(matches: &ArgMatches) -> Vec<String> {
    let is_given = |flag: &str| matches.try_contains_id(&id(flag)).unwrap_or_default();
    let is_known = |flag: &str| matches.try_contains_id(&id(flag)).is_ok();
    let shown = ALL.iter().filter(|names| is_given(names.flag)).map(|names| {
        let Names { flag, file, variable, .. } = names;
        let elsewhere = if is_known(file) { format!("{file} or {variable}") } else { (*variable).to_owned() };
        format!(
            "{flag}: others on this machine can read it in the list of processes; {elsewhere} keeps it out of there"
        )
    });
    let directory = matches.try_get_raw(DIRECTORY).ok().flatten();
    let has_password = directory.into_iter().flatten().any(|url| url.to_string_lossy().contains('@'));
    shown.chain(has_password.then(|| DIRECTORY_SHOWN.to_owned())).collect()
}

/// Returns what the secret is called that a key of a file holds, if it holds one.
pub(super) fn name(key: &str) -> Option<&'static str> {
    ALL.iter().find(|names| names.key() == key).map(|names| names.name)
}

/// Returns clap's name of a flag.
fn id(flag: &str) -> String {
    flag.trim_start_matches('-').replace('-', "_")
}
