use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> (String, Option<String>) {
    let (url, pin) = SignalingUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    (url.to_string(), pin.map(|pin| pin.reveal().to_string()))
}

#[test]
fn a_url_that_a_terminal_wrapped_is_joined() {
    let (url, pin) = SignalingUrl::parse("ws://127.0.0.1:\r\n  4711/ws?pin=\n123456\n").unwrap();
    assert_eq!(url.to_string(), "ws://127.0.0.1:4711/ws");
    assert_eq!(pin, Pin::new("123456"));
}

#[test]
fn what_people_paste_is_understood() {
    let cases = [
        ("wss://abc-5000.asse.devtunnels.ms/ws?pin=123456", "wss://abc-5000.asse.devtunnels.ms/ws"),
        ("  \"https://abc-5000.asse.devtunnels.ms/?pin=123456\"\r\n", "wss://abc-5000.asse.devtunnels.ms/ws"),
        ("<https://abc-5000.asse.devtunnels.ms?pin=123456>", "wss://abc-5000.asse.devtunnels.ms/ws"),
        ("abc-5000.devtunnels.ms?pin=123456", "wss://abc-5000.devtunnels.ms/ws"),
        ("HTTPS://ABC.Example:443/?pin=123456", "wss://abc.example/ws"),
        ("abc.example:8443?pin=123456", "wss://abc.example:8443/ws"),
        ("http://abc.example:80/ws/myhost?pin=123456", "ws://abc.example/ws/myhost"),
        ("http://abc.example:443/ws/?pin=123456", "ws://abc.example:443/ws"),
        ("localhost:5000?pin=123456", "ws://localhost:5000/ws"),
        ("127.0.0.1:5000/?pin=123456", "ws://127.0.0.1:5000/ws"),
        ("192.168.1.7:5000/?pin=123456", "ws://192.168.1.7:5000/ws"),
        ("[::1]:5000?pin=123456", "ws://[::1]:5000/ws"),
        ("[2001:DB8::0:1]?pin=123456", "ws://[2001:db8::1]/ws"),
        ("wss://[::1]/?pin=123456", "wss://[::1]/ws"),
        ("wss://a.b/ws?pin=123456#section", "wss://a.b/ws"),
        ("a.b/ws?x=http://c.d/&pin=123456", "wss://a.b/ws?x=http://c.d/"),
        ("wss://a.b/ws?x=1&pin=123456&y=%20&z", "wss://a.b/ws?x=1&y=%20&z"),
        ("wss://a.b/?PIN=123456&p%69n=123456&", "wss://a.b/ws"),
        ("wss://a.b/é|?pin=123456", "wss://a.b/%C3%A9%7C"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), (expected.to_string(), Some("123456".to_string())), "{text}");
    }
}

#[test]
fn an_invitation_is_taken_out_of_the_request_and_kept_in_the_text() {
    let cases = [
        ("wss://a.b/ws?invite=k3&pin=123456", "wss://a.b/ws?invite=k3", "/ws"),
        ("wss://a.b/ws?pin=123456&invite=k3", "wss://a.b/ws?invite=k3", "/ws"),
        ("wss://a.b?pin=123456&invite=k3/", "wss://a.b/ws?invite=k3", "/ws"),
        ("wss://a.b/ws?x=1&INVITE=k3&pin=123456&y=2", "wss://a.b/ws?x=1&y=2&invite=k3", "/ws?x=1&y=2"),
        ("wss://a.b/ws?%69nvite=%6b3&pin=123456&invite=k3&invite=", "wss://a.b/ws?invite=k3", "/ws"),
        ("wss://https://a.b/?x=1/ws?invite=k3&pin=123456", "wss://a.b/ws?x=1&invite=k3", "/ws?x=1"),
        ("pinhole client 'a.b?invite=k3&pin=123456' 80", "wss://a.b/ws?invite=k3", "/ws"),
    ];
    for (text, expected, request) in cases {
        assert_eq!(parse(text), (expected.to_owned(), Some("123456".to_owned())), "{text}");
        let (url, pin) = SignalingUrl::parse(text).unwrap();
        assert_eq!((url.path(), url.invitation().map(InvitationId::as_str)), (request, Some("k3")), "{text}");
        assert_eq!(SignalingUrl::parse(&url.with_pin(&pin.clone().unwrap())), Ok((url, pin)));
    }
    let url = |text| SignalingUrl::parse(text).map(|(url, _)| url.invitation().cloned());
    assert_eq!(url("wss://a.b/ws?invite=&pin=1"), Ok(None));
    assert_eq!(url("wss://a.b/ws?invite=K3"), Err(UrlError::Invitation));
    assert_eq!(url("wss://a.b/ws?invite=k3&invite=k4"), Err(UrlError::TwoInvitations));
}

