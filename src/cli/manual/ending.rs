//! Reads what stands behind the options in a long help: examples, variables, listings and notes.

/// How paragraphs and last lines begin that pages have a section or a page for.
const IN_OTHER_SECTIONS: [&str; 4] =
    ["Exit codes:", "RUST_LOG sets", "Its keys are the long options", "A SIGHUP has it"];

/// A name and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// A command line or a variable.
    pub(super) name: String,
    /// One paragraph; may be empty.
    pub(super) text: String,
}

impl Entry {
    pub(super) fn new(name: &str, text: &str) -> Entry {
        Entry { name: name.to_owned(), text: text.to_owned() }
    }
}

/// Lines that stay as they are, and the sentence before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) intro: String,
    pub(super) lines: Vec<String>,
}

/// The parts of the end of a help.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ending {
    /// Command lines.
    pub(super) examples: Vec<Entry>,
    /// Variables of the environment.
    pub(super) environment: Vec<Entry>,
    /// The formats of files.
    pub(super) listings: Vec<Listing>,
    /// Everything else, by paragraphs.
    pub(super) notes: Vec<String>,
}

impl Ending {
    /// Reads blocks of lines with empty lines between them. A block whose first line ends in a colon and whose others
    /// are indented is what that line says; any other is a paragraph. What each page has a
    /// section for is left out.
    pub(super) fn of(help: &str) -> Ending {
        let mut ending = Ending::default();
        for block in help.split("\n\n") {
            let (first, rest) = block.split_once('\n').unwrap_or((block, ""));
            match first {
                "Examples:" => ending.examples.extend(entries(rest)),
                "Environment:" => ending.environment.extend(entries(rest)),
                _ if first.ends_with(':') && rest.lines().all(|line| line.starts_with(' ')) && !rest.is_empty() => {
                    let lines = rest.lines().map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned()).collect();
                    ending.listings.push(Listing { intro: first.to_owned(), lines });
                }
                _ => ending.notes.extend(paragraph(block)),
            }
        }
        ending
    }
}

/// Reads two columns. A line that is indented by two begins an entry, by four it goes on with a command line, and by
/// more with the explanation.
fn entries(lines: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines.lines() {
        let indent = line.len() - line.trim_start().len();
        let (name, text) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        let text = text.trim_start();
        match entries.last_mut() {
            Some(last) if indent > 4 => join(&mut last.text, line.trim()),
            Some(last) if indent > 2 => {
                join(&mut last.name, name);
                join(&mut last.text, text);
            }
            _ => entries.push(Entry::new(name, text)),
        }
    }
    entries
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

fn paragraph(block: &str) -> Option<String> {
    let is_elsewhere = |text: &str| IN_OTHER_SECTIONS.iter().any(|other| text.starts_with(other));
    if is_elsewhere(block) {
        return None;
    }
    let text = block.lines().map(str::trim).filter(|line| !is_elsewhere(line)).collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_what_they_say() {
        let help = "\
Examples:
  pinhole a             does a,
                        and more
  pinhole b --long
    --longer            does b
  pinhole c

A note
goes on.

The file has this:
  [a]
    b = 1

Environment:
  A_B                   what a
                        is
Exit codes: 0 done.";
        let ending = Ending::of(&help.replace("\nExit", "\n\nSaid.\nExit"));
        assert_eq!(
            ending.examples,
            [
                Entry::new("pinhole a", "does a, and more"),
                Entry::new("pinhole b --long --longer", "does b"),
                Entry::new("pinhole c", "")
            ]
        );
        assert_eq!(ending.environment, [Entry::new("A_B", "what a is")]);
        let lines = vec!["[a]".to_owned(), "  b = 1".to_owned()];
        assert_eq!(ending.listings, [Listing { intro: "The file has this:".to_owned(), lines }]);
        assert_eq!(ending.notes, ["A note goes on.", "Said."]);
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(Ending::of(""), Ending::default());
        assert_eq!(Ending::of("Exit codes: 0 done."), Ending::default());
    }
}
