//! ssh through the tunnel to a throwaway sshd, if both are installed.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::bytes::write_pattern;
use crate::common::pinhole::{Pair, Pinhole};
use crate::common::system::{program, skipped};
use crate::common::{ReservedPort, wait_until};

const TEST: &str = "ssh through the tunnel";

/// Length of what is piped through ssh, in lines.
const LINES: usize = 200_000;

#[test]
fn ssh_runs_commands_and_carries_their_input_and_output() {
    let (Some(ssh), Some(sshd), Some(keygen)) =
        (program("ssh", TEST), program("sshd", TEST), program("ssh-keygen", TEST))
    else {
        return;
    };
    let directory = Directory::new();
    let Some(server) = Server::start(&sshd, &keygen, &directory.0) else { return };
    let pair = Pair::of(server.address);
    let run = |command: &str, input: Vec<u8>| {
        let mut child = Command::new(&ssh)
            .args(["-F", "/dev/null", "-i"])
            .arg(directory.0.join("user"))
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=60", "-p", &pair.local.port().to_string()])
            .args([&pair.local.ip().to_string(), command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output
    };
    let output = run("echo hello; exit 7", Vec::new());
    assert_eq!((output.status.code(), &*output.stdout), (Some(7), &b"hello\n"[..]), "{output:?}");
    let input: Vec<u8> = (0..LINES).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    let output = run("cat", input.clone());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == input, "{} of {} bytes came back", output.stdout.len(), input.len());
    pair.stop();
}

#[test]
fn ssh_and_scp_take_the_pipe_for_a_proxy_command() {
    let test = "ssh through the pipe";
    let (Some(ssh), Some(scp), Some(sshd), Some(keygen)) =
        (program("ssh", test), program("scp", test), program("sshd", test), program("ssh-keygen", test))
    else {
        return;
    };
    let directory = Directory::new();
    let Some(server) = Server::start(&sshd, &keygen, &directory.0) else { return };
    let mut host = Pinhole::host(server.address, &[]);
    let service = server.address.port();
    let binary = env!("CARGO_BIN_EXE_pinhole");
    let proxy = format!("ProxyCommand={binary} client '{}' -W {service} --no-stun -q", host.url());
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program)
            .args(["-F", "/dev/null", "-i"])
            .arg(directory.0.join("user"))
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=60", "-o", &proxy])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = run(&ssh, &["anything", "echo through; exit 7"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(7), &b"through\n"[..]), "{output:?}");

    let path = |name: &str| directory.0.join(name).display().to_string();
    let mut content = Vec::new();
    write_pattern(&mut content, 5_000_000).unwrap();
    fs::write(path("here"), &content).unwrap();
    for (from, to) in
        [(path("here"), format!("anything:{}", path("there"))), (format!("anything:{}", path("there")), path("back"))]
    {
        let output = run(&scp, &[&from, &to]);
        assert!(output.status.success(), "{output:?}");
    }
    for name in ["there", "back"] {
        assert!(fs::read(path(name)).unwrap() == content, "{name} is not what was sent");
    }
    host.stop();
}

/// `ssh -L` to a target by way of an sshd here, for tests that compare with it.
pub(super) struct LocalForward {
    child: Child,
    pub(super) local: SocketAddr,
    _server: Server,
    _directory: Directory,
}

impl LocalForward {
    /// Starts both, if they are there.
    pub(super) fn start(target: SocketAddr, test: &str) -> Option<LocalForward> {
        let (ssh, sshd, keygen) = (program("ssh", test)?, program("sshd", test)?, program("ssh-keygen", test)?);
        let directory = Directory::new();
        let server = Server::start(&sshd, &keygen, &directory.0)?;
        let local = ReservedPort::new();
        let address = local.address;
        drop(local);
        let mut child = Command::new(ssh)
            .args(["-F", "/dev/null", "-N", "-L", &format!("{address}:{target}"), "-i"])
            .arg(directory.0.join("user"))
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=60", "-p", &server.address.port().to_string()])
            .arg(server.address.ip().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listens = || TcpListener::bind(address).is_err();
        wait_until("ssh to listen or to end", || listens() || child.try_wait().unwrap().is_some());
        Some(LocalForward { child, local: address, _server: server, _directory: directory })
    }
}

impl Drop for LocalForward {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        let path =
            std::env::temp_dir().join(format!("pinhole-ssh-{}-{:?}", std::process::id(), std::thread::current().id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing but temporary files would be left.
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
    /// Two sockets may be bound there as long as one listens, so nobody else is given the port.
    _port: ReservedPort,
}

impl Server {
    /// Starts sshd for this user only; `None`, with the reason printed, if this machine does not allow it.
    fn start(sshd: &Path, keygen: &Path, directory: &Path) -> Option<Server> {
        for name in ["host", "user"] {
            let file = directory.join(name);
            let made = Command::new(keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).status().unwrap();
            assert!(made.success());
        }
        fs::copy(directory.join("user.pub"), directory.join("authorized")).unwrap();
        let port = ReservedPort::new();
        let address = port.address;
        let at = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "ListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n",
            at("host"),
            at("authorized"),
        );
        fs::write(directory.join("config"), config).unwrap();
        // Debian's sshd wants this directory when it is started by root; others must not create it.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut child = Command::new(sshd)
            .args(["-D", "-e", "-f"])
            .arg(directory.join("config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_until("sshd to listen or to end", || {
            TcpStream::connect(address).is_ok() || child.try_wait().unwrap().is_some()
        });
        if child.try_wait().unwrap().is_some() {
            let log = fs::read_to_string(directory.join("log")).unwrap();
            skipped(TEST, &format!("sshd does not start here: {}", log.trim()));
            return None;
        }
        Some(Server { child, address, _port: port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
