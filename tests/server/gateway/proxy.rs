//! The forward proxy: programs reach what a host allows, with a token that permits it.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};

use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::http::{Answer, Connection, ask, ok, service};
use super::rig::{Curl, Folder, Server};
use crate::common::ReservedPort;
use crate::common::bytes::{check_pattern, pattern_digest, write_pattern};
use crate::common::pinhole::Pinhole;
use crate::common::services::{echo, serve, sink, source};

const DIALS: &str = "a-token-that-may-dial";
const MAY_NOT: &str = "a-token-that-may-not-dial";

/// A server with two tokens, each for some ids, and a host that dials what it allows.
struct Rig {
    server: Server,
    _hosts: Vec<Pinhole>,
    _folder: Folder,
}

impl Rig {
    #[track_caller]
    fn new(name: &str, allowed: &[SocketAddr]) -> Rig {
        let folder = Folder::new(name);
        let entry = |token: &str, ids: &str, dial: bool| {
            let hash = HEXLOWER.encode(&Sha256::digest(token.as_bytes()));
            format!("[[token]]\nhash = \"{hash}\"\nids = [\"{ids}\"]\ndial = {dial}\n")
        };
        let tokens = folder.file("tokens.toml", entry(DIALS, "dials-*", true) + &entry(MAY_NOT, "plain-*", false));
        let server = Server::with(&["--tokens", &tokens, "--proxy-listen", "127.0.0.1:0"]);
        let allow: Vec<String> = allowed.iter().flat_map(|target| ["--allow".to_owned(), target.to_string()]).collect();
        let allow: Vec<&str> = allow.iter().map(String::as_str).collect();
        let dials = |id, token, more: &[&str]| server.host(id, &[&["--token", token], &allow[..], more].concat());
        let _hosts = vec![
            dials("dials-one", DIALS, &["--server-dial"]),
            dials("dials-not", DIALS, &[]),
            dials("plain-one", MAY_NOT, &["--server-dial"]),
        ];
        Rig { server, _hosts, _folder: folder }
    }

    /// The proxy in a URL with a login.
    fn url(&self, id: &str, token: &str) -> String {
        format!("http://{id}:{token}@{}", self.server.proxy())
    }
}

fn login(id: &str, token: &str) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(format!("{id}:{token}").as_bytes()))
}

