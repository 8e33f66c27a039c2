//! The most detailed logs of host, client and server: they contain no secrets.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use pinhole::internals::signaling::rendezvous::Token;

use crate::common::connect;
use crate::common::pinhole::{Ended, Pinhole, command, text};
use crate::common::proxy::{ConnectProxy, ESTABLISHED};
use crate::common::services::echo;
use crate::lab::registered;
use crate::secrecy::is_in;

const TOKEN: &str = "atokenthatnobodyelsehas";
const PIN: &str = "apinthatnobodyelsehas";
const WRONG_PIN: &str = "apinthatwasmistyped";
const VISITORS: &str = "visitor:thepasswordofavisitor";
const PROGRAMS: &str = "program:thepasswordofaprogram";
const OFFICE: &str = "employee:thepasswordofanemployee";
const HEADER: &str = "theheadersofatunnel";
const QUERY: &str = "thequeryofavisitor";
const SAID: &str = "whataprogramsaystoitsservice";

/// Starts it with everything logged that can be.
fn start(name: &'static str, arguments: &[&str], environment: &[(&str, &str)]) -> Pinhole {
    let mut command = command(&[arguments, &["--json", "-vvv"]].concat());
    command.envs(environment.iter().copied()).env("RUST_LOG", "trace");
    Pinhole::spawn(name, command)
}

/// Says something to a service and waits for the answer's end.
fn exchange(address: SocketAddr, said: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(said.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn nobody_logs_a_secret() {
    let tokens = std::env::temp_dir().join(format!("pinhole-logs-{}.toml", std::process::id()));
    let hash = data_encoding::HEXLOWER.encode(&TOKEN.parse::<Token>().unwrap().hash());
    std::fs::write(&tokens, format!("[[token]]\nhash = \"{hash}\"\nids = [\"app\"]\ndial = true\n")).unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--gateway-domain", "p.test"];
    let mut server = start("server", &[&["server", "--tokens", tokens.to_str().unwrap()], &listen[..]].concat(), &[]);
    let serving = server.event("serving");
    let address: SocketAddr = text(&serving, "listen").parse().unwrap();
    std::fs::remove_file(tokens).unwrap();

    let service = echo();
    let (target, rule) = (format!("web={service}"), service.to_string());
    // Only a proxy that wants a password knows where the server is (RFC 6761).
    let office = ConnectProxy::to(address, vec![ESTABLISHED.into()]);
    let (url, office) = ("ws://pinhole.invalid:5000", format!("http://{OFFICE}@{}", office.address));
    let header = format!("X-Tunnel-Authorization: tunnel {HEADER}");
    let own = ["host", &target, "--no-stun", "--allow", &rule, "--server", url, "--id", "app", "--header", &header];
    let public = ["--public", "web", "--public-auth", VISITORS, "--server-dial"];
    let environment = [("PINHOLE_TOKEN", TOKEN), ("PINHOLE_PIN", PIN), ("http_proxy", &office)];
    let mut host = start("host", &[&own, &public[..]].concat(), &environment);
    registered(&mut host);

    let url = format!("{url}/ws/app");
    let client = |pin, way: &[&str]| {
        let own = ["client", &url, "web=0", "--no-stun", "--header", &header, "-D", "0", "--proxy-auth", PROGRAMS];
        start("client", &[&own[..], way].concat(), &[("PINHOLE_PIN", pin), ("http_proxy", &office)])
    };
    let mut ended: Vec<(&str, Ended)> = vec![("mistaken client", client(WRONG_PIN, &[]).end())];
    ended[0].1.expect(1, &[r#""code":"bad-pin""#]);
    for (name, way) in [("direct client", &["--no-relay"][..]), ("relayed client", &["--relay-only"])] {
        let mut client = client(PIN, way);
        let local: Vec<SocketAddr> = ["web", "proxy"]
            .map(|service| {
                let event = client.find(service, |event| event["event"] == "forwarding" && event["service"] == service);
                text(&event, "local").parse().unwrap()
            })
            .into();
        assert_eq!(exchange(local[0], SAID), SAID);
        let login = data_encoding::BASE64.encode(PROGRAMS.as_bytes());
        let asked = format!(
            "CONNECT {service} HTTP/1.1\r\nHost: {service}\r\nProxy-Authorization: Basic {login}\r\n\r\n{SAID}"
        );
        let answer = exchange(local[1], &asked);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(SAID), "{answer}");
        ended.push((name, client.stop()));
    }
    let login = data_encoding::BASE64.encode(VISITORS.as_bytes());
    let head = format!("GET /?key={QUERY} HTTP/1.1\r\nHost: app.p.test\r\nConnection: close\r\n");
    assert!(exchange(address, &format!("{head}\r\n")).starts_with("HTTP/1.1 401 "));
    assert!(exchange(address, &format!("{head}Authorization: Basic {login}\r\n\r\n")).starts_with("HTTP/1.1 502 "));
    let login = data_encoding::BASE64.encode(format!("app:{TOKEN}").as_bytes());
    let asked =
        format!("CONNECT {service} HTTP/1.1\r\nHost: {service}\r\nProxy-Authorization: Basic {login}\r\n\r\n{SAID}");
    let answer = exchange(text(&serving, "proxy").parse().unwrap(), &asked);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(SAID), "{answer}");
    ended.extend([("host", host.stop()), ("server", server.stop())]);

    let passwords = [VISITORS, PROGRAMS, OFFICE].map(|login| login.split_once(':').unwrap().1);
    for (name, Ended { stdout, stderr, .. }) in &ended {
        assert!(stderr.contains("TRACE pinhole") && stderr.contains("DEBUG "), "{name} logs: {stderr}");
        for secret in [&[TOKEN, WRONG_PIN, HEADER, QUERY, SAID, "ice-pwd"], &passwords[..]].concat() {
            for line in stderr.lines().chain(stdout.lines()) {
                assert!(!is_in(line.as_bytes(), secret), "{secret} is in what the {name} says: {line}");
            }
        }
        // A host prints the pin for those to whom it is passed on, and does not log it.
        for line in stderr.lines().chain(if *name == "host" { "" } else { stdout }.lines()) {
            assert!(!is_in(line.as_bytes(), PIN), "the pin is in what the {name} says: {line}");
        }
    }
}

#[test]
fn a_broken_variable_is_said() {
    let mut command = command(&["check", "--no-stun"]);
    command.env("RUST_LOG", "pinhole=inof,tungstenite=trace");
    let ended = Pinhole::spawn("check", command).end();
    ended.expect(0, &["'pinhole=inof' in RUST_LOG is left out: give a level", "libraries log at DEBUG at most"]);
    assert!(!ended.stderr.contains("TRACE tungstenite"), "{ended:?}");
}
