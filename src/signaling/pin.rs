//! The short secret a person passes on.

use std::fmt;

/// The pin: the password of the PAKE. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// Wraps a pin as a person wrote it; any non-empty string is allowed.
    pub fn new(pin: impl Into<String>) -> Option<Pin> {
        let pin = pin.into();
        if pin.is_empty() { None } else { Some(Pin(pin)) }
    }

    /// Generates a pin of six decimal digits.
    pub fn generate() -> Pin {
        Pin(format!("{:06}", rand::random_range(0..1_000_000)))
    }

    /// Returns the pin in clear, to be printed once or fed to the PAKE.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}
