//! The actions of the two applications on their streams, and the events they get.

use pinhole::internals::tunnel::{AbortReason, ConnectTarget, Event, GoAwayReason, OpenError, Origin, StreamKey};
use rand::RngExt;

use super::{Happening, Side, World, trace};
use crate::mux_sim::model::{self, End, Flow, Outcome};
use crate::mux_sim::settings::pick;

impl World {
    pub(super) fn open_stream(&mut self, side: usize) {
        let hash = self.rng.random_range(0..=self.settings.hashes);
        let uid = self.flows.len();
        let is_udp = self.rng.random_bool(self.settings.udp);
        let address = format!("{uid}:1");
        let target = if is_udp { ConnectTarget::Udp(address) } else { ConnectTarget::Tcp(address) };
        match self.sides[side].mux.open(hash, &target) {
            Ok(key) => {
                let totals = [0, 1].map(|_| {
                    if is_udp {
                        return 0;
                    }
                    let most = pick(&mut self.rng, &[0, 50, 5000, self.settings.max_total]);
                    self.rng.random_range(0..=most.min(self.settings.max_total))
                });
                let mut ends = totals.map(|total| End { total, ..End::default() });
                ends[side].is_accepted = true;
                let datagrams = [Vec::new(), Vec::new()];
                self.flows.push(Flow { opener: side, is_udp, datagrams, ends, may_abort: false, is_cut: false });
                self.attach(uid, side, key);
                trace!(self, "side {side} opens stream {uid} {key:?} {totals:?}");
            }
            Err(OpenError::GoingAway) => assert!(self.going_away),
            Err(OpenError::TooManyStreams) => assert!(self.settings.is_tight),
            Err(OpenError::NoDatagrams) => assert!(is_udp && !self.sides[side].got_hello),
        }
    }

    pub(super) fn attach(&mut self, uid: usize, side: usize, key: StreamKey) {
        let end = &mut self.flows[uid].ends[side];
        assert!(end.key.is_none(), "stream {uid} begins once");
        end.key = Some(key);
        end.is_writable = true;
        let state = &mut self.sides[side];
        assert!(!state.dead_keys.contains(&key), "a key is never used again");
        assert!(state.by_key.insert(key, uid).is_none());
        state.live.push(uid);
    }

    pub(super) fn detach(&mut self, uid: usize, side: usize, outcome: Outcome) {
        let end = &mut self.flows[uid].ends[side];
        assert_eq!(end.outcome, None);
        end.outcome = Some(outcome);
        let state = &mut self.sides[side];
        let key = end.key.expect("only live ends end");
        state.by_key.remove(&key);
        state.dead_keys.insert(key);
        state.live.retain(|live| *live != uid);
        match outcome {
            Outcome::Finished => self.totals.finished += 1,
            Outcome::Aborted => self.totals.aborted += 1,
        }
    }

    pub(super) fn accept(&mut self, uid: usize) {
        let side = 1 - self.flows[uid].opener;
        let end = &mut self.flows[uid].ends[side];
        let Some(mut stream) = end.key.and_then(|key| self.sides[side].mux.stream(key)) else { return };
        if end.is_live() && !std::mem::replace(&mut end.is_accepted, true) {
            stream.accept();
        }
    }

    pub(super) fn use_stream(&mut self, side: usize) {
        let live = &self.sides[side].live;
        if live.is_empty() {
            return;
        }
        let uid = live[self.rng.random_range(0..live.len())];
        if self.rng.random_range(0..self.settings.abort_rarity) == 0 {
            return self.abort(uid, side);
        }
        if self.flows[uid].is_udp {
            return self.use_flow(uid, side);
        }
        match self.rng.random_range(0..100) {
            0..50 => {
                let most = pick(&mut self.rng, &[1, 100, 5000, 16_384]);
                self.write(uid, side, most);
            }
            50..96 => {
                let most = pick(&mut self.rng, &[1, 1000, 100_000, usize::MAX]);
                self.read(uid, side, most);
            }
            96..98 => {
                self.flows[uid].ends[side].is_stalled = true;
                self.after(20_000, Happening::Wake { uid, side });
            }
            _ => {
                let end = &mut self.flows[uid].ends[side];
                end.total = end.sent;
                self.write(uid, side, 1);
            }
        }
    }

