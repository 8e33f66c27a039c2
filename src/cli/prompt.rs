//! Asks questions at the terminal, on stderr, with a line editor. Esc leaves it, and a long pasted URL may wrap.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dialoguer::console::{Key, Style, Term, measure_text_width};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::question::{NoAnswer, Question};

/// Longest answer, in characters. What is typed beyond it is ignored.
const MAX_ANSWER: usize = 8 * 1024;

/// The terminal behind stdin and stderr. While one exists, SIGINT and SIGTERM end the questions and not the process.
/// So the terminal is always restored.
pub struct Prompter {
    terminal: Term,
    interrupted: Arc<AtomicBool>,
    signals: Vec<SigId>,
}

impl Prompter {
    /// Takes over the terminal's signals.
    pub fn new() -> io::Result<Prompter> {
        let mut prompter =
            Prompter { terminal: Term::buffered_stderr(), interrupted: Arc::default(), signals: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            let id = signal_hook::flag::register(signal, Arc::clone(&prompter.interrupted))?;
            prompter.signals.push(id);
        }
        Ok(prompter)
    }

    /// Asks once. The cursor stays visible, and it stands on a fresh line afterwards, however it ended.
    pub fn ask(&mut self, question: &Question<'_>) -> Result<String, NoAnswer> {
        let mut screen = Screen::new(&self.terminal, question);
        let answer = self.edit(&mut screen);
        screen.close()?;
        answer
    }

    /// Returns whether a signal came that no question has noticed.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn edit(&self, screen: &mut Screen<'_>) -> Result<String, NoAnswer> {
        screen.complain()?;
        let mut line = Line::default();
        loop {
            screen.draw(&line)?;
            // Between two keys the terminal is in its ordinary mode, where Ctrl-C is a signal.
            if self.is_interrupted() {
                return Err(NoAnswer::Cancelled);
            }
            let key = match self.terminal.read_key_raw() {
                Ok(key) => key,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Key::CtrlC,
                Err(error) => return Err(error.into()),
            };
            match line.handle_key(key) {
                Edit::Going => {}
                Edit::Done => {
                    let answer = line.text();
                    if let (true, Some(default)) = (answer.trim().is_empty(), screen.question.default) {
                        screen.draw(&Line::of(default))?;
                    }
                    return Ok(answer);
                }
                Edit::Left => return Err(NoAnswer::Cancelled),
            }
        }
    }
}

impl Drop for Prompter {
    fn drop(&mut self) {
        for id in self.signals.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// The effect of a key.
#[derive(Debug, PartialEq, Eq)]
enum Edit {
    Going,
    Done,
    Left,
}

/// The line being typed.
#[derive(Debug, Default)]
struct Line {
    characters: Vec<char>,
    /// Index into `characters`, at most their number.
    cursor: usize,
}

impl Line {
    fn of(text: &str) -> Line {
        let characters: Vec<char> = text.chars().collect();
        Line { cursor: characters.len(), characters }
    }

    fn handle_key(&mut self, key: Key) -> Edit {
        match key {
            Key::Enter => return Edit::Done,
            Key::Escape | Key::CtrlC => return Edit::Left,
            // Ctrl-D: the end of the input, on an empty line.
            Key::Char('\x04') if self.characters.is_empty() => return Edit::Left,
            // Ctrl-U: deletes what is before the cursor.
            Key::Char('\x15') => {
                self.characters.drain(..self.cursor);
                self.cursor = 0;
            }
            Key::Char(c) if !c.is_control() && self.characters.len() < MAX_ANSWER => {
                self.characters.insert(self.cursor, c);
                self.cursor += 1;
            }
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.characters.remove(self.cursor);
            }
            Key::Del if self.cursor < self.characters.len() => {
                self.characters.remove(self.cursor);
            }
            Key::ArrowLeft => self.cursor = self.cursor.saturating_sub(1),
            Key::ArrowRight => self.cursor = (self.cursor + 1).min(self.characters.len()),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.characters.len(),
            _ => {}
        }
        Edit::Going
    }

    fn text(&self) -> String {
        self.characters.iter().collect()
    }

    fn before_cursor(&self) -> String {
        self.characters.iter().take(self.cursor).collect()
    }
}

/// Where a question stands on the terminal.
struct Screen<'a> {
    terminal: &'a Term,
    question: &'a Question<'a>,
    label: String,
    /// Rows below the question's first one: of the cursor, and of the end of the text.
    cursor_row: usize,
    last_row: usize,
}

