//! SCTP as WebRTC uses it (RFC 9260, RFC 8831), without I/O.

#![forbid(unsafe_code)]

pub mod congestion;
