//! Files that are written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// The numbers of a user and a group.
pub(super) type Owner = (u32, u32);

/// Writes a file beside, and moves it over: whoever reads it sees the old one or the new one. A link is replaced, not
/// followed.
///
/// # Errors
/// The system's.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        own(&file, mode, owner)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(unix)]
fn own(file: &File, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, fchown};
    if let Some((user, group)) = owner {
        // Before the mode, some bits of which this clears.
        fchown(file, Some(user), Some(group))?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn own(_file: &File, _mode: u32, _owner: Option<Owner>) -> io::Result<()> {
    Ok(())
}
