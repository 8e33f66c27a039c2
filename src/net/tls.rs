//! Whom a `wss://` client trusts.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// The largest `--ca` file that is read; the usual bundle of all public authorities has about 250 KiB.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// Sessions remembered for a shorter handshake with the same server.
const REMEMBERED_SESSIONS: usize = 8;

/// Why there is no usable trust configuration.
#[derive(Debug, Error)]
pub enum TlsConfigError {
    /// The `--ca` file cannot be read.
    #[error("cannot read the certificate file {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The `--ca` file holds no certificate.
    #[error(
        "{path} holds no certificate: --ca expects a PEM file with a line '-----BEGIN CERTIFICATE-----'",
        path = path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the `--ca` file is damaged.
    #[error("certificate {number} in {path} cannot be used: {reason}", path = path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Which of its certificates, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
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

fn roots_from_file(path: &Path) -> Result<RootCertStore, TlsConfigError> {
    let pem = read_bounded(path).map_err(|source| TlsConfigError::Unreadable { path: path.into(), source })?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
            .map_err(|reason| TlsConfigError::BadCertificate { path: path.into(), number: index + 1, reason })?;
    }
    if roots.is_empty() {
        return Err(TlsConfigError::NoCertificate { path: path.into() });
    }
    Ok(roots)
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
}
