//! Resumption on another WebSocket, of a live session or with a ticket: both sides prove that they hold the session's
//! resume key, or the key of the client's [`Ticket`].
//!
//! ```text
//! client                                     host
//!   │ resume {session, nonce} ────────────────▶│ finds the key
//!   │◀──────────────── resumed {nonce, proof}  │
//!   │ resume-proof {proof} ───────────────────▶│
//! ```
//!
//! The key has 256 bits, so unlike the pin it cannot be guessed, and either side may prove itself first. Fresh nonces
//! make the proofs and the traffic keys specific to this WebSocket.

use std::fmt;

use rand::Rng;

use super::binary::{Binary, NONCE_LEN};
use super::error::{SignalingError, Violation};
use super::established::Established;
use super::keys::{Exchange, ResumeKey, Role, Ticket};
use super::message::{ClientMessage, HostMessage, Outer, Resume, ResumeProof, Resumed};
use super::sealing::{Opener, Sealer};
use super::session_id::SessionId;

/// The client's side: waits for the host's proof.
pub struct ClientResume {
    key: ResumeKey,
    session: SessionId,
    nonce: Binary<NONCE_LEN>,
}

impl ClientResume {
    /// Asks to rejoin `session`. Returns the text to send with it.
    pub fn start(session: SessionId, key: ResumeKey) -> (ClientResume, String) {
        let nonce = nonce();
        let text = ClientMessage::Resume(Resume { session, nonce }).to_text();
        (ClientResume { key, session, nonce }, text)
    }

    /// Asks for a new session. Returns the text to send with it.
    pub fn with_ticket(ticket: &Ticket) -> (ClientResume, String) {
        ClientResume::start(ticket.id, ticket.key.clone())
    }

    /// Handles the host's answer. Returns the client's own proof, to be sent first on this WebSocket. Any error is
    /// final.
    ///
    /// # Errors
    /// [`SignalingError::Refused`] with `unknown-session` if the host's process was replaced; otherwise the protocol
    /// was broken or the host could not prove itself.
    pub fn handle_text(self, text: &str) -> Result<(String, Sealer, Opener), SignalingError> {
        let (exchange, proof) = self.proven(text)?;
        let (sealer, opener) = self.key.sealing(Role::Client, &exchange);
        Ok((proof, sealer, opener))
    }

    /// Does as [`ClientResume::handle_text`] after a ticket was shown: a session begins with it.
    ///
    /// # Errors
    /// Those of [`ClientResume::handle_text`].
    pub fn handle_returned(self, text: &str) -> Result<(String, Established), SignalingError> {
        let (exchange, proof) = self.proven(text)?;
        Ok((proof, established(self.key, Role::Client, &exchange)))
    }

    /// Verifies the host's proof, and returns our own.
    fn proven(&self, text: &str) -> Result<(Exchange, String), SignalingError> {
        let answer = match HostMessage::parse(text)? {
            Outer::Resumed(answer) => answer,
            other => return Err(SignalingError::out_of_turn(other)),
        };
        let exchange = Exchange { session: self.session, client_nonce: self.nonce, host_nonce: answer.nonce };
        if !self.key.verifies(Role::Host, &exchange, &answer.proof) {
            return Err(Violation::ResumeUnproven.into());
        }
        let proof = self.key.proof(Role::Client, &exchange);
        Ok((exchange, ClientMessage::ResumeProof(ResumeProof { proof }).to_text()))
    }
}

impl fmt::Debug for ClientResume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientResume({})", self.session)
    }
}

/// The host's side: waits for the client's proof.
pub struct HostResume {
    key: ResumeKey,
    exchange: Exchange,
}

impl HostResume {
    /// Answers a client that asks for a session we have, or has a ticket of ours. Returns the text to send with it.
    pub fn answer(key: ResumeKey, request: &Resume) -> (HostResume, String) {
        let exchange = Exchange { session: request.session, client_nonce: request.nonce, host_nonce: nonce() };
        let proof = key.proof(Role::Host, &exchange);
        let text = HostMessage::Resumed(Resumed { nonce: exchange.host_nonce, proof }).to_text();
        (HostResume { key, exchange }, text)
    }

