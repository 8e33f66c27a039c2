use proptest::prelude::*;

use super::super::super::command::{Command, Surroundings};
use super::{Folder, parse, shown};

/// The file for a command line.
fn printed(line: &[&str], folder: &str) -> String {
    let surroundings = Surroundings { folder: Some(folder.into()), ..Surroundings::default() };
    match parse(&[&line[..1], &["--print-config"], &line[1..]].concat(), surroundings).map(|parsed| parsed.command) {
        Ok(Command::Print(text)) => text,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn a_command_line_becomes_a_file() {
    let line = ["client", "wss://h?pin=1", "web=80", "22", "-L", "unix:a.sock:b:1", "--ca", "c.pem", "--retry", "-vv"];
    let expected = "\
# pinhole run FILE does what this says; pinhole verify FILE says whether it is right.
[client]
url = \"wss://h?pin=1\" # a secret: chmod 600 keeps this file from others
locals = [\"web=80\", 22]
retry = true
dial = [\"unix:/home/me/a.sock:b:1\"]
ca = \"/home/me/c.pem\"
verbose = 2
";
    assert_eq!(printed(&line, "/home/me"), expected);
    // Nobody is asked, and nothing that makes no sense is written.
    assert!(printed(&["client", "ws://h"], "/").ends_with("[client]\nurl = \"ws://h\"\n"));
    assert!(parse(&["host", "--print-config"], Surroundings::default()).is_err());
    assert!(printed(&["host", "80", "-vvvvv"], "/").ends_with("verbose = 3\n"));
}

const HOST: &[&[&str]] = &[
    &["8080"],
    &["web=unix:/run/a b.sock"],
    &["dns=udp:53"],
    &["8000-8003"],
    &["--listen=:5000"],
    &["--once"],
    &["--max-sessions", "3"],
    &["--allow=*.internal:80,443"],
    &["--allow", "10.0.0.0/8:1-9"],
    &["--allow-reverse=8000"],
    &["--proxy-protocol=v2"],
    &["--server", "wss://p.example.org", "--id=123"],
    &["--token=a\"b\\c'#"],
    &["--server-dial"],
    &["--header=X-A: \"q\"\t#'"],
    &["--retry"],
    &["--no-stun"],
    &["--stun=stun:a"],
    &["--no-relay"],
    &["--grace", "5"],
    &["--rate=20mbit"],
    &["--memory=64MiB"],
    &["-q"],
    &["-vvv"],
    &["--json"],
];

const CLIENT: &[&[&str]] = &[
    &["web=8080"],
    &["db=unix:/tmp/d.sock"],
    &["-L", "5432:db.local:5432"],
    &["-L8000-8001:a:9000-9001"],
    &["-R", "8000:127.0.0.1:3000"],
    &["-D", "1080", "-D0"],
    &["--proxy-auth=a:b"],
    &["-W", "ssh"],
    &["--once"],
    &["--retry"],
    &["--header=A: b", "--header", "C: d"],
    &["--relay-only"],
    &["--p2p-timeout=9"],
    &["--max-streams=12"],
    &["--udp-idle=7"],
    &["-v"],
];

const SERVER: &[&[&str]] = &[
    &["--open"],
    &["--tokens=/etc/tokens"],
    &["--listen=:443"],
    &["--tls-cert=/c", "--tls-key=/k"],
    &["--max-hosts", "5"],
    &["--trusted-proxy=10.0.0.0/8", "--trusted-proxy=::1"],
    &["--log-format=json"],
    &["--gateway-domain=p.example.org", "--gateway-listen=:80"],
    &["--admin-listen", "9", "--name=a", "--no-control"],
    &["--cluster-secret-file=/s", "--peer=ws://10.0.0.2:7000", "--peer-listen=:7000"],
    &[
        "--cluster-secret-file=/s",
        "--peer-listen=:7000",
        "--directory=redis://:p@a/1",
        "--advertise=ws://10.0.0.1:7000",
    ],
];

/// A command line of some of these options, with a pin.
fn some_line() -> impl Strategy<Value = Vec<String>> {
    let some = |role: &'static str, options: &'static [&'static [&'static str]]| {
        let chosen = proptest::sample::subsequence(options, 0..options.len());
        let pin =
            proptest::option::of(any::<String>().prop_filter("a pin", |pin| !pin.is_empty() && !pin.contains('\0')));
        (chosen, pin).prop_map(move |(chosen, pin)| {
            let url = if role == "client" { Some("ws://h/ws".to_owned()) } else { None };
            let pin = pin.filter(|_| role != "server").map(|pin| format!("--pin={pin}"));
            let words = chosen.into_iter().flat_map(|words| words.iter().map(|word| (*word).to_owned()));
            [role.to_owned()].into_iter().chain(url).chain(words).chain(pin).collect()
        })
    };
    prop_oneof![some("host", HOST), some("client", CLIENT), some("server", SERVER)]
}

proptest! {
    #[test]
    fn a_file_says_what_its_command_line_said(line in some_line()) {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let Ok(expected) = parse(&line, Surroundings::default()) else { return Ok(()) };
        let folder = Folder::new();
        let text = printed(&line, "/");
        let file = folder.write("nas.toml", &text);
        let found = parse(&["run", &file], Surroundings::default());
        let found = found.unwrap_or_else(|failure| panic!("{failure}\n{text}"));
        prop_assert_eq!(shown(&found.command), shown(&expected.command));
        // What is read is written the same way.
        let again = parse(&["run", &file, "--print-config"], Surroundings { folder: Some("/".into()), ..Surroundings::default() });
        prop_assert!(matches!(again.unwrap().command, Command::Print(again) if again == text));
    }
}
