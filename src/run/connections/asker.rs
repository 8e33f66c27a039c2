//! Parties that wait for an answer before a connection is joined to its stream.

use std::io::{Read as _, Write as _};

use crate::net::stream::Stream;
use crate::socks::Negotiation;
use crate::tunnel::AbortReason;

/// A party that waits until the other side has dialled.
pub(in crate::run) enum Asker {
    /// A program that negotiates with a proxy, and the data it has already sent.
    Program(Negotiation, Vec<u8>),
    /// A thread of this process. The callback gets the result, and returns false if the thread no longer waits.
    Caller(Box<dyn FnMut(Result<(), AbortReason>) -> bool + Send>),
}

impl Asker {
    pub(super) fn refuse(&mut self, reason: AbortReason) {
        match self {
            Asker::Program(negotiation, _) => negotiation.refuse(reason),
            Asker::Caller(tell) => {
                tell(Err(reason));
            }
        }
    }

    /// Ends the connection with a last answer.
    pub(super) fn end(self, stream: Stream) {
        match self {
            Asker::Program(mut negotiation, _) => answer_and_end(stream, &mut negotiation),
            Asker::Caller(mut tell) => {
                // Heard only by a thread that was told nothing better.
                tell(Err(AbortReason::Reset));
                stream.reset();
            }
        }
    }
}

/// Writes the output of a negotiation. Answers are a few bytes and the program waits for them, so a socket that does
/// not take them at once is useless; then returns false.
pub(in crate::run) fn answer(stream: &mut Stream, negotiation: &mut Negotiation) -> bool {
    while let Some(output) = negotiation.poll_output() {
        if stream.write_all(&output).is_err() {
            return false;
        }
    }
    true
}

/// Writes the last output of a negotiation and ends the connection in order: a reset would overtake the answer.
pub(in crate::run) fn answer_and_end(mut stream: Stream, negotiation: &mut Negotiation) {
    answer(&mut stream, negotiation);
    // Closing with unread bytes would reset the connection.
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest), Ok(len) if len > 0) {}
    let _ = stream.finish();
}
