//! A check of the network.

use super::Error;
use crate::config::CheckConfig;
use crate::run;
use crate::status::event::Event;

/// Looks at this machine's network, and whether a host can be reached from it.
#[derive(Debug)]
pub struct Check;

impl Check {
    /// Makes the check on this thread, which takes seconds. `report` is told each finding as an [`Event::Check`].
    ///
    /// # Errors
    /// What would keep a session from being established.
    pub fn run(config: CheckConfig, report: impl FnMut(&Event) + Send + 'static) -> Result<(), Error> {
        run::Check::new(config, Box::new(report)).run().map_err(Error::of)
    }
}
