//! Invitations: what their sessions have, how they end, and what guesses learn.

use std::time::Duration;

use super::forwarding::{check, is_forwarding, relayed};
use super::{Ended, Side, World, client_of, host_of};
use crate::config::{
    AccessList, Bind, ClientConfig, Expiry, HostConfig, Invitation, LocalForward, ReverseAccess, ReverseForward,
    ReverseRule, ServiceBind, SharedService,
};
use crate::net::world::Machine;
use crate::session::Reach;
use crate::signaling::pin::Pin;
use crate::status::event::{Event, StreamEnd};

const SERVICE: &str = "127.0.0.1:80";
const OTHER: &str = "127.0.0.1:81";
pub(super) const OFFICE: &str = "10.0.0.1";
const LOCAL: &str = "127.0.0.1:9000";
const GUEST_PIN: &str = "0123456789abcdef";

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// An invitation `k3` for the service 80.
pub(super) fn guests() -> Invitation {
    Invitation {
        id: Some("k3".parse().unwrap()),
        pin: Pin::new(GUEST_PIN),
        services: vec!["80".to_owned()],
        ..Invitation::new("guests")
    }
}

/// A client with the pin of the invitation.
pub(super) fn guest() -> ClientConfig {
    guest_with(GUEST_PIN)
}

fn guest_with(pin: &str) -> ClientConfig {
    let client = client_of(OFFICE);
    let url = client.url.inviting(&"k3".parse().unwrap());
    ClientConfig { url, pin: Pin::new(pin).unwrap(), ..client }
}

/// A client with the host's own pin, which has the service 80, too.
pub(super) fn own() -> ClientConfig {
    let bind = Some(ServiceBind::Address(LOCAL.parse().unwrap()));
    let forwards = vec![LocalForward::Service { name: "80".to_owned(), bind }];
    ClientConfig { forwards, ..client_of(OFFICE) }
}

/// A host that shares 80 and 81, and dials whatever clients with its own pin name.
pub(super) fn sharing(invitations: Vec<Invitation>) -> HostConfig {
    let mut host = host_of(SERVICE);
    host.services.push(SharedService::of(OTHER.parse().unwrap()));
    host.allow = AccessList::parse(["0.0.0.0/0:*", "udp:0.0.0.0/0:*"]).unwrap();
    host.allow_reverse = ReverseAccess::new(vec![ReverseRule::parse("8000-8010").unwrap()]);
    HostConfig { invitations, ..host }
}

pub(super) struct Party {
    pub(super) world: World,
    pub(super) office: Machine,
    pub(super) home: Machine,
    pub(super) host: Side,
}

impl Party {
    pub(super) fn new(host: HostConfig) -> Party {
        let mut world = World::new();
        let (office, home) = (world.machine(&[OFFICE]), world.machine(&["10.0.0.2"]));
        world.echo(office, SERVICE);
        world.echo(office, OTHER);
        let host = world.host(office, host);
        Party { world, office, home, host }
    }

    fn guest(&mut self) -> Side {
        self.join(guest())
    }

    fn join(&mut self, config: ClientConfig) -> Side {
        let client = self.world.client(self.home, config);
        self.world.until("a session", |world| world.said(client, is_forwarding));
        client
    }

    /// Has a further client try on a machine of its own, until it has a session or ends. Returns the code of its error.
    pub(super) fn attempt(&mut self, config: ClientConfig) -> Option<String> {
        let hall = self.world.machine(&["10.0.0.3"]);
        let client = self.world.client(hall, config);
        self.world.until("an outcome", |world| world.said(client, is_forwarding) || world.end(client).is_some());
        let code = self.code(client);
        self.world.stop(client);
        self.world.until("its end", |world| world.end(client).is_some());
        code
    }

    pub(super) fn code(&self, client: Side) -> Option<String> {
        let error = self.world.end(client)?.as_ref().err()?;
        Some(error.code().to_owned())
    }

    fn revoke(&mut self) {
        self.world.with_host(self.host, |host| {
            let serial = host.invitation(&"k3".parse().unwrap()).expect("it counts");
            host.revoke(serial, "it was taken back");
        });
    }

    pub(super) fn says(&self, fits: impl Fn(&Event) -> bool) -> bool {
        self.world.said(self.host, fits)
    }
}

fn is_over(event: &Event) -> bool {
    matches!(event, Event::Disconnected { .. })
}

fn dialling(local: &str, target: &str) -> LocalForward {
    let bind: Bind = local.parse().unwrap();
    LocalForward::Dial { bind, endpoint: target.parse().unwrap() }
}

