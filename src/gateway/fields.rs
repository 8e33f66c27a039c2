//! Which fields of a head pass, and which are written anew.

use httparse::Header;

use crate::http::Headers;

/// Our name in `Via` (RFC 9110, section 7.6.3).
pub(super) const PSEUDONYM: &str = "pinhole";

/// Maximum number of options of `Connection`, and of other lists that are compared with every field.
const MAX_OPTIONS: usize = 64;

/// Fields between two neighbours (RFC 9110, section 7.6.1), and those that frame a message. They are never passed on,
/// but written anew where they apply.
const BETWEEN_NEIGHBOURS: &[&str] = &[
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    // Not a header field, but CGI turns it into the environment variable HTTP_PROXY.
    "proxy",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that `Connection` cannot remove, since they are meant for the other end (RFC 9110, section 7.6.1).
const FOR_THE_END: &[&str] = &[
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "location",
    "range",
    "set-cookie",
    "via",
    "www-authenticate",
];

/// Fields by which front ends tell services about the visitor and its request, and `Proxy`, which becomes the variable
/// `HTTP_PROXY` of a CGI program (RFC 3875, section 4.1.18). From a browser they are forgeries. Every front end has its
/// own names, so most are recognised by how they begin and end.
const ABOUT_THE_VISITOR: &[&str] = &[
    "cf-visitor",
    "forwarded",
    "front-end-https",
    "proxy",
    "x-arr-ssl",
    "x-envoy-external-address",
    "x-http-host-override",
    "x-originating-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];
const BEGINNINGS: &[&str] = &["x-forwarded", "x-original-"];
const ENDINGS: &[&str] = &[
    "client-ip",
    "clientip",
    "client-port",
    "connecting-ip",
    "connecting-ipv6",
    "connection-ip",
    "forwarded-for",
    "pseudo-ipv4",
    "real-ip",
    "real-port",
    "remote-addr",
    "remote-ip",
    "socketip",
    "user-ip",
];

/// Tells whether a byte may be in a field's name or a method (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns the values of all fields with this name, as raw bytes. Framing and routing must not overlook a field because
/// it is not UTF-8.
pub(super) fn values<'a>(fields: &'a [Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// The options of `Connection`.
#[derive(Debug)]
pub(super) struct Options(Vec<String>);

impl Options {
    /// Parses the options; `None` if there are too many.
    pub(super) fn of(headers: &Headers<'_>) -> Option<Options> {
        let options: Vec<String> =
            headers.tokens("connection").take(MAX_OPTIONS + 1).map(str::to_ascii_lowercase).collect();
        (options.len() <= MAX_OPTIONS).then_some(Options(options))
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.0.iter().any(|found| found == option)
    }

    /// Tells whether the connection may carry another message (RFC 9112, section 9.3).
    pub(super) fn keep(&self, minor_version: u8) -> bool {
        !self.has("close") && (minor_version > 0 || self.has("keep-alive"))
    }

    /// Tells whether a field, by its folded name, must not pass.
    fn end(&self, name: &str) -> bool {
        BETWEEN_NEIGHBOURS.contains(&name) || (self.has(name) && !FOR_THE_END.contains(&name))
    }
}

/// Which fields of a request do not pass, beside those between neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgeries {
    /// Fields about the visitor are removed: only we know the truth.
    Removed,
    /// All pass: the proxy is not a front end.
    Passed,
}

/// Appends the fields of a request that pass, except `Host` and `Authorization`, which the caller adds.
///
/// For comparison, every character of a name that is neither letter nor digit becomes a hyphen. Services that put
/// fields into environment variables (RFC 3875, section 4.1.18) do not tell `X_Forwarded_For` or `X.Forwarded.For` from
/// `X-Forwarded-For`, or `Content_Length` from `Content-Length`.
pub(super) fn request_fields(fields: &[Header<'_>], options: &Options, forgeries: Forgeries, into: &mut Vec<u8>) {
    for field in fields {
        let name = folded(field.name);
        let is_forged = is_about_the_visitor(&name) && forgeries == Forgeries::Removed;
        let is_ours = name == "host" || name == "authorization";
        if !(is_forged || is_ours || options.end(&name)) {
            append(into, field.name, field.value);
        }
    }
}

/// Appends the fields of an answer that pass.
pub(super) fn answer_fields(fields: &[Header<'_>], options: &Options, into: &mut Vec<u8>) {
    for field in fields.iter().filter(|field| !options.end(&field.name.to_ascii_lowercase())) {
        append(into, field.name, field.value);
    }
}

/// Appends one field.
pub(super) fn append(into: &mut Vec<u8>, name: &str, value: &[u8]) {
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

/// Appends our entry of `Via`, with the version of the message as it came.
pub(super) fn append_via(into: &mut Vec<u8>, minor_version: u8) {
    append(into, "Via", format!("1.{minor_version} {PSEUDONYM}").as_bytes());
}

/// Returns the protocols that the service may switch to; `None` if there are too many. HTTP/2 is left out: its frames
/// are not parsed here, so requests in them would be neither checked nor routed.
pub(super) fn protocols(headers: &Headers<'_>) -> Option<Vec<String>> {
    let is_http2 = |protocol: &&str| {
        let name = protocol.to_ascii_lowercase();
        name == "h2c" || name == "h2" || name.starts_with("http/")
    };
    let protocols: Vec<String> =
        headers.tokens("upgrade").take(MAX_OPTIONS + 1).filter(|name| !is_http2(name)).map(str::to_owned).collect();
    (headers.tokens("upgrade").take(MAX_OPTIONS + 1).count() <= MAX_OPTIONS).then_some(protocols)
}

fn is_about_the_visitor(name: &str) -> bool {
    ABOUT_THE_VISITOR.contains(&name)
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn folded(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }).collect()
}
