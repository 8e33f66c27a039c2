use super::*;

/// Chromium's offer for one DataChannel, shortened.
const BROWSER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=application 54055 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 192.0.2.1\r\na=candidate:1 1 udp 2113937151 192.0.2.1 54055 typ host generation 0\r\na=ice-ufrag:Ab+/\r\n\
    a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\na=fingerprint:sha-1 00:11\r\n\
    a=fingerprint:sha-256 FINGERPRINT\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

fn browser() -> String {
    BROWSER.replace("FINGERPRINT", &["a0"; FINGERPRINT].join(":"))
}

fn refusal(sdp: &str) -> String {
    Description::parse(Kind::Offer, sdp).unwrap_err().to_string()
}

#[test]
fn a_browsers_offer_is_read_and_written_anew() {
    let sdp = browser();
    let read = Description::parse(Kind::Offer, &sdp).unwrap();
    assert_eq!((read.mid, read.user_name, read.setup, read.max_message), ("0", "Ab+/", "actpass", Some(262_144)));
    assert_eq!(read.candidates.len(), 1);
    let written = read.to_sdp();
    assert!(!written.contains("candidate") && !written.contains("extmap"), "{written}");
    let again = Description::parse(Kind::Offer, &written).unwrap();
    assert_eq!(again, Description { candidates: Vec::new(), ..read });
}

#[test]
fn what_is_said_of_the_whole_counts_where_the_section_says_nothing() {
    let sdp = browser().replace("a=setup:actpass\r\n", "").replace("m=", "a=setup:active\r\nm=");
    assert_eq!(Description::parse(Kind::Answer, &sdp).unwrap().setup, "active");
    // The value of the section is used; the other is ignored, however long it is.
    let sdp = browser().replace("m=", &format!("a=ice-ufrag:{}\r\nm=", "u".repeat(600)));
    assert_eq!(Description::parse(Kind::Offer, &sdp).unwrap().user_name, "Ab+/");
}

#[test]
fn what_is_out_of_bounds_is_refused_with_a_sentence() {
    let long = |count: usize| "u".repeat(count);
    let cases = [
        ("Ab+/", "abc".to_owned(), "user name has 3 characters, where 4 to 111"),
        ("Ab+/", long(112), "user name has 112 characters"),
        ("Ab+/", long(200), "user name has 200 characters"),
        ("Ab+/", "abcd:efgh".to_owned(), "characters that are not allowed"),
        ("Ab+/", "abcdé".to_owned(), "characters that are not allowed"),
        ("abcdefghijklmnopqrstuvwx", long(21), "password has 21 characters, where 22 to 256"),
        ("abcdefghijklmnopqrstuvwx", long(257), "password has 257 characters"),
        ("a0:a0", "a0".to_owned(), "fingerprint is not 32 pairs"),
        ("a0:a0", "a0:zz".to_owned(), "fingerprint is not 32 pairs"),
        ("sha-256", "sha-512".to_owned(), "no SHA-256 fingerprint"),
        ("actpass", "holdconn".to_owned(), "DTLS role"),
        ("a=setup:actpass\r\n", String::new(), "no DTLS role"),
        ("a=mid:0", "a=mid:".to_owned(), "1 to 16 letters"),
        ("a=mid:0", format!("a=mid:{}", long(17)), "1 to 16 letters"),
        ("a=mid:0", "a=mid:0 1".to_owned(), "1 to 16 letters"),
        ("port:5000", "port:0".to_owned(), "SCTP port"),
        ("port:5000", "port:70000".to_owned(), "SCTP port"),
        ("262144", "65535".to_owned(), "65536 are needed"),
        ("262144", "-1".to_owned(), "not a number"),
        ("262144", "99999999999999999999".to_owned(), "not a number"),
        ("54055", "0".to_owned(), "DataChannel"),
        ("application", "audio".to_owned(), "DataChannel"),
        ("webrtc-datachannel", "webrtc-datachannel 1".to_owned(), "DataChannel"),
        ("m=", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nm=".to_owned(), "more than one media section"),
        ("t=0 0", format!("t=0 0\r\na=x:{}", long(MAX_LINE)), "a line is longer"),
        ("t=0 0", "t=0 0\r\na=x".repeat(MAX_LINES), "512 lines"),
        ("t=0 0", "t=0 0\r\na=x:".to_owned() + &long(MAX_LEN), "32768 bytes"),
    ];
    for (from, to, expected) in cases {
        let refusal = refusal(&browser().replacen(from, &to, 1));
        assert!(refusal.contains(expected) && refusal.len() < 200, "{from:?} to {to:?}: {refusal}");
    }
    assert!(refusal("").contains("DataChannel"));
    let answer = Description::parse(Kind::Answer, &browser()).map(|read| read.to_sdp());
    assert!(answer.unwrap_err().to_string().contains("DTLS role"), "an answer decides it");
}

#[test]
fn messages_of_any_length_are_taken_where_the_peer_says_so() {
    let read = |size: &str| {
        let sdp = browser().replace("a=max-message-size:262144\r\n", size);
        Description::parse(Kind::Offer, &sdp).map(|read| read.max_message).unwrap()
    };
    assert_eq!(read(""), None);
    assert_eq!(read("a=max-message-size:0\r\n"), Some(0));
    assert_eq!(read("a=max-message-size:65536\r\n"), Some(65536));
    assert_eq!(read("a=max-message-size:1099511627776\r\n"), Some(u32::MAX));
}

#[test]
fn candidates_are_short() {
    assert_eq!(
        candidate(" a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n"),
        Some("candidate:1 1 udp 1 192.0.2.1 1 typ host")
    );
    assert_eq!(candidate(&"c".repeat(MAX_CANDIDATE + 1)), None);
    assert_eq!(candidate("candidate:é"), None);
}
