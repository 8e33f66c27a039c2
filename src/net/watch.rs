//! Notices that this machine's addresses changed: a cable, another Wi-Fi, a VPN.
//!
//! On Linux the kernel announces it on a netlink socket, and nothing wakes while nothing changes. Elsewhere, and where
//! that socket cannot be had, the addresses are listed every ten seconds.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::debug;

use super::interfaces::usable_addresses;
use super::system::{self, Registry, Token, UdpSocket};

/// How long nothing may be announced before the addresses are listed: changes come in bursts (link, then addresses).
const SETTLE: Duration = Duration::from_millis(200);

/// How long announcements that do not cease may put that off.
const MAX_SETTLE: Duration = Duration::from_secs(2);

/// Time between listings where nobody announces changes.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Watches the addresses that [`usable_addresses`] lists, loopback included.
///
/// Give it every event of its token ([`InterfaceWatch::handle_event`]), and call [`InterfaceWatch::handle_timeout`]
/// when [`InterfaceWatch::poll_timeout`] says.
#[derive(Debug)]
pub struct InterfaceWatch {
    announcements: Option<Announcements>,
    schedule: Schedule,
    known: Vec<IpAddr>,
}

impl InterfaceWatch {
    /// Starts to watch, by announcements under that token if the system gives them and otherwise by listing. What is
    /// there now is known and not reported.
    pub fn start(registry: &Registry, token: Token) -> InterfaceWatch {
        let announcements = Announcements::subscribe(registry, token);
        let announcements = announcements.inspect_err(|error| debug!("addresses are polled: {error}")).ok();
        let schedule = match announcements {
            Some(_) => Schedule::default(),
            None => Schedule::polling(system::now()),
        };
        // After the subscription: what changes in between is announced.
        let known = list(&[]).unwrap_or_default();
        InterfaceWatch { announcements, schedule, known }
    }

    /// Takes in what the system announced. Addresses are listed once it is quiet for 200 ms.
    pub fn handle_event(&mut self, now: Instant) {
        let Some(announcements) = &self.announcements else { return };
        match announcements.drain() {
            Ok(false) => {}
            Ok(true) => self.schedule.handle_change(now),
            Err(error) => {
                debug!("addresses are polled from now on: {error}");
                self.announcements = None;
                self.schedule = Schedule::polling(now);
            }
        }
    }

    /// Lists the addresses if that is due, and returns them if they are others than before, in whatever order.
    ///
    /// A new IPv6 address that the system still checks for duplicates cannot be used yet and is left out until it can.
    /// Does nothing before its time, so it may be called in every turn.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Vec<IpAddr>> {
        if !self.schedule.is_due(now) {
            return None;
        }
        // What came just now puts the listing off, and whatever an event left unread is read.
        self.handle_event(now);
        if !self.schedule.handle_timeout(now) {
            return None;
        }
        match list(&self.known) {
            Ok(found) => replace(&mut self.known, found),
            Err(error) => {
                debug!("addresses cannot be listed: {error}");
                self.schedule.retry(now);
                None
            }
        }
    }

    /// Returns when [`InterfaceWatch::handle_timeout`] is to be called; `None` while nothing changes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.schedule.due
    }
}

/// When the addresses are to be listed.
#[derive(Debug, Default)]
struct Schedule {
    /// Set where nobody announces changes.
    every: Option<Duration>,
    /// When the burst of announcements began that is not settled yet.
    burst_since: Option<Instant>,
    due: Option<Instant>,
}

impl Schedule {
    fn polling(now: Instant) -> Schedule {
        Schedule { every: Some(POLL_INTERVAL), burst_since: None, due: Some(now + POLL_INTERVAL) }
    }

    fn handle_change(&mut self, now: Instant) {
        let since = *self.burst_since.get_or_insert(now);
        self.due = Some((now + SETTLE).min(since + MAX_SETTLE));
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Whether to list the addresses now.
    fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_due = self.is_due(now);
        if is_due {
            self.burst_since = None;
            self.due = self.every.map(|every| now + every);
        }
        is_due
    }

    /// The listing failed, for want of descriptors perhaps.
    fn retry(&mut self, now: Instant) {
        self.due = Some(now + POLL_INTERVAL);
    }
}

/// Lists what can be used now; those in `known` were usable and are not tried again.
fn list(known: &[IpAddr]) -> io::Result<Vec<IpAddr>> {
    let mut found = usable_addresses(true)?;
    found.retain(|address| known.contains(address) || can_be_bound(*address));
    Ok(found)
}

