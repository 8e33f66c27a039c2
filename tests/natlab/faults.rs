//! Faults that a session survives with traffic on it, every byte of which is checked, and the time to recover.

use std::fmt::Write;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::system::{figure, past_the_harness};
use crate::lab::{Lab, Site};
use crate::link::{Conditions, DOWN, GOOD};
use crate::nat::Nat;
use crate::pair::Pair;
use crate::transfer::{Moved, Transfer};
use crate::{attempt, is_full, is_wanted, pass};

/// Longest time from the network's return until traffic flows both ways. Checked only in the long run, which needs a
/// machine without other load.
const RECOVERY: Duration = Duration::from_secs(3);

/// Longest time until a client reports that it is recovering.
const NOTICE: Duration = Duration::from_secs(5);

/// How long traffic goes on where nothing should be noticed.
const WHILE: Duration = Duration::from_secs(10);

/// Bytes in each direction, before and after a fault.
const BYTES: u64 = 1_000_000;

/// How many of the client's events are shown.
const STORY: usize = 4;

/// A broadband line. The rate keeps what is in flight, and what the test costs, within bounds.
const LINE: Conditions = Conditions { rate_mbit: 20.0, queue_packets: 100, ..GOOD };

/// One row of the table.
struct Fault {
    name: &'static str,
    nats: (Nat, Nat),
    path: &'static str,
    happen: fn(&mut Lab, &mut Pair, Transfer) -> Measured,
}

/// The result of a fault.
struct Measured {
    moved: Moved,
    /// From the network's return until traffic flowed again.
    back_after: Option<Duration>,
}

const DIRECT: (Nat, Nat) = (Nat::Port, Nat::Port);
const RELAYED: (Nat, Nat) = (Nat::Symmetric, Nat::Port);

const FAULTS: &[Fault] = &[
    direct("the client's link is down for 5 s", |lab, _, transfer| outage(lab, transfer, client, 5)),
    direct("the client's link is down for 30 s", |lab, _, transfer| outage(lab, transfer, client, 30)),
    direct("the client's link is down for 50 s", |lab, _, transfer| outage(lab, transfer, client, 50)),
    direct("the host's link is down for 5 s", |lab, _, transfer| outage(lab, transfer, host, 5)),
    direct("the host's link is down for 30 s", |lab, _, transfer| outage(lab, transfer, host, 30)),
    relayed("relayed: the client's link is down for 5 s", |lab, _, transfer| outage(lab, transfer, client, 5)),
    relayed("relayed: the host's link is down for 30 s", |lab, _, transfer| outage(lab, transfer, host, 30)),
    direct("the client's interface is gone for 5 s", |lab, _, transfer| {
        lab.client.interface_down();
        pass(Duration::from_secs(5));
        lab.client.interface_up();
        recover(transfer, Instant::now())
    }),
    direct("the client sleeps for 30 s", |lab, pair, transfer| {
        pair.client.signal(Signal::SIGSTOP);
        lab.client.link.set(&DOWN);
        pass(Duration::from_secs(30));
        lab.client.link.set(&LINE);
        pair.client.signal(Signal::SIGCONT);
        recover(transfer, Instant::now())
    }),
    direct("the client's router restarts in 10 s, with another address", |lab, _, transfer| {
        lab.client.link.set(&DOWN);
        lab.client.move_outside(11);
        pass(Duration::from_secs(10));
        lab.client.link.set(&LINE);
        recover(transfer, Instant::now())
    }),
    direct("the client's router gets another address", |lab, _, transfer| {
        changed(transfer, || lab.client.move_outside(11))
    }),
    direct("the host's router gets another address", |lab, _, transfer| {
        changed(transfer, || lab.host.move_outside(12))
    }),
    direct("the client gets another address", |lab, _, transfer| changed(transfer, || lab.client.move_inside(3))),
    relayed("relayed: the client gets another address", |lab, _, transfer| {
        changed(transfer, || lab.client.move_inside(3))
    }),
    direct("both NAT tables are flushed", |lab, _, transfer| {
        changed(transfer, || [&lab.client, &lab.host].into_iter().for_each(Site::forget_mappings))
    }),
    Fault {
        name: "the client's symmetric NAT's table is flushed",
        nats: (Nat::Symmetric, Nat::Address),
        path: "direct",
        happen: |lab, _, transfer| changed(transfer, || lab.client.forget_mappings()),
    },
    Fault {
        name: "the host's symmetric NAT's table is flushed",
        nats: (Nat::Address, Nat::Symmetric),
        path: "direct",
        happen: |lab, _, transfer| changed(transfer, || lab.host.forget_mappings()),
    },
    direct("1 % loss", |lab, pair, transfer| unnoticed(lab, pair, transfer, Conditions { loss_percent: 1.0, ..LINE })),
    direct("5 % loss", |lab, pair, transfer| unnoticed(lab, pair, transfer, Conditions { loss_percent: 5.0, ..LINE })),
    direct("20 % loss", |lab, pair, transfer| {
        unnoticed(lab, pair, transfer, Conditions { loss_percent: 20.0, ..LINE })
    }),
    direct("200 ms delay", |lab, pair, transfer| {
        unnoticed(lab, pair, transfer, Conditions { delay: Duration::from_millis(200), ..LINE })
    }),
    direct("30 % reordering", |lab, pair, transfer| {
        unnoticed(lab, pair, transfer, Conditions { reorder_percent: 30.0, ..LINE })
    }),
    relayed("relayed: 5 % loss", |lab, pair, transfer| {
        unnoticed(lab, pair, transfer, Conditions { loss_percent: 5.0, ..LINE })
    }),
    direct("signaling is gone", |lab, pair, transfer| {
        pair.tunnel.close();
        unnoticed(lab, pair, transfer, LINE)
    }),
    relayed("the relay is cut ten times", |_, pair, transfer| cut(pair, transfer, 10)),
    direct("UDP is blocked from now on", |lab, pair, transfer| {
        let start = Instant::now();
        lab.set_nats(Nat::NoUdp, DIRECT.1);
        pair.wait_for_path("relayed");
        pass(WHILE);
        transfer.move_on(BYTES);
        let back_after = Some(transfer.longest_silence(start));
        Measured { moved: transfer.finish(), back_after }
    }),
    Fault {
        name: "UDP is no longer blocked",
        nats: (Nat::NoUdp, Nat::Port),
        path: "relayed",
        happen: |lab, pair, transfer| {
            let start = Instant::now();
            lab.set_nats(DIRECT.0, DIRECT.1);
            pair.wait_for_path("direct");
            transfer.move_on(BYTES);
            let back_after = Some(transfer.longest_silence(start));
            Measured { moved: transfer.finish(), back_after }
        },
    },
    direct("the host is killed and started again", replaced),
    relayed("relayed: the host is killed and started again", replaced),
];

