//! Marks of documents: made, and looked at.

use std::fmt::Display;
use std::future::ready;

use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::address;
use larder_model::mark::{FORMAT, Fault, MARKS_MAX, MachineId, Mark, Strike, is_passed_over};

use larder_objects::{Objects, StoreError};

/// Marks that a listing reads.
const LISTED_MAX: usize = 1_000;
/// What a mark is called in signatures.
const OBJECT: &str = "mark";
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
        let bytes = objects.keys().signed(OBJECT, mark.encode());
        if let Err(error) = objects.put(&mark.path(), bytes).await {
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
        let strikes = folders.map(|folder| strikes(objects, folder));
        let strikes = futures_util::future::try_join_all(strikes).await?.concat();
        Ok(is_passed_over(&strikes, self.machine, self.now_ms))
    }
}

/// The marks in a folder that count.
async fn strikes(objects: &Objects, folder: String) -> Result<Vec<Strike>, StoreError> {
    let names = objects.first_names(&folder, "", MARKS_MAX).await?;
    let parsed = names
        .iter()
        .filter_map(|name| Some((format!("{folder}/{name}"), Strike::parse(name)?)));
    if objects.keys().trust.is_anybody() {
        return Ok(parsed.map(|(_, strike)| strike).collect());
    }
    // A name alone is not signed.
    let mut counted = Vec::new();
    for (path, strike) in parsed {
        match read(objects, &path).await {
            Ok(Some(_)) => counted.push(strike),
            Ok(None) | Err(StoreError::Missing { .. } | StoreError::Untrusted { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(counted)
}

/// Reads a mark; `None` if it cannot be understood, or is not where it says. What it counts for is what its path says.
async fn read(objects: &Objects, path: &str) -> Result<Option<Mark>, StoreError> {
    let bytes = objects.get(path, MARK_MAX_BYTES).await?;
    let mark: Option<Mark> = serde_json::from_slice(&bytes).ok();
    let Some(mark) = mark.filter(|mark| mark.path() == path) else {
        return Ok(None);
    };
    objects.keys().check(OBJECT, path, &mark.scope, &bytes)?;
    Ok(Some(mark))
}

/// The marks in a store. Those that cannot be understood, or that nobody whom we trust made, are left out.
pub async fn marks(objects: &Objects) -> Result<Vec<Mark>, StoreError> {
    let paths = objects.walk(&address::all_marks(), LISTED_MAX).await?;
    let reads = paths.iter().map(|path| read(objects, path));
    let reads = futures_util::stream::iter(reads).buffer_unordered(LISTING_READS);
    let reads = reads.filter(|read| ready(!matches!(read, Err(StoreError::Untrusted { .. }))));
    let marks: Vec<Option<Mark>> = reads.try_collect().await?;
    Ok(marks.into_iter().flatten().collect())
}
