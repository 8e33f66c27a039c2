//! What `pinhole ping` finds, for programs and as sentences.

use std::time::Duration;

use serde::Serialize;

use super::text::{self, MAX_MESSAGE, MAX_PEER_TEXT, round_trip, sanitize};
use super::way::Way;

/// What a ping finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// The host answered.
    #[non_exhaustive]
    Reply {
        /// What the host is called.
        host: String,
        /// The session.
        session: String,
        /// Which PING was answered, from 1.
        number: u64,
        /// How messages travel.
        #[serde(flatten)]
        way: Way,
        /// The time from the PING to its answer, in milliseconds.
        rtt_ms: f64,
    },
    /// The host did not answer before the next PING was due.
    #[non_exhaustive]
    NoReply {
        /// What the host is called.
        host: String,
        /// Which PING was not answered, from 1.
        number: u64,
        /// How long it has been waited for, in milliseconds.
        waited_ms: u64,
    },
    /// It is over.
    #[non_exhaustive]
    Pinged {
        /// What the host is called.
        host: String,
        /// Number of PINGs.
        sent: u64,
        /// Number of answers.
        answered: u64,
        /// Number of answers that came directly.
        direct: u64,
        /// Shortest time to an answer, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        min_ms: Option<f64>,
        /// Median of the last 10,000.
        #[serde(skip_serializing_if = "Option::is_none")]
        median_ms: Option<f64>,
        /// Longest one.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_ms: Option<f64>,
    },
}

/// Returns the sentence.
pub(super) fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Reply { host, way, rtt_ms, .. } => {
            format!("reply from {} {} in {}", sanitize(host, MAX_PEER_TEXT), via(way), round_trip(*rtt_ms))
        }
        Answer::NoReply { host, waited_ms, .. } => {
            let waited = text::duration(Duration::from_millis(*waited_ms));
            format!("no reply from {} for {waited}", sanitize(host, MAX_PEER_TEXT))
        }
        Answer::Pinged { host, sent, answered, direct, min_ms, median_ms, max_ms } => {
            let times = match (min_ms, median_ms, max_ms) {
                (Some(min), Some(median), Some(max)) => {
                    let [min, median, max] = [min, median, max].map(|time| round_trip(*time));
                    format!("; least {min}, median {median}, most {max}")
                }
                _ => String::new(),
            };
            let host = sanitize(host, MAX_PEER_TEXT);
            format!("{host}: {sent} sent, {answered} answered, {direct} of them directly{times}")
        }
    }
}

/// Says by which way an answer came.
fn via(way: &Way) -> String {
    match way {
        Way::Direct { remote, .. } => format!("directly ({remote})"),
        Way::Relayed { reason } => format!("relayed (because {})", sanitize(reason, MAX_MESSAGE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_sentence_and_a_line() {
        let host = || "nas\n".to_owned();
        let address = |text: &str| text.parse().unwrap();
        let (local, remote) = (address("192.0.2.1:1"), address("203.0.113.5:4444"));
        let way = Way::Direct { candidates: "srflx/host".into(), local, remote };
        let relayed = Way::Relayed { reason: "UDP is \x1b blocked".into() };
        let none = (None, None, None);
        let summary = |(min_ms, median_ms, max_ms)| Answer::Pinged {
            host: host(),
            sent: 3,
            answered: 2,
            direct: 1,
            min_ms,
            median_ms,
            max_ms,
        };
        let rows = [
            (
                Answer::Reply { host: host(), session: "ab12".into(), number: 1, way, rtt_ms: 23.1 },
                r"reply from nas\n directly (203.0.113.5:4444) in 23.1 ms",
                r#"{"event":"reply","host":"nas\n","session":"ab12","number":1,"path":"direct","candidates":"srflx/host","local":"192.0.2.1:1","remote":"203.0.113.5:4444","rtt_ms":23.1}"#,
            ),
            (
                Answer::Reply { host: host(), session: "ab12".into(), number: 2, way: relayed, rtt_ms: 230.0 },
                r"reply from nas\n relayed (because UDP is \u{1b} blocked) in 230 ms",
                r#"{"event":"reply","host":"nas\n","session":"ab12","number":2,"path":"relayed","reason":"UDP is \u001b blocked","rtt_ms":230.0}"#,
            ),
            (
                Answer::NoReply { host: host(), number: 3, waited_ms: 1500 },
                r"no reply from nas\n for 1.5 s",
                r#"{"event":"no-reply","host":"nas\n","number":3,"waited_ms":1500}"#,
            ),
            (
                summary((Some(1.0), Some(2.0), Some(3.5))),
                r"nas\n: 3 sent, 2 answered, 1 of them directly; least 1.0 ms, median 2.0 ms, most 3.5 ms",
                r#"{"event":"pinged","host":"nas\n","sent":3,"answered":2,"direct":1,"min_ms":1.0,"median_ms":2.0,"max_ms":3.5}"#,
            ),
            (
                summary(none),
                r"nas\n: 3 sent, 2 answered, 1 of them directly",
                r#"{"event":"pinged","host":"nas\n","sent":3,"answered":2,"direct":1}"#,
            ),
        ];
        for (answer, sentence, line) in rows {
            assert_eq!(describe(&answer), sentence);
            let event = super::super::event::Event::Ping(answer);
            let written = super::super::json::line(&event).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
        }
    }
}
