//! The arguments of `pinhole check`.

use std::path::PathBuf;

use clap::Args;

use super::choices::{headers, nearest_pin, proxy, stun_servers};
use super::failure::UsageError;
use super::parse;
use crate::config::{CheckConfig, VisitConfig};
use crate::http::proxy::ProxyVariables;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

// No line is longer than 80 columns, where clap would wrap it.
const EXAMPLES: &str = "\
Examples:
  pinhole check                           this machine's network alone
  pinhole check 'wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456'
                                          and a host's: do they get along?
  pinhole check --stun stun.example.org:3478 --json

It ends within seconds. Exit codes: 0 nothing keeps the two sides from
connecting, be it relayed; 1 something does; 2 wrong usage.";

/// Arguments of `pinhole check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArguments {
    /// The URL that the host passed on; without a pin only its signaling is looked at
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// A STUN server to ask instead of Google's, also as stun:HOST; may be given more than once
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "no_stun")]
    pub stun: Vec<String>,
    /// Ask no STUN server: only the host's signaling is looked at
    #[arg(long)]
    pub no_stun: bool,
    /// The pin, if the URL has none; PINHOLE_PIN sets it too
    #[arg(long, value_name = "PIN", requires = "url")]
    pub pin: Option<String>,
    /// A PEM file of certificates to trust instead of the system's: authorities', or the server's own
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
    /// A further header of the WebSocket request; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "url")]
    pub headers: Vec<String>,
    /// Print one JSON object a line on stdout instead of sentences
    #[arg(long)]
    pub json: bool,
}

/// Turns the arguments into settings; `environment` is the pin of `PINHOLE_PIN`.
pub(super) fn settings(
    arguments: CheckArguments,
    environment: Option<Pin>,
    proxies: &ProxyVariables,
) -> Result<CheckConfig, UsageError> {
    let stun = stun_servers(&arguments.stun, arguments.no_stun)?;
    let Some(url) = arguments.url else { return Ok(CheckConfig { stun, visit: None }) };
    let (url, url_pin) = SignalingUrl::parse(&url)?;
    if arguments.ca.is_some() && !url.tls {
        return Err(UsageError::CaWithoutTls);
    }
    let fields = arguments.headers.iter().map(|header| parse::header(header)).collect::<Result<Vec<_>, _>>()?;
    let headers = headers(fields)?;
    let pin = nearest_pin(url_pin, arguments.pin.as_deref(), environment)?;
    let proxy = proxy(&url, proxies)?;
    Ok(CheckConfig { stun, visit: Some(VisitConfig { url, pin, ca: arguments.ca, headers, proxy }) })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::default_stun_servers;
    use crate::http::field::HeaderField;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        check: CheckArguments,
    }

    fn parsed(line: &[&str], environment: Option<&str>) -> Result<CheckConfig, String> {
        let line = Line::try_parse_from([&["check"], line].concat()).map_err(|error| error.to_string())?;
        let proxies = ProxyVariables::read(|name| (name == "ALL_PROXY").then(|| "p.test:3128".into()));
        settings(line.check, environment.and_then(Pin::new), &proxies).map_err(|error| error.to_string())
    }

    #[test]
    fn examples_fit_a_terminal() {
        assert!(EXAMPLES.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn nothing_is_needed() {
        let config = parsed(&[], Some("1")).unwrap();
        assert_eq!(config.stun, default_stun_servers());
        assert!(config.visit.is_none());
        assert!(parsed(&["--no-stun"], None).unwrap().stun.is_empty());
    }

    #[test]
    fn everything_is_taken() {
        let line = ["https://h:1/?pin=7", "--stun", "a:1", "--stun", "[::1]:2", "--ca", "f", "--header", "A: b"];
        let config = parsed(&line, Some("9")).unwrap();
        assert_eq!(config.stun.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "[::1]:2"]);
        let visit = config.visit.unwrap();
        assert_eq!((visit.url.to_string().as_str(), visit.pin.unwrap().reveal()), ("wss://h:1/ws", "7"));
        assert_eq!(visit.headers, [HeaderField::new("A", "b").unwrap()]);
        assert_eq!(visit.proxy.map(|proxy| proxy.host).as_deref(), Some("p.test"));
        let pin = |line: &[&str], environment| parsed(line, environment).unwrap().visit.unwrap().pin;
        assert_eq!(pin(&["ws://h", "--pin", "8"], Some("9")).unwrap().reveal(), "8");
        assert_eq!(pin(&["ws://h"], Some("9")).unwrap().reveal(), "9");
        assert!(pin(&["ws://h"], None).is_none(), "nobody is asked for it");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases: [&[&str]; 8] = [
            &["--pin", "1"],
            &["--ca", "f"],
            &["--header", "A: b"],
            &["--stun", "a:1", "--no-stun"],
            &["--stun", "a"],
            &["ws://h?pin=1", "--pin", "2"],
            &["ws://h", "--ca", "f"],
            &["ftp://h"],
        ];
        for line in cases {
            assert!(parsed(line, None).is_err(), "{line:?}");
        }
    }
}
