//! A session between a host and a server: the streams of `docs/protocol.md` section 2, on the WebSocket between the
//! two. Messages are not sealed, since the two are each other's peer. The WebSocket is the only carrier; the session
//! ends with it.

use std::time::{Duration, Instant};

use super::link::Link;
use super::relay::Relay;
use super::state::State;
use super::{Reach, Session};
use crate::signaling::SessionId;
use crate::tunnel::Config;

/// Time for the other side's HELLO and first answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Number of the only carrier.
const CARRIER: u32 = 1;

impl Session {
    /// Starts a session whose messages are those of the WebSocket itself. Pass binary messages to
    /// [`Session::handle_binary`]; [`Session::poll_signal`] returns only binary messages. The owner watches whether the
    /// WebSocket is alive.
    pub fn plain(now: Instant, config: Config) -> Session {
        let link = Link::plain(now);
        let reach = Reach { direct: false, ..Reach::default() };
        let state = State::Connecting { deadline: now + ANSWER_TIMEOUT };
        let mut session = Session::with(now, SessionId::random(), None, config, reach, state, link);
        session.carriers.relay = Some(Relay::unwatched(now, CARRIER));
        session.opened_at = Some(now);
        session.mux.open_carrier(now, CARRIER);
        session
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{End, Event, Signal};
    use crate::tunnel::{ChunkPool, ConnectTarget, GoAwayReason, Role};

    struct Pair {
        now: Instant,
        sides: [Session; 2],
        pool: ChunkPool,
    }

    impl Pair {
        fn new() -> Pair {
            let now = Instant::now();
            let sides = [Role::Client, Role::Host].map(|role| Session::plain(now, Config::new(role)));
            Pair { now, sides, pool: ChunkPool::new() }
        }

        /// Exchanges messages until neither side has any; returns the events of each side.
        fn exchange(&mut self) -> [Vec<Event>; 2] {
            let mut told = [Vec::new(), Vec::new()];
            loop {
                let mut is_idle = true;
                for (side, told) in told.iter_mut().enumerate() {
                    self.sides[side].flush(self.now, &mut self.pool);
                    while let Some(signal) = self.sides[side].poll_signal() {
                        is_idle = false;
                        let Signal::Binary(bytes) = signal else { panic!("a text") };
                        self.sides[1 - side].handle_binary(self.now, bytes.into()).unwrap();
                    }
                    self.sides[side].set_signaling_buffered(0);
                    while let Some(event) = self.sides[side].poll_event(self.now) {
                        is_idle = false;
                        // What is measured when is not looked at here.
                        if !matches!(event, Event::RoundTrip(_)) {
                            told.push(event);
                        }
                    }
                }
                if is_idle {
                    return told;
                }
            }
        }
    }

    #[test]
    fn streams_pass_and_silence_means_nothing() {
        let mut pair = Pair::new();
        for told in pair.exchange() {
            assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}");
        }
        pair.sides[0].mux().open(1, &ConnectTarget::Service(0)).unwrap();
        let [_, told] = pair.exchange();
        assert!(matches!(told[..], [Event::Stream(crate::tunnel::Event::Opened(..))]), "{told:?}");
        // Neither side hears of the other for ten minutes, and both stay connected.
        for _ in 0..600 {
            pair.now += Duration::from_secs(1);
            for side in &mut pair.sides {
                side.handle_timeout(pair.now);
                side.flush(pair.now, &mut pair.pool);
                while side.poll_signal().is_some() {}
                assert!(side.poll_event(pair.now).is_none());
            }
        }
    }

    #[test]
    fn it_ends_in_order_and_with_its_websocket() {
        let mut pair = Pair::new();
        pair.exchange();
        pair.sides[0].go_away(pair.now, GoAwayReason::Shutdown, "done");
        let [here, there] = pair.exchange();
        assert!(matches!(here.last(), Some(Event::Ended(End::Local))), "{here:?}");
        assert!(matches!(there.last(), Some(Event::Ended(End::Peer))), "{there:?}");

        let mut pair = Pair::new();
        pair.exchange();
        pair.sides[0].handle_signaling_closed(pair.now);
        let told: Vec<Event> = std::iter::from_fn(|| pair.sides[0].poll_event(pair.now)).collect();
        assert!(matches!(told[..], [Event::Ended(End::Failed(_))]), "{told:?}");
    }

    #[test]
    fn a_side_that_hears_nothing_gives_up() {
        let mut pair = Pair::new();
        pair.now += ANSWER_TIMEOUT;
        pair.sides[0].handle_timeout(pair.now);
        let told: Vec<Event> = std::iter::from_fn(|| pair.sides[0].poll_event(pair.now)).collect();
        assert!(matches!(told[..], [Event::Ended(_)]), "{told:?}");
        assert!(pair.sides[0].poll_signal().is_none());
    }
}
