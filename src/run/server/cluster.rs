//! What a server knows of its cluster: the other servers, the links to them, and the streams on those.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::store::Store;
use crate::cluster::framing::{Assembly, Unsent};
use crate::cluster::greeting::{Dialler, Listener, Proven};
use crate::cluster::message::Sealing;
use crate::cluster::names::{Claim, Names};
use crate::cluster::{Secrets, ServerId};
use crate::config::ClusterConfig;
use crate::config::cluster::read_secrets;
use crate::run::RunError;
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::links::{Addresses, Outbox, Redial, Way};
use crate::run::turn::Turn;
use crate::signaling::rendezvous::{Instance, Public};
use crate::signaling::url::SignalingUrl;
use crate::tunnel::StreamKey;

/// Shortest pause before a server is dialled again; it doubles with every failure.
const MIN_BACKOFF: Duration = Duration::from_millis(250);

/// Longest pause before a server is dialled again.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The cluster, as this server sees it.
pub(super) struct Cluster {
    pub(super) own: ServerId,
    /// When this server was started.
    pub(super) since: Instant,
    /// All hosts of all servers have been known once.
    pub(super) was_complete: bool,
    /// When the links were looked at last.
    pub(super) looked_at: Instant,
    /// Until then, what is not known is in doubt: this server has stood still.
    pub(super) doubts_until: Instant,
    pub(super) secrets: Secrets,
    pub(super) names: Names,
    /// The servers that this one dials, by numbers that never come again.
    pub(super) dials: BTreeMap<usize, Dial>,
    /// Number of servers dialled so far.
    dialled: usize,
    /// The directory, if there is one.
    pub(super) store: Option<Store>,
    pub(super) links: BTreeMap<ServerId, LinkKey>,
    /// The client of each stream that carries its conversation.
    pub(super) clients: HashMap<Half, LinkKey>,
    /// The streams from other servers to hosts here: each with its other half.
    pub(super) pairs: HashMap<Half, Pair>,
}

/// Where a host is.
pub(super) enum Place {
    /// It has this link.
    Here(LinkKey),
    /// It is at another server.
    At(Elsewhere),
    /// It may be at a server without a link at the moment.
    Away,
    Nowhere,
    /// The directory is asked: [wait](super::Server::wait_for) for its answer.
    Asked,
}

/// A host at another server.
#[derive(Debug, Clone)]
pub(super) struct Elsewhere {
    pub(super) link: LinkKey,
    pub(super) session: SessionKey,
    pub(super) epoch: u64,
    pub(super) public: Option<Public>,
    pub(super) dials: bool,
}

impl Cluster {
    pub(super) fn new(turn: &mut Turn, config: &ClusterConfig) -> Result<Cluster, RunError> {
        let (secrets, remark) = read_secrets(&config.secret_file)?;
        remark.into_iter().for_each(|remark| turn.warn("cluster-secret-file", remark));
        let mut dials = BTreeMap::new();
        for (number, url) in config.peers.iter().enumerate() {
            dials.insert(number, Dial::new(url, None)?);
        }
        let own = ServerId::random();
        let store = config.directory.as_ref().map(|directory| Store::new(turn, own, directory)).transpose()?;
        Ok(Cluster {
            own,
            since: turn.now,
            was_complete: false,
            looked_at: turn.now,
            doubts_until: turn.now,
            secrets,
            names: Names::new(own, dials.len()),
            dialled: dials.len(),
            dials,
            store,
            links: BTreeMap::new(),
            clients: HashMap::new(),
            pairs: HashMap::new(),
        })
    }

    /// Adds a server to dial. Returns its number.
    pub(super) fn add_dial(&mut self, dial: Dial) -> usize {
        let number = self.dialled;
        self.dialled += 1;
        self.dials.insert(number, dial);
        number
    }

