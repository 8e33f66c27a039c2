//! What is carried: the local ends of streams.

pub mod pump;
