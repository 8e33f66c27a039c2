//! psql against a real PostgreSQL, if one is installed.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::{Uid, User};

use crate::common::pinhole::Pair;
use crate::common::system::{program, skipped};
use crate::common::{ReservedPort, wait_until};

const TEST: &str = "psql through the tunnel";

#[test]
fn psql_asks_a_real_postgresql() {
    let Some(psql) = program("psql", TEST) else { return };
    let Some(database) = Database::start() else { return };
    let pair = Pair::of(database.address);
    let ask = |query: &str| {
        let output = Command::new(&psql)
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "pinhole", "-d", "postgres"])
            .args(["-h", &pair.local.ip().to_string(), "-p", &pair.local.port().to_string(), "-c", query])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask("select 6 * 7"), "42\n");
    ask("create table t as select i, repeat('x', 100) as text from generate_series(1, 100000) as i");
    let rows = ask("select i from t order by i");
    let expected: String = (1..=100_000).map(|i| format!("{i}\n")).collect();
    assert!(rows == expected, "{} of {} bytes", rows.len(), expected.len());
    assert_eq!(ask("select sum(length(text)) from t"), "10000000\n");
    pair.stop();
}

/// A throwaway cluster and its server.
struct Database {
    child: Child,
    address: std::net::SocketAddr,
    directory: PathBuf,
    /// Two sockets may be bound there as long as one listens, so nobody else is given the port.
    _port: ReservedPort,
}

impl Database {
    /// Starts it; `None`, with the reason printed, if this machine does not allow it.
    fn start() -> Option<Database> {
        let Some(binaries) = binaries() else {
            skipped(TEST, "no initdb beside a postgres is installed");
            return None;
        };
        let directory = std::env::temp_dir().join(format!("pinhole-postgres-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        // PostgreSQL refuses to run as root.
        let wrapper = if Uid::effective().is_root() {
            let Some(user) = User::from_name("postgres").unwrap().or(User::from_name("nobody").unwrap()) else {
                skipped(TEST, "there is no user but root to run it");
                return None;
            };
            let setpriv = program("setpriv", TEST)?;
            std::os::unix::fs::chown(&directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
            let (uid, gid) = (format!("--reuid={}", user.uid), format!("--regid={}", user.gid));
            vec![setpriv.display().to_string(), uid, gid, "--clear-groups".to_owned()]
        } else {
            Vec::new()
        };
        let command = |name: &str| {
            let program = binaries.join(name);
            let mut command = match wrapper.split_first() {
                Some((first, rest)) => {
                    let mut command = Command::new(first);
                    command.args(rest).arg(program);
                    command
                }
                None => Command::new(program),
            };
            command.current_dir(&directory).stdin(Stdio::null());
            command
        };
        let data = directory.join("data");
        let made = command("initdb").args(["-U", "pinhole", "-A", "trust", "-N", "-D"]).arg(&data).output().unwrap();
        if !made.status.success() {
            skipped(TEST, &format!("initdb: {}", String::from_utf8_lossy(&made.stderr).trim()));
            return None;
        }
        let port = ReservedPort::new();
        let address = port.address;
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut child = command("postgres")
            .args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-F", "-k", "", "-D"])
            .arg(&data)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let is_ready = |directory: &Path| {
            fs::read_to_string(directory.join("log")).is_ok_and(|log| log.contains("ready to accept connections"))
        };
        wait_until("PostgreSQL to be ready or to end", || is_ready(&directory) || child.try_wait().unwrap().is_some());
        if child.try_wait().unwrap().is_some() || TcpStream::connect(address).is_err() {
            skipped(TEST, &format!("postgres: {}", fs::read_to_string(directory.join("log")).unwrap().trim()));
            return None;
        }
        Some(Database { child, address, directory, _port: port })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SIGINT, PostgreSQL's fast shutdown, lets it take its children along.
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Finds the directory of initdb and postgres: in the search path, or where Debian keeps versions.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.map(|version| version.path().join("bin"));
    let mut places = std::env::split_paths(&path).chain(versions);
    places.find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
}
