//! The exchanges of `docs/vectors.json`, with fixed scalars and nonces. The values were computed from the formulas of
//! `docs/protocol.md` by other means than these.

use data_encoding::HEXLOWER;
use rand_core::{CryptoRng, RngCore};
use serde_json::Value;

use super::*;
use crate::signaling::error::SignalingError;
use crate::signaling::farewell::Farewell;
use crate::signaling::message::{
    ClientHello, ClientMessage, Confirm, HostHello, HostMessage, Inner, Resume, ResumeProof, Resumed,
};
use crate::signaling::network::Network;
use crate::signaling::rendezvous::{FromHost, Public, Register};

fn vectors(name: &str) -> Value {
    let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors.json")).unwrap();
    vectors[name].clone()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} of {vector}"))
}

fn bytes<const N: usize>(vector: &Value, field: &str) -> [u8; N] {
    HEXLOWER.decode(text(vector, field).as_bytes()).unwrap().try_into().unwrap()
}

/// A random source that gives one scalar: it is read as 64 bytes, little-endian, modulo the order.
struct Fixed([u8; 64]);

impl Fixed {
    fn scalar(mut big_endian: [u8; 32]) -> Fixed {
        big_endian.reverse();
        let mut wide = [0; 64];
        wide[..32].copy_from_slice(&big_endian);
        Fixed(wide)
    }
}

impl CryptoRng for Fixed {}

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        unreachable!("a scalar is drawn at once")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("a scalar is drawn at once")
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

/// Starts both sides with the scalars of the vectors: what `Pake::start` does, but for chance.
fn started() -> [(Pake, Binary<PAKE_LEN>); 2] {
    let vector = vectors("pake");
    let password = Password::new(text(&vector, "pin"));
    let (client, host) = (Identity::new(CLIENT_IDENTITY), Identity::new(HOST_IDENTITY));
    let a = Spake2::start_a_with_rng(&password, &client, &host, Fixed::scalar(bytes(&vector, "x")));
    let b = Spake2::start_b_with_rng(&password, &client, &host, Fixed::scalar(bytes(&vector, "y")));
    [a, b].map(|(pake, element)| (Pake(pake), Binary(element.try_into().unwrap())))
}

/// The keys of both sides.
fn keys() -> [Keys; 2] {
    let vector = vectors("handshake");
    let transcript = || Transcript::new(text(&vector, "client_hello"), text(&vector, "host_hello"));
    let [(client, a), (host, b)] = started();
    [client.finish(&b, transcript()), host.finish(&a, transcript())].map(|keys| keys.ok().unwrap())
}

#[test]
fn the_pake_of_the_vectors() {
    let vector = vectors("pake");
    let [(client, a), (host, b)] = started();
    assert_eq!((a.0, b.0), (bytes(&vector, "client"), bytes(&vector, "host")));
    let key = Ok(bytes::<32>(&vector, "key").to_vec());
    assert_eq!((client.0.finish(&b.0), host.0.finish(&a.0)), (key.clone(), key));
}

#[test]
fn the_hellos_and_confirms_of_the_vectors() {
    let vector = vectors("handshake");
    let [(_, a), (_, b)] = started();
    let client = ClientMessage::Hello(ClientHello { versions: vec![1], pake: a, invite: None });
    let host = HostMessage::Hello(HostHello { version: 1, pake: b, invitations: false });
    assert_eq!((&*client.to_text(), &*host.to_text()), (text(&vector, "client_hello"), text(&vector, "host_hello")));
    for keys in keys() {
        assert_eq!(keys.transcript.0, bytes(&vector, "transcript"));
        for (role, field) in [(Role::Client, "client_confirm"), (Role::Host, "host_confirm")] {
            let confirm = HostMessage::Confirm(Confirm { mac: keys.confirm(role) });
            assert_eq!(confirm.to_text(), text(&vector, field));
        }
    }
}

