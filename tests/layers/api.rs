//! The public API beside a snapshot of it: nothing becomes public, or stops being so, unnoticed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use public_api::{Builder, PublicApi};

/// The variable that has the snapshot written anew.
const UPDATE: &str = "UPDATE_API";

/// Has rustdoc describe the library; `None` if this toolchain's rustdoc writes another format than the reader reads.
fn public_api(root: &Path) -> Option<PublicApi> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
    // JSON is an unstable output. Only rustdoc is told so: in cargo's environment it would have everything built anew.
    let rustdoc = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc-json");
    fs::write(&rustdoc, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n").expect("rustdoc can be run");
    fs::set_permissions(&rustdoc, Permissions::from_mode(0o755)).expect("rustdoc can be run");
    let output = Command::new(env!("CARGO"))
        .args(["rustdoc", "--quiet", "--lib", "--target-dir"])
        .arg(target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .env("RUSTDOC", &rustdoc)
        .current_dir(root)
        .output()
        .expect("rustdoc can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = target.join("doc/pinhole.json");
    let builder = Builder::from_rustdoc_json(&json).omit_blanket_impls(true).omit_auto_trait_impls(true);
    match builder.omit_auto_derived_impls(true).build() {
        Ok(api) => Some(api),
        Err(error) => {
            println!("SKIPPED: the public API is not compared, because rustdoc writes another format: {error}");
            None
        }
    }
}

#[test]
fn the_public_api_is_that_of_the_snapshot() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(api) = public_api(root) else { return };
    let found: String = api.items().map(|item| format!("{item}\n")).collect();
    let snapshot = root.join("tests/layers/api.txt");
    if std::env::var_os(UPDATE).is_some() {
        return fs::write(snapshot, found).unwrap();
    }
    let expected = fs::read_to_string(snapshot).unwrap();
    let has = |text: &str, line: &str| text.lines().any(|other| other == line);
    let added = found.lines().filter(|line| !has(&expected, line)).map(|line| format!("+ {line}\n"));
    let removed = expected.lines().filter(|line| !has(&found, line)).map(|line| format!("- {line}\n"));
    let difference: String = added.chain(removed).collect();
    assert!(
        difference.is_empty(),
        "the public API has changed; if it is meant to, run {UPDATE}=1 cargo test --test layers api\n{difference}"
    );
}
