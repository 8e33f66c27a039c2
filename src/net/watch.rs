//! Notices changes of this machine's addresses: a cable, another Wi-Fi, a VPN.
//!
//! On Linux the kernel announces them on a netlink socket, so nothing wakes up while nothing changes. Elsewhere, and if
//! that socket is not available, the addresses are listed every ten seconds.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::debug;

use super::interfaces::usable_addresses;
use super::system::{self, Registry, Token, UdpSocket};

/// Quiet time after an announcement before the addresses are listed: changes come in bursts (link, then addresses).
const SETTLE: Duration = Duration::from_millis(200);

/// Longest time that further announcements delay the listing.
const MAX_SETTLE: Duration = Duration::from_secs(2);

/// Time between listings without announcements.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Watches the addresses that [`usable_addresses`] lists, loopback included.
///
/// Pass it every event of its token ([`InterfaceWatch::handle_event`]), and call [`InterfaceWatch::handle_timeout`] at
/// [`InterfaceWatch::poll_timeout`].
#[derive(Debug)]
pub struct InterfaceWatch {
    announcements: Option<Announcements>,
    schedule: Schedule,
    known: Vec<IpAddr>,
}

impl InterfaceWatch {
    /// Starts to watch, by announcements with that token if the system has them, otherwise by listing. The present
    /// addresses count as known and are not reported.
    pub fn start(registry: &Registry, token: Token) -> InterfaceWatch {
        let announcements = Announcements::subscribe(registry, token);
        let announcements = announcements.inspect_err(|error| debug!("addresses are polled: {error}")).ok();
        let schedule = match announcements {
            Some(_) => Schedule::default(),
            None => Schedule::polling(system::now()),
        };
        // List after the subscription: changes in between are announced.
        let known = list(&[]).unwrap_or_default();
        InterfaceWatch { announcements, schedule, known }
    }

    /// Handles announcements of the system. The addresses are listed after 200 ms of quiet.
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

    /// Lists the addresses if that is due, and returns them if they changed, in any order.
    ///
    /// A new IPv6 address that the system still checks for duplicates is unusable and left out until the check is over.
    /// Does nothing before its time, so it may be called in every turn.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Vec<IpAddr>> {
        if !self.schedule.is_due(now) {
            return None;
        }
        // A new announcement delays the listing; this also reads what an event left unread.
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

    /// Returns when [`InterfaceWatch::handle_timeout`] must be called; `None` while nothing changes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.schedule.due
    }
}

/// When the addresses are listed next.
#[derive(Debug, Default)]
struct Schedule {
    /// Interval of listings, without announcements.
    every: Option<Duration>,
    /// When the current burst of announcements began.
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

    /// Tells whether to list the addresses now.
    fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_due = self.is_due(now);
        if is_due {
            self.burst_since = None;
            self.due = self.every.map(|every| now + every);
        }
        is_due
    }

    /// Plans another try after a failed listing, perhaps for lack of descriptors.
    fn retry(&mut self, now: Instant) {
        self.due = Some(now + POLL_INTERVAL);
    }
}

/// Lists the usable addresses; those in `known` were usable and are not tried again.
fn list(known: &[IpAddr]) -> io::Result<Vec<IpAddr>> {
    let mut found = usable_addresses(true)?;
    found.retain(|address| known.contains(address) || can_be_bound(*address));
    Ok(found)
}

/// Tells whether sockets can be bound to an address that the system lists. After the check for duplicates, the system
/// announces the address once more.
fn can_be_bound(address: IpAddr) -> bool {
    !UdpSocket::bind(SocketAddr::new(address, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Replaces the list, and returns the new one if its addresses differ.
fn replace(known: &mut Vec<IpAddr>, found: Vec<IpAddr>) -> Option<Vec<IpAddr>> {
    let is_same = found.len() == known.len() && found.iter().all(|address| known.contains(address));
    known.clone_from(&found);
    (!is_same).then_some(found)
}

/// The kernel's announcements of changes to links and addresses. Their content is not read: listing tells everything.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
struct Announcements {
    socket: std::os::fd::OwnedFd,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Announcements {
    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR of `linux/rtnetlink.h`. Links count because one that goes
    /// down keeps its addresses, which are useless then.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;

    /// Maximum number of messages read at once; the rest is read at the timeout that the first of them set.
    const MAX_DRAINED: usize = 1024;

    fn subscribe(registry: &Registry, token: Token) -> io::Result<Announcements> {
        use std::os::fd::AsRawFd as _;

        use rustix::net::netlink::SocketAddrNetlink;
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Protocol 0, which rustix has no name for, is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, Self::GROUPS))?;
        registry.register(&mut system::SourceFd(&socket.as_raw_fd()), token, system::Interest::READABLE)?;
        Ok(Announcements { socket })
    }

    /// Drops all waiting messages, and returns whether there were any.
    fn drain(&self) -> io::Result<bool> {
        use rustix::io::Errno;

        // Netlink truncates a message to the buffer and drops the rest.
        let mut beginning = [0; 16];
        for count in 0..Self::MAX_DRAINED {
            match rustix::net::recv(&self.socket, &mut beginning, rustix::net::RecvFlags::empty()) {
                // NOBUFS: some were lost because the queue was full; they are announcements, too.
                Ok(_) | Err(Errno::NOBUFS) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(count > 0),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// Announcements on systems without any that this program supports.
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
        // No machine has an address of TEST-NET-1 (RFC 5737).
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
