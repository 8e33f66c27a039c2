//! A model test: an exchange between a browser and services that send anything at all. What each side received is read
//! by a separate parser, which shares no code with the one under test.
//!
//! A script is bytes, so that the fuzzer (`fuzz/fuzz_targets/http.rs` includes this file) and the property test below
//! run the same.

use super::{Ending, Exchange, Finished, Kind, MAX_TO_BROWSER, MAX_TO_SERVICE, Refusal, Route, Stage, Visitor};

/// Pieces that a browser may send. Single bytes and lines let scripts combine them freely.
pub(super) const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "HEAD /x?y HTTP/1.1\r\nHost: b.test\r\nConnection: keep-alive\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET http://a.test:81/p HTTP/1.1\r\nHost: a.test:81\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET / HTTP/1.1\r\n",
    "HEAD / HTTP/1.1\r\n",
    "POST / HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "GET http://a.test/ HTTP/1.1\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "Host: a.test\r\n",
    "Host: b.test:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content_Length: 7\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, host, content-length\r\n",
    "Connection: Upgrade\r\n",
    "Upgrade: websocket, h2c\r\n",
    "Expect: 100-continue\r\n",
    "X-Forwarded-For: 1.1.1.1\r\n",
    "Accept: application/json\r\n",
    "Via: 1.1 pinhole\r\n",
    "\r\n",
    "hello",
    "5\r\nhello\r\n",
    "1;a=b\r\nz\r\n",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "\r",
    "\n",
    " ",
];

/// Pieces that a service may send.
pub(super) const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 426 x\r\n",
    "HTTP/1.1 101 x\r\n",
    "HTTP/1.1 103 x\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c\r\n",
    "Set-Cookie: a=b\r\n",
    "\r\n",
    "hello",
    "5\r\nhello\r\n",
    "1;a=b\r\nz\r\n",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "\r",
    "\n",
];

const REFUSALS: &[Refusal] = &[
    Refusal::NoHost,
    Refusal::LoginWanted,
    Refusal::ProxyLogin,
    Refusal::ServiceDown,
    Refusal::Timeout,
    Refusal::TooMany { retry_after: 1 },
];

/// A stream, and what its service received.
#[derive(Default)]
struct Stream {
    got: Vec<u8>,
    /// Requests that were routed to it, without CONNECT.
    requests: usize,
    is_piped: bool,
    is_reset: bool,
}

struct Model {
    kind: Kind,
    exchange: Exchange,
    streams: Vec<Stream>,
    /// Whether the last stream is open, as far as the service knows.
    is_open: bool,
    browser: Vec<u8>,
    is_gone: bool,
    /// The waiting request is a CONNECT.
    connects: bool,
    finished: Vec<Finished>,
}

/// Runs a script.
///
/// # Panics
///
/// An invariant does not hold.
pub(super) fn run(script: &[u8]) {
    let kind = if script.first().is_some_and(|byte| byte % 2 == 1) { Kind::Proxy } else { Kind::Web };
    let visitor = Visitor { remote: [203, 0, 113, 9].into(), tls: false, proxies: Default::default() };
    let exchange = Exchange::new(kind, visitor);
    let mut model = Model {
        kind,
        exchange,
        streams: Vec::new(),
        is_open: false,
        browser: Vec::new(),
        is_gone: false,
        connects: false,
        finished: Vec::new(),
    };
    let mut rest = script.get(1..).unwrap_or_default();
    while let [op, argument, behind @ ..] = rest {
        let raw = &behind[..behind.len().min(usize::from(op / 16))];
        rest = &behind[if op % 16 == 2 || op % 16 == 3 { raw.len() } else { 0 }..];
        model.step(op % 16, usize::from(*argument), raw);
        model.check();
    }
    model.end();
}

