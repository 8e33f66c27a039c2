//! A host and a client of the real binary, each in its network, that meet through the dev tunnel.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::pinhole::{Pinhole, command};
use crate::common::wait_until;
use crate::lab::{Lab, STUN};
use crate::transfer::{Service, Transfer};
use crate::tunnel::{DevTunnel, PUBLIC};

/// The host's signaling port. Nobody else is in its network.
const SIGNALING: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

const PIN: &str = "123456";

/// What both log to stderr, which is shown if a test fails.
const LOG: &str = "-vv";

/// Both processes and what they need.
pub(crate) struct Pair {
    pub(crate) host: Pinhole,
    pub(crate) client: Pinhole,
    pub(crate) tunnel: DevTunnel,
    pub(crate) service: Service,
    /// Where the service appears in the client's network.
    pub(crate) local: SocketAddr,
    pub(crate) started: Instant,
    /// How long the client took from its start to the forwarded port.
    pub(crate) forwarding_after: Duration,
}

impl Pair {
    /// Starts both, with further arguments for both, and waits for the forwarded port.
    #[track_caller]
    pub(crate) fn start(lab: &Lab, more: &[&str]) -> Pair {
        let service = Service::new(&lab.host);
        let tunnel = DevTunnel::new(lab, SIGNALING.port());
        let mut host = start_host(lab, &service, more);
        host.event("listening");
        // The tunnel is there for a while when a person uses its URL.
        wait_until("the agent is connected", || tunnel.is_ready());
        let url = format!("ws://{PUBLIC}/ws?pin={PIN}");
        let started = Instant::now();
        let mut client = start(lab, "client", &["client", &url, "0"], more);
        let local = client.local();
        Pair { host, client, tunnel, service, local, started, forwarding_after: started.elapsed() }
    }

    /// Connects through the tunnel and starts to move bytes.
    #[track_caller]
    pub(crate) fn transfer(&self, lab: &Lab) -> Transfer {
        Transfer::start(lab, self.local, &self.service)
    }

    /// Starts another host in place of the present one, which is dead; it listens when this returns.
    #[track_caller]
    pub(crate) fn replace_host(&mut self, lab: &Lab, more: &[&str]) {
        self.host = start_host(lab, &self.service, more);
        self.host.event("listening");
    }

    /// Returns the path that the client reported last.
    pub(crate) fn path(&mut self) -> String {
        let told = self.client.events_so_far();
        told.iter().rev().find_map(|event| event["path"].as_str()).unwrap_or("none").to_owned()
    }

    /// Returns the candidates of the path that the client reported last, ours and theirs.
    pub(crate) fn candidates(&mut self) -> String {
        let told = self.client.events_so_far();
        told.iter().rev().find_map(|event| event["candidates"].as_str()).unwrap_or_default().to_owned()
    }

    /// Waits until the client reports this path.
    #[track_caller]
    pub(crate) fn wait_for_path(&mut self, path: &str) {
        wait_until(&format!("the path is {path}"), || self.path() == path);
    }

    /// Returns what the client said about its session after so many events: names, and what is told apart by.
    pub(crate) fn story(&mut self, after: usize) -> Vec<String> {
        self.client.events_so_far()[after..].iter().filter_map(told).collect()
    }

    /// Ends both in order. `NATLAB_LOG=1` shows what they logged, as a failure does.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let logs = [("client", self.client.stop()), ("host", self.host.stop())];
        if std::env::var_os("NATLAB_LOG").is_some_and(|value| value != "0") {
            logs.iter().for_each(|(name, ended)| println!("── {name} ──\n{}{}", ended.stdout, ended.stderr));
        }
    }
}

fn told(event: &Value) -> Option<String> {
    let name = event["event"].as_str()?;
    let detail = match name {
        "stream-opened" | "stream-closed" | "forwarding" => return None,
        "connected" | "path" => event["path"].as_str().unwrap_or_default().to_owned(),
        "recovered" => format!("{} ms", event["after_ms"]),
        _ => String::new(),
    };
    Some(format!("{name} {detail}").trim_end().to_owned())
}

fn start_host(lab: &Lab, service: &Service, more: &[&str]) -> Pinhole {
    let (target, listen) = (service.address.to_string(), SIGNALING.to_string());
    start(lab, "host", &["host", &target, "--listen", &listen, "--pin", PIN], more)
}

fn start(lab: &Lab, name: &'static str, arguments: &[&str], more: &[&str]) -> Pinhole {
    let [first, second] = STUN.map(|server| server.to_string());
    let arguments = [arguments, &["--json", LOG, "--stun", &first, "--stun", &second], more].concat();
    let site = if name == "host" { &lab.host } else { &lab.client };
    // The process lives where the thread does that starts it.
    site.inside.run(|| Pinhole::spawn(name, command(&arguments)))
}
