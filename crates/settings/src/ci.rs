//! What the environment says of a job, for `larder doctor`.

use serde::Serialize;

use super::Choices;
use super::store::{NEAR, is_of_cloud};

/// The variables that are read.
const VARIABLES: &[&str] = &[
    "LARDER_BACKGROUND_UPLOAD",
    "LARDER_BUILDER",
    "LARDER_CONFIG",
    "LARDER_ENCRYPT_KEY",
    "LARDER_ENGINE",
    "LARDER_FALLBACK",
    "LARDER_FRESH",
    "LARDER_GC",
    "LARDER_IMAGE_STORE",
    "LARDER_JOB",
    "LARDER_KEEP",
    "LARDER_KEEP_VOLUMES",
    "LARDER_LEG",
    "LARDER_LOG",
    "LARDER_MAX_SNAPSHOT_AGE",
    "LARDER_NEAR",
    "LARDER_NEAR_SIZE",
    "LARDER_PODMAN_USER",
    "LARDER_PREFETCH",
    "LARDER_PREFETCH_BUDGET",
    "LARDER_PROJECT",
    "LARDER_RETRY_EMPTY",
    "LARDER_SCOPE",
    "LARDER_SIGN_KEY",
    "LARDER_SINGLE",
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
        let unknown = ours.into_iter().filter(|name| {
            // LARDER_NEAR_ and a cloud's variable count for the near tier.
            let is_of_near = name.strip_prefix(NEAR).is_some_and(is_of_cloud);
            !VARIABLES.contains(&name.as_str()) && *name != OF_INSTALLER && !is_of_near
        });
        let of_stores = others.into_iter().filter(|name| is_of_cloud(name));
        Said {
            on_ci: larder_ci::detect(&self.environment).is_there,
            scope_is_told,
            unknown: unknown.cloned().collect(),
            of_stores: of_stores.cloned().collect(),
        }
    }
}
