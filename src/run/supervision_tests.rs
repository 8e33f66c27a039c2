use super::*;
use crate::status::event::Way;

const SECOND: Duration = Duration::from_secs(1);

fn host(watchdog: Option<Duration>) -> (Report, Instant) {
    (Report::new(watchdog, Summary::host(None)), Instant::now())
}

/// What is sent at this time, if it arrives.
fn sent(report: &mut Report, now: Instant) -> Option<String> {
    report.poll_timeout().filter(|at| *at <= now)?;
    let notification = report.notification(now);
    report.handle_sent(now, true);
    notification
}

/// What is sent at this time, and does not arrive.
fn lost(report: &mut Report, now: Instant) -> Option<String> {
    let notification = report.notification(now);
    report.handle_sent(now, false);
    notification
}

fn connected(report: &mut Report, session: &str) {
    let way = Way::Relayed { reason: "UDP is blocked".into() };
    report.is_stale |= report.summary.observe(&Event::Connected { session: session.into(), way, rtt_ms: 1.0 });
}

#[test]
fn nothing_is_told_before_the_run_is_ready() {
    let (mut report, now) = host(Some(SECOND));
    connected(&mut report, "a");
    report.reloading(now, None);
    report.reloaded(now);
    report.stopping(now);
    assert_eq!(report.poll_timeout(), None);
    assert_eq!(report.notification(now + 10 * SECOND), None);
    report.ready(now);
    assert_eq!(sent(&mut report, now).as_deref(), Some("READY=1\nSTATUS=1 client, 0 direct"));
    report.ready(now);
    assert_eq!(sent(&mut report, now), None);
}

#[test]
fn a_status_is_told_once_a_second_and_if_it_changed() {
    let (mut report, now) = host(None);
    report.ready(now);
    assert!(sent(&mut report, now).is_some());
    assert_eq!(report.poll_timeout(), None);
    ["a", "b", "c"].iter().for_each(|session| connected(&mut report, session));
    assert_eq!(report.poll_timeout(), Some(now + SECOND));
    assert_eq!(sent(&mut report, now + SECOND).as_deref(), Some("STATUS=3 clients, 0 direct"));
    // The same words again.
    connected(&mut report, "a");
    assert_eq!(sent(&mut report, now + 3 * SECOND), None);
    assert_eq!(report.poll_timeout(), None);
    // Nothing was told for long.
    connected(&mut report, "d");
    assert_eq!(sent(&mut report, now + 3 * SECOND).as_deref(), Some("STATUS=4 clients, 0 direct"));
}

#[test]
fn signs_of_life_come_twice_in_the_time_of_the_watchdog() {
    let (mut report, now) = host(Some(SECOND));
    report.ready(now);
    sent(&mut report, now);
    for half in 1..10 {
        let at = now + half * SECOND / 2;
        assert_eq!(report.poll_timeout(), Some(at));
        assert_eq!(sent(&mut report, at).as_deref(), Some("WATCHDOG=1"));
    }
    // One that does not arrive is not tried more often than others.
    let at = now + 5 * SECOND;
    assert!(lost(&mut report, at).is_some());
    assert_eq!(report.poll_timeout(), Some(at + SECOND / 2));
    // An interval of nothing is no busy loop.
    let (mut report, now) = host(Some(Duration::ZERO));
    report.ready(now);
    sent(&mut report, now);
    assert_eq!(report.poll_timeout(), Some(now + MIN_INTERVAL));
}

#[test]
fn a_reload_has_a_beginning_and_an_end() {
    let (mut report, now) = host(None);
    report.ready(now);
    sent(&mut report, now);
    report.reloading(now, Some(Duration::from_micros(1234)));
    assert_eq!(sent(&mut report, now).as_deref(), Some("RELOADING=1\nMONOTONIC_USEC=1234"));
    report.reloaded(now);
    assert_eq!(sent(&mut report, now).as_deref(), Some("READY=1"));
}

#[test]
fn the_end_is_the_last_change() {
    let (mut report, now) = host(Some(SECOND));
    report.ready(now);
    sent(&mut report, now);
    report.stopping(now);
    assert_eq!(sent(&mut report, now).as_deref(), Some("STOPPING=1\nSTATUS=ending"));
    connected(&mut report, "a");
    report.reloading(now, None);
    report.reloaded(now);
    report.stopping(now);
    // Whoever waits for the sessions to end is alive.
    assert_eq!(sent(&mut report, now + 2 * SECOND).as_deref(), Some("WATCHDOG=1"));
}

#[test]
fn what_did_not_arrive_is_told_again() {
    let (mut report, now) = host(None);
    report.ready(now);
    let first = lost(&mut report, now);
    assert_eq!(report.poll_timeout(), Some(now + PAUSE));
    assert_eq!(report.notification(now), None);
    assert_eq!(lost(&mut report, now + PAUSE), first);
    // A reload in between: the manager hears of its end.
    report.reloading(now + PAUSE, None);
    assert_eq!(lost(&mut report, now + PAUSE).as_deref(), Some("RELOADING=1"));
    report.reloaded(now + PAUSE);
    assert_eq!(sent(&mut report, now + PAUSE).as_deref(), Some("READY=1"));
    assert_eq!(sent(&mut report, now + 2 * PAUSE).as_deref(), Some("STATUS=waiting for a client"));
}
