//! What a process holds, and which programs this machine has.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Finds a program in the search path and where system services live. A test that misses it says so and ends.
pub(crate) fn program(name: &str, test: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.map(|place| place.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skipped(test, &format!("{name} is not installed"));
    }
    found
}

/// Says loudly that a test did nothing: past the test harness, which shows the output of failed tests only.
pub(crate) fn skipped(test: &str, why: &str) {
    past_the_harness(&format!("\n*** SKIPPED: {test}: {why} ***\n\n"));
}

/// Shows a figure, past the test harness too.
pub(crate) fn figure(text: &str) {
    past_the_harness(&format!("figure: {text}\n"));
}

/// The macros' output is what the harness keeps to itself.
fn past_the_harness(text: &str) {
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

/// The most memory that was ever resident, in kibibytes.
pub(crate) fn peak_resident_kib(pid: u32) -> u64 {
    status_field(pid, "VmHWM:")
}

fn status_field(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
