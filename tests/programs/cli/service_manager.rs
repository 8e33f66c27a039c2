//! What a service manager hears of a process: `sd_notify(3)`, at a socket like the manager's.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::echo;
use crate::common::{DEADLINE, ReservedPort, connect, ping};

/// A service manager: its socket, and what `NOTIFY_SOCKET` calls that.
struct Manager {
    socket: UnixDatagram,
    name: String,
    path: Option<PathBuf>,
}

impl Manager {
    /// Listens at a path.
    fn new(name: &str) -> Manager {
        let path = std::env::temp_dir().join(format!("pinhole-manager-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let mut manager = Manager::of(UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned());
        manager.path = Some(path);
        manager
    }

    /// Listens in Linux' abstract namespace.
    fn hidden(name: &str) -> Manager {
        let name = format!("pinhole-manager-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Manager::of(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"))
    }

    fn of(socket: UnixDatagram, name: String) -> Manager {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Manager { socket, name, path: None }
    }

    /// A command that this manager starts.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("NOTIFY_SOCKET", &self.name);
        command
    }

    fn start(&self, arguments: &[&str]) -> Pinhole {
        Pinhole::spawn("pinhole", self.command(arguments))
    }

    /// Returns the next notification.
    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a notification comes");
        String::from_utf8(buffer[..length].to_vec()).expect("it is text")
    }

    /// Waits for a notification; skips others.
    #[track_caller]
    fn find(&self, wanted: &str) {
        while self.next() != wanted {}
    }

    fn has_heard_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let heard = self.socket.recv(&mut [0; 4096]);
        self.socket.set_nonblocking(false).unwrap();
        heard.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

fn host_arguments() -> [String; 4] {
    ["host".to_owned(), echo().to_string(), "--json".to_owned(), "--no-stun".to_owned()]
}

#[test]
fn a_host_is_ready_when_it_listens_and_says_who_is_there() {
    let manager = Manager::new("host");
    let arguments = host_arguments();
    let mut host = manager.start(&arguments.each_ref().map(String::as_str));
    let url = host.url();
    assert_eq!(manager.next(), "READY=1\nSTATUS=waiting for a client");
    let mut client = Pinhole::client(&url, &["--relay-only"]);
    ping(&mut connect(client.local()));
    assert_eq!(manager.next(), "STATUS=1 client, 0 direct");
    client.stop();
    assert_eq!(manager.next(), "STATUS=waiting for a client");
    host.stop();
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=ending");
    assert!(manager.has_heard_nothing());
}

#[test]
fn a_host_on_a_server_is_ready_when_it_is_registered() {
    let manager = Manager::hidden("registered");
    let mut server = Pinhole::start("server", &["server", "--open", "--listen", "127.0.0.1:0", "--json"]);
    let url = format!("ws://{}", text(&server.event("serving"), "listen"));
    let arguments = host_arguments();
    let mut host =
        manager.start(&[&arguments.each_ref().map(String::as_str)[..], &["--server", &url, "--id", "nas"]].concat());
    host.event("registered");
    assert_eq!(manager.next(), "READY=1\nSTATUS=waiting for a client");
    server.stop();
    assert_eq!(manager.next(), "STATUS=waiting for a client; connecting to 127.0.0.1");
    host.stop();
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=ending");
}

#[test]
fn a_host_that_waits_for_its_server_is_ready() {
    let (manager, port) = (Manager::hidden("waiting"), ReservedPort::new());
    let server = format!("ws://{}", port.address);
    let arguments = host_arguments();
    let mut host = manager.start(
        &[&arguments.each_ref().map(String::as_str)[..], &["--server", &server, "--id", "nas", "--retry"]].concat(),
    );
    host.event("server-lost");
    assert_eq!(manager.next(), "READY=1\nSTATUS=waiting for a client; connecting to 127.0.0.1");
    let listen = port.address.to_string();
    drop(port);
    let _server = Pinhole::start("server", &["server", "--open", "--listen", &listen, "--json"]);
    host.event("registered");
    assert_eq!(manager.next(), "STATUS=waiting for a client");
}

