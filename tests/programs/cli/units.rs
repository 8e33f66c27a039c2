//! The units of `packaging/systemd`, as far as systemd checks them without running.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::system::{figure, program};

/// The highest exposure that `systemd-analyze security` may find, times ten.
const MAX_EXPOSURE: &str = "20";

/// A folder with the units, whose program is the one under test; gone when this is dropped.
struct Units(PathBuf);

impl Units {
    fn new(name: &str) -> Units {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
        let here = std::env::temp_dir().join(format!("pinhole-units-{name}-{}", std::process::id()));
        fs::create_dir_all(here.join("user")).unwrap();
        for unit in ["pinhole@.service", "pinhole-server.service", "user/pinhole@.service"] {
            let text = fs::read_to_string(there.join(unit)).unwrap();
            assert_eq!(text.matches("=/usr/bin/pinhole run ").count(), 1, "{unit}");
            let text = text.replace("/usr/bin/pinhole", env!("CARGO_BIN_EXE_pinhole"));
            fs::write(here.join(unit), text).unwrap();
        }
        Units(here)
    }

    /// Runs it on one of the units.
    fn analyze(&self, arguments: &[&str], unit: &str) -> Output {
        let mut command = Command::new("systemd-analyze");
        // A user's units have a runtime directory.
        command.args(arguments).arg(self.0.join(unit)).env("XDG_RUNTIME_DIR", &self.0).env("SYSTEMD_COLORS", "0");
        command.output().unwrap()
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn systemd_finds_nothing_wrong_in_the_units() {
    if program("systemd-analyze", "the units, checked by systemd").is_none() {
        return;
    }
    let units = Units::new("verify");
    // The pages of the manual are not installed here.
    let cases: [(&[&str], &str); 3] = [
        (&["verify", "--man=no"], "pinhole@.service"),
        (&["verify", "--man=no"], "pinhole-server.service"),
        (&["--user", "verify", "--man=no"], "user/pinhole@.service"),
    ];
    for (arguments, unit) in cases {
        let output = units.analyze(arguments, unit);
        // It looks at what they depend on, too.
        let said = said(&output);
        assert!(output.status.success() && !said.contains("pinhole"), "{unit}: {said}");
    }
    // It would have said so.
    let broken = units.0.join("broken.service");
    fs::write(&broken, "[Service]\nExecStart=/nonexistent\nFrob=yes\n").unwrap();
    assert!(said(&units.analyze(&["verify", "--man=no"], "broken.service")).contains("Frob"));
}

#[test]
fn the_units_of_the_system_expose_little() {
    if program("systemd-analyze", "the exposure of the units").is_none() {
        return;
    }
    let units = Units::new("security");
    for unit in ["pinhole@.service", "pinhole-server.service"] {
        let output = units.analyze(&["security", "--offline=true", "--threshold", MAX_EXPOSURE], unit);
        let said = said(&output);
        let overall = said.lines().last().unwrap_or_default().trim();
        assert!(output.status.success() && overall.contains("Overall exposure level"), "{said}");
        figure(&format!("{unit}: {overall}"));
    }
}
