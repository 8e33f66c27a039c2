//! Tests of what is shown, for terminals of many sizes.

use proptest::prelude::*;

use super::columns::width;
use super::*;
use crate::status::event::Way;
use crate::status::snapshot::{InvitationStatus, ServerTotals, SessionState, SessionStatus};
use crate::status::text::is_unprintable;

fn direct(number: usize) -> SessionStatus {
    SessionStatus {
        session: format!("{:08x}", 0x3f9a_ab12 + 0x0101 * number),
        state: SessionState::Connected,
        way: Way::Direct {
            candidates: "host/srflx".into(),
            local: "10.0.0.2:1000".parse().unwrap(),
            remote: format!("192.0.2.{}:{}", number + 1, 2000 + number).parse().unwrap(),
        },
        signaling: Some("127.0.0.1:40000".parse().unwrap()),
        agent: Some("pinhole/1.2.3".into()),
        invitation: None,
        rtt_ms: Some(12.34 + 7.0 * number as f64),
        connected_ms: Some(60_000),
        sent: 1_200_000_000,
        received: 34_500_000,
        sent_per_s: 12_300_000,
        received_per_s: 45_600,
        streams: 3,
        losses: 0,
        recoveries: 0,
        retransmissions: 0,
        bandwidth_per_s: None,
    }
}

fn relayed(number: usize) -> SessionStatus {
    let reason = "the client's network lets no UDP through, and no direct path was found in 10 s";
    SessionStatus {
        way: Way::Relayed { reason: reason.into() },
        signaling: Some(format!("198.51.100.{}:40000", number + 1).parse().unwrap()),
        rtt_ms: Some(123.4),
        sent_per_s: 0,
        received_per_s: 987_654,
        streams: 1,
        ..direct(number)
    }
}

fn with(sessions: Vec<SessionStatus>) -> Snapshot {
    Snapshot { sessions, ..Snapshot::new(Side::Host, Stage::Serving) }
}

/// A host with many sessions, of which a few are busy.
fn many(count: usize) -> Snapshot {
    let session = |number: usize| {
        let busy = [7, 23, 31].contains(&number);
        let session = if number.is_multiple_of(3) { relayed(number) } else { direct(number) };
        let (sent_per_s, received_per_s) = if busy { (session.sent_per_s, session.received_per_s) } else { (0, 0) };
        let state = if number == 31 { SessionState::Recovering } else { SessionState::Connected };
        SessionStatus { sent_per_s, received_per_s, state, streams: number % 4, ..session }
    };
    with((0..count).map(session).collect())
}

fn size(columns: usize) -> Size {
    Size { columns, rows: 24 }
}

