//! A project as its jobs share it.

use std::time::Duration;

use larder_local::{clock, machine};
use larder_model::ladder::Descent;
use larder_model::mark::MachineId;
use larder_store::Access;
use larder_store::catalog::Reader;
use serde::{Deserialize, Serialize};

use crate::registries::Registries;

/// A project's store and lineages, and how its registries are reached. It can be handed to another
/// process. It holds secrets, which `Debug` does not show.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Project {
    /// The store.
    pub store: Access,
    /// Whether somebody named the store.
    pub store_is_chosen: bool,
    /// Which lineages its jobs continue.
    pub descent: Descent,
    /// How registries are reached.
    pub registries: Registries,
    /// When they are asked again.
    pub freshness: Freshness,
}

impl Project {
    /// Its job on this machine, as somebody who reads documents now.
    pub fn reader(&self) -> Reader {
        let Descent {
            project,
            job,
            scope,
            ..
        } = &self.descent;
        Reader {
            machine: MachineId::of(machine::identity().as_bytes()),
            scope: scope.to_string(),
            job: format!("{project} / {job} @ {scope}"),
            now_ms: clock::now_ms(),
        }
    }
}

/// When a registry is asked what a tag is today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// In each job.
    Always,
    /// When it was last asked longer ago than this.
    Within(Duration),
    /// Not at all: what the engine holds is used.
    Never,
}
