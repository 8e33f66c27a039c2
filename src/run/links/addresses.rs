//! The addresses of one side that is dialled, as look-ups find them.

use std::net::SocketAddr;

use log::info;

use super::{Attempts, Patience};

/// The last addresses of a side, the best first.
#[derive(Debug, Default)]
pub(in crate::run) struct Addresses {
    found: Vec<SocketAddr>,
    /// The address where the side answered last.
    preferred: Option<SocketAddr>,
}

impl Addresses {
    /// Handles the answer to a look-up. If it failed, earlier addresses are used.
    ///
    /// # Errors
    /// There are no addresses at all; the resolver's reason.
    pub(in crate::run) fn resolved(&mut self, answer: Result<Vec<SocketAddr>, String>) -> Result<(), String> {
        match answer {
            Ok(addresses) => {
                self.found = addresses;
                self.found.sort_by_key(|address| Some(*address) != self.preferred);
            }
            Err(reason) if self.found.is_empty() => return Err(reason),
            Err(reason) => info!("look-up failed, the last addresses are used: {reason}"),
        }
        Ok(())
    }

    /// Tells whether no address was found yet.
    pub(in crate::run) fn is_unknown(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns the addresses to try, the best first.
    pub(in crate::run) fn attempts(&self, patience: Patience) -> Attempts {
        Attempts::at(self.found.iter().copied(), patience)
    }

    /// Prefers an address from here on, as long as look-ups find it: the side answered there.
    pub(in crate::run) fn prefer(&mut self, address: SocketAddr) {
        self.preferred = Some(address);
        self.found.sort_by_key(|other| *other != address);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Patience = Patience { last: Duration::from_secs(9), others: Duration::from_secs(3) };

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn tried(addresses: &Addresses) -> Vec<SocketAddr> {
        let mut attempts = addresses.attempts(PATIENCE);
        std::iter::from_fn(move || attempts.next()).collect()
    }

    #[test]
    fn addresses_serve_on_and_the_one_that_answered_goes_first() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.resolved(Err("no answer".to_owned())), Err("no answer".to_owned()));
        assert!(addresses.is_unknown());
        addresses.resolved(Ok(vec![at(1), at(2), at(3)])).unwrap();
        addresses.resolved(Err("no answer".to_owned())).unwrap();
        addresses.prefer(at(3));
        assert_eq!(tried(&addresses), [at(3), at(1), at(2)]);
        addresses.resolved(Ok(vec![at(1), at(2), at(3), at(4)])).unwrap();
        assert_eq!(tried(&addresses), [at(3), at(1), at(2), at(4)], "the preferred one is first after a look-up, too");
        addresses.resolved(Ok(vec![at(4), at(2)])).unwrap();
        assert_eq!(tried(&addresses), [at(4), at(2)], "an address that is not found any more is not tried");
    }
}
