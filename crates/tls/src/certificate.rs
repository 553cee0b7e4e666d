//! The few fields of a certificate that rustls does not tell (RFC 5280, section 4.1).

use std::ops::Range;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The version, which old certificates leave out.
const VERSION: u8 = 0xa0;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
/// What may stand between the key and the extensions.
const UNIQUE_IDS: [u8; 2] = [0x81, 0x82];
const EXTENSIONS: u8 = 0xa3;
/// What a key is for, 2.5.29.37 (RFC 5280, section 4.2.1.12).
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
/// Whether a certificate is an authority's, 2.5.29.19 (section 4.2.1.9).
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is told of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    /// The issuer's name, as DER.
    pub(crate) issuer: &'a [u8],
    /// The first and the last second in which it is valid, since 1970.
    pub(crate) valid: (u64, u64),
}

/// Reads them; nothing if it is no certificate.
pub(crate) fn facts(der: &[u8]) -> Option<Facts<'_>> {
    let mut certificate = Reader(Reader(der).next(SEQUENCE)?.content);
    let first = Reader(certificate.next(SEQUENCE)?.content).first()?;
    let mut validity = Reader(first.validity.content);
    let valid = (validity.time()?, validity.time()?);
    Some(Facts {
        issuer: first.issuer.whole,
        valid,
    })
}

/// What a signature is verified by, and what the certificate is for.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// All that is signed.
    pub(crate) signed: &'a [u8],
    /// The algorithm's identifier, without its head, as `rustls` has them.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
    /// The issuer's name, without its head.
    pub(crate) issuer: &'a [u8],
    /// The purposes that it is restricted to; none if it is not.
    pub(crate) purposes: Vec<&'a [u8]>,
    /// Whether it may sign others: it says so, or is of the first version, which could not.
    pub(crate) is_authority: bool,
}

/// Reads them; nothing if it is no certificate.
pub(crate) fn parts(der: &[u8]) -> Option<Parts<'_>> {
    let mut certificate = Reader(Reader(der).next(SEQUENCE)?.content);
    let signed = certificate.next(SEQUENCE)?;
    let algorithm = certificate.next(SEQUENCE)?.content;
    let signature = bits(certificate.next(BIT_STRING)?.content)?;
    let mut fields = Reader(signed.content);
    let first = fields.first()?;
    // Subject, key.
    for _ in 0..2 {
        fields.next(SEQUENCE)?;
    }
    for id in UNIQUE_IDS {
        let _ = fields.next(id);
    }
    let mut parts = Parts {
        signed: signed.whole,
        algorithm,
        signature,
        issuer: first.issuer.content,
        purposes: Vec::new(),
        is_authority: first.is_old,
    };
    if let Some(extensions) = fields.next(EXTENSIONS) {
        parts.restrict(Reader(Reader(extensions.content).next(SEQUENCE)?.content))?;
    }
    Some(parts)
}

