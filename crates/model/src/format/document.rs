//! Documents: the JSON objects that jobs find by lineage, [`Snapshot`](crate::format::snapshot::Snapshot)s
//! and [`Archive`](crate::format::archive::Archive)s.
//!
//! # Data format
//!
//! A JSON object in UTF-8 and a line feed, stored at
//! `<kind>/<project>/<compatibility>/<scope>/<job>/<time>-<id>.json`, where the id is the BLAKE3
//! digest of exactly these bytes and the time is that of [`crate::format::address::document`]. Fields that a
//! reader does not know are ignored; a change of meaning is a new `format`.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::compatibility::Family;
use crate::digest::DigestError;
use crate::format::address::Kind;
use crate::format::wire::FormatError;
use crate::lineage::Lineage;

/// The engine that wrote what a document describes. An older one must not open a volume. That of directories, which
/// no engine has written, has a family alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineRecord {
    /// For example `docker`, see [`Family`].
    pub family: String,
    /// For example `26.1.5+dfsg1`.
    pub version: String,
    /// `overlay2` or `containerd`.
    pub image_store: String,
}

impl EngineRecord {
    /// A Docker engine of this version, with this image store.
    pub fn docker(version: impl Display, image_store: impl Display) -> Self {
        Self {
            family: Family::Docker.key().to_owned(),
            version: version.to_string(),
            image_store: image_store.to_string(),
        }
    }

    /// A `buildkitd` of this version, and no engine.
    pub fn buildkit(version: impl Display) -> Self {
        Self {
            family: "buildkit".to_owned(),
            version: version.to_string(),
            image_store: String::new(),
        }
    }

    /// Podman of this version, with this storage driver.
    pub fn podman(version: impl Display, driver: &str) -> Self {
        Self {
            family: Family::Podman.key().to_owned(),
            version: version.to_string(),
            image_store: driver.to_owned(),
        }
    }

    /// Directories of a machine.
    pub fn folder() -> Self {
        Self {
            family: "folder".to_owned(),
            version: String::new(),
            image_store: String::new(),
        }
    }
}

/// The counter of a document that is signed. It is one more than that of its parent, if that is of the same line, and
/// not less than that of the line's head, nor than what its machine has seen of the line. So it grows as long as a line goes
/// on, whatever clocks say; siblings have the same; and who starts a line anew does not fall behind it. A machine that
/// has seen a counter takes no document of the line with a smaller one: what is put back is told from what is new.
pub fn counter(parent: Option<u64>, head: u64, seen: u64) -> u64 {
    let next = parent.unwrap_or(0).saturating_add(1);
    next.max(head).max(seen)
}

/// Whether a document has no counter.
#[allow(clippy::trivially_copy_pass_by_ref)] // as serde hands it over
pub(crate) fn is_none(counter: &u64) -> bool {
    *counter == 0
}

/// The one field that every format has in the same place.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn parse<T: DeserializeOwned>(object: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    serde_json::from_slice(bytes).map_err(|error| FormatError::invalid(object, error.to_string()))
}

/// Something that is written last, names everything it needs, and is found by its lineage.
pub trait Document: Debug + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names one by the bytes of its object.
    type Id: Debug
        + Display
        + Copy
        + Ord
        + Hash
        + FromStr<Err = DigestError>
        + Send
        + Sync
        + 'static;

    /// Which of the trees it is in.
    const KIND: Kind;
    /// What it is called in errors.
    const OBJECT: &'static str;
    /// The format that this program writes and reads.
    const FORMAT: u32;
    /// Most bytes of its object.
    const MAX_BYTES: usize;

    /// The id of an object with these bytes.
    fn id_of(bytes: &[u8]) -> Self::Id;
    /// The line it belongs to.
    fn lineage(&self) -> &Lineage;
    /// When it was made: Unix time in milliseconds.
    fn created_ms(&self) -> u64;
    /// Its [`counter`]; 0 if it has none.
    fn counter(&self) -> u64;
    /// Whether it was saved beside another of its line.
    fn is_sibling(&self) -> bool;
    /// What its job's builds depended on, as it keeps that.
    fn plan(&self) -> Option<&serde_json::Value>;
    /// Why what it says does not fit together, although it is JSON of the right form.
    fn fault(&self) -> Option<String> {
        None
    }

    /// The bytes of the object, and its id.
    fn encode(&self) -> (Self::Id, Vec<u8>) {
        let mut bytes = serde_json::to_vec(self).expect("every field has a JSON form");
        bytes.push(b'\n');
        (Self::id_of(&bytes), bytes)
    }

    /// Reads the object that is stored under `id`.
    fn decode(id: Self::Id, bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > Self::MAX_BYTES {
            let what = format!("it has {} bytes", bytes.len());
            return Err(FormatError::invalid(Self::OBJECT, what));
        }
        if Self::id_of(bytes) != id {
            let what = "its bytes do not have the digest in its name";
            return Err(FormatError::invalid(Self::OBJECT, what));
        }
        // Alone and first: the other fields of a newer format may be of another form.
        let Format { format } = parse(Self::OBJECT, bytes)?;
        if format != Self::FORMAT {
            return Err(FormatError::Version {
                object: Self::OBJECT,
                found: u16::try_from(format).unwrap_or(u16::MAX),
                known: Self::FORMAT as u16,
            });
        }
        let document: Self = parse(Self::OBJECT, bytes)?;
        match document.fault() {
            Some(what) => Err(FormatError::invalid(Self::OBJECT, what)),
            None => Ok(document),
        }
    }

    /// Where the object is.
    fn path(&self, id: Self::Id) -> String {
        crate::format::address::document(Self::KIND, self.lineage(), self.created_ms(), id)
    }
}

/// What a [`Document`] answers from its fields, which all kinds have.
macro_rules! answered_from_fields {
    ($id:ty) => {
        type Id = $id;

        fn id_of(bytes: &[u8]) -> $id {
            <$id>::of(bytes)
        }

        fn lineage(&self) -> &$crate::lineage::Lineage {
            &self.lineage
        }

        fn created_ms(&self) -> u64 {
            self.created_ms
        }

        fn counter(&self) -> u64 {
            self.counter
        }

        fn is_sibling(&self) -> bool {
            self.sibling
        }

        fn plan(&self) -> Option<&serde_json::Value> {
            self.plan.as_ref()
        }
    };
}
pub(crate) use answered_from_fields;

#[cfg(test)]
mod tests {
    use super::counter;

    #[test]
    fn counters_grow_along_a_line_and_siblings_share_one() {
        assert_eq!(counter(None, 0, 0), 1);
        let first = counter(Some(6), 6, 6);
        assert_eq!(first, 7);
        // Another job that started from 6 finds this head, and is no newer.
        assert_eq!(counter(Some(6), first, 6), 7);
        // One that started empty, or from another line, continues here.
        assert_eq!(counter(None, 7, 0), 7);
        // The head was removed, and this machine knows of it.
        assert_eq!(counter(Some(3), 3, 7), 7);
        assert_eq!(counter(Some(u64::MAX), 0, 0), u64::MAX);
    }
}
