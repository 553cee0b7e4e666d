//! The names of what is in a store, without anything else of it.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStore as _;
use object_store::path::Path;

use super::{Objects, at};
use crate::error::StoreError;
use crate::keys::Sealer;
use crate::request::What;

impl Objects {
    /// The names of the first `max` objects in a folder after `after`, in order; none if there is no
    /// folder. It costs one request, however many there are.
    pub async fn first_names(
        &self,
        folder: &str,
        after: &str,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (sealer, names) = self.stored_names(What::Objects, folder, after, max).await?;
        Ok(opened(sealer.as_deref(), names, |sealer, name| {
            sealer.open_object(folder, name)
        }))
    }

    /// The names of at most `max` folders in a folder.
    pub async fn folders(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let (sealer, names) = self.stored_names(What::Folders, folder, "", max).await?;
        Ok(opened(sealer.as_deref(), names, |sealer, name| {
            sealer.open_folder(folder, name)
        }))
    }

    /// Names as they are stored, and what opens them. Whether the store is as we take it is asked meanwhile.
    async fn stored_names(
        &self,
        what: What,
        folder: &str,
        after: &str,
        max: usize,
    ) -> Result<(Option<Arc<Sealer>>, Vec<String>), StoreError> {
        let sealer = self.sealer_if_keyed().await?;
        let at = at(sealer.as_deref(), folder);
        let names = self.listed(folder, || self.names.first(what, &at, after, max));
        let (known, names) = tokio::join!(Box::pin(self.sealer()), names);
        known?;
        Ok((sealer, names?))
    }

    /// The paths of at most `max` objects anywhere below a folder.
    pub async fn walk(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let sealer = self.sealer().await?;
        let at = Path::from(at(sealer.as_deref(), folder));
        let list = || {
            let objects = self.store.list(Some(&at)).take(max);
            objects
                .map_ok(|object| object.location.to_string())
                .try_collect()
        };
        let paths = self.listed(folder, list).await?;
        Ok(opened(sealer.as_deref(), paths, Sealer::open_path))
    }

    /// Where a folder is stored: in a sealed store that is another place.
    pub async fn stored_folder(&self, path: &str) -> Result<String, StoreError> {
        Ok(at(self.sealer().await?.as_deref(), path))
    }

    async fn listed<F: Future<Output = object_store::Result<Vec<String>>>>(
        &self,
        folder: &str,
        list: impl Fn() -> F,
    ) -> Result<Vec<String>, StoreError> {
        match self.patience.ask("list", folder, list).await {
            Err(StoreError::Missing { .. }) => Ok(Vec::new()),
            other => other,
        }
    }
}

/// Names as they were before they were sealed; those that nobody with our key gave are left out.
fn opened(
    sealer: Option<&Sealer>,
    names: Vec<String>,
    open: impl Fn(&Sealer, &str) -> Option<String>,
) -> Vec<String> {
    let Some(sealer) = sealer else { return names };
    let names = names.iter();
    names.filter_map(|name| open(sealer, name)).collect()
}
