//! An invitation that is asked for, as JSON.

use serde::Deserialize;

use crate::config::{AccessList, Expiry, Invitation, MAX_LABEL, ReverseAccess, ReverseRule, SignalingUrl};
use crate::signaling::pin::Pin;

/// Longest pin, in bytes.
const MAX_PIN: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    label: Option<String>,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    reverse: Vec<String>,
    expires: Option<String>,
    max_sessions: Option<usize>,
    #[serde(default)]
    once: bool,
    pin: Option<String>,
    public_url: Option<String>,
}

/// Reads what is asked for: the invitation, and the address under which clients come in, if it is said.
///
/// # Errors
/// What is wrong with it, as a sentence, which shows no pin.
pub fn invitation(body: &[u8]) -> Result<(Invitation, Option<SignalingUrl>), String> {
    // serde's own words could show the pin.
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not the JSON of an invitation, at column {}", error.column()))?;
    let wrong = |field: &str, error: &dyn std::fmt::Display| format!("{field}: {error}");
    let allow = AccessList::parse(&asked.allow).map_err(|error| wrong("allow", &error))?;
    let reverse = asked.reverse.iter().map(|text| ReverseRule::parse(text)).collect::<Result<_, _>>();
    let reverse = reverse.map_err(|error| wrong("reverse", &error))?;
    let expires = asked.expires.map(|text| text.parse::<Expiry>()).transpose();
    let expires = expires.map_err(|error| {
        format!("expires: {error}; 30s, 15m, 2h, 7d and dates such as 2026-12-24T18:00:00+08:00 are understood")
    })?;
    let url = asked.public_url.map(|text| SignalingUrl::parse(&text)).transpose();
    let url = url.map_err(|error| wrong("public_url", &error))?.map(|(url, _)| url);
    let label = asked.label.unwrap_or_else(|| made_up(&asked.services));
    let pin = asked.pin.map(|text| pin(&text)).transpose()?;
    let invitation = Invitation {
        services: asked.services,
        allow,
        reverse: ReverseAccess::new(reverse),
        expires,
        max_sessions: asked.max_sessions,
        once: asked.once,
        pin,
        ..Invitation::new(label)
    };
    Ok((invitation, url))
}

fn pin(text: &str) -> Result<Pin, String> {
    match text.len() {
        ..=MAX_PIN => Pin::new(text).ok_or_else(|| "pin: a pin has at least one character".to_owned()),
        _ => Err(format!("pin: a pin has at most {MAX_PIN} bytes")),
    }
}

/// Makes up a label that tells something.
fn made_up(services: &[String]) -> String {
    match services {
        [] => "invitation".to_owned(),
        _ => services.join(", ").chars().take(MAX_LABEL).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_invitation_is_read() {
        let body = r#"{"label":"guests","services":["web"],"allow":["db.local:5432"],"reverse":["8080"],
            "expires":"2h","max_sessions":3,"once":true,"pin":"secret","public_url":"https://a.test/?pin=1"}"#;
        let (read, url) = invitation(body.as_bytes()).unwrap();
        assert_eq!((read.label.as_str(), &read.services[..]), ("guests", &["web".to_owned()][..]));
        assert_eq!((read.expires, read.max_sessions), (Some(Expiry::After(Duration::from_secs(7200))), Some(3)));
        assert!(read.once && !read.allow.is_empty() && !read.reverse.is_empty());
        assert_eq!(read.pin.unwrap().reveal(), "secret");
        assert_eq!(url.unwrap().to_string(), "wss://a.test/ws");
        let (read, url) = invitation(br#"{"services":["web","ssh"]}"#).unwrap();
        assert_eq!((read.label.as_str(), read.once, url), ("web, ssh", false, None));
        assert_eq!(invitation(b"{}").unwrap().0.label, "invitation");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_pin() {
        let deep = format!("{{\"services\":{}", "[".repeat(60_000));
        for (body, expected) in [
            ("", "the body is not the JSON"),
            ("[]", "the body is not the JSON"),
            (r#"{"pin":["hidden"]}"#, "the body is not the JSON"),
            (r#"{"pin":"hidden","services":1}"#, "the body is not the JSON"),
            (r#"{"pni":"hidden"}"#, "the body is not the JSON"),
            (r#"{"max_sessions":-1}"#, "the body is not the JSON"),
            (r#"{"pin":""}"#, "pin: a pin has at least one character"),
            (r#"{"expires":"soon"}"#, "expires: "),
            (r#"{"allow":["nonsense"]}"#, "allow: "),
            (r#"{"reverse":["x"]}"#, "reverse: "),
            (r#"{"public_url":"a b?pin=hidden"}"#, "public_url: "),
            (&deep, "the body is not the JSON"),
        ] {
            let error = invitation(body.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("hidden"), "{error}");
        }
        let long = format!(r#"{{"pin":"{}"}}"#, "x".repeat(MAX_PIN + 1));
        assert!(invitation(long.as_bytes()).unwrap_err().starts_with("pin: "));
    }
}