/// Opens a pipe to a target.
#[track_caller]
fn connect(rig: &Rig, target: SocketAddr) -> Connection {
    let mut connection = Connection::to(rig.server.proxy());
    let login = login("dials-one", DIALS);
    connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(std::io::BufRead::read_line(&mut connection.stream, &mut head).unwrap(), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    connection
}

#[test]
fn curl_through_the_proxy() {
    let mirror = service(|request, body| ok(format!("{request:?} {}", body.len())));
    let mut rig = Rig::new("proxy", &[mirror]);
    let Some(curl) = Curl::find(&rig.server, "the forward proxy by curl") else { return };
    let (proxy, url) = (rig.url("dials-one", DIALS), format!("http://{mirror}/a?secret"));
    for (more, line) in [
        (&[][..], "GET /a?secret HTTP/1.1"),
        (&["-p"], "GET /a?secret HTTP/1.1"),
        (&["--data", "12345"], "POST /a?secret HTTP/1.1"),
        (&["-I"], ""),
    ] {
        let (status, said) = curl.get(&[&["--noproxy", "", "-x", &proxy], more, &[&url]].concat());
        assert_eq!(status, "200", "{said}");
        assert!(said.contains(line) && said.contains(&format!(r#"("host", "{mirror}")"#)) || more == ["-I"], "{said}");
        assert!(!said.contains("proxy-"), "the login for the proxy reached the service: {said}");
        assert!(!said.contains("x-forwarded"), "a proxy says nothing about who uses it: {said}");
        assert!(more != ["--data", "12345"] || said.ends_with(" 5"), "{said}");
        let event = rig.server.logged();
        assert_eq!(event["status"], 200, "{event}");
        assert!(!event.to_string().contains("secret"), "{event}");
    }
}

#[test]
fn who_may_not_is_told_why() {
    let target = service(|_, _| ok("here"));
    let nobody = ReservedPort::new();
    let rig = Rig::new("denied", &[target, nobody.address]);
    let elsewhere = service(|_, _| ok("here"));
    let (right, id) = (login("dials-one", DIALS), "dials-one");
    let rows = [
        (right.clone(), target, 200, ""),
        (String::new(), target, 407, "proxy-login-wanted"),
        (login(id, "a-token-that-is-wrong"), target, 407, "proxy-login-wanted"),
        (login(id, ""), target, 407, "proxy-login-wanted"),
        (login("plain-one", DIALS), target, 407, "proxy-login-wanted"),
        (login(id, MAY_NOT), target, 407, "proxy-login-wanted"),
        (login("DIALS-ONE!", DIALS), target, 407, "proxy-login-wanted"),
        (right.replace("Proxy-Authorization", "Authorization"), target, 407, "proxy-login-wanted"),
        (right.replace("Basic", "Bearer"), target, 407, "proxy-login-wanted"),
        (format!("{right}{right}"), target, 407, "proxy-login-wanted"),
        (login("plain-one", MAY_NOT), target, 403, "denied"),
        (login("dials-not", DIALS), target, 403, "denied"),
        (right.clone(), elsewhere, 403, "denied"),
        (right.clone(), nobody.address, 502, "service-down"),
        (login("dials-nobody", DIALS), target, 404, "no-host"),
    ];
    for (login, target, status, code) in rows {
        let json = "Accept: application/json\r\n";
        let requests = [
            format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n{login}{json}\r\n"),
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}{json}\r\n"),
        ];
        for request in requests {
            let answer = ask(rig.server.proxy(), &request);
            assert_eq!(answer.status, status, "{request} {}", answer.text());
            let wants = answer.field("proxy-authenticate").is_some_and(|value| value.starts_with("Basic "));
            assert_eq!(wants, status == 407, "{answer:?}");
            if status != 200 {
                let value: Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(value["error"]["code"], code, "{request}");
            }
        }
    }
    // It is no web server, and fetches nothing but HTTP.
    for (line, status) in [
        (format!("GET / HTTP/1.1\r\nHost: {target}"), 400),
        (format!("GET https://{target}/ HTTP/1.1\r\nHost: {target}"), 400),
        (format!("GET ftp://{target}/ HTTP/1.1\r\nHost: {target}"), 400),
        (format!("CONNECT 127.0.0.1 HTTP/1.1\r\nHost: {target}"), 400),
        ("CONNECT 127.1:80 HTTP/1.1\r\nHost: a".to_owned(), 400),
        (format!("CONNECT http://{target}/ HTTP/1.1\r\nHost: a"), 400),
    ] {
        assert_eq!(ask(rig.server.proxy(), format!("{line}\r\n{right}\r\n")).status, status, "{line}");
    }
}

/// The same by curl, whose exit code and message are what a person sees.
#[test]
fn curl_says_what_the_proxy_said() {
    let target = service(|_, _| ok("here"));
    let rig = Rig::new("denied-curl", &[target]);
    let Some(curl) = Curl::find(&rig.server, "refusals of the proxy by curl") else { return };
    let url = format!("http://{target}/");
    for (id, token, status) in [("dials-one", "wrong-token-of-length", "407"), ("plain-one", MAY_NOT, "403")] {
        let proxy = rig.url(id, token);
        assert_eq!(curl.get(&["--noproxy", "", "-x", &proxy, &url]).0, status);
        let output = curl.run(&["--noproxy", "", "-p", "-x", &proxy, &url]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(56) && said.contains(status), "{output:?}");
    }
}

/// Each direction of a pipe ends by itself.
#[test]
fn a_pipe_may_be_closed_one_way() {
    const LEN: u64 = 3_000_000;
    let (echo, sink, source) = (echo(), sink(), source());
    let rig = Rig::new("pipe", &[echo, sink, source]);
    let mut pipe = connect(&rig, sink);
    write_pattern(pipe.stream.get_mut(), LEN).unwrap();
    pipe.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    pipe.stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, format!("{LEN} {}\n", pattern_digest(LEN)));

    let mut pipe = connect(&rig, source);
    pipe.send(format!("{LEN}\n"));
    check_pattern(&mut pipe.stream, 0, LEN);
    assert_eq!(pipe.stream.read(&mut [0]).unwrap(), 0);

    // The end alone, with nothing under way that would take it along.
    let mut pipe = connect(&rig, echo);
    pipe.send("hello");
    pipe.stream.read_exact(&mut [0; 5]).unwrap();
    pipe.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(pipe.stream.read(&mut [0]).unwrap(), 0);
}

/// What a target says first comes right behind the proxy's word.
#[test]
fn a_target_may_speak_first() {
    let greeter = serve(|mut stream| {
        stream.write_all(b"hello\n")?;
        std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop)
    });
    let rig = Rig::new("greeter", &[greeter]);
    let mut pipe = connect(&rig, greeter);
    let mut greeting = [0; 6];
    pipe.stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello\n");
    pipe.send("x");
    pipe.stream.read_exact(&mut greeting[..1]).unwrap();
    assert_eq!(greeting[0], b'x');
}

/// Several requests of a connection may go to several targets, and through several hosts.
#[test]
fn one_connection_to_several_targets() {
    let [one, two] = ["one", "two"].map(|name| service(move |_, _| ok(name)));
    let rig = Rig::new("targets", &[one, two]);
    let mut connection = Connection::to(rig.server.proxy());
    for (target, body) in [(one, "one"), (two, "two"), (two, "two"), (one, "one")] {
        let login = login("dials-one", DIALS);
        connection.send(format!("GET http://{target}/ HTTP/1.1\r\nHost: other.test\r\n{login}\r\n"));
        assert_eq!(connection.answer().text(), body);
    }
    // Without the login it is nobody's any more.
    connection.send(format!("GET http://{one}/ HTTP/1.1\r\nHost: {one}\r\n\r\n"));
    assert_eq!(connection.answer().status, 407);
}

/// Only holders of a token can dial, even on an open server.
#[test]
fn an_open_server_dials_for_nobody() {
    let target = service(|_, _| ok("here"));
    let server = Server::with(&["--open", "--proxy-listen", "127.0.0.1:0"]);
    let _host = server.host("dials-one", &["--server-dial", "--allow", &target.to_string()]);
    let login = login("dials-one", DIALS);
    let mut input = BufReader::new(crate::common::connect(server.proxy()));
    write!(input.get_mut(), "GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n{login}\r\n").unwrap();
    assert_eq!(Answer::read(&mut input).unwrap().status, 403);
}
