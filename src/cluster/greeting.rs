//! The handshake of a link: both servers prove that they know a secret of the cluster, and neither sends it.
//!
//! ```text
//! dialler                                     listener
//!   │ hello {versions, server, nonce} ───────────▶│
//!   │◀──── welcome {version, server, nonce, proof} │
//!   │ proof {proof} ─────────────────────────────▶│
//! ```
//!
//! The listener proves itself with its first secret, and the dialler with the same one if it knows it. Proofs are over
//! the version, both ids and both nonces, so none serves twice or for the other side. What follows is sealed.

use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::message::Sealing;
use super::secrets::{Secret, Secrets, Tag};
use super::{ServerId, VERSIONS};
use crate::signaling::binary::{Binary, NONCE_LEN};
use crate::signaling::rendezvous::FromServer;
use crate::signaling::sealing_between_servers;

/// First bytes of the proofs of each side.
const DIALLER: &[u8] = b"dialler";
const LISTENER: &[u8] = b"listener";

/// Longest text of a handshake, in bytes.
const MAX_GREETING: usize = 4 * 1024;

/// A message of the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Greeting {
    /// The dialler's first message.
    Hello { versions: Vec<u32>, server: ServerId, nonce: Binary<NONCE_LEN> },
    /// The listener's answer.
    Welcome { version: u32, server: ServerId, nonce: Binary<NONCE_LEN>, proof: Tag },
    /// The dialler's last message in clear.
    Proof { proof: Tag },
}

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GreetingError {
    /// The other side is not of this cluster.
    #[error("the other server has another cluster secret; write the same into both --cluster-secret-file")]
    Secret,
    /// No version in common.
    #[error("the other server speaks another version of links between servers; update the older of the two")]
    Version,
    /// The link leads to this server.
    #[error("the URL leads to this server itself")]
    Itself,
    /// The other side refused, in its words.
    #[error("the other server refused: {0}")]
    Refused(String),
    /// A message that nobody sends here.
    #[error("the other side does not speak as a server of a cluster does")]
    Protocol,
}

/// A link that was proven.
#[derive(Debug)]
pub struct Proven {
    /// The other server.
    pub server: ServerId,
    /// The keys for what follows.
    pub sealing: Sealing,
}

/// The side that dialled; waits for the other's welcome.
#[derive(Debug)]
pub struct Dialler {
    own: ServerId,
    nonce: Binary<NONCE_LEN>,
}

/// The side that was dialled.
#[derive(Debug)]
pub enum Listener {
    /// Waits for a hello.
    New(ServerId),
    /// Waits for the proof.
    Welcomed(Exchange),
}

/// What both sides said.
#[derive(Clone, Copy)]
pub struct Exchange {
    version: u32,
    /// The dialler and the listener.
    servers: [ServerId; 2],
    nonces: [Binary<NONCE_LEN>; 2],
}

impl Dialler {
    /// Begins. Returns the text to send with it.
    pub fn start(own: ServerId) -> (Dialler, String) {
        let nonce = Binary(rand::random());
        let hello = Greeting::Hello { versions: VERSIONS.to_vec(), server: own, nonce };
        (Dialler { own, nonce }, hello.to_text())
    }

    /// Handles the answer. Returns the text to send last in clear, and the link.
    ///
    /// # Errors
    /// [`GreetingError`]; all are final.
    pub fn handle(self, secrets: &Secrets, text: &str) -> Result<(String, Proven), GreetingError> {
        let Greeting::Welcome { version, server, nonce, proof } = Greeting::parse(text)? else {
            return Err(GreetingError::Protocol);
        };
        if !VERSIONS.contains(&version) {
            return Err(GreetingError::Version);
        }
        let exchange = Exchange { version, servers: [self.own, server], nonces: [self.nonce, nonce] };
        let mut known = secrets.all();
        let secret = known.find(|secret| exchange.verifies(secret, LISTENER, &proof)).ok_or(GreetingError::Secret)?;
        if server == self.own {
            return Err(GreetingError::Itself);
        }
        let answer = Greeting::Proof { proof: exchange.proof(secret, DIALLER) }.to_text();
        Ok((answer, Proven { server, sealing: exchange.sealing(secret, true) }))
    }
}

/// Returns why a listener refused a proof, from the text that came in place of its first message.
pub fn refused(text: &str) -> GreetingError {
    Greeting::parse(text).err().unwrap_or(GreetingError::Protocol)
}

/// What the listener does next.
#[derive(Debug)]
pub enum Step {
    /// It sends this and waits.
    Welcome(Listener, String),
    /// There is a link.
    Proven(Proven),
}

impl Listener {
    /// Handles a message of the dialler.
    ///
    /// # Errors
    /// [`GreetingError`]; all are final.
    pub fn handle(self, secrets: &Secrets, text: &str) -> Result<Step, GreetingError> {
        match (self, Greeting::parse(text)?) {
            (Listener::New(own), Greeting::Hello { versions, server, nonce }) => {
                let common = versions.into_iter().filter(|version| VERSIONS.contains(version)).max();
                let version = common.ok_or(GreetingError::Version)?;
                let nonces = [nonce, Binary(rand::random())];
                let exchange = Exchange { version, servers: [server, own], nonces };
                let proof = exchange.proof(secrets.first(), LISTENER);
                let welcome = Greeting::Welcome { version, server: own, nonce: nonces[1], proof };
                Ok(Step::Welcome(Listener::Welcomed(exchange), welcome.to_text()))
            }
            (Listener::Welcomed(exchange), Greeting::Proof { proof }) => {
                let secret = secrets.first();
                if !exchange.verifies(secret, DIALLER, &proof) {
                    return Err(GreetingError::Secret);
                }
                let [server, own] = exchange.servers;
                if server == own {
                    return Err(GreetingError::Itself);
                }
                Ok(Step::Proven(Proven { server, sealing: exchange.sealing(secret, false) }))
            }
            _ => Err(GreetingError::Protocol),
        }
    }
}

impl Exchange {
    fn proof(&self, secret: &Secret, side: &[u8]) -> Tag {
        let tag = hmac::sign(&key(secret), &self.proven(side));
        Binary(tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
    }

    /// Tells whether it is that side's proof, in constant time.
    fn verifies(&self, secret: &Secret, side: &[u8], proof: &Tag) -> bool {
        hmac::verify(&key(secret), &self.proven(side), &proof.0).is_ok()
    }

    fn sealing(&self, secret: &Secret, is_dialler: bool) -> Sealing {
        let (sealer, opener) = sealing_between_servers(secret.link(), &self.proven(b""), is_dialler);
        Sealing::new(sealer, opener)
    }

    fn proven(&self, side: &[u8]) -> Vec<u8> {
        let [dialler, listener] = &self.servers;
        let [theirs, ours] = &self.nonces;
        [side, &self.version.to_be_bytes(), &dialler.0.0, &listener.0.0, &theirs.0, &ours.0].concat()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({:?})", self.servers)
    }
}

impl Greeting {
    fn parse(text: &str) -> Result<Greeting, GreetingError> {
        if text.len() > MAX_GREETING {
            return Err(GreetingError::Protocol);
        }
        match (serde_json::from_str(text), FromServer::parse(text)) {
            (Ok(greeting), _) => Ok(greeting),
            (Err(_), Ok(FromServer::Error(error))) => Err(GreetingError::Refused(error.message)),
            (Err(_), _) => Err(GreetingError::Protocol),
        }
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts always serialize")
    }
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.link())
}

#[cfg(test)]
#[path = "greeting_tests.rs"]
mod tests;
