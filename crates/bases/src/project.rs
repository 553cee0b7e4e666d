//! A project as its jobs share it.

use std::time::Duration;

use larder_model::ladder::Descent;
use larder_store::Access;
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
