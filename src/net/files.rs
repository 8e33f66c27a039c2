//! Files that are named by people: settings, secrets, tokens, certificates.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file for reading. Reading one is bounded by its reader, and this bounds opening it: a pipe that nobody opens
/// for writing within two seconds is an error, where the system would wait for ever.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    if pipe::is_one(path) {
        return pipe::open(path);
    }
    File::open(path)
}

/// Tells whether others than its owner may read a file.
#[cfg(unix)]
pub(crate) fn is_shared(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0)
}

/// Tells whether others than its owner may read a file.
#[cfg(not(unix))]
pub(crate) fn is_shared(_file: &File) -> bool {
    false
}

#[cfg(unix)]
mod pipe {
    use std::fs::{self, File};
    use std::io;
    use std::os::unix::fs::FileTypeExt as _;
    use std::path::Path;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    /// A writer that was started at the same time has opened the pipe by then.
    const WRITER: Duration = Duration::from_secs(2);

    pub(super) fn is_one(path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
    }

    /// The thread of a pipe without a writer stays until there is one, or the process ends.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        let (sender, receiver) = mpsc::channel();
        let path = path.to_owned();
        // Nobody may be there to take it any more.
        thread::Builder::new().spawn(move || drop(sender.send(File::open(path))))?;
        let nobody = || io::Error::new(io::ErrorKind::TimedOut, "it is a pipe that nobody writes into");
        receiver.recv_timeout(WRITER).unwrap_or_else(|_| Err(nobody()))
    }
}
