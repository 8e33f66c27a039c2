use clap::CommandFactory;
use clap::error::ErrorKind;

use super::super::args::Arguments;
use super::super::file::{self, Keys, Kind, ROLES, Said, Setting, Value};
use super::*;

fn pages_of_the_program() -> Vec<(String, String)> {
    let pages = pages(&Arguments::command(), &file::tables());
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
    let others = ["pinhole.1".to_owned()].into_iter().chain(commands).chain(["pinhole.toml.5".to_owned()]);
    assert_eq!(files, others.collect::<Vec<_>>());
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
    let cases: [(&str, &[&str]); 9] = [
        ("pinhole.1", &["ENVIRONMENT", "EXAMPLES", "COMMANDS"]),
        ("pinhole-run.1", &["ARGUMENTS", "ENVIRONMENT", "FILES", "SIGNALS", "EXAMPLES"]),
        ("pinhole-verify.1", &["ARGUMENTS", "ENVIRONMENT", "FILES", "EXAMPLES"]),
        ("pinhole-completions.1", &["ARGUMENTS", "EXAMPLES"]),
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

#[test]
fn each_key_of_a_file_stands_in_its_page_with_an_example_that_is_right() {
    let page = page_of("pinhole.toml.5");
    for section in ["NAME", "DESCRIPTION", "FILES", "EXAMPLES", "\"SEE ALSO\""] {
        assert_eq!(page.matches(&format!("\n.SH {section}\n")).count(), 1, "{section}:\n{page}");
    }
    for role in ROLES {
        let part = page.split(&format!("\n.SH \"KEYS OF [{role}]\"\n")).nth(1).unwrap().split("\n.SH ").next().unwrap();
        let keys = Keys::of(role);
        for (key, argument) in keys.iter().zip(&keys.table().keys) {
            let name = key.name().replace('-', "\\-");
            assert!(part.contains(&format!(".TP\n\\fB{name}\\fR: ")), "{role} lacks {name}:\n{part}");
            let line = settings::example(argument);
            let (_, value) = line.split_once(" = ").unwrap();
            assert!(part.contains(&line.replace('-', "\\-")), "{line}");
            let text = |value: &toml::Value| match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                other => panic!("{other:?}"),
            };
            let values = match toml::from_str::<toml::Table>(&format!("value = {value}")).unwrap().remove("value") {
                Some(toml::Value::Array(values)) => values.iter().map(text).collect(),
                Some(toml::Value::Boolean(true)) => Vec::new(),
                value => vec![text(&value.unwrap())],
            };
            let value = |text: String| Value { text: text.into(), at: None };
            let said = match key.kind() {
                Kind::Flag | Kind::Count => Said::Flag(1),
                Kind::One | Kind::Many => Said::Values(values.into_iter().map(value).collect()),
            };
            let refused = keys.parse(&[Setting { key: key.name().to_owned(), at: None, said }]).map(|_| ());
            let is_of_value = refused.is_err_and(|error| error.kind() != ErrorKind::MissingRequiredArgument);
            assert!(!is_of_value, "{line}");
        }
    }
}

#[test]
fn whole_files_of_the_page_are_right() {
    for (intro, text) in words::FILE.examples {
        let table: toml::Table = toml::from_str(text).unwrap();
        let (role, keys) = table.iter().next().unwrap();
        let known = Keys::of(ROLES.iter().find(|known| *known == role).unwrap());
        for key in keys.as_table().unwrap().keys() {
            assert!(known.find(key).is_some(), "{key}: {intro}");
        }
    }
}
