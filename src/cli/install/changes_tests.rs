use std::os::unix::fs::symlink;

use super::*;

/// A folder that is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("pinhole-changes-{:016x}", rand::random::<u64>()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is there, with modes and contents.
    fn contents(&self) -> Vec<(PathBuf, u32, Option<String>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                found.push((path.clone(), metadata.permissions().mode() & 0o777, fs::read_to_string(path).ok()));
            }
        }
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_made_is_undone() {
    let folder = Folder::new();
    fs::write(folder.at("old"), "old").unwrap();
    fs::set_permissions(folder.at("old"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = folder.contents();
    let mut changes = Changes::default();
    let new = changes.folder(&folder.at("a/b/c"), 0o755).unwrap();
    assert_eq!(new, [folder.at("a/b/c"), folder.at("a/b"), folder.at("a")]);
    assert_eq!(changes.folder(&folder.at("a/b"), 0o755).unwrap(), [] as [PathBuf; 0]);
    changes.write(&folder.at("a/b/c/public"), "public", Readers::All).unwrap();
    changes.write(&folder.at("a/secret"), "secret", Readers::Owner).unwrap();
    changes.replace(&folder.at("old"), "new", Readers::Owner).unwrap();
    changes.replace(&folder.at("a/other"), "other", Readers::All).unwrap();
    assert_eq!((mode(&folder.at("a/b/c/public")), mode(&folder.at("a/secret"))), (0o644, 0o600));
    assert_eq!((mode(&folder.at("old")), mode(&folder.at("a/other"))), (0o600, 0o644));
    assert_eq!(fs::read_to_string(folder.at("old")).unwrap(), "new");
    assert_eq!(changes.undo(), [] as [PathBuf; 0]);
    assert_eq!(folder.contents(), before);
}

#[test]
fn nothing_is_written_over_and_no_link_is_followed() {
    let folder = Folder::new();
    fs::write(folder.at("target"), "target").unwrap();
    symlink(folder.at("target"), folder.at("link")).unwrap();
    symlink(folder.at("nothing"), folder.at("dangling")).unwrap();
    for name in ["target", "link", "dangling"] {
        let error = Changes::default().write(&folder.at(name), "new", Readers::Owner).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
    }
    fs::create_dir(folder.at("folder")).unwrap();
    for name in ["link", "dangling", "folder"] {
        assert!(Changes::default().replace(&folder.at(name), "new", Readers::Owner).is_err(), "{name}");
    }
    assert_eq!(fs::read_to_string(folder.at("target")).unwrap(), "target");
    assert!(!folder.at("nothing").exists());
}

#[test]
fn what_cannot_be_undone_is_named() {
    let folder = Folder::new();
    let mut changes = Changes::default();
    changes.folder(&folder.at("a"), 0o755).unwrap();
    changes.write(&folder.at("a/b"), "b", Readers::All).unwrap();
    // Somebody else's file, which is not ours to remove.
    fs::write(folder.at("a/theirs"), "").unwrap();
    assert_eq!(changes.undo(), [folder.at("a")]);
    assert!(!folder.at("a/b").exists() && folder.at("a/theirs").exists());
}
