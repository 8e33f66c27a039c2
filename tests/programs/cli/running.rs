//! What runs is shown, and hosts that run invite: `pinhole status`, `invite` and `uninvite`.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::terminal::Terminal;
use crate::common::folder::Folder;
use crate::common::pinhole::{Ended, Pinhole, command, text};
use crate::common::services::echo;
use crate::common::{connect, ping};

/// A user's folder of sockets.
struct User(Folder);

impl User {
    fn new(name: &str) -> User {
        User(Folder::new(name))
    }

    fn start(&self, arguments: &[&str]) -> Pinhole {
        Pinhole::spawn("pinhole", self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = command(arguments);
        command.env("XDG_RUNTIME_DIR", &self.0.0).env("TMPDIR", &self.0.0);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    /// Starts a host of two services, and returns its URL, too.
    fn host(&self, name: &str, more: &[&str]) -> (Pinhole, String) {
        let services = [format!("web={}", echo()), format!("db={}", echo())];
        let line = ["host", &services[0], &services[1], "--json", "--no-stun", "--name", name];
        let mut host = self.start(&[&line, more].concat());
        let url = host.url();
        (host, url)
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.0.0.join(format!("pinhole/{name}.sock"))
    }
}

#[test]
fn what_runs_is_shown_with_who_is_connected_and_how() {
    let user = User::new("status");
    user.run(&["status"]).expect(1, &["no pinhole of this user runs"]);
    let (mut host, url) = user.host("nas", &[]);
    let mut client = user.start(&["client", &url, "web=0", "--json", "--no-stun", "--name", "laptop"]);
    let mut stream = connect(client.local());
    ping(&mut stream);
    let shown = user.run(&["status"]);
    let address = url.split('?').next().unwrap();
    let words = [
        &format!("laptop: client, pid {}, since 2", client.pid()),
        &format!("nas: host, pid {}, since 2", host.pid()),
        &format!("clients come in at {address}"),
        &format!("joins {address}"),
        "is web on the other side",
        "service db: 127.0.0.1:",
        "direct to ",
        "round trip ",
        ", 1 stream, for ",
        "pinhole/",
    ];
    shown.expect(0, &words);
    assert!(!shown.stdout.contains("pin=") && !shown.stdout.contains(url.split("pin=").nth(1).unwrap()), "{shown:?}");
    // One by its name, and as JSON.
    let lines = user.run(&["status", "laptop", "--json"]);
    let status: Value = serde_json::from_str(lines.stdout.trim_end()).unwrap();
    assert_eq!(
        (&status["event"], &status["name"], &status["role"]),
        (&"status".into(), &"laptop".into(), &"client".into())
    );
    assert_eq!(status["sessions"].as_array().map(Vec::len), Some(1), "{status}");
    user.run(&["status", "nothing"]).expect(1, &["no process of the name nothing runs; there are laptop, nas"]);
    user.run(&["status", "nothing", "--json"]).expect(1, &[r#""event":"error","code":"not-running""#]);
    user.run(&["status", "a/b"]).expect(2, &["a name has 1 to 63 of"]);
    client.stop();
    host.stop();
    user.run(&["status"]).expect(1, &["no pinhole of this user runs"]);
}

#[test]
fn sockets_that_nobody_answers_are_named_and_not_waited_for() {
    let user = User::new("status-left");
    let (mut host, _) = user.host("nas", &[]);
    drop(UnixListener::bind(user.socket("old")).unwrap());
    let _deaf = UnixListener::bind(user.socket("deaf")).unwrap();
    let (mut stopped, _) = user.host("stopped", &[]);
    stopped.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    let shown = user.run(&["status"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let words = [
        "nas: host",
        "old: nobody answers: a process that was killed left this socket behind (",
        "deaf: it does not answer: it may be stopped, or very busy (",
        "stopped: it does not answer: it may be stopped, or very busy (",
    ];
    shown.expect(0, &words);
    let lines = user.run(&["status", "old", "--json"]);
    lines.expect(1, &[r#""event":"warning","message":"old: nobody answers"#, r#""code":"socket-left""#]);
    user.run(&["status", "old"]).expect(1, &["old does not run"]);
    // Not that it does not run: somebody would start another.
    let said = "stopped cannot be asked: it does not answer: it may be stopped";
    user.run(&["invite", "stopped", "--services", "web"]).expect(1, &[said]);
    stopped.signal(Signal::SIGCONT);
    stopped.stop();
    host.stop();
}

#[test]
fn watching_shows_changes_until_nothing_runs() {
    let user = User::new("status-watch");
    let (mut host, url) = user.host("nas", &[]);
    let mut watch = user.start(&["status", "--watch", "--json"]);
    let first = watch.event("status");
    assert_eq!((text(&first, "name"), first["sessions"].as_array().map(Vec::len)), ("nas".to_owned(), Some(0)));
    let mut client = user.start(&["client", &url, "--json", "--no-stun", "--name", "laptop"]);
    let connected = watch.event("connected");
    assert!(text(&connected, "name") == "nas" || text(&connected, "name") == "laptop", "{connected}");
    watch.find("a session", |event| event["event"] == "status" && event["sessions"][0]["session"].is_string());
    // One that began later is found.
    watch.find("the client", |event| event["event"] == "status" && event["role"] == "client");
    client.stop();
    host.stop();
    assert_eq!(watch.end().code, Some(0));
}

#[test]
fn a_watched_terminal_is_redrawn_and_ctrl_c_ends_it() {
    let user = User::new("status-terminal");
    let (mut host, url) = user.host("nas", &[]);
    let mut watch = Terminal::spawn(user.command(&["status", "nas", "--watch"]));
    watch.wait_for("no session");
    let mut client = user.start(&["client", &url, "--json", "--no-stun"]);
    watch.wait_for("direct to ");
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.end(), Some(0));
    client.stop();
    host.stop();
}

#[test]
fn a_host_that_runs_invites_and_takes_back() {
    let user = User::new("invite");
    user.run(&["invite", "--services", "web"]).expect(1, &["pinhole host starts a host"]);
    let (mut host, own) = user.host("nas", &[]);
    let made = user.run(&["invite", "--services", "web", "--expires", "2h", "--label", "guests", "--json"]);
    let made: Value = serde_json::from_str(made.stdout.trim_end()).unwrap();
    let (id, url) = (text(&made, "id"), text(&made, "url"));
    assert!(text(&made, "expires").ends_with('Z') && url.contains(&format!("?invite={id}&pin=")), "{made}");
    let told = host.event("invitation");
    assert_eq!((text(&told, "label"), text(&told, "url")), ("guests".to_owned(), url.clone()));
    user.run(&["status"]).expect(0, &[&format!("invitation {id} guests: web, until 2")]);

    let mut client = user.start(&["client", &url, "--json", "--no-stun", "--name", "guest"]);
    let forwarding = client.event("forwarding");
    assert_eq!(forwarding["service"], "web");
    let mut stream = connect(text(&forwarding, "local").parse::<std::net::SocketAddr>().unwrap());
    ping(&mut stream);
    assert!(client.events_so_far().iter().all(|event| event["service"] != "db"));
    user.run(&["status", "nas"]).expect(0, &[&format!("by the invitation {id}")]);

    user.run(&["uninvite", &id]).expect(0, &["is taken back; its sessions end"]);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "the connection ends");
    client.end().expect(1, &[r#""code":"invitation-revoked""#]);
    user.run(&["uninvite", "nas", &id]).expect(1, &["nas has no invitation"]);
    user.run(&["uninvite", "not an id"]).expect(2, &["the id of an invitation"]);
    // Whoever has the host's own pin is not disturbed.
    let mut other = user.start(&["client", &own, "--json", "--no-stun", "--name", "other"]);
    other.event("forwarding");
    other.stop();
    host.stop();
}

#[test]
fn an_invitation_is_a_command_to_pass_on() {
    let user = User::new("invite-words");
    let (mut host, _) = user.host("nas", &[]);
    let near = user.run(&["invite", "--services", "web,db", "--once"]);
    let words = [
        "The host does not know how others reach it: forward port ",
        "  pinhole client 'wss://<forwarded-address>/ws?invite=",
        "It ends when the host ends.",
        "To take it back: pinhole uninvite ",
    ];
    near.expect(0, &words);
    let far = user.run(&[
        "invite",
        "nas",
        "--allow",
        "db.local:5432",
        "--public-url",
        "https://a.example",
        "--expires",
        "30s",
    ]);
    let words =
        ["  pinhole client 'wss://a.example/ws?invite=", "It ends in ", "To take it back: pinhole uninvite nas "];
    far.expect(0, &words);
    user.run(&["invite", "--services", "mail"]).expect(1, &["nas refuses: ", "there is none of that name"]);
    user.run(&["invite"]).expect(2, &["add --services, --allow or --allow-reverse"]);
    let pin = user.0.write("pin", "chosen one\n");
    let chosen = user.run(&["invite", "--services", "web", "--pin-file", &pin, "--json"]);
    chosen.expect(0, &["&pin=chosen%20one\""]);
    // Which of two invites must be said.
    let (mut second, _) = user.host("attic", &[]);
    user.run(&["invite", "--services", "web"])
        .expect(2, &["several hosts run: attic, nas; say which of them is meant, for example pinhole invite attic"]);
    user.run(&["invite", "attic", "--services", "web", "--json"]).expect(0, &[r#""event":"invited""#]);
    second.stop();
    host.stop();
}

#[test]
fn at_a_terminal_the_address_is_asked_for_once() {
    let user = User::new("invite-terminal");
    let (mut host, _) = user.host("nas", &[]);
    let mut invite = Terminal::spawn(user.command(&["invite", "--services", "web", "--qr"]));
    invite.wait_for("The address under which others reach the host");
    invite.type_in("https://abc-5000.asse.devtunnels.ms\r");
    invite.wait_for("pinhole client 'wss://abc-5000.asse.devtunnels.ms/ws?invite=");
    invite.wait_for("█");
    assert_eq!(invite.end(), Some(0));
    // Enter means that it is not known yet.
    let mut invite = Terminal::spawn(user.command(&["invite", "--services", "web", "--qr"]));
    invite.wait_for("The address under which others reach the host");
    invite.type_in("\r");
    invite.wait_for("wss://<forwarded-address>/ws?invite=");
    invite.wait_for("There is no QR code before it is known");
    assert_eq!(invite.end(), Some(0));
    // Who leaves invites nobody.
    let before = user.run(&["status", "--json"]).stdout;
    let mut invite = Terminal::spawn(user.command(&["invite", "--services", "web"]));
    invite.wait_for("The address under which others reach the host");
    invite.type_in("\x1b");
    assert_eq!(invite.end(), Some(1));
    let count = |text: &str| text.matches("\"once\"").count();
    assert_eq!(count(&user.run(&["status", "--json"]).stdout), count(&before));
    host.stop();
}

#[test]
fn folders_that_others_can_write_to_are_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;
    let user = User::new("status-foreign");
    let (mut host, _) = user.host("nas", &[]);
    let folder = user.0.0.join("pinhole");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    user.run(&["status"]).expect(1, &["no pinhole of this user runs"]);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    user.run(&["status"]).expect(0, &["nas: host"]);
    host.stop();
}
