//! The outcome of bytes does not depend on the pieces they come in.

use proptest::prelude::*;

use super::model_tests::{ANSWERS, REQUESTS};
use super::talk_tests::Talk;
use super::{Ending, Finished, Kind, Stage};

#[derive(Debug, PartialEq)]
struct Outcome {
    service: String,
    browser: String,
    finished: Vec<Finished>,
    /// The ending of the browser's connection. The ending of a stream that is not reused may depend on the bytes so
    /// far.
    ending: Option<Ending>,
    stage: Stage,
}

/// The browser sends everything. Every request goes to a stream of its own, whose service sends the next answer and may
/// end.
fn talk(kind: Kind, requests: &str, answers: &[(String, bool)], lengths: &[usize]) -> Outcome {
    let mut talk = Talk::new(kind);
    let mut lengths = lengths.iter().copied().cycle();
    let mut pieces = |text: &str| {
        let mut rest = text.as_bytes();
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(lengths.next().unwrap_or(rest.len()).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = behind;
        }
        pieces
    };
    let route = |talk: &mut Talk| {
        if talk.exchange.poll_request().is_some() {
            talk.route();
        }
    };
    for piece in pieces(requests) {
        assert_eq!(talk.says(&piece), piece.len());
        route(&mut talk);
    }
    for (answer, ends) in answers {
        route(&mut talk);
        if talk.exchange.service_room() == 0 {
            break;
        }
        for piece in pieces(answer) {
            talk.answers(piece);
        }
        if *ends {
            talk.service_ends();
        }
    }
    for finished in talk.finished.iter_mut().filter(|finished| finished.status == Some(400)) {
        // For a malformed request, the bytes so far are counted, however many there are.
        finished.from_browser = 0;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        service: text(&talk.service),
        browser: text(&talk.browser),
        ending: talk.exchange.browser_ending(),
        stage: talk.exchange.stage(),
        finished: talk.finished,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn pieces_make_no_difference(
        is_proxy in any::<bool>(),
        requests in prop::collection::vec(0..REQUESTS.len(), 1..12),
        answers in prop::collection::vec((prop::collection::vec(0..ANSWERS.len(), 0..6), any::<bool>()), 0..4),
        lengths in prop::collection::vec(1..40_usize, 1..8),
    ) {
        let kind = if is_proxy { Kind::Proxy } else { Kind::Web };
        let requests: String = requests.into_iter().map(|number| REQUESTS[number]).collect();
        let answers: Vec<(String, bool)> = answers
            .into_iter()
            .map(|(parts, ends)| (parts.into_iter().map(|number| ANSWERS[number]).collect(), ends))
            .collect();
        let whole = talk(kind, &requests, &answers, &[]);
        for lengths in [&lengths[..], &[1]] {
            let mut split = talk(kind, &requests, &answers, lengths);
            if whole.finished.iter().any(|finished| finished.status == Some(400) && !finished.method.is_empty()) {
                // How much of a malformed body was sent before it was recognised does not matter.
                prop_assert!(split.service.starts_with(&whole.service));
                split.service.clone_from(&whole.service);
            }
            prop_assert_eq!(&split, &whole);
        }
    }
}
