//! The pages of the manual (man(7)), made of the definition of the arguments and of what stands in `manual/words.rs`.

mod ending;
mod options;
mod settings;
mod words;

use clap::Command;
use roff::{Inline, Roff, bold, italic, roman};

use ending::{Ending, Entry, Listing};
pub use settings::Table;
use words::{PROGRAM, Words};

use super::choices::OUTPUT_HELP;

/// A page of the manual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The name of its file: `pinhole-host.1`.
    pub file: String,
    /// What it says, in the language of man(7).
    pub text: Vec<u8>,
}

/// Makes the page of the program, one for each command that its help shows, and one for the file of settings, which may
/// have these tables.
pub fn pages(root: &Command, tables: &[Table]) -> Vec<Page> {
    let mut root = root.clone();
    root.build();
    let shown: Vec<&Command> = root.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let names: Vec<&str> = shown.iter().map(|command| command.get_name()).collect();
    let version = root.get_version().unwrap_or_default();
    let commands = shown.iter().map(|command| page(command, Some(command.get_name()), &names, version));
    let program = page(&root, None, &names, version);
    std::iter::once(program).chain(commands).chain([settings_page(tables, &names, version)]).collect()
}

/// Makes the page of the program, or of the command of that name.
fn page(command: &Command, name: Option<&str>, names: &[&str], version: &str) -> Page {
    let words = name.map_or(&PROGRAM, words::of);
    let help = command.get_after_long_help().or_else(|| command.get_after_help());
    let mut ending = Ending::of(&help.map(ToString::to_string).unwrap_or_default());
    if ending.environment.is_empty() && words.is_run {
        ending.environment = Ending::of(&format!("Environment:\n{OUTPUT_HELP}")).environment;
    }
    let title = name.map_or("pinhole".to_owned(), |name| format!("pinhole-{name}"));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut roff = head(&title, about.trim_end_matches('.'));
    roff.control("SH", ["SYNOPSIS"]).text(synopsis(command));
    roff.control("SH", ["DESCRIPTION"]).text([roman(format!("{}.", about.trim_end_matches('.')))]);
    for paragraph in words.description {
        roff.control("PP", []).text([roman(*paragraph)]);
    }
    options::sections(&mut roff, command.get_arguments());
    let commands: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !commands.is_empty() {
        roff.control("SH", ["COMMANDS"]);
    }
    for command in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        roff.control("TP", []).text([bold(format!("pinhole-{}", command.get_name())), roman("(1)")]);
        roff.text([roman(about)]);
    }
    sections(&mut roff, words, &ending);
    let others = names.iter().filter(|other| Some(**other) != name).map(|other| (format!("pinhole-{other}"), 1));
    let program = name.map(|_| ("pinhole".to_owned(), 1));
    let settings = words.has_settings.then(|| (settings::NAME.to_owned(), 5));
    see_also(&mut roff, program.into_iter().chain(others).chain(settings));
    finish(&title, 1, version, &roff)
}

/// Makes pinhole.toml(5).
fn settings_page(tables: &[Table], names: &[&str], version: &str) -> Page {
    let mut roff = head(settings::NAME, settings::ABOUT);
    settings::sections(&mut roff, tables);
    let commands = names.iter().map(|name| (format!("pinhole-{name}"), 1));
    see_also(&mut roff, std::iter::once(("pinhole".to_owned(), 1)).chain(commands));
    finish(settings::NAME, 5, version, &roff)
}

/// Puts the title above a page. There is no date: the same version has the same pages.
fn finish(title: &str, section: u8, version: &str, roff: &Roff) -> Page {
    let kind = if section == 1 { "User Commands" } else { "File Formats" };
    let title_line = format!(".TH \"{title}\" {section} \"\" \"pinhole {version}\" \"{kind}\"\n");
    // Command lines are copied from here: no word of them is divided, and no space is stretched.
    let text = [title_line.as_str(), ".nh\n.ad l\n", &roff.to_roff()].concat();
    Page { file: format!("{title}.{section}"), text: text.into_bytes() }
}

fn head(title: &str, about: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]).text([roman(format!("{title} - {about}"))]);
    roff
}

/// Returns how the command is called, as its help says.
fn synopsis(command: &Command) -> Vec<Inline> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace(['<', '>'], "");
    let called = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let rest = usage.strip_prefix(&called).unwrap_or_default().to_owned();
    vec![bold(called), roman(rest)]
}

/// Everything behind the options.
fn sections(roff: &mut Roff, words: &Words, ending: &Ending) {
    let entries = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, text)| Entry::new(name, text)).collect::<Vec<_>>();
    list(roff, "EXIT STATUS", &entries(words.exit_status));
    list(roff, "ENVIRONMENT", &ending.environment);
    list(roff, "FILES", &entries(words.files));
    if words.files.is_empty() && !ending.listings.is_empty() {
        roff.control("SH", ["FILES"]);
    }
    ending.listings.iter().for_each(|listing| lines(roff, listing));
    list(roff, "SIGNALS", &entries(words.signals));
    list(roff, "EXAMPLES", &ending.examples);
    if !ending.notes.is_empty() {
        roff.control("SH", ["NOTES"]);
        for (index, note) in ending.notes.iter().enumerate() {
            if index > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(note.as_str())]);
        }
    }
}

/// A section of names and what they mean, or nothing.
fn list(roff: &mut Roff, title: &str, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    roff.control("SH", [title]);
    for entry in entries {
        roff.control("TP", []).text([bold(entry.name.as_str())]).text([roman(entry.text.as_str())]);
    }
}

/// Lines that stay as they are.
fn lines(roff: &mut Roff, listing: &Listing) {
    roff.control("PP", []).text([roman(listing.intro.as_str())]);
    roff.control("PP", []).control("RS", ["4"]).control("EX", []);
    for line in &listing.lines {
        roff.text([roman(line.as_str())]);
    }
    // The end of an example turns hyphens on again.
    roff.control("EE", []).control("RE", []).control("nh", []);
}

fn see_also(roff: &mut Roff, pages: impl Iterator<Item = (String, u8)>) {
    let mut line: Vec<Inline> = Vec::new();
    for (page, section) in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([italic(page), roman(format!("({section})"))]);
    }
    roff.control("SH", ["SEE ALSO"]).text(line);
}

#[cfg(test)]
#[path = "manual_tests.rs"]
mod tests;
