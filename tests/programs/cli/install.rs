//! `pinhole install` and `pinhole uninstall`, in a root of their own and with a systemctl that only writes down what it
//! is asked.

mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::pinhole::{Ended, Pinhole, command};
use crate::common::system::skipped;

/// A systemctl. It fails where its arguments contain `SYSTEMCTL_FAILS`, and says why; nothing is enabled or active
/// unless the arguments contain `SYSTEMCTL_SAYS`. `SYSTEMCTL_MEANWHILE` is run before the last question of an
/// installation is answered.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>"$SYSTEMCTL_LOG"
case "$*" in
    *is-active*)
        meanwhile=$SYSTEMCTL_MEANWHILE SYSTEMCTL_MEANWHILE=:
        export SYSTEMCTL_MEANWHILE
        $meanwhile >/dev/null 2>&1
        ;;
esac
case "$*" in
    *"$SYSTEMCTL_INTERRUPTS"*) kill -INT $PPID; exit 1 ;;
    *"$SYSTEMCTL_FAILS"*) echo "Job failed." >&2; exit 1 ;;
    *"$SYSTEMCTL_SAYS"*) exit 0 ;;
    is-*|"--user is-"*) exit 3 ;;
esac
"#;

/// No arguments contain this.
const NOTHING: &str = "\u{1}";

/// A machine's file system; gone when this is dropped.
struct Machine {
    folder: PathBuf,
    root: String,
    /// What systemctl fails at, says yes to, and is interrupted at.
    fails: &'static str,
    says: &'static str,
    interrupts: &'static str,
}

