//! How many descriptors the system lets this process have.
//!
//! Every TCP connection, signaling WebSocket and UDP socket is one; the usual soft limit of 1,024 (256 on macOS) is
//! soon reached. The limit belongs to the program, so only the command line raises it.

use std::io;

/// Raises the soft limit on open descriptors to the hard limit and returns it; `u64::MAX` where there is none.
///
/// # Errors
/// The system's, if the limit can neither be read nor set; the process may go on with what it has.
#[cfg(feature = "cli")]
pub fn raise_descriptor_limit() -> io::Result<u64> {
    #[cfg(unix)]
    return rlimit::increase_nofile_limit(u64::MAX);
    #[cfg(not(unix))]
    Ok(u64::MAX)
}

/// Returns the soft limit on open descriptors; `u64::MAX` where there is none.
///
/// # Errors
/// The system's.
#[cfg(feature = "server")]
pub fn descriptor_limit() -> io::Result<u64> {
    #[cfg(unix)]
    return Ok(rlimit::Resource::NOFILE.get()?.0);
    #[cfg(not(unix))]
    Ok(u64::MAX)
}

#[cfg(all(test, feature = "cli", feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_does_not_fall() {
        let before = descriptor_limit().unwrap();
        let raised = raise_descriptor_limit().unwrap();
        assert!(raised >= before && raised > 0, "{before} {raised}");
        assert_eq!(descriptor_limit().unwrap(), raised);
        assert_eq!(raise_descriptor_limit().unwrap(), raised);
    }
}
