use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    server: ServerArguments,
}

fn arguments(line: &[&str]) -> Result<ServerArguments, UsageError> {
    let line = Line::try_parse_from([&["server"], line].concat()).map_err(UsageError::of)?;
    Ok(line.server)
}

fn parsed(line: &[&str]) -> Result<ServerConfig, String> {
    let read = |arguments| settings(arguments, ControlSurroundings::default(), &mut Vec::new());
    arguments(line).and_then(read).map_err(|error| error.to_string())
}

#[test]
fn a_server_has_defaults() {
    let config = parsed(&["--open"]).unwrap();
    let default = ServerConfig::new(ServerAccess::Open);
    assert_eq!(config.listen, default.listen);
    assert_eq!((config.max_hosts, config.max_clients), (10_000, 10_000));
    assert_eq!((config.access, config.tls, config.gateway), (ServerAccess::Open, None, None));
    assert_eq!((config.proxy_listen, config.control), (None, None));
}

#[test]
fn a_server_takes_every_flag() {
    let line = "--listen :443 --tls-cert c.pem --tls-key k.pem --tokens t.toml --max-hosts 1 --max-clients 1000000 \
                --gateway-domain P.Example.ORG. --gateway-listen :80 --gateway-listen [::1]:81 --proxy-listen 1080 \
                --admin-listen localhost:0";
    let config = parsed(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(config.listen, address("[::]:443"));
    assert_eq!(config.tls, Some(TlsFiles { certificate: "c.pem".into(), key: "k.pem".into() }));
    assert_eq!(config.access, ServerAccess::Tokens("t.toml".into()));
    assert_eq!((config.max_hosts, config.max_clients), (1, 1_000_000));
    let listen = vec![address("[::]:80"), address("[::1]:81")];
    assert_eq!(config.gateway, Some(GatewayConfig { domain: "p.example.org".parse().unwrap(), listen }));
    assert_eq!(config.proxy_listen, Some(address("127.0.0.1:1080")));
    let control = config.control.unwrap();
    assert_eq!((control.listen, control.token), (Some(address("127.0.0.1:0")), None));
    assert_eq!(control.name.to_string(), format!("server-{}", std::process::id()));
}

#[test]
fn json_has_two_names() {
    for (line, expected) in [
        (&["--open"][..], false),
        (&["--open", "--log-format", "text"], false),
        (&["--open", "--log-format", "json"], true),
        (&["--open", "--json"], true),
    ] {
        assert_eq!(arguments(line).unwrap().wants_json(), expected, "{line:?}");
    }
    for line in [&["server", "--json", "--log-format", "text"][..], &["server", "--log-format", "xml"]] {
        assert_eq!(Line::try_parse_from(line).unwrap_err().exit_code(), 2, "{line:?}");
    }
}

#[test]
fn wrong_usage_says_what_to_do() {
    let cases: [(&[&str], &str); 18] = [
        (&[], "nobody may register; give --tokens FILE with who may, or --open to let anybody in"),
        (&["--open", "--tokens", "f"], "--open lets anybody in, whatever --tokens says; leave one of them out"),
        (&["--open", "--tls-cert", "f"], "--tls-cert is one half of TLS; add --tls-key, or leave both"),
        (&["--open", "--tls-key", "f"], "--tls-key is one half of TLS; add --tls-cert, or leave both"),
        (&["--open", "--gateway-listen", ":80"], "--gateway-listen is for published services; add --gateway-domain"),
        (&["--open", "--listen", "example.org:80"], "--listen 'example.org:80': only addresses of this machine"),
        (&["--open", "--listen", "::1"], "--listen '::1': an IPv6 address needs brackets"),
        (
            &["--open", "--listen", ":65536"],
            "--listen ':65536': the port is not a number from 0 to 65535; give an address",
        ),
        (&["--open", "--proxy-listen", ""], "--proxy-listen '': nothing is given; give an address"),
        (&["--open", "--admin-listen", "x"], "--admin-listen 'x': it has no port number"),
        (&["--open", "--max-hosts", "0"], "--max-hosts '0': it is not between 1 and 1000000; give a whole number"),
        (&["--open", "--max-clients", "-1"], "--max-clients '-1': it is not between 1 and 1000000"),
        (&["--open", "--max-clients", "1000001"], "--max-clients '1000001': "),
        (&["--open", "--gateway-domain", ""], "--gateway-domain '': that is not the name of a domain; give the name"),
        (&["--open", "--gateway-domain", "127.0.0.1"], "--gateway-domain '127.0.0.1': that is an address, and"),
        (&["--open", "--gateway-domain", "bücher.example"], "--gateway-domain 'bücher.example': a name with letters"),
        (&["--open", "--admin-listen", "0.0.0.0:8080"], "0.0.0.0:8080 is to be listened on for two things; give each"),
        (
            &["--open", "--gateway-domain", "a.b", "--gateway-listen", ":80", "--gateway-listen", ":80"],
            "[::]:80 is to be listened on for two things",
        ),
    ];
    for (line, expected) in cases {
        let error = parsed(line).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(parsed(&["--open", "--proxy-listen", "0", "--admin-listen", "0"]).is_ok(), "0 is another port each time");
}

#[test]
fn several_servers_prove_that_they_belong_together() {
    let config =
        parsed(&["--open", "--cluster-secret-file", "s", "--peer", "wss://a.example.org", "--peer-listen", ":7000"]);
    let cluster = config.unwrap().cluster.unwrap();
    assert_eq!((cluster.secret_file, cluster.peers.len()), (PathBuf::from("s"), 1));
    assert_eq!(cluster.listen, Some("[::]:7000".parse().unwrap()));
    let wrong = [
        (&["--open", "--peer", "ws://a"][..], "add --cluster-secret-file"),
        (&["--open", "--peer-listen", "7000"], "add --cluster-secret-file"),
        (&["--open", "--cluster-secret-file", "s"], "add --peer with another's URL, or --peer-listen"),
        (&["--open", "--cluster-secret-file", "s", "--directory", "redis://a"], "add --advertise"),
        (
            &["--open", "--cluster-secret-file", "s", "--directory", "redis://a", "--advertise", "ws://b"],
            "--peer-listen",
        ),
        (&["--open", "--cluster-secret-file", "s", "--peer-listen", "7000", "--advertise", "ws://b"], "--directory"),
        (&["--open", "--cluster-secret-file", "s", "--directory", "http://:secret@a"], "redis:// or rediss://"),
        (&["--open", "--directory", "redis://a", "--peer-listen", "7000", "--advertise", "ws://b"], "cluster-secret"),
        (&["--open", "--cluster-secret-file", "s", "--listen", "7000", "--peer-listen", "7000"], "two things"),
    ];
    for (line, expected) in wrong {
        let said = parsed(line).unwrap_err();
        assert!(said.contains(expected), "{line:?}: {said}");
    }
}
