//! What the administration shows of a cluster, and whether this server is ready for traffic.

use std::time::Duration;

use serde_json::{Value, json};

use super::Server;
use super::cluster::{Aim, Cluster, Dial};
use super::phase::Phase;
use crate::control::refusal;
use crate::http::Answer;
use crate::run::keys::{LinkKey, SessionKey};

/// Time after its start in which a server waits for others to name their hosts before it is ready without them.
const WARM_UP: Duration = Duration::from_secs(5);

impl Server {
    /// Says why nobody should be sent here at the moment; `None` if the server is ready.
    ///
    /// A missing server makes no other unready: one that died would take all with it. Only right after the start is
    /// traffic better off elsewhere, because this server does not know yet who is where.
    pub(super) fn unready(&self) -> Option<&'static str> {
        if self.is_stopping() {
            return Some("draining");
        }
        let cluster = self.cluster.as_ref()?;
        if self.directory_metrics().is_some_and(|directory| !directory.is_up) {
            return Some("the directory is away");
        }
        let is_new = self.core.turn.now < cluster.since + WARM_UP;
        (is_new && !cluster.was_complete).then_some("waiting for the hosts of other servers")
    }

    /// Returns the links to other servers.
    pub(super) fn peers(&self) -> Vec<LinkKey> {
        self.cluster.iter().flat_map(|cluster| cluster.links.values().copied()).collect()
    }

    /// Returns how many streams a link has.
    pub(super) fn streams_of(&mut self, peer: LinkKey) -> usize {
        let session = self.peer(peer).map(|peer| peer.session);
        session.map_or(0, |session| self.streams_in(session))
    }

    pub(super) fn streams_in(&mut self, session: SessionKey) -> usize {
        self.core.sessions.get_mut(session).map_or(0, |entry| entry.session.mux().stream_count())
    }

    /// Answers a request for what is known of the cluster.
    pub(super) fn cluster_page(&mut self) -> Answer {
        let peers = self.show_peers();
        let Some(cluster) = &self.cluster else {
            return refusal(404, "this server is none of several: it was started without --cluster-secret-file");
        };
        let dials: Vec<Value> = cluster.dials.values().map(show_dial).collect();
        let page = json!({
            "server": cluster.own.to_string(),
            "ready": self.unready().is_none(),
            "complete": cluster.names.is_complete(),
            "hosts": self.names.len(),
            "peers": peers,
            "dials": dials,
            "directory": self.directory_metrics().map(|directory| json!({"up": directory.is_up})),
        });
        Answer::content(200, "application/json", format!("{page}\n"))
    }

    /// Returns what is shown of the links to other servers.
    pub(super) fn show_peers(&mut self) -> Vec<Value> {
        self.peers().into_iter().filter_map(|key| self.show_peer(key)).collect()
    }

    fn show_peer(&mut self, key: LinkKey) -> Option<Value> {
        let streams = self.streams_of(key);
        let link = self.links.get_mut(key)?;
        let (remote, in_socket) = (link.remote.to_string(), link.buffered());
        let Phase::Peer(peer) = &link.phase else { return None };
        let linked_ms = self.core.turn.now.saturating_duration_since(peer.since).as_millis();
        let hosts = self.cluster.as_ref().map_or(0, |cluster| cluster.names.count_at(peer.server));
        Some(json!({
            "server": peer.server.to_string(),
            "remote": remote,
            "dialled": peer.is_dialled,
            "linked_ms": u64::try_from(linked_ms).unwrap_or(u64::MAX),
            "hosts": hosts,
            "streams": streams,
            "waiting_bytes": peer.waiting() + in_socket,
        }))
    }
}

fn show_dial(dial: &Dial) -> Value {
    let (state, server) = match &dial.aim {
        Aim::Away => ("away", None),
        Aim::Dialling => ("dialling", None),
        Aim::Linked(server) => ("linked", Some(server.to_string())),
        Aim::Itself => ("itself", None),
    };
    json!({"url": dial.url.to_string(), "state": state, "server": server, "error": dial.error})
}

impl Cluster {
    /// Returns how many links there are.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }
}
