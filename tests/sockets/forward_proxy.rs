//! curl as a program that uses the `-D` port: it must accept the answers of the negotiation, and show its user what
//! went wrong. There is no tunnel: every destination is one local service.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use crate::common::services::{read_head, serve};
use crate::common::system::program;
use pinhole::internals::socks::{Credentials, Negotiation, Request};
use pinhole::internals::tunnel::AbortReason;

/// Exit codes of curl.
const OK: i32 = 0;
const FAILED_IN_CONNECT: i32 = 56;
const PROXY_FAILED: i32 = 97;

/// A service whose answer says what the proxy was asked for: the host that curl puts into its request.
fn service() -> SocketAddr {
    serve(|mut stream| {
        let head = read_head(&mut stream)?;
        let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default();
        let body = format!("service of {host}");
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    })
}

/// A proxy for which every destination is `service`, but for a few that do not work.
fn proxy(service: SocketAddr, credentials: Option<&str>) -> SocketAddr {
    let credentials = credentials.map(|text| Credentials::parse(text).unwrap());
    serve(move |stream| negotiate(stream, service, Negotiation::new(credentials.clone())))
}

fn negotiate(mut stream: TcpStream, service: SocketAddr, mut negotiation: Negotiation) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let (target, early) = loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let result = negotiation.handle_bytes(&buffer[..count]);
        while let Some(output) = negotiation.poll_output() {
            stream.write_all(&output)?;
        }
        match (result, negotiation.poll_request()) {
            (Ok(taken), Some(Request::Connect(target))) => break (target, buffer[taken..count].to_vec()),
            (Ok(_), Some(Request::UdpAssociate)) => panic!("curl sends no datagrams"),
            (Ok(_), Some(Request::Http(_))) => panic!("curl tunnels"),
            (Ok(_), None) => {}
            (Err(_), _) => return end(stream),
        }
    };
    let failure = match target.host.as_str() {
        "denied.test" => Some(AbortReason::Denied),
        "refused.test" => Some(AbortReason::Refused),
        "timeout.test" => Some(AbortReason::Timeout),
        _ => None,
    };
    match failure {
        Some(reason) => negotiation.refuse(reason),
        None => negotiation.accept(None),
    }
    stream.write_all(&negotiation.poll_output().unwrap())?;
    if failure.is_some() {
        return end(stream);
    }
    let mut onward = TcpStream::connect(service)?;
    onward.write_all(&early)?;
    let (mut up, mut down) = (stream.try_clone()?, onward.try_clone()?);
    thread::spawn(move || io::copy(&mut up, &mut down).and_then(|_| down.shutdown(Shutdown::Write)));
    io::copy(&mut onward, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}

/// Ends a connection so that its last words arrive: unread bytes would turn the end into a reset.
fn end(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

struct Curl {
    program: PathBuf,
    proxy: SocketAddr,
}

impl Curl {
    /// Runs curl, with `{}` for the proxy's address. Returns its exit code, what it printed and what it complained of.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let arguments = arguments.iter().map(|argument| argument.replace("{}", &self.proxy.to_string()));
        let output = Command::new(&self.program)
            .args(["-q", "-sS", "--noproxy", "", "--max-time", "60"])
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn gets(&self, arguments: &[&str], body: &str) {
        assert_eq!(self.run(arguments), (OK, body.to_owned(), String::new()), "{arguments:?}");
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, complaint: &str) {
        let (status, body, complaints) = self.run(arguments);
        assert!(status == code && complaints.contains(complaint), "{arguments:?}: {status} {complaints} {body}");
    }
}

fn curl(test: &str, credentials: Option<&str>) -> Option<Curl> {
    Some(Curl { program: program("curl", test)?, proxy: proxy(service(), credentials) })
}

#[test]
fn curl_gets_through_by_every_way_in() {
    let Some(curl) = curl("curl through SOCKS5 and CONNECT", None) else { return };
    for url in ["http://nowhere.test/", "http://127.0.0.1/", "http://[2001:db8::1]:8080/"] {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        let body = format!("service of {host}");
        curl.gets(&["--socks5-hostname", "{}", url], &body);
        curl.gets(&["-x", "socks5h://{}", url], &body);
        curl.gets(&["-p", "-x", "http://{}", url], &body);
        curl.gets(&["--proxy1.0", "{}", "-p", url], &body);
    }
    // Where curl resolves, it needs something to resolve.
    for url in ["http://127.0.0.1/", "http://[2001:db8::1]/"] {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        curl.gets(&["--socks5", "{}", url], &format!("service of {host}"));
    }
    // A login that nobody wants does no harm.
    curl.gets(&["-x", "socks5h://me:secret@{}", "http://a.test/"], "service of a.test");
    curl.gets(&["-p", "-x", "http://me:secret@{}", "http://a.test/"], "service of a.test");
}

#[test]
fn curl_logs_in() {
    let Some(curl) = curl("curl with a login", Some("me:se:cret")) else { return };
    for proxy in ["socks5h://me:se%3acret@{}", "http://me:se%3acret@{}"] {
        curl.gets(&["-p", "-x", proxy, "http://a.test/"], "service of a.test");
    }
    // Asks first, and answers the challenge on another connection.
    let any = ["--proxy-anyauth", "-U", "me:se:cret", "-p", "-x", "http://{}", "http://a.test/"];
    curl.gets(&any, "service of a.test");
    for proxy in ["socks5h://{}", "socks5h://me:wrong@{}", "socks5h://you:se%3acret@{}"] {
        curl.fails(&["-x", proxy, "http://a.test/"], PROXY_FAILED, "");
    }
    for proxy in ["http://{}", "http://me:wrong@{}", "http://you:se%3acret@{}"] {
        curl.fails(&["-p", "-x", proxy, "http://a.test/"], FAILED_IN_CONNECT, "407");
    }
}

#[test]
fn curl_shows_what_went_wrong() {
    let Some(curl) = curl("curl and refusals", None) else { return };
    for (host, socks, http) in
        [("denied.test", "(2)", "403"), ("refused.test", "(5)", "502"), ("timeout.test", "(6)", "504")]
    {
        let url = format!("http://{host}/");
        curl.fails(&["--socks5-hostname", "{}", &url], PROXY_FAILED, socks);
        curl.fails(&["-p", "-x", "http://{}", &url], FAILED_IN_CONNECT, http);
    }
    curl.fails(&["-x", "socks4://{}", "http://127.0.0.1/"], PROXY_FAILED, "(91)");
    curl.fails(&["-x", "socks4a://{}", "http://a.test/"], PROXY_FAILED, "(91)");
}
