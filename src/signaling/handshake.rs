//! From a shared pin to keys: the first four messages of a signaling WebSocket.
//!
//! ```text
//! client                                host
//!   │ hello {versions, pake} ────────────▶│
//!   │◀──────────── hello {version, pake}  │
//!   │ confirm {mac} ─────────────────────▶│ waits for its turn (`limiter`), is verified
//!   │◀────────────────── confirm {mac}    │ only then
//! ```
//!
//! The client proves itself first: a host's confirm would let anybody test a pin and leave without being counted.

use std::{fmt, mem};

use super::binary::{Binary, MAC_LEN};
use super::error::{SignalingError, Violation};
pub use super::established::Established;
use super::invitation::InvitationId;
use super::keys::{Keys, Pake, Role, Transcript};
use super::message::{ClientHello, ClientMessage, Confirm, HostHello, HostMessage, Outer, Resume};
use super::pin::Pin;

/// The protocol versions this release speaks.
pub const VERSIONS: &[u32] = &[1];

/// The client's next step.
#[derive(Debug)]
#[must_use]
pub enum ClientStep {
    /// Send this text.
    Send(String),
    /// The handshake is complete; pass further texts to the opener.
    Done(Established),
}

/// The client's side of the handshake.
pub struct ClientHandshake(ClientState);

/// ```text
/// AwaitHello ──hello──▶ AwaitConfirm ──confirm──▶ Ended
///     └──────────anything else───┴──────────────────▲
/// ```
enum ClientState {
    /// Our hello was sent.
    AwaitHello { pake: Pake, hello: String, is_invited: bool },
    /// Our confirm was sent.
    AwaitConfirm { keys: Keys },
    /// Established or failed: nothing more is accepted.
    Ended,
}

impl ClientHandshake {
    /// Starts a handshake for the host's own pin. Returns the hello to send with it.
    pub fn start(pin: &Pin) -> (ClientHandshake, String) {
        ClientHandshake::with(pin, None)
    }

    /// Starts a handshake for the pin of an invitation, or for the host's own. Returns the hello to send with it.
    pub fn with(pin: &Pin, invite: Option<&InvitationId>) -> (ClientHandshake, String) {
        let (pake, element) = Pake::start(Role::Client, pin);
        let hello = ClientHello { versions: VERSIONS.to_vec(), pake: element, invite: invite.cloned() };
        let hello = ClientMessage::Hello(hello).to_text();
        let is_invited = invite.is_some();
        (ClientHandshake(ClientState::AwaitHello { pake, hello: hello.clone(), is_invited }), hello)
    }

    /// Handles a text from the host. Any error is final.
    pub fn handle_text(&mut self, text: &str) -> Result<ClientStep, SignalingError> {
        match mem::replace(&mut self.0, ClientState::Ended) {
            ClientState::AwaitHello { pake, hello, is_invited } => {
                let host_hello = match HostMessage::parse(text)? {
                    Outer::Hello(hello) => hello,
                    other => return Err(SignalingError::out_of_turn(other)),
                };
                if !VERSIONS.contains(&host_hello.version) {
                    return Err(Violation::VersionNotOffered(host_hello.version).into());
                }
                if is_invited && !host_hello.invitations {
                    return Err(SignalingError::NoInvitations);
                }
                let keys = pake.finish(&host_hello.pake, Transcript::new(&hello, text))?;
                let confirm = ClientMessage::Confirm(Confirm { mac: keys.confirm(Role::Client) }).to_text();
                self.0 = ClientState::AwaitConfirm { keys };
                Ok(ClientStep::Send(confirm))
            }
            ClientState::AwaitConfirm { keys } => {
                let mac = match HostMessage::parse(text)? {
                    Outer::Confirm(confirm) => confirm.mac,
                    other => return Err(SignalingError::out_of_turn(other)),
                };
                if !keys.verifies(Role::Host, &mac) {
                    return Err(Violation::HostUnproven.into());
                }
                Ok(ClientStep::Done(Established::new(&keys, Role::Client)))
            }
            ClientState::Ended => Err(Violation::Ended.into()),
        }
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ClientState::AwaitHello { .. } => "ClientHandshake(await hello)",
            ClientState::AwaitConfirm { .. } => "ClientHandshake(await confirm)",
            ClientState::Ended => "ClientHandshake(ended)",
        })
    }
}

/// The host's next step.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum HostStep {
    /// Send this text.
    Send(String),
    /// A confirm came: queue it at the [`GuessLimiter`](super::limiter::GuessLimiter), and call
    /// [`HostHandshake::verify`] when its turn comes.
    Verify,
    /// The client rejoins a session, or has a [`Ticket`](super::Ticket): look up its key and go on with
    /// [`HostResume`](super::resume::HostResume).
    Resume(Resume),
}

