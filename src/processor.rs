//! The cipher that suits a processor: AES-GCM if it has instructions for AES, otherwise ChaCha20-Poly1305.
//!
//! Without the instructions, AES costs several times as much, and its tables in memory leak the key to other programs
//! on the machine.

/// The property of a processor that decides between ciphers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// It has instructions for AES and for GCM's multiplication.
    WithAes,
    /// It lacks one of them, as the Raspberry Pi 4 does.
    WithoutAes,
}

impl Processor {
    /// Returns the kind of this machine's processor.
    pub fn here() -> Processor {
        if has_aes() { Processor::WithAes } else { Processor::WithoutAes }
    }

    /// Moves the suites that suit the processor to the front; each kind keeps its order.
    pub fn sort<T>(self, suites: &mut [T], is_chacha20: impl Fn(&T) -> bool) {
        suites.sort_by_key(|suite| is_chacha20(suite) != self.wants_chacha20());
    }

    /// Tells whether to use ChaCha20-Poly1305 with every peer that knows it, even if the peer prefers AES: it is a
    /// little slower for the peer, but AES would be several times slower here.
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

    /// Compares with what the system says about the processor, where it does.
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
