//! What hosts and clients count, after a course of events.

use std::time::Duration;

use super::forwarding::{check, is_forwarding};
use super::{Side, World, client_of, host_of};
use crate::access::AccessList;
use crate::config::{Bind, ClientConfig, HostConfig, Invitation, LocalForward, ServiceBind, SharedService};
use crate::session::Reach;
use crate::signaling::pin::Pin;
use crate::status::event::{Event, Way};
use crate::status::snapshot::Snapshot;

const OFFICE: &str = "10.0.0.1";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl World {
    /// Returns what a side counts.
    fn metrics(&mut self, side: Side) -> String {
        let running = &mut self.sides[side.0];
        let here = running.here.clone();
        let Some(kind) = &mut running.kind else { panic!("it has ended") };
        here.enter(|| match kind {
            super::sides::Kind::Host(host) => crate::run::side::Side::metrics(&mut **host),
            super::sides::Kind::Client(client) => crate::run::side::Side::metrics(&mut **client),
            super::sides::Kind::Server(_) => panic!("a server counts otherwise"),
        })
    }

    /// Returns what a host is doing.
    fn snapshot(&mut self, side: Side) -> Snapshot {
        self.with_host(side, crate::run::side::Side::snapshot)
    }
}

/// Returns the value of a series.
#[track_caller]
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
}

#[track_caller]
fn all(page: &str, expected: &[(&str, f64)]) {
    for (series, expected) in expected {
        assert_eq!(value(page, series), *expected, "{series}\n{page}");
    }
}

fn is_direct(event: &Event) -> bool {
    matches!(event, Event::Path { way: Way::Direct { .. }, .. } | Event::Connected { way: Way::Direct { .. }, .. })
}

