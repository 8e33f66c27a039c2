//! Hosts and clients that start before what they need, like services at boot.

use nix::sys::signal::Signal;

use crate::common::pinhole::{Pinhole, text};
use crate::common::services::{echo, serve};
use crate::lab::{Server, check_echo, registered};

const PIN: &[&str] = &["--pin", "7391846"];

#[test]
fn a_host_and_its_client_wait_for_the_server_and_for_each_other() {
    let mut server = Server::open(&[]);
    server.process.stop();
    let mut host = server.start_host("myhost", echo(), &[PIN, &["--retry"]].concat());
    let lost = text(&host.event("server-lost"), "message");
    assert!(lost.contains("is pinhole server still running") && lost.ends_with("trying again"), "{lost}");
    let url = format!("{}/ws/myhost", server.url());
    let mut client = Pinhole::client(&url, &[PIN, &["--retry"]].concat());
    let waiting = text(&client.event("reconnecting"), "message");
    assert!(waiting.contains("cannot connect to") && waiting.ends_with("trying again"), "{waiting}");

    server.start_again();
    registered(&mut host);
    check_echo(client.local(), 100_000);
    host.stop();
    // It was connected: now it is the host that ended.
    client.end().expect(1, &[r#""code":"host-ended""#]);

    // The server is there, and the host is not.
    let mut client = Pinhole::client(&url, &[PIN, &["--retry"]].concat());
    client.event("reconnecting");
    let mut host = server.start_host("myhost", echo(), &[PIN, &["--retry"]].concat());
    check_echo(client.local(), 100_000);
    client.stop();
    host.stop();
    server.stop();
}

#[test]
fn who_does_not_wait_names_the_flag() {
    let mut server = Server::open(&[]);
    let url = format!("{}/ws/myhost", server.url());
    Pinhole::client(&url, PIN).end().expect(1, &["(--retry waits for it)", r#""code":"unknown-host""#]);
    server.process.stop();
    let words = ["(--retry waits for it)", r#""code":"unreachable""#];
    Pinhole::client(&url, PIN).end().expect(1, &words);
    server.start_host("myhost", echo(), PIN).end().expect(1, &words);
    // That cannot become right.
    let ended = Pinhole::host(echo(), &["--retry"]).end();
    ended.expect(2, &["--retry is for a host on a server; add --server URL"]);
}

#[test]
fn what_passes_is_waited_for_and_what_does_not_is_not() {
    // A name that nobody knows (RFC 6761), and a proxy before its server is up.
    let starting = serve(|mut stream| {
        std::io::Read::read(&mut stream, &mut [0; 4096])?;
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    });
    let urls = ["ws://pinhole.invalid:5000".to_owned(), format!("ws://{starting}")];
    for (url, words) in urls.iter().zip(["cannot find pinhole.invalid", "does not reach pinhole server"]) {
        let mut host = Pinhole::host(echo(), &["--server", url, "--id", "myhost", "--retry"]);
        let lost = text(&host.event("server-lost"), "message");
        assert!(lost.contains(words), "{lost}");
        host.signal(Signal::SIGTERM);
        assert_eq!(host.end().code, Some(0));
        let mut client = Pinhole::client(&format!("{url}/ws/myhost"), &[PIN, &["--retry"]].concat());
        client.event("reconnecting");
        client.signal(Signal::SIGTERM);
        assert_eq!(client.end().code, Some(0));
    }
    // Somebody else's port: no waiting makes that a server.
    let page = serve(|mut stream| {
        std::io::Read::read(&mut stream, &mut [0; 4096])?;
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let url = format!("ws://{page}");
    let host = Pinhole::host(echo(), &["--server", &url, "--id", "myhost", "--retry"]).end();
    host.expect(1, &["is it the right port"]);
    assert!(!host.stdout.contains("waits for it"), "{host:?}");
}
