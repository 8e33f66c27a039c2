//! What is carried: the local ends of streams, and what may be dialled or listened on for the other side.

pub mod access;
pub mod logins;
pub mod proxy;
pub mod proxy_header;
pub mod pump;
