//! As many streams as there are ids.

use pinhole::internals::tunnel::frame::Frame;
use pinhole::internals::tunnel::{AbortReason, Config, ConnectTarget, Event, OpenError, Role};

use super::rig::{ID, Rig, abort, connect, hello, listed, resume};

const MOST: u16 = Config::MOST_STREAMS as u16;

#[test]
fn a_host_takes_every_id_of_a_client_and_can_refuse_them_all_at_once() {
    let mut rig = Rig::host_with(|config| *config = config.clone().with_max_streams(MOST.into()));
    for id in 1..=MOST {
        rig.feed(connect(id, 0));
    }
    let keys: Vec<_> = rig
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Opened(key, ConnectTarget::Service(0)) => key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((keys.len(), rig.mux.stream_count()), (MOST.into(), MOST.into()));
    rig.mux.lose_carrier(rig.now, 1);
    let all: Vec<_> = rig.resume(&[]).into_iter().map(|entry| entry.id.value()).collect();
    assert_eq!(all.len(), usize::from(MOST), "each is in the RESUME list");
    rig.events();
    // The service died: everything is refused before any of it can be said.
    for key in keys {
        if let Some(stream) = rig.mux.stream(key) {
            stream.abort(AbortReason::Refused, "");
        }
    }
    rig.feed(connect(ID, 1));
    assert!(matches!(rig.events()[..], [Event::Opened(..)]), "no flood: it was our own doing");
    assert_eq!(rig.mux.stream_count(), 1);
}

#[test]
fn a_client_opens_as_many_as_the_host_takes() {
    for (announced, most) in [(100, 100), (u32::from(MOST), MOST), (u32::MAX, MOST)] {
        let mut rig = Rig::silent(Config::new(Role::Client));
        rig.open(1);
        rig.feed(hello(|hello| (hello.role, hello.max_streams) = ("host".into(), announced)));
        let mut ids: Vec<u16> = Vec::new();
        for count in 0..most {
            // Nothing but the number of ids bounds it, and a free one is found wherever the search begins.
            let key = rig.mux.open(count.wrapping_mul(7919), &ConnectTarget::Service(0)).unwrap();
            ids.push(rig.mux.stream(key).unwrap().id().value());
        }
        assert_eq!(rig.mux.open(0, &ConnectTarget::Service(0)), Err(OpenError::TooManyStreams));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), usize::from(most));
        let sent = rig.sent();
        let opened = sent.iter().filter(|frame| matches!(frame, Frame::Stream(..))).count();
        assert_eq!(opened, usize::from(most));
        rig.feed(abort(ids[0], 0, AbortReason::Refused));
        assert!(rig.mux.open(0, &ConnectTarget::Service(0)).is_ok(), "one ended");
        rig.open(2);
        rig.feed(hello(|hello| hello.role = "host".into()));
        assert_eq!(listed(&rig.sent()).len(), usize::from(most));
        rig.feed(resume(2, 0, 1, &[]));
        assert!(!rig.mux.is_ended());
    }
}
