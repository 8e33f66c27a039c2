//! How requests and connections end.

use super::state::{Half, Link, State};
use super::{Ending, Exchange, MAX_FINISHED};
use crate::gateway::format::Format;
use crate::gateway::request::HeadReader;
use crate::gateway::{Finished, Refusal};

impl Exchange {
    /// Ends the present request, whatever its state.
    pub(super) fn answer_or_cut(&mut self, refusal: Refusal) {
        match &self.state {
            State::Reading { .. } | State::Routing(_) => self.answer(refusal),
            State::Serving(serving) if serving.answering.has_not_begun() => self.answer(refusal),
            State::Serving(_) | State::Piped(_) => self.cut(),
            State::Closing(_) => {}
        }
    }

    /// Answers the present request ourselves.
    pub(super) fn answer(&mut self, refusal: Refusal) {
        let (mut record, head) = match std::mem::replace(&mut self.state, State::Closing(Ending::Close)) {
            State::Routing(pending) => (pending.head.record.clone(), Some((pending.head, false))),
            State::Serving(serving) => {
                let is_sent = serving.sending.is_whole();
                (serving.head.record.clone(), Some((serving.head, is_sent)))
            }
            State::Reading { .. } | State::Piped(_) | State::Closing(_) => (Finished::default(), None),
        };
        let (mut answer, mut is_head, mut keeps) = (refusal.answer(Format::Text), false, false);
        if let Some((head, is_sent)) = head {
            answer = refusal.answer(head.format);
            is_head = head.is_head;
            // Bytes after a refused CONNECT or Upgrade may belong to the requested protocol, and may come from a third
            // party: do not parse them as requests.
            keeps = head.keeps
                && (is_sent || !head.has_body())
                && !head.is_connect
                && head.protocols.is_empty()
                && self.browser == Half::Open;
        }
        let answer = if keeps { answer.keeping() } else { answer }.render(is_head);
        self.to_browser.push(&answer);
        record.status = Some(refusal.status());
        record.to_browser += answer.len() as u64;
        self.finish(record);
        self.leave_link();
        if keeps {
            self.next();
        } else {
            self.close();
        }
    }

    /// Ends the connection so that what was sent does not look whole.
    pub(super) fn cut(&mut self) {
        let record = match std::mem::replace(&mut self.state, State::Closing(Ending::Reset)) {
            State::Routing(pending) => Some(pending.head.record),
            State::Serving(serving) => Some(serving.head.record),
            State::Piped(pipe) => {
                // A tunnel's bytes do not show where they end; those of a WebSocket and of HTTP do.
                if pipe.is_tunnel && self.link.is_in_use() {
                    self.link = Link::Broken;
                }
                Some(pipe.record)
            }
            State::Reading { .. } | State::Closing(_) => None,
        };
        if let Some(record) = record {
            self.finish(record);
        }
        self.leave_link();
        self.end();
    }

    /// Goes on to the next request.
    pub(super) fn next(&mut self) {
        self.state = State::Reading { reader: HeadReader::default(), empty_lines: 0 };
    }

    /// Ends the connection once all output is out.
    pub(super) fn close(&mut self) {
        self.state = State::Closing(Ending::Close);
        self.end();
    }

    /// Stops reading, and gives up the stream.
    fn end(&mut self) {
        self.inbox.clear();
        if self.link == Link::Kept {
            self.link = Link::Spent;
        }
    }

    /// Gives up the stream, whatever is in progress on it.
    fn leave_link(&mut self) {
        self.to_service.clear();
        if self.link.is_in_use() {
            self.link = Link::Spent;
        }
    }

    pub(super) fn finish(&mut self, record: Finished) {
        if self.finished.len() >= MAX_FINISHED {
            self.finished.pop_front();
        }
        self.finished.push_back(record);
    }
}
