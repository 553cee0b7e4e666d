//! Removing documents. What they named and nothing else does is garbage some time later.

use larder_store::{Objects, StoreError};

use crate::documents::{self, Listed};

/// Removes documents. Jobs that have read one go on; see [`crate::gc`].
pub async fn remove(objects: &Objects, documents: &[&Listed]) -> Result<(), StoreError> {
    documents::retire(objects, documents).await
}

/// Removes documents that were retired long enough ago.
pub(crate) async fn for_good(objects: &Objects, retired: &[Listed]) -> Result<(), StoreError> {
    let paths: Vec<String> = retired.iter().map(|one| one.path().to_owned()).collect();
    objects.delete(&paths).await
}
