//! Removing documents. What they named and nothing else does is garbage from then on.

use larder_store::{Objects, StoreError};

use crate::documents::Listed;

/// Removes documents. Jobs that have read one go on; see [`crate::gc`].
pub async fn remove(objects: &Objects, documents: &[&Listed]) -> Result<(), StoreError> {
    let paths: Vec<String> = documents.iter().map(|one| one.path().to_owned()).collect();
    objects.delete(&paths).await
}
