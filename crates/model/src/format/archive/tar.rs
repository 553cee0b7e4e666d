//! As much of the tar format as tells headers from contents.
//!
//! The rules are those of Go's `archive/tar`, which writes every layer (`reader.go`, `format.go`,
//! `strconv.go`), and of GNU tar's `create.c`. A rule that a writer breaks costs ratio, never
//! bytes: see [`super::split`].

/// Size of a header, and of what everything in a tar is padded to.
pub(super) const BLOCK_BYTES: usize = 512;

/// What a block that stands where a header may stand says of the bytes behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// A file, or nothing at all: so many bytes of contents.
    Contents(u64),
    /// An old GNU sparse file: blocks of its map, and then so many bytes of contents.
    Sparse(u64),
    /// A record about the next file (GNU long name, global PAX header): so many bytes.
    Extension(u64),
    /// A PAX header for the next file: so many bytes.
    Pax(u64),
}

impl Header {
    /// Reads a header, or `None` if the block is not one. `size` is what a PAX header said before.
    pub(super) fn parse(block: &[u8; BLOCK_BYTES], size: Option<u64>) -> Option<Self> {
        if !has_checksum(block) {
            return None;
        }
        let own = number(&block[124..136]);
        let contents = size.or(own).unwrap_or(0);
        Some(match block[156] {
            b'x' | b'X' => Self::Pax(own.unwrap_or(0)),
            b'g' | b'L' | b'K' => Self::Extension(own.unwrap_or(0)),
            // Links, devices, folders and pipes have no contents, whatever their size says
            // (`isHeaderOnlyType`).
            b'1'..=b'6' => Self::Contents(0),
            b'S' if block[482] != 0 => Self::Sparse(contents),
            _ => Self::Contents(contents),
        })
    }
}

/// Whether the map of an old GNU sparse file goes on behind this block of it.
pub(super) fn sparse_goes_on(block: &[u8; BLOCK_BYTES]) -> bool {
    block[504] != 0
}

/// `size`, padded to whole blocks.
pub(super) fn padded(size: u64) -> u64 {
    // What does not fit is longer than any tar.
    size.checked_next_multiple_of(BLOCK_BYTES as u64)
        .unwrap_or(u64::MAX)
}

/// `left`, but no more than `len`.
pub(super) fn at_most(left: u64, len: usize) -> usize {
    usize::try_from(left).map_or(len, |left| left.min(len))
}

fn appended(number: u64, digit: u64) -> Option<u64> {
    number.checked_mul(10)?.checked_add(digit)
}

/// A header's checksum is the sum of its bytes, its own field taken as spaces; old writers summed
/// signed bytes.
fn has_checksum(block: &[u8; BLOCK_BYTES]) -> bool {
    let Some(stored) = octal(&block[148..156]) else {
        return false;
    };
    let others = block[..148].iter().chain(&block[156..]);
    let (unsigned, signed) = others.fold((0_i64, 0_i64), |(unsigned, signed), byte| {
        (
            unsigned + i64::from(*byte),
            signed + i64::from(byte.cast_signed()),
        )
    });
    let spaces = 8 * i64::from(b' ');
    i64::try_from(stored).is_ok_and(|stored| [unsigned + spaces, signed + spaces].contains(&stored))
}

/// A number field: octal text, or GNU's base-256, whose first bit is set. Negative ones have no
/// meaning as a size.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    if first & 0x40 != 0 {
        return None;
    }
    rest.iter()
        .try_fold(u64::from(first & 0x3f), |value, byte| {
            Some(value.checked_mul(256)? | u64::from(*byte))
        })
}

