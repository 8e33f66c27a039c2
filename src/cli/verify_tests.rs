use std::fs;
use std::path::PathBuf;

use super::super::command::{Parsed, Surroundings};
use super::super::line;
use super::*;

/// A folder of a name that no other test uses; it is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("pinhole-verify-{:016x}", rand::random::<u64>()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, contents: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Verifies a file of this folder; whatever is said shows the folder as `F`.
    fn verify(&self, contents: &str, options: &[&str]) -> Result<(String, Vec<String>), String> {
        let file = self.write("pinhole.toml", contents);
        let arguments = [&["pinhole", "verify", &file], options].concat();
        let short = |text: &str| text.replace(self.0.to_str().unwrap(), "F");
        match line::parse(arguments, Surroundings::default()) {
            Ok(Parsed { command: Command::Print(said), remarks, .. }) => {
                Ok((short(&said), remarks.iter().map(|remark| short(remark)).collect()))
            }
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(short(&failure.to_string())),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(feature = "server")]
#[test]
fn files_of_a_server_are_read() {
    let folder = Folder::new();
    let own = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let mut old = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
    old.not_after = rcgen::date_time_ymd(2001, 1, 1);
    folder.write("cert.pem", &own.cert.pem());
    folder.write("key.pem", &own.signing_key.serialize_pem());
    folder.write("other.pem", &other.signing_key.serialize_pem());
    folder.write("old.pem", &old.self_signed(&own.signing_key).unwrap().pem());
    folder.write("wrong.toml", "[[token]]\nhash = \"1\"\nids = [\"abc\"]\n");
    folder.write("tokens.toml", &format!("[[token]]\nhash = \"{}\"\nids = [\"abc\"]\n", "0a".repeat(32)));
    let file = |tokens: &str, certificate: &str, key: &str| {
        format!("[server]\ntokens = \"{tokens}\"\ntls-cert = \"{certificate}\"\ntls-key = \"{key}\"\n")
    };
    let cases = [
        (
            "none.toml",
            "cert.pem",
            "key.pem",
            "F/pinhole.toml:2:1: tokens: cannot read the file of tokens F/none.toml: ",
        ),
        ("wrong.toml", "cert.pem", "key.pem", "F/pinhole.toml:2:1: tokens: F/wrong.toml: token 1: its hash is not 64"),
        ("tokens.toml", "none.pem", "key.pem", "F/pinhole.toml:3:1: tls-cert: cannot read F/none.pem: "),
        ("tokens.toml", "key.pem", "key.pem", "F/pinhole.toml:3:1: tls-cert: F/key.pem holds no certificate: it has"),
        ("tokens.toml", "cert.pem", "none.pem", "F/pinhole.toml:4:1: tls-key: cannot read F/none.pem: "),
        ("tokens.toml", "cert.pem", "cert.pem", "F/pinhole.toml:4:1: tls-key: F/cert.pem holds no private key"),
        ("tokens.toml", "cert.pem", "other.pem", "F/pinhole.toml:4:1: tls-key: the certificate in F/cert.pem and the"),
    ];
    for (tokens, certificate, key, expected) in cases {
        let said = folder.verify(&file(tokens, certificate, key), &[]).unwrap_err();
        assert!(said.starts_with(expected) && !said.contains('\n'), "{said}");
    }
    let (said, remarks) = folder.verify(&file("tokens.toml", "cert.pem", "key.pem"), &[]).unwrap();
    assert_eq!((remarks.len(), said.starts_with("F/pinhole.toml is right: it is a server at ")), (0, true), "{said}");
    let (_, remarks) = folder.verify(&file("tokens.toml", "old.pem", "key.pem"), &[]).unwrap();
    assert!(remarks[0].starts_with("the certificate in F/old.pem expired "), "{remarks:?}");
}

#[test]
fn authorities_are_read() {
    let folder = Folder::new();
    let client = |ca: &str| format!("[client]\nurl = \"wss://a.test\"\npin = \"1\"\nca = \"{ca}\"\n");
    let host = "[host]\nservices = 1\nserver = \"wss://a.test\"\nid = \"abc\"\nca = \"none.pem\"\n";
    for text in [client("none.pem"), host.to_owned()] {
        let line = text.lines().count();
        let said = folder.verify(&text, &[]).unwrap_err();
        assert!(said.starts_with(&format!("F/pinhole.toml:{line}:1: ca: cannot read F/none.pem: ")), "{said}");
    }
    let own = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    folder.write("ca.pem", &own.cert.pem());
    folder.verify(&client("ca.pem"), &[]).unwrap();
}

#[test]
fn programs_are_told_in_json() {
    let folder = Folder::new();
    let (said, remarks) = folder.verify("[host]\nservices = [\"web=80\"]\npin = \"1\"\n", &["--json"]).unwrap();
    let event: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((said.matches('\n').count(), remarks.len()), (1, 0), "{said}");
    assert_eq!(event["event"], "verified");
    assert_eq!((&event["file"], &event["role"]), (&"F/pinhole.toml".into(), &"host".into()));
    assert_eq!(event["message"], "it is a host of web, whose signaling listens at 127.0.0.1:0");
    let warning = event["warnings"][0].as_str().unwrap();
    assert!(cfg!(not(unix)) || warning.starts_with("others than its owner can read the pin in F/"), "{warning}");
}
