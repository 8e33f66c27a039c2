//! Servers, hosts and clients that end, in order or not, while streams are open.

use std::time::Instant;

use nix::sys::signal::Signal;

use crate::common::pinhole::text;
use crate::common::services::echo;
use crate::common::system::figure;
use crate::lab::{Server, Transfer, check_echo, is_over, registered};

/// More than everything on the way holds together.
const LEN: u64 = 30_000_000;

/// The pin of hosts that are started again.
const PIN: &[&str] = &["--pin", "7391846"];

/// A server ends and is started again while bytes are on their way past it and through it.
fn restart_server(signal: Signal) {
    let mut server = Server::open(&[]);
    let mut host = server.host("myhost", echo(), &[]);
    let (mut direct, mut relayed) = (host.direct(), host.relayed());
    let mut by_itself = Transfer::start(direct.local, LEN);
    let mut through_the_server = Transfer::start(relayed.local, LEN);
    by_itself.take(1_000_000);
    through_the_server.take(1_000_000);

    let start = Instant::now();
    server.process.signal(signal);
    let ended = server.process.end();
    figure(&format!("the server ended {:?} after {signal}", start.elapsed()));
    assert_eq!(ended.code, (signal == Signal::SIGTERM).then_some(0), "{ended:?}");
    let lost = text(&host.process.event("server-lost"), "message");
    let is_told = lost.contains("the server goes away for a moment");
    assert_eq!(is_told, signal == Signal::SIGTERM, "{lost}");
    relayed.process.event("recovering");
    // The server is away, and the direct path does not need it.
    by_itself.take(5_000_000);

    server.start_again();
    let start = Instant::now();
    assert_eq!(registered(&mut host.process), host.url);
    figure(&format!("registered {:?} after the server's start", start.elapsed()));
    relayed.process.event("recovered");
    figure(&format!("recovered {:?} after the server's start", start.elapsed()));
    through_the_server.finish();
    by_itself.finish();
    direct.is_undisturbed();
    let mut newcomer = host.relayed();
    check_echo(newcomer.local, 100_000);
    for process in [&mut newcomer.process, &mut direct.process, &mut relayed.process, &mut host.process] {
        process.stop();
    }
    server.stop();
}

#[test]
fn streams_outlive_a_server_that_is_killed() {
    restart_server(Signal::SIGKILL);
}

#[test]
fn streams_outlive_a_server_that_ends_in_order() {
    restart_server(Signal::SIGTERM);
}

#[test]
fn clients_find_a_host_again_that_was_killed() {
    let server = Server::open(&[]);
    let mut host = server.host("myhost", echo(), PIN);
    let mut bystander = server.host("bystander", echo(), &[]);
    let mut clients = [host.direct(), host.relayed()];
    let transfers = clients.each_ref().map(|client| {
        let mut transfer = Transfer::start(client.local, LEN);
        transfer.take(500_000);
        transfer
    });
    let mut stranger = bystander.relayed();
    let mut other = Transfer::start(stranger.local, 5_000_000);
    other.take(500_000);

    host.process.signal(Signal::SIGKILL);
    host.process.end();
    for client in &mut clients {
        client.process.event("recovering");
    }
    let mut host = server.host("myhost", echo(), PIN);
    let start = Instant::now();
    transfers.into_iter().for_each(Transfer::cut);
    for client in &mut clients {
        client.process.event("disconnected");
        client.process.event("connected");
        figure(&format!("connected {:?} after the host's start", start.elapsed()));
        check_echo(client.local, 100_000);
        client.process.stop();
    }
    other.finish();
    stranger.is_undisturbed();
    for process in [&mut stranger.process, &mut host.process, &mut bystander.process] {
        process.stop();
    }
    server.stop();
}

#[test]
fn a_host_that_ends_in_order_says_so_and_may_come_back() {
    let mut server = Server::open(&[]);
    let mut host = server.host("myhost", echo(), PIN);
    let mut clients = [host.direct(), host.relayed()];
    let streams = clients.each_ref().map(|client| client.stream());
    host.process.signal(Signal::SIGTERM);
    assert_eq!(host.process.end().code, Some(0));
    for (client, stream) in clients.iter_mut().zip(streams) {
        assert!(is_over(stream), "what stays open is reset in the end");
        client.process.end().expect(1, &[r#""code":"host-ended""#, "the host ended the session"]);
    }
    let left = server.process.event("host-left");
    assert_eq!(text(&left, "id"), "myhost");
    let mut host = server.host("myhost", echo(), PIN);
    let mut client = host.relayed();
    check_echo(client.local, 100_000);
    client.process.stop();
    host.process.stop();
    server.stop();
}

#[test]
fn clients_that_end_disturb_no_others() {
    let mut server = Server::open(&[]);
    let mut host = server.host("myhost", echo(), &[]);
    let mut survivors = [host.direct(), host.relayed()];
    let mut transfers = survivors.each_ref().map(|client| Transfer::start(client.local, 10_000_000));
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        for mut client in [host.direct(), host.relayed()] {
            // Streams may go on for two seconds after a SIGTERM: more than passes by then.
            let mut transfer = Transfer::start(client.local, 10 * LEN);
            transfer.take(500_000);
            transfers.iter_mut().for_each(|transfer| transfer.take(500_000));
            client.process.signal(signal);
            let ended = client.process.end();
            assert_eq!(ended.code, (signal == Signal::SIGTERM).then_some(0), "{ended:?}");
            transfer.cut();
            // Each was in a conversation, if only until it had its path.
            server.process.event("client-left");
        }
    }
    transfers.into_iter().for_each(Transfer::finish);
    survivors.iter_mut().for_each(|client| client.is_undisturbed());
    survivors.iter_mut().for_each(|client| drop(client.process.stop()));
    host.process.stop();
    server.stop();
}
