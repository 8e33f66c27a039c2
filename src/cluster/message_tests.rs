//! Messages of links, and what is none.

use proptest::prelude::*;

use super::*;
use crate::signaling::binary::Binary;
use crate::signaling::sealing_between_servers;

fn pair() -> (Sealing, Sealing) {
    let side = |is_client| {
        let (sealer, opener) = sealing_between_servers(&[1; 32], b"salt", is_client);
        Sealing::new(sealer, opener)
    };
    (side(true), side(false))
}

fn here(name: &str) -> Here {
    let public = Some(Public { service: 65_535, auth: Some(Binary([0xff; 32])) });
    let tag = Binary([0xff; 32]);
    Here {
        id: name.parse().unwrap(),
        epoch: MAX_EPOCH - 1,
        owner: tag,
        instance: tag,
        public,
        dial: false,
        leaving: false,
    }
}

#[test]
fn as_many_of_the_longest_hosts_as_there_may_be_fit_into_one_message() {
    let (mut one, mut two) = pair();
    let names = Names { here: vec![here(&"x".repeat(63)); MAX_HOSTS], ..Names::default() };
    let sealed = one.seal(Payload::Text(names.clone().to_text()));
    assert!(sealed.len() < MAX_TEXT, "{}", sealed.len());
    assert_eq!(two.open(sealed).unwrap(), Arrived::Names(names));
}

#[test]
fn names_read_as_the_protocol_says() {
    let message = Message::Names(Names { gone: vec!["abc".parse().unwrap()], complete: true, ..Names::default() });
    let text = serde_json::to_string(&message).unwrap();
    assert_eq!(text, r#"{"type":"names","here":[],"gone":["abc"],"complete":true}"#);
    assert_eq!(serde_json::from_str::<Message>(r#"{"type":"names","gone":["abc"],"complete":true}"#).unwrap(), message);
    let order = Order { id: "abc".parse().unwrap(), epoch: 7, to: Wanted::Service(Public { service: 2, auth: None }) };
    let text = r#"{"id":"abc","epoch":7,"to":{"service":{"service":2}}}"#;
    assert_eq!(order.to_text().as_deref(), Some(text));
    assert_eq!(Order::parse(text), Some(order));
    let client = r#"{"id":"abc","epoch":7,"to":{"client":"192.0.2.1:9"}}"#;
    assert!(matches!(Order::parse(client), Some(Order { to: Wanted::Client(_), .. })));
}

#[test]
fn what_is_too_much_is_refused() {
    for names in [
        Names { here: vec![here("abc"); MAX_HOSTS + 1], ..Names::default() },
        Names { gone: vec!["abc".parse().unwrap(); MAX_HOSTS + 1], ..Names::default() },
        Names { here: vec![Here { epoch: MAX_EPOCH, ..here("abc") }], ..Names::default() },
    ] {
        let (mut one, mut two) = pair();
        assert!(two.open(one.seal(Payload::Text(names.to_text()))).is_err());
    }
    let target = "x".repeat(MAX_ORDER);
    assert_eq!(Order { id: "abc".parse().unwrap(), epoch: 1, to: Wanted::Target(target) }.to_text(), None);
    assert_eq!(Order::parse(&" ".repeat(MAX_ORDER + 1)), None);
}

#[test]
fn unknown_types_are_ignored_and_nonsense_ends_the_link() {
    let (mut one, mut two) = pair();
    let mut said = |text: &str| two.open(one.seal(Payload::Text(text.to_owned())));
    assert_eq!(said(r#"{"type":"weather"}"#).unwrap(), Arrived::Nothing);
    assert!(said("{}").is_err() && said("x").is_err());
    let (mut one, mut two) = pair();
    let first = one.seal(Payload::Binary(Bytes::from_static(b"x")));
    let second = one.seal(Payload::Binary(Bytes::from_static(b"x")));
    assert!(two.open(second).is_err() && two.open(first).is_err(), "out of order, and after an error");
    let (mut one, mut two) = pair();
    let other = Packet { conversation: 1, payload: Payload::Text("x".to_owned()) };
    assert!(two.open(one.sealer.seal_binary(&other.encode()).into()).is_err());
}

proptest! {
    #[test]
    fn what_a_server_says_is_never_a_panic(bytes: Vec<u8>, text in ".{0,100}") {
        let (mut one, mut two) = pair();
        let _ = two.open(one.sealer.seal_binary(&bytes).into());
        prop_assert!(pair().0.open(bytes.into()).is_err());
        let _ = Order::parse(&text);
    }
}
