//! How two peers meet: the signaling protocol of `docs/protocol.md` section 3, without any I/O.

pub mod pin;
pub mod url;
