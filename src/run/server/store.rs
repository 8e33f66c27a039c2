//! What a server keeps of the directory of its cluster: what it knows, and the connection.

mod connection;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig as TlsConfig;

pub(super) use self::connection::{Connection, Lost as Cut, REFUSED};
use crate::cluster::ServerId;
use crate::cluster::directory::Directory;
use crate::config::{DirectoryConfig, DirectoryUrl};
use crate::net::tls;
use crate::run::RunError;
use crate::run::keys::LinkKey;
use crate::run::links::{Addresses, Attempts, Redial};
use crate::run::turn::Turn;
use crate::signaling::rendezvous::HostId;
use crate::signaling::url::SignalingUrl;

/// Pauses before the directory is dialled again: the shortest, which doubles with every failure, and the longest.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(3);

/// Why the directory is away as long as no connection has ended.
pub(super) const UNREACHED: &str = "it was not reached yet";

/// Why it is away if the connection has not ended.
pub(super) const SILENT: &str = "it does not answer";

/// The directory, as this server sees it.
pub(super) struct Store {
    pub(super) book: Directory,
    /// The hosts that wait for their names.
    pub(super) claiming: HashMap<HostId, LinkKey>,
    pub(super) url: DirectoryUrl,
    /// Where others come to this server.
    pub(super) advertise: SignalingUrl,
    pub(super) tls: Option<Arc<TlsConfig>>,
    pub(super) addresses: Addresses,
    pub(super) redial: Redial,
    pub(super) attempts: Attempts,
    pub(super) connection: Option<Connection>,
    /// Why there is none, for people.
    pub(super) reason: String,
    /// The deadline that is set.
    pub(super) due_at: Option<Instant>,
}

impl Store {
    pub(super) fn new(turn: &mut Turn, own: ServerId, config: &DirectoryConfig) -> Result<Store, RunError> {
        let (url, remark) = config.address.read()?;
        remark.into_iter().for_each(|remark| turn.warn("directory", remark));
        let tls = url.tls().then(|| tls::client_config(None)).transpose()?;
        let word = format!("{:016x}", rand::random::<u64>());
        Ok(Store {
            book: Directory::new(turn.now, own, config.advertise.to_string(), word),
            claiming: HashMap::new(),
            url,
            advertise: config.advertise.clone(),
            tls,
            addresses: Addresses::default(),
            redial: Redial::new(MIN_BACKOFF, MAX_BACKOFF),
            attempts: Attempts::default(),
            connection: None,
            reason: UNREACHED.to_owned(),
            due_at: None,
        })
    }

    /// Returns the next time at which something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let connection = self.connection.as_ref().and_then(Connection::deadline);
        [self.book.poll_timeout(), connection, self.redial.planned()].into_iter().flatten().min()
    }
}
