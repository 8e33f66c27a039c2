//! Guesses of the login of a `-D` proxy, and programs with the right one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::common::pinhole::{Pinhole, text};

/// A file that is gone with this.
struct Secret(PathBuf);

impl Secret {
    fn new(content: &str) -> Secret {
        let path = std::env::temp_dir().join(format!("pinhole-{}-proxy-login", std::process::id()));
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Secret(path)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn connect_from(source: Ipv4Addr, proxy: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&proxy.into()).unwrap();
    socket.into()
}

/// Logs in by CONNECT, as curl does.
fn log_in(stream: &mut TcpStream, password: &str) {
    let login = data_encoding::BASE64.encode(format!("me:{password}").as_bytes());
    write!(stream, "CONNECT 10.9.9.9:1 HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n").unwrap();
}

/// The status that it is answered, and 0 if there is none.
fn status(stream: &mut TcpStream) -> u16 {
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Logs in by SOCKS5 and returns what the proxy says of it: 0 is yes.
fn socks(stream: &mut TcpStream, password: &str) -> u8 {
    stream.write_all(&[5, 1, 2]).unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).unwrap();
    assert_eq!(method, [5, 2]);
    stream.write_all(&[&[1, 2][..], b"me", &[password.len() as u8], password.as_bytes()].concat()).unwrap();
    let mut verdict = [0; 2];
    stream.read_exact(&mut verdict).unwrap();
    verdict[1]
}

#[test]
fn guesses_at_the_login_of_a_proxy_have_to_wait() {
    const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
    let own = ["host", "--json", "--no-stun", "--allow", "127.0.0.1:9"];
    let mut host = Pinhole::start("host", &own);
    let url = text(&host.event("listening"), "url").to_owned();
    let login = Secret::new("me:secret\n");
    let file = login.0.to_str().unwrap();
    let mut client =
        Pinhole::start("client", &["client", &url, "--json", "--no-stun", "-D", "0", "--proxy-auth-file", file]);
    let proxy: SocketAddr = text(&client.event("forwarding"), "local").parse().unwrap();

    let start = Instant::now();
    for guess in 0..10 {
        let mut stream = connect_from(ATTACKER, proxy);
        let password = format!("guess-{guess}");
        match guess % 2 {
            0 => {
                log_in(&mut stream, &password);
                assert_eq!(status(&mut stream), 407);
            }
            _ => assert_ne!(socks(&mut stream, &password), 0),
        }
    }
    let least = Duration::from_millis(250 + 500 + 1000 + 1000);
    assert!(start.elapsed() >= least, "ten guesses took {:?}", start.elapsed());

    // While others wait, the right one is let in: denied is what the host says.
    let mut waiting: Vec<TcpStream> = (0..4).map(|_| connect_from(ATTACKER, proxy)).collect();
    waiting.iter_mut().for_each(|stream| log_in(stream, "guess"));
    let mut honest = connect_from(Ipv4Addr::LOCALHOST, proxy);
    log_in(&mut honest, "secret");
    assert_eq!(status(&mut honest), 403);
    assert_eq!(socks(&mut connect_from(Ipv4Addr::LOCALHOST, proxy), "secret"), 0);
    let ended = client.stop();
    let said = ended.stdout.lines().filter(|line| line.contains("user name or password is wrong")).count();
    assert_eq!(said, 2, "the first and the tenth: {ended:?}");
    assert!(!ended.stdout.contains("guess") && !ended.stdout.contains("secret"), "{ended:?}");
    host.stop();
}
