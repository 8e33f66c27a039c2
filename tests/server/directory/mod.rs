//! Several servers and a Redis in which they find each other and each other's hosts.

mod outages;
mod pretenders;
pub(crate) mod redis;

use std::io::Write as _;

use pinhole::internals::signaling::rendezvous::{FromServer, Instance, instance};

use self::redis::Redis;
use crate::common::services::{echo, serve};
use crate::common::{ReservedPort, wait_until};
use crate::in_process::get;
use crate::lab::{Server, check_echo, registered};
use crate::members::{Member, SECRET, Secret, meets};
use crate::raw::Raw;

/// Starts a server with a directory.
fn member(secret: &Secret, directory: &str, more: &[&str]) -> Member {
    member_on(ReservedPort::new(), secret, directory, (None, more))
}

/// Starts a server with a directory, which tells others that it is there.
fn member_at(secret: &Secret, directory: &str, advertise: &str, more: &[&str]) -> Member {
    member_on(ReservedPort::new(), secret, directory, (Some(advertise), more))
}

fn member_on(peers: ReservedPort, secret: &Secret, directory: &str, (at, more): (Option<&str>, &[&str])) -> Member {
    let listen = peers.address.to_string();
    let advertise = at.map_or(format!("ws://{listen}"), str::to_owned);
    let own = ["--peer-listen", &listen, "--advertise", &advertise, "--cluster-secret-file", secret.path()];
    Member { server: Server::start(&[&own, &["--directory", directory][..], more].concat()), peers }
}

/// Starts servers with a directory, and waits until they have found each other.
fn members<const N: usize>(secret: &Secret, redis: &Redis, more: &[&str]) -> [Member; N] {
    let members = [(); N].map(|()| member(secret, &redis.url(), more));
    members.iter().for_each(|member| member.has_links(u64::try_from(N).unwrap() - 1));
    members
}

/// Registers a host, or returns the code of the refusal.
fn register(server: &Member, id: &str, token: &str, instance: Instance) -> Result<Raw, String> {
    let mut host = Raw::asking(server.address(), id, Some(token), instance);
    match host.next_from_server() {
        FromServer::Registered { .. } => Ok(host),
        FromServer::Error(error) => Err(error.code.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

/// What a client of this id is told who finds no host.
fn asks(server: &Member, id: &str) -> String {
    let mut client = Raw::client(server.address(), id);
    client.text("hello");
    client.refused().code
}

#[test]
fn servers_find_each_other_and_each_others_hosts() {
    let Some(redis) = Redis::start("servers in a directory") else { return };
    let secret = Secret::of("found", SECRET);
    let [one, two, three] = members(&secret, &redis, &["--open", "--gateway-domain", "p.test"]);
    let host = one.server.host("myhost", echo(), &[]);
    for other in [&two, &three, &one] {
        let url = host.url.replace(&one.address().to_string(), &other.address().to_string());
        let client = crate::lab::Client::of(&url, &["--relay-only"]);
        check_echo(client.local, 300_000);
    }
    let service = serve(|mut stream| {
        crate::common::services::read_head(&mut stream)?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
    });
    let web = format!("web={service}");
    let mut host = two.server.start_host("web", service, &[&web, "--public", "web", "--public-auth", "u:p"]);
    registered(&mut host);
    let mut open = two.server.start_host("open", service, &[&web, "--public", "web"]);
    registered(&mut open);
    for server in [&one, &two, &three] {
        assert!(get(server.address(), "web.p.test", "/").starts_with("HTTP/1.1 401"));
        let answer = get(server.address(), "open.p.test", "/");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hi"), "{answer}");
    }
    // Who writes into the directory that no login is needed is not believed.
    redis.say(r#"HSET pinhole:host:web public "{\"service\":0}""#);
    redis.say(&format!(r#"PUBLISH pinhole:changes "web 1 {}""#, "00".repeat(16)));
    wait_until("the forged entry to be read", || !get(one.address(), "web.p.test", "/").starts_with("HTTP/1.1 401"));
    assert!(get(one.address(), "web.p.test", "/").starts_with("HTTP/1.1 5"));
    assert_eq!(three.metric("pinhole_directory_up"), 1);
    assert!(three.metric("pinhole_directory_lookups_total{result=\"found\"}") >= 3);
    // The directory is new: what is missing may only not have been written yet.
    assert_eq!(asks(&three, "nobody"), "busy");
    wait_until("the directory to be old enough", || asks(&three, "nobody") == "unknown-host");
    assert!(get(three.address(), "nobody.p.test", "/").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_name_in_the_directory_has_one_holder() {
    let Some(redis) = Redis::start("names in a directory") else { return };
    let secret = Secret::of("held", SECRET);
    let [one, two] = members(&secret, &redis, &["--open"]);
    let (same, other) = (instance(), instance());
    let first = register(&one, "myhost", "token-a", same).unwrap();
    assert_eq!(register(&two, "myhost", "token-b", other).err().as_deref(), Some("id-taken"));
    // The same process moves there and back, and is never told that it was replaced.
    let second = register(&two, "myhost", "token-a", same).unwrap();
    assert_eq!(first.closed(), None, "dropped without a word");
    let mut third = register(&one, "myhost", "token-a", same).unwrap();
    assert_eq!(second.closed(), None);
    meets(two.address(), "myhost", &mut third);
    // Another process with the same token takes over.
    let mut fourth = register(&two, "myhost", "token-a", other).unwrap();
    assert_eq!(third.refused().code, "replaced");
    meets(one.address(), "myhost", &mut fourth);
    // And a name that is given up is free for anybody, at once.
    drop(fourth);
    wait_until("the name to be free", || register(&one, "myhost", "token-b", other).is_ok());
}

#[test]
fn the_limit_of_a_token_counts_at_all_servers() {
    use sha2::{Digest as _, Sha256};
    let Some(redis) = Redis::start("limits in a directory") else { return };
    let secret = Secret::of("limits", SECRET);
    let hash = Sha256::digest("the-token").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let tokens = Secret::of("limit", &format!("[[token]]\nhash = \"{hash}\"\nids = [\"*\"]\nmax-hosts = 2\n"));
    let [one, two] = members(&secret, &redis, &["--tokens", tokens.path()]);
    let same = instance();
    let _first = register(&one, "host-1", "the-token", instance()).unwrap();
    let _second = register(&two, "host-2", "the-token", same).unwrap();
    assert_eq!(register(&one, "host-3", "the-token", instance()).err().as_deref(), Some("full"));
    // One that moves is not another one.
    let moved = register(&one, "host-2", "the-token", same).unwrap();
    assert_eq!(register(&two, "host-3", "the-token", instance()).err().as_deref(), Some("full"));
    drop(moved);
    wait_until("a place", || register(&two, "host-3", "the-token", instance()).is_ok());
}
