//! Who gets a name, and who gives way.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinhole::internals::signaling::rendezvous::{FromServer, instance};
use serde_json::{Value, json};

use crate::common::pinhole::{Ended, Pinhole, run, text};
use crate::common::services::echo;
use crate::common::system::figure;
use crate::common::{ReservedPort, wait_until};
use crate::forwarder::Forwarder;
use crate::lab::{Client, Honest, Server, check_echo, registered};
use crate::raw::{Raw, Refused};

const TOKEN: &[&str] = &["--token", "a-token-of-its-own"];

/// How often the server said something by now.
fn count(server: &mut Server, event: &str) -> usize {
    server.process.events_so_far().iter().filter(|candidate| candidate["event"] == event).count()
}

/// Fails unless it ended with an error of that code and that sentence.
#[track_caller]
fn expect_error(ended: &Ended, code: &str, message: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({"event": "error", "code": code, "message": message}));
    assert!(!ended.stdout.contains("server-lost"), "nothing else is worth telling: {ended:?}");
}

#[test]
fn what_can_be_no_id_is_wrong_usage() {
    for id in ["ab", "My-Host", "-abc", "abc-", "a.b.c", "a b c", "äöü", &"x".repeat(64)] {
        let ended = run(&["host", "1", "--server", "ws://127.0.0.1:1", &format!("--id={id}")]);
        let rule = "an id has 3 to 63 of a to z, 0 to 9 and hyphen, and no hyphen at its ends";
        ended.expect(2, &["--id", rule, "give a name, for example my-host"]);
    }
}

