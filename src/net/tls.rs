//! Which authorities a `wss://` client trusts, and what a server presents.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{CipherSuite, ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use thiserror::Error;

use super::files;
use super::trust::{self, Verifier};
use crate::processor::Processor;

/// Largest file that is read, in bytes; the usual bundle of all public authorities has about 250 KiB.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// Sessions remembered for a shorter handshake with the same server.
const REMEMBERED_SESSIONS: usize = 8;

/// Why there is no usable trust configuration.
#[derive(Debug, Error)]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file contains no certificate.
    #[error(
        "{path} holds no certificate: {found}; a PEM file with a line '-----BEGIN CERTIFICATE-----' is expected",
        path = path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// The file's content, in words.
        found: String,
    },
    /// A certificate in the file is damaged.
    #[error("certificate {number} in {path} cannot be used: {reason}", path = path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Number of the certificate in the file, from 1.
        number: usize,
        /// The fault.
        reason: String,
    },
    /// The file contains no private key.
    #[error(
        "{path} holds no private key that can be used: {found}; a PEM file with a line '-----BEGIN PRIVATE KEY-----' is \
         expected",
        path = path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The file's content, in words.
        found: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error(
        "the certificate in {certificate} and the key in {key} cannot be used together: {}",
        mismatch(reason),
        certificate = certificate.display(),
        key = key.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The library's reason.
        reason: rustls::Error,
    },
    /// The cryptographic library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

impl TlsConfigError {
    /// Tells whether it is about the certificates of this file alone.
    #[cfg(all(feature = "cli", feature = "server"))]
    pub(crate) fn is_of(&self, file: &Path) -> bool {
        match self {
            TlsConfigError::Unreadable { path, .. }
            | TlsConfigError::NoCertificate { path, .. }
            | TlsConfigError::BadCertificate { path, .. } => path == file,
            TlsConfigError::NoKey { .. } | TlsConfigError::Mismatch { .. } | TlsConfigError::Library(_) => false,
        }
    }
}

/// Builds the trust configuration of a client, for all its connections.
///
/// With `ca`, only the authorities in that PEM file are trusted. Without, those of the system are, or, if it has none
/// (small containers), Mozilla's list, which is built into this program.
///
/// # Errors
/// [`TlsConfigError`], naming the file.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsConfigError> {
    client_config_on(Processor::here(), ca)
}

fn client_config_on(processor: Processor, ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let (roots, listed) = match ca {
        Some(path) => {
            let listed = certificates(path)?;
            (roots_of(path, &listed)?, Some(listed))
        }
        None => (system_roots(), None),
    };
    let provider = provider(processor);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let verifier = verifier.map_err(|error| TlsConfigError::Library(rustls::Error::General(error.to_string())))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // Everything webpki refuses stays refused, except where `Verifier` documents otherwise.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(verifier, listed)))
        .with_no_client_auth();
    // WebSocket upgrades exist only in HTTP/1.1; without this, front ends could choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
    Ok(Arc::new(config))
}

/// TLS of a server, and a flaw in its certificate that does not prevent its use.
#[derive(Debug)]
pub struct ServerTls {
    /// For all connections.
    pub config: Arc<ServerConfig>,
    /// Why clients will refuse the certificate, as a sentence.
    pub remark: Option<String>,
}

/// Builds what a server presents to all connections: the certificate chain of one PEM file and the private key of
/// another.
///
/// # Errors
/// [`TlsConfigError`], naming the file.
pub fn server_config(certificate: &Path, key: &Path) -> Result<ServerTls, TlsConfigError> {
    server_config_on(Processor::here(), certificate, key)
}

fn server_config_on(processor: Processor, certificate: &Path, key: &Path) -> Result<ServerTls, TlsConfigError> {
    let chain = certificates(certificate)?;
    let pem = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let found = if matches!(error, pem::Error::NoItemsFound) { contents(&pem) } else { damage(&error) };
        TlsConfigError::NoKey { path: key.into(), found }
    })?;
    let remark = chain.first().and_then(|own| trust::fault(own, UnixTime::now())).map(|fault| {
        let path = certificate.display();
        format!("the certificate in {path} {fault}, and clients refuse it: put a valid one there, then send SIGHUP")
    });
    let mut config = ServerConfig::builder_with_provider(provider(processor))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|reason| TlsConfigError::Mismatch { certificate: certificate.into(), key: key.into(), reason })?;
    // Browsers prefer HTTP/2, which is not supported here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A client without AES puts ChaCha20 first, and gets it; a server without AES goes by its own order.
    config.ignore_client_order = processor.wants_chacha20();
    Ok(ServerTls { config: Arc::new(config), remark })
}

