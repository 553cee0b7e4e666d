//! The tar format, as far as engines write and read it.
//!
//! The crate `tar` reads and writes the headers. Its reader of pax records is not used: it takes every
//! line feed for the end of a record (`pax.rs`, `PaxExtensions`), and values may hold some, such as the
//! extended attributes that engines write (`SCHILY.xattr.…`). The model has another reader of headers,
//! `larder_model::archive`: that one must pass over any bytes at all and may not fail, this one must
//! notice an export that is damaged.

use tar::EntryType;

use super::error::StreamError;

pub(super) const BLOCK: usize = 512;
/// Pax records and long names: Go's reader takes 1 MiB (`archive/tar/reader.go`, `maxSpecialFileSize`).
pub(super) const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Go's numbers have a sign; larger sizes come of damage.
const SIZE_MAX: u64 = i64::MAX as u64;

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
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) link: String,
    pub(super) size: u64,
}

impl Header {
    /// `None` for a block of zeros, of which two end the tar.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Option<Self>, String> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = tar::Header::from_byte_slice(block);
        check_sum(header)?;
        let kind = header.entry_type();
        Ok(Some(Self {
            kind: match kind {
                EntryType::Regular | EntryType::Continuous => Kind::File,
                EntryType::Link | EntryType::Symlink => Kind::Link,
                EntryType::GNULongName => Kind::LongName,
                EntryType::GNULongLink => Kind::LongLink,
                EntryType::XHeader => Kind::Pax,
                _ => Kind::Other,
            },
            name: String::from_utf8_lossy(&header.path_bytes()).into_owned(),
            link: header.link_name_bytes().map_or_else(String::new, |link| {
                String::from_utf8_lossy(&link).into_owned()
            }),
            size: match kind {
                // They have no content, whatever the field says.
                EntryType::Link
                | EntryType::Symlink
                | EntryType::Char
                | EntryType::Block
                | EntryType::Directory
                | EntryType::Fifo => 0,
                _ => size(header)?,
            },
        }))
    }
}

fn check_sum(header: &tar::Header) -> Result<(), String> {
    let stored = header.cksum().map_err(|error| error.to_string())?;
    let mut summed = header.clone();
    summed.set_cksum();
    let sum = summed.cksum().map_err(|error| error.to_string())?;
    if stored != sum {
        return Err(format!("a header whose checksum is {stored}, not {sum}"));
    }
    Ok(())
}

fn size(header: &tar::Header) -> Result<u64, String> {
    let size = header.entry_size().map_err(|error| error.to_string())?;
    if size > SIZE_MAX {
        return Err(format!("an entry of {size} bytes"));
    }
    Ok(size)
}

/// The pax records that matter here.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<String>,
    pub(super) link: Option<String>,
    pub(super) size: Option<u64>,
}

impl Records {
    /// Reads records, `"%d %s=%s\n"`, whose number counts all of it (POSIX 1003.1-2017, pax, "pax
    /// Header Block").
    pub(super) fn parse(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            let (record, rest) = first_record(bytes).ok_or("pax records that are malformed")?;
            self.take(record).ok_or("a pax record that is malformed")?;
            bytes = rest;
        }
        Ok(())
    }

    /// `path=blobs/…`.
    fn take(&mut self, record: &[u8]) -> Option<()> {
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let value = String::from_utf8_lossy(&record[equals + 1..]).into_owned();
        match &record[..equals] {
            b"path" => self.path = Some(value),
            b"linkpath" => self.link = Some(value),
            b"size" => self.size = Some(value.parse().ok().filter(|size| *size <= SIZE_MAX)?),
            _ => {}
        }
        Some(())
    }
}

/// The first record without its number and its line feed, and what follows it.
fn first_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    Some((record, &bytes[length..]))
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
    if name.len() > NAME_FIELD_BYTES {
        records.extend(record("path", name));
    }
    if !records.is_empty() {
        bytes.extend(block("pax", records.len() as u64, EntryType::XHeader));
        bytes.extend(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(block(name, size.min(FIELD_MAX), EntryType::Regular));
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

const NAME_FIELD_BYTES: usize = 100;

fn block(name: &str, size: u64, kind: EntryType) -> [u8; BLOCK] {
    let mut header = tar::Header::new_ustar();
    // Of a name that is longer the field holds the beginning, and a pax record all.
    let name = &name.as_bytes()[..name.len().min(NAME_FIELD_BYTES)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    *header.as_bytes()
}

pub(super) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
}

pub(super) fn damaged(at: u64, reason: impl Into<String>) -> StreamError {
    StreamError::Tar {
        at,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_by_their_length() {
        let mut bytes = record("SCHILY.xattr.user.x", "one\n9 line=2\n");
        bytes.extend(record("path", "blobs/a"));
        bytes.extend(record("size", "9663676416"));
        let mut records = Records::default();
        records.parse(&bytes).expect("they are whole");
        assert_eq!(records.path.as_deref(), Some("blobs/a"));
        assert_eq!(records.size, Some(9 << 30));
        for broken in [
            "9 path=a",
            "x path=a\n",
            "99 path=a\n",
            "6 path\n",
            "9 size=a\n",
            "0 \n",
        ] {
            let read = Records::default().parse(broken.as_bytes());
            assert!(read.is_err(), "{broken:?}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let mut header = tar::Header::new_gnu();
        for (size, is_sound) in [
            (9 << 30, true),
            (SIZE_MAX + 1, false),
            (u64::MAX - 1, false),
        ] {
            header.set_size(size);
            header.set_cksum();
            assert_eq!(Header::parse(header.as_bytes()).is_ok(), is_sound, "{size}");
            let record = record("size", &size.to_string());
            assert_eq!(
                Records::default().parse(&record).is_ok(),
                is_sound,
                "{size}"
            );
        }
    }
}
