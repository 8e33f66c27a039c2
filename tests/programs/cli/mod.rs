//! The command line for its users: real processes, their exit codes, their events and their words.

mod check;
mod documents;
mod endings;
mod failures;
mod hangups;
mod names;
mod openwrt;
mod played_host;
mod processor;
mod proxies;
mod recovery;
mod reload;
mod runfile;
mod sessions;
mod signaling_port;
mod stalled;
mod usage;
mod wizard;
