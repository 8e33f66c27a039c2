use std::fs;
use std::time::{Duration, SystemTime};

use super::super::super::command::{Command, Surroundings};
use super::super::super::line;
use crate::config::{AccessList, Expiry, Invitation, ReverseAccess, ReverseRule};
use crate::signaling::pin::Pin;

/// Reads a host's file that has this below its own table. Returns the invitations and what is remarked; errors have `F`
/// for the name of the file.
fn invitations(text: &str) -> Result<(Vec<Invitation>, Vec<String>), String> {
    of_file(&format!("[host]\nservices = [\"web=8080\", 22]\n{text}"), &["run"])
}

fn of_file(text: &str, line: &[&str]) -> Result<(Vec<Invitation>, Vec<String>), String> {
    let folder = std::env::temp_dir().join(format!("pinhole-invitations-{:016x}", rand::random::<u64>()));
    fs::create_dir(&folder).unwrap();
    let file = folder.join("nas.toml");
    fs::write(&file, text).unwrap();
    fs::write(folder.join("guests.pin"), "from a file\n").unwrap();
    let name = file.to_str().unwrap();
    let line: Vec<&str> =
        ["pinhole"].iter().chain(line.first()).copied().chain([name]).chain(line.iter().skip(1).copied()).collect();
    let parsed = line::parse(line, Surroundings::default());
    let _ = fs::remove_dir_all(&folder);
    let parsed = parsed.map_err(|failure| failure.to_string().replace(name, "F"))?;
    match parsed.command {
        Command::Host(config, _) => Ok((config.invitations, parsed.remarks)),
        _ => Ok((Vec::new(), parsed.remarks)),
    }
}

#[test]
fn a_file_has_invitations_with_everything() {
    let text = r#"
        [[invitation]]
        label = "guests"
        id = "k3"
        pin-file = "guests.pin"
        services = ["web"]
        allow = ["10.0.0.0/8:80", "db.local:5432"]
        reverse = 8000
        expires = "2h"
        max-sessions = 3
        once = true

        [[invitation]]
        label = "a colleague"
        pin = "correct horse"
        services = "22"
        expires = 2026-11-28T20:00:00+08:00
    "#;
    let (found, _) = invitations(text).unwrap();
    let first = Invitation {
        id: Some("k3".parse().unwrap()),
        pin: Pin::new("from a file"),
        services: vec!["web".to_owned()],
        allow: AccessList::parse(["10.0.0.0/8:80", "db.local:5432"]).unwrap(),
        reverse: ReverseAccess::new(vec![ReverseRule::parse("8000").unwrap()]),
        expires: Some(Expiry::After(Duration::from_secs(7200))),
        max_sessions: Some(3),
        once: true,
        ..Invitation::new("guests")
    };
    let second = Invitation {
        pin: Pin::new("correct horse"),
        services: vec!["22".to_owned()],
        expires: Some(Expiry::At(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_867_200))),
        ..Invitation::new("a colleague")
    };
    assert_eq!(found, [first, second]);
}

#[test]
fn an_invitation_may_stand_before_the_host() {
    let text = "[[invitation]]\nlabel = \"a\"\nservices = [\"web\"]\n[host]\nservices = [\"web=8080\"]\n";
    assert_eq!(of_file(text, &["run"]).unwrap().0.len(), 1);
}

