use super::*;

const DAY: Duration = Duration::from_secs(86_400);

struct Rig {
    invitations: Invitations,
    clocks: Clocks,
}

impl Rig {
    fn new() -> Rig {
        let day = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        Rig { invitations: Invitations::new(), clocks: Clocks { now: Instant::now(), day } }
    }

    fn make(&mut self, change: impl FnOnce(&mut Invitation)) -> Serial {
        let mut invitation = Invitation { services: vec!["web".to_owned()], ..Invitation::new("guests") };
        change(&mut invitation);
        self.invitations.make(self.clocks, invitation, Origin::Made).unwrap().serial
    }

    /// Lets both clocks go on.
    fn pass(&mut self, time: Duration) {
        self.clocks.now += time;
        self.clocks.day += time;
    }

    /// Ends what is over.
    fn expire(&mut self) -> Vec<Serial> {
        let over = self.invitations.expired(self.clocks);
        over.iter().for_each(|serial| assert!(self.invitations.end(self.clocks.now, *serial, Lapse::Expired)));
        over
    }

    fn enter(&mut self, serial: Serial, link: u64) -> Result<(), Closed> {
        self.invitations.enter(serial, LinkKey::of_nothing(link), 0).map(drop)
    }
}

fn id(text: &str) -> InvitationId {
    text.parse().unwrap()
}

