//! How connections end, and what arrives before that: through every kind of forward, compared with a plain connection,
//! socat and `ssh -L`. Whatever a plain connection always delivers, a forward delivers too, and its end looks the same.
//!
//! `PIPE_FULL` repeats each case twenty times.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use socket2::Socket;

use super::forwards::{SocketPath, appeared, client, host, pipe};
use super::ssh::LocalForward;
use crate::common::bytes::write_pattern;
use crate::common::pinhole::{Pinhole, text};
use crate::common::system::{figure, program};
use crate::common::{DEADLINE, ReservedPort, any_port, connect, wait_until};

/// Bytes sent before most ends: more than the first window of a stream, and of a connection.
const LEN: usize = 100_000;

/// Bytes that the other side sends meanwhile, which are not read.
const UNREAD: usize = 3000;

/// How one side ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It says much and closes.
    Close,
    /// The same, and the other one begins to read only then.
    ClosePending,
    /// It hears something, answers and closes, and only then more comes for it.
    CloseAnswered,
    /// It says much, ends its direction and hears as much.
    HalfClose,
    /// It says something and closes with `SO_LINGER` 0.
    Reset,
    /// The same, and the other one begins to read only then.
    ResetPending,
    /// It closes while a greeting is unread, right after a short answer.
    Unread,
    /// It closes while a greeting is unread, and half of a long answer.
    UnreadPending,
    /// It answers the beginning of a long upload and closes.
    EarlyAnswer,
}

impl Ending {
    const ALL: [Ending; 9] = [
        Ending::Close,
        Ending::ClosePending,
        Ending::CloseAnswered,
        Ending::HalfClose,
        Ending::Reset,
        Ending::ResetPending,
        Ending::Unread,
        Ending::UnreadPending,
        Ending::EarlyAnswer,
    ];

    fn name(self) -> &'static str {
        match self {
            Ending::Close => "close",
            Ending::ClosePending => "close, all unread",
            Ending::CloseAnswered => "close, and more comes for it",
            Ending::HalfClose => "half-close",
            Ending::Reset => "linger 0",
            Ending::ResetPending => "linger 0, all unread",
            Ending::Unread => "close with an unread greeting",
            Ending::UnreadPending => "the same, much unread there",
            Ending::EarlyAnswer => "an early answer to an upload",
        }
    }

    /// Bytes that the one who ends says.
    fn len(self) -> usize {
        match self {
            Ending::Close | Ending::ClosePending | Ending::HalfClose | Ending::UnreadPending => LEN,
            // What the system of a plain connection takes before anybody reads.
            Ending::Reset | Ending::ResetPending => 40_000,
            Ending::Unread | Ending::EarlyAnswer | Ending::CloseAnswered => 100,
        }
    }
}

/// What the two sides tell each other beside the connection.
struct Gate {
    to_speaker: Sender<()>,
    at_speaker: Receiver<()>,
    to_listener: Sender<()>,
    at_listener: Receiver<()>,
}

impl Gate {
    fn new() -> Gate {
        let ((to_speaker, at_speaker), (to_listener, at_listener)) = (unbounded(), unbounded());
        Gate { to_speaker, at_speaker, to_listener, at_listener }
    }
}

fn said(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pattern(&mut bytes, len as u64).unwrap();
    bytes
}

/// Ends a connection.
fn speak(ending: Ending, mut socket: Socket, gate: &Gate) -> io::Result<()> {
    let words = said(ending.len());
    match ending {
        Ending::Close | Ending::ClosePending => socket.write_all(&words)?,
        Ending::HalfClose => {
            socket.write_all(&words)?;
            socket.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer)?;
            assert!(answer == words, "{} bytes came back", answer.len());
        }
        Ending::Reset | Ending::ResetPending => {
            socket.write_all(&words)?;
            socket.set_linger(Some(Duration::ZERO))?;
        }
        Ending::Unread => {
            socket.peek(&mut [MaybeUninit::uninit()])?;
            socket.write_all(&words)?;
        }
        Ending::UnreadPending => {
            socket.peek(&mut [MaybeUninit::uninit()])?;
            socket.write_all(&words)?;
            gate.at_speaker.recv_timeout(DEADLINE).unwrap();
        }
        Ending::EarlyAnswer | Ending::CloseAnswered => {
            socket.read_exact(&mut [0; 1000])?;
            socket.write_all(&words)?;
        }
    }
    drop(socket);
    gate.to_listener.send(()).unwrap();
    Ok(())
}

