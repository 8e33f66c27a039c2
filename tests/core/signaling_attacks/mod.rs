//! What a forwarder of the signaling WebSocket, or somebody without the pin, can do: nothing that goes unnoticed.
//!
//! [`exchange::run`] plays a whole exchange through an attacker who decides, for each message, what arrives instead.

mod exchange;

use std::time::{Duration, Instant};

use exchange::Kind::*;
use exchange::{Kind, Outcome, SCRIPT, Side, To, alter, run, run_attacking, run_untouched};
use pinhole::internals::shares::Source;
use pinhole::internals::signaling::error::{SignalingError, Violation};
use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep, HostHandshake, HostStep};
use pinhole::internals::signaling::limiter::GuessLimiter;
use pinhole::internals::signaling::message::{HostMessage, Inner, Outer};
use pinhole::internals::signaling::pin::Pin;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Asserts that no two live ends are left and that `kind`'s receiver took at most `kind` itself, `times` times.
fn assert_noticed(outcome: &Outcome, kind: Kind, times: usize, what: &str) {
    let (client, host) = (&outcome.client, &outcome.host);
    assert!(client.failed.is_some() || host.failed.is_some(), "{kind:?} {what}: nobody noticed");
    assert!(!(client.is_live() && host.is_live()), "{kind:?} {what}: both ends go on");
    if let (None, true) = (kind.inner(), times == 0) {
        let (Some(at_client), Some(at_host)) = (&client.established, &host.established) else {
            return;
        };
        assert_ne!(at_client.session, at_host.session, "{kind:?} {what}: established");
    }
    let same_way = SCRIPT.iter().filter(|sent| sent.sent_by_client() == kind.sent_by_client());
    let mut expected: Vec<Inner> = same_way.take_while(|sent| **sent != kind).filter_map(|sent| sent.inner()).collect();
    expected.extend(kind.inner().into_iter().cycle().take(times));
    assert_eq!(outcome.receiver(kind).accepted, expected, "{kind:?} {what}");
}

/// Every attack on one kind of message.
fn attack(kind: Kind) {
    let recorded = run_untouched();

    let replayed = run_attacking(kind, |_| vec![To::Receiver(recorded.text(kind).to_string())]);
    assert_noticed(&replayed, kind, 0, "replayed");

    let dropped = run_attacking(kind, |_| match kind {
        // Without these the sender never makes its next message, so that comes from the earlier exchange.
        ClientHello | HostHello | ClientConfirm => {
            vec![To::Receiver(recorded.text(kind.successor()).to_string())]
        }
        _ => vec![],
    });
    assert_noticed(&dropped, kind, 0, "dropped");

    let repeated = run_attacking(kind, |text| vec![To::Receiver(text.clone()), To::Receiver(text)]);
    assert_noticed(&repeated, kind, 1, "repeated");
    assert!(repeated.receiver(kind).failed.is_some());

    let reflected = run_attacking(kind, |text| vec![To::Sender(text)]);
    let sender = if kind.sent_by_client() { &reflected.client } else { &reflected.host };
    assert!(sender.failed.is_some(), "{kind:?} reflected: {:?}", sender.accepted);
    assert!(!sender.is_live());
    assert!(!sender.accepted.iter().any(|inner| Some(inner) == kind.inner().as_ref()));

    for variant in 0.. {
        let mut altered = None;
        let outcome = run(|sent, text| {
            if sent != kind {
                return vec![To::Receiver(text)];
            }
            altered = alter(&text, variant);
            vec![To::Receiver(altered.clone().unwrap_or(text))]
        });
        let Some(altered) = altered else {
            assert!(variant > 100, "{kind:?} was altered in {variant} ways only");
            break;
        };
        assert_noticed(&outcome, kind, 0, &format!("altered to {altered}"));
    }
}

#[test]
fn an_exchange_nobody_touches_arrives() {
    let outcome = run_untouched();
    assert!(outcome.client.is_live() && outcome.host.is_live());
    assert_eq!(outcome.sent.len(), SCRIPT.len());
    let inner = |by_client: bool| SCRIPT.into_iter().filter(move |kind| kind.sent_by_client() == by_client);
    assert_eq!(outcome.host.accepted, inner(true).filter_map(Kind::inner).collect::<Vec<_>>());
    assert_eq!(outcome.client.accepted, inner(false).filter_map(Kind::inner).collect::<Vec<_>>());
    let (client, host) = (outcome.client.established.unwrap(), outcome.host.established.unwrap());
    assert_eq!(client.session, host.session);
    assert_eq!(client.resume_key.reveal(), host.resume_key.reveal());
}