impl Model {
    fn step(&mut self, op: u8, argument: usize, raw: &[u8]) {
        match op {
            0 => self.says(REQUESTS[argument % REQUESTS.len()].as_bytes()),
            1 => self.answers(ANSWERS[argument % ANSWERS.len()].as_bytes()),
            2 => self.says(raw),
            3 => self.answers(raw),
            4 | 5 => self.route(argument),
            6 => self.exchange.refuse(REFUSALS[argument % REFUSALS.len()]),
            7 if self.is_open => self.exchange.handle_service_accepted(),
            8 if self.is_open && argument < 128 => {
                self.is_open = false;
                self.exchange.handle_service_end();
            }
            8 if self.is_open => {
                self.is_open = false;
                if let Some(stream) = self.streams.last_mut() {
                    stream.is_reset = true;
                }
                self.exchange.handle_service_failed(Refusal::ServiceDown);
            }
            9 if argument < 64 => self.exchange.handle_end(),
            10 if argument == 0 => {
                self.is_gone = true;
                self.exchange.handle_browser_gone();
            }
            11 => self.send_to_service(argument * 64),
            12 => self.send_to_browser(argument * 64),
            13 => self.says(&vec![b'x'; argument * 300]),
            14 => self.answers(&vec![b'x'; argument * 300]),
            15 => {
                self.send_to_service(usize::MAX);
                self.send_to_browser(usize::MAX);
            }
            _ => {}
        }
    }

    fn says(&mut self, bytes: &[u8]) {
        let room = self.exchange.room();
        self.exchange.handle_bytes(&bytes[..bytes.len().min(room)]);
    }

