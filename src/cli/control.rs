//! Where a process can be looked at and steered while it runs: the arguments, and the folders of sockets.

#[cfg(unix)]
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;

use clap::Args;

use super::failure::UsageError;
use super::parse;
use super::secret_file::{self, Secret};
use crate::config::{ControlConfig, ControlFolder, ProcessName};

const TOKEN: Secret = Secret { flag: "--admin-token-file", name: "the token of the control interface" };

/// How a process can be looked at and steered, for all that run.
#[derive(Debug, Default, Args)]
pub struct ControlArguments {
    /// What this process is called, for those who look at it [default: the file of pinhole run, or such as host-4711]
    ///
    /// 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore. Its control socket is NAME.sock, in a folder of yours;
    /// docs/control.md says which.
    #[arg(long, value_name = "NAME", value_parser = parse::process_name)]
    pub name: Option<ProcessName>,
    /// Where this process can also be looked at and steered by HTTP, with a page for browsers
    ///
    /// PORT of 127.0.0.1, :PORT or ADDRESS:PORT. All but health and metrics needs a token, which is printed with the
    /// address of the page.
    #[arg(long, value_name = "ADDR", value_parser = parse::host_listen)]
    pub admin_listen: Option<SocketAddr>,
    /// A file with that token in its first line, 16 characters or more, instead of a random one
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Make no control socket
    #[arg(long)]
    pub no_control: bool,
}

/// What is around a process that may be looked at.
#[derive(Debug, Clone, Default)]
pub struct ControlSurroundings {
    /// Where sockets may be.
    pub folders: Vec<ControlFolder>,
    /// The stem of the file of `pinhole run`.
    pub file: Option<String>,
}

impl ControlSurroundings {
    /// Returns what is around this process.
    pub(super) fn of_process() -> ControlSurroundings {
        ControlSurroundings { folders: folders(), file: None }
    }
}

/// Returns the folders where sockets of this user's processes are, the first to try first. None on systems without unix
/// sockets.
pub(super) fn folders() -> Vec<ControlFolder> {
    #[cfg(unix)]
    {
        let absolute = |name: &str| env::var_os(name).map(PathBuf::from);
        // systemd separates several by colons.
        let of_unit = env::var("RUNTIME_DIRECTORY").ok();
        let of_unit = of_unit.and_then(|folders| folders.split(':').next().map(PathBuf::from));
        let of_user = absolute("XDG_RUNTIME_DIR").map(|folder| folder.join("pinhole"));
        let temporary = env::temp_dir().join(format!("pinhole-{}", crate::net::folder::user()));
        let of_unit = of_unit.filter(|folder| folder.is_absolute()).map(ControlFolder::present);
        let of_user = of_user.filter(|folder| folder.is_absolute()).map(ControlFolder::made);
        of_unit.into_iter().chain(of_user).chain([ControlFolder::made(temporary)]).collect()
    }
    #[cfg(not(unix))]
    Vec::new()
}

/// Turns the arguments into settings; `None` if nobody can look. What the owner should know goes to `remarks`.
pub(super) fn settings(
    arguments: ControlArguments,
    role: &str,
    surroundings: ControlSurroundings,
    remarks: &mut Vec<String>,
) -> Result<Option<ControlConfig>, UsageError> {
    let ControlArguments { name, admin_listen: listen, admin_token_file, no_control } = arguments;
    let token = match admin_token_file {
        Some(_) if listen.is_none() => return Err(UsageError::AdminTokenWithoutListen),
        Some(file) => {
            let (text, remark) = secret_file::read(TOKEN, &file)?;
            remarks.extend(remark);
            Some(parse::admin_token(&text).map_err(|wrong| wrong.of("--admin-token-file"))?)
        }
        None => None,
    };
    let folders = if no_control { Vec::new() } else { surroundings.folders };
    if folders.is_empty() && listen.is_none() {
        return Ok(None);
    }
    let is_named = name.is_some();
    let of_file = || surroundings.file.as_deref().and_then(ProcessName::near);
    let of_process = || ProcessName::near(&format!("{role}-{}", process::id()));
    let Some(name) = name.or_else(of_file).or_else(of_process) else { return Ok(None) };
    Ok(Some(ControlConfig { folders, is_named, listen, token, ..ControlConfig::new(name) }))
}
