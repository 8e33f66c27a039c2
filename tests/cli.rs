//! The command line as its users meet it: real processes, their exit codes, their events and their words.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

#[path = "cli/check.rs"]
mod check;
#[path = "cli/endings.rs"]
mod endings;
#[path = "cli/failures.rs"]
mod failures;
#[path = "cli/hangups.rs"]
mod hangups;
#[path = "cli/names.rs"]
mod names;
#[path = "cli/played_host.rs"]
mod played_host;
#[path = "cli/processor.rs"]
mod processor;
#[path = "cli/proxies.rs"]
mod proxies;
#[path = "cli/recovery.rs"]
mod recovery;
#[path = "cli/sessions.rs"]
mod sessions;
#[path = "cli/signaling_port.rs"]
mod signaling_port;
#[path = "cli/stalled.rs"]
mod stalled;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/wizard.rs"]
mod wizard;
