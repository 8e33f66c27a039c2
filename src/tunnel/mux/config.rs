//! Limits of a session.

use crate::tunnel::hello::Service;
use crate::tunnel::id::Role;

/// Units a new stream may send before the first CREDIT, where memory allows: enough for 50 Mbit/s over 10 ms.
const INITIAL_CREDIT: u32 = 64 * 1024;

/// The same where memory is short and the number of streams is not set: a whole DATA frame still fits.
const SHORT_CREDIT: u32 = 17 * 1024;

/// The least initial credit, for sessions with very many streams.
const MIN_CREDIT: u32 = 4 * 1024;

/// Streams the peer may have open at once, by default.
const MAX_STREAMS: u32 = 4096;

/// Limits of a session, and the data it announces about itself.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our role.
    pub role: Role,
    /// Units (see `tunnel::credit`) the peer may send on a stream before the first CREDIT.
    pub initial_credit: u32,
    /// Streams the peer may have open at once.
    pub max_streams: u32,
    /// Maximum number of units of all initial receive windows together; streams beyond it are refused.
    pub receive_budget: u64,
    /// Maximum number of units by which all receive windows together may grow.
    pub growth_budget: u64,
    /// Maximum number of bytes that may be queued or unacknowledged over all streams, as chunk capacity. Beyond it each
    /// stream may hold one chunk.
    pub send_budget: usize,
    /// Maximum rate in each direction, in bytes per second; `None` means no limit. Sending is limited message by
    /// message; receiving by granting credit no faster, so the initial credit of each stream is not limited. Datagrams
    /// that arrive need no credit and are not limited.
    pub rate: Option<u64>,
    /// Services we offer.
    pub services: Vec<Service>,
}

impl Config {
    /// Minimum memory [`Config::with_memory`] works with, in bytes: enough for a few hundred connections.
    pub const MIN_MEMORY: u64 = 4 * 1024 * 1024;

    /// Maximum number of streams [`Config::with_max_streams`] accepts: every id a client has.
    pub const MOST_STREAMS: u32 = 32_767;

    /// Returns the defaults for a role.
    pub fn new(role: Role) -> Config {
        Config {
            role,
            initial_credit: INITIAL_CREDIT,
            max_streams: MAX_STREAMS,
            receive_budget: 320 * 1024 * 1024,
            growth_budget: 64 * 1024 * 1024,
            send_budget: 64 * 1024 * 1024,
            rate: None,
            services: Vec::new(),
        }
    }

    /// Limits the memory of the session's streams, in bytes; less than [`Config::MIN_MEMORY`] counts as that.
    ///
    /// At most half is for the initial windows of streams: 64 KiB each, or down to 17 KiB so that more streams fit. As
    /// many streams are announced as fit, at most 4096. The growth of windows and the data to be sent or acknowledged
    /// share the rest evenly. Each stream may hold one chunk of 16 KiB for sending even if that share is used up. Not
    /// included: about 1 KiB for each stream, datagrams, and the buffers of carriers.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Config {
        let bytes = bytes.max(Config::MIN_MEMORY);
        self.fit(MAX_STREAMS, bytes / 2, SHORT_CREDIT);
        let used = (taken_streams(self.max_streams) as u64 * u64::from(self.initial_credit)).min(bytes / 2);
        self.receive_budget = used;
        self.growth_budget = (bytes - used) / 2;
        self.send_budget = usize::try_from((bytes - used) / 2).unwrap_or(usize::MAX);
        self
    }

    /// Lets the peer have this many streams open at once, from 1 to [`Config::MOST_STREAMS`]. Call it after
    /// [`Config::with_memory`].
    ///
    /// The streams share the receive budget: many streams get a smaller initial credit each, down to 4 KiB. Streams
    /// that do not fit even then are not announced.
    #[must_use]
    pub fn with_max_streams(mut self, count: u32) -> Config {
        let count = count.clamp(1, Config::MOST_STREAMS);
        self.fit(count, self.receive_budget, MIN_CREDIT);
        self
    }

    fn fit(&mut self, count: u32, budget: u64, least_credit: u32) {
        let share = u32::try_from(budget / taken_streams(count) as u64).unwrap_or(u32::MAX);
        self.initial_credit = share.clamp(least_credit, INITIAL_CREDIT);
        let fits = budget / u64::from(self.initial_credit);
        let has_room = taken_streams(count) as u64 <= fits;
        // Four in five of the streams we take are announced.
        let announced = u32::try_from(fits * 4 / 5).unwrap_or(u32::MAX);
        self.max_streams = if has_room { count } else { count.min(announced.max(1)) };
    }
}

