//! What a server is doing at a moment.

use super::{Server, Stage};
use crate::status::snapshot::{ServerTotals, Side, Snapshot, Stage as Shown};

impl Server {
    /// Returns what this server is doing.
    pub(super) fn survey(&mut self) -> Snapshot {
        let stage = if matches!(self.stage, Stage::Serving) { Shown::Serving } else { Shown::Ending };
        Snapshot {
            listen: Some(self.local_addr()),
            totals: Some(ServerTotals {
                hosts: self.names.len(),
                clients: self.clients.len(),
                requests: self.metrics.answers(),
                open_requests: self.webs.iter().filter(|(_, web)| web.is_busy()).count(),
            }),
            ..Snapshot::new(Side::Server, stage)
        }
    }
}
