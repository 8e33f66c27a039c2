//! What was said last of what the run is doing. Many who ask at once are told the same, and it is put into words once.

use std::time::Instant;

use bytes::Bytes;

/// The turn, and how many changes there were by then.
type At = (Instant, u64);

/// The state as it was said last, as an answer and as an event.
#[derive(Default)]
pub(in crate::run) struct Latest {
    at: Option<At>,
    lines: [Option<Bytes>; 2],
}

impl Latest {
    /// Returns the state as it is said, if nothing is different.
    pub(in crate::run) fn get(&self, at: At, is_event: bool) -> Option<Bytes> {
        let [answer, event] = &self.lines;
        let line = if is_event { event } else { answer };
        line.clone().filter(|_| self.at == Some(at))
    }

    /// Remembers the state as it is said.
    pub(in crate::run) fn set(&mut self, at: At, is_event: bool, line: Bytes) {
        if self.at != Some(at) {
            *self = Latest { at: Some(at), ..Latest::default() };
        }
        let [answer, event] = &mut self.lines;
        *(if is_event { event } else { answer }) = Some(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_state_is_said_again_until_the_turn_or_the_run_is_another() {
        let (mut latest, now) = (Latest::default(), Instant::now());
        let line = Bytes::from_static(b"{}");
        assert_eq!(latest.get((now, 0), false), None);
        latest.set((now, 0), false, line.clone());
        assert_eq!(latest.get((now, 0), false), Some(line.clone()));
        assert_eq!(latest.get((now, 0), true), None, "an event has other words");
        latest.set((now, 0), true, line.clone());
        assert_eq!((latest.get((now, 0), false), latest.get((now, 0), true)), (Some(line.clone()), Some(line.clone())));
        assert_eq!(latest.get((now, 1), false), None, "something changed");
        assert_eq!(latest.get((now + Duration::from_millis(1), 0), false), None);
        latest.set((now, 1), true, line.clone());
        assert_eq!((latest.get((now, 1), false), latest.get((now, 1), true)), (None, Some(line)));
    }
}
