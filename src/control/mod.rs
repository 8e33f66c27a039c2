//! The interface through which a running process is looked at and steered, without sockets: requests within limits, who
//! may make them, and what they ask for. `docs/control.md` describes it.

mod guard;
mod invitation;
mod order;
mod page;
mod reader;

pub use self::guard::Door;
pub use self::invitation::invitation;
pub use self::order::{Order, Wanted, understand};
pub(crate) use self::page::page;
pub use self::reader::{Reader, Reading, Request};

use serde_json::json;

use crate::http::Answer;

/// Returns an answer that says in a sentence why there is no other.
pub(crate) fn refusal(status: u16, sentence: &str) -> Answer {
    Answer::json(status, &json!({ "error": sentence }))
}