#[test]
fn what_is_not_given_is_generated_and_differs() {
    let mut rig = Rig::new();
    let serials: Vec<Serial> = (0..50).map(|_| rig.make(|_| {})).collect();
    let entry = |serial: &Serial| rig.invitations.get(*serial).unwrap();
    let mut ids: Vec<String> = serials.iter().map(|serial| entry(serial).id.to_string()).collect();
    assert!(serials.iter().all(|serial| entry(serial).pin.reveal().len() == 16));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn an_id_is_given_once_at_a_time() {
    let mut rig = Rig::new();
    let named = || Invitation { id: Some(id("k3")), ..Invitation::new("guests") };
    let first = rig.make(|it| it.id = Some(id("k3")));
    assert_eq!(rig.invitations.make(rig.clocks, named(), Origin::Made).err(), Some(Unmade::IdTaken));
    assert!(rig.invitations.end(rig.clocks.now, first, Lapse::Revoked));
    let second = rig.make(|it| it.id = Some(id("k3")));
    let (pin, entrance) = rig.invitations.pin(&id("k3"));
    assert!(matches!(entrance, Entrance::Invitation(_, Some(serial)) if serial == second));
    assert_eq!(Some(&pin), rig.invitations.get(second).map(|entry| &entry.pin), "the one that counts goes first");
}

#[test]
fn there_is_a_bound_on_those_that_count() {
    let mut rig = Rig::new();
    let serials: Vec<Serial> = (0..MAX_INVITATIONS).map(|_| rig.make(|_| {})).collect();
    let one_more = || Invitation::new("one more");
    assert_eq!(rig.invitations.make(rig.clocks, one_more(), Origin::Made).err(), Some(Unmade::TooMany));
    assert!(rig.invitations.end(rig.clocks.now, serials[0], Lapse::Revoked));
    assert!(rig.invitations.make(rig.clocks, one_more(), Origin::Made).is_ok());
}

#[test]
fn there_is_a_bound_on_those_that_are_remembered() {
    let mut rig = Rig::new();
    let mut serials = Vec::new();
    for _ in 0..=MAX_FORMER {
        let serial = rig.make(|_| {});
        assert!(rig.invitations.end(rig.clocks.now, serial, Lapse::Revoked));
        rig.pass(Duration::from_secs(1));
        serials.push(serial);
    }
    assert!(rig.invitations.get(serials[0]).is_none(), "the one that ended first is forgotten");
    assert!(serials[1..].iter().all(|serial| rig.invitations.get(*serial).is_some()));
}

#[test]
fn an_unknown_id_has_a_pin_that_nobody_knows_and_a_group() {
    let mut rig = Rig::new();
    let serial = rig.make(|it| it.id = Some(id("k3")));
    let (known, entrance) = rig.invitations.pin(&id("k3"));
    assert!(matches!(entrance, Entrance::Invitation(_, Some(found)) if found == serial));
    let [(one, first), (other, second)] = [rig.invitations.pin(&id("k4")), rig.invitations.pin(&id("k4"))];
    assert!(one != other && one != known);
    assert_eq!(one.reveal().len(), known.reveal().len());
    assert!(matches!(first, Entrance::Invitation(_, None)));
    assert_eq!(first, second, "the same id has the same group");
    // Groups are spread, and there are as many as there are meant to be.
    let all: Vec<InvitationId> = (0..2000).map(|number| id(&number.to_string())).collect();
    let bucket = |rig: &Rig, id| match rig.invitations.pin(id).1 {
        Entrance::Invitation(bucket, _) => bucket,
        Entrance::Own => panic!("it is no invitation's"),
    };
    let used: std::collections::HashSet<Bucket> = all.iter().map(|id| bucket(&rig, id)).collect();
    assert_eq!(used.len() as u64, BUCKETS);
    // Nobody outside can tell which.
    let elsewhere = Rig::new();
    let same = all.iter().filter(|id| bucket(&rig, id) == bucket(&elsewhere, id)).count();
    assert!(same < 200, "{same} of 2000");
}

#[test]
fn the_clock_that_comes_first_ends_an_invitation() {
    let hour = Duration::from_secs(3600);
    let of = |expires: fn(Clocks) -> Expiry| {
        let mut rig = Rig::new();
        let expires = expires(rig.clocks);
        let serial = rig.make(|it| it.expires = Some(expires));
        (rig, serial)
    };
    let kinds: [fn(Clocks) -> Expiry; 2] =
        [|_| Expiry::After(Duration::from_secs(3600)), |clocks| Expiry::At(clocks.day + Duration::from_secs(3600))];
    for kind in kinds {
        let (mut rig, serial) = of(kind);
        rig.pass(hour - Duration::from_secs(1));
        assert_eq!(rig.expire(), []);
        rig.pass(Duration::from_secs(1));
        assert_eq!((rig.expire(), rig.expire()), (vec![serial], vec![]));
        // The time of day is set back: the other clock goes on.
        let (mut rig, serial) = of(kind);
        rig.clocks.day -= DAY;
        rig.pass(hour);
        assert_eq!(rig.expire(), [serial]);
        // The time of day goes on while the machine sleeps.
        let (mut rig, serial) = of(kind);
        rig.clocks.day += hour;
        assert_eq!(rig.expire(), [serial]);
    }
}

#[test]
fn an_end_in_the_past_or_out_of_sight_harms_nothing() {
    let mut rig = Rig::new();
    let past = rig.make(|it| it.expires = Some(Expiry::At(SystemTime::UNIX_EPOCH)));
    let far = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1 << 40)).unwrap();
    let distant = rig.make(|it| it.expires = Some(Expiry::At(far)));
    assert_eq!(rig.expire(), [past]);
    assert!(rig.invitations.get(distant).unwrap().counts());
}

#[test]
fn ends_are_looked_for_every_second_while_there_is_one() {
    let mut rig = Rig::new();
    assert_eq!(rig.invitations.poll_timeout(rig.clocks.now), None);
    rig.make(|_| {});
    assert_eq!(rig.invitations.poll_timeout(rig.clocks.now), None);
    rig.make(|it| it.expires = Some(Expiry::After(DAY)));
    assert_eq!(rig.invitations.poll_timeout(rig.clocks.now), Some(rig.clocks.now + LOOK));
    rig.make(|it| it.expires = Some(Expiry::After(Duration::from_millis(300))));
    assert_eq!(rig.invitations.poll_timeout(rig.clocks.now), Some(rig.clocks.now + Duration::from_millis(300)));
    rig.pass(DAY);
    rig.expire();
    assert_eq!(rig.invitations.poll_timeout(rig.clocks.now), None);
}

