use super::*;

fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pinhole-tls-{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

fn outcome(name: &str, content: &[u8]) -> Result<RootCertStore, TlsConfigError> {
    let path = file(name, content);
    let result = certificates(&path).and_then(|found| roots_of(&path, &found));
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
fn what_a_file_holds_instead_is_said() {
    let rows: [(&[u8], &str); 8] = [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"hello", "no line that begins with '-----BEGIN'"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "it has 'PRIVATE KEY'"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "has a passphrase"),
        (b"-----BEGIN TRUSTED CERTIFICATE-----\n", "without -trustout"),
        (b"-----BEGIN \x1b[2J", "it has ''"),
        (b"\x30\x82\x01\x00", "binary form"),
    ];
    for (content, part) in rows {
        let said = contents(content);
        assert!(said.contains(part) && !said.contains(char::is_control), "{said} should say: {part}");
    }
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(outcome("cut", cut.as_bytes()).unwrap_err().to_string().contains("was cut off"));
    let certificate = rcgen::generate_simple_self_signed(["host.test".to_owned()]).unwrap().cert.pem();
    let certificate = file("only-cert", certificate.as_bytes());
    let error = server_config(&certificate, &certificate).unwrap_err().to_string();
    assert!(error.contains("no private key that can be used: it has 'CERTIFICATE'"), "{error}");
    std::fs::remove_file(certificate).unwrap();
}

#[test]
fn an_expired_certificate_of_ones_own_is_remarked_on() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["host.test".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let certificate = file("expired", params.self_signed(&key).unwrap().pem().as_bytes());
    let key = file("expired-key", key.serialize_pem().as_bytes());
    let remark = server_config(&certificate, &key).unwrap().remark.unwrap();
    assert!(remark.contains("expired") && remark.contains(certificate.to_str().unwrap()), "{remark}");
    [certificate, key].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[test]
fn a_server_needs_a_certificate_and_its_key() {
    let own = rcgen::generate_simple_self_signed(["host.test".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["host.test".to_owned()]).unwrap();
    let certificate = file("server-cert", own.cert.pem().as_bytes());
    let key = file("server-key", own.signing_key.serialize_pem().as_bytes());
    let wrong = file("wrong-key", other.signing_key.serialize_pem().as_bytes());
    let tls = server_config(&certificate, &key).unwrap();
    assert_eq!(tls.config.alpn_protocols, [b"http/1.1"]);
    assert_eq!(tls.remark, None);
    let error = server_config(&certificate, &wrong).unwrap_err();
    assert!(matches!(error, TlsConfigError::Mismatch { .. }));
    assert!(error.to_string().contains("the key is not the certificate's"), "{error}");
    assert!(matches!(server_config(&certificate, &certificate), Err(TlsConfigError::NoKey { .. })));
    assert!(matches!(server_config(&key, &key), Err(TlsConfigError::NoCertificate { .. })));
    assert!(matches!(server_config(Path::new("/none"), &key), Err(TlsConfigError::Unreadable { .. })));
    [certificate, key, wrong].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}
/// Returns the suite that two ends agree on.
fn agreed(client: ClientConfig, server: Arc<ServerConfig>) -> CipherSuite {
    let mut client = rustls::ClientConnection::new(Arc::new(client), "host.test".try_into().unwrap()).unwrap();
    let mut server = rustls::ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    client.negotiated_cipher_suite().unwrap().suite()
}

#[test]
fn each_pair_of_processors_uses_the_cipher_that_suits_both() {
    use Processor::{WithAes, WithoutAes};
    let own = rcgen::generate_simple_self_signed(["host.test".to_owned()]).unwrap();
    let certificate = file("pair-cert", own.cert.pem().as_bytes());
    let key = file("pair-key", own.signing_key.serialize_pem().as_bytes());
    let own = ClientConfig::clone(&client_config_on(WithoutAes, Some(&certificate)).unwrap());
    assert_eq!(
        agreed(own, server_config(&certificate, &key).unwrap().config),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    );
    for (client, server, is_chacha20) in [
        (WithAes, WithAes, false),
        (WithAes, WithoutAes, true),
        (WithoutAes, WithAes, true),
        (WithoutAes, WithoutAes, true),
    ] {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let roots = roots_of(&certificate, &certificates(&certificate).unwrap()).unwrap();
            let config = ClientConfig::builder_with_provider(provider(client)).with_protocol_versions(&[version]);
            let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
            let suite = agreed(config, server_config_on(server, &certificate, &key).unwrap().config);
            let name = format!("{suite:?}");
            assert_eq!(name.contains("CHACHA20"), is_chacha20, "{client:?} {server:?} {name}");
            assert_eq!(name.contains("TLS13"), version == &rustls::version::TLS13, "{name}");
        }
    }
    // A client that does not know ChaCha20 is served all the same.
    let mut aes = CryptoProvider::clone(&provider(WithAes));
    aes.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("AES_128"));
    let roots = roots_of(&certificate, &certificates(&certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aes)).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let server = server_config_on(WithoutAes, &certificate, &key).unwrap().config;
    assert_eq!(agreed(config, server), CipherSuite::TLS13_AES_128_GCM_SHA256);
    [certificate, key].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}
