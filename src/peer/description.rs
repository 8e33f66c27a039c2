//! The peer's session description (SDP, RFC 8866): parsed strictly, and written anew for str0m.
//!
//! str0m parses everything a browser may say, audio and video included, and trusts much of it: it panics over an ICE
//! user name that is too long for a STUN request. A tunnel needs ten lines of a description. These are parsed here,
//! within limits, and str0m sees nothing else.

use std::fmt::Display;

use super::PeerError;

/// Limits of a description; a browser's with a hundred candidates is within them.
const MAX_LEN: usize = 32 * 1024;
const MAX_LINES: usize = 512;
const MAX_LINE: usize = 1024;

/// Lengths of an ICE user name. RFC 8839 allows up to 256 characters. But a STUN request names both sides' user names
/// in one attribute of at most 128 bytes in str0m, and str0m's own takes 16; a colon separates the two.
const USER_NAME: std::ops::RangeInclusive<usize> = 4..=128 - 1 - 16;

/// Lengths of an ICE password (RFC 8839, section 5.4).
const PASSWORD: std::ops::RangeInclusive<usize> = 22..=256;

/// Bytes of a SHA-256 fingerprint.
const FINGERPRINT: usize = 32;

/// Longest name of a media section: str0m truncates longer ones.
const MAX_MID: usize = 16;

/// Minimum length of a message that the peer must accept, in bytes (`docs/protocol.md`, section 1); also the default if
/// the description gives none (RFC 8841, section 6.1).
const LEAST_MESSAGE: u64 = 64 * 1024;

/// Longest text of a candidate, in bytes.
const MAX_CANDIDATE: usize = 512;

/// Whether it is an offer or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Offer,
    Answer,
}

/// The content of a description, within its limits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Description<'a> {
    mid: &'a str,
    user_name: &'a str,
    password: &'a str,
    /// SHA-256 of the certificate, as pairs of hexadecimal digits.
    fingerprint: &'a str,
    setup: &'a str,
    /// `None` means the default.
    max_message: Option<u32>,
    /// Texts of the candidates, not parsed.
    pub(super) candidates: Vec<&'a str>,
}

/// An attribute at both levels; that of the media section counts.
#[derive(Clone, Copy, Default)]
struct Attribute<'a> {
    session: Option<&'a str>,
    media: Option<&'a str>,
}

impl<'a> Attribute<'a> {
    /// Stores a line's value; of several, the first counts.
    fn set(&mut self, is_media: bool, value: &'a str) {
        let level = if is_media { &mut self.media } else { &mut self.session };
        level.get_or_insert(value);
    }

    fn value(self) -> Option<&'a str> {
        self.media.or(self.session)
    }

    fn required(self, what: &str) -> Result<&'a str, PeerError> {
        self.value().ok_or_else(|| unusable(format!("it has no {what}")))
    }
}

