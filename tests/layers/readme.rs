//! The README beside its translations: the same headings, commands, tables and links, in each section.

use std::fs;
use std::path::Path;

/// A section, as far as it does not depend on the language.
#[derive(Debug, Default, PartialEq, Eq)]
struct Section {
    /// How deep its heading is.
    level: usize,
    /// Blocks of code, one after the other.
    blocks: Vec<String>,
    /// Code within sentences, in alphabetical order: languages have their own.
    codes: Vec<String>,
    /// Where links lead, in alphabetical order.
    links: Vec<String>,
    /// Rows of tables, and points of lists.
    rows: usize,
    points: usize,
}

/// Returns the sections of a text; the first one is what is above all headings.
fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut block: Option<String> = None;
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        if !is_fence
            && block.is_none()
            && let level @ 1.. = line.len() - line.trim_start_matches('#').len()
        {
            sections.push(Section { level, ..Section::default() });
        }
        let section = sections.last_mut().expect("there is one from the start");
        match &mut block {
            Some(_) if is_fence => section.blocks.extend(block.take()),
            Some(code) => *code += &format!("{line}\n"),
            None if is_fence => block = Some(format!("{line}\n")),
            None => {
                section.codes.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
                section.links.extend(links(line));
                section.rows += usize::from(line.starts_with('|'));
                section.points += usize::from(line.starts_with("- "));
            }
        }
    }
    assert_eq!(block, None, "a block of code without an end");
    for section in &mut sections {
        section.codes.sort();
        section.links.sort();
    }
    sections
}

/// Returns where the links of a line lead. Each language links to the others, and has pictures of its own.
fn links(line: &str) -> impl Iterator<Item = String> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.starts_with("README"))
        .map(str::to_owned)
        .map(|link| link.replace(".zh-TW.png", ".png"))
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("it is there")
}

#[test]
fn translations_say_the_same_as_the_readme() {
    let (english, translated) = (read("README.md"), read("README.zh-TW.md"));
    assert!(english.contains("](README.zh-TW.md)") && translated.contains("](README.md)"));
    let (ours, theirs) = (sections(&english), sections(&translated));
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(theirs, ours, "section {index} of README.zh-TW.md is not that of README.md");
    }
    assert_eq!(theirs.len(), ours.len());
}

#[test]
fn sections_are_told_by_what_no_language_changes() {
    let text = "above `a`\n# One\nuse `b` and [c](d.md)\n```\n# no heading `e`\n```\n| f |\n- g\n";
    let one = Section {
        level: 1,
        blocks: vec!["```\n# no heading `e`\n".into()],
        codes: vec!["b".into()],
        links: vec!["d.md".into()],
        rows: 1,
        points: 1,
    };
    assert_eq!(sections(text), [Section { codes: vec!["a".into()], ..Section::default() }, one]);
    let other = |from: &str, to: &str| assert_ne!(sections(text), sections(&text.replace(from, to)), "{from}");
    for (from, to) in
        [("# One", "## One"), ("`b`", "`x`"), ("d.md", "x.md"), ("no heading", "x"), ("| f |", ""), ("- g", "")]
    {
        other(from, to);
    }
}