/// What the other side gets: whether it was all, and whether it was told so.
fn listen(ending: Ending, mut socket: Socket, gate: &Gate) -> (bool, Option<ErrorKind>) {
    let words = said(ending.len());
    let mut heard = Vec::new();
    // A reset is told once: to the write that it interrupts, or else to a read.
    let mut interrupted = None;
    match ending {
        Ending::Unread | Ending::UnreadPending => socket.write_all(&said(UNREAD)).unwrap(),
        // What it cannot say any more it does not say.
        Ending::EarlyAnswer => interrupted = socket.write_all(&said(1_000_000)).err(),
        Ending::CloseAnswered => {
            socket.write_all(&[0; 1000]).unwrap();
            gate.at_listener.recv_timeout(DEADLINE).unwrap();
            // The first is answered by a reset, and some system may say so at the second.
            for _ in 0..2 {
                let _ = socket.write_all(&[0; 1000]);
            }
        }
        Ending::ClosePending | Ending::ResetPending => gate.at_listener.recv_timeout(DEADLINE).unwrap(),
        Ending::Close | Ending::HalfClose | Ending::Reset => {}
    }
    if ending == Ending::UnreadPending {
        heard.resize(LEN / 2, 0);
        socket.read_exact(&mut heard).unwrap();
        gate.to_speaker.send(()).unwrap();
    }
    let end = socket.read_to_end(&mut heard).err().or(interrupted).map(|error| error.kind());
    if ending == Ending::HalfClose {
        socket.write_all(&words).unwrap();
    }
    let is_end = |kind: &ErrorKind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    assert!(end.as_ref().is_none_or(is_end), "{ending:?}: {} of {} bytes, then {end:?}", heard.len(), words.len());
    (heard == words, end)
}

/// A way from a program to a service.
struct Way<'a> {
    name: &'static str,
    open: Box<dyn Fn() -> Socket + 'a>,
    /// The service's ends.
    accepted: &'a Receiver<Socket>,
    /// The column to be compared with, if it is one of ours.
    reference: Option<usize>,
    /// The program's end is a TCP connection; and the service's.
    is_tcp: [bool; 2],
}

impl Way<'_> {
    /// Ends a connection once, by the service or by the program. `None` where there is nothing of that kind.
    fn end(&self, ending: Ending, by_service: bool) -> Option<(bool, Option<ErrorKind>)> {
        let speaks_tcp = self.is_tcp[usize::from(by_service)];
        if !speaks_tcp && matches!(ending, Ending::Reset | Ending::ResetPending) {
            return None;
        }
        // A pipe tells nothing of what its program does, but its end; and it ends with its service's direction.
        let has_pipe = match ending {
            Ending::Close => true,
            Ending::HalfClose => !by_service,
            _ => by_service,
        };
        if self.name == "-W" && !has_pipe {
            return None;
        }
        let program = (self.open)();
        let accepted = self.accepted.recv_timeout(DEADLINE);
        let service =
            accepted.unwrap_or_else(|error| panic!("{}, {ending:?}, by the service {by_service}: {error}", self.name));
        for socket in [&program, &service] {
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            socket.set_write_timeout(Some(DEADLINE)).unwrap();
        }
        let (speaker, listener) = if by_service { (service, program) } else { (program, service) };
        let gate = Gate::new();
        thread::scope(|scope| {
            let speaking = scope.spawn(|| speak(ending, speaker, &gate));
            let heard = listen(ending, listener, &gate);
            speaking.join().unwrap().unwrap_or_else(|error| panic!("{}, {ending:?}: {error}", self.name));
            Some(heard)
        })
    }
}

