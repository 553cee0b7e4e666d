//! Copies of objects under names that are known before anything is listed: written over again and again, and relied on
//! by nobody.

use bytes::Bytes;
use larder_model::sealed::sealed_bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore as _, ObjectStoreExt as _};

use super::Objects;
use crate::request::{Names, collect};

impl Objects {
    /// Whether copies are worth it: in a folder a request takes no time, and what is in GitHub's cache cannot be written
    /// again.
    fn takes_copies(&self) -> bool {
        !matches!(self.names, Names::Folder(_)) && self.github.is_none()
    }

    /// Writes a copy in the place of the one before, in one attempt: whoever does not find it reads the object itself.
    pub async fn put_copy(&self, path: &str, bytes: Bytes) {
        if !self.takes_copies() {
            return;
        }
        let (at, payload) = match self.stored(path, bytes.into()).await {
            Ok(stored) => stored,
            Err(error) => return tracing::debug!(%error, path, "no copy"),
        };
        let written = self.store.put(&at, payload).await;
        tracing::debug!(?written, path, "a copy");
    }

    /// Reads a copy of at most `max_bytes`, if there is one, in one attempt. What comes may be anything.
    pub async fn get_copy(&self, path: &str, max_bytes: usize) -> Option<Bytes> {
        if !self.takes_copies() {
            return None;
        }
        let Some(sealer) = self.sealer_if_keyed().await.ok()? else {
            return self.stored_copy(&Path::from(path), max_bytes).await;
        };
        let at = Path::from(sealer.object(path));
        let max_bytes = sealed_bytes(max_bytes as u64) as usize;
        let stored = self.stored_copy(&at, max_bytes).await?;
        sealer.open(path, stored).ok()
    }

    async fn stored_copy(&self, at: &Path, max_bytes: usize) -> Option<Bytes> {
        let found = self.store.get_opts(at, GetOptions::default()).await;
        let found = found.inspect_err(|error| tracing::debug!(%error, "no copy"));
        collect(found.ok()?, max_bytes).await.ok().flatten()
    }
}