/// What people make of the printed `wss://<forwarded-address>/ws?pin=…`, and what browsers, shells and chats do to a
/// URL.
#[test]
fn what_is_filled_into_a_printed_url_is_understood() {
    let cases = [
        ("wss://https://a.b/ws?pin=123456", "wss://a.b/ws"),
        ("wss://https://a.b//ws?pin=123456", "wss://a.b/ws"),
        ("wss://http://127.0.0.1:5000/ws?pin=123456", "ws://127.0.0.1:5000/ws"),
        ("ws://HTTPS://a.b:8443/ws/?pin=123456", "wss://a.b:8443/ws"),
        ("wss://wss://https://a.b/ws?pin=123456", "wss://a.b/ws"),
        ("https://a.b//ws//?pin=123456", "wss://a.b/ws"),
        ("https://a.b///?pin=123456", "wss://a.b/ws"),
        ("//a.b/?pin=123456", "wss://a.b/ws"),
        ("wss://<a.b>/ws?pin=123456", "wss://a.b/ws"),
        ("wss://<https://a.b/>/ws?pin=123456", "wss://a.b/ws"),
        ("wss://\"a.b\"/ws?pin=123456", "wss://a.b/ws"),
        ("wss://<localhost>/ws?pin=123456", "wss://localhost/ws"),
        ("wss://https://a.b/ws/ws?pin=123456", "wss://a.b/ws"),
        ("wss://https://a.b/?pin=123456/ws?pin=123456", "wss://a.b/ws"),
        ("wss://https://a.b/ws?pin=123456/ws?pin=123456", "wss://a.b/ws"),
        ("https://a.b/ws?pin=123456/", "wss://a.b/ws"),
        ("https://a.b/ws?x=1&amp;pin=123456", "wss://a.b/ws?x=1"),
        ("https://a.b/ws\\?pin\\=123456", "wss://a.b/ws"),
        ("\u{feff}https://a.b/ws?pin=12\u{200b}3456", "wss://a.b/ws"),
        ("https://a.b//ws//myhost/?pin=123456", "wss://a.b/ws/myhost"),
        ("https://a.b/p//ws/?pin=123456", "wss://a.b/p/ws"),
        ("https://a.b/tunnel/?pin=123456", "wss://a.b/tunnel/"),
        ("pinhole client 'wss://a.b/ws?pin=123456' 25565", "wss://a.b/ws"),
        ("./pinhole client \"https://a.b?pin=123456\" web=0 -D 1080", "wss://a.b/ws"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), (expected.to_string(), Some("123456".to_string())), "{text}");
    }
}

#[test]
fn what_is_left_in_a_printed_url_is_named() {
    for text in [
        "wss://<forwarded-address>/ws?pin=1",
        "wss://<this address>/ws?pin=1",
        "<forwarded-address>?pin=1",
        "wss://https://<forwarded-address>/ws?pin=1",
        "ws://<this-machine>:8080/ws/blog?pin=1",
    ] {
        assert_eq!(SignalingUrl::parse(text), Err(UrlError::Placeholder), "{text}");
    }
    for text in ["wss://a.b/ws?pin=<pin>", "\"wss://a.b/ws?pin=<pin>\"", "wss://a.b/ws?x=1&pin=<PIN>&y"] {
        assert_eq!(SignalingUrl::parse(text), Err(UrlError::PinPlaceholder), "{text}");
    }
    for text in
        ["wss:/a.b", "wss:a.b", "https:/a.b/ws", "https//a.b/ws?pin=1", "wss://https//a.b", "wss://https:/a.b/ws"]
    {
        assert_eq!(SignalingUrl::parse(text), Err(UrlError::Scheme), "{text}");
    }
    for text in ["https://a.b/?pin=1/ws?pin=2", "https://a.b/?pin=1?pin=2"] {
        assert_eq!(SignalingUrl::parse(text), Err(UrlError::TwoPins), "{text}");
    }
    // A host may have such a name, and a pin may contain such characters.
    assert_eq!(parse("ws://http:5000/ws"), ("ws://http:5000/ws".to_owned(), None));
    assert_eq!(parse("ws://wss/ws").0, "ws://wss/ws");
    assert_eq!(parse("a.b?pin=a<b>c?d/").1.as_deref(), Some("a<b>c?d/"));
}

