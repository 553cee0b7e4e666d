//! Working out: which images a build needs and which stages it runs, given its options.

mod arguments;
mod canonical;
mod epoch;
mod graph;
pub(super) mod options;
pub(super) mod origin;
pub(super) mod outcome;
pub(super) mod sandbox;
mod scope;
mod sources;
mod stage;
pub(super) mod unread;

use super::Dockerfile;
use super::error::DockerfileError;
use graph::Graph;
use options::BuildOptions;
use outcome::Bases;

impl Dockerfile {
    /// The images that a build with these options needs, and the stages that it runs.
    pub fn bases(&self, options: &BuildOptions) -> Result<Bases, DockerfileError> {
        arguments::check(self, options)?;
        outcome::of_graph(&Graph::new(self, options)?)
    }
}
