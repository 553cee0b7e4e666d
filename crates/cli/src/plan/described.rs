//! An image to build, as compose and bake files describe one.

use std::collections::BTreeMap;

/// One image to build, as a compose or bake file describes it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Described {
    /// The service or target.
    pub name: String,
    /// The build's folder, as it was written.
    pub context: String,
    /// The Dockerfile, relative to the folder.
    pub dockerfile: Option<String>,
    /// The Dockerfile's text.
    pub inline: Option<String>,
    /// `--target`
    pub target: Option<String>,
    /// `--build-arg`
    pub args: BTreeMap<String, String>,
    /// `--platform`
    pub platforms: Vec<String>,
    /// `--build-context`
    pub contexts: BTreeMap<String, String>,
}
