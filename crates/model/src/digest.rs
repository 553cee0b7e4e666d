//! Content digests: each kind of object has an id type of its own, all of them BLAKE3.

/// A text that is not the 64 lower-case hexadecimal digits of a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a digest: expected 64 lower-case hexadecimal digits")]
pub struct DigestError(String);

impl DigestError {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.chars().take(80).collect())
    }
}

/// A type of digests that are told apart from all others; what they are digests of is its own
/// affair.
macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::hex::write(&self.0, f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self:.12})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::digest::DigestError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::hex::decode(text)
                    .map(Self)
                    .ok_or_else(|| $crate::digest::DigestError::new(text))
            }
        }

        $crate::digest::serde_as_text! { $name }
    };
}
pub(crate) use digest_type;

/// In JSON, a value is the text that it is displayed as.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        digest_type! { $(#[$doc])* $name }

        impl $name {
            /// The id of these bytes.
            pub fn of(bytes: &[u8]) -> Self {
                Self(*blake3::hash(bytes).as_bytes())
            }

            /// An id read from a format that holds it as 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }
    )*};
}

id_types! {
    /// Names a block by its 64 KiB of content.
    BlockId
    /// Names a pack by all of its bytes.
    PackId
    /// Names one leaf of a map by its encoded bytes.
    LeafId
    /// Names an object that holds the leaves one save wrote, by all of its bytes.
    LeavesId
    /// Names the root of a map by its encoded bytes.
    MapId
    /// Names a hot list by its encoded bytes.
    HotListId
    /// Names a list of remembered images by its encoded bytes.
    ImagesId
    /// Names a snapshot by the bytes of its object.
    SnapshotId
    /// Names a chunk of an archived blob by its content.
    ChunkId
    /// Names a part of a recipe by its stored (compressed) bytes.
    PartId
    /// Names an object that holds the recipe parts one archive wrote, by all of its bytes.
    RecipesId
    /// Names an archive by the bytes of its object.
    ArchiveId
    /// Names a list of garbage by its encoded bytes.
    GarbageId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = BlockId::of(b"larder");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("{id:.12}"), id.to_string()[..12]);
    }

    #[test]
    fn other_texts_are_refused_and_named() {
        let upper = BlockId::of(b"larder").to_string().to_uppercase();
        for text in ["", "00", &upper, &"g".repeat(64), &"é".repeat(32)] {
            let error = text.parse::<BlockId>().expect_err("not a digest");
            assert!(error.to_string().contains("64 lower-case"), "{error}");
        }
    }
}
