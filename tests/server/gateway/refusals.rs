//! Answers to visitors without a service's answer: a page for people, JSON for programs.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use pinhole::internals::net::limits::raise_descriptor_limit;
use serde_json::Value;
use socket2::SockRef;

use super::http::{Connection, Request, ask, get, ok, service};
use super::rig::{Curl, Server, is_full};
use crate::common::services::serve;
use crate::common::system::{figure, skipped};
use crate::common::{DEADLINE, ReservedPort, connect};

/// Asks for a page, for JSON and for a sentence, and checks that each says the same.
#[track_caller]
fn refused(server: &Server, host: &str, more: &str, status: u16, code: &str) {
    let ask = |accept: &str| ask(server.gateway, get(host, "/", &format!("{more}{accept}")));
    let page = ask("Accept: text/html,*/*;q=0.8\r\n");
    assert_eq!(page.status, status, "{}", page.text());
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("<html") && page.text().contains(&status.to_string()), "{}", page.text());
    let json = ask("Accept: application/json\r\n");
    assert_eq!((json.status, json.field("content-type")), (status, Some("application/json")));
    let value: Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((&value["error"]["status"], &value["error"]["code"]), (&status.into(), &code.into()), "{value}");
    let message = value["error"]["message"].as_str().unwrap();
    let page_text = page.text().replace("&#39;", "'");
    assert!(page_text.contains(message), "{message:?} is not in {page_text}");
    let sentence = ask("");
    assert_eq!(sentence.status, status);
    assert!(sentence.text().starts_with(message), "{}", sentence.text());
    // What is refused now may be there in a moment.
    for answer in [&page, &json, &sentence] {
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{answer:?}");
    }
}

#[test]
fn hosts_and_services_that_are_not_there() {
    let server = Server::start();
    let service = service(|_, _| ok("here"));
    let nobody = ReservedPort::new();
    let _hosts = [
        server.publish("down", nobody.address),
        server.host("private", &[&format!("web={service}")]),
        server.publish(
            "garbage",
            serve(|mut stream| {
                stream.write_all(b"220 mail.test ESMTP\r\n")?;
                std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
            }),
        ),
        server.publish("mute", serve(|stream| Request::read(&mut BufReader::new(stream)).map(drop))),
    ];
    for (id, status, code) in [
        ("nobody", 404, "no-host"),
        ("private", 403, "not-public"),
        ("down", 502, "service-down"),
        ("garbage", 502, "bad-answer"),
        ("mute", 502, "bad-answer"),
    ] {
        refused(&server, &server.authority(id), "", status, code);
    }
    // Names that no host can have, and none of ours.
    for host in ["a.b.p.test", "p.test", "example.org", "127.0.0.1", "down.p.test.evil.test"] {
        refused(&server, host, "", 404, "no-host");
    }
    // HEAD has no body, and the connection goes on behind a refusal.
    let mut connection = Connection::to(server.gateway);
    for _ in 0..2 {
        connection.send(get(&server.authority("nobody"), "/", ""));
        assert_eq!(connection.answer().status, 404);
    }
    let head = get(&server.authority("nobody"), "/", "").replace("GET", "HEAD");
    connection.send(head + &get(&server.authority("private"), "/", ""));
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        std::io::BufRead::read_line(&mut connection.stream, &mut line).unwrap();
    }
    assert_eq!(connection.answer().status, 403);
}

#[test]
fn a_service_that_comes_later_is_there_at_once() {
    let server = Server::start();
    let port = ReservedPort::new();
    let _host = server.publish("myhost", port.address);
    let request = get(&server.authority("myhost"), "/", "");
    let mut connection = Connection::to(server.gateway);
    connection.send(&request);
    assert_eq!(connection.answer().status, 502);
    let listener = port.listen();
    crate::common::services::serve_on(listener, |mut stream| {
        Request::read(&mut BufReader::new(stream.try_clone()?))?;
        stream.write_all(&ok("here"))
    });
    connection.send(&request);
    assert_eq!(connection.answer().text(), "here");
}

/// Nothing at all goes to the service before the login, and the login does not go there either.
#[test]
fn a_login_is_the_gateways_alone() {
    let (requests, seen) = unbounded();
    let server = Server::start();
    let service = serve(move |mut stream| {
        // The connection counts already.
        let _ = requests.send(None);
        let mut input = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut input)? {
            request.read_body(&mut input, &mut std::io::sink())?;
            let _ = requests.send(Some(request));
            stream.write_all(&ok("inside"))?;
        }
        Ok(())
    });
    let login = ["--public", "web", "--public-auth", "ann:pass:word", &format!("web={service}")];
    let _host = server.host("myhost", &login);
    let host = server.authority("myhost");
    let basic = |pair: &str| format!("Authorization: Basic {}\r\n", data_encoding::BASE64.encode(pair.as_bytes()));
    let right = basic("ann:pass:word");
    let wrong = [
        String::new(),
        basic("ann:pass:wor"),
        basic("ann:pass:word "),
        basic("Ann:pass:word"),
        basic("ann"),
        basic(":"),
        right.replace("Basic", "Bearer"),
        right.replace("Authorization", "Proxy-Authorization"),
        format!("{right}{right}"),
        format!("{right}{}", basic("bob:x")),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic !!!\r\n".to_owned(),
    ];
    for field in &wrong {
        // Once each: guesses are slowed down.
        let answer = ask(server.gateway, get(&host, "/", field));
        assert_eq!(answer.status, 401, "{field:?}");
        assert!(answer.field("www-authenticate").is_some_and(|value| value.starts_with("Basic realm=")), "{answer:?}");
    }
    // A body, or an Upgrade, does not get there either.
    for rest in [
        "Content-Length: 3\r\n\r\nabc",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        assert_eq!(ask(server.gateway, format!("POST / HTTP/1.1\r\nHost: {host}\r\n{rest}")).status, 401);
    }
    refused(&server, &host, "", 401, "login-wanted");
    assert!(seen.is_empty(), "the service was spoken to: {:?}", seen.recv());
    for (spelling, body) in [(right.clone(), ""), (right.replace("Basic", "bAsIc"), "abc")] {
        let length = format!("Content-Length: {}\r\n", body.len());
        let answer = ask(server.gateway, get(&host, "/", &format!("{spelling}{length}")) + body);
        assert_eq!((answer.status, answer.text()), (200, "inside".to_owned()));
        assert!(seen.recv_timeout(DEADLINE).unwrap().is_none());
        let request = seen.recv_timeout(DEADLINE).unwrap().unwrap();
        assert_eq!(request.field("authorization"), None, "{request:?}");
    }
    // What is right for one request says nothing about the next.
    let mut connection = Connection::to(server.gateway);
    for (field, status) in [(right.as_str(), 200), ("", 401), (&right, 200), (&wrong[1], 401)] {
        connection.send(get(&host, "/", field));
        assert_eq!(connection.answer().status, status);
    }
    let Some(curl) = Curl::find(&server, "a login by curl") else { return };
    assert_eq!(curl.get(&["-u", "ann:pass:word", &format!("http://{host}/")]).0, "200");
    assert_eq!(curl.get(&["-u", "ann:wrong", &format!("http://{host}/")]).0, "401");
}

