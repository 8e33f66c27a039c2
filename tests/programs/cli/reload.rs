//! SIGHUP under `pinhole run`: the file is read again, beside what is open.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::bytes::check_pattern;
use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, text};
use crate::common::services::{echo, source};
use crate::common::{DEADLINE, connect, ping, quiet_port, try_connect};

/// A process of a file that tests write anew.
struct Run {
    folder: Folder,
    process: Pinhole,
}

impl Run {
    fn start(role: &'static str, folder: Folder, contents: &str) -> Run {
        let file = folder.write("run.toml", contents);
        let process = Pinhole::start(role, &["run", &file, "--json", "--no-stun"]);
        Run { folder, process }
    }

    /// Writes another file, and has it read.
    fn read_again(&mut self, contents: &str) {
        self.folder.write("run.toml", contents);
        self.process.signal(Signal::SIGHUP);
    }

    /// The same, and returns what the process says of it.
    #[track_caller]
    fn reload(&mut self, contents: &str) -> Value {
        self.read_again(contents);
        self.process.event("reloaded")
    }

    /// The same, for a file that cannot be used.
    #[track_caller]
    fn refuse(&mut self, contents: &str) -> String {
        self.read_again(contents);
        self.process.problem("warning", "reload")
    }
}

/// A host's file.
fn host(services: &[(&str, SocketAddr)], more: &str) -> String {
    let services: Vec<String> = services.iter().map(|(name, target)| format!("\"{name}={target}\"")).collect();
    format!("[host]\nservices = [{}]\npin-file = \"pin\"\n{more}\n", services.join(", "))
}

fn start_host(name: &str, contents: &str) -> (Run, String) {
    let folder = Folder::new(name);
    folder.write("pin", "open sesame\n");
    let mut run = Run::start("host", folder, contents);
    let url = run.process.url();
    (run, url.split('?').next().unwrap().to_owned())
}

fn join(url: &str, locals: &[&str]) -> Pinhole {
    let arguments = [&["client", url], locals, &["--pin", "open sesame", "--json", "--no-stun"]].concat();
    Pinhole::start("client", &arguments)
}

