//! The rooms of the house and what each may name; a name without a row may not be used.

/// A room: a module, or a part of one that may name more than the rest.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    /// Other rooms.
    pub(crate) ours: &'static [&'static str],
    /// Packages, and [watched](WATCHED) parts of the standard library.
    pub(crate) others: &'static [&'static str],
}

/// Parts of the standard library that need permission: those that reach the system, read the clock, or share mutable
/// state.
pub(crate) const WATCHED: &[&str] = &[
    "std::cell",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::rc",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "elapsed",
];

pub(crate) const ROOMS: &[Room] = &[
    // Pure: values in, values out. A clock is a value, an `Instant` that comes in.
    room("tunnel", &[], &["bytes", "serde", "serde_json", "slab", "std::time::Instant", "thiserror"]),
    room(
        "peer",
        &["fault", "processor"],
        &["bytes", "dimpl", "log", "std::net", "std::time::Instant", "str0m", "stun_types", "thiserror"],
    ),
    room(
        "signaling",
        &["shares"],
        &[
            "aws_lc_rs",
            "bytes",
            "data_encoding",
            "percent_encoding",
            "rand",
            "serde",
            "serde_json",
            "sha2",
            "spake2",
            "std::net",
            "std::time::Instant",
            "thiserror",
        ],
    ),
    room(
        "session",
        &["fault", "peer", "signaling", "tunnel"],
        &["bytes", "log", "std::net", "std::time::Instant", "str0m"],
    ),
    room("gateway", &["address", "http"], &["httparse", "serde_json", "std::net", "thiserror"]),
    room("socks", &["address", "http", "tunnel"], &["aws_lc_rs", "httparse", "sha2", "std::net", "thiserror"]),
    room("address", &[], &["std::net", "thiserror"]),
    room("access", &["address"], &["ipnet", "std::net", "thiserror"]),
    room("access/logins", &[], &["std::time::Instant"]),
    room("shares", &[], &["std::net"]),
    room("fault", &[], &["log", "thiserror"]),
    room("processor", &[], &[]),
    // Of the system, `Read` and `Error` only.
    room(
        "http",
        &[],
        &["data_encoding", "httparse", "ipnet", "percent_encoding", "serde_json", "std::io", "std::net", "thiserror"],
    ),
    // What a run is asked to do.
    room(
        "config",
        &["access", "address", "http", "net", "session", "signaling", "socks", "tunnel"],
        &["ipnet", "std::net", "thiserror"],
    ),
    room("config/tokens", &[], &["aws_lc_rs", "data_encoding", "serde", "sha2", "std::fs", "std::io", "toml"]),
    // Sockets.
    room("net", &[], &["log", "std::io", "std::net", "thiserror"]),
    room("net/interfaces", &[], &["if_addrs", "std::fs"]),
    room("net/limits", &[], &["rlimit"]),
    room("net/listen", &[], &["socket2"]),
    room("net/listener", &[], &["std::fs", "std::os"]),
    room("net/machine", &[], &["if_addrs", "rand", "sha2", "std::fs"]),
    room("net/program_socket", &[], &["rustix"]),
    room("net/program_stream", &[], &["crossbeam_channel", "std::os"]),
    room("net/resolver", &[], &["crossbeam_channel", "std::net::ToSocketAddrs", "std::thread"]),
    room("net/system", &[], &["Instant::now", "if_addrs", "mio", "quinn_udp", "rand", "socket2", "std::time::Instant"]),
    room("net/tls", &["processor"], &["rustls", "rustls_native_certs", "std::fs", "webpki_roots"]),
    room("net/transport", &[], &["rustls"]),
    room("net/trust", &[], &["rustls", "webpki"]),
    room("net/watch", &[], &["rustix", "std::os", "std::time::Instant"]),
    room("net/websocket", &["fault", "http", "signaling"], &["bytes", "httparse", "rustls", "tungstenite"]),
    // The loop. What time it is, it asks `net/system`.
    room(
        "run",
        &["address", "config", "net", "session", "shares", "signaling", "status", "tunnel"],
        &[
            "bytes",
            "crossbeam_channel",
            "log",
            "rand",
            "slab",
            "std::io",
            "std::net",
            "std::time::Instant",
            "thiserror",
        ],
    ),
    room("run/approval", &[], &["std::thread"]),
    room("run/check", &["peer"], &[]),
    room("run/client", &["access", "socks"], &[]),
    room("run/connections", &["socks"], &["sha2"]),
    room("run/dialer", &["access"], &[]),
    room("run/links", &["http"], &["rustls"]),
    room("run/flows/programs", &["socks"], &[]),
    room("run/server", &["access", "gateway", "http", "socks"], &["SystemTime::now", "rustls"]),
    room("run/server/admin", &[], &["serde_json"]),
    room("run/server/register", &[], &["aws_lc_rs"]),
    room("run/signals", &[], &["signal_hook", "signal_hook_mio", "std::fs"]),
    room("run/trails", &[], &["sha2"]),
    // What is said of all that.
    room("status", &["address", "config", "signaling"], &["serde", "std::io", "std::net"]),
    room("status/invitation", &[], &["percent_encoding"]),
    room("status/json", &[], &["serde_json"]),
    room("status/metrics", &[], &["std::time::SystemTime"]),
    room(
        "status/printer",
        &[],
        &["Instant::now", "crossbeam_channel", "std::fs", "std::os", "std::thread", "std::time::Instant"],
    ),
    room("status/report", &[], &["log"]),
    room("status/style", &[], &["std::env"]),
    // What starts it.
    room(
        "cli",
        &[
            "access",
            "address",
            "config",
            "demo",
            "run",
            "fault",
            "http",
            "net",
            "session",
            "signaling",
            "socks",
            "status",
        ],
        &["clap", "log", "std::env", "std::io", "std::net", "std::process", "thiserror"],
    ),
    room("cli/logging", &[], &["env_logger"]),
    room("cli/pipe", &[], &["std::fs", "std::os", "std::thread"]),
    room("cli/prompt", &[], &["dialoguer", "signal_hook"]),
    room("cli/secret_file", &[], &["std::fs", "std::os"]),
    room("cli/parse", &[], &["ipnet"]),
    room("cli/server", &[], &["ipnet"]),
    room(
        "demo",
        &["address", "config", "run", "status"],
        &[
            "Instant::now",
            "crossbeam_channel",
            "elapsed",
            "std::io",
            "std::net",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::thread",
            "std::time::Instant",
            "thiserror",
        ],
    ),
    room(
        "api",
        &["address", "config", "net", "run", "signaling", "status"],
        &["std::io", "std::net", "std::thread", "thiserror"],
    ),
    // What tests reach into.
    room(
        "internals",
        &[
            "access",
            "address",
            "cli",
            "config",
            "gateway",
            "http",
            "net",
            "peer",
            "run",
            "session",
            "shares",
            "signaling",
            "socks",
            "status",
            "tunnel",
        ],
        &[],
    ),
    room("lib", &["api", "config", "net", "run", "signaling", "status", "tunnel"], &[]),
    room("main", &["internals"], &["std::process"]),
];

const fn room(name: &'static str, ours: &'static [&'static str], others: &'static [&'static str]) -> Room {
    Room { name, ours, others }
}
