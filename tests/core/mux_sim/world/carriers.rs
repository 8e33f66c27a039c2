//! Carriers in memory: they deliver in any order, and die with the messages in transit.

use bytes::Bytes;
use pinhole::internals::tunnel::{AbortReason, Outbound, Room};
use rand::RngExt;

use super::{Happening, MAX_IN_FLIGHT, World, datagrams, describe, trace};
use crate::mux_sim::settings::pick;

/// The state of a carrier on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Unopened,
    Open,
    Lost,
}

/// A carrier, and what each side knows about it.
pub(super) struct Carrier {
    pub(super) is_alive: bool,
    pub(super) views: [View; 2],
    pub(super) in_flight: usize,
    /// What came before this side's end opened.
    pub(super) waiting: [Vec<Bytes>; 2],
}

impl World {
    pub(super) fn create_carrier(&mut self) {
        self.newest += 1;
        let carrier = self.newest;
        let state =
            Carrier { is_alive: true, views: [View::Unopened; 2], in_flight: 0, waiting: [Vec::new(), Vec::new()] };
        self.carriers.insert(carrier, state);
        for side in 0..2 {
            if self.rng.random_bool(0.95) {
                self.after(1000, Happening::Open { carrier, side });
            } else {
                // This side never gets there; it is given up.
                self.after(2000, Happening::Kill { carrier });
                self.after(5000, Happening::Create);
            }
        }
    }

    pub(super) fn open_carrier(&mut self, number: u32, side: usize) {
        let carrier = self.carriers.get_mut(&number).expect("carriers stay in the table");
        if carrier.views[side] != View::Unopened {
            return;
        }
        if !carrier.is_alive && carrier.waiting[side].is_empty() {
            return;
        }
        carrier.views[side] = View::Open;
        let waiting = std::mem::take(&mut carrier.waiting[side]);
        let is_highest = (number + 1..=self.newest).all(|higher| self.carriers[&higher].views[side] == View::Unopened);
        trace!(self, "side {side} opens carrier {number}");
        assert_eq!(self.sides[side].mux.open_carrier(self.now, number), is_highest);
        for message in waiting {
            self.deliver(number, side, message);
        }
        if !self.carriers[&number].is_alive {
            self.after(3000, Happening::Lose { carrier: number, side });
        }
    }

    pub(super) fn kill(&mut self, number: u32) {
        let Some(carrier) = self.carriers.get_mut(&number).filter(|carrier| carrier.is_alive) else { return };
        carrier.is_alive = false;
        trace!(self, "carrier {number} dies");
        let survival = pick(&mut self.rng, &[0.0, 0.3, 0.9]);
        let mut lost = [Vec::new(), Vec::new()];
        for (at, happening) in &self.schedule {
            if let Happening::Deliver { carrier, to, .. } = happening
                && *carrier == number
                && !self.rng.random_bool(survival)
            {
                lost[*to].push(*at);
            }
        }
        for at in lost.into_iter().flatten() {
            self.schedule.remove(&at);
            self.carriers.get_mut(&number).expect("it is there").in_flight -= 1;
            self.totals.lost_messages += 1;
        }
        for side in 0..2 {
            if self.carriers[&number].views[side] == View::Open && self.rng.random_bool(0.9) {
                self.after(3000, Happening::Lose { carrier: number, side });
            }
        }
    }

    pub(super) fn disturb_carriers(&mut self) {
        if self.schedule.values().any(|happening| matches!(happening, Happening::Create | Happening::Open { .. })) {
            return;
        }
        let is_alive = self.carriers[&self.newest].is_alive;
        match self.rng.random_range(0..3) {
            // It dies, and a new one comes after some time without any.
            0 if is_alive => {
                self.kill(self.newest);
                self.after(4000, Happening::Create);
            }
            // The new one comes first.
            1 => {
                let old = self.newest;
                self.create_carrier();
                if self.rng.random_bool(0.7) {
                    self.after(2000, Happening::Kill { carrier: old });
                }
            }
            _ if !is_alive => self.create_carrier(),
            _ => {}
        }
    }

    /// Moves messages of a side's mux onto its carrier.
    pub(super) fn pump(&mut self, from: usize, max_len: usize, count: usize) -> bool {
        let mut any = false;
        for _ in 0..count {
            let Some(number) = self.sides[from].mux.carrier() else { break };
            if self.carriers[&number].in_flight >= MAX_IN_FLIGHT {
                break;
            }
            let side = &mut self.sides[from];
            // Some carriers have a channel for datagrams, with room of its own.
            let room = Room { messages: max_len, datagrams: if number % 2 == 0 { 65_536 } else { max_len } };
            let polled = side.mux.poll_channels(self.now, room, &mut side.pool);
            let Some(Outbound::Message(message) | Outbound::Datagram(message)) = polled else { break };
            let max_len = if datagrams::is_datagram(message) { room.datagrams } else { max_len };
            assert!(message.len() <= max_len, "a message of {} bytes, {max_len} allowed", message.len());
            let message = Bytes::copy_from_slice(message);
            any = true;
            if self.is_tracing {
                trace!(self, "side {from} on carrier {number}: {}", describe(&message));
            }
            if let Some((uid, reason)) = self.wire.sent(from, number, &message) {
                self.aborted_by_mux(uid, reason);
            }
            let copies = if datagrams::is_datagram(&message) { self.datagram_sent(from, &message) } else { 1 };
            let carrier = self.carriers.get_mut(&number).expect("it is there");
            if !carrier.is_alive {
                self.totals.lost_messages += 1;
                continue;
            }
            carrier.in_flight += copies;
            for _ in 0..copies {
                let message = message.clone();
                self.after(self.settings.max_delay_ms, Happening::Deliver { carrier: number, to: 1 - from, message });
            }
        }
        any
    }

    pub(super) fn aborted_by_mux(&mut self, uid: usize, reason: AbortReason) {
        let flow = &mut self.flows[uid];
        let is_rule = match reason {
            AbortReason::TooManyStreams => self.settings.is_tight,
            AbortReason::Shutdown => self.going_away,
            _ => flow.may_abort,
        };
        assert!(is_rule, "the mux aborts stream {uid} that nobody aborted: {reason:?}");
        flow.may_abort = true;
        flow.is_cut |= reason != AbortReason::Gone;
    }
}
