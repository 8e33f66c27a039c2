//! Whether a WebSocket is alive. Pings keep forwarders from cutting it, and their answers show that it works.

use std::time::Duration;

/// How closely the WebSockets of a side are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::run) enum Watch {
    /// A ping every 20 seconds: dev tunnels and proxies cut connections that are idle for a minute. One that is dead is
    /// noticed after 30 to 40 seconds, and the other side is dialled again where it was.
    #[default]
    Calm,
    /// A ping every 5 seconds; one that is dead is noticed after 10 to 15. Only where there is another server to go to:
    /// about 4 MB a day, and a radio that never sleeps.
    Close,
    /// Of another server: a ping every second, dead after 4 to 4.5. Both servers ping, so each hears something every
    /// second even where the answers wait behind bulk data. Only looks count, so a loop that stood still takes nobody
    /// for dead before it has read what came meanwhile.
    Anxious,
}

impl Watch {
    /// Returns the time from one look at all WebSockets to the next.
    pub(in crate::run) fn interval(self) -> Duration {
        match self {
            Watch::Calm => Duration::from_secs(10),
            Watch::Close => Duration::from_secs(5),
            Watch::Anxious => Duration::from_millis(500),
        }
    }

    /// Looks from one ping to the next.
    fn looks_per_ping(self) -> u32 {
        match self {
            Watch::Calm | Watch::Anxious => 2,
            Watch::Close => 1,
        }
    }

    /// Looks without received data after which a WebSocket counts as dead.
    fn max_silent_looks(self) -> u32 {
        match self {
            Watch::Calm => 3,
            Watch::Close => 2,
            Watch::Anxious => 8,
        }
    }
}

/// The observation at the last look.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    received: u64,
    silent_looks: u32,
    looks: u32,
}

/// The result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Alive,
    /// It should be pinged.
    Ping,
    Dead,
}

impl Liveness {
    /// Looks at a WebSocket; `received` counts its bytes. Call it at every [`Watch::interval`].
    pub(super) fn look(&mut self, watch: Watch, received: u64) -> Look {
        if std::mem::replace(&mut self.received, received) == received {
            self.silent_looks += 1;
        } else {
            self.silent_looks = 0;
        }
        self.looks = self.looks.wrapping_add(1);
        match self.looks.is_multiple_of(watch.looks_per_ping()) {
            _ if self.silent_looks >= watch.max_silent_looks() => Look::Dead,
            true => Look::Ping,
            false => Look::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_answers_pings_lives_and_one_that_is_silent_is_dead_at_the_third_look() {
        let (mut liveness, mut received) = (Liveness::default(), 0);
        for look in 1..100 {
            received += 2;
            let expected = if look % 2 == 0 { Look::Ping } else { Look::Alive };
            assert_eq!(liveness.look(Watch::Calm, received), expected, "look {look}");
        }
        let silent = [(); 3].map(|()| liveness.look(Watch::Calm, received));
        assert_eq!(silent, [Look::Ping, Look::Alive, Look::Dead]);
    }

    #[test]
    fn one_that_is_watched_closely_is_pinged_at_each_look_and_dead_at_the_second_without_an_answer() {
        let (mut liveness, mut received) = (Liveness::default(), 0);
        for look in 1..100 {
            received += 2;
            assert_eq!(liveness.look(Watch::Close, received), Look::Ping, "look {look}");
        }
        let silent = [(); 2].map(|()| liveness.look(Watch::Close, received));
        assert_eq!(silent, [Look::Ping, Look::Dead]);
        // Frozen right after a look or right before one: it had time for an answer to the ping of two looks ago.
        assert_eq!(Watch::Close.interval() * 2, Duration::from_secs(10));
    }

    #[test]
    fn another_server_is_pinged_every_second_and_dead_after_four() {
        let mut liveness = Liveness::default();
        let looks = [1; 9].map(|bytes| liveness.look(Watch::Anxious, bytes));
        let dead = looks.iter().position(|look| *look == Look::Dead).unwrap();
        assert_eq!(Watch::Anxious.interval() * u32::try_from(dead).unwrap(), Duration::from_secs(4), "{looks:?}");
        assert_eq!(looks.iter().filter(|look| **look == Look::Ping).count(), 4, "{looks:?}");
    }

    #[test]
    fn every_sign_of_life_gives_it_the_whole_time_again() {
        let mut liveness = Liveness::default();
        let looks = [0, 0, 1, 1, 1, 2, 2, 2, 2].map(|received| liveness.look(Watch::Calm, received));
        assert_eq!(looks.iter().position(|look| *look == Look::Dead), Some(8), "{looks:?}");
    }
}
