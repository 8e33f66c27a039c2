//! What stays at the bottom of a terminal: the real program on a terminal that is read as a person sees it.

use std::io::{Read, Write};
use std::process::Command;

use nix::sys::signal::Signal;

use super::terminal::{Outputs, Terminal, word_after};
use crate::common::connect;
use crate::common::pinhole::{Pinhole, command};
use crate::common::services::echo;
use crate::common::system::{figure, program, ticks_within};

const WAITING: &str = "\n\nhost: waiting for clients";

/// The arguments of a host on any free port.
fn host_arguments(more: &[&str]) -> Vec<String> {
    let target = echo().to_string();
    let own = ["host", &target, "--no-stun", "--max-sessions", "64"];
    own.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
}

fn host_command(more: &[&str]) -> Command {
    let arguments = host_arguments(more);
    let mut command = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env_remove("NO_COLOR").env("PINHOLE_PIN", "123456");
    command
}

/// A host on a terminal, and the URL for its clients.
fn host(size: (u16, u16), more: &[&str]) -> (Terminal, String) {
    let mut host = Terminal::of(host_command(more), size, Outputs::Both);
    let url = url(&mut host);
    (host, url)
}

fn url(host: &mut Terminal) -> String {
    let text = host.wait_for("Waiting for clients");
    format!("ws://{}/ws?pin=123456", word_after(&text, "Signaling"))
}

/// The lines at the bottom.
fn bottom(contents: &str) -> Vec<String> {
    let (_, bottom) = contents.rsplit_once("\n\n").unwrap();
    bottom.lines().map(str::to_owned).collect()
}

#[test]
fn a_session_comes_and_goes_and_nothing_is_left() {
    let (mut host, url) = host((80, 40), &[]);
    host.see("a host without clients", |text| text.ends_with(WAITING));
    let mut client = Pinhole::client(&url, &[]);
    let mut stream = connect(client.local());
    stream.write_all(&[7; 100_000]).unwrap();
    stream.read_exact(&mut [0; 100_000]).unwrap();
    let text = host.see("a stream", |text| text.contains("1 stream, 200.0 kB so far"));
    let lines = bottom(&text);
    assert!(lines[0].starts_with("host: 1 session, out "), "{text}");
    assert!(lines[1].starts_with("session ") && lines[1].ends_with("  streams     bytes"), "{text}");
    assert!(lines[2].contains("  direct ") && lines[2].ends_with("        1  200.0 kB"), "{text}");
    assert_eq!(lines.len(), 3);
    // What was printed before stays above, and streams are not in it.
    assert!(text.contains("connected directly to ") && !text.contains("opened"), "{text}");
    drop(stream);
    client.stop();
    let text = host.see("a host without clients", |text| text.ends_with(WAITING));
    assert!(text.contains(": disconnected: "), "{text}");
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
    assert!(!host.contents().contains("host: ") && !host.is_cursor_hidden(), "{}", host.contents());
    assert!(host.raw().ends_with("\r\u{1b}[J"), "the end: {:?}", host.raw());
}

#[test]
fn many_sessions_are_the_busiest_ones_and_a_summary() {
    let (mut host, url) = host((80, 24), &[]);
    let mut clients: Vec<Pinhole> = (0..40).map(|_| Pinhole::client(&url, &["--relay-only"])).collect();
    let locals: Vec<_> = clients.iter_mut().map(Pinhole::local).collect();
    host.see("all clients", |text| text.contains("host: 40 sessions") && text.contains("35 more: 35 relayed"));
    let mut stream = connect(locals[39]);
    stream.write_all(&[7; 100_000]).unwrap();
    stream.read_exact(&mut [0; 100_000]).unwrap();
    let is_busy = |text: &str| text.contains("host: 40 sessions") && text.contains(" 200.0 kB\n");
    let text = host.see("the busy client", is_busy);
    let lines = bottom(&text);
    assert_eq!(lines.len(), 8, "{text}");
    assert!(lines.iter().all(|line| line.chars().count() < 80), "{text}");
    figure(&format!("40 sessions at 80 columns:\n{}", lines.join("\n")));
    host.resize(200, 24);
    let text = host.see("the reason", |text| text.contains("relayed, because ") && is_busy(text));
    assert_eq!(bottom(&text).len(), 8, "{text}");
    figure(&format!("at 200 columns:\n{}", bottom(&text).join("\n")));
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
}

#[test]
fn the_lines_follow_the_size() {
    let (mut host, _) = host((80, 24), &[]);
    host.see("a host without clients", |text| text.ends_with(WAITING));
    for (columns, line) in [(20, "host: waiting for …"), (12, "host: wait…"), (200, "host: waiting for clients")] {
        host.resize(columns, 24);
        host.signal(Signal::SIGWINCH);
        let text = host.see(line, |text| text.ends_with(line));
        assert_eq!(text.matches("host: ").count(), 1, "{columns}: {text}");
    }
    host.resize(200, 2);
    host.signal(Signal::SIGWINCH);
    host.see("no line", |text| !text.contains("host: "));
}