    fn answers(&mut self, bytes: &[u8]) {
        let room = self.exchange.service_room();
        if self.is_open {
            self.exchange.handle_service(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Routes the waiting request, as an owner that respects the contract.
    fn route(&mut self, argument: usize) {
        let request = self.exchange.poll_request();
        if let Some(request) = &request {
            assert!(!request.host.is_empty() && !request.host.bytes().any(|byte| byte.is_ascii_uppercase()));
            assert!(!request.is_connect || (self.kind == Kind::Proxy && request.port.is_some()));
            assert!(request.is_connect || request.target.starts_with('/') || request.target == "*");
            self.connects = request.is_connect;
        } else if !self.exchange.wants_retry() {
            return;
        }
        let may_reuse = self.is_open && self.exchange.keeps_service() && !request.is_none_or(|it| it.wants_fresh);
        let fresh = !may_reuse || argument.is_multiple_of(4);
        if fresh {
            self.streams.push(Stream::default());
            self.is_open = true;
        }
        if let Some(stream) = self.streams.last_mut() {
            stream.requests += usize::from(!self.connects);
        }
        self.exchange.route(Route { fresh, strip_authorization: argument.is_multiple_of(2) });
    }

    fn send_to_service(&mut self, most: usize) {
        let bytes = self.exchange.to_service();
        let bytes = bytes[..bytes.len().min(most)].to_vec();
        if !bytes.is_empty() {
            let stream = self.streams.last_mut().expect("nothing goes to a service before a route");
            stream.got.extend_from_slice(&bytes);
        }
        self.exchange.handle_sent_to_service(bytes.len());
    }

    fn send_to_browser(&mut self, most: usize) {
        let bytes = self.exchange.to_browser();
        let bytes = bytes[..bytes.len().min(most)].to_vec();
        self.browser.extend_from_slice(&bytes);
        self.exchange.handle_sent_to_browser(bytes.len());
    }

    /// Checks the invariants that hold at any time.
    fn check(&mut self) {
        let exchange = &mut self.exchange;
        assert!(exchange.to_service().len() <= MAX_TO_SERVICE && exchange.to_browser().len() <= MAX_TO_BROWSER);
        assert!(exchange.room() <= 64 * 1024 && exchange.service_room() <= 64 * 1024);
        assert!(!self.streams.is_empty() || exchange.to_service().is_empty());
        assert!(!exchange.keeps_service() || exchange.service_ending().is_none());
        assert!(!exchange.wants_retry() || exchange.to_service().is_empty());
        match exchange.stage() {
            Stage::Idle | Stage::Head | Stage::Routing => assert!(exchange.to_service().is_empty()),
            Stage::Piped => {
                if let Some(stream) = self.streams.last_mut() {
                    stream.is_piped = true;
                }
            }
            Stage::Done => assert!(exchange.browser_ending().is_some() && exchange.to_service().is_empty()),
            Stage::Sending | Stage::AwaitingAnswer | Stage::Answering | Stage::Closing => {}
        }
        self.finished.extend(std::iter::from_fn(|| exchange.poll_finished()));
        if let Some(ending @ (Ending::Close | Ending::Reset)) = exchange.service_ending() {
            self.is_open = false;
            if let Some(stream) = self.streams.last_mut() {
                stream.is_reset |= ending == Ending::Reset;
            }
        }
    }

    /// Checks the invariants of everything that each side received.
    fn end(mut self) {
        for _ in 0..100 {
            self.send_to_service(usize::MAX);
            self.send_to_browser(usize::MAX);
            self.check();
        }
        for stream in &self.streams {
            let mut rest = &stream.got[..];
            for number in 1..=stream.requests {
                match read_request(rest, self.kind) {
                    Some(behind) => rest = behind,
                    // Only the last request may be incomplete.
                    None => {
                        assert_eq!(number, stream.requests);
                        rest = &[];
                    }
                }
            }
            assert!(rest.is_empty() || stream.is_piped, "{:?} was smuggled", String::from_utf8_lossy(rest));
        }
        self.check_browser();
    }

    fn check_browser(&self) {
        let mut rest = &self.browser[..];
        let ending = self.exchange.browser_ending();
        for (number, finished) in self.finished.iter().enumerate() {
            let is_last = number + 1 == self.finished.len();
            let Some(status) = finished.status else {
                assert!(is_last && (self.is_gone || ending == Some(Ending::Reset)));
                return;
            };
            match read_answer(rest, finished, status) {
                Read::Whole(behind) => {
                    let is_cut = is_last && ending == Some(Ending::Reset) && behind.is_empty();
                    assert!(!is_cut || self.is_gone, "it was cut and looks whole");
                    rest = behind;
                }
                Read::UntilClose => {
                    assert!(is_last && (ending.is_some() || self.is_gone));
                    return;
                }
                Read::Cut => {
                    let is_right = is_last && ending == Some(Ending::Reset);
                    assert!(is_right || self.is_gone, "{:?} is incomplete", String::from_utf8_lossy(rest));
                    return;
                }
            }
        }
        let counted: u64 = self.finished.iter().map(|finished| finished.to_browser).sum();
        let is_between = matches!(self.exchange.stage(), Stage::Idle | Stage::Head | Stage::Done);
        if is_between && !self.is_gone {
            assert!(rest.is_empty(), "{:?} belongs to no request", String::from_utf8_lossy(rest));
            assert_eq!(counted, self.browser.len() as u64);
        }
    }
}

/// Splits a head into lines; `None` if it is incomplete.
fn split_head(bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let lines: Vec<String> =
        bytes[..end].split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let last = lines.len() - 1;
    let lines = lines.into_iter().enumerate().map(|(number, line)| {
        let line = if number == last { line } else { line.strip_suffix('\r').expect("CR LF").to_owned() };
        assert!(!line.contains(['\r', '\0']), "{line:?}");
        line
    });
    Some((lines.collect(), &bytes[end + 4..]))
}

/// Returns the values of a field, whose name is read as leniently as any program might.
fn values<'a>(lines: &'a [String], name: &str) -> Vec<&'a str> {
    let fields = lines[1..].iter().map(|line| line.split_once(": ").expect("a colon and a space"));
    let named = fields.filter(|(found, _)| found.to_ascii_lowercase().replace('_', "-") == name);
    named.map(|(_, value)| value).collect()
}

/// Returns what follows a chunked body, if it is complete.
fn read_chunks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..line]).expect("digits");
        let size = usize::from_str_radix(digits, 16).expect("a size and nothing else");
        let behind = rest.get(line + 2 + size..)?;
        if behind.len() < 2 {
            return None;
        }
        rest = behind.strip_prefix(b"\r\n").expect("a chunk ends in CR LF");
        if size == 0 {
            return Some(rest);
        }
    }
}

