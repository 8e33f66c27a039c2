//! Attacks on invitations that take time or a certain moment.

use std::time::Duration;

use super::client_of;
use super::forwarding::{check, is_forwarding, relayed};
use super::inviting::{OFFICE, Party, guest, guests, own, seconds, sharing};
use crate::config::{ClientConfig, Expiry, HostConfig, Invitation};
use crate::session::Reach;
use crate::signaling::pin::Pin;
use crate::status::event::Event;

fn is_guess(event: &Event) -> bool {
    matches!(event, Event::Warning { code, .. } if code == "bad-pin")
}

/// A client that guesses at the pin of an invitation.
fn guesser(id: &str) -> ClientConfig {
    let client = client_of(OFFICE);
    ClientConfig { url: client.url.inviting(&id.parse().unwrap()), pin: Pin::new("1").unwrap(), ..client }
}

#[test]
fn guesses_at_ever_new_ids_are_slowed_down_together_and_leave_the_hosts_own_pin_alone() {
    let mut party = Party::new(sharing(vec![guests()]));
    let mut times = Vec::new();
    for number in 0..40 {
        let client = party.world.client(party.home, guesser(&format!("id{number}")));
        party.world.until("a refusal", |world| world.end(client).is_some());
        assert_eq!(party.code(client).as_deref(), Some("bad-pin"));
        times.push(party.world.time());
    }
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[..25].iter().all(|gap| *gap < seconds(5)), "whoever mistypes does not wait: {gaps:?}");
    assert!(gaps[33..].iter().all(|gap| *gap >= seconds(29)), "all of them have one pace: {gaps:?}");
    assert_eq!(party.world.times_said(party.host, is_guess), 40, "each is one counted confirm");
    // Nobody who has the host's pin waits for that.
    let begin = party.world.time();
    assert_eq!(party.attempt(own()), None);
    assert!(party.world.time() - begin < seconds(2));
    // Whoever has an invitation waits for the next turn, and comes in.
    assert_eq!(party.attempt(guest()), None);
    let revoked = |event: &Event| matches!(event, Event::InvitationRevoked { .. });
    assert!(!party.says(revoked), "guesses at others do not count for it");
}

#[test]
fn a_guess_costs_a_count_from_the_confirm_on_and_not_before() {
    // How many of two clients that are gone after so long were counted.
    let counted = |moment: u64| {
        let mut party = Party::new(sharing(vec![guests()]));
        for _ in 0..2 {
            let client = party.world.client(party.home, guesser("k3"));
            party.world.pass(Duration::from_millis(moment));
            party.world.kill(client);
            party.world.pass(seconds(5));
        }
        let count = party.world.times_said(party.host, is_guess);
        let begin = party.world.time();
        assert_eq!(party.attempt(guest()), None);
        assert!(party.world.time() - begin < seconds(2), "nobody waits for that");
        count
    };
    let counts: Vec<usize> = (0..100).step_by(2).map(counted).collect();
    let early = counts.iter().take_while(|count| **count == 0).count();
    assert!(early > 5, "whoever leaves before the confirm has learned nothing, and costs nothing: {counts:?}");
    assert!(counts[early + 1..].iter().all(|count| *count == 2) && early < 45, "{counts:?}");
}

#[test]
fn what_expires_at_any_moment_of_a_meeting_is_gone_within_a_second_and_says_so() {
    for reach in [relayed(), Reach::default()] {
        let mut outcomes = std::collections::BTreeSet::new();
        for moment in (0..400).step_by(10) {
            let mut party = Party::new(HostConfig { reach: reach.clone(), ..sharing(Vec::new()) });
            let end = seconds(10) + Duration::from_millis(moment);
            let expires = Some(Expiry::After(end));
            let begin = party.world.time();
            party.world.reload_host(
                party.host,
                HostConfig { reach: reach.clone(), ..sharing(vec![Invitation { expires, ..guests() }]) },
            );
            party.world.pass(seconds(10) - Duration::from_millis(50));
            let client = party.world.client(party.home, guest());
            party.world.until("the client's end", |world| world.end(client).is_some());
            let late = (party.world.time() - begin).saturating_sub(end);
            assert!(late <= seconds(2), "{moment}: {late:?} late");
            let code = party.code(client);
            assert_eq!(code.as_deref(), Some("invitation-expired"), "{moment}: {}", party.world.report());
            let host = party.host;
            assert!(party.world.within(seconds(1), |world| !world.has_sessions(host)), "{moment}");
            outcomes.insert(party.world.said(client, is_forwarding));
        }
        assert_eq!(outcomes.len(), 2, "some had a session already, and some had none");
    }
}

#[test]
fn what_was_made_while_a_host_ran_ends_with_its_process() {
    let mut party = Party::new(sharing(Vec::new()));
    let made = party.world.with_host(party.host, |host| host.make_invitation(guests()));
    assert!(made.is_ok());
    let client = party.world.client(party.home, guest());
    party.world.until("a session", |world| world.said(client, is_forwarding));
    check(&mut party.world, party.home, b"hello");
    party.world.stop(client);
    party.world.until("its end", |world| world.end(client).is_some());
    party.world.kill(party.host);
    party.host = party.world.host(party.office, sharing(Vec::new()));
    assert_eq!(party.attempt(guest()).as_deref(), Some("bad-pin"), "the next process does not know it");
    assert_eq!(party.attempt(own()), None, "its own pin is as it was");
}
