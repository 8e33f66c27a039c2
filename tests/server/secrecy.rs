//! What a server sees of relayed sessions: who meets whom, but not the content.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use data_encoding::{BASE64, HEXLOWER};

use crate::common::pinhole::Pinhole;
use crate::common::services::echo;
use crate::forwarder::{Forwarder, payloads};
use crate::lab::{Client, Server, registered};

/// What a program says.
const PLAINTEXT: &str = "nobody but us two shall ever read this sentence ";
const TIMES: usize = 2000;

/// The name of the service.
const SERVICE: &str = "correspondence";

const PIN: &str = "apinthatnobodyelsehas";

/// Tells whether some bytes are there: as they are, in hexadecimal digits, or in base64 wherever they begin.
pub(crate) fn is_in(bytes: &[u8], wanted: &str) -> bool {
    let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let shifted = |shift: usize| {
        let text = BASE64.encode(&[&vec![0; shift], wanted.as_bytes()].concat());
        // Characters at either end have bits of what stands beside it.
        let ends = if shift == 0 { 0 } else { 4 };
        text[ends..(shift + wanted.len()) / 3 * 4].to_owned()
    };
    contains(wanted.as_bytes())
        || contains(HEXLOWER.encode(wanted.as_bytes()).as_bytes())
        || (0..3).any(|shift| contains(shifted(shift).as_bytes()))
}

#[test]
fn secrets_are_found_where_they_are() {
    for shift in 0..3 {
        let inner = [&vec![b'x'; shift], PLAINTEXT.as_bytes(), b"yz"].concat();
        for bytes in [inner.clone(), BASE64.encode(&inner).into_bytes(), HEXLOWER.encode(&inner).into_bytes()] {
            assert!(is_in(&[b"before".to_vec(), bytes, b"behind".to_vec()].concat(), PLAINTEXT), "{shift}");
        }
    }
    assert!(!is_in(PLAINTEXT.to_uppercase().as_bytes(), PLAINTEXT));
}

#[test]
fn a_server_sees_nothing_of_what_its_hosts_and_clients_say() {
    let server = Server::open(&["-vvv"]);
    // One between each of them and the server, and one in front of the service, where it has to be seen.
    let (host_side, client_side) = (Forwarder::to(server.address()), Forwarder::to(server.address()));
    let service = Forwarder::to(echo());
    let target = format!("{SERVICE}={}", service.address);
    let url = format!("ws://{}", host_side.address);
    let arguments = ["host", &target, "--json", "--no-stun", "--server", &url, "--id", "myhost", "--pin", PIN];
    let mut host = Pinhole::start("host", &arguments);
    assert!(registered(&mut host).ends_with(PIN));
    let url = format!("ws://{}/ws/myhost", client_side.address);
    let mut client = Client::of(&url, &["--relay-only", "--pin", PIN]);

    let mut stream = crate::common::connect(client.local);
    let text = PLAINTEXT.repeat(TIMES);
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, text);
    client.process.stop();
    host.stop();
    let log = server.stop();

    let [(asked, answered)] = &service.captured()[..] else { panic!("one connection went to the service") };
    assert!(is_in(asked, PLAINTEXT) && is_in(answered, PLAINTEXT));
    let mut conversations = client_side.captured();
    assert_eq!(conversations.len(), 1, "a client that is relayed has one connection");
    conversations.extend(host_side.captured());
    assert_eq!(conversations.len(), 2, "a host has one connection");
    for (to_server, from_server) in &conversations {
        for raw in [to_server, from_server] {
            assert!(raw.len() > text.len(), "{} bytes are not all there was", raw.len());
            let payload = payloads(raw);
            assert!(payload.len() > text.len(), "{} bytes of payload are not all there was", payload.len());
            for secret in [PLAINTEXT, SERVICE, PIN] {
                assert!(!is_in(raw, secret) && !is_in(&payload, secret), "{secret:?} is visible to the server");
            }
        }
        // What the server has to know is there, once it is unmasked.
        assert!(is_in(&payloads(to_server), "myhost"));
        assert!(!is_in(from_server, "myhost"), "nobody has to be told");
    }
    let (_, to_host) = &conversations[1];
    assert!(is_in(&payloads(to_host), r#"{"type":"joined","conversation":1,"#));
    assert!(is_in(log.stdout.as_bytes(), "myhost") && log.stderr.contains("TRACE"), "{log:?}");
    for output in [log.stdout, log.stderr] {
        for secret in [PLAINTEXT, SERVICE, PIN] {
            assert!(!is_in(output.as_bytes(), secret), "{secret:?} is in the log");
        }
    }
}
