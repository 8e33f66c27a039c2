//! What `pinhole verify` looks at beside the file itself, and what it says of one that is right.

use serde_json::json;

use super::command::Command;
use super::failure::UsageError;
use crate::config::{ClientConfig, HostConfig};
#[cfg(feature = "server")]
use crate::config::{ServerAccess, ServerConfig, cluster::read_secrets, tokens::Tokens};
use crate::net::tls;

/// Most services that are named.
const MAX_NAMED: usize = 8;

/// A file that is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right<'a> {
    /// What it is called in messages.
    pub(super) file: &'a str,
    /// Its table.
    pub(super) role: &'static str,
    /// What it says.
    pub(super) command: &'a Command,
    /// Neither it nor the environment has the pin.
    pub(super) is_pin_missing: bool,
}

impl Right<'_> {
    /// Says in a sentence what the file is.
    pub(super) fn sentence(&self) -> String {
        format!("{} is right: {}\n", self.file, self.what())
    }

    /// Says the same as an event, with what is to be warned of in it.
    pub(super) fn event(&self, warnings: &[String]) -> String {
        let Right { file, role, .. } = self;
        let event = json!({
            "event": "verified", "file": file, "role": role, "message": self.what(), "warnings": warnings,
        });
        format!("{event}\n")
    }

    fn what(&self) -> String {
        match self.command {
            Command::Host(config, _) => host(config),
            Command::Client(config, ..) => client(config, self.is_pin_missing),
            #[cfg(feature = "server")]
            Command::Server(config, _) => server(config),
            // No file says these.
            Command::Check(..)
            | Command::Ping(..)
            | Command::Demo(_)
            | Command::Document(..)
            | Command::Print(_)
            | Command::SaveHosts(_) => String::new(),
            #[cfg(unix)]
            Command::Install(_) | Command::Uninstall(_) | Command::Running(..) => String::new(),
        }
    }
}

/// Reads the files that a run would read at its start: certificates, and the tokens of a server. Returns what is to be
/// warned of.
///
/// # Errors
/// The first one that cannot be used, by its flag.
pub(super) fn files(command: &Command) -> Result<Option<String>, UsageError> {
    let ca = match command {
        Command::Host(config, _) => config.server.as_ref().and_then(|server| server.ca.as_deref()),
        Command::Client(config, ..) => config.ca.as_deref(),
        #[cfg(feature = "server")]
        Command::Server(config, _) => return server_files(config),
        Command::Check(..)
        | Command::Ping(..)
        | Command::Demo(_)
        | Command::Document(..)
        | Command::Print(_)
        | Command::SaveHosts(_) => None,
        #[cfg(unix)]
        Command::Install(_) | Command::Uninstall(_) | Command::Running(..) => None,
    };
    // Without a file, the system's authorities are nobody's mistake.
    let read = ca.map(|file| tls::client_config(Some(file))).transpose();
    read.map_err(|error| UsageError::Unusable("--ca", error.to_string()))?;
    Ok(None)
}

#[cfg(feature = "server")]
fn server_files(config: &ServerConfig) -> Result<Option<String>, UsageError> {
    if let ServerAccess::Tokens(file) = &config.access {
        Tokens::read(file).map_err(|error| UsageError::Unusable("--tokens", error.to_string()))?;
    }
    let secrets = config.cluster.as_ref().map(|cluster| read_secrets(&cluster.secret_file)).transpose();
    let remark = secrets.map_err(|error| UsageError::Unusable("--cluster-secret-file", error.to_string()))?;
    let remark = remark.and_then(|(_, remark)| remark);
    let directory = config.cluster.as_ref().and_then(|cluster| cluster.directory.as_ref());
    let directory = directory.map(|directory| directory.address.read()).transpose();
    let url = directory.map_err(|error| UsageError::Unusable("--directory-file", error.to_string()))?;
    let remark = remark.or(url.and_then(|(_, remark)| remark));
    let Some(files) = &config.tls else { return Ok(remark) };
    let tls = tls::server_config(&files.certificate, &files.key);
    let tls = tls.map_err(|error| {
        let flag = if error.is_of(&files.certificate) { "--tls-cert" } else { "--tls-key" };
        UsageError::Unusable(flag, error.to_string())
    })?;
    Ok(tls.remark.or(remark))
}

fn host(config: &HostConfig) -> String {
    let mut named: Vec<String> = config.services.iter().take(MAX_NAMED).map(|service| service.name.clone()).collect();
    match config.services.len() {
        0 => named.push("what it allows".to_owned()),
        count if count > MAX_NAMED => named.push(format!("{} more", count - MAX_NAMED)),
        _ => {}
    }
    let place = match (&config.server, &config.listen) {
        (Some(server), _) => {
            let servers: Vec<String> = server.servers().map(|(url, _)| url.to_string()).collect();
            format!("reached as {} through {}", server.id, servers.join(" or "))
        }
        (None, Some(listen)) => format!("whose signaling listens at {listen}"),
        (None, None) => "without signaling".to_owned(),
    };
    format!("it is a host of {}, {place}", list(&named))
}

fn client(config: &ClientConfig, is_pin_missing: bool) -> String {
    let count = config.forwards.len() + config.reverse.len() + config.dynamic.len();
    let forwards = if count == 1 { "1 forward".to_owned() } else { format!("{count} forwards") };
    let pin = if is_pin_missing { "; PINHOLE_PIN has to give the pin, or a person at a terminal" } else { "" };
    let others: String = config.others.iter().map(|other| format!(" or at {}", other.url)).collect();
    format!("it is a client of {}{others} with {forwards}{pin}", config.url)
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

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