#[test]
fn every_label_of_the_vectors_gives_its_key() {
    let vector = &vectors("handshake")["keys"];
    let keys_of = |secret: &hkdf::Prk| {
        let long = [CLIENT_CONFIRM, HOST_CONFIRM, CLIENT_TO_HOST, HOST_TO_CLIENT, RESUME, RETURN];
        let long = long.map(|label| (label, derived::<32>(secret, label).to_vec()));
        let short = [SESSION, RETURN_ID].map(|label| (label, derived::<16>(secret, label).to_vec()));
        long.into_iter().chain(short).collect::<Vec<_>>()
    };
    for keys in keys() {
        let derived = keys_of(&keys.secret);
        assert_eq!(vector.as_object().unwrap().len(), derived.len());
        for (label, key) in derived {
            let label = std::str::from_utf8(label).unwrap();
            assert_eq!(text(vector, label), HEXLOWER.encode(&key), "{label}");
            let row = format!("| `{label}` |");
            assert!(include_str!("../../docs/protocol.md").contains(&row), "docs/protocol.md has a row {row}");
        }
        assert_eq!(keys.session().0, bytes(vector, "session"));
        assert_eq!(keys.resume_key().0, bytes(vector, "resume"));
        let ticket = keys.ticket();
        assert_eq!((ticket.id.0, ticket.key.0), (bytes(vector, "return id"), bytes(vector, "return")));
    }
}

fn seal(sealer: &mut Sealer, vector: &Value) {
    match vector.get("inner") {
        Some(_) => {
            let inner = Inner::parse(text(vector, "inner")).unwrap();
            assert_eq!(inner.to_text(), text(vector, "inner"));
            assert_eq!(sealer.seal(&inner), text(vector, "text"));
        }
        None => {
            let message = HEXLOWER.decode(text(vector, "message").as_bytes()).unwrap();
            assert_eq!(HEXLOWER.encode(&sealer.seal_binary(&message)), text(vector, "binary"));
        }
    }
}

fn open(opener: &mut Opener, vector: &Value) -> Result<(), SignalingError> {
    match vector.get("inner") {
        Some(_) => assert_eq!(opener.open(text(vector, "text"))?.to_text(), text(vector, "inner")),
        None => {
            let sealed = HEXLOWER.decode(text(vector, "binary").as_bytes()).unwrap();
            assert_eq!(HEXLOWER.encode(&opener.open_binary(sealed.into())?), text(vector, "message"));
        }
    }
    Ok(())
}

#[test]
fn the_sealed_messages_of_the_vectors() {
    let vector = vectors("sealed");
    let [client, host] = keys();
    let (mut client_seals, mut client_opens) = client.sealing(Role::Client);
    let (mut host_seals, mut host_opens) = host.sealing(Role::Host);
    for message in vector["client_to_host"].as_array().unwrap() {
        seal(&mut client_seals, message);
        open(&mut host_opens, message).unwrap();
    }
    for message in vector["host_to_client"].as_array().unwrap() {
        seal(&mut host_seals, message);
        open(&mut client_opens, message).unwrap();
    }
}

#[test]
fn boxes_of_the_vectors_that_do_not_open_are_refused() {
    for vector in vectors("sealed")["refused"].as_array().unwrap() {
        let [_, host] = keys();
        let (_, mut opener) = host.sealing(Role::Host);
        let opened = match vector.get("text") {
            Some(_) => opener.open(text(vector, "text")).map(|_| ()),
            None => {
                let sealed = HEXLOWER.decode(text(vector, "binary").as_bytes()).unwrap();
                opener.open_binary(sealed.into()).map(|_| ())
            }
        };
        assert!(matches!(opened, Err(SignalingError::Protocol(_))), "{vector}");
    }
}

#[test]
fn points_of_the_vectors_are_told_from_what_is_none() {
    let handshake = vectors("handshake");
    for vector in vectors("points").as_array().unwrap() {
        let transcript = Transcript::new(text(&handshake, "client_hello"), text(&handshake, "host_hello"));
        let [(client, _), _] = started();
        let element = [&b"B"[..], &bytes::<32>(vector, "hex")].concat();
        let finished = client.finish(&Binary(element.try_into().unwrap()), transcript);
        assert_eq!(Some(finished.is_ok()), vector["point"].as_bool(), "{vector}");
    }
}

