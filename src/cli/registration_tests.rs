use super::super::command::{Command, Surroundings};
use super::super::line::parse;
use super::*;
use crate::cli::failure::Failure;
use crate::config::{DEFAULT_HOST_LISTEN, HostConfig};

/// Parses the arguments of a host, with the value of the variable and a proxy for TLS.
fn host_with(line: &[&str], token: Option<OsString>, proxy: Option<&str>) -> Result<HostConfig, String> {
    let proxies = ProxyVariables::read(|name| proxy.filter(|_| name == "HTTPS_PROXY").map(Into::into));
    let surroundings = Surroundings { token, proxies, ..Surroundings::default() };
    match parse([&["pinhole", "host"], line].concat(), surroundings).map(|parsed| parsed.command) {
        Ok(Command::Host(config, _)) => Ok(config),
        Ok(other) => panic!("{other:?}"),
        Err(failure @ Failure::Usage { .. }) => Err(failure.to_string()),
        Err(other) => panic!("{line:?}: {other}"),
    }
}

fn host(line: &str) -> Result<HostConfig, String> {
    host_with(&line.split(' ').collect::<Vec<_>>(), None, None)
}

fn registered(line: &str) -> Registration {
    host(line).unwrap().server.unwrap()
}

#[test]
fn a_name_on_a_server_is_enough() {
    let config = host("80 --server wss://p.example.org/ws --id my-host").unwrap();
    assert_eq!(config.listen, None, "clients come through the server");
    let server = config.server.unwrap();
    assert_eq!(server.server.to_string(), "wss://p.example.org");
    assert_eq!(server.id.as_str(), "my-host");
    assert!(server.token.is_none() && server.public.is_none() && !server.dial);
    assert!(server.ca.is_none() && server.headers.is_empty() && server.proxy.is_none());

    let listen = |line: &str| host(line).unwrap().listen.map(|listen| listen.to_string());
    assert_eq!(listen("80 --server ws://p --id abc --listen 0").as_deref(), Some("127.0.0.1:0"));
    assert_eq!(host("80").unwrap().listen, Some(DEFAULT_HOST_LISTEN));
    assert!(host("80").unwrap().server.is_none());
}

#[test]
fn further_servers_are_of_the_same_cluster() {
    let line = ["80", "--server", "wss://a.test/ws", "--server", "ws://b.test:81/p/", "--server=wss://c", "--id=abc"];
    let server = host_with(&line, None, Some("proxy.test:3128")).unwrap().server.unwrap();
    let servers: Vec<(String, bool)> =
        server.servers().map(|(url, proxy)| (url.to_string(), proxy.is_some())).collect();
    let expected = [("wss://a.test", true), ("ws://b.test:81/p", false), ("wss://c", true)];
    assert_eq!(servers, expected.map(|(url, is_proxied)| (url.to_owned(), is_proxied)));
    let with_ca = registered("80 --server ws://a --server wss://b --id abc --ca f");
    assert!(with_ca.ca.is_some(), "one of them has TLS");
}

#[test]
fn every_flag_is_taken() {
    let line = [
        "80",
        "web=unix:/run/web.sock",
        "--allow",
        "10.0.0.0/8:80",
        "--server",
        "https://p.example.org:8443/base",
        "--id",
        "abc",
        "--token",
        "secret",
        "--public",
        "web",
        "--public-auth",
        "me:p:w",
        "--server-dial",
        "--ca",
        "ca.pem",
        "--header",
        "A: b",
    ];
    let config = host_with(&line, Some("other".into()), Some("proxy.test:3128")).unwrap();
    let server = config.server.unwrap();
    assert_eq!(server.server.host_endpoint().to_string(), "wss://p.example.org:8443/base/host");
    assert_eq!(server.token, "secret".parse().ok(), "the flag is nearer than the variable");
    let public = server.public.as_ref().unwrap();
    assert_eq!(config.services[public.service].name, "web");
    assert!(public.auth.as_ref().unwrap().are(b"me", b"p:w"));
    assert!(server.dial);
    assert_eq!(server.ca.as_deref(), Some(std::path::Path::new("ca.pem")));
    assert_eq!(server.headers, ["A: b".parse().unwrap()]);
    assert_eq!(server.proxy.map(|proxy| (proxy.host, proxy.port)), Some(("proxy.test".to_owned(), 3128)));
}