#[test]
fn what_became_of_an_invitation_is_known_for_a_day() {
    let mut rig = Rig::new();
    let [expired, revoked] = [0, 1].map(|_| rig.make(|_| {}));
    assert!(rig.invitations.end(rig.clocks.now, expired, Lapse::Expired));
    assert!(rig.invitations.end(rig.clocks.now, revoked, Lapse::Revoked));
    assert!(!rig.invitations.end(rig.clocks.now, expired, Lapse::Revoked), "it ends once");
    rig.pass(DAY - Duration::from_secs(1));
    rig.expire();
    assert_eq!(rig.enter(expired, 1), Err(Closed::Lapsed(Lapse::Expired)));
    assert_eq!(rig.invitations.enter_again(revoked, 0).err(), Some(Closed::Lapsed(Lapse::Revoked)));
    let known = rig.invitations.get(expired).unwrap().id.clone();
    assert!(matches!(rig.invitations.pin(&known).1, Entrance::Invitation(_, Some(_))));
    rig.pass(Duration::from_secs(1));
    rig.expire();
    assert!(matches!(rig.invitations.pin(&known).1, Entrance::Invitation(_, None)), "it is as if it had never been");
}

#[test]
fn one_for_one_client_is_taken_by_the_proof_and_given_back_without_a_channel() {
    let mut rig = Rig::new();
    let serial = rig.make(|it| it.once = true);
    let (used, session) = (Err(Closed::Lapsed(Lapse::Used)), SessionKey::of_nothing(7));
    assert_eq!(rig.enter(serial, 1), Ok(()));
    assert_eq!(rig.enter(serial, 2), used);
    // Whoever was asked said no, or there was no place.
    rig.invitations.turned_away(LinkKey::of_nothing(2));
    assert_eq!(rig.enter(serial, 2), used, "another link's fate is nothing to it");
    rig.invitations.turned_away(LinkKey::of_nothing(1));
    assert_eq!(rig.enter(serial, 3), Ok(()));
    rig.invitations.began(LinkKey::of_nothing(3), session);
    rig.invitations.turned_away(LinkKey::of_nothing(3));
    assert_eq!(rig.enter(serial, 4), used, "it has a session by now");
    rig.invitations.came_to_nothing(session);
    assert_eq!(rig.enter(serial, 5), Ok(()));
    rig.invitations.began(LinkKey::of_nothing(5), SessionKey::of_nothing(8));
    rig.invitations.came_to_nothing(session);
    assert_eq!(rig.enter(serial, 6), used, "another session's fate is nothing to it");
    assert!(rig.invitations.enter_again(serial, 0).is_ok(), "who was there may come back");
}

#[test]
fn there_may_be_so_many_sessions_at_a_time() {
    let mut rig = Rig::new();
    let serial = rig.make(|it| (it.max_sessions, it.once) = (Some(2), true));
    assert_eq!(rig.invitations.enter(serial, LinkKey::of_nothing(1), 2).err(), Some(Closed::Full));
    assert_eq!(rig.invitations.enter_again(serial, 2).err(), Some(Closed::Full));
    assert!(rig.invitations.enter(serial, LinkKey::of_nothing(1), 1).is_ok(), "it was not taken in vain");
}

#[test]
fn a_hundred_guesses_are_one_too_many() {
    let mut rig = Rig::new();
    let [guessed, other] = [0, 1].map(|_| rig.make(|_| {}));
    for count in 1..=MAX_FAILURES {
        assert_eq!(rig.invitations.failed(guessed), count == MAX_FAILURES, "{count}");
    }
    assert!(rig.invitations.end(rig.clocks.now, guessed, Lapse::Revoked));
    assert!(!rig.invitations.failed(guessed), "it is revoked once");
    assert!(!rig.invitations.failed(other));
}

#[test]
fn nothing_shows_a_pin() {
    let mut rig = Rig::new();
    let serial = rig.make(|it| it.pin = Pin::new("top-secret"));
    assert!(!format!("{:?}", rig.invitations.get(serial)).contains("top-secret"));
}
