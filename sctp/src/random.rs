//! Randomness from a seed, and seals for cookies, both by SipHash-2-4 (Aumasson and Bernstein, 2012).

/// The source of an association's tags, first numbers and cookie seals: 128 bits that nobody else can know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u64; 2]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// The purposes of the hash. Inputs of different purposes never collide.
const DRAW: u8 = 1;
const SEAL: [u8; 2] = [2, 3];

/// A generator of numbers that are unpredictable without the seed.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    seed: Seed,
    drawn: u64,
}

impl Random {
    pub(crate) fn new(seed: Seed) -> Random {
        Random { seed, drawn: 0 }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.hash(DRAW, &self.drawn.to_be_bytes())
    }

    /// Returns a number for a verification tag, which is never zero (RFC 9260, section 5.3.1).
    pub(crate) fn tag(&mut self) -> u32 {
        loop {
            let tag = self.number() as u32;
            if tag != 0 {
                return tag;
            }
        }
    }

    /// Returns a seal of `bytes` that only the owner of the seed can make.
    pub(crate) fn seal(&self, bytes: &[u8]) -> [u8; 16] {
        let mut seal = [0; 16];
        for (half, purpose) in seal.chunks_exact_mut(8).zip(SEAL) {
            half.copy_from_slice(&self.hash(purpose, bytes).to_be_bytes());
        }
        seal
    }

    fn hash(&self, purpose: u8, bytes: &[u8]) -> u64 {
        let [low, high] = self.seed.0;
        // The purpose is part of the key, so that inputs of different purposes are separate.
        sip_hash(low ^ u64::from(purpose), high, bytes)
    }
}

fn sip_hash(low: u64, high: u64, bytes: &[u8]) -> u64 {
    let mut state = [
        low ^ 0x736f_6d65_7073_6575,
        high ^ 0x646f_7261_6e64_6f6d,
        low ^ 0x6c79_6765_6e65_7261,
        high ^ 0x7465_6462_7974_6573,
    ];
    let words = bytes.chunks_exact(8);
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = bytes.len() as u8;
    let whole = words.map(|word| <[u8; 8]>::try_from(word).unwrap_or_default());
    for word in whole.chain([last]) {
        let word = u64::from_le_bytes(word);
        state[3] ^= word;
        sip_round(&mut state);
        sip_round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    (0..4).for_each(|_| sip_round(&mut state));
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn sip_round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the paper's reference: key 00 01 … 0f, inputs 00 01 … of growing length.
    #[test]
    fn the_hash_is_siphash() {
        let (low, high) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(sip_hash(low, high, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(sip_hash(low, high, &input), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_seal_depends_on_the_seed_and_on_every_byte() {
        let random = Random::new(Seed([1, 2]));
        assert_eq!(random.seal(b"cookie"), random.seal(b"cookie"));
        assert_ne!(random.seal(b"cookie"), random.seal(b"cookif"));
        assert_ne!(random.seal(b"cookie"), Random::new(Seed([1, 3])).seal(b"cookie"));
    }
}
