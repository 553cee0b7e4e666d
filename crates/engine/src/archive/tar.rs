//! The tar format, as far as engines write and read it: headers of 512 bytes (POSIX 1003.1-2017,
//! pax, "ustar Interchange Format"), pax records for what does not fit, GNU's long names and numbers.

use super::error::ArchiveError;

pub(super) const BLOCK: usize = 512;
/// Pax records and long names: Go's reader takes 1 MiB (`archive/tar/reader.go`, `maxSpecialFileSize`).
pub(super) const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// What an entry is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    Other,
    /// The next entry's name, in GNU's way.
    LongName,
    /// The next entry's link target, in GNU's way.
    LongLink,
    /// Pax records for the next entry.
    Pax,
}

/// A header that was read.
#[derive(Debug)]
pub(super) struct Header {
    pub kind: Kind,
    pub name: String,
    pub link: String,
    pub size: u64,
}

impl Header {
    /// `None` for a block of zeros, of which two end the tar.
    pub fn parse(block: &[u8; BLOCK]) -> std::result::Result<Option<Self>, String> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let stored = number(&block[148..156]).ok_or("a checksum that is no number")?;
        let sum = checksum(block);
        if stored != sum {
            return Err(format!("a header whose checksum is {stored}, not {sum}"));
        }
        let kind = match block[156] {
            b'0' | 0 | b'7' => Kind::File,
            b'1' | b'2' => Kind::Link,
            b'L' => Kind::LongName,
            b'K' => Kind::LongLink,
            b'x' => Kind::Pax,
            _ => Kind::Other,
        };
        let size = number(&block[124..136]).ok_or("a size that is no number")?;
        let mut name = text(&block[..100]);
        // GNU's own format keeps other things there.
        if &block[257..263] == b"ustar\0" && block[345] != 0 {
            name = format!("{}/{name}", text(&block[345..500]));
        }
        Ok(Some(Self {
            kind,
            name,
            link: text(&block[157..257]),
            // Links and folders have no content, whatever the field says.
            size: match block[156] {
                b'1'..=b'6' => 0,
                _ => size,
            },
        }))
    }
}

/// The pax records that matter here.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub path: Option<String>,
    pub link: Option<String>,
    pub size: Option<u64>,
}

impl Records {
    /// `"%d %s=%s\n"`, the number counting all of it.
    pub fn parse(&mut self, mut bytes: &[u8]) -> std::result::Result<(), &'static str> {
        const MALFORMED: &str = "pax records that are malformed";
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ');
            let digits = &bytes[..space.ok_or(MALFORMED)?];
            let length: Option<usize> = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok());
            let record = length
                .and_then(|length| bytes.get(digits.len() + 1..length))
                .ok_or(MALFORMED)?;
            bytes = &bytes[digits.len() + 1 + record.len()..];
            let record = record.strip_suffix(b"\n").ok_or(MALFORMED)?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = record.split_at(equals.ok_or(MALFORMED)?);
            let value = String::from_utf8_lossy(&value[1..]).into_owned();
            match key {
                b"path" => self.path = Some(value),
                b"linkpath" => self.link = Some(value),
                b"size" => self.size = Some(value.parse().map_err(|_| MALFORMED)?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many bytes of padding follow a content of that size.
pub(super) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// The header of a plain file, root's, of 1970, with a pax header before it where the size needs one
/// (the field has eleven octal digits: 8 GiB).
pub(super) fn file_header(name: &str, size: u64) -> Vec<u8> {
    const FIELD_MAX: u64 = 0o777_7777_7777;
    let mut bytes = Vec::with_capacity(3 * BLOCK);
    let mut records = Vec::new();
    if size > FIELD_MAX {
        records.extend(record("size", &size.to_string()));
    }
    if name.len() > 100 {
        records.extend(record("path", name));
    }
    if !records.is_empty() {
        bytes.extend(block("pax", records.len() as u64, b'x'));
        bytes.extend(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(block(name, size.min(FIELD_MAX), b'0'));
    bytes
}

/// A record counts its own length, which may make it longer.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

fn block(name: &str, size: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let name = &name.as_bytes()[..name.len().min(100)];
    block[..name.len()].copy_from_slice(name);
    let mut field = |at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    field(100, "0000644");
    field(108, "0000000");
    field(116, "0000000");
    field(124, &format!("{size:011o}"));
    field(136, "00000000000");
    field(257, "ustar\x0000");
    block[156] = kind;
    let sum = format!("{:06o}\0 ", checksum(&block));
    block[148..156].copy_from_slice(sum.as_bytes());
    block
}

/// The sum of all bytes, those of the field itself taken for spaces.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let own: u64 = block[148..156].iter().copied().map(u64::from).sum();
    let all: u64 = block.iter().copied().map(u64::from).sum();
    all - own + 8 * u64::from(b' ')
}

/// Octal digits between spaces and zeros; or, with the highest bit set, a number of GNU's
/// ("base-256").
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        // The next bit is the sign.
        if first & 0x7f != 0 || rest.len() > 8 && rest[..rest.len() - 8].iter().any(|b| *b != 0) {
            return None;
        }
        return Some(rest.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(digits, 8).ok()
}

pub(super) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
}

pub(super) fn damaged(at: u64, reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Tar {
        at,
        reason: reason.into(),
    }
}
