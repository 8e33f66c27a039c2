//! The PAKE, and the keys derived from it.

use std::fmt;

use aws_lc_rs::{aead, digest, hkdf, hmac};
use spake2::{Ed25519Group, Identity, Password, Spake2};

use super::binary::{Binary, MAC_LEN, NONCE_LEN, PAKE_LEN};
use super::error::Violation;
use super::pin::Pin;
use super::sealing::{Opener, Sealer};
use super::session_id::SessionId;

/// PAKE identities. They are fixed, because peers have no names, and keep the roles apart.
const CLIENT_IDENTITY: &[u8] = b"pinhole client";
const HOST_IDENTITY: &[u8] = b"pinhole host";

/// One HKDF label for each role and direction, so no key ever serves two purposes.
const CLIENT_CONFIRM: &[u8] = b"client confirm";
const HOST_CONFIRM: &[u8] = b"host confirm";
const CLIENT_TO_HOST: &[u8] = b"client to host";
const HOST_TO_CLIENT: &[u8] = b"host to client";
const SESSION: &[u8] = b"session";
const RESUME: &[u8] = b"resume";
const RETURN: &[u8] = b"return";
const RETURN_ID: &[u8] = b"return id";

/// First bytes of the proofs of a resumption, one for each role.
const CLIENT_RESUME: &[u8] = b"client resume";
const HOST_RESUME: &[u8] = b"host resume";

/// The secret for rejoining a session. Never shown by `Debug`.
#[derive(Clone)]
pub struct ResumeKey([u8; 32]);

impl ResumeKey {
    /// Returns the key in clear, as input of HMAC and HKDF.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the proof that `role` belongs to the session.
    pub(super) fn proof(&self, role: Role, exchange: &Exchange) -> Binary<MAC_LEN> {
        let tag = hmac::sign(&self.proof_key(), &exchange.proven(role));
        Binary(tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
    }

    /// Tells whether `proof` is the proof of `role`, in constant time.
    #[must_use]
    pub(super) fn verifies(&self, role: Role, exchange: &Exchange, proof: &Binary<MAC_LEN>) -> bool {
        hmac::verify(&self.proof_key(), &exchange.proven(role), &proof.0).is_ok()
    }

    /// Returns both halves of the sealed exchange, for `role`. The nonces make the keys new.
    pub(super) fn sealing(&self, role: Role, exchange: &Exchange) -> (Sealer, Opener) {
        sealing(&self.secret(exchange), role)
    }

    /// Returns the id of the session that begins with the exchange, and the key for rejoining it.
    pub(super) fn session(&self, exchange: &Exchange) -> (SessionId, ResumeKey) {
        let secret = self.secret(exchange);
        (SessionId(derived(&secret, SESSION)), ResumeKey(derived(&secret, RESUME)))
    }

    fn secret(&self, exchange: &Exchange) -> hkdf::Prk {
        let nonces = [exchange.client_nonce.0, exchange.host_nonce.0].concat();
        hkdf::Salt::new(hkdf::HKDF_SHA256, &nonces).extract(&self.0)
    }

    fn proof_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// With a ticket, a client that proved the pin can begin another session without it, as long as the host's process
/// lives. `Debug` shows no key.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Names the key; it is not the id of a session.
    pub id: SessionId,
    /// The key that both sides prove they hold.
    pub key: ResumeKey,
}

/// What both sides sent in a resumption.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) session: SessionId,
    pub(super) client_nonce: Binary<NONCE_LEN>,
    pub(super) host_nonce: Binary<NONCE_LEN>,
}

impl Exchange {
    fn proven(&self, role: Role) -> Vec<u8> {
        let label = match role {
            Role::Client => CLIENT_RESUME,
            Role::Host => HOST_RESUME,
        };
        [label, &self.session.0, &self.client_nonce.0, &self.host_nonce.0].concat()
    }
}

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeKey(…)")
    }
}

/// Which side of the session we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Host,
}

/// A started PAKE: holds the pin and a secret scalar until the peer's element comes.
pub(super) struct Pake(Spake2<Ed25519Group>);

