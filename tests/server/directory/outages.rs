//! A directory that stops, hangs, loses everything and comes back, and what pretends to be one.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinhole::internals::signaling::rendezvous::instance;

use super::redis::Redis;
use super::{asks, member, member_at, members, register};
use crate::common::{DEADLINE, wait_until};
use crate::members::{SECRET, Secret, knows, meets};
use crate::raw::Raw;

#[test]
fn a_directory_that_dies_stops_nobody() {
    let Some(mut redis) = Redis::start("a directory that dies") else { return };
    let secret = Secret::of("dies", SECRET);
    let [mut one, two] = members(&secret, &redis, &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    let (_client, _) = meets(two.address(), "myhost", &mut host);
    let mut unseen = Raw::host(one.address(), "unseen");
    redis.kill();
    one.server.process.event("directory-lost");
    wait_until("the other to notice", || two.metric("pinhole_directory_up") == 0);
    assert_eq!(two.metric("pinhole_cluster_links"), 1);
    // What is known still counts, and the other servers are asked for what is not.
    meets(two.address(), "myhost", &mut host);
    meets(two.address(), "unseen", &mut unseen);
    assert_eq!(asks(&two, "nobody"), "busy");
    let same = instance();
    let before = register(&two, "later", "token-a", same).unwrap();
    let mut later = register(&one, "later", "token-a", same).unwrap();
    assert_eq!(before.closed(), None, "it moved, and was told nothing");
    meets(two.address(), "later", &mut later);
    assert_eq!(register(&two, "later", "token-b", instance()).err().as_deref(), Some("id-taken"));
    redis.start_again();
    one.server.process.event("directory-back");
    wait_until("the other to notice", || two.metric("pinhole_directory_up") == 1);
    meets(two.address(), "later", &mut later);
    meets(two.address(), "myhost", &mut host);
    assert_eq!(register(&two, "later", "token-b", instance()).err().as_deref(), Some("id-taken"));
    assert_eq!(asks(&two, "nobody"), "busy");
}

#[test]
fn a_directory_that_hangs_stops_nobody() {
    let Some(redis) = Redis::start("a directory that hangs") else { return };
    let secret = Secret::of("hangs", SECRET);
    let [one, two] = members(&secret, &redis, &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    meets(two.address(), "myhost", &mut host);
    redis.signal(Signal::SIGSTOP);
    // Whoever asks first waits for two seconds, and everybody goes on.
    let mut later = register(&one, "later", "token-a", instance()).unwrap();
    assert_eq!(asks(&two, "nobody"), "busy");
    meets(two.address(), "myhost", &mut host);
    meets(one.address(), "later", &mut later);
    wait_until("both to notice", || [&one, &two].iter().all(|server| server.metric("pinhole_directory_up") == 0));
    redis.signal(Signal::SIGCONT);
    meets(two.address(), "later", &mut later);
    meets(two.address(), "myhost", &mut host);
}

#[test]
fn two_holders_of_a_name_are_one_soon_after_the_directory_is_back() {
    let Some(mut redis) = Redis::start("two holders of a name") else { return };
    let secret = Secret::of("two", SECRET);
    // They have no link, and so cannot tell each other.
    let [mut one, two] = [(); 2].map(|()| member_at(&secret, &redis.url(), "ws://127.0.0.1:1", &["--open"]));
    redis.kill();
    one.server.process.event("directory-lost");
    wait_until("the other to notice", || two.metric("pinhole_directory_up") == 0);
    // Two processes of one owner, one that moves, and two owners.
    let both = [&one, &two].map(|server| register(server, "both", "token-a", instance()).unwrap());
    let same = instance();
    let moves = [&one, &two].map(|server| register(server, "moves", "token-a", same).unwrap());
    let owned = [(&one, "token-a"), (&two, "token-b")];
    let owned = owned.map(|(server, token)| register(server, "owned", token, instance()).unwrap());
    redis.start_again();
    let since = Instant::now();
    wait_until("each name to have one holder", || one.metric("pinhole_hosts") + two.metric("pinhole_hosts") == 3);
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    // Whoever is replaced is asked for a sign of life first.
    let told = |hosts: [Raw; 2]| {
        let (sender, told) = mpsc::channel();
        for host in hosts {
            let sender = sender.clone();
            thread::spawn(move || sender.send(host.refused().code));
        }
        told.recv_timeout(DEADLINE).unwrap()
    };
    assert_eq!((told(both).as_str(), told(owned).as_str()), ("replaced", "id-taken"));
    let refused = |code: &str| {
        let metric = format!("pinhole_refusals_total{{reason=\"{code}\"}}");
        one.metric(&metric) + two.metric(&metric)
    };
    assert_eq!((refused("replaced"), refused("id-taken")), (1, 1));
    // The one that moved is at one of both, and was told nothing.
    drop(moves);
}

#[test]
fn a_directory_that_is_emptied_is_written_again() {
    let Some(redis) = Redis::start("a directory that is emptied") else { return };
    let secret = Secret::of("emptied", SECRET);
    let [one, two] = members(&secret, &redis, &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    for _ in 0..3 {
        redis.say("FLUSHALL");
        assert_eq!(asks(&two, "nobody"), "busy", "it may only be missing yet");
        meets(two.address(), "myhost", &mut host);
        assert_eq!((one.metric("pinhole_cluster_links"), two.metric("pinhole_cluster_links")), (1, 1));
    }
    // Another owner that comes before the name is written again does not keep it.
    redis.say("FLUSHALL");
    match register(&two, "myhost", "token-b", instance()) {
        Ok(other) => assert_eq!(other.refused().code, "id-taken"),
        Err(code) => assert_eq!(code, "id-taken"),
    }
    meets(two.address(), "myhost", &mut host);
}

#[test]
fn a_wrong_password_is_named_and_never_shown() {
    let Some(redis) = Redis::start_with("a password of a directory", &["--requirepass", "right-secret"]) else {
        return;
    };
    let secret = Secret::of("password", SECRET);
    let url = |login: &str| redis.url().replace("redis://", &format!("redis://{login}@"));
    for (login, expected) in [(":wrong-secret", "user name and the password"), ("me:wrong-secret", "user name")] {
        let mut wrong = member(&secret, &url(login), &["--open"]);
        let said = wrong.server.process.event("directory-lost").to_string();
        assert!(said.contains(expected) && !said.contains("secret"), "{said}");
        // It serves all the same.
        Raw::host(wrong.address(), "myhost");
        let ended = wrong.server.stop();
        assert!(!ended.stderr.contains("wrong-secret"), "{}", ended.stderr);
    }
    let mut without = member(&secret, &redis.url(), &["--open"]);
    assert!(without.server.process.event("directory-lost").to_string().contains("wants a password"));
    let [one, two] = [(); 2].map(|()| member(&secret, &url(":right-secret"), &["--open"]));
    one.has_links(1);
    let mut host = Raw::host(one.address(), "myhost");
    knows(&two, "myhost");
    meets(two.address(), "myhost", &mut host);
}
