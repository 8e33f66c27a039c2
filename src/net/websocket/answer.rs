//! What an HTTP answer in place of a WebSocket means, and what to do about it.

use std::fmt;

/// Largest head of an answer, in bytes: front ends add long redirections and cookies.
pub(super) const MAX_ANSWER_HEAD: usize = 16 * 1024;

/// Maximum number of header fields of an answer.
pub(super) const MAX_ANSWER_HEADERS: usize = 100;

/// The kind of program that was dialled, for sentences that name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialled {
    /// A host.
    Host,
    /// A server.
    Server,
}

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialled::Host => "pinhole host",
            Dialled::Server => "pinhole server",
        })
    }
}

/// An answer to an upgrade request other than 101; its `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// Where a redirection points.
    pub location: Option<String>,
    /// Type of the body.
    pub content_type: Option<String>,
    /// The `Server` field; pinhole sends none.
    pub server: Option<String>,
    /// The beginning of the body, printable, at most 200 characters; may be empty.
    pub snippet: String,
}

const PRIVATE: &str = "the port is private: in VS Code set its visibility to Public, or pass --header \
    'X-Tunnel-Authorization: tunnel <token>'";

const UPGRADE: &str = "does not pass WebSockets on, it leaves out the headers of the upgrade: have it forward them \
    (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; Apache: \
    ProxyPass … upgrade=websocket)";

impl fmt::Display for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(Dialled::Host))
    }
}

impl HttpAnswer {
    /// Returns what the answer means for somebody who dialled that program, and what to do.
    pub(super) fn sentence(&self, dialled: Dialled) -> String {
        let from = self.server.as_ref().map_or_else(String::new, |server| format!(" from {server}"));
        // An HTML page is no help at a terminal.
        let is_shown = !self.snippet.is_empty() && !self.is_html();
        let snippet = if is_shown { format!(": {}", self.snippet) } else { String::new() };
        format!("{} (HTTP status {}{from}{snippet})", self.advice(dialled), self.status)
    }

    fn advice(&self, dialled: Dialled) -> String {
        let is_success = (200..=299).contains(&self.status);
        let sentence = match (self.status, self.location.as_deref()) {
            _ if self.says(&["http request was sent to https", "http request to an https", "plain http to an ssl"]) => {
                "the port speaks TLS: use wss:// instead of ws://"
            }
            (401 | 403, _) => PRIVATE,
            (300..=399, Some(target)) if is_login(target) => PRIVATE,
            (300..=399, Some(target)) => {
                return format!("the address has moved: use {} instead", websocket_url(target));
            }
            (404, _) => {
                return format!(
                    "no {dialled} answers at this path: check the address, and that its signaling port is forwarded, not the port of a service"
                );
            }
            _ if is_success && self.is_html() && self.says(&["you are about to", "developer tunnel"]) => {
                "the forwarder answered with a page that is to be confirmed in a browser: pass --header \
                 'X-Tunnel-Skip-AntiPhishing-Page: true' (dev tunnels) or --header 'ngrok-skip-browser-warning: 1' (ngrok)"
            }
            _ if is_success && self.is_html() && self.says(&["sign in", "sign-in", "signin", "log in", "login"]) => {
                PRIVATE
            }
            _ if is_success && self.is_html() && self.says(&["<title>pinhole</title>"]) => {
                return format!(
                    "the page of {dialled} answered, and its WebSocket is at /ws: have the proxy in front of it leave \
                     the path as it is"
                );
            }
            _ if is_success && self.is_html() => {
                return format!(
                    "a web page answered instead of a WebSocket: is this the signaling port that {dialled} printed?"
                );
            }
            _ if is_success => "the port answers HTTP, but not as pinhole's WebSocket does: is it the right port?",
            (426, _) => return format!("a proxy in front of {dialled} {UPGRADE}"),
            (400, _) if self.says(&["sec-websocket", "upgrade", "websocket"]) => {
                return format!("a proxy in front of {dialled} {UPGRADE}");
            }
            (400, _) => {
                return format!(
                    "the request for a WebSocket was not understood: is this the signaling port of {dialled}, and does \
                     a proxy in front of it pass WebSockets on?"
                );
            }
            (429, _) => "the server says that there were too many requests: wait before trying again",
            (502..=504, _) => {
                return format!(
                    "the forwarder does not reach {dialled}, or the host is busy: is it running, and is its port the \
                     one that is forwarded?"
                );
            }
            // Cloudflare's own statuses.
            (520..=524 | 530, _) => {
                return format!(
                    "Cloudflare does not reach the server behind it: is {dialled} running, and does the tunnel or the \
                     origin lead to its port?"
                );
            }
            (525 | 526, _) => {
                "Cloudflare does not accept the TLS of the server behind it: check that server's certificate, or have it reached by http://"
            }
            _ => "the server refused the WebSocket",
        };
        sentence.to_owned()
    }

    fn is_html(&self) -> bool {
        self.content_type.as_ref().is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
    }

    /// Tells whether the beginning of the body has one of these texts; a page's title is usually there.
    fn says(&self, words: &[&str]) -> bool {
        let body = self.snippet.to_ascii_lowercase();
        words.iter().any(|word| body.contains(word))
    }
}

