//! The questions of the wizard, through a pseudo-terminal.

use std::io::{Read, Write};

use data_encoding::BASE64;
use nix::sys::signal::Signal;

use super::terminal::{Outputs, Terminal, word_after};
use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, command};
use crate::common::services::echo;
use crate::common::{ReservedPort, connect};

#[test]
fn the_questions_of_a_host_lead_to_a_host() {
    let target = echo();
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("What do you want to do");
    wizard.wait_for("Number or answer");
    wizard.type_in("host\r");
    wizard.wait_for("What to share");
    wizard.type_in("0\r");
    wizard.wait_for("nothing can be reached on port 0");
    wizard.wait_for("What to share");
    wizard.type_in(&format!("{}\r", target.port()));
    wizard.wait_for("Who is to reach it");
    wizard.type_in("1\r");
    wizard.wait_for("a port that is forwarded already");
    wizard.type_in("\r");
    wizard.wait_for(&format!("The same without questions:\n  pinhole host {}\n", target.port()));
    let text = wizard.wait_for("Waiting for clients");
    let (signaling, pin) = (word_after(&text, "Signaling"), word_after(&text, "Pin"));
    assert!(pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit()), "{pin}");
    let port = signaling.rsplit(':').next().unwrap();
    for line in [
        format!("Ports panel → Forward a Port → {port} → visibility Public → copy the address"),
        format!("pinhole client 'wss://<forwarded-address>/ws?pin={pin}' {}", target.port()),
    ] {
        assert!(text.contains(&line), "{line:?} is missing in {text}");
    }

    let mut client = Pinhole::client(&format!("ws://{signaling}/ws?pin={pin}"), &[]);
    let mut stream = connect(client.local());
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    wizard.wait_for("connected directly");
    wizard.wait_for("1 stream");
    drop(stream);
    client.stop();
    wizard.wait_for("disconnected");
    wizard.signal(Signal::SIGINT);
    assert_eq!(wizard.end(), Some(0));
}

#[test]
fn a_host_that_is_forwarded_already_says_all_there_is_to_pass_on() {
    let port = ReservedPort::new().address.port();
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("Number or answer");
    wizard.type_in("host\r");
    wizard.wait_for("What to share");
    wizard.type_in("8080\r");
    wizard.wait_for("Nothing answers on localhost:8080 at present");
    wizard.type_in("\r");
    wizard.wait_for("Who is to reach it");
    wizard.type_in("1\r");
    wizard.wait_for("a port that is forwarded already");
    wizard.type_in(&format!("https://abc-{port}.test/\r"));
    wizard.wait_for(&format!("that it leads to [{port}]"));
    wizard.type_in("\r");
    wizard.wait_for("to the clipboard of this terminal");
    wizard.wait_for("Number or answer");
    wizard.type_in("yes\r");
    wizard.wait_for(&format!("pinhole host 8080 --listen {port} --public-url wss://abc-{port}.test/ws --qr\n"));
    let text = wizard.wait_for("in the clipboard, if this terminal allows that");
    let pin = word_after(&text, "Pin");
    let copied = BASE64.encode(format!("pinhole client 'wss://abc-{port}.test/ws?pin={pin}' 8080").as_bytes());
    assert!(wizard.raw().contains(&format!("\x1b]52;c;{copied}\x07")), "{:?}", wizard.raw());
    assert!(text.lines().filter(|line| line.contains('▀') || line.contains('▄')).count() > 10, "{text}");
    assert!(text.contains(&format!("pinhole client 'wss://abc-{port}.test/ws?pin={pin}' 8080\n")), "{text}");
    assert!(!text.contains("<forwarded-address>"), "{text}");
    wizard.signal(Signal::SIGINT);
    assert_eq!(wizard.end(), Some(0));
}

#[test]
fn a_host_shows_a_qr_code_at_the_terminal() {
    let arguments = ["host", "8080", "--pin", "123456", "--qr", "--public-url", "https://abc-5000.test"];
    let mut host = Terminal::start(&arguments);
    let text = host.wait_for("Waiting for clients");
    assert!(text.contains("pinhole client 'wss://abc-5000.test/ws?pin=123456' 8080"), "{text}");
    assert!(text.lines().filter(|line| line.contains("▀") || line.contains("▄")).count() > 10, "{text}");
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
}

