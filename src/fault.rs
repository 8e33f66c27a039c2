//! Panics of code that is not ours: they end what they happened in, and nothing else.
//!
//! Libraries assert what they believe of their input, and a peer's bytes may prove them wrong. Such a call is made by
//! [`caught`]; what it worked on is half done afterwards and must not be used again. Panics of our own are bugs like
//! any other: they end the process.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use log::error;

/// Longest part of a panic's message that is logged, in characters: some quote their input.
const MAX_MESSAGE: usize = 200;

/// A call did not return. What is known of it is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault of this program, not of the network: its log says where it was, please report that")]
pub struct Fault;

/// Calls code that may panic.
///
/// # Errors
/// It did. Whatever it could change must not be used again, but dropped.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Fault> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| Fault)
}

/// Has panics logged, each as one line with its place, where they would be printed with a backtrace otherwise.
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
