//! Parameters: type, length, value (RFC 9260, section 3.2.1). Error causes have the same form (section 3.3.10).

use super::{padded, take_u16};

/// Length of the header, in bytes.
pub(crate) const HEADER: usize = 4;

/// One parameter of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
    /// The whole parameter, with its header and without padding.
    pub(crate) whole: &'a [u8],
}

/// Iterates over the parameters in `bytes`; ends at the first that is malformed.
pub(crate) fn parameters(bytes: &[u8]) -> Parameters<'_> {
    Parameters { rest: bytes }
}

/// See [`parameters`].
#[derive(Debug)]
pub(crate) struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Parameter<'a>;

    fn next(&mut self) -> Option<Parameter<'a>> {
        let (kind, after) = take_u16(self.rest)?;
        let (length, _) = take_u16(after)?;
        let length = usize::from(length);
        let whole = self.rest.get(..length)?;
        let value = whole.get(HEADER..)?;
        self.rest = self.rest.get(padded(length)..).unwrap_or_default();
        Some(Parameter { kind, value, whole })
    }
}

/// Appends a parameter with its padding.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
    let value = &value[..usize::from(length) - HEADER];
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(padded(bytes.len()), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        put(&mut bytes, 7, b"cookie");
        put(&mut bytes, 0x8008, &[1, 2, 3, 4]);
        put(&mut bytes, 0xc000, &[]);
        assert_eq!(bytes.len(), 12 + 8 + 4);
        let read: Vec<_> = parameters(&bytes).map(|p| (p.kind, p.value.to_vec())).collect();
        assert_eq!(read, [(7, b"cookie".to_vec()), (0x8008, vec![1, 2, 3, 4]), (0xc000, vec![])]);
    }

    #[test]
    fn a_length_that_lies_ends_the_list() {
        for bytes in [&[0, 7][..], &[0, 7, 0, 3, 0, 0, 0, 0], &[0, 7, 0, 9, 1, 2, 3, 4], &[0, 7, 0, 0]] {
            assert_eq!(parameters(bytes).count(), 0, "{bytes:?}");
        }
    }
}
