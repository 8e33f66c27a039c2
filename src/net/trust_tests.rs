//! Certificates as people make them, presented in whole TLS handshakes in memory, and kinds that people rarely see.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion, crypto};

use super::*;
use crate::net::tls::client_config;

/// Certificate chain that a server presents, and its key.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

/// Presents a certificate whether or not the key belongs to it.
#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The parameters of a certificate for `localhost`.
fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    params
}

fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = params(change).self_signed(&key).unwrap();
    Shown { chain: vec![certificate.der().clone()], key }
}

fn authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn named(name: &'static str) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        *params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        authority(params);
    }
}

/// A root, an authority under it, and a server's certificate under that one.
fn chain() -> (CertificateDer<'static>, CertificateDer<'static>, Shown) {
    let [root_key, middle_key, key] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let root = params(named("root"));
    let root_certificate = root.self_signed(&root_key).unwrap();
    let root = Issuer::new(root, root_key);
    let middle = params(named("middle"));
    let middle_certificate = middle.signed_by(&middle_key, &root).unwrap();
    let middle = Issuer::new(middle, middle_key);
    let own = params(|_| {}).signed_by(&key, &middle).unwrap();
    let chain = vec![own.der().clone(), middle_certificate.der().clone()];
    (root_certificate.der().clone(), middle_certificate.der().clone(), Shown { chain, key })
}

/// Returns a client's verdict on a server, over each version of TLS.
fn outcome(shown: &Shown, trusted: &[&CertificateDer<'_>], name: &'static str) -> Result<(), String> {
    let outcomes = [&rustls::version::TLS12, &rustls::version::TLS13].map(|tls| handshake(shown, trusted, name, tls));
    assert_eq!(outcomes[0], outcomes[1]);
    outcomes[0].clone()
}

fn handshake(
    shown: &Shown,
    trusted: &[&CertificateDer<'_>],
    name: &'static str,
    version: &'static SupportedProtocolVersion,
) -> Result<(), String> {
    let pem = |der: &CertificateDer<'_>| {
        let body = data_encoding::BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    let file = (!trusted.is_empty()).then(|| {
        let path =
            std::env::temp_dir().join(format!("pinhole-trust-{}-{}.pem", std::process::id(), rand::random::<u64>()));
        std::fs::write(&path, trusted.iter().map(|der| pem(der)).collect::<String>()).unwrap();
        path
    });
    let client = client_config(file.as_deref());
    file.map(std::fs::remove_file).transpose().unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.key.serialize_der()));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = CertifiedKey::new(shown.chain.clone(), key);
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Fixed(Arc::new(certified))));
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = ClientConnection::new(client.unwrap(), name.try_into().unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &wire[..]).unwrap();
        match client.process_new_packets() {
            Ok(_) => {}
            Err(Error::InvalidCertificate(error)) => return Err(reason(&error)),
            Err(error) => panic!("{error}"),
        }
    }
    Ok(())
}

#[track_caller]
fn refused(outcome: Result<(), String>, part: &str) {
    let said = outcome.expect_err("it is refused");
    assert!(said.contains(part), "{said:?} should say: {part}");
    assert!(!said.contains("Other"), "{said:?} is no sentence");
}

#[test]
fn a_certificate_that_is_named_is_trusted_as_its_servers_own() {
    for change in [authority as fn(&mut CertificateParams), |_| {}] {
        let own = self_signed(change);
        let other = self_signed(change);
        assert_eq!(outcome(&own, &[&own.chain[0]], "localhost"), Ok(()));
        assert_eq!(outcome(&own, &[&other.chain[0], &own.chain[0]], "localhost"), Ok(()));
        refused(outcome(&own, &[&other.chain[0]], "localhost"), "none of the certificates that --ca names");
        refused(outcome(&own, &[], "localhost"), "it is self-signed, so no authority vouches for it; pass --ca FILE");
    }
}

