//! What the environment says of a job, for `larder doctor`.

use serde::Serialize;

use super::Choices;
use super::file::KEYS;
use super::store::{NEAR, is_of_cloud};

/// Variables that are no key of larder.toml. `install.sh` reads the last one.
const OTHERS: [&str; 4] = ["config", "leg", "log", "url"];
/// Keys of larder.toml that no variable says.
const OF_FILES: [&str; 3] = ["plan", "insecure_registries", "registry_mirrors"];

/// Whether somebody reads a variable of this name.
fn is_read(name: &str) -> bool {
    let key = name.strip_prefix("LARDER_").unwrap_or_default();
    let key = key.to_lowercase();
    let is_key = KEYS.contains(&&*key) && !OF_FILES.contains(&&*key);
    is_key || OTHERS.contains(&&*key)
}

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
            !is_read(name) && !is_of_near
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
