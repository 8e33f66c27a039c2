//! Names that no server answers for: they delay only the party that asks for them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Instant;

use nix::unistd::Uid;

use crate::common::connect;
use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::echo;
use crate::common::system::{figure, skipped};

/// Names that one client looks up at once.
const STUCK: usize = 200;

/// Starts a host with a name server that is silent, and a file of names that has one.
fn host_without_names(arguments: &[&str]) -> (Pinhole, Folder) {
    let folder = Folder::new("names");
    let file = |name: &str, contents: &str| {
        fs::write(folder.0.join(name), contents).unwrap();
        format!("mount --bind {} /etc/{name} && ", folder.0.join(name).display())
    };
    let resolver = file("resolv.conf", "nameserver 127.0.0.77\noptions timeout:30 attempts:2\n");
    let hosts = file("hosts", "127.0.0.1 quick.test\n");
    let plain = command(arguments);
    let mut wrapped = Command::new("unshare");
    wrapped.args(["-m", "sh", "-c", &format!("{resolver}{hosts}exec \"$@\""), "sh"]);
    wrapped.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    (Pinhole::spawn("host", wrapped), folder)
}

fn echoes(mut stream: TcpStream) {
    stream.write_all(b"ping").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "ping");
}

#[test]
fn names_that_nobody_answers_for_delay_no_other_client() {
    const TEST: &str = "names that nobody answers for";
    if !Uid::effective().is_root() {
        return skipped(TEST, "a mount namespace needs root");
    }
    // Takes questions, and answers none.
    let Ok(_silent) = UdpSocket::bind("127.0.0.77:53") else { return skipped(TEST, "127.0.0.77:53 is taken") };
    let port = echo().port();
    let [local, quick] =
        ["localhost", "quick.test"].map(|name| format!("{name}={name}:{port}").replacen(".test", "", 1));
    let (mut host, _folder) =
        host_without_names(&["host", &local, &quick, "--allow", "*.never.test:80", "--json", "--no-stun"]);
    let url = host.url();
    let mut hostile = Pinhole::start("hostile", &["client", &url, "-D", "0", "--json", "--no-stun"]);
    let proxy = hostile.local();
    let asking: Vec<TcpStream> = (0..STUCK)
        .map(|number| {
            let mut stream = connect(proxy);
            let name = format!("x{number}.never.test");
            stream.write_all(format!("CONNECT {name}:80 HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut client = Pinhole::start("client", &["client", &url, "localhost=0", "quick=0", "--json", "--no-stun"]);
    for _ in 0..2 {
        let forwarding = client.event("forwarding");
        let start = Instant::now();
        echoes(connect(text(&forwarding, "local").parse().unwrap()));
        figure(&format!(
            "{}, beside {STUCK} names that nobody answers for: {:?}",
            forwarding["service"],
            start.elapsed()
        ));
    }
    let failed = host.events_so_far().iter().filter(|event| event["code"] == "dial-failed").count();
    assert!(failed < STUCK, "the names were still looked up when others were served");
    drop(asking);
    client.stop();
    hostile.stop();
    host.stop();
}
