//! Files that are written so that everything can be undone.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::private_file::{Owner, put};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    All,
    Owner,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Readers::All => 0o644,
            Readers::Owner => 0o600,
        }
    }
}

/// Changes, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Changes {
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    File(PathBuf),
    Folder(PathBuf),
    /// What was there before, with its mode, owner and group.
    Restore(PathBuf, Vec<u8>, u32, Owner),
}

impl Changes {
    /// Makes a folder and those above it with this mode, and returns the new ones.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn folder(&mut self, path: &Path, mode: u32) -> io::Result<Vec<PathBuf>> {
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
        for folder in missing.iter().rev() {
            fs::create_dir(folder).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => io::Error::other(format!("{} is no folder", folder.display())),
                _ => error,
            })?;
            self.undo.push(Undo::Folder(folder.to_path_buf()));
            // The umask of a careful administrator would hide the settings from the unit.
            fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
        }
        Ok(missing.into_iter().map(Path::to_path_buf).collect())
    }

    /// Writes a new file. No link is followed.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` if there is anything of that name.
    pub(super) fn write(&mut self, path: &Path, text: &str, readers: Readers) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(readers.mode()).open(path);
        let mut file = file?;
        self.undo.push(Undo::File(path.to_owned()));
        file.set_permissions(fs::Permissions::from_mode(readers.mode()))?;
        file.write_all(text.as_bytes())?;
        // A full disk may say so only now.
        file.sync_all()
    }

    /// Writes a file in the place of what is there: a link is replaced, not followed.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn replace(&mut self, path: &Path, text: &str, readers: Readers) -> io::Result<()> {
        let before = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return self.write(path, text, readers),
            Err(error) => return Err(error),
            Ok(there) if !there.is_file() => {
                return Err(io::Error::other("it is no file; remove it, or give another name"));
            }
            Ok(there) => {
                let (mode, owner) = (there.permissions().mode() & 0o7777, (there.uid(), there.gid()));
                Undo::Restore(path.to_owned(), fs::read(path)?, mode, owner)
            }
        };
        put(path, text.as_bytes(), readers.mode(), None)?;
        self.undo.push(before);
        Ok(())
    }

    /// Undoes everything, and returns what is left all the same.
    pub(super) fn undo(self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        for undo in self.undo.into_iter().rev() {
            let (undone, path) = match undo {
                Undo::File(path) => (fs::remove_file(&path), path),
                Undo::Folder(path) => (fs::remove_dir(&path), path),
                Undo::Restore(path, bytes, mode, owner) => {
                    let restored = put(&path, &bytes, mode, Some(owner));
                    // Rather what was in it, for fewer readers, than nothing of it.
                    let restored = restored.or_else(|error| put(&path, &bytes, mode & 0o700, None).and(Err(error)));
                    (restored, path)
                }
            };
            if undone.is_err_and(|error| error.kind() != ErrorKind::NotFound) {
                left.push(path);
            }
        }
        left
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
