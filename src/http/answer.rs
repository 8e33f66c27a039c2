//! Answers to requests that do not become a WebSocket.

use std::net::IpAddr;

use super::{BadRequest, Site};

/// Content security policy of a page: it may load only its own style.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'";

/// Longest host that is put into a page: a DNS name has at most 253 characters, a port five digits and a colon.
const MAX_HOST: usize = 260;

/// Fields of every answer.
pub(crate) const COMMON: &str =
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n";

/// One complete answer; the connection ends after it unless the gateway keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
    afterwards: Afterwards,
}

/// Whether the connection is kept (RFC 9112, section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    Close,
    KeepAlive,
}

impl Answer {
    /// Returns the page of `GET /`: what this address is, and the command to type. It never contains the pin.
    pub fn page(site: &Site) -> Self {
        let command = format!("pinhole client \"{}/ws?pin=<pin>\" <local port>", origin(site));
        let body = include_str!("page.html").replace("{command}", &escape_html(&command));
        Self {
            status: 200,
            content_type: "text/html; charset=utf-8",
            headers: vec![("Content-Security-Policy", CONTENT_SECURITY_POLICY.into())],
            body,
            afterwards: Afterwards::Close,
        }
    }

    /// 400 or 431: the request is not acceptable.
    pub fn bad_request(reason: BadRequest) -> Self {
        match reason {
            BadRequest::NotHttp => Self::text(400, "This is not an HTTP request."),
            BadRequest::Tls => Self::text(400, "This port speaks plain HTTP: use ws:// instead of wss://."),
            BadRequest::TooLarge => Self::text(431, "The request's header is too large."),
        }
    }

    /// 400: the upgrade request lacks a usable `Sec-WebSocket-Key`.
    pub fn bad_key() -> Self {
        Self::text(400, "The WebSocket request has no valid Sec-WebSocket-Key.")
    }

    /// 404: nothing is at the path.
    pub fn not_found() -> Self {
        Self::text(404, "Nothing is here. pinhole's WebSocket answers at /ws.")
    }

    /// 405: the path does not support the method.
    pub fn method_not_allowed() -> Self {
        Self::text(405, "Only GET and HEAD are answered here.").with_header("Allow", "GET, HEAD")
    }

    /// 426: the path is the WebSocket's, and the request does not ask for one of a supported version.
    pub fn upgrade_required() -> Self {
        let text = "A WebSocket (version 13) answers here: give this address to 'pinhole client', not to a browser. If that was told \
                    this, a proxy on the way leaves out the headers Upgrade and Connection.";
        // RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
        Self::text(426, text).with_header("Upgrade", "websocket").with_header("Sec-WebSocket-Version", "13")
    }

    /// 403: the request comes from a page of another site.
    pub fn foreign() -> Self {
        Self::text(
            403,
            "A page of another site may not connect to pinhole. Open the page from where pinhole is reached.",
        )
    }

    /// 503: no further connection is accepted at present.
    pub fn busy(retry_after_seconds: u32) -> Self {
        let answer = Self::text(503, "This pinhole host is busy. Try again shortly.");
        answer.with_header("Retry-After", &retry_after_seconds.to_string())
    }

    /// Returns an answer of one sentence; [`reason`] must know the status.
    pub(crate) fn text(status: u16, sentence: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
    }

    /// Returns a page that says what happened and what to do next; [`reason`] must know the status.
    pub(crate) fn html(status: u16, happened: &str, next: &str) -> Self {
        let title = format!("{status} {}", reason(status));
        let body = include_str!("refusal.html")
            .replace("{title}", &escape_html(&title))
            .replace("{happened}", &escape_html(happened))
            .replace("{next}", &escape_html(next));
        let answer = Self::new(status, "text/html; charset=utf-8", body);
        answer.with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    }

