//! The gateway with a certificate, on the port it shares with signaling and on its own.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::http::{ok, service};
use super::rig::{Curl, DOMAIN, Folder, Server};
use crate::common::connect;
use crate::common::pinhole::Pinhole;

/// A private authority, and a certificate of its for the gateway's names and for this machine.
pub(crate) struct Authority {
    folder: Folder,
    roots: RootCertStore,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        // Other than what certificates have by default, or this one would seem to have signed itself.
        ca.distinguished_name.push(rcgen::DnType::CommonName, "an authority for tests");
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let names = [DOMAIN.to_owned(), format!("*.{DOMAIN}"), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let folder = Folder::new(&format!("tls-{name}"));
        folder.file("ca.pem", ca_certificate.pem());
        folder.file("certificate.pem", certificate.pem());
        folder.file("key.pem", key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(ca_certificate.der().clone()).unwrap();
        Authority { folder, roots }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A server with the certificate.
    #[track_caller]
    pub(crate) fn server(&self, more: &[&str]) -> Server {
        let (certificate, key) = (self.path("certificate.pem"), self.path("key.pem"));
        Server::with(&[&["--tls-cert", &certificate, "--tls-key", &key], more].concat())
    }

    /// Publishes a service there.
    #[track_caller]
    pub(crate) fn publish(&self, server: &Server, id: &str, service: SocketAddr, more: &[&str]) -> Pinhole {
        let (target, ca) = (format!("web={service}"), self.path("ca.pem"));
        server.host(id, &[&["--public", "web", &target, "--ca", &ca], more].concat())
    }

    /// Connects as a browser that trusts the authority.
    pub(crate) fn connect(&self, address: SocketAddr, name: &'static str) -> StreamOwned<ClientConnection, TcpStream> {
        self.over(connect(address), name)
    }

    /// The same over a connection that is there.
    pub(crate) fn over(&self, stream: TcpStream, name: &'static str) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
    }
}

/// Browsers, hosts and the server's own pages share one port, and its certificate.
#[test]
fn curl_over_tls() {
    let authority = Authority::new("curl");
    let server = authority.server(&["--open"]);
    let Some(curl) = Curl::find(&server, "the gateway over TLS by curl") else { return };
    let mirror = service(|request, _| ok(format!("{request:?}")));
    let _host = authority.publish(&server, "myhost", mirror, &[]);
    let ca = authority.path("ca.pem");
    for port in [server.address.port(), server.gateway.port()] {
        let url = format!("https://myhost.{DOMAIN}:{port}/a?b");
        let (status, said) = curl.get(&["--cacert", &ca, &url]);
        assert_eq!(status, "200", "{said}");
        for part in [
            "GET /a?b HTTP/1.1",
            r#"("x-forwarded-proto", "https")"#,
            r#"("x-forwarded-for", "127.0.0.1")"#,
            &format!(r#"("host", "myhost.{DOMAIN}:{port}")"#),
        ] {
            assert!(said.contains(part), "no {part} in {said}");
        }
        // HTTP/2 is not offered, and what asks for it gets 1.1.
        let version = curl.run(&["--cacert", &ca, "--http2", "-o", "/dev/null", "-w", "%{http_version}", &url]);
        assert_eq!(String::from_utf8_lossy(&version.stdout), "1.1");
    }
    let health = format!("https://{DOMAIN}:{}/healthz", server.address.port());
    assert_eq!(curl.get(&["--cacert", &ca, &health]), ("200".to_owned(), "ok\n".to_owned()));
    // Without the authority nothing is served.
    let url = format!("https://{}/", server.authority("myhost"));
    assert_eq!(curl.run(&[&url]).status.code(), Some(60));
    // Without TLS it is at the port where no host sends its token, and the service is told.
    let said = curl.get(&[&format!("http://{}/", server.authority("myhost"))]).1;
    assert!(said.contains(r#"("x-forwarded-proto", "http")"#), "{said}");
    let plain = curl.run(&[&format!("http://myhost.{DOMAIN}:{}/", server.address.port())]);
    assert!(!plain.status.success(), "{plain:?}");
}
