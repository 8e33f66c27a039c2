//! The cost of idle hosts, which is nearly nothing.

use std::env;
use std::time::{Duration, Instant};

use pinhole::internals::net::limits::raise_descriptor_limit;

use crate::common::system::{figure, resident_kib, skipped, ticks_within};
use crate::lab::Server;
use crate::raw::Raw;

/// Hosts that are registered at once.
const HOSTS: usize = 2000;

/// What the server may need for them, in kibibytes.
const MEMORY_LIMIT: u64 = 100 * 1024;

/// How long the processor's time is counted: `SERVER_FULL` takes long enough for pings to go to every host three times.
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(60);

/// Time between looks at what came for the hosts.
const PAUSE: Duration = Duration::from_millis(500);

/// The processor's time is counted in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

#[test]
fn two_thousand_hosts_that_do_nothing() {
    let server = Server::open(&["-q"]);
    let granted = server.serving["descriptors"].as_u64().unwrap();
    match raise_descriptor_limit() {
        Ok(limit) if limit > 2 * HOSTS as u64 && granted > 2 * HOSTS as u64 => {}
        other => return skipped("two thousand hosts", &format!("descriptors: {other:?}, {granted}")),
    }
    let start = Instant::now();
    let mut hosts: Vec<Raw> = (0..HOSTS).map(|index| Raw::host(server.address(), &format!("host-{index}"))).collect();
    let registered = start.elapsed();
    for host in &mut hosts {
        host.0.get_mut().set_nonblocking(true).unwrap();
    }
    let time = if env::var_os("SERVER_FULL").is_some() { LONG } else { SHORT };
    let pid = server.process.pid();
    let (mut used, mut watched) = (0, Duration::ZERO);
    while watched < time {
        let ([ticks], took) = ticks_within([pid], PAUSE);
        (used, watched) = (used + ticks, watched + took);
        // A ping is answered by reading it.
        for host in &mut hosts {
            let _ = host.0.read();
            let _ = host.0.flush();
        }
    }
    let share = used as f64 / TICKS_PER_SECOND / watched.as_secs_f64();
    let memory = resident_kib(pid);
    figure(&format!(
        "{HOSTS} hosts were registered within {registered:?}; then the server needs {memory} KiB and {:.2} % of a core",
        share * 100.0
    ));
    assert!(memory < MEMORY_LIMIT, "{memory} KiB");
    // A tick more or less is much of a short time.
    assert!(share < 0.01 + 2.0 / TICKS_PER_SECOND / time.as_secs_f64(), "{share}");
    let mut last = hosts.pop().unwrap();
    last.0.get_mut().set_nonblocking(false).unwrap();
    last.is_taken();
    server.stop();
}
