//! Who holds a name, case by case. Many servers at once are in `simulation_tests.rs`.

use super::*;
use crate::signaling::binary::Binary;

fn server(byte: u8) -> ServerId {
    ServerId::of([byte; 16])
}

fn id(name: &str) -> HostId {
    name.parse().unwrap()
}

fn claim(owner: u8, instance: u8) -> Claim {
    Claim { owners: vec![Binary([owner; 32])], instances: vec![Binary([instance; 32])], public: None, dials: false }
}

/// What another server says of a host of its own.
fn said(name: &str, epoch: u64, owner: u8, instance: u8) -> message::Names {
    let (owner, instance) = (Binary([owner; 32]), Binary([instance; 32]));
    let here = Here { id: id(name), epoch, owner, instance, public: None, dial: false, leaving: false };
    message::Names { here: vec![here], ..message::Names::default() }
}

fn complete() -> message::Names {
    message::Names { complete: true, ..message::Names::default() }
}

/// Server 5 with a link to server `other`, whose hosts are all known.
fn linked(other: u8) -> Names {
    let mut names = Names::new(server(5), 0);
    names.linked(server(other));
    names.handle(server(other), complete());
    names
}

fn losses(names: &mut Names) -> Vec<bool> {
    std::iter::from_fn(|| names.poll_loss()).map(|loss| loss.has_moved).collect()
}

#[test]
fn a_host_is_found_where_it_is() {
    let mut names = linked(1);
    assert_eq!(names.place(&id("abc")), Place::Nowhere);
    names.claim(&id("abc"), claim(1, 1));
    assert!(matches!(names.place(&id("abc")), Place::Here(Entry { epoch: 1, .. })));
    names.handle(server(1), said("def", 9, 1, 2));
    assert!(matches!(names.place(&id("def")), Place::At(other, Entry { epoch: 9, .. }) if other == server(1)));
    let changes = names.poll_changes().unwrap();
    assert_eq!((changes.here.len(), changes.gone.len(), names.poll_changes()), (1, 0, None));
    names.release(&id("abc"));
    assert_eq!(names.poll_changes().unwrap().gone, [id("abc")]);
    names.handle(server(1), message::Names { gone: vec![id("def"), id("xyz")], ..message::Names::default() });
    assert_eq!((names.place(&id("abc")), names.place(&id("def"))), (Place::Nowhere, Place::Nowhere));
}

#[test]
fn a_host_that_its_server_sends_away_is_away_until_it_comes_back_anywhere() {
    let mut names = linked(1);
    names.handle(server(1), said("abc", 9, 1, 1));
    let mut leaving = said("abc", 9, 1, 1);
    leaving.here[0].leaving = true;
    names.handle(server(1), leaving);
    assert_eq!(names.place(&id("abc")), Place::Away);
    assert!(!names.may_claim(&id("abc"), &claim(2, 2)), "it is its owner's still");
    names.unlinked(Instant::now(), server(1));
    assert_eq!(names.place(&id("abc")), Place::Away);
    names.linked(server(2));
    names.handle(server(2), said("abc", 10, 1, 1));
    assert!(matches!(names.place(&id("abc")), Place::At(other, _) if other == server(2)));
}

#[test]
fn a_host_that_is_sent_away_is_named_so_and_not_given_up() {
    let mut names = linked(1);
    names.claim(&id("abc"), claim(1, 1));
    names.poll_changes();
    names.leave(&id("abc"));
    names.leave(&id("nobody"));
    let changes = names.poll_changes().unwrap();
    assert!(changes.here.len() == 1 && changes.here[0].leaving && changes.gone.is_empty(), "{changes:?}");
    names.release(&id("abc"));
    assert_eq!((names.poll_changes(), names.place(&id("abc"))), (None, Place::Away));
    assert!(names.snapshot()[0].here[0].leaving, "a new link is told so, too");
    names.handle(server(1), said("abc", 2, 1, 1));
    assert!(matches!(names.place(&id("abc")), Place::At(other, _) if other == server(1)));
}

#[test]
fn other_secrets_have_hosts_named_anew_under_the_same_epoch() {
    let mut names = linked(1);
    names.claim(&id("abc"), claim(1, 1));
    names.poll_changes();
    names.retag(&id("abc"), &[Binary([1; 32])], vec![Binary([1; 32])]);
    assert_eq!(names.poll_changes(), None, "nothing changed");
    names.retag(&id("abc"), &[Binary([8; 32])], vec![Binary([9; 32])]);
    let changes = names.poll_changes().unwrap();
    let named = &changes.here[0];
    assert_eq!((named.epoch, named.owner, named.instance), (1, Binary([8; 32]), Binary([9; 32])));
    names.handle(server(1), said("abc", 2, 8, 9));
    assert_eq!(losses(&mut names), [true], "its process is known by the new tag");
}

#[test]
fn the_highest_epoch_of_all_does_not_break_later_claims() {
    let mut names = linked(1);
    names.handle(server(1), said("abc", MAX_EPOCH - 1, 1, 1));
    names.claim(&id("def"), claim(1, 1));
    names.claim(&id("abc"), claim(1, 1));
    assert!(names.poll_changes().unwrap().here.iter().all(|here| here.epoch < MAX_EPOCH));
    assert!(matches!(names.place(&id("abc")), Place::Here(_)));
}

#[test]
fn changes_that_cancel_out_between_two_messages_are_one() {
    let mut names = linked(1);
    names.claim(&id("abc"), claim(1, 1));
    names.release(&id("abc"));
    names.claim(&id("abc"), claim(1, 2));
    let changes = names.poll_changes().unwrap();
    assert_eq!((changes.here[0].epoch, changes.gone.len()), (2, 0));
}

