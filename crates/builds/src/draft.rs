//! A build as it was asked for, from which its plan is made: once with the names of its base images
//! alone, and again when what they inherit to it is known.

use std::collections::BTreeMap;

use larder_model::dockerfile::{self, BuildOptions, ImageConfigs};
use larder_model::fingerprint::Fingerprint;
use larder_model::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::NamedPlan;
use crate::fault::Fault;

/// One image to build.
#[derive(Clone, Serialize, Deserialize)]
pub struct Draft {
    /// The service of a compose file, the target of a bake file.
    pub name: Option<String>,
    /// The Dockerfile, as it was named.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The options of the build.
    pub options: BuildOptions,
    /// The extra files that it depends on.
    pub extras: BTreeMap<String, Fingerprint>,
}

impl std::fmt::Debug for Draft {
    /// Without its options: build arguments may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Draft");
        shown.field("name", &self.name).field("file", &self.file);
        shown.finish_non_exhaustive()
    }
}

impl Draft {
    /// The plan, with these base images known. None of its images is resolved.
    pub fn plan(&self, known: &ImageConfigs) -> Result<NamedPlan, Fault> {
        let fault = |error| Fault::dockerfile(&self.file, error);
        let options = BuildOptions {
            image_configs: known.clone(),
            ..self.options.clone()
        };
        let parsed = dockerfile::parse(self.text.as_bytes()).map_err(fault)?;
        let bases = parsed.bases(&options).map_err(fault)?;
        let mut plan = Plan::new(&bases, &options);
        plan.extras.clone_from(&self.extras);
        Ok(NamedPlan {
            name: self.name.clone(),
            file: self.file.clone(),
            plan,
        })
    }
}

/// The plans of several builds.
pub fn plans(drafts: &[Draft], known: &ImageConfigs) -> Result<Vec<NamedPlan>, Fault> {
    drafts.iter().map(|draft| draft.plan(known)).collect()
}
