//! Every pair of NATs: direct where hole punching can join them, relayed where it cannot, and never nothing.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::common::system::past_the_harness;
use crate::lab::Lab;
use crate::nat::Nat;
use crate::pair::Pair;
use crate::{attempt, is_full, is_wanted};

/// What each pair moves, in each direction.
const BYTES: u64 = 2_000_000;

/// The most that may pass from the client's start until its port is forwarded, as the median of direct pairs.
const DIRECT: Duration = Duration::from_secs(1);

/// The most that may pass from the client's start until a relayed pair's first byte.
const RELAYED: Duration = Duration::from_secs(2);

/// What a pair came to.
struct Outcome {
    path: String,
    candidates: String,
    forwarding_after: Duration,
    first_byte_after: Duration,
    /// When the path was the one to be expected.
    settled_after: Duration,
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
    let settled_after = pair.started.elapsed();
    let (start, before) = (Instant::now(), transfer.bytes());
    transfer.move_on(BYTES);
    let mbit = (transfer.bytes() - before) as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e6;
    let first_byte = transfer.first_byte().expect("bytes arrived");
    let moved = transfer.finish();
    assert_eq!(moved.lost, 0);
    let outcome = Outcome {
        path: pair.path(),
        candidates: pair.candidates(),
        forwarding_after: pair.forwarding_after,
        first_byte_after: first_byte - pair.started,
        settled_after,
        mbit,
    };
    pair.stop();
    outcome
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut sorted: Vec<_> = times.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[test]
fn every_pair_of_nats_is_connected() {
    let Some(mut lab) = Lab::new("every_pair_of_nats_is_connected", Nat::None, Nat::None) else { return };
    let few = [(Nat::None, Nat::None), (Nat::Port, Nat::Port), (Nat::Symmetric, Nat::Address), (Nat::Port, Nat::NoUdp)];
    let mut pairs: Vec<_> = if is_full() { Nat::pairs() } else { few.into() };
    pairs.retain(|(client, host)| is_wanted(&format!("{client}/{host}")));
    let mut table =
        "\n| client | host | path | candidates | forwarding after | first byte after | path reached after | \
                     Mbit/s |\n|---|---|---|---|---:|---:|---:|---:|\n"
            .to_owned();
    let (mut failed, mut direct, mut relayed) = (Vec::new(), Vec::new(), Vec::new());
    for (client, host) in pairs {
        let row = match attempt(|| run(&mut lab, client, host)) {
            Ok(outcome) if outcome.path == expected(client, host) => {
                let row = row(&outcome);
                if client.joins(host) {
                    direct.push(outcome)
                } else {
                    relayed.push(outcome)
                }
                row
            }
            Ok(outcome) => {
                failed.push(format!("{client} and {host} are {}", outcome.path));
                row(&outcome)
            }
            Err(error) => {
                failed.push(format!("{client} and {host}: {error}"));
                "**failed** | | | | |".to_owned()
            }
        };
        writeln!(table, "| {client} | {host} | {row} |").unwrap();
    }
    let forwarding = [&direct, &relayed].map(|pairs| median(pairs.iter().map(|pair| pair.forwarding_after)));
    let first_byte = [&direct, &relayed].map(|pairs| median(pairs.iter().map(|pair| pair.first_byte_after)));
    let settled = [&direct, &relayed].map(|pairs| median(pairs.iter().map(|pair| pair.settled_after)));
    for (index, name) in ["direct", "relayed"].into_iter().enumerate() {
        let times =
            [forwarding[index], first_byte[index], settled[index]].map(|time| format!("{:.2} s", time.as_secs_f64()));
        writeln!(table, "| median | | {name} | | {} | |", times.join(" | ")).unwrap();
    }
    past_the_harness(&table);
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(forwarding[0] < DIRECT, "a direct pair takes {:?}", forwarding[0]);
    let slowest = relayed.iter().map(|pair| pair.first_byte_after).max().unwrap_or_default();
    assert!(slowest < RELAYED, "a relayed pair's first byte takes {slowest:?}");
}

fn row(outcome: &Outcome) -> String {
    let Outcome { path, candidates, forwarding_after, first_byte_after, settled_after, mbit } = outcome;
    let [forwarding, first_byte, settled] =
        [forwarding_after, first_byte_after, settled_after].map(|time| format!("{:.2} s", time.as_secs_f64()));
    format!("{path} | {candidates} | {forwarding} | {first_byte} | {settled} | {mbit:.0}")
}
