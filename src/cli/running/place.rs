//! Where the sockets are by which running processes are controlled, and which there are.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::net::folder;

/// Where units have their folders.
const UNITS: &str = "/run/pinhole";

/// Maximum number of sockets that are looked at.
const MAX_SOCKETS: usize = 256;

/// A socket of a process that runs, or ran.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Socket {
    /// What the process is called.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Ordered by their names.
    pub(super) sockets: Vec<Socket>,
    /// Folders of units that this user may not look into.
    pub(super) hidden: usize,
    /// Sockets beyond those that are looked at.
    pub(super) unlisted: usize,
}

/// Looks for sockets in folders of the user's own, and in those of units; with a name, only for those of that name.
pub(super) fn sockets(own: &[PathBuf], name: Option<&str>) -> Found {
    find(own, Path::new(UNITS), name)
}

fn find(own: &[PathBuf], units: &Path, name: Option<&str>) -> Found {
    let mut found = Found::default();
    // In a folder that somebody else made, sockets are of whoever that was.
    for path in own.iter().filter(|path| folder::check(path).is_ok()) {
        found.look_into(path, name);
        // The units of a user have theirs in there.
        let inner = folders_in(path).filter(|inner| !own.contains(inner) && folder::check(inner).is_ok());
        inner.for_each(|inner| found.look_into(&inner, name));
    }
    folders_in(units).filter(|folder| !own.contains(folder)).for_each(|folder| found.look_into(&folder, name));
    found.sockets.sort();
    found
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).take(MAX_SOCKETS)
}

impl Found {
    fn look_into(&mut self, folder: &Path, wanted: Option<&str>) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.hidden += usize::from(error.kind() == std::io::ErrorKind::PermissionDenied);
                return;
            }
        };
        let is_socket = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_socket());
        for entry in entries.flatten().filter(is_socket) {
            let path = entry.path();
            let name = match (path.extension(), path.file_stem()) {
                (Some(extension), Some(stem)) if extension == "sock" => stem.to_string_lossy().into_owned(),
                _ => continue,
            };
            if wanted.is_some_and(|wanted| wanted != name) {
                continue;
            }
            match self.sockets.len() < MAX_SOCKETS {
                true => self.sockets.push(Socket { name, path }),
                false => self.unlisted += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sockets_are_found_in_both_places_and_nothing_else_is() {
        let root = std::env::temp_dir().join(format!("pinhole-place-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (own, units) = (root.join("own"), root.join("units"));
        fs::create_dir_all(own.join("mine")).unwrap();
        fs::create_dir_all(units.join("nas")).unwrap();
        fs::create_dir_all(units.join("other")).unwrap();
        let _held: Vec<UnixListener> = [
            own.join("b.sock"),
            own.join("mine/a.sock"),
            own.join("plain"),
            units.join("nas/nas.sock"),
            units.join("top.sock"),
        ]
        .iter()
        .map(|path| UnixListener::bind(path).unwrap())
        .collect();
        fs::write(own.join("file.sock"), "").unwrap();
        let names = |found: Found| found.sockets.into_iter().map(|socket| socket.name).collect::<Vec<_>>();
        assert_eq!(names(find(&[own.clone(), "/nowhere".into()], &units, None)), ["a", "b", "nas"]);
        // A unit asks for itself, and nothing is there twice.
        assert_eq!(names(find(&[units.join("nas")], &units, None)), ["nas"]);
        assert_eq!(names(find(&[], Path::new("/nowhere"), None)), [""; 0]);
        // What others left behind hides none that is named.
        let left: Vec<UnixListener> =
            (0..300).map(|number| UnixListener::bind(own.join(format!("host-{number}.sock"))).unwrap()).collect();
        drop(left);
        let all = find(std::slice::from_ref(&own), &units, None);
        assert_eq!((all.sockets.len(), all.unlisted), (MAX_SOCKETS, 303 - MAX_SOCKETS));
        assert_eq!(names(find(&[own], &units, Some("nas"))), ["nas"]);
        fs::remove_dir_all(&root).unwrap();
    }
}
