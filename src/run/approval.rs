//! The approver's decisions. They may take time, so a thread of its own asks.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::{Approver, JoinRequest};
use crate::net::system::Waker;
use crate::shares::{Admission, Shares, Source, Standing};

/// Most questions that may wait, including the one that is being asked.
const MAX_QUESTIONS: usize = 16;

/// The thread's ends of the channels: questions come out, answers go in.
#[cfg(test)]
pub(super) type Person = (Receiver<(u64, JoinRequest)>, Sender<(u64, bool)>);

/// Asks questions one after the other.
pub(super) struct Approval {
    waiting: VecDeque<(u64, JoinRequest)>,
    places: Shares<u64>,
    /// The question that the person sees.
    current: Option<u64>,
    questions: Sender<(u64, JoinRequest)>,
    answers: Receiver<(u64, bool)>,
    /// The thread's ends, if a test answers instead of the thread.
    #[cfg(test)]
    pub(super) person: Option<Person>,
}

impl Approval {
    /// Starts the thread. It may outlive the loop: nothing can interrupt somebody who thinks.
    pub(super) fn start(waker: Arc<Waker>, approver: Approver) -> io::Result<Approval> {
        let (questions, asked) = bounded::<(u64, JoinRequest)>(1);
        let (answer, answers) = bounded(1);
        #[cfg(test)]
        if waker.is_in_world() {
            return Ok(Approval { person: Some((asked, answer)), ..Approval::new(questions, answers) });
        }
        thread::Builder::new().name("pinhole-ask".to_owned()).spawn(move || {
            for (serial, request) in asked {
                let verdict = approver.decide(&request);
                if answer.send((serial, verdict)).is_err() || waker.wake().is_err() {
                    break;
                }
            }
        })?;
        Ok(Approval::new(questions, answers))
    }

    fn new(questions: Sender<(u64, JoinRequest)>, answers: Receiver<(u64, bool)>) -> Approval {
        Approval {
            waiting: VecDeque::new(),
            places: Shares::new(MAX_QUESTIONS),
            current: None,
            questions,
            answers,
            #[cfg(test)]
            person: None,
        }
    }

    /// Asks about the client of that serial, once it is its turn. Says which question is to be
    /// [forgotten](Approval::forget) for that.
    pub(super) fn ask(&mut self, serial: u64, source: Source, request: JoinRequest) -> Admission<u64> {
        let admission = self.places.admit(source, rand::random());
        if admission != Admission::Full {
            self.places.enter(serial, source, Standing::Asking);
            self.waiting.push_back((serial, request));
            self.ask_next();
        }
        admission
    }

    /// Removes a question that was not asked yet, because its client is gone.
    pub(super) fn forget(&mut self, serial: u64) {
        if self.current != Some(serial) {
            self.places.leave(serial);
            self.waiting.retain(|(waiting, _)| *waiting != serial);
        }
    }

    /// Returns the next answer.
    pub(super) fn poll(&mut self) -> Option<(u64, bool)> {
        let answer = self.answers.try_recv().ok()?;
        self.places.leave(answer.0);
        self.current = None;
        self.ask_next();
        Some(answer)
    }

    fn ask_next(&mut self) {
        if self.current.is_none()
            && let Some((serial, question)) = self.waiting.pop_front()
        {
            self.current = Some(serial);
            self.places.set(serial, Standing::Settled);
            // There is room, because the one before was answered. Without the thread nobody is let in.
            let _ = self.questions.try_send((serial, question));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    fn request() -> JoinRequest {
        JoinRequest { remote: ([192, 0, 2, 1], 1).into(), session: "1".to_owned() }
    }

    #[test]
    fn questions_of_one_source_leave_places_for_others_and_those_of_clients_that_left_are_not_asked() {
        let (questions, asked) = bounded(1);
        let (answer, answers) = bounded(1);
        let mut approval = Approval::new(questions, answers);
        for serial in 0..40 {
            let admission = approval.ask(serial, source(1), request());
            if let Admission::InsteadOf(former) = admission {
                assert_ne!(former, 0, "the person sees that one");
                approval.forget(former);
            }
            assert_ne!(admission, Admission::Full);
        }
        let waiting = approval.waiting.len();
        assert!(waiting <= MAX_QUESTIONS / 2, "{waiting}");
        assert_eq!(approval.ask(100, source(2), request()), Admission::Free);
        let _ = approval.ask(101, source(3), request());
        approval.forget(101);
        // A question that is being asked stays. Nobody uses its answer.
        approval.forget(0);
        let mut seen = Vec::new();
        while let Ok((serial, _)) = asked.try_recv() {
            seen.push(serial);
            answer.send((serial, true)).unwrap();
            assert_eq!(approval.poll(), Some((serial, true)));
        }
        assert_eq!((seen[0], seen.len()), (0, waiting + 2));
        assert_eq!(seen.last(), Some(&100));
        assert_eq!(approval.places.len(), 0);
    }
}
