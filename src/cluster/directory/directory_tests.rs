use super::*;
use crate::cluster::names::Claim;
use crate::signaling::binary::Binary;

fn directory(now: Instant) -> Directory {
    Directory::new(now, ServerId::of([1; 16]), "ws://a".to_owned(), "word".to_owned())
}

fn id(text: &str) -> HostId {
    text.parse().unwrap()
}

fn claim() -> Claim {
    let tag = || vec![Binary([1; 32])];
    Claim { owners: tag(), instances: tag(), public: None, dials: false }
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

fn say(directory: &mut Directory, now: Instant, value: Value) -> Result<(), DirectoryError> {
    directory.handle(now, Arrived::Reply(value))
}

/// A directory that answers, and is old.
fn up(now: Instant) -> Directory {
    let mut directory = directory(now);
    directory.connected(now, &Login::default());
    say(&mut directory, now, Value::List(Vec::new())).unwrap();
    say(&mut directory, now, Value::List(vec![text("1-a"), text("99999")])).unwrap();
    assert!(directory.is_up());
    directory.poll_output(now);
    directory
}

fn events(directory: &mut Directory) -> Vec<Event> {
    std::iter::from_fn(|| directory.poll_event()).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_wanted_waits_two_seconds_and_no_longer() {
    let now = Instant::now();
    // At the start, without a connection.
    let mut one = directory(now);
    assert_eq!(one.find(now, &id("a-host")), Found::Asked);
    one.take(now, &id("own"), claim(), 0);
    assert_eq!(one.poll_timeout(), Some(now + PATIENCE));
    one.handle_timeout(now + PATIENCE).unwrap();
    // The other servers are asked, which does not take long.
    let (now, later) = (now + PATIENCE, now + PATIENCE + SECOND / 2);
    assert_eq!(events(&mut one), [Event::Away, Event::Seek(id("a-host")), Event::Seek(id("own"))]);
    assert_eq!((one.find(now, &id("a-host")), one.poll_timeout()), (Found::Asked, Some(later)));
    one.handle_timeout(later).unwrap();
    let expected = [Event::Found(id("a-host")), Event::Taken(id("own"), Verdict::Here), Event::Found(id("own"))];
    assert_eq!(events(&mut one), expected);
    assert_eq!(one.find(later, &id("a-host")), Found::Away);
    one.take(later, &id("own"), claim(), 0);
    assert_eq!(events(&mut one), [Event::Taken(id("own"), Verdict::Here)], "it was sought just now");
    let now = now - PATIENCE;
    assert_eq!(one.lookups(), LookUps { away: 1, ..LookUps::default() });
    // And when it hangs: the clock is that of the oldest command.
    let mut one = up(now);
    assert_eq!(one.find(now, &id("a-host")), Found::Asked);
    assert_eq!(one.find(now + SECOND, &id("other")), Found::Asked);
    one.handle_timeout(now + PATIENCE).unwrap();
    let mut said = events(&mut one);
    assert_eq!(said.remove(0), Event::Away);
    said.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(said, [Event::Seek(id("a-host")), Event::Seek(id("other"))]);
    assert_eq!(one.handle_timeout(now + HANG), Err(DirectoryError::Silent));
}

#[test]
fn without_the_directory_servers_tell_each_other() {
    let now = Instant::now();
    let away = |number: u8| {
        let mut one = Directory::new(now, ServerId::of([number; 16]), "ws://a".to_owned(), "word".to_owned());
        one.handle_timeout(now + PATIENCE).unwrap();
        events(&mut one);
        one
    };
    let (mut one, mut two, now) = (away(1), away(2), now + PATIENCE);
    one.claim(now, &id("own"), claim());
    assert_eq!(events(&mut one), [Event::Tell(id("own"))]);
    let here = || one.here(&id("own")).unwrap();
    // Whoever seeks it finds it, and another owner does not get it.
    assert_eq!(two.find(now, &id("own")), Found::Asked);
    let other = Claim { owners: vec![Binary([9; 32])], ..claim() };
    two.take(now, &id("own"), other, 0);
    assert_eq!(two.learn(now, ServerId::of([1; 16]), here()), None);
    let said = [Event::Seek(id("own")), Event::Taken(id("own"), Verdict::Taken), Event::Found(id("own"))];
    assert_eq!(events(&mut two), said);
    assert!(matches!(two.find(now, &id("own")), Found::At(record) if record.server == ServerId::of([1; 16])));
    // The same owner does, with a higher epoch, and the first hears of it.
    two.take(now, &id("own"), claim(), 0);
    assert_eq!(events(&mut two), [Event::Taken(id("own"), Verdict::Here)]);
    two.claim(now, &id("own"), claim());
    let later = two.here(&id("own")).unwrap();
    assert!(later.epoch > here().epoch);
    assert_eq!(two.learn(now, ServerId::of([1; 16]), here()), Some(later.clone()), "the older one is told");
    assert_eq!(one.learn(now, ServerId::of([2; 16]), later), None);
    assert_eq!(events(&mut one), [Event::Lost(Loss { id: id("own"), how: Lost::Moved })]);
}

#[test]
fn look_ups_of_one_name_are_one_and_answers_are_kept() {
    let now = Instant::now();
    let mut one = up(now);
    assert_eq!((one.find(now, &id("a-host")), one.find(now, &id("a-host"))), (Found::Asked, Found::Asked));
    let output = String::from_utf8(one.poll_output(now).unwrap()).unwrap();
    assert_eq!(output.matches("pinhole:host:a-host").count(), 1);
    say(&mut one, now, Value::List(vec![text("1-a"), text("99999")])).unwrap();
    assert_eq!(events(&mut one), [Event::Found(id("a-host"))]);
    assert_eq!(one.find(now, &id("a-host")), Found::Nowhere);
    assert_eq!(one.find(now + 2 * SECOND, &id("a-host")), Found::Asked, "it may have come meanwhile");
    // Another directory than before: what is missing may only not be there yet.
    say(&mut one, now + 2 * SECOND, Value::List(vec![text("2-b"), text("0")])).unwrap();
    assert_eq!(one.find(now + 2 * SECOND, &id("a-host")), Found::Away);
}

#[test]
fn a_script_that_is_not_known_is_sent_in_full_once() {
    let now = Instant::now();
    let mut one = up(now);
    one.find(now, &id("a-host"));
    one.poll_output(now);
    let unknown = || Value::Error("NOSCRIPT No matching script.".to_owned());
    say(&mut one, now, unknown()).unwrap();
    let output = String::from_utf8(one.poll_output(now).unwrap()).unwrap();
    assert!(output.contains("EVAL\r\n") && output.contains("HMGET"), "{output}");
    assert!(matches!(say(&mut one, now, unknown()), Err(DirectoryError::Refused(_))));
}

#[test]
fn what_is_no_answer_ends_the_connection() {
    let now = Instant::now();
    let answers =
        [Value::Null, Value::Number(1), text("x"), Value::List(vec![Value::Null]), Value::List(vec![text("a"); 2])];
    for (number, answer) in answers.into_iter().enumerate() {
        let mut one = up(now);
        one.take(now, &id("own"), claim(), 0);
        assert_eq!(say(&mut one, now, answer), Err(DirectoryError::Unexpected), "{number}");
    }
    assert_eq!(say(&mut up(now), now, Value::Null), Err(DirectoryError::Unexpected), "nothing was asked");
    let mut one = directory(now);
    let login = Login { credentials: Some(("me".to_owned(), "secret".to_owned())), database: 0 };
    one.connected(now, &login);
    let echo = Value::Error("ERR unknown command 'HELLO', with args beginning with: 'AUTH' 'me' 'secret'".to_owned());
    let error = say(&mut one, now, echo).unwrap_err();
    assert!(!error.to_string().contains("secret") && error.to_string().contains("no Redis 7"), "{error}");
}

#[test]
fn a_server_that_ends_leaves_its_names_for_others_to_take() {
    for is_ending in [false, true] {
        let now = Instant::now();
        let mut one = up(now);
        one.take(now, &id("own"), claim(), 0);
        say(&mut one, now, Value::List(vec![text("held"), text("1")])).unwrap();
        assert_eq!(events(&mut one), [Event::Taken(id("own"), Verdict::Held)]);
        one.claim(now, &id("own"), claim());
        one.poll_output(now);
        if is_ending {
            one.leave(now);
            one.poll_output(now);
        }
        one.release(now, &id("own"));
        assert_eq!(
            one.poll_output(now).is_none(),
            is_ending,
            "it is given up, unless its host is sent to another server"
        );
        assert_eq!(one.holds(&id("own")), None);
        assert!(one.renewals.is_empty());
    }
}

#[test]
fn a_hint_is_believed_only_when_the_directory_says_so() {
    let now = Instant::now();
    let mut one = up(now);
    one.claim(now, &id("own"), claim());
    one.poll_output(now);
    say(&mut one, now, Value::List(vec![text("held"), text("1")])).unwrap();
    let hint = |epoch: u64, server: u8| {
        let hint = format!("own {epoch} {}", ServerId::of([server; 16]).hex());
        Arrived::Push(vec![text("message"), text(CHANGES), text(&hint)])
    };
    for (epoch, server) in [(9, 1), (0, 2)] {
        one.handle(now, hint(epoch, server)).unwrap();
        assert_eq!(one.poll_output(now), None, "our own, or a lower one");
    }
    for nonsense in ["", "own", "own x", "own 9 zz", "\0 \u{fffd} "] {
        one.handle(now, Arrived::Push(vec![text("message"), text(CHANGES), text(nonsense)])).unwrap();
    }
    one.handle(now, hint(9, 2)).unwrap();
    assert!(events(&mut one).is_empty() && one.holds(&id("own")) == Some(1));
    let tag = "01".repeat(32);
    let server = ServerId::of([2; 16]).hex();
    let record = [server.as_str(), "9", &tag, &"02".repeat(32), "", "0"].map(text).to_vec();
    say(&mut one, now, Value::List(record)).unwrap();
    let lost = Event::Lost(Loss { id: id("own"), how: Lost::Replaced });
    assert_eq!(events(&mut one), [lost, Event::Found(id("own"))]);
    assert_eq!(one.holds(&id("own")), None);
}