#[test]
fn the_questions_of_a_client_lead_to_a_client() {
    let mut host = Pinhole::host(echo(), &["--pin", "123456"]);
    let url = host.url();
    let (bare, _) = url.split_once('?').unwrap();
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("Number or answer");
    wizard.type_in("client\r");
    wizard.wait_for("The URL that the host passed on");
    wizard.wait_for("wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456");
    wizard.type_in(&format!("{bare}\r"));
    wizard.wait_for("The pin that the host printed");
    wizard.type_in("123456\r");
    wizard.wait_for("The local port to listen on");
    wizard.type_in("0\r");
    wizard.wait_for(&format!("The same without questions:\n  pinhole client '{url}' 0\n"));
    wizard.wait_for("connected directly");
    let text = wizard.wait_for(" is now ");
    let local = text.split_whitespace().rev().nth(2).unwrap();
    let mut stream = connect(local.parse().unwrap_or_else(|error| panic!("{local}: {error} in {text}")));
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    drop(stream);
    wizard.signal(Signal::SIGTERM);
    assert_eq!(wizard.end(), Some(0));
    host.event("disconnected");
    host.stop();
}

#[test]
fn a_missing_pin_is_asked_for() {
    let mut host = Pinhole::host(echo(), &["--pin", "123456"]);
    let url = host.url();
    let (bare, _) = url.split_once('?').unwrap();
    let mut client = Terminal::start(&["client", bare, "0", "--once"]);
    client.wait_for("The pin that the host printed");
    client.type_in("123456\r");
    client.wait_for(" is now ");
    host.stop();
    assert_eq!(client.end(), Some(0));
}

#[test]
fn leaving_the_questions_starts_nothing() {
    for (name, leave) in [("Esc", "\x1b"), ("Ctrl-D", "\x04"), ("Ctrl-C", "\x03")] {
        let mut wizard = Terminal::start(&[]);
        wizard.wait_for("Number or answer");
        wizard.type_in(leave);
        assert_eq!(wizard.end(), Some(1), "{name}");
        assert!(wizard.shown().contains("nothing was started"), "{name}: {}", wizard.shown());
    }
}

#[test]
fn one_signal_ends_the_questions_at_once() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for plain in [&[][..], &["--plain"]] {
            let mut wizard = Terminal::start(plain);
            wizard.wait_for("Number or answer");
            if plain.is_empty() {
                // Between two keys, too.
                wizard.type_in("1\x7f");
                wizard.wait_for("1");
            }
            wizard.signal(signal);
            assert_eq!(wizard.end(), Some(1), "{signal} {plain:?}");
            assert!(wizard.shown().contains("nothing was started"), "{}", wizard.shown());
        }
    }
}

#[test]
fn a_list_is_moved_in_and_what_listens_is_offered() {
    let target = echo();
    let mut wizard = Terminal::start(&[]);
    wizard.see("the choices", |text| text.contains(">  1  Share a service of this machine (host)"));
    wizard.type_in("\x1b[B");
    wizard.see("the other one", |text| text.contains(">  2  Use a service that somebody shares (client)"));
    wizard.type_in("\x1b[A\r");
    // Other tests listen, too: the port may be beyond those that are offered.
    wizard.see("what listens", |text| text.contains("What to share") && text.contains("another port, or host:port"));
    wizard.type_in(&format!("{}\r", target.port()));
    wizard.wait_for("Who is to reach it");
    wizard.see("the first reach", |text| text.contains(">  1  somebody anywhere"));
    wizard.type_in("\x1b[B\r");
    wizard.wait_for(&format!("The same without questions:\n  pinhole host {} --listen :", target.port()));
    let text = wizard.wait_for("Waiting for clients");
    assert!(text.contains("Signaling  [::]:") && text.contains("On its network"), "{text}");
    wizard.signal(Signal::SIGINT);
    assert_eq!(wizard.end(), Some(0));
}

