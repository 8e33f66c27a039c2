//! What is done to the cluster, and how long it takes until all is well again.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::seq::IndexedRandom as _;

use super::Size;
use super::load::Load;
use super::names::{flood, moves, split, taken_over};
use super::rig::{Rig, Visit, visit};
use crate::directory::redis::Redis;

/// How long a visitor waits who looks whether a host is reachable, before it comes again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause before that.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) const HEADING: &str = "\n| what happens | rounds | a host is back after (median, longest) | and reachable \
     through all after that | answers, of which told to come again | bytes compared | violations |\n\
     |---|---|---|---|---|---|---|\n";

/// One fault.
#[derive(Clone, Copy)]
pub(super) struct Story {
    pub(super) name: &'static str,
    happens: fn(&mut Scene),
}

pub(super) const STORIES: &[Story] = &[
    Story { name: "a server is killed, and started again", happens: killed },
    Story { name: "a server stands still", happens: frozen },
    Story { name: "a server is ended in order, and started again", happens: drained },
    Story { name: "nothing passes on a link", happens: parted },
    Story { name: "nothing passes on a link in one direction", happens: half_parted },
    Story { name: "the connections of a link are cut", happens: cut },
    Story { name: "a host changes servers six times", happens: moves },
    Story { name: "a second process takes the name", happens: taken_over },
    Story { name: "two servers that cannot reach each other take one name", happens: split },
    Story { name: "hosts of a server that died come at once", happens: flood },
];

/// What happens to the directory of a cluster that has one.
pub(super) const OF_THE_DIRECTORY: &[Story] = &[
    Story { name: "the directory is killed, and started again without anything", happens: directory_killed },
    Story { name: "the directory stands still", happens: directory_frozen },
    Story { name: "the directory loses everything", happens: directory_emptied },
    Story { name: "a server is killed while the directory is away", happens: killed_without_directory },
];

/// A cluster under load.
pub(super) struct Scene {
    pub(super) rig: Rig,
    load: Option<Load>,
    pub(super) size: Size,
    /// When the fault began.
    pub(super) begun: Instant,
    /// How long hosts took to be back after it, and to be reachable after that.
    pub(super) back: Vec<Duration>,
    pub(super) reachable: Vec<Duration>,
    /// How many hosts made by hand there were.
    pub(super) named: usize,
}

impl Scene {
    pub(super) fn start(name: &str, size: Size, redis: Option<Redis>) -> Scene {
        let mut rig = Rig::start(name, redis);
        rig.add_hosts(size.hosts);
        let mut scene =
            Scene { rig, load: None, size, begun: Instant::now(), back: Vec::new(), reachable: Vec::new(), named: 0 };
        scene.settle();
        scene.load = Some(Load::start(&scene.rig, size.crowd));
        scene
    }