/// Whether the system lets sockets have an address it lists. When the check for duplicates is over it announces the
/// address once more.
fn can_be_bound(address: IpAddr) -> bool {
    !UdpSocket::bind(SocketAddr::new(address, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Takes over the new list, and returns it if it has other addresses than the old one.
fn replace(known: &mut Vec<IpAddr>, found: Vec<IpAddr>) -> Option<Vec<IpAddr>> {
    let is_same = found.len() == known.len() && found.iter().all(|address| known.contains(address));
    known.clone_from(&found);
    (!is_same).then_some(found)
}

/// The kernel's announcements of changes to links and addresses. What they say is not read: the list says it all.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
struct Announcements {
    socket: std::os::fd::OwnedFd,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Announcements {
    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR of `linux/rtnetlink.h`: a link that goes down keeps its
    /// addresses, which are of no use then.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;

    /// Messages read at once; the rest waits for the timeout that the first of them set.
    const MAX_DRAINED: usize = 1024;

    fn subscribe(registry: &Registry, token: Token) -> io::Result<Announcements> {
        use std::os::fd::AsRawFd as _;

        use rustix::net::netlink::SocketAddrNetlink;
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Protocol 0, which has no name there, is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, Self::GROUPS))?;
        registry.register(&mut system::SourceFd(&socket.as_raw_fd()), token, system::Interest::READABLE)?;
        Ok(Announcements { socket })
    }

    /// Drops everything that waits, and returns whether there was anything.
    fn drain(&self) -> io::Result<bool> {
        use rustix::io::Errno;

        // Netlink cuts a message to the buffer and drops the rest of it.
        let mut beginning = [0; 16];
        for count in 0..Self::MAX_DRAINED {
            match rustix::net::recv(&self.socket, &mut beginning, rustix::net::RecvFlags::empty()) {
                // The second: some were lost because the queue was full, and they are announcements too.
                Ok(_) | Err(Errno::NOBUFS) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(count > 0),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// There are none that this program knows to ask for.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
struct Announcements;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Announcements {
    fn subscribe(_registry: &Registry, _token: Token) -> io::Result<Announcements> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn drain(&self) -> io::Result<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_is_one_listing() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        assert_eq!(schedule.due, None);
        assert!(!schedule.handle_timeout(start));
        for time in [0, 50, 199] {
            schedule.handle_change(after(start, time));
            assert!(!schedule.handle_timeout(after(start, time)));
        }
        assert_eq!(schedule.due, Some(after(start, 399)));
        assert!(!schedule.handle_timeout(after(start, 398)));
        assert!(schedule.handle_timeout(after(start, 399)));
        assert!(!schedule.handle_timeout(after(start, 10_000)));
        assert_eq!(schedule.due, None);
    }

    #[test]
    fn announcements_without_end_do_not_put_it_off_for_ever() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let listings = (0..10_000).step_by(100).filter(|time| {
            schedule.handle_change(after(start, *time));
            schedule.handle_timeout(after(start, *time))
        });
        assert_eq!(listings.collect::<Vec<_>>(), [2000, 4100, 6200, 8300]);
    }

    #[test]
    fn without_announcements_it_looks_every_ten_seconds() {
        let start = Instant::now();
        let mut schedule = Schedule::polling(start);
        assert!(!schedule.handle_timeout(after(start, 9_999)));
        assert!(schedule.handle_timeout(after(start, 10_000)));
        assert_eq!(schedule.due, Some(after(start, 20_000)));
    }

    #[test]
    fn only_other_addresses_are_news() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let mut known = list(&["10.0.0.1", "::1"]);
        assert_eq!(replace(&mut known, list(&["::1", "10.0.0.1"])), None);
        assert_eq!(replace(&mut known, list(&["10.0.0.1"])), Some(list(&["10.0.0.1"])));
        assert_eq!(replace(&mut known, list(&["10.0.0.2"])), Some(list(&["10.0.0.2"])));
        assert_eq!(replace(&mut known, list(&["10.0.0.2"])), None);
        assert_eq!(replace(&mut known, Vec::new()), Some(Vec::new()));
    }

    #[test]
    fn addresses_of_others_cannot_be_bound() {
        assert!(can_be_bound("127.0.0.1".parse().unwrap()));
        // TEST-NET-1 (RFC 5737) belongs to nobody.
        assert!(!can_be_bound("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn nothing_new_is_no_news() {
        let poll = system::Poll::new().unwrap();
        let mut watch = InterfaceWatch::start(poll.registry(), Token(1));
        let now = Instant::now();
        watch.schedule.handle_change(now);
        assert_eq!(watch.handle_timeout(now + MAX_SETTLE), None);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert!(watch.announcements.is_some() && watch.poll_timeout().is_none());
    }
}
