//! Completions and pages of the manual, read by the programs that they are for.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::pinhole::{command, run};
use crate::common::system::program;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(std::env::temp_dir().join(format!("pinhole-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn shells_can_read_their_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = run(&["completions", shell]);
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(printed.stdout.contains("--max-sessions") || printed.stdout.contains("-l max-sessions"), "{shell}");
        // The other two are not to be had from Debian.
        if !["bash", "fish", "zsh"].contains(&shell) {
            continue;
        }
        let Some(shell) = program(shell, &format!("completions of {shell}")) else { continue };
        // Without running anything.
        let mut reader = Command::new(&shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        reader.stdin.take().unwrap().write_all(printed.stdout.as_bytes()).unwrap();
        let ended = reader.wait_with_output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{}: {ended:?}", shell.display());
    }
    run(&["completions", "tcsh"]).expect(2, &["invalid value 'tcsh'", "possible values: bash"]);
}

#[test]
fn names_of_saved_hosts_and_running_processes_are_completed() {
    let folder = Folder::new("names");
    let saved = folder.0.join("config/pinhole");
    fs::create_dir_all(&saved).unwrap();
    fs::write(saved.join("hosts.toml"), "[host.nas]\nurl = \"ws://a\"\n[host.attic]\nurl = \"ws://b\"\n").unwrap();
    let sockets = folder.0.join("run/pinhole");
    fs::create_dir_all(&sockets).unwrap();
    let _web = UnixListener::bind(sockets.join("web.sock")).unwrap();
    let _odd = UnixListener::bind(sockets.join("$(touch x).sock")).unwrap();
    let binary = command(&[]);
    let path =
        format!("{}:{}", Path::new(binary.get_program()).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let scripts = [
        (
            "bash",
            "source /dev/stdin; COMP_WORDS=(pinhole $1 ''); COMP_CWORD=2; _pinhole_names pinhole '' $1; \
             printf '%s\\n' \"${COMPREPLY[@]}\"",
        ),
        (
            "zsh",
            "compdef() {}; source /dev/stdin; _pinhole() {}; compadd() { shift; print -l -- $@ }; \
             words=(pinhole $1 ''); CURRENT=3; _pinhole_names",
        ),
        ("fish", "source -; complete -C \"pinhole $argv[-1] \""),
    ];
    for (shell, script) in scripts {
        let Some(program) = program(shell, &format!("names in {shell}")) else { continue };
        let completions = run(&["completions", shell]).stdout;
        for (name, expected) in
            [("client", &["attic", "nas"][..]), ("check", &["attic", "nas"]), ("status", &["web"]), ("demo", &[])]
        {
            let mut reader = Command::new(&program);
            if shell != "fish" {
                reader.arg("-f");
            }
            reader.arg("-c").arg(script).args((shell != "fish").then_some("-")).arg(name);
            reader.env("PATH", &path).env("XDG_CONFIG_HOME", folder.0.join("config"));
            reader.env("XDG_RUNTIME_DIR", folder.0.join("run")).env("TMPDIR", &folder.0).env("HOME", &folder.0);
            let mut reader =
                reader.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            reader.stdin.take().unwrap().write_all(completions.as_bytes()).unwrap();
            let ended = reader.wait_with_output().unwrap();
            let said = String::from_utf8(ended.stdout).unwrap();
            let known = ["attic", "nas", "web"];
            let mut found: Vec<&str> = said.split_whitespace().filter(|word| known.contains(word)).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{shell} {name}: {said} {}", String::from_utf8_lossy(&ended.stderr));
            assert!(!said.contains("touch"), "{said}");
        }
    }
    assert_eq!(run(&["names", "saved"]).code, Some(0));
}

#[test]
fn a_script_that_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = command(&["completions", "bash"]).stdout(full).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("stdout takes no more"), "{said}");
    run(&["man", "/dev/null/pages"]).expect(1, &["/dev/null/pages cannot be written: "]);
}

#[test]
fn man_has_nothing_to_say_against_the_pages() {
    let folder = Folder::new("man");
    let written = run(&["man", folder.0.to_str().unwrap()]);
    assert_eq!((written.code, written.stdout, written.stderr), (Some(0), String::new(), String::new()));
    let mut pages: Vec<PathBuf> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.iter().any(|page| page.ends_with("pinhole-host.1")), "{pages:?}");
    let Some(man) = program("man", "pages of the manual") else { return };
    for page in &pages {
        let printed = formatted(&man, page);
        let said = String::from_utf8(printed.stderr).unwrap();
        assert!(printed.status.success() && said.is_empty(), "{}: {said}", page.display());
        assert!(!printed.stdout.is_empty(), "{}", page.display());
    }
}

fn formatted(man: &Path, page: &Path) -> std::process::Output {
    let mut reader = Command::new(man);
    reader.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"]).arg(page);
    reader.env("MANROFFOPT", "").env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").output().unwrap()
}
