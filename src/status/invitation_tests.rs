//! Tests of what a host's owner is told to pass on.

use super::*;
use crate::address::Target;

pub(in crate::status) fn minecraft() -> Vec<SharedService> {
    vec![SharedService::of(Target { host: "127.0.0.1".into(), port: 25565 })]
}

fn plain(services: &[SharedService]) -> Invitation<'_> {
    Invitation { services, paint: Paint(false), qr: false, address: None }
}

fn invite(addr: &str, pin: &str) -> String {
    let url = with_pin(&format!("ws://{}/ws", addr.replace("0.0.0.0", "127.0.0.1")), pin);
    plain(&minecraft()).text(addr.parse().unwrap(), &url, pin)
}

#[test]
fn a_host_explains_how_to_join() {
    let text = invite("127.0.0.1:43211", "123456");
    let expected = "\
Sharing 127.0.0.1:25565.

  Signaling  127.0.0.1:43211
  Pin        123456

To let somebody join from anywhere, forward the signaling port with VS Code:
  Ports panel → Forward a Port → 43211 → visibility Public → copy the address
They run this, with the copied address in place of <forwarded-address>:
  pinhole client 'wss://<forwarded-address>/ws?pin=123456' 25565

On this machine (0 picks a free port):
  pinhole client 'ws://127.0.0.1:43211/ws?pin=123456' 0
On this network: start it with --listen :43211

Waiting for clients. Ctrl-C ends.";
    assert_eq!(text, expected);
}

#[test]
fn a_host_that_knows_its_address_says_all_of_it() {
    let services = minecraft();
    let urls = ("ws://127.0.0.1:5000/ws?pin=1", "wss://abc-5000.asse.devtunnels.ms/ws?pin=1");
    let expected = "\
Sharing 127.0.0.1:25565.

  Signaling  127.0.0.1:5000, where that address must lead
  Pin        1

To join from anywhere, somebody runs this:
  pinhole client 'wss://abc-5000.asse.devtunnels.ms/ws?pin=1' 25565

On this machine (0 picks a free port):
  pinhole client 'ws://127.0.0.1:5000/ws?pin=1' 0

Waiting for clients. Ctrl-C ends.";
    let local = "127.0.0.1:5000".parse().unwrap();
    assert_eq!(plain(&services).complete(local, urls, "1"), expected);
    let hostile = plain(&services).complete(local, (urls.0, "wss://a/\x1b[31m\u{202e}"), "1");
    assert!(!hostile.contains('\x1b') && !hostile.contains('\u{202e}'), "{hostile}");
}

#[cfg(feature = "cli")]
#[test]
fn a_qr_code_is_of_the_url_that_others_need_or_says_what_is_missing() {
    let services = minecraft();
    let invitation = Invitation { qr: true, ..plain(&services) };
    let code = |url: &str| super::super::qr::lines(url, &Paint(false)).unwrap().join("\n");
    let (local, public) = ("ws://127.0.0.1:5000/ws?pin=1", "wss://abc-5000.asse.devtunnels.ms/ws?pin=1");
    let address = |text: &str| text.parse().unwrap();
    let complete = invitation.complete(address("127.0.0.1:5000"), (local, public), "1");
    assert!(complete.contains(&code(public)), "{complete}");
    for unknown in ["127.0.0.1:5000", "0.0.0.0:5000", "[::]:5000"] {
        let text = invitation.text(address(unknown), local, "1");
        assert!(text.contains("There is no QR code before") && text.contains("--public-url") && !text.contains('█'));
    }
    let lan = "ws://192.0.2.7:5000/ws?pin=1";
    assert!(invitation.text(address("192.0.2.7:5000"), lan, "1").contains(&code(lan)));
    let server = "wss://p.example.org/ws/myhost";
    let entrance = Entrance::new(server, &[]);
    let text = invitation.through_server(&"myhost".parse().unwrap(), &entrance, "1", None);
    assert!(text.contains(&code(&with_pin(server, "1"))), "{text}");
    assert!(invitation.new_pin(WayIn::Url(public), "1").contains(&code(public)));
    let long = format!("wss://a/{}", "b".repeat(500));
    let text = invitation.complete(address("127.0.0.1:5000"), (local, &long), "1");
    assert!(text.contains("There is no QR code: 508 characters are too many for one."), "{text}");
}

#[test]
fn a_host_on_a_network_names_its_address() {
    let text = invite("0.0.0.0:5000", "123456");
    assert!(text.contains("Forward a Port → 5000 →"), "{text}");
    assert!(text.contains("address in it:\n  pinhole client 'ws://<this-machine>:5000/ws?pin=123456' 25565"), "{text}");

    let text = invite("192.0.2.7:5000", "123456");
    assert!(text.contains("Forward a Port → 192.0.2.7:5000 →"), "{text}");
    assert!(
        text.contains("or its network (0 picks a free port):\n  pinhole client 'ws://192.0.2.7:5000/ws?pin=123456' 0"),
        "{text}"
    );
}

#[test]
fn a_host_on_every_address_says_the_complete_command_for_its_network() {
    let services = minecraft();
    let said = |listen: &str, address: &str| {
        let invitation = Invitation { address: Some(address.parse().unwrap()), ..plain(&services) };
        invitation.text(listen.parse().unwrap(), "ws://127.0.0.1:5000/ws?pin=1", "1")
    };
    for (listen, address, url) in [
        ("0.0.0.0:5000", "10.77.0.1", "ws://10.77.0.1:5000/ws?pin=1"),
        ("[::]:5000", "10.77.0.1", "ws://10.77.0.1:5000/ws?pin=1"),
        ("[::]:5000", "2001:db8::1", "ws://[2001:db8::1]:5000/ws?pin=1"),
    ] {
        let text = said(listen, address);
        assert!(text.contains(&format!("On its network:\n  pinhole client '{url}' 25565\n")), "{text}");
        assert!(!text.contains("<this-machine>"), "{text}");
    }
    assert!(said("0.0.0.0:5000", "2001:db8::1").contains("<this-machine>"));
    assert!(!said("127.0.0.1:5000", "10.77.0.1").contains("10.77.0.1"));
}

