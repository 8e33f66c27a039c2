//! Why a command line does not run.

use std::borrow::Cow;
use std::error::Error as _;
use std::net::SocketAddr;

use clap::error::{ContextKind, ErrorKind};
use thiserror::Error;

use super::output::Output;
use super::problem::WrongValue;
use super::question::NoAnswer;
use super::secret_file::SecretFileError;
use crate::http::proxy::ProxyError;

/// Why a command line does not lead to a [`Command`](super::Command).
#[derive(Debug, Error)]
pub enum Failure {
    /// Help or the version was asked for; exit code 0.
    #[error(transparent)]
    Help(clap::Error),
    /// The arguments make no sense; exit code 2.
    #[error("{usage}")]
    Usage {
        /// What is wrong.
        usage: UsageError,
        /// How to say it.
        output: Output,
    },
    /// The questions came to no end; exit code 1.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// What is wrong with the arguments, in one line.
#[derive(Debug, Error)]
pub enum UsageError {
    /// clap does not know an argument, or misses one, or has two that exclude each other.
    #[error("{}", sentence(.0))]
    Refused(clap::Error),
    /// `pinhole` alone, and nobody to ask.
    #[error("no command is given, and there is no terminal to ask at; give one, for example pinhole host 25565")]
    NoCommand,
    /// One value is wrong by itself.
    #[error("{argument}{}: {wrong}", .wrong.quoted())]
    Value {
        /// Whose value it is: `--listen`, `TARGET`, `PINHOLE_TOKEN`.
        argument: Cow<'static, str>,
        /// What is wrong with it.
        wrong: WrongValue,
    },
    /// A variable of the environment is not text.
    #[error("{variable} is not UTF-8; set it to {wanted}")]
    Encoding {
        /// Which.
        variable: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A file gives no secret.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// A file of certificates or of tokens is of no use, as its reader says.
    #[error("{0}: {1}")]
    Unusable(&'static str, String),
    /// No pin, and nobody to ask.
    #[error(
        "the URL has no pin, and there is no terminal to ask at; add ?pin=123456 to the URL, or give --pin, --pin-file or PINHOLE_PIN"
    )]
    NoPin,
    /// `--pin` says something else than the URL.
    #[error("--pin is not the pin in the URL; leave one of them out, the host prints the right one")]
    TwoPins,
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
    #[error(
        "nothing is shared; give a TARGET such as 8080, or --allow what clients may have dialled; pinhole alone asks for all that"
    )]
    NothingShared,
    /// `--public-url` for a port that is not there.
    #[error(
        "--public-url is where a port of this host is forwarded, and with --server there is none; add --listen, or leave --public-url out"
    )]
    PublicWithoutListen,
    /// A flag and a file give the same.
    #[error("{0} and {1} both say what {2} is; leave one of them out")]
    FlagAndFile(&'static str, &'static str, &'static str),
    /// A flag that is about a server, and none is named.
    #[error("{0} is for a host on a server; add --server URL, for example wss://p.example.org, or leave {0} out")]
    WithoutServer(&'static str),
    /// A server, but no name to have there.
    #[error("--server needs a name for this host; add --id, for example my-host")]
    ServerWithoutId,
    /// Further servers for a URL that is not of a host at a server.
    #[error(
        "--server is for a host at a server, whose URL ends with /ws/ID; leave it out, or give the URL that such a host printed"
    )]
    OthersWithoutId,
    /// A login for visitors, and nothing to visit.
    #[error("--public-auth is for a published service; add --public NAME, or leave --public-auth out")]
    AuthWithoutPublic,
    /// A login for the programs of `-D`, and no `-D`.
    #[error("--proxy-auth is for -D; add -D PORT, or leave --proxy-auth out")]
    AuthWithoutProxy,
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
    /// `--cluster-secret-file` alone.
    #[error("--cluster-secret-file is for links between servers; add --peer with another's URL, or --peer-listen")]
    ClusterWithoutPeers,
    /// `--peer` or `--peer-listen` without a secret.
    #[error("servers prove to each other that they belong together; add --cluster-secret-file")]
    ClusterWithoutSecret,
    /// A directory, and nowhere to come to.
    #[error(
        "other servers find this one in the directory; add --advertise with the URL of --peer-listen, as they see it"
    )]
    DirectoryWithoutAdvertise,
    /// A directory, and nothing that listens.
    #[error("the directory sends other servers to --advertise; add --peer-listen, where this one listens for them")]
    DirectoryWithoutListen,
    /// `--advertise`, and nobody who is told.
    #[error(
        "--advertise is what the directory tells other servers; add --directory or --directory-file, or leave it out"
    )]
    AdvertiseWithoutDirectory,
    /// `--admin-token-file` without an address.
    #[error("--admin-token-file is for --admin-listen; add --admin-listen PORT, or leave --admin-token-file out")]
    AdminTokenWithoutListen,
    /// Two flags with one address.
    #[error("{0} is to be listened on for two things; give each an address of its own")]
    SameListen(SocketAddr),
    /// A file of settings makes no sense; the sentence begins with the file and the place in it.
    #[error("{0}")]
    File(String),
    /// A word is neither a URL nor the name of a saved host.
    #[error("{0}")]
    Unsaved(String),
    /// A unit cannot do what the arguments say.
    #[cfg(unix)]
    #[error("{0}")]
    Install(String),
    /// `--ask` without a terminal.
    #[error("--ask asks at the terminal, and stdin or stderr is none; run it in a terminal or leave --ask out")]
    NobodyToAsk,
}

impl WrongValue {
    /// Names the argument, or whatever else had the value.
    pub fn of(self, argument: impl Into<Cow<'static, str>>) -> UsageError {
        UsageError::Value { argument: argument.into(), wrong: self }
    }
}

impl UsageError {
    /// Takes what is wrong with a value out of clap's error about it, and leaves clap's own errors as they are.
    pub(super) fn of(error: clap::Error) -> UsageError {
        let wrong = error.source().and_then(|source| source.downcast_ref::<WrongValue>());
        match (wrong, error.get(ContextKind::InvalidArg)) {
            (Some(wrong), Some(argument)) => wrong.clone().of(name(&argument.to_string()).to_owned()),
            _ => UsageError::Refused(error),
        }
    }
}

/// Returns the name of an argument that clap shows as `--listen <ADDR>` or `[[NAME=]TARGET]...`.
fn name(shown: &str) -> &str {
    let name = shown.split(' ').next().unwrap_or(shown).trim_end_matches(['.', ']', '>']);
    name.rsplit(['[', ']', '<']).next().unwrap_or(name)
}

/// Joins what clap writes in paragraphs into one line, without the usage at the end.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    // Only a client misses something that the questions would ask for.
    let is_asked = error.kind() == ErrorKind::MissingRequiredArgument && text.contains("Usage: pinhole client");
    let text = text.split("\n\nUsage:").next().unwrap_or(&text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    let paragraphs = text.trim_start_matches("error: ").split("\n\n");
    let lines = paragraphs.map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    let sentence = lines.collect::<Vec<_>>().join("; ");
    if is_asked { format!("{sentence}; pinhole alone asks for all that") } else { sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_names_that_people_type() {
        for (shown, expected) in [
            ("--listen <ADDR>", "--listen"),
            ("--header <NAME: VALUE>", "--header"),
            ("-L <FORWARD>", "-L"),
            ("[[NAME=]TARGET]...", "TARGET"),
            ("<URL>", "URL"),
            ("[URL]", "URL"),
        ] {
            assert_eq!(name(shown), expected);
        }
    }
}
