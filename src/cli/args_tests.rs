use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, Command, CommandFactory};

use super::super::choices::{OUTPUT_HELP, PROXY_HELP};
use super::super::failure::{Failure, UsageError};
use super::super::{check, client, command, documents, host, line, parse, ping, quantity, running, server};
use super::*;
use crate::config::{
    ClientConfig, DEFAULT_HOST_LISTEN, DEFAULT_STUN_SERVERS, HostConfig, ServerAccess, ServerConfig,
    default_stun_servers,
};
use crate::tunnel;

/// Flags whose value is free text, and why it stays that.
const FREE_TEXT: [(&str, &str); 1] = [("public", "only a service of the same command line can be right")];

/// What is read as arguments of another command.
const ARGUMENTS: &str = "options";

/// The commands with their arguments, as they are when they run.
fn commands() -> Vec<Command> {
    let mut root = Arguments::command();
    root.build();
    root.get_subcommands().cloned().collect()
}

fn takes_value(argument: &&Arg) -> bool {
    argument.get_action().takes_values()
}

/// What an error calls the argument.
fn name(argument: &Arg) -> String {
    match (argument.get_long(), argument.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => argument.get_value_names().unwrap()[0].rsplit(']').next().unwrap().to_owned(),
    }
}

fn usage(line: &[&str]) -> String {
    match line::parse([&["pinhole"], line].concat(), command::Surroundings::default()) {
        Err(failure @ Failure::Usage { .. }) => failure.to_string(),
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn clap_finds_the_definition_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_value_has_a_type() {
    let path = ValueParser::path_buf().type_id();
    for command in commands() {
        for argument in command.get_arguments().filter(takes_value).filter(|argument| argument.get_id() != ARGUMENTS) {
            let id = argument.get_id().as_str();
            let parser = argument.get_value_parser().type_id();
            let is_text = parser == ValueParser::string().type_id();
            let is_exception = FREE_TEXT.iter().any(|(free, _)| *free == id);
            assert_eq!(is_text, is_exception, "{} {id}", command.get_name());
            assert_ne!(parser, ValueParser::os_string().type_id(), "{} {id}", command.get_name());
            if parser == path {
                let name = argument.get_value_names().unwrap()[0].as_str();
                assert!(["FILE", "DIR"].contains(&name), "{} {id}", command.get_name());
            }
        }
    }
}

/// For each argument a value that is wrong by itself, and the beginning of what is said.
#[rustfmt::skip]
const WRONG: &[(&[&str], &str)] = &[
    (&["install", "a@b", "host"], "NAME 'a@b': the name of a unit is 1 to 64 of a to z, A to Z, 0 to 9, dot, hyphen and"),
    (&["uninstall", ".nas"], "NAME '.nas': the name of a unit is 1 to 64 of a to z, A to Z, 0 to 9, dot, hyphen and"),
    (&["host", "0"], "TARGET '0': nothing can be reached on port 0; give [NAME=]TARGET, for example 8080"),
    (&["host", "--listen", "x"], "--listen 'x': it has no port number, and names of services are not understood; give"),
    (&["host", "--public-url", "ftp://a"], "--public-url: the URL must begin with wss:// or ws://; a right URL looks like"),
    (&["host", "--public-url", "foo?pin=1"], "--public-url: that is no address that others can reach; a right URL"),
    (&["host", "--pin", ""], "--pin '': a pin has at least one character; give the pin that the host printed"),
    (&["host", "--max-sessions", "-1"], "--max-sessions '-1': that many sessions are not possible; give a number"),
    (&["host", "--allow", "a"], "--allow 'a': it has no ports after a colon; * stands for all of them; give HOST:PORTS"),
    (&["host", "--allow-reverse", "a"], "--allow-reverse 'a': the port is not a number from 0 to 65535; give [BIND:]"),
    (&["host", "--proxy-protocol", "a=v3"], "--proxy-protocol 'a=v3': the versions are v1 and v2; give v1 or v2, or"),
    (&["host", "--server", "ws://a?b"], "--server: the URL of a server has no pin and nothing else after a question mark"),
    (&["host", "--id", "Me"], "--id 'Me': an id has 3 to 63 of a to z, 0 to 9 and hyphen, and no hyphen at"),
    (&["host", "--token", "a b"], "--token: a token has 1 to 256 printable ASCII characters and no spaces; give one"),
    (&["host", "--public-auth", "a"], "--public-auth: there is no colon between user name and password; give USER"),
    (&["host", "--header", "a"], "--header 'a': it has no colon; give 'Name: value', for example 'X-Tunnel"),
    (&["host", "--stun", "turn:a"], "--stun 'turn:a': that is a TURN server, and none is used: where no direct path"),
    (&["host", "--p2p-timeout", "0"], "--p2p-timeout '0': that is no number of seconds from 1 to 120; give whole seconds"),
    (&["host", "--grace", "1s"], "--grace '1s': that is no number of seconds from 1 to 86400; give whole seconds"),
    (&["host", "--rate", "1"], "--rate '1': it has no unit; give bits or bytes a second, for example 20mbit"),
    (&["host", "--memory", "1MiB"], "--memory '1MiB': it is not between 4MiB and 64GiB; give a number and a unit"),
    (&["host", "--max-streams", "0"], "--max-streams '0': it is not between 1 and 16384; give a whole number"),
    (&["host", "--udp-idle", "-1"], "--udp-idle '-1': that is no number of seconds from 1 to 86400; give whole seconds"),
    (&["client", "ftp://a"], "URL: the URL must begin with wss:// or ws://; a right URL looks like wss://abc123-5000"),
    (&["client", "ws://a", "A=1"], "LOCAL 'A=1': the name of a service is 1 to 63 of a to z, 0 to 9, dot, hyphen and"),
    (&["client", "--save", "a.b", "ws://a"], "--save 'a.b': the name of a saved host is 1 to 64 of a to z, A to Z, 0"),
    (&["hosts", "--remove", "a/b"], "--remove 'a/b': the name of a saved host is 1 to 64 of a to z, A to Z, 0 to 9"),
    (&["client", "ws://a", "--pin", ""], "--pin '': a pin has at least one character; give"),
    (&["client", "ws://a", "-L", "1"], "-L '1': it does not say both where to listen and what to dial; give [BIND:]PORT"),
    (&["client", "ws://a", "-R", "1"], "-R '1': it does not say both where to listen and what to dial; give [BIND:]PORT"),
    (&["client", "ws://a", "-D", "a"], "-D 'a': it has no port number, and names of services are not understood; give"),
    (&["client", "ws://a", "-D", "1", "--proxy-auth", ":b"], "--proxy-auth: user name and password have 1 to 255"),
    (&["client", "ws://a", "-W", "udp:a:1"], "-W 'udp:a:1': stdin and stdout are a stream, and UDP is none; give"),
    (&["client", "ws://a", "--server", "ws://a?b"], "--server: the URL of a server has no pin and nothing else after"),
    (&["client", "ws://a", "--header", "Host: a"], "--header 'Host': pinhole sets that header itself, or has to leave"),
    (&["client", "ws://a", "--stun", "a"], "--stun 'a': it has no port number"),
    (&["client", "ws://a", "--p2p-timeout", "121"], "--p2p-timeout '121': that is no number of seconds from 1 to 120"),
    (&["client", "ws://a", "--grace", ""], "--grace '': that is no number of seconds"),
    (&["client", "ws://a", "--rate", "1mbps"], "--rate '1mbps': its unit is not known; give bits or bytes a second"),
    (&["client", "ws://a", "--memory", "a"], "--memory 'a': it does not begin with a number such as 20 or 2.5; give"),
    (&["client", "ws://a", "--max-streams", "a"], "--max-streams 'a': it is not between 1 and 16384; give"),
    (&["client", "ws://a", "--udp-idle", "1.5"], "--udp-idle '1.5': that is no number of seconds"),
    (&["server", "--listen", "a:1"], "--listen 'a:1': only addresses of this machine can be listened on, and localhost"),
    (&["server", "--max-hosts", "0"], "--max-hosts '0': it is not between 1 and 1000000; give a whole number"),
    (&["server", "--max-clients", "-1"], "--max-clients '-1': it is not between 1 and 1000000; give a whole number"),
    (&["server", "--trusted-proxy", "10.0.0.1/8"], "--trusted-proxy '10.0.0.1/8': 10.0.0.0/8 is the network of that address; give the"),
    (&["server", "--log-format", "xml"], "invalid value 'xml' for '--log-format <FORMAT>' [possible values: text, json]"),
    (&["server", "--gateway-domain", "1.2.3.4"], "--gateway-domain '1.2.3.4': that is an address, and hosts cannot"),
    (&["server", "--gateway-listen", "::1"], "--gateway-listen '::1': an IPv6 address needs brackets, as in [::1]:25565"),
    (&["server", "--proxy-listen", ""], "--proxy-listen '': nothing is given; give an address of this machine"),
    (&["server", "--admin-listen", "http://a"], "--admin-listen 'http://a': that is a URL, not an address; give"),
    (&["server", "--name", "a/b"], "--name 'a/b': a name has 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore"),
    (&["host", "--admin-listen", "a:1"], "--admin-listen 'a:1': only addresses of this machine can be listened on"),
    (&["host", "--name", "A"], "--name 'A': a name has 1 to 63 of a to z"),
    (&["client", "ws://a", "--admin-listen", "a"], "--admin-listen 'a': it has no port number"),
    (&["client", "ws://a", "--name", ""], "--name '': a name has 1 to 63 of a to z"),
    (&["server", "--peer", "ws://a?b"], "--peer: the URL of a server has no pin and nothing else after a question mark"),
    (&["server", "--peer-listen", "a:1"], "--peer-listen 'a:1': only addresses of this machine can be listened on"),
    (&["server", "--advertise", "ws://a?b"], "--advertise: the URL of a server has no pin and nothing else after a"),
    (&["server", "--directory", "http://:pw@a"], "--directory: it does not begin with redis:// or rediss://; a right one"),
    (&["status", "a/b"], "NAME 'a/b': a name has 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore, and does not"),
    (&["invite", "a/b"], "NAME 'a/b': a name has 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore, and does not"),
    (&["invite", "--services", "web,A"], "--services 'A': the name of a service is 1 to 63 of a to z, 0 to 9, dot,"),
    (&["invite", "--allow", "a"], "--allow 'a': it has no ports after a colon; * stands for all of them; give HOST:PORTS"),
    (&["invite", "--allow-reverse", "a"], "--allow-reverse 'a': the port is not a number from 0 to 65535; give [BIND:]"),
    (&["invite", "--expires", "2w"], "--expires '2w': it has no unit; give 30s, 15m, 2h, 7d, or a date with a time and"),
    (&["invite", "--max-sessions", "0"], "--max-sessions '0': that many sessions are not possible; give a number"),
    (&["invite", "--label", ""], "--label '': an invitation is called by 1 to 64 characters, and none of them a control"),
    (&["invite", "--public-url", "ftp://a"], "--public-url: the URL must begin with wss:// or ws://; a right URL looks"),
    (&["uninvite", "a/b"], "ID 'a/b': the id of an invitation has 1 to 16 of a to z, 0 to 9 and hyphen; give a short"),
    (&["ping", "ftp://a"], "URL: the URL must begin with wss:// or ws://; a right URL looks like wss://abc123-5000"),
    (&["ping", "ws://a", "--count", "0"], "--count '0': it is not between 1 and 1000000; give a whole number"),
    (&["ping", "ws://a", "--interval", "0"], "--interval '0': it is not between 0.1 and 3600; give seconds, for"),
    (&["ping", "ws://a", "--pin", ""], "--pin '': a pin has at least one character; give"),
    (&["ping", "ws://a", "--server", "ws://a?b"], "--server: the URL of a server has no pin and nothing else after"),
    (&["ping", "ws://a", "--header", "Host: a"], "--header 'Host': pinhole sets that header itself, or has to leave"),
    (&["ping", "ws://a", "--stun", "a"], "--stun 'a': it has no port number"),
    (&["ping", "ws://a", "--p2p-timeout", "121"], "--p2p-timeout '121': that is no number of seconds from 1 to 120"),
    (&["ping", "ws://a", "--grace", ""], "--grace '': that is no number of seconds"),
    (&["check", "ws://a/<pin>"], "URL: the URL has <…> where an address belongs"),
    (&["check", "ws://a", "--pin", ""], "--pin '': a pin has at least one character; give"),
    (&["check", "--stun", "stuns:a"], "--stun 'stuns:a': STUN over TLS (stuns:) is not supported, and protects nothing"),
    (&["check", "ws://a", "--header", "a b: c"], "--header 'a': the name of a header has letters, digits and hyphens"),
];

#[test]
fn each_wrong_value_is_explained_and_what_would_be_right() {
    for (line, expected) in WRONG {
        let said = usage(line);
        assert!(said.starts_with(expected), "{line:?}: {said}");
        assert!(!said.contains('\n') && !said.starts_with("error"), "{said}");
    }
}

#[test]
fn no_argument_is_left_out_of_the_wrong_ones() {
    let known: BTreeSet<(&str, &str)> =
        WRONG.iter().map(|(line, said)| (line[0], said.split([' ', ':']).next().unwrap())).collect();
    for command in commands() {
        for argument in command.get_arguments().filter(takes_value).filter(|argument| argument.get_id() != ARGUMENTS) {
            let (id, name) = (argument.get_id().as_str(), name(argument));
            let is_path = argument.get_value_parser().type_id() == ValueParser::path_buf().type_id();
            let is_free = FREE_TEXT.iter().any(|(free, _)| *free == id);
            // Its wrong values are clap's to explain.
            let is_choice = argument.get_value_parser().possible_values().is_some();
            let is_known = known.contains(&(command.get_name(), name.as_str()));
            assert!(is_known || is_path || is_free || is_choice, "{} {name}", command.get_name());
        }
    }
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::ffi::OsString::from_vec(vec![0xff]);
    let line = ["pinhole", "host", "--pin"].map(std::ffi::OsString::from).into_iter().chain([value]);
    let refused = UsageError::of(Arguments::try_parse_from(line).unwrap_err());
    assert!(matches!(refused, UsageError::Refused(error) if error.exit_code() == 2));
}

#[test]
fn defaults_are_those_of_the_library() {
    let run = |line: &[&str]| {
        let line = [&["pinhole"], line].concat();
        line::parse(line, command::Surroundings::default()).unwrap().command
    };
    let (url, pin) = parse::host_url("ws://a?pin=1").unwrap();
    // Only the program asks servers that nobody named.
    let stun = default_stun_servers();
    let mut expected =
        ClientConfig::joining(url, pin.unwrap(), "localhost:1".parse::<crate::address::ListenAddress>().unwrap());
    expected.stun = stun.clone();
    let command::Command::Client(given, ..) = run(&["client", "ws://a?pin=1", "1"]) else { panic!("no client") };
    assert_eq!(format!("{given:?}"), format!("{expected:?}"));
    let expected = HostConfig { stun, ..HostConfig::sharing(parse::target("1").unwrap()) };
    let command::Command::Host(given, _) = run(&["host", "1"]) else { panic!("no host") };
    assert_eq!(format!("{given:?}"), format!("{expected:?}"));
    let expected = ServerConfig::new(ServerAccess::Tokens(PathBuf::from("f")));
    let command::Command::Server(given, _) = run(&["server", "--tokens", "f"]) else { panic!("no server") };
    assert_eq!(format!("{given:?}"), format!("{expected:?}"));
}

/// The long help of each command, without the lines' beginnings and ends.
fn help(name: &str) -> String {
    let mut root = Arguments::command();
    let text = root.find_subcommand_mut(name).unwrap().render_long_help().to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn help_says_the_defaults_that_are_not_claps() {
    let memory = tunnel::Config::new(tunnel::Role::Host);
    let bytes = memory.receive_budget + memory.growth_budget + memory.send_budget as u64;
    for name in ["host", "client"] {
        let help = help(name);
        assert!(help.contains(&format!("[default: {}MiB]", bytes >> 20)), "{help}");
        assert!(
            help.contains(&format!("[default: {}] From 1 to {}.", memory.max_streams, quantity::MAX_STREAMS)),
            "{help}"
        );
    }
    assert!(help("host").contains(&format!("[default: {DEFAULT_HOST_LISTEN}]")));
    for name in ["host", "client", "check"] {
        for (host, port) in DEFAULT_STUN_SERVERS {
            assert!(help(name).contains(&format!("{host}:{port}")), "{name}");
        }
    }
}

#[test]
fn help_has_examples_variables_and_exit_codes() {
    let proxies = ["HTTPS_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY"];
    let output = ["RUST_LOG", "NO_COLOR", "Exit codes: 0 done, 1 failed, 2 wrong usage.", "Examples: pinhole"];
    let cases: [(&str, &[&str]); 5] = [
        ("host", &["PINHOLE_PIN", "PINHOLE_TOKEN", "PINHOLE_PUBLIC_AUTH", "Through a server:"]),
        ("client", &["PINHOLE_PIN", "PINHOLE_PROXY_AUTH", "Forwards:"]),
        ("check", &["PINHOLE_PIN"]),
        ("ping", &["PINHOLE_PIN"]),
        ("server", &["[[token]]", "SIGHUP"]),
    ];
    for (name, own) in cases {
        let help = help(name);
        let proxies = if name == "server" { &[][..] } else { &proxies };
        for part in own.iter().chain(&output).chain(proxies) {
            assert!(help.contains(part), "{part} is missing in:\n{help}");
        }
    }
    let help = Arguments::command().render_help().to_string();
    for part in ["Examples:", "pinhole host 25565", "Exit codes: 0 done, 1 failed, 2 wrong usage"] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
}

#[test]
fn help_fits_terminals_of_80_and_100_columns() {
    for width in [80, 100] {
        let mut root = Arguments::command().term_width(width);
        root.build();
        let names: Vec<String> = root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        let mut texts = vec![root.render_help().to_string(), root.render_long_help().to_string()];
        for name in names {
            let command = root.find_subcommand_mut(&name).unwrap();
            texts.extend([command.render_help().to_string(), command.render_long_help().to_string()]);
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
    let host = Arguments::command().find_subcommand_mut("host").unwrap().render_long_help().to_string();
    for variable in ["\n  PINHOLE_PIN ", "\n  HTTPS_PROXY ", "\n  RUST_LOG "] {
        assert!(host.contains(variable), "{variable} in:\n{host}");
    }
    // Clap would wrap these lines, and what is aligned in them would not be any more.
    let fixed = [
        EXAMPLES,
        RUN_EXAMPLES,
        VERIFY_EXAMPLES,
        FILE_ENVIRONMENT,
        FILE_HELP,
        OUTPUT_HELP,
        PROXY_HELP,
        host::EXAMPLES,
        host::ENVIRONMENT,
        client::EXAMPLES,
        client::ENVIRONMENT,
        server::EXAMPLES,
        server::FILES,
        documents::EXAMPLES,
        check::EXAMPLES,
        check::ENVIRONMENT,
        ping::EXAMPLES,
        ping::ENVIRONMENT,
        running::STATUS_EXAMPLES,
        running::INVITE_EXAMPLES,
        running::UNINVITE_EXAMPLES,
    ];
    for line in fixed.iter().flat_map(|text| text.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
