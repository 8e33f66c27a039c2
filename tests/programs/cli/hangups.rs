//! Closed terminals, and outputs without a reader.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::{echo, serve};
use crate::common::{ReservedPort, connect, wait_until};

/// The disposition of SIGHUP in a process, whatever the tests themselves were started with.
#[derive(Clone, Copy)]
enum HangUp {
    /// The default.
    Default,
    /// Ignored, as under `nohup`.
    Ignored,
}

/// The binary, started with that.
fn with(hang_up: HangUp, arguments: &[&str]) -> Command {
    let own = command(arguments);
    let mut command = Command::new("env");
    command.arg(match hang_up {
        HangUp::Default => "--default-signal=HUP",
        HangUp::Ignored => "--ignore-signal=HUP",
    });
    command.arg(own.get_program()).args(own.get_args());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A terminal: the end of a window, of which no process gets a copy, not even one that another test starts just now,
/// and the end of programs.
fn terminal() -> (OwnedFd, OwnedFd) {
    let window = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&window).unwrap();
    unlockpt(&window).unwrap();
    let name = ptsname_r(&window).unwrap();
    let screen = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(name).unwrap();
    (window.into(), screen.into())
}

fn host(hang_up: HangUp) -> Pinhole {
    Pinhole::spawn("host", with(hang_up, &["host", &echo().to_string(), "--json", "--no-stun"]))
}

#[test]
fn a_closed_terminal_ends_either_side_in_order() {
    let mut host = host(HangUp::Default);
    let url = host.url();
    let arguments = ["client", &url, "0", "--json", "--no-stun"];
    let mut client = Pinhole::spawn("client", with(HangUp::Default, &arguments));
    client.local();
    // A shell and the system may both say it.
    client.signal(Signal::SIGHUP);
    client.signal(Signal::SIGHUP);
    assert_eq!(client.end().code, Some(0));
    assert!(text(&host.event("disconnected"), "reason").contains("ended"));

    let mut client = Pinhole::client(&url, &[]);
    client.local();
    host.signal(Signal::SIGHUP);
    assert_eq!(host.end().code, Some(0));
    client.end().expect(1, &[r#""code":"host-ended""#]);
}

#[test]
fn a_closed_terminal_ends_a_pipe_in_order() {
    // Keeps what was opened, also when nothing follows.
    let service = serve(|stream| {
        std::mem::forget(stream);
        Ok(())
    });
    let mut host = Pinhole::host(service, &[]);
    let arguments = ["client", &host.url(), "--json", "--no-stun", "-W", &service.port().to_string()];
    let mut client = Pinhole::spawn("client", with(HangUp::Default, &arguments));
    host.event("stream-opened");
    client.signal(Signal::SIGHUP);
    // What is cut off is not whole, whoever asked for it.
    assert_eq!(client.end().code, Some(1));
    assert!(text(&host.event("disconnected"), "reason").contains("ended"));
    host.stop();
}

#[test]
fn nohup_keeps_it_running() {
    let mut host = host(HangUp::Ignored);
    let url = host.url();
    let arguments = ["client", &url, "0", "--json", "--no-stun"];
    let mut client = Pinhole::spawn("client", with(HangUp::Ignored, &arguments));
    let local = client.local();
    for process in [&host, &client] {
        process.signal(Signal::SIGHUP);
    }
    // Whoever comes later finds them as they were.
    let mut other = Pinhole::client(&url, &[]);
    for local in [other.local(), local] {
        let mut stream = connect(local);
        std::io::Write::write_all(&mut stream, b"!").unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0]).unwrap();
    }
    other.stop();
    client.stop();
    host.stop();
}

/// A host on a port that is known beforehand, with that for stdin, stdout and stderr, once it listens; and the URL for
/// clients.
fn host_on(stdio: impl Fn() -> Stdio) -> (Child, String) {
    let port = ReservedPort::new();
    let (target, listen) = (echo().to_string(), port.address.to_string());
    let arguments = ["host", &target, "--no-stun", "--listen", &listen, "--pin", "123456", "-vvv"];
    let mut command = with(HangUp::Default, &arguments);
    let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
    wait_until("the host to listen", || std::net::TcpStream::connect(port.address).is_ok());
    (child, format!("ws://{listen}/ws?pin=123456"))
}

