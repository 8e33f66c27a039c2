use clap::CommandFactory;

use super::super::args::Arguments;
use super::*;

fn pages_of_the_program() -> Vec<(String, String)> {
    let pages = pages(&Arguments::command());
    pages.into_iter().map(|page| (page.file, String::from_utf8(page.text).unwrap())).collect()
}

fn page_of(file: &str) -> String {
    pages_of_the_program().into_iter().find(|(name, _)| name == file).unwrap().1
}

#[test]
fn each_command_that_is_shown_has_a_page() {
    let files: Vec<String> = pages_of_the_program().into_iter().map(|(file, _)| file).collect();
    let root = Arguments::command();
    let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
    let commands = shown.map(|command| format!("pinhole-{}.1", command.get_name()));
    assert_eq!(files, std::iter::once("pinhole.1".to_owned()).chain(commands).collect::<Vec<_>>());
    assert!(!files.iter().any(|file| file.contains("-help") || file.contains("-man.")), "{files:?}");
}

#[test]
fn each_option_stands_in_its_page() {
    let mut root = Arguments::command();
    root.build();
    let commands = root.get_subcommands().filter(|command| !command.is_hide_set());
    for (command, file) in commands
        .map(|command| (command, format!("pinhole-{}.1", command.get_name())))
        .chain([(&root, "pinhole.1".into())])
    {
        let page = page_of(&file);
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let long =
                argument.get_long().map(|long| format!("--{}", long.replace('-', "\\-")).replacen("--", "\\-\\-", 1));
            let short = argument.get_short().map(|short| format!("\\fB\\-{short}"));
            for option in long.into_iter().chain(short) {
                assert!(page.contains(&option), "{file} lacks {option}:\n{page}");
            }
        }
    }
}

#[test]
fn pages_have_the_sections_that_people_look_for() {
    const ALL: &[&str] = &["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"];
    let cases: [(&str, &[&str]); 6] = [
        ("pinhole.1", &["ENVIRONMENT", "EXAMPLES", "SUBCOMMANDS"]),
        ("pinhole-host.1", &["ENVIRONMENT", "FILES", "SIGNALS", "EXAMPLES", "NOTES"]),
        ("pinhole-client.1", &["ENVIRONMENT", "FILES", "SIGNALS", "EXAMPLES"]),
        ("pinhole-server.1", &["ENVIRONMENT", "FILES", "SIGNALS", "EXAMPLES"]),
        ("pinhole-check.1", &["ENVIRONMENT", "FILES", "EXAMPLES"]),
        ("pinhole-demo.1", &["ENVIRONMENT"]),
    ];
    for (file, own) in cases {
        let page = page_of(file);
        for section in ALL.iter().chain(own) {
            let heading = match section.contains(' ') {
                true => format!("\n.SH \"{section}\"\n"),
                false => format!("\n.SH {section}\n"),
            };
            assert_eq!(page.matches(&heading).count(), 1, "{section} in {file}:\n{page}");
        }
    }
}

#[test]
fn what_the_help_says_at_its_end_is_in_the_page() {
    let page = page_of("pinhole-server.1");
    assert!(page.contains("[[token]]\n") && page.contains("sha256sum"), "{page}");
    let page = page_of("pinhole-host.1");
    for part in ["PINHOLE_TOKEN", "HTTPS_PROXY", "RUST_LOG", "pinhole host 25565", "a port of this machine"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("Exit codes"), "{page}");
}
