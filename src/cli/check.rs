//! The arguments of `pinhole check`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::choices::{self, OUTPUT_HELP, PROXY_HELP};
use super::client::ClientArguments;
use super::failure::UsageError;
use super::parse::{self, HostUrl};
use super::secrets::PIN;
use crate::address::Target;
use crate::config::{CheckConfig, VisitConfig};
use crate::http::field::HeaderField;
use crate::http::proxy::ProxyVariables;
use crate::signaling::pin::Pin;

// No line is longer than 80 columns, where clap would wrap it.
pub(super) const EXAMPLES: &str = "\
Examples:
  pinhole check                           this machine's network alone
  pinhole check 'wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456'
                                          and a host's: do they get along?
  pinhole check nas                       that of a host that was saved
  pinhole check --stun stun.example.org:3478 --json

It ends within seconds: with exit code 0 if nothing keeps the two sides from
connecting, be it relayed, and with 1 if something does.";

pub(super) const ENVIRONMENT: &str = "\
Environment:
  PINHOLE_PIN           the pin, if neither the URL nor --pin gives it";

/// Arguments of `pinhole check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n{PROXY_HELP}\n{OUTPUT_HELP}"))]
pub struct CheckArguments {
    /// The URL that the host printed, or the name of a saved host
    ///
    /// With the pin, the host tells about its network, and the check says what both networks mean together. The host
    /// does not count the visit as a session. Without a pin only its signaling is looked at.
    #[arg(value_name = "URL", value_parser = parse::host_url)]
    pub url: Option<HostUrl>,
    /// The pin, if the URL has none [env: PINHOLE_PIN]
    ///
    /// It is not asked for.
    #[arg(long, value_name = "PIN", requires = "url", value_parser = parse::pin)]
    pub pin: Option<Pin>,
    /// A file with the pin in its first line
    #[arg(long, value_name = "FILE", requires = "url")]
    pub pin_file: Option<PathBuf>,
    /// A STUN server to ask instead of Google's (repeatable)
    ///
    /// HOST:PORT, stun:HOST:PORT, or stun:HOST for port 3478. Without this, stun.l.google.com:19302 and
    /// stun1.l.google.com:19302 are asked.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "no_stun", value_parser = parse::stun_server)]
    pub stun: Vec<Target>,
    /// Ask no STUN server: only the host's signaling is looked at
    #[arg(long)]
    pub no_stun: bool,
    /// A PEM file of certificates to trust instead of the system's
    ///
    /// They are those of authorities, or the host's own. For wss:// only.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
    /// A further header of the signaling request (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "url", value_parser = parse::header)]
    pub headers: Vec<HeaderField>,
    /// Print one JSON object a line on stdout instead of sentences
    #[arg(long)]
    pub json: bool,
}

/// Turns the arguments into settings; `environment` is the value of `PINHOLE_PIN`.
pub(super) fn settings(
    arguments: CheckArguments,
    environment: Option<OsString>,
    proxies: &ProxyVariables,
) -> Result<CheckConfig, UsageError> {
    let stun = choices::stun_servers(arguments.stun, arguments.no_stun);
    let Some((url, url_pin)) = arguments.url else { return Ok(CheckConfig { stun, visit: None }) };
    let ca = choices::ca(arguments.ca, [&url])?;
    let headers = choices::headers(arguments.headers)?;
    let environment = if url_pin.is_some() { None } else { environment };
    let pin = PIN.pick(arguments.pin, arguments.pin_file.as_deref(), environment, &mut Vec::new())?;
    let pin = choices::nearest_pin(url_pin, pin)?;
    let proxy = choices::proxy(&url, proxies)?;
    Ok(CheckConfig { stun, visit: Some(VisitConfig { url, pin, ca, headers, proxy }) })
}

impl CheckArguments {
    /// Returns what is asked of the host that was saved with these arguments of a client.
    pub(super) fn of_saved(client: ClientArguments) -> CheckArguments {
        let ClientArguments { url, pin, pin_file, ca, headers, reach, json, .. } = client;
        CheckArguments { url: Some(url), pin, pin_file, stun: reach.stun, no_stun: reach.no_stun, ca, headers, json }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::default_stun_servers;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        check: CheckArguments,
    }

    fn parsed(line: &[&str], environment: Option<&str>) -> Result<CheckConfig, String> {
        let line = Line::try_parse_from([&["check"], line].concat());
        let line = line.map_err(|error| UsageError::of(error).to_string())?;
        let proxies = ProxyVariables::read(|name| (name == "ALL_PROXY").then(|| "p.test:3128".into()));
        settings(line.check, environment.map(OsString::from), &proxies).map_err(|error| error.to_string())
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
        assert_eq!(visit.headers, ["A: b".parse().unwrap()]);
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