/// The faults of every ordinary run.
const SHORT: &[Fault] = &[
    direct("the client's link is down for 5 s", |lab, _, transfer| outage(lab, transfer, client, 5)),
    relayed("the relay is cut twice", |_, pair, transfer| cut(pair, transfer, 2)),
];

const HEAD: &str = "
| fault | moved | bytes lost | traffic back after | the client said |
|---|---:|---:|---:|---|
";

type Happen = fn(&mut Lab, &mut Pair, Transfer) -> Measured;

const fn direct(name: &'static str, happen: Happen) -> Fault {
    Fault { name, nats: DIRECT, path: "direct", happen }
}

const fn relayed(name: &'static str, happen: Happen) -> Fault {
    Fault { name, nats: RELAYED, path: "relayed", happen }
}

fn client(lab: &mut Lab) -> &mut Site {
    &mut lab.client
}

fn host(lab: &mut Lab) -> &mut Site {
    &mut lab.host
}

/// Blocks one site's link for a while.
fn outage(lab: &mut Lab, transfer: Transfer, site: fn(&mut Lab) -> &mut Site, seconds: u64) -> Measured {
    site(lab).link.set(&DOWN);
    pass(Duration::from_secs(seconds));
    site(lab).link.set(&LINE);
    recover(transfer, Instant::now())
}

/// Continues the transfer, and returns how long after the network's return it began.
fn recover(transfer: Transfer, back: Instant) -> Measured {
    transfer.move_on(BYTES);
    let back_after = transfer.flowed_after(back);
    Measured { moved: transfer.finish(), back_after }
}

/// Applies a change after which the path works again at once; the silence is what counts.
fn changed(transfer: Transfer, change: impl FnOnce()) -> Measured {
    let start = Instant::now();
    change();
    pass(WHILE);
    transfer.move_on(BYTES);
    let back_after = Some(transfer.longest_silence(start));
    Measured { moved: transfer.finish(), back_after }
}

