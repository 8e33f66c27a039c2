//! Servers, hosts and clients that end, in order or not, while streams are open.

use std::time::Instant;

use nix::sys::signal::Signal;

use crate::common::pinhole::text;
use crate::common::services::echo;
use crate::common::system::figure;
use crate::lab::{Server, Transfer, check_echo, registered};

/// More than everything on the way holds together.
const LEN: u64 = 40_000_000;

#[test]
fn streams_outlive_a_server_that_is_started_again() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut server = Server::open(&[]);
        let mut host = server.host("myhost", echo(), &[]);
        let (mut direct, mut relayed) = (host.direct(), host.relayed());
        let mut by_itself = Transfer::start(direct.local, LEN);
        let mut through_the_server = Transfer::start(relayed.local, LEN);
        by_itself.take(1_000_000);
        through_the_server.take(1_000_000);

        server.process.signal(signal);
        let ended = server.process.end();
        assert_eq!(ended.code, (signal == Signal::SIGTERM).then_some(0), "{ended:?}");
        let lost = text(&host.process.event("server-lost"), "message");
        let restart = "the server goes away for a moment";
        assert!(signal == Signal::SIGKILL || lost.contains(restart), "{lost}");
        relayed.process.event("recovering");
        // The server is away, and the direct path does not need it.
        by_itself.finish();

        server.start_again();
        let start = Instant::now();
        assert_eq!(registered(&mut host.process), host.url);
        figure(&format!("registered {:?} after the server's start", start.elapsed()));
        relayed.process.event("recovered");
        figure(&format!("recovered {:?} after the server's start", start.elapsed()));
        through_the_server.finish();
        direct.is_undisturbed();
        let mut newcomer = host.relayed();
        check_echo(newcomer.local, 100_000);
        for process in [&mut newcomer.process, &mut direct.process, &mut relayed.process, &mut host.process] {
            process.stop();
        }
        server.stop();
    }
}