    pub(super) fn abort(&mut self, uid: usize, side: usize) {
        let key = self.flows[uid].ends[side].key.expect("only live ends are used");
        let Some(stream) = self.sides[side].mux.stream(key) else { return };
        let flow = &mut self.flows[uid];
        let reason = if self.rng.random_bool(0.8) { AbortReason::Reset } else { AbortReason::Denied };
        trace!(self, "side {side} aborts stream {uid}: {reason:?}");
        stream.abort(reason, "the application said so");
        flow.may_abort = true;
        match reason {
            AbortReason::Reset => {
                // One before ACCEPT is immediate, and can be lost with its carrier.
                flow.is_cut |= !flow.ends[side].is_accepted;
                flow.ends[side].has_reset = true;
                self.totals.resets += 1;
            }
            _ => flow.is_cut = true,
        }
        self.detach(uid, side, Outcome::Aborted);
    }

    /// Sends at most `most` bytes of what an application has, and ends its direction after the last.
    pub(super) fn write(&mut self, uid: usize, side: usize, most: usize) -> bool {
        let Side { mux, pool, .. } = &mut self.sides[side];
        let end = &mut self.flows[uid].ends[side];
        if !end.is_live() || !end.is_accepted || end.is_finished {
            return false;
        }
        let Some(mut stream) = end.key.and_then(|key| mux.stream(key)) else { return false };
        if end.sent == end.total {
            stream.finish();
            end.is_finished = true;
            return true;
        }
        if !end.is_writable {
            return false;
        }
        let capacity = stream.poll_send_capacity();
        if capacity == 0 {
            end.is_writable = false;
            return false;
        }
        let len = capacity.min(most).min((end.total - end.sent) as usize);
        let mut chunk = pool.take();
        model::fill(uid, side, end.sent, &mut chunk.room_mut()[..len]);
        chunk.set_len(len);
        stream.send(pool.fit(chunk)).expect("there is capacity");
        end.sent += len as u64;
        self.totals.bytes += len as u64;
        true
    }

    /// Takes at most `most` of what is readable.
    pub(super) fn read(&mut self, uid: usize, side: usize, most: usize) -> bool {
        let has_received = self.flows[uid].is_udp && self.receive_datagrams(uid, side, usize::MAX);
        let peer = self.flows[uid].ends[1 - side].sent;
        let end = &mut self.flows[uid].ends[side];
        if !end.is_live() || !end.is_readable || end.is_stalled {
            return has_received;
        }
        let Some(mut stream) = end.key.and_then(|key| self.sides[side].mux.stream(key)) else { return false };
        let (mut ready, mut offset) = (0, end.read);
        for slice in stream.readable() {
            assert!(model::matches(uid, 1 - side, offset, slice), "stream {uid}: wrong bytes at {offset}");
            ready += slice.len();
            offset += slice.len() as u64;
        }
        assert!(offset <= peer, "stream {uid}: more arrived than was sent");
        end.is_readable = ready > most;
        end.saw_end |= stream.poll_end();
        end.read += ready.min(most) as u64;
        stream.consume(ready.min(most));
        if let Some(mut stream) = end.key.and_then(|key| self.sides[side].mux.stream(key)) {
            end.saw_end |= stream.poll_end();
            assert!(stream.is_udp() || stream.bytes().1 == offset);
        }
        let saw_end = end.saw_end;
        self.check_end(uid, side, saw_end);
        ready > 0 || has_received
    }

    /// Checks that the end of a direction came only after all of it.
    pub(super) fn check_end(&self, uid: usize, side: usize, saw_end: bool) {
        let [reader, writer] = [side, 1 - side].map(|side| &self.flows[uid].ends[side]);
        assert!(!saw_end || (writer.is_finished && reader.read == writer.sent), "stream {uid} ends early");
    }

    /// Checks that an application heard of the peer's reset only after all that was sent before it.
    fn check_reset(&mut self, uid: usize, side: usize) {
        let flow = &self.flows[uid];
        let [reader, writer] = [side, 1 - side].map(|side| &flow.ends[side]);
        assert!(writer.has_reset, "stream {uid} was reset by nobody");
        if !flow.is_udp {
            assert_eq!(reader.read, writer.sent, "stream {uid}: bytes before the reset are missing");
            assert!(reader.saw_end || !writer.is_finished, "stream {uid}: the end before the reset is missing");
        }
        self.totals.resets_told += 1;
        self.totals.resets_behind_bytes += u64::from(reader.read > 0);
    }