/// Returns how many streams of a peer that was told `max_streams` we take: a quarter more. The opener counts a stream
/// as ended once it sent its last CREDIT, which its next CONNECT may overtake.
pub(super) fn taken_streams(max_streams: u32) -> usize {
    let count = max_streams as usize;
    count + count / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::chunk::MAX_PAYLOAD;
    use crate::tunnel::credit::cost;
    use proptest::prelude::*;

    const MIB: u64 = 1024 * 1024;

    fn total(config: &Config) -> u64 {
        config.receive_budget + config.growth_budget + config.send_budget as u64
    }

    #[test]
    fn memory_is_split() {
        let of = |mib: u64| {
            let config = Config::new(Role::Host).with_memory(mib * MIB);
            (config.max_streams, config.initial_credit / 1024, total(&config) / MIB)
        };
        assert_eq!(of(0), (96, 17, 4));
        assert_eq!(of(4), (96, 17, 4));
        assert_eq!(of(64), (1541, 17, 64));
        assert_eq!(of(256), (4096, 25, 256));
        assert_eq!(of(640), (4096, 64, 640));
        assert_eq!(of(100_000), (4096, 64, 100_000));
        let config = Config::new(Role::Host).with_memory(100_000 * MIB);
        assert_eq!(config.receive_budget, 320 * MIB, "what streams cannot use is left to windows that grow");
        assert!(u64::from(SHORT_CREDIT) >= cost(MAX_PAYLOAD));
    }

    #[test]
    fn as_many_streams_as_there_are_ids_fit_into_the_usual_memory() {
        let config = Config::new(Role::Host).with_max_streams(32_767);
        assert_eq!((config.max_streams, config.initial_credit), (32_767, 8192));
        let config = Config::new(Role::Host).with_max_streams(1_000_000);
        assert_eq!(config.max_streams, 32_767);
        let config = Config::new(Role::Host).with_max_streams(0);
        assert_eq!((config.max_streams, config.initial_credit), (1, INITIAL_CREDIT));
        let config = Config::new(Role::Host).with_max_streams(100);
        assert_eq!((config.max_streams, config.initial_credit), (100, INITIAL_CREDIT));
        let config = Config::new(Role::Host).with_memory(64 * MIB).with_max_streams(100);
        assert_eq!((config.max_streams, config.initial_credit), (100, INITIAL_CREDIT), "few have more each");
        let config = Config::new(Role::Host).with_memory(64 * MIB).with_max_streams(32_767);
        assert_eq!((config.max_streams, config.initial_credit), (6548, 4096), "no more than fit");
    }

    proptest! {
        #[test]
        fn what_is_announced_fits(bytes in 0..1u64 << 40, count in prop::option::of(0..40_000u32)) {
            let mut config = Config::new(Role::Client).with_memory(bytes);
            if let Some(count) = count {
                config = config.with_max_streams(count);
            }
            prop_assert!(total(&config) <= bytes.max(Config::MIN_MEMORY));
            let windows = u64::from(config.initial_credit) * taken_streams(config.max_streams) as u64;
            prop_assert!(windows <= config.receive_budget, "{config:?}");
            prop_assert!((1..=Config::MOST_STREAMS).contains(&config.max_streams));
            prop_assert!(config.initial_credit >= MIN_CREDIT);
        }
    }
}
