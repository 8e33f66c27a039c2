//! Sockets. Beside the loop, only this module touches the network.

pub(crate) mod files;
#[cfg(unix)]
pub(crate) mod folder;
pub mod interfaces;
#[cfg(any(feature = "cli", feature = "server"))]
pub mod limits;
pub mod listen;
pub mod listener;
pub mod machine;
pub mod program_socket;
#[cfg(unix)]
pub mod program_stream;
pub mod readiness;
pub mod resolver;
pub mod service_manager;
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