#[test]
fn attacks_on_the_client_hello_are_noticed() {
    attack(ClientHello);
}

#[test]
fn attacks_on_the_host_hello_are_noticed() {
    attack(HostHello);
}

#[test]
fn attacks_on_the_client_confirm_are_noticed() {
    attack(ClientConfirm);
}

#[test]
fn attacks_on_the_host_confirm_are_noticed() {
    attack(HostConfirm);
}

#[test]
fn attacks_on_an_offer_are_noticed() {
    attack(Offer);
}

#[test]
fn attacks_on_an_answer_are_noticed() {
    attack(Answer);
}

#[test]
fn attacks_on_a_candidate_are_noticed() {
    attack(Candidate);
}

#[test]
fn attacks_on_the_end_of_candidates_are_noticed() {
    attack(EndOfCandidates);
}

#[test]
fn a_whole_recorded_client_is_refused() {
    let recorded = run_untouched();
    let mut host = Side::host("123456");
    host.deliver(recorded.text(ClientHello));
    host.deliver(recorded.text(ClientConfirm));
    assert!(matches!(host.failed, Some(SignalingError::BadPin)));
    host.deliver(recorded.text(Answer));
    assert!(host.established.is_none() && host.accepted.is_empty());
}

#[test]
fn a_whole_recorded_host_is_refused() {
    let recorded = run_untouched();
    let mut client = Side::client("123456");
    client.deliver(recorded.text(HostHello));
    client.deliver(recorded.text(HostConfirm));
    assert!(matches!(client.failed, Some(SignalingError::Protocol(Violation::HostUnproven))));
    client.deliver(recorded.text(Offer));
    assert!(client.established.is_none() && client.accepted.is_empty());
}

