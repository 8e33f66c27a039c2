//! Two associations over a link, in virtual time.
#![allow(dead_code, unreachable_pub)]

pub mod link;
pub mod pair;
pub mod raw;