    pub(super) fn go_away(&mut self, side: usize) {
        trace!(self, "side {side} says GOAWAY");
        self.going_away = true;
        self.totals.go_aways += 1;
        self.sides[side].mux.go_away(self.now, GoAwayReason::Shutdown, "the run nears its end");
    }

    pub(super) fn drain_events(&mut self, side: usize) {
        while let Some(event) = self.sides[side].mux.poll_event() {
            trace!(self, "side {side}: {event:?}");
            let uid = |key: &StreamKey| self.sides[side].by_key.get(key).copied();
            match event {
                Event::Opened(key, target) => self.opened(side, key, &target),
                Event::Accepted(key) => {
                    let flow = &self.flows[uid(&key).expect("events are about live streams")];
                    assert!(flow.opener == side && flow.ends[1 - side].is_accepted);
                }
                Event::Readable(key) => {
                    let uid = uid(&key).expect("events are about live streams");
                    self.flows[uid].ends[side].is_readable = true;
                }
                Event::Writable(key) => {
                    let uid = uid(&key).expect("events are about live streams");
                    self.flows[uid].ends[side].is_writable = true;
                }
                Event::Finished(key) => {
                    let uid = uid(&key).expect("events are about live streams");
                    let flow = &self.flows[uid];
                    self.check_end(uid, side, true);
                    assert!(flow.ends[side].is_finished, "stream {uid} finished without our end");
                    assert!(flow.ends[side].saw_end, "stream {uid} went before its end was seen");
                    self.detach(uid, side, Outcome::Finished);
                }
                Event::Aborted { key, reason, detail, origin } => {
                    let Some(uid) = uid(&key) else {
                        assert!(self.sides[side].dead_keys.insert(key), "nothing follows the end of a stream");
                        continue;
                    };
                    let allowed = self.flows[uid].may_abort || (self.going_away && reason == AbortReason::Shutdown);
                    assert!(allowed, "stream {uid} was aborted by nobody: {reason:?} {detail} {origin:?}");
                    if reason == AbortReason::Reset && origin == Origin::Peer {
                        self.check_reset(uid, side);
                    } else {
                        let flow = &self.flows[uid];
                        assert!(flow.is_cut || self.going_away, "stream {uid} was only reset: {reason:?} {detail}");
                    }
                    self.flows[uid].may_abort = true;
                    self.detach(uid, side, Outcome::Aborted);
                }
                Event::Hello(_) | Event::RoundTrip(_) | Event::Resumed => {}
                event @ (Event::Listen { .. } | Event::Listened { .. }) => self.handle_listen_event(side, event),
                Event::GoAway(..) => assert!(self.going_away),
                Event::Ended(reason, detail, origin) => {
                    assert!(self.going_away, "the session ended: {reason:?} {detail}");
                    assert!(reason == GoAwayReason::Shutdown || origin == Origin::Local);
                    self.sides[side].ended_at = Some(self.now);
                }
            }
        }
        assert_eq!(self.sides[side].mux.is_ended(), self.sides[side].ended_at.is_some());
    }

    pub(super) fn opened(&mut self, side: usize, key: StreamKey, target: &ConnectTarget) {
        let (ConnectTarget::Tcp(address) | ConnectTarget::Udp(address)) = target else {
            panic!("nobody opened {target:?}")
        };
        let uid: usize = address.strip_suffix(":1").and_then(|uid| uid.parse().ok()).expect("targets carry a uid");
        assert_eq!(self.flows[uid].opener, 1 - side);
        assert_eq!(self.flows[uid].is_udp, matches!(target, ConnectTarget::Udp(_)));
        self.attach(uid, side, key);
        match self.rng.random_range(0..20) {
            0 if self.settings.abort_rarity < 1_000_000 => self.abort(uid, side),
            // Never answered, until the run quiesces.
            1 => {}
            _ => self.after(500, Happening::Accept { uid }),
        }
    }
}
