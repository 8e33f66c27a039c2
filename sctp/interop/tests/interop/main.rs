//! Our association against other implementations: both directions, every kind of delivery, with and without loss.
//! Messages are compared byte by byte.

mod aiortc;
mod dcsctp;
mod exchange;
mod pair;
mod published;
