//! Lineages: the lines along which snapshots follow each other.

use serde::{Deserialize, Serialize};

/// What makes two jobs share snapshots: the same project, job, scope and compatibility key.
///
/// One key for a whole repository is a known disaster: the fastest job wins the head, and the long
/// build never finds its own state again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage {
    /// The project, by default the path of its git remote.
    pub project: String,
    /// The engine that can use the state, for example `linux-amd64-overlay2-docker26`.
    pub compatibility: String,
    /// Whose changes the state holds: usually the branch; `pull/7` for a pull request.
    pub scope: String,
    /// The job of the pipeline.
    pub job: String,
}

impl std::fmt::Display for Lineage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {} @ {}", self.project, self.job, self.scope)
    }
}
