//! A real Redis at a unix socket, which appears as a unix socket, if it is installed.

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::common::pinhole::{Pinhole, text};
use crate::common::system::program;
use crate::common::wait_until;

const TEST: &str = "redis-cli over unix sockets";

/// Length of the value that goes there and back.
const LEN: usize = 1_000_000;

/// The server, and a directory that goes with it.
struct Server {
    child: Child,
    directory: std::path::PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and nothing but temporary files would be left.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn redis_cli_asks_a_real_redis_over_unix_sockets() {
    let (Some(server), Some(cli)) = (program("redis-server", TEST), program("redis-cli", TEST)) else { return };
    let directory = std::env::temp_dir().join(format!("pinhole-redis-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let at = |name: &str| directory.join(name).display().to_string();
    let child = Command::new(server)
        .args(["--port", "0", "--save", "", "--dir", &at(""), "--unixsocket", &at("server")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Server { child, directory: directory.clone() };
    wait_until("redis to listen", || UnixStream::connect(at("server")).is_ok());

    let mut host = Pinhole::start("host", &["host", &format!("db=unix:{}", at("server")), "--json", "--no-stun"]);
    let local = format!("unix:{}", at("here"));
    let mut client = Pinhole::start("client", &["client", &host.url(), &format!("db={local}"), "--json", "--no-stun"]);
    let event = client.find("forwarding", |event| event["event"] == "forwarding");
    assert_eq!((text(&event, "local"), text(&event, "service")), (local, "db".to_owned()));

    let ask = |arguments: &[&str], input: &str| {
        let mut child = Command::new(&cli)
            .args(["-s", &at("here")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let value: String = (b'a'..=b'z').cycle().take(LEN).map(char::from).collect();
    // With -x the last argument comes from stdin.
    assert_eq!(ask(&["-x", "set", "key"], &value), "OK");
    assert!(ask(&["get", "key"], "") == value, "the value came back changed");
    client.stop();
    host.stop();
}
