//! Which certificates of servers a client accepts, and how it explains that it refuses others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use thiserror::Error;
use webpki::EndEntityCert;

/// Maximum number of names of a certificate in a message, and of characters of each.
const MAX_NAMES: usize = 8;
const MAX_NAME: usize = 100;

/// Verifies as webpki does, and also accepts a server whose certificate is itself one of the trusted ones, as `curl
/// --cacert` does. webpki refuses a self-signed certificate that claims to be an authority, as `openssl req -x509`
/// makes it.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// The certificates of `--ca`; `None` if the system's authorities are trusted.
    listed: Option<Vec<CertificateDer<'static>>>,
}

impl Verifier {
    pub(super) fn new(inner: Arc<WebPkiServerVerifier>, listed: Option<Vec<CertificateDer<'static>>>) -> Verifier {
        Verifier { inner, listed }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_listed = self.listed.as_ref().is_some_and(|listed| listed.contains(end_entity));
        // Who signed a certificate that is trusted itself does not matter.
        let intermediates = if is_listed { &[] } else { intermediates };
        let error = match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(error)) => error,
            other => return other,
        };
        // webpki reports these only for a certificate with valid dates. A bad signature is that of another authority
        // with the same name.
        let is_of_authority = is_of_kind(&error, &webpki::Error::CaUsedAsEndEntity);
        if !is_of_authority && !matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
            return Err(error.into());
        }
        if is_listed {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let is_self_signed = EndEntityCert::try_from(end_entity).is_ok_and(|cert| cert.issuer() == cert.subject());
        let stranger = match (is_self_signed, self.listed.is_some()) {
            (true, false) => Stranger::SelfSigned,
            (true, true) => Stranger::NotListed,
            (false, _) if is_of_authority => return Err(error.into()),
            (false, false) => Stranger::UnknownIssuer,
            (false, true) => Stranger::IssuerNotListed,
        };
        Err(CertificateError::Other(OtherError(Arc::new(stranger))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A certificate that is fine in itself, but signed by nobody this client trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Stranger {
    /// It is self-signed, and the system's authorities are trusted.
    #[error("it is self-signed, so no authority vouches for it; pass --ca FILE with that certificate to trust it")]
    SelfSigned,
    /// It is self-signed, and the certificates of `--ca` are trusted.
    #[error("it is self-signed, and is none of the certificates that --ca names; does the server have a new one?")]
    NotListed,
    /// The system does not have the authority that signed it.
    #[error(
        "this machine does not know the authority that signed it, or the server leaves out a certificate between the two; \
         pass --ca FILE with the authority's certificate if it is a private one"
    )]
    UnknownIssuer,
    /// `--ca` does not have the authority that signed it.
    #[error(
        "none of the certificates that --ca names signed it, or the server leaves out a certificate between the two; only \
         those in the file are trusted, so leave --ca out for a public authority"
    )]
    IssuerNotListed,
}

/// Says what is wrong with a certificate, and what to do; continues the sentence "the certificate …: ".
pub(super) fn reason(error: &CertificateError) -> String {
    match error {
        CertificateError::BadEncoding => "it is damaged: it is not a certificate of X.509".into(),
        CertificateError::Expired => format!("it has expired; {RENEW}"),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("it expired {} ago; {RENEW}", distance(*not_after, *time))
        }
        CertificateError::NotValidYet => format!("it is not valid yet; {CLOCK}"),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("it is not valid yet, but will be in {}; {CLOCK}", distance(*time, *not_before))
        }
        CertificateError::Revoked => "its authority has revoked it; whoever runs the server needs a new one".into(),
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. }
        | CertificateError::InvalidOcspResponse => "whether it was revoked cannot be told".into(),
        CertificateError::UnknownIssuer => Stranger::UnknownIssuer.to_string(),
        CertificateError::BadSignature => {
            "the server does not have the key that belongs to it; whoever runs the server has to put the two together"
                .into()
        }
        CertificateError::NotValidForName => format!("it belongs to another name; {NAME}"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("it is not for {}, but for {}; {NAME}", expected.to_str(), names(presented))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is for another purpose than TLS servers (extendedKeyUsage without serverAuth)".into()
        }
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that is not supported here; whoever runs the server needs another one".into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => WEAK.into(),
        CertificateError::ApplicationVerificationFailure => "it was refused".into(),
        CertificateError::Other(OtherError(error)) => match error.downcast_ref() {
            Some(kind) => webpki_reason(kind),
            // A stranger.
            None => error.to_string(),
        },
        // Deprecated kinds, and those of a later version of the library.
        other => format!("it cannot be used ({})", spelled(&format!("{other:?}"))),
    }
}

