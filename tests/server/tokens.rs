//! A server that accepts only known tokens.

use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use nix::sys::signal::Signal;
use pinhole::internals::signaling::rendezvous::Token;
use serde_json::json;

use crate::common::pinhole::{Pinhole, command, run, text};
use crate::common::services::echo;
use crate::lab::{Server, check_echo, registered};

/// A file of tokens; it is gone when this is dropped.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, contents: &str) -> TokenFile {
        let path = std::env::temp_dir().join(format!("pinhole-server-{name}-{}.toml", std::process::id()));
        fs::write(&path, contents).unwrap();
        TokenFile(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Writes others, and has the server read them.
    fn replace(&self, server: &Server, contents: &str) {
        fs::write(&self.0, contents).unwrap();
        server.process.signal(Signal::SIGHUP);
    }

    fn server(&self) -> Server {
        Server::start(&["--tokens", self.path(), "-vvv"])
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// An entry of the file.
fn entry(token: &str, ids: &str, more: &str) -> String {
    let hash = token.parse::<Token>().unwrap().hash();
    format!("[[token]]\nhash = \"{}\"\nids = [{ids}]\n{more}\n", HEXLOWER.encode(&hash))
}

#[test]
fn only_holders_of_tokens_come_in_under_their_ids() {
    let file = TokenFile::new(
        "ids",
        &[entry("token-of-ann", r#""ann", "ann-*""#, ""), entry("token-of-bob", r#""bob""#, "")].concat(),
    );
    let mut server = file.server();
    assert_eq!(server.serving["open"], false);
    let mut ann = server.host("ann", echo(), &["--token", "token-of-ann"]);
    let mut more = server.host("ann-2", echo(), &["--token", "token-of-ann"]);

    let unknown = "the server does not know the token, or there was none: set PINHOLE_TOKEN or --token to what";
    for (id, token) in [("bob", Some("token-of-eve")), ("bob", Some("TOKEN-OF-BOB")), ("bob", None), ("ann", Some("x"))]
    {
        let token = token.map(|token| format!("--token={token}"));
        let mut host = server.start_host(id, echo(), &token.iter().map(String::as_str).collect::<Vec<_>>());
        let ended = host.end();
        ended.expect(1, &[r#""code":"bad-token""#, unknown]);
        assert_eq!(ended.stdout.lines().count(), 1, "nothing else is worth telling: {ended:?}");
        assert_eq!(server.process.event("refused")["code"], "bad-token");
    }
    for (id, token) in
        [("bob", "token-of-ann"), ("ann", "token-of-bob"), ("annabel", "token-of-ann"), ("new", "token-of-bob")]
    {
        let words = format!("the token is not for the id {id}; choose another --id, or ask whoever runs the server");
        let ended = server.start_host(id, echo(), &["--token", token]).end();
        ended.expect(1, &[r#""code":"denied""#, &words]);
        assert_eq!(server.process.event("refused")["code"], "denied");
    }
    // Nobody tried again, and those who were there still are.
    let events = server.process.events_so_far();
    assert_eq!(events.iter().filter(|event| event["event"] == "refused").count(), 8);
    for host in [&ann, &more] {
        let mut client = host.relayed();
        check_echo(client.local, 10_000);
        client.process.stop();
    }
    ann.process.stop();
    more.process.stop();
    let ended = server.stop();
    for token in ["token-of-ann", "token-of-bob", "token-of-eve", "TOKEN-OF-BOB"] {
        assert!(!ended.stdout.contains(token) && !ended.stderr.contains(token), "a token is in the log");
    }
}

#[test]
fn a_token_may_come_from_the_environment() {
    let file = TokenFile::new("environment", &entry("token-of-ann", r#""*""#, ""));
    let server = file.server();
    let mut host =
        command(&["host", &echo().to_string(), "--json", "--no-stun", "--server", &server.url(), "--id", "myhost"]);
    host.env("PINHOLE_TOKEN", "token-of-ann");
    let mut host = Pinhole::spawn("host", host);
    registered(&mut host);
    let ended = host.stop();
    assert!(!ended.stdout.contains("token-of-ann") && !ended.stderr.contains("token-of-ann"), "{ended:?}");
    server.stop();
}

#[test]
fn an_id_that_two_tokens_may_have_belongs_to_the_first_that_has_it() {
    let file = TokenFile::new("shared", &[entry("one", r#""shared""#, ""), entry("two", r#""shared""#, "")].concat());
    let mut server = file.server();
    let mut one = server.host("shared", echo(), &["--token", "one"]);
    server.start_host("shared", echo(), &["--token", "two"]).end().expect(1, &[r#""code":"id-taken""#]);
    let mut again = server.host("shared", echo(), &["--token", "one"]);
    one.process.end().expect(1, &[r#""code":"replaced""#]);
    again.process.stop();
    server.process.find("its end", |event| event["event"] == "host-left" && event["reason"] != "replaced");
    let mut two = server.host("shared", echo(), &["--token", "two"]);
    two.process.stop();
    server.stop();
}

#[test]
fn a_token_has_so_many_hosts_and_each_so_many_clients() {
    let limits = "max-hosts = 2\nmax-clients = 1";
    let file = TokenFile::new("limits", &[entry("few", r#""few-*""#, limits), entry("many", r#""*""#, "")].concat());
    let mut server = file.server();
    let mut hosts = ["few-1", "few-2"].map(|id| server.host(id, echo(), &["--token", "few"]));
    let full = [r#""code":"full""#, "the server has all the hosts it may have; try again later"];
    server.start_host("few-3", echo(), &["--token", "few"]).end().expect(1, &full);
    let mut other = server.host("few-3", echo(), &["--token", "many"]);
    // In place of itself it is not one more.
    let mut again = server.host("few-1", echo(), &["--token", "few"]);
    hosts[0].process.end().expect(1, &[r#""code":"replaced""#]);

    let mut clients = [again.relayed(), hosts[1].relayed(), other.relayed(), other.relayed()];
    let full = [r#""code":"full""#, "the server has all the clients it may have; try again later"];
    Pinhole::client(&again.url, &[]).end().expect(1, &full);
    clients[0].process.stop();
    server.process.event("client-left");
    let mut next = again.relayed();
    for client in [&next, &clients[1], &clients[2], &clients[3]] {
        check_echo(client.local, 10_000);
    }
    next.process.stop();
    clients.iter_mut().skip(1).for_each(|client| drop(client.process.stop()));
    for process in [&mut again.process, &mut hosts[1].process, &mut other.process] {
        process.stop();
    }
    server.stop();
}

#[test]
fn tokens_are_read_again_beside_what_is_open() {
    let (ann, bob) = (entry("token-of-ann", r#""*""#, ""), entry("token-of-bob", r#""bob", "b-2""#, ""));
    let file = TokenFile::new("again", &[&ann[..], &bob].concat());
    let mut server = file.server();
    let mut host = server.host("ann", echo(), &["--token", "token-of-ann"]);
    let mut client = host.relayed();
    let mut stream = client.stream();
    let mut bobs = ["bob", "b-2"].map(|id| server.host(id, echo(), &["--token", "token-of-bob"]));

    // One of his ids is taken from him, and somebody new comes.
    let cut = entry("token-of-bob", r#""bob""#, "");
    file.replace(&server, &[&ann[..], &cut, &entry("token-of-eve", r#""eve""#, "")].concat());
    assert_eq!(server.process.event("reloaded"), json!({"event": "reloaded", "what": "tokens"}));
    bobs[1].process.end().expect(1, &[r#""code":"bad-token""#]);
    let left = server.process.event("host-left");
    assert_eq!((text(&left, "id"), text(&left, "reason")), ("b-2".to_owned(), "bad-token".to_owned()));
    let mut eve = server.host("eve", echo(), &["--token", "token-of-eve"]);

    // What cannot be read changes nothing.
    for (wrong, words) in [("nonsense", "line 1"), ("", "there is no token")] {
        file.replace(&server, wrong);
        let warning = server.process.problem("warning", "reload");
        assert!(warning.contains("the tokens stay as they were") && warning.contains(words), "{warning}");
    }
    let mut again = server.host("bob", echo(), &["--token", "token-of-bob"]);
    bobs[0].process.end().expect(1, &[r#""code":"replaced""#]);

    // The other token is taken away.
    file.replace(&server, &[&ann[..], &entry("token-of-eve", r#""eve""#, "")].concat());
    again.process.end().expect(1, &[r#""code":"bad-token""#, "the server does not know the token"]);
    server.start_host("bob", echo(), &["--token", "token-of-bob"]).end().expect(1, &[r#""code":"bad-token""#]);
    crate::common::ping(&mut stream);
    client.is_undisturbed();
    for process in [&mut client.process, &mut host.process, &mut eve.process] {
        process.stop();
    }
    server.stop();
}

#[test]
fn a_file_that_cannot_be_used_ends_a_server_before_it_serves() {
    let missing = run(&["server", "--json", "--tokens", "/nonexistent/tokens.toml", "--listen", "127.0.0.1:0"]);
    missing.expect(1, &[r#""code":"tokens""#, "cannot read the file of tokens /nonexistent/tokens.toml"]);
    for (contents, words) in [("", "there is no token"), ("[[token]]\nhash = 7\n", "line 2"), ("token", "line 1")] {
        let file = TokenFile::new("wrong", contents);
        let ended = run(&["server", "--json", "--tokens", file.path(), "--listen", "127.0.0.1:0"]);
        ended.expect(1, &[r#""code":"tokens""#, file.path(), words]);
    }
}
