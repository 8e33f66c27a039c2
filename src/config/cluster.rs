//! The settings of a server that is one of several.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::directory::DirectoryConfig;
use crate::cluster::{Secrets, SecretsError};
use crate::net::files;
use crate::signaling::url::SignalingUrl;

/// The largest file of secrets that is read.
const MAX_FILE: u64 = 64 * 1024;

/// The other servers of a [`Server`](crate::Server), and how they prove that they belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// A file with the secrets of the cluster, one a line. The first proves, all verify.
    pub secret_file: PathBuf,
    /// Where other servers are dialled.
    pub peers: Vec<SignalingUrl>,
    /// Where other servers come to. Links are sealed, with or without TLS.
    pub listen: Option<SocketAddr>,
    /// Where servers find each other and each other's hosts. Without it, each names its hosts to all others.
    pub directory: Option<DirectoryConfig>,
}

/// Why a file gives no secrets. Shows nothing of what is in it.
#[derive(Debug, Error)]
pub enum SecretsFileError {
    /// It is not there, or cannot be read as text.
    #[error("cannot read the cluster's secrets in {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What is in it is no secret.
    #[error("the file of the cluster's secrets {path}: {source}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: SecretsError,
    },
}

impl ClusterConfig {
    /// Creates the settings of a server that neither dials others nor is dialled.
    pub fn new(secret_file: impl Into<PathBuf>) -> ClusterConfig {
        ClusterConfig { secret_file: secret_file.into(), peers: Vec::new(), listen: None, directory: None }
    }
}

/// Reads the secrets of a cluster, and what their owner should know about the file.
///
/// # Errors
/// [`SecretsFileError`], naming the file.
pub(crate) fn read_secrets(path: &Path) -> Result<(Secrets, Option<String>), SecretsFileError> {
    let unreadable = |source| SecretsFileError::Unreadable { path: path.into(), source };
    let file = files::open(path).map_err(unreadable)?;
    let remark = files::is_shared(&file).then(|| {
        let path = path.display();
        format!("others than its owner can read the cluster's secrets in {path}; chmod 600 keeps them secret")
    });
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(unreadable)?;
    let invalid = |source| SecretsFileError::Invalid { path: path.into(), source };
    Ok((Secrets::parse(&text).map_err(invalid)?, remark))
}
