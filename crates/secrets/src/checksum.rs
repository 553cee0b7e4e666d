//! The checksum at the end of GitHub's and npm's tokens.

/// Letters of a token before its checksum.
const BODY: usize = 30;
/// Letters of the checksum.
const SUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether the last letters of a token are the checksum of the others. `None` where its form has none:
/// GitHub makes longer tokens without.
///
/// It is the CRC-32 of the 30 letters, in base 62, filled with zeros
/// (<https://github.blog/engineering/behind-githubs-new-authentication-token-formats/>).
pub(super) fn agrees(rest: &str) -> Option<bool> {
    let bytes = rest.as_bytes();
    let alphabetic = bytes.iter().all(u8::is_ascii_alphanumeric);
    (bytes.len() == BODY + SUM && alphabetic).then(|| {
        let (body, sum) = bytes.split_at(BODY);
        base62(crc32(body)) == sum
    })
}

fn base62(mut number: u32) -> [u8; SUM] {
    let mut digits = [b'0'; SUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    digits
}

/// CRC-32 as in zlib and PNG (ISO 3309), bit by bit: thirty letters need no table.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = !0_u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xEDB8_8320 * (sum & 1));
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::{agrees, crc32};

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_revoked_token_agrees_and_a_changed_one_does_not() {
        // From the gist in which the author of base62-token.js compares revoked tokens.
        let (body, sum) = ("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17");
        assert_eq!(agrees(&format!("{body}{sum}")), Some(true));
        assert_eq!(agrees(&format!("{body}0mLq18")), Some(false));
        assert_eq!(agrees(&format!("{body}{sum}x")), None);
    }
}
