//! Two associations follow a list of operations, over a link that loses and delays packets as the list says.
//!
//! Reliable messages arrive once, whole and in order; nothing panics, and time always advances.
#![no_main]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pinhole_sctp::{Association, Config, Delivery, Reliability, Seed};

#[derive(Debug, Arbitrary)]
enum Step {
    /// Of the first or the second end, on one of eight streams; the stream's number selects the delivery.
    Send {
        is_second: bool,
        stream: u8,
        length: u16,
    },
    /// Which of the next packets of a direction are lost, bit by bit.
    Lose {
        is_second: bool,
        which: u64,
    },
    /// Longer packets no longer pass, or all do.
    Narrow {
        is_second: bool,
        largest: Option<u8>,
    },
    Wait(u8),
}

struct End {
    association: Association,
    /// Packets in transit to it, in order of arrival.
    arriving: VecDeque<(Instant, Bytes)>,
    /// Which of its next packets are lost.
    fates: u64,
    largest: usize,
    sent: [u32; 8],
    received: [u32; 8],
}

impl End {
    fn new(association: Association) -> End {
        let arriving = VecDeque::new();
        End { association, arriving, fates: 0, largest: usize::MAX, sent: [0; 8], received: [0; 8] }
    }

    fn send(&mut self, stream: u8, length: u16) {
        let id = usize::from(stream % 8);
        let _ = self.association.open(id as u16);
        let Ok(mut stream) = self.association.stream(id as u16) else { return };
        let reliability = if id < 4 { Reliability::Reliable } else { Reliability::Retransmits(id as u32 - 4) };
        let mut message = self.sent[id].to_be_bytes().to_vec();
        message.resize(4 + usize::from(length), id as u8);
        if stream.buffered_amount() < 1 << 18
            && stream.send_with(Delivery { is_ordered: true, reliability }, 53, &message).is_ok()
        {
            self.sent[id] += 1;
        }
    }

    fn work(&mut self, now: Instant, other: &mut End) {
        while self.arriving.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, packet)) = self.arriving.pop_front()
        {
            self.association.handle_datagram(now, packet);
        }
        self.association.handle_timeout(now);
        while let Some(packet) = self.association.poll_transmit(now) {
            let is_lost = self.fates & 1 == 1;
            self.fates >>= 1;
            if !is_lost && packet.len() <= self.largest {
                other.arriving.push_back((now + Duration::from_millis(10), packet));
            }
        }
        while self.association.poll_event().is_some() {}
        for id in self.association.streams() {
            let at = usize::from(id);
            while let Ok(mut stream) = self.association.stream(id)
                && let Ok(Some(message)) = stream.receive()
            {
                let message = message.into_bytes();
                let number = u32::from_be_bytes(*message.first_chunk().expect("a number"));
                assert!(message[4..].iter().all(|byte| usize::from(*byte) == at));
                assert!(number < other.sent[at] && number >= self.received[at], "in order and once");
                assert!(at >= 4 || number == self.received[at], "all that is reliable");
                self.received[at] = number + 1;
            }
        }
    }
}

fn run(ends: &mut [End; 2], now: &mut Instant, time: Duration, mut is_done: impl FnMut(&[End; 2]) -> bool) -> bool {
    let until = *now + time;
    let mut steps = 0;
    loop {
        let [first, second] = ends;
        first.work(*now, second);
        second.work(*now, first);
        if is_done(ends) {
            return true;
        }
        let arrivals = ends.iter().filter_map(|end| end.arriving.front().map(|(at, _)| *at));
        let timeouts = ends.iter().filter_map(|end| end.association.poll_timeout());
        let next = arrivals.chain(timeouts).min().unwrap_or(until).max(*now + Duration::from_micros(1));
        if next > until {
            *now = until;
            return false;
        }
        *now = next;
        steps += 1;
        assert!(steps < 1_000_000, "time stands still");
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let config = Config { max_retransmits: None, max_init_retransmits: None, ..Config::default() };
    let mut ends = [
        End::new(Association::connect(config.clone(), Seed([1, 2]))),
        End::new(Association::accept(config, Seed([3, 4]))),
    ];
    let mut now = Instant::now();
    for step in steps.iter().take(200) {
        match step {
            Step::Send { is_second, stream, length } => ends[usize::from(*is_second)].send(*stream, *length),
            Step::Lose { is_second, which } => ends[usize::from(*is_second)].fates = *which,
            Step::Narrow { is_second, largest } => {
                let largest = largest.map_or(usize::MAX, |more| 1148 + usize::from(more));
                ends[usize::from(*is_second)].largest = largest;
            }
            Step::Wait(millis) => {
                run(&mut ends, &mut now, Duration::from_millis(u64::from(*millis)), |_| false);
            }
        }
    }
    ends.iter_mut().for_each(|end| end.fates = 0);
    let is_done = run(&mut ends, &mut now, Duration::from_secs(600), |[first, second]| {
        (0..4).all(|id| first.sent[id] == second.received[id] && second.sent[id] == first.received[id])
    });
    assert!(is_done, "what is reliable arrives");
});
