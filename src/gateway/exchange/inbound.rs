//! From the browser to the service.

use super::state::{Answering, Half, Link, Pending, State};
use super::{BUFFER, Ending, Exchange, MAX_AHEAD};
use crate::gateway::chunks::MalformedChunk;
use crate::gateway::format::Format;
use crate::gateway::request::{HeadReader, RequestHead, RequestLine};
use crate::gateway::{Finished, MAX_FIELDS, MAX_HEAD, Malformed, Refusal, fields};
use crate::http::Headers;

/// Maximum number of empty lines skipped before a request (RFC 9112, section 2.2): old programs send an extra one after
/// a body.
const MAX_EMPTY_LINES: usize = 8;

/// First byte of TLS: a handshake record.
const TLS: u8 = 22;

/// The result of looking for a head.
enum Found {
    More,
    Head(usize),
}

impl Exchange {
    /// Handles as much of the browser's bytes as is possible now.
    pub(super) fn advance(&mut self) {
        while self.step() {}
    }

    /// Does one step. Returns whether there may be another.
    fn step(&mut self) -> bool {
        match self.state {
            State::Reading { .. } => self.read_head(),
            State::Routing(_) => false,
            State::Serving(_) | State::Piped(_) => self.send(),
            State::Closing(_) => {
                self.inbox.clear();
                false
            }
        }
    }

    /// Looks for a head in the inbox.
    fn read_head(&mut self) -> bool {
        if self.to_browser.len() >= MAX_AHEAD {
            return false;
        }
        match self.find_head() {
            Ok(Found::Head(length)) => {
                let head = self.inbox.as_slice()[..length].to_vec();
                self.inbox.consume(length);
                match RequestHead::parse(self.kind, &self.visitor, &head) {
                    Ok((mut head, request)) => {
                        head.record.from_browser = length as u64;
                        self.state = State::Routing(Box::new(Pending { head, request: Some(request) }));
                    }
                    Err(problem) => self.reject(problem, format_of(&head), head.starts_with(b"HEAD "), length),
                }
                true
            }
            Ok(Found::More) if self.browser == Half::Ended => {
                self.close();
                true
            }
            Ok(Found::More) => false,
            Err(problem) => {
                let is_head = self.inbox.as_slice().starts_with(b"HEAD ");
                self.reject(problem, Format::Text, is_head, self.inbox.len());
                true
            }
        }
    }

    /// Looks for the end of the head. Only complete lines are judged, each by itself and in order, so the result does
    /// not depend on the pieces the head came in.
    fn find_head(&mut self) -> Result<Found, Malformed> {
        let State::Reading { reader, empty_lines } = &mut self.state else { return Ok(Found::More) };
        while *reader == HeadReader::default() {
            match self.inbox.as_slice() {
                [] | [b'\r'] => return Ok(Found::More),
                [b'\r', b'\n', ..] if *empty_lines < MAX_EMPTY_LINES => {
                    self.inbox.consume(2);
                    *empty_lines += 1;
                }
                [TLS, ..] => return Err(Malformed::Tls),
                [first, ..] if fields::is_token(*first) => break,
                [..] => return Err(Malformed::NotHttp),
            }
        }
        while let Some(line) = reader.next_line(self.inbox.as_slice()) {
            if line.end > MAX_HEAD {
                break;
            }
            if !line.is_strict {
                return Err(Malformed::LineEnd);
            }
            match line.number {
                0 => drop(RequestLine::parse(line.text)?),
                _ if line.text.is_empty() => return Ok(Found::Head(line.end)),
                number if number > MAX_FIELDS => return Err(Malformed::TooLarge),
                _ => {}
            }
        }
        match (self.inbox.len() >= MAX_HEAD, reader.has_line()) {
            (true, true) => Err(Malformed::TooLarge),
            (true, false) => Err(Malformed::TargetTooLong),
            (false, _) => Ok(Found::More),
        }
    }

    /// Answers a malformed request.
    fn reject(&mut self, problem: Malformed, format: Format, is_head: bool, length: usize) {
        let answer = Refusal::Malformed(problem).answer(format).render(is_head);
        self.to_browser.push(&answer);
        self.finish(Finished {
            status: Some(problem.status()),
            to_browser: answer.len() as u64,
            from_browser: length as u64,
            ..Finished::default()
        });
        self.close();
    }

    /// Passes on bytes of the inbox that are for the service. Returns whether the state changed.
    fn send(&mut self) -> bool {
        let inbox = std::mem::take(&mut self.inbox);
        let sent = self.pass(inbox.as_slice());
        // Only a malformed body changes the state; what follows it is dropped.
        if !matches!(self.state, State::Closing(_)) {
            self.inbox = inbox;
            self.inbox.consume(sent);
        }
        let is_over = self.inbox.is_empty() && self.browser == Half::Ended;
        match &self.state {
            State::Serving(serving) if is_over && !serving.sending.is_whole() => {
                self.fail(Malformed::Incomplete);
                true
            }
            State::Piped(pipe) => {
                let is_done = is_over && pipe.service == Half::Ended;
                if is_done && self.to_service.is_empty() && self.to_browser.is_empty() {
                    self.finish_pipe();
                }
                false
            }
            State::Reading { .. } | State::Routing(_) | State::Serving(_) | State::Closing(_) => false,
        }
    }

    /// Passes on the browser's bytes, as far as they belong to the body or the pipe and there is room. Returns how
    /// many.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let room = BUFFER.saturating_sub(self.to_service.len());
        let bytes = &bytes[..bytes.len().min(room)];
        match &mut self.state {
            State::Serving(serving) => match serving.sending.feed(bytes, &mut self.to_service) {
                Ok(sent) => {
                    serving.head.record.from_browser += sent as u64;
                    sent
                }
                Err(MalformedChunk) => {
                    self.fail(Malformed::Chunk);
                    bytes.len()
                }
            },
            State::Piped(pipe) => {
                self.to_service.push(bytes);
                pipe.record.from_browser += bytes.len() as u64;
                bytes.len()
            }
            State::Reading { .. } | State::Routing(_) | State::Closing(_) => 0,
        }
    }

    /// Fails the request because its body cannot be completed; the service must never see it as complete.
    fn fail(&mut self, problem: Malformed) {
        self.answer_or_cut(Refusal::Malformed(problem));
    }

    fn finish_pipe(&mut self) {
        if let State::Piped(pipe) = std::mem::replace(&mut self.state, State::Closing(Ending::Close)) {
            self.finish(pipe.record);
        }
        self.link = Link::Spent;
    }

    /// Answers a CONNECT whose destination was reached.
    pub(super) fn accept(&mut self) {
        if matches!(&self.state, State::Serving(serving) if matches!(serving.answering, Answering::Accept)) {
            self.pipe(200, b"HTTP/1.1 200 Connection established\r\n\r\n");
        }
    }
}

/// Returns the format for answering a head that is complete but not acceptable.
fn format_of(head: &[u8]) -> Format {
    let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut room);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => Format::of(&Headers(request.headers)),
        Ok(httparse::Status::Partial) | Err(_) => Format::Text,
    }
}
