//! Hosts that are saved under a name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::common::folder::Folder;
use crate::common::pinhole::{Ended, Pinhole, command};
use crate::common::services::echo;
use crate::common::sides::check_echo;

/// The folder of somebody's settings.
struct Home(Folder);

impl Home {
    fn new(name: &str) -> Home {
        Home(Folder::new(name))
    }

    fn file(&self) -> PathBuf {
        self.0.0.join("config/pinhole/hosts.toml")
    }

    fn start(&self, arguments: &[&str]) -> Pinhole {
        let mut command = command(arguments);
        command.env("XDG_CONFIG_HOME", self.0.0.join("config"));
        Pinhole::spawn("pinhole", command)
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    fn write(&self, text: &str) {
        fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.0.0.join(path)).unwrap().permissions().mode() & 0o777
    }
}

#[test]
fn a_saved_host_is_joined_by_its_name() {
    let home = Home::new("saved-host");
    let mut host = Pinhole::host(echo(), &["--pin", "1234"]);
    let url = host.url();
    let saved = home.run(&["client", "--save", "nas", &url, "0", "--no-stun"]);
    saved.expect(0, &["nas is saved in ", "hosts.toml. To join it: pinhole client nas\n"]);
    assert_eq!((home.mode("config/pinhole"), home.mode("config/pinhole/hosts.toml")), (0o700, 0o600));
    let mut client = home.start(&["client", "nas", "--json"]);
    check_echo(client.local(), "by its name");
    client.stop();
    // What the command line says counts more.
    home.run(&["client", "nas", "--pin", "9", "--once"]).expect(1, &["the pin does not match"]);
    home.run(&["hosts"]).expect(0, &["nas  ws://127.0.0.1:"]);
    let listed = home.run(&["hosts", "--json"]);
    listed.expect(0, &[r#""event":"saved-host""#, r#""has_pin":true"#, r#""name":"nas""#]);
    home.run(&["hosts", "--remove", "nas"]).expect(0, &["nas is removed.\n"]);
    home.run(&["hosts"]).expect(0, &["No host is saved."]);
    home.run(&["hosts", "--remove", "nas"]).expect(2, &["there is no nas; pinhole hosts says which there are"]);
    host.stop();
}

#[test]
fn a_list_shows_no_pin() {
    let home = Home::new("saved-pins");
    home.write(
        "[host.nas]\nurl = \"wss://nas.test/ws?pin=secret-one\"\n[host.b]\nurl = \"b.test\"\npin = \"secret-two\"\n\
         [host.c]\nurl = \"ws://c.test:80/ws\"\n[host.d]\nurl = \"ftp://secret-three\"\n",
    );
    for arguments in [&["hosts"][..], &["hosts", "--json"]] {
        let ended = home.run(arguments);
        ended.expect(0, &["wss://nas.test/ws", "wss://b.test/ws", "ws://c.test/ws"]);
        assert!(!format!("{ended:?}").contains("secret"), "{ended:?}");
    }
    home.run(&["hosts"]).expect(0, &["c    ws://c.test/ws (asks for the pin)", "d    its url is none"]);
}

#[test]
fn a_name_that_is_saved_goes_before_a_word_and_a_url_is_never_one() {
    let home = Home::new("saved-words");
    home.write("[host.nas]\nurl = \"ws://127.0.0.1:1/ws?pin=1\"\nonce = true\n");
    home.run(&["client", "nas", "0"]).expect(1, &["127.0.0.1:1"]);
    // These are as they would be without the file: a pin is missing.
    for url in ["nas.", "nas:80", "ws://nas"] {
        home.run(&["client", url, "0"]).expect(2, &["the URL has no pin"]);
    }
    home.run(&["client", "other", "0"]).expect(2, &["no host other is saved (saved are: nas)"]);
}

#[test]
fn a_file_with_mistakes_is_named_with_the_line_and_left_alone() {
    let home = Home::new("saved-mistakes");
    let wrong = "[host.nas]\nurl = \"ws://a?pin=1\"\nlocal = 1\n";
    home.write(wrong);
    let lines: [&[&str]; 4] = [
        &["client", "nas"],
        &["hosts"],
        &["hosts", "--remove", "nas"],
        &["client", "--save", "b", "ws://b?pin=1", "0"],
    ];
    for arguments in lines {
        home.run(arguments).expect(2, &["hosts.toml:3:1: there is no local in [client]; did you mean locals?"]);
    }
    assert_eq!(fs::read_to_string(home.file()).unwrap(), wrong);
    // A value that only clap finds wrong.
    home.write("[host.nas]\nurl = \"ws://a?pin=1\"\ngrace = 0\n");
    home.run(&["client", "nas"]).expect(2, &["hosts.toml:3:", "grace"]);
    // A URL is joined all the same.
    home.run(&["client", "ws://127.0.0.1:1/ws?pin=1", "0", "--once"]).expect(1, &[]);
}

#[test]
fn others_who_can_read_the_pins_are_warned_of_and_a_link_stays_one() {
    let home = Home::new("saved-readers");
    home.write("[host.nas]\nurl = \"ws://127.0.0.1:1/ws?pin=1\"\nonce = true\n");
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o644)).unwrap();
    home.run(&["client", "nas", "0"])
        .expect(1, &["others than its owner can read the pin in ", "hosts.toml; chmod 600"]);
    let elsewhere = home.0.0.join("elsewhere.toml");
    fs::rename(home.file(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.file()).unwrap();
    home.run(&["client", "--save", "b", "ws://b?pin=1", "0"]).expect(0, &[]);
    assert!(fs::symlink_metadata(home.file()).unwrap().is_symlink());
    assert!(fs::read_to_string(&elsewhere).unwrap().contains("[host.b]"));
    assert_eq!(home.mode("elsewhere.toml"), 0o600);
}
