//! Whether a store is sealed, and with what: found out once, before the first request that has to know.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use larder_model::address;
use larder_model::sealed::{self, KeyId, RING, RING_MAX_BYTES, Ring};
use larder_model::wire::FormatError;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};
use tokio::sync::Mutex;

use super::Objects;
use crate::error::StoreError;
use crate::keys::{DataKey, EncryptKey, KeyError, Sealer};
use crate::request::{Names, What, collect};

/// How a store's objects are stored.
#[derive(Default)]
pub(super) struct Sealing {
    key: Option<EncryptKey>,
    found: Mutex<Found>,
}

enum Found {
    /// And when somebody last asked in vain.
    Unknown(Option<(Instant, StoreError)>),
    Plain,
    Sealed(Arc<Sealer>),
    /// Nobody has written anything yet. Under names that nobody knows there is nothing to be read.
    Fresh(Arc<Sealer>, DataKey),
}

impl Default for Found {
    fn default() -> Self {
        Self::Unknown(None)
    }
}

impl Found {
    fn sealer(&self) -> Option<Arc<Sealer>> {
        match self {
            Self::Unknown(_) | Self::Plain => None,
            Self::Sealed(sealer) | Self::Fresh(sealer, _) => Some(Arc::clone(sealer)),
        }
    }
}