impl Machine {
    fn new(name: &str) -> Machine {
        let folder = std::env::temp_dir().join(format!("pinhole-install-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for path in ["bin", "root/etc/systemd/system", "root/run/systemd/system", "root/usr/local/bin", "root/home/me"]
        {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        fs::write(folder.join("bin/systemctl"), SYSTEMCTL).unwrap();
        fs::set_permissions(folder.join("bin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let program = folder.join("root/usr/local/bin/pinhole");
        let own = env!("CARGO_BIN_EXE_pinhole");
        fs::hard_link(own, &program).or_else(|_| fs::copy(own, &program).map(drop)).unwrap();
        let root = folder.join("root").to_str().unwrap().to_owned();
        Machine { folder, root, fails: NOTHING, says: NOTHING, interrupts: NOTHING }
    }

    fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let own = command(&[&[verb, "--root", &self.root], arguments].concat());
        let mut command = Command::new(self.folder.join("root/usr/local/bin/pinhole"));
        command.args(own.get_args());
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("PATH", format!("{}:/bin:/usr/bin", self.folder.join("bin").display()));
        command.env("SYSTEMCTL_LOG", self.folder.join("log")).env("SYSTEMCTL_FAILS", self.fails);
        command.env("SYSTEMCTL_SAYS", self.says).env("SYSTEMCTL_INTERRUPTS", self.interrupts);
        command.env("HOME", "/home/me").env_remove("XDG_CONFIG_HOME").env("SYSTEMCTL_MEANWHILE", ":");
        command
    }

    #[track_caller]
    fn install(&self, line: &str) -> Ended {
        Pinhole::spawn("install", self.command("install", &line.split(' ').collect::<Vec<_>>())).end()
    }

    #[track_caller]
    fn uninstall(&self, line: &str) -> Ended {
        Pinhole::spawn("uninstall", self.command("uninstall", &line.split(' ').collect::<Vec<_>>())).end()
    }

    /// Returns what systemctl was asked since the last call.
    fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let _ = fs::remove_file(self.folder.join("log"));
        log.lines().map(str::to_owned).collect()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.folder.join(path)).unwrap().permissions().mode() & 0o777
    }

    /// Everything that is there, with modes, owners, groups and contents.
    fn contents(&self) -> BTreeMap<PathBuf, ([u32; 3], Option<Vec<u8>>)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.join("root")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                let rights = [metadata.mode(), metadata.uid(), metadata.gid()];
                found.insert(path.clone(), (rights, fs::read(&path).ok()));
            }
        }
        found
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const HOST: &str = "nas host web=8080 --server wss://p.example.org --id nas --pin 4711";

#[test]
fn a_host_is_installed_and_removed_again() {
    let machine = Machine::new("host");
    let before = machine.contents();
    let ended = machine.install(HOST);
    ended.expect(0, &["pinhole@nas runs", "/etc/pinhole/nas.pin  ", "  the pin\n", "sudo pinhole uninstall nas"]);
    // It was given, so the list of processes shows it; nothing else does.
    assert!(!ended.stdout.contains("4711"), "{ended:?}");
    assert_eq!(
        machine.asked(),
        [
            "is-enabled --quiet pinhole@nas.service",
            "is-active --quiet pinhole@nas.service",
            "daemon-reload",
            "enable --quiet pinhole@nas.service",
            "restart pinhole@nas.service"
        ]
    );
    let settings = machine.read("root/etc/pinhole/nas.toml");
    assert!(settings.contains("pin-file = \"nas.pin\"\n") && !settings.contains("4711"), "{settings}");
    assert_eq!(machine.read("root/etc/pinhole/nas.pin"), "4711\n");
    assert_eq!((machine.mode("root/etc/pinhole/nas.toml"), machine.mode("root/etc/pinhole/nas.pin")), (0o644, 0o600));
    let drop_in = machine.read("root/etc/systemd/system/pinhole@nas.service.d/pinhole-install.conf");
    assert!(drop_in.ends_with("\n[Service]\nLoadCredential=nas.pin:/etc/pinhole/nas.pin\n"), "{drop_in}");
    let unit = machine.read("root/etc/systemd/system/pinhole@.service");
    assert!(unit.contains("\nExecStart=/usr/local/bin/pinhole run /etc/pinhole/%i.toml\n"), "{unit}");

    // What was written is what the program reads.
    let verify = command(&["verify", &format!("{}/etc/pinhole/nas.toml", machine.root)]);
    Pinhole::spawn("verify", verify).end().expect(0, &["it is a host of web, reached as nas"]);

    machine.uninstall("nas").expect(0, &["/etc/pinhole/nas.toml", "/etc/pinhole/nas.pin", "pinhole@.service"]);
    assert_eq!(
        machine.asked(),
        ["disable --now --quiet pinhole@nas.service", "daemon-reload", "reset-failed pinhole@nas.service"]
    );
    assert_eq!(machine.contents(), before);
    machine.uninstall("nas").expect(1, &["has made no nas", "it has installed none"]);
}

#[test]
fn a_chosen_pin_is_told() {
    let machine = Machine::new("pin");
    let ended = machine.install("nas host web=8080 --server wss://p.example.org --id nas");
    let pin = machine.read("root/etc/pinhole/nas.pin");
    assert_eq!(pin.trim_end().len(), 12);
    ended.expect(0, &[&format!("The pin is {}.", pin.trim_end())]);
}

#[test]
fn a_unit_of_a_user_is_at_home() {
    let machine = Machine::new("user");
    let before = machine.contents();
    let line = "--user office client wss://p.example.org/ws/nas?pin=4711 8080 --retry";
    machine.install(line).expect(0, &["systemctl --user status", "loginctl enable-linger", "uninstall --user office"]);
    assert!(machine.asked().contains(&"--user restart pinhole@office.service".to_owned()));
    let home = "root/home/me/.config/pinhole/office";
    assert_eq!((machine.mode(&format!("{home}.toml")), machine.mode(&format!("{home}.pin"))), (0o600, 0o600));
    assert!(!machine.read(&format!("{home}.toml")).contains("4711"));
    let unit = machine.read("root/home/me/.config/systemd/user/pinhole@.service");
    assert!(unit.contains(" run %E/pinhole/%i.toml\n"), "{unit}");
    machine.uninstall("office").expect(1, &["you have one of that name: give --user"]);
    machine.uninstall("--user office").expect(0, &["office.toml"]);
    assert_eq!(machine.contents(), before);
}

#[test]
fn nothing_is_written_over() {
    let machine = Machine::new("over");
    fs::create_dir(format!("{}/etc/pinhole", machine.root)).unwrap();
    let settings = format!("{}/etc/pinhole/nas.toml", machine.root);
    // Dangling or not, a link is something of that name.
    symlink("/nonexistent/target", &settings).unwrap();
    let before = machine.contents();
    machine.install(HOST).expect(1, &["/etc/pinhole/nas.toml is there already", "--force"]);
    assert_eq!(machine.asked(), [] as [&str; 0]);
    assert_eq!(machine.contents(), before);
    // Nor is it followed.
    machine.install(&format!("--force {HOST}")).expect(1, &["it is no file", "everything is as it was before"]);
    assert_eq!(machine.contents(), before);
    fs::remove_file(&settings).unwrap();
    fs::write(&settings, "# mine\n").unwrap();
    machine.install(&format!("--force {HOST}")).expect(0, &["pinhole@nas runs"]);
    assert!(machine.read("root/etc/pinhole/nas.toml").contains("[host]"));
    // Again, with other secrets: what the first one made goes, too.
    machine.install(HOST).expect(1, &["is there already"]);
    let other = "--force nas host web=8080 --server wss://p.example.org --id nas --pin 815 --token sesame";
    machine.install(other).expect(0, &["/etc/pinhole/nas.token"]);
    assert_eq!(machine.read("root/etc/pinhole/nas.pin"), "815\n");
    machine.uninstall("nas").expect(0, &["nas.pin", "nas.token"]);
    assert_eq!(fs::read_dir(format!("{}/etc/pinhole", machine.root)).unwrap().count(), 0);
}

#[test]
fn what_fails_is_undone() {
    for (fails, words) in [
        ("daemon-reload", "systemctl daemon-reload failed: Job failed."),
        ("enable", "systemctl enable --quiet pinhole@nas.service failed: Job failed."),
        ("restart", "systemctl restart pinhole@nas.service failed: Job failed."),
    ] {
        let mut machine = Machine::new(fails);
        machine.fails = fails;
        let before = machine.contents();
        machine.install(HOST).expect(1, &[words, "everything is as it was before"]);
        assert_eq!(machine.contents(), before);
        // Only what was begun is undone.
        let (disable, stop) = ("disable --quiet pinhole@nas.service", "stop pinhole@nas.service");
        let reset = "reset-failed pinhole@nas.service";
        let (done, undone) = match fails {
            "daemon-reload" => (1, vec!["daemon-reload"]),
            "enable" => (2, vec![disable, "daemon-reload"]),
            _ => (3, vec![disable, stop, reset, "daemon-reload"]),
        };
        assert_eq!(machine.asked()[2 + done..], undone, "{fails}");
    }
    // One that ran already is not touched before its restart.
    let mut machine = Machine::new("again");
    (machine.fails, machine.says) = ("enable --quiet", "is-");
    fs::create_dir(format!("{}/etc/pinhole", machine.root)).unwrap();
    fs::write(format!("{}/etc/pinhole/nas.toml", machine.root), "# mine\n").unwrap();
    let before = machine.contents();
    machine.install(&format!("--force {HOST}")).expect(1, &["everything is as it was before"]);
    assert_eq!(machine.contents(), before);
    assert_eq!(machine.asked()[2..], ["daemon-reload", "enable --quiet pinhole@nas.service", "daemon-reload"]);
    // After that it is started again, as it was.
    machine.fails = "restart";
    let words = ["all files are as they were before, but pinhole@nas.service does not start again"];
    machine.install(&format!("--force {HOST}")).expect(1, &words);
    assert_eq!(machine.contents(), before);
    let restart = "restart pinhole@nas.service";
    assert_eq!(machine.asked()[4..], [restart, "daemon-reload", restart]);
}

#[test]
fn systemd_is_asked_without_secrets() {
    let mut machine = Machine::new("environment");
    machine.fails = "restart";
    // What it writes to its log is its environment, and so the last words are.
    let journalctl = "#!/bin/sh\nenv | sed -n 's/^\\(PINHOLE\\|NOTIFY\\|OTHER\\)/it has &/p'\n";
    fs::write(machine.folder.join("bin/journalctl"), journalctl).unwrap();
    fs::set_permissions(machine.folder.join("bin/journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let systemctl = format!("{SYSTEMCTL}env | grep '^PINHOLE_' >>\"$SYSTEMCTL_LOG\"; true\n");
    fs::write(machine.folder.join("bin/systemctl"), systemctl).unwrap();
    let line = "nas client wss://p.example.org/ws/nas -D 1080";
    let mut command = machine.command("install", &line.split(' ').collect::<Vec<_>>());
    command.env("PINHOLE_PIN", "4711").env("PINHOLE_TOKEN", "sesame").env("NOTIFY_SOCKET", "/run/none");
    command.env("PINHOLE_PUBLIC_AUTH", "me:secret").env("PINHOLE_PROXY_AUTH", "me:secret").env("OTHER", "shown");
    let ended = Pinhole::spawn("install", command).end();
    ended.expect(1, &["its last words: it has OTHER=shown; everything is as it was before"]);
    assert!(!ended.stderr.contains("it has PINHOLE") && !ended.stderr.contains("it has NOTIFY"), "{ended:?}");
    let asked = machine.asked();
    assert!(!asked.iter().any(|asked| asked.contains("PINHOLE_")), "{asked:?}");
}

#[test]
fn an_installation_leaves_another_of_its_name_alone() {
    let machine = Machine::new("twice");
    let line: Vec<&str> = HOST.split(' ').collect();
    let other = "nas host other=1 --server wss://p.example.org --id nas --pin 815";
    let mut command = machine.command("install", &line);
    command.env("SYSTEMCTL_MEANWHILE", format!("{0}/usr/local/bin/pinhole install --root {0} {other}", machine.root));
    let ended = Pinhole::spawn("install", command).end();
    ended.expect(1, &["/etc/pinhole/nas.toml is there already", "everything is as it was before"]);
    let asked = machine.asked();
    // Nothing follows the other's last step.
    assert_eq!(asked.last().map(String::as_str), Some("restart pinhole@nas.service"), "{asked:?}");
    assert_eq!(asked.iter().filter(|asked| *asked == "daemon-reload").count(), 1, "{asked:?}");
    assert_eq!(machine.read("root/etc/pinhole/nas.pin"), "815\n");
    assert!(machine.read("root/etc/pinhole/nas.toml").contains("other=1"));
    machine.uninstall("nas").expect(0, &["/etc/pinhole/nas.pin", "pinhole@.service"]);
}

#[test]
fn a_unit_for_all_that_appears_meanwhile_is_one() {
    let machine = Machine::new("meanwhile");
    // Nothing that can be read, and nothing that can be written anew either.
    let unit = Path::new(&machine.root).join("etc/systemd/system/pinhole@.service");
    symlink("/nonexistent/target", &unit).unwrap();
    let ended = machine.install(HOST);
    ended.expect(0, &["pinhole@nas runs"]);
    assert!(!ended.stdout.contains("the unit for all,"), "{ended:?}");
    machine.uninstall("nas").expect(0, &["/etc/pinhole/nas.pin"]);
    assert!(unit.is_symlink());
}

#[test]
fn what_is_put_back_has_its_owner() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("owner of a file that is put back", "only root can give files away");
    }
    let mut machine = Machine::new("owner");
    machine.fails = "enable";
    let (settings, pin) = (format!("{}/etc/pinhole/nas.toml", machine.root), "root/etc/pinhole/nas.pin");
    fs::create_dir(format!("{}/etc/pinhole", machine.root)).unwrap();
    fs::write(&settings, "# mine\n").unwrap();
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o640)).unwrap();
    chown(&settings, Some(65534), Some(4711)).unwrap();
    fs::write(machine.folder.join(pin), "1\n").unwrap();
    chown(machine.folder.join(pin), Some(4711), None).unwrap();
    let before = machine.contents();
    machine.install(&format!("--force {HOST}")).expect(1, &["everything is as it was before"]);
    assert_eq!(machine.contents(), before);
}