/// Gives the client's link new conditions, which need no report.
fn unnoticed(lab: &mut Lab, pair: &mut Pair, transfer: Transfer, conditions: Conditions) -> Measured {
    let (told, path) = (pair.client.events_so_far().len(), pair.path());
    lab.client.link.set(&conditions);
    pass(WHILE);
    transfer.move_on(1);
    // A relayed session learns more of why it is, at some time.
    let mut story = pair.story(told);
    story.retain(|told| *told != format!("path {path}"));
    assert!(story.is_empty(), "the client noticed what is no outage: {story:?}");
    lab.client.link.set(&LINE);
    Measured { moved: transfer.finish(), back_after: None }
}

/// Cuts the relay's WebSocket several times, each time once traffic flows.
fn cut(pair: &Pair, transfer: Transfer, times: usize) -> Measured {
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        let cut = Instant::now();
        assert!(pair.tunnel.cut() > 0, "the relay goes through the tunnel");
        // What was under way arrives after the cut; a quarter of a second is more than that takes.
        pass(Duration::from_millis(250));
        transfer.move_on(BYTES / 4);
        slowest = slowest.max(transfer.longest_silence(cut));
    }
    Measured { moved: transfer.finish(), back_after: Some(slowest) }
}

/// Kills the host, and starts another with the same pin.
fn replaced(lab: &mut Lab, pair: &mut Pair, transfer: Transfer) -> Measured {
    let killed = Instant::now();
    pair.host.signal(Signal::SIGKILL);
    pair.client.event("recovering");
    assert!(killed.elapsed() < NOTICE, "recovering after {:?}", killed.elapsed());
    pair.replace_host(lab, &[]);
    let back = Instant::now();
    let next = pair.transfer(lab);
    next.move_on(BYTES);
    let back_after = next.flowed_after(back);
    let (bytes, reset) = transfer.reset();
    assert!(reset > killed && reset < back + RECOVERY, "the old connection is reset {:?} late", reset - back);
    let further = next.finish();
    Measured { moved: Moved { bytes: bytes + further.bytes, lost: further.lost }, back_after }
}

/// Applies a fault to a new pair. Returns the row, and whether it is right.
fn run(lab: &mut Lab, fault: &Fault) -> (String, bool) {
    lab.set_nats(fault.nats.0, fault.nats.1);
    lab.client.move_inside(2);
    lab.client.move_outside(1);
    lab.host.move_outside(2);
    lab.client.link.set(&LINE);
    lab.host.link.set(&LINE);
    let mut pair = Pair::start(lab, &[]);
    pair.wait_for_path(fault.path);
    let transfer = pair.transfer(lab);
    transfer.move_on(BYTES);
    let told = pair.client.events_so_far().len();
    let Measured { moved, back_after } = (fault.happen)(lab, &mut pair, transfer);
    let story = pair.story(told);
    let more = match story.len().saturating_sub(STORY) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let story = format!("{}{more}", story[..story.len().min(STORY)].join(", "));
    pair.stop();
    let megabytes = moved.bytes as f64 / 1e6;
    let back = back_after.map_or("–".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()));
    let is_good = moved.lost == 0 && back_after.is_none_or(|time| time <= RECOVERY || !is_full());
    (format!("{megabytes:.1} MB | {} | {back} | {story}", moved.lost), is_good)
}

#[test]
fn faults_are_survived() {
    let Some(mut lab) = Lab::new("faults_are_survived", DIRECT.0, DIRECT.1) else { return };
    let mut table = HEAD.to_owned();
    let mut failed = Vec::new();
    let faults = if is_full() { FAULTS } else { SHORT };
    for fault in faults.iter().filter(|fault| is_wanted(fault.name)) {
        let (row, is_good) = attempt(|| run(&mut lab, fault)).unwrap_or_else(|error| (format!("| | | {error}"), false));
        let verdict = if is_good { "" } else { "**failed** " };
        let row = format!("| {} | {verdict}{row} |", fault.name);
        figure(&row);
        writeln!(table, "{row}").unwrap();
        if !is_good {
            failed.push(fault.name);
        }
    }
    past_the_harness(&table);
    assert!(failed.is_empty(), "{failed:#?}");
}
