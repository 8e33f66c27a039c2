//! Whom a `wss://` client trusts, and what a server shows.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

/// The largest file that is read; the usual bundle of all public authorities has about 250 KiB.
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
    /// The file holds no certificate.
    #[error(
        "{path} holds no certificate: a PEM file with a line '-----BEGIN CERTIFICATE-----' is expected",
        path = path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file is damaged.
    #[error("certificate {number} in {path} cannot be used: {reason}", path = path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Which of its certificates, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds no private key.
    #[error(
        "{path} holds no private key that can be used: a PEM file with a line '-----BEGIN PRIVATE KEY-----' is expected",
        path = path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error(
        "the certificate in {certificate} and the key in {key} cannot be used together: {reason}",
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

/// Builds the trust configuration of a client, for all its connections.
///
/// With `ca` the authorities in that PEM file are trusted and no others. Without, those of the system are; where it has
/// none (small containers), Mozilla's list as built into this program.
///
/// # Errors
/// [`TlsConfigError`], naming the file.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let roots = match ca {
        Some(path) => roots_from_file(path)?,
        None => system_roots(),
    };
    // The provider is given here, never installed for the process: a program using the library may have its own.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A WebSocket upgrade exists in HTTP/1.1 only; front ends would otherwise be free to choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
    Ok(Arc::new(config))
}

/// Builds what a server shows to all that connect: the certificate chain of one PEM file and the private key of another.
///
/// # Errors
/// [`TlsConfigError`], naming the file.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let chain = certificates(certificate)?;
    if chain.is_empty() {
        return Err(TlsConfigError::NoCertificate { path: certificate.into() });
    }
    let unreadable = |source| TlsConfigError::Unreadable { path: key.into(), source };
    let pem = read_bounded(key).map_err(unreadable)?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsConfigError::NoKey { path: key.into() })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|reason| TlsConfigError::Mismatch { certificate: certificate.into(), key: key.into(), reason })?;
    // Browsers would rather speak HTTP/2, which is not spoken here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots_from_file(path: &Path) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for (certificate, number) in certificates(path)?.into_iter().zip(1..) {
        roots.add(certificate).map_err(|error| bad_certificate(path, number, error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsConfigError::NoCertificate { path: path.into() });
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let pem = read_bounded(path).map_err(|source| TlsConfigError::Unreadable { path: path.into(), source })?;
    let found = CertificateDer::pem_slice_iter(&pem).zip(1..);
    found.map(|(found, number)| found.map_err(|error| bad_certificate(path, number, error.to_string()))).collect()
}

fn bad_certificate(path: &Path, number: usize, reason: String) -> TlsConfigError {
    TlsConfigError::BadCertificate { path: path.into(), number, reason }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_CA_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_CA_FILE {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(content)
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
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("pinhole-tls-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        path
    }

    fn outcome(name: &str, content: &[u8]) -> Result<RootCertStore, TlsConfigError> {
        let path = file(name, content);
        let result = roots_from_file(&path);
        std::fs::remove_file(path).unwrap();
        result
    }

    #[test]
    fn the_default_has_roots() {
        assert!(!system_roots().is_empty());
        assert_eq!(client_config(None).unwrap().alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn a_file_is_used_or_the_error_names_it() {
        let good = rcgen::generate_simple_self_signed(["host.test".to_owned()]).unwrap().cert.pem();
        assert_eq!(outcome("good", good.repeat(2).as_bytes()).unwrap().len(), 2);

        let missing = Path::new("/nonexistent/ca.pem");
        let error = client_config(Some(missing)).unwrap_err();
        assert!(matches!(error, TlsConfigError::Unreadable { .. }));
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");

        for content in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(matches!(outcome("none", content.as_bytes()), Err(TlsConfigError::NoCertificate { .. })));
        }
        let damaged = [
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n".to_owned(),
            format!("{good}-----BEGIN CERTIFICATE-----\n"),
        ];
        for content in damaged {
            let error = outcome("bad", content.as_bytes()).unwrap_err();
            assert!(matches!(error, TlsConfigError::BadCertificate { .. }), "{error}");
        }
        let large = vec![b'\n'; MAX_CA_FILE as usize + 1];
        assert!(matches!(outcome("large", &large), Err(TlsConfigError::Unreadable { .. })));
    }

    #[test]
    fn a_server_needs_a_certificate_and_its_key() {
        let own = rcgen::generate_simple_self_signed(["host.test".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["host.test".to_owned()]).unwrap();
        let certificate = file("server-cert", own.cert.pem().as_bytes());
        let key = file("server-key", own.signing_key.serialize_pem().as_bytes());
        let wrong = file("wrong-key", other.signing_key.serialize_pem().as_bytes());
        assert_eq!(server_config(&certificate, &key).unwrap().alpn_protocols, [b"http/1.1"]);
        assert!(matches!(server_config(&certificate, &wrong), Err(TlsConfigError::Mismatch { .. })));
        assert!(matches!(server_config(&certificate, &certificate), Err(TlsConfigError::NoKey { .. })));
        assert!(matches!(server_config(&key, &key), Err(TlsConfigError::NoCertificate { .. })));
        assert!(matches!(server_config(Path::new("/none"), &key), Err(TlsConfigError::Unreadable { .. })));
        [certificate, key, wrong].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}
