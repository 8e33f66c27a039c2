//! The page for people, which is text and holds no data.

use crate::http::Answer;

/// What stands at `/`.
const WELCOME: &str = "This is pinhole's control interface. GET /v1/status says what this process is doing.";

/// Returns what everybody may see at a path; `None` if it is no part of the page.
pub(crate) fn page(path: &str) -> Option<Answer> {
    (path == "/").then(|| Answer::content(200, "text/plain; charset=utf-8", format!("{WELCOME}\n")))
}