#[test]
fn the_newest_claim_wins_and_ties_go_to_the_larger_server() {
    for (theirs, other, is_lost) in [(2, 9, true), (1, 9, true), (1, 1, false), (0, 9, false)] {
        let mut names = linked(other);
        names.claim(&id("abc"), claim(1, 1));
        names.poll_changes();
        names.handle(server(other), said("abc", theirs, 1, 2));
        assert_eq!(losses(&mut names), if is_lost { vec![false] } else { vec![] }, "{theirs} {other}");
        assert_eq!(matches!(names.place(&id("abc")), Place::Here(_)), !is_lost);
        // A claim that was lost does not come back when the other leaves.
        assert_eq!(names.poll_changes().map(|changes| changes.gone), is_lost.then(|| vec![id("abc")]));
    }
}

#[test]
fn the_same_process_moves_by_whatever_secret_its_new_server_announces_it() {
    let mut names = linked(9);
    let instances = vec![Binary([1; 32]), Binary([2; 32])];
    names.claim(&id("abc"), Claim { instances, ..claim(1, 0) });
    names.handle(server(9), said("abc", 7, 1, 2));
    assert_eq!(losses(&mut names), [true]);
    names.claim(&id("abc"), claim(1, 3));
    assert!(matches!(names.place(&id("abc")), Place::Here(Entry { epoch: 8, .. })), "one more than the highest");
}

#[test]
fn only_its_owner_may_take_a_name_from_another_server() {
    let mut names = linked(1);
    names.handle(server(1), said("abc", 3, 7, 1));
    assert!(names.may_claim(&id("abc"), &claim(7, 2)) && !names.may_claim(&id("abc"), &claim(8, 2)));
    let rotated = Claim { owners: vec![Binary([8; 32]), Binary([7; 32])], ..claim(8, 2) };
    assert!(names.may_claim(&id("abc"), &rotated) && names.may_claim(&id("def"), &claim(8, 2)));
    let count = |name: &str, owner: u8| names.count_elsewhere(&id(name), &[Binary([owner; 32])]);
    assert_eq!((count("def", 7), count("abc", 7), count("def", 8)), (1, 0, 0));
    // While the server is away, the name is still that owner's.
    names.unlinked(Instant::now(), server(1));
    assert!(!names.may_claim(&id("abc"), &claim(8, 2)));
}

#[test]
fn what_may_be_elsewhere_is_away_and_not_nowhere() {
    let now = Instant::now();
    let mut names = Names::new(server(5), 1);
    assert_eq!(names.place(&id("abc")), Place::Away, "a link is missing");
    names.set_missing(0);
    names.linked(server(1));
    assert_eq!(names.place(&id("abc")), Place::Away, "the other server has not named its hosts");
    names.handle(server(1), said("abc", 3, 7, 1));
    names.handle(server(1), complete());
    assert_eq!(names.place(&id("def")), Place::Nowhere);
    names.unlinked(now, server(1));
    assert_eq!((names.place(&id("abc")), names.place(&id("def"))), (Place::Away, Place::Away));
    names.forget_late(now + AWAY - Duration::from_millis(1));
    assert_eq!(names.place(&id("abc")), Place::Away);
    names.forget_late(now + AWAY);
    assert_eq!((names.place(&id("abc")), names.claims.len(), names.servers.len()), (Place::Nowhere, 0, 0));
}

#[test]
fn a_new_link_replaces_what_was_known() {
    let mut names = linked(1);
    names.handle(server(1), said("abc", 3, 7, 1));
    names.handle(server(1), said("def", 4, 7, 1));
    names.unlinked(Instant::now(), server(1));
    names.linked(server(1));
    names.handle(server(1), said("def", 4, 7, 1));
    assert!(matches!(names.place(&id("abc")), Place::At(..)), "it may still be named");
    names.handle(server(1), complete());
    assert_eq!(names.place(&id("abc")), Place::Nowhere);
    assert!(matches!(names.place(&id("def")), Place::At(..)));
}

#[test]
fn a_server_that_was_never_greeted_says_nothing() {
    let mut names = linked(1);
    names.handle(server(2), said("abc", 3, 7, 1));
    names.unlinked(Instant::now(), server(2));
    assert_eq!((names.place(&id("abc")), names.highest), (Place::Nowhere, 0));
}

#[test]
fn a_snapshot_names_everything_in_bounded_parts() {
    let mut names = linked(1);
    for number in 0..(2 * MAX_HOSTS + 1) {
        names.claim(&id(&format!("host-{number}")), claim(1, 1));
    }
    let counts: Vec<(usize, bool)> = names.snapshot().iter().map(|part| (part.here.len(), part.complete)).collect();
    assert_eq!(counts, [(MAX_HOSTS, false), (MAX_HOSTS, false), (1, false), (0, true)]);
    let changes: Vec<usize> = std::iter::from_fn(|| names.poll_changes()).map(|changes| changes.here.len()).collect();
    assert_eq!(changes, [MAX_HOSTS, MAX_HOSTS, 1]);
}

#[test]
fn what_a_server_that_is_gone_had_is_nobody_elses_hindrance() {
    let mut names = linked(9);
    names.handle(server(9), said("abc", 7, 1, 1));
    names.unlinked(Instant::now(), server(9));
    // The same machine, started again: it counts from 1 and has another id.
    names.linked(server(1));
    names.handle(server(1), said("abc", 1, 1, 1));
    assert!(matches!(names.place(&id("abc")), Place::At(other, _) if other == server(1)));
}