#[test]
fn a_client_is_ready_when_its_ports_listen() {
    let (manager, port) = (Manager::new("client"), ReservedPort::new());
    let url = format!("ws://{}/ws?pin=123456", port.address);
    let arguments = ["client", &url, "0", "--json", "--no-stun", "--retry", "--relay-only"];
    let mut client = manager.start(&arguments);
    assert_eq!(manager.next(), "READY=1\nSTATUS=connecting to 127.0.0.1");
    let listen = port.address.to_string();
    drop(port);
    let mut host = Pinhole::host(echo(), &["--listen", &listen, "--pin", "123456"]);
    ping(&mut connect(client.local()));
    assert_eq!(manager.next(), "STATUS=connected, relayed by 127.0.0.1");
    client.stop();
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=ending");

    // Only the host knows which ports these are.
    let url = host.url();
    host.stop();
    let arguments = ["client", &url, "--json", "--no-stun", "--retry"];
    let mut client = manager.start(&arguments);
    client.event("reconnecting");
    assert_eq!(manager.next(), "READY=1\nSTATUS=connecting to 127.0.0.1");
    client.stop();
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=ending");
    let mut host = Pinhole::host(echo(), &["--listen", &listen, "--pin", "123456"]);
    host.url();
    let _client = manager.start(&arguments);
    assert!(manager.next().starts_with("READY=1\nSTATUS=connected"));
}

#[test]
fn a_server_tells_of_the_beginning_and_the_end_of_a_reload() {
    let manager = Manager::new("server");
    let mut server = manager.start(&["server", "--open", "--listen", "127.0.0.1:0", "--json"]);
    server.event("serving");
    assert_eq!(manager.next(), "READY=1\nSTATUS=waiting for a host");
    server.signal(Signal::SIGHUP);
    let reloading = manager.next();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it has the time");
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    let age = Duration::from(now).checked_sub(Duration::from_micros(time.parse().unwrap()));
    assert!(age.is_some_and(|age| age < DEADLINE), "{reloading} at {now:?}");
    assert_eq!(manager.next(), "READY=1");
    server.stop();
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=ending");
}

#[test]
fn a_reload_of_a_wrong_file_ends_as_well() {
    let manager = Manager::new("file");
    let file = std::env::temp_dir().join(format!("pinhole-manager-{}.toml", std::process::id()));
    let right = format!("[host]\nservices = [\"{}\"]\nno-stun = true\njson = true\n", echo());
    fs::write(&file, &right).unwrap();
    let mut host = manager.start(&["run", file.to_str().unwrap()]);
    host.url();
    assert_eq!(manager.next(), "READY=1\nSTATUS=waiting for a client");
    for (text, event) in [("[host", "warning"), (&right, "reloaded")] {
        fs::write(&file, text).unwrap();
        host.signal(Signal::SIGHUP);
        host.event(event);
        assert!(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(manager.next(), "READY=1");
    }
    host.stop();
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=ending");
    fs::remove_file(&file).unwrap();
}

#[test]
fn signs_of_life_come_from_the_loop() {
    let manager = Manager::hidden("watchdog");
    let mut command = manager.command(&["server", "--open", "--listen", "127.0.0.1:0", "--json"]);
    command.env("WATCHDOG_USEC", "200000");
    let server = Pinhole::spawn("server", command);
    assert_eq!(manager.next(), "READY=1\nSTATUS=waiting for a host");
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());

    // A process that stands still is not alive.
    server.signal(Signal::SIGSTOP);
    let state = || fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    crate::common::wait_until("the process to stand still", || state().contains(") T "));
    while !manager.has_heard_nothing() {}
    manager.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err());
    manager.socket.set_read_timeout(Some(DEADLINE)).unwrap();
    server.signal(Signal::SIGCONT);
    assert_eq!(manager.next(), "WATCHDOG=1");
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let manager = Manager::new("other");
    let mut command = manager.command(&["server", "--open", "--listen", "127.0.0.1:0", "--json"]);
    command.env("WATCHDOG_USEC", "10000").env("WATCHDOG_PID", "1");
    let mut server = Pinhole::spawn("server", command);
    assert_eq!(manager.next(), "READY=1\nSTATUS=waiting for a host");
    server.stop();
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=ending");
}

