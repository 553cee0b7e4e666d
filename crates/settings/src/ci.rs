//! What the environment says of a job, for `larder doctor`.

use serde::Serialize;

use super::Choices;

/// The variables that are read.
const VARIABLES: &[&str] = &[
    "LARDER_BACKGROUND_UPLOAD",
    "LARDER_CONFIG",
    "LARDER_ENGINE",
    "LARDER_FALLBACK",
    "LARDER_FRESH",
    "LARDER_GC",
    "LARDER_IMAGE_STORE",
    "LARDER_JOB",
    "LARDER_KEEP",
    "LARDER_KEEP_VOLUMES",
    "LARDER_LOG",
    "LARDER_MAX_SNAPSHOT_AGE",
    "LARDER_PREFETCH",
    "LARDER_PREFETCH_BUDGET",
    "LARDER_PROJECT",
    "LARDER_RETRY_EMPTY",
    "LARDER_SCOPE",
    "LARDER_SIGN_KEY",
    "LARDER_SIZE",
    "LARDER_STATE",
    "LARDER_STORE",
    "LARDER_STRICT",
    "LARDER_TRUST",
];

/// `install.sh` reads it.
const OF_INSTALLER: &str = "LARDER_URL";

/// What is said.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Said {
    /// Whether this is a CI system's job.
    pub on_ci: bool,
    /// Whether somebody says whose changes it runs on, by an option, a variable or the CI system.
    pub scope_is_told: bool,
    /// Variables that look like ours and are read by nobody.
    pub unknown: Vec<String>,
    /// The names of the variables for stores.
    pub of_stores: Vec<String>,
}

impl Choices {
    pub(super) fn said(&self, scope_is_told: bool) -> Said {
        let names = self.environment.keys();
        let (ours, others): (Vec<&String>, Vec<&String>) =
            names.partition(|name| name.starts_with("LARDER_"));
        let unknown = ours
            .into_iter()
            .filter(|name| !VARIABLES.contains(&name.as_str()) && *name != OF_INSTALLER);
        let of_stores = others.into_iter().filter(|name| is_of_cloud(name));
        Said {
            on_ci: larder_ci::detect(&self.environment).is_there,
            scope_is_told,
            unknown: unknown.cloned().collect(),
            of_stores: of_stores.cloned().collect(),
        }
    }
}

/// Whether a cloud's own tools read a variable.
pub(super) fn is_of_cloud(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a variable of a cloud holds a credential, and not a region or an address.
pub(super) fn is_credential(name: &str) -> bool {
    const WORDS: [&str; 6] = ["KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "SAS"];
    is_of_cloud(name) && WORDS.iter().any(|word| name.contains(word))
}