    /// Returns an answer for programs; [`reason`] must know the status.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, "application/json", format!("{value}\n"))
    }

    fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, headers: Vec::new(), body, afterwards: Afterwards::Close }
    }

    /// Lets the connection carry another request after this one.
    pub(crate) fn keeping(mut self) -> Self {
        self.afterwards = Afterwards::KeepAlive;
        self
    }

    /// Returns an answer with any text.
    pub(crate) fn content(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, headers: Vec::new(), body, afterwards: Afterwards::Close }
    }

    /// Adds a header field, whose value must have no line breaks.
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Returns the HTTP status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the bytes to send. Answers to `HEAD` have the same head and no body.
    pub fn render(&self, head_only: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        // RFC 9110, section 8.6: an answer without content has no length either.
        if self.status != 204 {
            let (content_type, length) = (self.content_type, self.body.len());
            head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n"));
        }
        head.push_str(COMMON);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // RFC 9110, section 7.8: a sender of Upgrade lists it in Connection.
        let upgrade = if self.status == 426 { "Upgrade, " } else { "" };
        let afterwards = match self.afterwards {
            Afterwards::Close => "close",
            // HTTP/1.1 implies it, but HTTP/1.0 does not.
            Afterwards::KeepAlive => "keep-alive",
        };
        head.push_str(&format!("Connection: {upgrade}{afterwards}\r\n\r\n"));
        if !head_only {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}

/// Returns scheme and authority for the command. A person pastes it into a shell, so a host that does not look like one
/// is replaced, not escaped.
fn origin(site: &Site) -> String {
    let host = site.host.as_deref().filter(|host| is_plain_host(host));
    match host {
        // A forwarder rewrote Host to its own side of the tunnel.
        Some(host) if site.forwarded && is_loopback(host) => "wss://<this address>".into(),
        // Certificates are for names, and a front end that ends TLS leaves a mark: this request came to the port
        // itself.
        Some(host) if !site.forwarded && (is_loopback(host) || address_of(host).is_some()) => format!("ws://{host}"),
        Some(host) => format!("wss://{host}"),
        None => "wss://<this address>".into(),
    }
}

fn is_plain_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !host.is_empty() && host.len() <= MAX_HOST && host.chars().all(plain)
}

fn is_loopback(host: &str) -> bool {
    bare(host).eq_ignore_ascii_case("localhost") || address_of(host).is_some_and(|address| address.is_loopback())
}

fn address_of(host: &str) -> Option<IpAddr> {
    bare(host).parse().ok()
}

/// Returns the host without its port and brackets.
fn bare(host: &str) -> &str {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    bare.unwrap_or(host)
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(host: Option<&str>, forwarded: bool) -> String {
        let site = Site { host: host.map(str::to_owned), forwarded };
        String::from_utf8(Answer::page(&site).render(false)).unwrap()
    }

    #[test]
    fn the_page_shows_the_command() {
        let expected = |origin: &str| {
            format!("pinhole client &quot;{origin}/ws?pin=&lt;pin&gt;&quot; &lt;local port&gt;</code></pre>")
        };
        let unknown = expected("wss://&lt;this address&gt;");
        assert!(page(Some("abc-5000.test"), true).contains(&expected("wss://abc-5000.test")));
        assert!(page(Some("127.0.0.1:5000"), false).contains(&expected("ws://127.0.0.1:5000")));
        assert!(page(Some("[::1]:5000"), false).contains(&expected("ws://[::1]:5000")));
        assert!(page(Some("192.168.1.2:5000"), false).contains(&expected("ws://192.168.1.2:5000")));
        assert!(page(Some("192.168.1.2:5000"), true).contains(&expected("wss://192.168.1.2:5000")));
        assert!(page(Some("localhost:5000"), true).contains(&unknown));
        assert!(page(None, false).contains(&unknown));
        assert!(page(Some("x;rm"), false).contains(&unknown));
        assert!(page(Some(&"a".repeat(300)), false).contains(&unknown));
    }

    #[test]
    fn a_hostile_host_stays_text() {
        for host in ["\"><script>alert(1)</script>", "a' onload='x", "$(reboot)", "a b.test"] {
            let page = page(Some(host), false);
            assert!(!page.contains(host) && !page.contains("<script"), "{host}");
        }
        assert_eq!(escape_html("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }

    #[test]
    fn answers_are_complete_and_end_the_connection() {
        let answers = [
            Answer::page(&Site::default()),
            Answer::bad_request(BadRequest::NotHttp),
            Answer::bad_request(BadRequest::Tls),
            Answer::bad_request(BadRequest::TooLarge),
            Answer::bad_key(),
            Answer::not_found(),
            Answer::method_not_allowed(),
            Answer::upgrade_required(),
            Answer::busy(5),
            Answer::html(404, "What <happened>.", "What & next."),
            Answer::json(404, &serde_json::json!({ "a": "\"" })),
        ];
        for answer in answers {
            let text = String::from_utf8(answer.render(false)).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {} ", answer.status())) && !head.contains(" Error\r\n"),
                "{head}"
            );
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            assert!(head.contains("Cache-Control: no-store"), "{head}");
            // JSON has no charset (RFC 8259, section 11).
            assert!(head.contains("charset=utf-8") || head.contains("application/json\r\n"), "{head}");
            assert!(head.ends_with("close"), "{head}");
            assert_eq!(answer.render(true), format!("{head}\r\n\r\n").into_bytes());
            let kept = String::from_utf8(answer.keeping().render(true)).unwrap();
            assert!(kept.ends_with("keep-alive\r\n\r\n") && !kept.contains("close"), "{kept}");
        }
        let page = String::from_utf8(Answer::html(404, "a <b>", "c & d").render(false)).unwrap();
        assert!(page.contains("a &lt;b&gt;") && page.contains("c &amp; d") && page.contains("404 Not Found"), "{page}");
    }
}