fn send(child: &Child, signal: Signal) {
    signal::kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn a_host_whose_terminal_is_gone_still_says_good_bye() {
    let (window, screen) = terminal();
    let (mut host, url) = host_on(|| Stdio::from(screen.try_clone().unwrap()));
    // Nobody sees what it says from now on.
    drop(window);
    let mut client = Pinhole::client(&url, &[]);
    client.local();
    send(&host, Signal::SIGHUP);
    client.end().expect(1, &[r#""code":"host-ended""#]);
    assert_eq!(host.wait().unwrap().code(), Some(0));
}

#[test]
fn a_server_reads_its_files_again_until_its_terminal_is_gone() {
    let tokens = std::env::temp_dir().join(format!("pinhole-hangup-{}.toml", std::process::id()));
    std::fs::write(&tokens, format!("[[token]]\nhash = \"{}\"\nids = [\"app\"]\n", "00".repeat(32))).unwrap();
    let arguments = ["server", "--json", "--listen", "127.0.0.1:0", "--tokens", tokens.to_str().unwrap()];
    for hang_up in [HangUp::Default, HangUp::Ignored] {
        let (window, screen) = terminal();
        let mut server = Pinhole::spawn_on("server", with(hang_up, &arguments), Stdio::from(screen));
        server.event("serving");
        server.signal(Signal::SIGHUP);
        assert_eq!(text(&server.event("reloaded"), "what"), "tokens");
        drop(window);
        server.signal(Signal::SIGHUP);
        match hang_up {
            HangUp::Default => assert_eq!(server.end().code, Some(0)),
            HangUp::Ignored => {
                assert_eq!(text(&server.event("reloaded"), "what"), "tokens");
                server.stop();
            }
        }
    }
    std::fs::remove_file(tokens).unwrap();
}

#[test]
fn a_run_reads_its_file_again_until_its_terminal_is_gone() {
    let folder = Folder::new("hangup");
    let file = folder.write("host.toml", &format!("[host]\nservices = [\"{}\"]\nno-stun = true\n", echo()));
    for hang_up in [HangUp::Default, HangUp::Ignored] {
        let (window, screen) = terminal();
        let mut host = Pinhole::spawn_on("host", with(hang_up, &["run", &file, "--json"]), Stdio::from(screen));
        host.url();
        host.signal(Signal::SIGHUP);
        assert_eq!(text(&host.event("reloaded"), "what"), "settings");
        drop(window);
        host.signal(Signal::SIGHUP);
        match hang_up {
            HangUp::Default => assert_eq!(host.end().code, Some(0)),
            HangUp::Ignored => {
                assert_eq!(text(&host.event("reloaded"), "what"), "settings");
                host.stop();
            }
        }
    }
}

#[test]
fn an_output_that_takes_nothing_ends_nothing() {
    let full = || Stdio::from(OpenOptions::new().read(true).write(true).open("/dev/full").unwrap());
    let check = ["check", "--no-stun"];
    for arguments in [&["--help"][..], &["--version"], &["nonsense"], &[], &check, &[&check[..], &["--json"]].concat()]
    {
        let status = command(arguments).stdin(Stdio::null()).stdout(full()).stderr(full()).status().unwrap();
        assert!(matches!(status.code(), Some(0..=2)), "{arguments:?}: {status}");
    }
    // A full disk, and readers that have left, the latter from before the first word.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let stdios: [&dyn Fn() -> Stdio; 2] = [&full, &|| Stdio::from(writer.try_clone().unwrap())];
    for stdio in stdios {
        let (mut host, url) = host_on(stdio);
        let mut client = Pinhole::client(&url, &[]);
        client.local();
        client.stop();
        send(&host, Signal::SIGTERM);
        assert_eq!(host.wait().unwrap().code(), Some(0));
    }
}