#[test]
fn pins_are_decoded() {
    let cases = [
        ("a.b", None),
        ("a.b?pin=", None),
        ("a.b?pin", None),
        ("a.b?pinned=1", None),
        ("a.b?pin=&pin=1", Some("1")),
        ("a.b?pin=1&pin=1", Some("1")),
        ("a.b?pin=a+b", Some("a+b")),
        ("a.b?pin=a%20b%26%c3%a9", Some("a b&é")),
        ("a.b?pin=é=%zz", Some("é=%zz")),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).1.as_deref(), expected, "{text}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let cases = [
        ("", UrlError::Empty),
        (" '' ", UrlError::Empty),
        ("wss://a.b/ws ?pin=1", UrlError::Space),
        ("wss://a.b/\u{7f}", UrlError::Space),
        ("ftp://a.b/", UrlError::Scheme),
        ("://a.b/", UrlError::Scheme),
        ("wss:/a.b", UrlError::Scheme),
        ("wss:a.b", UrlError::Scheme),
        ("wss://me:secret@a.b/", UrlError::UserInfo),
        ("wss:///ws", UrlError::NoHost),
        ("wss://:5000/ws", UrlError::NoHost),
        ("?pin=1", UrlError::NoHost),
        ("wss://a,b/", UrlError::Host),
        ("wss://a.b&pin=1", UrlError::Host),
        ("wss://bücher.example/", UrlError::Host),
        ("wss://../", UrlError::Host),
        ("wss://a..b/", UrlError::Name),
        ("wss://a-.b/", UrlError::Name),
        ("wss://-a/", UrlError::Name),
        ("wss://127.1/", UrlError::Name),
        ("::1", UrlError::Ipv6),
        ("wss://[::1", UrlError::Ipv6),
        ("wss://[127.0.0.1]", UrlError::Ipv6),
        ("wss://[fe80::1%eth0]", UrlError::Ipv6),
        ("wss://[::1]5000", UrlError::Port),
        ("wss://a.b:0", UrlError::Port),
        ("wss://a.b:65536", UrlError::Port),
        ("wss://a.b:+80", UrlError::Port),
        ("wss://a.b:", UrlError::Port),
        ("wss://a.b/ws&pin=123456", UrlError::PinInPath),
        ("wss://a.b?pin=1&pin=2", UrlError::TwoPins),
        ("wss://a.b?pin=%ff", UrlError::PinEncoding),
    ];
    for (text, expected) in cases {
        let error = SignalingUrl::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(error.to_string().ends_with("wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456"));
    }
    assert_eq!(SignalingUrl::parse(&"a".repeat(MAX_LEN + 1)), Err(UrlError::TooLong));
    assert_eq!(SignalingUrl::parse(&"a".repeat(MAX_LABEL + 1)), Err(UrlError::Name));
    assert_eq!(SignalingUrl::parse(&"a.".repeat(MAX_NAME)), Err(UrlError::Name));
    let path = |length: usize| format!("ws://a/{}", "b".repeat(length));
    assert!(
        SignalingUrl::parse(&path(MAX_PATH - 1)).is_ok() && SignalingUrl::parse_server(&path(MAX_PATH - 1)).is_ok()
    );
    assert_eq!(SignalingUrl::parse(&path(MAX_PATH)), Err(UrlError::TooLong));
    assert_eq!(SignalingUrl::parse_server(&path(MAX_PATH)), Err(UrlError::TooLong));
}

