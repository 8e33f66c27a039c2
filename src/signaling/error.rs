//! Why a signaling exchange failed, and how that is written on the wire.

use std::time::Duration;

use thiserror::Error;

use super::message::{ClientMessage, ErrorCode, ErrorMessage, MAX_RETRY_AFTER, MessageError, Outer};

/// Why a signaling exchange failed; every variant is final for its WebSocket.
#[derive(Debug, Error)]
pub enum SignalingError {
    /// The client's confirm does not match the pin. This is the only error that counts as a guess.
    #[error("the pin is wrong; check the pin that the host shows and try again")]
    BadPin,
    /// Too many confirms wait for their verification.
    #[error("too many clients are trying to join; try again in {} s", .retry_after.as_secs())]
    Busy {
        /// How long the client should wait.
        retry_after: Duration,
    },
    /// The host has as many sessions as it may.
    #[error("the host has all the clients it may have; try again once one has left")]
    Full,
    /// The client offered no version that the host speaks.
    #[error("the two pinholes share no protocol version; install the same release on both sides")]
    Version,
    /// The client has an invitation, and the host's hello does not say that it knows invitations. Nothing was proved to
    /// the host.
    #[error(
        "the host is too old for the invitation in the URL, so nothing was proved to it: have pinhole updated there, or ask \
         for the host's own pin"
    )]
    NoInvitations,
    /// The client left the invitation in its request, so it does not know invitations.
    #[error("this pinhole is too old for the invitation in the URL; update it, or ask for the host's own pin")]
    InvitationUnread,
    /// The host does not have the session to rejoin: its process was replaced, or it gave the session up.
    #[error("the host does not know this session any more")]
    UnknownSession,
    /// The person at the host did not let the client in.
    #[error("the host did not let this client in")]
    Denied,
    /// The peer, or whoever forwards the connection, broke the protocol.
    #[error("the signaling protocol was broken: {0}")]
    Protocol(#[from] Violation),
    /// The peer sent an `error` message. A forwarder can write one, too, so treat it only as a hint for a person.
    #[error("the other side refused ({code}): {message}")]
    Refused {
        /// What went wrong, as the peer says.
        code: ErrorCode,
        /// The peer's own words, safe to print.
        message: String,
        /// How long the peer asks to wait, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
}

impl SignalingError {
    /// Returns the wire code that tells the peer what happened.
    pub fn code(&self) -> ErrorCode {
        match self {
            SignalingError::BadPin => ErrorCode::BadPin,
            SignalingError::Busy { .. } => ErrorCode::Busy,
            SignalingError::Full => ErrorCode::Full,
            SignalingError::Version | SignalingError::NoInvitations | SignalingError::InvitationUnread => {
                ErrorCode::Version
            }
            SignalingError::UnknownSession => ErrorCode::UnknownSession,
            SignalingError::Denied => ErrorCode::Denied,
            SignalingError::Protocol(_) => ErrorCode::Protocol,
            SignalingError::Refused { code, .. } => *code,
        }
    }

    /// Returns the `error` message to send before the WebSocket is closed.
    ///
    /// It travels in clear, so it contains nothing that a peer sealed. A [`SignalingError::Refused`] came from the peer
    /// and needs no answer.
    pub fn to_text(&self) -> String {
        let retry_after = match self {
            SignalingError::Busy { retry_after } => Some(whole_seconds(*retry_after)),
            _ => None,
        };
        let error = ErrorMessage { code: self.code(), message: self.to_string(), retry_after };
        ClientMessage::Error(error).to_text()
    }

    /// Turns the peer's `error` message into the error that ends this side.
    pub(super) fn refused(error: ErrorMessage) -> SignalingError {
        let retry_after = error.retry_after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        SignalingError::Refused { code: error.code, message: error.message, retry_after }
    }

    /// Turns a message that came out of turn into the error that ends this side.
    pub(super) fn out_of_turn<H>(message: Outer<H>) -> SignalingError {
        match message {
            Outer::Error(error) => SignalingError::refused(error),
            other => Violation::OutOfTurn(other.kind()).into(),
        }
    }
}

impl From<MessageError> for SignalingError {
    fn from(error: MessageError) -> SignalingError {
        SignalingError::Protocol(Violation::Message(error))
    }
}

/// Which rule of the signaling protocol was broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// The text is not a message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A well-formed message came out of turn, or a second time.
    #[error("a `{0}` message came out of turn")]
    OutOfTurn(&'static str),
    /// The PAKE message is no point of the curve, or comes from the wrong role.
    #[error("the key exchange message is not valid")]
    Pake,
    /// The host chose a version the client had not offered.
    #[error("the host chose version {0}, which was not offered")]
    VersionNotOffered(u32),
    /// The host's confirm does not verify, although the host accepted ours.
    #[error("the host could not prove that it knows the pin; whoever forwards the connection may be tampering")]
    HostUnproven,
    /// The proof of a resumption does not verify.
    #[error("the other side could not prove that it belongs to the session")]
    ResumeUnproven,
    /// A sealed message is not the next one.
    #[error("sealed message {got} came where {expected} belongs")]
    Sequence {
        /// The counter of the next message.
        expected: u64,
        /// The counter that came.
        got: u64,
    },
    /// A sealed message does not open: altered, or sealed for another session or direction.
    #[error("a sealed message does not open")]
    Seal,
    /// The exchange failed before; nothing more is accepted.
    #[error("the exchange has already ended")]
    Ended,
}

/// Rounds up, so that a client that waits this long does not come too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::message::HostMessage;

    fn all() -> Vec<SignalingError> {
        vec![
            SignalingError::BadPin,
            SignalingError::Busy { retry_after: Duration::from_millis(1500) },
            SignalingError::Full,
            SignalingError::Version,
            SignalingError::NoInvitations,
            SignalingError::InvitationUnread,
            SignalingError::UnknownSession,
            SignalingError::Denied,
            SignalingError::Protocol(Violation::Ended),
        ]
    }

    #[test]
    fn every_error_survives_the_wire_with_its_code() {
        for error in all() {
            let text = error.to_text();
            let Ok(HostMessage::Error(message)) = HostMessage::parse(&text) else { panic!("{text}") };
            assert_eq!(message.code, error.code());
            assert_eq!(message.message, error.to_string());
            let SignalingError::Refused { code, .. } = SignalingError::refused(message) else { panic!("{text}") };
            assert_eq!(code, error.code());
        }
    }

    #[test]
    fn waiting_times_are_rounded_up_and_bounded() {
        let text = SignalingError::Busy { retry_after: Duration::from_millis(1500) }.to_text();
        let Ok(HostMessage::Error(mut message)) = HostMessage::parse(&text) else { panic!("{text}") };
        assert_eq!(message.retry_after, Some(2));
        message.retry_after = Some(u64::MAX);
        let SignalingError::Refused { retry_after, .. } = SignalingError::refused(message) else { panic!("{text}") };
        assert_eq!(retry_after, Some(MAX_RETRY_AFTER));
    }
}
