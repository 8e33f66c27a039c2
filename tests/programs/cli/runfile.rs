//! Files in place of flags: `pinhole run`, `pinhole verify` and `--print-config`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, command, run};
use crate::common::services::echo;
use crate::common::{connect, ping};

#[test]
fn a_host_and_a_client_of_files_meet() {
    let folder = Folder::new("meet");
    folder.write("pin", "open sesame\n");
    let host = format!("[host]\nservices = [\"{}\"]\npin-file = \"pin\"\njson = true\n", echo());
    let host = folder.write("host.toml", &host);
    // What stands behind the file counts, too.
    let mut host = Pinhole::start("host", &["run", &host, "--no-stun"]);
    let url = host.url();
    let url = url.split('?').next().unwrap();
    let client = format!("[client]\nurl = \"{url}\"\nlocals = [0]\npin-file = \"pin\"\nno-stun = true\n");
    let client = folder.write("client.toml", &client);
    let mut client = Pinhole::start("client", &["run", &client, "--json"]);
    ping(&mut connect(client.local()));
    for pinhole in [&host, &client] {
        let line = fs::read(format!("/proc/{}/cmdline", pinhole.pid()));
        assert!(line.map_or(true, |line| !String::from_utf8_lossy(&line).contains("sesame")));
    }
    client.stop();
    host.stop();
}

#[test]
fn a_file_that_makes_no_sense_is_wrong_usage() {
    let folder = Folder::new("wrong");
    let file = folder.write("nas.toml", "[host]\nservices = [8080]\nlisen = 5000\n");
    let said = format!("{file}:3:1: there is no lisen in [host]; did you mean listen?");
    for line in [["verify", &file].as_slice(), &["run", &file], &["-v", "run", &file, "--once"]] {
        let ended = run(line);
        ended.expect(2, &[&said]);
        assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1), "{line:?}");
    }
    let json = folder.write("json.toml", "[host]\nservices = [0]\njson = true\n");
    for line in
        [["run", &file, "--json"], ["run", "--json", &file], ["run", &json, "--once"], ["verify", &file, "--json"]]
    {
        let ended = run(&line);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), ""), "{line:?}");
        let event: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&event["event"], &event["code"]), (&"error".into(), &"usage".into()));
        assert!(event["message"].as_str().unwrap().contains(".toml:"), "{event}");
    }
}

#[test]
fn what_print_config_writes_is_right() {
    let folder = Folder::new("print");
    let ended = run(&["host", "web=8080", "--once", "--print-config"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let file = folder.write("nas.toml", &ended.stdout);
    let verified = run(&["verify", &file]);
    assert_eq!(
        verified.stdout,
        format!("{file} is right: it is a host of web, whose signaling listens at 127.0.0.1:0\n")
    );
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    let verified = run(&["verify", "--json", &file]);
    let event: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    assert_eq!((&event["event"], &event["warnings"]), (&"verified".into(), &Value::Array(Vec::new())));
}

#[test]
fn a_unit_finds_its_secret() {
    let folder = Folder::new("unit");
    let file = folder.write("nas.toml", "[host]\nservices = [8080]\npin-file = \"nas.pin\"\n");
    run(&["verify", &file]).expect(2, &["nas.toml:3:1: pin-file: cannot read "]);
    let credentials = Folder::new("credentials");
    credentials.write("nas.pin", "open sesame");
    let mut verify = command(&["verify", &file]);
    let ended = verify.env("CREDENTIALS_DIRECTORY", &credentials.0).output().unwrap();
    assert!(
        ended.status.success() && String::from_utf8_lossy(&ended.stdout).contains("is a host of 8080"),
        "{ended:?}"
    );
}

#[test]
fn the_examples_of_the_packages_are_right() {
    let folder = Folder::new("examples");
    for secret in ["pin", "token"] {
        let file = folder.write(secret, "correct-horse-battery-staple\n");
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    }
    let examples = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples")).unwrap();
    let mut names = Vec::new();
    for example in examples {
        let example = example.unwrap();
        let name = example.file_name().into_string().unwrap();
        let file = folder.write(&name, &fs::read_to_string(example.path()).unwrap());
        let verified = run(&["verify", &file]);
        assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""), "{name}");
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["client.toml", "host.toml", "server.toml"]);
}