#[test]
fn a_server_is_the_base_of_its_endpoints() {
    let id: HostId = "myhost".parse().unwrap();
    let cases = [
        ("wss://p.example.org", "wss://p.example.org"),
        ("https://p.example.org/", "wss://p.example.org"),
        ("p.example.org/ws", "wss://p.example.org"),
        ("ws://127.0.0.1:8080/ws/?", "ws://127.0.0.1:8080"),
        ("<http://[::1]:80//>", "ws://[::1]"),
        ("https://example.org/p/", "wss://example.org/p"),
        ("https://example.org/p/q/ws#x", "wss://example.org/p/q"),
        ("https://example.org/news", "wss://example.org/news"),
        ("https://example.org/é", "wss://example.org/%C3%A9"),
    ];
    for (text, base) in cases {
        let server = SignalingUrl::parse_server(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(server.to_string(), base, "{text}");
        assert_eq!(server.host_endpoint().to_string(), format!("{base}/host"));
        let client = server.client_endpoint(&id);
        assert_eq!(client.to_string(), format!("{base}/ws/myhost"));
        assert_eq!(SignalingUrl::parse(&client.to_string()), Ok((client, None)));
    }
    for text in ["wss://p/ws?pin=1", "wss://p?pin=", "wss://p?a=b", "wss://p/ws&pin=1"] {
        assert_eq!(SignalingUrl::parse_server(text), Err(UrlError::ServerQuery), "{text}");
    }
    assert_eq!(SignalingUrl::parse_server("ftp://p"), Err(UrlError::Scheme));
    assert_eq!(SignalingUrl::parse_server(" "), Err(UrlError::Empty));
}

#[test]
fn authority_is_what_a_host_header_wants() {
    let authority = |text: &str| SignalingUrl::parse(text).unwrap().0.authority();
    assert_eq!(authority("wss://a.b:443"), "a.b");
    assert_eq!(authority("wss://a.b:80"), "a.b:80");
    assert_eq!(authority("ws://[::1]:80"), "[::1]");
    assert_eq!(authority("ws://[::1]:5000"), "[::1]:5000");
}

proptest! {
    #[test]
    fn parsing_never_panics_and_is_stable(text in any::<String>()) {
        if let Ok((url, _)) = SignalingUrl::parse(&text) {
            prop_assert_eq!(SignalingUrl::parse(&url.to_string()), Ok((url, None)));
        }
    }

    #[test]
    fn servers_are_stable(text in "(wss?://)?[a-z0-9.:\\[\\]-]{0,9}[/wspiné?#=%]{0,12}") {
        if let Ok(server) = SignalingUrl::parse_server(&text) {
            prop_assert!(!server.path.ends_with('/') && server.path.is_ascii());
            prop_assert!(server.host_endpoint().path.starts_with('/'));
            let parsed = SignalingUrl::parse_server(&server.host_endpoint().to_string());
            prop_assert_eq!(parsed.map(|url| url.path), Ok(format!("{}/host", server.path)));
        }
    }

    #[test]
    fn what_looks_like_a_url_never_panics_and_is_stable(text in "(wss?://|https?://)?[a-z0-9.:@\\[\\]-]{0,9}[/?#&=%pinéA-F+|]{0,20}") {
        if let Ok((url, _)) = SignalingUrl::parse(&text) {
            prop_assert!(url.path.starts_with('/') && url.path.is_ascii());
            prop_assert_eq!(SignalingUrl::parse(&url.to_string()), Ok((url, None)));
        }
    }

    #[test]
    fn pins_round_trip(
        pin in ".+",
        tls in any::<bool>(),
        host in "[a-z]([a-z0-9-]{0,9}[a-z0-9])?(\\.[a-z_]([a-z0-9-]{0,9}[a-z0-9])?){0,2}",
        port in 1..=u16::MAX,
        path in "/[a-z]{1,5}(/[a-z]{1,5})?(\\?[a-h]{1,3}=[a-z%0-9]{0,5})?",
        invitation in proptest::option::of("[a-z0-9-]{1,16}"),
    ) {
        let invitation = invitation.map(|id| id.parse().unwrap());
        let url = SignalingUrl { tls, host, port, path, invitation };
        let pin = Pin::new(pin);
        let text = url.with_pin(pin.as_ref().unwrap());
        prop_assert_eq!(SignalingUrl::parse(&text), Ok((url, pin)));
    }
}
