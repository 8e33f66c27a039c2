//! Our association against those of others: both directions, every delivery, with and without loss. What arrives is
//! compared byte by byte.

mod aiortc;
mod dcsctp;
mod exchange;
mod pair;
mod published;