#[test]
fn an_interrupted_installation_is_undone() {
    let mut machine = Machine::new("interrupted");
    machine.interrupts = "restart";
    let before = machine.contents();
    machine.install(HOST).expect(1, &["everything is as it was before"]);
    assert_eq!(machine.contents(), before);
}

#[test]
fn a_folder_that_cannot_be_made_leaves_nothing_half() {
    let machine = Machine::new("half");
    let units = format!("{}/etc/systemd/system", machine.root);
    fs::remove_dir(&units).unwrap();
    fs::write(&units, "").unwrap();
    let before = machine.contents();
    machine
        .install(HOST)
        .expect(1, &["/etc/systemd/system/pinhole@nas.service.d cannot be written", "as it was before"]);
    assert_eq!(machine.contents(), before);
}

#[test]
fn the_unit_for_all_goes_with_the_last() {
    let machine = Machine::new("last");
    machine.install(HOST).expect(0, &["the unit for all, because"]);
    machine.install("office client wss://p.example.org/ws?pin=1 8080").expect(0, &["pinhole@office runs"]);
    let unit = Path::new(&machine.root).join("etc/systemd/system/pinhole@.service");
    machine.uninstall("nas").expect(0, &[]);
    assert!(unit.exists() && !machine.folder.join("root/etc/pinhole/nas.toml").exists());
    assert!(machine.folder.join("root/etc/pinhole/office.toml").exists());
    machine.uninstall("nas").expect(1, &["there is office"]);
    // What others added is theirs.
    fs::write(unit.with_file_name("pinhole@office.service.d/mine.conf"), "[Service]\n").unwrap();
    machine.uninstall("office").expect(0, &[]);
    assert!(!unit.exists());
    assert!(unit.with_file_name("pinhole@office.service.d/mine.conf").exists());
}