    /// Handles the client's proof. Any error is final.
    ///
    /// # Errors
    /// The proof does not verify, or another message came.
    pub fn handle_text(self, text: &str) -> Result<(Sealer, Opener), SignalingError> {
        self.verify(text)?;
        Ok(self.key.sealing(Role::Host, &self.exchange))
    }

    /// Does as [`HostResume::handle_text`] after a ticket was shown: a session begins with it.
    ///
    /// # Errors
    /// Those of [`HostResume::handle_text`].
    pub fn handle_returning(self, text: &str) -> Result<Established, SignalingError> {
        self.verify(text)?;
        Ok(established(self.key, Role::Host, &self.exchange))
    }

    fn verify(&self, text: &str) -> Result<(), SignalingError> {
        let proof = match ClientMessage::parse(text)? {
            Outer::ResumeProof(ResumeProof { proof }) => proof,
            other => return Err(SignalingError::out_of_turn(other)),
        };
        if !self.key.verifies(Role::Client, &self.exchange, &proof) {
            return Err(Violation::ResumeUnproven.into());
        }
        Ok(())
    }
}

impl fmt::Debug for HostResume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostResume({})", self.exchange.session)
    }
}

/// Returns the session that begins when both sides proved that they hold the key of a ticket. The ticket stays valid: a
/// client that never learned the outcome can use it again.
fn established(key: ResumeKey, role: Role, exchange: &Exchange) -> Established {
    let (session, resume_key) = key.session(exchange);
    let (sealer, opener) = key.sealing(role, exchange);
    let ticket = Ticket { id: exchange.session, key };
    Established { session, sealer, opener, resume_key, ticket }
}

