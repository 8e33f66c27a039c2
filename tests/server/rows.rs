//! One server, its hosts and their clients, in normal use.

use serde_json::json;

use crate::common::pinhole::text;
use crate::common::services::{echo, serve};
use crate::lab::{Client, Server, Transfer};

#[test]
fn two_hosts_and_five_clients_get_their_own_bytes() {
    let mut server = Server::open(&[]);
    assert_eq!(server.serving["listen"], server.address().to_string());
    assert_eq!((&server.serving["open"], &server.serving["tls"]), (&json!(true), &json!(false)));
    // A transfer that is mixed up with another host's ends in the wrong place.
    let silent = serve(|_| Ok(()));
    let mut process = server.start_host("first-host", echo(), &["--pin", "7391846"]);
    let event = process.event("registered");
    let url = format!("ws://{}/ws/first-host?pin=7391846", server.address());
    assert_eq!(event, json!({"event": "registered", "id": "first-host", "url": url, "pin": "7391846"}));
    let second = server.host("second-host", echo(), &[]);
    let mut third = server.host("third-host", silent, &[]);
    for id in ["first-host", "second-host", "third-host"] {
        let joined = server.process.event("host-joined");
        assert_eq!((text(&joined, "id"), &joined["replaced"]), (id.to_owned(), &json!(false)));
    }

    let mut clients = [
        Client::of(&url, &["--no-relay"]),
        Client::of(&url, &["--relay-only"]),
        second.relayed(),
        second.direct(),
        Client::of(&second.url, &[]),
    ];
    let paths = clients.each_ref().map(|client| text(&client.connected, "path"));
    assert_eq!(paths[..4], ["direct", "relayed", "relayed", "direct"]);
    let numbers: Vec<(String, u64)> = clients
        .iter()
        .map(|_| {
            let joined = server.process.event("client-joined");
            (text(&joined, "id"), joined["conversation"].as_u64().unwrap())
        })
        .collect();
    let expected = [("first-host", 1), ("first-host", 2), ("second-host", 1), ("second-host", 2), ("second-host", 3)];
    assert_eq!(numbers, expected.map(|(id, number)| (id.to_owned(), number)));

    let mut transfers = clients.each_ref().map(|client| Transfer::start(client.local, 3_000_000));
    for _ in 0..10 {
        transfers.iter_mut().for_each(|transfer| transfer.take(200_000));
    }
    transfers.into_iter().for_each(Transfer::finish);
    clients.iter_mut().for_each(|client| client.is_undisturbed());

    clients[1].process.stop();
    let left = server.process.find("the relayed client", |event| {
        event["event"] == "client-left" && event["id"] == "first-host" && event["conversation"] == 2
    });
    for moved in ["sent", "received"] {
        assert!((3_000_000..4_000_000).contains(&left[moved].as_u64().unwrap()), "{left}");
    }
    third.process.stop();
    let left = server.process.event("host-left");
    assert_eq!(text(&left, "id"), "third-host");
    clients.iter_mut().skip(2).for_each(|client| drop(client.process.stop()));
    process.stop();
    server.stop();
}