impl<'a> Description<'a> {
    /// Parses a description.
    ///
    /// # Errors
    /// Something is missing or out of bounds.
    pub(super) fn parse(kind: Kind, sdp: &'a str) -> Result<Description<'a>, PeerError> {
        if sdp.len() > MAX_LEN || sdp.lines().nth(MAX_LINES).is_some() {
            return Err(unusable(format!("it is longer than {MAX_LEN} bytes or {MAX_LINES} lines")));
        }
        if sdp.lines().any(|line| line.len() > MAX_LINE) {
            return Err(unusable(format!("a line is longer than {MAX_LINE} bytes")));
        }
        let (mut media, mut candidates) = (None, Vec::new());
        let [mut mid, mut user_name, mut password, mut fingerprint] = [Attribute::default(); 4];
        let [mut setup, mut port, mut max_message] = [Attribute::default(); 3];
        for line in sdp.lines() {
            let is_media = media.is_some();
            if let Some(section) = line.strip_prefix("m=")
                && media.replace(section).is_some()
            {
                return Err(unusable("it has more than one media section"));
            }
            if line.starts_with("a=candidate:") {
                candidates.push(line);
            }
            let Some((name, value)) = line.strip_prefix("a=").and_then(|line| line.split_once(':')) else { continue };
            match name {
                "mid" => mid.set(is_media, value),
                "ice-ufrag" => user_name.set(is_media, value),
                "ice-pwd" => password.set(is_media, value),
                "setup" => setup.set(is_media, value),
                "sctp-port" => port.set(is_media, value),
                "max-message-size" => max_message.set(is_media, value),
                // There may be one of several kinds for each certificate (RFC 8122).
                "fingerprint" => {
                    if let Some(("sha-256" | "SHA-256", digest)) = value.split_once(' ') {
                        fingerprint.set(is_media, digest);
                    }
                }
                _ => {}
            }
        }
        check_media(media.unwrap_or_default())?;
        check_port(port)?;
        let description = Description {
            mid: mid.required("name of its media section (mid)")?,
            user_name: user_name.required("ICE user name (ice-ufrag)")?,
            password: password.required("ICE password (ice-pwd)")?,
            fingerprint: fingerprint.required("SHA-256 fingerprint of a certificate")?,
            setup: setup.required("DTLS role (setup)")?,
            max_message: max_message.value().map(read_max_message).transpose()?,
            candidates,
        };
        description.check(kind)?;
        Ok(description)
    }

    /// Checks lengths and characters, so that no value can break out of its line.
    fn check(&self, kind: Kind) -> Result<(), PeerError> {
        if !(1..=MAX_MID).contains(&self.mid.len()) || !self.mid.bytes().all(is_of_name) {
            return Err(unusable(format!("the name of its media section is not 1 to {MAX_MID} letters and digits")));
        }
        for (what, value, lengths) in [("user name", self.user_name, USER_NAME), ("password", self.password, PASSWORD)]
        {
            let (least, most, len) = (lengths.start(), lengths.end(), value.len());
            if !lengths.contains(&len) {
                return Err(unusable(format!(
                    "its ICE {what} has {len} characters, where {least} to {most} can be used"
                )));
            }
            if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')) {
                return Err(unusable(format!("its ICE {what} has characters that are not allowed")));
            }
        }
        let mut pairs = self.fingerprint.split(':');
        let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        if pairs.clone().count() != FINGERPRINT || !pairs.all(is_pair) {
            return Err(unusable(format!("its fingerprint is not {FINGERPRINT} pairs of hexadecimal digits")));
        }
        match (self.setup, kind) {
            ("active" | "passive", _) | ("actpass", Kind::Offer) => Ok(()),
            _ => Err(unusable("its DTLS role is not allowed there")),
        }
    }

    /// Writes the description for str0m, without its candidates.
    pub(super) fn to_sdp(&self) -> String {
        let Description { mid, user_name, password, fingerprint, setup, .. } = self;
        let max_message = self.max_message.map_or_else(String::new, |bytes| format!("a=max-message-size:{bytes}\r\n"));
        format!(
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mid}\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n\
             a=ice-ufrag:{user_name}\r\na=ice-pwd:{password}\r\na=fingerprint:sha-256 {fingerprint}\r\n\
             a=setup:{setup}\r\na=sctp-port:5000\r\n{max_message}"
        )
    }
}

/// Returns the text of a candidate without what surrounds it; `None` if it cannot be used.
pub(super) fn candidate(text: &str) -> Option<&str> {
    let text = text.trim();
    let text = text.strip_prefix("a=").unwrap_or(text);
    (text.len() <= MAX_CANDIDATE && text.is_ascii()).then_some(text)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn check_media(section: &str) -> Result<(), PeerError> {
    let mut words = section.split(' ');
    let (kind, port) = (words.next(), words.next());
    let (protocol, format) = (words.next(), words.next());
    match (kind, protocol, format, words.next()) {
        (Some("application"), Some("UDP/DTLS/SCTP"), Some("webrtc-datachannel"), None) if port != Some("0") => Ok(()),
        _ => Err(unusable("it does not describe a DataChannel, and nothing else")),
    }
}

fn check_port(port: Attribute<'_>) -> Result<(), PeerError> {
    match port.value().map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(Ok(0) | Err(_)) => Err(unusable("its SCTP port is not a port number")),
    }
}

/// Parses the longest message that the peer takes; 0 means any length.
fn read_max_message(text: &str) -> Result<u32, PeerError> {
    match text.parse::<u64>() {
        Ok(bytes) if bytes == 0 || bytes >= LEAST_MESSAGE => Ok(u32::try_from(bytes).unwrap_or(u32::MAX)),
        Ok(bytes) => Err(unusable(format!("it takes messages of {bytes} bytes, and {LEAST_MESSAGE} are needed"))),
        Err(_) => Err(unusable("the longest message that it takes is not a number")),
    }
}

fn unusable(reason: impl Display) -> PeerError {
    PeerError::Description(reason.to_string())
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
