//! Error causes of ABORT and ERROR (RFC 9260, section 3.3.10).

use super::parameter;

pub(crate) const INVALID_STREAM: u16 = 1;
pub(crate) const STALE_COOKIE: u16 = 3;
pub(crate) const OUT_OF_RESOURCE: u16 = 4;
pub(crate) const UNRECOGNIZED_CHUNK: u16 = 6;
pub(crate) const INVALID_MANDATORY_PARAMETER: u16 = 7;
pub(crate) const UNRECOGNIZED_PARAMETERS: u16 = 8;
pub(crate) const NO_USER_DATA: u16 = 9;
pub(crate) const RESTART_WITH_NEW_ADDRESSES: u16 = 11;
pub(crate) const USER_INITIATED: u16 = 12;
pub(crate) const PROTOCOL_VIOLATION: u16 = 13;

/// Returns the name of a cause, for people.
pub(crate) fn name(code: u16) -> &'static str {
    match code {
        INVALID_STREAM => "invalid stream",
        2 => "missing parameter",
        STALE_COOKIE => "stale cookie",
        OUT_OF_RESOURCE => "out of resources",
        5 => "address cannot be resolved",
        UNRECOGNIZED_CHUNK => "unrecognized chunk",
        INVALID_MANDATORY_PARAMETER => "invalid mandatory parameter",
        UNRECOGNIZED_PARAMETERS => "unrecognized parameters",
        NO_USER_DATA => "no user data",
        10 => "cookie while shutting down",
        RESTART_WITH_NEW_ADDRESSES => "restart with new addresses",
        USER_INITIATED => "aborted by its user",
        PROTOCOL_VIOLATION => "protocol violation",
        _ => "unknown cause",
    }
}

/// Returns the value of an ABORT or ERROR chunk with one cause.
pub(crate) fn value(code: u16, details: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    parameter::put(&mut bytes, code, details);
    bytes
}
