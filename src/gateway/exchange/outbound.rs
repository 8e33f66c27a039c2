//! From the service to the browser.

use super::state::{Answering, Half, Link, Pipe, State};
use super::{Ending, Exchange};
use crate::gateway::answer::{AnswerHead, START, Sort};
use crate::gateway::body::Body;
use crate::gateway::{AnswerFault, MAX_HEAD, Refusal};

/// Maximum number of interim answers before the final one. They are short, and each is longer once rewritten.
const MAX_INTERIM: usize = 16;

impl Exchange {
    /// Handles bytes from the stream, as far as they belong to the present request.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.link == Link::Kept {
                // No request is open. The next request must not take these bytes for its answer.
                self.link = Link::Spent;
            }
            if !self.link.is_in_use() {
                return;
            }
            let used = match &mut self.state {
                State::Serving(serving) => match &mut serving.answering {
                    Answering::Accept => {
                        self.accept();
                        0
                    }
                    Answering::Head { .. } => self.receive_head(rest),
                    Answering::Body { .. } => self.receive_body(rest),
                    Answering::Lost => return,
                },
                State::Piped(pipe) => {
                    self.to_browser.push(rest);
                    pipe.record.to_browser += rest.len() as u64;
                    rest.len()
                }
                State::Reading { .. } | State::Routing(_) | State::Closing(_) => return,
            };
            rest = &rest[used..];
        }
    }

    /// Adds to the head of an answer. Returns how many bytes belong to it.
    fn receive_head(&mut self, input: &[u8]) -> usize {
        let State::Serving(serving) = &mut self.state else { return input.len() };
        let Answering::Head { reader, bytes, interim } = &mut serving.answering else { return input.len() };
        let before = bytes.len();
        let piece = &input[..input.len().min(MAX_HEAD - before)];
        bytes.extend_from_slice(piece);
        // Check this at once: a service of another protocol may wait for us to send first.
        let begun = bytes.len().min(START.len());
        if bytes[..begun] != START[..begun] {
            self.answer(Refusal::BadAnswer(AnswerFault::NotHttp));
            return input.len();
        }
        let end = loop {
            match reader.next_line(bytes) {
                Some(line) if line.text.is_empty() => break line.end,
                Some(_) => {}
                None if bytes.len() < MAX_HEAD => return piece.len(),
                None => {
                    self.answer(Refusal::BadAnswer(AnswerFault::TooLarge));
                    return input.len();
                }
            }
        };
        let keeps = serving.head.keeps && serving.sending.is_whole() && self.browser == Half::Open;
        let is_sent = serving.sending.is_whole();
        let interim = *interim + 1;
        let parsed = AnswerHead::parse(&bytes[..end], &serving.head, keeps);
        match parsed {
            Ok(AnswerHead { sort: Sort::Interim, outgoing, .. }) if interim <= MAX_INTERIM => {
                serving.answering = Answering::next_head(interim);
                // RFC 9110, section 15.2.
                if serving.head.minor_version > 0 {
                    serving.head.record.to_browser += outgoing.len() as u64;
                    self.to_browser.push(&outgoing);
                }
            }
            Ok(AnswerHead { sort: Sort::Interim, .. }) => self.answer(Refusal::BadAnswer(AnswerFault::Interim)),
            Ok(AnswerHead { sort: Sort::Switch, status, outgoing }) if is_sent => self.pipe(status, &outgoing),
            Ok(AnswerHead { sort: Sort::Switch, .. }) => self.answer(Refusal::BadAnswer(AnswerFault::Switch)),
            Ok(AnswerHead { sort: Sort::Final { body, keeps_service, keeps_browser }, status, outgoing }) => {
                let record = &mut serving.head.record;
                record.status = Some(status);
                record.to_browser += outgoing.len() as u64;
                self.to_browser.push(&outgoing);
                let is_whole = body.is_whole();
                serving.answering = Answering::Body { body, keeps_service, keeps_browser };
                if is_whole {
                    self.finish_answer();
                }
            }
            Err(fault) => self.answer(Refusal::BadAnswer(fault)),
        }
        // The earlier bytes were incomplete, so the end is in this piece.
        end - before
    }

    /// Passes on bytes of an answer's body. Returns how many belong to it.
    fn receive_body(&mut self, input: &[u8]) -> usize {
        let State::Serving(serving) = &mut self.state else { return input.len() };
        let Answering::Body { body, .. } = &mut serving.answering else { return input.len() };
        let before = self.to_browser.len();
        let Ok(used) = body.feed(input, &mut self.to_browser) else {
            self.cut();
            return input.len();
        };
        serving.head.record.to_browser += (self.to_browser.len() - before) as u64;
        if body.is_whole() {
            self.finish_answer();
        }
        used
    }

    /// Handles the end of an answer.
    fn finish_answer(&mut self) {
        let State::Serving(serving) = std::mem::replace(&mut self.state, State::Closing(Ending::Close)) else { return };
        let Answering::Body { keeps_service, keeps_browser, .. } = serving.answering else { return };
        let is_sent = serving.sending.is_whole() && self.to_service.is_empty();
        self.to_service.clear();
        self.link = if is_sent && keeps_service { Link::Kept } else { Link::Spent };
        self.finish(serving.head.record);
        if keeps_browser {
            self.next();
        } else {
            self.close();
        }
    }

    /// Turns both directions into a pipe, after this head.
    pub(super) fn pipe(&mut self, status: u16, head: &[u8]) {
        let State::Serving(serving) = std::mem::replace(&mut self.state, State::Closing(Ending::Close)) else { return };
        let is_tunnel = serving.head.is_connect;
        let mut record = serving.head.record;
        record.status = Some(status);
        record.to_browser += head.len() as u64;
        self.to_browser.push(head);
        self.state = State::Piped(Box::new(Pipe { record, service: Half::Open, is_tunnel }));
    }

    /// Handles the end of the stream.
    pub(super) fn receive_end(&mut self) {
        if self.link == Link::Kept {
            self.link = Link::Spent;
        }
        if !self.link.is_in_use() {
            return;
        }
        match &mut self.state {
            State::Serving(serving) => match &mut serving.answering {
                Answering::Body { body: Body::UntilClose, .. } => self.finish_answer(),
                Answering::Body { .. } => self.cut(),
                Answering::Accept => self.answer(Refusal::ServiceDown),
                Answering::Head { .. } => self.lose(Refusal::BadAnswer(AnswerFault::Ended)),
                Answering::Lost => {}
            },
            State::Piped(pipe) => pipe.service = Half::Ended,
            State::Reading { .. } | State::Routing(_) | State::Closing(_) => {}
        }
    }

    /// Handles the failure of the stream.
    pub(super) fn receive_failure(&mut self, refusal: Refusal) {
        if self.link == Link::Kept {
            self.link = Link::Spent;
        }
        if !self.link.is_in_use() {
            return;
        }
        match &self.state {
            State::Serving(serving) if serving.answering.has_not_begun() => self.lose(refusal),
            State::Serving(_) | State::Piped(_) => self.cut(),
            State::Reading { .. } | State::Routing(_) | State::Closing(_) => {}
        }
    }

    /// Gives up on an answer over this stream. The service may have closed it before it saw the request; then another
    /// stream can carry it (RFC 9112, section 9.3.1).
    fn lose(&mut self, refusal: Refusal) {
        match &mut self.state {
            State::Serving(serving)
                if self.link == Link::Reused && serving.answering.is_untouched() && serving.head.may_be_repeated() =>
            {
                serving.answering = Answering::Lost;
                self.to_service.clear();
                self.link = Link::Spent;
            }
            _ => self.answer(refusal),
        }
    }
}