fn shown(snapshot: &Snapshot, size: Size) -> String {
    let lines = Watch::default().board(snapshot).lines(size);
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

#[test]
fn what_is_shown_of_0_1_and_40_sessions_at_20_80_and_200_columns() {
    for (columns, expected) in [
        (20, include_str!("captures/host-20.txt")),
        (80, include_str!("captures/host-80.txt")),
        (200, include_str!("captures/host-200.txt")),
    ] {
        let mut text = String::new();
        for snapshot in [with(Vec::new()), with(vec![direct(0)]), with(vec![relayed(0)]), many(40)] {
            text.push_str(&format!("{}{}\n", shown(&snapshot, size(columns)), "-".repeat(columns)));
        }
        assert_eq!(text, expected, "{columns} columns:\n{text}");
    }
}

#[test]
fn what_a_run_is_at_is_said_in_words() {
    let client =
        |stage| Snapshot { url: Some("wss://p.example.org:5000/ws/nas".into()), ..Snapshot::new(Side::Client, stage) };
    let mut watch = Watch::default();
    let mut said = |snapshot: &Snapshot| watch.board(snapshot).lines(size(80))[0].text.clone();
    assert_eq!(said(&client(Stage::Connecting)), "client: connecting to p.example.org:5000");
    let serving = Snapshot { sessions: vec![direct(0)], ..client(Stage::Serving) };
    assert!(said(&serving).starts_with("client: connected to p.example.org:5000, out 12.3 MB/s"), "{}", said(&serving));
    assert_eq!(said(&client(Stage::Connecting)), "client: reconnecting to p.example.org:5000");
    assert_eq!(said(&client(Stage::Ending)), "client: ending");

    let totals = ServerTotals { hosts: 3, clients: 1, requests: 1234, open_requests: 2 };
    let mut server = Snapshot { totals: Some(totals), ..Snapshot::new(Side::Server, Stage::Serving) };
    assert_eq!(said(&server), "server: 3 hosts, 1 client, 1234 requests, 2 open");
    server.stage = Stage::Ending;
    assert_eq!(said(&server), "server: ending, 3 hosts, 1 client, 1234 requests, 2 open");

    let mut host = Snapshot { id: Some("nas".parse().unwrap()), ..Snapshot::new(Side::Host, Stage::Serving) };
    assert_eq!(said(&host), "host nas: waiting for clients");
    host.stage = Stage::Ending;
    assert_eq!(said(&host), "host nas: ending");
}

#[test]
fn states_are_words() {
    for (state, word) in [
        (SessionState::Connecting, "connecting"),
        (SessionState::Connected, "direct"),
        (SessionState::Recovering, "recovering"),
        (SessionState::Ending, "ending"),
    ] {
        let text = shown(&with(vec![SessionStatus { state, ..direct(0) }]), size(24));
        assert!(text.lines().nth(2).unwrap().ends_with(word), "{text}");
    }
}

/// A session by an invitation with this label.
fn invited(label: &str) -> Snapshot {
    let id: crate::status::event::InvitationId = "k3".parse().unwrap();
    let invitation = InvitationStatus {
        id: id.clone(),
        label: label.into(),
        services: vec!["web".into()],
        expires: None,
        once: false,
        sessions: 1,
    };
    Snapshot { invitations: vec![invitation], ..with(vec![SessionStatus { invitation: Some(id), ..direct(0) }]) }
}

#[test]
fn wide_and_hostile_labels_stay_in_their_columns() {
    let mut text = String::new();
    for label in ["客人的筆記型電腦", "e\u{301}te\u{301}", "👩🏽 ☁\u{fe0f}", "\x1b[2J\u{202e}\u{200b}\r\n", "שלום", "k"]
    {
        text.push_str(&shown(&invited(label), size(80)));
    }
    assert_eq!(text, include_str!("captures/labels-80.txt"), "{text}");
    let gone = Snapshot { invitations: Vec::new(), ..invited("guests") };
    assert!(shown(&gone, size(80)).contains("3f9aab12 k3 192."), "{}", shown(&gone, size(80)));
}

#[test]
fn low_terminals_have_fewer_lines_or_none() {
    let snapshot = many(40);
    let count = |rows| Watch::default().board(&snapshot).lines(Size { columns: 80, rows }).len();
    let counts = [0, 1, 2, 3, 6, 9, 12, 24, 36, 500].map(count);
    assert_eq!(counts, [0, 0, 0, 1, 1, 1, 4, 8, 12, 12]);
}

#[test]
fn rows_keep_their_order_while_rates_change() {
    let names = |snapshot: &Snapshot| -> Vec<String> {
        let text = shown(snapshot, size(80));
        text.lines().skip(2).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let mut sessions: Vec<SessionStatus> = (0..4).map(direct).collect();
    let before = names(&with(sessions.clone()));
    sessions[3].sent_per_s *= 10;
    assert_eq!(names(&with(sessions)), before);
}

fn any_state() -> impl Strategy<Value = SessionState> {
    prop_oneof![
        Just(SessionState::Connecting),
        Just(SessionState::Connected),
        Just(SessionState::Recovering),
        Just(SessionState::Ending)
    ]
}

proptest! {
    #[test]
    fn no_line_is_wider_and_no_board_higher_than_the_terminal(
        label in any::<String>(),
        reason in any::<String>(),
        figures in any::<(u64, u64, f64)>(),
        state in any_state(),
        count in 0usize..60,
        columns in 0usize..250,
        rows in 0usize..60,
    ) {
        let mut snapshot = invited(&label);
        let first = SessionStatus { state, sent: figures.0, sent_per_s: figures.1, rtt_ms: Some(figures.2), ..snapshot.sessions[0].clone() };
        snapshot.sessions = (0..count).map(|number| match number % 2 {
            0 => first.clone(),
            _ => SessionStatus { way: Way::Relayed { reason: reason.clone() }, received: figures.0, ..first.clone() },
        }).collect();
        let lines = Watch::default().board(&snapshot).lines(Size { columns, rows });
        prop_assert!(lines.is_empty() || lines.len() < rows);
        for line in lines {
            prop_assert!(width(&line.text) < columns, "{:?}", line);
            prop_assert!(!line.text.contains(is_unprintable), "{:?}", line);
        }
    }
}
