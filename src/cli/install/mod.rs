//! `pinhole install` and `pinhole uninstall`: a command line becomes a unit of systemd, and is one no more.
//!
//! `plan` decides what is written, `layout` knows where systemd looks, `changes` writes files so that all of it can be
//! undone, `systemctl` talks to systemd, and `receipt` keeps what was written for the day of the removal.

mod changes;
mod layout;
mod plan;
mod receipt;
mod removal;
mod systemctl;
mod work;

pub(super) use plan::{Plan, Role, Wanted};
pub(super) use removal::uninstall;
pub(super) use work::install;
