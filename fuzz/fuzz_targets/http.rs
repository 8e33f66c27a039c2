//! Plays browser, owner and services around one exchange of the gateway, with any input in any order. Nothing unchecked
//! goes to a service, nothing incomplete looks whole to a browser, and every buffer is bounded.
//!
//! The invariants are in the unit tests, which run the same code with random scripts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole::internals::gateway::{
    Ending, Exchange, Finished, Kind, MAX_TO_BROWSER, MAX_TO_SERVICE, Refusal, Route, Stage, Visitor,
};

#[path = "../../src/gateway/model_tests.rs"]
mod model;

fuzz_target!(|script: &[u8]| model::run(script));
