//! stdout and stderr of this process.

use std::io;

use crate::status::report::Writer;

/// Returns a duplicate of the descriptor: it buffers nothing, and holds no lock while nobody reads.
#[cfg(unix)]
pub(super) fn stdout() -> Writer {
    use std::os::fd::AsFd as _;
    file(io::stdout().as_fd()).map_or_else(|_| Box::new(io::stdout()) as Writer, |file| Box::new(file))
}

#[cfg(unix)]
pub(super) fn stderr() -> Writer {
    use std::os::fd::AsFd as _;
    file(io::stderr().as_fd()).map_or_else(|_| Box::new(io::stderr()) as Writer, |file| Box::new(file))
}

#[cfg(unix)]
fn file(descriptor: std::os::fd::BorrowedFd<'_>) -> io::Result<std::fs::File> {
    descriptor.try_clone_to_owned().map(std::fs::File::from)
}

#[cfg(unix)]
pub(super) fn is_same_file() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let [out, err] = [file(io::stdout().as_fd()), file(io::stderr().as_fd())]
        .map(|file| file.and_then(|file| file.metadata()).map(|data| (data.dev(), data.ino())));
    matches!((out, err), (Ok(out), Ok(err)) if out == err)
}

#[cfg(not(unix))]
pub(super) fn stdout() -> Writer {
    Box::new(io::stdout())
}

#[cfg(not(unix))]
pub(super) fn stderr() -> Writer {
    Box::new(io::stderr())
}

/// Assumes the usual case, the console.
#[cfg(not(unix))]
pub(super) fn is_same_file() -> bool {
    use std::io::IsTerminal as _;
    io::stdout().is_terminal() && io::stderr().is_terminal()
}
