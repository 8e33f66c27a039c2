use super::super::failure::Failure;
use super::super::line::parse;
use super::super::question::script::Script;
use super::super::question::{NoAnswer, Question};
use super::*;
use crate::config::{DEFAULT_HOST_LISTEN, LocalForward, ServiceBind};
use crate::signaling::pin::Pin;
use crate::socks::Credentials;

/// Parses a command line without a terminal.
fn unattended(line: &[&str], pin: Option<&str>) -> Result<Command, Failure> {
    let surroundings = Surroundings { ask: None, pin: pin.map(OsString::from), ..Surroundings::default() };
    parse([&["pinhole"], line].concat(), surroundings).map(|parsed| parsed.command)
}

/// Parses a command line with somebody who answers.
fn attended(line: &[&str], answers: &[&'static str]) -> (Result<Parsed, Failure>, usize) {
    let mut script = Script::new(answers);
    let mut ask = |question: &Question<'_>| script.ask(question);
    let surroundings = Surroundings { ask: Some(&mut ask), ..Surroundings::default() };
    let result = parse([&["pinhole"], line].concat(), surroundings);
    (result, script.asked.len())
}

fn host(line: &[&str], pin: Option<&str>) -> (HostConfig, Output) {
    match unattended(line, pin) {
        Ok(Command::Host(config, output)) => (config, output),
        other => panic!("{line:?}: {other:?}"),
    }
}

fn client(line: &[&str], pin: Option<&str>) -> (ClientConfig, Output) {
    match unattended(line, pin) {
        Ok(Command::Client(config, _, output)) => (config, output),
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn a_host_has_defaults() {
    let (config, output) = host(&["host", "25565"], None);
    assert_eq!(config.services[0].endpoint.to_string(), "localhost:25565");
    assert_eq!(config.listen, Some(DEFAULT_HOST_LISTEN));
    assert_eq!(config.max_sessions, 16);
    assert!(config.pin.is_none() && !config.once && config.approver.is_none());
    assert_eq!(output, Output::default());
}

#[test]
fn a_host_takes_every_flag() {
    let line = "host [::1]:80 --listen 5000 --pin a+b --once --max-sessions 3 --json -vv";
    let (config, output) = host(&line.split(' ').collect::<Vec<_>>(), Some("env"));
    assert_eq!(config.services[0].endpoint.to_string(), "[::1]:80");
    assert_eq!(config.listen.map(|listen| listen.to_string()).as_deref(), Some("127.0.0.1:5000"));
    assert_eq!(config.pin.as_ref().map(Pin::reveal), Some("a+b"));
    assert_eq!(config.max_sessions, 3);
    assert!(config.once && output.json);
    assert_eq!(output.verbosity, Verbosity::Debug);
}

#[test]
fn a_client_takes_every_flag() {
    let line = [
        "-q",
        "client",
        "https://abc-5000.asse.devtunnels.ms?pin=1%2B1",
        "0",
        "--ca",
        "ca.pem",
        "--header",
        "A: b",
        "--header",
        "C: d",
        "--once",
        "--json",
    ];
    let (config, output) = client(&line, None);
    assert_eq!(config.url.to_string(), "wss://abc-5000.asse.devtunnels.ms/ws");
    assert_eq!(config.pin.reveal(), "1+1");
    let at = |address: &str| LocalForward::Only { bind: ServiceBind::Address(address.parse().unwrap()) };
    assert_eq!(config.forwards, [at("localhost:0")]);
    assert_eq!(config.ca.as_deref(), Some(std::path::Path::new("ca.pem")));
    assert_eq!(config.headers, ["A: b", "C: d"].map(|text| text.parse().unwrap()));
    assert!(config.once && output.json);
    assert_eq!(output.verbosity, Verbosity::Quiet);
}

#[test]
fn a_client_asks_further_servers_for_the_same_host() {
    let url = "wss://a.test/base/ws/blog?pin=1";
    let (config, _) = client(&["client", url, "80", "--server", "wss://b.test/ws", "--server", "ws://c.test/p"], None);
    let urls: Vec<String> = config.urls().map(|(url, _)| url.to_string()).collect();
    assert_eq!(urls, ["wss://a.test/base/ws/blog", "wss://b.test/ws/blog", "ws://c.test/p/ws/blog"]);
    let wrong = |line: &[&str]| {
        let parsed = parse([&["pinhole"], line].concat(), Surroundings::default());
        parsed.map(|_| ()).unwrap_err().to_string()
    };
    for url in ["ws://h/ws?pin=1", "ws://h/ws/a/b?pin=1", "ws://h/ws/No?pin=1", "ws://h/else/blog?pin=1"] {
        let said = wrong(&["client", url, "80", "--server", "ws://i"]);
        assert!(said.starts_with("--server is for a host at a server, whose URL ends with /ws/ID; "), "{url}: {said}");
    }
    assert!(wrong(&["client", url, "80", "--server", "ws://i?pin=1"]).starts_with("--server: the URL of a server has"));
}

#[test]
fn the_nearest_pin_is_used() {
    // The pins of the URL, the flag and the environment, and which one counts.
    let cases = [
        (Some("u"), None, None, "u"),
        (Some("u"), Some("u"), Some("e"), "u"),
        (Some("u"), None, Some("e"), "u"),
        (None, Some("f"), Some("e"), "f"),
        (None, Some("f"), Some(""), "f"),
        (None, None, Some("e"), "e"),
        (Some(""), None, Some("e"), "e"),
    ];
    for (url, flag, environment, expected) in cases {
        let url = url.map_or("ws://h/ws".into(), |pin| format!("ws://h/ws?pin={pin}"));
        let mut line = vec!["client", &url, "80"];
        line.extend(flag.iter().flat_map(|pin| ["--pin", pin]));
        assert_eq!(client(&line, environment).0.pin.reveal(), expected, "{line:?}");
    }
    assert_eq!(host(&["host", "80"], Some("e")).0.pin.as_ref().map(Pin::reveal), Some("e"));
    assert!(host(&["host", "80"], Some("")).0.pin.is_none());
}

#[test]
fn wrong_usage_is_said_in_one_line() {
    let long = format!("A: {}", "x".repeat(5000));
    let cases: [(&[&str], &str); 20] = [
        (&["client", "ws://h?pin=1", "--header", &long, "--header", &long], "the --header fields are together longer"),
        (&["client", "ws://h?pin=1", "--header", "Expect: x"], "--header 'Expect': pinhole sets that header itself"),
        (
            &["host"],
            "nothing is shared; give a TARGET such as 8080, or --allow what clients may have dialled; pinhole alone asks",
        ),
        (&["host", "80", "80"], "TARGET '80': "),
        (&["host", "80", "--allow", "nonsense"], "--allow 'nonsense': "),
        (&["client", "ws://h?pin=1", "-L", "80"], "-L '80': "),
        (&["client", "ws://h?pin=1", "-W", "udp:a:1"], "-W 'udp:a:1': "),
        (&["host", "0"], "TARGET '0': nothing can be reached on port 0; give [NAME=]TARGET"),
        (&["host", "80", "--listen", "web:1"], "--listen 'web:1': only addresses of this"),
        (&["host", "80", "--pin", ""], "--pin '': a pin has at least one character; give"),
        (&["host", "80", "--max-sessions", "0"], "--max-sessions '0': that many sessions"),
        (&["host", "80", "--max-sessions", "-1"], "--max-sessions '-1': that many sessions"),
        (&["host", "80", "--ask"], "--ask asks at the terminal, and stdin or stderr is none; run"),
        (&["client", "ftp://h", "80"], "URL: the URL must begin with wss:// or ws://; a right"),
        (&["client", "ws://h", "80"], "the URL has no pin, and there is no terminal to ask at; add"),
        (&["client", "ws://h?pin=1", "x:1"], "LOCAL 'x:1': only addresses of this machine"),
        (&["client", "ws://h?pin=1", "1", "--pin", "2"], "--pin is not the pin in the URL; leave"),
        (&["client", "ws://h?pin=1", "1", "--pin", ""], "--pin '': a pin"),
        (&["client", "ws://h?pin=1", "1", "--header", "A"], "--header 'A': it has no colon; give"),
        (&["client", "ws://h?pin=1", "1", "--header", "A: b\n"], "--header 'A': the value"),
    ];
    for (line, expected) in cases {
        let Err(Failure::Usage { usage, .. }) = unattended(line, None) else {
            panic!("{line:?} is no wrong usage");
        };
        let text = usage.to_string();
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn clap_refuses_the_rest_with_exit_code_2() {
    let cases: [&[&str]; 6] = [
        &["client"],
        &["serve"],
        &["host", "80", "--frobnicate"],
        &["-q", "-v", "demo"],
        &["--json"],
        &["demo", "--once"],
    ];
    for line in cases {
        let Err(Failure::Usage { usage: UsageError::Refused(error), .. }) = unattended(line, None) else {
            panic!("{line:?} is accepted");
        };
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
    for line in [["--help"], ["--version"]] {
        let Err(Failure::Help(help)) = unattended(&line, None) else {
            panic!("{line:?} is accepted");
        };
        assert_eq!(help.exit_code(), 0, "{line:?}");
    }
}

#[test]
fn the_environment_names_the_proxy() {
    let run = |line: &[&'static str], answers: &[&'static str], proxy: &str| {
        let mut script = Script::new(answers);
        let mut ask = |question: &Question<'_>| script.ask(question);
        let proxies = ProxyVariables::read(|name| (name == "HTTPS_PROXY").then(|| proxy.into()));
        let surroundings = Surroundings { ask: Some(&mut ask), proxies, ..Surroundings::default() };
        match parse([&["pinhole"], line].concat(), surroundings).map(|parsed| parsed.command) {
            Ok(Command::Client(config, ..)) => {
                Ok(config.proxy.map_or_else(String::new, |proxy| format!("{}:{}", proxy.host, proxy.port)))
            }
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.to_string()),
        }
    };
    let (line, answers) = (["client", "wss://h.test/?pin=1", "80"], ["client", "wss://h.test/?pin=1", "80"]);
    assert_eq!(run(&line, &[], "p.test:3128").as_deref(), Ok("p.test:3128"));
    assert_eq!(run(&[], &answers, "p.test:3128").as_deref(), Ok("p.test:3128"));
    assert_eq!(run(&["client", "ws://h.test/?pin=1", "80"], &[], "p.test:1").as_deref(), Ok(""));
    for (line, answers) in [(&line[..], &[][..]), (&[][..], &answers[..])] {
        let error = run(line, answers, "socks5://p.test").unwrap_err();
        assert!(error.starts_with("HTTPS_PROXY names a proxy of the kind socks5://"), "{error}");
    }
}

#[test]
fn json_is_known_when_usage_is_wrong() {
    let cases: [(&[&str], bool); 12] = [
        (&["host", "0", "--json"], true),
        (&["host", "--json", "--ask", "80"], true),
        (&["host", "--frobnicate", "--json"], true),
        (&["--json"], true),
        (&["serve", "--json"], true),
        (&["client", "--json"], true),
        (&["server", "--log-format", "json"], true),
        (&["server", "--log-format=json", "--frobnicate"], true),
        (&["server", "--log-format", "text"], false),
        (&["server", "json"], false),
        (&["host", "0"], false),
        (&["host", "--", "--json"], false),
    ];
    for (line, expected) in cases {
        let Err(Failure::Usage { output, .. }) = unattended(line, None) else { panic!("{line:?} is accepted") };
        assert_eq!(output.json, expected, "{line:?}");
    }
}

#[test]
fn what_clap_says_becomes_one_line() {
    for (line, expected) in [
        (
            &["host", "--frob"][..],
            "unexpected argument '--frob' found; tip: to pass '--frob' as a value, use '-- --frob'",
        ),
        (&["serve"], "unrecognized subcommand 'serve'; tip: a similar subcommand exists: 'server'"),
        (&["client"], "the following required arguments were not provided: <URL>; pinhole alone asks for all that"),
        (&["-q", "-v", "demo"], "the argument '--quiet' cannot be used with '--verbose...'"),
        (&["host", "80", "--token"], "a value is required for '--token <TOKEN>' but none was supplied"),
        (
            &["server", "--open", "--log-format", "xml"],
            "invalid value 'xml' for '--log-format <FORMAT>' [possible values: text, json]",
        ),
    ] {
        assert_eq!(unattended(line, None).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_missing_pin_is_asked_for_last() {
    let (result, asked) = attended(&["client", "ws://h", "80"], &["", "123456"]);
    assert!(
        matches!(result.map(|parsed| parsed.command), Ok(Command::Client(config, ..)) if config.pin.reveal() == "123456")
    );
    assert_eq!(asked, 2);

    let (result, asked) = attended(&["client", "ws://h", "web:80"], &["123456"]);
    assert!(matches!(result, Err(Failure::Usage { .. })));
    assert_eq!(asked, 0);

    let (result, _) = attended(&["client", "ws://h", "80"], &[]);
    assert!(matches!(result, Err(Failure::NoAnswer(NoAnswer::Cancelled))));
}

#[test]
fn without_a_command_questions_are_asked_or_usage_is_shown() {
    let (result, asked) = attended(&["-v"], &["host", "80", "", ""]);
    let Ok(Parsed { command, equivalent, .. }) = result else { panic!("{result:?}") };
    assert!(matches!(command, Command::Host(_, output) if output.verbosity == Verbosity::Info));
    assert_eq!(equivalent.as_deref(), Some("pinhole host 80"));
    assert_eq!(asked, 4);
    assert!(matches!(unattended(&[], None), Err(Failure::Usage { usage: UsageError::NoCommand, .. })));
}

#[test]
fn ask_is_accepted_at_a_terminal() {
    let (result, asked) = attended(&["host", "80", "--ask"], &[]);
    assert!(matches!(result.map(|parsed| parsed.command), Ok(Command::Host(config, _)) if config.approver.is_some()));
    assert_eq!(asked, 0);
}

#[test]
fn a_pin_or_a_token_may_be_kept_in_a_file() {
    let path = std::env::temp_dir().join(format!("pinhole-command-{:016x}", rand::random::<u64>()));
    let file = path.to_str().unwrap();
    let unread = unattended(&["host", "80", "--pin-file", file], None).unwrap_err();
    assert!(unread.to_string().starts_with(&format!("--pin-file: cannot read {file}: ")), "{unread}");
    std::fs::write(&path, "file\n").unwrap();
    let pin = host(&["host", "80", "--pin-file", file], Some("env")).0.pin;
    let clients = client(&["client", "ws://h", "--pin-file", file], Some("env")).0.pin;
    let line = ["pinhole", "host", "80", "--server", "ws://p", "--id", "abc", "--token-file", file];
    let surroundings = Surroundings { token: Some("env".into()), ..Surroundings::default() };
    let Ok(Command::Host(registered, _)) = parse(line, surroundings).map(|parsed| parsed.command) else {
        panic!("no host")
    };
    let token = registered.server.and_then(|server| server.token);
    let both = unattended(&["host", "80", "--pin", "1", "--pin-file", file], None).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((pin.as_ref().map(Pin::reveal), clients.reveal()), (Some("file"), "file"));
    assert_eq!(token, Some("file".parse().unwrap()));
    assert_eq!(both.to_string(), "--pin and --pin-file both say what the pin is; leave one of them out");
}

/// The login of a command line, with that value of both variables, and what is to be warned of.
fn login(line: &[&str], variable: Option<&str>) -> Result<(Option<Credentials>, Vec<String>), String> {
    let variable = variable.map(OsString::from);
    let surroundings = Surroundings { public_auth: variable.clone(), proxy_auth: variable, ..Surroundings::default() };
    let parsed = parse([&["pinhole"], line].concat(), surroundings).map_err(|failure| failure.to_string())?;
    let login = match parsed.command {
        Command::Host(config, _) => config.server.and_then(|server| server.public).and_then(|public| public.auth),
        Command::Client(config, ..) => config.credentials,
        other => panic!("{other:?}"),
    };
    Ok((login, parsed.remarks))
}

#[test]
fn logins_come_from_flags_files_and_variables() {
    let path = std::env::temp_dir().join(format!("pinhole-login-{:016x}", rand::random::<u64>()));
    let file = path.to_str().unwrap();
    std::fs::write(&path, "file:pass\n").unwrap();
    let host = ["host", "80", "--server", "ws://p", "--id", "abc", "--public", "80"];
    let client = ["client", "ws://h?pin=1", "-D", "0"];
    for (line, flag, file_flag, variable) in [
        (&host[..], "--public-auth", "--public-auth-file", "PINHOLE_PUBLIC_AUTH"),
        (&client, "--proxy-auth", "--proxy-auth-file", "PINHOLE_PROXY_AUTH"),
    ] {
        let is = |found: Option<Credentials>, user: &[u8]| found.is_some_and(|found| found.are(user, b"pass"));
        let (found, remarks) = login(&[line, &[flag, "flag:pass"]].concat(), Some("variable:pass")).unwrap();
        assert!(is(found, b"flag"));
        let said =
            format!("{flag}: others on this machine can read it in the list of processes; {file_flag} or {variable}");
        assert!(remarks.len() == 1 && remarks[0].starts_with(&said), "{remarks:?}");
        let (found, remarks) = login(&[line, &[file_flag, file]].concat(), Some("variable:pass")).unwrap();
        assert!(is(found, b"file"));
        // Others may read the file.
        assert!(remarks.iter().all(|remark| remark.contains("USER:PASSWORD") && !remark.contains("file:pass")));
        let (found, remarks) = login(line, Some("variable:pass")).unwrap();
        assert!(is(found, b"variable") && remarks.is_empty());
        assert!(login(line, Some("")).unwrap().0.is_none() && login(line, None).unwrap().0.is_none());
        let error = login(line, Some("secret")).unwrap_err();
        let expected = format!("{variable}: there is no colon between user name and password; give USER:PASSWORD");
        assert_eq!(error, expected);
        let both = login(&[line, &[flag, "a:b", file_flag, file]].concat(), None).unwrap_err();
        assert_eq!(both, format!("{flag} and {file_flag} both say what the login is; leave one of them out"));
    }
    std::fs::remove_file(&path).unwrap();
    // Where there is nothing to log in to, a variable means nothing.
    assert!(login(&["host", "80"], Some("secret")).unwrap().0.is_none());
    assert!(login(&["client", "ws://h?pin=1", "80"], Some("secret")).unwrap().0.is_none());
}

#[test]
fn secrets_among_the_arguments_are_said_to_be_read_by_others() {
    let remarks = |line: &[&str]| parse([&["pinhole"], line].concat(), Surroundings::default()).unwrap().remarks;
    let on_a_server = ["host", "80", "--server", "ws://p", "--id", "abc"];
    for (line, flag, elsewhere) in [
        (&["host", "80", "--pin", "hush"][..], "--pin", "--pin-file or PINHOLE_PIN"),
        (&["client", "ws://h", "80", "--pin", "hush"], "--pin", "PINHOLE_PIN"),
        (&["check", "ws://h", "--pin", "hush"], "--pin", "PINHOLE_PIN"),
        (&[&on_a_server[..], &["--token", "hush"]].concat(), "--token", "PINHOLE_TOKEN"),
    ] {
        let said = remarks(line);
        let [remark] = &said[..] else { panic!("{line:?}: {said:?}") };
        assert!(remark.starts_with(&format!("{flag}: ")) && remark.contains(elsewhere), "{remark}");
        assert!(!remark.contains("hush"), "{remark}");
    }
    for line in [&["host", "80"][..], &["client", "ws://h?pin=1", "80"], &on_a_server, &["server", "--open"]] {
        assert!(remarks(line).is_empty(), "{line:?}");
    }
}

#[test]
fn a_server_is_a_command() {
    let Ok(Command::Server(config, output)) = unattended(&["server", "--open", "--log-format", "json"], None) else {
        panic!("it leads elsewhere");
    };
    assert_eq!((config.listen.port(), output.json), (8080, true));
    let Err(Failure::Usage { usage, output }) = unattended(&["server", "--json"], None) else {
        panic!("nobody is let in");
    };
    assert!(output.json && usage.to_string().starts_with("nobody may register; give --tokens FILE"));
}

#[cfg(unix)]
#[test]
fn a_pin_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let surroundings = Surroundings { ask: None, pin: Some(OsString::from_vec(vec![0xff])), ..Surroundings::default() };
    let result = parse(["pinhole", "host", "80"], surroundings);
    let usage = "PINHOLE_PIN is not UTF-8; set it to the pin that the host printed, for example 123456";
    assert!(matches!(result, Err(failure @ Failure::Usage { .. }) if failure.to_string() == usage));
}

#[test]
fn the_wizards_command_parses_to_the_same_settings() {
    let url = "ws://[::1]:5000/ws?pin=a%20b";
    let (result, _) = attended(&[], &["client", url, "0"]);
    let Ok(Command::Client(asked, ..)) = result.map(|parsed| parsed.command) else {
        panic!("the wizard led elsewhere");
    };
    let given = client(&["client", &asked.url.with_pin(&asked.pin), "0"], None).0;
    assert_eq!((asked.url, asked.pin, asked.forwards), (given.url, given.pin, given.forwards));
}
