//! `pinhole ping`, and hosts that are checked by their saved name.

use nix::sys::signal::Signal;

use crate::common::folder::Folder;
use crate::common::pinhole::{Ended, Pinhole, command};
use crate::common::services::echo;

/// A person's settings.
struct Home(Folder);

impl Home {
    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = command(arguments);
        command.env("XDG_CONFIG_HOME", self.0.0.join("config"));
        Pinhole::spawn("pinhole", command).end()
    }
}

#[test]
fn each_reply_is_a_line_and_the_end_sums_up() {
    let mut host = Pinhole::host(echo(), &["--once"]);
    let url = host.url();
    let said = Pinhole::start("ping", &["ping", &url, "-c", "3", "-i", "0.2", "--no-stun"]).end();
    said.expect(0, &["127.0.0.1: 3 sent, 3 answered, ", "; least ", ", median ", ", most "]);
    let replies: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("reply from 127.0.0.1 ")).collect();
    assert_eq!((replies.len(), said.stdout.lines().count()), (3, 4), "{said:?}");
    assert!(replies[2].starts_with("reply from 127.0.0.1 directly (") && replies[2].ends_with(" ms"), "{said:?}");
    let relayed = ["ping", &url, "-c", "1", "--relay-only", "--no-stun"];
    let words = ["relayed (because this side was started with --relay-only) in ", "1 answered, 0 of them directly"];
    Pinhole::start("ping", &relayed).end().expect(0, &words);
    // The host was for one client, and has had none.
    host.event("disconnected");
    host.stop();
}

#[test]
fn a_direct_answer_is_waited_for_or_missed() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let line = ["ping", &url, "--until-direct", "--json", "--no-stun"];
    let said = Pinhole::start("ping", &line).end();
    said.expect(0, &[r#""event":"reply""#, r#""path":"direct""#, r#""event":"pinged""#, r#""direct":1"#]);
    let line = ["ping", &url, "--until-direct", "-c", "2", "-i", "0.1", "--relay-only", "--no-stun"];
    let said = Pinhole::start("ping", &line).end();
    said.expect(
        1,
        &["error: no answer came directly: they are relayed, because this side was started with --relay-only"],
    );
    host.stop();
    let said = Pinhole::start("ping", &["ping", &url, "--json", "--no-stun"]).end();
    said.expect(1, &[r#""event":"error","code":"unreachable""#]);
    assert!(!said.stdout.contains("--retry"), "a ping has no such flag: {said:?}");
}

#[test]
fn ctrl_c_ends_it_with_what_there_is() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let mut ping = Pinhole::start("ping", &["ping", &url, "-i", "0.1", "--json", "--no-stun"]);
    ping.event("reply");
    ping.event("reply");
    ping.signal(Signal::SIGINT);
    ping.event("pinged");
    assert_eq!(ping.end().code, Some(0));
    let wrong = Pinhole::start("ping", &["ping", &url.replace("pin=", "pin=x"), "--no-stun"]).end();
    wrong.expect(1, &["the pin does not match"]);
    Pinhole::start("ping", &["ping", url.split('?').next().unwrap()]).end().expect(2, &["pin"]);
    host.stop();
}

#[test]
fn a_saved_host_is_pinged_and_checked_by_its_name() {
    let home = Home(Folder::new("ping-saved"));
    let mut host = Pinhole::host(echo(), &["--pin", "1234"]);
    let url = host.url();
    // What it forwards is no concern of a ping.
    home.run(&["client", "--save", "nas", &url, "1", "-D", "2", "--no-stun"]).expect(0, &["nas is saved"]);
    home.run(&["ping", "nas", "-c", "1"]).expect(0, &["reply from 127.0.0.1 "]);
    home.run(&["ping", "nas", "-c", "1", "--pin", "9"]).expect(1, &["the pin does not match"]);
    home.run(&["check", "nas", "--json", "--no-stun"]).expect(0, &[r#""event":"signaling""#, r#""event":"verdict""#]);
    home.run(&["check", "nas", "--pin", "9"]).expect(1, &["the pin does not match"]);
    // A pin that was saved is said to be the saved one.
    let old = url.replace("pin=1234", "pin=9");
    home.run(&["client", "--save", "nas", &old, "0"]).expect(0, &["in place of what was saved under that name"]);
    for command in ["ping", "check", "client"] {
        let words = ["the pin saved for nas does not match", "pinhole client --save nas URL"];
        home.run(&[command, "nas", "--no-stun"]).expect(1, &words);
    }
    host.stop();
}

#[test]
fn a_word_that_is_no_saved_host_is_said_to_be_none() {
    let home = Home(Folder::new("ping-unsaved"));
    let words = ["no host nosuch is saved (none is); give a URL", "pinhole client --save nosuch URL"];
    home.run(&["ping", "nosuch"]).expect(2, &words);
    home.run(&["client", "--save", "home", "ws://127.0.0.1:1?pin=1", "1"]).expect(0, &["home is saved"]);
    home.run(&["client", "--save", "nas", "ws://127.0.0.1:1?pin=1", "1"]).expect(0, &["nas is saved"]);
    for command in ["ping", "check", "client"] {
        home.run(&[command, "nosuch"]).expect(2, &["no host nosuch is saved (saved are: home, nas)"]);
    }
    // These are machines.
    home.run(&["client", "localhost"]).expect(2, &["the URL has no pin"]);
    home.run(&["client", "[::1]:1", "1", "--pin", "1"]).expect(1, &["cannot reach the host"]);
}
