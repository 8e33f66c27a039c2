//! Sockets. Beside the loop, only this module touches the network.

pub mod interfaces;
pub mod limits;
pub mod listen;
pub mod listener;
pub mod machine;
pub mod program_socket;
pub mod readiness;
pub mod resolver;
pub mod stream;
pub mod system;
pub mod tls;
pub(crate) mod transport;
pub(crate) mod trust;
pub mod udp;
pub mod watch;
pub mod websocket;
#[cfg(test)]
pub(crate) mod world;