    /// Returns the claim of a host. `owner` is the hash of its token, or its instance.
    pub(super) fn claim(&self, owner: &[u8], instance: &Instance, (public, dials): (Option<Public>, bool)) -> Claim {
        Claim {
            owners: self.secrets.owner_tags(owner),
            instances: self.secrets.instance_tags(&instance.0),
            public,
            dials,
        }
    }
}

/// A server that is dialled.
pub(super) struct Dial {
    pub(super) url: SignalingUrl,
    pub(super) way: Way,
    pub(super) addresses: Addresses,
    pub(super) redial: Redial,
    pub(super) aim: Aim,
    /// Its owner was told that it cannot be reached.
    pub(super) is_told: bool,
    /// Why it could not be reached last, or why its link is gone.
    pub(super) error: Option<String>,
    /// Whom the directory says to be there.
    pub(super) expected: Option<ServerId>,
}

/// ```text
///  Away ──▶ Dialling ──proven──▶ Linked ──lost──▶ Away
///                 └──this server itself──▶ Itself
/// ```
pub(super) enum Aim {
    /// It is looked up, or dialled again after a pause.
    Away,
    /// There is a WebSocket that is not proven.
    Dialling,
    /// This server has a link, whichever side dialled it.
    Linked(ServerId),
    /// The URL leads to this server itself: nothing is to be dialled.
    Itself,
}

/// The state of a handshake.
pub(super) enum Greeting {
    /// We dialled the server of this number.
    Dialler(Dialler, usize),
    /// We have sent it our proof, and it has not said anything since: it may not have it, and then there is no link.
    Proved(Proven, usize),
    /// We were dialled.
    Listener(Listener),
    /// Its message is being handled.
    Handled,
}

/// Another server of the cluster.
pub(super) struct Peer {
    pub(super) server: ServerId,
    pub(super) session: SessionKey,
    pub(super) sealing: Sealing,
    /// What waits for it: texts about hosts, which go first, and messages of the session.
    pub(super) news: Outbox,
    pub(super) outbox: Outbox,
    /// We dialled it.
    pub(super) is_dialled: bool,
    pub(super) since: Instant,
    /// It cannot ask its directory, and its hosts may not be there.
    pub(super) has_no_directory: bool,
}

impl Peer {
    /// Returns how many bytes wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.news.bytes() + self.outbox.bytes()
    }
}

impl Dial {
    pub(super) fn new(url: &SignalingUrl, expected: Option<ServerId>) -> Result<Dial, RunError> {
        let way = Way::new(&url.peer_endpoint(), &[], None, None)?;
        let redial = Redial::new(MIN_BACKOFF, MAX_BACKOFF);
        let (addresses, aim) = (Addresses::default(), Aim::Away);
        Ok(Dial { url: url.clone(), way, addresses, redial, aim, is_told: false, error: None, expected })
    }
}

impl Cluster {
    pub(super) fn count_missing(&mut self) {
        let is_missing = |dial: &&Dial| matches!(dial.aim, Aim::Away | Aim::Dialling);
        self.names.set_missing(self.dials.values().filter(is_missing).count());
    }
}

/// A stream of a session.
pub(super) type Half = (SessionKey, StreamKey);

/// The other half of a stream that leads on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) other: Half,
    /// Everything that arrives here was passed on, and its end.
    pub(super) is_done: bool,
}

/// The stream of a client whose host is at another server.
pub(super) struct Distant {
    pub(super) half: Half,
    pub(super) unsent: Unsent,
    pub(super) assembly: Assembly,
    /// The other server has taken the order. Nothing is sent before: the host may have moved.
    pub(super) is_accepted: bool,
    /// Its host had moved once, and it went there.
    pub(super) has_followed: bool,
}

impl Distant {
    pub(super) fn new(half: Half, is_accepted: bool) -> Distant {
        let (unsent, assembly) = (Unsent::default(), Assembly::default());
        Distant { half, unsent, assembly, is_accepted, has_followed: false }
    }

    /// Tells whether messages wait for room in the stream.
    pub(super) fn waits(&self) -> bool {
        !self.unsent.is_empty()
    }
}
