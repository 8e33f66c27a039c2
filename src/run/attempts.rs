//! Addresses that are tried one after the other, and what is said if none of them will do.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::net::websocket::{Phase, WebSocketError};

/// The addresses that a WebSocket has yet to be opened at, and the most telling failure of those before.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    left: VecDeque<SocketAddr>,
    failure: Option<WebSocketError>,
}

impl Attempts {
    /// Begins with addresses in the order in which they are tried.
    pub(super) fn at(addresses: impl IntoIterator<Item = SocketAddr>) -> Attempts {
        Attempts { left: addresses.into_iter().collect(), failure: None }
    }

    /// Returns the next address.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        self.left.pop_front()
    }

    /// Tells whether there is no further address.
    pub(super) fn is_last(&self) -> bool {
        self.left.is_empty()
    }

    /// Takes note of a failure. Whoever answered says more than an address where nobody does: a name may lead to both
    /// families, and a server listen on one.
    pub(super) fn failed(&mut self, failure: WebSocketError) {
        if self.failure.as_ref().is_none_or(is_silence) || !is_silence(&failure) {
            self.failure = Some(failure);
        }
    }

    /// Returns what is said once no address is left.
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
}
