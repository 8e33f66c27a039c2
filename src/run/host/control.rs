//! What a host does for those who steer it.

use super::{Host, InviteError, Issued};
use crate::control::{Order, invitation, refusal};
use crate::http::Answer;
use crate::run::control::{done, encoded, json, text};
use crate::run::keys::SessionKey;
use crate::status::overview::Made;
use crate::tunnel::GoAwayReason;

impl Host {
    /// Ends a session in order. Its client is told so, and does not come back by itself.
    pub(super) fn dismiss(&mut self, session: SessionKey) {
        self.core.go_away_from(session, GoAwayReason::Shutdown, "the host ended the session");
    }

    pub(super) fn follow_order(&mut self, order: Order) -> Answer {
        match order {
            Order::Health | Order::Ready => text("ok"),
            Order::Invite(body) => self.invite_for(&body).unwrap_or_else(|answer| answer),
            Order::Uninvite(id) => match id.parse().is_ok_and(|id| self.take_back(&id)) {
                true => done(),
                false => refusal(404, "there is no invitation of that id"),
            },
            _ => refusal(404, "a host has nothing of that"),
        }
    }

    /// Makes an invitation that is asked for. Its pin is in the answer, and in no other.
    fn invite_for(&mut self, body: &[u8]) -> Result<Answer, Answer> {
        let (invitation, url) = invitation(body).map_err(|sentence| refusal(400, &sentence))?;
        let made = self.make_invitation(invitation).and_then(|serial| self.issued(serial, url.as_ref()));
        let issued = made.map_err(|error| {
            let status = match error {
                InviteError::Config(_) | InviteError::Past => 400,
                InviteError::IdTaken | InviteError::TooMany | InviteError::Ended => 409,
            };
            refusal(status, &error.to_string())
        })?;
        let Issued { id, pin, urls, expires } = issued;
        let url = urls.first().cloned();
        #[cfg(feature = "cli")]
        let qr = url.as_deref().and_then(crate::status::qr::rows);
        // The crate that draws codes comes with the program.
        #[cfg(not(feature = "cli"))]
        let qr = None;
        let made = Made { id, url, urls, pin: pin.reveal().to_owned(), expires, qr };
        Ok(json(201, encoded(&made)))
    }
}
