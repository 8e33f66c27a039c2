//! The command line for its users: real processes, their exit codes, their events and their words.

mod bottom;
mod check;
mod documents;
mod endings;
mod failures;
mod hangups;
mod hosts;
#[cfg(target_os = "linux")]
mod install;
mod invitations;
mod names;
mod openwrt;
mod ping;
mod played_host;
mod processor;
mod proxies;
mod recovery;
mod reload;
mod runfile;
mod running;
#[cfg(target_os = "linux")]
mod service_manager;
mod sessions;
mod signaling_port;
mod stalled;
mod surroundings;
mod terminal;
#[cfg(target_os = "linux")]
mod units;
mod usage;
mod wizard;
