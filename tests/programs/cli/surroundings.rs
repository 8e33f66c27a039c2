//! Machines that lack something: files that are none, full and read-only disks, no HOME, no /proc, a clock in 1970.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;

use crate::common::folder::Folder;
use crate::common::pinhole::{Ended, Pinhole, command, run};
use crate::common::services::echo;
use crate::common::system::{find, skipped};
use crate::common::{connect, ping};

const BINARY: &str = env!("CARGO_BIN_EXE_pinhole");

/// Runs the binary with as much memory as a small router has left for it.
fn in_little_memory(arguments: &[&str]) -> Ended {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 400000; exec \"$0\" \"$@\"", BINARY]).args(arguments).env("LC_ALL", "C");
    Pinhole::spawn("pinhole", shell).end()
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_is_no_file_of_settings_is_one_sentence() {
    let folder = Folder::new("odd");
    let at = |name: &str| folder.0.join(name).to_str().unwrap().to_owned();
    mkfifo(&folder.0.join("pipe"));
    fs::create_dir(folder.0.join("folder")).unwrap();
    let pipe_for = |text: &str| format!("{text} = \"pipe\"\n");
    let deep = "[host]\nservices = ".to_owned() + &"[".repeat(200_000);
    let dotted = "[host]\na".to_owned() + &".a".repeat(100_000) + " = 1";
    let keys = "[host]\n".to_owned() + &(0..20_000).map(|n| format!("k{n} = 1\n")).collect::<String>();
    let written: [(&str, String, &str); 14] = [
        (
            "empty",
            String::new(),
            ":1:1: it has none of [host], [client] and [server]; write one of them above the keys",
        ),
        ("lines", "\n".repeat(1_000_000), ": it is larger than 256 KiB, and no file of settings is"),
        ("deep", deep, ":2:92: there are too many brackets or points within each other; "),
        ("dotted", dotted, ":1:1: there are too many brackets or points within each other; "),
        ("keys", keys, ":2:1: there is no k0 in [host]; "),
        ("twice", "[host]\nservices = 1\nservices = 2\n".into(), ":3:1: services is there twice; "),
        ("roles", "[host]\nservices = 1\n[client]\n".into(), ":3:2: [client] is the second role beside [host]; "),
        ("unknown", "[host]\nservces = 1\n".into(), ":2:1: there is no servces in [host]; did you mean services?"),
        ("range", "[host]\nservices = 1\ngrace = 0\n".into(), ":3:9: grace '0': "),
        ("pin", "[host]\nservices = 1\n".to_owned() + &pipe_for("pin-file"), ":3:1: pin-file: cannot read "),
        ("tokens", "[server]\n".to_owned() + &pipe_for("tokens"), ":2:1: tokens: cannot read the file of tokens "),
        ("ca", "[client]\nurl = \"wss://a.test?pin=1\"\n".to_owned() + &pipe_for("ca"), ":3:1: ca: cannot read "),
        ("folder/pin", "[host]\nservices = 1\npin-file = \"../folder\"\n".into(), ":3:1: pin-file: cannot read "),
        ("binary", "[host]\nid = \"\u{0}\"\n".into(), ":2:7: "),
    ];
    for (name, contents, said) in &written {
        let file = folder.write(name, contents);
        let verified = in_little_memory(&["verify", &file]);
        expect_sentence(&verified, &format!("error: {file}{said}"));
    }
    let there = [
        (at("pipe"), ": it cannot be read: it is a pipe that nobody writes into"),
        (at("folder"), ": it cannot be read: Is a directory (os error 21)"),
        (at("none"), ": it cannot be read: No such file or directory (os error 2)"),
        ("/dev/null".to_owned(), ":1:1: it has none of "),
        ("/dev/zero".to_owned(), ": it is larger than 256 KiB"),
    ];
    for (file, said) in &there {
        for line in [["verify", file], ["run", file]] {
            expect_sentence(&in_little_memory(&line), &format!("error: {file}{said}"));
        }
    }
}

#[track_caller]
fn expect_sentence(ended: &Ended, said: &str) {
    let lines = ended.stderr.lines().count();
    assert_eq!((ended.code, ended.stdout.as_str(), lines), (Some(2), "", 1), "{said}: {ended:?}");
    assert!(ended.stderr.starts_with(said), "{said}: {ended:?}");
}

#[test]
fn a_pipe_that_somebody_writes_into_is_a_file() {
    let folder = Folder::new("pipe");
    let path = folder.0.join("pipe");
    mkfifo(&path);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, "[host]\nservices = 1\n").unwrap()
    });
    run(&["verify", path.to_str().unwrap()]).expect(0, &["is right: it is a host of 1"]);
    writer.join().unwrap();
}

