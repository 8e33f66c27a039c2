//! The examples of the library, against each other and against the program.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::common::services::serve;
use crate::forwards::{client, host};

/// A running example; dropping it kills it.
struct Example {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Example {
        let mut child = Command::new(path(name)).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Example { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds the examples with the tests, in the folder beside the program.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_pinhole")).with_file_name("examples").join(name)
}

/// Answers each line with the line in capitals, and ends.
fn shouter() -> std::net::SocketAddr {
    serve(|stream| {
        let mut line = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut line)?;
        (&stream).write_all(line.to_uppercase().as_bytes())
    })
}

#[test]
fn a_program_talks_to_itself() {
    assert_eq!(Example::start("embed", &[]).line(), "HELLO");
}

#[test]
fn what_one_example_shares_another_dials_and_the_program_joins() {
    let service = shouter();
    let url = Example::start("share", &[&service.to_string()]);
    let mut share = url;
    let url = share.line();
    let port = service.port().to_string();
    assert_eq!(Example::start("dial", &[&url, &port, "hello"]).line(), "HELLO");
    let mut joined = client(&url, &[&format!("{port}=0")]);
    let local = crate::forwards::appeared(&mut joined, &port);
    let mut stream = TcpStream::connect(local).unwrap();
    stream.write_all(b"hello\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "HELLO\n");
    joined.stop();
}

#[test]
fn what_the_program_shares_an_example_joins() {
    let (mut host, url) = host(&[&format!("shout={}", shouter())]);
    let mut join = Example::start("join", &[&url, "127.0.0.1:0"]);
    let local = join.line();
    let mut stream = TcpStream::connect(local).unwrap();
    stream.write_all(b"hello\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "HELLO\n");
    assert_eq!(Example::start("dial", &[&url, "shout", "again"]).line(), "AGAIN");
    drop(join);
    host.stop();
}
