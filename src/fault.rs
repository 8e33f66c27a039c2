//! Panics in libraries end the call they happen in, and nothing else.
//!
//! Libraries assert their assumptions about input, and a peer's bytes may violate them. [`caught`] makes such calls;
//! the state they worked on may be inconsistent afterwards and must not be used again. Panics in our own code are bugs
//! like any other, and end the process.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use log::error;

/// Longest part of a panic's message that is logged, in characters: some messages quote the input.
const MAX_MESSAGE: usize = 200;

/// The error of a call that panicked; the log has the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault of this program, not of the network: its log says where it was, please report that")]
pub struct Fault;

/// Calls code that may panic.
///
/// # Errors
/// It panicked. Drop everything the call could change; do not use it again.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Fault> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| Fault)
}

/// Makes panics appear in the log, each as one line with its place, instead of a printed backtrace.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| error!("{}", describe(panic))));
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(String::new, ToString::to_string);
    let payload = panic.payload();
    let message = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    let message: String = message.unwrap_or_default().lines().take(1).flat_map(str::chars).take(MAX_MESSAGE).collect();
    format!("fault at={place} message={message:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_call_and_nothing_else() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("as expected by this test")), Err::<(), _>(Fault));
    }
}