#[test]
fn a_package_brings_the_unit() {
    let machine = Machine::new("package");
    let folder = format!("{}/usr/lib/systemd/system", machine.root);
    fs::create_dir_all(&folder).unwrap();
    fs::write(format!("{folder}/pinhole@.service"), "").unwrap();
    let before = machine.contents();
    let ended = machine.install(HOST);
    ended.expect(0, &["pinhole@nas runs"]);
    assert!(!ended.stdout.contains("the unit for all,"), "{ended:?}");
    assert!(!machine.folder.join("root/etc/systemd/system/pinhole@.service").exists());
    machine.uninstall("nas").expect(0, &[]);
    assert_eq!(machine.contents(), before);
}

#[test]
fn without_systemd_it_says_what_to_do() {
    let machine = Machine::new("none");
    fs::remove_dir(format!("{}/run/systemd/system", machine.root)).unwrap();
    let before = machine.contents();
    machine
        .install(HOST)
        .expect(1, &["systemd does not run this machine", "--print-config", "pinhole run /etc/pinhole"]);
    fs::create_dir(format!("{}/run/systemd/system", machine.root)).unwrap();
    let before_too = machine.contents();
    let mut command = machine.command("install", &HOST.split(' ').collect::<Vec<_>>());
    command.env("PATH", "/nonexistent");
    Pinhole::spawn("install", command).end().expect(1, &["systemd does not run this machine"]);
    assert_eq!((before.len() + 1, &before_too), (machine.contents().len(), &machine.contents()));
}

