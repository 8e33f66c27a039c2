//! What the program writes of itself: completions for shells, and pages of the manual.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
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

/// Arguments of `pinhole names`.
#[derive(Debug, Args)]
pub struct NamesArguments {
    /// Whose
    #[arg(value_name = "KIND", value_enum)]
    pub kind: NameKind,
}

/// Whose names a shell completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NameKind {
    /// Hosts that are saved.
    Saved,
    /// Processes that run.
    Running,
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
    let (end, names) = names(shell);
    if let Some(at) = end.and_then(|end| script.windows(end.len()).rposition(|part| part == end.as_bytes())) {
        script.truncate(at);
    }
    script.extend_from_slice(names.as_bytes());
    script
}

/// Returns what has a shell complete the names of saved hosts and of running processes, too, and from where on it takes
/// the place of clap's script. That one knows no names.
fn names(shell: Shell) -> (Option<&'static str>, &'static str) {
    match shell {
        Shell::Bash => (None, BASH_NAMES),
        Shell::Zsh => (Some(ZSH_END), ZSH_NAMES),
        Shell::Fish => (None, FISH_NAMES),
        // Those who use the others are few.
        _ => (None, ""),
    }
}

const BASH_NAMES: &str = r#"
_pinhole_names() {
    _pinhole "$@"
    local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" kind=""
    [[ $current == -* || $before == -* ]] && return
    case "${COMP_WORDS[1]}" in
        client|ping|check) kind=saved ;;
        status|invite|uninvite) kind=running ;;
        *) return ;;
    esac
    COMPREPLY+=($(compgen -W "$(pinhole names $kind 2>/dev/null)" -- "$current"))
}
complete -F _pinhole_names -o bashdefault -o default pinhole
"#;

/// Where a script of zsh says whose it is, as the file of a function or by itself.
const ZSH_END: &str = "if [ \"$funcstack[1]\" = \"_pinhole\" ]; then";

const ZSH_NAMES: &str = r#"
_pinhole_names() {
    local kind=""
    case "${words[2]}" in
        client|ping|check) kind=saved ;;
        status|invite|uninvite) kind=running ;;
    esac
    if [[ -n $kind && $CURRENT -gt 2 && ${words[CURRENT]} != -* && ${words[CURRENT-1]} != -* ]]; then
        compadd -- ${(f)"$(pinhole names $kind 2>/dev/null)"}
    fi
    _pinhole "$@"
}
compdef _pinhole_names pinhole
if [ "$funcstack[1]" = "_pinhole" ]; then
    _pinhole_names "$@"
fi
"#;

const FISH_NAMES: &str = r#"
complete -c pinhole -n "__fish_seen_subcommand_from client ping check" -a "(pinhole names saved 2>/dev/null)"
complete -c pinhole -n "__fish_seen_subcommand_from status invite uninvite" -a "(pinhole names running 2>/dev/null)"
"#;

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
