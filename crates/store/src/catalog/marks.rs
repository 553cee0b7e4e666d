//! Marks of documents: made, and looked at.

use std::fmt::Display;

use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::address;
use larder_model::mark::{FORMAT, Fault, MARKS_MAX, MachineId, Mark, Strike, is_passed_over};

use crate::error::StoreError;
use crate::objects::Objects;

/// Marks that a listing reads.
const LISTED_MAX: usize = 1_000;
/// Reads at once while listing.
const LISTING_READS: usize = 16;
/// Most bytes of a mark that is read. The engine's last words are in it.
const MARK_MAX_BYTES: usize = 64 * 1024;
/// Most characters of a reason.
const WHY_MAX_CHARS: usize = 4_000;

/// Who reads documents, and may mark them.
#[derive(Debug, Clone)]
pub struct Reader {
    /// This machine.
    pub machine: MachineId,
    /// The scope of its job.
    pub scope: String,
    /// The job.
    pub job: String,
    /// Now: Unix time in milliseconds.
    pub now_ms: u64,
}

impl Reader {
    /// Marks a document, so that others do not try it again, and goes on where that fails: a job does not fail
    /// because its store cannot be written to. The document itself stays: it may be needed to find out why.
    pub async fn mark(&self, objects: &Objects, document: impl Display, fault: Fault, why: &str) {
        let mark = Mark {
            format: FORMAT,
            document: document.to_string(),
            scope: self.scope.clone(),
            job: self.job.clone(),
            strike: Strike {
                fault,
                machine: self.machine,
                created_ms: self.now_ms,
            },
            larder: env!("CARGO_PKG_VERSION").to_owned(),
            why: why.chars().take(WHY_MAX_CHARS).collect(),
        };
        if let Err(error) = objects.put(&mark.path(), mark.encode()).await {
            tracing::warn!(%error, document = mark.document, "not marked");
        }
    }

    /// Whether a document is passed over, for what jobs of these scopes have marked.
    pub async fn passes_over(
        &self,
        objects: &Objects,
        document: impl Display,
        scopes: &[&str],
    ) -> Result<bool, StoreError> {
        let folders = scopes.iter().map(|scope| address::marks(&document, scope));
        let listings =
            folders.map(|folder| async move { objects.first_names(&folder, "", MARKS_MAX).await });
        let listed = futures_util::future::try_join_all(listings).await?;
        let strikes = listed
            .iter()
            .flatten()
            .filter_map(|name| Strike::parse(name));
        Ok(is_passed_over(
            &strikes.collect::<Vec<_>>(),
            self.machine,
            self.now_ms,
        ))
    }
}

/// The marks in a store. Those that cannot be understood are left out.
pub async fn marks(objects: &Objects) -> Result<Vec<Mark>, StoreError> {
    let paths = objects.walk(&address::all_marks(), LISTED_MAX).await?;
    let reads = paths.iter().map(|path| async move {
        let bytes = objects.get(path, MARK_MAX_BYTES).await?;
        let mark: Option<Mark> = serde_json::from_slice(&bytes).ok();
        // What a mark counts for is what its path says.
        Ok::<_, StoreError>(mark.filter(|mark| mark.path() == *path))
    });
    let reads = futures_util::stream::iter(reads).buffer_unordered(LISTING_READS);
    let marks: Vec<Option<Mark>> = reads.try_collect().await?;
    Ok(marks.into_iter().flatten().collect())
}
