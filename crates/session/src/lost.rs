//! What becomes of a session whose disk fails.

use serde::{Deserialize, Serialize};

/// Why the engine's disk failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// What happened, as part of a sentence.
    pub why: String,
    /// Whether the restored snapshot is damaged, so that nobody can use it.
    pub damage: bool,
}
