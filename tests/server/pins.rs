//! The pins of hosts on a server: they last as long as their owners want, and guesses take time.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep};
use pinhole::internals::signaling::pin::Pin;

use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::echo;
use crate::common::system::figure;
use crate::lab::{Client, Server, check_echo, registered};
use crate::raw::Raw;

/// A file with a pin; it is gone when this is dropped.
struct PinFile(PathBuf);

impl PinFile {
    fn new(name: &str, contents: &str) -> PinFile {
        let path = std::env::temp_dir().join(format!("pinhole-server-{name}-{}", std::process::id()));
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        PinFile(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for PinFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_pin_in_a_file_outlives_its_host() {
    let server = Server::open(&[]);
    let file = PinFile::new("pin", "correct horse battery staple\n");
    let mut host = server.host("myhost", echo(), &["--pin-file", file.path()]);
    assert!(host.url.ends_with("/ws/myhost?pin=correct%20horse%20battery%20staple"), "{}", host.url);
    let mut client = host.relayed();
    check_echo(client.local, 10_000);
    host.process.signal(Signal::SIGKILL);
    host.process.end();
    let mut again = server.host("myhost", echo(), &["--pin-file", file.path()]);
    assert_eq!(again.url, host.url);
    // Whoever was there before knows it still.
    client.process.event("disconnected");
    client.process.event("connected");
    check_echo(client.local, 10_000);
    client.process.stop();
    again.process.stop();
    server.stop();
}

#[test]
fn a_pin_may_come_from_the_environment_on_either_side() {
    let server = Server::open(&[]);
    let mut host =
        command(&["host", &echo().to_string(), "--json", "--no-stun", "--server", &server.url(), "--id", "myhost"]);
    host.env("PINHOLE_PIN", "7391846");
    let mut host = Pinhole::spawn("host", host);
    assert!(registered(&mut host).ends_with("?pin=7391846"));
    let url = format!("{}/ws/myhost", server.url());
    let mut client = command(&["client", &url, "0", "--json", "--no-stun"]);
    client.env("PINHOLE_PIN", "7391846");
    let mut client = Pinhole::spawn("client", client);
    check_echo(client.local(), 10_000);
    client.stop();
    Pinhole::client(&url, &["--pin", "1"]).end().expect(1, &[r#""code":"bad-pin""#, "the pin does not match"]);
    host.problem("warning", "bad-pin");
    host.stop();
    server.stop();
}

/// A client made by hand whose confirm goes out next.
struct Ready {
    raw: Raw,
    handshake: ClientHandshake,
    confirm: String,
}

impl Ready {
    fn at(server: SocketAddr, path: &str, pin: &str) -> Ready {
        let mut raw = Raw::connect(server, path);
        let (mut handshake, hello) = ClientHandshake::start(&Pin::new(pin).unwrap());
        raw.text(hello);
        let answer = raw.next_text();
        let Ok(ClientStep::Send(confirm)) = handshake.handle_text(&answer) else { panic!("no hello: {answer}") };
        Ready { raw, handshake, confirm }
    }

    /// Tells whether the host lets it in.
    fn enters(mut self) -> bool {
        self.raw.text(self.confirm.clone());
        let answer = self.raw.next_text();
        matches!(self.handshake.handle_text(&answer), Ok(ClientStep::Done(_)))
    }
}

#[test]
fn guesses_through_a_server_are_slowed_down_as_others_are() {
    let server = Server::open(&[]);
    let mut host = server.start_host("myhost", echo(), &["--pin", "7391846", "--listen", "0"]);
    let direct: SocketAddr = text(&host.event("listening"), "addr").parse().unwrap();
    let url = registered(&mut host);
    let ways = [(direct, "/ws"), (server.address(), "/ws/myhost")];
    let right = Ready::at(server.address(), "/ws/myhost", "7391846");
    let start = Instant::now();
    // Whichever way they come, they are counted together: three are free, and the next wait 250 ms, 500 ms and so on.
    for guess in 0..6 {
        let (address, path) = ways[guess % 2];
        assert!(!Ready::at(address, path, "wrong").enters(), "guess {guess}");
    }
    let guessed = start.elapsed();
    assert!(right.enters(), "who knows the pin waits, and comes in");
    figure(&format!("six guesses took {guessed:?}, and the right pin {:?} more", start.elapsed() - guessed));
    assert!(start.elapsed() >= Duration::from_millis(250 + 500 + 1000), "guesses were not slowed down");
    let warnings = host.events_so_far().iter().filter(|event| event["code"] == "bad-pin").count();
    assert_eq!(warnings, 6);
    let mut client = Client::of(&url, &["--relay-only"]);
    check_echo(client.local, 10_000);
    client.process.stop();
    host.stop();
    server.stop();
}

#[test]
fn a_server_answers_clients_that_leave_an_invitation_in_their_request_and_passes_others_on() {
    let server = Server::open(&[]);
    let file = PinFile::new(
        "invitation",
        &format!(
            "[host]\nservices = [\"web={}\"]\nserver = \"{}\"\nid = \"myhost\"\n\
             [[invitation]]\nlabel = \"guests\"\nid = \"k3\"\nservices = [\"web\"]\n",
            echo(),
            server.url()
        ),
    );
    let mut host = Pinhole::start("host", &["run", file.path(), "--json", "--no-stun"]);
    let url = text(&host.event("invitation"), "url");
    assert!(url.contains("/ws/myhost?invite=k3&pin="), "{url}");
    // An old client: it sends what it does not know.
    let mut old = Raw::connect(server.address(), "/ws/myhost?invite=k3");
    let said: serde_json::Value = serde_json::from_str(&old.next_text()).unwrap();
    assert_eq!((&said["type"], &said["code"]), (&"error".into(), &"version".into()), "{said}");
    let mut client = Pinhole::client(&url, &[]);
    check_echo(client.local(), 10_000);
    client.stop();
    let events = host.events_so_far();
    assert!(events.iter().all(|event| event["event"] != "warning"), "it costs no guess: {events:?}");
    host.stop();
    server.stop();
}
