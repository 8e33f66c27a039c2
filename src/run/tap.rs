//! What the control interface tells of events: the last warnings, and, while somebody follows, each of them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::net::system;
use crate::status::event::Event;
use crate::status::json;
use crate::status::overview::Remark;

/// Number of warnings and errors that are remembered.
const MAX_REMARKS: usize = 20;

/// Events on their way to the control interface.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// Somebody looks at the run, or may.
    pub(super) is_open: bool,
    /// Number of those who follow events.
    pub(super) followers: usize,
    remarks: VecDeque<Remark>,
    lines: Vec<Bytes>,
}

impl Tap {
    /// Takes an event into account.
    pub(super) fn observe(&mut self, event: &Event) {
        if !self.is_open {
            return;
        }
        if let Event::Warning { code, message } | Event::Error { code, message } = event {
            if self.remarks.len() >= MAX_REMARKS {
                self.remarks.pop_front();
            }
            let at = Some(system::time_of_day());
            self.remarks.push_back(Remark { code: code.clone(), message: message.clone(), at });
        }
        if self.followers > 0
            && let Ok(line) = json::line(event.redacted().as_ref())
        {
            self.lines.push(line.into());
        }
    }

    /// Returns the last warnings and errors, the newest last.
    pub(super) fn remarks(&self) -> Vec<Remark> {
        self.remarks.iter().cloned().collect()
    }

    /// Takes the lines since the last call.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(number: usize) -> Event {
        Event::Warning { code: "x".to_owned(), message: number.to_string() }
    }

    #[test]
    fn the_last_warnings_are_remembered_where_somebody_may_look() {
        let mut tap = Tap::default();
        tap.observe(&warning(0));
        assert!(tap.remarks().is_empty());
        tap.is_open = true;
        (1..=100).for_each(|number| tap.observe(&warning(number)));
        tap.observe(&Event::DirectoryBack);
        let messages: Vec<String> = tap.remarks().into_iter().map(|remark| remark.message).collect();
        assert_eq!(messages, (81..=100).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn events_are_encoded_only_for_those_who_follow() {
        let mut tap = Tap { is_open: true, ..Tap::default() };
        tap.observe(&Event::DirectoryBack);
        assert!(tap.take().is_empty());
        tap.followers = 2;
        tap.observe(&Event::PinReplaced { pin: "secret".to_owned(), public_url: None });
        assert_eq!(tap.take(), ["{\"event\":\"pin-replaced\"}\n"], "once, and without the pin");
        assert!(tap.take().is_empty());
    }
}