/// Reads a request as a service does; returns what follows it, if it is complete.
fn read_request(bytes: &[u8], kind: Kind) -> Option<&[u8]> {
    let (lines, body) = split_head(bytes)?;
    assert!(lines[0].ends_with(" HTTP/1.1") && lines[0].split(' ').count() == 3, "{}", lines[0]);
    assert_eq!(values(&lines, "host").len(), 1);
    assert!(values(&lines, "via").last().is_some_and(|via| via.ends_with("pinhole")));
    if kind == Kind::Web {
        assert_eq!(values(&lines, "x-forwarded-for"), ["203.0.113.9"]);
    }
    match (&values(&lines, "content-length")[..], &values(&lines, "transfer-encoding")[..]) {
        ([], []) => Some(body),
        ([length], []) => body.get(length.parse().expect("a length")..),
        ([], ["chunked"]) => read_chunks(body),
        other => panic!("{other:?}"),
    }
}

enum Read<'a> {
    Whole(&'a [u8]),
    UntilClose,
    Cut,
}

/// Reads an answer as a browser does.
fn read_answer<'a>(bytes: &'a [u8], finished: &Finished, expected: u16) -> Read<'a> {
    let Some((lines, body)) = split_head(bytes) else { return Read::Cut };
    let status: u16 =
        lines[0].strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)?.parse().ok()).expect("a status");
    if (100..200).contains(&status) && status != 101 {
        return read_answer(body, finished, expected);
    }
    assert_eq!(status, expected);
    let is_pipe = status == 101 || (finished.method == "CONNECT" && status == 200);
    if is_pipe {
        return Read::UntilClose;
    }
    // A malformed request may have begun with HEAD.
    let is_unknown = finished.method.is_empty() && body.is_empty();
    if finished.method == "HEAD" || status == 204 || status == 304 || is_unknown {
        return Read::Whole(body);
    }
    match (&values(&lines, "content-length")[..], &values(&lines, "transfer-encoding")[..]) {
        ([], []) => {
            assert!(values(&lines, "connection").iter().any(|value| value.ends_with("close")));
            Read::UntilClose
        }
        ([length], []) => body.get(length.parse().expect("a length")..).map_or(Read::Cut, Read::Whole),
        ([], ["chunked"]) => read_chunks(body).map_or(Read::Cut, Read::Whole),
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ANSWERS, REQUESTS};

    /// Bytes that make a script reach many states.
    fn script() -> impl Strategy<Value = Vec<u8>> {
        let op = prop_oneof![
            4 => (Just(0_u8), 0..REQUESTS.len() as u8),
            4 => (Just(1_u8), 0..ANSWERS.len() as u8),
            4 => (Just(4_u8), any::<u8>()),
            2 => (Just(15_u8), any::<u8>()),
            1 => (0..16_u8, any::<u8>()),
        ];
        (any::<u8>(), prop::collection::vec(op, 0..60)).prop_map(|(kind, ops)| {
            std::iter::once(kind).chain(ops.into_iter().flat_map(|(op, argument)| [op, argument])).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn whatever_both_sides_say_the_rules_hold(script in script()) {
            super::run(&script);
        }

        #[test]
        fn any_script_is_survived(script in prop::collection::vec(any::<u8>(), 0..200)) {
            super::run(&script);
        }
    }
}