#[test]
fn a_service_comes_while_100_mb_are_under_way_and_goes_while_it_is_used() {
    const LEN: u64 = 100_000_000;
    let (data, other) = (source(), echo());
    let (mut run, url) = start_host("services", &host(&[("data", data)], ""));
    let mut client = join(&url, &["data=0"]);
    let local = client.local();
    let mut transfer = connect(local);
    writeln!(transfer, "{LEN}").unwrap();
    check_pattern(&mut transfer, 0, LEN / 10);
    let reloaded = run.reload(&host(&[("new", other), ("data", data)], ""));
    let services = [format!("new={other}"), format!("data={data}")];
    let expected =
        json!({"event": "reloaded", "what": "settings", "changed": ["service new added"], "services": services});
    assert_eq!(reloaded, expected);
    run.process.event("listening");
    let mut late = join(&url, &["new=0"]);
    let mut stream = connect(late.local());
    ping(&mut stream);
    check_pattern(&mut transfer, LEN / 10, LEN / 2);

    // It goes while it is read, under a number that the next service of that place has for others.
    assert_eq!(run.reload(&host(&[("new", other)], ""))["changed"], json!(["service data removed"]));
    let mut refused = connect(local);
    assert_ne!(refused.read(&mut [0]).ok(), Some(1));
    let why = "unknown-service: the host does not share that service any more";
    client.find("a refusal", |event| event["event"] == "stream-closed" && event["reason"] == why);
    check_pattern(&mut transfer, LEN / 10 + LEN / 2, LEN - LEN / 10 - LEN / 2);
    assert_eq!(transfer.read(&mut [0]).unwrap(), 0, "it ends in order");
    ping(&mut stream);
    let disturbed = ["recovering", "disconnected", "reconnecting"];
    assert!(client.events_so_far().iter().all(|event| !disturbed.contains(&text(event, "event").as_str())));
    [&mut client, &mut late, &mut run.process].into_iter().for_each(|process| drop(process.stop()));
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing() {
    let target = echo();
    let right = host(&[("web", target)], "");
    let (mut run, url) = start_host("refused", &right);
    let mut client = join(&url, &["0"]);
    let mut stream = connect(client.local());
    ping(&mut stream);
    let long = format!("[host]\n{}", "# a line\n".repeat(100_000));
    let cases = [
        (host(&[("web", target)], "lisen = 1"), "run.toml:4:1: there is no lisen in [host]; did you mean listen?"),
        ("[host]\nservices = [\n".to_owned(), "run.toml:"),
        ("[host]\nservices = []\n".to_owned(), "run.toml:1:2: nothing is shared"),
        (right.replace("\"pin\"", "\"nopin\""), "run.toml:3:1: pin-file: cannot read "),
        ("[server]\nopen = true\n".to_owned(), "run.toml:1:2: it is a [server] now, and a [host] runs"),
        (long, "run.toml: it is larger than 256 KiB"),
        (String::new(), "run.toml:1:1: it has none of [host], [client] and [server]"),
    ];
    for (contents, said) in cases {
        let warning = run.refuse(&contents);
        let begin = format!("the settings stay as they were: {}/", run.folder.0.display());
        assert!(warning.starts_with(&begin) && warning.contains(said), "{warning}");
        assert_eq!(warning.lines().count(), 1);
        ping(&mut stream);
    }
    fs::remove_file(run.folder.0.join("run.toml")).unwrap();
    run.process.signal(Signal::SIGHUP);
    assert!(run.process.problem("warning", "reload").contains("run.toml: it cannot be read: "));
    // It is back, and says nothing new; two in a row are no more than one after the other.
    let nothing = json!({"event": "reloaded", "what": "settings"});
    assert_eq!(run.reload(&right), nothing);
    run.process.signal(Signal::SIGHUP);
    run.process.signal(Signal::SIGHUP);
    assert_eq!(run.process.event("reloaded"), nothing);
    // What needs a restart is named, and what does not is done.
    let mut reloaded = run.reload(&host(&[("web", target)], "listen = 1\nrate = \"20mbit\"\nverbose = 1"));
    if reloaded == nothing {
        // The second of the two signals came when the first had been obeyed.
        reloaded = run.process.event("reloaded");
    }
    let (changed, left) = (json!(["rate changed"]), json!(["listen", "verbose"]));
    assert_eq!((&reloaded["changed"], &reloaded["left"]), (&changed, &left));
    let warned = run.process.events_so_far().into_iter().find(|event| event["code"] == "restart").unwrap();
    let sentence = "listen and verbose stay as they were: changes of them count from the next start on";
    assert_eq!(warned["message"], sentence);
    ping(&mut stream);
    client.stop();
    run.process.stop();
}

#[test]
fn the_command_line_of_the_start_counts_as_it_did() {
    let folder = Folder::new("line");
    folder.write("pin", "open sesame\n");
    let target = echo();
    let file = folder.write("run.toml", &host(&[("web", target)], ""));
    let process = Pinhole::start("host", &["run", &file, "--json", "--no-stun", "--rate", "20mbit"]);
    let mut run = Run { folder, process };
    run.process.url();
    let reloaded = run.reload(&host(&[("web", target)], "rate = \"5mbit\"\nonce = true"));
    assert_eq!(reloaded["changed"], json!(["once changed"]));
    run.process.stop();
}

#[test]
fn another_pin_is_proved_by_whoever_comes_next() {
    let (mut run, url) = start_host("pin", &host(&[("web", echo())], ""));
    let mut client = join(&url, &["0"]);
    let mut stream = connect(client.local());
    ping(&mut stream);
    run.folder.write("pin", "close sesame\n");
    run.process.signal(Signal::SIGHUP);
    assert_eq!(run.process.event("reloaded")["changed"], json!(["pin changed"]));
    assert!(run.process.url().ends_with("?pin=close%20sesame"));
    join(&url, &["0"]).end().expect(1, &[r#""code":"bad-pin""#]);
    ping(&mut stream);
    let mut next = Pinhole::client(&url, &["--pin", "close sesame"]);
    ping(&mut connect(next.local()));
    client.stop();
    next.stop();
    run.process.stop();
}

#[test]
fn datagrams_of_a_program_go_on_and_those_of_another_are_refused() {
    let service = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = service.local_addr().unwrap();
    thread::spawn(move || {
        let mut datagram = [0; 100];
        while let Ok((len, from)) = service.recv_from(&mut datagram) {
            let _ = service.send_to(&datagram[..len], from);
        }
    });
    let services = |more: &str| format!("[host]\nservices = [\"web=8080\"{more}]\npin-file = \"pin\"\n");
    let (mut run, url) = start_host("datagrams", &services(&format!(", \"dns=udp:{target}\"")));
    let mut client = join(&url, &["dns=udp:0"]);
    let local = text(&client.event("forwarding"), "local");
    let program = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(local.strip_prefix("udp:").unwrap()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    };
    let heard = |socket: &UdpSocket| {
        socket.send(b"ping").unwrap();
        let mut datagram = [0; 100];
        socket.recv(&mut datagram).map(|len| datagram[..len].to_vec()).unwrap()
    };
    let first = program();
    assert_eq!(heard(&first), b"ping");
    assert_eq!(run.reload(&services(""))["changed"], json!(["service dns removed"]));
    program().send(b"ping").unwrap();
    let why = "unknown-service";
    client.find("a refusal", |event| event["event"] == "stream-closed" && event["reason"] == why);
    assert!(run.process.problem("warning", "denied").ends_with("the host does not share that service any more"));
    assert_eq!(heard(&first), b"ping");
    client.stop();
    run.process.stop();
}

#[test]
fn forwards_of_a_client_come_and_go() {
    let (data, other) = (source(), echo());
    let mut host = Pinhole::start(
        "host",
        &[
            "host",
            &format!("data={data}"),
            &format!("other={other}"),
            "--allow",
            &other.to_string(),
            "--pin",
            "1",
            "--json",
            "--no-stun",
        ],
    );
    let url = host.url();
    let (port, dialled) = (quiet_port(), quiet_port());
    let file = |forwards: &str| format!("[client]\nurl = \"{url}\"\n{forwards}\n");
    let mut run = Run::start("client", Folder::new("forwards"), &file(&format!("locals = [\"data={port}\"]")));
    let mut transfer = connect(run.process.local());
    writeln!(transfer, "5000000").unwrap();
    check_pattern(&mut transfer, 0, 100_000);
    let reloaded =
        run.reload(&file(&format!("locals = [\"other={port}\"]\ndial = [\"{dialled}:{other}\"]\nproxy = [0]")));
    let changed = [
        format!("service other at localhost:{port} added"),
        format!("forward of localhost:{dialled} to {other} added"),
        format!("service data at localhost:{port} removed"),
        "proxy at localhost:0 added".to_owned(),
    ];
    assert_eq!(reloaded["changed"], json!(changed));
    // The port is the same, and leads to another service.
    for local in [port, dialled] {
        ping(&mut connect(SocketAddr::from(([127, 0, 0, 1], local))));
    }
    check_pattern(&mut transfer, 100_000, 4_900_000);
    let forwarded = |run: &mut Run| {
        let events = run.process.events_so_far();
        events.into_iter().filter(|event| event["event"] == "forwarding").map(|event| text(&event, "service")).collect()
    };
    let services: Vec<String> = forwarded(&mut run);
    assert_eq!(services, ["data", "other", &other.to_string(), "proxy"]);

    run.reload(&file(&format!("locals = [\"other={port}\"]")));
    assert!(try_connect(SocketAddr::from(([127, 0, 0, 1], dialled))).is_err(), "nobody listens there");
    ping(&mut connect(SocketAddr::from(([127, 0, 0, 1], port))));
    let warning = run.refuse(&file("locals = [\"other=port\"]"));
    assert!(warning.contains("run.toml:3:"), "{warning}");
    ping(&mut connect(SocketAddr::from(([127, 0, 0, 1], port))));
    run.process.stop();
    host.stop();
}

/// The file is a pipe: whoever writes decides when it is read.
#[test]
fn a_signal_before_anything_listens_is_for_later_and_reading_stops_nothing() {
    let folder = Folder::new("start");
    let path = folder.0.join("run.toml");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let contents = format!("[host]\nservices = [\"{}\"]\n", echo());
    let mut process = Pinhole::start("host", &["run", path.to_str().unwrap(), "--json", "--no-stun"]);
    // This waits for the process to read.
    let write = || OpenOptions::new().write(true).open(&path).unwrap();
    let mut file = write();
    process.signal(Signal::SIGHUP);
    file.write_all(contents.as_bytes()).unwrap();
    drop(file);
    let url = process.url();
    let mut file = write();
    // It is being read again, and that takes a while.
    let mut client = Pinhole::client(&url, &[]);
    ping(&mut connect(client.local()));
    process.signal(Signal::SIGHUP);
    process.signal(Signal::SIGHUP);
    file.write_all(contents.as_bytes()).unwrap();
    drop(file);
    assert_eq!(process.event("reloaded"), json!({"event": "reloaded", "what": "settings"}));
    // The end does not wait for somebody to write.
    client.stop();
    process.stop();
}
