//! Every kind of forward through real processes: services by name, unix sockets, targets of the client, the proxy, the
//! pipe.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::bytes::{Digester, check_pattern, pattern_digest, write_pattern};
use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::{echo, read_head, serve};
use crate::common::system::{figure, program};
use crate::common::{DEADLINE, connect, quiet_port, try_connect, wait_until};

/// Length of what most transfers here move.
const LEN: u64 = 3_000_000;

/// Sends the pattern to whoever connects.
fn source(len: u64) -> SocketAddr {
    serve(move |mut stream| write_pattern(&mut stream, len))
}

/// A path for a unix socket, gone with the test.
pub(super) struct SocketPath(pub(super) PathBuf);

impl SocketPath {
    pub(super) fn new(name: &str) -> SocketPath {
        SocketPath(std::env::temp_dir().join(format!("pinhole-{}-{name}.sock", std::process::id())))
    }

    pub(super) fn text(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // The program that had it may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A host of those targets, and its URL.
pub(super) fn host(arguments: &[&str]) -> (Pinhole, String) {
    let mut host = Pinhole::start("host", &[&["host", "--json", "--no-stun"], arguments].concat());
    let url = host.url();
    (host, url)
}

pub(super) fn client(url: &str, arguments: &[&str]) -> Pinhole {
    Pinhole::start("client", &[&["client", url, "--json", "--no-stun"], arguments].concat())
}

/// Where a service appeared.
pub(super) fn appeared(client: &mut Pinhole, service: &str) -> String {
    text(&client.find(service, |event| event["event"] == "forwarding" && event["service"] == service), "local")
}

#[test]
fn services_appear_by_name_and_by_themselves() {
    let (big, small) = (source(LEN), source(17));
    let (mut host, url) = host(&[&format!("big={big}"), &format!("small={small}")]);
    let mut named = client(&url, &["small=0", "big=0"]);
    let check = |local: &str, len| {
        let mut stream = connect(local.parse().unwrap());
        check_pattern(&mut stream, 0, len);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    };
    check(&appeared(&mut named, "small"), 17);
    named.stop();
    let mut every = client(&url, &[]);
    // Their own ports are taken, by the services themselves, so any port will do.
    let big_local = appeared(&mut every, "big");
    assert_ne!(big_local, big.to_string());
    check(&big_local, LEN);
    check(&appeared(&mut every, "small"), 17);
    every.stop();

    client(&url, &["0"]).end().expect(1, &["several services: big, small", r#""code":"no-service""#]);
    client(&url, &["web=0"]).end().expect(1, &["no service", "big, small"]);
    host.stop();
}

#[test]
fn unix_sockets_serve_and_appear() {
    let (target, local) = (SocketPath::new("target"), SocketPath::new("local"));
    let listener = UnixListener::bind(&target.0).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = String::new();
            stream.read_to_string(&mut request).unwrap();
            write!(stream, "{request} back").unwrap();
        }
    });
    let (mut host, url) = host(&[&format!("app={}", target.text())]);
    let mut client = client(&url, &[&format!("app={}", local.text())]);
    assert_eq!(appeared(&mut client, "app"), local.text());
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&local.0).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"there and").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "there and back");
    }
    client.stop();
    assert!(!local.0.exists(), "a socket goes with its program");
    host.stop();
}

#[test]
fn what_the_client_names_is_dialled_if_it_is_allowed() {
    let service = source(LEN);
    let port = service.port();
    let (mut host, url) = host(&["--allow", &format!("127.0.0.0/8:{port}")]);
    // A name is checked by what it leads to.
    let forward = format!("0:localhost:{port}");
    let mut client = client(&url, &["-L", &forward, "-L", "0:127.0.0.1:1"]);
    let mut stream = connect(appeared(&mut client, &format!("localhost:{port}")).parse().unwrap());
    check_pattern(&mut stream, 0, LEN);
    let denied = try_connect(appeared(&mut client, "127.0.0.1:1").parse().unwrap());
    assert!(denied.and_then(|mut stream| stream.read(&mut [0])).is_err(), "it is reset");
    let message = host.problem("warning", "denied");
    assert!(message.contains("127.0.0.1:1") && message.contains("--allow"), "{message}");
    client.stop();
    host.stop();
}

#[test]
fn nothing_is_dialled_unless_it_is_allowed() {
    let service = source(1);
    let (mut host, url) = host(&[&format!("web={service}")]);
    let mut client = client(&url, &["-L", &format!("0:{service}")]);
    let denied = try_connect(appeared(&mut client, &service.to_string()).parse().unwrap());
    assert!(denied.and_then(|mut stream| stream.read(&mut [0])).is_err(), "although it is a service by its name");
    host.problem("warning", "denied");
    client.stop();
    host.stop();
}