/// Octal digits between spaces and zero bytes; at least one.
fn octal(field: &[u8]) -> Option<u64> {
    let mut texts = field.split(|byte| matches!(byte, b' ' | 0));
    let digits = texts.find(|text| !text.is_empty())?;
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = matches!(byte, b'0'..=b'7').then(|| u64::from(byte - b'0'))?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

/// Finds `size` among the records of a PAX header, `<length> <key>=<value>\n`, as its bytes come.
/// Keeps no more than a few numbers, whatever the lengths claim.
#[derive(Debug, Default)]
pub(super) struct PaxSize {
    /// Value of the last `size` record.
    pub size: Option<u64>,
    record: Record,
}

#[derive(Debug, Default)]
enum Record {
    /// In the length field; what it says so far, and how many digits.
    #[default]
    Start,
    Length {
        length: u64,
        digits: u64,
    },
    /// In the key; so many bytes of it were as in `size=`, so many bytes of the record are left.
    Key {
        matched: usize,
        left: u64,
    },
    Value {
        value: u64,
        left: u64,
    },
    Other {
        left: u64,
    },
    /// This is no PAX header.
    Broken,
}

impl PaxSize {
    const KEY: &'static [u8; 5] = b"size=";

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            if let Record::Other { left } = &mut self.record {
                let skipped = at_most(*left, bytes.len());
                *left -= skipped as u64;
                bytes = &bytes[skipped..];
                if *left == 0 {
                    self.record = Record::Start;
                }
                continue;
            }
            self.record = self.step(*byte);
            bytes = rest;
        }
    }

    fn step(&mut self, byte: u8) -> Record {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        match (std::mem::take(&mut self.record), digit) {
            (Record::Start, Some(length)) => Record::Length { length, digits: 1 },
            (Record::Length { length, digits }, Some(digit)) => match appended(length, digit) {
                Some(length) => Record::Length {
                    length,
                    digits: digits + 1,
                },
                None => Record::Broken,
            },
            (Record::Length { length, digits }, None) if byte == b' ' => {
                match length.checked_sub(digits + 1) {
                    Some(left) if left > 0 => Record::Key { matched: 0, left },
                    _ => Record::Broken,
                }
            }
            (Record::Key { matched, left }, _) => Self::step_key(matched, left - 1, byte),
            (Record::Value { value, left: 1 }, None) if byte == b'\n' => {
                self.size = Some(value);
                Record::Start
            }
            (Record::Value { value, left }, Some(digit)) if left > 1 => {
                match appended(value, digit) {
                    Some(value) => Record::Value {
                        value,
                        left: left - 1,
                    },
                    None => Record::Broken,
                }
            }
            _ => Record::Broken,
        }
    }

    fn step_key(matched: usize, left: u64, byte: u8) -> Record {
        match left {
            0 => Record::Start,
            _ if byte != Self::KEY[matched] => Record::Other { left },
            _ if matched + 1 == Self::KEY.len() => Record::Value { value: 0, left },
            _ => Record::Key {
                matched: matched + 1,
                left,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pax_size(bytes: &[u8]) -> Option<u64> {
        let mut whole = PaxSize::default();
        whole.feed(bytes);
        let mut by_byte = PaxSize::default();
        bytes.chunks(1).for_each(|byte| by_byte.feed(byte));
        assert_eq!(whole.size, by_byte.size);
        whole.size
    }

    #[test]
    fn the_size_is_found_among_other_records() {
        assert_eq!(
            pax_size(b"30 mtime=1700000000.123456789\n17 size=12345678\n10 path=a\n"),
            Some(12_345_678)
        );
        assert_eq!(pax_size(b"11 size=10\n11 size=77\n"), Some(77));
        assert_eq!(pax_size(b"18 sizes=1 size=9\n"), None);
        assert_eq!(pax_size(b"9 path=a\n"), None);
    }

    #[test]
    fn what_is_no_pax_header_has_no_size() {
        for bytes in [
            &b"size=1\n"[..],
            b"99999999999999999999 size=1\n",
            b"3 size=1\n",
            b"2 ",
            b"11 size=1x\n",
            b"30 size=99999999999999999999\n",
            b"0 size=1\n",
        ] {
            assert_eq!(pax_size(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"00000001750\0"), Some(0o1750));
        assert_eq!(number(b"     1750 \0\0"), Some(0o1750));
        assert_eq!(number(b"777777777777"), Some(0o777_777_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(2 << 32));
        assert_eq!(
            number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"),
            None
        );
        assert_eq!(
            number(b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
        assert_eq!(number(b"            "), None);
        assert_eq!(number(b"0000000018 \0"), None);
    }
}