#[test]
fn altered_versions_and_roles_break_the_confirm() {
    let extra = r#"{"role":"host","#;
    for (kind, from, to) in [
        (ClientHello, "[1]", "[1,2]"),
        (ClientHello, "[1]", "[0,1]"),
        (ClientHello, "[1]", "[ 1]"),
        (ClientHello, "{", extra),
        (HostHello, "{", extra),
        (HostHello, r#""version":1"#, r#""version": 1"#),
    ] {
        let outcome = run_attacking(kind, |text| vec![To::Receiver(text.replacen(from, to, 1))]);
        assert!(matches!(outcome.host.failed, Some(SignalingError::BadPin)), "{kind:?} {to}");
        assert!(outcome.client.established.is_none() && outcome.host.established.is_none());
    }
}

#[test]
fn a_wrong_pin_is_refused_before_the_host_proves_anything() {
    for guess in ["123457", "1234560", "12345", " 123456"] {
        let mut client = Side::client(guess);
        let mut host = Side::host("123456");
        host.deliver(&client.send(ClientHello).unwrap());
        client.deliver(&host.send(HostHello).unwrap());
        host.deliver(&client.send(ClientConfirm).unwrap());
        assert!(host.reply.is_none(), "the host made a confirm");
        assert!(host.established.is_none());
        let Some(error @ SignalingError::BadPin) = host.failed else { panic!("{:?}", host.failed) };
        assert_eq!(error.to_text(), SignalingError::BadPin.to_text(), "the refusal depends on nothing");
    }
}

/// A client that hangs up after the host's hello got one PAKE element and nothing to test a pin with: whatever pin it
/// computes with, it gets keys, but nothing it received was made with a key.
#[test]
fn a_client_that_hangs_up_after_the_host_hello_learns_nothing() {
    let mut seen = Vec::new();
    for guess in ["123456", "000000", "123457", "999999"] {
        let (mut client, hello) = ClientHandshake::start(&Pin::new(guess).unwrap());
        let mut host = HostHandshake::new();
        let pin = Pin::new("123456").unwrap();
        let HostStep::Send(hello) = host.handle_text(&hello, &pin).unwrap() else { panic!("no hello") };

        let Ok(Outer::Hello(parsed)) = HostMessage::parse(&hello) else { panic!("{hello}") };
        let fields: Value = serde_json::from_str(&hello).unwrap();
        assert_eq!(fields.as_object().unwrap().len(), 4, "type, version, pake and invitations are all there is");
        assert!(parsed.invitations, "it says so to everybody");
        assert_eq!((parsed.version, parsed.pake.0[0]), (1, b'B'));
        assert!(!seen.contains(&parsed.pake.0), "the element is fresh for each client");
        seen.push(parsed.pake.0);

        // Right pin or wrong, the computation goes the same way, and the host answers the confirm with nothing.
        let ClientStep::Send(confirm) = client.handle_text(&hello).unwrap() else { panic!("no confirm") };
        assert_eq!(host.handle_text(&confirm, &pin).unwrap(), HostStep::Verify);
    }
}

/// Only a turn at the limiter tells whether a pin is right, and every turn is counted.
#[test]
fn every_tested_pin_is_a_counted_confirm() {
    let mut now = Instant::now();
    let mut limiter = GuessLimiter::new();
    let source = Source::of([127, 0, 0, 1].into());
    let pin = Pin::new("123456").unwrap();
    for guess in 0..20u64 {
        let (mut client, hello) = ClientHandshake::start(&Pin::new(format!("{guess:06}")).unwrap());
        let mut host = HostHandshake::new();
        let HostStep::Send(hello) = host.handle_text(&hello, &pin).unwrap() else { panic!("no hello") };
        let ClientStep::Send(confirm) = client.handle_text(&hello).unwrap() else { panic!("no confirm") };
        assert_eq!(host.handle_text(&confirm, &pin).unwrap(), HostStep::Verify);
        limiter.enqueue(now, source, guess);
        if guess % 2 == 1 {
            // Hanging up before the turn: never verified, so nothing to learn, and nothing to count.
            limiter.cancel(source, guess);
            assert_eq!(limiter.poll_verify(now + Duration::from_secs(3600), 0), None);
            continue;
        }
        now = limiter.poll_timeout().unwrap().max(now);
        assert_eq!(limiter.poll_verify(now, 0), Some(guess));
        assert!(matches!(host.verify(), Err(SignalingError::BadPin)));
        assert_eq!(limiter.record_failure(now), None);
        assert_eq!(u64::from(limiter.failures()), guess / 2 + 1);
    }
}

/// Texts from nonsense to nearly right.
fn any_text() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["hello", "confirm", "sealed", "error", "offer", "bye", ""]);
    let value = prop_oneof![
        any::<String>().prop_map(Value::from),
        "[A-Za-z0-9+/]{44}".prop_map(Value::from),
        "[A-Za-z0-9+/]{43}=".prop_map(Value::from),
        "Q[A-Za-z0-9+/]{43}".prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..3u64).prop_map(Value::from),
        prop::collection::vec(0..3u32, 0..4).prop_map(Value::from),
        Just(Value::Null),
    ];
    let name = prop::sample::select(vec!["versions", "version", "pake", "mac", "n", "box", "code", "message", "sdp"]);
    let fields = prop::collection::hash_map(name, value, 0..6);
    let message = (kind, fields).prop_map(|(kind, mut fields)| {
        fields.insert("type", kind.into());
        json!(fields).to_string()
    });
    let altered = (0..8usize, any::<prop::sample::Index>()).prop_map(|(kind, index)| {
        let outcome = run_untouched();
        let text = outcome.text(SCRIPT[kind]);
        alter(text, index.index(2 * text.len())).expect("every byte is flipped twice")
    });
    prop_oneof![any::<String>(), message, altered]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Neither end panics, continues after a failure, or accepts anything, in any state.
    #[test]
    fn any_text_in_any_state_is_survived(text in any_text(), state in 0..8usize) {
        let mut reached = false;
        let mut outcome = run(|kind, sent| {
            reached |= kind == SCRIPT[state];
            if reached { vec![] } else { vec![To::Receiver(sent)] }
        });
        for side in [&mut outcome.client, &mut outcome.host] {
            let accepted = side.accepted.len();
            for _ in 0..3 {
                side.deliver(&text);
            }
            prop_assert_eq!(side.accepted.len(), accepted);
            prop_assert!(side.failed.is_some());
        }
    }

    #[test]
    fn any_text_after_a_confirm_that_waits_is_survived(text in any_text()) {
        let pin = Pin::new("123456").unwrap();
        let (mut client, hello) = ClientHandshake::start(&pin);
        let mut host = HostHandshake::new();
        let HostStep::Send(hello) = host.handle_text(&hello, &pin).unwrap() else { panic!("no hello") };
        let ClientStep::Send(confirm) = client.handle_text(&hello).unwrap() else { panic!("no confirm") };
        prop_assert_eq!(host.handle_text(&confirm, &pin).unwrap(), HostStep::Verify);
        prop_assert!(host.handle_text(&text, &pin).is_err());
        prop_assert!(host.verify().is_err());
    }
}
