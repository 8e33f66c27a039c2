//! Whether a WebSocket is alive. Pings keep forwarders from cutting it, and their answers show that it works.

/// Looks from one ping to the next: 20 seconds. Dev tunnels and proxies cut connections that are idle for a minute.
const LOOKS_PER_PING: u32 = 2;

/// Looks without received data after which a WebSocket counts as dead: 30 to 40 seconds.
const MAX_SILENT_LOOKS: u32 = 3;

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
    /// Looks at a WebSocket; `received` counts its bytes. Call it every `LOOK_INTERVAL`.
    pub(super) fn look(&mut self, received: u64) -> Look {
        if std::mem::replace(&mut self.received, received) == received {
            self.silent_looks += 1;
        } else {
            self.silent_looks = 0;
        }
        self.looks = self.looks.wrapping_add(1);
        match self.looks.is_multiple_of(LOOKS_PER_PING) {
            _ if self.silent_looks >= MAX_SILENT_LOOKS => Look::Dead,
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
            assert_eq!(liveness.look(received), expected, "look {look}");
        }
        let silent = [(); 3].map(|()| liveness.look(received));
        assert_eq!(silent, [Look::Ping, Look::Alive, Look::Dead]);
    }

    #[test]
    fn every_sign_of_life_gives_it_the_whole_time_again() {
        let mut liveness = Liveness::default();
        let looks = [0, 0, 1, 1, 1, 2, 2, 2, 2].map(|received| liveness.look(received));
        assert_eq!(looks.iter().position(|look| *look == Look::Dead), Some(8), "{looks:?}");
    }
}
