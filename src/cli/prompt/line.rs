//! A line that is typed, with an editor that every terminal has.

use dialoguer::console::Key;

/// Longest answer, in characters. What is typed beyond it is ignored.
const MAX_ANSWER: usize = 8 * 1024;

/// The effect of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Going,
    Done,
    Left,
}

/// The line being typed.
#[derive(Debug, Default)]
pub(super) struct Line {
    characters: Vec<char>,
    /// Index into `characters`, at most their number.
    cursor: usize,
}

impl Line {
    pub(super) fn of(text: &str) -> Line {
        let characters: Vec<char> = text.chars().collect();
        Line { cursor: characters.len(), characters }
    }

    pub(super) fn handle_key(&mut self, key: Key) -> Edit {
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

    pub(super) fn text(&self) -> String {
        self.characters.iter().collect()
    }

    pub(super) fn before_cursor(&self) -> String {
        self.characters.iter().take(self.cursor).collect()
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
}