/// Checks an exchange of a client that comes back.
fn coming_back(vector: &Value) -> (ResumeKey, Exchange) {
    let key = ResumeKey(bytes(vector, "key"));
    let exchange = Exchange {
        session: SessionId(bytes(vector, "session")),
        client_nonce: Binary(bytes(vector, "client_nonce")),
        host_nonce: Binary(bytes(vector, "host_nonce")),
    };
    let Exchange { session, client_nonce, host_nonce } = exchange;
    let resume = ClientMessage::Resume(Resume { session, nonce: client_nonce });
    let proof = key.proof(Role::Host, &exchange);
    let resumed = HostMessage::Resumed(Resumed { nonce: host_nonce, proof });
    let proof = key.proof(Role::Client, &exchange);
    let resume_proof = ClientMessage::ResumeProof(ResumeProof { proof });
    assert_eq!(resume.to_text(), text(vector, "resume"));
    assert_eq!(resumed.to_text(), text(vector, "resumed"));
    assert_eq!(resume_proof.to_text(), text(vector, "resume_proof"));
    let secret = key.secret(&exchange);
    for label in [CLIENT_TO_HOST, HOST_TO_CLIENT] {
        let name = std::str::from_utf8(label).unwrap();
        assert_eq!(derived::<32>(&secret, label), bytes(&vector["keys"], name), "{name}");
    }
    (key, exchange)
}

#[test]
fn a_session_is_joined_again_as_in_the_vectors() {
    let vector = vectors("resume");
    let (key, exchange) = coming_back(&vector);
    let [client, _] = keys();
    assert_eq!((key.0, exchange.session), (client.resume_key().0, client.session()));
}

#[test]
fn a_ticket_is_used_as_in_the_vectors() {
    let vector = vectors("ticket");
    let (key, exchange) = coming_back(&vector);
    let [client, _] = keys();
    assert_eq!((key.0, exchange.session), (client.ticket().key.0, client.ticket().id));
    let (session, resume_key) = key.session(&exchange);
    assert_eq!((session.0, resume_key.0), (bytes(&vector["keys"], "session"), bytes(&vector["keys"], "resume")));
}

#[test]
fn the_page_shows_the_exchange() {
    let page = include_str!("../../docs/protocol.md");
    let (pake, handshake) = (vectors("pake"), vectors("handshake"));
    for (field, value) in pake.as_object().unwrap() {
        assert!(page.contains(value.as_str().unwrap()), "docs/protocol.md shows {field} of the PAKE");
    }
    for field in ["client_hello", "host_hello", "transcript", "client_confirm", "host_confirm"] {
        assert!(page.contains(text(&handshake, field)), "docs/protocol.md shows {field}");
    }
    for key in handshake["keys"].as_object().unwrap().values() {
        assert!(page.contains(key.as_str().unwrap()), "docs/protocol.md shows every key");
    }
    let sealed = vectors("sealed");
    for direction in ["client_to_host", "host_to_client"] {
        assert!(page.contains(text(&sealed[direction][0], "text")), "docs/protocol.md shows a message {direction}");
    }
}

#[test]
fn the_page_has_a_row_for_every_sealed_message_and_every_field_of_a_registration() {
    let (sdp, candidate) = (String::new(), String::new());
    let messages = [
        Inner::Network(Network::unknown(true, true)),
        Inner::Connect { carrier: 3 },
        Inner::Relay { carrier: 1 },
        Inner::Offer { carrier: 2, sdp: sdp.clone() },
        Inner::Answer { carrier: 2, sdp },
        Inner::Candidate { carrier: 2, candidate },
        Inner::EndOfCandidates { carrier: 2 },
        Inner::Bye { reason: Farewell::Check },
    ];
    let register = FromHost::Register(Register {
        versions: vec![1],
        id: "abc".parse().unwrap(),
        token: Some("t".parse().unwrap()),
        instance: Binary([0; 16]),
        public: Some(Public { service: 0, auth: None }),
        dial: true,
    });
    let register: Value = serde_json::from_str(&register.to_text()).unwrap();
    let fields = register.as_object().unwrap().keys().filter(|field| *field != "type").cloned();
    let types = messages.map(|message| {
        // A new message does not compile here before it has its place above.
        match message {
            Inner::Network(_)
            | Inner::Connect { .. }
            | Inner::Relay { .. }
            | Inner::Offer { .. }
            | Inner::Answer { .. }
            | Inner::Candidate { .. }
            | Inner::EndOfCandidates { .. }
            | Inner::Bye { .. }
            | Inner::Unknown => {}
        }
        let message: Value = serde_json::from_str(&message.to_text()).unwrap();
        text(&message, "type").to_owned()
    });
    for word in types.into_iter().chain(fields) {
        let row = format!("| `{word}` |");
        assert!(include_str!("../../docs/protocol.md").contains(&row), "docs/protocol.md has a row {row}");
    }
}