fn locked(why: impl Into<String>) -> StoreError {
    StoreError::Locked { why: why.into() }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn no_random(error: KeyError) -> StoreError {
    StoreError::Failed {
        what: "write",
        path: RING.to_owned(),
        why: error.to_string(),
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl Sealing {
    pub(super) fn with(key: Option<EncryptKey>) -> Self {
        let found = Mutex::default();
        Self { key, found }
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }
}

impl Objects {
    /// What seals and opens the objects; none in a plain store. An error if our key is not what the store was sealed
    /// with.
    pub(super) async fn sealer(&self) -> Result<Option<Arc<Sealer>>, StoreError> {
        let asked = Instant::now();
        let mut found = self.sealing.found.lock().await;
        if let Found::Unknown(in_vain) = &*found {
            // Who waited for the store beside another request does not begin to wait again.
            if let Some((at, error)) = in_vain
                && *at >= asked
            {
                return Err(error.clone());
            }
            let known = self.find_out().await;
            let known = known.inspect_err(|error| {
                *found = Found::Unknown(Some((Instant::now(), error.clone())));
            });
            *found = known?;
        }
        Ok(found.sealer())
    }

    /// The same for a question that need not wait until that is known. Who has no key can use none but a plain store: it is
    /// asked beside whether it is one, which far away saves a job's start a round trip.
    pub(super) async fn sealer_if_keyed(&self) -> Result<Option<Arc<Sealer>>, StoreError> {
        if self.sealing.has_key() {
            self.sealer().await
        } else {
            Ok(None)
        }
    }

    /// The same for who writes: the key of a store in which there is nothing yet is written first.
    pub(super) async fn sealer_to_write(&self) -> Result<Option<Arc<Sealer>>, StoreError> {
        self.sealer().await?;
        let mut found = self.sealing.found.lock().await;
        if let (Found::Fresh(sealer, data), Some(key)) = (&*found, &self.sealing.key) {
            let slots = vec![key.wrap(data).map_err(no_random)?];
            let bytes = Ring { slots }.encode();
            let created = self
                .patience
                .ask("write", RING, || self.create_ring(bytes.clone()));
            *found = if created.await? {
                Found::Sealed(Arc::clone(sealer))
            } else {
                // Another machine was first.
                self.find_out().await?
            };
        }
        Ok(found.sealer())
    }

    async fn find_out(&self) -> Result<Found, StoreError> {
        let Some(key) = &self.sealing.key else {
            if self.ring().await?.is_some() {
                return Err(locked(
                    "it is encrypted; name its key with --encrypt-key or LARDER_ENCRYPT_KEY",
                ));
            }
            return Ok(Found::Plain);
        };
        if let Some(ring) = self.ring().await? {
            let data = key.unwrap(&ring);
            let data = data.ok_or_else(|| locked(other_key(key.id(), &ring)))?;
            return Ok(Found::Sealed(Arc::new(Sealer::new(&data))));
        }
        let at = address::FORMAT;
        let plain = self
            .patience
            .ask("list", at, || self.names.first(What::Folders, at, "", 1));
        if plain.await.is_ok_and(|folders| !folders.is_empty()) {
            return Err(locked(
                "what is in it is not encrypted; leave out --encrypt-key, or copy it to another store with \
                 `larder cp --to-encrypt-key`",
            ));
        }
        let data = DataKey::generate().map_err(no_random)?;
        Ok(Found::Fresh(Arc::new(Sealer::new(&data)), data))
    }

    /// The list of keys. Who may not see it, and has no key, sees nothing of a sealed store; a damaged one is no fault of a
    /// document.
    async fn ring(&self) -> Result<Option<Ring>, StoreError> {
        if let Names::Nowhere = self.names {
            return Ok(None);
        }
        let is_locked_out = self.sealing.key.is_none();
        let read = self
            .patience
            .ask("read", RING, || self.ring_bytes(is_locked_out));
        let Some(bytes) = read.await? else {
            return Ok(None);
        };
        match Ring::decode(&bytes) {
            Ok(ring) => Ok(Some(ring)),
            Err(error @ FormatError::Version { .. }) => Err(StoreError::format(RING)(error)),
            // A server that answers anything.
            Err(_) if is_locked_out && !sealed::is_ring(&bytes) => Ok(None),
            Err(error) => Err(StoreError::Failed {
                what: "read",
                path: RING.to_owned(),
                why: format!("{error}; put back a copy of it: without it nothing can be read"),
            }),
        }
    }

    async fn ring_bytes(&self, is_locked_out: bool) -> object_store::Result<Option<Bytes>> {
        match self.store.get(&Path::from(RING)).await {
            Ok(found) => Ok(Some(
                collect(found, RING_MAX_BYTES).await?.unwrap_or_default(),
            )),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
                if is_locked_out =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the first list of keys; false if there is one.
    async fn create_ring(&self, bytes: Vec<u8>) -> object_store::Result<bool> {
        let (at, options) = (Path::from(RING), PutOptions::from(PutMode::Create));
        match self
            .store
            .put_opts(&at, bytes.clone().into(), options)
            .await
        {
            Err(Error::AlreadyExists { .. }) => Ok(false),
            // A store without conditional writes: whoever is last has the say, so what is there is read.
            Err(Error::NotImplemented { .. }) => {
                let written = self.store.put(&at, bytes.into()).await;
                written.map(|_| false)
            }
            other => other.map(|_| true),
        }
    }

    /// Adds a key to those that open this store, or leaves ours alone in it; the ids of those that open it then.
    /// Whoever changes the list at the same time may undo that.
    pub async fn rekey(
        &self,
        added: Option<&EncryptKey>,
        only: bool,
    ) -> Result<Vec<KeyId>, StoreError> {
        let Some(key) = &self.sealing.key else {
            return Err(locked(
                "name the key that opens it with --encrypt-key or LARDER_ENCRYPT_KEY",
            ));
        };
        let Some(mut ring) = self.ring().await? else {
            return Err(locked("it is not encrypted, so it has no keys"));
        };
        let data = key.unwrap(&ring);
        let data = data.ok_or_else(|| locked(other_key(key.id(), &ring)))?;
        let before = ring.clone();
        if only {
            ring.slots.retain(|slot| slot.key == key.id());
        }
        if let Some(added) = added {
            ring.slots.retain(|slot| slot.key != added.id());
            ring.slots.push(added.wrap(&data).map_err(no_random)?);
        }
        if ring != before {
            let (at, bytes) = (&Path::from(RING), &ring.encode());
            let written = self
                .patience
                .ask("write", RING, || self.store.put(at, bytes.clone().into()));
            written.await?;
        }
        Ok(ring.slots.iter().map(|slot| slot.key).collect())
    }
}

fn other_key(ours: KeyId, ring: &Ring) -> String {
    let theirs: Vec<String> = ring.slots.iter().map(|slot| slot.key.to_string()).collect();
    format!(
        "it is encrypted with the key {}, and --encrypt-key is {ours}; name the right one, or have it added: `larder \
         rekey --add`",
        theirs.join(" or ")
    )
}
