//! A client whose environment names an HTTP proxy.

use std::io::{Read, Write};

use crate::common::pinhole::{Ended, Pinhole, command};
use crate::common::proxy::{ConnectProxy, ESTABLISHED};
use crate::common::services::echo;
use crate::common::{ReservedPort, connect};

/// Runs a client to its end in an environment with that.
#[track_caller]
fn run(url: &str, environment: &[(&str, &str)]) -> Ended {
    let mut command = command(&["client", url, "0", "--once"]);
    command.envs(environment.iter().copied());
    Pinhole::spawn("client", command).end()
}

#[test]
fn a_client_reaches_its_host_through_a_proxy() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let address = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let proxy = ConnectProxy::to(address.parse().unwrap(), vec![ESTABLISHED.into()]);
    // Only the proxy knows where that is (RFC 6761).
    let url = url.replace(address, "pinhole.invalid:5000");
    let header = "X-Tunnel-Authorization: tunnel abc";
    let mut command = command(&["client", &url, "0", "--json", "--header", header]);
    command.env("http_proxy", format!("http://me:p%40ss@{}", proxy.address)).env("NO_PROXY", "example.com,10.0.0.0/8");
    let mut client = Pinhole::spawn("client", command);
    let mut stream = connect(client.local());
    stream.write_all(b"through").unwrap();
    let mut echoed = [0; 7];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"through");

    let head = &proxy.heads()[0];
    assert!(head.starts_with("CONNECT pinhole.invalid:5000 HTTP/1.1\r\nHost: pinhole.invalid:5000\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n"), "{head}");
    assert!(!head.contains("X-Tunnel-Authorization"), "{head}");
    assert!(proxy.passed().starts_with("GET /ws HTTP/1.1\r\n"));
    assert!(proxy.passed().contains(&format!("\r\n{header}\r\n")));
    let ended = client.stop();
    assert!(!format!("{ended:?}").contains("p@ss"), "{ended:?}");
    host.stop();
}

#[test]
fn this_machine_and_exceptions_need_no_proxy() {
    let mut host = Pinhole::host(echo(), &[]);
    let dead = ReservedPort::new();
    let mut command = command(&["client", &host.url(), "0", "--json"]);
    command.env("http_proxy", dead.address.to_string()).env("ALL_PROXY", "socks5://127.0.0.1:1080");
    let mut client = Pinhole::spawn("client", command);
    client.local();
    client.stop();
    host.stop();

    let proxy = dead.address.to_string();
    let excepted = [("https_proxy", proxy.as_str()), ("no_proxy", "pinhole.invalid")];
    run("wss://a.pinhole.invalid/ws?pin=1", &excepted).expect(1, &["cannot find a.pinhole.invalid"]);
}

#[test]
fn a_proxy_that_does_not_connect_says_why() {
    let url = "wss://pinhole.invalid/ws?pin=1";
    let expect = |answer: &str, words: &[&str]| {
        let proxy = ConnectProxy::saying(answer);
        run(url, &[("HTTPS_PROXY", &proxy.address.to_string())]).expect(1, words);
    };
    expect(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
        &["wants a user name and password: set HTTPS_PROXY=http://user:password@127.0.0.1:"],
    );
    expect("HTTP/1.1 403 Forbidden\r\n\r\n", &["does not allow connections to pinhole.invalid:443"]);
    expect("SSH-2.0-OpenSSH_9.6\r\n", &["does not answer as an HTTP proxy does", "is HTTPS_PROXY right?"]);

    let dead = ReservedPort::new();
    let ended = run(url, &[("ALL_PROXY", &dead.address.to_string())]);
    ended.expect(1, &["cannot connect to the proxy 127.0.0.1:", "is ALL_PROXY right"]);
    run(url, &[("https_proxy", "http://proxy.invalid:3128")]).expect(1, &["cannot find proxy.invalid"]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_wrong_usage() {
    let url = "wss://pinhole.invalid/ws?pin=1";
    let rows = [
        ("ALL_PROXY", "socks5://u:secret@p.test:1080", "ALL_PROXY names a proxy of the kind socks5://"),
        ("https_proxy", "https://u:secret@p.test", "only http:// proxies are supported"),
        ("HTTPS_PROXY", "http://u:secret@p.test:x", "HTTPS_PROXY is not the address of a proxy"),
    ];
    for (variable, value, words) in rows {
        let ended = run(url, &[(variable, value)]);
        ended.expect(2, &[words]);
        assert!(!format!("{ended:?}").contains("secret"), "{ended:?}");
    }
}
