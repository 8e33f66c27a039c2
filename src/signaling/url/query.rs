//! The query of a URL, without what is not to be sent.

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::{DEFAULT_PATH, NOT_IN_A_PATH, UrlError};
use crate::signaling::invitation::InvitationId;
use crate::signaling::pin::Pin;

/// Tells whether the pin is in the path, as in `…/ws&pin=123456`, where a forwarder would read it.
pub(super) fn names_pin(path: &str) -> bool {
    path.to_ascii_lowercase().contains("pin=")
}

/// What a query says to us, and what is left of it.
pub(super) struct Query {
    /// Path and query as they are sent.
    pub(super) path: String,
    pub(super) pin: Option<Pin>,
    pub(super) invitation: Option<InvitationId>,
}

/// Takes the pin and the invitation out of a query.
pub(super) fn split_query(path: &str, query: &str) -> Result<Query, UrlError> {
    if names_pin(path) {
        return Err(UrlError::PinInPath);
    }
    let mut request = match path {
        "" | "/" => DEFAULT_PATH.to_string(),
        path => utf8_percent_encode(path, NOT_IN_A_PATH).to_string(),
    };
    let mut pin: Option<Pin> = None;
    let mut invitation: Option<InvitationId> = None;
    let mut separator = '?';
    for parameter in parameters(query) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // A pin must not stay in what is sent, however it is spelled.
        let name = percent_decode_str(name.strip_prefix("amp;").unwrap_or(name)).decode_utf8_lossy();
        if name.eq_ignore_ascii_case("invite") {
            let value = percent_decode_str(value.trim_end_matches('/')).decode_utf8_lossy();
            if value.is_empty() {
                continue;
            }
            let found = value.parse().map_err(|_| UrlError::Invitation)?;
            if invitation.as_ref().is_some_and(|known| *known != found) {
                return Err(UrlError::TwoInvitations);
            }
            invitation = Some(found);
            continue;
        }
        if !name.eq_ignore_ascii_case("pin") {
            request.push(separator);
            request.extend(utf8_percent_encode(parameter, NOT_IN_A_PATH));
            separator = '&';
            continue;
        }
        if value.eq_ignore_ascii_case("<pin>") || value.eq_ignore_ascii_case("<pin") {
            return Err(UrlError::PinPlaceholder);
        }
        let value = percent_decode_str(value).decode_utf8().map_err(|_| UrlError::PinEncoding)?;
        let Some(found) = Pin::new(value) else { continue };
        if pin.as_ref().is_some_and(|pin| *pin != found) {
            return Err(UrlError::TwoPins);
        }
        pin = Some(found);
    }
    Ok(Query { path: request, pin, invitation })
}

/// Splits a query into parameters. A URL that already had a query and was put in place of an address brings a second
/// question mark, after the rest of a path. A slash after a generated pin does not belong to it.
fn parameters(query: &str) -> impl Iterator<Item = &str> {
    let small = query.to_ascii_lowercase();
    let is_doubled = small.contains("?pin=") || small.contains("?invite=");
    let parts = query.split(move |c| c == '&' || (is_doubled && c == '?'));
    let parts = parts.map(move |part| {
        let part = if is_doubled { part.trim_end_matches('/').trim_end_matches("/ws") } else { part };
        let plain = part.trim_end_matches('/');
        let is_generated =
            plain.split_once('=').is_some_and(|(_, value)| value.bytes().all(|byte| byte.is_ascii_digit()));
        if is_generated { plain } else { part }
    });
    parts.filter(|part| !part.is_empty())
}
