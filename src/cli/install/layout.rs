//! Where systemd and pinhole look for what.

use std::path::{Path, PathBuf};

/// The unit of a name, as packages bring it.
const SYSTEM_UNIT: &str = include_str!("../../../packaging/systemd/pinhole@.service");

/// The same for users.
const USER_UNIT: &str = include_str!("../../../packaging/systemd/user/pinhole@.service");

/// The program in those.
const PROGRAM: &str = "/usr/bin/pinhole";

/// The first line of a unit that was written here.
pub(super) const MARK: &str = "# Written by pinhole install. pinhole uninstall removes it with the last unit of it.";

/// The name of the unit for all.
const TEMPLATE: &str = "pinhole@.service";

/// Folders for what the unit of the system does not see.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Where things are, for the system or for a user.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Before each path, for tests.
    root: PathBuf,
    pub(super) user: bool,
    /// The folder of settings.
    pub(super) settings: PathBuf,
    /// The folder of units that are written here.
    pub(super) units: PathBuf,
}

impl Layout {
    /// Finds the folders.
    ///
    /// # Errors
    /// A sentence: a user without a home.
    pub(super) fn new(user: bool, root: Option<PathBuf>) -> Result<Layout, String> {
        let root = root.unwrap_or_default();
        if !user {
            return Ok(Layout { root, user, settings: "/etc/pinhole".into(), units: "/etc/systemd/system".into() });
        }
        let home = crate::cli::config_folder()
            .ok_or("HOME names no folder, and a unit of yours goes there; set HOME or leave --user out")?;
        Ok(Layout { root, user, settings: home.join("pinhole"), units: home.join("systemd/user") })
    }

    /// Returns where a path is while this runs.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        match self.root.as_os_str().is_empty() {
            true => path.to_owned(),
            false => self.root.join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// Returns the file of settings of a unit.
    pub(super) fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.settings.join(format!("{name}.{extension}"))
    }

    /// Returns the name of a unit.
    pub(super) fn unit(&self, name: &str) -> String {
        format!("pinhole@{name}.service")
    }

    /// Returns the folder of what is added to a unit.
    pub(super) fn drop_ins(&self, name: &str) -> PathBuf {
        self.units.join(format!("{}.d", self.unit(name)))
    }

    /// Returns where a unit for all is written if there is none.
    pub(super) fn template(&self) -> PathBuf {
        self.units.join(TEMPLATE)
    }

    /// Tells whether others bring the unit for all.
    pub(super) fn has_template(&self) -> bool {
        let folders: &[&str] = match self.user {
            false => &["/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"],
            true => &["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"],
        };
        folders.iter().any(|folder| self.at(&Path::new(folder).join(TEMPLATE)).is_file())
    }

    /// Returns the unit for all, with this program.
    ///
    /// # Errors
    /// A sentence: the unit could not start the program.
    pub(super) fn unit_text(&self, program: &Path) -> Result<String, String> {
        let program = match self.root.as_os_str().is_empty() {
            true => program.to_owned(),
            false => program
                .strip_prefix(&self.root)
                .map_or_else(|_| program.to_owned(), |inside| Path::new("/").join(inside)),
        };
        let copy = "copy it to /usr/local/bin and start it from there";
        let shown = program.display();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        let text = program.to_str().filter(|text| text.starts_with('/') && text.chars().all(is_plain));
        let text =
            text.ok_or_else(|| format!("systemd would not understand the path of this program, {shown}; {copy}"))?;
        if !self.user
            && let Some(folder) = hidden(&program)
        {
            return Err(format!(
                "this program is {shown}, and a unit of the system sees nothing below {folder}; {copy}, or give --user"
            ));
        }
        let unit = if self.user { USER_UNIT } else { SYSTEM_UNIT };
        Ok(format!("{MARK}\n{}", unit.replace(PROGRAM, text)))
    }

    /// Returns the folder that shows that systemd runs: `sd_booted(3)`.
    pub(super) fn booted(&self) -> PathBuf {
        self.at(Path::new("/run/systemd/system"))
    }

    /// Returns how a person calls systemctl for this.
    pub(super) fn systemctl(&self) -> &'static str {
        if self.user { "systemctl --user" } else { "systemctl" }
    }

    /// Returns how a person calls journalctl for this.
    pub(super) fn journalctl(&self) -> &'static str {
        if self.user { "journalctl --user" } else { "journalctl" }
    }
}

/// Returns the folder because of which a unit of the system does not see a path.
pub(super) fn hidden(path: &Path) -> Option<&'static str> {
    HIDDEN.into_iter().find(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> Layout {
        Layout::new(false, None).unwrap()
    }

    #[test]
    fn the_unit_starts_this_program() {
        let unit = system().unit_text(Path::new("/usr/local/bin/pinhole")).unwrap();
        assert!(unit.starts_with(MARK));
        assert!(unit.contains("\nExecStart=/usr/local/bin/pinhole run /etc/pinhole/%i.toml\n"), "{unit}");
        for wrong in ["/home/me/pinhole", "/root/bin/pinhole", "/opt/a b/pinhole", "/opt/%i", "pinhole", "/a;b"] {
            assert!(system().unit_text(Path::new(wrong)).is_err(), "{wrong}");
        }
        let user = Layout { user: true, ..system() };
        assert!(
            user.unit_text(Path::new("/home/me/pinhole")).unwrap().contains("\nExecStart=/home/me/pinhole run %E/")
        );
    }

    #[test]
    fn a_root_stands_before_everything() {
        let layout = Layout::new(false, Some("/tmp/root".into())).unwrap();
        assert_eq!(layout.at(&layout.file("nas", "toml")), Path::new("/tmp/root/etc/pinhole/nas.toml"));
        assert_eq!(system().at(Path::new("/etc/x")), Path::new("/etc/x"));
    }
}