#[test]
fn one_that_is_named_is_checked_like_any_other() {
    for is_authority in [true, false] {
        let change = |more: fn(&mut CertificateParams)| {
            self_signed(|params| {
                if is_authority {
                    authority(params);
                }
                more(params);
            })
        };
        let own = change(|_| {});
        refused(
            outcome(&own, &[&own.chain[0]], "other.test"),
            "it is not for other.test, but for localhost; use a name",
        );
        let expired = change(|params| params.not_after = date_time_ymd(2001, 1, 1));
        refused(
            outcome(&expired, &[&expired.chain[0]], "localhost"),
            "days ago; whoever runs the server has to renew it",
        );
        let early = change(|params| params.not_before = date_time_ymd(2900, 1, 1));
        refused(outcome(&early, &[&early.chain[0]], "localhost"), "is this machine's clock right?");
        // An impostor that has the certificate, which is public, but not its key.
        let thief = Shown { chain: own.chain.clone(), key: KeyPair::generate().unwrap() };
        refused(outcome(&thief, &[&own.chain[0]], "localhost"), "does not have the key");
    }
}

#[test]
fn chains_are_followed() {
    let (root, middle, shown) = chain();
    let short = Shown { chain: shown.chain[..1].to_vec(), key: KeyPair::try_from(shown.key.serialize_der()).unwrap() };
    assert_eq!(outcome(&shown, &[&root], "localhost"), Ok(()));
    assert_eq!(outcome(&shown, &[&middle], "localhost"), Ok(()));
    assert_eq!(outcome(&short, &[&middle], "localhost"), Ok(()));
    // The server's own, which is neither self-signed nor an authority: curl trusts it, too.
    for shown in [&shown, &short] {
        assert_eq!(outcome(shown, &[&shown.chain[0]], "localhost"), Ok(()));
        refused(outcome(shown, &[&shown.chain[0]], "other.test"), "it is not for other.test");
    }
    refused(outcome(&short, &[&root], "localhost"), "the server leaves out a certificate between the two");
    refused(outcome(&shown, &[], "localhost"), "does not know the authority that signed it");
    let (namesake, ..) = chain();
    refused(outcome(&shown, &[&namesake], "localhost"), "none of the certificates that --ca names signed it");
    assert_eq!(outcome(&short, &[&namesake, &shown.chain[0]], "localhost"), Ok(()));
    let stranger = self_signed(authority);
    refused(outcome(&shown, &[&stranger.chain[0]], "localhost"), "none of the certificates that --ca names signed it");
}

