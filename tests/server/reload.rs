//! SIGHUP for a server of a file, and for hosts of files that are registered there.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use nix::sys::signal::Signal;
use pinhole::internals::signaling::rendezvous::Token;
use serde_json::{Value, json};

use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, text};
use crate::common::services::{echo, read_head, serve};
use crate::common::{ReservedPort, connect, ping};
use crate::lab::{Client, Server, registered};

/// A file of tokens, for any id each.
fn tokens(tokens: &[&str]) -> String {
    let entry = |token: &&str| {
        let hash = token.parse::<Token>().unwrap().hash();
        format!("[[token]]\nhash = \"{}\"\nids = [\"*\"]\n", HEXLOWER.encode(&hash))
    };
    tokens.iter().map(entry).collect()
}

fn start(name: &'static str, file: &str, more: &[&str]) -> Pinhole {
    Pinhole::start(name, &[&["run", file, "--json"], more].concat())
}

/// Waits for what a server or a host says of its settings.
#[track_caller]
fn reloaded(process: &mut Pinhole) -> Value {
    process.find("settings", |event| event["event"] == "reloaded" && event["what"] == "settings")
}

#[test]
fn a_server_of_a_file_goes_by_another_beside_what_is_open() {
    let (folder, port) = (Folder::new("server"), ReservedPort::new());
    folder.write("tokens.toml", &tokens(&["ann", "bob"]));
    let contents = |more: &str| {
        format!("[server]\nlisten = \"{}\"\ntokens = \"tokens.toml\"\nmax-hosts = 2\n{more}\n", port.address)
    };
    let file = folder.write("server.toml", &contents(""));
    let mut server = start("server", &file, &[]);
    server.event("serving");
    let host = |id: &str, token: &str| {
        let url = format!("ws://{}", port.address);
        Pinhole::host(echo(), &["--server", &url, "--id", id, "--token", token])
    };
    let (mut ann, mut bob) = (host("ann-host", "ann"), host("bob-host", "bob"));
    let url = registered(&mut ann);
    registered(&mut bob);
    let mut client = Client::of(&url, &["--relay-only"]);
    let mut stream = client.stream();
    host("third", "ann").end().expect(1, &[r#""code":"full""#]);

    // More hosts may come, other tokens count, and what needs a restart is named.
    folder.write("others.toml", &tokens(&["ann", "eve"]));
    let wanted =
        contents("admin-listen = 1").replace("max-hosts = 2", "max-hosts = 3").replace("tokens.toml", "others.toml");
    folder.write("server.toml", &wanted);
    server.signal(Signal::SIGHUP);
    assert_eq!(server.event("reloaded"), json!({"event": "reloaded", "what": "tokens"}));
    let said = reloaded(&mut server);
    let expected = (json!(["tokens changed", "max-hosts changed"]), json!(["admin-listen"]));
    assert_eq!((&said["changed"], &said["left"]), (&expected.0, &expected.1));
    bob.end().expect(1, &[r#""code":"bad-token""#]);
    let (mut eve, mut more) = (host("eve-host", "eve"), host("third", "ann"));
    registered(&mut eve);
    registered(&mut more);

    // A file that is wrong changes nothing; tokens that are wrong change the rest.
    folder.write("server.toml", &wanted.replace("max-hosts", "max-host"));
    server.signal(Signal::SIGHUP);
    assert!(server.problem("warning", "reload").contains("server.toml:4:1: there is no max-host in [server]"));
    folder.write("others.toml", "nonsense");
    folder.write("server.toml", &wanted.replace("max-hosts = 3", "max-hosts = 9"));
    server.signal(Signal::SIGHUP);
    assert!(server.problem("warning", "reload").starts_with("the tokens stay as they were: "));
    assert_eq!(reloaded(&mut server)["changed"], json!(["max-hosts changed"]));
    let mut last = host("fourth", "eve");
    registered(&mut last);
    ping(&mut stream);
    client.is_undisturbed();
    for process in [&mut client.process, &mut ann, &mut eve, &mut more, &mut last, &mut server] {
        process.stop();
    }
}

#[test]
fn a_host_shows_its_new_token_where_the_former_is_not_known_any_more() {
    let folder = Folder::new("token");
    let file = folder.write("tokens.toml", &tokens(&["old"]));
    let mut server = Server::start(&["--tokens", &file]);
    folder.write("token", "old\n");
    folder.write("pin", "1");
    let contents = format!(
        "[host]\nservices = [\"{}\"]\nserver = \"{}\"\nid = \"myhost\"\ntoken-file = \"token\"\npin-file = \"pin\"\n",
        echo(),
        server.url()
    );
    let mut host = start("host", &folder.write("host.toml", &contents), &["--no-stun"]);
    let url = registered(&mut host);
    let mut client = Client::of(&url, &["--no-relay"]);
    let mut stream = client.stream();
    folder.write("token", "new\n");
    host.signal(Signal::SIGHUP);
    assert_eq!(reloaded(&mut host)["changed"], json!(["token changed"]));
    folder.write("tokens.toml", &tokens(&["new"]));
    server.process.signal(Signal::SIGHUP);
    host.event("server-lost");
    assert_eq!(registered(&mut host), url);
    ping(&mut stream);
    client.is_undisturbed();
    // The same once more, but nobody told the host.
    folder.write("tokens.toml", &tokens(&["newest"]));
    server.process.signal(Signal::SIGHUP);
    host.end().expect(1, &[r#""code":"bad-token""#]);
    server.process.event("host-left");
    drop(stream);
    drop(client);
    server.stop();
}

/// A service that answers every request with this.
fn web(answer: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        read_head(&mut stream)?;
        let len = answer.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{answer}")
    })
}

/// Returns the status and the body that a visitor gets.
fn visit(server: SocketAddr) -> (String, String) {
    let mut stream = connect(server);
    write!(stream, "GET / HTTP/1.1\r\nHost: myhost.p.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[test]
fn what_is_published_stays_so_whatever_is_shared_beside_it() {
    let (folder, mut server) = (Folder::new("public"), Server::open(&["--gateway-domain", "p.test"]));
    let (first, second, url) = (web("first"), web("second"), server.url());
    let contents = |services: &[String]| {
        format!("[host]\nservices = {services:?}\nserver = \"{url}\"\nid = \"myhost\"\npublic = \"web\"\npin = \"1\"\n")
    };
    let extra = format!("extra={}", echo());
    let file = folder.write("host.toml", &contents(&[extra.clone(), format!("web={first}")]));
    let mut host = start("host", &file, &["--no-stun"]);
    registered(&mut host);
    let found = |body: &str| ("200".to_owned(), body.to_owned());
    assert_eq!(visit(server.address()), found("first"));
    // Its number among the services is another one now, and the server still asks for the former.
    folder.write("host.toml", &contents(&[format!("web={second}")]));
    host.signal(Signal::SIGHUP);
    let said = reloaded(&mut host);
    assert_eq!(said["changed"], json!([format!("service web leads to {second}"), "service extra removed"]));
    assert_eq!(text(&host.event("registered"), "web").split(':').next(), Some("http"));
    assert_eq!(visit(server.address()), found("second"));
    // A server that is told anew asks for the present one.
    server.process.stop();
    host.event("server-lost");
    server.start_again();
    registered(&mut host);
    assert_eq!(visit(server.address()), found("second"));
    // It is gone, and so is the page.
    let gone = contents(&[extra]).replace("public = \"web\"\n", "");
    folder.write("host.toml", &gone);
    host.signal(Signal::SIGHUP);
    assert_eq!(reloaded(&mut host)["left"], json!(["public"]));
    assert_eq!(visit(server.address()).0, "403");
    host.stop();
    server.stop();
}
