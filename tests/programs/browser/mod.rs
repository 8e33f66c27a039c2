//! Foreign peers: a page in headless Chromium, and the same scripts in Node.js over usrsctp, speak signaling and the
//! tunnel's protocol in plain JavaScript, and post to an HTTP service through a real host. This shows that the channel
//! is standard WebRTC, and that `docs/protocol.md` is enough for another implementation: the scripts beside this file
//! are one, without UDP.

mod node;
mod web;

use serde_json::{Value, json};

use crate::common::bytes::pattern_digest;
use crate::common::chromium;
use crate::common::pinhole::{Pinhole, text};
use crate::common::process::Process;
use crate::common::system::figure;
use web::{Site, refusal, upload_and_download};

/// Bytes of the answer: many times the credit that a stream begins with.
const LEN: u64 = 8_000_000;

/// Makes Chromium name its addresses rather than hide them behind mDNS names.
const REAL_ADDRESSES: &str = "--disable-features=WebRtcHideLocalIpsWithMdns";

/// Observations of both sides.
struct Seen {
    /// The candidates the browser gathered.
    candidates: Vec<String>,
    /// The host's event about the path.
    connected: Value,
    /// The state of the browser's channel for datagrams, if it has one.
    datagrams: Value,
}

impl Seen {
    /// Tells whether the browser had no address of its own to tell.
    fn is_hidden(&self) -> bool {
        self.candidates.iter().all(|candidate| candidate.contains(".local "))
    }
}

/// What the browser says of the channel that the host opened.
const CHANNEL: &str = r#"{
    "label": "pinhole", "protocol": "pinhole.1", "ordered": false, "maxRetransmits": null, "maxPacketLifeTime": null
}"#;

