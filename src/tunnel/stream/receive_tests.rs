use super::*;
use crate::tunnel::frame::ConnectTarget;
use crate::tunnel::trail::Trail;

fn half() -> ReceiveHalf {
    ReceiveHalf::new(ReceiveWindow::open(1000))
}

fn data(len: usize) -> Sequenced {
    Sequenced::Data(Bytes::from(vec![0; len]))
}

fn connect() -> Sequenced {
    Sequenced::Connect(ConnectTarget::Service(1), Trail::default())
}

/// Handles a frame of a stream that the peer opened; returns what came into order.
fn take(half: &mut ReceiveHalf, sequence: u32, frame: Sequenced) -> Result<Option<InOrder>, &'static str> {
    let arrived = match &frame {
        Sequenced::Reset(_) => half.arrive_reset(Sequence(sequence)).map(|reset| reset == ResetArrival::InOrder),
        _ => half.arrive(Sequence(sequence), &frame, Head::Connect).map(|arrived| arrived != Arrived::Duplicate),
    };
    let is_new = arrived.map_err(|violation| violation.detail)?;
    Ok(if is_new { half.put(Sequence(sequence), frame) } else { None })
}

#[test]
fn what_overtook_the_head_comes_with_it() {
    let mut half = half();
    assert!(take(&mut half, 2, Sequenced::Close).unwrap().is_none());
    assert!(take(&mut half, 1, data(100)).unwrap().is_none());
    assert_eq!((half.state(), half.held()), (ReceiveState::Head, cost(100)));
    let in_order = take(&mut half, 0, connect()).unwrap().unwrap();
    assert!(matches!(in_order.opening, Some(Opening::Connect { early, .. }) if early == cost(100)));
    assert!(in_order.has_data && in_order.is_readable);
    assert_eq!((half.state(), half.bytes(), half.is_read_up()), (ReceiveState::Closed, 100, false));
    half.consume(100);
    assert!(half.is_read_up() && half.held() == 0);
}

#[test]
fn an_acknowledgement_is_owed_until_it_is_said() {
    let mut half = half();
    take(&mut half, 0, connect()).unwrap();
    assert!(half.owes_ack() && half.enter_acks() && !half.enter_acks());
    assert_eq!((half.acknowledge(), half.owes_ack()), (Sequence(1), false));
    half.leave_acks();
    assert!(!half.enter_acks(), "nothing is owed");
}

#[test]
fn frames_in_wrong_places_are_violations() {
    let rows: &[(&[(u32, Sequenced)], &str)] = &[
        (&[(0, data(1))], "a direction must begin with CONNECT or ACCEPT"),
        (&[(0, Sequenced::Accept)], "a direction must begin with CONNECT or ACCEPT"),
        (&[(1, connect())], "a direction must begin with CONNECT or ACCEPT"),
        (&[(0, connect()), (1, data(999))], "more was sent than granted"),
        (&[(0, connect()), (1, data(MAX_PAYLOAD + 1))], "a payload longer than announced"),
        (&[(0, connect()), (1, Sequenced::Close), (2, data(1))], "a frame after CLOSE"),
        (&[(0, connect()), (3, data(1)), (2, Sequenced::Close)], "a frame after CLOSE"),
        (&[(0, connect()), (3, Sequenced::Reset(String::new())), (4, data(1))], "a frame after a reset"),
        (&[(0, connect()), (3, data(1)), (2, Sequenced::Reset(String::new()))], "a reset in a wrong place"),
        (&[(0, connect()), (900, Sequenced::Reset(String::new()))], "a reset behind more than was granted"),
    ];
    for (frames, expected) in rows {
        let mut half = half();
        let (last, before) = frames.split_last().unwrap();
        for (sequence, frame) in before {
            take(&mut half, *sequence, frame.clone()).unwrap();
        }
        assert_eq!(take(&mut half, last.0, last.1.clone()).err(), Some(*expected), "{frames:?}");
    }
}

#[test]
fn a_reset_ends_a_direction_behind_what_came_before() {
    let mut half = half();
    take(&mut half, 0, connect()).unwrap();
    assert!(take(&mut half, 2, Sequenced::Reset("gone".into())).unwrap().is_none());
    assert_eq!((half.state(), half.reset_at()), (ReceiveState::Open, Some(Sequence(2))));
    assert_eq!(half.arrive_reset(Sequence(2)), Ok(ResetArrival::Duplicate));
    let in_order = take(&mut half, 1, data(7)).unwrap().unwrap();
    assert!(in_order.is_readable && half.state() == ReceiveState::Reset);
    assert_eq!(half.take_reset_detail(), "gone");
    assert_eq!(half.arrive_reset(Sequence(0)), Ok(ResetArrival::AtOnce), "what is here behind it was not to come");
}

#[test]
fn a_direction_that_is_given_up_holds_nothing_and_ends_with_the_reset() {
    let mut half = half();
    take(&mut half, 0, connect()).unwrap();
    take(&mut half, 1, data(7)).unwrap();
    half.discard();
    assert_eq!((half.state(), half.is_read_up(), half.owes_ack()), (ReceiveState::Discarding, true, false));
    assert_eq!(half.arrive_reset(Sequence(9)), Ok(ResetArrival::Unheard));
    assert_eq!((half.state(), half.acknowledge()), (ReceiveState::Reset, Sequence(10)));
}
