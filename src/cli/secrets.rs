//! Secrets that are given by flags, files and variables of the environment: which of them counts, and who else may read
//! it.

use std::ffi::OsString;
use std::path::Path;

use super::failure::UsageError;
use super::parse;
use super::secret_file::{self, Secret};
use crate::socks::Credentials;

/// How a user name and its password are given.
pub(super) struct LoginFlags {
    flag: &'static str,
    file: &'static str,
    variable: &'static str,
}

/// What visitors of a published service log in with.
pub(super) const PUBLIC_AUTH: LoginFlags =
    LoginFlags { flag: "--public-auth", file: "--public-auth-file", variable: "PINHOLE_PUBLIC_AUTH" };

/// What programs log in with that use a proxy of `-D`.
pub(super) const PROXY_AUTH: LoginFlags =
    LoginFlags { flag: "--proxy-auth", file: "--proxy-auth-file", variable: "PINHOLE_PROXY_AUTH" };

impl LoginFlags {
    /// Returns the value of the variable.
    pub(super) fn environment(&self) -> Option<OsString> {
        std::env::var_os(self.variable)
    }

    /// Picks the login of the flag, or of the file, or else of the environment, where an empty one is none. What is to
    /// be warned of goes to `remarks`.
    pub(super) fn pick(
        &self,
        flag: Option<Credentials>,
        file: Option<&Path>,
        environment: Option<OsString>,
        remarks: &mut Vec<String>,
    ) -> Result<Option<Credentials>, UsageError> {
        let (origin, text) = match (flag, file) {
            (Some(_), Some(_)) => return Err(UsageError::FlagAndFile(self.flag, self.file, "the login")),
            (Some(login), None) => {
                remarks.push(shown(self.flag, &format!("{} or {}", self.file, self.variable)));
                return Ok(Some(login));
            }
            (None, Some(path)) => {
                let (text, remark) = secret_file::read(Secret { flag: self.file, name: "USER:PASSWORD" }, path)?;
                remarks.extend(remark);
                (self.file, text)
            }
            (None, None) => {
                let text = environment.unwrap_or_default().into_string();
                let wrong = UsageError::Encoding { variable: self.variable, wanted: "USER:PASSWORD" };
                (self.variable, text.map_err(|_| wrong)?)
            }
        };
        if text.is_empty() {
            return Ok(None);
        }
        parse::login(&text).map(Some).map_err(|wrong| wrong.of(origin))
    }
}

/// What to say of a secret among the arguments, and where else it may be.
pub(super) fn shown(flag: &str, elsewhere: &str) -> String {
    format!("{flag}: others on this machine can read it in the list of processes; {elsewhere} keeps it out of there")
}
