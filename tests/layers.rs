//! The layer rule of `ARCHITECTURE.md`: who may name whom.

use std::fs;
use std::path::{Path, PathBuf};

/// A module, and what its files must not name.
const RULES: &[(&str, &[&str])] = &[
    (
        "tunnel",
        &[
            "crate::peer",
            "crate::signaling",
            "crate::session",
            "crate::net",
            "crate::driver",
            "crate::forward",
            "crate::status",
            "crate::cli",
            "crate::config",
            "mio::",
            "str0m",
            "std::net",
            "std::io",
            "Instant::now",
            "SystemTime",
            "rand::",
        ],
    ),
    (
        "peer",
        &[
            "crate::signaling",
            "crate::session",
            "crate::net",
            "crate::driver",
            "crate::forward",
            "mio::",
            "Instant::now",
        ],
    ),
    (
        "signaling",
        &["crate::peer", "crate::session", "crate::net", "crate::driver", "crate::forward", "mio::", "Instant::now"],
    ),
    ("shares", &["crate::", "mio::", "std::io", "TcpStream", "Instant", "rand::"]),
    (
        "session",
        &["crate::net", "crate::driver", "crate::forward", "crate::status", "mio::", "UdpSocket", "Instant::now"],
    ),
    ("forward", &["crate::session", "crate::peer", "crate::signaling", "crate::driver", "str0m"]),
    ("forward/proxy", &["mio::", "std::io", "TcpStream", "UdpSocket", "Instant::now"]),
    (
        "gateway",
        &[
            "crate::tunnel",
            "crate::session",
            "crate::peer",
            "crate::signaling",
            "crate::driver",
            "crate::forward",
            "crate::status",
            "crate::cli",
            "crate::config",
            "crate::net::resolver",
            "crate::net::stream",
            "crate::net::tls",
            "crate::net::websocket",
            "mio::",
            "str0m",
            "std::io",
            "TcpStream",
            "Instant",
            "SystemTime",
            "rand::",
        ],
    ),
    ("net", &["crate::tunnel", "crate::session", "crate::peer", "crate::driver", "crate::forward", "str0m"]),
    ("status", &["crate::driver", "crate::net", "crate::session", "mio::", "str0m"]),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file: without comments, and without the tests at its end, which may stand on anything.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("the file can be read");
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.contains("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number + 1, line.to_owned()))
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for (module, forbidden) in RULES {
        let mut found = Vec::new();
        files(&source.join(module), &mut found);
        assert!(!found.is_empty(), "the module {module} is gone: change the rule with it");
        for path in found.iter().filter(|path| !path.to_string_lossy().ends_with("_tests.rs")) {
            for (number, line) in code(path) {
                for name in forbidden.iter().filter(|name| line.contains(**name)) {
                    broken.push(format!("{}:{number} names {name}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "the layer rule is broken:\n{}", broken.join("\n"));
}

#[test]
fn files_stay_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        files(&root.join(folder), &mut found);
    }
    let long: Vec<String> = found
        .iter()
        .map(|path| (path, fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "split these by concept:\n{}", long.join("\n"));
}
