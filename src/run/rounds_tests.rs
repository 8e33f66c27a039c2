//! Loops and other patterns of dials, without sockets and waiting.

use super::*;

/// A target with many silent connections, and the decisions there.
struct Rig {
    rounds: Rounds<usize>,
    key: RoundKey,
    now: Instant,
    /// When the target is examined.
    look_at: Option<Instant>,
}

const SESSION: u64 = 1;

impl Rig {
    fn with(open: usize) -> Rig {
        let mut rounds = Rounds::default();
        let session = SessionKey::of_nothing(SESSION);
        let key = rounds.find(session, "a:80");
        (0..open).for_each(|_| assert_eq!(rounds.enter(session, "a:80"), key));
        Rig { rounds, key, now: Instant::now(), look_at: None }
    }

    /// Asks for a dial while no connection has an answer.
    fn ask(&mut self, wanted: usize) -> Vec<Order<usize>> {
        let is_suspect = self.rounds.is_to_be_looked_at(self.key, self.now);
        let look_at = self.rounds.admit(self.now, self.key, wanted, is_suspect);
        self.look_at = look_at.or(self.look_at);
        self.orders()
    }

    /// Advances the time until the target is examined.
    fn look(&mut self) -> Vec<Order<usize>> {
        self.now = self.look_at.take().expect("it is looked at");
        self.look_at = self.rounds.handle_due(self.now, self.key);
        self.orders()
    }

    /// Returns the decisions; released dials count as dialled.
    fn orders(&mut self) -> Vec<Order<usize>> {
        let orders: Vec<_> = std::iter::from_fn(|| self.rounds.poll()).collect();
        for order in &orders {
            if let Order::Dial(..) = order {
                self.rounds.enter(SessionKey::of_nothing(SESSION), "a:80");
            }
        }
        orders
    }

    fn dial(&self, wanted: usize) -> Vec<Order<usize>> {
        vec![Order::Dial(self.key, wanted)]
    }
}

#[test]
fn few_connections_are_nothing() {
    let mut rig = Rig::with(MANY - 1);
    assert_eq!(rig.ask(1), rig.dial(1));
    assert_eq!(rig.look_at, None);
}

#[test]
fn what_follows_one_for_one_is_refused_and_for_a_while() {
    let mut rig = Rig::with(MANY);
    assert_eq!(rig.ask(0), []);
    for wanted in 0..ROUNDS {
        assert_eq!(rig.look(), rig.dial(wanted), "one is released");
        assert_eq!(rig.ask(wanted + 1), [], "and exactly one follows");
    }
    assert_eq!(rig.look(), [Order::Refuse(ROUNDS)]);
    assert_eq!(rig.ask(100), [Order::Refuse(100)], "others are refused at once");
    let until = rig.look_at.unwrap();
    assert_eq!(until, rig.now + REFUSAL);
    assert_eq!(rig.look(), []);
    assert!(!matches!(rig.rounds.targets[rig.key].state, State::Refused { .. }), "the refusal is over");
}

#[test]
fn one_that_comes_by_itself_lets_all_go() {
    let mut rig = Rig::with(MANY);
    assert_eq!(rig.ask(0), []);
    assert_eq!(rig.ask(1), [], "it was on its way");
    assert_eq!(rig.look(), rig.dial(0));
    assert_eq!(rig.ask(2), []);
    let all = [1, 2, 3].map(|wanted| Order::Dial(rig.key, wanted));
    assert_eq!(rig.ask(3), all);
    assert_eq!(rig.ask(4), rig.dial(4), "it is left alone for a while");
}

#[test]
fn an_answer_an_end_and_silence_let_all_go() {
    let answered = |rig: &mut Rig| {
        rig.rounds.answered(rig.now, rig.key);
        rig.orders()
    };
    let ended = |rig: &mut Rig| {
        rig.rounds.leave(rig.key);
        rig.look()
    };
    // No dial follows the released one.
    let silent = |rig: &mut Rig| {
        let first = rig.look();
        assert_eq!((first, rig.look()), (rig.dial(0), vec![Order::Dial(rig.key, 1)]));
        rig.dial(0)
    };
    for event in [&answered as &dyn Fn(&mut Rig) -> Vec<Order<usize>>, &ended, &silent] {
        let mut rig = Rig::with(MANY);
        assert_eq!((rig.ask(0), rig.ask(1)), (vec![], vec![]));
        let orders = event(&mut rig);
        assert_eq!(orders[0], Order::Dial(rig.key, 0));
        // A deadline that was set before finds nothing to do.
        rig.look_at.get_or_insert(rig.now + FOLLOWS);
        assert_eq!(rig.look(), []);
    }
}

#[test]
fn a_target_without_connections_is_forgotten() {
    let mut rig = Rig::with(1);
    rig.rounds.leave(rig.key);
    assert!(rig.rounds.targets.is_empty() && rig.rounds.places.is_empty());
    rig.rounds.answered(rig.now, rig.key);
    assert_eq!((rig.rounds.handle_due(rig.now, rig.key), rig.rounds.poll()), (None, None));
}
