//! Tests of the printer.

use super::*;

/// A file whose reader lets one write pass for each token, and all writes once the sender of tokens is gone.
struct Gate {
    tokens: Receiver<()>,
    taken: Sender<String>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.tokens.recv();
        let _ = self.taken.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gate() -> (Writer, Sender<()>, Receiver<String>) {
    let ((open, tokens), (taken, texts)) = (unbounded(), unbounded());
    (Box::new(Gate { tokens, taken }), open, texts)
}

fn all(texts: &Receiver<String>) -> String {
    texts.try_iter().collect()
}

#[test]
fn what_two_outputs_say_into_one_file_keeps_its_order() {
    let (taken, texts) = unbounded();
    let writer = || -> Writer { Box::new(Gate { tokens: bounded(0).1, taken: taken.clone() }) };
    let printer = Printer::new(writer(), writer(), true, [Format::Text; 2], None);
    let (mut out, mut err) = (printer.out(), printer.err());
    let mut expected = String::new();
    for number in 0..1000 {
        let line = format!("{number}\n");
        expected += &line;
        if number % 3 == 0 { err.write_all(line.as_bytes()) } else { out.write_all(line.as_bytes()) }.unwrap();
    }
    printer.finish();
    assert_eq!(all(&texts), expected);
}

#[test]
fn a_reader_that_stops_costs_lines_and_is_told_how_many() {
    let (file, open, texts) = gate();
    let (other, other_open, other_texts) = gate();
    drop(other_open);
    let printer = Printer::new(file, other, false, [Format::Json, Format::Text], None);
    let (mut out, mut err) = (printer.out(), printer.err());
    let line = |number: usize| format!("{number:0999}\n");
    let count = 3000;
    (0..count).for_each(|number| out.write_all(line(number).as_bytes()).unwrap());
    assert!(printer.out.load.queued.load(Ordering::Relaxed) <= MAX_QUEUED);
    // The other file still has a reader.
    err.write_all(b"still here\n").unwrap();
    assert_eq!(other_texts.recv().unwrap(), "still here\n");
    drop(open);
    printer.finish();
    out.write_all(b"later\n").unwrap();
    printer.finish();
    let text = all(&texts);
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines.len() - 2;
    assert!((MAX_QUEUED / 1100..count).contains(&kept), "{kept}");
    for (number, found) in lines[..kept].iter().enumerate() {
        assert_eq!(format!("{found}\n"), line(number));
    }
    let notice: serde_json::Value = serde_json::from_str(lines[kept]).unwrap();
    assert_eq!((&notice["event"], &notice["code"]), (&"warning".into(), &"output-lost".into()));
    let missing = format!("{} lines are missing here", count - kept);
    assert!(notice["message"].as_str().unwrap().starts_with(&missing), "{notice}");
    assert_eq!(lines[kept + 1], "later");
}

#[test]
fn what_is_missing_is_said_where_it_is_missing() {
    let (file, open, texts) = gate();
    let printer = Printer::new(file, Box::new(io::sink()), false, [Format::Text; 2], None);
    let mut out = printer.out();
    let large = vec![b'x'; MAX_QUEUED / 4];
    for _ in 0..6 {
        out.write_all(&large).unwrap();
        out.write_all(b"\n").unwrap();
    }
    // One line is taken, so that there is room for the next.
    let full = printer.out.load.queued.load(Ordering::Relaxed);
    open.send(()).unwrap();
    texts.recv().unwrap();
    while printer.out.load.queued.load(Ordering::Relaxed) == full {
        thread::yield_now();
    }
    out.write_all(b"next\n").unwrap();
    drop(open);
    printer.finish();
    let rest = all(&texts);
    let (before, after) = rest.split_once("warning: ").expect("the notice is there");
    assert!(!before.contains("next") && after.ends_with("for a while\nnext\n"), "{after}");
}

#[test]
fn a_reader_that_never_comes_does_not_hold_up_the_end() {
    let (file, _open, _texts) = gate();
    let printer = Printer::new(file, Box::new(io::sink()), false, [Format::Text; 2], None);
    printer.out().write_all(b"nobody reads this\n").unwrap();
    let (done, finished) = bounded(1);
    thread::spawn(move || {
        printer.finish();
        done.send(()).unwrap();
    });
    finished.recv_timeout(10 * FLUSH_TIMEOUT).unwrap();
}

#[test]
fn a_file_that_fails_is_left_alone_and_the_other_goes_on() {
    struct Broken(Sender<()>);
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.send(()).unwrap();
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (tried, tries) = unbounded();
    let (file, open, texts) = gate();
    drop(open);
    let printer = Printer::new(Box::new(Broken(tried)), file, true, [Format::Text; 2], None);
    for _ in 0..3 {
        printer.out().write_all(b"lost\n").unwrap();
        printer.err().write_all(b"error\n").unwrap();
    }
    printer.finish();
    assert_eq!((tries.len(), all(&texts).as_str()), (1, "error\nerror\nerror\n"));
}

#[test]
fn of_what_stays_at_the_bottom_only_the_newest_waits() {
    use crate::status::board::{Size, Watch};
    use crate::status::snapshot::{Side, Snapshot, Stage};
    let (file, open, texts) = gate();
    let size = || Some(Size { columns: 80, rows: 24 });
    let terminal = Terminal { size: Box::new(size), colour: false };
    let printer = Printer::new(Box::new(io::sink()), file, true, [Format::Text; 2], Some(terminal));
    let board = |id: String| {
        Watch::default().board(&Snapshot { id: Some(id.parse().unwrap()), ..Snapshot::new(Side::Host, Stage::Serving) })
    };
    for number in 0..1000 {
        printer.show(board(format!("host-{number}")));
    }
    // One is being written perhaps, one waits in its place, and the thread was told once or twice.
    assert!(printer.err.items.len() <= 2, "{}", printer.err.items.len());
    drop(open);
    printer.finish();
    printer.clear();
    printer.err().write_all(b"the end\n").unwrap();
    printer.finish();
    let text = all(&texts);
    assert!(text.matches("waiting for clients").count() <= 3 && text.contains("host host-999: waiting"), "{text:?}");
    assert!(text.ends_with("\r\u{1b}[Jthe end\n"), "{text:?}");
}