/// Connects through a client's port, and returns what the client says of the stream's end.
fn refusal(party: &mut Party, client: Side, local: &str) -> String {
    let visitor = party.world.visit(party.home, local);
    party.world.until("an end", |world| world.ended(visitor).is_some());
    let mut reasons = party.world.events(client).into_iter().filter_map(|event| match event {
        Event::StreamClosed { reason: StreamEnd::Failed(reason), .. } => Some(reason),
        _ => None,
    });
    reasons.next_back().unwrap_or_default()
}

#[test]
fn a_session_has_the_services_that_the_invitation_names_and_no_others() {
    let mut party = Party::new(sharing(vec![guests()]));
    let client = party.join(ClientConfig { forwards: vec![LocalForward::Every], ..guest() });
    let names = party.world.events(client).into_iter().filter_map(|event| match event {
        Event::Forwarding { service, .. } => Some(service.to_string()),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), ["80"]);
    // Whoever asks for the other one is told of those that there are for it.
    let named =
        LocalForward::Service { name: "81".to_owned(), bind: Some(ServiceBind::Address(LOCAL.parse().unwrap())) };
    assert_eq!(party.attempt(ClientConfig { forwards: vec![named], ..guest() }).as_deref(), Some("no-service"));
    // The host's own pin gives everything.
    let mut own = client_of(OFFICE);
    own.forwards = vec![LocalForward::Every];
    let hall = party.world.machine(&["10.0.0.4"]);
    let own = party.world.client(hall, own);
    party.world.until("both", |world| world.times_said(own, is_forwarding) == 2);
}

#[test]
fn targets_are_checked_by_the_rules_of_the_invitation_and_so_are_the_addresses_of_names() {
    let allow = AccessList::parse(["db.local:81", "udp:db.local:53", "127.0.0.1:80"]).unwrap();
    let mut party = Party::new(sharing(vec![Invitation { allow, ..guests() }]));
    party.world.network().name("db.local", Some(vec!["127.0.0.1".parse().unwrap()]));
    let forwards = vec![
        dialling("127.0.0.1:9001", "127.0.0.1:81"),
        dialling("127.0.0.1:9002", "db.local:81"),
        dialling("127.0.0.1:9000", "127.0.0.1:80"),
    ];
    let client = party.join(ClientConfig { forwards, ..guest() });
    assert_eq!(refusal(&mut party, client, "127.0.0.1:9001"), "denied: the invitation does not have it");
    // The host's own rules have every address, and those of the invitation have the name only, which may not lead to
    // this machine.
    assert!(refusal(&mut party, client, "127.0.0.1:9002").starts_with("denied"));
    check(&mut party.world, party.home, b"hello");
    // With the host's own pin, both are dialled.
    let mut own = client_of(OFFICE);
    own.forwards = vec![dialling(LOCAL, "db.local:81")];
    party.world.stop(client);
    party.world.until("its end", |world| world.end(client).is_some());
    party.join(own);
    check(&mut party.world, party.home, b"hello");
}

#[test]
fn the_host_listens_where_the_invitation_says_and_nowhere_else() {
    let reverse = || ReverseAccess::new(vec![ReverseRule::parse("8020").unwrap()]);
    let mut party = Party::new(sharing(vec![Invitation { reverse: reverse(), ..guests() }]));
    party.world.echo(party.home, "127.0.0.1:70");
    let forward =
        |port: u16| ReverseForward::new(format!("127.0.0.1:{port}").parse().unwrap(), "127.0.0.1:70".parse().unwrap());
    let client = party.join(ClientConfig { reverse: vec![forward(8000), forward(8020)], ..guest() });
    party.world.until("an answer", |world| world.said(client, |event| matches!(event, Event::Warning { .. })));
    let refused = |event: &Event| {
        matches!(event, Event::Warning { code, message } if code == "reverse-refused"
        && message.contains("127.0.0.1:8000") && message.contains("the invitation does not have it"))
    };
    assert!(party.world.said(client, refused), "{}", party.world.report());
    let visitor = party.world.visit(party.office, "127.0.0.1:8020");
    party.world.say(visitor, b"hello");
    party.world.until("an echo", |world| world.heard(visitor) == b"hello");
    // A reload of the host's own rules is nothing to it, and its end is the end of the listener.
    let host = sharing(vec![Invitation { reverse: reverse(), ..guests() }]);
    party.world.reload_host(party.host, HostConfig { allow_reverse: ReverseAccess::default(), ..host });
    let again = party.world.visit(party.office, "127.0.0.1:8020");
    party.world.say(again, b"hello");
    party.world.until("an echo", |world| world.heard(again) == b"hello");
    party.revoke();
    let late = party.world.visit(party.office, "127.0.0.1:8020");
    party.world.until("a refusal", |world| world.ended(late).is_some());
    assert_eq!(party.world.ended(late), Some(Ended::Failed(std::io::ErrorKind::ConnectionRefused)));
}

