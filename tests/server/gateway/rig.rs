//! A server with a gateway, and hosts that publish services on it, each in its own process.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::pinhole::{Pinhole, text};
use crate::common::system::program;

/// What hosts' names end in.
pub(crate) const DOMAIN: &str = "p.test";

/// What every server is started with.
const ARGUMENTS: [&str; 9] = [
    "server",
    "--listen",
    "127.0.0.1:0",
    "--log-format",
    "json",
    "--gateway-domain",
    DOMAIN,
    "--gateway-listen",
    "127.0.0.1:0",
];

/// A running `pinhole server`.
pub(crate) struct Server {
    pub(crate) process: Pinhole,
    /// Its port for hosts, clients and browsers.
    pub(crate) address: SocketAddr,
    /// Its port for browsers alone.
    pub(crate) gateway: SocketAddr,
    /// The event that says where it is.
    pub(crate) serving: Value,
}

impl Server {
    /// One that everybody may register on.
    pub(crate) fn start() -> Server {
        Server::with(&["--open"])
    }

    /// One with these arguments, a gateway, and its log as JSON.
    #[track_caller]
    pub(crate) fn with(more: &[&str]) -> Server {
        Server::serving(Pinhole::start("server", &[&ARGUMENTS, more].concat()))
    }

    /// One that everybody may register on, and that may have so many descriptors.
    #[track_caller]
    pub(crate) fn within(descriptors: u64) -> Server {
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_pinhole")]).args(ARGUMENTS).arg("--open");
        Server::serving(Pinhole::spawn("server", shell))
    }

    #[track_caller]
    fn serving(mut process: Pinhole) -> Server {
        let serving = process.event("serving");
        let gateway = serving["gateway"][0].as_str().unwrap().parse().unwrap();
        Server { process, address: text(&serving, "listen").parse().unwrap(), gateway, serving }
    }

    /// Publishes a service under that name, and waits until it is there.
    #[track_caller]
    pub(crate) fn publish(&self, id: &str, service: SocketAddr) -> Pinhole {
        self.host(id, &["--public", "web", &format!("web={service}")])
    }

    /// Starts a host with that name and these arguments, and waits until it is there.
    #[track_caller]
    pub(crate) fn host(&self, id: &str, more: &[&str]) -> Pinhole {
        let scheme = if self.serving["tls"] == true { "wss" } else { "ws" };
        let server = format!("{scheme}://{}", self.address);
        let own = ["host", "--json", "--no-stun", "--server", &server, "--id", id];
        let mut host = Pinhole::start("host", &[&own, more].concat());
        host.event("registered");
        host
    }

    /// The port of the proxy.
    #[track_caller]
    pub(crate) fn proxy(&self) -> SocketAddr {
        text(&self.serving, "proxy").parse().unwrap()
    }

    /// What a host's name and the gateway's port are in a URL and in `Host`.
    pub(crate) fn authority(&self, id: &str) -> String {
        format!("{id}.{DOMAIN}:{}", self.gateway.port())
    }

    /// Waits for what the log says about the next request.
    #[track_caller]
    pub(crate) fn logged(&mut self) -> Value {
        self.process.event("request")
    }
}

/// Tells whether there is time for everything.
pub(crate) fn is_full() -> bool {
    env::var_os("GATEWAY_FULL").is_some()
}

/// A folder for what a test needs, made anew, and removed with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns where it is.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left there is in the folder of the build.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// curl with nothing of the user's settings, a deadline, and names of the gateway that lead to this machine.
pub(crate) struct Curl {
    program: PathBuf,
    resolve: String,
}

impl Curl {
    /// A test that misses it says so.
    pub(crate) fn find(server: &Server, test: &str) -> Option<Curl> {
        let program = program("curl", test)?;
        // Names are for every port of the gateway.
        let ports = [server.gateway.port(), server.address.port()];
        let resolve = ports.map(|port| format!("*:{port}:127.0.0.1")).join(",");
        Some(Curl { program, resolve })
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-q", "-sS", "--max-time", "120"]);
        for rule in self.resolve.split(",") {
            command.args(["--resolve", rule]);
        }
        for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it and returns the status that it got, and the body.
    #[track_caller]
    pub(crate) fn get(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(&[&["-w", "\n%{http_code}"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let out = String::from_utf8(output.stdout).unwrap();
        let (body, status) = out.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }
}