/// Posts from a page in Chromium through a host and checks all data both ways; `None` if there is no Chromium.
fn post_through_a_host(test: &'static str, page: &str, arguments: &[&str]) -> Option<Seen> {
    let program = chromium::find(test)?;
    let (report, connected) = post(test, page, |page| chromium::open(&program, page, arguments));
    assert_eq!(report["channel"], CHANNEL.parse::<Value>().unwrap());
    let candidates = report["candidates"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    let datagrams = report["datagrams"].clone();
    Some(Seen { candidates: candidates.collect(), connected, datagrams })
}

/// Posts from a foreign peer through a host and checks the data at both ends. Returns the peer's report and the host's
/// event about the path.
fn post(test: &'static str, page: &str, open: impl FnOnce(&str) -> Process) -> (Value, Value) {
    let (service, upload) = upload_and_download();
    let site = Site::start();
    let mut host = Pinhole::host(service, &[]);
    let listening = host.event("listening");
    let (url, pin) = (text(&listening, "url"), text(&listening, "pin"));
    let url = url.split_once('?').unwrap().0;
    let page = format!("http://{}/index.html?url={url}&pin={pin}&len={LEN}{page}", site.address);
    let report = site.report(&mut open(&page));

    assert_eq!(report["error"], Value::Null, "{report:#}");
    assert_eq!(report["received"], json!({ "len": LEN, "sha256": pattern_digest(LEN) }), "{report:#}");
    let (len, digest) = upload.result().unwrap();
    assert_eq!(report["sent"], json!({ "len": len, "sha256": digest }), "{report:#}");

    let connected = host.event("connected");
    let ended = host.event("disconnected");
    assert_eq!(text(&ended, "reason"), "ended by the peer");
    assert!(text(&report, "session").starts_with(&text(&ended, "session")), "both sides derive one session id");
    let warnings: Vec<Value> = host.events_so_far().into_iter().filter(|event| event["event"] == "warning").collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
    host.stop();
    figure(&format!("{test}: carrier {}, ms: {}, {}", report["carrier"], report["steps"], report["frames"]));
    (report, connected)
}

/// usrsctp at the other end: the scripts of the page in Node.js.
#[test]
fn node_with_usrsctp() {
    const TEST: &str = "Node.js with usrsctp";
    let Some(found) = node::find(TEST) else { return };
    let (report, connected) = post(TEST, "", |page| node::open(&found, page));
    assert_eq!((&report["channel"]["label"], &report["channel"]["protocol"]), (&json!("pinhole"), &json!("pinhole.1")));
    assert_eq!(text(&connected, "path"), "direct");
}

#[test]
fn chromium_with_real_candidates() {
    let seen = post_through_a_host("Chromium with real candidates", "", &[REAL_ADDRESSES]);
    let Some(seen) = seen else { return };
    assert_eq!(seen.datagrams, Value::Null, "a peer need not have the channel for datagrams");
    assert!(!seen.is_hidden() && !seen.candidates.is_empty(), "{:?}", seen.candidates);
    assert_eq!(text(&seen.connected, "candidates"), "host/host");
}

/// Both sides create the channel for datagrams, and it is there without a word.
#[test]
fn chromium_with_a_channel_for_datagrams() {
    let seen = post_through_a_host("Chromium with a channel for datagrams", "&datagrams", &[REAL_ADDRESSES]);
    let Some(seen) = seen else { return };
    assert_eq!(seen.datagrams, "open");
}

/// What a service said before it was reset arrives before the reset.
#[test]
fn chromium_hears_an_answer_before_a_reset() {
    let Some(chromium) = chromium::find("an answer before a reset in Chromium") else { return };
    let (service, refused) = refusal();
    let site = Site::start();
    let mut host = Pinhole::host(service, &[]);
    let listening = host.event("listening");
    let (url, pin) = (text(&listening, "url"), text(&listening, "pin"));
    let url = url.split_once('?').unwrap().0;
    let page = format!("http://{}/index.html?url={url}&pin={pin}&len=0", site.address);
    let mut browser = chromium::open(&chromium, &page, &[REAL_ADDRESSES]);
    let report = site.report(&mut browser);
    refused.result().unwrap();
    assert_eq!((&report["error"], &report["reset"]), (&Value::Null, &json!(true)), "{report:#}");
    assert_eq!(report["received"]["len"], 3, "{report:#}");
    assert_eq!(text(&host.event("disconnected"), "reason"), "ended by the peer");
    host.stop();
}

/// The host cannot use such names. It learns the browser's address from the browser's own checks.
#[test]
fn chromium_with_mdns_names() {
    let Some(seen) = post_through_a_host("Chromium with mDNS names", "", &[]) else { return };
    assert!(seen.is_hidden(), "{:?}", seen.candidates);
    assert_eq!(text(&seen.connected, "candidates"), "host/prflx");
}

/// An answer may name candidates as well, mDNS names among them, and nothing need follow it.
#[test]
fn chromium_with_candidates_in_its_answer() {
    for arguments in [&[][..], &[REAL_ADDRESSES]] {
        let Some(seen) = post_through_a_host("Chromium with candidates in its answer", "&late", arguments) else {
            return;
        };
        assert_eq!(seen.is_hidden(), arguments.is_empty(), "{:?}", seen.candidates);
        let expected = if arguments.is_empty() { "host/prflx" } else { "host/host" };
        assert_eq!(text(&seen.connected, "candidates"), expected);
    }
}

/// A page of another site reaches the machine's loopback addresses as well as this one does, and is not talked to.
#[test]
fn chromium_with_a_page_of_another_site() {
    const RULES: &str = "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";
    let Some(chromium) = chromium::find("Chromium with a page of another site") else { return };
    let (service, _) = upload_and_download();
    let site = Site::start();
    let mut host = Pinhole::host(service, &[]);
    let listening = host.event("listening");
    let (url, pin) = (text(&listening, "url"), text(&listening, "pin"));
    let url = url.split_once('?').unwrap().0;
    let page = format!("http://evil.test:{}/index.html?url={url}&pin={pin}&len=1", site.address.port());
    let mut browser = chromium::open(&chromium, &page, &[RULES]);
    let report = site.report(&mut browser);
    let error = report["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("Error: no WebSocket"), "{report:#}");
    host.stop();
}
