//! Plays browser, driver and services around one exchange of the gateway, whatever they say and in any order: nothing
//! goes to a service that was not checked, nothing incomplete looks whole to a browser, and every buffer is bounded.
//!
//! What must hold is written beside the unit tests, which run the same with random scripts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole::internals::gateway::{
    Ending, Exchange, Finished, Kind, MAX_TO_BROWSER, MAX_TO_SERVICE, Refusal, Route, Stage, Visitor,
};

#[path = "../../src/gateway/model_tests.rs"]
mod model;

fuzz_target!(|script: &[u8]| model::run(script));
