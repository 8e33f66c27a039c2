#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod association;
mod config;
pub mod congestion;
mod event;
mod number;
pub mod progress;
mod queue;
mod random;
mod ranges;
mod receive;
mod reset;
mod round_trip;
mod send;
mod stream;
mod wire;

pub use association::{Association, State, Statistics, Stream, Token, TokenError};
pub use config::{Config, MAX_PACKET_SIZE, MIN_PACKET_SIZE, MIN_RECEIVE_WINDOW};
pub use event::{Event, Reason, StreamError};
pub use random::Seed;
pub use stream::{Delivery, Message, Reliability};
