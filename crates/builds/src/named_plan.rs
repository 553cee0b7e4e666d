//! The plan of one image, with what the build is called.

use larder_model::plan::Plan;
use serde::{Deserialize, Serialize};

/// The plan of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPlan {
    /// The service of a compose file, the target of a bake file.
    pub name: Option<String>,
    /// The Dockerfile, as it was named.
    pub file: String,
    /// What it depends on.
    pub plan: Plan,
}