    /// Lets something happen that often, and returns its row of the table.
    pub(super) fn tell(&mut self, story: &Story, rounds: usize) -> String {
        let (before, violations) = (self.rig.world.tally(), self.rig.world.violations().len());
        (self.back, self.reachable) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            self.rig.world.begin(story.name);
            self.begun = Instant::now();
            (story.happens)(self);
            self.settle();
            self.load.iter_mut().for_each(Load::look);
        }
        let after = self.rig.world.tally();
        let (served, put_off) = (after.served - before.served, after.put_off - before.put_off);
        let (bytes, violations) = (after.bytes - before.bytes, self.rig.world.violations().len() - violations);
        let (name, back, reachable) = (story.name, times(&mut self.back), times(&mut self.reachable));
        let (all, megabytes) = (served + put_off, bytes / 1_000_000);
        format!("| {name} | {rounds} | {back} | {reachable} | {all}, {put_off} | {megabytes} MB | {violations} |\n")
    }

    /// Ends all, and returns what was not as it must be.
    pub(super) fn finish(self) -> Vec<String> {
        self.load.into_iter().for_each(Load::finish);
        self.rig.world.violations()
    }

    /// Waits until each host is reachable through each server that runs, and all sessions go on.
    pub(super) fn settle(&mut self) {
        self.rig.until("hosts that are back", |rig| rig.all_are_held());
        let world = &self.rig.world;
        let moved = self.rig.hosts.iter().filter_map(|host| world.joined(&host.id));
        self.back.extend(moved.filter_map(|joined| joined.checked_duration_since(self.begun)));
        let begun = self.begun;
        let mut pairs = Vec::new();
        for host in &self.rig.hosts {
            pairs.extend(self.rig.world.running().into_iter().map(|server| (host.id.clone(), server)));
        }
        let addresses = self.rig.addresses();
        let looked = Instant::now();
        let watch = |(id, through): (String, usize)| {
            let world = self.rig.world.clone();
            thread::spawn(move || {
                while !matches!(visit(addresses[through], &id, PATIENCE), Visit::Served) {
                    thread::park_timeout(PAUSE);
                }
                // What did not change was not waited for.
                let since = world.whole_since(&id, through).filter(|&since| since > begun);
                since.map(|since| world.took(&id, through, since.max(looked)))
            })
        };
        let watchers: Vec<_> = pairs.into_iter().map(watch).collect();
        let all_are_done = |_: &Rig| watchers.iter().all(|watcher| watcher.is_finished());
        self.rig.until("hosts that are reachable through all servers", all_are_done);
        self.reachable.extend(watchers.into_iter().filter_map(|watcher| watcher.join().unwrap()));
        // A session may have a minute without a path, and the next fault takes its share of that.
        if let Some(load) = &mut self.load {
            self.rig.until("sessions that have their paths again", |_| load.is_whole());
        }
        // What follows is another change.
        self.begun = Instant::now();
    }

    /// Returns a server that has a host.
    pub(super) fn any_server(&self) -> usize {
        let host = self.rig.hosts.choose(&mut rand::rng());
        host.and_then(|host| self.rig.world.holder(&host.id)).unwrap_or_default()
    }

    pub(super) fn any_pair(&self) -> (usize, usize) {
        *[(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)].choose(&mut rand::rng()).unwrap()
    }
}

fn times(all: &mut [Duration]) -> String {
    all.sort();
    match all.last() {
        Some(longest) => format!("{:.1}, {:.1} s", all[all.len() / 2].as_secs_f64(), longest.as_secs_f64()),
        None => "–".to_owned(),
    }
}

fn killed(scene: &mut Scene) {
    let server = scene.any_server();
    scene.rig.kill(server);
    scene.settle();
    scene.rig.start_again(server);
}

fn frozen(scene: &mut Scene) {
    let server = scene.any_server();
    scene.rig.freeze(server);
    scene.rig.pass(scene.size.stands);
    scene.rig.thaw(server);
}

fn drained(scene: &mut Scene) {
    let server = scene.any_server();
    scene.rig.drain(server);
    scene.settle();
    scene.rig.start_again(server);
}

fn parted(scene: &mut Scene) {
    let (one, other) = scene.any_pair();
    scene.rig.part(one, other, true);
    scene.rig.pass(scene.size.parts);
    scene.rig.join(one, other);
}

fn half_parted(scene: &mut Scene) {
    let (one, other) = scene.any_pair();
    scene.rig.part(one, other, false);
    scene.rig.pass(scene.size.parts);
    scene.rig.join(one, other);
}

fn cut(scene: &mut Scene) {
    let (one, other) = scene.any_pair();
    scene.rig.cut(one, other);
}

fn redis(scene: &mut Scene) -> &mut Redis {
    scene.rig.redis.as_mut().expect("there is a directory")
}

fn directory_killed(scene: &mut Scene) {
    scene.rig.world.directory(false);
    redis(scene).kill();
    scene.rig.pass(scene.size.parts);
    redis(scene).start_again();
    scene.rig.world.directory(true);
}

fn directory_frozen(scene: &mut Scene) {
    scene.rig.world.directory(false);
    redis(scene).signal(Signal::SIGSTOP);
    scene.rig.pass(scene.size.parts);
    redis(scene).signal(Signal::SIGCONT);
    scene.rig.world.directory(true);
}

fn directory_emptied(scene: &mut Scene) {
    let answer = redis(scene).say("FLUSHALL");
    assert_eq!(answer, "+OK\r\n");
    scene.rig.world.directory(true);
}

/// Hosts come to other servers, which cannot say so.
fn killed_without_directory(scene: &mut Scene) {
    scene.rig.world.directory(false);
    redis(scene).kill();
    let server = scene.any_server();
    scene.rig.kill(server);
    scene.rig.until("hosts that are back", |rig| rig.all_are_held());
    redis(scene).start_again();
    scene.rig.world.directory(true);
    scene.settle();
    scene.rig.start_again(server);
}