#[test]
fn what_is_revoked_is_gone_within_a_second_and_its_client_says_so() {
    for reach in [relayed(), Reach::default()] {
        let mut party = Party::new(HostConfig { reach, ..sharing(vec![guests()]) });
        let client = party.guest();
        let neighbour = party.world.machine(&["10.0.0.4"]);
        let other = party.world.client(neighbour, own());
        party.world.until("a session", |world| world.said(other, is_forwarding));
        party.world.pass(seconds(5));
        let visitor = party.world.visit(party.home, LOCAL);
        party.world.say(visitor, b"hello");
        party.world.until("an echo", |world| world.heard(visitor) == b"hello");
        party.revoke();
        let (host, end) = (party.host, seconds(1));
        let is_gone = party.world.within(end, |world| {
            world.said(host, is_over) && world.end(client).is_some() && world.ended(visitor).is_some()
        });
        assert!(is_gone, "{}", party.world.report());
        assert_eq!(party.code(client).as_deref(), Some("invitation-revoked"));
        assert!(party.says(|event| matches!(event, Event::InvitationRevoked { label, .. } if label == "guests")));
        let said = |event: &Event| matches!(event, Event::Disconnected { reason, .. } if reason == "the invitation was revoked");
        assert!(party.says(said) && party.world.said(client, said), "{}", party.world.report());
        // Nobody else is disturbed.
        check(&mut party.world, neighbour, b"hello");
        assert_eq!(party.world.times_said(host, is_over), 1);
        // Who proves the pin hears it, too; who does not learns nothing.
        assert_eq!(party.attempt(guest()).as_deref(), Some("invitation-revoked"));
        assert_eq!(party.attempt(guest_with("wrong")).as_deref(), Some("bad-pin"));
    }
}

#[test]
fn what_is_revoked_at_any_moment_of_a_meeting_is_gone_within_a_second() {
    for reach in [relayed(), Reach::default()] {
        for moment in 0..60 {
            let mut party = Party::new(HostConfig { reach: reach.clone(), ..sharing(vec![guests()]) });
            let client = party.world.client(party.home, guest());
            party.world.pass(Duration::from_millis(50 + moment * 4));
            let host = party.host;
            let had_session = party.world.has_sessions(host);
            party.revoke();
            let is_gone = party.world.within(seconds(1), |world| !world.has_sessions(host));
            assert!(is_gone, "{moment}: {}", party.world.report());
            party.world.until("the client's end", |world| world.end(client).is_some());
            assert_eq!(party.code(client).as_deref(), Some("invitation-revoked"), "{moment}: {}", party.world.report());
            assert!(!party.world.has_sessions(host), "{moment} {had_session}");
        }
    }
}

#[test]
fn a_client_that_is_cut_off_meanwhile_hears_of_it_when_it_is_back() {
    let mut party = Party::new(sharing(vec![guests()]));
    let client = party.guest();
    party.world.cut(party.office, party.home, true);
    party.world.pass(seconds(2));
    party.revoke();
    let host = party.host;
    assert!(party.world.within(seconds(1), |world| !world.has_sessions(host)), "{}", party.world.report());
    party.world.pass(seconds(10));
    party.world.cut(party.office, party.home, false);
    party.world.until("the client's end", |world| world.end(client).is_some());
    assert_eq!(party.code(client).as_deref(), Some("invitation-revoked"));
    // It had a ticket, so nothing was guessed and the pin was not shown again.
    assert!(!party.says(|event| matches!(event, Event::Warning { code, .. } if code == "bad-pin")));
}

