//! `--ask`: a person at the terminal confirms each client. Reading a terminal blocks, so a helper thread does it.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::Waker;

/// Questions that may wait for the person; further clients are refused.
const MAX_QUESTIONS: usize = 16;

/// Asks questions one after the other.
pub(super) struct Approval {
    questions: Sender<(u64, String)>,
    answers: Receiver<(u64, bool)>,
}

impl Approval {
    /// Starts the helper thread. It ends with the process: nothing can interrupt a read of the terminal.
    pub(super) fn start(waker: Arc<Waker>) -> io::Result<Approval> {
        let (questions, asked) = bounded::<(u64, String)>(MAX_QUESTIONS);
        let (answer, answers) = bounded(MAX_QUESTIONS);
        thread::Builder::new().name("pinhole-ask".to_owned()).spawn(move || {
            for (serial, question) in asked {
                let verdict = ask(&question);
                if answer.send((serial, verdict)).is_err() || waker.wake().is_err() {
                    break;
                }
            }
        })?;
        Ok(Approval { questions, answers })
    }

    /// Asks about the client of that serial. False if too many questions wait already.
    pub(super) fn ask(&self, serial: u64, question: String) -> bool {
        self.questions.try_send((serial, question)).is_ok()
    }

    /// Returns the next answer.
    pub(super) fn poll(&self) -> Option<(u64, bool)> {
        self.answers.try_recv().ok()
    }
}

fn ask(question: &str) -> bool {
    let mut stderr = io::stderr().lock();
    // Without a terminal to write to there is none to answer at either: the answer is no.
    if write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).is_err() {
        return false;
    }
    drop(stderr);
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) => matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
        Err(_) => false,
    }
}
