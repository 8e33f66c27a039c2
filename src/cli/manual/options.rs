//! Arguments, as a page of the manual has them.

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction};
use roff::{Inline, Roff, bold, italic, roman};

/// Writes sections of arguments: those without a name first, then options, by their headings.
pub(super) fn sections<'a>(roff: &mut Roff, arguments: impl Iterator<Item = &'a Arg>) {
    let shown: Vec<&Arg> = arguments.filter(|argument| !argument.is_hide_set()).collect();
    let (places, options): (Vec<&Arg>, Vec<&Arg>) = shown.into_iter().partition(|argument| argument.is_positional());
    for (title, arguments) in [("ARGUMENTS", places), ("OPTIONS", options)] {
        if arguments.is_empty() {
            continue;
        }
        roff.control("SH", [title]);
        for (heading, arguments) in by_heading(&arguments) {
            if let Some(heading) = heading {
                roff.control("SS", [heading]);
            }
            for argument in arguments {
                roff.control("TP", []).text(tag(argument));
                paragraphs(roff, &explanation(argument));
            }
        }
    }
}

/// Returns arguments by their headings, in the order of both.
pub(super) fn by_heading<'a>(arguments: &[&'a Arg]) -> Vec<(Option<&'a str>, Vec<&'a Arg>)> {
    let mut groups: Vec<(Option<&str>, Vec<&Arg>)> = vec![(None, Vec::new())];
    for argument in arguments {
        let heading = argument.get_help_heading();
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, group)) => group.push(argument),
            None => groups.push((heading, vec![argument])),
        }
    }
    groups
}

/// Writes paragraphs below a tag.
pub(super) fn paragraphs(roff: &mut Roff, paragraphs: &[String]) {
    for (index, paragraph) in paragraphs.iter().enumerate() {
        if index > 0 {
            roff.control("IP", []);
        }
        roff.text([roman(paragraph.as_str())]);
    }
}

/// Returns the paragraphs that explain an argument.
pub(super) fn explanation(argument: &Arg) -> Vec<String> {
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut paragraphs: Vec<String> = help.split("\n\n").map(|text| text.replace('\n', " ")).collect();
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if let (true, false, Some(first)) = (takes_value, default.is_empty(), paragraphs.first_mut()) {
        first.push_str(&format!(" [default: {}]", default.join(", ")));
    }
    let possible: Vec<PossibleValue> = argument.get_possible_values();
    if takes_value && !possible.is_empty() && !argument.is_hide_possible_values_set() {
        let names: Vec<&str> = possible.iter().map(PossibleValue::get_name).collect();
        paragraphs.push(format!("One of {}.", names.join(", ")));
    }
    paragraphs
}

/// Returns what a person types: `-v, --verbose`, `--listen ADDR`, `[NAME=]TARGET ...`.
fn tag(argument: &Arg) -> Vec<Inline> {
    let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let value = value.filter(|_| takes_value);
    if argument.is_positional() {
        let more = if matches!(argument.get_action(), ArgAction::Append) { " ..." } else { "" };
        return vec![italic(value.unwrap_or_default()), roman(more)];
    }
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let mut tag = Vec::new();
    for name in short.into_iter().chain(long) {
        if !tag.is_empty() {
            tag.push(roman(", "));
        }
        tag.push(bold(name));
    }
    tag.extend(value.map(|value| [roman(" "), italic(value)]).into_iter().flatten());
    tag
}