fn nonce() -> Binary<NONCE_LEN> {
    let mut bytes = [0; NONCE_LEN];
    rand::rng().fill_bytes(&mut bytes);
    Binary(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::handshake::tests::established;
    use crate::signaling::message::{ErrorCode, Inner};

    /// Both ends of one exchange, the host with `key`.
    fn exchange(key: &ResumeKey, session: SessionId) -> (ClientResume, HostResume, String) {
        let (client, text) = ClientResume::start(session, key.clone());
        let Ok(Outer::Resume(request)) = ClientMessage::parse(&text) else { panic!("{text}") };
        let (host, answer) = HostResume::answer(key.clone(), &request);
        (client, host, answer)
    }

    #[test]
    fn a_session_is_joined_again_with_new_keys_each_time() {
        let [at_host, _] = established();
        let mut texts = Vec::new();
        for _ in 0..2 {
            let (client, host, answer) = exchange(&at_host.resume_key, at_host.session);
            let (proof, mut sealer, mut opener) = client.handle_text(&answer).unwrap();
            let (mut at_sealer, mut at_opener) = host.handle_text(&proof).unwrap();
            let message = Inner::Connect { carrier: 7 };
            let text = sealer.seal(&message);
            assert_eq!(at_opener.open(&text).unwrap(), message);
            let answer = at_sealer.seal(&message);
            assert_eq!(opener.open(&answer).unwrap(), message);
            texts.extend([text, answer, proof]);
        }
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 6, "nothing repeats");
    }

    #[test]
    fn a_ticket_begins_a_session_of_its_own_each_time() {
        let [at_host, at_client] = established();
        let mut ids = vec![at_host.session, at_host.ticket.id];
        for _ in 0..2 {
            let (client, text) = ClientResume::with_ticket(&at_client.ticket);
            let Ok(Outer::Resume(request)) = ClientMessage::parse(&text) else { panic!("{text}") };
            assert_eq!(request.session, at_host.ticket.id);
            let (host, answer) = HostResume::answer(at_host.ticket.key.clone(), &request);
            let (proof, mut client) = client.handle_returned(&answer).unwrap();
            let mut host = host.handle_returning(&proof).unwrap();
            let message = Inner::Connect { carrier: 7 };
            assert_eq!(host.opener.open(&client.sealer.seal(&message)).unwrap(), message);
            assert_eq!(client.opener.open(&host.sealer.seal(&message)).unwrap(), message);
            assert_eq!((client.session, client.ticket.id), (host.session, at_host.ticket.id));
            assert_eq!(client.resume_key.reveal(), host.resume_key.reveal());
            assert_ne!(client.resume_key.reveal(), at_client.resume_key.reveal());
            ids.push(client.session);
            // The new session can be rejoined like any other.
            let (client, host, answer) = exchange(&client.resume_key, client.session);
            let (proof, ..) = client.handle_text(&answer).unwrap();
            host.handle_text(&proof).unwrap();
        }
        ids.sort_by_key(SessionId::hex);
        ids.dedup();
        assert_eq!(ids.len(), 4, "nothing repeats");
    }

    #[test]
    fn nobody_without_the_key_takes_either_side_of_a_ticket() {
        let [at_host, at_client] = established();
        let [other, _] = established();
        let (client, text) = ClientResume::with_ticket(&at_client.ticket);
        let Ok(Outer::Resume(request)) = ClientMessage::parse(&text) else { panic!("{text}") };
        // An attacker that has seen the id and holds other keys of the same two sides, or of others.
        for key in [&other.ticket.key, &at_host.resume_key] {
            let (_, forged) = HostResume::answer(key.clone(), &request);
            let (client, _) = ClientResume::with_ticket(&at_client.ticket);
            let refused = client.handle_returned(&forged).map(|_| ());
            assert!(matches!(refused, Err(SignalingError::Protocol(Violation::ResumeUnproven))));
        }
        let (host, answer) = HostResume::answer(at_host.ticket.key.clone(), &request);
        let (proof, _) = client.handle_returned(&answer).unwrap();
        let (again, _) = HostResume::answer(at_host.ticket.key.clone(), &request);
        assert!(again.handle_returning(&proof).is_err(), "a proof is valid for one exchange");
        assert!(host.handle_returning(&answer).is_err(), "the host's own proof is no client's");
    }

    #[test]
    fn nobody_else_can_take_either_side() {
        let [at_host, _] = established();
        let [other, _] = established();
        let (client, _, _) = exchange(&at_host.resume_key, at_host.session);
        let (_, _, forged) = exchange(&other.resume_key, at_host.session);
        assert!(matches!(client.handle_text(&forged), Err(SignalingError::Protocol(Violation::ResumeUnproven))));

        let (_, host, answer) = exchange(&at_host.resume_key, at_host.session);
        let Ok(Outer::Resumed(answer)) = HostMessage::parse(&answer) else { panic!("{answer}") };
        let reflected = ClientMessage::ResumeProof(ResumeProof { proof: answer.proof }).to_text();
        assert!(matches!(host.handle_text(&reflected), Err(SignalingError::Protocol(Violation::ResumeUnproven))));
    }

    #[test]
    fn a_proof_serves_one_exchange() {
        let [at_host, _] = established();
        let (client, _, answer) = exchange(&at_host.resume_key, at_host.session);
        let (proof, ..) = client.handle_text(&answer).unwrap();
        let (_, again, _) = exchange(&at_host.resume_key, at_host.session);
        assert!(again.handle_text(&proof).is_err());
        let (client, _, _) = exchange(&at_host.resume_key, at_host.session);
        assert!(client.handle_text(&answer).is_err());
    }

    #[test]
    fn a_host_that_was_replaced_says_so() {
        let [at_host, _] = established();
        let (client, _) = ClientResume::start(at_host.session, at_host.resume_key.clone());
        let refused = client.handle_text(&SignalingError::UnknownSession.to_text());
        assert!(matches!(refused, Err(SignalingError::Refused { code: ErrorCode::UnknownSession, .. })));
    }

    #[test]
    fn anything_else_is_refused() {
        let [at_host, _] = established();
        for text in ["", "{}", r#"{"type":"resumed"}"#, r#"{"type":"resume","session":"zz","nonce":""}"#] {
            let (client, host, _) = exchange(&at_host.resume_key, at_host.session);
            assert!(client.handle_text(text).is_err() && host.handle_text(text).is_err(), "{text}");
        }
    }
}