/// The pins of a host, of which one belongs to a client's hello.
pub trait Pins {
    /// Returns the pin of an invitation, or the host's own. Nobody may learn whether an invitation exists, so one that
    /// does not has a pin, too: a random one, which nobody knows.
    fn pin(self, invite: Option<&InvitationId>) -> Pin;
}

/// A host without invitations.
impl Pins for &Pin {
    fn pin(self, invite: Option<&InvitationId>) -> Pin {
        match invite {
            None => self.clone(),
            Some(_) => Pin::generate_long(),
        }
    }
}

/// The host's side of the handshake.
///
/// It answers the hello at once, since that answer reveals nothing about the pin. It answers the confirm only when told
/// to.
pub struct HostHandshake(HostState);

/// ```text
/// AwaitHello ──hello──▶ AwaitConfirm ──confirm──▶ Confirmed ──verify──▶ Ended
///     └──────────anything else───┴────────────────────┴───────────────────▲
/// ```
enum HostState {
    /// No message came yet.
    AwaitHello,
    /// Our hello was sent.
    AwaitConfirm { keys: Keys },
    /// The client's confirm waits for its turn. The client may send nothing more before our confirm.
    Confirmed { keys: Keys, mac: Binary<MAC_LEN> },
    /// Established or failed: nothing more is accepted.
    Ended,
}

impl Default for HostHandshake {
    fn default() -> HostHandshake {
        HostHandshake::new()
    }
}

impl HostHandshake {
    /// Starts a handshake, before the client's hello came.
    pub fn new() -> HostHandshake {
        HostHandshake(HostState::AwaitHello)
    }

    /// Handles a text from the client. Any error is final.
    ///
    /// Only the pin that `pins` gives for the hello counts. When the pin is replaced, drop the handshakes that began
    /// with the old one: they still accept it.
    pub fn handle_text(&mut self, text: &str, pins: impl Pins) -> Result<HostStep, SignalingError> {
        match mem::replace(&mut self.0, HostState::Ended) {
            HostState::AwaitHello => {
                let client_hello = match ClientMessage::parse(text)? {
                    Outer::Hello(hello) => hello,
                    Outer::Resume(resume) => return Ok(HostStep::Resume(resume)),
                    other => return Err(SignalingError::out_of_turn(other)),
                };
                let common = client_hello.versions.into_iter().filter(|version| VERSIONS.contains(version));
                let version = common.max().ok_or(SignalingError::Version)?;
                let pin = pins.pin(client_hello.invite.as_ref());
                let (pake, element) = Pake::start(Role::Host, &pin);
                let hello = HostMessage::Hello(HostHello { version, pake: element, invitations: true }).to_text();
                let keys = pake.finish(&client_hello.pake, Transcript::new(text, &hello))?;
                self.0 = HostState::AwaitConfirm { keys };
                Ok(HostStep::Send(hello))
            }
            HostState::AwaitConfirm { keys } => {
                let mac = match ClientMessage::parse(text)? {
                    Outer::Confirm(confirm) => confirm.mac,
                    other => return Err(SignalingError::out_of_turn(other)),
                };
                self.0 = HostState::Confirmed { keys, mac };
                Ok(HostStep::Verify)
            }
            HostState::Confirmed { .. } => Err(SignalingError::out_of_turn(ClientMessage::parse(text)?)),
            HostState::Ended => Err(Violation::Ended.into()),
        }
    }

    /// Verifies the confirm that [`HostStep::Verify`] announced. Returns the host's own confirm, to be sent.
    ///
    /// [`SignalingError::BadPin`] is a failed guess and counts at the limiter; no other error does.
    pub fn verify(&mut self) -> Result<(String, Established), SignalingError> {
        let HostState::Confirmed { keys, mac } = mem::replace(&mut self.0, HostState::Ended) else {
            return Err(Violation::Ended.into());
        };
        if !keys.verifies(Role::Client, &mac) {
            return Err(SignalingError::BadPin);
        }
        let confirm = HostMessage::Confirm(Confirm { mac: keys.confirm(Role::Host) }).to_text();
        Ok((confirm, Established::new(&keys, Role::Host)))
    }
}

