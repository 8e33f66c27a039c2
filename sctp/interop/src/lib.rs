//! Only tests: pinhole-sctp against other implementations.
