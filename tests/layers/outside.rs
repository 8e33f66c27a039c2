//! A project outside of this workspace that depends on the library, without its features.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn an_outside_project_embeds_a_host_and_a_client() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
    let project = root.join("tests/outside");
    // The same versions, so that what is built already is not built again.
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--manifest-path"])
        .arg(project.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("32 MiB there and back"), "{out}{err}");
    println!("figure: {out}");
}
