//! Files of the server: the certificate, and the tokens of hosts.

use std::sync::Arc;

use rustls::ServerConfig as TlsConfig;

use super::Access;
use crate::cluster::Secrets;
use crate::config::cluster::read_secrets;
use crate::config::tokens::Tokens;
use crate::config::{ServerAccess, ServerConfig};
use crate::net::tls;
use crate::run::RunError;
use crate::run::turn::Turn;

/// A certificate that was read.
pub(super) struct Tls {
    config: Arc<TlsConfig>,
    /// What is wrong with it.
    remark: Option<String>,
}

impl Tls {
    /// Warns of what is wrong with it, and returns it.
    pub(super) fn warn_of(self, turn: &mut Turn) -> Arc<TlsConfig> {
        if let Some(remark) = self.remark {
            turn.warn("certificate", remark);
        }
        self.config
    }
}

pub(super) fn read_tls(config: &ServerConfig) -> Result<Option<Tls>, RunError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let tls = tls::server_config(&files.certificate, &files.key)?;
    Ok(Some(Tls { config: tls.config, remark: tls.remark }))
}

/// Reads the secrets of the cluster, and what their owner should know about the file.
pub(super) fn read_cluster(config: &ServerConfig) -> Result<Option<(Secrets, Option<String>)>, RunError> {
    let Some(cluster) = &config.cluster else { return Ok(None) };
    Ok(Some(read_secrets(&cluster.secret_file)?))
}

pub(super) fn read_access(config: &ServerConfig) -> Result<Access, RunError> {
    match &config.access {
        ServerAccess::Open => Ok(Access::Open),
        ServerAccess::Tokens(path) => Ok(Access::Tokens(Tokens::read(path)?)),
    }
}
