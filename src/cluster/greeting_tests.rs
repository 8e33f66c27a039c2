//! Servers that know a secret and servers that do not, and everything that could be said instead of a greeting.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::cluster::message::Arrived;
use crate::signaling::message::ErrorCode;
use crate::signaling::rendezvous::Payload;

const OLD: &str = "the old secret of a cluster";
const NEW: &str = "the new secret of a cluster";

fn secrets(all: &[&str]) -> Secrets {
    Secrets::parse(&all.join("\n")).unwrap()
}

fn server(byte: u8) -> ServerId {
    ServerId::of([byte; 16])
}

/// Has server 1 dial server 2; returns what each comes to.
fn greet(dialling: &Secrets, listening: &Secrets) -> (Result<Proven, GreetingError>, Result<Proven, GreetingError>) {
    let (dialler, hello) = Dialler::start(server(1));
    let step = Listener::New(server(2)).handle(listening, &hello).unwrap();
    let Step::Welcome(listener, welcome) = step else { panic!("proven by a hello") };
    match dialler.handle(dialling, &welcome) {
        Err(error) => (Err(error.clone()), Err(error)),
        Ok((proof, proven)) => match listener.handle(listening, &proof) {
            Ok(Step::Proven(other)) => (Ok(proven), Ok(other)),
            Ok(Step::Welcome(..)) => panic!("welcomed twice"),
            Err(error) => (Ok(proven), Err(error)),
        },
    }
}

#[test]
fn servers_with_a_secret_in_common_have_a_link_and_each_link_other_keys() {
    let same = secrets(&[NEW]);
    let mut seen: Vec<Bytes> = Vec::new();
    for _ in 0..2 {
        let (Ok(mut one), Ok(mut two)) = greet(&same, &same) else { panic!("no link") };
        assert_eq!((one.server, two.server), (server(2), server(1)));
        let message = Payload::Binary(Bytes::from_static(b"tunnel"));
        for _ in 0..2 {
            let (there, back) = (one.sealing.seal(message.clone()), two.sealing.seal(message.clone()));
            seen.extend([there.clone(), back.clone()]);
            assert_eq!(two.sealing.open(there).unwrap(), Arrived::Tunnel(Bytes::from_static(b"tunnel")));
            assert_eq!(one.sealing.open(back).unwrap(), Arrived::Tunnel(Bytes::from_static(b"tunnel")));
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8, "nothing repeats");
}

#[test]
fn a_secret_can_be_replaced_server_by_server() {
    // Before, a new secret that is only verified, a new one that proves, and after; neighbours always understand.
    let stages = [&[OLD][..], &[OLD, NEW], &[NEW, OLD], &[NEW]].map(secrets);
    for pair in stages.windows(2) {
        for (dialling, listening) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let (one, two) = greet(dialling, listening);
            assert!(one.is_ok() && two.is_ok());
        }
    }
    let (one, _) = greet(&stages[0], &stages[3]);
    assert_eq!(one.unwrap_err(), GreetingError::Secret);
}

#[test]
fn a_dialler_without_the_secret_is_refused() {
    let (_, hello) = Dialler::start(server(1));
    for forged in [
        Greeting::Proof { proof: Binary([0; 32]) }.to_text(),
        // Its own welcome, turned around.
        {
            let Ok(Step::Welcome(_, welcome)) = Listener::New(server(2)).handle(&secrets(&[NEW]), &hello) else {
                panic!("no welcome")
            };
            let Ok(Greeting::Welcome { proof, .. }) = Greeting::parse(&welcome) else { panic!("{welcome}") };
            Greeting::Proof { proof }.to_text()
        },
    ] {
        let Ok(Step::Welcome(listener, _)) = Listener::New(server(2)).handle(&secrets(&[NEW]), &hello) else {
            panic!("no welcome")
        };
        assert_eq!(listener.handle(&secrets(&[NEW]), &forged).unwrap_err(), GreetingError::Secret);
    }
}

#[test]
fn a_proof_is_valid_for_one_exchange() {
    let secrets = secrets(&[NEW]);
    let (dialler, hello) = Dialler::start(server(1));
    let welcome = || match Listener::New(server(2)).handle(&secrets, &hello) {
        Ok(Step::Welcome(listener, welcome)) => (listener, welcome),
        _ => panic!("no welcome"),
    };
    let ((_, first), (second, _)) = (welcome(), welcome());
    let (proof, _) = dialler.handle(&secrets, &first).unwrap();
    assert_eq!(second.handle(&secrets, &proof).unwrap_err(), GreetingError::Secret);
    let (other, _) = Dialler::start(server(1));
    assert_eq!(other.handle(&secrets, &first).unwrap_err(), GreetingError::Secret, "the nonce is another");
}

#[test]
fn other_versions_and_one_self_are_refused_with_a_sentence() {
    let secrets = secrets(&[NEW]);
    let hello = Greeting::Hello { versions: vec![0, 99], server: server(1), nonce: Binary([0; 32]) }.to_text();
    assert_eq!(Listener::New(server(2)).handle(&secrets, &hello).unwrap_err(), GreetingError::Version);
    let (dialler, _) = Dialler::start(server(1));
    let welcome = Greeting::Welcome { version: 2, server: server(2), nonce: Binary([0; 32]), proof: Binary([0; 32]) };
    assert_eq!(dialler.handle(&secrets, &welcome.to_text()).unwrap_err(), GreetingError::Version);
    let (dialler, hello) = Dialler::start(server(2));
    let Ok(Step::Welcome(_, welcome)) = Listener::New(server(2)).handle(&secrets, &hello) else { panic!("no welcome") };
    assert_eq!(dialler.handle(&secrets, &welcome).unwrap_err(), GreetingError::Itself);
    let (dialler, _) = Dialler::start(server(1));
    let error = FromServer::error(ErrorCode::Denied, "no").to_text();
    assert_eq!(dialler.handle(&secrets, &error).unwrap_err(), GreetingError::Refused("no".to_owned()));
}

#[test]
fn greetings_read_as_the_protocol_says() {
    let id = "AQEBAQEBAQEBAQEBAQEBAQ==";
    let hello = Greeting::Hello { versions: vec![1], server: server(1), nonce: Binary([0; 32]) }.to_text();
    let zeros = format!("{}=", "A".repeat(43));
    assert_eq!(hello, format!(r#"{{"type":"hello","versions":[1],"server":"{id}","nonce":"{zeros}"}}"#));
}

proptest! {
    #[test]
    fn nothing_else_makes_a_link(text in ".{0,200}", is_json: bool) {
        let secrets = secrets(&[NEW]);
        let text = if is_json { format!(r#"{{"type":"hello","versions":[1],"server":{text:?}}}"#) } else { text };
        let (dialler, hello) = Dialler::start(server(1));
        prop_assert!(dialler.handle(&secrets, &text).is_err());
        prop_assert!(Listener::New(server(2)).handle(&secrets, &text).is_err());
        let Ok(Step::Welcome(listener, _)) = Listener::New(server(2)).handle(&secrets, &hello) else {
            panic!("no welcome")
        };
        prop_assert!(listener.handle(&secrets, &text).is_err());
    }
}