/// Returns the cryptography for TLS. It is given to each configuration, never installed for the process: a program
/// using the library may have its own.
fn provider(processor: Processor) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    processor.sort(&mut provider.cipher_suites, |suite| {
        matches!(
            suite.suite(),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    });
    Arc::new(provider)
}

fn roots_of(path: &Path, certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for (certificate, number) in certificates.iter().zip(1..) {
        let added = roots.add(certificate.clone());
        added.map_err(|error| bad_certificate(path, number, words(&error)))?;
    }
    Ok(roots)
}

/// Reads all certificates of a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let pem = read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).zip(1..);
    let found = found.map(|(found, number)| found.map_err(|error| bad_certificate(path, number, damage(&error))));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        return Err(TlsConfigError::NoCertificate { path: path.into(), found: contents(&pem) });
    }
    Ok(found)
}

fn bad_certificate(path: &Path, number: usize, reason: String) -> TlsConfigError {
    TlsConfigError::BadCertificate { path: path.into(), number, reason }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    let unreadable = |source| TlsConfigError::Unreadable { path: path.into(), source };
    let mut content = Vec::new();
    files::open(path).and_then(|file| file.take(MAX_CA_FILE + 1).read_to_end(&mut content)).map_err(unreadable)?;
    if content.len() as u64 > MAX_CA_FILE {
        return Err(unreadable(io::Error::other("it is larger than 4 MiB")));
    }
    Ok(content)
}

/// Says what a file contains instead of the expected PEM, and how to convert it.
fn contents(file: &[u8]) -> String {
    const LABEL: &[u8] = b"-----BEGIN ";
    /// First bytes of DER: a sequence of more than 127 bytes.
    const DER: &[u8] = &[0x30, 0x82];
    let label = file.windows(LABEL.len()).position(|window| window == LABEL).map(|at| &file[at + LABEL.len()..]);
    let label = label.map(|rest| rest.iter().take(40).map(|&byte| char::from(byte)));
    let label: Option<String> = label.map(|rest| rest.take_while(|c| c.is_ascii_alphanumeric() || *c == ' ').collect());
    match label.as_deref() {
        _ if file.iter().all(u8::is_ascii_whitespace) => "it is empty".to_owned(),
        Some("ENCRYPTED PRIVATE KEY") => {
            "its private key has a passphrase, which nobody could type at every start (openssl pkey takes it off)"
                .to_owned()
        }
        Some("TRUSTED CERTIFICATE") => {
            "it has OpenSSL's TRUSTED CERTIFICATE (openssl x509 without -trustout writes the usual form)".to_owned()
        }
        Some("CERTIFICATE REQUEST") => {
            "it has a request for a certificate, which an authority has yet to answer".to_owned()
        }
        Some(label) => format!("it has '{}'", label.trim()),
        None if file.starts_with(DER) => {
            "it is in binary form, DER or PKCS #12 (openssl x509, pkey or pkcs12 turns that into PEM)".to_owned()
        }
        None => "there is no line that begins with '-----BEGIN'".to_owned(),
    }
}

/// Says how a PEM file is damaged.
fn damage(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its '-----END' line is missing: the file was cut off".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a '-----BEGIN' line does not end with five hyphens".to_owned(),
        pem::Error::Base64Decode(_) => {
            "what stands between its '-----BEGIN' and '-----END' lines is not base64".to_owned()
        }
        other => other.to_string(),
    }
}

fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => trust::reason(error),
        other => other.to_string(),
    }
}

fn mismatch(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the key is not the certificate's; each certificate works with the key alone that it was made for, and the server's \
             own stands first in its file"
                .to_owned()
        }
        rustls::Error::General(_) => {
            "the key is of a kind that is not supported: RSA of 2048 bits or more, ECDSA P-256, P-384 or P-521, or Ed25519 is"
                .to_owned()
        }
        other => words(other),
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::debug!("system certificates: {error}");
    }
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        log::debug!("the system has no certificates: using the built-in list");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    } else if ignored > 0 {
        log::debug!("ignored {ignored} system certificates");
    }
    roots
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
