//! The server behind a proxy that ends TLS: nginx and Caddy as documented, and whose statements are trusted.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::http::{Answer, Connection, Request, get, ok, service};
use super::rig::{DOMAIN, Folder, Server};
use super::tls::Authority;
use crate::common::pinhole::{Pinhole, text};
use crate::common::system::program;
use crate::common::{quiet_port, try_connect, wait_until};

const MANUAL: &str = include_str!("../../../docs/server.md");

/// A block of the documentation.
fn block(name: &str) -> &'static str {
    let (_, rest) = MANUAL.split_once(&format!("```{name}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// A proxy, killed with this.
struct Front {
    process: Child,
    port: u16,
    _folder: Folder,
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Front {
    /// Starts it with the configuration of the documentation, but for addresses and paths.
    fn start(name: &str, program: &Path, authority: &Authority, server: SocketAddr) -> Front {
        let folder = Folder::new(&format!("front-{name}"));
        let port = quiet_port();
        let config = block(name)
            .replace("127.0.0.1:8080", &server.to_string())
            .replace("/etc/pinhole/fullchain.pem", &authority.path("certificate.pem"))
            .replace("/etc/pinhole/privkey.pem", &authority.path("key.pem"))
            .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"))
            .replace("p.example.org {", &format!("p.example.org:{port}, 127.0.0.1:{port} {{"))
            .replace("p.example.org,", &format!("p.example.org:{port},"))
            .replace("p.example.org", DOMAIN);
        let base = folder.join("");
        let base = base.to_str().unwrap();
        let mut command = Command::new(program);
        if name == "nginx" {
            let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {base}{kind};\n"))
                .concat();
            let main = "daemon off; master_process off; events { worker_connections 256; }";
            let config =
                format!("{main} pid {base}pid; error_log stderr;\nhttp {{ access_log off;\n{folders}{config} }}");
            command.args(["-p", base, "-e", "stderr", "-c", &folder.file("config", config)]);
        } else {
            let config = format!("{{\nadmin off\nauto_https disable_redirects\n}}\n{config}");
            let file = folder.file("config", config);
            command.args(["run", "--adapter", "caddyfile", "--config", &file]).env("HOME", base);
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let front = Front { process, port, _folder: folder };
        wait_until("the proxy to listen", || try_connect((Ipv4Addr::LOCALHOST, port).into()).is_ok());
        front
    }
}

/// Starts a host and returns it with what it says of its registration.
fn register(id: &str, server: &str, service: SocketAddr, more: &[&str]) -> (Pinhole, Value) {
    let target = format!("web={service}");
    let own = ["host", "--json", "--no-stun", "--server", server, "--id", id, "--public", "web", &target];
    let mut host = Pinhole::start("host", &[&own, more].concat());
    let registered = host.event("registered");
    (host, registered)
}

fn mirror() -> SocketAddr {
    service(|request: &Request, _| ok(format!("{request:?}")))
}

/// Connects from an address of this machine that is no proxy's.
pub(crate) fn connect_from(source: Ipv4Addr, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    socket.into()
}

const VISITOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn behind(name: &str) {
    let Some(program) = program(name, &format!("the server behind {name}")) else { return };
    let authority = Authority::new(&format!("behind-{name}"));
    let mut server = Server::with(&["--open", "--trusted-proxy", "127.0.0.1"]);
    let front = Front::start(name, &program, &authority, server.address);
    let ca = authority.path("ca.pem");
    let through = format!("wss://127.0.0.1:{}", front.port);
    let (_host, registered) = register("myhost", &through, mirror(), &["--ca", &ca]);
    assert_eq!(text(&registered, "web"), format!("https://myhost.{DOMAIN}:{}", front.port));
    let (_other, registered) = register("other", &format!("ws://{}", server.address), mirror(), &[]);
    assert_eq!(text(&registered, "web"), format!("https://other.{DOMAIN}"));
    let host = format!("myhost.{DOMAIN}:{}", front.port);
    let forged =
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 6.6.6.6\r\n";
    let mut stream = authority.over(connect_from(VISITOR, front.port), "myhost.p.test");
    stream.write_all(get(&host, "/", forged).as_bytes()).unwrap();
    let said = Answer::read(&mut BufReader::new(stream)).unwrap().text();
    for part in [
        r#"("x-forwarded-proto", "https")"#.to_owned(),
        r#"("x-forwarded-for", "127.0.0.2")"#.to_owned(),
        format!(r#"("x-forwarded-host", "{host}")"#),
        format!(r#"("host", "{host}")"#),
    ] {
        assert!(said.contains(&part), "no {part} in {said}");
    }
    assert!(!said.contains("6.6.6.6") && !said.contains("evil"), "{said}");
    assert_eq!(server.logged()["remote"], "127.0.0.2");
}

#[test]
fn behind_nginx() {
    behind("nginx");
}

#[test]
fn behind_caddy() {
    behind("caddy");
}

/// Asks as whoever is at that address, and returns what the service was told: address, scheme and host.
#[track_caller]
fn told(server: &Server, source: Ipv4Addr, fields: &str) -> [String; 3] {
    let mut connection = Connection { stream: BufReader::new(connect_from(source, server.gateway.port())) };
    connection.send(get(&server.authority("myhost"), "/", fields));
    let said = connection.answer().text();
    ["for", "proto", "host"].map(|name| {
        let (_, rest) = said.split_once(&format!(r#"("x-forwarded-{name}", ""#)).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    })
}

#[test]
fn nobody_else_is_believed() {
    let fields =
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.3\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.test\r\n";
    let proxies = ["--open", "--trusted-proxy", "127.0.0.3", "--trusted-proxy", "10.0.0.0/8"];
    let server = Server::with(&proxies);
    let _host = server.publish("myhost", mirror());
    let own = server.authority("myhost");
    assert_eq!(told(&server, Ipv4Addr::new(127, 0, 0, 3), fields), ["203.0.113.9", "https", "a.test"]);
    assert_eq!(told(&server, Ipv4Addr::LOCALHOST, fields), ["127.0.0.1", "http", &own]);
    assert_eq!(told(&server, Ipv4Addr::new(127, 0, 0, 3), ""), ["127.0.0.3", "http", &own]);
    // What is no host is not passed on as one.
    let wrong = "X-Forwarded-Host: a b\r\n";
    assert_eq!(told(&server, Ipv4Addr::new(127, 0, 0, 3), wrong), ["127.0.0.3", "http", &own]);
    // One whose ports are all on loopback is behind something of this machine, which knows the scheme.
    let server = Server::start();
    let _host = server.publish("myhost", mirror());
    let own = server.authority("myhost");
    assert_eq!(told(&server, Ipv4Addr::LOCALHOST, fields), ["127.0.0.1", "https", &own]);
    let server = Server::with(&["--open", "--gateway-listen", "0.0.0.0:0"]);
    let _host = server.publish("myhost", mirror());
    let own = server.authority("myhost");
    assert_eq!(told(&server, Ipv4Addr::LOCALHOST, fields), ["127.0.0.1", "http", &own]);
}

/// Hosts and clients come through the proxy, too.
#[test]
fn hosts_have_the_address_that_the_proxy_tells() {
    let mut server = Server::with(&["--open", "--trusted-proxy", "127.0.0.0/8"]);
    let url = format!("ws://{}", server.address);
    let _host = register("myhost", &url, mirror(), &["--header", "X-Forwarded-For: 6.6.6.6, 203.0.113.9"]);
    assert_eq!(server.process.event("host-joined")["remote"], "203.0.113.9:0");
}
