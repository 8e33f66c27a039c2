//! Guesses of the login of a published service are slowed down, and visitors with the right one are admitted.

use std::io::BufReader;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::front::connect_from;
use super::http::{Answer, Connection, ask, get, ok, service};
use super::rig::Server;
use crate::common::pinhole::{Pinhole, text};
use crate::common::system::figure;

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// Wrong logins that cost nothing, and what the next ones cost together at least.
const FREE: usize = 5;

struct Rig {
    server: Server,
    host: Pinhole,
    guesses: usize,
}

impl Rig {
    fn start() -> Rig {
        let server = Server::with(&["--open", "--admin-listen", "127.0.0.1:0"]);
        let address = service(|_, _| ok("inside"));
        let login = ["--public", "web", &format!("web={address}")];
        // Neither a list of processes nor its start shows it.
        let url = format!("ws://{}", server.address);
        let own = ["host", "--json", "--no-stun", "--server", &url, "--id", "myhost"];
        let mut command = crate::common::pinhole::command(&[&own[..], &login].concat());
        command.env("PINHOLE_PUBLIC_AUTH", "ann:secret");
        let mut host = Pinhole::spawn("host", command);
        host.event("registered");
        Rig { server, host, guesses: 0 }
    }

    fn request(&self, password: &str) -> String {
        let login = data_encoding::BASE64.encode(format!("ann:{password}").as_bytes());
        get(&self.server.authority("myhost"), "/", &format!("Authorization: Basic {login}\r\n"))
    }

    fn connect(&self, source: Ipv4Addr) -> Connection {
        Connection { stream: BufReader::new(connect_from(source, self.server.gateway.port())) }
    }

    /// Sends a guess whose answer is not waited for.
    fn guesses(&mut self, connection: &mut Connection) {
        self.guesses += 1;
        connection.send(self.request(&format!("guess-{}", self.guesses)));
    }
}

#[test]
fn guesses_have_to_wait_and_others_have_not() {
    let mut rig = Rig::start();
    let (admin, authorization) = rig.server.process.administration();
    let mut attacker = rig.connect(ATTACKER);
    let start = Instant::now();
    for _ in 0..FREE + 5 {
        rig.guesses(&mut attacker);
        assert_eq!(attacker.answer().status, 401);
    }
    let least = Duration::from_millis(250 + 500 + 1000 + 1000);
    assert!(start.elapsed() >= least, "ten guesses took {:?}", start.elapsed());
    // Said once, counted each time, and nowhere what was guessed.
    let warning = rig.server.process.event("warning");
    assert_eq!(warning["code"], "wrong-logins", "{warning}");
    assert!(text(&warning, "message").contains("10 wrong logins for what myhost publishes, the last from 127.0.0.66"));
    let status = ask(admin, get("localhost", "/v1/status", &authorization)).text();
    assert!(status.contains(r#""wrong_logins":10"#), "{status}");
    assert!(status.contains(r#""requests":{"open":"#) && status.contains(r#""by_status":{"401":10}"#), "{status}");
    let metrics = ask(admin, get("localhost", "/metrics", "")).text();
    assert!(metrics.contains("pinhole_refusals_total{reason=\"unauthorized\"} 10"), "{metrics}");

    // While others wait, somebody else is let in.
    let mut waiting: Vec<Connection> = (0..4).map(|_| rig.connect(ATTACKER)).collect();
    waiting.iter_mut().for_each(|connection| rig.guesses(connection));
    let mut honest = rig.connect(Ipv4Addr::LOCALHOST);
    honest.send(rig.request("secret"));
    assert_eq!(honest.answer().text(), "inside");
    let has_answer = |connection: &Connection| {
        connection.stream.get_ref().set_nonblocking(true).unwrap();
        let has = connection.stream.get_ref().peek(&mut [0]).is_ok();
        connection.stream.get_ref().set_nonblocking(false).unwrap();
        has
    };
    assert!(
        waiting.iter().filter(|connection| has_answer(connection)).count() < 4,
        "all the others were served before"
    );
    // From the attacker's own address it takes its turn, and is let in at once from then on.
    let start = Instant::now();
    let mut beside = rig.connect(ATTACKER);
    beside.send(rig.request("secret"));
    assert_eq!(beside.answer().text(), "inside");
    figure(&format!("beside four guesses of the same address a login took {:?}", start.elapsed()));
    let mut more: Vec<Connection> = (0..4).map(|_| rig.connect(ATTACKER)).collect();
    more.iter_mut().for_each(|connection| rig.guesses(connection));
    for _ in 0..20 {
        beside.send(rig.request("secret"));
        assert_eq!(beside.answer().text(), "inside");
    }
    assert!(more.iter().filter(|connection| has_answer(connection)).count() < 4, "its requests took their turns");
    let ended = rig.server.process.stop();
    assert!(!ended.stdout.contains("guess-") && !ended.stdout.contains("secret"), "{ended:?}");
    assert_eq!(rig.host.stop().code, Some(0));
}

#[test]
fn of_too_many_some_are_turned_away_without_a_look() {
    let mut rig = Rig::start();
    let mut attacker = rig.connect(ATTACKER);
    for _ in 0..FREE + 1 {
        rig.guesses(&mut attacker);
        assert_eq!(attacker.answer().status, 401);
    }
    let mut waiting: Vec<Connection> = (0..30).map(|_| rig.connect(ATTACKER)).collect();
    // The right one among them is as likely to be turned away, or an attacker would know it by that.
    waiting.iter_mut().for_each(|connection| rig.guesses(connection));
    let mut statuses = Vec::new();
    for connection in &mut waiting {
        let answer = Answer::read(&mut connection.stream).unwrap();
        if answer.status == 429 {
            assert!(answer.field("retry-after").is_some(), "{answer:?}");
        }
        statuses.push(answer.status);
    }
    let turned_away = statuses.iter().filter(|status| **status == 429).count();
    assert!(turned_away >= 30 - 9, "{statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
}
