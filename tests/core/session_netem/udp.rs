//! The applications of UDP flows: one end sends datagrams at a steady pace, the other records their arrival.

use std::time::{Duration, Instant};

use pinhole::internals::tunnel::{ConnectTarget, StreamKey};

use super::world::World;

/// A flow of datagrams in one direction. Each begins with its number, and the rest of it is a function of that.
pub(crate) struct UdpFlow {
    sender: usize,
    interval: Duration,
    len: usize,
    next_at: Option<Instant>,
    pub(crate) keys: [Option<StreamKey>; 2],
    sent_at: Vec<Instant>,
    /// Number of each datagram that came, and how long it took.
    pub(crate) arrivals: Vec<(usize, Duration)>,
    /// The other end sends back what it gets; these are the round trips.
    echoes: bool,
}

impl UdpFlow {
    pub(crate) fn sent(&self) -> usize {
        self.sent_at.len()
    }

    /// Returns the share of what was sent that came.
    pub(crate) fn share(&self) -> f64 {
        self.arrivals.len() as f64 / self.sent().max(1) as f64
    }

    /// Returns the time within which that percentage of those that came did so.
    pub(crate) fn latency(&self, percent: usize) -> Duration {
        let mut times: Vec<Duration> = self.arrivals.iter().map(|(_, time)| *time).collect();
        times.sort();
        times.get((times.len().max(1) - 1) * percent / 100).copied().unwrap_or(Duration::MAX)
    }

    /// Forgets what was sent and came so far.
    fn restart(&mut self) {
        self.sent_at.clear();
        self.arrivals.clear();
    }
}

fn payload(flow: usize, number: usize, len: usize) -> Vec<u8> {
    let mut payload: Vec<u8> = (0..len).map(|index| (index * 7 + flow * 13 + number) as u8).collect();
    payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
    payload
}

impl World {
    /// Opens a UDP flow over which a side sends a datagram of that length at each interval; its number.
    pub(crate) fn open_udp(&mut self, sender: usize, len: usize, interval: Duration) -> usize {
        self.add_udp(sender, len, interval, false)
    }

    /// The same with answers.
    pub(crate) fn open_udp_echo(&mut self, sender: usize, len: usize, interval: Duration) -> usize {
        self.add_udp(sender, len, interval, true)
    }

    fn add_udp(&mut self, sender: usize, len: usize, interval: Duration, echoes: bool) -> usize {
        let number = self.flows.len();
        let target = ConnectTarget::Udp(number.to_string());
        let key = self.sides[sender].session.mux().open(40 * number as u16, &target).expect("a flow opens");
        let mut keys = [None; 2];
        keys[sender] = Some(key);
        let (sent_at, arrivals) = (Vec::new(), Vec::new());
        self.flows.push(UdpFlow { sender, interval, len, next_at: Some(self.now), keys, sent_at, arrivals, echoes });
        self.service(sender);
        number
    }

    /// Lets a flow send no more.
    pub(crate) fn stop_udp(&mut self, flow: usize) {
        self.flows[flow].next_at = None;
    }

    /// Lets time pass and forgets what the flows did so far.
    pub(crate) fn warm_up(&mut self, time: Duration) {
        self.run_for(time);
        // What is under way is not counted at either end.
        let next: Vec<_> = self.flows.iter_mut().map(|flow| flow.next_at.take()).collect();
        self.run_for(Duration::from_secs(3));
        for (flow, next) in self.flows.iter_mut().zip(next) {
            flow.next_at = next.map(|_| self.now);
            flow.restart();
        }
    }

    /// Lets time pass, then lets what is under way arrive.
    pub(crate) fn measure_udp(&mut self, time: Duration) {
        self.run_for(time);
        self.flows.iter_mut().for_each(|flow| flow.next_at = None);
        self.run_for(Duration::from_secs(3));
    }

    /// Returns when an application has a datagram to send.
    pub(crate) fn udp_wakes_at(&self) -> Option<Instant> {
        self.flows.iter().filter_map(|flow| flow.next_at).min()
    }

    /// Lets the applications of a side send what is due and take what came; whether there was anything.
    pub(crate) fn pump_udp(&mut self, index: usize) -> bool {
        let now = self.now;
        let mut is_busy = false;
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let side = &mut self.sides[index];
            let key = flow.keys[index].or_else(|| side.udp_opened.remove(&number));
            flow.keys[index] = key;
            let Some(mut stream) = key.and_then(|key| side.session.mux().stream(key)) else { continue };
            while flow.sender == index
                && let Some(next_at) = flow.next_at.filter(|at| *at <= now)
            {
                let datagram = payload(number, flow.sent_at.len(), flow.len);
                stream.send_datagram(now, &datagram, &mut side.pool);
                flow.sent_at.push(next_at);
                flow.next_at = Some(next_at + flow.interval);
                is_busy = true;
            }
            while let Some(datagram) = stream.receive_datagram() {
                let count = u32::from_be_bytes(datagram[..4].try_into().expect("4 bytes")) as usize;
                assert!(datagram == payload(number, count, flow.len), "flow {number}: datagram {count} is corrupt");
                if flow.echoes && flow.sender != index {
                    stream.send_datagram(now, &datagram, &mut side.pool);
                } else if let Some(sent_at) = flow.sent_at.get(count) {
                    flow.arrivals.push((count, now.duration_since(*sent_at)));
                }
                is_busy = true;
            }
        }
        is_busy
    }
}
