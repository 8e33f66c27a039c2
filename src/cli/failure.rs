//! Why a command line does not run.

use std::net::SocketAddr;

use thiserror::Error;

use super::output::Output;
use super::parse::ArgumentError;
use super::question::NoAnswer;
use super::secret_file::SecretFileError;
use crate::http::proxy::ProxyError;
use crate::signaling::rendezvous::TokenError;
use crate::signaling::url::UrlError;
use crate::socks::CredentialsError;

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
    /// All `--header` together.
    #[error("the --header fields are together longer than 8 KiB, which servers refuse; leave some of them out")]
    LongHeaders,
    /// A host without anything to share.
    #[error("nothing is shared; give a TARGET such as 8080, or --allow what clients may have dialled")]
    NothingShared,
    /// What programs or visitors are to log in with is none.
    #[error("{origin}: {error}; give USER:PASSWORD")]
    Login {
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        error: CredentialsError,
    },
    /// Such a login, as a flag and in a file.
    #[error("{0} and {1} both say what the login is; leave one of them out")]
    LoginAndFile(&'static str, &'static str),
    /// A variable with such a login is not text.
    #[error("{0} is not UTF-8; set it to USER:PASSWORD")]
    LoginEncoding(&'static str),
    /// A file gives no secret.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// Both `--pin` and `--pin-file`.
    #[error("--pin and --pin-file both say what the pin is; leave one of them out")]
    PinAndFile,
    /// `--server` is no URL of a server.
    #[error("--server: {}; a right one looks like wss://p.example.org", .0.problem())]
    Server(UrlError),
    /// A flag that is about a server, and none is named.
    #[error("{0} is for a host on a server; add --server URL, for example wss://p.example.org, or leave {0} out")]
    WithoutServer(&'static str),
    /// A server, but no name to have there.
    #[error("--server needs a name for this host; add --id, for example --id my-host")]
    ServerWithoutId,
    /// A token that can be none.
    #[error("{origin}: {error}; give one that the server's file of tokens has the hash of")]
    Token {
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        error: TokenError,
    },
    /// `PINHOLE_TOKEN` is not text.
    #[error("PINHOLE_TOKEN is not UTF-8; set it to a token that the server knows")]
    TokenEncoding,
    /// A login for visitors, and nothing to visit.
    #[error("--public-auth is for a published service; add --public NAME, or leave --public-auth out")]
    AuthWithoutPublic,
    /// The server may have nothing dialled.
    #[error("--server-dial is about what --allow has, and that is nothing; add --allow, or leave --server-dial out")]
    DialWithoutAllow,
    /// Nobody may register on a server.
    #[error("nobody may register; give --tokens FILE with who may, or --open to let anybody in")]
    NoAccess,
    /// Both `--tokens` and `--open`.
    #[error("--open lets anybody in, whatever --tokens says; leave one of them out")]
    TwoAccesses,
    /// A certificate without its key, or the other way round.
    #[error("{0} is one half of TLS; add {1}, or leave both out to serve without TLS")]
    HalfOfTls(&'static str, &'static str),
    /// `--gateway-listen` without a gateway.
    #[error("--gateway-listen is for published services; add --gateway-domain, for example p.example.org")]
    ListenWithoutDomain,
    /// Two flags with one address.
    #[error("{0} is to be listened on for two things; give each flag an address of its own")]
    SameListen(SocketAddr),
    /// `--ask` without a terminal.
    #[error("--ask asks at the terminal, and stdin or stderr is none; run it in a terminal or leave --ask out")]
    NobodyToAsk,
}
