//! Which parts of a request reach the service, and what the owner is asked.

use super::talk_tests::Talk;
use super::{Kind, Login, MAX_FIELDS, MAX_HEAD, MAX_TARGET, Route};

const OURS: &str =
    "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.test\r\nVia: 1.1 pinhole\r\n";

/// Returns the request that the service gets for a web request.
#[track_caller]
fn sent(request: &str) -> String {
    Talk::routed(request).at_service()
}

/// Returns the fields that the service gets between `Host` and ours.
#[track_caller]
fn fields_sent(fields: &str) -> String {
    let sent = sent(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
    let (_, rest) = sent.split_once("Host: a.test\r\n").unwrap();
    rest.replace(OURS, "|").strip_suffix("\r\n").unwrap().to_owned()
}

#[test]
fn requests_are_rewritten_for_the_service() {
    let rows = [
        ("GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nAccept: x\r\n\r\n", "GET /a?b=c", "Accept: x\r\n", ""),
        ("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", "OPTIONS *", "", ""),
        ("GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x", "", ""),
        ("GET HTTPS://A.TEST.:443?q HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /?q", "", ""),
        ("OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", "OPTIONS *", "", ""),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /", "", ""),
        ("x-Y!z / HTTP/1.1\r\nhost:a.test\r\n\r\n", "x-Y!z /", "", ""),
        ("GET /{|}^`\\\"<> HTTP/1.1\r\nHost: a.test \t\r\n\r\n", "GET /{|}^`\\\"<>", "", ""),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 007\r\n\r\n", "POST /", "", "Content-Length: 7\r\n"),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n", "POST /", "", "Content-Length: 0\r\n"),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\ntransfer-encoding: CHUNKED\r\n\r\n",
            "POST /",
            "",
            "Transfer-Encoding: chunked\r\n",
        ),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", "GET /", "", "Connection: close\r\n"),
    ];
    for (request, line, before, behind) in rows {
        let expected = format!("{line} HTTP/1.1\r\nHost: a.test\r\n{before}{OURS}{behind}\r\n");
        assert_eq!(sent(request), expected, "{request:?}");
    }
}

#[test]
fn hop_by_hop_fields_end_here() {
    assert_eq!(
        fields_sent("Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: X\r\nA: b\r\n"),
        "A: b\r\n|"
    );
    assert_eq!(
        fields_sent("Proxy-Authorization: Basic YTpi\r\nHTTP2-Settings: x\r\nUpgrade: x\r\nProxy: http://x\r\n"),
        "|"
    );
    assert_eq!(fields_sent("X-Drop: 1\r\nConnection: keep-alive, x-DROP\r\nX-Keep: 2\r\n"), "X-Keep: 2\r\n|");
    // Fields for the other end are kept.
    let fields = "Connection: Host, Cookie, Authorization, Via, Content-Length, X-Forwarded-For\r\nCookie: a\r\n";
    assert_eq!(fields_sent(fields), "Cookie: a\r\n|");
    assert_eq!(fields_sent("Expect: 100-continue\r\nVia: 1.1 x\r\n"), "Expect: 100-continue\r\nVia: 1.1 x\r\n|");
}

