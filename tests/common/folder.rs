//! Files of a test.

use std::fs;
use std::path::PathBuf;

/// A folder of a test's own; it is gone when this is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes a folder; no other test may use the name.
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pinhole-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file. Returns its path.
    pub(crate) fn write(&self, name: &str, contents: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
