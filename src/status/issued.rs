//! What is said of an invitation that was made while its host runs.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::date::rfc3339;
use super::guests;
use super::paint::Paint;
use super::qr;
use super::style::Style;
use super::text::{self, MAX_MESSAGE, MAX_PEER_TEXT, sanitize, shell_quote};

/// An invitation, as its maker passes it on.
#[derive(Debug, Clone, Copy)]
pub struct Issued<'a> {
    /// The URL for its guests, pin included.
    pub url: &'a str,
    /// Where the host listens, if only whoever forwards that knows how guests come there.
    pub signaling: Option<SocketAddr>,
    /// When it ends.
    pub expires: Option<SystemTime>,
    /// The time of day.
    pub now: SystemTime,
    /// How to take it back.
    pub uninvite: &'a str,
}

impl Issued<'_> {
    /// Returns what to pass on, and what else there is to know.
    pub fn text(&self, style: &Style) -> String {
        let paint = Paint(style.colour);
        let url = sanitize(&guests::reached(self.url, self.signaling), MAX_MESSAGE);
        let mut lines = Vec::new();
        match self.signaling {
            None => lines.push("Pass this on; whoever has it runs:".to_owned()),
            Some(addr) => {
                lines.extend(guests::missing(addr));
                lines.push("Then pass this on, with that address in it:".to_owned());
            }
        }
        lines.push(format!("  {}", paint.bold(&format!("pinhole client {}", shell_quote(&url)))));
        let end = self.expires.map(|end| ending(end, self.now)).unwrap_or_else(|| "when the host ends".to_owned());
        lines.push(format!("It ends {end}."));
        lines.push(format!("To take it back: {}", sanitize(self.uninvite, MAX_PEER_TEXT)));
        if style.qr {
            lines.push(String::new());
            match (self.signaling, qr::lines(&url, &paint)) {
                (None, Some(code)) => lines.extend(code),
                (None, None) => lines.push("There is no QR code: the URL is too long for one.".to_owned()),
                (Some(_), _) => lines.push(
                    "There is no QR code before it is known how others reach this host: give --public-url.".to_owned(),
                ),
            }
        }
        lines.join("\n")
    }
}

/// Says when something ends, by the clock and from now.
fn ending(end: SystemTime, now: SystemTime) -> String {
    match end.duration_since(now) {
        Ok(left) => format!("in {}, at {}", text::duration(rounded(left)), rfc3339(end)),
        Err(_) => format!("at {}, which is over", rfc3339(end)),
    }
}

/// Rounds to what is worth telling: who asks for two hours has a second less when that is told.
fn rounded(left: Duration) -> Duration {
    match left.as_secs() {
        seconds @ ..60 => Duration::from_secs(seconds + 1),
        seconds => Duration::from_secs((seconds + 30) / 60 * 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued<'a>(url: &'a str, signaling: Option<&str>) -> Issued<'a> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_867_200);
        let expires = Some(now + Duration::from_millis(7_198_200));
        let signaling = signaling.map(|addr| addr.parse().unwrap());
        Issued { url, signaling, expires, now, uninvite: "pinhole uninvite k3" }
    }

    #[test]
    fn an_invitation_is_complete_where_the_address_is_known() {
        let expected = "\
Pass this on; whoever has it runs:
  pinhole client 'wss://p.example.org/ws/nas?invite=k3&pin=abc'
It ends in 2 h, at 2026-11-28T13:59:58Z.
To take it back: pinhole uninvite k3";
        let invitation = issued("wss://p.example.org/ws/nas?invite=k3&pin=abc", None);
        assert_eq!(invitation.text(&Style::plain()), expected);
        let endless = Issued { expires: None, ..invitation };
        assert!(endless.text(&Style::plain()).contains("\nIt ends when the host ends.\n"));
        let over = Issued { expires: Some(SystemTime::UNIX_EPOCH), ..invitation };
        assert!(over.text(&Style::plain()).contains("\nIt ends at 1970-01-01T00:00:00Z, which is over.\n"));
    }

    #[test]
    fn what_is_missing_of_the_address_is_said() {
        let url = "ws://127.0.0.1:5000/ws?invite=k3&pin=abc";
        let text = issued(url, Some("127.0.0.1:5000")).text(&Style::plain());
        assert!(text.contains("forward port 5000 of the host's machine"), "{text}");
        assert!(text.contains("--public-url") && text.contains("wss://<forwarded-address>/ws?invite=k3&pin=abc"));
        let text = issued(url, Some("0.0.0.0:5000")).text(&Style::plain());
        assert!(text.contains("'ws://<this-machine>:5000/ws?invite=k3&pin=abc'"), "{text}");
    }

    #[test]
    fn a_qr_code_is_of_a_url_that_works() {
        let style = Style { qr: true, ..Style::plain() };
        let url = "wss://p.example.org/ws/nas?invite=k3&pin=abc";
        let code = qr::lines(url, &Paint(false)).unwrap().join("\n");
        assert!(issued(url, None).text(&style).ends_with(&code));
        let unknown = issued(url, Some("127.0.0.1:5000")).text(&style);
        assert!(unknown.ends_with("give --public-url.") && !unknown.contains('█'), "{unknown}");
    }

    #[test]
    fn words_of_the_host_are_escaped() {
        let text = issued("wss://a/\x1b[31m\u{202e}", None).text(&Style::plain());
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{text}");
    }
}
