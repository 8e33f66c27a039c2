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
    /// Waits for a head, or receives one.
    Reading {
        reader: HeadReader,
        /// Empty lines so far before the head.
        empty_lines: usize,
    },
    /// A head is complete, and waits for its route.
    Routing(Box<Pending>),
    /// The service has the request.
    Serving(Box<Serving>),
    /// Raw bytes go both ways.
    Piped(Box<Pipe>),
    /// The remaining output goes out.
    Closing(Ending),
}

/// A request that waits for its route.
pub(super) struct Pending {
    pub(super) head: RequestHead,
    /// The request, until it is polled.
    pub(super) request: Option<Request>,
}

/// A request that the service has.
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
    /// CONNECT: the destination is being dialled.
    Accept,
    /// Waits for the head of an answer, or receives it.
    Head {
        reader: HeadReader,
        bytes: Vec<u8>,
        /// Interim answers so far.
        interim: usize,
    },
    /// The stream was closed before any part of an answer came.
    Lost,
    /// The head was sent to the browser.
    Body { body: Body, keeps_service: bool, keeps_browser: bool },
}

/// Raw bytes in both directions. The exchange knows whether the browser still sends.
pub(super) struct Pipe {
    pub(super) record: Finished,
    /// Whether the service may still send.
    pub(super) service: Half,
    /// Whether a CONNECT asked for it.
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

    /// Tells whether the browser may still get an answer of our own.
    pub(super) fn has_not_begun(&self) -> bool {
        !matches!(self, Answering::Body { .. })
    }

    /// Tells whether no part of an answer came.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self, Answering::Head { bytes, interim: 0, .. } if bytes.is_empty())
    }
}