#[test]
fn a_host_and_a_client_count_what_happens() {
    let mut world = World::new();
    let (office, home) = (world.machine(&[OFFICE]), world.machine(&["10.0.0.2"]));
    world.echo(office, "127.0.0.1:80");
    world.echo(office, "127.0.0.1:82");
    let mut config = host_of("127.0.0.1:80");
    // Nothing listens there.
    config.services.push(SharedService::of("127.0.0.1:81".parse().unwrap()));
    config.allow = AccessList::parse(["127.0.0.1:82"]).unwrap();
    let guests = Invitation { services: vec!["80".to_owned()], ..Invitation::new("guests") };
    let host = world.host(office, HostConfig { invitations: vec![guests], reach: Reach::default(), ..config });
    let bind = |text: &str| Some(ServiceBind::Address(text.parse().unwrap()));
    let service = |name: &str, at| LocalForward::Service { name: name.to_owned(), bind: bind(at) };
    let at = Bind::Tcp("127.0.0.1:9002".parse().unwrap());
    let dial = LocalForward::Dial { bind: at, endpoint: "127.0.0.1:82".parse().unwrap() };
    let forwards = vec![service("80", "127.0.0.1:9000"), service("81", "127.0.0.1:9001"), dial];
    let client = world.client(home, ClientConfig { forwards, ..client_of(OFFICE) });
    world.until("a session", |world| world.said(client, is_forwarding));
    world.until("a direct path", |world| world.said(host, is_direct) && world.said(client, is_direct));

    check(&mut world, home, &[7; 1000]);
    let refused = world.visit(home, "127.0.0.1:9001");
    world.until("a refusal", |world| world.ended(refused).is_some());
    let dialled = world.visit(home, "127.0.0.1:9002");
    world.say(dialled, b"abc");
    world.finish(dialled);
    world.until("an echo", |world| world.ended(dialled).is_some());
    let open = world.visit(home, "127.0.0.1:9000");
    world.say(open, &[7; 10]);
    world.until("an echo", |world| world.heard(open).len() == 10);
    let hall = world.machine(&["10.0.0.3"]);
    let guesser = world.client(hall, ClientConfig { pin: Pin::new("000000").unwrap(), ..client_of(OFFICE) });
    world.until("a refusal", |world| world.end(guesser).is_some());

    let page = world.metrics(host);
    all(
        &page,
        &[
            (r#"pinhole_sessions{path="direct",state="connected"}"#, 1.0),
            (r#"pinhole_sessions{path="relayed",state="connected"}"#, 0.0),
            ("pinhole_sessions_begun_total", 1.0),
            (r#"pinhole_streams{service="80"}"#, 1.0),
            (r#"pinhole_streams_total{service="80",result="closed"}"#, 1.0),
            (r#"pinhole_streams_total{service="80",result="refused"}"#, 0.0),
            (r#"pinhole_streams_total{service="81",result="refused"}"#, 1.0),
            (r#"pinhole_streams_total{service="dial",result="closed"}"#, 1.0),
            (r#"pinhole_bytes_total{service="80",direction="sent"}"#, 1010.0),
            (r#"pinhole_bytes_total{service="80",direction="received"}"#, 1010.0),
            (r#"pinhole_bytes_total{service="dial",direction="sent"}"#, 3.0),
            ("pinhole_path_losses_total", 0.0),
            ("pinhole_invitations", 1.0),
            ("pinhole_wrong_pins_total", 1.0),
        ],
    );
    assert!(value(&page, "pinhole_round_trip_seconds_count") >= 1.0, "{page}");
    assert!(value(&page, "pinhole_bandwidth_bytes_per_second") > 0.0, "{page}");
    let of_client = world.metrics(client);
    all(
        &of_client,
        &[
            (r#"pinhole_streams{service="80"}"#, 1.0),
            // The connection was accepted before the host had dialled.
            (r#"pinhole_streams_total{service="81",result="failed"}"#, 1.0),
            (r#"pinhole_bytes_total{service="80",direction="sent"}"#, 1010.0),
            (r#"pinhole_bytes_total{service="dial",direction="received"}"#, 3.0),
            ("pinhole_wrong_pins_total", 0.0),
        ],
    );
    let shown = world.snapshot(host);
    let first = &shown.services[0];
    assert_eq!((first.sent, first.received, first.streams), (1010, 1010, 1));
    assert!(shown.sessions[0].bandwidth_per_s.is_some());

    world.cut(office, home, true);
    world.until("a loss", |world| world.said(host, |event| matches!(event, Event::Recovering { .. })));
    assert_eq!(value(&world.metrics(host), r#"pinhole_sessions{path="direct",state="recovering"}"#), 1.0);
    world.pass(seconds(3));
    world.cut(office, home, false);
    world.until("it is back", |world| world.said(host, |event| matches!(event, Event::Recovered { .. })));
    let page = world.metrics(host);
    all(
        &page,
        &[
            ("pinhole_path_losses_total", 1.0),
            ("pinhole_recoveries_total", 1.0),
            ("pinhole_recovery_seconds_count", 1.0),
            (r#"pinhole_recovery_seconds_bucket{le="1"}"#, 0.0),
        ],
    );
    assert!(value(&page, "pinhole_recovery_seconds_sum") >= 3.0, "{page}");
    let session = world.snapshot(host).sessions.remove(0);
    assert_eq!((session.losses, session.recoveries), (1, 1));

    world.stop(client);
    world.until("its end", |world| world.said(host, |event| matches!(event, Event::Disconnected { .. })));
    all(
        &world.metrics(host),
        &[
            (r#"pinhole_sessions_ended_total{reason="peer"}"#, 1.0),
            (r#"pinhole_sessions_ended_total{reason="path-lost"}"#, 0.0),
            (r#"pinhole_sessions{path="direct",state="connected"}"#, 0.0),
            (r#"pinhole_streams{service="80"}"#, 0.0),
            (r#"pinhole_streams_total{service="80",result="failed"}"#, 1.0),
            (r#"pinhole_bytes_total{service="80",direction="received"}"#, 1010.0),
            ("pinhole_bandwidth_bytes_per_second", 0.0),
        ],
    );
}

#[test]
fn what_is_sent_again_is_counted() {
    let mut world = World::new();
    let (office, home) = (world.machine(&[OFFICE]), world.machine(&["10.0.0.2"]));
    world.echo(office, "127.0.0.1:80");
    let host = world.host(office, HostConfig { reach: Reach::default(), ..host_of("127.0.0.1:80") });
    let client = world.client(home, client_of(OFFICE));
    world.until("a direct path", |world| world.said(host, is_direct) && world.said(client, is_direct));
    check(&mut world, home, &[7; 100_000]);
    assert_eq!(value(&world.metrics(client), "pinhole_retransmissions_total"), 0.0);
    let visitor = world.visit(home, "127.0.0.1:9000");
    world.say(visitor, &[7; 100_000]);
    world.pass(Duration::from_micros(1));
    world.cut(office, home, true);
    world.pass(seconds(2));
    world.cut(office, home, false);
    world.until("all of it", |world| world.heard(visitor).len() == 100_000);
    assert!(value(&world.metrics(client), "pinhole_retransmissions_total") > 0.0, "{}", world.metrics(client));
}
