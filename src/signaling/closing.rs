//! What is said when a WebSocket is closed: the reason in its close frame (RFC 6455, section 5.5.1). It is for people
//! and logs; nobody acts on it (`docs/protocol.md`, "Words of goodbye").
//!
//! A side that refuses something closes with the code of its `error` message, and a server with its own word for that.

/// A client does not need the WebSocket any more.
pub const DONE: &str = "done";

/// A host closes what the client left open: the session has a direct path.
pub const CONNECTED: &str = "connected";

/// A host goes on with a further WebSocket of the session.
pub const RESUMED: &str = "resumed";

/// A host closes the WebSocket of a session that is over.
pub const SESSION_ENDED: &str = "the session ended";

/// A host leaves its server.
pub const HOST_ENDED: &str = "the host ended";

/// A server lets a client go, with all that the host said before.
pub const HOST_DONE: &str = "the host is done";

/// A server lets a client go whose host is gone.
pub const HOST_GONE: &str = "the host is gone";

/// A server goes away.
pub const SERVER_GOES: &str = "the server goes away";

/// A server of a cluster closes a link to a server to which another link stays.
pub const OTHER_LINK: &str = "there is another link";

/// Whoever runs the server ended the link.
pub const ADMINISTRATION: &str = "ended by the administration";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::farewell::Farewell;
    use crate::signaling::invitation::Lapse;
    use crate::signaling::message::ErrorCode;

    const PAGE: &str = include_str!("../../docs/protocol.md");

    #[test]
    fn every_word_of_goodbye_stands_in_the_protocol() {
        let closing = [
            DONE,
            CONNECTED,
            RESUMED,
            SESSION_ENDED,
            HOST_ENDED,
            HOST_DONE,
            HOST_GONE,
            SERVER_GOES,
            OTHER_LINK,
            ADMINISTRATION,
        ];
        let written = include_str!("closing.rs").lines().filter(|line| line.starts_with("pub const")).count();
        assert_eq!(written, closing.len(), "every one is checked");
        let lapses = [Lapse::Expired, Lapse::Revoked, Lapse::Used].map(Farewell::Lapsed);
        let farewells: Vec<Farewell> = [Farewell::NoPath, Farewell::Check].into_iter().chain(lapses).collect();
        for word in closing.into_iter().chain(farewells.iter().map(Farewell::as_str)) {
            assert!(PAGE.contains(&format!("| `{word}` |")), "docs/protocol.md has a row for {word:?}");
        }
    }

    #[test]
    fn every_error_code_stands_in_the_protocol() {
        use ErrorCode::*;
        let codes = [
            BadPin,
            Busy,
            Full,
            Version,
            UnknownSession,
            UnknownHost,
            Denied,
            BadToken,
            IdTaken,
            Replaced,
            Restart,
            Protocol,
        ];
        for code in codes {
            // A new code does not compile here before it has its place above.
            match code {
                BadPin | Busy | Full | Version | UnknownSession | UnknownHost | Denied | BadToken | IdTaken
                | Replaced | Restart | Protocol | Other => {}
            }
            assert!(PAGE.contains(&format!("| `{code}` |")), "docs/protocol.md has a row for {code}");
        }
    }
}
