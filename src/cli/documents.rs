//! What the program writes of itself: completions for shells, and pages of the manual.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use super::manual::{self, Table};

/// Arguments of `pinhole completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArguments {
    /// The shell that completes
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Arguments of `pinhole man`.
#[derive(Debug, Args)]
pub struct ManualArguments {
    /// The folder that the pages are written into; it is made if it is missing
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

// No line of this is longer than 80 columns, where clap would wrap it.
pub(super) const EXAMPLES: &str = "\
Examples:
  pinhole completions bash > ~/.local/share/bash-completion/completions/pinhole
                           from the next bash on
  pinhole completions fish > ~/.config/fish/completions/pinhole.fish
  pinhole completions zsh > ~/.zfunc/_pinhole
                           where ~/.zshrc has: fpath+=~/.zfunc; compinit";

/// Something that the program writes of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// What makes a shell complete the arguments, on stdout.
    Completions(Shell),
    /// The pages of the manual, as files in a folder.
    Manual(PathBuf),
}

impl Document {
    /// Writes what describes `command`, the whole program, and `tables`, its files of settings.
    ///
    /// # Errors
    /// A sentence that says which file or stream cannot be written, and why.
    pub fn write(&self, command: Command, tables: &[Table]) -> Result<(), String> {
        match self {
            Document::Completions(shell) => {
                let script = completions(*shell, command);
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(&script).and_then(|()| stdout.flush());
                written.map_err(|error| format!("stdout takes no more: {error}"))
            }
            Document::Manual(folder) => write_pages(folder, &command, tables),
        }
    }
}

/// Makes the script that has a shell complete the arguments of `command`.
pub fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

fn write_pages(folder: &Path, command: &Command, tables: &[Table]) -> Result<(), String> {
    let failed = |path: &Path, error: io::Error| format!("{} cannot be written: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for page in manual::pages(command, tables) {
        let path = folder.join(&page.file);
        fs::write(&path, page.text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::super::args::Arguments;
    use super::*;

    #[test]
    fn each_shell_is_told_of_each_long_option_and_command() {
        let mut root = Arguments::command();
        root.build();
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell, Arguments::command())).unwrap();
            for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
                for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
                    assert!(script.contains(option), "{shell}: --{option} of {}", command.get_name());
                }
            }
        }
    }
}
