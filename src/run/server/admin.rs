//! Pages about the server: welcome, health and metrics for all, hosts and clients for whoever may administer it.

use super::Server;
use super::cluster::Cluster;
use super::phase::Phase;
use crate::control::{Order, refusal};
use crate::http::{Answer, Request};
use crate::run::control::done;
use crate::run::keys::LinkKey;
use crate::signaling::closing;
use crate::signaling::message::ErrorCode;
use crate::signaling::rendezvous::HostId;
use crate::status::metrics;
use crate::status::overview::{ClientStatus, HostStatus, RequestStatus, ServerStatus};

/// Maximum number of hosts that are listed, and of clients of all of them.
const MAX_HOSTS: usize = 1000;
const MAX_CLIENTS: usize = 10_000;

/// Text of the server's page.
const WELCOME: &str =
    "This is a pinhole server. A host gets a name here by: pinhole host PORT --server <this address> --id NAME";

impl Server {
    /// Answers a request at the signaling port that is not for a WebSocket.
    pub(super) fn page(&mut self, request: &Request) -> Answer {
        let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
        match request.path.as_str() {
            "/" | "/healthz" | "/readyz" | "/metrics" if !is_read => Answer::method_not_allowed(),
            "/" => Answer::text(200, WELCOME),
            "/healthz" => self.health(),
            "/readyz" => self.readiness(),
            "/metrics" => Answer::content(200, metrics::CONTENT_TYPE, self.count()),
            _ if self.is_stopping() => Answer::busy(1),
            _ => Answer::text(
                404,
                "Nothing is here. A client gives the whole address that a host printed, with /ws/ and the host's name.",
            ),
        }
    }

    fn health(&self) -> Answer {
        if self.is_stopping() { Answer::text(503, "stopping") } else { Answer::text(200, "ok") }
    }

    fn readiness(&self) -> Answer {
        self.unready().map_or_else(|| Answer::text(200, "ready"), |reason| Answer::text(503, reason))
    }

    /// Returns what is counted.
    pub(super) fn count(&mut self) -> String {
        self.metrics.clients = self.clients.len();
        self.metrics.cluster_links = self.cluster.as_ref().map_or(0, Cluster::links);
        self.metrics.cluster_streams = self.peers().into_iter().map(|peer| self.streams_of(peer)).sum();
        self.metrics.directory = self.directory_metrics();
        self.metrics.connections = self.links.len() + self.webs.len();
        self.metrics.requests = self.webs.iter().filter(|(_, web)| web.is_busy()).count();
        self.metrics.render()
    }

    /// Does what is asked for over the control interface.
    pub(super) fn follow_order(&mut self, order: Order) -> Answer {
        match order {
            Order::Health => self.health(),
            Order::Ready => self.readiness(),
            Order::Cluster => self.cluster_page(),
            Order::EndHost(id) => match self.find_host(&id) {
                Some(key) => self.end_host(key),
                None => refusal(404, "there is no host of that id"),
            },
            Order::EndClient(id, number) => match self.find_client(&id, &number) {
                Some(key) => {
                    self.close_link(key, closing::ADMINISTRATION);
                    done()
                }
                None => refusal(404, "that host has no client of that number"),
            },
            _ => refusal(404, "a server has nothing of that"),
        }
    }

    /// Returns what is shown beside what all processes show.
    pub(super) fn show(&mut self) -> ServerStatus {
        let mut ids: Vec<&HostId> = self.names.keys().collect();
        let unlisted = ids.len().saturating_sub(MAX_HOSTS);
        ids.sort_unstable();
        ids.truncate(MAX_HOSTS);
        let mut left = MAX_CLIENTS;
        let hosts = ids.into_iter().filter_map(|id| self.show_host(id, &mut left)).collect();
        let has_gateway = self.config.gateway.is_some();
        let requests = has_gateway.then(|| RequestStatus {
            open: self.webs.iter().filter(|(_, web)| web.is_busy()).count(),
            by_status: self.metrics.by_status(),
            median_ms: self.metrics.quantile_ms(0.5),
            p99_ms: self.metrics.quantile_ms(0.99),
        });
        let links = self.cluster.is_some().then(|| self.show_peers());
        ServerStatus { hosts, unlisted, requests, links }
    }

    /// Returns what is shown of a host, and of so many clients at most.
    fn show_host(&self, id: &HostId, left: &mut usize) -> Option<HostStatus> {
        let link = self.links.get(*self.names.get(id)?)?;
        let Phase::Host(host) = &link.phase else { return None };
        let mut conversations: Vec<(u32, LinkKey)> =
            host.conversations.iter().map(|(number, link)| (*number, *link)).collect();
        conversations.sort_unstable();
        conversations.truncate(*left);
        *left -= conversations.len();
        let client = |(number, key): (u32, LinkKey)| {
            let link = self.links.get(key)?;
            let Phase::Client(client) = &link.phase else { return None };
            Some(ClientStatus { number, remote: link.remote, sent: client.sent, received: client.received })
        };
        Some(HostStatus {
            id: id.clone(),
            remote: link.remote,
            public: host.public.is_some(),
            dials: host.dials,
            wrong_logins: self.wrong_logins(id),
            clients: conversations.into_iter().filter_map(client).collect(),
        })
    }

    fn find_host(&self, id: &str) -> Option<LinkKey> {
        self.names.get(&id.parse::<HostId>().ok()?).copied()
    }

    fn find_client(&mut self, id: &str, number: &str) -> Option<LinkKey> {
        let number: u32 = number.parse().ok()?;
        let host = self.find_host(id)?;
        self.host(host)?.conversations.get(&number).copied()
    }

    fn end_host(&mut self, key: LinkKey) -> Answer {
        self.send_error(key, ErrorCode::Denied, "whoever runs the server ended the registration");
        self.close_link(key, closing::ADMINISTRATION);
        done()
    }
}
