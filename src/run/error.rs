//! Why a run fails, for people and for programs.

use std::io;

use crate::config::ConfigError;
#[cfg(feature = "server")]
use crate::config::{cluster::SecretsFileError, directory::DirectoryFileError, tokens::TokensFileError};
use crate::net::listen::ListenError;
use crate::net::tls::TlsConfigError;
use crate::net::websocket::{Dialled, WebSocketError};
use crate::session::End;
use crate::signaling::error::{SignalingError, Violation};
use crate::signaling::exposure::MAX_UNPROVEN;
use crate::signaling::invitation::Lapse;
use crate::signaling::message::{ErrorCode, ErrorMessage};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A local address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The host does not have what should be forwarded; the text says what it has.
    #[error("{0}")]
    NoService(String),
    /// Certificates cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// The tokens of a server cannot be read.
    #[cfg(feature = "server")]
    #[error(transparent)]
    Tokens(#[from] TokensFileError),
    /// The secrets of a cluster cannot be read.
    #[cfg(feature = "server")]
    #[error(transparent)]
    ClusterSecrets(#[from] SecretsFileError),
    /// The address of the directory of a cluster cannot be read.
    #[cfg(feature = "server")]
    #[error(transparent)]
    Directory(#[from] DirectoryFileError),
    /// The host's signaling WebSocket cannot be reached, or ended too early.
    #[error("cannot reach the host: {0}")]
    WebSocket(#[from] WebSocketError),
    /// The server that should register the host cannot be reached.
    #[error("cannot reach the server: {}", .0.sentence(Dialled::Server))]
    Server(WebSocketError),
    /// The host or server is not there at the start, and the user did not say to wait.
    #[error("{0} (--retry waits for it)")]
    NotYet(Box<RunError>),
    /// The server does not register this host.
    #[error("{}", refusal_sentence(id, error))]
    Refused {
        /// The requested id.
        id: String,
        /// The server's error.
        error: ErrorMessage,
    },
    /// The host refused us, or the exchange went wrong.
    #[error("{}", signaling_sentence(.0))]
    Signaling(#[from] SignalingError),
    /// The host had no room during the whole time it was asked.
    #[error(
        "the host is busy: too many others are trying to join, and no place was free for {seconds} s; try again later, or ask \
         whoever started it"
    )]
    Busy {
        /// How long it was asked, in seconds.
        seconds: u64,
    },
    /// Too many exchanges ended after our proof of the pin and before the host's.
    #[error(
        "the pin is not used any more: {MAX_UNPROVEN} times somebody asked for proof of it and gave none. Whoever forwards the \
         connection may be guessing it, one guess each time. Check who that is, have the host started with a new pin (a longer \
         one of its own: --pin), and start again"
    )]
    PinExposed,
    /// The session with the host ended.
    #[error("{}", end_sentence(.0))]
    Session(End),
    /// A session could not be started.
    #[error("cannot start a session: {0}")]
    Start(String),
    /// The operating system refused something essential.
    #[error("the system refused what pinhole needs: {0}")]
    System(#[from] io::Error),
}

impl RunError {
    /// Returns a stable word for programs (`docs/events.md`).
    pub fn code(&self) -> &str {
        match self {
            RunError::Listen(ListenError::InUse { .. }) => "address-in-use",
            RunError::Config(_) => "usage",
            RunError::NoService(_) => "no-service",
            RunError::Listen(_) => "listen",
            RunError::Tls(_) => "certificates",
            #[cfg(feature = "server")]
            RunError::Tokens(_) => "tokens",
            #[cfg(feature = "server")]
            RunError::ClusterSecrets(_) => "cluster-secret",
            #[cfg(feature = "server")]
            RunError::Directory(_) => "directory",
            RunError::WebSocket(WebSocketError::Certificate { .. })
            | RunError::Server(WebSocketError::Certificate { .. }) => "certificate",
            RunError::WebSocket(WebSocketError::Busy { .. }) => "busy",
            RunError::NotYet(error) => error.code(),
            RunError::WebSocket(_) | RunError::Server(_) => "unreachable",
            RunError::Refused { error, .. } => error.code.as_str(),
            RunError::Signaling(error) => error.code().as_str(),
            RunError::Busy { .. } => "busy",
            RunError::PinExposed => "pin-exposed",
            RunError::Session(End::NoPath) => "no-path",
            RunError::Session(End::PathLost) => "path-lost",
            RunError::Session(End::Peer) => "host-ended",
            RunError::Session(End::Lapsed(Lapse::Expired)) => "invitation-expired",
            RunError::Session(End::Lapsed(Lapse::Revoked)) => "invitation-revoked",
            RunError::Session(End::Lapsed(Lapse::Used)) => "invitation-used",
            RunError::Session(End::Replaced | End::Restart) => "host-restarted",
            RunError::Session(End::Local | End::Visit | End::SignalingLost | End::Failed(_) | End::Fault(_)) => {
                "session"
            }
            RunError::Start(_) => "start",
            RunError::System(_) => "system",
        }
    }

    /// Tells whether the other side may be reachable later, without any change here.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            RunError::WebSocket(error) | RunError::Server(error) => error.is_transient(),
            RunError::NotYet(error) => error.may_pass(),
            RunError::Session(End::SignalingLost) => true,
            RunError::Signaling(SignalingError::Refused { code, .. }) => {
                matches!(code, ErrorCode::UnknownHost | ErrorCode::Busy | ErrorCode::Full | ErrorCode::Restart)
            }
            _ => false,
        }
    }
}

fn signaling_sentence(error: &SignalingError) -> String {
    match (error.code(), error) {
        (ErrorCode::BadPin, _) => {
            "the pin does not match: check it with whoever started the host; it changes with every start".to_owned()
        }
        (_, SignalingError::NoInvitations) => error.to_string(),
        (ErrorCode::Version, _) | (_, SignalingError::Protocol(Violation::VersionNotOffered(_))) => {
            SignalingError::Version.to_string()
        }
        _ => error.to_string(),
    }
}

fn refusal_sentence(id: &str, error: &ErrorMessage) -> String {
    match error.code {
        ErrorCode::BadToken => {
            "the server does not know the token, or there was none: set PINHOLE_TOKEN or --token to what whoever runs the \
             server gave you"
                .to_owned()
        }
        ErrorCode::Denied => {
            let reason = &error.message;
            format!("the server refuses the id {id}: {reason}; choose another --id, or ask whoever runs the server")
        }
        ErrorCode::IdTaken => format!("another host has the id {id} on the server: choose another --id"),
        ErrorCode::Replaced => {
            format!("another process registered the id {id} with the same token, and has taken over")
        }
        ErrorCode::Version => SignalingError::Version.to_string(),
        code => format!("the server refused ({code}): {}", error.message),
    }
}

fn end_sentence(end: &End) -> String {
    match end {
        End::Peer => "the host ended the session".to_owned(),
        End::Lapsed(Lapse::Expired) => {
            "the invitation has expired: ask whoever started the host for another".to_owned()
        }
        End::Lapsed(Lapse::Revoked) => {
            "the invitation was revoked: ask whoever started the host for another".to_owned()
        }
        End::Lapsed(Lapse::Used) => {
            "the invitation was for one client, which has come already: ask whoever started the host for another"
                .to_owned()
        }
        other => other.to_string(),
    }
}
