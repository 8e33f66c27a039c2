//! A real Redis, that can be stopped, emptied and started again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::system::program;
use crate::common::{DEADLINE, ReservedPort, wait_until};

pub(crate) struct Redis {
    program: PathBuf,
    child: Child,
    port: ReservedPort,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts one for this test, which is skipped where there is none.
    pub(crate) fn start(test: &str) -> Option<Redis> {
        Redis::start_with(test, &[])
    }

    pub(crate) fn start_with(test: &str, more: &[&str]) -> Option<Redis> {
        let program = program("redis-server", test)?;
        let port = ReservedPort::new();
        let number = port.address.port().to_string();
        let folder = env!("CARGO_TARGET_TMPDIR");
        let own = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
        let arguments: Vec<String> = own.iter().chain(more).map(|&word| word.to_owned()).collect();
        let child = run(&program, &arguments);
        let redis = Redis { program, child, port, arguments };
        redis.listens();
        Some(redis)
    }

    /// Starts it again, empty, after it ended.
    pub(crate) fn start_again(&mut self) {
        self.child = run(&self.program, &self.arguments);
        self.listens();
    }

    fn listens(&self) {
        wait_until("redis to listen", || TcpStream::connect(self.port.address).is_ok());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.port.address)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Says a command, and returns the beginning of the answer.
    pub(crate) fn say(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.port.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "{command}\r\n").unwrap();
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }
}

fn run(program: &PathBuf, arguments: &[String]) -> Child {
    Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
