//! Files of the server: the certificate, and the tokens of hosts.

use std::sync::Arc;

use rustls::ServerConfig as TlsConfig;

use super::{Access, Server};
use crate::config::tokens::Tokens;
use crate::config::{ServerAccess, ServerConfig};
use crate::net::tls;
use crate::run::RunError;
use crate::run::core::Core;
use crate::status::event::Event;

impl Server {
    /// Reads tokens and certificate again; keeps the old ones if that fails.
    pub(super) fn reload(&mut self) {
        self.core.turn.reloading();
        match read_tls(&self.config, &mut self.core) {
            Ok(Some(tls)) => {
                self.tls = Some(tls);
                self.core.turn.report(&Event::Reloaded { what: "certificate".to_owned() });
            }
            Ok(None) => {}
            Err(error) => self.core.turn.warn("reload", format!("the certificate stays as it was: {error}")),
        }
        match read_access(&self.config) {
            Ok(Access::Tokens(tokens)) => {
                self.access = Access::Tokens(tokens);
                self.core.turn.report(&Event::Reloaded { what: "tokens".to_owned() });
                self.drop_unwanted();
            }
            Ok(Access::Open) => {}
            Err(error) => self.core.turn.warn("reload", format!("the tokens stay as they were: {error}")),
        }
        self.core.turn.reloaded();
    }
}

pub(super) fn read_tls(config: &ServerConfig, core: &mut Core) -> Result<Option<Arc<TlsConfig>>, RunError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let tls = tls::server_config(&files.certificate, &files.key)?;
    if let Some(remark) = tls.remark {
        core.turn.warn("certificate", remark);
    }
    Ok(Some(tls.config))
}

pub(super) fn read_access(config: &ServerConfig) -> Result<Access, RunError> {
    match &config.access {
        ServerAccess::Open => Ok(Access::Open),
        ServerAccess::Tokens(path) => Ok(Access::Tokens(Tokens::read(path)?)),
    }
}
