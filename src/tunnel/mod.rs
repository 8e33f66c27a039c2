//! The tunnel core: many byte streams over one carrier that delivers messages in any order.
//!
//! Everything here is pure: bytes and the time come in as values, bytes and events come out. It names no socket, no
//! clock, no random source and no WebRTC, so it runs unchanged under a simulation. The wire format is
//! `docs/protocol.md`, sections 1 and 2.

pub mod chunk;
pub mod credit;
pub mod event;
mod flow;
pub mod frame;
pub mod hello;
pub mod id;
pub mod mux;
pub mod reason;
pub mod reorder;
pub mod schedule;
pub mod stream;
pub mod trail;

pub use chunk::{Chunk, ChunkPool};
pub use event::{Event, Origin};
pub use flow::Dropped;
pub use frame::ConnectTarget;
pub use hello::{Hello, Service};
pub use id::{Generation, Role, Sequence, StreamId, StreamKey};
pub use mux::{Config, Mux, OpenError, Outbound, Room, StreamMut};
pub use reason::{AbortReason, GoAwayReason};
pub use trail::{Hop, Trail};
