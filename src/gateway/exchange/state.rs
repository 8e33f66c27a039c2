//! The states of an exchange.

use super::Ending;
use crate::gateway::body::Body;
use crate::gateway::chunks::{Chunks, Form};
use crate::gateway::framing::Framing;
use crate::gateway::request::{HeadReader, RequestHead};
use crate::gateway::{Finished, Request};

/// ```text
///              head complete            route                     101, CONNECT accepted
///  ┌→ Reading ───────────────→ Routing ───────→ Serving ─────────────────────────────────→ Piped
///  │     │                        │                │                                          │
///  │     │ malformed, end         │ refuse         │ answer complete, refuse, failure         │ both ended
///  └─────┼────── if it is kept ───┴────────────────┤                                          │
///        └────────────────────────────────────→ Closing ←─────────────────────────────────────┘
/// ```
pub(super) enum State {
    /// A head comes, or will.
    Reading {
        reader: HeadReader,
        /// Empty lines before the head.
        empty_lines: usize,
    },
    /// A head is complete.
    Routing(Box<Pending>),
    /// A request is with its service.
    Serving(Box<Serving>),
    /// Raw bytes go both ways.
    Piped(Box<Pipe>),
    /// What is left goes out.
    Closing(Ending),
}

/// A request that waits for its route.
pub(super) struct Pending {
    pub(super) head: RequestHead,
    /// Until it was polled.
    pub(super) request: Option<Request>,
}

/// A request that is with its service.
pub(super) struct Serving {
    pub(super) head: RequestHead,
    pub(super) sending: Body,
    pub(super) answering: Answering,
}

/// ```text
///  Accept ──→ (Piped)        Lost ──route──→ Head
///  Head ──┬─→ Body ──→ (done)  ↑
///         ├─→ (Piped)          │ a stream that was used again is closed
///         └────────────────────┘
/// ```
pub(super) enum Answering {
    /// CONNECT: the far side is being dialled.
    Accept,
    /// The head of an answer comes, or will.
    Head {
        reader: HeadReader,
        bytes: Vec<u8>,
        /// How many interim answers there were.
        interim: usize,
    },
    /// The stream was closed before it carried anything of an answer.
    Lost,
    /// The head is with the browser, or on its way.
    Body { body: Body, keeps_service: bool, keeps_browser: bool },
}

/// Raw bytes both ways. Whether the browser still sends is the exchange's.
pub(super) struct Pipe {
    pub(super) record: Finished,
    /// Whether the service may still send.
    pub(super) service: Half,
    /// Whether it is what a CONNECT asked for.
    pub(super) is_tunnel: bool,
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Open,
    Ended,
}

/// The service's stream.
///
/// ```text
///  None ──route──→ Fresh ──answer complete──→ Kept ──route──→ Reused
///                    ├──→ Spent: not to be used again; its framing shows how much of a request or an answer is whole
///                    └──→ Broken: raw bytes of a CONNECT that are incomplete, and would look whole
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    None,
    Fresh,
    Reused,
    Kept,
    Spent,
    Broken,
}

impl Link {
    pub(super) fn is_in_use(self) -> bool {
        matches!(self, Link::Fresh | Link::Reused)
    }
}

impl Serving {
    pub(super) fn new(head: RequestHead) -> Box<Serving> {
        let sending = match head.framing {
            Framing::Unsaid => Body::Whole,
            Framing::Length(length) => Body::of_length(length),
            Framing::Chunked => Body::Chunked(Chunks::new(Form::Chunked)),
        };
        Box::new(Serving { answering: Answering::begin(&head), sending, head })
    }
}

impl Answering {
    pub(super) fn begin(head: &RequestHead) -> Answering {
        if head.is_connect { Answering::Accept } else { Answering::next_head(0) }
    }

    pub(super) fn next_head(interim: usize) -> Answering {
        Answering::Head { reader: HeadReader::default(), bytes: Vec::new(), interim }
    }

    /// Whether the browser may still get another answer than the service's.
    pub(super) fn has_not_begun(&self) -> bool {
        !matches!(self, Answering::Body { .. })
    }

    /// Whether nothing at all came of an answer.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self, Answering::Head { bytes, interim: 0, .. } if bytes.is_empty())
    }
}