#[test]
fn an_authority_that_is_trusted_does_not_vouch_for_authorities_as_servers() {
    let [root_key, key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let root = params(named("root"));
    let root_certificate = root.self_signed(&root_key).unwrap();
    let middle = params(authority).signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    let shown = Shown { chain: vec![middle.der().clone()], key };
    refused(outcome(&shown, &[root_certificate.der()], "localhost"), "an authority's own (CA:TRUE)");
}

#[test]
fn other_purposes_and_missing_names_are_said() {
    let client_only = self_signed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    refused(outcome(&client_only, &[&client_only.chain[0]], "localhost"), "another purpose than TLS servers");
    let nameless = self_signed(|params| *params = CertificateParams::new(vec![]).unwrap());
    refused(outcome(&nameless, &[&nameless.chain[0]], "localhost"), "no name at all (it has no subjectAltName");
    let many = self_signed(|params| {
        *params = CertificateParams::new((0..20).map(|n| format!("h{n}.test")).collect::<Vec<_>>()).unwrap();
    });
    refused(outcome(&many, &[&many.chain[0]], "localhost"), "h6.test, h7.test, 12 more");
}

/// Every error that rustls and webpki have for a certificate is put into words, even those that no test can cause.
#[test]
fn every_kind_is_said_in_words() {
    use webpki::Error as Kind;
    let of_webpki = [
        Kind::CaUsedAsEndEntity,
        Kind::CertDistrusted,
        Kind::EmptyEkuExtension,
        Kind::EndEntityUsedAsCa,
        Kind::ExtensionValueInvalid,
        Kind::InvalidSerialNumber,
        Kind::MalformedDnsIdentifier,
        Kind::MalformedExtensions,
        Kind::MalformedNameConstraint,
        Kind::MaximumPathBuildCallsExceeded,
        Kind::MaximumPathDepthExceeded,
        Kind::MaximumSignatureChecksExceeded,
        Kind::NameConstraintViolation,
        Kind::PathLenConstraintViolated,
        Kind::SignatureAlgorithmMismatch,
        Kind::UnsupportedCertVersion,
        Kind::UnsupportedCriticalExtension,
        Kind::UnsupportedNameType,
    ];
    let of_webpki = of_webpki.map(|kind| CertificateError::Other(OtherError(Arc::new(kind))));
    let of_rustls = [
        CertificateError::BadEncoding,
        CertificateError::Expired,
        CertificateError::NotValidYet,
        CertificateError::Revoked,
        CertificateError::UnhandledCriticalExtension,
        CertificateError::UnknownIssuer,
        CertificateError::UnknownRevocationStatus,
        CertificateError::ExpiredRevocationList,
        CertificateError::BadSignature,
        CertificateError::NotValidForName,
        CertificateError::InvalidPurpose,
        CertificateError::InvalidOcspResponse,
        CertificateError::ApplicationVerificationFailure,
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![1],
            supported_algorithms: Vec::new(),
        },
    ];
    for error in of_webpki.iter().chain(&of_rustls) {
        let said = reason(error);
        let is_name =
            |word: &str| word.chars().skip(1).any(|c| c.is_ascii_uppercase()) && word.contains(char::is_lowercase);
        let known = ["subjectAltName", "extendedKeyUsage", "serverAuth"];
        let names = said.split(|c: char| !c.is_alphanumeric()).filter(|word| is_name(word) && !known.contains(word));
        assert_eq!(names.count(), 0, "{said}");
        assert!(said.contains(' ') && !said.contains("Other") && !said.ends_with('.'), "{said}");
    }
}

#[test]
fn text_of_a_certificate_is_bounded() {
    let presented = vec![format!("DnsName(\"{}\x1b[2J\")", "x".repeat(500)); 100];
    let said = names(&presented);
    assert!(said.len() < 1200 && !said.contains(char::is_control), "{said}");
    assert_eq!(names(&["IpAddress(127.0.0.1)".to_owned(), "DirectoryName".to_owned()]), "127.0.0.1, DirectoryName");
}

#[test]
fn a_certificate_of_ones_own_is_looked_at() {
    let fault_of = |change: fn(&mut CertificateParams)| fault(&self_signed(change).chain[0], UnixTime::now());
    assert_eq!(fault_of(|_| {}), None);
    assert_eq!(fault_of(authority), None);
    assert_eq!(fault_of(|params| *params = CertificateParams::new(vec!["192.0.2.1".to_owned()]).unwrap()), None);
    assert!(fault_of(|params| params.not_after = date_time_ymd(2001, 1, 1)).unwrap().starts_with("expired "));
    assert!(fault_of(|params| params.not_before = date_time_ymd(2900, 1, 1)).unwrap().contains("not valid yet"));
    assert!(fault_of(|params| *params = CertificateParams::new(vec![]).unwrap()).unwrap().contains("has no name"));
}

#[test]
fn times_are_told_in_their_largest_unit() {
    let said =
        [1, 119, 120, 7199, 7200, 172_799, 172_800].map(|seconds| Distance(Duration::from_secs(seconds)).to_string());
    assert_eq!(said, ["1 second", "119 seconds", "2 minutes", "119 minutes", "2 hours", "47 hours", "2 days"]);
}
