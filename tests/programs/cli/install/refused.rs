//! What is refused before anything is written, and before systemd is asked anything.

use super::*;

#[test]
fn a_secret_that_its_file_would_not_keep_is_refused() {
    let machine = Machine::new("lost");
    let before = machine.contents();
    let (host, client) = (["nas", "host", "1"], ["nas", "client", "wss://p.example.org/ws/nas", "1"]);
    let url = "wss://p.example.org/ws/nas?pin=12%0A34";
    let long = "1".repeat(1025);
    let cases = [
        ([&host[..], &["--pin", "12\n34"]].concat(), None, "the pin has a line break"),
        ([&host[..], &["--pin", "1234\r"]].concat(), None, "the pin ends with a carriage return"),
        ([&host[..], &["--pin", &long]].concat(), None, "the pin is longer than 1024 bytes"),
        (host.to_vec(), Some(("PINHOLE_PIN", "12\n34")), "the pin has a line break"),
        (client.to_vec(), Some(("PINHOLE_PIN", "1234\n")), "the pin has a line break"),
        (vec!["--user", "nas", "client", url, "1"], None, "the pin has a line break"),
    ];
    for (line, variable, words) in cases {
        let mut command = machine.command("install", &line);
        command.envs(variable);
        Pinhole::spawn("install", command).end().expect(2, &[words]);
        assert_eq!((machine.asked(), machine.contents()), (vec![], before.clone()), "{line:?}");
    }
}

#[test]
fn what_can_be_read_once_only_is_refused() {
    let machine = Machine::new("once");
    let pipe = machine.folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pin = machine.folder.join("pin");
    fs::write(&pin, "4711\n").unwrap();
    let before = machine.contents();
    let cases = [
        ("nas host 1 --pin-file PIPE", "--pin-file"),
        ("--user nas host 1 --pin-file PIPE", "--pin-file"),
        ("--user nas client wss://p.example.org/ws/nas 1 --pin-file /dev/stdin", "--pin-file /dev/stdin"),
        ("nas host 1 --server wss://p.example.org --id nas --token-file /dev/null", "--token-file /dev/null"),
        ("nas server --tokens PIPE", "--tokens"),
        ("--user nas server --open --tls-cert /etc --tls-key /etc/passwd", "--tls-cert /etc"),
    ];
    for (line, words) in cases {
        let line = line.replace("PIPE", pipe.to_str().unwrap());
        let mut command = machine.command("install", &line.split(' ').collect::<Vec<_>>());
        // Even a file is another one there for the unit.
        command.stdin(fs::File::open(&pin).unwrap());
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains(words) && said.contains("no regular file") && said.contains("write what"), "{said}");
        assert_eq!((machine.asked(), machine.contents()), (vec![], before.clone()), "{line}");
    }
}

#[test]
fn a_socket_that_leads_elsewhere_is_refused() {
    let machine = Machine::new("socket");
    let before = machine.contents();
    for line in [
        "nas client wss://p.example.org/ws/nas?pin=1 unix:/run/pinhole/nas/../../../srv/db.sock",
        "nas client wss://p.example.org/ws/nas?pin=1 -L unix:/run/pinhole/nas/../other/a:b:1",
        "nas client wss://p.example.org/ws/nas?pin=1 unix:/run/pinhole/nas/..",
        "nas host unix:/run/../home/me/app.sock",
    ] {
        machine.install(line).expect(2, &["takes no path with ..", "give --user before the role"]);
        assert_eq!((machine.asked(), machine.contents()), (vec![], before.clone()), "{line}");
    }
    // Two dots in a name are a name.
    machine.install("nas client wss://p.example.org/ws?pin=1 unix:/run/pinhole/nas/a..b").expect(0, &[]);
}
