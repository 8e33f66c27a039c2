//! An identity of this machine, for the processes on it.

use std::fs;

use rand::Rng as _;
use sha2::{Digest, Sha256};

/// A number that the processes on one machine, in one network namespace, share and nobody else knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine([u8; 32]);

impl Machine {
    /// Returns this machine's number. If the system gives no id of its boot or of the namespace, the addresses of the
    /// interfaces tell machines apart; without any, only this process knows the number.
    pub fn this() -> Machine {
        #[cfg(test)]
        if let Some(here) = super::world::here() {
            return Machine(Sha256::digest(here.machine().0.to_le_bytes()).into());
        }
        let mut hasher = Sha256::new();
        match (fs::read("/proc/sys/kernel/random/boot_id"), fs::read_link("/proc/self/ns/net")) {
            (Ok(boot), Ok(namespace)) => {
                hasher.update(boot);
                hasher.update(namespace.as_os_str().as_encoded_bytes());
            }
            _ => {
                let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
                let mut addresses: Vec<String> = interfaces.iter().map(|found| found.ip().to_string()).collect();
                addresses.sort();
                if addresses.is_empty() {
                    let mut random = [0; 32];
                    rand::rng().fill_bytes(&mut random);
                    return Machine(random);
                }
                hasher.update(addresses.join(" "));
            }
        }
        Machine(hasher.finalize().into())
    }

    /// Returns the number.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_knows_itself() {
        assert_eq!(Machine::this(), Machine::this());
    }
}
