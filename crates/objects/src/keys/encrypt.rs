//! A user's key: it wraps the key that a store's objects are sealed with.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use larder_model::hex;
use larder_model::sealed::{KeyId, NONCE_BYTES, Ring, Slot};
use serde::{Deserialize, Serialize};

use super::sealer::DataKey;
use super::{KeyError, random};

/// What a key begins with.
pub(super) const ENCRYPT_BEGIN: &str = "larder-encrypt:";

const FOR_ID: &str = "larder 2026 encryption key: its id";
const FOR_WRAPPING: &str = "larder 2026 encryption key: wrapping";

/// A secret of 32 random bytes, as `larder keygen --encrypt` writes it. Another process can be given it; shown, it says
/// its id.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EncryptKey([u8; 32]);

impl EncryptKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, KeyError> {
        random().map(Self)
    }

    /// Reads a key.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().strip_prefix(ENCRYPT_BEGIN);
        let bytes = digits.and_then(hex::decode);
        bytes.map(Self).ok_or(KeyError::NotEncryption)
    }

    /// The key as it is kept: a secret.
    pub fn text(&self) -> String {
        format!("{ENCRYPT_BEGIN}{}\n", hex::encode(&self.0))
    }

    /// What it is called.
    pub fn id(&self) -> KeyId {
        let id = blake3::derive_key(FOR_ID, &self.0);
        KeyId(*id.first_chunk().expect("32 bytes are more than 8"))
    }

    /// A slot with the data key. Its nonce is random: a user's key wraps few data keys.
    pub(crate) fn wrap(&self, data: &DataKey) -> Result<Slot, KeyError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let mut wrapped = data.bytes().to_vec();
        let aad = Aad::from(self.id().0);
        self.wrapping()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut wrapped)
            .expect("32 bytes are not too many");
        Ok(Slot {
            key: self.id(),
            nonce,
            wrapped: wrapped.try_into().expect("a key and a tag"),
        })
    }

    /// The data key in our slot of a list; nothing if there is none, or if it is not what was put there.
    pub(crate) fn unwrap(&self, ring: &Ring) -> Option<DataKey> {
        let id = self.id();
        let mut ours = ring.slots.iter().filter(|slot| slot.key == id);
        ours.find_map(|slot| {
            let mut wrapped = slot.wrapped;
            let nonce = Nonce::assume_unique_for_key(slot.nonce);
            let wrapping = self.wrapping();
            let opened = wrapping.open_in_place(nonce, Aad::from(id.0), &mut wrapped);
            Some(DataKey::new(opened.ok()?.try_into().ok()?))
        })
    }

    fn wrapping(&self) -> LessSafeKey {
        let key = blake3::derive_key(FOR_WRAPPING, &self.0);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("it has 32 bytes"))
    }
}

impl TryFrom<String> for EncryptKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::from_text(&text)
    }
}

impl From<EncryptKey> for String {
    fn from(key: EncryptKey) -> Self {
        key.text()
    }
}

impl fmt::Debug for EncryptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the encryption key {}", self.id())
    }
}
