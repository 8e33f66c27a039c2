//! UDP flows of the world: every datagram and its fate are known by flow, sender and number.

use bytes::Bytes;
use pinhole::internals::tunnel::chunk::MAX_DATAGRAM;
use pinhole::internals::tunnel::frame::{HEADER_LEN, kind};
use rand::RngExt;

use super::{Happening, Side, World, trace};
use crate::mux_sim::model;
use crate::mux_sim::settings::pick;

/// Flow, sender and number in front of each payload.
const NAME_LEN: usize = 9;

/// The fate of one datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram {
    len: usize,
    is_on_the_wire: bool,
    /// Copies the carriers handed to the peer's mux, and that its application got.
    delivered: u32,
    received: u32,
}

/// Tells whether a message is a DATAGRAM frame.
pub(super) fn is_datagram(message: &[u8]) -> bool {
    message[0] == kind::DATAGRAM
}

fn name(payload: &[u8]) -> (usize, usize, usize) {
    let number = |range: std::ops::Range<usize>| u32::from_be_bytes(payload[range].try_into().unwrap()) as usize;
    (number(0..4), usize::from(payload[4]), number(5..9))
}

fn payload(uid: usize, sender: usize, number: usize, len: usize) -> Vec<u8> {
    let mut payload = vec![0; len];
    payload[..4].copy_from_slice(&(uid as u32).to_be_bytes());
    payload[4] = sender as u8;
    payload[5..NAME_LEN].copy_from_slice(&(number as u32).to_be_bytes());
    model::fill(uid, sender, number as u64, &mut payload[NAME_LEN..]);
    payload
}

impl World {
    /// Does something with a live UDP flow.
    pub(super) fn use_flow(&mut self, uid: usize, side: usize) {
        match self.rng.random_range(0..100) {
            0..60 => {
                let count =
                    if self.rng.random_range(0..100) == 0 { 300 } else { pick(&mut self.rng, &[1, 1, 2, 3, 5, 20]) };
                for _ in 0..count {
                    let most = pick(&mut self.rng, &[100, 100, 1200, 1200, 9000]);
                    let len = self.rng.random_range(NAME_LEN..=most);
                    let len = if self.rng.random_range(0..200) == 0 { MAX_DATAGRAM } else { len };
                    self.send_datagram(uid, side, len);
                }
            }
            60..94 => {
                let most = pick(&mut self.rng, &[1, 10, usize::MAX]);
                self.receive_datagrams(uid, side, most);
            }
            94..98 => {
                self.flows[uid].ends[side].is_stalled = true;
                self.after(20_000, Happening::Wake { uid, side });
            }
            _ => {
                self.write(uid, side, 1);
            }
        }
    }

    fn send_datagram(&mut self, uid: usize, side: usize, len: usize) {
        let Side { mux, pool, .. } = &mut self.sides[side];
        let flow = &mut self.flows[uid];
        let end = &flow.ends[side];
        if !end.is_live() || !end.is_accepted || end.is_finished {
            return;
        }
        let Some(mut stream) = end.key.and_then(|key| mux.stream(key)) else { return };
        assert!(stream.is_udp());
        let number = flow.datagrams[side].len();
        stream.send_datagram(self.now, &payload(uid, side, number, len), pool);
        flow.datagrams[side].push(Datagram { len, is_on_the_wire: false, delivered: 0, received: 0 });
        self.totals.datagrams += 1;
    }

    /// Takes at most `most` datagrams that arrived; tells whether there were any.
    pub(super) fn receive_datagrams(&mut self, uid: usize, side: usize, most: usize) -> bool {
        let flow = &mut self.flows[uid];
        let end = &flow.ends[side];
        if !end.is_live() || end.is_stalled {
            return false;
        }
        let Some(mut stream) = end.key.and_then(|key| self.sides[side].mux.stream(key)) else { return false };
        let mut count = 0;
        while count < most
            && let Some(arrived) = stream.receive_datagram()
        {
            count += 1;
            let (of, sender, number) = name(&arrived);
            assert_eq!((of, sender), (uid, 1 - side), "a datagram of another flow");
            let datagram = &mut flow.datagrams[sender][number];
            assert!(arrived == payload(uid, sender, number, datagram.len), "flow {uid}: datagram {number} is corrupt");
            datagram.received += 1;
            assert!(datagram.received <= datagram.delivered, "flow {uid}: datagram {number} came twice");
            self.totals.datagrams_received += 1;
        }
        count > 0
    }

    /// Takes note of a datagram that a mux hands out, and says how many copies of it the carrier delivers.
    pub(super) fn datagram_sent(&mut self, from: usize, message: &Bytes) -> usize {
        let (uid, sender, number) = name(&message[HEADER_LEN..]);
        let flow = &mut self.flows[uid];
        assert_eq!(sender, from);
        assert!(flow.ends[from].is_live(), "flow {uid}: a datagram after its end");
        let datagram = &mut flow.datagrams[sender][number];
        assert_eq!(message.len(), HEADER_LEN + datagram.len, "a datagram goes in one piece");
        assert!(!std::mem::replace(&mut datagram.is_on_the_wire, true), "flow {uid}: datagram {number} is sent again");
        if self.rng.random_bool(self.settings.datagram_loss) {
            trace!(self, "datagram {number} of flow {uid} is lost");
            return 0;
        }
        if self.rng.random_range(0..50) == 0 { 2 } else { 1 }
    }

    /// Takes note of a datagram that reaches a mux.
    pub(super) fn datagram_delivered(&mut self, to: usize, message: &Bytes) {
        let (uid, sender, number) = name(&message[HEADER_LEN..]);
        self.flows[uid].datagrams[sender][number].delivered += 1;
        self.totals.datagrams_early += u64::from(self.flows[uid].ends[to].key.is_none());
    }
}
