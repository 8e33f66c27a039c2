//! Why a command line does not run.

use thiserror::Error;

use super::command::Output;
use super::parse::ArgumentError;
use super::question::NoAnswer;
use crate::forward::proxy::CredentialsError;
use crate::net::proxy::ProxyError;
use crate::signaling::url::UrlError;

/// Why a command line does not lead to a [`Command`](super::Command).
#[derive(Debug, Error)]
pub enum Failure {
    /// clap's own answers: help and version (exit code 0), and unknown or missing arguments (2).
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// `pinhole` alone, and nobody to ask.
    #[error("no command is given, and there is no terminal to ask at; give one, for example pinhole host 25565")]
    NoCommand,
    /// An argument that does not work; exit code 2.
    #[error("{usage}")]
    Usage {
        /// What is wrong.
        usage: UsageError,
        /// Where to say it.
        output: Output,
    },
    /// The questions came to no end; exit code 1.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// What is wrong with arguments that clap understood.
#[derive(Debug, Error)]
pub enum UsageError {
    /// One argument is wrong by itself.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The URL is wrong.
    #[error("URL: {0}")]
    Url(#[from] UrlError),
    /// No pin, and nobody to ask.
    #[error(
        "the URL has no pin, and there is no terminal to ask at; add ?pin=123456 to the URL, or give --pin 123456 or PINHOLE_PIN"
    )]
    NoPin,
    /// `--pin` says something else than the URL.
    #[error("--pin is not the pin in the URL; leave one of them out, the host prints the right one")]
    TwoPins,
    /// `PINHOLE_PIN` is not text.
    #[error("PINHOLE_PIN is not UTF-8; set it to the pin that the host printed, for example 123456")]
    PinEncoding,
    /// The proxy that the environment names cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// `--ca` with a URL that has no TLS.
    #[error("--ca is for wss:// URLs, and a ws:// URL has no TLS to check; use wss:// or leave --ca out")]
    CaWithoutTls,
    /// A host without anything to share.
    #[error("nothing is shared; give a TARGET such as 8080, or --allow what clients may have dialled")]
    NothingShared,
    /// `--proxy-auth` is none.
    #[error("--proxy-auth: {0}")]
    Credentials(#[from] CredentialsError),
    /// `--ask` without a terminal.
    #[error("--ask asks at the terminal, and stdin or stderr is none; run it in a terminal or leave --ask out")]
    NobodyToAsk,
}
