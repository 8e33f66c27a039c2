//! A full signaling exchange with an attacker in between.

use pinhole::internals::signaling::error::SignalingError;
use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep, Established, HostHandshake, HostStep};
use pinhole::internals::signaling::message::Inner;
use pinhole::internals::signaling::pin::Pin;
use serde_json::{Value, json};

/// The messages of a full exchange, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ClientHello,
    HostHello,
    ClientConfirm,
    HostConfirm,
    Offer,
    Answer,
    Candidate,
    EndOfCandidates,
    /// One more each way, so that every message above has a successor.
    HostBye,
    ClientBye,
}

use self::Kind::*;

pub(crate) const SCRIPT: [Kind; 10] =
    [ClientHello, HostHello, ClientConfirm, HostConfirm, Offer, Answer, Candidate, EndOfCandidates, HostBye, ClientBye];

impl Kind {
    pub(crate) fn sent_by_client(self) -> bool {
        matches!(self, ClientHello | ClientConfirm | Answer | ClientBye)
    }

    pub(crate) fn inner(self) -> Option<Inner> {
        match self {
            ClientHello | HostHello | ClientConfirm | HostConfirm => None,
            Offer => Some(Inner::Offer { carrier: 1, sdp: "v=0\r\na=fingerprint:sha-256 AB:CD\r\n".into() }),
            Answer => Some(Inner::Answer { carrier: 1, sdp: "v=0\r\na=fingerprint:sha-256 12:34\r\n".into() }),
            Candidate => {
                Some(Inner::Candidate { carrier: 1, candidate: "candidate:1 1 UDP 1 192.0.2.1 9 typ host".into() })
            }
            EndOfCandidates => Some(Inner::EndOfCandidates { carrier: 1 }),
            HostBye | ClientBye => Some(Inner::Bye { reason: "done".into() }),
        }
    }

    /// The next message of the same sender.
    pub(crate) fn successor(self) -> Kind {
        let later = SCRIPT.iter().skip_while(|kind| **kind != self).skip(1);
        *later.clone().find(|kind| kind.sent_by_client() == self.sent_by_client()).expect("both ends say bye")
    }
}

/// The receiver of a text from the attacker.
pub(crate) enum To {
    Receiver(String),
    Sender(String),
}

pub(crate) enum Handshake {
    Client(ClientHandshake),
    Host(HostHandshake),
}

/// One end, as the session drives it: a failed one is closed and sends nothing more.
pub(crate) struct Side {
    handshake: Handshake,
    pin: Pin,
    pub(crate) established: Option<Established>,
    pub(crate) failed: Option<SignalingError>,
    pub(crate) reply: Option<String>,
    pub(crate) accepted: Vec<Inner>,
}

impl Side {
    fn new(handshake: Handshake, pin: &str, reply: Option<String>) -> Side {
        let pin = Pin::new(pin).expect("the pin is not empty");
        Side { handshake, pin, established: None, failed: None, reply, accepted: Vec::new() }
    }

    pub(crate) fn client(pin: &str) -> Side {
        let (client, hello) = ClientHandshake::start(&Pin::new(pin).expect("the pin is not empty"));
        Side::new(Handshake::Client(client), pin, Some(hello))
    }

    pub(crate) fn host(pin: &str) -> Side {
        Side::new(Handshake::Host(HostHandshake::new()), pin, None)
    }

    pub(crate) fn deliver(&mut self, text: &str) {
        match self.try_deliver(text) {
            Ok(()) => assert!(self.failed.is_none(), "a failed side took {text}"),
            Err(error) => self.failed = self.failed.take().or(Some(error)),
        }
    }

