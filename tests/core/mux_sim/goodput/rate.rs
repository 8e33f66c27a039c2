//! A session with a rate, over a path that is faster.

use super::*;

const FAST: f64 = 1000.0;

/// The rates of a client that sends and of its host, in Mbit/s.
fn limited(round_trip: Duration, streams: usize, megabits: [Option<f64>; 2]) -> Path {
    let mut configs = [Role::Client, Role::Host].map(Config::new);
    for (config, megabits) in configs.iter_mut().zip(megabits) {
        config.rate = megabits.map(|megabits| (megabits * 1e6 / 8.0) as u64);
    }
    Path::with(FAST, round_trip, streams, configs)
}

#[test]
fn goodput_is_the_rate_whichever_side_has_it() {
    for megabits in [1.0, 20.0, 200.0] {
        for rates in [[Some(megabits), None], [None, Some(megabits)], [Some(megabits); 2]] {
            for streams in [1, 4] {
                let mut path = limited(Duration::from_millis(20), streams, rates);
                path.run(Duration::from_secs(3), streams);
                let (turns, time) = (path.turns, Duration::from_secs(4));
                let bytes: u64 = path.measure(time, streams).iter().sum();
                let goodput = bytes as f64 * 8.0 / 1e6 / time.as_secs_f64();
                let turns = path.turns - turns;
                println!("{rates:?} {streams} streams: {goodput:.2} Mbit/s in {turns} turns");
                assert!((0.95..=1.05).contains(&(goodput / megabits)), "{rates:?} {streams} streams: {goodput} Mbit/s");
                // Each message needs a turn to go out and one to arrive, and so does its CREDIT; and a timer each.
                assert!(turns < 8 * bytes / 1000, "{turns} turns for {bytes} bytes: something spins");
            }
        }
    }
}

#[test]
fn streams_share_a_rate_evenly() {
    for rates in [[Some(20.0), None], [None, Some(20.0)]] {
        let mut path = limited(Duration::from_millis(20), 8, rates);
        path.run(Duration::from_secs(3), 8);
        let shares = path.measure(Duration::from_secs(5), 8);
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!((*least as f64) >= 0.8 * *most as f64, "{rates:?}: {shares:?}");
    }
}

#[test]
fn a_small_message_waits_for_a_turn_of_each_bulk_stream() {
    const BULK: usize = 4;
    for rates in [[Some(1.0), None], [Some(20.0), None], [None, Some(1.0)], [None, Some(20.0)]] {
        let round_trip = Duration::from_millis(20);
        let mut path = limited(round_trip, BULK + 1, rates);
        path.run(Duration::from_secs(3), BULK);
        let (small, mut worst) = (path.sources[BULK], Duration::ZERO);
        for _ in 0..100 {
            path.run(Duration::from_micros(97_321), BULK);
            let mut chunk = path.pools[0].take();
            chunk.set_len(64);
            let mut stream = path.muxes[0].stream(small).unwrap();
            assert!(stream.poll_send_capacity() >= 64);
            stream.send(path.pools[0].fit(chunk)).expect("there is capacity");
            let (before, since) = (path.read[BULK], path.now);
            while path.read[BULK] == before {
                path.run(Duration::from_millis(1), BULK);
                assert!(path.now - since < Duration::from_secs(5), "{rates:?}: it never comes");
            }
            worst = worst.max(path.now - since);
        }
        println!("{rates:?}: a small message takes {worst:?} at most");
        // A turn takes 10 ms at the most; then the path, and what the sink's millisecond rounds up.
        let most = round_trip / 2 + Duration::from_millis(BULK as u64 * 10 + 5);
        assert!(worst <= most, "{rates:?}: {worst:?}");
    }
}

#[test]
fn idle_saves_up_no_more_than_a_burst() {
    for megabits in [1.0, 20.0, 200.0] {
        let mut path = limited(Duration::from_millis(20), 8, [Some(megabits), None]);
        path.run(Duration::from_secs(2), 8);
        path.run(Duration::from_secs(20), 0);
        let before = path.sent;
        path.run(Duration::from_millis(10), 8);
        let burst = path.sent - before;
        // 20 ms saved up, the 10 ms that passed, and one message.
        let most = megabits * 1e6 / 8.0 * 0.030 + 16_392.0;
        println!("{megabits} Mbit/s: {burst} bytes after a pause, {most} allowed");
        assert!(burst as f64 <= most + 200.0, "{megabits} Mbit/s: {burst} bytes, {most} allowed");
    }
}
