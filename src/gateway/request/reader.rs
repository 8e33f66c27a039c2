//! Reads heads line by line, each byte once, in whatever pieces they come.

/// The position in a head, and the beginning of its next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::gateway) struct HeadReader {
    /// All bytes before it have been searched.
    seen: usize,
    /// Where the current line begins.
    start: usize,
    /// Number of complete lines.
    lines: usize,
}

/// One line of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Line<'a> {
    /// Its number; 0 is the first line.
    pub(in crate::gateway) number: usize,
    /// Without its end.
    pub(in crate::gateway) text: &'a [u8],
    /// Whether it ended in CR LF, not in LF alone.
    pub(in crate::gateway) is_strict: bool,
    /// Where the next line begins.
    pub(in crate::gateway) end: usize,
}

impl HeadReader {
    /// Tells whether the first line is complete.
    pub(in crate::gateway) fn has_line(&self) -> bool {
        self.lines > 0
    }

    /// Returns the next complete line. `head` is all of the head so far.
    pub(in crate::gateway) fn next_line<'a>(&mut self, head: &'a [u8]) -> Option<Line<'a>> {
        let Some(found) = head.get(self.seen..)?.iter().position(|byte| *byte == b'\n') else {
            self.seen = head.len();
            return None;
        };
        let end = self.seen + found + 1;
        let line = &head[self.start..end - 1];
        let (text, is_strict) = line.strip_suffix(b"\r").map_or((line, false), |text| (text, true));
        let line = Line { number: self.lines, text, is_strict, end };
        *self = HeadReader { seen: end, start: end, lines: self.lines + 1 };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_however_they_come() {
        let head = b"GET / HTTP/1.1\r\nA: b\n\r\n";
        for piece in 1..=head.len() {
            let (mut reader, mut found, mut length) = (HeadReader::default(), Vec::new(), 0);
            while length < head.len() {
                length = (length + piece).min(head.len());
                while let Some(line) = reader.next_line(&head[..length]) {
                    found.push((line.number, line.text.to_vec(), line.is_strict, line.end));
                }
            }
            let expected = vec![
                (0, b"GET / HTTP/1.1".to_vec(), true, 16),
                (1, b"A: b".to_vec(), false, 21),
                (2, vec![], true, 23),
            ];
            assert_eq!(found, expected, "{piece}");
        }
    }
}
