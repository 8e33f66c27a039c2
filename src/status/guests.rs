//! What is said of a host's invitations.

use std::net::SocketAddr;

use super::date::rfc3339;
use super::event::Event;
use super::paint::Paint;
use super::text::{MAX_MESSAGE, MAX_PEER_TEXT, sanitize, shell_quote};

/// Returns the sentence for an event of an invitation. `signaling` is where the host listens, if clients reach the
/// invitation's URL there.
pub(super) fn describe(event: &Event, signaling: Option<SocketAddr>, paint: &Paint) -> Option<String> {
    let named = |label: &str, id: &dyn std::fmt::Display| format!("{} ({id})", sanitize(label, MAX_PEER_TEXT));
    Some(match event {
        Event::Invitation { label, url, services, expires, once, .. } => {
            let services = if services.is_empty() { "no service".to_owned() } else { services.join(", ") };
            let end = expires.map(|end| format!(", until {}", rfc3339(end))).unwrap_or_default();
            let once = if *once { ", for one client" } else { "" };
            let command = format!("pinhole client {}", shell_quote(&reached(url, signaling)));
            let what = sanitize(&format!("{label} ({services}{end}{once})"), MAX_MESSAGE);
            format!("Invitation {what}: {}", paint.bold(&command))
        }
        Event::InvitationExpired { id, label } => {
            format!("the invitation {} has expired; its sessions end", named(label, id))
        }
        Event::InvitationRevoked { id, label, reason } => format!(
            "the invitation {} counts no more, and its sessions end: {}",
            named(label, id),
            sanitize(reason, MAX_PEER_TEXT)
        ),
        _ => return None,
    })
}

/// Says what to do where a host does not know how others reach it, and how that is avoided.
#[cfg(feature = "cli")]
pub(super) fn missing(signaling: SocketAddr) -> Vec<String> {
    let port = signaling.port();
    let way = match signaling.ip().is_unspecified() {
        true => format!("Others reach the host at port {port} of its machine, by that machine's name or address."),
        false => format!(
            "The host does not know how others reach it: forward port {port} of the host's machine with VS Code (Ports panel, \
             visibility Public), and copy the address."
        ),
    };
    vec![way, "Given with --public-url, that address makes what is printed here complete.".to_owned()]
}

/// Returns a URL as others reach it: with a placeholder where only they know the address.
pub(super) fn reached(url: &str, signaling: Option<SocketAddr>) -> String {
    let base = match signaling {
        Some(addr) if addr.ip().is_loopback() => "wss://<forwarded-address>".to_owned(),
        Some(addr) if addr.ip().is_unspecified() => format!("ws://<this-machine>:{}", addr.port()),
        _ => return url.to_owned(),
    };
    let path = url.find("://").map_or(url, |at| &url[at + 3..]);
    let path = path.find('/').map_or("", |at| &path[at..]);
    format!("{base}{path}")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn said(event: &Event, signaling: Option<&str>) -> String {
        describe(event, signaling.map(|addr| addr.parse().unwrap()), &Paint(false)).unwrap()
    }

    #[test]
    fn an_invitation_is_a_line_to_pass_on() {
        let mut event = Event::Invitation {
            id: "k3".parse().unwrap(),
            label: "gue\u{1b}sts".into(),
            url: "ws://127.0.0.1:43211/ws?invite=k3&pin=abc".into(),
            pin: "abc".into(),
            services: vec!["web".into(), "db".into()],
            expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_867_200)),
            once: true,
        };
        assert_eq!(
            said(&event, Some("127.0.0.1:43211")),
            "Invitation gue\\u{1b}sts (web, db, until 2026-11-28T12:00:00Z, for one client): \
             pinhole client 'wss://<forwarded-address>/ws?invite=k3&pin=abc'"
        );
        assert!(said(&event, Some("0.0.0.0:5000")).ends_with("'ws://<this-machine>:5000/ws?invite=k3&pin=abc'"));
        if let Event::Invitation { url, services, expires, once, .. } = &mut event {
            *url = "wss://p.example.org/ws/nas?invite=k3&pin=abc".into();
            services.clear();
            (*expires, *once) = (None, false);
        }
        let expected = "(no service): pinhole client 'wss://p.example.org/ws/nas?invite=k3&pin=abc'";
        assert!(said(&event, None).ends_with(expected), "{}", said(&event, None));
    }

    #[test]
    fn the_end_of_an_invitation_is_said_with_its_reason() {
        let (id, label) = ("k3".parse::<crate::status::event::InvitationId>().unwrap(), "guests".to_owned());
        let expired = Event::InvitationExpired { id: id.clone(), label: label.clone() };
        assert_eq!(said(&expired, None), "the invitation guests (k3) has expired; its sessions end");
        let revoked = Event::InvitationRevoked { id, label, reason: "it was taken back".into() };
        let sentence = "the invitation guests (k3) counts no more, and its sessions end: it was taken back";
        assert_eq!(said(&revoked, None), sentence);
    }
}
