//! Many runs at once, and tables of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinhole_sctp::congestion::Algorithm::{Bbr, Cubic};

use crate::path::{CEILING, Disorder, Path};
use crate::run::{Flow, Outcome, jain, run};

/// Duration of runs, in seconds, and when measuring starts.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub seconds: u64,
    pub counts_from: u64,
}

/// Queues by name: 64 packets, and multiples of the product of bandwidth and round trip, which is less than that on
/// some paths.
pub fn queues(mbit: u64, round_trip_ms: u64) -> Vec<(&'static str, usize)> {
    let product = Path::product(mbit, round_trip_ms);
    let all = [("64", 64), ("1 BDP", product), ("4 BDP", 4 * product)];
    all.into_iter().filter(|(_, packets)| *packets > 0).collect()
}

/// Processes the items on all processors, and returns the results in order.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
                {
                    let result = work(item);
                    results.lock().expect("no work panics with it").push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no work panics with it");
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Returns the payload of one flow, in percent of what headers leave of the link.
pub fn alone(path: Path, flow: Flow, span: Span) -> f64 {
    let outcome = run(path, &[flow], span.seconds, span.counts_from, 1).remove(0);
    percent(path, &outcome)
}

fn percent(path: Path, outcome: &Outcome) -> f64 {
    outcome.goodput * 100.0 / (path.mbit as f64 * CEILING)
}

const LOSSES: [f64; 4] = [0.0, 0.001, 0.01, 0.03];

/// Prints goodput over rate, round trip, queue and loss.
pub fn print_goodput(rates: &[u64], round_trips: &[u64], span: Span) {
    let mut rows = Vec::new();
    for mbit in rates {
        for ms in round_trips {
            for (name, queue) in queues(*mbit, *ms) {
                rows.push((*mbit, *ms, name, queue));
            }
        }
    }
    let paths: Vec<_> =
        rows.iter().flat_map(|(mbit, ms, _, queue)| LOSSES.map(|loss| Path::new(*mbit, *ms, *queue, loss))).collect();
    let cells = map(&paths, |path| [Bbr, Cubic].map(|algorithm| alone(*path, Flow::new(algorithm), span)));
    println!("| Mbit/s × round trip, queue | no loss | 0.1 % | 1 % | 3 % |\n|---|---|---|---|---|");
    for ((mbit, ms, name, _), cells) in rows.iter().zip(cells.chunks(LOSSES.len())) {
        let cells: Vec<_> = cells.iter().map(|[bbr, cubic]| format!("{bbr:.0} ({cubic:.0})")).collect();
        println!("| {mbit} × {ms} ms, {name} | {} |", cells.join(" | "));
    }
}

/// Prints goodput where packets overtake each other.
pub fn print_disorder(span: Span) {
    let ms = std::time::Duration::from_millis;
    println!(
        "| 100 Mbit/s × round trip, 1 BDP | in order | jitter of 5 ms | 5 % of packets late by a quarter | jitter, 1 % loss |"
    );
    println!("|---|---|---|---|---|");
    for round_trip in [20, 50, 100] {
        let path = Path::new(100, round_trip, Path::product(100, round_trip), 0.0);
        let jitter = Disorder::Jitter(ms(5));
        let paths = [
            path,
            Path { disorder: jitter, ..path },
            Path { disorder: Disorder::Late(0.05, ms(round_trip) / 4), ..path },
            Path { disorder: jitter, loss: 0.01, ..path },
        ];
        let cells = map(&paths, |path| {
            let [bbr, cubic] = [Bbr, Cubic].map(|algorithm| alone(*path, Flow::new(algorithm), span));
            format!("{bbr:.0} ({cubic:.0})")
        });
        println!("| {round_trip} ms | {} |", cells.join(" | "));
    }
}

/// The shares of two flows.
#[derive(Debug)]
pub struct Shares {
    /// Jain's index of two flows of BBR, of which one begins five seconds later: the least of the seeds.
    pub jain: f64,
    /// Mbit/s of BBR and CUBIC: BBR first, and CUBIC first.
    pub against: [[f64; 2]; 2],
}

pub fn share(path: Path, span: Span, seeds: u64) -> Shares {
    let late = |algorithm| Flow { starts: 5, ..Flow::new(algorithm) };
    let two = |first, second, seed| run(path, &[Flow::new(first), late(second)], span.seconds, span.counts_from, seed);
    let jain = (1..=seeds).map(|seed| jain(&two(Bbr, Bbr, seed))).fold(1.0, f64::min);
    let goodput = |outcomes: Vec<Outcome>| [outcomes[0].goodput, outcomes[1].goodput];
    let bbr_first = goodput(two(Bbr, Cubic, 1));
    let [cubic, bbr] = goodput(two(Cubic, Bbr, 1));
    Shares { jain, against: [bbr_first, [bbr, cubic]] }
}

pub fn print_shares(span: Span, seeds: u64) {
    let mut rows = Vec::new();
    for (mbit, ms) in [(10, 20), (10, 100), (100, 20), (100, 50), (100, 100), (100, 200)] {
        for (name, queue) in queues(mbit, ms) {
            rows.push((name, Path::new(mbit, ms, queue, 0.0)));
        }
    }
    let all = map(&rows, |(_, path)| share(*path, span, seeds));
    println!("| Mbit/s × round trip, queue | Jain of two | BBR : CUBIC, BBR first | CUBIC first |\n|---|---|---|---|");
    for ((name, path), shares) in rows.iter().zip(all) {
        let [first, second] = shares.against.map(|[bbr, cubic]| format!("{bbr:.1} : {cubic:.1}"));
        let ms = path.round_trip.as_millis();
        println!("| {} × {ms} ms, {name} | {:.2} | {first} | {second} |", path.mbit, shares.jain);
    }
}

/// Prints what questions beside bulk wait: median and 99 %, in ms.
pub fn print_answers(span: Span) {
    let mut rows = Vec::new();
    for (mbit, ms) in [(10, 20), (10, 100), (100, 20), (100, 50), (100, 100), (100, 200), (1000, 20)] {
        for (name, queue) in queues(mbit, ms) {
            rows.push((mbit, ms, name, queue));
        }
    }
    let losses = [0.0, 0.001, 0.01];
    let paths: Vec<_> =
        rows.iter().flat_map(|(mbit, ms, _, queue)| losses.map(|loss| Path::new(*mbit, *ms, *queue, loss))).collect();
    let asks = Some(std::time::Duration::from_millis(17));
    let cells = map(&paths, |path| {
        let outcome = |algorithm| {
            let flow = Flow { asks, ..Flow::new(algorithm) };
            let outcome = run(*path, &[flow], span.seconds, span.counts_from, 1).remove(0);
            format!("{:.0}, {:.0}", outcome.answer(50), outcome.answer(99))
        };
        format!("{} ({})", outcome(Bbr), outcome(Cubic))
    });
    println!("| Mbit/s × round trip, queue | no loss | 0.1 % | 1 % |\n|---|---|---|---|");
    for ((mbit, ms, name, _), cells) in rows.iter().zip(cells.chunks(losses.len())) {
        println!("| {mbit} × {ms} ms, {name} | {} |", cells.join(" | "));
    }
}
