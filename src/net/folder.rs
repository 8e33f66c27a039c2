//! Folders that are a user's own.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use rustix::event::{Timespec, poll};
use rustix::process::geteuid;

/// Bits of a mode that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// How often a folder's lock is tried that only programs of this user can hold, a millisecond apart.
const LOCK_TRIES: usize = 2000;

/// How often a folder's lock is tried that others can hold, too.
const SHARED_LOCK_TRIES: usize = 50;

/// Returns the number of the user that this process is.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

/// Makes a folder for the user alone, unless there is something at the path.
///
/// # Errors
/// The system's, also if its parent is not there.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Checks that a path is a folder of the user's own that nobody else can put files into.
///
/// # Errors
/// What it is instead, as a sentence.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let wrong = |what: &str| Err(io::Error::other(what.to_owned()));
    // Not `metadata`: whoever may put a link there could lead us into another folder of ours.
    let metadata = fs::symlink_metadata(path)?;
    match metadata.is_dir() {
        false if metadata.is_symlink() => wrong("it is a link, and not a folder"),
        false => wrong("it is not a folder"),
        true if metadata.uid() != user() => wrong("it belongs to another user"),
        true if metadata.mode() & OTHERS_WRITE != 0 => wrong("others than its owner can write there"),
        true => Ok(()),
    }
}

/// Locks the folder of a socket, so that nobody else looks whether it is in use and replaces it at the same time. Where
/// others may hold the lock, they are hardly waited for: without it, all is well but for that.
pub(crate) fn lock(path: &Path) -> Option<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder).ok()?;
    let is_private = folder.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 == 0);
    let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    for _ in 0..if is_private { LOCK_TRIES } else { SHARED_LOCK_TRIES } {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) => drop(poll(&mut [], Some(&pause))),
            // Some file systems have no locks.
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    /// A folder that is gone when this is dropped.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new() -> Temporary {
            let path = std::env::temp_dir().join(format!("pinhole-folder-{:016x}", rand::random::<u64>()));
            fs::create_dir(&path).unwrap();
            Temporary(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_folder_is_for_its_user_alone() {
        let parent = Temporary::new();
        let path = parent.0.join("own");
        make(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        check(&path).unwrap();
        for (mode, is_right) in [(0o755, true), (0o770, false), (0o702, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&path).is_ok(), is_right, "{mode:o}");
        }
        assert!(make(&parent.0.join("missing/own")).is_err());
    }

    #[test]
    fn neither_a_link_nor_a_file_is_a_folder() {
        let parent = Temporary::new();
        let (own, link, file) = (parent.0.join("own"), parent.0.join("link"), parent.0.join("file"));
        make(&own).unwrap();
        symlink(&own, &link).unwrap();
        fs::write(&file, "").unwrap();
        make(&link).unwrap();
        assert!(check(&link).unwrap_err().to_string().contains("a link"));
        assert!(check(&file).unwrap_err().to_string().contains("not a folder"));
        assert_eq!(check(&parent.0.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn folders_of_others_are_not_trusted() {
        if user() != 0 {
            assert!(check(Path::new("/")).unwrap_err().to_string().contains("another user"));
        }
    }
}
