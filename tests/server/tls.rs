//! A server with TLS of its own.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::common::pinhole::{Pinhole, run, text};
use crate::common::services::echo;
use crate::lab::{Client, Server, check_echo, registered};

/// Files of a server's certificate, which is its own authority; they are gone when this is dropped.
struct Files {
    directory: PathBuf,
}

impl Files {
    fn new(name: &str) -> Files {
        let directory = std::env::temp_dir().join(format!("pinhole-server-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let files = Files { directory };
        files.renew("first.pem");
        files
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }

    /// Makes another certificate, which clients find under that name.
    fn renew(&self, name: &str) {
        self.make(name, |_| {});
    }

    /// The same with a change to what is usual.
    fn make(&self, name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) {
        let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        fs::write(self.path("cert.pem"), &certificate).unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        fs::write(self.path(name), &certificate).unwrap();
    }

    fn server(&self) -> Server {
        Server::open(&["--tls-cert", &self.path("cert.pem"), "--tls-key", &self.path("key.pem")])
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn start_host(server: &Server, id: &str, ca: &str) -> Pinhole {
    let url = format!("wss://{}", server.address());
    Pinhole::host(echo(), &["--server", &url, "--id", id, "--ca", ca])
}

#[test]
fn hosts_and_clients_come_in_by_tls() {
    let files = Files::new("tls");
    let server = files.server();
    assert_eq!(server.serving["tls"], true);
    let ca = files.path("first.pem");
    let mut host = start_host(&server, "myhost", &ca);
    let url = registered(&mut host);
    assert!(url.starts_with(&format!("wss://{}/ws/myhost?pin=", server.address())), "{url}");
    let mut clients = ["--relay-only", "--no-relay"].map(|way| Client::of(&url, &[way, "--ca", &ca]));
    for client in &mut clients {
        check_echo(client.local, 5_000_000);
        client.process.stop();
    }
    // Whoever trusts others, or speaks no TLS, does not come in.
    files.renew("second.pem");
    start_host(&server, "other", &files.path("second.pem")).end().expect(1, &["certificate"]);
    Pinhole::client(&url, &["--ca", &files.path("second.pem")]).end().expect(1, &[r#""code":"certificate""#]);
    Pinhole::client(&url.replace("wss:", "ws:"), &[])
        .end()
        .expect(1, &[r#""code":"unreachable""#, "use wss:// instead of ws://"]);
    server
        .start_host("other", echo(), &[])
        .end()
        .expect(1, &[r#""code":"unreachable""#, "use wss:// instead of ws://"]);
    host.stop();
    server.stop();
}

#[test]
fn a_certificate_is_replaced_beside_what_is_open() {
    let files = Files::new("renewal");
    let mut server = files.server();
    let (first, second) = (files.path("first.pem"), files.path("second.pem"));
    let mut host = start_host(&server, "myhost", &first);
    let url = registered(&mut host);
    let mut client = Client::of(&url, &["--relay-only", "--ca", &first]);
    let mut stream = client.stream();

    files.renew("second.pem");
    server.process.signal(Signal::SIGHUP);
    assert_eq!(text(&server.process.event("reloaded"), "what"), "certificate");
    let mut newcomer = Client::of(&url, &["--relay-only", "--ca", &second]);
    check_echo(newcomer.local, 100_000);
    newcomer.process.stop();
    Pinhole::client(&url, &["--ca", &first]).end().expect(1, &[r#""code":"certificate""#]);
    crate::common::ping(&mut stream);

    // What cannot be read changes nothing.
    fs::write(files.path("key.pem"), "nonsense").unwrap();
    server.process.signal(Signal::SIGHUP);
    let warning = server.process.problem("warning", "reload");
    assert!(warning.contains("the certificate stays as it was"), "{warning}");
    let mut newcomer = Client::of(&url, &["--relay-only", "--ca", &second]);
    check_echo(newcomer.local, 100_000);
    newcomer.process.stop();
    client.is_undisturbed();
    client.process.stop();
    host.stop();
    server.stop();
}

#[test]
fn files_that_are_none_end_a_server_before_it_serves() {
    let files = Files::new("none");
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let missing = files.path("missing.pem");
    for (certificate, key, named) in [
        (&missing, &key, &missing),
        (&certificate, &missing, &missing),
        (&key, &key, &key),
        (&certificate, &certificate, &certificate),
    ] {
        let arguments =
            ["server", "--json", "--open", "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
        let ended = run(&arguments);
        ended.expect(1, &[r#""code":"certificates""#, named]);
    }
}

#[test]
fn a_certificate_that_calls_itself_an_authority_is_trusted_where_it_is_named() {
    let files = Files::new("authority");
    let authority = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    files.make("first.pem", authority);
    let server = files.server();
    let ca = files.path("first.pem");
    let mut host = start_host(&server, "myhost", &ca);
    let url = registered(&mut host);
    let mut client = Client::of(&url, &["--ca", &ca]);
    check_echo(client.local, 100_000);
    client.process.stop();
    run(&["check", &url, "--no-stun", "--ca", &ca]).expect(0, &["together"]);

    // Everybody says what is wrong, and what to do.
    let said = "error: cannot reach the host: the server's certificate is not trusted: ";
    let stranger = [said, "it is self-signed, so no authority vouches for it; pass --ca FILE"];
    run(&["client", &url, "0", "--no-stun"]).expect(1, &stranger);
    run(&["check", &url, "--no-stun"]).expect(1, &stranger[1..]);
    let name = ["it is not for localhost, but for 127.0.0.1; use a name that it has"];
    run(&["client", &url.replace("127.0.0.1", "localhost"), "0", "--no-stun", "--ca", &ca]).expect(1, &name);
    files.make("second.pem", authority);
    let other = files.path("second.pem");
    start_host(&server, "other", &other)
        .end()
        .expect(1, &["it is self-signed, and is none of the certificates that --ca"]);
    host.stop();
    server.stop();
}

#[test]
fn a_server_says_that_its_certificate_is_out_of_date() {
    let files = Files::new("dates");
    files.make("first.pem", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    let mut server = files.server();
    let host = start_host(&server, "myhost", &files.path("first.pem")).end();
    host.expect(1, &["the server's certificate is not trusted: it expired ", " days ago"]);
    server.process.signal(Signal::SIGHUP);
    let warning = server.process.problem("warning", "certificate");
    assert!(warning.contains("cert.pem expired") && warning.contains("send SIGHUP"), "{warning}");
    let warnings = server.stop().stdout.matches(r#""code":"certificate""#).count();
    assert_eq!(warnings, 2, "at start, and once more");
}
