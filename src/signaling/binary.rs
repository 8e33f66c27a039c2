//! Bytes in JSON: base64, for values of a fixed length.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of a SPAKE2 message: a role byte and a compressed curve point.
pub const PAKE_LEN: usize = 33;

/// Length of a confirm or a proof: an HMAC-SHA256 tag.
pub const MAC_LEN: usize = 32;

/// Length of a nonce of a resumption, in bytes.
pub const NONCE_LEN: usize = 32;

/// Exactly `N` bytes, standard base64 with padding on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binary<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Debug for Binary<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl<const N: usize> Serialize for Binary<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        encode(&self.0, serializer)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Binary<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = decode(deserializer)?;
        let bytes = bytes.try_into().map_err(|_| D::Error::custom("wrong length"))?;
        Ok(Binary(bytes))
    }
}

pub(super) fn encode<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

pub(super) fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    BASE64.decode(text.as_bytes()).map_err(|_| D::Error::custom("not base64"))
}
