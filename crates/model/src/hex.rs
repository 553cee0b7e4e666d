//! Bytes as lower-case hexadecimal digits, the one way that digests are written.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two lower-case digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

/// The bytes of a text of exactly `2 * N` lower-case digits; `None` of any other text. Upper-case
/// digits are refused because names made of digests must be unique.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

/// Writes what [`encode`] returns, or as much of it as is asked for: people are shown `{id:.12}`.
pub(crate) fn write(bytes: &[u8], to: &mut fmt::Formatter<'_>) -> fmt::Result {
    to.pad(&encode(bytes))
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_from_their_digits() {
        let bytes = [0x00, 0x09, 0x0a, 0x9f, 0xff];
        assert_eq!(encode(&bytes), "00090a9fff");
        assert_eq!(decode("00090a9fff"), Some(bytes));
        assert_eq!(decode(""), Some([]));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0", "000", "0g", "0A", "é"] {
            assert_eq!(decode::<1>(text), None, "{text:?}");
        }
    }
}