/// Returns the address in the form pinhole takes: redirections name `https`, for browsers.
fn websocket_url(location: &str) -> String {
    match location.strip_prefix("http") {
        Some(rest) if rest.starts_with("s://") || rest.starts_with("://") => format!("ws{rest}"),
        _ => location.to_owned(),
    }
}

fn is_login(location: &str) -> bool {
    let location = location.to_ascii_lowercase();
    ["login", "signin", "sign-in", "sign_in", "/auth", "oauth", "/.auth"].iter().any(|mark| location.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: u16, location: Option<&str>, content_type: Option<&str>, snippet: &str) -> String {
        let (location, content_type) = (location.map(str::to_owned), content_type.map(str::to_owned));
        HttpAnswer { status, location, content_type, server: None, snippet: snippet.into() }.to_string()
    }

    #[test]
    fn answers_are_explained() {
        let rows = [
            (http(401, None, None, ""), "set its visibility to Public"),
            (http(403, None, None, ""), "X-Tunnel-Authorization: tunnel <token>"),
            (http(302, Some("https://login.test/x"), None, ""), "the port is private"),
            (http(301, Some("https://b.test/ws"), None, ""), "use wss://b.test/ws instead"),
            (http(302, Some("/login?next=/ws"), Some("text/html"), ""), "the port is private"),
            (http(307, Some("https://github.test/codespaces/auth/x"), None, ""), "the port is private"),
            (http(302, None, None, ""), "refused"),
            (
                http(401, None, Some("text/html"), "<p>no"),
                "Public, or pass --header 'X-Tunnel-Authorization: tunnel <t",
            ),
            (
                http(404, None, Some("text/html"), "<p>no"),
                "its signaling port is forwarded, not the port of a service (HTTP status 404)",
            ),
            (http(200, None, Some("text/html"), "<!DOCTYPE html><title>Sign in to"), "the port is private"),
            (http(404, None, None, ""), "no pinhole host answers at this path"),
            (http(200, None, Some("text/HTML"), "<p>"), "a web page answered instead of a WebSocket"),
            (http(200, None, Some("text/plain"), "hi"), "(HTTP status 200: hi)"),
            (http(503, None, None, ""), "is it running"),
            (http(418, None, None, ""), "(HTTP status 418)"),
        ];
        for (sentence, part) in rows {
            assert!(sentence.contains(part), "{sentence} should say: {part}");
        }
    }

    #[test]
    fn what_stands_between_is_named() {
        let html = Some("text/html");
        let rows = [
            (http(426, None, None, "A WebSocket (version 13) answers here"), "does not pass WebSockets on"),
            (http(426, None, html, "<p>"), "proxy_set_header Upgrade $http_upgrade"),
            (
                http(400, None, None, "The WebSocket request has no valid Sec-WebSocket-Key."),
                "does not pass WebSockets on",
            ),
            (http(400, None, None, "Bad Request"), "does a proxy in front of it pass WebSockets on?"),
            (
                http(400, None, html, "<title>400 The plain HTTP request was sent to HTTPS port</title>"),
                "use wss:// instead of ws://",
            ),
            (http(400, None, None, "Client sent an HTTP request to an HTTPS server."), "use wss:// instead of ws://"),
            (
                http(400, None, html, "Reason: You're speaking plain HTTP to an SSL-enabled server port."),
                "use wss:// instead of ws://",
            ),
            (http(502, None, html, "<h1>"), "the forwarder does not reach pinhole host"),
            (http(504, None, None, ""), "is it running"),
            (http(521, None, None, "error code: 521"), "Cloudflare does not reach the server behind it"),
            (http(530, None, None, "error code: 1033"), "does the tunnel or the origin lead to its port?"),
            (http(526, None, html, ""), "does not accept the TLS of the server behind it"),
            (http(200, None, html, "<title>You are about to visit"), "ngrok-skip-browser-warning: 1"),
            (http(200, None, html, "connect to a developer tunnel"), "X-Tunnel-Skip-AntiPhishing-Page: true"),
            (http(200, None, html, "<!doctype html> <title>pinhole</title>"), "leave the path as it is"),
        ];
        for (sentence, part) in rows {
            assert!(sentence.contains(part), "{sentence} should say: {part}");
        }
        let answer = HttpAnswer { status: 502, server: Some("nginx/1.24.0".into()), ..HttpAnswer::default() };
        assert!(answer.to_string().ends_with("(HTTP status 502 from nginx/1.24.0)"), "{answer}");
    }

    /// This program's own page is recognised, whatever it looks like.
    #[test]
    fn our_own_page_is_recognised() {
        let page = crate::http::Answer::page(&crate::http::Site::default()).render(false);
        let page = String::from_utf8(page).unwrap();
        let (_, body) = page.split_once("\r\n\r\n").unwrap();
        let beginning: String = body.chars().take(crate::net::websocket::client::MAX_SNIPPET).collect();
        assert!(http(200, None, Some("text/html"), &beginning).contains("leave the path as it is"), "{beginning}");
    }
}
