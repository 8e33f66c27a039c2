//! Runs that end, at every moment.

use std::time::Duration;

use super::forwarding::relayed;
use super::meeting::{registered, server_config, through_server};
use super::{World, client_of, host_of};
use crate::config::HostConfig;
use crate::status::event::Event;

/// How a client gets to its host.
#[derive(Debug, Clone, Copy)]
enum Way {
    Direct,
    Relayed,
    ThroughServer,
}

#[test]
fn a_host_that_ends_says_so_whenever_that_is() {
    for way in [Way::Direct, Way::Relayed, Way::ThroughServer] {
        let mut connected = 0;
        for moment in 0..120 {
            let mut world = World::new();
            let [office, home, meeting] = ["10.0.0.1", "10.0.0.2", "10.0.0.9"].map(|address| world.machine(&[address]));
            let (host, client) = match way {
                Way::Direct => (host_of("127.0.0.1:80"), client_of("10.0.0.1")),
                Way::Relayed => (HostConfig { reach: relayed(), ..host_of("127.0.0.1:80") }, client_of("10.0.0.1")),
                Way::ThroughServer => {
                    world.server(meeting, server_config());
                    (HostConfig { reach: relayed(), ..registered(None) }, through_server())
                }
            };
            let host = world.host(office, host);
            if matches!(way, Way::ThroughServer) {
                world.until("a name", |world| world.said(host, |event| matches!(event, Event::Registered { .. })));
            }
            let client = world.client(home, client);
            world.pass(Duration::from_millis(60 + moment * 2));
            world.stop(host);
            let has_ended = world.within(Duration::from_secs(5), |world| world.end(host).is_some());
            assert!(has_ended && world.end(host).is_some_and(Result::is_ok), "{way:?} {moment}: {}", world.report());
            if world.said(client, |event| matches!(event, Event::Connected { .. })) {
                connected += 1;
                let has_ended = world.within(Duration::from_secs(1), |world| world.end(client).is_some());
                assert!(has_ended, "{way:?} {moment}: {}", world.report());
                let code = world.end(client).and_then(|end| end.as_ref().err()).map(|error| error.code());
                assert_eq!(code, Some("host-ended"), "{way:?} {moment}: {}", world.report());
            }
        }
        assert!((20..100).contains(&connected), "{way:?}: {connected} of 120 were connected");
    }
}
