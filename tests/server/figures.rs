//! What a second server on the way costs: the same work with the host at the same server, and at another.
//!
//! `make cluster-figures` runs them, one after the other, with a release build on a machine that does nothing else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use pinhole::internals::net::limits::raise_descriptor_limit;
use serde_json::Value;

use crate::common::pinhole::Pinhole;
use crate::common::process::Process;
use crate::common::system::{past_the_harness, program, resident_kib};
use crate::common::{ReservedPort, connect, quiet_port, try_connect, wait_until};
use crate::directory::redis::Redis;
use crate::lab::{Client, Server, registered};
use crate::members::{Member, SECRET, Secret, at, cluster, knows};
use crate::raw::Raw;

/// How often each is measured; the figures are medians.
const ROUNDS: usize = 5;

/// How long each is measured, in seconds.
const TIME: &str = "3";

/// Bytes of a download.
const DOWNLOAD: usize = 512 << 20;

/// Requests a second with the host at another server, of those with it at the same.
const LEAST_RATIO: f64 = 0.6;

/// Mbit/s of a relayed transfer across a link.
const LEAST_RATE: f64 = 1000.0;

/// Hosts that are registered at once, at three servers, and what each server may need for its share, in kibibytes.
const HOSTS: usize = 2000;
const MEMORY_LIMIT: u64 = 20 * 1024;

/// Look-ups that are timed, and how long one with everything around it may take in 99 of 100 cases, in ms.
const LOOK_UPS: usize = 1000;
const LOOK_UP_LIMIT: f64 = 2.0;

/// A program that answers.
struct Service {
    _process: Process,
    address: SocketAddr,
}

impl Service {
    fn start(name: &'static str, command: impl FnOnce(&Path, SocketAddr) -> Command) -> Service {
        let address = (Ipv4Addr::LOCALHOST, quiet_port()).into();
        let process = Process::start(name, |folder| command(folder, address));
        wait_until("a service to listen", || try_connect(address).is_ok());
        Service { _process: process, address }
    }

    /// A web server with a short page and a long one.
    fn web(nginx: &Path) -> Service {
        Service::start("nginx", |folder, address| {
            let base = folder.display();
            fs::write(folder.join("long"), vec![b'x'; DOWNLOAD]).unwrap();
            fs::write(folder.join("short"), "hello\n").unwrap();
            let main = format!("daemon off; master_process off; events {{ worker_connections 1024; }} pid {base}/pid;");
            let web = format!("root {base}; access_log off; sendfile on; keepalive_requests 100000000;");
            let config = format!("{main} http {{ {web} server {{ listen {address}; }} }}");
            fs::write(folder.join("config"), config).unwrap();
            let mut command = Command::new(nginx);
            command.arg("-p").arg(folder).args(["-e", "stderr", "-c", "config"]);
            command
        })
    }

    fn iperf(program: &Path) -> Service {
        Service::start("iperf3", |_, address| {
            let mut command = Command::new(program);
            command.args(["--server", "--port", &address.port().to_string()]);
            command
        })
    }
}

/// What was measured with the host at the same server, and at another.
#[derive(Default)]
struct Measured {
    same: Vec<f64>,
    other: Vec<f64>,
}

