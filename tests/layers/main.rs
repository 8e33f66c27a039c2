//! The house from outside: the layer rule of `ARCHITECTURE.md` (which room may name what), limits on the length and
//! width of files, the public API, a project that depends on it, and the README in other languages.

#[cfg(unix)]
mod api;
#[cfg(unix)]
mod outside;
mod reader;
mod readme;
mod rooms;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use reader::{Contents, Name};
use rooms::{ROOMS, Room, WATCHED};

/// The longest line, in characters, as for `rustfmt`.
const MAX_WIDTH: usize = 120;

/// What replaces the system in tests.
const WORLD: &str = "world";

/// A file of the program.
struct File {
    path: PathBuf,
    module: Vec<String>,
    contents: Contents,
}

/// A name that a file uses without permission of its room, or the permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Ours(String),
    Others(String),
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the program, without those compiled only for tests. A test below checks that no other files have such
/// names.
fn program() -> Vec<File> {
    let source = root().join("src");
    let mut paths = Vec::new();
    rust_files(&source, &mut paths);
    let is_world = |path: &Path| path.strip_prefix(&source).is_ok_and(|path| path.iter().any(|part| part == WORLD));
    paths.retain(|path| !path.to_string_lossy().ends_with("_tests.rs") && !is_world(path));
    let file = |path: PathBuf| {
        let relative = path.strip_prefix(&source).expect("it is in there").with_extension("");
        let mut module: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.pop_if(|last| last == "mod");
        let place: Vec<&str> = module.iter().map(String::as_str).collect();
        let inner = if matches!(place[..], ["lib" | "main"]) { &[][..] } else { &place };
        let contents = reader::read(&fs::read_to_string(&path).expect("it can be read"), inner);
        File { path, module, contents }
    };
    paths.into_iter().map(file).collect()
}

/// The rooms of a module, the largest first.
fn rooms(module: &[String]) -> Vec<&'static Room> {
    let is_in = |room: &&Room| {
        let mut place = module.iter();
        room.name.split('/').all(|part| place.next().is_some_and(|own| own == part))
    };
    let mut rooms: Vec<&Room> = ROOMS.iter().filter(is_in).collect();
    rooms.sort_by_key(|room| room.name.len());
    rooms
}

/// The packages of `Cargo.toml`, by their names in code.
fn packages() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("it can be read");
    let manifest: toml::Table = manifest.parse().expect("cargo read it, too");
    let mut names = BTreeSet::new();
    let mut add = |table: &toml::Table| {
        let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
        names.extend(dependencies.into_iter().flatten().map(|(name, _)| name.replace('-', "_")));
    };
    add(&manifest);
    let targets = manifest["target"].as_table().expect("it is a table");
    targets.values().filter_map(toml::Value::as_table).for_each(add);
    // Its library has another name than its package.
    assert!(names.remove("rustls_webpki"));
    names.insert("webpki".to_owned());
    names
}

/// Returns what the rule says about a name; `None` if everyone may use it.
fn classify(name: &Name, module: &[String], packages: &BTreeSet<String>) -> Option<Use> {
    let segments: Vec<&str> = name.segments.iter().map(String::as_str).collect();
    let has = |watched: &str| {
        let parts: Vec<&str> = watched.split("::").collect();
        segments.starts_with(&parts) || parts[0] != "std" && segments.ends_with(&parts)
    };
    match segments[0] {
        "crate" | "pinhole" => {
            let other = *segments.get(1)?;
            (other != module[0]).then(|| Use::Ours(other.to_owned()))
        }
        first if packages.contains(first) => Some(Use::Others(first.to_owned())),
        _ => {
            // Prefer the clock to what contains it, and the whole to its part.
            let rank = |watched: &&&str| (!watched.starts_with("std"), watched.len());
            let watched = WATCHED.iter().filter(|watched| has(watched)).max_by_key(rank)?;
            Some(Use::Others((*watched).to_owned()))
        }
    }
}

fn leaves(room: &Room) -> BTreeSet<Use> {
    let ours = room.ours.iter().map(|name| Use::Ours((*name).to_owned()));
    ours.chain(room.others.iter().map(|name| Use::Others((*name).to_owned()))).collect()
}