#[test]
fn what_a_browser_says_about_the_visitor_is_forged() {
    let forged = "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nx_forwarded_for: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
                  X_Real-Ip: 1.2.3.4\r\nX-FORWARDED-PROTO: http\r\nX-Forwarded: 1\r\nX-Forwarded-Port: 1\r\n\
                  X-Client-IP: 1\r\nTrue-Client-IP: 1\r\n";
    assert_eq!(fields_sent(forged), "|");
    let others =
        "CF-Connecting-IP: 1\r\nFastly-Client-IP: 1\r\nx.forwarded.for: 1\r\nX-Original-URL: /\r\nClient-IP: 1\r\n";
    assert_eq!(fields_sent(others), "|");
    // Names that only look like them.
    let own = "X-Forward: 1\r\nX-Client: 1\r\nClient-IP-Seen: 1\r\nX-Real: 1\r\n";
    assert_eq!(fields_sent(own), format!("{own}|"));
    // Names that mean a length or a host to a service that reads underscores as hyphens.
    let folded = "Content_Length: 5\r\nTransfer_Encoding: chunked\r\nProxy_Authorization: x\r\nContent-Type: y\r\n";
    assert_eq!(fields_sent(folded), "Content-Type: y\r\n|");
    let mut talk = Talk::proxy();
    talk.says("GET http://10.0.0.5:81/a HTTP/1.1\r\nHost: other.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    let request = talk.take_request();
    assert_eq!((request.host.as_str(), request.port, request.target.as_str()), ("10.0.0.5", Some(81), "/a"));
    talk.route();
    let expected = "GET /a HTTP/1.1\r\nHost: 10.0.0.5:81\r\nX-Forwarded-For: 1.2.3.4\r\nVia: 1.1 pinhole\r\n\r\n";
    assert_eq!(talk.at_service(), expected);
}

#[test]
fn http_1_0_is_understood() {
    let mut talk = Talk::web();
    talk.says("GET / HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert!(!talk.take_request().is_upgrade);
    talk.route();
    let ours = OURS.replace("1.1 pinhole", "1.0 pinhole");
    assert_eq!(talk.at_service(), format!("GET / HTTP/1.1\r\nHost: a.test\r\n{ours}Connection: close\r\n\r\n"));
    // The absolute form contains the host, too.
    let mut talk = Talk::web();
    talk.says("GET http://B.test:8080/ HTTP/1.0\r\n\r\n");
    let request = talk.take_request();
    assert_eq!((request.host.as_str(), request.port), ("b.test", Some(8080)));
}

#[test]
fn upgrades_are_passed_on_but_for_http_2() {
    let upgrade = |protocols: &str| fields_sent(&format!("Connection: Upgrade\r\nUpgrade: {protocols}\r\n"));
    assert_eq!(upgrade("websocket"), "|Connection: Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(upgrade("h2c, WebSocket, HTTP/2.0, x/1"), "|Connection: Upgrade\r\nUpgrade: WebSocket, x/1\r\n");
    assert_eq!(upgrade("h2c"), "|");
    assert_eq!(fields_sent("Upgrade: websocket\r\n"), "|");
    assert_eq!(fields_sent("Connection: upgrade\r\n"), "|");
}

#[test]
fn the_driver_is_asked_what_it_needs_to_know() {
    let mut talk = Talk::web();
    talk.says(
        "DELETE /a/b?pin=123456 HTTP/1.1\r\nHost: MyHost.P.example.ORG.:8443\r\nAccept: application/json\r\n\
         Authorization: basic bWU6cDp3\r\nProxy-Authorization: Basic aWQ6dG9rZW4=\r\n\r\n",
    );
    let request = talk.take_request();
    assert_eq!(request.method, "DELETE");
    assert_eq!((request.host.as_str(), request.port), ("myhost.p.example.org", Some(8443)));
    assert_eq!(request.target, "/a/b?pin=123456");
    assert_eq!(request.login, Some(Login { user: "me".into(), password: "p:w".into() }));
    assert_eq!(request.proxy_login, Some(Login { user: "id".into(), password: "token".into() }));
    assert!(request.wants_json && !request.has_body && !request.wants_fresh && !request.is_connect);
    let shown = format!("{request:?}");
    assert!(!shown.contains("123456") && !shown.contains("token") && !shown.contains("p:w"), "{shown}");
    assert_eq!(talk.exchange.poll_request(), None);

    let rows = [
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", false, true),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", false, true),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", true, true),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", true, true),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", false, false),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", false, false),
    ];
    for (text, has_body, wants_fresh) in rows {
        let mut talk = Talk::web();
        talk.says(text);
        let request = talk.take_request();
        assert_eq!((request.has_body, request.wants_fresh), (has_body, wants_fresh), "{text}");
    }
}

#[test]
fn a_login_is_one_field_with_a_pair() {
    let login = |fields: &str| {
        let mut talk = Talk::web();
        talk.says(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        talk.take_request().login
    };
    assert!(login("Authorization: Basic YTpi\r\n").is_some());
    for fields in [
        "",
        "Authorization: Bearer YTpi\r\n",
        "Authorization: Basic\r\n",
        "Authorization: Basic YQ==\r\n",
        "Authorization: Basic !\r\n",
        "Authorization: Basic //8=\r\n",
        "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n",
    ] {
        assert_eq!(login(fields), None, "{fields}");
    }
}

#[test]
fn a_login_for_the_gateway_is_not_shown_to_the_service() {
    for (strip_authorization, expected) in [(true, 0), (false, 2)] {
        let mut talk = Talk::web();
        talk.says("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\nauthorization: x\r\nB: c\r\n\r\n");
        talk.exchange.route(Route { fresh: true, strip_authorization });
        talk.drain();
        let sent = talk.at_service();
        assert_eq!(sent.matches("Authorization: ").count(), expected, "{sent}");
        assert!(sent.contains("B: c\r\n") && sent.ends_with("\r\n\r\n"));
    }
}

#[test]
fn heads_may_be_as_large_as_is_said() {
    let fields = "A: b\r\n".repeat(MAX_FIELDS - 1);
    sent(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
    sent(&format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(MAX_TARGET - 1)));
    let rest = "GET / HTTP/1.1\r\nHost: a.test\r\nA: \r\n\r\n".len();
    for kind in [Kind::Web, Kind::Proxy] {
        let mut talk = Talk::new(kind);
        let target = if kind == Kind::Web { "/" } else { "http://a.test/" };
        let room = MAX_HEAD - rest - target.len() + 1;
        talk.says(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nA: {}\r\n\r\n", "b".repeat(room)));
        talk.take_request();
        talk.route();
        assert!(talk.at_service().len() > room);
    }
}

#[test]
fn bodies_are_passed_on_as_they_were_checked() {
    let mut talk = Talk::routed("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    talk.at_service();
    talk.says("005;ext=\"x\"\r\nhel");
    assert_eq!(talk.at_service(), "5\r\nhel");
    talk.says("lo\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\nGET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(talk.at_service(), "lo\r\n1\r\n!\r\n0\r\n\r\n");
    let mut talk = Talk::routed("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhe");
    assert!(talk.at_service().ends_with("\r\n\r\nhe"));
    talk.says("lloGET /next HTTP/1.1\r\n");
    assert_eq!(talk.at_service(), "llo");
}
