//! The page for people. It is text and holds no data: what it shows it asks for with the token.

use crate::http::Answer;

/// What browsers let the page do: it is made of these files alone, and asks nobody else. Nothing is in another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What is where.
const FILES: [(&str, &str, &str); 11] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", STYLE, include_str!("page/style.css")),
    ("/script.js", SCRIPT, include_str!("page/script.js")),
    ("/asking.js", SCRIPT, include_str!("page/asking.js")),
    ("/invitations.js", SCRIPT, include_str!("page/invitations.js")),
    ("/news.js", SCRIPT, include_str!("page/news.js")),
    ("/peers.js", SCRIPT, include_str!("page/peers.js")),
    ("/servers.js", SCRIPT, include_str!("page/servers.js")),
    ("/tables.js", SCRIPT, include_str!("page/tables.js")),
    ("/text.js", SCRIPT, include_str!("page/text.js")),
    ("/words.js", SCRIPT, include_str!("page/words.js")),
];

/// Returns what everybody may see at a path; `None` if it is no part of the page.
pub(crate) fn page(path: &str) -> Option<Answer> {
    let (_, kind, text) = FILES.into_iter().find(|(at, ..)| *at == path)?;
    Some(Answer::content(200, kind, text.to_owned()).with_header("Content-Security-Policy", POLICY))
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
