//! Sealing: what is stored of an object of a sealed store, and under which name. The bytes are in
//! [`larder_model::sealed`].
//!
//! **Contents.** Every path has keys of its own, made of the data key and the path: what was sealed for one place opens
//! in no other. A segment's nonce is the keyed digest of its bytes, its number and whether it is the last one.
//! So two segments of a path have the same nonce only if they are the same segment with the same bytes (or by a chance
//! of 2⁻⁹⁵ for each pair), whoever writes it, how often, and whatever is written there: there is no counter to keep and
//! no state to lose. And equal bytes are sealed to equal bytes, so an object that is written again does not change.
//!
//! **Names.** Each part of a path behind its kind (`packs`, `snapshots`, …) is encrypted: the keyed digest of the part, the
//! kind and how deep it stands is its tag, and what the tag is expanded to, with another key, is added to the part (SIV,
//! P. Rogaway and T. Shrimpton, "Deterministic Authenticated-Encryption", with BLAKE3 for both). So a name tells nothing
//! but its length, and where the same one stands again, to whoever lacks the key; one path has one name, and a listing can
//! be read back. The time in front of a document's name stays, for names to sort. A name does not depend on the folders
//! around it, so that a rule for a bucket can name a scope whatever the engine is.

mod contents;
mod names;

use super::{KeyError, random};

pub(crate) use self::contents::has_last;

const FOR_CONTENTS: &str = "larder 2026 sealed store: contents";
const FOR_NAMES: &str = "larder 2026 sealed store: tags of names";
const FOR_STREAMS: &str = "larder 2026 sealed store: names";

/// What all objects of a store are sealed with.
pub(crate) struct DataKey([u8; 32]);

impl DataKey {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn generate() -> Result<Self, KeyError> {
        random().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Seals and opens the objects of one store.
pub(crate) struct Sealer {
    contents: [u8; 32],
    names: [u8; 32],
    streams: [u8; 32],
}

impl Sealer {
    pub(crate) fn new(data: &DataKey) -> Self {
        let key = |purpose| blake3::derive_key(purpose, data.bytes());
        Self {
            contents: key(FOR_CONTENTS),
            names: key(FOR_NAMES),
            streams: key(FOR_STREAMS),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) const PATH: &str = "v1/packs/3f/3f00";

    pub(super) fn sealer(byte: u8) -> Sealer {
        Sealer::new(&DataKey::new([byte; 32]))
    }

    pub(super) fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 251 + at) as u8).collect()
    }

    #[test]
    fn the_bytes_of_a_sealed_object_stay() {
        let ours = sealer(1);
        let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
        assert_eq!(
            digest(&ours.seal(PATH, &content(20_000))),
            "35a380ce4464d80d"
        );
        assert_eq!(
            ours.object(PATH),
            "v1-sealed/packs/K5o5KZd26nyMolZIB9TixsMs/BBqMc1_I79o9dm3ixbQMUX7MPOU"
        );
        assert_eq!(
            ours.object("v1/sweeps/ffffffffffffffff-ab.done"),
            "v1-sealed/sweeps/ffffffffffffffff.xPnI07txHMRsKVr_1JOhXQ_O8i3iDeU"
        );
        assert_eq!(
            ours.folder("v1/packs/3f"),
            "v1-sealed/packs/K5o5KZd26nyMolZIB9TixsMs"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_reason_to_panic(stored in proptest::collection::vec(any::<u8>(), 0..100), text in ".{0,60}") {
            prop_assert!(sealer(1).open(PATH, &stored[..]).is_err());
            sealer(1).open_path(&format!("v1-sealed/packs/{text}"));
        }
    }
}
