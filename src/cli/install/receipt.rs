//! What an installation leaves beside its unit: which files it made. It is a drop-in of the unit, so it also has what
//! the unit needs beyond that for all.

use std::path::{Path, PathBuf};

use super::layout::Layout;

/// The file of a receipt, among the drop-ins of its unit.
const FILE: &str = "pinhole-install.conf";

/// Before each path.
const MADE: &str = "# made ";

/// What was made for one unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Receipt {
    /// Files and folders, in the order in which they were made.
    pub(super) made: Vec<PathBuf>,
}

impl Receipt {
    /// Returns where the receipt of a unit is.
    pub(super) fn path(layout: &Layout, name: &str) -> PathBuf {
        layout.drop_ins(name).join(FILE)
    }

    /// Writes it; `settings` are lines for the unit.
    pub(super) fn text(&self, name: &str, user: bool, settings: &[String]) -> String {
        let user = if user { "--user " } else { "" };
        let mut text = format!("# Written by pinhole install. pinhole uninstall {user}{name} removes it, and:\n");
        let mut line = |line: &str| text.extend([line, "\n"]);
        self.made.iter().for_each(|path| line(&format!("{MADE}{}", path.display())));
        line("[Service]");
        settings.iter().for_each(|setting| line(setting));
        text
    }

    /// Reads one.
    pub(super) fn parse(text: &str) -> Receipt {
        Receipt { made: text.lines().filter_map(|line| line.strip_prefix(MADE)).map(PathBuf::from).collect() }
    }

    /// Tells whether a path may be a file of this unit: whatever a receipt says, nothing else is removed.
    pub(super) fn may_be_file(layout: &Layout, name: &str, path: &Path) -> bool {
        let file = path.file_name().and_then(|file| file.to_str()).and_then(|file| file.strip_prefix(name));
        path.parent() == Some(&layout.settings) && file.is_some_and(|rest| rest.starts_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_back() {
        let receipt = Receipt { made: vec!["/etc/pinhole".into(), "/etc/pinhole/nas.toml".into()] };
        let text = receipt.text("nas", false, &["LoadCredential=nas.pin:/etc/pinhole/nas.pin".to_owned()]);
        assert_eq!(
            text,
            "# Written by pinhole install. pinhole uninstall nas removes it, and:\n# made /etc/pinhole\n\
             # made /etc/pinhole/nas.toml\n[Service]\nLoadCredential=nas.pin:/etc/pinhole/nas.pin\n"
        );
        assert_eq!(Receipt::parse(&text), receipt);
    }

    #[test]
    fn only_files_of_its_own_are_a_units() {
        let layout = Layout::new(false, None).unwrap();
        let may = |path| Receipt::may_be_file(&layout, "nas", Path::new(path));
        assert!(may("/etc/pinhole/nas.toml") && may("/etc/pinhole/nas.pin"));
        for wrong in
            ["/etc/pinhole/nas2.toml", "/etc/shadow", "/etc/pinhole/../nas.toml", "/etc/pinhole/nas", "nas.toml", ""]
        {
            assert!(!may(wrong), "{wrong}");
        }
    }
}