#[test]
fn the_list_is_plain_where_the_cursor_cannot_move() {
    for (arguments, term) in [(&["--plain"][..], "xterm"), (&[], "dumb")] {
        let mut command = command(arguments);
        command.env("TERM", term).env("XDG_CONFIG_HOME", "/nowhere");
        let mut wizard = Terminal::of(command, (80, 24), Outputs::Both);
        let text = wizard.wait_for("Number or answer [1]: ");
        assert!(text.contains("\n   1  Share a service") && text.contains("\n   2  Use a service"), "{text}");
        wizard.type_in("what\n");
        wizard.wait_for("type host to share");
        wizard.type_in("2\n");
        wizard.wait_for("The URL that the host passed on: ");
        wizard.type_in("nonsense://\n");
        wizard.wait_for("The URL that the host passed on: ");
        wizard.type_in("\x04");
        assert_eq!(wizard.end(), Some(1));
        assert!(!wizard.raw().contains('\x1b'), "{:?}", wizard.raw());
    }
}

#[test]
fn a_saved_host_is_offered_and_joined_under_its_name() {
    let mut host = Pinhole::host(echo(), &["--pin", "123456"]);
    let folder = Folder::new("wizard-hosts");
    let home = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("XDG_CONFIG_HOME", &folder.0);
        command
    };
    let saving = home(&["client", "--save", "nas", &host.url(), "0", "--no-stun"]).output().unwrap();
    assert!(saving.status.success(), "{saving:?}");
    let mut wizard = Terminal::of(home(&[]), (80, 40), Outputs::Both);
    wizard.wait_for("Number or answer");
    wizard.type_in("client\r");
    wizard.wait_for("Which host");
    wizard.see("the host", |text| text.contains(">  1  nas  ws://127.0.0.1:"));
    wizard.type_in("\r");
    wizard.wait_for("The same without questions:\n  pinhole client nas\n");
    wizard.wait_for("connected directly");
    wizard.signal(Signal::SIGINT);
    assert_eq!(wizard.end(), Some(0));
    host.stop();
}

#[test]
fn what_is_typed_is_looked_at_once() {
    let (free, taken) = (ReservedPort::new(), echo());
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("Number or answer");
    wizard.type_in("host\r");
    wizard.wait_for("What to share");
    wizard.type_in(&format!("127.0.0.1:{}\r", free.address.port()));
    wizard.wait_for(&format!("Nothing answers on {} at present", free.address));
    wizard.type_in("2\r");
    wizard.wait_for("What to share");
    wizard.type_in(&format!("{}\r", taken.port()));
    wizard.wait_for("Who is to reach it");
    wizard.type_in("1\r");
    wizard.wait_for("a port that is forwarded already");
    wizard.type_in("\x03");
    assert_eq!(wizard.end(), Some(1));

    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("Number or answer");
    wizard.type_in("client\r");
    wizard.wait_for("The URL that the host passed on");
    wizard.type_in("ftp://x\r");
    wizard.wait_for("The URL that the host passed on");
    wizard.type_in("ws://127.0.0.1:1/ws?pin=1\r");
    wizard.wait_for("The local port to listen on");
    wizard.type_in(&format!("{}\r", taken.port()));
    wizard.wait_for(&format!("something listens on port {} already", taken.port()));
    wizard.type_in("\x03");
    assert_eq!(wizard.end(), Some(1));
}

#[test]
fn a_host_that_asks_lets_in_whom_the_person_lets_in() {
    let mut host = Terminal::start(&["host", &echo().to_string(), "--ask", "--pin", "123456"]);
    let text = host.wait_for("Waiting for clients");
    let url = format!("ws://{}/ws?pin=123456", word_after(&text, "Signaling"));

    let mut refused = Pinhole::client(&url, &[]);
    host.wait_for("[y/N]");
    host.type_in("n\r");
    let ended = refused.end();
    ended.expect(1, &["the host did not let this client in", r#""code":"denied""#]);

    let mut client = Pinhole::client(&url, &[]);
    host.wait_for("[y/N]");
    host.type_in("y\r");
    client.local();
    client.stop();
    host.wait_for("disconnected");
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
}
