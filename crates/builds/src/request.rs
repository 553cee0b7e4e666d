//! One build as it is asked for.

use std::path::PathBuf;

/// One build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    pub context: PathBuf,
    pub file: Option<PathBuf>,
    pub target: Option<String>,
    pub platform: Vec<String>,
    pub build_arg: Vec<String>,
    pub build_context: Vec<String>,
}
