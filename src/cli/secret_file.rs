//! A secret that is kept in a file.

use std::fmt::Display;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::net::files;

/// Longest secret that a file may hold, in bytes.
const MAX_SECRET: usize = 1024;

/// What a file is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// The flag that names the file.
    pub flag: &'static str,
    /// What the secret is called.
    pub name: &'static str,
}

/// Why a file gives no secret. Shows nothing of what is in it.
#[derive(Debug, Error)]
#[error("{flag}: {fault}", flag = secret.flag, fault = fault.with(secret.name, path))]
pub struct SecretFileError {
    /// What it was to hold.
    secret: Secret,
    /// The file.
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    /// It is not there, or cannot be read.
    Unreadable(io::Error),
    /// There is nothing in the first line.
    Empty,
    /// The first line is longer than any secret.
    TooLong,
    /// The first line is no text.
    Encoding,
}

impl Fault {
    fn with(&self, name: &str, path: &Path) -> String {
        let path = path.display();
        match self {
            Fault::Unreadable(error) => format!("cannot read {path}: {error}; write {name} into its first line"),
            Fault::Empty => format!("the first line of {path} is empty; write {name} there"),
            Fault::TooLong => {
                format!("the first line of {path} is longer than {MAX_SECRET} bytes; write nothing but {name} there")
            }
            Fault::Encoding => format!("the first line of {path} is not UTF-8; write {name} there as text"),
        }
    }
}

/// Returns what is in the first line of a file, at least one character, and what its owner should know about the file.
///
/// # Errors
/// [`SecretFileError`], naming the file.
pub fn read(secret: Secret, path: &Path) -> Result<(String, Option<String>), SecretFileError> {
    let wrong = |fault| SecretFileError { secret, path: path.into(), fault };
    let (mut line, remark) = read_beginning(secret, path).map_err(|error| wrong(Fault::Unreadable(error)))?;
    if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
        line.truncate(end);
        line.pop_if(|last| *last == b'\r');
    }
    if line.len() > MAX_SECRET {
        return Err(wrong(Fault::TooLong));
    }
    let text = String::from_utf8(line).map_err(|_| wrong(Fault::Encoding))?;
    if text.is_empty() { Err(wrong(Fault::Empty)) } else { Ok((text, remark)) }
}

/// Returns as much of the file as decides whether its first line is a secret, and what there is to remark.
fn read_beginning(secret: Secret, path: &Path) -> io::Result<(Vec<u8>, Option<String>)> {
    let file = files::open(path)?;
    let remark = files::is_shared(&file).then(|| remark(secret.name, path.display()));
    let mut beginning = Vec::new();
    // The line break has at most two bytes.
    file.take(MAX_SECRET as u64 + 2).read_to_end(&mut beginning)?;
    Ok((beginning, remark))
}

/// Says that others can read what is in a file.
pub(super) fn remark(name: &str, path: impl Display) -> String {
    format!("others than its owner can read {name} in {path}; chmod 600 keeps it secret")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const PIN: Secret = Secret { flag: "--pin-file", name: "the pin" };

    /// A file of a name that no other test uses; it is gone when this is dropped.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(contents: &[u8]) -> Temporary {
            let path = std::env::temp_dir().join(format!("pinhole-pin-{:016x}", rand::random::<u64>()));
            fs::write(&path, contents).unwrap();
            Temporary(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn read(contents: &[u8]) -> Result<String, String> {
        let file = Temporary::new(contents);
        let pin = super::read(PIN, &file.0).map(|(pin, _)| pin);
        pin.map_err(|error| error.to_string().replace(&file.0.display().to_string(), "F"))
    }

    #[test]
    fn the_first_line_is_the_pin() {
        let longest = "x".repeat(MAX_SECRET);
        let cases = [
            ("123456", "123456"),
            ("123456\n", "123456"),
            ("123456\r\nmore", "123456"),
            (" a b \n", " a b "),
            ("a\r", "a\r"),
            ("é\n\n", "é"),
            (&longest, &longest),
            (&format!("{longest}\n{longest}"), &longest),
            (&format!("{longest}\r\n"), &longest),
        ];
        for (contents, expected) in cases {
            assert_eq!(read(contents.as_bytes()).as_deref(), Ok(expected), "{contents:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        let (long, cut) = ("x".repeat(MAX_SECRET + 1), "é".repeat(MAX_SECRET));
        let empty = "--pin-file: the first line of F is empty; write the pin there";
        let too_long = "--pin-file: the first line of F is longer than 1024 bytes; write nothing but the pin there";
        let cases: [(&[u8], &str); 7] = [
            (b"", empty),
            (b"\n123456\n", empty),
            (b"\r\n", empty),
            (long.as_bytes(), too_long),
            (&[0xff; 2000], too_long),
            (b"\xff\n", "--pin-file: the first line of F is not UTF-8; write the pin there as text"),
            // A character is cut where reading ends, which must not make it look like another mistake.
            (cut.as_bytes(), too_long),
        ];
        for (contents, expected) in cases {
            assert_eq!(read(contents), Err(expected.to_owned()), "{contents:?}");
        }
        let missing = super::read(PIN, Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(missing.starts_with("--pin-file: cannot read /no/such/file: "), "{missing}");
        assert!(super::read(PIN, &std::env::temp_dir()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_remarked() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = Temporary::new(b"123456");
        for (mode, expected) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&file.0, fs::Permissions::from_mode(mode)).unwrap();
            let (_, remark) = super::read(PIN, &file.0).unwrap();
            assert_eq!(remark.is_some(), expected, "{mode:o}");
            assert!(!remark.unwrap_or_default().contains("123456"));
        }
    }
}
