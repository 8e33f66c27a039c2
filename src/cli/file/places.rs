//! Where files and sockets are that are named without a folder.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::keys::Key;

/// What relative paths are relative to.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Places<'a> {
    /// The folder that they count from.
    pub(in crate::cli) folder: &'a Path,
    /// Where systemd has the secrets of a unit: a bare name is looked for there first.
    pub(in crate::cli) credentials: Option<&'a Path>,
}

impl Places<'_> {
    /// Returns a value whose path, if it is or holds one of this machine, does not depend on where the program runs.
    pub(in crate::cli) fn fix(&self, key: Key<'_>, value: OsString) -> OsString {
        match key.is_file() {
            // clap has a word for that.
            true if value.is_empty() => value,
            true => self.file(Path::new(&value)).into(),
            false => self.socket(key.name(), &value).unwrap_or(value),
        }
    }

    /// Returns where a file is.
    pub(super) fn file(&self, path: &Path) -> PathBuf {
        let is_bare = path.file_name() == Some(path.as_os_str());
        let credential = self.credentials.filter(|_| is_bare).map(|folder| folder.join(path));
        credential.filter(|path| path.is_file()).unwrap_or_else(|| self.folder.join(path))
    }

    /// Fixes the path of a socket that this side opens; one that the other side opens is absolute anyway.
    fn socket(&self, key: &str, value: &OsStr) -> Option<OsString> {
        let text = value.to_str()?;
        let marker = "unix:";
        let start = match key {
            "services" | "locals" => {
                text.find(marker).filter(|at| text[..*at].trim().is_empty() || text[..*at].ends_with('='))
            }
            "dial" => text.starts_with(marker).then_some(0),
            "reverse" => text.find(":unix:").map(|colon| colon + 1),
            _ => None,
        }?;
        let (before, path) = text.split_at(start + marker.len());
        if path.is_empty() || path.starts_with('/') {
            return None;
        }
        Some([before.into(), self.folder.join(path).into_os_string()].into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;

    fn fixed(role: &'static str, key: &str, value: &str) -> String {
        let keys = Keys::of(role);
        let places = Places { folder: Path::new("/etc/pinhole"), credentials: None };
        places.fix(keys.find(key).unwrap(), value.into()).into_string().unwrap()
    }

    #[test]
    fn paths_count_from_the_folder() {
        let cases = [
            ("host", "pin-file", "pin", "/etc/pinhole/pin"),
            ("host", "pin-file", "/pin", "/pin"),
            ("host", "pin-file", "", ""),
            ("host", "services", "unix:app.sock", "unix:/etc/pinhole/app.sock"),
            ("host", "services", "web=unix:a/b.sock", "web=unix:/etc/pinhole/a/b.sock"),
            ("host", "services", "web=unix:/run/b.sock", "web=unix:/run/b.sock"),
            ("host", "services", "web=8080", "web=8080"),
            ("host", "allow", "unix:app.sock", "unix:app.sock"),
            ("client", "locals", "db=unix:db.sock", "db=unix:/etc/pinhole/db.sock"),
            ("client", "dial", "unix:pg.sock:db.local:5432", "unix:/etc/pinhole/pg.sock:db.local:5432"),
            ("client", "dial", "8080:unix:app.sock", "8080:unix:app.sock"),
            ("client", "reverse", "8080:unix:app.sock", "8080:unix:/etc/pinhole/app.sock"),
            ("client", "reverse", "unix:/run/a.sock:unix:b.sock", "unix:/run/a.sock:unix:/etc/pinhole/b.sock"),
            ("client", "pipe", "unix:/run/app.sock", "unix:/run/app.sock"),
        ];
        for (role, key, value, expected) in cases {
            assert_eq!(fixed(role, key, value), expected, "{key} {value}");
        }
    }
}
