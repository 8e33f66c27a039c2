use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::args::Arguments;
use super::super::command::{Command, Parsed, Surroundings};
use super::super::failure::Failure;
use super::super::line;
use super::*;
use crate::signaling::pin::Pin;

#[path = "write_tests.rs"]
mod writing;

/// A folder of a name that no other test uses; it is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("pinhole-file-{:016x}", rand::random::<u64>()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
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

fn parse(line: &[&str], surroundings: Surroundings<'_>) -> Result<Parsed, Failure> {
    line::parse([&["pinhole"], line].concat(), surroundings)
}

/// Runs a file that has this in it, with options behind it. Errors have `F` for the name of the file.
fn run(text: impl AsRef<[u8]>, options: &[&str], surroundings: Surroundings<'_>) -> Result<Parsed, String> {
    let folder = Folder::new();
    let file = folder.write("nas.toml", text);
    let parsed = parse(&[&["run", &file], options].concat(), surroundings);
    parsed.map_err(|failure| failure.to_string().replace(&file, "F"))
}

/// What a command does, its secrets included.
fn shown(command: &Command) -> String {
    let secrets = match command {
        Command::Host(config, _) => {
            let token = config.server.as_ref().and_then(|server| server.token.as_ref());
            (config.pin.as_ref().map(|pin| pin.reveal().to_owned()), token.map(|token| token.hash()))
        }
        Command::Client(config, ..) => (Some(config.pin.reveal().to_owned()), None),
        _ => (None, None),
    };
    format!("{command:?} {secrets:?}")
}