/// What came of several of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cell {
    whole: usize,
    ended: usize,
    reset: usize,
}

impl Cell {
    fn text(&self) -> String {
        match (self.ended, self.reset) {
            (_, 0) => format!("{} end", self.whole),
            (0, _) => format!("{} reset", self.whole),
            (ended, reset) => format!("{} {ended}e {reset}r", self.whole),
        }
    }
}

/// Hands over every connection that comes.
fn accept_tcp() -> (SocketAddr, Receiver<Socket>) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let (sender, accepted) = bounded(16);
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| sender.send(stream.into())));
    (address, accepted)
}

fn accept_unix(path: &SocketPath) -> Receiver<Socket> {
    let listener = UnixListener::bind(&path.0).unwrap();
    let (sender, accepted) = bounded(16);
    thread::spawn(move || {
        listener.incoming().flatten().try_for_each(|stream| sender.send(OwnedFd::from(stream).into()))
    });
    accepted
}

fn dial(address: SocketAddr) -> Socket {
    connect(address).into()
}

fn dial_unix(path: &SocketPath) -> Socket {
    OwnedFd::from(UnixStream::connect(&path.0).unwrap()).into()
}

/// Asks a SOCKS5 proxy for a connection (RFC 1928).
fn dial_socks(proxy: SocketAddr, target: SocketAddr) -> Socket {
    let mut stream = connect(proxy);
    let SocketAddr::V4(target) = target else { panic!("{target}") };
    let request = [&[5, 1, 0, 5, 1, 0, 1][..], &target.ip().octets(), &target.port().to_be_bytes()].concat();
    stream.write_all(&request).unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..4], [5, 0, 5, 0]);
    stream.into()
}

/// A socket that is stdin and stdout of a client. It ends by itself when its stream does.
fn dial_pipe(url: &str, target: SocketAddr) -> Socket {
    let (near, far) = UnixStream::pair().unwrap();
    let (stdin, stdout) = (OwnedFd::from(far.try_clone().unwrap()), OwnedFd::from(far));
    let mut command = pipe(url, &target.to_string());
    let mut child =
        command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::null()).spawn().unwrap();
    // The command holds the other socket, too.
    drop(command);
    thread::spawn(move || child.wait());
    OwnedFd::from(near).into()
}

/// A process that goes with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn socat(target: SocketAddr) -> Option<(Killed, SocketAddr)> {
    let socat = program("socat", "endings beside socat")?;
    let address = ReservedPort::new().address;
    let listen = format!("TCP-LISTEN:{},bind={},reuseaddr,fork", address.port(), address.ip());
    let child = Command::new(socat).args([&listen, &format!("TCP:{target}")]).stderr(Stdio::null()).spawn().unwrap();
    wait_until("socat to listen", || TcpListener::bind(address).is_err());
    Some((Killed(child), address))
}

