//! The resources of a process, and the programs on this machine.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Finds a program. A test without it says so and ends.
pub(crate) fn program(name: &str, test: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        skipped(test, &format!("{name} is not installed"));
    }
    found
}

/// Finds a program in the search path and in the folders of system services.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.find_map(|place| Some(place.join(name)).filter(|file| file.is_file()))
}

/// Says loudly that a test was skipped: the test harness shows only the output of failed tests.
pub(crate) fn skipped(test: &str, why: &str) {
    past_the_harness(&format!("\n*** SKIPPED: {test}: {why} ***\n\n"));
}

/// Shows a figure, even if the test succeeds.
pub(crate) fn figure(text: &str) {
    past_the_harness(&format!("figure: {text}\n"));
}

/// Shows a text even if the test succeeds: the harness hides only the output of macros.
pub(crate) fn past_the_harness(text: &str) {
    io::stderr().write_all(text.as_bytes()).unwrap();
}

/// Number of open file descriptors of a process.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).unwrap().count()
}

/// Resident memory of a process in kibibytes.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    status_field(pid, "VmRSS:")
}

/// The peak of resident memory, in kibibytes.
pub(crate) fn peak_resident_kib(pid: u32) -> u64 {
    status_field(pid, "VmHWM:")
}

fn status_field(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time a process has used so far, its own and the system's for it, in ticks of 10 ms.
pub(crate) fn processor_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap();
    // The second field may hold anything, in parentheses; those wanted are the fourteenth and the fifteenth.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Returns the processor time that processes use while idle, in ticks of 10 ms, and how long that was measured.
pub(crate) fn ticks_within<const N: usize>(pids: [u32; N], time: Duration) -> ([u64; N], Duration) {
    let (start, before) = (Instant::now(), pids.map(processor_ticks));
    while start.elapsed() < time {
        // Watching is all there is to do.
        thread::park_timeout(time.saturating_sub(start.elapsed()));
    }
    let after = pids.map(processor_ticks);
    (std::array::from_fn(|index| after[index] - before[index]), start.elapsed())
}
