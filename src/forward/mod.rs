//! What is carried: the local ends of streams.

pub mod proxy;
pub mod tcp;
