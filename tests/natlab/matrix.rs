//! Every pair of NATs: direct if hole punching can join them, otherwise relayed.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::common::system::past_the_harness;
use crate::lab::Lab;
use crate::nat::Nat;
use crate::pair::Pair;
use crate::{attempt, is_full, is_wanted};

/// What each pair moves, in each direction.
const BYTES: u64 = 2_000_000;

/// Longest time from the client's start until its port is forwarded, as the median of direct pairs.
const DIRECT: Duration = Duration::from_secs(1);

/// Longest time from the client's start until a relayed pair's first byte.
const RELAYED: Duration = Duration::from_secs(2);

/// The result of a pair.
struct Outcome {
    path: String,
    candidates: String,
    /// From the client's start until its port was forwarded, until the first byte, and until the path was the one to be
    /// expected.
    times: [Duration; 3],
    mbit: f64,
}

fn expected(client: Nat, host: Nat) -> &'static str {
    if client.joins(host) { "direct" } else { "relayed" }
}

/// Connects two peers behind such routers and moves bytes, all of which arrive.
fn run(lab: &mut Lab, client: Nat, host: Nat) -> Outcome {
    lab.set_nats(client, host);
    let mut pair = Pair::start(lab, &[]);
    let transfer = pair.transfer(lab);
    pair.wait_for_path(expected(client, host));
    let settled = pair.started.elapsed();
    let (start, before) = (Instant::now(), transfer.bytes());
    transfer.move_on(BYTES);
    let mbit = (transfer.bytes() - before) as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e6;
    let first_byte = transfer.first_byte().expect("bytes arrived");
    let moved = transfer.finish();
    assert_eq!(moved.lost, 0);
    let times = [pair.forwarding_after, first_byte - pair.started, settled];
    let outcome = Outcome { path: pair.path(), candidates: pair.candidates(), times, mbit };
    pair.stop();
    outcome
}

fn medians(outcomes: &[Outcome]) -> [Duration; 3] {
    std::array::from_fn(|index| {
        let mut sorted: Vec<_> = outcomes.iter().map(|outcome| outcome.times[index]).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    })
}

fn shown(times: [Duration; 3]) -> String {
    times.map(|time| format!("{:.2} s", time.as_secs_f64())).join(" | ")
}

const HEAD: &str = "
| client | host | path | candidates | forwarding after | first byte after | path reached after | Mbit/s |
|---|---|---|---|---:|---:|---:|---:|
";

#[test]
fn every_pair_of_nats_is_connected() {
    let Some(mut lab) = Lab::new("every_pair_of_nats_is_connected", Nat::None, Nat::None) else { return };
    let few = [(Nat::None, Nat::None), (Nat::Port, Nat::Port), (Nat::Symmetric, Nat::Address), (Nat::Port, Nat::NoUdp)];
    let mut pairs: Vec<_> = if is_full() { Nat::pairs() } else { few.into() };
    pairs.retain(|(client, host)| is_wanted(&format!("{client}/{host}")));
    let mut table = HEAD.to_owned();
    let (mut failed, mut direct, mut relayed) = (Vec::new(), Vec::new(), Vec::new());
    for (client, host) in pairs {
        write!(table, "| {client} | {host} | ").unwrap();
        match attempt(|| run(&mut lab, client, host)) {
            Ok(outcome) => {
                let Outcome { path, candidates, times, mbit } = &outcome;
                writeln!(table, "{path} | {candidates} | {} | {mbit:.0} |", shown(*times)).unwrap();
                if path != expected(client, host) {
                    failed.push(format!("{client} and {host} are {path}"));
                }
                if path == "direct" { &mut direct } else { &mut relayed }.push(outcome);
            }
            Err(error) => {
                writeln!(table, "**failed** | | | | | |").unwrap();
                failed.push(format!("{client} and {host}: {error}"));
            }
        }
    }
    for (path, outcomes) in [("direct", &direct), ("relayed", &relayed)] {
        writeln!(table, "| median of {} | | {path} | | {} | |", outcomes.len(), shown(medians(outcomes))).unwrap();
    }
    past_the_harness(&table);
    assert!(failed.is_empty(), "{failed:#?}");
    // A few pairs on a machine that does other things as well say little about time.
    if is_full() {
        let [forwarding, ..] = medians(&direct);
        assert!(forwarding < DIRECT, "a direct pair takes {forwarding:?}");
        let slowest = relayed.iter().map(|outcome| outcome.times[1]).max().unwrap_or_default();
        assert!(slowest < RELAYED, "a relayed pair's first byte takes {slowest:?}");
    }
}
