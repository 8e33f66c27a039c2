//! A few colours for terminals.

/// Colours, or none.
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn bold_green(&self, text: &str) -> String {
        self.with("1;32", text)
    }

    #[cfg(feature = "cli")]
    pub(super) fn black_on_white(&self, text: &str) -> String {
        self.with("30;107", text)
    }

    pub(super) fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn yellow(&self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn red(&self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}
