//! What is known while expressions are evaluated.

use std::collections::{BTreeMap, BTreeSet};

use super::file::Block;
use super::value::Value;
use crate::plan::platforms::host_platform;
use crate::settings::Environment;

/// A block under the name that it has in the end.
#[derive(Debug, Clone)]
pub struct Instance<'a> {
    pub block: &'a Block,
    pub name: String,
    /// What the axes of its matrix are.
    pub names: BTreeMap<String, Value>,
}

/// What was evaluated so far, and what is being evaluated.
pub struct Known<'a> {
    pub environment: &'a Environment,
    /// Variables, and attributes outside of all blocks.
    pub globals: BTreeMap<String, Value>,
    /// Who waits for whom; whoever is met again waits for itself.
    pub waiting: BTreeSet<String>,
    /// The blocks under the names that they have in the end.
    pub instances: Vec<Instance<'a>>,
}

impl<'a> Known<'a> {
    /// With the variables that buildx itself defines (`commands/bake.go` `runBake`).
    pub fn new(environment: &'a Environment) -> Self {
        let own = [
            ("BAKE_CMD_CONTEXT", "cwd://".to_owned()),
            ("BAKE_LOCAL_PLATFORM", host_platform().to_string()),
        ];
        Self {
            environment,
            globals: own
                .map(|(name, value)| (name.to_owned(), Value::Text(value)))
                .into(),
            waiting: BTreeSet::new(),
            instances: Vec::new(),
        }
    }
}