#[cfg(feature = "cli")]
#[test]
fn the_command_stays_on_the_screen_below_the_code() {
    let services = minecraft();
    let invitation = Invitation { qr: true, ..plain(&services) };
    let (local, public) = ("ws://127.0.0.1:5000/ws?pin=1", "wss://abc-5000.asse.devtunnels.ms/ws?pin=1");
    let entrance = Entrance::new("wss://p.example.org/ws/myhost", &[]);
    for text in [
        invitation.complete("127.0.0.1:5000".parse().unwrap(), (local, public), "1"),
        invitation.through_server(&"myhost".parse().unwrap(), &entrance, "1", None),
        invitation.new_pin(WayIn::Url(public), "1"),
    ] {
        let (code, command) = (text.rfind('▄').unwrap(), text.find("pinhole client 'wss").unwrap());
        assert!(code < command, "{text}");
    }
}

#[test]
fn a_pin_is_encoded_in_commands_only() {
    let text = invite("127.0.0.1:5000", "it's me+&");
    assert!(text.contains("Pin        it's me+&\n"), "{text}");
    assert!(text.contains("'wss://<forwarded-address>/ws?pin=it%27s%20me%2B%26' 25565"), "{text}");
}

#[test]
fn a_privileged_port_is_not_suggested() {
    let target = vec![SharedService::of(Target { host: "db.local".into(), port: 80 })];
    let url = "ws://127.0.0.1:5000/ws?pin=1";
    let text = plain(&target).text("127.0.0.1:5000".parse().unwrap(), url, "1");
    assert!(text.contains("ws?pin=1' 8080\n"), "{text}");
}

#[test]
fn a_replaced_pin_comes_with_the_new_command() {
    let text = plain(&minecraft()).new_pin(WayIn::Unknown(Some("127.0.0.1:5000".parse().unwrap())), "654321");
    let expected = "\
The pin is now 654321: too many wrong ones were tried. Connected clients stay connected.
To join from now on, somebody runs this, with the forwarded address in it:
  pinhole client 'wss://<forwarded-address>/ws?pin=654321' 25565
The forwarded port is still 5000.";
    assert_eq!(text, expected);
}

#[test]
fn a_host_on_a_server_passes_on_the_real_url() {
    let (services, id) = (minecraft(), "myhost".parse().unwrap());
    let invitation = plain(&services);
    let at = |others: &[&str]| {
        let others: Vec<String> = others.iter().map(|other| (*other).to_owned()).collect();
        Entrance::new("wss://p.example.org/ws/myhost?pin=old", &others)
    };
    let alone = at(&[]);
    assert_eq!(alone.server(&id), "wss://p.example.org");
    let expected = "\
Sharing 127.0.0.1:25565.

  Id         myhost
  Pin        a b
  Web        https://myhost.p.example.org (needs no pin)

To join from anywhere, somebody runs this:
  pinhole client 'wss://p.example.org/ws/myhost?pin=a%20b' 25565

Waiting for clients. Ctrl-C ends.";
    assert_eq!(invitation.through_server(&id, &alone, "a b", Some("https://myhost.p.example.org")), expected);
    assert!(!invitation.through_server(&id, &alone, "1", None).contains("Web"));
    let expected = "\
The pin is now 654321: too many wrong ones were tried. Connected clients stay connected.
To join from now on, somebody runs this:
  pinhole client 'wss://p.example.org/ws/myhost?pin=654321' 25565";
    assert_eq!(invitation.new_pin(WayIn::Server(&alone), "654321"), expected);
    let several = at(&["wss://q.example.org", "wss://r.example.org/x y"]);
    let command =
        "'wss://p.example.org/ws/myhost?pin=1' 25565 --server wss://q.example.org --server 'wss://r.example.org/x y'";
    assert!(invitation.through_server(&id, &several, "1", None).contains(command));
    assert!(invitation.new_pin(WayIn::Server(&several), "1").contains(command));
}

#[test]
fn a_host_without_services_says_what_clients_name() {
    let text = plain(&[]).text("127.0.0.1:5000".parse().unwrap(), "ws://127.0.0.1:5000/ws?pin=1", "a-b c");
    assert!(text.starts_with("Sharing no service of its own. Clients name what --allow has"), "{text}");
    assert!(text.contains("?pin=a-b%20c' -L 8080:HOST:PORT\n"), "{text}");
    assert!(text.contains("On this machine:\n  pinhole client 'ws://127.0.0.1:5000/ws?pin=1' -L 8080:HOST:PORT\n"));
}

#[test]
fn several_services_are_listed_and_take_their_own_ports() {
    let mut services = minecraft();
    services.push(SharedService {
        name: "db".into(),
        endpoint: Endpoint::Unix("/run/db.sock".into()),
        proxy_protocol: None,
    });
    let text = plain(&services).text("127.0.0.1:5000".parse().unwrap(), "ws://127.0.0.1:5000/ws?pin=1", "1");
    assert!(text.starts_with("Sharing\n  25565       127.0.0.1:25565\n  db          unix:/run/db.sock\n\n"), "{text}");
    assert!(text.contains("On this machine:\n  pinhole client 'ws://127.0.0.1:5000/ws?pin=1'\n"), "{text}");
}
