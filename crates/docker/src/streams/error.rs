//! What can be wrong with a stream of images.

use crate::error::{ApiError, BoxError};

/// A stream that cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The export broke.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The bytes are no tar, or end in the middle of one.
    #[error("the engine's export is damaged at byte {at}: {reason}")]
    Tar {
        /// How many bytes had come by then.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// A document is not what it should be.
    #[error("{what} cannot be used: {reason}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob that is to be loaded could not be had.
    #[error("blob {blob} of the archive: {source}")]
    Blob {
        /// Its name.
        blob: String,
        /// The reason of whoever keeps it.
        #[source]
        source: BoxError,
    },
    /// A blob that is to be loaded is not as long as the archive says.
    #[error("blob {blob} of the archive has {got} bytes and should have {expected}")]
    Length {
        /// Its name.
        blob: String,
        /// What came.
        got: u64,
        /// What the archive's description says.
        expected: u64,
    },
}

impl StreamError {
    pub(super) fn malformed(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed {
            what,
            reason: reason.to_string(),
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, StreamError>;
