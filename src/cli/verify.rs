//! What `pinhole verify` says of a file that is right.

use super::command::Command;
use crate::config::{ClientConfig, HostConfig};
#[cfg(feature = "server")]
use crate::config::{ServerAccess, ServerConfig};

/// Most services that are named.
const MAX_NAMED: usize = 8;

/// Says in a sentence what a file is. `is_pin_missing` tells that neither it nor the environment has the pin.
pub(super) fn sentence(file: &str, command: &Command, is_pin_missing: bool) -> String {
    let what = match command {
        Command::Host(config, _) => host(config),
        Command::Client(config, ..) => client(config, is_pin_missing),
        #[cfg(feature = "server")]
        Command::Server(config, _) => server(config),
        // No file says these.
        Command::Check(..) | Command::Demo(_) | Command::Document(..) | Command::Print(_) => String::new(),
        #[cfg(unix)]
        Command::Install(_) | Command::Uninstall(_) => String::new(),
    };
    format!("{file} is right: {what}\n")
}

fn host(config: &HostConfig) -> String {
    let mut named: Vec<String> = config.services.iter().take(MAX_NAMED).map(|service| service.name.clone()).collect();
    match config.services.len() {
        0 => named.push("what it allows".to_owned()),
        count if count > MAX_NAMED => named.push(format!("{} more", count - MAX_NAMED)),
        _ => {}
    }
    let place = match (&config.server, &config.listen) {
        (Some(server), _) => format!("reached as {} through {}", server.id, server.server),
        (None, Some(listen)) => format!("whose signaling listens at {listen}"),
        (None, None) => "without signaling".to_owned(),
    };
    format!("it is a host of {}, {place}", list(&named))
}

fn client(config: &ClientConfig, is_pin_missing: bool) -> String {
    let count = config.forwards.len() + config.reverse.len() + config.dynamic.len();
    let forwards = if count == 1 { "1 forward".to_owned() } else { format!("{count} forwards") };
    let pin = if is_pin_missing { "; PINHOLE_PIN has to give the pin, or a person at a terminal" } else { "" };
    format!("it is a client of {} with {forwards}{pin}", config.url)
}

#[cfg(feature = "server")]
fn server(config: &ServerConfig) -> String {
    let who = match &config.access {
        ServerAccess::Open => "anybody may register".to_owned(),
        ServerAccess::Tokens(file) => format!("{} says who may register", file.display()),
    };
    let tls = if config.tls.is_some() { " with TLS" } else { "" };
    format!("it is a server at {}{tls}, and {who}", config.listen)
}

/// Joins names as a sentence does.
fn list(names: &[String]) -> String {
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
