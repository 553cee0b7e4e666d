//! What can go wrong between here and an engine, each with the value at fault and the cure.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

/// An error of somebody else's stream, which passes through here unchanged.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A stream of somebody else's, or one made of such.
pub trait Pieces: Stream<Item = std::result::Result<Bytes, BoxError>> + Send + 'static {}
impl<S: Stream<Item = std::result::Result<Bytes, BoxError>> + Send + 'static> Pieces for S {}

/// A word that a person or a configuration gave is not one of those known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {value:?}; expected {expected}")]
pub struct UnknownValue {
    /// What the word stands for.
    pub what: &'static str,
    /// The word.
    pub value: String,
    /// The words that would do.
    pub expected: &'static str,
}

/// An engine that cannot be found, reached, understood, or that refuses.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A setting that says where the engine is cannot be used.
    #[error("{what} {value:?}: {reason}")]
    Setting {
        /// Which one: `DOCKER_HOST`, `the host of context "ci"`.
        what: String,
        /// Its value.
        value: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// The chosen docker context is not there.
    #[error(
        "docker context {name:?} does not exist (no {path}); `docker context ls` shows those that do",
        path = .path.display()
    )]
    NoContext {
        /// Its name.
        name: String,
        /// The file that would describe it.
        path: PathBuf,
    },
    /// A file of docker's configuration, or a certificate, cannot be used.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Nobody answers there.
    #[error("cannot connect to the engine at {endpoint}: {source}; {cure}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// The system's or TLS's reason.
        #[source]
        source: io::Error,
        /// What may help.
        cure: &'static str,
    },
    /// The ssh program ended, or what runs at its other end did.
    #[error("no way to the engine at {endpoint} through ssh: {message}")]
    Ssh {
        /// Where.
        endpoint: String,
        /// What ssh and the remote docker wrote.
        message: String,
    },
    /// Not an engine that this program knows.
    #[error("the engine at {endpoint} {reason}")]
    Unsupported {
        /// Where.
        endpoint: String,
        /// What is the matter with it.
        reason: String,
    },
    /// The engine answered with an error.
    #[error("the engine refused to {request} (status {status}): {message}")]
    Refused {
        /// What was asked, as a verb: "list images".
        request: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The connection broke.
    #[error("the engine broke off while asked to {request}: {source}")]
    Broken {
        /// What was asked.
        request: String,
        /// The HTTP client's reason.
        #[source]
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("the engine did not {request} within {waited:?}")]
    NoAnswer {
        /// What was asked.
        request: String,
        /// The deadline that passed.
        waited: Duration,
    },
    /// The answer is not what the API says it is.
    #[error("cannot understand the engine's answer when asked to {request}: {reason}")]
    Malformed {
        /// What was asked.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine took a load stream and then said that it failed.
    #[error("the engine could not load the images: {message}")]
    Load {
        /// Its words.
        message: String,
    },
    /// The stream that was being loaded ended with an error of its own.
    #[error("the images to load could not be read: {0}")]
    Source(#[source] BoxError),
}

impl ApiError {
    /// Whether the engine said that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    pub(crate) fn broken(request: &str, source: hyper::Error) -> Self {
        Self::Broken {
            request: request.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(request: &str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed {
            request: request.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// The result of most calls here.
pub type Result<T> = std::result::Result<T, ApiError>;
