//! Questions to a person, apart from the terminal that asks them.

use std::fmt::Display;
use std::io;

use thiserror::Error;

/// One question, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// What is asked, without a colon.
    pub text: &'a str,
    /// An example, shown until something is typed. Without one, the default is.
    pub placeholder: &'a str,
    /// What an empty answer means; without one, an empty answer is asked again.
    pub default: Option<&'a str>,
    /// What can be chosen by its number, from 1 on; none for a question without a list.
    pub choices: &'a [String],
    /// What was wrong with the answer before, when the question is asked again.
    pub complaint: Option<&'a str>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// The person left: Ctrl-C, Ctrl-D or Esc, or a signal said so.
    #[error("nothing was started")]
    Cancelled,
    /// The terminal cannot be read or written.
    #[error("the terminal failed: {0}; give everything as arguments instead (pinhole --help)")]
    Terminal(#[from] io::Error),
}

/// Asks a question once and returns what was typed.
pub type Ask<'a> = dyn FnMut(&Question<'_>) -> Result<String, NoAnswer> + 'a;

/// Asks until `parse` takes the answer. Its error is shown when the question is asked again.
pub fn ask_until<T, E: Display>(
    ask: &mut Ask<'_>,
    question: Question<'_>,
    mut parse: impl FnMut(&str) -> Result<T, E>,
) -> Result<T, NoAnswer> {
    let mut complaint: Option<String> = None;
    loop {
        let typed = ask(&Question { complaint: complaint.as_deref(), ..question })?;
        let answer = match (typed.trim(), question.default) {
            ("", Some(default)) => default,
            (typed, _) => typed,
        };
        match parse(answer) {
            Ok(value) => return Ok(value),
            Err(error) => complaint = Some(error.to_string()),
        }
    }
}

/// Asks with a list, of which Enter takes the first. What is typed counts as well.
pub(super) fn ask_list<T, E: Display>(
    ask: &mut Ask<'_>,
    text: &str,
    choices: &[String],
    parse: impl FnMut(&str) -> Result<T, E>,
) -> Result<T, NoAnswer> {
    let question = Question { text, placeholder: "", default: Some("1"), choices, complaint: None };
    ask_until(ask, question, parse)
}

/// Returns the index of the choice that an answer names by its number.
pub fn chosen(answer: &str, choices: usize) -> Option<usize> {
    answer.parse::<usize>().ok()?.checked_sub(1).filter(|index| *index < choices)
}

/// What tests answer with.
#[cfg(test)]
pub(super) mod script {
    use super::*;

    /// Gives one answer after the other, then cancels. Keeps the questions and the errors that were shown.
    pub(crate) struct Script {
        answers: Vec<&'static str>,
        pub(crate) asked: Vec<String>,
    }

    impl Script {
        pub(crate) fn new(answers: &[&'static str]) -> Script {
            Script { answers: answers.to_vec(), asked: Vec::new() }
        }

        pub(crate) fn ask(&mut self, question: &Question<'_>) -> Result<String, NoAnswer> {
            let complaint = question.complaint.map(|complaint| format!("({complaint}) "));
            let choices = match question.choices {
                [] => String::new(),
                choices => format!(" [{}]", choices.join(" | ")),
            };
            self.asked.push(format!("{}{}{choices}", complaint.unwrap_or_default(), question.text));
            if self.answers.is_empty() {
                return Err(NoAnswer::Cancelled);
            }
            Ok(self.answers.remove(0).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::script::Script;
    use super::*;

    const QUESTION: Question<'_> =
        Question { text: "How many", placeholder: "", default: Some("7"), choices: &[], complaint: None };

    fn number(script: &mut Script, question: Question<'_>) -> Result<u8, NoAnswer> {
        ask_until(&mut |question| script.ask(question), question, |text| {
            text.parse::<u8>().map_err(|_| "that is no number")
        })
    }

    #[test]
    fn a_wrong_answer_is_asked_again_with_the_reason() {
        let mut script = Script::new(&["many", " 3 "]);
        assert_eq!(number(&mut script, QUESTION).unwrap(), 3);
        assert_eq!(script.asked, ["How many", "(that is no number) How many"]);
    }

    #[test]
    fn an_empty_answer_is_the_default_if_there_is_one() {
        assert_eq!(number(&mut Script::new(&[" "]), QUESTION).unwrap(), 7);
        let question = Question { default: None, ..QUESTION };
        assert_eq!(number(&mut Script::new(&["", "5"]), question).unwrap(), 5);
    }

    #[test]
    fn leaving_ends_the_questions() {
        let result = number(&mut Script::new(&["many"]), QUESTION);
        assert!(matches!(result, Err(NoAnswer::Cancelled)));
    }
}
