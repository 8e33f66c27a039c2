//! A server with TLS of its own.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::common::pinhole::{Pinhole, text};
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
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(self.path("cert.pem"), certified.cert.pem()).unwrap();
        fs::write(self.path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        fs::write(self.path(name), certified.cert.pem()).unwrap();
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
    crate::lab::ping(&mut stream);

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
        let ended = crate::common::pinhole::run(&arguments);
        ended.expect(1, &[r#""code":"certificates""#, named]);
    }
}
