//! The init script of OpenWrt, with a router made of shell functions: what procd is told, and files that the program
//! reads.

use std::process::Command;

use crate::common::system::program;

#[test]
fn a_router_runs_what_its_settings_say() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/openwrt/test/run.sh");
    // Ash of busybox is what a router has; Debian's sh is dash, of the same family.
    for shell in [&["sh"][..], &["busybox", "sh"]] {
        let Some(path) = program(shell[0], "the init script of OpenWrt") else { continue };
        let mut run = Command::new(path);
        let ended = run.args(&shell[1..]).arg(script).arg(env!("CARGO_BIN_EXE_pinhole")).output().unwrap();
        assert!(ended.status.success(), "{shell:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}
