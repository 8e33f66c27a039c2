//! Limits of the system on one process.

use std::io;

/// Raises the soft limit on open file descriptors to the hard limit, and returns the limit in force.
///
/// Every TCP connection, signaling WebSocket and UDP socket is a descriptor; the usual soft limit of 1,024 (256 on
/// macOS) is soon reached. Returns `u64::MAX` if the system has no such limit.
///
/// # Errors
/// The system's, if the limit can be neither read nor set; the process may go on.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    raise()
}

#[cfg(unix)]
fn raise() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

#[cfg(not(unix))]
fn raise() -> io::Result<u64> {
    Ok(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_does_not_fall() {
        let first = raise_descriptor_limit().unwrap();
        assert!(first > 0);
        assert_eq!(raise_descriptor_limit().unwrap(), first);
    }
}
