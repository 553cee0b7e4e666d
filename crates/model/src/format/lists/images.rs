//! What the machines of a project remember together of images: the documents of registries, byte
//! for byte.
//!
//! Nothing in it has to be believed. Neither a digest nor an identity is written: a document's name
//! is what its bytes hash to, and it is used only where a registry, or a reference with a digest,
//! names that. So whoever writes to a store can waste a job's time with it, and no more.
//!
//! # Data format
//!
//! ```text
//! "LARDERIM"  version u16 = 1  0 u16                              12 bytes
//! images u32                                                      4 bytes
//! per image:     name bytes u16  name  platform bytes u16  platform  documents u8
//! per document:  bytes u32  document
//! ```
//!
//! Stored at `images/<project>/<time>-<id>`, where the id is the BLAKE3 digest of the bytes.

use crate::digest::ImagesId;
use crate::format::limits::{IMAGE_DOCUMENTS_MAX, IMAGES_MAX, IMAGES_MAX_BYTES};
use crate::format::wire::{FormatError, Reader, write_header};

const MAGIC: [u8; 8] = *b"LARDERIM";
const VERSION: u16 = 1;
const OBJECT: &str = "list of images";

/// An image that a registry was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedImage {
    /// Its full name.
    pub name: String,
    /// The platform it was asked for.
    pub platform: String,
    /// Its index, if the name is one, its manifest and its configuration.
    pub documents: Vec<Vec<u8>>,
}

impl RememberedImage {
    fn is_about(&self, other: &Self) -> bool {
        self.name == other.name && self.platform == other.platform
    }

    /// Its encoded form; nothing if it does not fit.
    fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for text in [&self.name, &self.platform] {
            out.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        if self.documents.len() > IMAGE_DOCUMENTS_MAX {
            return None;
        }
        out.push(self.documents.len() as u8);
        for document in &self.documents {
            out.extend_from_slice(&u32::try_from(document.len()).ok()?.to_le_bytes());
            out.extend_from_slice(document);
        }
        Some(out)
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, FormatError> {
        let (name, platform) = (read_name(from)?, read_name(from)?);
        let count = usize::from(from.u8("documents")?);
        if count > IMAGE_DOCUMENTS_MAX {
            return Err(from.invalid(format!("an image of {count} documents")));
        }
        let mut documents = Vec::with_capacity(count);
        for _ in 0..count {
            let length = from.u32("length of a document")?;
            documents.push(from.take("document", length as usize)?.to_vec());
        }
        Ok(Self {
            name,
            platform,
            documents,
        })
    }
}

fn read_name(from: &mut Reader<'_>) -> Result<String, FormatError> {
    let length = from.u16("length of a name")?;
    let bytes = from.take("name", usize::from(length))?.to_vec();
    String::from_utf8(bytes).map_err(|_| from.invalid("a name is not UTF-8"))
}

/// Puts news before what was known. Of each image one entry is left, and no more than fit.
pub fn merge(news: Vec<RememberedImage>, known: Vec<RememberedImage>) -> Vec<RememberedImage> {
    let mut all: Vec<RememberedImage> = Vec::new();
    for image in news.into_iter().chain(known) {
        if !all.iter().any(|other| other.is_about(&image)) {
            all.push(image);
        }
    }
    all.truncate(IMAGES_MAX);
    all
}

/// Writes images; the last ones are left out if all of them do not fit.
pub fn encode(images: &[RememberedImage]) -> (ImagesId, Vec<u8>) {
    let mut encoded: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 16;
    for image in images.iter().filter_map(RememberedImage::encode) {
        if encoded.len() == IMAGES_MAX || bytes + image.len() > IMAGES_MAX_BYTES {
            break;
        }
        bytes += image.len();
        encoded.push(image);
    }
    let mut out = Vec::with_capacity(bytes);
    write_header(&mut out, MAGIC, VERSION);
    out.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
    out.extend(encoded.into_iter().flatten());
    (ImagesId::of(&out), out)
}

/// Reads images.
pub fn decode(bytes: &[u8]) -> Result<Vec<RememberedImage>, FormatError> {
    let mut from = Reader::open(OBJECT, bytes, IMAGES_MAX_BYTES, MAGIC, VERSION)?;
    let count = from.u32("images")? as usize;
    if count > IMAGES_MAX {
        return Err(from.invalid(format!("it lists {count} images")));
    }
    let images = (0..count)
        .map(|_| RememberedImage::decode(&mut from))
        .collect::<Result<_, _>>()?;
    from.end()?;
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(name: &str, documents: &[&str]) -> RememberedImage {
        let documents = documents.iter().map(|text| text.as_bytes().to_vec());
        RememberedImage {
            name: name.to_owned(),
            platform: "p".to_owned(),
            documents: documents.collect(),
        }
    }

    #[test]
    fn golden_bytes() {
        let (_, bytes) = encode(&[image("a/b", &["{}", ""])]);
        assert_eq!(bytes[..16], *b"LARDERIM\x01\0\0\0\x01\0\0\0");
        assert_eq!(bytes[16..], *b"\x03\0a/b\x01\0p\x02\x02\0\0\0{}\0\0\0\0");
    }

    #[test]
    fn news_come_first_and_replace_what_was_known() {
        let known = vec![image("a", &["1"]), image("b", &["2"])];
        let merged = merge(vec![image("b", &["3"])], known);
        assert_eq!(merged, [image("b", &["3"]), image("a", &["1"])]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let large = "x".repeat(IMAGES_MAX_BYTES / 2);
        let (_, bytes) = encode(&[image("a", &[&large]), image("b", &[&large])]);
        let left = decode(&bytes).expect("just written");
        assert_eq!(left.len(), 1);
        let many = vec![image("a", &[]); IMAGES_MAX + 1];
        assert_eq!(
            decode(&encode(&many).1).expect("just written").len(),
            IMAGES_MAX
        );
        let deep = image("a", &[""; IMAGE_DOCUMENTS_MAX + 1]);
        assert_eq!(decode(&encode(&[deep]).1), Ok(Vec::new()));
        decode(&vec![0; IMAGES_MAX_BYTES + 1]).expect_err("too large");
    }

    proptest! {
        #[test]
        fn any_images_read_back(
            raw in prop::collection::vec(
                (".{0,20}", prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..4)),
                0..5,
            )
        ) {
            let image = |(name, documents)| RememberedImage { name, platform: "p".into(), documents };
            let images: Vec<_> = raw.into_iter().map(image).collect();
            prop_assert_eq!(decode(&encode(&images).1).expect("just written"), images);
        }

        #[test]
        fn any_bytes_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..100)) {
            let (_, mut bytes) = encode(&[]);
            bytes.truncate(12);
            bytes.extend(tail);
            if let Ok(images) = decode(&bytes) {
                prop_assert_eq!(encode(&images).1, bytes);
            }
        }
    }
}
