use std::time::Instant;

use super::*;
use crate::fault::Fault;
use crate::signaling::handshake::tests::established;

/// Returns a host's session and its offer.
fn session(now: Instant) -> Session {
    let [at_host, _] = established();
    let mut session = Session::new(now, at_host, Config::new(Role::Host), Reach::default()).unwrap();
    session.add_sockets(now, FIRST_DIRECT, &[([192, 0, 2, 1], 1000).into()]);
    session
}

fn ends(session: &mut Session, now: Instant) -> Vec<End> {
    let events = std::iter::from_fn(|| session.poll_event(now));
    events.filter_map(|event| if let Event::Ended(end) = event { Some(end) } else { None }).collect()
}

#[test]
fn a_panic_of_the_webrtc_stack_ends_its_session_and_no_other() {
    let now = Instant::now();
    let (mut broken, mut other) = (session(now), session(now));
    broken.connection().unwrap().panic();
    broken.handle_timeout(now);
    assert_eq!(ends(&mut broken, now), [End::Fault(Fault)]);
    assert!(broken.is_closed() && broken.poll_timeout().is_none());
    assert!(End::Fault(Fault).to_string().contains("please report"));
    // Later calls must not panic.
    broken.handle_datagram(now, ([192, 0, 2, 1], 1000).into(), ([192, 0, 2, 2], 9).into(), &[0, 1, 0, 0]);
    broken.flush(now, &mut ChunkPool::new());
    assert!(ends(&mut broken, now).is_empty());
    other.handle_timeout(now);
    assert!(!other.is_closed() && other.connection().unwrap().awaits_answer() && ends(&mut other, now).is_empty());
}
