//! Wrong usage: exit code 2 and a sentence that helps.

use crate::common::pinhole::{command, run};

#[test]
fn wrong_usage_is_exit_code_2_with_the_reason_and_what_to_do() {
    let cases: [(&[&str], &[&str]); 27] = [
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
        (&["host", "80", "--server", "ws://127.0.0.1:1"], &["--server needs a name", "--id my-host"]),
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
    let ended = run(&["client", "ws://127.0.0.1:1/ws", "0", "--json"]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    let event: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&event["event"], &event["code"]), (&"error".into(), &"usage".into()));
    assert!(event["message"].as_str().unwrap().contains("no pin"), "{event}");
}

#[test]
fn help_and_version_are_no_failures() {
    for (arguments, words) in [(["--help"], "Exit codes: 0 done"), (["--version"], env!("CARGO_PKG_VERSION"))] {
        let output = command(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(words), "{arguments:?}");
    }
}