#[test]
fn who_is_not_root_is_told() {
    let machine = Machine::new("nobody");
    if nix::unistd::geteuid().is_root() {
        // So that all of it can be read by nobody.
        fs::set_permissions(&machine.folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let log = machine.folder.join("log");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = machine.command("install", &HOST.split(' ').collect::<Vec<_>>());
    match nix::unistd::geteuid().is_root() {
        true => _ = command.uid(65534).gid(65534),
        false => fs::set_permissions(format!("{}/etc", machine.root), fs::Permissions::from_mode(0o555)).unwrap(),
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return skipped("install without root", &format!("another user cannot start it: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("needs root: put sudo in front, or give --user"),
        "{said}"
    );
    // Where nothing was written, systemd is asked to do nothing: polkit would ask for a password.
    let asked = machine.asked();
    assert!(asked.len() == 2 && asked.iter().all(|asked| asked.starts_with("is-")), "{asked:?}");
    fs::set_permissions(format!("{}/etc", machine.root), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_cannot_be_stopped_is_not_removed() {
    let mut machine = Machine::new("stop");
    machine.install(HOST).expect(0, &[]);
    let before = machine.contents();
    (machine.fails, machine.says) = ("disable", "is-enabled");
    machine.uninstall("nas").expect(1, &["Job failed.; nothing was removed", "sudo"]);
    assert_eq!(machine.contents(), before);
    // Somebody has disabled it, and its unit is gone.
    machine.says = NOTHING;
    machine.uninstall("nas").expect(0, &["/etc/pinhole/nas.toml"]);
}

#[test]
fn a_receipt_removes_nothing_else() {
    let machine = Machine::new("receipt");
    machine.install(HOST).expect(0, &[]);
    let precious = machine.folder.join("root/etc/precious");
    fs::write(&precious, "").unwrap();
    let receipt = machine.folder.join("root/etc/systemd/system/pinhole@nas.service.d/pinhole-install.conf");
    let text = fs::read_to_string(&receipt).unwrap();
    fs::write(&receipt, format!("# made /etc/precious\n# made ../../etc/precious\n# made /etc\n{text}")).unwrap();
    machine.uninstall("nas").expect(0, &[]);
    assert!(precious.exists());
}