#[test]
fn curl_goes_through_the_proxy() {
    let Some(curl) = program("curl", "the proxy") else { return };
    let web = serve(|mut stream| {
        read_head(&mut stream)?;
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {LEN}\r\n\r\n")?;
        write_pattern(&mut stream, LEN)
    });
    let (mut host, url) = host(&["--allow", &web.to_string()]);
    let mut client = client(&url, &["-D", "0", "--proxy-auth", "me:secret"]);
    let proxy = appeared(&mut client, "proxy");
    let run = |arguments: &[&str]| {
        let output = Command::new(&curl).args(["-sS", "--max-time", "60"]).args(arguments).output().unwrap();
        let mut digest = Digester::default();
        digest.write_all(&output.stdout).unwrap();
        (output.status.code(), digest.finish(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let page = format!("http://localhost:{}/", web.port());
    let (socks, http) = (format!("socks5h://me:secret@{proxy}"), format!("http://me:secret@{proxy}"));
    let good = (LEN, pattern_digest(LEN));
    for way in [&["-x", &socks][..], &["-p", "-x", &http]] {
        let (code, digest, stderr) = run(&[way, &[&page]].concat());
        assert_eq!((code, digest), (Some(0), good.clone()), "{way:?}: {stderr}");
    }
    let refused = |way: &[&str], words: &str| {
        let (code, _, stderr) = run(way);
        assert!(code != Some(0) && stderr.contains(words), "{way:?}: {stderr}");
    };
    refused(&["-x", &socks, "http://10.9.9.9/"], "(2)");
    refused(&["-p", "-x", &http, "http://10.9.9.9/"], "403");
    refused(&["-p", "-x", &format!("http://me:wrong@{proxy}"), &page], "407");
    client.stop();
    host.stop();
}

#[test]
fn a_proxy_that_everybody_may_use_is_warned_of() {
    let (mut host, url) = host(&["--allow", "127.0.0.1:1"]);
    let mut open = client(&url, &["-D", "0.0.0.0:0"]);
    let warning = open.problem("warning", "open-proxy");
    assert!(warning.contains("everybody who reaches -D 0.0.0.0:0") && warning.contains("--proxy-auth"), "{warning}");
    appeared(&mut open, "proxy");
    open.stop();
    for arguments in [&["-D", "0"][..], &["-D", "localhost:0"], &["-D", "0.0.0.0:0", "--proxy-auth", "me:secret"]] {
        let mut client = client(&url, arguments);
        appeared(&mut client, "proxy");
        assert!(!client.events_so_far().iter().any(|event| event["event"] == "warning"), "{arguments:?}");
        client.stop();
    }
    host.stop();
}

/// A client whose stdin and stdout are the stream.
pub(super) fn pipe(url: &str, target: &str) -> Command {
    command(&["client", url, "-W", target, "--no-stun"])
}

#[test]
fn a_pipe_moves_a_gigabyte_in_and_out_and_ends_with_its_stream() {
    let len = if std::env::var_os("PIPE_FULL").is_some() { 1_000_000_000 } else { 50_000_000 };
    let drain = serve(move |mut stream| {
        let mut digest = Digester::default();
        std::io::copy(&mut stream, &mut digest)?;
        let (len, hash) = digest.finish();
        write!(stream, "{len} {hash}")
    });
    let (big, name) = (source(len), format!("sink={drain}"));
    let (mut host, url) = host(&[&name, &format!("big={big}")]);

    let mut child = pipe(&url, "big").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut digest = Digester::default();
    let start = std::time::Instant::now();
    std::io::copy(&mut child.stdout.take().unwrap(), &mut digest).unwrap();
    assert_eq!(digest.finish(), (len, pattern_digest(len)));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    figure(&format!("{len} bytes out of a pipe in {:?}", start.elapsed()));

    let mut child = pipe(&url, "sink").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    write_pattern(&mut stdin, len).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{len} {}", pattern_digest(len)));
    assert_eq!(output.status.code(), Some(0));
    host.stop();
}

#[test]
fn a_pipe_to_nowhere_says_so_on_stderr_only() {
    let (mut host, url) = host(&[&format!("web={}", echo())]);
    for (target, words) in [("nope", "no service"), ("127.0.0.1:1", "denied")] {
        let output = pipe(&url, target).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{target}: {stderr}");
        assert!(stderr.contains(words), "{target}: {stderr}");
    }
    host.stop();
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let seen = serve(|mut stream| {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut line = head.to_vec();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        stream.write_all(&line)
    });
    let (mut host, url) = host(&[&format!("web={seen}"), "--proxy-protocol", "v1"]);
    for (flag, expected) in [("--no-relay", "PROXY TCP"), ("--relay-only", "PROXY UNKNOWN\r\n")] {
        let mut client = client(&url, &["web=0", flag]);
        let mut stream = connect(appeared(&mut client, "web").parse().unwrap());
        let mut line = String::new();
        stream.read_to_string(&mut line).unwrap();
        assert!(line.starts_with(expected), "{line}");
        client.stop();
    }
    host.stop();
}

#[test]
fn a_reverse_forward_listens_on_the_host_as_long_as_its_client_is_there() {
    let service = source(LEN);
    let answers = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = answers.local_addr().unwrap();
    let free = quiet_port();
    // The host shares nothing of its own.
    let (mut host, url) = host(&["--allow-reverse", &free.to_string(), "--allow-reverse", &format!("udp:{free}")]);
    let (tcp, udp) = (format!("{free}:{service}"), format!("udp:{free}:{target}"));
    let mut client = client(&url, &["-R", &tcp, "-R", &udp]);
    let listens = |side: &mut Pinhole, start: &str| {
        side.find(start, |event| {
            event["event"] == "reverse-forwarding" && event["local"].as_str().unwrap().starts_with(start)
        })
    };
    assert_eq!(listens(&mut host, "127").get("target"), None, "a host is not told what its clients dial");
    let event = listens(&mut client, "127");
    assert_eq!(text(&event, "target"), service.to_string());
    let local: SocketAddr = text(&event, "local").parse().unwrap();
    let mut stream = connect(local);
    check_pattern(&mut stream, 0, LEN);

    let event = listens(&mut client, "udp:");
    let program = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&program, &answers] {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    program.connect(text(&event, "local").trim_start_matches("udp:")).unwrap();
    program.send(b"question").unwrap();
    let mut buffer = [0; 16];
    let (len, from) = answers.recv_from(&mut buffer).unwrap();
    answers.send_to(&[b"re: ", &buffer[..len]].concat(), from).unwrap();
    let len = program.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"re: question");

    client.stop();
    host.find("end", |event| event["event"] == "disconnected");
    assert!(try_connect(local).is_err(), "the host listens for a client that is gone");
    host.stop();
}

#[test]
fn a_client_that_is_started_again_gets_its_port_back() {
    let service = source(LEN);
    let free = quiet_port();
    let (mut host, url) = host(&["--allow-reverse", &free.to_string()]);
    let forward = format!("{free}:{service}");
    let granted = |client: &mut Pinhole| client.find("the port", |event| event["event"] == "reverse-forwarding");
    let mut first = client(&url, &["-R", &forward]);
    granted(&mut first);
    // As long as the first is there, nobody else gets the port.
    let mut second = client(&url, &["-R", &forward]);
    assert!(second.problem("warning", "reverse-refused").contains("already"));
    second.stop();
    first.signal(Signal::SIGKILL);
    first.end();
    host.find("that it is away", |event| event["event"] == "recovering");
    let mut again = client(&url, &["-R", &forward]);
    let event = granted(&mut again);
    check_pattern(&mut connect(text(&event, "local").parse().unwrap()), 0, LEN);
    again.stop();
    host.stop();
}

#[test]
fn a_host_listens_nowhere_unless_it_is_allowed() {
    let taken = quiet_port();
    for arguments in [vec!["22"], vec!["22", "--allow-reverse", "1-1023"]] {
        let (mut host, url) = host(&arguments);
        let mut client = client(&url, &["-R", &format!("{taken}:127.0.0.1:22")]);
        let message = client.problem("warning", "reverse-refused");
        assert!(message.contains("--allow-reverse") && message.contains(&taken.to_string()), "{message}");
        let message = host.problem("warning", "denied");
        assert!(message.contains("--allow-reverse"), "{message}");
        assert!(try_connect(SocketAddr::from(([127, 0, 0, 1], taken))).is_err());
        client.stop();
        host.stop();
    }
}

#[test]
fn a_port_that_the_host_cannot_have_is_refused_with_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (mut host, url) = host(&["--allow-reverse", &port.to_string()]);
    let mut client = client(&url, &["-R", &format!("{port}:127.0.0.1:22")]);
    let message = client.problem("warning", "reverse-refused");
    assert!(message.contains("in use"), "{message}");
    client.stop();
    host.stop();
}

/// Answers datagrams with `name` and what came.
fn answering(name: &'static str) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            if socket.send_to(&[name.as_bytes(), &buffer[..len]].concat(), from).is_err() {
                return;
            }
        }
    });
    port
}