#[test]
fn a_full_disk_behind_stdout_is_a_failure() {
    let folder = Folder::new("full");
    let file = folder.write("nas.toml", "[host]\nservices = 1\n");
    let lines: [&[&str]; 4] =
        [&["verify", &file], &["verify", "--json", &file], &["run", &file, "--print-config"], &["completions", "fish"]];
    for line in lines {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = command(line).stdout(full).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{line:?}: {said}");
        assert_eq!(said, "error: stdout takes no more: No space left on device (os error 28)\n", "{line:?}");
    }
}

/// Runs lines of a shell in file systems of their own, `$0` being the binary. `None` where that is not permitted.
fn in_own_mounts(test: &str, script: &str, arguments: &[&str]) -> Option<Command> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-ec"]);
    let mut probe = Command::new("unshare");
    let may = probe.args(["--mount", "true"]).output().is_ok_and(|ended| ended.status.success());
    if !Uid::effective().is_root() || !may {
        skipped(test, "file systems are root's to mount");
        return None;
    }
    unshare.arg(script).arg(BINARY).args(arguments);
    Some(unshare)
}

#[test]
fn pages_on_a_full_disk_are_a_failure() {
    let folder = Folder::new("small");
    let path = folder.0.to_str().unwrap();
    let script = "mount -t tmpfs -o size=16k none \"$1\"; \"$0\" man \"$1\"";
    let Some(small) = in_own_mounts("pages on a full disk", script, &[path]) else { return };
    let ended = Pinhole::spawn("man", small).end();
    ended.expect(1, &[&format!("error: {path}/pinhole"), " cannot be written: No space left on device"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn nothing_but_the_program_is_needed() {
    let folder = Folder::new("bare");
    let file = folder.write("nas.toml", &format!("[host]\nservices = [\"{}\"]\nno-stun = true\n", echo()));
    let script = "mount -t tmpfs none /proc; mount -o remount,bind,ro /; cd /; if touch /written; then exit 9; fi; \
                  exec env -i \"$0\" \"$@\"";
    let start = |arguments: &[&str]| in_own_mounts("a read-only root without /proc and HOME", script, arguments);
    let Some(verify) = start(&["verify", &file]) else { return };
    Pinhole::spawn("verify", verify).end().expect(0, &["is right"]);
    Pinhole::spawn("print", start(&["host", "1", "--print-config"]).unwrap()).end().expect(0, &["services = [1]"]);
    Pinhole::spawn("completions", start(&["completions", "zsh"]).unwrap()).end().expect(0, &["#compdef pinhole"]);
    Pinhole::spawn("man", start(&["man", "/pages"]).unwrap())
        .end()
        .expect(1, &["error: /pages cannot be written: Read-only file system"]);
    let mut host = Pinhole::spawn("host", start(&["run", &file, "--json"]).unwrap());
    let url = host.url();
    let mut client = Pinhole::spawn("client", start(&["client", &url, "0", "--json", "--no-stun"]).unwrap());
    ping(&mut connect(client.local()));
    client.stop();
    host.stop();
}

/// A command in 1970, or `None` where faketime is not installed.
fn in_1970(arguments: &[&str]) -> Option<Command> {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let libraries = libraries.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let library: Option<PathBuf> = libraries.into_iter().find(|library| library.is_file());
    let Some(library) = library.filter(|_| find("faketime").is_some()) else {
        skipped("a clock in 1970", "faketime is not installed");
        return None;
    };
    let mut command = command(arguments);
    command.env("LD_PRELOAD", library).env("FAKETIME", "@1970-01-02 00:00:00").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Some(command)
}

#[test]
fn in_1970_tunnels_work_and_certificates_are_doubted_together_with_the_clock() {
    let Some(host) = in_1970(&["host", &echo().to_string(), "--json", "--no-stun"]) else { return };
    let mut host = Pinhole::spawn("host", host);
    let mut client = Pinhole::spawn("client", in_1970(&["client", &host.url(), "0", "--json", "--no-stun"]).unwrap());
    ping(&mut connect(client.local()));
    client.stop();
    host.stop();

    let folder = Folder::new("clock");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    let certificate = folder.write("cert.pem", &params.self_signed(&own.signing_key).unwrap().pem());
    folder.write("key.pem", &own.signing_key.serialize_pem());
    let text = "[server]\nopen = true\nlisten = \"127.0.0.1:0\"\ntls-cert = \"cert.pem\"\ntls-key = \"key.pem\"\n";
    let file = folder.write("server.toml", text);
    let verified = in_1970(&["verify", "--json", &file]).unwrap().output().unwrap();
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success() && said.contains("(unless this machine's clock is wrong)"), "{said}");

    let mut server = Pinhole::start("server", &["run", &file, "--json"]);
    let listen = server.event("serving")["listen"].as_str().unwrap().replace("127.0.0.1", "localhost");
    let client = ["client", &format!("wss://{listen}/ws/abc?pin=1"), "0", "--ca", &certificate, "--no-stun"];
    let ended = Pinhole::spawn("client", in_1970(&client).unwrap()).end();
    ended
        .expect(1, &["the server's certificate is not trusted: it is not valid yet", "is this machine's clock right?"]);
    server.stop();
}
