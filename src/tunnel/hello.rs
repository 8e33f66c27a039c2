//! HELLO: each side introduces itself on a carrier.

use serde::{Deserialize, Serialize};

use super::chunk::MAX_PAYLOAD;
use super::id::Role;

/// The protocol version this implementation speaks.
pub const VERSION: u32 = 1;

/// The feature of peers that send and take datagrams.
pub const DATAGRAMS: &str = "datagrams";

/// Longest HELLO we parse, in bytes. [`MAX_SERVICES`] services with the longest names fit, and a HELLO fits into one
/// message wherever two messages may be in flight.
const MAX_HELLO: usize = 30 * 1024;

/// Maximum number of services a side may announce.
pub const MAX_SERVICES: usize = 256;

/// Minimum initial credit, in units: with less, not even the smallest frames can be sent.
const MIN_CREDIT: u32 = 64;

/// Longest name of a service, in bytes.
const MAX_SERVICE_NAME: usize = 64;

/// The introduction of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions the side speaks.
    pub versions: Vec<u32>,
    /// Program and version, for the log.
    #[serde(default)]
    pub agent: String,
    /// `host` or `client`.
    pub role: String,
    /// Units a stream may carry before the first CREDIT.
    pub initial_credit: u32,
    /// Longest DATA payload the side takes, in bytes.
    pub max_payload: u32,
    /// Streams the other side may have open at once.
    pub max_streams: u32,
    /// Services the side offers.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Optional parts of the protocol the side speaks.
    #[serde(default)]
    pub features: Vec<String>,
}

/// Something a host offers, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Number in CONNECT.
    pub id: u16,
    /// Name for people.
    pub name: String,
    /// `tcp` or `udp`.
    pub proto: String,
    /// Port on the host's side, which a client uses too if it is free; a unix socket has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Service {
    /// Tells whether streams to it are UDP flows.
    pub fn is_udp(&self) -> bool {
        self.proto == "udp"
    }
}

/// Why a HELLO cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// It is not the JSON object it should be.
    #[error("malformed HELLO: {0}")]
    Malformed(String),
    /// No protocol version in common.
    #[error("no protocol version in common: the peer speaks {0:?}, we speak {VERSION}")]
    Version(Vec<u32>),
}

impl Hello {
    /// Reads the payload of a HELLO sent by a peer with this role.
    ///
    /// # Errors
    /// It is malformed, out of bounds, of the wrong role, or speaks no version we speak.
    pub fn decode(payload: &[u8], role: Role) -> Result<Hello, HelloError> {
        let malformed = |what: &str| HelloError::Malformed(what.to_owned());
        if payload.len() > MAX_HELLO {
            return Err(malformed("too long"));
        }
        let hello: Hello = serde_json::from_slice(payload).map_err(|error| malformed(&error.to_string()))?;
        if !hello.versions.contains(&VERSION) {
            return Err(HelloError::Version(hello.versions.into_iter().take(8).collect()));
        }
        if hello.role != role.as_str() {
            return Err(malformed("both sides have the same role"));
        }
        if hello.max_payload == 0 || hello.initial_credit < MIN_CREDIT || hello.services.len() > MAX_SERVICES {
            return Err(malformed("a value is out of bounds"));
        }
        if hello.services.iter().any(|service| service.name.len() > MAX_SERVICE_NAME) {
            return Err(malformed("the name of a service is too long"));
        }
        Ok(hello)
    }

    /// Tells whether the side takes datagrams.
    pub fn takes_datagrams(&self) -> bool {
        self.features.iter().any(|feature| feature == DATAGRAMS)
    }

    /// Returns the HELLO's payload.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of numbers and strings has a JSON form")
    }

    /// Returns the longest DATA payload the side takes from us, in bytes.
    pub fn payload_limit(&self) -> usize {
        usize::try_from(self.max_payload).unwrap_or(MAX_PAYLOAD).min(MAX_PAYLOAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"versions":[1],"agent":"pinhole/0.1.0","role":"host","initial_credit":65536,
        "max_payload":16384,"max_streams":4096,"services":[{"id":0,"name":"web","proto":"tcp"}],"features":["datagrams"]}"#;

    #[test]
    fn the_example_of_the_specification_is_read_and_round_trips() {
        let hello = Hello::decode(EXAMPLE.as_bytes(), Role::Host).unwrap();
        assert_eq!(hello.services[0].name, "web");
        assert_eq!(hello.payload_limit(), 16384);
        assert!(hello.takes_datagrams() && !hello.services[0].is_udp());
        assert_eq!(Hello::decode(&hello.encode(), Role::Host), Ok(hello));
    }

    #[test]
    fn unknown_fields_pass_and_wrong_ones_do_not() {
        let with = |from: &str, to: &str| Hello::decode(EXAMPLE.replace(from, to).as_bytes(), Role::Host);
        assert!(with(r#""agent""#, r#""new":{"a":1},"agent""#).is_ok());
        assert_eq!(with("[1]", "[2,3]"), Err(HelloError::Version(vec![2, 3])));
        assert!(with("16384", "0").is_err());
        assert!(with("65536", "-1").is_err());
        assert!(with("65536", "63").is_err());
        assert!(with(r#""host""#, r#""client""#).is_err());
        assert!(with("web", &"w".repeat(65)).is_err());
        assert!(Hello::decode(&vec![b' '; MAX_HELLO + 1], Role::Host).is_err());
    }

    #[test]
    fn the_most_services_fit() {
        let service = |id| Service { id, name: "x".repeat(63), proto: "tcp".to_owned(), port: Some(65_535) };
        let services: Vec<Service> = (0..MAX_SERVICES as u16).map(service).collect();
        let hello = Hello { services, ..Hello::decode(EXAMPLE.as_bytes(), Role::Host).unwrap() };
        assert_eq!(Hello::decode(&hello.encode(), Role::Host), Ok(hello));
    }
}