#[test]
fn rooms_name_what_they_may() {
    let packages = packages();
    let mut broken = Vec::new();
    let mut used: BTreeMap<&str, BTreeSet<Use>> = BTreeMap::new();
    for file in program() {
        let rooms = rooms(&file.module);
        if rooms.is_empty() {
            broken.push(format!("{} is in no room: give it a row in tests/layers/rooms.rs", file.path.display()));
        }
        for name in &file.contents.names {
            let Some(found) = classify(name, &file.module, &packages) else { continue };
            // Use the largest permitted room: its parts need not repeat the permission.
            match rooms.iter().find(|room| leaves(room).contains(&found)) {
                Some(room) => _ = used.entry(room.name).or_default().insert(found),
                None => {
                    let (path, place) = (name.segments.join("::"), file.path.display());
                    broken.push(format!("{place}:{} names {path}, and its room may not name {found:?}", name.line));
                }
            }
        }
    }
    let files = program();
    for room in ROOMS {
        if !files.iter().any(|file| rooms(&file.module).iter().any(|own| own.name == room.name)) {
            broken.push(format!("{} is gone: its row goes with it", room.name));
        }
        let used = used.remove(room.name).unwrap_or_default();
        let idle: Vec<_> = leaves(room).difference(&used).cloned().collect();
        if !idle.is_empty() {
            broken.push(format!("{} may name what it does not: {idle:?}", room.name));
        }
    }
    assert!(broken.is_empty(), "the layer rule is broken:\n{}", broken.join("\n"));
}

#[test]
fn rooms_stand_in_an_order() {
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for room in ROOMS {
        let top = room.name.split('/').next().expect("there is a first part");
        below.entry(top).or_default().extend(room.ours);
    }
    assert!(!has_circle(&below), "rooms name each other in a circle: {below:#?}");
}

/// Parts of a room may name each other, but not in a circle; parent and child may.
#[test]
fn parts_of_a_room_stand_in_an_order() {
    let mut below: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for file in program() {
        for name in file.contents.names.iter().filter(|name| name.segments[0] == "crate") {
            let (own, other) = (&file.module, &name.segments[1..]);
            let shared = own.iter().zip(other).take_while(|(a, b)| a == b).count();
            if shared == 0 || shared >= own.len() || shared >= other.len() {
                continue;
            }
            let parts = below.entry(own[..shared].join("/")).or_default();
            parts.entry(own[shared].clone()).or_default().insert(other[shared].clone());
        }
    }
    let circular: Vec<&str> =
        below.iter().filter(|(_, parts)| has_circle(parts)).map(|(room, _)| room.as_str()).collect();
    assert!(circular.is_empty(), "parts of these rooms name each other in a circle: {circular:?}");
}

/// Tells whether names lead back to their beginning.
fn has_circle<T: Ord + Clone>(below: &BTreeMap<T, BTreeSet<T>>) -> bool {
    let mut left = below.clone();
    loop {
        let lowest: Vec<T> = left
            .iter()
            .filter(|(_, names)| !names.iter().any(|name| left.contains_key(name)))
            .map(|(name, _)| name.clone())
            .collect();
        if lowest.is_empty() {
            return !left.is_empty();
        }
        left.retain(|name, _| !lowest.contains(name));
    }
}

#[test]
fn a_circle_is_found() {
    let below = |names: &[(char, &[char])]| {
        names.iter().map(|(name, below)| (*name, below.iter().copied().collect())).collect()
    };
    assert!(has_circle(&below(&[('a', &['b']), ('b', &['c', 'd']), ('c', &['a'])])));
    assert!(!has_circle(&below(&[('a', &['b', 'c']), ('b', &['c']), ('c', &['d'])])));
}

/// Files whose names end in `_tests.rs` are skipped, as is what replaces the system in tests, so nothing else may have
/// such a name.
#[test]
fn files_are_where_their_names_say() {
    for file in program() {
        assert_eq!(file.contents.moved, [0_usize; 0], "{} moves a module", file.path.display());
        let tests = file.contents.modules.iter().find(|name| name.ends_with("_tests") || *name == WORLD);
        assert_eq!(tests, None, "{} has it in the program", file.path.display());
    }
}

/// `rustfmt` checks lines of code; only strings make them longer.
#[test]
fn files_are_neither_long_nor_wide() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        rust_files(&root().join(folder), &mut found);
    }
    let mut broken = Vec::new();
    for path in &found {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().count();
        if lines > 500 {
            broken.push(format!("{} has {lines} lines: split it by concept", path.display()));
        }
        for (number, (line, code)) in text.lines().zip(reader::without_words(&text).lines()).enumerate() {
            let behind: String = line.chars().skip(code.trim_end().chars().count()).collect();
            let is_comment = behind.trim_start().starts_with("//");
            if is_comment && line.chars().count() > MAX_WIDTH {
                broken.push(format!("{}:{} is a comment wider than {MAX_WIDTH}", path.display(), number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