#[test]
fn an_invitation_ends_by_the_clock_that_comes_first() {
    let ends: [fn(&Party) -> Expiry; 2] = [
        |_| Expiry::After(Duration::from_secs(7200)),
        |party| Expiry::At(party.world.network().time_of_day() + Duration::from_secs(7200)),
    ];
    for end in ends {
        // The time of day is set forward, or both go on.
        for is_set in [false, true] {
            let mut party = Party::new(sharing(Vec::new()));
            let expires = Some(end(&party));
            party.world.reload_host(party.host, sharing(vec![Invitation { expires, ..guests() }]));
            let client = party.guest();
            let (host, begin) = (party.host, party.world.time());
            if is_set {
                party.world.pass(seconds(600));
                party.world.network().advance_day(seconds(7000));
                party.world.within(seconds(1), |world| world.end(client).is_some());
            } else {
                party.world.pass(seconds(7000));
                assert!(party.world.end(client).is_none());
                party.world.until("the end", |world| world.end(client).is_some());
                let late = (party.world.time() - begin).saturating_sub(seconds(7200));
                assert!(late <= seconds(1), "{late:?} late");
            }
            assert_eq!(party.code(client).as_deref(), Some("invitation-expired"), "{}", party.world.report());
            assert!(party.says(|event| matches!(event, Event::InvitationExpired { label, .. } if label == "guests")));
            assert!(!party.world.has_sessions(host));
            assert_eq!(party.attempt(guest()).as_deref(), Some("invitation-expired"));
            party.world.pass(seconds(24 * 3600));
            assert_eq!(party.attempt(guest()).as_deref(), Some("bad-pin"), "it is forgotten after a day");
        }
    }
}

#[test]
fn one_for_one_client_has_no_second_and_the_first_may_come_back() {
    let mut party = Party::new(sharing(vec![Invitation { once: true, ..guests() }]));
    let client = party.guest();
    assert_eq!(party.attempt(guest()).as_deref(), Some("invitation-used"));
    // An outage that is longer than the host waits: the client comes back by its ticket.
    party.world.cut(party.office, party.home, true);
    party.world.until("the end", |world| world.said(client, is_over));
    assert_eq!(party.attempt(guest()).as_deref(), Some("invitation-used"));
    party.world.cut(party.office, party.home, false);
    let is_connected = |event: &Event| matches!(event, Event::Connected { .. });
    party.world.until("another session", |world| world.times_said(client, is_connected) == 2);
    check(&mut party.world, party.home, b"hello");
    // It has no more than before.
    assert_eq!(party.world.times_said(client, is_forwarding), 1);
    party.revoke();
    let is_gone = party.world.within(seconds(1), |world| world.end(client).is_some());
    assert!(is_gone && party.code(client).as_deref() == Some("invitation-revoked"), "{}", party.world.report());
}

#[test]
fn one_for_one_client_is_given_back_if_no_channel_came() {
    let mut party = Party::new(sharing(vec![Invitation { once: true, ..guests() }]));
    let client = party.world.client(party.home, guest());
    let host = party.host;
    party.world.until("a session", |world| world.has_sessions(host));
    assert!(!party.says(|event| matches!(event, Event::Connected { .. })));
    party.world.kill(client);
    party.world.until("its end", |world| !world.has_sessions(host));
    party.guest();
    check(&mut party.world, party.home, b"hello");
}

#[test]
fn an_invitation_may_have_so_many_clients_at_a_time() {
    let mut party = Party::new(sharing(vec![Invitation { max_sessions: Some(1), ..guests() }]));
    let client = party.guest();
    assert_eq!(party.attempt(guest()).as_deref(), Some("full"));
    // Others have places of their own.
    assert_eq!(party.attempt(own()), None);
    // The same client after an outage takes no further place.
    party.world.cut(party.office, party.home, true);
    party.world.pass(seconds(20));
    party.world.cut(party.office, party.home, false);
    party.world.pass(seconds(20));
    check(&mut party.world, party.home, b"hello");
    assert_eq!(party.attempt(guest()).as_deref(), Some("full"));
    party.world.stop(client);
    party.world.until("its end", |world| world.end(client).is_some());
    assert_eq!(party.attempt(guest()), None);
}

/// Has clients guess one after the other, and returns when each was refused, and how.
fn guesses(id: &str, count: usize) -> (Vec<Duration>, Vec<String>, Party) {
    let mut party = Party::new(sharing(vec![guests()]));
    let (mut times, mut sentences) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let client = client_of(OFFICE);
        let url = client.url.inviting(&id.parse().unwrap());
        let guesser = party.world.client(party.home, ClientConfig { url, pin: Pin::new("1").unwrap(), ..client });
        party.world.until("a refusal", |world| world.end(guesser).is_some());
        times.push(party.world.time());
        let end = party.world.end(guesser).and_then(|end| end.as_ref().err()).map(ToString::to_string);
        sentences.push(end.unwrap_or_default());
    }
    (times, sentences, party)
}

#[test]
fn guesses_at_an_id_that_exists_and_at_one_that_does_not_are_answered_alike_and_as_late() {
    let (known_times, known, mut known_party) = guesses("k3", 12);
    let (unknown_times, unknown, _) = guesses("k4", 12);
    assert_eq!((&known_times, &known), (&unknown_times, &unknown));
    let gaps: Vec<Duration> = known_times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[10] >= seconds(30), "each costs a counted confirm: {gaps:?}");
    let guessed = |event: &Event| matches!(event, Event::Warning { code, .. } if code == "bad-pin");
    assert_eq!(known_party.world.times_said(known_party.host, guessed), 12);
    // The host's own pin is slowed down by its own guesses only.
    let begin = known_party.world.time();
    assert_eq!(known_party.attempt(own()), None);
    assert!(known_party.world.time() - begin < seconds(2));
}

