//! Everything that can go wrong between a name and an identity, in words for the person who must
//! cure it. No message holds a credential or the query of a URL.

use std::time::Duration;

use larder_model::dockerfile::Platform;
use larder_model::oci::Digest;

pub(crate) type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Why an image could not be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No connection, one that broke, or one that was silent for too long.
    #[error("{host} cannot be reached: {reason}; check the network and the proxy settings")]
    Unreachable {
        /// The host asked.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The call as a whole took too long.
    #[error("no answer about {what} within the deadline of {} s{}", deadline.as_secs_f32(), after(last.as_deref()))]
    Deadline {
        /// What was asked for.
        what: String,
        /// The deadline that the caller set.
        deadline: Duration,
        /// The last failure before it.
        last: Option<Box<RegistryError>>,
    },
    /// An answer that means neither yes nor no.
    #[error("{host} answered {status} for {what}{}{}{}", wait_text(*wait), said(detail), cure(*status))]
    Status {
        /// The host asked.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait.
        wait: Option<Duration>,
        /// What the registry said.
        detail: String,
    },
    /// The registry does not let us.
    #[error(
        "{host} denies access to {what}{}: it does not exist or needs credentials; try `docker login {host}`",
        said(detail)
    )]
    Denied {
        /// The host asked.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry, or a credential helper, said.
        detail: String,
    },
    /// There is no such image.
    #[error("{what} does not exist at {host}{}", said(detail))]
    NotFound {
        /// The host asked.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry said.
        detail: String,
    },
    /// The image exists, but not for this platform.
    #[error("{image} has no image for {wanted}; it offers {}", list(offered))]
    NoPlatform {
        /// The image.
        image: String,
        /// What was asked for.
        wanted: Box<Platform>,
        /// What there is.
        offered: Vec<Platform>,
    },
    /// A manifest of the time before 2016.
    #[error(
        "{what} is a schema 1 manifest, which engines no longer accept: push the image again with a current docker"
    )]
    SchemaOne {
        /// The image.
        what: String,
    },
    /// The content is not what its name says.
    #[error(
        "{host} sent {what} with the digest {actual} instead of {expected}: the content is not what was asked for"
    )]
    WrongDigest {
        /// The host asked.
        host: String,
        /// What was asked for.
        what: String,
        /// What was asked for or announced.
        expected: Box<Digest>,
        /// What came.
        actual: Box<Digest>,
    },
    /// The content is larger than any real one.
    #[error("{host} sent more than {limit} bytes for {what}: refused")]
    TooLarge {
        /// The host asked.
        host: String,
        /// What was asked for.
        what: String,
        /// The bound in bytes.
        limit: usize,
    },
    /// The content is not what the specifications describe.
    #[error("{what} is not a valid image: {reason}")]
    Malformed {
        /// The document.
        what: String,
        /// Where it fails.
        reason: String,
    },
    /// A redirect that is not followed, or a challenge that cannot be met.
    #[error("{host} {fault}")]
    Protocol {
        /// The host that redirects or asks.
        host: String,
        /// What it does, and why that leads nowhere.
        fault: String,
    },
    /// A value of the caller's that cannot be used.
    #[error("{value:?} cannot be used as {kind}: {reason}")]
    Setting {
        /// What it was meant to be.
        kind: &'static str,
        /// The value, or where it was read.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl RegistryError {
    /// Whether the same request may succeed a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    pub(crate) fn setting(
        kind: &'static str,
        value: &(impl ToString + ?Sized),
        reason: &(impl ToString + ?Sized),
    ) -> Self {
        Self::Setting {
            kind,
            value: value.to_string(),
            reason: reason.to_string(),
        }
    }

    /// How long the registry asks to wait before the next try.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Status { wait, .. } => *wait,
            _ => None,
        }
    }
}

fn wait_text(wait: Option<Duration>) -> String {
    let seconds = wait.map(|wait| format!(", to be asked again in {} s", wait.as_secs()));
    seconds.unwrap_or_default()
}

/// What helps against a limit of requests.
fn cure(status: u16) -> &'static str {
    match status {
        429 => "; logging in (`docker login`) or a mirror raises the limit",
        _ => "",
    }
}

fn said(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    }
}

fn after(last: Option<&RegistryError>) -> String {
    last.map_or_else(String::new, |last| format!("; last: {last}"))
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "no platform at all".to_owned();
    }
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    names.join(", ")
}
