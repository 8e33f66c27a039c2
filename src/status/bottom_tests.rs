//! Tests of the bottom of a terminal, on one in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::status::board::Watch;
use crate::status::snapshot::{Side, Snapshot, Stage};

/// A terminal, what is at its bottom, and who has it.
struct Rig {
    bottom: Bottom,
    screen: vt100::Parser,
    columns: Arc<AtomicUsize>,
    is_foreign: Arc<AtomicBool>,
}

impl Rig {
    fn new(columns: u16, colour: bool) -> Rig {
        let (width, is_foreign) = (Arc::new(AtomicUsize::new(columns.into())), Arc::new(AtomicBool::new(false)));
        let (asked, owner) = (width.clone(), is_foreign.clone());
        let size = move || {
            let size = Size { columns: asked.load(Ordering::Relaxed), rows: 12 };
            (!owner.load(Ordering::Relaxed)).then_some(size)
        };
        let bottom = Bottom::new(Some(Terminal { size: Box::new(size), colour }));
        Rig { bottom, screen: vt100::Parser::new(12, columns, 0), columns: width, is_foreign }
    }

    fn feed(&mut self, bytes: &[u8]) {
        // The system's part: a line break returns the carriage, too.
        let text = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", "\n").replace('\n', "\r\n");
        self.screen.process(text.as_bytes());
    }

    fn run(&mut self, output: impl FnOnce(&mut Bottom) -> Vec<u8>) {
        let bytes = output(&mut self.bottom);
        self.feed(&bytes);
    }

    fn print(&mut self, lines: &str) {
        self.run(|bottom| bottom.around(lines.as_bytes().to_vec()));
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }
}

fn board(id: &str) -> Board {
    Watch::default().board(&Snapshot { id: Some(id.parse().unwrap()), ..Snapshot::new(Side::Host, Stage::Serving) })
}

#[test]
fn what_is_printed_appears_above_and_nothing_is_left() {
    let mut rig = Rig::new(60, false);
    rig.print("one\n");
    rig.run(|bottom| bottom.set(Some(board("a-long-name"))));
    assert_eq!(rig.text(), "one\n\nhost a-long-name: waiting for clients");
    rig.print("two\nthree\n");
    assert_eq!(rig.text(), "one\ntwo\nthree\n\nhost a-long-name: waiting for clients");
    rig.run(|bottom| bottom.set(Some(board("box"))));
    assert_eq!(rig.text(), "one\ntwo\nthree\n\nhost box: waiting for clients");
    for _ in 0..20 {
        rig.print("more\n");
    }
    assert_eq!(rig.text(), format!("{}\nhost box: waiting for clients", "more\n".repeat(10)));
    rig.run(|bottom| bottom.set(None));
    assert_eq!(rig.text(), "more\n".repeat(10).trim_end());
    rig.print("end\n");
    assert!(rig.text().ends_with("more\nend"), "{}", rig.text());
    assert!(!rig.screen.screen().hide_cursor());
}

#[test]
fn the_cursor_rests_above_so_that_a_narrower_terminal_has_all_its_remains_below() {
    let mut rig = Rig::new(60, false);
    rig.print("one\n");
    rig.run(|bottom| bottom.set(Some(board("a-long-name"))));
    assert_eq!(rig.screen.screen().cursor_position(), (1, 0));
    // What a terminal does that wraps when it becomes narrower.
    rig.screen = vt100::Parser::new(12, 20, 0);
    rig.feed(b"one\n\nhost a-long-name: wa\niting for clients\x1b[2A\r");
    rig.columns.store(20, Ordering::Relaxed);
    rig.run(Bottom::redraw);
    assert_eq!(rig.text(), "one\n\nhost a-long-name: …");
    rig.print("two\n");
    assert_eq!(rig.text(), "one\ntwo\n\nhost a-long-name: …");
    // What is typed appears on the empty line, and goes.
    rig.feed(b"abc");
    rig.run(Bottom::redraw);
    assert_eq!(rig.text(), "one\ntwo\n\nhost a-long-name: …");
}

#[test]
fn it_is_hidden_while_the_process_stops_and_left_alone_while_another_job_has_the_terminal() {
    let mut rig = Rig::new(60, false);
    rig.run(|bottom| bottom.set(Some(board("nas"))));
    rig.run(Bottom::hide);
    assert_eq!(rig.text(), "");
    rig.run(|bottom| bottom.set(Some(board("box"))));
    rig.print("said meanwhile\n");
    assert_eq!(rig.text(), "said meanwhile");
    rig.run(Bottom::unhide);
    assert_eq!(rig.text(), "said meanwhile\n\nhost box: waiting for clients");

    rig.is_foreign.store(true, Ordering::Relaxed);
    assert!(rig.bottom.redraw().is_empty() && rig.bottom.set(Some(board("web"))).is_empty());
    assert_eq!(rig.bottom.around(b"line\n".to_vec()), b"line\n");
    rig.is_foreign.store(false, Ordering::Relaxed);
    assert!(!rig.bottom.redraw().is_empty());
}

#[test]
fn a_question_takes_the_place_and_is_shown_again_behind_what_is_printed() {
    let mut rig = Rig::new(60, false);
    rig.run(|bottom| bottom.set(Some(board("nas"))));
    rig.run(|bottom| bottom.ask("Let it in? ".into()));
    rig.run(|bottom| bottom.set(Some(board("box"))));
    assert_eq!(rig.text(), "Let it in? ");
    rig.print("a warning\n");
    assert_eq!(rig.text(), "Let it in? \na warning\nLet it in? ");
    rig.feed(b"y\n");
    rig.run(|bottom| bottom.answered(true));
    assert_eq!(rig.text(), "Let it in? \na warning\nLet it in? y\n\nhost box: waiting for clients");
    rig.run(|bottom| bottom.ask("And this? ".into()));
    rig.run(|bottom| bottom.answered(false));
    assert!(rig.text().ends_with("And this? \n\nhost box: waiting for clients"), "{}", rig.text());
}

#[test]
fn without_a_terminal_only_lines_are_written() {
    let mut bottom = Bottom::new(None);
    assert!(bottom.set(Some(board("nas"))).is_empty() && bottom.hide().is_empty() && bottom.unhide().is_empty());
    assert_eq!(bottom.around(b"line\n".to_vec()), b"line\n");
    assert_eq!(bottom.ask("Who? ".into()), b"Who? ");
    assert_eq!(bottom.around(b"line\n".to_vec()), b"\nline\nWho? ");
    assert!(bottom.answered(true).is_empty());
}
