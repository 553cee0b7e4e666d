//! One build as it is asked for.

use std::path::PathBuf;

/// One build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The folder.
    pub context: PathBuf,
    /// The file.
    pub file: Option<PathBuf>,
    /// The stage.
    pub target: Option<String>,
    /// The platforms.
    pub platform: Vec<String>,
    /// The arguments.
    pub build_arg: Vec<String>,
    /// The named contexts.
    pub build_context: Vec<String>,
}
