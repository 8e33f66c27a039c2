//! Who waits for an answer before a connection is joined to its stream.

use std::io::{Read as _, Write as _};

use crate::net::stream::Stream;
use crate::socks::Negotiation;
use crate::tunnel::AbortReason;

/// Who waits until the other side has dialled.
pub(in crate::run) enum Asker {
    /// A program that talks to a proxy; with what it sent already.
    Program(Negotiation, Vec<u8>),
    /// A thread of this process, which is told what came of it; false says that it does not wait any more.
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

    /// Ends the connection with the last words there are.
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

/// Writes what a negotiation has to say. The answers are a few bytes and the program waits for them, so a socket that
/// does not take them at once is of no use; false says so.
pub(in crate::run) fn answer(stream: &mut Stream, negotiation: &mut Negotiation) -> bool {
    while let Some(output) = negotiation.poll_output() {
        if stream.write_all(&output).is_err() {
            return false;
        }
    }
    true
}

/// Says the last words of a negotiation and ends the connection in order: a reset would overtake them.
pub(in crate::run) fn answer_and_end(mut stream: Stream, negotiation: &mut Negotiation) {
    answer(&mut stream, negotiation);
    // What came meanwhile is taken, or closing would reset.
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest), Ok(len) if len > 0) {}
    let _ = stream.finish();
}