const RENEW: &str = "whoever runs the server has to renew it, unless this machine's clock is wrong";
const CLOCK: &str = "is this machine's clock right?";
const NAME: &str = "use a name that it has, or have the server get one for this name (as subjectAltName)";
const WEAK: &str = "it has a key or a signature of a kind that is not supported here (DSA, SHA-1 or RSA below 2048 bits, for \
                    example); whoever runs the server needs another one";

fn webpki_reason(kind: &webpki::Error) -> String {
    use webpki::Error as Kind;
    match kind {
        Kind::CaUsedAsEndEntity => {
            "it is an authority's own (CA:TRUE), and such a one is accepted only if --ca FILE has exactly that certificate".into()
        }
        Kind::EndEntityUsedAsCa | Kind::PathLenConstraintViolated => {
            "a certificate in its chain may not sign others (CA:FALSE, or its path length is used up)".into()
        }
        Kind::NameConstraintViolation => "its authority may not sign for the name it has (name constraints)".into(),
        Kind::UnsupportedCertVersion => {
            "it is of X.509 version 1 or 2, and version 3 is needed; make a new one with a subjectAltName".into()
        }
        Kind::UnsupportedCriticalExtension => reason(&CertificateError::UnhandledCriticalExtension),
        Kind::MaximumSignatureChecksExceeded
        | Kind::MaximumPathBuildCallsExceeded
        | Kind::MaximumPathDepthExceeded
        | Kind::MaximumNameConstraintComparisonsExceeded => "its chain is too long or too tangled to be checked".into(),
        Kind::EmptyEkuExtension => reason(&CertificateError::InvalidPurpose),
        other => format!("it is not as a certificate has to be ({})", spelled(&format!("{other:?}"))),
    }
}

fn is_of_kind(error: &CertificateError, kind: &webpki::Error) -> bool {
    matches!(error, CertificateError::Other(OtherError(error)) if error.downcast_ref() == Some(kind))
}

/// Splits the name of a kind into words: `InvalidSerialNumber` becomes `invalid serial number`.
fn spelled(kind: &str) -> String {
    let mut words = String::new();
    for c in kind.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// Lists the names of a certificate; the text is the server's. webpki wraps each in its kind.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let name = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.strip_suffix(')').unwrap_or(rest));
        let name = name.trim_matches('"');
        name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect::<String>()
    };
    let mut shown: Vec<String> = presented.iter().take(MAX_NAMES).map(bare).collect();
    match presented.len() {
        0 => return "no name at all (it has no subjectAltName, and its common name does not count)".to_owned(),
        count if count > MAX_NAMES => shown.push(format!("{} more", count - MAX_NAMES)),
        _ => {}
    }
    shown.join(", ")
}

/// Returns the time from one date to another, in the largest unit.
fn distance(from: UnixTime, to: UnixTime) -> Distance {
    Distance(Duration::from_secs(to.as_secs().saturating_sub(from.as_secs())))
}

struct Distance(Duration);

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            0..120 => (seconds, "second"),
            120..7200 => (seconds / 60, "minute"),
            7200..172_800 => (seconds / 3600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

/// Checks whether a certificate to be presented is valid at that time and has a name. Returns what is wrong; ignores
/// who signed it.
pub(super) fn fault(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<String> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], now, algorithms) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after })) => {
            Some(format!("expired {} ago", distance(not_after, time)))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before })) => {
            let wait = distance(time, not_before);
            Some(format!("is not valid yet, but will be in {wait} (unless this machine's clock is wrong)"))
        }
        _ if has_no_name(&parsed) => Some("has no name (subjectAltName; the common name does not count)".to_owned()),
        _ => None,
    }
}

fn has_no_name(certificate: &ParsedCertificate<'_>) -> bool {
    // No certificate has this name (RFC 6761), so the error lists the names there are.
    let Ok(nobody) = ServerName::try_from("name.invalid") else { return false };
    matches!(
        verify_server_name(certificate, &nobody),
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) if presented.is_empty()
    )
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