impl<'a> Screen<'a> {
    fn new(terminal: &'a Term, question: &'a Question<'a>) -> Screen<'a> {
        Screen { terminal, question, label: format!("{}: ", question.text), cursor_row: 0, last_row: 0 }
    }

    fn complain(&self) -> io::Result<()> {
        let Some(complaint) = self.question.complaint else {
            return Ok(());
        };
        let style = Style::new().for_stderr().yellow();
        self.terminal.write_line(&style.apply_to(complaint).to_string())
    }

    /// Draws question and answer over what was drawn before, and moves the cursor to where the next key goes.
    fn draw(&mut self, line: &Line) -> io::Result<()> {
        let text = line.text();
        let style = Style::new().for_stderr();
        let shown = if text.is_empty() {
            style.dim().apply_to(self.question.placeholder)
        } else {
            style.apply_to(text.as_str())
        };
        let columns = usize::from(self.terminal.size().1).max(1);
        let label_width = measure_text_width(&self.label);
        let shown_width = match text.as_str() {
            "" => measure_text_width(self.question.placeholder),
            text => measure_text_width(text),
        };
        let place =
            Place::new(columns, label_width + shown_width, label_width + measure_text_width(&line.before_cursor()));

        self.terminal.move_cursor_up(self.cursor_row)?;
        self.terminal.write_str("\r")?;
        self.terminal.clear_to_end_of_screen()?;
        self.terminal.write_str(&format!("{}{shown}", self.label))?;
        if let Some(column) = place.column {
            self.terminal.move_cursor_up(place.last_row - place.cursor_row)?;
            self.terminal.write_str("\r")?;
            self.terminal.move_cursor_right(column)?;
        }
        self.terminal.flush()?;
        self.cursor_row = place.cursor_row;
        self.last_row = place.last_row;
        Ok(())
    }

    /// Leaves the question on the screen and goes to a line of its own.
    fn close(&self) -> io::Result<()> {
        self.terminal.move_cursor_down(self.last_row - self.cursor_row)?;
        self.terminal.write_str("\r\n")?;
        self.terminal.flush()
    }
}

/// Rows and columns of a text that wraps at the terminal's width.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Row of the end of the text.
    last_row: usize,
    /// Row of the cursor.
    cursor_row: usize,
    /// Column the cursor must be moved to; `None` when it is there, at the end of the text.
    column: Option<usize>,
}

impl Place {
    /// Places a text of `end` columns with the cursor after `cursor` of them. A terminal wraps with the character
    /// after the last column, not with the last one, so a full row ends on that row.
    fn new(columns: usize, end: usize, cursor: usize) -> Place {
        let last_row = end.saturating_sub(1) / columns;
        if cursor >= end {
            return Place { last_row, cursor_row: last_row, column: None };
        }
        Place { last_row, cursor_row: cursor / columns, column: Some(cursor % columns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> (String, usize, Edit) {
        let mut line = Line::default();
        let mut edit = Edit::Going;
        for key in keys {
            assert_eq!(edit, Edit::Going, "keys after the end");
            edit = line.handle_key(key.clone());
        }
        (line.text(), line.cursor, edit)
    }

    fn characters(text: &str) -> Vec<Key> {
        text.chars().map(Key::Char).collect()
    }

    #[test]
    fn a_line_can_be_edited() {
        let cases: [(&[Key], &str, usize); 9] = [
            (&[], "abc", 3),
            (&[Key::Backspace], "ab", 2),
            (&[Key::ArrowLeft, Key::Backspace], "ac", 1),
            (&[Key::Home, Key::Del, Key::Char('x')], "xbc", 1),
            (&[Key::Home, Key::Backspace, Key::ArrowLeft], "abc", 0),
            (&[Key::Del, Key::ArrowRight], "abc", 3),
            (&[Key::ArrowLeft, Key::Char('\x15')], "c", 0),
            (&[Key::Home, Key::End, Key::Char('ß')], "abcß", 4),
            (&[Key::Char('\x04'), Key::Char('\x1a'), Key::Tab, Key::ArrowUp], "abc", 3),
        ];
        for (keys, text, cursor) in cases {
            let keys = [characters("abc"), keys.to_vec()].concat();
            assert_eq!(typed(&keys), (text.to_string(), cursor, Edit::Going), "{keys:?}");
        }
    }

    #[test]
    fn enter_ends_and_escape_leaves() {
        assert_eq!(typed(&[Key::Char('1'), Key::Enter]), ("1".into(), 1, Edit::Done));
        assert_eq!(typed(&[Key::Enter]).2, Edit::Done);
        for key in [Key::Escape, Key::CtrlC, Key::Char('\x04')] {
            assert_eq!(typed(&[key]).2, Edit::Left);
        }
    }

    #[test]
    fn an_answer_has_a_limit() {
        let (text, cursor, _) = typed(&characters(&"x".repeat(MAX_ANSWER + 10)));
        assert_eq!((text.len(), cursor), (MAX_ANSWER, MAX_ANSWER));
    }

    #[test]
    fn wrapped_text_is_placed() {
        let place = |last_row, cursor_row, column| Place { last_row, cursor_row, column };
        let cases = [
            ((80, 10, 10), place(0, 0, None)),
            ((80, 10, 4), place(0, 0, Some(4))),
            ((10, 10, 10), place(0, 0, None)),
            ((10, 11, 11), place(1, 1, None)),
            ((10, 25, 10), place(2, 1, Some(0))),
            ((10, 25, 9), place(2, 0, Some(9))),
            ((1, 3, 0), place(2, 0, Some(0))),
            ((10, 0, 0), place(0, 0, None)),
        ];
        for ((columns, end, cursor), expected) in cases {
            assert_eq!(Place::new(columns, end, cursor), expected, "{columns} {end} {cursor}");
        }
    }
}
