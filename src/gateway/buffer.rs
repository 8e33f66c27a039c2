//! A buffer for bytes in transit.

/// Capacity beyond which it grows only by what is added, in bytes.
const MOST: usize = super::MAX_HEAD;

/// A queue of bytes: they are added at the end and taken from the front. It holds no memory while it is empty, since
/// thousands of idle connections have three of them each.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    taken: usize,
}

impl Buffer {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how much memory it holds, in bytes.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        // No more bytes are moved than were taken since the last time, so the cost per byte is constant.
        if self.taken > self.len() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        let wanted = self.bytes.len() + bytes.len();
        if wanted > self.bytes.capacity() {
            // Double the capacity, so that not every piece moves the bytes, but not beyond what most connections ever
            // need.
            let doubled = (2 * self.bytes.capacity()).min(MOST);
            self.bytes.reserve_exact(wanted.max(doubled) - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes `count` bytes from the front, or all if there are fewer.
    pub(super) fn consume(&mut self, count: usize) {
        self.taken += count.min(self.len());
        if self.is_empty() {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Buffer::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_little_more_than_what_is_in_it() {
        for piece in [1, 100, 40_000] {
            let mut buffer = Buffer::default();
            while buffer.len() + piece <= MOST {
                buffer.push(&vec![7; piece]);
                assert!(buffer.held() <= (2 * buffer.len()).clamp(16, MOST), "{piece}: {}", buffer.held());
            }
        }
    }

    #[test]
    fn what_goes_in_comes_out_and_nothing_is_held_when_it_is_out() {
        let mut buffer = Buffer::default();
        let (mut given, mut taken) = ((0..=u8::MAX).cycle(), (0..=u8::MAX).cycle());
        for round in 1..200_usize {
            let piece: Vec<u8> = given.by_ref().take(round % 7).collect();
            buffer.push(&piece);
            let front: Vec<u8> = buffer.as_slice().iter().take(round % 5).copied().collect();
            assert_eq!(front, taken.by_ref().take(front.len()).collect::<Vec<u8>>());
            buffer.consume(front.len());
            assert!(buffer.bytes.len() <= 2 * buffer.len() + 16);
        }
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty() && buffer.held() == 0);
    }
}
