//! The short secret a person passes on.

use std::fmt;

use rand::RngExt as _;

/// The letters of generated secrets and ids: 32, none of which looks like another.
pub(super) const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Number of letters of an invitation's pin: 80 bits.
const INVITATION_LETTERS: usize = 16;

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

    /// Generates the pin of an invitation: 16 random letters and digits.
    pub fn generate_long() -> Pin {
        let mut rng = rand::rng();
        Pin((0..INVITATION_LETTERS).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect())
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn long_pins_have_sixteen_letters_of_thirty_two_that_differ() {
        assert_eq!(LETTERS.iter().collect::<HashSet<_>>().len(), 32);
        assert!(LETTERS.iter().all(|letter| !b"ilou".contains(letter)));
        let pins: HashSet<String> = (0..100).map(|_| Pin::generate_long().reveal().to_owned()).collect();
        assert_eq!(pins.len(), 100);
        assert!(pins.iter().all(|pin| pin.len() == 16 && pin.bytes().all(|byte| LETTERS.contains(&byte))));
    }
}