#[test]
fn a_server_that_is_not_there_ends_a_host() {
    let closed = ReservedPort::new();
    let url = format!("ws://{}", closed.address);
    let mut host = Pinhole::host(echo(), &["--server", &url, "--id", "myhost"]);
    let words = ["cannot reach the server: cannot connect to", "is pinhole server still running"];
    host.end().expect(1, &[&[r#""code":"unreachable""#][..], &words].concat());
}

#[test]
fn an_id_belongs_to_the_first_that_has_it() {
    let mut server = Server::open(&[]);
    let mut first = server.host("myhost", echo(), &[]);
    for more in [&[][..], TOKEN] {
        let ended = server.start_host("myhost", echo(), more).end();
        expect_error(&ended, "id-taken", "another host has the id myhost on the server: choose another --id");
        let refused = server.process.event("refused");
        let words = "another host has the id myhost";
        assert_eq!((&refused["code"], &refused["message"]), (&json!("id-taken"), &json!(words)));
    }
    let mut client = first.relayed();
    check_echo(client.local, 10_000);
    client.process.stop();
    assert_eq!(count(&mut server, "refused"), 2, "nobody tried again");

    // Once it is free, anybody may have it.
    first.process.stop();
    server.process.event("host-left");
    let mut second = server.host("myhost", echo(), TOKEN);
    let mut client = second.relayed();
    check_echo(client.local, 10_000);
    client.process.stop();
    second.process.stop();
    server.stop();
}

#[test]
fn the_same_token_replaces_a_host_that_lives() {
    let mut server = Server::open(&[]);
    let mut first = server.host("myhost", echo(), TOKEN);
    let mut clients = [first.direct(), first.relayed()];
    let start = Instant::now();
    let mut second = server.host("myhost", echo(), TOKEN);
    figure(&format!("a host that lives was replaced after {:?}", start.elapsed()));
    let words = "another process registered the id myhost with the same token, and has taken over";
    expect_error(&first.process.end(), "replaced", words);
    let left = server.process.event("host-left");
    assert_eq!(text(&left, "id"), "myhost");
    let joined = server.process.event("host-joined");
    assert_eq!(joined["replaced"], true);
    let mut client = second.relayed();
    check_echo(client.local, 10_000);
    client.process.stop();
    // It has another pin, as any other process that is started.
    for client in &mut clients {
        client.process.end().expect(1, &[r#""code":"bad-pin""#]);
    }
    assert_eq!(count(&mut server, "host-joined"), 2, "the two do not take the name from each other");
    second.process.stop();
    server.stop();
}

#[test]
fn the_same_token_replaces_a_host_that_is_dead() {
    let mut server = Server::open(&[]);
    let mut first = server.host("myhost", echo(), TOKEN);
    first.process.signal(Signal::SIGSTOP);
    let start = Instant::now();
    let mut second = server.host("myhost", echo(), TOKEN);
    let time = start.elapsed();
    figure(&format!("a host that does not answer was replaced after {time:?}"));
    assert!(time > Duration::from_secs(1), "it had its time to answer");
    let left = server.process.event("host-left");
    // Long before it counts as dead by itself.
    assert_eq!(text(&left, "reason"), "it did not answer, and another process wants its id");
    let mut client = second.relayed();
    check_echo(client.local, 10_000);
    client.process.stop();

    // Whoever registers last has the name, and the other ends: the two do not go on like that.
    first.process.signal(Signal::SIGCONT);
    first.process.event("server-lost");
    registered(&mut first.process);
    second.process.end().expect(1, &[r#""code":"replaced""#]);
    let mut client = first.relayed();
    check_echo(client.local, 10_000);
    client.process.stop();
    assert_eq!(count(&mut server, "host-joined"), 3);
    first.process.stop();
    server.stop();
}

#[test]
fn three_that_want_one_name_leave_one() {
    let mut server = Server::open(&[]);
    let mut hosts: Vec<Pinhole> = (0..3).map(|_| server.start_host("myhost", echo(), TOKEN)).collect();
    // Two are replaced, whoever came first, and wherever they were at that time.
    let mut ended = Vec::new();
    wait_until("two to give way", || {
        ended = (0..3)
            .filter(|&index| hosts[index].events_so_far().iter().any(|event| event["event"] == "error"))
            .collect();
        ended.len() == 2
    });
    let last = (0..3).find(|index| !ended.contains(index)).expect("one is left");
    for index in ended {
        hosts[index].end().expect(1, &[r#""code":"replaced""#]);
    }
    let url = hosts[last].events_so_far().iter().find_map(|event| event["url"].as_str().map(str::to_owned));
    let url = url.unwrap_or_else(|| registered(&mut hosts[last]));
    let mut client = Client::of(&url, &["--relay-only"]);
    check_echo(client.local, 10_000);
    client.process.stop();
    hosts[last].stop();
    let joined = count(&mut server, "host-joined");
    assert!(joined <= 3, "{joined} registrations of three processes");
    server.stop();
}

#[test]
fn a_process_that_connects_anew_has_its_name_at_once() {
    let mut server = Server::open(&[]);
    let forwarder = Forwarder::to(server.address());
    let url = format!("ws://{}", forwarder.address);
    let mut host = Pinhole::host(echo(), &["--server", &url, "--id", "myhost"]);
    let at = registered(&mut host);
    server.process.event("host-joined");
    // The server does not see it, and still has the name given away.
    forwarder.cut_near();
    host.event("server-lost");
    assert_eq!(registered(&mut host), at);
    assert_eq!(server.process.event("host-joined")["replaced"], true);
    let mut client = Client::of(&at, &["--relay-only"]);
    check_echo(client.local, 10_000);
    client.process.stop();
    host.stop();
    server.stop();
}

#[test]
fn one_that_wants_a_name_and_leaves_changes_nothing() {
    let server = Server::open(&[]);
    let honest = Honest::at(&server);
    let (token, address) = (Some("t"), server.address());
    let mut holder = Raw::asking(address, "myhost", token, instance());
    holder.is_registered();
    // It does not answer now.
    let contender = Raw::asking(address, "myhost", token, instance());
    let next = Raw::asking(address, "myhost", token, instance());
    let words = "another process wants the same id";
    assert_eq!(contender.refused(), Refused { code: "replaced".to_owned(), message: words.to_owned() });
    drop(next);
    honest.is_served();
    let mut client = Raw::client(address, "myhost");
    client.text("hello");
    assert_eq!(holder.joined(), 1);

    // One that is asked and speaks out of turn is refused, and the holder stays.
    let mut contender = Raw::asking(address, "myhost", token, instance());
    contender.text("{}");
    assert_eq!(contender.refused().code, "protocol");
    client.text("still there");
    holder.packet();
    holder.packet();
    server.stop();
}

#[test]
fn an_instance_may_move_to_another_connection_again_and_again() {
    let server = Server::open(&[]);
    let honest = Honest::at(&server);
    let instance = instance();
    let mut older = Raw::asking(server.address(), "myhost", None, instance);
    older.is_registered();
    for _ in 0..20 {
        let mut newer = Raw::asking(server.address(), "myhost", None, instance);
        newer.is_registered();
        assert_eq!(older.closed(), None, "it is as dead as its process knows");
        older = newer;
    }
    let mut client = Raw::client(server.address(), "myhost");
    client.text("hello");
    assert!(matches!(older.next_from_server(), FromServer::Joined { conversation: 1, .. }));
    honest.is_served();
    server.stop();
}
