//! What listens on this machine, to choose from: TCP ports and the programs behind them, where Linux tells.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::address::Target;
use crate::status::text::sanitize;

/// Most sockets, processes and descriptors of a process that are looked at: it is only a help.
const MAX_SOCKETS: usize = 1024;
const MAX_PROCESSES: usize = 4096;
const MAX_DESCRIPTORS: usize = 4096;

/// Longest name of a program, in characters.
const MAX_PROGRAM: usize = 32;

/// The state of a socket that listens, as the kernel counts (`include/net/tcp_states.h`).
const LISTEN: &str = "0A";

/// Longest wait for a service to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A port that something listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// What a host dials to reach it.
    pub target: Target,
    /// The name of the program, if it may be known.
    pub program: Option<String>,
}

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// Ports that people share, beside those of 3000 to 9999.
const LIKELY: [u16; 6] = [80, 443, 11434, 19132, 25565, 27015];

/// Ports that belong to the system: names, RPC, file sharing, printing.
const SYSTEM: [u16; 7] = [53, 111, 139, 445, 631, 5353, 5355];

/// The first port of those that systems pick for whoever asks for none.
const EPHEMERAL: u16 = 32768;

/// Returns what listens here but pinhole itself, likely services first.
pub(super) fn find() -> Vec<Listening> {
    let read = |name: &str| fs::read_to_string(Path::new("/proc/net").join(name)).unwrap_or_default();
    let sockets: Vec<Socket> =
        ["tcp", "tcp6"].into_iter().flat_map(|name| parse(&read(name))).take(MAX_SOCKETS).collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let programs = programs();
    list(&sockets, |inode| programs.get(&inode).cloned())
}

/// Tells whether a target takes connections; `None` if that was not known in time.
pub(super) fn answers(target: &Target) -> Option<bool> {
    let (sender, answer) = mpsc::channel();
    let (host, port) = (target.host.clone(), target.port);
    // A name may take long, and nobody waits for it any more then.
    let look = move || {
        let addresses: Vec<SocketAddr> = (host.as_str(), port).to_socket_addrs().into_iter().flatten().collect();
        let takes = |address: &SocketAddr| TcpStream::connect_timeout(address, PATIENCE).is_ok();
        let _ = sender.send(addresses.iter().any(takes));
    };
    thread::Builder::new().name("probe".into()).spawn(look).ok()?;
    answer.recv_timeout(PATIENCE).ok()
}

/// Joins sockets of one port, and sorts them. What pinhole listens on is for its own sides, or shared already.
fn list(sockets: &[Socket], program: impl Fn(u64) -> Option<String>) -> Vec<Listening> {
    let mut found: BTreeMap<(u16, String), Option<String>> = BTreeMap::new();
    for socket in sockets {
        let is_local = socket.address.is_loopback() || socket.address.is_unspecified();
        let host = if is_local { "localhost".to_owned() } else { socket.address.to_string() };
        let entry = found.entry((socket.port, host)).or_default();
        if entry.is_none() {
            *entry = program(socket.inode);
        }
    }
    let everywhere: Vec<u16> = found.keys().filter(|(_, host)| host == "localhost").map(|(port, _)| *port).collect();
    let mut list: Vec<Listening> = found
        .into_iter()
        .filter(|((port, host), _)| host == "localhost" || !everywhere.contains(port))
        .filter(|(_, program)| program.as_deref() != Some(env!("CARGO_PKG_NAME")))
        .map(|((port, host), program)| Listening { target: Target { host, port }, program })
        .collect();
    list.sort_by_key(|entry| (rank(entry.target.port), entry.program.is_none()));
    list
}

/// Returns how unlikely it is that somebody wants to share a port.
fn rank(port: u16) -> u8 {
    match port {
        port if SYSTEM.contains(&port) => 3,
        EPHEMERAL.. => 2,
        3000..=9999 => 0,
        port if LIKELY.contains(&port) => 0,
        _ => 1,
    }
}

/// Reads `/proc/net/tcp` or `tcp6` (proc_pid_net(5)).
fn parse(text: &str) -> Vec<Socket> {
    text.lines().skip(1).filter_map(socket).take(MAX_SOCKETS).collect()
}

