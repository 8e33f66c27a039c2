//! One stream: what was sent and is not acknowledged yet, and what arrived and was not taken yet.
//!
//! ```text
//!   sending half   Open ──finish, reset──▶ Closing ──all acknowledged──▶ Done
//!                  Open, Closing ──the peer's reset came──▶ Done
//!   receiving half Head ──CONNECT / ACCEPT──▶ Open ──CLOSE in order──▶ Closed
//!                  Open, Closed ──the peer's reset in order──▶ Reset
//!                  Head, Open, Closed ──a reset of ours──▶ Discarding ──the peer's reset──▶ Reset
//!   application    Holds ──saw the end──▶ SawEnd
//!                  Holds, SawEnd ──reset, or told of one──▶ Gone
//! ```
//! A stream gives its id up once the sending half is done, and the receiving half has ended and is acknowledged, or is
//! discarding. It stays in the table until the local application took everything, or is gone.

mod arrival;
mod receive;
mod send;

use super::credit::ReceiveWindow;
use super::flow::Flow;
use super::frame::{ConnectTarget, encode_connect, encode_reset, header, kind};
use super::id::{Generation, Sequence, StreamId};
use super::trail::Trail;
pub(super) use arrival::{Arrived, Head, Opening, ResetArrival, Violation};
use receive::ReceiveHalf;
pub(super) use receive::ReceiveState;
use send::SendHalf;
pub(super) use send::{Bounds, Outgoing, SendState};

/// The state of the local application for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Application {
    /// It uses the stream.
    Holds,
    /// It was told that nothing follows.
    SawEnd,
    /// It has reset the stream, or was told of a reset: the key is dead for it, and no event follows.
    Gone,
}

/// Notices for the local application that wait to be told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Notices {
    pub(super) queued: bool,
    pub(super) opened: bool,
    pub(super) accepted: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// For the mux itself: the end was seen, so the stream may be done.
    pub(super) at_end: bool,
}

/// A stream of the table.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) serial: u32,
    pub(super) id: StreamId,
    pub(super) generation: Generation,
    /// The stream still owns its id.
    pub(super) attached: bool,
    /// Carrier on which the peer is known to have the stream: its CONNECT came, or ours was acknowledged.
    pub(super) known_on: Option<u32>,
    pub(super) target: Option<ConnectTarget>,
    /// The connections that led to a stream the peer opened.
    pub(super) trail: Trail,
    /// The datagrams of a UDP flow; `None` for a stream of bytes.
    pub(super) flow: Option<Box<Flow>>,
    pub(super) send: SendHalf,
    pub(super) receive: ReceiveHalf,
    pub(super) notices: Notices,
    pub(super) application: Application,
    pub(super) scheduled: bool,
}

impl Stream {
    pub(super) fn new(serial: u32, id: StreamId, generation: Generation, window: ReceiveWindow) -> Stream {
        Stream {
            serial,
            id,
            generation,
            attached: true,
            known_on: None,
            target: None,
            trail: Trail::default(),
            flow: None,
            send: SendHalf::new(),
            receive: ReceiveHalf::new(window),
            notices: Notices::default(),
            application: Application::Holds,
            scheduled: false,
        }
    }

    pub(super) fn push_connect(&mut self, target: &ConnectTarget, trail: &Trail) {
        let mut message = header(kind::CONNECT, self.generation, self.id.value(), Sequence(0)).to_vec();
        encode_connect(&mut message, target, trail);
        self.send.push(Outgoing::Boxed(message.into_boxed_slice()));
    }

    /// Ends the sending half with a reset behind what is queued.
    pub(super) fn push_reset(&mut self, detail: &str) {
        let message = encode_reset(self.id, self.generation, self.send.next_sequence(), detail);
        self.send.push_last(Outgoing::Boxed(message.into_boxed_slice()));
    }

    pub(super) fn bare(&self, kind: u8) -> Outgoing {
        Outgoing::Bare(header(kind, self.generation, self.id.value(), self.send.next_sequence()))
    }

    /// Tells whether datagrams are all that the stream carries.
    pub(super) fn is_udp(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.is_udp)
    }

    /// Tells whether datagrams may go out: not before the CONNECT or ACCEPT, which they would have to wait for on the
    /// other side.
    pub(super) fn may_send_datagrams(&self) -> bool {
        self.send.has_begun()
    }

    /// Tells whether both directions ended and everything is acknowledged, both ways.
    pub(super) fn is_settled(&self) -> bool {
        let is_received = match self.receive.state() {
            ReceiveState::Head | ReceiveState::Open => false,
            ReceiveState::Closed | ReceiveState::Reset => !self.receive.owes_ack(),
            ReceiveState::Discarding => true,
        };
        self.send.state() == SendState::Done && is_received
    }

    /// Tells whether the local application is to hear of the peer's reset: it took everything before, and saw the end
    /// if there was one.
    pub(super) fn is_reset_due(&self) -> bool {
        let has_all = match self.application {
            Application::Holds => !self.receive.has_close(),
            Application::SawEnd => true,
            Application::Gone => false,
        };
        has_all && self.receive.state() == ReceiveState::Reset && self.receive.is_read_up()
    }
}
