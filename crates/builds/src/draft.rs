//! A build as it was asked for, from which its plan is made: once with the names of its base images
//! alone, and again when what they inherit to it is known.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use larder_model::dockerfile::{self, BuildOptions, Dockerfile, ImageConfigs};
use larder_model::fingerprint::Fingerprint;
use larder_model::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// One image to build. Its Dockerfile was read and follows the rules of every instruction.
#[derive(Clone)]
pub struct Draft {
    /// The service of a compose file, the target of a bake file.
    pub name: Option<String>,
    /// The Dockerfile, as it was named.
    pub file: String,
    /// The options of the build.
    pub options: BuildOptions,
    /// The extra files that it depends on.
    pub extras: BTreeMap<String, Fingerprint>,
    dockerfile: Arc<Dockerfile>,
}

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

impl fmt::Debug for Draft {
    /// Without its options: build arguments may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Draft");
        shown.field("name", &self.name).field("file", &self.file);
        shown.finish_non_exhaustive()
    }
}

impl Draft {
    /// The builds of a Dockerfile with these options.
    pub fn each(
        name: Option<&str>,
        file: &str,
        text: &[u8],
        options: Vec<BuildOptions>,
    ) -> Result<Vec<Self>, Fault> {
        let parsed = dockerfile::parse(text).map(Arc::new);
        let parsed = parsed.map_err(|error| Fault::dockerfile(file, error))?;
        let drafts = options.into_iter().map(|options| Self {
            name: name.map(str::to_owned),
            file: file.to_owned(),
            options,
            extras: BTreeMap::new(),
            dockerfile: parsed.clone(),
        });
        Ok(drafts.collect())
    }

    /// The plan, with these base images known. None of its images is resolved.
    pub fn plan(&self, known: &ImageConfigs) -> Result<NamedPlan, Fault> {
        let options = BuildOptions {
            image_configs: known.clone(),
            ..self.options.clone()
        };
        let bases = self.dockerfile.bases(&options);
        let bases = bases.map_err(|error| Fault::dockerfile(&self.file, error))?;
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

#[cfg(test)]
mod tests {
    use larder_model::dockerfile::{NamedContext, Origin};
    use larder_model::reference::ImageReference;

    use super::*;

    fn draft(text: &str) -> Draft {
        let options = vec![BuildOptions::default()];
        let drafts = Draft::each(None, "Dockerfile", text.as_bytes(), options);
        drafts.expect("a Dockerfile").remove(0)
    }

    #[test]
    fn images_of_the_same_project_are_builds() {
        let mut draft = draft(
            "# syntax=acme/base\nFROM acme/base AS own\nFROM alpine AS acme\n\
             COPY --from=acme/tools:2 /a /a\nCOPY --from=own /b /b\nFROM acme/base:1 AS unreached\nFROM acme\n",
        );
        let built = [
            ("docker.io/acme/base:latest", "base"),
            ("docker.io/acme/tools:2", "tools"),
            // A stage of this name is that stage.
            ("docker.io/library/own:latest", "own"),
        ];
        for (image, build) in built {
            let reference = ImageReference::parse(image).expect("an image");
            draft.options.built.insert(reference, build.to_owned());
        }
        let plan = draft.plan(&ImageConfigs::new()).expect("a plan").plan;
        let images: Vec<String> = plan
            .images
            .iter()
            .map(|one| one.reference.to_string())
            .collect();
        assert_eq!(
            images,
            [
                "docker.io/acme/base:latest",
                "docker.io/library/alpine:latest",
                "docker.io/acme/base:1"
            ]
        );
        let target = |name: &str| NamedContext::Target(name.to_owned());
        assert_eq!(plan.stages[0].base, Origin::Context(target("base")));
        let contexts: Vec<_> = plan.contexts.into_iter().collect();
        let expected = [("acme/base:latest", "base"), ("acme/tools:2", "tools")];
        assert_eq!(contexts, expected.map(|(a, b)| (a.to_owned(), target(b))));
    }
}