fn socket(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().take(10).collect();
    let [_, local, _, LISTEN, _, _, _, _, _, inode] = fields[..] else { return None };
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok().filter(|port| *port > 0)?;
    Some(Socket { address: ip(address)?, port, inode: inode.parse().ok()? })
}

/// Reads an address: words of 32 bits as this machine has them in memory.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

/// Returns the programs behind sockets, of those processes that may be looked at.
fn programs() -> HashMap<u64, String> {
    let mut programs = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten().take(MAX_PROCESSES) {
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let links = descriptors.flatten().take(MAX_DESCRIPTORS).filter_map(|entry| fs::read_link(entry.path()).ok());
        let inodes: Vec<u64> = links.filter_map(|link| inode(link.to_str()?)).collect();
        if inodes.is_empty() {
            continue;
        }
        let Ok(name) = fs::read_to_string(process.path().join("comm")) else { continue };
        let name = sanitize(name.trim_end(), MAX_PROGRAM);
        programs.extend(inodes.into_iter().map(|inode| (inode, name.clone())));
    }
    programs
}

/// Reads where the link of a descriptor leads: `socket:[1234]`.
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Returns an address as this machine's kernel prints it.
    fn printed(bytes: &[u8]) -> String {
        bytes.chunks_exact(4).map(|word| format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap()))).collect()
    }

    #[test]
    fn what_the_kernel_prints_is_read() {
        let loopback = printed(&[127, 0, 0, 1]);
        let lan = printed(&[192, 168, 1, 7]);
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[255, 255, 10, 0, 0, 9]);
        let text = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: {loopback}:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0\n\
             1: {lan}:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0\n\
             2: {loopback}:1F91 {loopback}:0016 01 00000000:00000000 00:00000000 00000000     0        0 13 1\n\
             3: {}:0050 {} 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0\n\
             4: {}:0051 {} 0A 00000000:00000000 00:00000000 00000000     0        0 15 1 0 100 0\n\
             nonsense\n 5: zz:0000 x 0A 0 0 0 0 0 y\n",
            printed(&[0; 16]),
            "0:0",
            printed(&mapped),
            "0:0",
        );
        let found: Vec<String> =
            parse(&text).iter().map(|socket| format!("{} {} {}", socket.address, socket.port, socket.inode)).collect();
        assert_eq!(found, ["127.0.0.1 8080 11", "192.168.1.7 22 12", ":: 80 14", "10.0.0.9 81 15"]);
    }

    #[test]
    fn a_port_is_listed_once_and_likely_services_come_first() {
        let socket = |address: &str, port, inode| Socket { address: address.parse().unwrap(), port, inode };
        let sockets = [
            socket("0.0.0.0", 22, 1),
            socket("::", 22, 2),
            socket("127.0.0.1", 8080, 3),
            socket("192.168.1.7", 8080, 4),
            socket("192.168.1.7", 9000, 5),
            socket("127.0.0.53", 53, 6),
            socket("127.0.0.1", 40000, 7),
            socket("127.0.0.1", 5000, 8),
            socket("0.0.0.0", 7070, 8),
        ];
        let list = list(&sockets, |inode| match inode {
            3 => Some("node".to_owned()),
            6 => Some("resolved".to_owned()),
            8 => Some("pinhole".to_owned()),
            _ => None,
        });
        let shown: Vec<String> = list.iter().map(|entry| format!("{} {:?}", entry.target, entry.program)).collect();
        assert_eq!(
            shown,
            [
                "localhost:8080 Some(\"node\")",
                "192.168.1.7:9000 None",
                "localhost:22 None",
                "localhost:40000 None",
                "localhost:53 Some(\"resolved\")",
            ]
        );
    }

    #[test]
    fn what_this_process_listens_on_is_found_and_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Target { host: "localhost".into(), port };
        assert_eq!(answers(&Target { host: "127.0.0.1".into(), port }), Some(true));
        if cfg!(target_os = "linux") {
            let found = find().into_iter().find(|entry| entry.target == target).unwrap();
            assert!(found.program.is_some(), "{found:?}");
        }
        drop(listener);
        assert_ne!(answers(&Target { host: "127.0.0.1".into(), port }), Some(true));
    }
}