#[test]
fn a_manager_that_does_not_read_stops_nothing() {
    let manager = Manager::new("full");
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    let mut filled = 0;
    while filler.send_to(b"FILLED=1", &manager.name).is_ok() {
        filled += 1;
    }
    let arguments = host_arguments();
    let mut command = manager.command(&arguments.each_ref().map(String::as_str));
    command.env("WATCHDOG_USEC", "10000");
    let mut host = Pinhole::spawn("host", command);
    let mut client = Pinhole::client(&host.url(), &["--relay-only"]);
    ping(&mut connect(client.local()));
    assert!(!host.events_so_far().iter().any(|event| event["event"] == "warning"));
    for _ in 0..filled {
        assert_eq!(manager.next(), "FILLED=1");
    }
    // What it has missed is told again, in the order in which it matters.
    let mut heard = String::from("WATCHDOG=1");
    while heard == "WATCHDOG=1" {
        heard = manager.next();
    }
    assert!(heard.starts_with("READY=1\nSTATUS=1 client, 0 direct"), "{heard}");
    client.stop();
    host.stop();
    manager.find("STOPPING=1\nSTATUS=ending");
}

#[test]
fn a_manager_that_vanishes_is_missed_once() {
    let manager = Manager::new("gone");
    let arguments = host_arguments();
    let mut command = manager.command(&arguments.each_ref().map(String::as_str));
    command.env("WATCHDOG_USEC", "20000");
    let mut host = Pinhole::spawn("host", command);
    let url = host.url();
    manager.find("WATCHDOG=1");
    let path = manager.name.clone();
    drop(manager);
    let message = host.problem("warning", "service-manager");
    assert!(message.contains("NOTIFY_SOCKET"), "{message}");
    // It comes back, as systemd does when it is updated.
    let again = UnixDatagram::bind(&path).unwrap();
    let manager = Manager::of(again, path.clone());
    assert_eq!(manager.next(), "WATCHDOG=1");
    let mut client = Pinhole::client(&url, &[]);
    ping(&mut connect(client.local()));
    drop(manager);
    fs::remove_file(&path).unwrap();
    client.stop();
    let ended = host.stop();
    assert_eq!(ended.stdout.matches("service-manager").count(), 1, "{ended:?}");
}

#[test]
fn a_socket_that_makes_no_sense_is_a_warning() {
    let long = format!("/tmp/{}", "x".repeat(200));
    let cases = [
        ("relative/path", "neither an absolute path"),
        ("vsock:2:1234", "neither an absolute path"),
        (&long, "NOTIFY_SOCKET"),
        ("/nonexistent/pinhole-manager", "No such file"),
        ("/dev/null", "NOTIFY_SOCKET"),
    ];
    for (socket, words) in cases {
        let arguments = host_arguments();
        let mut command = command(&arguments.each_ref().map(String::as_str));
        command.env("NOTIFY_SOCKET", socket);
        let mut host = Pinhole::spawn("host", command);
        host.url();
        host.stop().expect(0, &[words]);
    }
    // An empty one is none.
    let arguments = host_arguments();
    let mut command = command(&arguments.each_ref().map(String::as_str));
    command.env("NOTIFY_SOCKET", "");
    let mut host = Pinhole::spawn("host", command);
    host.url();
    assert_eq!(host.stop().stderr, "");
}

#[test]
fn no_notification_holds_a_secret() {
    let manager = Manager::new("secret");
    let arguments = host_arguments();
    let mut host = manager.start(&[&arguments.each_ref().map(String::as_str)[..], &["--pin", "open sesame"]].concat());
    let mut client = manager.start(&["client", &host.url(), "0", "--json", "--no-stun"]);
    ping(&mut connect(client.local()));
    client.stop();
    host.stop();
    let mut ends = 0;
    while ends < 2 {
        let heard = manager.next();
        assert!(!heard.contains("sesame"), "{heard}");
        ends += usize::from(heard.starts_with("STOPPING=1"));
    }
    assert!(text(&host.events_so_far()[0], "pin").contains("sesame"));
}

#[test]
fn a_program_that_embeds_a_host_speaks_for_itself() {
    let manager = Manager::new("embed");
    let share = Path::new(env!("CARGO_BIN_EXE_pinhole")).with_file_name("examples").join("share");
    let mut command = Command::new(share);
    command.arg(echo().to_string()).env("NOTIFY_SOCKET", &manager.name).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("ws://"), "{url}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(manager.has_heard_nothing());
}
