//! Many requests at once, and many on one connection: each gets its own answer.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use super::http::{Connection, get, ok, service};
use super::rig::{Curl, Folder, Server};
use crate::common::system::figure;

/// What the service of a host says to a path: different for each, and as long as the path says.
fn body(id: &str, path: &str) -> String {
    let len = path.trim_start_matches('/').parse().unwrap();
    format!("{id}{path} ").chars().cycle().take(len).collect()
}

fn names(id: &'static str) -> SocketAddr {
    service(move |request, _| ok(body(id, request.path())))
}

#[test]
fn curl_with_two_hundred_requests_at_once() {
    const REQUESTS: usize = 200;
    let server = Server::start();
    let Some(curl) = Curl::find(&server, "200 parallel requests by curl") else { return };
    let hosts = ["one", "two"].map(|id| (id, server.publish(id, names(id))));
    let folder = Folder::new("parallel");
    let mut config = String::new();
    let wanted = |index: usize| (hosts[index % 2].0, format!("/{}", 100 + index * 331));
    for index in 0..REQUESTS {
        let (id, path) = wanted(index);
        let output = folder.join(&index.to_string());
        writeln!(config, "url = \"http://{}{path}\"\noutput = {output:?}", server.authority(id)).unwrap();
    }
    let config = folder.file("config", config);
    let start = Instant::now();
    let more = ["--parallel", "--parallel-immediate", "--parallel-max", "200", "--fail", "--config", &config];
    let output = curl.run(&more);
    assert!(output.status.success(), "{output:?}");
    let time = start.elapsed();
    for index in 0..REQUESTS {
        let (id, path) = wanted(index);
        let found = std::fs::read_to_string(folder.join(&index.to_string())).unwrap();
        assert!(found == body(id, &path), "{id}{path} got another body");
    }
    figure(&format!("{REQUESTS} parallel requests by curl, 6.6 MB together: {time:?}"));
    hosts.into_iter().for_each(|(_, mut host)| drop(host.stop()));
}

/// The service's connection of one request is of no use to the next, if that is for another host.
#[test]
fn one_connection_to_two_hosts() {
    const REQUESTS: usize = 100;
    let server = Server::start();
    let _hosts = ["one", "two"].map(|id| server.publish(id, names(id)));
    let wanted = |index: usize| (["one", "two", "two"][index % 3], format!("/{}", 10 + index * 97 % 3000));
    let request = |index: usize| {
        let (id, path) = wanted(index);
        get(&server.authority(id), &path, "")
    };
    for ahead in [0, REQUESTS] {
        let mut connection = Connection::to(server.gateway);
        if ahead > 0 {
            let all: String = (0..REQUESTS).map(request).collect();
            connection.send(all);
        }
        for index in 0..REQUESTS {
            if ahead == 0 {
                connection.send(request(index));
            }
            let answer = connection.answer();
            let (id, path) = wanted(index);
            assert_eq!((answer.status, answer.text()), (200, body(id, &path)), "request {index}");
        }
    }
}
