//! Reading and writing little-endian fields of the binary formats.
//!
//! A `Reader` never reads past its bytes and never reserves memory that the bytes do not back.

use crate::digest::DigestError;

/// Why bytes from a store were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end before a field does.
    #[error("the {object} is cut short: {field} needs {needed} bytes, {left} are left")]
    Short {
        /// Kind of object.
        object: &'static str,
        /// Field that was being read.
        field: &'static str,
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A field holds a value that the format does not allow.
    #[error("the {object} is not valid: {what}")]
    Invalid {
        /// Kind of object.
        object: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The object has a format version that this program does not read.
    #[error(
        "the {object} has format version {found}; this program reads version {known}: use a newer Larder"
    )]
    Version {
        /// Kind of object.
        object: &'static str,
        /// Version found.
        found: u16,
        /// Version that this program reads.
        known: u16,
    },
    /// A digest in text form was not one.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl FormatError {
    pub(crate) fn invalid(object: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Invalid { object, what }
    }
}

/// Reads fields in order from the bytes of one object.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    object: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which are those of an `object` (named in errors).
    pub(crate) fn new(object: &'static str, bytes: &'a [u8]) -> Self {
        let rest = bytes;
        Self { object, rest }
    }

    /// A reader of the fields of an `object` (named in errors) that stand behind the 12 bytes that
    /// every binary object starts with: its magic, its version, two zero bytes.
    pub(crate) fn open(
        object: &'static str,
        bytes: &'a [u8],
        max_bytes: usize,
        magic: [u8; 8],
        known: u16,
    ) -> Result<Self, FormatError> {
        let mut from = Self::new(object, bytes);
        if bytes.len() > max_bytes {
            return Err(from.invalid(format!("it has {} bytes", bytes.len())));
        }
        if from.take("magic", 8)? != magic {
            return Err(from.invalid("it does not start with its magic bytes"));
        }
        let found = from.u16("version")?;
        if found != known {
            return Err(FormatError::Version {
                object,
                found,
                known,
            });
        }
        match from.u16("reserved")? {
            0 => Ok(from),
            other => Err(from.invalid(format!("the reserved field holds {other}, not 0"))),
        }
    }

    pub(crate) fn take(
        &mut self,
        field: &'static str,
        len: usize,
    ) -> Result<&'a [u8], FormatError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(FormatError::Short {
                object: self.object,
                field,
                needed: len,
                left: self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], FormatError> {
        let bytes = self.take(field, N)?;
        Ok(bytes.try_into().expect("take returns the length asked for"))
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, FormatError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, FormatError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, FormatError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, FormatError> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(crate) fn digest(&mut self, field: &'static str) -> Result<[u8; 32], FormatError> {
        self.array(field)
    }

    /// The next number in LEB128, in no more bytes than it needs.
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64, FormatError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.invalid(format!("{field} is not a number in LEB128")))
    }

    /// All that was not read yet.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Ends reading: bytes left over are an error.
    pub(crate) fn end(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.invalid(format!("{} bytes follow its end", self.rest.len())))
    }

    pub(crate) fn invalid(&self, what: impl Into<String>) -> FormatError {
        FormatError::invalid(self.object, what)
    }
}

/// Starts an object: magic, version, two zero bytes. The counterpart of [`Reader::open`].
pub(crate) fn write_header(out: &mut Vec<u8>, magic: [u8; 8], version: u16) {
    out.extend_from_slice(&magic);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
}

/// Writes a number as LEB128: 7 bits a byte, the lowest first, the highest bit set on all but the
/// last. The counterpart of [`Reader::varint`].
pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
