//! Events for those who may see what happens, and not how to get in.

use std::borrow::Cow;

use super::event::Event;
use crate::signaling::url::SignalingUrl;

impl Event {
    /// Returns the event without its pin and its token.
    pub(crate) fn redacted(&self) -> Cow<'_, Event> {
        let mut event = match self {
            Event::Listening { .. }
            | Event::PinReplaced { .. }
            | Event::Registered { .. }
            | Event::Invitation { .. }
            | Event::Administration { .. } => self.clone(),
            _ => return Cow::Borrowed(self),
        };
        match &mut event {
            Event::Listening { url, pin, public_url, .. } => {
                pin.clear();
                *url = without_pin(url);
                *public_url = public_url.as_deref().map(without_pin);
            }
            Event::PinReplaced { pin, public_url } => {
                pin.clear();
                *public_url = public_url.as_deref().map(without_pin);
            }
            Event::Registered { url, pin, .. } | Event::Invitation { url, pin, .. } => {
                pin.clear();
                *url = without_pin(url);
            }
            Event::Administration { url, .. } => {
                url.truncate(url.find('#').unwrap_or(url.len()));
            }
            _ => {}
        }
        Cow::Owned(event)
    }
}

/// Takes the pin out of a URL. One that cannot be read is left out as a whole.
fn without_pin(url: &str) -> String {
    SignalingUrl::parse(url).map_or_else(|_| String::new(), |(url, _)| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::json::line;

    fn shown(event: &Event) -> String {
        String::from_utf8(line(event.redacted().as_ref()).unwrap()).unwrap()
    }

    #[test]
    fn pins_and_tokens_are_taken_out() {
        let url = || "wss://a.test/x/ws?invite=k3&pin=s%C3%A9cret".to_owned();
        let pin = || "sécret".to_owned();
        let rows = [
            (
                Event::Listening {
                    addr: "127.0.0.1:1".parse().unwrap(),
                    url: "ws://127.0.0.1:1/ws?pin=secret".to_owned(),
                    pin: pin(),
                    public_url: Some(url()),
                },
                r#"{"event":"listening","addr":"127.0.0.1:1","url":"ws://127.0.0.1:1/ws","public_url":"wss://a.test/x/ws?invite=k3"}"#,
            ),
            (
                Event::Registered {
                    id: "myhost".parse().unwrap(),
                    url: "wss://b.test/ws/myhost?pin=secret".to_owned(),
                    pin: pin(),
                    web: None,
                    others: Vec::new(),
                },
                r#"{"event":"registered","id":"myhost","url":"wss://b.test/ws/myhost"}"#,
            ),
            (
                Event::PinReplaced { pin: pin(), public_url: Some("wss://a.test/ws?pin=secret".to_owned()) },
                r#"{"event":"pin-replaced","public_url":"wss://a.test/ws"}"#,
            ),
            (
                Event::Invitation {
                    id: "k3".parse().unwrap(),
                    label: "x".to_owned(),
                    url: url(),
                    pin: pin(),
                    services: Vec::new(),
                    expires: None,
                    once: true,
                },
                r#"{"event":"invitation","id":"k3","label":"x","url":"wss://a.test/x/ws?invite=k3","services":[],"once":true}"#,
            ),
            (
                Event::Administration {
                    addr: "127.0.0.1:1".parse().unwrap(),
                    url: "http://127.0.0.1:1/#token=secret".to_owned(),
                },
                r#"{"event":"administration","addr":"127.0.0.1:1","url":"http://127.0.0.1:1/"}"#,
            ),
            (
                Event::Warning { code: "x".to_owned(), message: "y".to_owned() },
                r#"{"event":"warning","code":"x","message":"y"}"#,
            ),
        ];
        for (event, expected) in rows {
            assert_eq!(shown(&event), format!("{expected}\n"));
        }
    }
}
