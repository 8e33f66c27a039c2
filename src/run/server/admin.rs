//! Pages about the server: welcome, health, metrics, and the list of hosts and clients.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Server;
use super::cluster::Cluster;
use super::phase::Phase;
use crate::http::{Answer, Request};
use crate::signaling::closing;
use crate::signaling::rendezvous::HostId;
use crate::status::metrics;

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
            "/healthz" if self.is_stopping() => Answer::text(503, "stopping"),
            "/healthz" => Answer::text(200, "ok"),
            "/readyz" => match self.unready() {
                Some(reason) => Answer::text(503, reason),
                None => Answer::text(200, "ready"),
            },
            "/metrics" => self.render_metrics(),
            _ if self.is_stopping() => Answer::busy(1),
            _ => Answer::text(
                404,
                "Nothing is here. A client gives the whole address that a host printed, with /ws/ and the host's name.",
            ),
        }
    }

    fn render_metrics(&mut self) -> Answer {
        self.metrics.clients = self.clients.len();
        self.metrics.cluster_links = self.cluster.as_ref().map_or(0, Cluster::links);
        self.metrics.cluster_streams = self.peers().into_iter().map(|peer| self.streams_of(peer)).sum();
        self.metrics.directory = self.directory_metrics();
        self.metrics.connections = self.links.len() + self.webs.len();
        self.metrics.requests = self.webs.iter().filter(|(_, web)| web.is_busy()).count();
        Answer::content(200, metrics::CONTENT_TYPE, self.metrics.render())
    }

    /// Answers a request at the administration port.
    pub(super) fn administer(&mut self, request: &Request) -> Answer {
        // Another site's page must not reach this under its own name (DNS rebinding).
        if !request.host.as_deref().is_some_and(is_own_name) {
            return Answer::text(403, "Use the address of this machine as a number, or localhost.");
        }
        if request.is_foreign() {
            return Answer::foreign();
        }
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("GET" | "HEAD", ["hosts" | ""]) => Answer::content(200, "application/json", format!("{}\n", self.list())),
            ("GET" | "HEAD", ["metrics" | "healthz" | "readyz"]) => self.page(request),
            ("GET" | "HEAD", ["cluster"]) => self.cluster_page(),
            ("DELETE", ["hosts", id]) => self.end_host(id),
            ("DELETE", ["hosts", id, "clients", number]) => self.end_client(id, number),
            (_, ["" | "hosts" | "cluster" | "metrics" | "healthz" | "readyz"]) => Answer::method_not_allowed(),
            _ => Answer::text(
                404,
                "Here are: GET /hosts, DELETE /hosts/ID, DELETE /hosts/ID/clients/NUMBER, GET /cluster, GET /metrics, \
                 GET /healthz, GET /readyz.",
            ),
        }
    }

    fn list(&self) -> Value {
        let mut hosts: Vec<(&HostId, Value)> = Vec::new();
        for (_, link) in self.links.iter() {
            let Phase::Host(host) = &link.phase else { continue };
            let mut clients: Vec<(u32, Value)> = Vec::new();
            for (&number, &client) in &host.conversations {
                if let Some(link) = self.links.get(client)
                    && let Phase::Client(client) = &link.phase
                {
                    let (remote, sent, received) = (link.remote.to_string(), client.sent, client.received);
                    clients.push((
                        number,
                        json!({"number": number, "remote": remote, "sent": sent, "received": received}),
                    ));
                }
            }
            clients.sort_by_key(|(number, _)| *number);
            let clients: Vec<Value> = clients.into_iter().map(|(_, client)| client).collect();
            hosts.push((
                &host.id,
                json!({
                    "id": host.id.as_str(),
                    "remote": link.remote.to_string(),
                    "public": host.public.is_some(),
                    "dials": host.dials,
                    "wrong_logins": self.wrong_logins(&host.id),
                    "clients": clients,
                }),
            ));
        }
        hosts.sort_by_key(|(id, _)| *id);
        json!({"hosts": hosts.into_iter().map(|(_, host)| host).collect::<Vec<_>>()})
    }

    fn end_host(&mut self, id: &str) -> Answer {
        match id.parse().ok().and_then(|id: HostId| self.names.get(&id).copied()) {
            Some(key) => {
                self.send_error(
                    key,
                    crate::signaling::message::ErrorCode::Denied,
                    "whoever runs the server ended the registration",
                );
                self.close_link(key, closing::ADMINISTRATION);
                Answer::text(200, "The host was ended. It may register again; take its token away to keep it out.")
            }
            None => Answer::text(404, "No host has that id."),
        }
    }

    fn end_client(&mut self, id: &str, number: &str) -> Answer {
        let host = id.parse().ok().and_then(|id: HostId| self.names.get(&id).copied());
        let number: Option<u32> = number.parse().ok();
        let client = host.zip(number).and_then(|(host, number)| self.host(host)?.conversations.get(&number).copied());
        match client {
            Some(key) => {
                self.close_link(key, closing::ADMINISTRATION);
                Answer::text(200, "The client's connection was ended. A session with a direct path goes on without it.")
            }
            None => Answer::text(404, "That host has no client of that number."),
        }
    }
}

/// Tells whether a `Host` field names this machine as no other site can: by an address, or as localhost.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_point_here_are_own() {
        for own in ["localhost", "LOCALHOST:81", "127.0.0.1", "127.0.0.1:80", "[::1]:80", "[::1]", "10.0.0.1:9"] {
            assert!(is_own_name(own), "{own}");
        }
        for other in ["", "example.org", "localhost.example.org:80", "127.0.0.1.example.org", "a:b"] {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