#[test]
fn a_client_says_what_it_is_at() {
    let mut host = Pinhole::host(echo(), &["--pin", "123456"]);
    let url = host.url();
    let mut client = Terminal::of(command(&["client", &url, "0", "--no-stun"]), (80, 24), Outputs::Both);
    let text = client.see("a session", |text| text.contains("\n\nclient: connected to 127.0.0.1:"));
    assert_eq!(bottom(&text).len(), 3, "{text}");
    host.signal(Signal::SIGKILL);
    client.see("the loss", |text| text.contains("client: reconnecting to ") || text.contains("  recovering "));
    client.signal(Signal::SIGINT);
    assert_eq!(client.end(), Some(0));
    assert!(!client.contents().contains("client: "), "{}", client.contents());
}

#[test]
fn an_error_at_the_start_leaves_no_lines() {
    let arguments = ["client", "ws://127.0.0.1:1/ws?pin=123456", "0", "--no-stun"];
    let mut client = Terminal::of(command(&arguments), (80, 24), Outputs::Both);
    assert_eq!(client.end(), Some(1));
    let text = client.contents();
    assert!(text.starts_with("error: ") && !text.contains("client: "), "{text}");
}

#[test]
fn a_server_counts() {
    let mut server = Terminal::of(command(&["server", "--open", "--listen", "127.0.0.1:0"]), (80, 24), Outputs::Both);
    server.see("a server", |text| text.ends_with("\n\nserver: 0 hosts, 0 clients, 0 requests"));
    server.signal(Signal::SIGINT);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn where_lines_cannot_or_must_not_stay_none_do() {
    let dumb = |value: &'static str| {
        let mut command = host_command(&[]);
        command.env("TERM", value);
        command
    };
    for (what, command) in [
        ("--plain", host_command(&["--plain"])),
        ("dumb", dumb("dumb")),
        ("no name", dumb("")),
        ("--json", host_command(&["--json"])),
    ] {
        let mut host = Terminal::of(command, (80, 24), Outputs::Both);
        host.wait_for(if what == "--json" { "listening" } else { "Waiting for clients" });
        host.signal(Signal::SIGINT);
        assert_eq!(host.end(), Some(0));
        let raw = host.raw();
        assert!(!raw.contains("host: ") && !raw.contains("\x1b[K") && !raw.contains("\x1b[?"), "{what}: {raw:?}");
    }
}

