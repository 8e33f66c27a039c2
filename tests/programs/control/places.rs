use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::Socket;
use crate::common::any_port;
use crate::common::folder::Folder;
use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::echo;

/// A folder for the sockets of a user, and processes that use it.
struct Runtime(Folder);

impl Runtime {
    fn new(name: &str) -> Runtime {
        Runtime(Folder::new(name))
    }

    fn folder(&self) -> PathBuf {
        self.0.0.join("pinhole")
    }

    fn socket(&self, name: &str) -> Socket {
        Socket(self.folder().join(format!("{name}.sock")))
    }

    fn start(&self, more: &[&str]) -> Pinhole {
        let target = echo().to_string();
        let mut command = command(&[&["host", &target, "--json", "--no-stun"], more].concat());
        command.env("XDG_RUNTIME_DIR", &self.0.0).env("TMPDIR", self.0.0.join("tmp"));
        Pinhole::spawn("host", command)
    }

    /// The same, once it listens.
    fn host(&self, more: &[&str]) -> Pinhole {
        let mut host = self.start(more);
        host.url();
        host
    }
}

fn mode(path: &std::path::Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn the_socket_is_the_users_alone_and_goes_with_the_process() {
    let runtime = Runtime::new("place");
    let target = echo().to_string();
    // An open umask makes no difference.
    let line = ["-c", "umask 0; exec \"$0\" \"$@\""];
    let binary = command(&["host", &target, "--json", "--no-stun", "--name", "web"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(line).arg(binary.get_program()).args(binary.get_args()).env("XDG_RUNTIME_DIR", &runtime.0.0);
    let mut host = Pinhole::spawn("host", shell);
    host.url();
    let socket = runtime.socket("web");
    assert_eq!((mode(&runtime.folder()), mode(&socket.0)), (0o700, 0o600));
    let status = socket.status();
    assert_eq!((&status["name"], &status["pid"]), (&"web".into(), &host.pid().into()));
    host.stop();
    assert!(!socket.0.exists());
}

#[test]
fn names_come_from_the_flag_the_file_or_the_process() {
    let runtime = Runtime::new("names");
    let mut unnamed = runtime.host(&[]);
    let name = format!("host-{}", unnamed.pid());
    assert_eq!(runtime.socket(&name).status()["name"], name.as_str());
    let file = runtime.0.write("My Blog.toml", &format!("[host]\nservices = [\"{}\"]\nno-stun = true\n", echo()));
    let mut command = command(&["run", &file, "--json"]);
    command.env("XDG_RUNTIME_DIR", &runtime.0.0);
    let mut of_file = Pinhole::spawn("host", command);
    of_file.url();
    assert_eq!(runtime.socket("my-blog").status()["name"], "my-blog");
    let mut quiet = runtime.host(&["--no-control"]);
    let mut files: Vec<_> = fs::read_dir(runtime.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, [format!("{name}.sock").as_str(), "my-blog.sock"]);
    for process in [&mut unnamed, &mut of_file, &mut quiet] {
        process.stop();
    }
    for name in ["", "-a", "A", "a/b", "..\u{202e}"] {
        let mut refused = runtime.start(&[&format!("--name={name}")]);
        refused.end().expect(2, &["--name", "1 to 63 of a to z"]);
    }
}

#[test]
fn of_two_processes_with_a_name_the_second_says_that_it_has_another() {
    let runtime = Runtime::new("twins");
    let mut first = runtime.host(&["--name", "web"]);
    let mut second = runtime.start(&["--name", "web"]);
    let name = format!("web-{}", second.pid());
    let warning = second.problem("warning", "control");
    assert_eq!(warning, format!("another process is called web, so this one is {name}"));
    second.url();
    assert_eq!(runtime.socket("web").status()["pid"], first.pid());
    assert_eq!(runtime.socket(&name).status()["pid"], second.pid());
    // One that hangs is still there.
    first.signal(Signal::SIGSTOP);
    let mut third = runtime.start(&["--name", "web"]);
    third.problem("warning", "control");
    third.url();
    first.signal(Signal::SIGCONT);
    for process in [&mut first, &mut second, &mut third] {
        process.stop();
    }
}

#[test]
fn a_socket_of_a_killed_process_is_replaced() {
    let runtime = Runtime::new("stale");
    let mut killed = runtime.host(&["--name", "web"]);
    killed.signal(Signal::SIGKILL);
    killed.end();
    assert!(runtime.socket("web").0.exists());
    let mut host = runtime.host(&["--name", "web"]);
    assert_eq!(runtime.socket("web").status()["pid"], host.pid());
    host.stop();
}

#[test]
fn a_place_that_others_could_have_made_is_not_used() {
    let runtime = Runtime::new("unsafe");
    let (folder, elsewhere) = (runtime.folder(), runtime.0.0.join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
    let remove = |path: &PathBuf| drop(fs::remove_file(path).or_else(|_| fs::remove_dir(path)));
    let link = || symlink(&elsewhere, &folder).unwrap();
    let file = || fs::write(&folder, "").unwrap();
    let shared = || {
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    };
    let cases: [(&dyn Fn(), &str); 3] =
        [(&link, "it is a link"), (&file, "it is not a folder"), (&shared, "others than its owner can write there")];
    for (make, words) in cases {
        make();
        // Somebody who asked for a name is told; nobody else is troubled, and both run.
        let mut named = runtime.start(&["--name", "web"]);
        let warning = named.problem("warning", "control");
        assert!(warning.starts_with("this run has no control socket") && warning.contains(words), "{warning}");
        named.url();
        let mut unnamed = runtime.host(&[]);
        let warned = unnamed.events_so_far().iter().any(|event| event["event"] == "warning");
        assert!(!warned, "{:?}", unnamed.events_so_far());
        named.stop();
        unnamed.stop();
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "{words}");
        remove(&folder);
    }
    // Something else in the place of the socket is left alone.
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("web.sock"), "mine").unwrap();
    let mut named = runtime.start(&["--name", "web"]);
    assert!(named.problem("warning", "control").contains("not a socket"));
    named.url();
    named.stop();
    assert_eq!(fs::read_to_string(folder.join("web.sock")).unwrap(), "mine");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn without_a_folder_of_the_session_the_temporary_one_is_used() {
    let runtime = Runtime::new("temporary");
    let temporary = runtime.0.0.join("tmp");
    fs::create_dir(&temporary).unwrap();
    let start = |folders: &[(&str, &str)]| {
        let target = echo().to_string();
        let mut command = command(&["host", &target, "--json", "--no-stun", "--name", "web"]);
        command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", &temporary);
        command.envs(folders.iter().copied());
        let mut host = Pinhole::spawn("host", command);
        host.url();
        host
    };
    let own = temporary.join(format!("pinhole-{}", nix::unistd::getuid()));
    for folders in [&[][..], &[("XDG_RUNTIME_DIR", "/no/such/folder")], &[("XDG_RUNTIME_DIR", "relative")]] {
        let mut host = start(folders);
        assert_eq!(Socket(own.join("web.sock")).status()["pid"], host.pid(), "{folders:?}");
        assert_eq!(mode(&own), 0o700);
        host.stop();
    }
    // A unit's folder comes first, as its manager made it, and the first of several counts.
    let unit = runtime.0.0.join("unit");
    fs::create_dir(&unit).unwrap();
    let mut host = start(&[("RUNTIME_DIRECTORY", &format!("{}:/other", unit.display()))]);
    assert_eq!(Socket(unit.join("web.sock")).status()["pid"], host.pid());
    host.stop();
}

#[test]
fn a_folder_in_which_no_socket_can_be_is_passed_over() {
    let runtime = Runtime::new("long");
    let (long, temporary) = (runtime.0.0.join("x".repeat(100)), runtime.0.0.join("tmp"));
    fs::create_dir(&long).unwrap();
    let start = |temporary: &PathBuf| {
        let target = echo().to_string();
        let mut command = command(&["host", &target, "--json", "--no-stun", "--name", "web"]);
        command.env("XDG_RUNTIME_DIR", &long).env("TMPDIR", temporary);
        Pinhole::spawn("host", command)
    };
    // Without a folder that can be used, all problems are said.
    let mut without = start(&temporary);
    let warning = without.problem("warning", "control");
    without.url();
    let too_long = "the path is longer than that of a socket may be";
    assert!(warning.starts_with("this run has no control socket"), "{warning}");
    assert!(warning.contains(too_long) && warning.contains("/tmp/pinhole-"), "{warning}");
    without.stop();
    fs::create_dir(&temporary).unwrap();
    let mut host = start(&temporary);
    host.url();
    let own = temporary.join(format!("pinhole-{}", nix::unistd::getuid()));
    assert_eq!(Socket(own.join("web.sock")).status()["pid"], host.pid());
    host.stop();
}

#[test]
fn a_token_may_come_from_a_file() {
    let runtime = Runtime::new("token");
    let file = runtime.0.write("token", "0123456789abcdef-chosen\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut host = runtime.start(&["--admin-listen", "127.0.0.1:0", "--admin-token-file", &file]);
    let event = host.event("administration");
    let (address, url) = (text(&event, "addr"), text(&event, "url"));
    assert_eq!(url, format!("http://{address}/"), "what is known already is not printed");
    let asked = |token: &str| {
        let request = format!("GET /v1/status HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
        crate::common::http::ask(address.parse().unwrap(), request).status
    };
    assert_eq!((asked("0123456789abcdef-chosen"), asked("0123456789abcdef-chose")), (200, 401));
    host.stop();
    let short = runtime.0.write("short", "secret\n");
    let mut refused = runtime.start(&["--admin-listen", "0", "--admin-token-file", &short]);
    let ended = refused.end();
    ended.expect(2, &["--admin-token-file", "16 to 256"]);
    assert!(!ended.stdout.contains("secret"), "{ended:?}");
    let mut refused = runtime.start(&["--admin-token-file", &file]);
    refused.end().expect(2, &["--admin-token-file is for --admin-listen"]);
    let taken = std::net::TcpListener::bind(any_port()).unwrap();
    let mut refused = runtime.start(&["--admin-listen", &taken.local_addr().unwrap().to_string()]);
    refused.end().expect(1, &["is already in use"]);
}