    fn try_deliver(&mut self, text: &str) -> Result<(), SignalingError> {
        if let Some(established) = &mut self.established {
            self.accepted.push(established.opener.open(text)?);
            return Ok(());
        }
        match &mut self.handshake {
            Handshake::Client(client) => match client.handle_text(text)? {
                ClientStep::Send(text) => self.reply = Some(text),
                ClientStep::Done(established) => self.established = Some(established),
            },
            Handshake::Host(host) => match host.handle_text(text, &self.pin)? {
                HostStep::Send(text) => self.reply = Some(text),
                HostStep::Verify => {
                    let (text, established) = host.verify()?;
                    self.reply = Some(text);
                    self.established = Some(established);
                }
                // No attacker here knows a session, so a host has none to offer.
                HostStep::Resume(_) => return Err(SignalingError::UnknownSession),
            },
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, kind: Kind) -> Option<String> {
        if self.failed.is_some() {
            return None;
        }
        match kind.inner() {
            Some(inner) => Some(self.established.as_mut()?.sealer.seal(&inner)),
            None => self.reply.take(),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.established.is_some() && self.failed.is_none()
    }
}

pub(crate) struct Outcome {
    pub(crate) client: Side,
    pub(crate) host: Side,
    /// What was sent, by kind.
    pub(crate) sent: Vec<(Kind, String)>,
}

impl Outcome {
    pub(crate) fn text(&self, kind: Kind) -> &str {
        &self.sent.iter().find(|(sent, _)| *sent == kind).expect("the message was sent").1
    }

    pub(crate) fn receiver(&self, kind: Kind) -> &Side {
        if kind.sent_by_client() { &self.host } else { &self.client }
    }
}

pub(crate) fn run(mut attacker: impl FnMut(Kind, String) -> Vec<To>) -> Outcome {
    let mut outcome = Outcome { client: Side::client("123456"), host: Side::host("123456"), sent: Vec::new() };
    for kind in SCRIPT {
        let (sender, receiver) = match kind.sent_by_client() {
            true => (&mut outcome.client, &mut outcome.host),
            false => (&mut outcome.host, &mut outcome.client),
        };
        let Some(text) = sender.send(kind) else { continue };
        outcome.sent.push((kind, text.clone()));
        for to in attacker(kind, text) {
            match to {
                To::Receiver(text) => receiver.deliver(&text),
                To::Sender(text) => sender.deliver(&text),
            }
        }
    }
    outcome
}

pub(crate) fn run_untouched() -> Outcome {
    run(|_, text| vec![To::Receiver(text)])
}

/// Runs an exchange in which only `kind` is attacked.
pub(crate) fn run_attacking(kind: Kind, attack: impl Fn(String) -> Vec<To>) -> Outcome {
    run(|sent, text| if sent == kind { attack(text) } else { vec![To::Receiver(text)] })
}

/// Returns the altered text of that number; `None` beyond the last.
pub(crate) fn alter(text: &str, variant: usize) -> Option<String> {
    // A different bit at each byte, never the top one: a WebSocket text is UTF-8.
    let flips = 2 * text.len();
    if variant < flips {
        let mut bytes = text.as_bytes().to_vec();
        bytes[variant / 2] ^= 1 << ((variant / 2 + 3 * (variant % 2)) % 7);
        return Some(String::from_utf8(bytes).expect("every byte is still ASCII"));
    }
    let Value::Object(fields) = serde_json::from_str(text).expect("ends send JSON") else { panic!("{text}") };
    let mut altered = Vec::new();
    for (name, value) in &fields {
        let values = match value {
            Value::String(text) => {
                let mut kinds: Vec<_> = ["hello", "confirm", "sealed", "error", "bye", ""].map(Value::from).into();
                kinds.retain(|kind| kind != value);
                kinds.extend([json!(format!("{text}AAAA")), json!("A".repeat(text.len())), json!(&text[1..])]);
                kinds
            }
            Value::Number(number) => {
                let number = number.as_u64().expect("ends send whole numbers");
                vec![json!(number + 1), json!(number.wrapping_sub(1)), json!(-1), json!(0.5), json!(u64::MAX)]
            }
            _ => vec![json!([]), json!([0, 1]), json!([1, 1]), json!([1, 2]), json!(1)],
        };
        for value in values.into_iter().chain([Value::Null]) {
            let mut fields = fields.clone();
            fields.insert(name.clone(), value);
            altered.push(Value::Object(fields));
        }
        let mut fields = fields.clone();
        fields.remove(name);
        altered.push(Value::Object(fields));
    }
    altered.get(variant - flips).map(Value::to_string)
}
