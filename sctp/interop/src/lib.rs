//! Nothing but tests: pinhole-sctp against SCTP of others.
