//! The pages of the manual (man(7)), made of the definition of the arguments and of what stands in `manual/words.rs`.

mod ending;
mod words;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use ending::{Ending, Entry};
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

/// Makes the page of the program and one for each command that its help shows.
pub fn pages(root: &Command) -> Vec<Page> {
    let mut root = root.clone();
    root.build();
    let shown: Vec<&Command> = root.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let names: Vec<&str> = shown.iter().map(|command| command.get_name()).collect();
    let commands = shown.iter().map(|command| page(command, Some(command.get_name()), &names, &root));
    std::iter::once(page(&root, None, &names, &root)).chain(commands).collect()
}

/// Makes the page of the program, or of the command of that name.
fn page(command: &Command, name: Option<&str>, names: &[&str], root: &Command) -> Page {
    let man = Man::new(command.clone());
    let file = man.get_filename();
    // No date: the same version has the same pages.
    let title = format!(
        ".TH \"{}\" 1 \"\" \"{} {}\" \"User Commands\"\n",
        file.trim_end_matches(".1"),
        root.get_name(),
        root.get_version().unwrap_or_default()
    );
    let body = render(&man, command, name, names).expect("a vector takes everything");
    Page { file, text: [title.into_bytes(), body].concat() }
}

/// Everything behind the title.
fn render(man: &Man, command: &Command, name: Option<&str>, names: &[&str]) -> std::io::Result<Vec<u8>> {
    let words = name.map_or(&PROGRAM, words::of);
    let help = command.get_after_long_help().or_else(|| command.get_after_help());
    let mut ending = Ending::of(&help.map(ToString::to_string).unwrap_or_default());
    if ending.environment.is_empty() && words.is_run {
        ending.environment = Ending::of(&format!("Environment:\n{OUTPUT_HELP}")).environment;
    }
    let mut text = Vec::new();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    further_paragraphs(words).to_writer(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    sections(words, &ending).to_writer(&mut text)?;
    see_also(name, names).to_writer(&mut text)?;
    Ok(text)
}

/// What the description goes on with.
fn further_paragraphs(words: &Words) -> Roff {
    let mut roff = Roff::new();
    for paragraph in words.description {
        roff.control("PP", []).text([roman(*paragraph)]);
    }
    roff
}

/// Everything behind the options.
fn sections(words: &Words, ending: &Ending) -> Roff {
    let mut roff = Roff::new();
    let pair = |(name, text): &(&str, &str)| Entry { name: (*name).to_owned(), text: (*text).to_owned() };
    let entries = |pairs: &[(&str, &str)]| pairs.iter().map(pair).collect::<Vec<_>>();
    list(&mut roff, "EXIT STATUS", &entries(words.exit_status));
    list(&mut roff, "ENVIRONMENT", &ending.environment);
    list(&mut roff, "FILES", &entries(words.files));
    for listing in &ending.listings {
        roff.control("PP", []).text([roman(listing.intro.as_str())]);
        roff.control("PP", []).control("RS", ["4"]).control("EX", []);
        for line in &listing.lines {
            roff.text([roman(line.as_str())]);
        }
        roff.control("EE", []).control("RE", []);
    }
    list(&mut roff, "SIGNALS", &entries(words.signals));
    list(&mut roff, "EXAMPLES", &ending.examples);
    if !ending.notes.is_empty() {
        roff.control("SH", ["NOTES"]);
        for (index, note) in ending.notes.iter().enumerate() {
            if index > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(note.as_str())]);
        }
    }
    roff
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

fn see_also(name: Option<&str>, names: &[&str]) -> Roff {
    let mut roff = Roff::new();
    let others = names.iter().filter(|other| Some(**other) != name).map(|other| format!("pinhole-{other}"));
    let pages: Vec<String> = name.map(|_| "pinhole".to_owned()).into_iter().chain(others).collect();
    let mut line: Vec<Inline> = Vec::new();
    for (index, page) in pages.iter().enumerate() {
        let end = if index + 1 == pages.len() { "(1)" } else { "(1), " };
        line.extend([italic(page.as_str()), roman(end)]);
    }
    roff.control("SH", ["SEE ALSO"]).text(line);
    roff
}

#[cfg(test)]
#[path = "manual_tests.rs"]
mod tests;