#[test]
fn datagrams_go_through_the_proxy_as_long_as_their_connection_lasts() {
    let (a, b, denied) = (answering("a: "), answering("b: "), answering("never: "));
    let (mut host, url) = host(&["--allow", &format!("udp:127.0.0.1:{a}"), "--allow", &format!("udp:127.0.0.1:{b}")]);
    let mut client = client(&url, &["-D", "0"]);
    let mut control = connect(appeared(&mut client, "proxy").parse().unwrap());
    // RFC 1928: no login; UDP ASSOCIATE from an address that is not known yet.
    control.write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    let mut reply = [0; 12];
    control.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..10], [5, 0, 5, 0, 0, 1, 127, 0, 0, 1], "{reply:?}");
    let relay = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([reply[10], reply[11]])));

    let program = UdpSocket::bind("127.0.0.1:0").unwrap();
    program.connect(relay).unwrap();
    let header = |port: u16| [&[0, 0, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat();
    program.send(b"no header").unwrap();
    program.send(&[header(denied), b"refused".to_vec()].concat()).unwrap();
    // One socket, two targets: each answer says from where it is.
    program.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for (port, name) in [(a, "a"), (b, "b"), (a, "a")] {
        let mut buffer = [0; 100];
        let expected = [header(port), format!("{name}: question").into_bytes()].concat();
        // A datagram may be lost: while the path changes, for one.
        wait_until(&format!("an answer of {name}"), || {
            program.send(&[header(port), b"question".to_vec()].concat()).unwrap();
            program.recv(&mut buffer).is_ok_and(|len| buffer[..len] == expected)
        });
    }
    program.set_read_timeout(Some(DEADLINE)).unwrap();
    let message = host.problem("warning", "denied");
    assert!(message.contains(&denied.to_string()), "{message}");

    drop(control);
    for _ in 0..2 {
        client.find("the end of a flow", |event| event["event"] == "stream-closed" && event["reason"] == "closed");
    }
    // The relay is gone: what is sent there comes back as an error.
    assert!((0..100).any(|_| program.send(&header(a)).is_err() || program.recv(&mut [0; 100]).is_err()));
    client.stop();
    host.stop();
}

/// Data that a program sends right after its request reaches the target whole and in order, however small the initial
/// credit of the host is: here 4 KiB.
#[test]
fn what_follows_a_request_to_the_proxy_at_once_arrives_whole() {
    let echo = echo();
    let few = ["--allow", &echo.to_string(), "--memory", "64MiB", "--max-streams", "16384"];
    let (mut host, url) = host(&few);
    let mut client = client(&url, &["-D", "0"]);
    let proxy = appeared(&mut client, "proxy").parse().unwrap();
    let port = echo.port().to_be_bytes();
    let socks = [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1][..], &port].concat();
    let http = format!("CONNECT {echo} HTTP/1.1\r\nHost: {echo}\r\n\r\n").into_bytes();
    for request in [socks, http] {
        let early: Vec<u8> = (0..7900u32).map(|index| index as u8).collect();
        let mut program = connect(proxy);
        program.write_all(&[&request[..], &early].concat()).unwrap();
        program.write_all(b"and later").unwrap();
        program.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        program.read_to_end(&mut all).unwrap();
        let back = &all[all.len().saturating_sub(early.len() + 9)..];
        assert!(back == [&early[..], b"and later"].concat(), "{} bytes", all.len());
    }
    client.stop();
    host.stop();
}

#[test]
fn a_rate_holds_in_each_direction() {
    const RATED: u64 = 2_000_000;
    let service = source(RATED);
    // 8 Mbit/s are a megabyte a second, of which a burst goes at once.
    let (mut host, url) = host(&[&format!("web={service}"), "--rate", "8mbit"]);
    let mut client = client(&url, &["web=0"]);
    let start = Instant::now();
    check_pattern(&mut connect(appeared(&mut client, "web").parse().unwrap()), 0, RATED);
    let took = start.elapsed();
    figure(&format!("{RATED} bytes at 8 Mbit/s: {took:?}"));
    assert!(took.as_secs_f64() > 1.5, "{took:?}");
    client.stop();
    host.stop();
}