#[test]
fn what_a_plain_connection_delivers_before_its_end_a_forward_does() {
    let times = if std::env::var_os("PIPE_FULL").is_some() { 20 } else { 4 };
    let (service, accepted) = accept_tcp();
    let [unix_service, unix_local] = ["ends-service", "ends-local"].map(SocketPath::new);
    let unix_accepted = accept_unix(&unix_service);
    let socat = socat(service);
    let ssh = LocalForward::start(service, "endings beside ssh -L");

    let free = ReservedPort::new().address.port();
    let (web, app) = (format!("web={service}"), format!("app={}", unix_service.text()));
    let (allow, free_port) = (service.to_string(), free.to_string());
    let (mut host, url) = host(&[&web, &app, "--allow", &allow, "--allow-reverse", &free_port]);
    let (local, back) = (format!("0:{service}"), format!("{free}:{service}"));
    let app = format!("app={}", unix_local.text());
    let mut direct = client(&url, &["web=0", &app, "-L", &local, "-R", &back, "-D", "0"]);
    let reverse = direct.find("a reverse forward", |event| event["event"] == "reverse-forwarding");
    let reverse: SocketAddr = text(&reverse, "local").parse().unwrap();
    let mut places = direct.events_so_far();
    let mut at = |service: &str| -> SocketAddr {
        let is_it = |event: &&serde_json::Value| event["event"] == "forwarding" && event["service"] == service;
        if !places.iter().any(|event| is_it(&event)) {
            appeared(&mut direct, service);
            places = direct.events_so_far();
        }
        text(places.iter().find(is_it).unwrap(), "local").parse().unwrap()
    };
    let (forwarded, named, proxy) = (at("web"), at(&service.to_string()), at("proxy"));
    let mut relayed_client: Pinhole = client(&url, &["web=0", "--relay-only"]);
    let relayed: SocketAddr = appeared(&mut relayed_client, "web").parse().unwrap();

    let tcp = |name, open: Box<dyn Fn() -> Socket>, reference| Way {
        name,
        open,
        accepted: &accepted,
        reference,
        is_tcp: [true; 2],
    };
    let mut ways = vec![tcp("plain", Box::new(move || dial(service)), None)];
    if let Some((_, address)) = &socat {
        let address = *address;
        ways.push(tcp("socat", Box::new(move || dial(address)), None));
    }
    if let Some(ssh) = &ssh {
        let address = ssh.local;
        ways.push(tcp("ssh -L", Box::new(move || dial(address)), None));
    }
    for (name, address) in [("pinhole", forwarded), ("-L", named), ("-R", reverse), ("relayed", relayed)] {
        ways.push(tcp(name, Box::new(move || dial(address)), Some(0)));
    }
    ways.push(tcp("-D", Box::new(move || dial_socks(proxy, service)), Some(0)));
    let open = Box::new(|| dial_pipe(&url, service));
    ways.push(Way { name: "-W", open, accepted: &accepted, reference: Some(0), is_tcp: [false, true] });
    let plain_unix = ways.len();
    for (name, path, reference) in [("plain unix", &unix_service, None), ("unix", &unix_local, Some(plain_unix))] {
        let open = Box::new(move || dial_unix(path));
        ways.push(Way { name, open, accepted: &unix_accepted, reference, is_tcp: [false; 2] });
    }

    let mut table = format!("{times} of each, those that were whole and how they ended\n{:<44}", "");
    ways.iter().for_each(|way| write!(table, "{:>12}", way.name).unwrap());
    let mut wrong = Vec::new();
    for (by_service, who) in [(true, "service"), (false, "program")] {
        for ending in Ending::ALL {
            write!(table, "\n{:<44}", format!("{who}: {}", ending.name())).unwrap();
            let mut cells: Vec<Option<Cell>> = Vec::new();
            for way in &ways {
                let mut cell = Some(Cell::default());
                for _ in 0..times {
                    cell = way.end(ending, by_service).zip(cell).map(|((is_whole, end), cell)| Cell {
                        whole: cell.whole + usize::from(is_whole),
                        ended: cell.ended + usize::from(end.is_none()),
                        reset: cell.reset + usize::from(end.is_some()),
                    });
                }
                write!(table, "{:>12}", cell.as_ref().map_or("-".to_owned(), Cell::text)).unwrap();
                let reference = way.reference.and_then(|index| cells[index].as_ref());
                if let (Some(cell), Some(plain)) = (&cell, reference)
                    && !is_as_good(cell, plain, way, times)
                {
                    wrong.push(format!("{who}, {ending:?}, {}: {cell:?}, and {plain:?} without", way.name));
                }
                cells.push(cell);
            }
        }
    }
    figure(&table);
    assert!(wrong.is_empty(), "{wrong:#?}");
    direct.stop();
    relayed_client.stop();
    host.stop();
}

/// Where the plain connection delivers each time, so must the other, and where it always ends in one way, in that one.
/// A pipe has no reset.
fn is_as_good(cell: &Cell, plain: &Cell, way: &Way<'_>, times: usize) -> bool {
    let is_whole = plain.whole < times || cell.whole == times;
    let ends_alike = (plain.ended < times || cell.ended == times) && (plain.reset < times || cell.reset == times);
    is_whole && (ends_alike || !way.is_tcp[0])
}