#[test]
fn wrong_invitations_are_explained_with_their_place() {
    let rows = [
        (
            "[invitation]\nlabel = \"a\"",
            "F:3:1: invitation is a table; write [[invitation]] in a line of its own for each, and its keys below it",
        ),
        (
            "[[invitation]]\nservices = [\"web\"]",
            "F:3:1: an invitation needs a label; add label = \"guests\" or the like",
        ),
        (
            "[[invitation]]\nlabel = \"a\"\nservice = [\"web\"]",
            "F:5:1: there is no service in [[invitation]]; its keys are label, id, pin, pin-file, services, allow, reverse, expires, max-sessions, once",
        ),
        ("[[invitation]]\nlabel = \"a\"\nonce = 1", "F:5:8: once takes true or false, and this is a whole number"),
        (
            "[[invitation]]\nlabel = \"a\"\nid = \"K3\"",
            "F:5:6: id 'K3': the id of an invitation has 1 to 16 of a to z, 0 to 9 and hyphen; give a short one, for example k3",
        ),
        (
            "[[invitation]]\nlabel = \"a\"\nexpires = \"2w\"",
            "F:5:11: expires '2w': it has no unit; give 30s, 15m, 2h, 7d, or a date with a time and an offset such as 2026-12-24T18:00:00+08:00",
        ),
        (
            "[[invitation]]\nlabel = \"a\"\nexpires = 2026-12-24",
            "F:5:11: expires '2026-12-24': it is no such date; give 30s, 15m, 2h, 7d, or a date with a time and an offset such as 2026-12-24T18:00:00+08:00",
        ),
        (
            "[[invitation]]\nlabel = \"a\"\npin = \"1\"\npin-file = \"guests.pin\"",
            "F:3:1: pin and pin-file both say what the pin is; leave one of them out",
        ),
        (
            "[[invitation]]\nlabel = \"a\"",
            "F:3:1: the invitation a gives nothing: name services, or rules of what its clients may reach",
        ),
        (
            "[[invitation]]\nlabel = \"a\"\nservices = [\"db\"]",
            "F:3:1: the invitation a names the service db, and there is none of that name",
        ),
        (
            "[[invitation]]\nlabel = \"a\"\nservices = [22]\n[[invitation]]\nlabel = \"a\"\nservices = [22]",
            "F:6:1: there are two invitations of the name a",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(invitations(text).err().as_deref(), Some(expected), "{text}");
    }
    let missing = invitations("[[invitation]]\nlabel = \"a\"\nservices = [22]\npin-file = \"gone.pin\"").unwrap_err();
    assert!(missing.starts_with("F:3:1: pin-file: cannot read "), "{missing}");
    // No error shows a pin.
    let wrong = invitations("[[invitation]]\nlabel = \"a\"\npin = \"secret\"\nexpires = \"x\"").unwrap_err();
    assert!(!wrong.contains("secret"), "{wrong}");
}

#[test]
fn only_a_host_invites() {
    let text = "[client]\nurl = \"ws://a.b?pin=1\"\n[[invitation]]\nlabel = \"a\"\n";
    let expected = "F:3:3: [[invitation]] is for a host, and this file is a [client]; leave it out";
    assert_eq!(of_file(text, &["run"]).err().as_deref(), Some(expected));
}

#[test]
fn what_a_file_says_of_invitations_is_verified_and_not_written_anew() {
    let text = "[host]\nservices = [22]\n[[invitation]]\nlabel = \"a\"\nservices = [23]\n";
    let expected = "F:3:1: the invitation a names the service 23, and there is none of that name";
    assert_eq!(of_file(text, &["verify"]).err().as_deref(), Some(expected));
    let text = text.replace("[23]", "[22]");
    assert!(of_file(&text, &["verify"]).is_ok());
    let expected = "--print-config does not write [[invitation]]; change the file by hand";
    assert_eq!(of_file(&text, &["run", "--print-config"]).err().as_deref(), Some(expected));
}

#[cfg(unix)]
#[test]
fn a_pin_that_others_can_read_is_warned_of() {
    let (_, remarks) = invitations("[[invitation]]\nlabel = \"a\"\nservices = [22]\npin = \"1\"").unwrap();
    assert!(remarks.iter().any(|remark| remark.contains("the pin")), "{remarks:?}");
    let (_, remarks) = invitations("[[invitation]]\nlabel = \"a\"\nservices = [22]").unwrap();
    assert_eq!(remarks, [""; 0]);
}
