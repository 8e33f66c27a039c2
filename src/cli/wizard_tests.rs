//! Tests of the questions, with answers from a script.

use super::*;
use crate::cli::listening::Listening;
use crate::cli::question::script::Script;

fn run(answers: &[&'static str], pin: Option<&str>) -> (Result<Answers, NoAnswer>, Vec<String>) {
    run_at(answers, Around { pin: pin.and_then(Pin::new), ..Around::default() })
}

fn run_at(answers: &[&'static str], around: Around) -> (Result<Answers, NoAnswer>, Vec<String>) {
    let mut script = Script::new(answers);
    let result = questions(&mut |question| script.ask(question), around);
    (result, script.asked)
}

fn command(answers: &[&'static str]) -> String {
    let (result, asked) = run(answers, None);
    let answers = result.unwrap_or_else(|error| panic!("{error} after {asked:?}"));
    answers.command()
}

#[test]
fn answers_become_the_same_command() {
    let url = "wss://abc-5000.asse.devtunnels.ms/ws?pin=123456";
    let cases: [(&[&'static str], &str); 12] = [
        (&["", "", "", ""], "pinhole host 25565"),
        (&["host", "80", "", ""], "pinhole host 80"),
        (&["H", "db.local:5432", "1", ""], "pinhole host db.local:5432"),
        (&["share", "[::1]:80", "1", ""], "pinhole host '[::1]:80'"),
        (&["what?", "h", "0", "ssh", "22", "", ""], "pinhole host 22"),
        (
            &["h", "80", "https://abc-7000.asse.devtunnels.ms/", ""],
            "pinhole host 80 --listen 7000 --public-url wss://abc-7000.asse.devtunnels.ms/ws",
        ),
        (
            &["h", "80", "ftp://x", "https://p.example.org/?pin=1", "0.0.0.0:81"],
            "pinhole host 80 --listen 0.0.0.0:81 --public-url wss://p.example.org/ws",
        ),
        (&["h", "80", "ws://a-70000.test", ""], "pinhole host 80 --listen 5000 --public-url ws://a-70000.test/ws"),
        (&["client", url, ""], "pinhole client 'wss://abc-5000.asse.devtunnels.ms/ws?pin=123456' 25565"),
        (
            &["c", "https://abc-5000.asse.devtunnels.ms/", "123456", "0"],
            "pinhole client 'wss://abc-5000.asse.devtunnels.ms/ws?pin=123456' 0",
        ),
        (
            &["c", "", "ftp://x", "ws://[::1]:5000?pin=a%20b", "0.0.0.0:80"],
            "pinhole client 'ws://[::1]:5000/ws?pin=a%20b' 0.0.0.0:80",
        ),
        (
            &["use", "ws://127.0.0.1:5000", "", "1", "web:80", "[::1]:80"],
            "pinhole client 'ws://127.0.0.1:5000/ws?pin=1' '[::1]:80'",
        ),
    ];
    for (answers, expected) in cases {
        assert_eq!(command(answers), expected, "{answers:?}");
    }
}

#[test]
fn wrong_answers_are_asked_again_with_the_reason() {
    let (result, asked) = run(&["both", "host", "0", "80", "", ""], None);
    assert!(matches!(result, Ok(Answers::Host(..))));
    assert_eq!(asked.len(), 6);
    assert!(asked[1].starts_with("(type host to share"), "{asked:?}");
    assert!(asked[3].starts_with("(nothing can be reached on port 0; give a port"), "{asked:?}");
}

#[test]
fn the_environments_pin_is_used_where_the_url_has_none() {
    let pin_of = |answers: &[&'static str]| match run(answers, Some("env")).0 {
        Ok(Answers::Host(config, _)) => config.pin.map(|pin| pin.reveal().to_string()),
        Ok(Answers::Client(config)) => Some(config.pin.reveal().to_string()),
        Ok(Answers::Saved(name)) => panic!("{name:?}"),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(pin_of(&["host", "80", "", ""]).as_deref(), Some("env"));
    assert_eq!(pin_of(&["client", "ws://h/ws", "80"]).as_deref(), Some("env"));
    assert_eq!(pin_of(&["client", "ws://h/ws?pin=url", "80"]).as_deref(), Some("url"));
}

#[test]
fn leaving_at_any_question_ends_the_wizard() {
    for answers in [["client", "ws://h/ws", "123456", "80"], ["host", "80", "1", "ws://h-5000.test"]] {
        for count in 0..answers.len() {
            let (result, asked) = run(&answers[..count], None);
            assert!(matches!(result, Err(NoAnswer::Cancelled)), "{asked:?}");
            assert_eq!(asked.len(), count + 1);
        }
    }
}

#[test]
fn the_command_of_a_host_parses_to_the_same_target() {
    for target in ["25565", "[::1]:80", "db.local:5432", "0.0.0.0:1"] {
        let target = parse::target(target).unwrap();
        assert_eq!(parse::target(&short(&target)), Ok(target));
    }
}

/// A machine where something listens on two ports, and one saved host.
fn around() -> Around {
    let listening = || {
        let entry = |port, program: Option<&str>| Listening {
            target: Target { host: "localhost".into(), port },
            program: program.map(str::to_owned),
        };
        vec![entry(8080, Some("node")), entry(5432, None)]
    };
    let answers = |target: &Target| Some(target.port == 8080);
    let saved = vec![(SavedName::parse("nas").unwrap(), "wss://p.example.org/ws/nas".to_owned())];
    Around { pin: None, machine: Machine { listening, answers, ..Machine::default() }, saved }
}

#[test]
fn a_host_chooses_among_what_listens() {
    let cases: [(&[&'static str], &str); 6] = [
        (&["1", "1", "", ""], "pinhole host 8080"),
        (&["", "2", "", ""], "pinhole host 5432"),
        (&["1", "3", "8080", "", ""], "pinhole host 8080"),
        (&["host", "8080", "", ""], "pinhole host 8080"),
        // Nothing answers there, and it is shared all the same, or not.
        (&["host", "81", "1", "", ""], "pinhole host 81"),
        (&["host", "81", "2", "1", "", ""], "pinhole host 8080"),
    ];
    for (answers, expected) in cases {
        let (result, asked) = run_at(answers, around());
        let answers = result.unwrap_or_else(|error| panic!("{error} after {asked:?}"));
        assert_eq!(answers.command(), expected, "{asked:?}");
    }
    let (_, asked) = run_at(&["1", "81"], around());
    assert_eq!(asked[1], "What to share [8080  node | 5432 | another port, or host:port]");
    assert!(asked[2].starts_with("Nothing answers on localhost:81 at present ["), "{asked:?}");
}

#[test]
fn a_client_chooses_among_saved_hosts_and_takes_no_port_that_is_taken() {
    for answers in [["2", "1"], ["client", "nas"]] {
        let (result, asked) = run_at(&answers, around());
        assert_eq!(result.unwrap().command(), "pinhole client nas", "{asked:?}");
        assert_eq!(asked[1], "Which host [nas  wss://p.example.org/ws/nas | another one, by its URL]");
    }
    let url = "wss://h.test/ws?pin=1";
    for answers in [&["2", "2", url, "8080", "81"][..], &["2", url, "8080", "81"]] {
        let (result, asked) = run_at(answers, around());
        assert_eq!(result.unwrap().command(), "pinhole client 'wss://h.test/ws?pin=1' 81", "{asked:?}");
        assert!(asked.iter().any(|asked| asked.starts_with("(something listens on port 8080 already")), "{asked:?}");
    }
}

#[test]
fn a_complete_address_brings_a_qr_code_that_fits_and_a_copy_that_is_wanted() {
    let with = |screen| Around { machine: Machine { screen, ..around().machine }, ..around() };
    let address = ["1", "1", "https://abc-7000.asse.devtunnels.ms/", ""];
    let extras = |screen, more: &[&'static str]| match run_at(&[&address[..], more].concat(), with(screen)) {
        (Ok(answers @ Answers::Host(_, extras)), _) => (extras.qr, extras.copy, answers.command().ends_with(" --qr")),
        other => panic!("{other:?}"),
    };
    assert_eq!(extras(Some((80, 40)), &["1"]), (true, false, true));
    assert_eq!(extras(Some((80, 40)), &["2"]), (true, true, true));
    // The code and the command below it do not fit.
    assert_eq!(extras(Some((80, 24)), &["yes"]), (false, true, false));
    // Nobody is asked for a clipboard that is not there, nor for one of an address that nobody knows.
    assert_eq!(extras(None, &[]), (false, false, false));
    let (result, asked) = run_at(&["1", "1", "", ""], with(Some((80, 40))));
    assert!(matches!(result, Ok(Answers::Host(_, Extras { qr: false, copy: false }))), "{asked:?}");
}

#[test]
fn a_host_for_the_network_listens_on_every_address_and_one_for_this_machine_on_none() {
    assert_eq!(command(&["host", "80", "2"]), "pinhole host 80 --listen :5000");
    assert_eq!(command(&["host", "80", "3"]), "pinhole host 80 --listen 5000");
    let (_, asked) = run(&["host", "80"], None);
    let choices = "[somebody anywhere: through a forwarded port (VS Code or the like) | \
                   machines of this network: listen on every address | this machine alone]";
    assert_eq!(asked[2], format!("Who is to reach it {choices}"));
    // The usual port is taken.
    let machine = Machine { answers: |target| Some(target.port == 5000), ..Machine::default() };
    let (result, asked) = run_at(&["host", "80", "1", "2"], Around { machine, ..Around::default() });
    assert_eq!(result.unwrap().command(), "pinhole host 80 --listen :0", "{asked:?}");
}

#[test]
fn the_port_is_guessed_from_a_forwarders_name_or_this_machines_address_only() {
    let addresses = || vec!["10.77.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let machine = Machine { addresses, ..Machine::default() };
    for (url, guess) in [
        ("https://abc-7000.asse.devtunnels.ms", "7000"),
        ("10.77.0.1:5001", ":5001"),
        ("ws://[2001:db8::1]:5002", ":5002"),
        ("ws://127.0.0.1:5003", "5003"),
        ("192.0.2.10:6000", "5000"),
        ("ws://7000.example.org", "5000"),
        ("https://abc-0.example.org", "5000"),
    ] {
        let (_, asked) = run_at(&["host", "80", "1", url], Around { machine, ..Around::default() });
        assert_eq!(asked[4], format!("The port of this machine that it leads to [{guess}]"), "{url}");
    }
}

#[test]
fn a_signaling_port_that_is_taken_is_refused_at_once() {
    let (result, asked) = run_at(&["1", "1", "1", "https://abc-8080.example.org", "", "5000"], around());
    assert!(asked[5].starts_with("(something listens on port 8080 already; give another) The port"), "{asked:?}");
    assert!(result.unwrap().command().contains("--listen 5000"));
}

#[test]
fn words_are_no_addresses() {
    for word in ["abc", "foo/a.b", "4"] {
        let (_, asked) = run_at(&["host", "80", word], Around::default());
        assert!(asked[3].starts_with("(that is no address that others can reach; a right URL looks like"), "{asked:?}");
        assert!(!asked[3].contains("pin"), "{asked:?}");
    }
    for address in ["localhost", "myhost:5000", "[::1]", "p.example.org", "ws://myhost"] {
        assert!(parse::public_url(address).is_ok(), "{address}");
    }
}

#[test]
fn a_pasted_command_brings_its_port_and_is_no_pin() {
    let pasted = "pinhole client 'ws://h.test/ws?pin=1' 8080";
    assert_eq!(command(&["client", pasted, ""]), "pinhole client 'ws://h.test/ws?pin=1' 8080");
    assert_eq!(command(&["client", pasted, "81"]), "pinhole client 'ws://h.test/ws?pin=1' 81");
    assert!(command(&["client", "pinhole client 'ws://h.test/ws?pin=1' -L 1:a:2", ""]).ends_with(" 25565"));
    let (result, asked) = run(&["client", "ws://h.test", pasted, "ws://h.test/ws?pin=1", "1", ""], None);
    assert_eq!(result.unwrap().command(), "pinhole client 'ws://h.test/ws?pin=1' 25565");
    for asked in &asked[3..5] {
        assert!(asked.starts_with("(that is a command or a URL, and not a pin; give only the pin"), "{asked}");
    }
}