#[test]
fn a_hundred_guesses_revoke_an_invitation() {
    let (_, _, party) = guesses("k3", 100);
    let revoked = |event: &Event| matches!(event, Event::InvitationRevoked { reason, .. } if reason == "its pin was guessed at 100 times");
    assert_eq!(party.world.times_said(party.host, revoked), 1);
    assert!(!party.says(|event| matches!(event, Event::PinReplaced { .. })), "the host's own pin stays");
}

#[test]
fn a_host_that_reads_its_settings_again_keeps_what_is_the_same() {
    let (kept, gone) = (
        Invitation { once: true, ..guests() },
        Invitation {
            services: vec!["81".to_owned()],
            id: Some("k4".parse().unwrap()),
            pin: Pin::new("second"),
            ..Invitation::new("others")
        },
    );
    let mut party = Party::new(sharing(vec![kept.clone(), gone.clone()]));
    party.guest();
    let client = client_of(OFFICE);
    let url = client.url.inviting(&"k4".parse().unwrap());
    let second = ClientConfig { url, pin: Pin::new("second").unwrap(), ..client };
    let hall = party.world.machine(&["10.0.0.5"]);
    let other = party.world.client(hall, second.clone());
    party.world.until("a session", |world| world.said(other, is_forwarding));
    let made = party.world.with_host(party.host, |host| {
        host.make_invitation(Invitation { services: vec!["80".to_owned()], ..Invitation::new("made") })
    });
    assert!(made.is_ok());
    let own = Pin::new("271828");
    party.world.reload_host(party.host, HostConfig { pin: own, ..sharing(vec![kept.clone()]) });
    let changed = party.world.events(party.host).into_iter().filter_map(|event| match event {
        Event::Reloaded { changed, .. } => Some(changed.join(", ")),
        _ => None,
    });
    assert_eq!(changed.collect::<Vec<_>>(), ["invitation others removed, pin changed"]);
    assert!(party.world.within(seconds(1), |world| world.end(other).is_some()), "{}", party.world.report());
    assert_eq!(party.code(other).as_deref(), Some("invitation-revoked"));
    check(&mut party.world, party.home, b"goes on");
    assert_eq!(party.attempt(guest()).as_deref(), Some("invitation-used"), "it keeps its state");
    let labels = |party: &mut Party| {
        party
            .world
            .with_host(party.host, |host| host.list_invitations().into_iter().map(|one| one.label).collect::<Vec<_>>())
    };
    assert_eq!(labels(&mut party), ["guests", "made"], "what was made while it ran stays");
    // It comes back as another one. What is changed is replaced.
    let changed = Invitation { services: vec!["81".to_owned()], once: false, ..kept };
    party.world.reload_host(party.host, HostConfig { pin: Pin::new("271828"), ..sharing(vec![changed, gone]) });
    assert_eq!(party.attempt(second), None);
    assert_eq!(party.attempt(guest()), None);
    assert_eq!(labels(&mut party), ["made", "guests", "others"]);
}

#[test]
fn settings_with_a_wrong_invitation_change_nothing() {
    let mut party = Party::new(sharing(vec![guests()]));
    party.guest();
    let unknown = Invitation { services: vec!["82".to_owned()], ..Invitation::new("others") };
    party.world.reload_host(party.host, HostConfig { pin: Pin::new("1"), ..sharing(vec![unknown]) });
    let said = |event: &Event| {
        matches!(event, Event::Warning { code, message } if code == "reload"
            && message.ends_with("the invitation others names the service 82, and there is none of that name"))
    };
    assert!(party.says(said), "{}", party.world.report());
    check(&mut party.world, party.home, b"goes on");
    assert_eq!(party.attempt(guest()), None);
}

#[test]
fn one_that_ended_does_not_begin_anew_when_settings_are_read_again() {
    let brief = Invitation { expires: Some(Expiry::After(seconds(60))), ..guests() };
    let mut party = Party::new(sharing(vec![brief.clone()]));
    for _ in 0..2 {
        party.world.pass(seconds(30 * 3600));
        party.world.reload_host(party.host, sharing(vec![brief.clone()]));
        assert_eq!(party.attempt(guest()).as_deref(), Some("bad-pin"));
    }
}
