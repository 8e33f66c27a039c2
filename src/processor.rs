//! Which cipher suits a processor: AES-GCM where it has instructions for AES, ChaCha20-Poly1305 where it has none.
//!
//! Without them AES costs several times as much, and tables of it in memory tell others on the machine of the key.

/// What of a processor decides between ciphers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// It has instructions for AES and for the multiplication of GCM.
    WithAes,
    /// It lacks one of them, as that of a Raspberry Pi 4 does.
    WithoutAes,
}

impl Processor {
    /// Returns the kind of this machine's.
    pub fn here() -> Processor {
        if has_aes() { Processor::WithAes } else { Processor::WithoutAes }
    }

    /// Puts the suites that suit it before the others, each kind in the order it had.
    pub fn sort<T>(self, suites: &mut [T], is_chacha20: impl Fn(&T) -> bool) {
        suites.sort_by_key(|suite| is_chacha20(suite) != self.wants_chacha20());
    }

    /// Tells whether ChaCha20-Poly1305 is to be used with whoever knows it, even where they would rather have AES: what
    /// is a little less fast for them would be several times slower here.
    pub fn wants_chacha20(self) -> bool {
        self == Processor::WithoutAes
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_suits_comes_first_and_nothing_is_left_out() {
        let sorted = |processor: Processor| {
            let mut suites = ["aes-256", "chacha20", "aes-128", "chacha20-rsa"];
            processor.sort(&mut suites, |suite| suite.starts_with("chacha20"));
            suites
        };
        assert_eq!(sorted(Processor::WithAes), ["aes-256", "aes-128", "chacha20", "chacha20-rsa"]);
        assert_eq!(sorted(Processor::WithoutAes), ["chacha20", "chacha20-rsa", "aes-256", "aes-128"]);
    }

    /// What the system says of the same processor, where it does.
    #[test]
    fn the_processor_is_known_as_the_system_knows_it() {
        let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else {
            return println!("skipped: this system has no /proc/cpuinfo");
        };
        let flags = text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
        let flags: Vec<&str> = flags.unwrap_or_default().split_whitespace().collect();
        let has_all = ["aes", if cfg!(target_arch = "aarch64") { "pmull" } else { "pclmulqdq" }]
            .iter()
            .all(|flag| flags.contains(flag));
        assert_eq!(Processor::here() == Processor::WithAes, has_all);
    }
}