/// Without a login of the gateway's, `Authorization` is the service's own.
#[test]
fn a_services_own_login_passes() {
    let server = Server::start();
    let _host = server.publish("myhost", service(|request, _| ok(request.field("authorization").unwrap_or("none"))));
    let request = get(&server.authority("myhost"), "/", "Authorization: Bearer abc.def\r\n");
    assert_eq!(ask(server.gateway, request).text(), "Bearer abc.def");
}

#[test]
fn an_answer_that_never_comes() {
    if !is_full() {
        return skipped("an answer that never comes", "takes 30 s, which are only there with GATEWAY_FULL=1");
    }
    let server = Server::start();
    let (ends, ended) = unbounded();
    let service = serve(move |stream| {
        let mut input = BufReader::new(stream);
        Request::read(&mut input)?;
        let _ = ends.send(Request::read(&mut input).is_ok_and(|request| request.is_some()));
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let start = Instant::now();
    let mut connection = Connection::to(server.gateway);
    connection.send(get(&server.authority("myhost"), "/", "Accept: application/json\r\n"));
    let answer = connection.answer();
    let time = start.elapsed();
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(answer.text().contains(r#""code":"timeout""#), "{}", answer.text());
    assert!((30..45).contains(&time.as_secs()), "{time:?}");
    assert!(!ended.recv_timeout(Duration::from_secs(10)).unwrap(), "the service was sent more");
}

/// A host has a limit on streams. Beyond it, visitors are asked to come back, and afterwards everything works as
/// before.
#[test]
fn too_many_requests_at_once() {
    const STREAMS: usize = 1024;
    // Of each the test holds both ends.
    let wanted = 2 * STREAMS as u64 + 500;
    if raise_descriptor_limit().unwrap() < wanted {
        return skipped("too many requests at once", &format!("a process may not have {wanted} descriptors here"));
    }
    let server = Server::start();
    let service = serve(|mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut input)? {
            if request.path() != "/wait" {
                stream.write_all(&ok("now"))?;
            }
        }
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let host = server.authority("myhost");
    let start = Instant::now();
    let waiting: Vec<TcpStream> = (0..STREAMS)
        .map(|_| {
            let mut stream = connect(server.gateway);
            stream.write_all(get(&host, "/wait", "").as_bytes()).unwrap();
            stream
        })
        .collect();
    refused(&server, &host, "", 503, "too-many");
    let answer = ask(server.gateway, get(&host, "/", ""));
    assert!(answer.field("retry-after").is_some(), "{answer:?}");
    figure(&format!("{STREAMS} requests that wait, opened in {:?}", start.elapsed()));
    for stream in &waiting {
        // An end alone might mean that they still want an answer.
        SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(waiting);
    crate::common::wait_until("room", || ask(server.gateway, get(&host, "/", "")).status == 200);
}

/// Connections whose requests are answered do not count: their streams give way to whoever has a request.
#[test]
fn idle_browsers_keep_nobody_out() {
    const BROWSERS: usize = 1100;
    let server = Server::start();
    let service = serve(|mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        while Request::read(&mut input)?.is_some() {
            stream.write_all(&ok("now"))?;
        }
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let host = server.authority("myhost");
    let idle: Vec<TcpStream> = (0..BROWSERS)
        .map(|index| {
            let mut stream = connect(server.gateway);
            stream.write_all(get(&host, "/", "").as_bytes()).unwrap();
            let mut begin = [0; 15];
            stream.read_exact(&mut begin).unwrap();
            assert_eq!(&begin, b"HTTP/1.1 200 OK", "browser {index}");
            stream
        })
        .collect();
    assert_eq!(ask(server.gateway, get(&host, "/", "")).status, 200);
    drop(idle);
}

#[test]
fn a_gateway_that_is_its_own_service_answers() {
    let server = Server::start();
    let mut host = server.publish("myhost", server.gateway);
    let answer = ask(server.gateway, get(&server.authority("myhost"), "/", ""));
    assert_eq!(answer.status, 502);
    let warning = host.problem("warning", "loop");
    assert!(warning.contains("leads back to itself"), "{warning}");
    let opened = host.events_so_far().iter().filter(|event| event["event"] == "stream-opened").count();
    assert_eq!(opened, 1);
}
