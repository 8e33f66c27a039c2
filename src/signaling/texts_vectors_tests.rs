//! The texts, packets and URLs of `docs/vectors.json`: those that must be taken, and those that must be refused.

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::message::{ClientMessage, HostMessage, Inner, MessageError};
use super::rendezvous::{FromHost, FromServer, Packet, Payload};
use super::url::SignalingUrl;

fn vectors(name: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors.json")).unwrap();
    vectors[name].as_array().unwrap_or_else(|| panic!("{name}")).clone()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} of {vector}"))
}

/// A text that was read, written by us. `None` if its type is unknown, and ignored.
fn read(vector: &Value) -> Result<Option<String>, MessageError> {
    let read = text(vector, "text");
    let written = match text(vector, "from") {
        "client" => ClientMessage::parse(read)?.to_text(),
        "host" => HostMessage::parse(read)?.to_text(),
        "host to server" => FromHost::parse(read)?.to_text(),
        "server to host" => FromServer::parse(read)?.to_text(),
        "sealed" => match Inner::parse(read)? {
            Inner::Unknown => return Ok(None),
            inner => inner.to_text(),
        },
        other => panic!("{other}"),
    };
    Ok(Some(written))
}

#[test]
fn texts_of_the_vectors_are_read_and_written() {
    for vector in vectors("texts") {
        let expected = vector.get("as").unwrap_or(&vector["text"]).as_str().filter(|_| vector.get("ignored").is_none());
        assert_eq!(
            read(&vector).map_err(|error| error.to_string()).as_ref().map(Option::as_deref),
            Ok(expected),
            "{vector}"
        );
    }
}

#[test]
fn malformed_texts_of_the_vectors_are_refused() {
    for vector in vectors("malformed_texts") {
        assert!(read(&vector).is_err(), "{vector}");
    }
}

#[test]
fn the_packets_of_the_vectors() {
    for vector in vectors("packets") {
        let payload = match vector.get("text") {
            Some(_) => Payload::Text(text(&vector, "text").to_owned()),
            None => Payload::Binary(HEXLOWER.decode(text(&vector, "binary").as_bytes()).unwrap().into()),
        };
        let conversation = vector["conversation"].as_u64().unwrap().try_into().unwrap();
        let packet = Packet { conversation, payload };
        let hex = text(&vector, "hex");
        assert_eq!(HEXLOWER.encode(&packet.encode()), hex);
        assert_eq!(Packet::decode(HEXLOWER.decode(hex.as_bytes()).unwrap().into()), Ok(packet));
    }
}

#[test]
fn malformed_packets_of_the_vectors_are_refused() {
    for vector in vectors("malformed_packets") {
        let packet = HEXLOWER.decode(text(&vector, "hex").as_bytes()).unwrap();
        assert_eq!(Packet::decode(packet.into()), Err(MessageError::NotAMessage), "{vector}");
    }
}

#[test]
fn urls_of_the_vectors_are_read_without_their_pin() {
    for vector in vectors("urls") {
        let (url, pin) = SignalingUrl::parse(text(&vector, "url")).unwrap();
        let invite = vector.get("invite").map(|invite| invite.as_str().unwrap());
        assert_eq!(url.invitation().map(|id| id.as_str()), invite, "{vector}");
        let request = SignalingUrl::parse(text(&vector, "request")).unwrap().0;
        assert_eq!(url.path(), request.path(), "{vector}");
        assert_eq!(url.to_string().replace("?invite=k3", "").replace("&invite=k3", ""), request.to_string());
        assert_eq!(pin.as_ref().map(|pin| pin.reveal()), vector["pin"].as_str(), "{vector}");
    }
}

#[test]
fn malformed_urls_of_the_vectors_are_refused() {
    for vector in vectors("malformed_urls") {
        assert!(SignalingUrl::parse(text(&vector, "url")).is_err(), "{vector}");
    }
}