/// A value for each key.
#[rustfmt::skip]
const SAMPLES: &[(&str, &str)] = &[
    ("admin-listen", "9000"), ("admin-token-file", r#""admin.token""#), ("advertise", r#""ws://10.0.0.1:7000""#), ("directory", r#""redis://10.0.0.5""#),
    ("directory-file", r#""directory""#), ("allow", r#"["10.0.0.0/8:80"]"#), ("allow-reverse", "[8000]"), ("ask", "true"),
    ("ca", r#""ca.pem""#), ("cluster-secret-file", r#""secret""#), ("dial", r#"["5432:db.local:5432"]"#), ("gateway-domain", r#""p.example.org""#),
    ("gateway-listen", r#"[":80"]"#), ("grace", "30"), ("header", r#"["A: b"]"#), ("id", r#""my-host""#),
    ("json", "true"), ("listen", "5000"), ("locals", r#"["web=8080", 22]"#), ("log-format", r#""json""#),
    ("max-clients", "7"), ("max-hosts", "7"), ("max-sessions", "7"), ("max-streams", "7"), ("memory", r#""64MiB""#),
    ("name", r#""web""#), ("no-control", "true"), ("no-relay", "true"), ("no-stun", "true"), ("once", "true"), ("open", "true"), ("p2p-timeout", "5"),
    ("peer", r#"["ws://10.0.0.2:7000"]"#), ("peer-listen", "7000"),
    ("pin", r#""1""#), ("pin-file", r#""pin""#), ("pipe", r#""ssh""#), ("proxy", "[1080]"), ("proxy-auth", r#""a:b""#),
    ("proxy-auth-file", r#""login""#), ("proxy-listen", "3128"), ("proxy-protocol", r#"["v2"]"#),
    ("public", r#""web""#), ("public-auth", r#""a:b""#), ("public-auth-file", r#""login""#),
    ("public-url", r#""https://a.example""#), ("qr", "true"), ("quiet", "true"),
    ("rate", r#""20mbit""#), ("relay-only", "true"), ("retry", "true"), ("reverse", r#"["8000:127.0.0.1:3000"]"#),
    ("server", r#"["wss://p.example.org", "wss://q.example.org"]"#), ("server-dial", "true"), ("services", r#"[8080, "web=127.0.0.1:80"]"#),
    ("stun", r#"["stun.example.org:3478"]"#), ("tls-cert", r#""c.pem""#), ("tls-key", r#""k.pem""#),
    ("token", r#""abc""#), ("token-file", r#""token""#), ("tokens", r#""tokens.toml""#),
    ("trusted-proxy", r#"["10.0.0.0/8"]"#), ("udp-idle", "30"), ("url", r#""wss://p.example.org/ws/blog?pin=1""#),
    ("verbose", "2"),
];

#[test]
fn each_argument_of_a_role_has_a_key_that_can_be_said() {
    use clap::CommandFactory as _;
    let folder = Folder::new();
    let mut program = Arguments::command();
    program.build();
    for role in ROLES {
        let keys = Keys::of(role);
        let arguments = program.find_subcommand(role).unwrap().get_arguments();
        let ids: Vec<&str> = arguments.map(|argument| argument.get_id().as_str()).collect();
        let without_key = ids.iter().filter(|id| !["help", "print_config", "save"].contains(id)).count();
        let mut names: Vec<&str> = keys.iter().map(|key| key.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), without_key, "{role}: {names:?} for {ids:?}");
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            let sample = SAMPLES.iter().find(|(key, _)| *key == name);
            let (_, value) = sample.unwrap_or_else(|| panic!("{name} has no sample here: give it one"));
            let file = folder.write("nas.toml", format!("[{role}]\n{name} = {value}\n"));
            let document = Document::read(file.as_ref(), None).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(document.settings.len(), 1, "{name}");
            let mut settings = document.settings.clone();
            if *role == "client" && name != "url" {
                let values = vec![setting::Value { text: "ws://h?pin=1".into(), at: None }];
                settings.push(Setting { key: "url".to_owned(), at: None, said: Said::Values(values) });
            }
            let matches = keys.parse(&settings).unwrap_or_else(|error| panic!("{name}: {error}"));
            let matches = matches.subcommand_matches(role).unwrap();
            let given = keys.given(matches).into_iter().find(|setting| setting.key == name).unwrap();
            assert_eq!(given.options(), document.settings[0].options(), "{name}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_the_place_and_the_key() {
    let cases: &[(&str, &str)] = &[
        ("", "F:1:1: it has none of [host], [client] and [server]; write one of them above the keys"),
        ("\n\n[hots]\n", "F:3:2: there is no [hots]; a file has one of [host], [client] and [server]"),
        ("services = [1]\n", "F:1:1: services belongs below one of [host], [client] and [server]; write that above it"),
        ("[host]\nservices = [1]\n[client]\n", "F:3:2: [client] is the second role beside [host]; a file is for one"),
        ("[[host]]\n", "F:1:3: host is a list; write [host] in a line of its own, and its keys below it"),
        ("[host]\nlisen = 1", "F:2:1: there is no lisen in [host]; did you mean listen?"),
        ("[host]\n  xyzzy = 1", "F:2:3: there is no xyzzy in [host]; its keys are the long options that pinhole host"),
        ("[host]\nprint-config = true", "F:2:1: there is no print-config in [host]; its keys are"),
        ("[host]\nhelp = true", "F:2:1: there is no help in [host]; "),
        ("[host]\nonce = true\nonce = true", "F:3:1: once is there twice; leave one of them out"),
        ("[host]\n[host]", "F:2:2: host is there twice; leave one of them out"),
        ("[host]\nonce", "F:2:5: key with no value, expected `=`"),
        ("[host]\nonce = \"yes\"", "F:2:8: once takes true or false, and this is a text"),
        ("[host]\nrate = 2.5", "F:2:8: rate takes a text or a whole number in decimal, and this is a number with a"),
        ("[host]\npin = 0x10", "F:2:7: pin takes a text or a whole number in decimal, and this is a whole number"),
        ("[host]\nlisten = [1]", "F:2:10: listen takes a text or a whole number in decimal, and this is a list"),
        (
            "[host]\nservices = [1,\n [2]]",
            "F:3:2: services takes a text or a whole number in decimal, and this is a list",
        ),
        ("[host.stun]\na = 1", "F:1:1: stun takes a list of texts or whole numbers, and this is a table"),
        ("[host]\nverbose = 4", "F:2:11: verbose takes a number from 0 to 3"),
        ("[host]\nservices = [1, 0]", "F:2:16: services '0': nothing can be reached on port 0; give [NAME=]TARGET"),
        ("[host]\nservices = [1, 2, 1]", "F:2:19: services '1': there are two services of the name 1; give"),
        ("[host]\nmax-sessions = 2000", "F:2:16: max-sessions '2000': that many sessions are not possible; give"),
        ("[host]\n", "F:1:2: nothing is shared; add services = [8080] or the like, or allow what clients may have"),
        ("[host]\nservices = 1\nno-stun = true\nstun = [\"a:1\"]", "F:3:1: no-stun and stun exclude each other; leave"),
        ("[host]\nservices = 1\nid = \"abc\"", "F:3:1: id is for a host on a server; add server URL, for example"),
        ("[host]\nservices = 1\npin = 1\npin-file = \"f\"", "F:3:1: pin and pin-file both say what the pin is; leave"),
        ("[host]\nservices = 1\npin-file = \"/no/such\"", "F:3:1: pin-file: cannot read /no/such: "),
        ("[host]\nservices = 1\npin-file = \"\"", "F:3:12: a value is required for 'pin-file <FILE>' but none was"),
        ("[client]\nlocals = [1]", "F:1:2: [client] needs url; add it"),
        (
            "[client]\nurl = \"ws://a\"",
            "F:1:2: the URL has no pin, and there is no terminal to ask at; add ?pin=123456",
        ),
        ("[client]\nurl = \"ws://a?pin=1\"\ndial = [80]", "F:3:9: dial '80': it does not say both where to listen"),
        ("[client]\nurl = \"ws://a?pin=1\"\nproxy-auth = \"a:b\"", "F:3:1: proxy-auth is for proxy; add proxy PORT"),
        ("[server]\nlog-format = \"xml\"", "F:2:14: log-format 'xml': it is none of text, json"),
        ("[server]\nopen = true\nlisten = \":80\"\nadmin-listen = \":80\"", "F:1:2: [::]:80 is to be listened on for"),
        ("\u{feff}[host]\r\n\tlisen = 1", "F:2:2: there is no lisen"),
    ];
    for (text, expected) in cases {
        let said = run(text, &[], Surroundings::default()).map(|parsed| shown(&parsed.command)).unwrap_err();
        assert!(said.starts_with(expected), "{text:?}: {said}");
        assert!(!said.contains('\n'), "{said}");
    }
    let said = run(b"[host]\nid = \"\xff\"", &[], Surroundings::default()).map(|_| ()).unwrap_err();
    assert_eq!(said, "F:2: it is not UTF-8; save it as text");
    let said = run("\n".repeat(1_000_000), &[], Surroundings::default()).map(|_| ()).unwrap_err();
    assert_eq!(said, "F: it is larger than 256 KiB, and no file of settings is");
    let folder = Folder::new();
    for file in [folder.0.clone(), folder.0.join("none.toml")] {
        let file = file.to_str().unwrap();
        let said = parse(&["verify", file], Surroundings::default()).map(|_| ()).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{file}: it cannot be read: ")), "{said}");
    }
}

#[test]
fn marks_line_ends_and_tabs_do_not_matter() {
    let plain = run("[host]\nservices = [1, 2]\n", &[], Surroundings::default()).unwrap();
    let odd = "\u{feff}[host]\r\n\tservices\t=\t[1,\r\n\t2]\t# two\r\n";
    let odd = run(odd, &[], Surroundings::default()).unwrap();
    assert_eq!(shown(&odd.command), shown(&plain.command));
}

#[test]
fn the_nearest_counts() {
    let surroundings = |pin: &str| Surroundings { pin: Some(pin.into()), ..Surroundings::default() };
    let host = "[host]\nservices = [1]\npin = \"file\"\nstun = [\"a:1\"]\nudp-idle = 5\nverbose = 1\n";
    let client = "[client]\nurl = \"ws://h?pin=file\"\n";
    // The file, the options behind it, PINHOLE_PIN, and the command line that does the same.
    let cases: &[(&str, &[&str], &str, &[&str])] = &[
        (host, &[], "", &["host", "1", "--pin=file", "--stun=a:1", "--udp-idle=5", "-v"]),
        (host, &[], "env", &["host", "1", "--pin=env", "--stun=a:1", "--udp-idle=5", "-v"]),
        (host, &["--pin=line"], "env", &["host", "1", "--pin=line", "--stun=a:1", "--udp-idle=5", "-v"]),
        (host, &["--no-stun", "-q"], "", &["host", "1", "--pin=file", "--no-stun", "--udp-idle=5", "-q"]),
        (host, &["--", "2", "3"], "", &["host", "2", "3", "--pin=file", "--stun=a:1", "--udp-idle=5", "-v"]),
        (host, &["--udp-idle", "9"], "", &["host", "1", "--pin=file", "--stun=a:1", "--udp-idle=9", "-v"]),
        (client, &[], "", &["client", "ws://h?pin=file"]),
        (client, &[], "env", &["client", "ws://h?pin=env"]),
        (client, &["--pin", "line"], "env", &["client", "ws://h?pin=line"]),
        (client, &["ws://i?pin=line"], "env", &["client", "ws://i?pin=line"]),
        ("[client]\nurl = \"ws://h\"\npin = \"file\"", &["ws://i?pin=line"], "", &["client", "ws://i?pin=line"]),
        (
            "[client]\nurl = \"ws://h\"\nproxy = 1",
            &["--proxy-auth=a:b"],
            "x",
            &["client", "ws://h?pin=x", "-D1", "--proxy-auth=a:b"],
        ),
        ("[server]\ntokens = \"f\"", &["--open", "--json"], "", &["server", "--open", "--json"]),
    ];
    for (text, options, pin, same) in cases {
        let found = run(text, options, surroundings(pin)).unwrap();
        let expected = parse(same, Surroundings::default()).unwrap();
        assert_eq!(shown(&found.command), shown(&expected.command), "{text} {options:?} {pin}");
    }
    // What the command line has keeps its name.
    let said = run(host, &["--id", "abc"], Surroundings::default()).map(|_| ()).unwrap_err();
    assert!(said.starts_with("F:1:2: --id is for a host on a server; add server URL"), "{said}");
    let said = run(host, &["--rate", "1"], Surroundings::default()).map(|_| ()).unwrap_err();
    assert!(said.starts_with("--rate '1': it has no unit"), "{said}");
    let Err(Failure::Help(_)) = parse(&["run", "--help"], Surroundings::default()) else { panic!("no help") };
}

#[test]
fn secrets_of_a_unit_are_found_first() {
    let (folder, credentials) = (Folder::new(), Folder::new());
    let file = folder.write("nas.toml", "[host]\nservices = [1]\npin-file = \"pin\"\n");
    folder.write("pin", "beside\n");
    let pin = |credentials: Option<&Folder>| {
        let credentials = credentials.map(|folder| folder.0.clone());
        let parsed = parse(&["run", &file], Surroundings { credentials, ..Surroundings::default() }).unwrap();
        let Command::Host(config, _) = parsed.command else { panic!("no host") };
        config.pin.as_ref().map(|pin: &Pin| pin.reveal().to_owned()).unwrap()
    };
    assert_eq!(pin(None), "beside");
    assert_eq!(pin(Some(&credentials)), "beside");
    credentials.write("pin", "credential\n");
    assert_eq!(pin(Some(&credentials)), "credential");
}

#[test]
fn no_error_shows_a_secret() {
    for text in [
        "[host]\nservices = 1\nserver = \"ws://p\"\nid = \"abc\"\ntoken = \"sesame open\"",
        "[host]\nservices = 1\nserver = \"ws://p\"\nid = \"abc\"\npublic = \"1\"\npublic-auth = \"sesame\"",
        "[client]\nurl = \"ftp://h?pin=sesame\"",
        "[client]\nurl = \"ws://h\"\npin = \"sesame",
        "[client]\nurl = \"ws://h\"\npin = [\"sesame\"]",
        "[client]\nurl = \"ws://h\"\npin = sesame",
        "[client]\nurl = \"ws://h?pin=1\"\nheader = [\"Expect: sesame\"]",
    ] {
        let said = run(text, &[], Surroundings::default()).map(|_| ()).unwrap_err();
        assert!(!said.contains("sesame"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_with_a_secret_is_remarked_if_others_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let cases = [
        ("[host]\nservices = 1\npin = 7", 0o644, Some("the pin")),
        ("[host]\nservices = 1\npin = 7", 0o600, None),
        ("[host]\nservices = 1", 0o644, None),
        ("[client]\nurl = \"ws://h?pin=7\"", 0o640, Some("the pin")),
        ("[client]\nurl = \"ws://h\"\npin = \"7\"\nproxy = 1\nproxy-auth = \"a:b\"", 0o604, Some("the pin")),
        ("[host]\nservices = 1\nserver = \"ws://p\"\nid = \"abc\"\ntoken = \"t\"", 0o644, Some("the token")),
    ];
    for (text, mode, expected) in cases {
        let file = folder.write("nas.toml", text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        for command in ["run", "verify"] {
            let remarks = parse(&[command, &file], Surroundings::default()).unwrap().remarks;
            let expected =
                expected.map(|secret| format!("others than its owner can read {secret} in {file}; chmod 600"));
            let found = remarks.first().map(|remark| expected.as_ref().is_some_and(|text| remark.starts_with(text)));
            assert_eq!(
                (remarks.len(), found),
                (usize::from(expected.is_some()), expected.map(|_| true)),
                "{remarks:?}"
            );
        }
    }
}

#[test]
fn a_file_may_ask_for_json() {
    for (text, expected) in [
        ("[host]\njson = true", true),
        ("[server]\nlog-format = \"json\"", true),
        ("[server]\nlog-format = \"text\"", false),
        ("[host]\njson = false", false),
    ] {
        let folder = Folder::new();
        let file = folder.write("nas.toml", text);
        let Err(Failure::Usage { output, .. }) = parse(&["run", &file], Surroundings::default()) else {
            panic!("{text} is accepted")
        };
        assert_eq!(output.json, expected, "{text}");
    }
}

#[test]
fn a_file_that_is_right_is_described() {
    for (text, expected) in [
        ("[host]\nservices = [1, \"web=2\"]", "it is a host of 1 and web, whose signaling listens at 127.0.0.1:0"),
        ("[host]\nallow = [\"a:1\"]\nask = true", "it is a host of what it allows, whose signaling listens at"),
        (
            "[host]\nservices = [\"1-20\"]\nserver = \"wss://p\"\nid = \"abc\"",
            "6, 7, 8 and 12 more, reached as abc through wss://p",
        ),
        ("[client]\nurl = \"ws://h?pin=sesame\"", "it is a client of ws://h/ws with 1 forward\n"),
        (
            "[client]\nurl = \"ws://h\"\nproxy = [1]\nlocals = [2]",
            "with 2 forwards; PINHOLE_PIN has to give the pin, or",
        ),
        ("[server]\nopen = true", "it is a server at 0.0.0.0:8080, and anybody may register"),
    ] {
        let folder = Folder::new();
        let file = folder.write("nas.toml", text);
        let Ok(Command::Print(said)) = parse(&["verify", &file], Surroundings::default()).map(|parsed| parsed.command)
        else {
            panic!("{text}")
        };
        assert!(said.starts_with(&format!("{file} is right: it is a ")) && said.contains(expected), "{said}");
        assert!(!said.contains("sesame"), "{said}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), near in r"(\[(host|client|server)\]\n)?([a-z-]{1,9} = [0-9a-z\[\]\{\}'., -]{0,20}\n){0,4}") {
        for text in [text, near] {
            let _ = run(&text, &[], Surroundings::default());
        }
    }
}

#[test]
fn the_files_of_the_documentation_are_right() {
    let page = include_str!("../../../docs/config.md");
    let files: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    // One for each role, and one for invitations.
    assert_eq!(files.len(), ROLES.len() + 1);
    let folder = Folder::new();
    folder.write("nas.pin", "123456\n");
    folder.write("nas.token", "abc\n");
    let own = rcgen::generate_simple_self_signed(["p.example.org".to_owned()]).unwrap();
    folder.write("fullchain.pem", own.cert.pem());
    folder.write("privkey.pem", own.signing_key.serialize_pem());
    folder.write("tokens.toml", format!("[[token]]\nhash = \"{}\"\nids = [\"nas\"]\n", "0a".repeat(32)));
    for text in files {
        let file = folder.write("nas.toml", text);
        let parsed = parse(&["verify", &file], Surroundings::default());
        assert!(parsed.is_ok(), "{text}: {parsed:?}");
    }
}
