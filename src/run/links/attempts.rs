//! Addresses that are tried one after the other, and the error if none works.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::websocket::{Phase, WebSocketError};

/// The addresses that were not tried yet, and the most telling error so far.
#[derive(Debug, Default)]
pub(in crate::run) struct Attempts {
    left: VecDeque<SocketAddr>,
    failure: Option<WebSocketError>,
    patience: Patience,
}

/// Time for a WebSocket to open at an address: connect, TLS and upgrade together.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::run) struct Patience {
    /// At the last one.
    pub(in crate::run) last: Duration,
    /// At earlier ones: shorter, so that others get their turn.
    pub(in crate::run) others: Duration,
}

impl Attempts {
    /// Creates attempts at these addresses, in this order.
    pub(in crate::run) fn at(addresses: impl IntoIterator<Item = SocketAddr>, patience: Patience) -> Attempts {
        Attempts { left: addresses.into_iter().collect(), failure: None, patience }
    }

    /// Returns the next address.
    pub(in crate::run) fn next(&mut self) -> Option<SocketAddr> {
        self.left.pop_front()
    }

    /// Tells whether there is another address.
    pub(in crate::run) fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    /// Returns the time for the address that was returned last.
    pub(super) fn timeout(&self) -> Duration {
        if self.left.is_empty() { self.patience.last } else { self.patience.others }
    }

    /// Stores an error. An answer says more than the silence of an address: a name may have both families, and a server
    /// may listen on one.
    pub(super) fn failed(&mut self, failure: WebSocketError) {
        if self.failure.as_ref().is_none_or(is_silence) || !is_silence(&failure) {
            self.failure = Some(failure);
        }
    }

    /// Returns the error once no address is left.
    pub(super) fn into_failure(self, authority: String) -> WebSocketError {
        let nowhere = || WebSocketError::Dns { host: authority, reason: "it has no address".to_owned() };
        self.failure.unwrap_or_else(nowhere)
    }
}

fn is_silence(failure: &WebSocketError) -> bool {
    matches!(
        failure,
        WebSocketError::Dns { .. } | WebSocketError::Connect { .. } | WebSocketError::Timeout(Phase::Connecting)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answered_says_more() {
        let refused = || {
            let source = std::io::ErrorKind::ConnectionRefused.into();
            WebSocketError::Connect { authority: "a:1".to_owned(), source }
        };
        let certificate = || WebSocketError::Certificate { reason: "x".to_owned(), may_pass: false };
        let said = |failures: Vec<WebSocketError>| {
            let mut attempts = Attempts::default();
            failures.into_iter().for_each(|failure| attempts.failed(failure));
            attempts.into_failure("a:1".to_owned())
        };
        for failures in [vec![refused(), certificate()], vec![certificate(), refused()]] {
            assert!(matches!(said(failures), WebSocketError::Certificate { .. }));
        }
        let later = said(vec![refused(), WebSocketError::Timeout(Phase::Connecting)]);
        assert!(matches!(later, WebSocketError::Timeout(_)), "{later}");
        assert!(said(Vec::new()).to_string().contains("it has no address"));
    }

    #[test]
    fn each_address_has_its_turn_and_the_last_has_most_time() {
        let addresses = [1, 2, 3].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let patience = Patience { last: Duration::from_secs(15), others: Duration::from_secs(3) };
        let mut attempts = Attempts::at(addresses, patience);
        let mut turns = Vec::new();
        while let Some(address) = attempts.next() {
            turns.push((address.port(), attempts.timeout().as_secs()));
        }
        assert_eq!(turns, [(1, 3), (2, 3), (3, 15)]);
    }
}
