//! Wrong usage: exit code 2 and a sentence that helps.

use crate::common::pinhole::{command, run};

#[test]
fn wrong_usage_is_exit_code_2_with_the_reason_and_what_to_do() {
    let cases: [(&[&str], &[&str]); 28] = [
        (&["client", "ws://127.0.0.1:1/?pin=1", "0", "--header", "Expect: x"], &["--header 'Expect': pinhole sets"]),
        (&[], &["no command is given", "Usage: pinhole", "pinhole host 25565"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["serve"], &["serve"]),
        (&["host"], &["nothing is shared", "--allow"]),
        (&["host", "0"], &["TARGET '0'", "port 0", "for example 8080"]),
        (&["host", "http://localhost:80"], &["that is a URL, not an address"]),
        (&["host", "70000"], &["TARGET '70000'", "0 to 65535"]),
        (&["host", "80", "--listen", "example.com:1"], &["--listen 'example.com:1'", "addresses of this machine"]),
        (&["host", "80", "--max-sessions", "0"], &["--max-sessions '0'", "1 to 1024"]),
        (&["host", "80", "--ask"], &["--ask", "terminal"]),
        (&["host", "80", "--pin", ""], &["--pin", "at least one character"]),
        (&["client", "what is this", "0"], &["URL", "wss://"]),
        (&["client", "ws://127.0.0.1:1/ws", "0"], &["no pin", "?pin=123456", "--pin", "PINHOLE_PIN"]),
        (&["client", "ws://127.0.0.1:1/ws?pin=1", "0", "--ca", "x"], &["--ca", "ws://", "wss://"]),
        (&["client", "ws://127.0.0.1:1/ws?pin=1", "web=nowhere"], &["LOCAL 'web=nowhere'"]),
        (&["client", "ws://127.0.0.1:1/ws?pin=1", "-R", "80"], &["-R '80'", "for example 8080:127.0.0.1:80"]),
        (&["client", "ws://127.0.0.1:1/ws?pin=1", "-L", "80"], &["-L '80'", "for example 5432:db.local:5432"]),
        (&["client", "ws://127.0.0.1:1/ws?pin=1", "0", "--rate", "fast"], &["--rate 'fast'", "for example 20mbit"]),
        (&["host", "80", "--memory", "1"], &["--memory '1'", "for example 64MiB"]),
        (&["host", "--allow-reverse", "x"], &["--allow-reverse 'x'", "for example 8080"]),
        (&["client", "ws://127.0.0.1:1/ws?pin=1", "0", "--pin", "2"], &["--pin is not the pin in the URL"]),
        (&["host", "80", "--public", "80"], &["--public is for a host on a server", "--server URL"]),
        (&["host", "80", "--server", "ws://127.0.0.1:1"], &["--server needs a name", "for example my-host"]),
        (&["host", "80", "--pin-file", "/no/such/file"], &["--pin-file", "/no/such/file"]),
        (&["server"], &["--tokens FILE", "--open"]),
        (&["server", "--open", "--tls-cert", "c.pem"], &["add --tls-key"]),
        (&["server", "--open", "--max-hosts", "0"], &["--max-hosts '0'", "for example 10000"]),
    ];
    for (arguments, words) in cases {
        let ended = run(arguments);
        ended.expect(2, words);
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn with_json_a_usage_error_is_one_object_on_stdout() {
    let cases: [(&[&str], &str); 9] = [
        (&["client", "ws://127.0.0.1:1/ws", "0", "--json"], "the URL has no pin, and there is no terminal to ask at"),
        (&["host", "--json", "0"], "TARGET '0': nothing can be reached on port 0; give"),
        (&["--json"], "unexpected argument '--json' found"),
        (&["--json", "serve"], "unexpected argument '--json' found"),
        (&["serve", "--json"], "unrecognized subcommand 'serve'; tip: "),
        (&["host", "80", "--no-such-flag", "--json"], "unexpected argument '--no-such-flag' found; tip: "),
        (&["client", "--json"], "the following required arguments were not provided: <URL>"),
        (&["check", "--json", "--stun", "a:1", "--no-stun"], "the argument '--stun <HOST:PORT>' cannot be used with"),
        (&["server", "--log-format=json", "--max-hosts"], "a value is required for '--max-hosts <N>' but none was"),
    ];
    for (arguments, message) in cases {
        let ended = run(arguments);
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(2), 1), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stderr, "", "{arguments:?}");
        let event: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&event["event"], &event["code"]), (&"error".into(), &"usage".into()));
        assert!(event["message"].as_str().unwrap().starts_with(message), "{event}");
    }
}

#[test]
fn behind_two_hyphens_json_is_a_value() {
    let ended = run(&["host", "--", "--json"]);
    ended.expect(2, &["error: TARGET '--json': "]);
    assert_eq!(ended.stdout, "");
}

#[test]
fn help_stays_help_with_json() {
    let ended = run(&["host", "--json", "--help"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("Usage: pinhole host"), "{ended:?}");
}

#[test]
fn help_and_version_are_no_failures() {
    for (arguments, words) in [(["--help"], "Exit codes: 0 done"), (["--version"], env!("CARGO_PKG_VERSION"))] {
        let output = command(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(words), "{arguments:?}");
    }
}