impl fmt::Debug for HostHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            HostState::AwaitHello => "HostHandshake(await hello)",
            HostState::AwaitConfirm { .. } => "HostHandshake(await confirm)",
            HostState::Confirmed { .. } => "HostHandshake(confirmed)",
            HostState::Ended => "HostHandshake(ended)",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::signaling::message::{ErrorCode, Inner, MessageError};

    /// Returns the results of a completed handshake, the host's first.
    pub(crate) fn established() -> [Established; 2] {
        let (mut client, hello) = ClientHandshake::start(&pin("123456"));
        let mut host = HostHandshake::new();
        let hello = send(host.handle_text(&hello, &pin("123456")).unwrap());
        let text = confirm(client.handle_text(&hello).unwrap());
        assert_eq!(host.handle_text(&text, &pin("replaced since")).unwrap(), HostStep::Verify);
        let (text, at_host) = host.verify().unwrap();
        let ClientStep::Done(at_client) = client.handle_text(&text).unwrap() else { panic!("not done") };
        [at_host, at_client]
    }

    fn pin(text: &str) -> Pin {
        Pin::new(text).unwrap()
    }

    fn send(step: HostStep) -> String {
        match step {
            HostStep::Send(text) => text,
            other => panic!("nothing to send: {other:?}"),
        }
    }

    fn confirm(step: ClientStep) -> String {
        match step {
            ClientStep::Send(text) => text,
            ClientStep::Done(_) => panic!("done too early"),
        }
    }

    fn violation<T: std::fmt::Debug>(result: Result<T, SignalingError>) -> Violation {
        match result {
            Err(SignalingError::Protocol(violation)) => violation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_pin_establishes_one_session() {
        let [mut at_host, mut at_client] = established();
        assert_eq!(at_client.session, at_host.session);
        assert_eq!(at_client.resume_key.reveal(), at_host.resume_key.reveal());
        let offer = Inner::Offer { carrier: 1, sdp: "v=0".into() };
        assert_eq!(at_client.opener.open(&at_host.sealer.seal(&offer)).unwrap(), offer);
        let answer = Inner::Answer { carrier: 1, sdp: "v=0".into() };
        assert_eq!(at_host.opener.open(&at_client.sealer.seal(&answer)).unwrap(), answer);
    }

    #[test]
    fn established_shows_no_key() {
        let [established, _] = established();
        let shown = format!("{established:?}");
        let expected = format!(
            "Established {{ session: SessionId({}), sealer: Sealer {{ next: 0, .. }}, \
             opener: Opener {{ next: 0, .. }}, resume_key: ResumeKey(…), \
             ticket: Ticket {{ id: SessionId({}), key: ResumeKey(…) }} }}",
            established.session, established.ticket.id
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_host_takes_the_highest_common_version() {
        let (_, hello) = ClientHandshake::start(&pin("1"));
        let offered = |versions: &str| {
            let hello = hello.replace("[1]", versions);
            HostHandshake::new().handle_text(&hello, &pin("1"))
        };
        assert!(send(offered("[0,1,9]").unwrap()).contains(r#""version":1"#));
        for versions in ["[]", "[0]", "[2,3]"] {
            assert!(matches!(offered(versions), Err(SignalingError::Version)), "{versions}");
        }
    }

    #[test]
    fn the_client_refuses_a_version_it_did_not_offer() {
        let (mut client, hello) = ClientHandshake::start(&pin("1"));
        let hello = send(HostHandshake::new().handle_text(&hello, &pin("1")).unwrap());
        let hello = hello.replace(r#""version":1"#, r#""version":2"#);
        assert_eq!(violation(client.handle_text(&hello)), Violation::VersionNotOffered(2));
        assert_eq!(violation(client.handle_text(&hello)), Violation::Ended);
    }

    /// A host with one invitation, `k3`.
    struct Inviting(Pin);

    impl Pins for &Inviting {
        fn pin(self, invite: Option<&InvitationId>) -> Pin {
            match invite.map(InvitationId::as_str) {
                None => pin("own"),
                Some("k3") => self.0.clone(),
                Some(_) => Pin::generate_long(),
            }
        }
    }

    /// Returns what the host says of a client with this invitation and this pin: its hello, and its answer to the
    /// confirm.
    fn invited(invite: Option<&str>, own: &str) -> (String, Result<(), SignalingError>) {
        let invite = invite.map(|id| id.parse().unwrap());
        let (mut client, hello) = ClientHandshake::with(&pin(own), invite.as_ref());
        let (mut host, pins) = (HostHandshake::new(), Inviting(pin("invited")));
        let hello = send(host.handle_text(&hello, &pins).unwrap());
        let text = confirm(client.handle_text(&hello).unwrap());
        assert_eq!(host.handle_text(&text, &pins).unwrap(), HostStep::Verify);
        (hello, host.verify().map(drop))
    }

    #[test]
    fn the_hello_picks_the_pin() {
        for (invite, own, is_right) in [
            (None, "own", true),
            (Some("k3"), "invited", true),
            (None, "invited", false),
            (Some("k3"), "own", false),
            (Some("k4"), "invited", false),
            (Some("k4"), "own", false),
        ] {
            let (_, verdict) = invited(invite, own);
            assert_eq!(verdict.is_ok(), is_right, "{invite:?} {own}: {verdict:?}");
        }
    }

    #[test]
    fn an_invitation_that_there_is_not_is_answered_as_one_that_there_is() {
        let answers = [Some("k3"), Some("k4"), None].map(|invite| {
            let (hello, verdict) = invited(invite, "wrong");
            // All that differs is the point, which is random each time.
            let (before, behind) = hello.split_once(r#""pake":""#).unwrap();
            (before.to_owned(), behind[44..].to_owned(), verdict.unwrap_err().to_text())
        });
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }

    #[test]
    fn a_client_proves_nothing_to_a_host_that_knows_no_invitations() {
        let (mut client, hello) = ClientHandshake::with(&pin("1"), Some(&"k3".parse().unwrap()));
        assert!(hello.ends_with(r#","invite":"k3"}"#), "{hello}");
        let hello = send(HostHandshake::new().handle_text(&hello, &pin("1")).unwrap());
        let older = hello.replace(r#","invitations":true"#, "");
        assert!(matches!(client.handle_text(&older), Err(SignalingError::NoInvitations)));
        assert_eq!(violation(client.handle_text(&hello)), Violation::Ended);
        // The host's own pin needs none.
        let (mut client, hello) = ClientHandshake::start(&pin("1"));
        assert!(!hello.contains("invite"), "{hello}");
        let hello = send(HostHandshake::new().handle_text(&hello, &pin("1")).unwrap());
        let _ = confirm(client.handle_text(&hello.replace(r#","invitations":true"#, "")).unwrap());
    }

    #[test]
    fn an_error_message_ends_either_side() {
        let text = SignalingError::Full.to_text();
        let (mut client, _) = ClientHandshake::start(&pin("1"));
        let refused = client.handle_text(&text);
        assert!(matches!(refused, Err(SignalingError::Refused { code: ErrorCode::Full, .. })));
        let mut host = HostHandshake::new();
        let refused = host.handle_text(&text, &pin("1"));
        assert!(matches!(refused, Err(SignalingError::Refused { code: ErrorCode::Full, .. })));
        assert_eq!(violation(host.handle_text(&text, &pin("1"))), Violation::Ended);
    }

    #[test]
    fn nothing_may_follow_a_confirm_that_waits() {
        let (mut client, hello) = ClientHandshake::start(&pin("1"));
        let mut host = HostHandshake::new();
        let hello = send(host.handle_text(&hello, &pin("1")).unwrap());
        let text = confirm(client.handle_text(&hello).unwrap());
        assert_eq!(host.handle_text(&text, &pin("1")).unwrap(), HostStep::Verify);
        assert_eq!(violation(host.handle_text(&text, &pin("1"))), Violation::OutOfTurn("confirm"));
        assert_eq!(violation(host.verify()), Violation::Ended);
    }

    #[test]
    fn verify_needs_a_confirm() {
        assert_eq!(violation(HostHandshake::new().verify()), Violation::Ended);
    }

    #[test]
    fn an_element_off_the_curve_is_refused() {
        let hello = |fill: u8| {
            let mut pake = [fill; 33];
            pake[0] = b'A';
            ClientMessage::Hello(ClientHello { versions: vec![1], pake: Binary(pake), invite: None }).to_text()
        };
        let refused = (0..8).map(|fill| HostHandshake::new().handle_text(&hello(fill), &pin("1")));
        let violations: Vec<_> = refused.filter_map(Result::err).map(|error| violation::<()>(Err(error))).collect();
        assert!(!violations.is_empty(), "half of all encodings are no point");
        assert!(violations.iter().all(|violation| *violation == Violation::Pake));
    }

    #[test]
    fn malformed_texts_are_protocol_errors() {
        let (mut client, hello) = ClientHandshake::start(&pin("1"));
        assert_eq!(violation(client.handle_text("{")), Violation::Message(MessageError::NotJson));
        let (mut client, _) = ClientHandshake::start(&pin("1"));
        assert_eq!(violation(client.handle_text(&hello)), Violation::Message(MessageError::NotAMessage));
    }
}