impl Pake {
    /// Starts the PAKE. Returns the element for the hello with it.
    pub(super) fn start(role: Role, pin: &Pin) -> (Pake, Binary<PAKE_LEN>) {
        let password = Password::new(pin.reveal().as_bytes());
        let client = Identity::new(CLIENT_IDENTITY);
        let host = Identity::new(HOST_IDENTITY);
        let (pake, element) = match role {
            Role::Client => Spake2::start_a(&password, &client, &host),
            Role::Host => Spake2::start_b(&password, &client, &host),
        };
        let element = element.try_into().expect("SPAKE2 on Ed25519 sends a role byte and 32 bytes");
        (Pake(pake), Binary(element))
    }

    /// Handles the peer's element, and derives every key of the session.
    pub(super) fn finish(self, element: &Binary<PAKE_LEN>, transcript: Transcript) -> Result<Keys, Violation> {
        let secret = self.0.finish(&element.0).map_err(|_| Violation::Pake)?;
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &transcript.0).extract(&secret);
        Ok(Keys { secret, transcript })
    }
}

/// SHA-256 over both hellos as they were on the wire, so that versions and roles cannot be altered unnoticed.
#[derive(Clone, Copy)]
pub(super) struct Transcript([u8; 32]);

impl Transcript {
    /// Hashes both hellos, each after its length, so that no two pairs give the same input.
    pub(super) fn new(client_hello: &str, host_hello: &str) -> Transcript {
        let mut context = digest::Context::new(&digest::SHA256);
        for hello in [client_hello, host_hello] {
            context.update(&(hello.len() as u64).to_be_bytes());
            context.update(hello.as_bytes());
        }
        let hash = context.finish();
        Transcript(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// The keys of one exchange, derived when they are needed.
pub(super) struct Keys {
    secret: hkdf::Prk,
    transcript: Transcript,
}

impl Keys {
    /// Returns the confirm of `role`.
    pub(super) fn confirm(&self, role: Role) -> Binary<MAC_LEN> {
        let tag = hmac::sign(&self.confirm_key(role), &self.confirmed(role));
        Binary(tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
    }

    /// Tells whether `mac` is the confirm of `role`, in constant time.
    #[must_use]
    pub(super) fn verifies(&self, role: Role, mac: &Binary<MAC_LEN>) -> bool {
        hmac::verify(&self.confirm_key(role), &self.confirmed(role), &mac.0).is_ok()
    }

    /// Returns the id of the session.
    pub(super) fn session(&self) -> SessionId {
        SessionId(derived(&self.secret, SESSION))
    }

    /// Returns the key for rejoining the session.
    pub(super) fn resume_key(&self) -> ResumeKey {
        ResumeKey(derived(&self.secret, RESUME))
    }

    /// Returns the ticket for further sessions.
    pub(super) fn ticket(&self) -> Ticket {
        let (id, key) = (derived(&self.secret, RETURN_ID), derived(&self.secret, RETURN));
        Ticket { id: SessionId(id), key: ResumeKey(key) }
    }

    /// Returns both halves of the sealed exchange, for `role`.
    pub(super) fn sealing(&self, role: Role) -> (Sealer, Opener) {
        sealing(&self.secret, role)
    }

    fn confirm_key(&self, role: Role) -> hmac::Key {
        let label = [confirm_label(role)];
        let key = self.secret.expand(&label, hmac::HMAC_SHA256);
        key.expect("HKDF-SHA256 gives up to 255 blocks").into()
    }

    fn confirmed(&self, role: Role) -> Vec<u8> {
        [confirm_label(role), &self.transcript.0].concat()
    }
}

/// Derives the bytes for a label.
fn derived<const N: usize>(secret: &hkdf::Prk, label: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let label = [label];
    let key = secret.expand(&label, Length(N));
    key.and_then(|key| key.fill(&mut out)).expect("HKDF-SHA256 gives up to 255 blocks of the length asked for");
    out
}

/// Returns both halves of the sealed exchange between two servers that hold `secret`. `salt` is new for every exchange;
/// the one that dialled `is_client`.
#[cfg(feature = "server")]
pub(crate) fn sealing_between_servers(secret: &[u8; 32], salt: &[u8], is_client: bool) -> (Sealer, Opener) {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    sealing(&secret, if is_client { Role::Client } else { Role::Host })
}

/// Derives the keys of both directions from one secret.
fn sealing(secret: &hkdf::Prk, role: Role) -> (Sealer, Opener) {
    let key = |label: &[u8]| {
        let label = [label];
        let key = secret.expand(&label, &aead::CHACHA20_POLY1305);
        aead::LessSafeKey::new(key.expect("HKDF-SHA256 gives up to 255 blocks").into())
    };
    let (ours, theirs) = match role {
        Role::Client => (CLIENT_TO_HOST, HOST_TO_CLIENT),
        Role::Host => (HOST_TO_CLIENT, CLIENT_TO_HOST),
    };
    (Sealer::new(key(ours)), Opener::new(key(theirs)))
}

fn confirm_label(role: Role) -> &'static [u8] {
    match role {
        Role::Client => CLIENT_CONFIRM,
        Role::Host => HOST_CONFIRM,
    }
}

/// Number of bytes that HKDF should produce.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
#[path = "vectors_tests.rs"]
mod vectors_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(client_pin: &str, host_pin: &str) -> (Keys, Keys) {
        let (client, client_element) = Pake::start(Role::Client, &Pin::new(client_pin).unwrap());
        let (host, host_element) = Pake::start(Role::Host, &Pin::new(host_pin).unwrap());
        let transcript = Transcript::new("client", "host");
        let Ok(client) = client.finish(&host_element, transcript) else { panic!("client") };
        let Ok(host) = host.finish(&client_element, transcript) else { panic!("host") };
        (client, host)
    }

    #[test]
    fn one_pin_gives_one_set_of_keys() {
        let (client, host) = pair("123456", "123456");
        assert_eq!(client.session(), host.session());
        assert_eq!(client.resume_key().0, host.resume_key().0);
        assert_eq!(client.ticket().key.0, host.ticket().key.0);
        assert_eq!(client.ticket().id, host.ticket().id);
        assert_ne!(client.ticket().id, client.session(), "neither reveals the other");
        assert_ne!(client.ticket().key.0, client.resume_key().0);
        for role in [Role::Client, Role::Host] {
            assert!(client.verifies(role, &host.confirm(role)));
        }
        assert!(!client.verifies(Role::Client, &host.confirm(Role::Host)));
    }

    #[test]
    fn another_pin_gives_other_keys() {
        let (client, host) = pair("123456", "123457");
        assert_ne!(client.session(), host.session());
        assert_ne!(client.resume_key().0, host.resume_key().0);
        for role in [Role::Client, Role::Host] {
            assert!(!client.verifies(role, &host.confirm(role)));
        }
    }

    #[test]
    fn transcripts_cannot_be_shifted() {
        assert_ne!(Transcript::new("ab", "c").0, Transcript::new("a", "bc").0);
        assert_ne!(Transcript::new("", "a").0, Transcript::new("a", "").0);
        assert_ne!(Transcript::new("a", "b").0, Transcript::new("b", "a").0);
    }

    #[test]
    fn a_role_cannot_answer_itself() {
        let pin = Pin::new("1").unwrap();
        for role in [Role::Client, Role::Host] {
            let (pake, element) = Pake::start(role, &pin);
            let finished = pake.finish(&element, Transcript::new("", ""));
            assert_eq!(finished.map(|_| ()), Err(Violation::Pake));
        }
    }

    #[test]
    fn session_ids_show_eight_digits() {
        let id = SessionId([0xab; 16]);
        assert_eq!(id.to_string(), "abababab");
        assert_eq!(id.hex(), "ab".repeat(16));
    }

    #[test]
    fn keys_are_never_shown() {
        assert_eq!(format!("{:?}", ResumeKey([1; 32])), "ResumeKey(…)");
    }
}
