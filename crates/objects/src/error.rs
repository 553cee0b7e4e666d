//! What can go wrong with a store, in the words of the person who has to mend it.

use std::time::Duration;

use larder_model::wire::FormatError;

use crate::answer;

/// A fault of the store. Cache trouble is a miss: callers turn these into warnings.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The URL does not name a store.
    #[error("{url:?} is not a store: {why}")]
    Location {
        /// The URL, without credentials.
        url: String,
        /// What is wrong with it, and the cure.
        why: String,
    },
    /// Our key is not what the store is sealed with, or one of both is missing. Whoever asked has to mend that.
    #[error("the store cannot be used: {why}")]
    Locked {
        /// What does not fit, and the cure.
        why: String,
    },
    /// An object is not there.
    #[error("{path} is not in the store")]
    Missing {
        /// Path of the object in the store.
        path: String,
    },
    /// The store refused or failed.
    #[error("cannot {what} {path}: {why}")]
    Failed {
        /// What was being done: `read`, `write`, `list`.
        what: &'static str,
        /// Path of the object in the store.
        path: String,
        /// The store's own words, without credentials, and the cure if one is known.
        why: String,
    },
    /// The store did not answer in time.
    #[error("cannot {what} {path}: no answer within {} s", limit.as_secs())]
    Slow {
        /// What was being done.
        what: &'static str,
        /// Path of the object in the store.
        path: String,
        /// The time that was allowed.
        limit: Duration,
    },
    /// An object does not hold what its name or the map says.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// Path of the object in the store.
        path: String,
        /// What is wrong with its bytes.
        why: String,
    },
    /// A document says something else than its place or what it names: its writer has a fault, or it was
    /// forged. It is never marked: the mark would be on the same document in its own place, too.
    #[error("{path} contradicts itself: {why}")]
    Contradiction {
        /// Path of the object in the store.
        path: String,
        /// What does not agree.
        why: String,
    },
    /// A document that nobody whom this job trusts has signed. It is never marked: others may trust its writer.
    #[error("{path} is not trusted: {why}")]
    Untrusted {
        /// Path of the object in the store.
        path: String,
        /// What is wrong with its signature.
        why: String,
    },
    /// An object is of a format that this version of Larder does not know. Nothing is wrong with it.
    #[error("{path} cannot be used: {why}")]
    Version {
        /// Path of the object in the store.
        path: String,
        /// What it has, and what is known.
        why: String,
    },
    /// A collection has removed what a save found in the store, or is about to.
    #[error("{path} was collected as garbage meanwhile; nothing is lost but this save")]
    Collected {
        /// Path of the object in the store.
        path: String,
    },
    /// A blob that was to be stored could not be read, or is not what was announced.
    #[error("cannot save {name:?}: {why}")]
    Content {
        /// Name of the blob.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The volume's own file on this machine failed.
    #[error("cannot read the volume: {0}")]
    Volume(String),
}

impl StoreError {
    /// Whether the stored data is at fault, so that another try would fail again.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }

    /// Whether the store, or the way to it, failed: another try may succeed.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Slow { .. })
    }

    /// The same of what comes wrong in another way each time: that is not the stored data's fault.
    pub(crate) fn into_unreliable(self) -> Self {
        match self {
            Self::Damaged { path, why } => Self::Failed {
                what: "read",
                path,
                why: format!("it comes differently each time: {why}"),
            },
            Self::Missing { path } => Self::Failed {
                what: "read",
                path,
                why: "it is there and is not".to_owned(),
            },
            other => other,
        }
    }

    /// What was read at `path` is not what it must be.
    pub fn damaged(path: &str, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    /// The same, of what a format says is wrong with it.
    pub fn format(path: &str) -> impl FnOnce(FormatError) -> Self {
        let path = path.to_owned();
        move |error| {
            let why = error.to_string();
            // What a newer Larder wrote is not damaged: a mark would hide it from newer ones too.
            match error {
                FormatError::Version { .. } => Self::Version { path, why },
                _ => Self::Damaged { path, why },
            }
        }
    }

    pub(crate) fn from_object_store(
        what: &'static str,
        path: &str,
        error: &object_store::Error,
    ) -> Self {
        let path = path.to_owned();
        let is_missing = matches!(error, object_store::Error::NotFound { .. });
        if is_missing && !answer::is_missing_bucket(error) {
            return Self::Missing { path };
        }
        let why = answer::reason(error);
        Self::Failed { what, path, why }
    }
}
