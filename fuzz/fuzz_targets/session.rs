//! A whole session, host or client, against a peer that knows the pin. Signaling, descriptions, candidates, datagrams
//! and frames begin honest, and the input changes or replaces them. `tests/core/session_attacks` does the same with
//! random scripts.
#![no_main]

#[path = "../../tests/common/handshake.rs"]
mod handshake;
#[path = "../../tests/core/session_attacks/frames.rs"]
mod frames;
#[path = "../../tests/core/session_attacks/script.rs"]
mod script;
#[path = "../../tests/core/session_attacks/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| world::run(bytes));
