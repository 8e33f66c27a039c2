//! The client's reverse forwards: each reaches the host once, and each answer the client, even if carriers die in
//! between.

use pinhole::internals::tunnel::Event;
use rand::RngExt;

use super::{Happening, World, trace};

/// A request of the client.
#[derive(Debug)]
pub(super) struct Ask {
    bind: String,
    is_known: bool,
    answer: Option<Result<String, String>>,
    is_told: bool,
}

const CLIENT: usize = 0;
const HOST: usize = 1;

impl World {
    pub(super) fn ask(&mut self) {
        let id = self.asks.len() as u16;
        let bind = format!("127.0.0.1:{id}");
        trace!(self, "the client asks for reverse forward {id}");
        self.sides[CLIENT].mux.listen(id, &bind);
        self.asks.push(Ask { bind, is_known: false, answer: None, is_told: false });
    }

    pub(super) fn answer(&mut self, id: u16) {
        let ask = &mut self.asks[usize::from(id)];
        let result = if self.rng.random_bool(0.7) { Ok(ask.bind.clone()) } else { Err(format!("no {id}")) };
        self.sides[HOST].mux.listened(id, result.as_deref().map_err(String::as_str));
        ask.answer = Some(result);
    }

    /// Takes an event about a reverse forward.
    pub(super) fn handle_listen_event(&mut self, side: usize, event: Event) {
        match event {
            Event::Listen { id, bind } => {
                let ask = &mut self.asks[usize::from(id)];
                assert!(side == HOST && ask.bind == bind);
                assert!(!std::mem::replace(&mut ask.is_known, true), "{id} is asked for twice");
                self.after(3000, Happening::Answer { id });
            }
            Event::Listened { id, result } => {
                let ask = &mut self.asks[usize::from(id)];
                let is_refused = self.going_away && !ask.is_known && result.is_err();
                let is_answer = ask.answer.as_ref() == Some(&result);
                assert!(side == CLIENT && (is_answer || is_refused), "{id}: {result:?}");
                assert!(!std::mem::replace(&mut ask.is_told, true), "{id} is answered twice");
                assert_eq!(self.sides[CLIENT].mux.takes_reverse(id), result.is_ok());
                self.totals.listens += 1;
            }
            other => panic!("{other:?} is about no reverse forward"),
        }
    }

    /// Tells whether every reverse forward was answered.
    pub(super) fn is_all_answered(&self) -> bool {
        self.asks.iter().all(|ask| ask.is_told)
    }
}