#[test]
fn a_service_without_a_name_is_published_by_its_port() {
    let server = registered("8080 --server ws://p --id abc --public 8080");
    assert_eq!(server.public.unwrap().service, 0);
}

#[test]
fn the_environment_has_a_token() {
    let line = ["80", "--server", "ws://p", "--id", "abc"];
    let token = |value: Option<OsString>| host_with(&line, value, None).map(|config| config.server.unwrap().token);
    assert_eq!(token(Some("t".into())), Ok("t".parse().ok()));
    assert_eq!(token(Some("".into())), Ok(None));
    assert_eq!(token(None), Ok(None));
    let error = token(Some("my secret".into())).unwrap_err();
    assert!(error.starts_with("PINHOLE_TOKEN: a token has 1 to 256 printable ASCII characters and no spaces; "));
    assert!(!error.contains("secret"), "{error}");
    assert!(host_with(&["80"], Some("my secret".into()), None).is_ok(), "without a server it means nothing");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let error = token(Some(OsString::from_vec(vec![0xff]))).unwrap_err();
        assert!(error.starts_with("PINHOLE_TOKEN is not UTF-8; set it to"), "{error}");
    }
}

#[test]
fn wrong_usage_says_what_to_do() {
    let to_a_server = "--server wss://p --id abc";
    let cases = [
        ("80 --server wss://p", "--server needs a name for this host; add --id, for example my-host"),
        ("80 --server ftp://p --id abc", "--server: the URL must begin with wss:// or ws://; a right one looks like"),
        ("80 --server wss://p?pin=1 --id abc", "--server: the URL of a server has no pin and nothing else after a"),
        ("80 --id abc", "--id is for a host on a server; add --server URL, for example wss://p.example.org, or leave"),
        ("80 --token t", "--token is for a host on a server; "),
        ("80 --public 80", "--public is for a host on a server; "),
        ("80 --public-auth a:b", "--public-auth is for a host on a server; "),
        ("80 --public-auth-file f", "--public-auth-file is for a host on a server; "),
        ("80 --server-dial", "--server-dial is for a host on a server; "),
        ("80 --ca f", "--ca is for a host on a server; "),
        ("80 --header A:b", "--header is for a host on a server; "),
        ("80 --server wss://p --id Abc", "--id 'Abc': an id has 3 to 63 of a to z, 0 to 9 and hyphen, and no hyphen"),
        ("80 S --token ä", "--token: a token has 1 to 256 printable ASCII characters and no spaces; give one that"),
        ("80 web=81 S --public www", "--public 'www': no service has that name; there are 80, web; name a TCP or"),
        ("udp:53 S --public 53", "--public '53': it is a UDP service, and its visitors would speak HTTP; name a"),
        ("--allow a:1 S --public web", "--public 'web': nothing is shared that could be published; name a"),
        ("8000-8020 S --public web", "--public 'web': no service has that name; there are 8000, 8001, 8002, "),
        ("80 S --public-auth a:b", "--public-auth is for a published service; add --public NAME, or leave"),
        ("80 S --public 80 --public-auth ab", "--public-auth: there is no colon between user name and password; give"),
        ("80 S --public 80 --public-auth a:b --public-auth-file f", "--public-auth and --public-auth-file both say"),
        ("80 S --public-auth-file f", "--public-auth is for a published service; add --public NAME, or leave"),
        ("80 S --public 80 --public-auth-file /no/f", "--public-auth-file: cannot read /no/f: "),
        ("80 S --server-dial", "--server-dial is about what --allow has, and that is nothing; add --allow, or leave"),
        ("80 --server ws://p --id abc --ca f", "--ca is for wss:// URLs, and a ws:// URL has no TLS to check; "),
        ("80 S --header A", "--header 'A': it has no colon; give"),
    ];
    for (line, expected) in cases {
        let error = host(&line.replace('S', to_a_server)).unwrap_err();
        assert!(error.starts_with(expected), "{line}: {error}");
        assert!(error.len() < 400 && !error.contains('\n'), "{error}");
    }
    let line = ["80", "--server", "wss://p.test", "--id", "abc"];
    let error = host_with(&line, None, Some("socks5://p.test")).unwrap_err();
    assert!(error.starts_with("HTTPS_PROXY names a proxy of the kind socks5://"), "{error}");
}