#[test]
fn no_color_has_no_colours_and_the_same_lines() {
    for (has_colours, no_color) in [(true, ""), (false, "1")] {
        let mut command = host_command(&[]);
        command.env("NO_COLOR", no_color);
        let mut host = Terminal::of(command, (80, 40), Outputs::Both);
        let url = url(&mut host);
        let mut client = Pinhole::client(&url, &[]);
        client.local();
        host.see("a session", |text| text.contains("\n\nhost: 1 session"));
        client.stop();
        host.see("its end", |text| text.ends_with(WAITING));
        host.signal(Signal::SIGINT);
        assert_eq!(host.end(), Some(0));
        assert_eq!(host.raw().contains("\x1b[2msession "), has_colours);
        let has_codes = host
            .raw()
            .split("\x1b[")
            .any(|part| part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'));
        assert_eq!(has_codes, has_colours, "{:?}", host.raw());
    }
}

#[test]
fn a_pipe_has_the_sentences_and_the_terminal_the_lines() {
    let mut host = Terminal::of(host_command(&[]), (80, 24), Outputs::Stderr);
    host.see("the line", |text| text.ends_with("\nhost: waiting for clients"));
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
    let piped = host.piped();
    assert!(piped.contains("Waiting for clients") && !piped.contains('\x1b') && !piped.contains("host: "), "{piped:?}");
    assert_eq!(host.contents(), "");
}

#[test]
fn a_pipe_through_stdin_and_stdout_leaves_the_terminal_to_the_program_that_uses_it() {
    let service = echo();
    let mut host = Pinhole::host(service, &["--pin", "123456"]);
    let arguments = ["client", &host.url(), "--no-stun", "-W", &service.port().to_string()];
    let mut client = Terminal::of(command(&arguments), (80, 24), Outputs::Stderr);
    client.wait_for("connected directly");
    host.stop();
    client.end();
    assert!(!client.raw().contains("client: ") && !client.raw().contains("\x1b[K"), "{:?}", client.raw());
}

#[test]
fn a_question_stands_alone() {
    let (mut host, url) = host((100, 40), &["--ask", "-v"]);
    host.see("a host without clients", |text| text.ends_with(WAITING));
    let mut client = Pinhole::client(&url, &[]);
    host.see("the question", |text| text.trim_end().ends_with("[y/N]") && !text.contains("host: "));
    // What is printed meanwhile is above it.
    let mut wrong = Pinhole::client(&url.replace("123456", "654321"), &[]);
    wrong.end();
    let text = host.see("both", |text| text.contains("wrong pin") && text.trim_end().ends_with("[y/N]"));
    assert!(!text.contains("host: "), "{text}");
    host.type_in("y\r");
    client.local();
    let text = host.see("a session", |text| text.contains("\n\nhost: 1 session"));
    assert!(text.contains("[y/N] y\n"), "{text}");
    client.stop();
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
}

/// An interactive shell on a terminal that controls it.
fn shell(test: &str) -> Option<Terminal> {
    let (setsid, bash) = (program("setsid", test)?, program("bash", test)?);
    let own = host_command(&[]);
    let mut command = Command::new(setsid);
    command.args(["--ctty", "--wait"]).arg(bash).args(["--norc", "--noprofile", "-i"]);
    command.env("HOST", own.get_program()).env("PINHOLE_PIN", "123456").env("PS1", "> ").env_remove("PROMPT_COMMAND");
    Some(Terminal::of(command, (80, 40), Outputs::Both))
}

fn host_line() -> String {
    format!("\"$HOST\" {}", host_arguments(&[]).join(" "))
}

#[test]
fn a_stopped_process_leaves_no_lines_and_draws_them_when_it_goes_on() {
    let Some(mut shell) = shell("a_stopped_process_leaves_no_lines_and_draws_them_when_it_goes_on") else { return };
    shell.wait_for("> ");
    shell.type_in(&format!("{}\n", host_line()));
    for _ in 0..2 {
        shell.see("a host", |text| text.ends_with(WAITING));
        shell.type_in("\x1a");
        let text = shell.see("the shell", |text| text.contains("Stopped") && text.ends_with("> "));
        assert!(!text.contains("host: "), "{text}");
        shell.type_in("clear; fg\n");
    }
    shell.see("a host", |text| text.ends_with(WAITING));
    shell.type_in("\x03");
    let text = shell.see("the shell", |text| text.ends_with("> "));
    assert!(!text.contains("host: "), "{text}");
}

#[test]
fn in_the_background_there_are_no_lines() {
    let Some(mut shell) = shell("in_the_background_there_are_no_lines") else { return };
    shell.wait_for("> ");
    shell.type_in(&format!("{} &\n", host_line()));
    let url = url(&mut shell);
    assert!(!shell.contents().contains("host: "), "{}", shell.contents());
    // The shell tells nobody who did not stop: the lines come with the next change.
    shell.type_in("clear; fg\n");
    shell.see("the command", |text| text.contains("\"$HOST\" host ") && !text.contains("Waiting"));
    let mut client = Pinhole::client(&url, &[]);
    client.local();
    shell.see("a host in the foreground", |text| text.contains("\n\nhost: 1 session"));
    client.stop();
    shell.type_in("\x1a");
    shell.see("the shell", |text| text.contains("Stopped") && text.ends_with("> "));
    shell.type_in("bg; echo said\n");
    let text = shell.see("the shell", |text| text.contains("\nsaid\n") && text.ends_with("> "));
    assert!(!text.contains("host: "), "{text}");
    // Not after the shell, which would leave it behind.
    shell.type_in("kill %1; wait; echo over\n");
    shell.see("the end of the host", |text| text.contains("\nover\n"));
}

#[test]
fn a_process_without_a_shell_is_not_stopped() {
    let Some(setsid) = program("setsid", "a_process_without_a_shell_is_not_stopped") else { return };
    let own = host_command(&[]);
    let mut command = Command::new(setsid);
    command.args(["--ctty", "--wait"]).arg(own.get_program()).args(own.get_args()).env("PINHOLE_PIN", "123456");
    let mut host = Terminal::of(command, (80, 24), Outputs::Both);
    let url = url(&mut host);
    host.type_in("\x1a");
    let mut client = Pinhole::client(&url, &[]);
    client.local();
    host.see("a session", |text| text.contains("host: 1 session"));
    client.stop();
    host.type_in("\x03");
    assert_eq!(host.end(), Some(0));
}

#[test]
fn an_idle_host_with_lines_uses_no_processor() {
    let (mut host, _) = host((80, 24), &[]);
    host.see("a host without clients", |text| text.ends_with(WAITING));
    let drawn = host.raw().len();
    let ([ticks], time) = ticks_within([host.pid()], std::time::Duration::from_secs(5));
    figure(&format!("an idle host with lines: {ticks} ticks of 10 ms in {time:?}"));
    assert!(ticks <= 1, "{ticks} ticks");
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
    // The end alone was drawn.
    assert!(host.raw().len() - drawn < 200, "{:?}", &host.raw()[drawn..]);
}