impl<'a> Parts<'a> {
    /// By what the extensions say.
    fn restrict(&mut self, mut extensions: Reader<'a>) -> Option<()> {
        while !extensions.0.is_empty() {
            match extensions.extension()? {
                (kind, mut value) if kind == EXTENDED_KEY_USAGE => {
                    while !value.0.is_empty() {
                        self.purposes.push(value.next(OBJECT)?.content);
                    }
                }
                (kind, mut value) if kind == BASIC_CONSTRAINTS => {
                    self.is_authority = value.next(BOOLEAN).is_some_and(|ca| ca.content != [0]);
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// The kind of a public key, without its head, and the key.
pub(crate) fn public_key(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = Reader(info);
    let kind = info.next(SEQUENCE)?.content;
    Some((kind, bits(info.next(BIT_STRING)?.content)?))
}

/// Whole bytes; before them stands how many bits are left over.
fn bits(content: &[u8]) -> Option<&[u8]> {
    content.strip_prefix(&[0])
}

/// The first fields of what is signed, as far as they matter.
struct First<'a> {
    /// Of the first version, which had no extensions.
    is_old: bool,
    issuer: Element<'a>,
    validity: Element<'a>,
}

/// One element.
struct Element<'a> {
    /// With its tag and its length.
    whole: &'a [u8],
    content: &'a [u8],
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element, if it has this tag.
    fn next(&mut self, tag: u8) -> Option<Element<'a>> {
        let (&[_, first], body) = self
            .0
            .split_first_chunk()
            .filter(|(head, _)| head[0] == tag)?;
        let (length, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81..=0x84 => {
                let count = usize::from(first - 0x80);
                let digits = body.get(..count)?.iter();
                let length = digits.fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                (length, 2 + count)
            }
            _ => return None,
        };
        let (whole, rest) = self.0.split_at_checked(header + length)?;
        self.0 = rest;
        let content = &whole[header..];
        Some(Element { whole, content })
    }

    /// The first fields of what is signed.
    fn first(&mut self) -> Option<First<'a>> {
        let is_old = self.next(VERSION).is_none();
        self.next(INTEGER)?;
        self.next(SEQUENCE)?;
        Some(First {
            is_old,
            issuer: self.next(SEQUENCE)?,
            validity: self.next(SEQUENCE)?,
        })
    }

    /// An extension's kind, and what is in its sequence; nothing is in it if it is of another form.
    fn extension(&mut self) -> Option<(&'a [u8], Reader<'a>)> {
        let mut extension = Reader(self.next(SEQUENCE)?.content);
        let kind = extension.next(OBJECT)?.content;
        // Whether it must be understood.
        let _ = extension.next(BOOLEAN);
        let value = Reader(extension.next(OCTETS)?.content).next(SEQUENCE);
        Some((kind, Reader(value.map_or(&[], |value| value.content))))
    }

    /// A time, in seconds since 1970. Two digits of a year below 50 are of this century.
    fn time(&mut self) -> Option<u64> {
        let text = if let Some(short) = self.next(UTC_TIME) {
            let text = str::from_utf8(short.content).ok()?;
            let century = if text < "50" { "20" } else { "19" };
            format!("{century}{text}")
        } else {
            let long = self.next(GENERALIZED_TIME)?;
            str::from_utf8(long.content).ok()?.to_owned()
        };
        let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14)?;
        let number = |range: Range<usize>| digits.get(range)?.parse::<u64>().ok();
        let (hour, minute, second) = (number(8..10)?, number(10..12)?, number(12..14)?);
        let days = days_since_1970(number(0..4)?, number(4..6)?, number(6..8)?)?;
        Some(days * 86_400 + hour * 3600 + minute * 60 + second)
    }
}

/// Days from the first of March of the year 0 count evenly; a day before 1970 counts as 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    /// From the first of March of the year 0 to the first of January of 1970.
    const TO_1970: u64 = 719_468;
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1;
    Some(days.saturating_sub(TO_1970))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        for ((year, month, day), days) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2024, 12, 31), 20_088),
            ((2100, 3, 1), 47_541),
            ((1969, 12, 31), 0),
        ] {
            assert_eq!(days_since_1970(year, month, day), Some(days), "{year}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let time = |tag, text: &str| {
            let der = [&[tag, text.len() as u8], text.as_bytes()].concat();
            Reader(&der).time()
        };
        assert_eq!(time(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(GENERALIZED_TIME, "20000229120000Z"), Some(951_825_600));
        for wrong in ["", "7001010000Z", "70010100000xZ", "700101000001"] {
            assert_eq!(time(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn authorities_say_that_they_are() {
        let mut all = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        assert!(all.all(|der| parts(der).is_some_and(|parts| parts.is_authority)));
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut der = webpki_root_certs::TLS_SERVER_ROOT_CERTS[0].to_vec();
        let facts = facts(&der).expect("a certificate");
        assert!(facts.valid.0 < facts.valid.1 && facts.issuer[0] == SEQUENCE);
        for end in 0..der.len() {
            let _ = (super::facts(&der[..end]), parts(&der[..end]));
        }
        for at in 0..200 {
            der[at] ^= 0xff;
            let _ = (super::facts(&der), parts(&der));
            der[at] ^= 0xff;
        }
    }
}