impl Measured {
    /// Shows the medians and returns them.
    fn show(mut self, what: &str) -> (f64, f64) {
        let (same, other) = (median(&mut self.same), median(&mut self.other));
        let ratio = other / same;
        past_the_harness(&format!("| {what} | {same:.2} | {other:.2} | {ratio:.2} |\n"));
        (same, other)
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn heading() {
    past_the_harness("\n| | same server | another server | ratio |\n|---|---|---|---|\n");
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two servers, and a host with a web service at the first.
struct Web {
    members: [Member; 2],
    _host: Pinhole,
    _service: Service,
}

impl Web {
    fn start(secret: &Secret, nginx: &Path) -> Web {
        let service = Service::web(nginx);
        let members = cluster(secret, &["--open", "--gateway-domain", "p.test", "-q"]);
        let target = format!("web={}", service.address);
        let mut host = members[0].server.start_host("web", service.address, &[&target, "--public", "web"]);
        registered(&mut host);
        knows(&members[1], "web");
        Web { members, _host: host, _service: service }
    }
}

/// What `wrk` says of a load: requests a second, and the median and the 99th percentile of their latency in ms.
fn load(wrk: &Path, server: SocketAddr, connections: &str) -> [f64; 3] {
    let url = format!("http://{server}/short");
    let arguments = ["-t1", "-c", connections, "-d", TIME, "--latency", "-H", "Host: web.p.test", &url];
    let said = run(Command::new(wrk).args(arguments));
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    ["Requests/sec:", "50%", "99%"].map(|name| {
        let word = said.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().trim();
        let unit = word.find(char::is_alphabetic).unwrap_or(word.len());
        let scale = match &word[unit..] {
            "us" => 0.001,
            "s" => 1000.0,
            _ => 1.0,
        };
        word[..unit].parse::<f64>().unwrap() * scale
    })
}

#[test]
#[ignore = "make cluster-figures"]
fn requests_through_the_gateway() {
    let test = "requests through the gateway";
    let (Some(nginx), Some(wrk)) = (program("nginx", test), program("wrk", test)) else { return };
    let secret = Secret::of("requests", SECRET);
    let web = Web::start(&secret, &nginx);
    heading();
    for connections in ["64", "1"] {
        let mut all: [Measured; 3] = Default::default();
        for _ in 0..ROUNDS {
            let same = load(&wrk, web.members[0].address(), connections);
            let other = load(&wrk, web.members[1].address(), connections);
            for (index, measured) in all.iter_mut().enumerate() {
                measured.same.push(same[index]);
                measured.other.push(other[index]);
            }
        }
        let [requests, half, most] = all;
        let (same, other) = requests.show(&format!("requests/s, {connections} connections"));
        half.show(&format!("median latency in ms, {connections} connections"));
        most.show(&format!("99 % in ms, {connections} connections"));
        assert!(connections == "1" || other / same >= LEAST_RATIO, "{other} of {same} requests a second");
    }
}

#[test]
#[ignore = "make cluster-figures"]
fn a_download_through_the_gateway() {
    let test = "a download through the gateway";
    let (Some(nginx), Some(curl)) = (program("nginx", test), program("curl", test)) else { return };
    let secret = Secret::of("download", SECRET);
    let web = Web::start(&secret, &nginx);
    let rate = |member: &Member| {
        let url = format!("http://{}/long", member.address());
        let format = "%{speed_download} %{size_download}";
        let said = run(Command::new(&curl).args([
            "-q",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            format,
            "-H",
            "Host: web.p.test",
            &url,
        ]));
        let (rate, size) = said.split_once(' ').unwrap();
        assert_eq!(size, DOWNLOAD.to_string());
        rate.parse::<f64>().unwrap() * 8.0 / 1e6
    };
    let mut measured = Measured::default();
    for _ in 0..ROUNDS {
        measured.same.push(rate(&web.members[0]));
        measured.other.push(rate(&web.members[1]));
    }
    heading();
    let (_, other) = measured.show("download by curl, Mbit/s");
    assert!(other >= LEAST_RATE, "{other} Mbit/s");
}

#[test]
#[ignore = "make cluster-figures"]
fn relayed_transfers() {
    let Some(iperf) = program("iperf3", "relayed transfers") else { return };
    let service = Service::iperf(&iperf);
    let secret = Secret::of("relayed", SECRET);
    let [one, two] = cluster(&secret, &["--open", "-q"]);
    let host = one.server.host("myhost", service.address, &[]);
    knows(&two, "myhost");
    let same = Client::of(&host.url, &["--relay-only"]);
    let other = Client::of(&at(&host.url, &one, &two), &["--relay-only"]);
    let try_rate = |client: &Client, more: &[&str]| {
        let port = client.local.port().to_string();
        let said = run(Command::new(&iperf).args(["-J", "-c", "127.0.0.1", "-p", &port, "-t", TIME]).args(more));
        let said: Value = serde_json::from_str(&said).unwrap();
        said["end"]["sum_received"]["bits_per_second"].as_f64()
    };
    // Its server takes nobody before it is done with the last one.
    let rate = |client: &Client, more: &[&str]| {
        let rate = (0..5).find_map(|attempt| {
            thread::park_timeout(Duration::from_millis(300) * attempt);
            try_rate(client, more)
        });
        rate.unwrap() / 1e6
    };
    heading();
    for (what, more) in [("up", &[][..]), ("down", &["-R"]), ("up, eight streams", &["-P", "8"])] {
        let mut measured = Measured::default();
        for _ in 0..ROUNDS {
            measured.same.push(rate(&same, more));
            measured.other.push(rate(&other, more));
        }
        let (_, rate) = measured.show(&format!("relayed, iperf3, Mbit/s {what}"));
        assert!(rate >= LEAST_RATE, "{rate} Mbit/s");
    }
}

/// Registers hosts, each at the next of those servers, and waits until all servers know the last.
fn register(members: &[Member], at: usize) -> Vec<Raw> {
    let limit = raise_descriptor_limit();
    assert!(limit.as_ref().is_ok_and(|&limit| limit > 2 * HOSTS as u64), "{limit:?} descriptors");
    let host = |index: usize| Raw::host(members[index % at].address(), &format!("host-{index}"));
    let hosts = (0..HOSTS).map(host).collect();
    members.iter().for_each(|member| knows(member, &format!("host-{}", HOSTS - 1)));
    hosts
}

fn memory(member: &Member) -> u64 {
    resident_kib(member.server.process.pid())
}

#[test]
#[ignore = "make cluster-figures"]
fn idle_hosts_over_three_servers() {
    let secret = Secret::of("idle", SECRET);
    let members: [Member; 3] = cluster(&secret, &["--open", "-q"]);
    let _hosts = register(&members, members.len());
    let needed: Vec<u64> = members.iter().map(memory).collect();
    past_the_harness(&format!("{HOSTS} hosts over three servers, each with a part: {needed:?} KiB\n"));
    assert!(needed.iter().all(|&needed| needed < MEMORY_LIMIT), "{needed:?} KiB");
}

#[test]
#[ignore = "make cluster-figures"]
fn what_a_host_costs_here_and_elsewhere() {
    let secret = Secret::of("memory", SECRET);
    let members: [Member; 2] = cluster(&secret, &["--open", "-q"]);
    let before: Vec<u64> = members.iter().map(memory).collect();
    let _hosts = register(&members, 1);
    let bytes = |member: usize| (memory(&members[member]) - before[member]) * 1024 / HOSTS as u64;
    let (here, elsewhere) = (bytes(0), bytes(1));
    past_the_harness(&format!("an idle host costs its server {here} bytes, and another server {elsewhere}\n"));
    assert!(elsewhere < here);
}

#[test]
#[ignore = "make cluster-figures"]
fn look_ups_that_are_not_cached() {
    let Some(redis) = Redis::start("look-ups") else { return };
    let secret = Secret::of("look-ups", SECRET);
    let members = [(); 2].map(|()| {
        let peers = ReservedPort::new();
        let (listen, advertise) = (peers.address.to_string(), format!("ws://{}", peers.address));
        let own = ["--open", "-q", "--cluster-secret-file", secret.path(), "--peer-listen", &listen];
        let server = Server::start(&[&own[..], &["--advertise", &advertise, "--directory", &redis.url()]].concat());
        Member { server, peers }
    });
    members.iter().for_each(|member| member.has_links(1));
    let mut hosts: Vec<Raw> =
        (0..LOOK_UPS).map(|index| Raw::host(members[0].address(), &format!("host-{index}"))).collect();
    let mut measured: [Vec<f64>; 2] = Default::default();
    for times in &mut measured {
        for (index, host) in hosts.iter_mut().enumerate() {
            let stream = connect(members[1].address());
            let begun = Instant::now();
            let mut client = Raw::on(stream, &format!("/ws/host-{index}"));
            client.text("hello");
            host.joined();
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
            host.packet();
        }
    }
    let found = members[1].metric("pinhole_directory_lookups_total{result=\"found\"}");
    let [[half, most], [again, most_again]] = measured.map(|mut times| {
        times.sort_by(f64::total_cmp);
        [times[times.len() / 2], times[times.len() * 99 / 100]]
    });
    past_the_harness(&format!(
        "a client is announced to its host at another server after {half:.2}, {most:.2} ms (median, 99 %), \
         and where the place was cached after {again:.2}, {most_again:.2} ms; {found} look-ups\n"
    ));
    assert!(most < LOOK_UP_LIMIT, "{most} ms");
}
