//! Invitations of a file, as their owner and those who have them see them.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinhole::internals::signaling::handshake::{HostHandshake, HostStep};
use pinhole::internals::signaling::pin::Pin;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, text};
use crate::common::services::echo;
use crate::common::{ReservedPort, any_port, connect, ping};

/// A host of two services, with invitations.
struct Host {
    folder: Folder,
    process: Pinhole,
    services: [SocketAddr; 2],
}

impl Host {
    fn start(name: &str, invitations: &str) -> Host {
        let (folder, services) = (Folder::new(name), [echo(), echo()]);
        let file = write(&folder, services, invitations);
        let process = Pinhole::start("host", &["run", &file, "--json", "--no-stun"]);
        Host { folder, process, services }
    }

    /// Writes other invitations, and has them read.
    fn reload(&mut self, invitations: &str) -> Value {
        write(&self.folder, self.services, invitations);
        self.process.signal(Signal::SIGHUP);
        self.process.event("reloaded")
    }
}

fn write(folder: &Folder, [web, db]: [SocketAddr; 2], invitations: &str) -> String {
    let text = format!("[host]\nservices = [\"web={web}\", \"db={db}\"]\npin = \"own pin\"\n{invitations}");
    let file = folder.write("run.toml", &text);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// A client that has every service it is told of.
fn join(url: &str) -> Pinhole {
    Pinhole::start("client", &["client", url, "--json", "--no-stun"])
}

#[test]
fn an_invitation_of_a_file_is_printed_used_and_taken_back() {
    let guests = "[[invitation]]\nlabel = \"guests\"\nid = \"k3\"\nservices = [\"web\"]\n";
    let mut host = Host::start("invitations", guests);
    let own = host.process.url();
    let invitation = host.process.event("invitation");
    let (url, pin) = (text(&invitation, "url"), text(&invitation, "pin"));
    let address = own.split('?').next().unwrap();
    assert_eq!(url, format!("{address}?invite=k3&pin={pin}"));
    assert_eq!(pin.len(), 16);
    let expected = json!({"event": "invitation", "id": "k3", "label": "guests", "url": url, "pin": pin,
        "services": ["web"], "once": false});
    assert_eq!(invitation, expected);

    let mut client = join(&url);
    let forwarding = client.event("forwarding");
    assert_eq!(forwarding["service"], "web");
    let mut stream = connect(text(&forwarding, "local").parse::<SocketAddr>().unwrap());
    ping(&mut stream);
    let mut other = join(&own);
    let all = [other.event("forwarding"), other.event("forwarding")].map(|event| text(&event, "service"));
    assert!(all.contains(&"web".to_owned()) && all.contains(&"db".to_owned()), "{all:?}");
    assert!(client.events_so_far().iter().all(|event| event["service"] != "db"));

    // It is out of the file: its sessions end within a second, and say why.
    let reloaded = host.reload("");
    let begin = Instant::now();
    assert_eq!(reloaded["changed"], json!(["invitation guests removed"]));
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "the connection ends");
    let ended = client.end();
    // What it takes is measured in virtual time. Here, two slow processes are on the way.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    ended.expect(1, &[r#""code":"invitation-revoked""#, "the invitation was revoked: ask whoever started the host"]);
    join(&url).end().expect(1, &[r#""code":"invitation-revoked""#]);
    join(&url.replace(&pin, "0000000000000000")).end().expect(1, &[r#""code":"bad-pin""#]);
    assert!(other.events_so_far().iter().all(|event| event["event"] != "disconnected"));
    other.stop();
    let said = host.process.stop().stdout;
    assert!(said.contains(r#""event":"invitation-revoked","id":"k3","label":"guests""#), "{said}");
}

#[test]
fn an_invitation_of_a_file_expires_and_has_one_client() {
    let brief = "[[invitation]]\nlabel = \"brief\"\nservices = [\"web\"]\nexpires = \"5s\"\n\
                 [[invitation]]\nlabel = \"single\"\nservices = [\"db\"]\nonce = true\n";
    let mut host = Host::start("expiry", brief);
    let [first, second] = [host.process.event("invitation"), host.process.event("invitation")];
    assert!(text(&first, "expires").ends_with('Z'), "{first}");
    let mut client = join(&text(&first, "url"));
    client.event("forwarding");
    let ended = client.end();
    ended.expect(1, &[r#""code":"invitation-expired""#, "the invitation has expired: ask whoever started the host"]);
    host.process.event("invitation-expired");
    let url = text(&second, "url");
    let mut client = join(&url);
    client.event("forwarding");
    join(&url).end().expect(1, &[r#""code":"invitation-used""#, "for one client, which has come already"]);
    client.stop();
    host.process.stop();
}

#[test]
fn a_person_gets_a_line_to_pass_on() {
    let folder = Folder::new("invitation-lines");
    let guests = "[[invitation]]\nlabel = \"guests\"\nid = \"k3\"\npin = \"a b\"\nservices = [\"web\"]\nonce = true\n";
    let port = ReservedPort::new();
    let address = port.address;
    let file = write(&folder, [echo(), echo()], &format!("once = true\nlisten = \"{address}\"\n{guests}"));
    let mut host = Pinhole::start("host", &["run", &file, "--no-stun"]);
    // It ends with its first client.
    let url = format!("ws://{address}/ws?invite=k3&pin=a%20b");
    let mut client = Pinhole::start("client", &["client", &url, "--retry", "--json", "--no-stun"]);
    client.event("forwarding");
    client.stop();
    let ended = host.end();
    let line = "Invitation guests (web, for one client): \
                pinhole client 'wss://<forwarded-address>/ws?invite=k3&pin=a%20b'";
    assert!(ended.stdout.contains(line), "{ended:?}");
}

#[test]
fn a_client_stops_before_it_proves_anything_to_a_host_that_knows_no_invitations() {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let host = thread::spawn(move || {
        let mut websocket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let hello = websocket.read().unwrap().into_text().unwrap();
        let step = HostHandshake::new().handle_text(&hello, &Pin::new("1").unwrap());
        let Ok(HostStep::Send(answer)) = step else { panic!("{step:?}") };
        websocket.send(Message::text(answer.replace(r#","invitations":true"#, ""))).unwrap();
        websocket.read().unwrap().into_text().unwrap().to_string()
    });
    let ended = join(&format!("ws://{address}/ws?invite=k3&pin=1")).end();
    ended.expect(1, &["the host is too old for the invitation in the URL, so nothing was proved to it"]);
    let said: Value = serde_json::from_str(&host.join().unwrap()).unwrap();
    assert_eq!((said["type"].as_str(), said["code"].as_str()), (Some("error"), Some("version")), "{said}");
}
