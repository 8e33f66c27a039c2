use super::*;
use crate::config::{ControlConfig, ServerAccess, TlsFiles};
use crate::signaling::url::SignalingUrl;

fn server() -> ServerConfig {
    ServerConfig {
        tls: Some(TlsFiles::new("a.pem", "a.key")),
        gateway: Some(GatewayConfig::new("a.example".parse().unwrap())),
        cluster: Some(ClusterConfig {
            peers: vec![SignalingUrl::parse_server("ws://10.0.0.1:7000").unwrap()],
            listen: Some("127.0.0.1:9".parse().unwrap()),
            ..ClusterConfig::new("secret")
        }),
        ..ServerConfig::new(ServerAccess::Tokens("tokens".into()))
    }
}

fn cluster(config: &mut ServerConfig) -> &mut ClusterConfig {
    config.cluster.as_mut().unwrap()
}

#[test]
fn every_setting_counts_at_once_or_is_named() {
    let with = |change: fn(&mut ServerConfig)| {
        let mut config = server();
        change(&mut config);
        config
    };
    let other = "127.0.0.1:1".parse().unwrap();
    let mut listening = server();
    listening.gateway.as_mut().unwrap().listen.push(other);
    let administered = ControlConfig { listen: Some(other), ..ControlConfig::new("a".parse().unwrap()) };
    let cases = [
        (with(|_| {}), "", ""),
        (ServerConfig { listen: other, ..server() }, "", "listen"),
        (with(|config| config.tls = Some(TlsFiles::new("b.pem", "b.key"))), "tls-cert changed", ""),
        (with(|config| config.tls = None), "", "tls-cert"),
        (with(|config| config.access = ServerAccess::Open), "tokens changed", ""),
        (with(|config| config.access = ServerAccess::Tokens("others".into())), "tokens changed", ""),
        (with(|config| config.max_hosts = 9), "max-hosts changed", ""),
        (with(|config| config.max_clients = 9), "max-clients changed", ""),
        (with(|config| config.trusted_proxies.push("10.0.0.0/8".parse().unwrap())), "trusted-proxy changed", ""),
        (with(|config| config.gateway = None), "", "gateway-domain"),
        (with(|config| config.gateway.as_mut().unwrap().domain = "b.example".parse().unwrap()), "", "gateway-domain"),
        (listening, "", "gateway-listen"),
        (ServerConfig { proxy_listen: Some(other), ..server() }, "", "proxy-listen"),
        (ServerConfig { control: Some(administered), ..server() }, "", "admin-listen"),
        (ServerConfig { cluster: None, ..server() }, "", "cluster-secret-file"),
        (with(|config| cluster(config).secret_file = "other".into()), "cluster-secret-file changed", ""),
        (with(|config| cluster(config).peers.clear()), "", "peer"),
        (with(|config| cluster(config).listen = None), "", "peer-listen"),
    ];
    for (number, (wanted, changed, left)) in cases.into_iter().enumerate() {
        let (_, differences) = compare(&server(), wanted);
        let said = (differences.changed.join(", "), differences.left.join(", "));
        assert_eq!(said, (changed.to_owned(), left.to_owned()), "case {number}");
    }
}
