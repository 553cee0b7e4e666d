//! A build as it was asked for, from which its plan is made: once with the names of its base images
//! alone, and again when what they inherit to it is known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use larder_model::dockerfile::{
    self, BuildOptions, Dockerfile, DockerfileError, FrontEnd, ImageConfigs, UnreadFile,
};
use larder_model::fingerprint::Fingerprint;
use larder_model::plan::Plan;
use larder_model::reference::ImageReference;
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
    source: Source,
}

/// What stands in the file.
#[derive(Clone)]
enum Source {
    Dockerfile(Arc<Dockerfile>),
    Unread(Arc<UnreadFile>),
}

/// What a request came to.
#[derive(Debug, Default)]
pub struct Drafted {
    /// The builds that are known.
    pub drafts: Vec<Draft>,
    /// Images that the job runs as they are, as far as a file that was read names them.
    pub used: Vec<Draft>,
    /// What of others, or of these, is not known.
    pub faults: Vec<Fault>,
}

impl Drafted {
    /// The builds, and the images that are run as they are.
    pub fn all(&self) -> Vec<Draft> {
        self.drafts.iter().chain(&self.used).cloned().collect()
    }
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
    /// The builds of a file with these options.
    pub fn each(
        name: Option<&str>,
        file: &str,
        text: &[u8],
        options: Vec<BuildOptions>,
    ) -> Result<Vec<Self>, Fault> {
        let Some(first) = options.first() else {
            return Ok(Vec::new());
        };
        // They differ in their platform alone.
        let source = Source::read(text, first).map_err(|error| Fault::dockerfile(file, error))?;
        let drafts = options.into_iter().map(|options| Self {
            name: name.map(str::to_owned),
            file: file.to_owned(),
            options,
            extras: BTreeMap::new(),
            source: source.clone(),
        });
        Ok(drafts.collect())
    }

    /// An image that is run as it is: as if a file built it from itself, and did nothing.
    pub(crate) fn used(
        name: &str,
        file: &str,
        image: &ImageReference,
        options: BuildOptions,
    ) -> Self {
        let text = format!("FROM {image}\n");
        let made = Self::each(Some(name), file, text.as_bytes(), vec![options]);
        made.expect("an image's name is the whole of a FROM")
            .remove(0)
    }

    /// What is not known of the build, if its file is for a front end of its own.
    pub fn unread(&self) -> Option<Fault> {
        let Source::Unread(file) = &self.source else {
            return None;
        };
        let why = format!(
            "it is for the front end `{}`, which Larder does not read: its base images are not known, and \
             its key is made of that image and of the file's bytes",
            file.front_end()
        );
        Some(Fault::file(Path::new(&self.file), why))
    }

    /// The plan, with these base images known. None of its images is resolved.
    pub fn plan(&self, known: &ImageConfigs) -> Result<NamedPlan, Fault> {
        let options = BuildOptions {
            image_configs: known.clone(),
            ..self.options.clone()
        };
        let bases = match &self.source {
            Source::Dockerfile(file) => file.bases(&options),
            Source::Unread(file) => file.bases(&options),
        };
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

impl Source {
    fn read(text: &[u8], options: &BuildOptions) -> Result<Self, DockerfileError> {
        let front_end = FrontEnd::of(text, &options.build_args);
        if !front_end.reads_dockerfiles() {
            return Ok(Self::Unread(Arc::new(UnreadFile::new(text, front_end))));
        }
        let read = dockerfile::parse(text);
        if !front_end.is_newer() {
            return read.map(|file| Self::Dockerfile(Arc::new(file)));
        }
        // What is refused here may be right by rules that are not known yet.
        let known = read.and_then(|file| file.bases(options).map(|_| file));
        Ok(match known {
            Ok(file) => Self::Dockerfile(Arc::new(file)),
            Err(_) => Self::Unread(Arc::new(UnreadFile::new(text, front_end))),
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
    use larder_model::plan::key::Key;

    use super::*;

    fn draft(text: &str) -> Draft {
        let options = vec![BuildOptions::default()];
        let drafts = Draft::each(None, "Dockerfile", text.as_bytes(), options);
        drafts.expect("a Dockerfile").remove(0)
    }

    /// The plan of a file, and what is not known of it.
    fn planned(text: &str) -> (Plan, Option<String>) {
        let draft = draft(text);
        let plan = draft.plan(&ImageConfigs::new()).expect("a plan").plan;
        (plan, draft.unread().map(|fault| fault.to_string()))
    }

    #[test]
    fn files_for_other_front_ends_are_not_read() {
        for (text, front_end) in [
            (
                "# syntax=example/dockerfile-x\nFROM ./base.Dockerfile AS base\nRUN x\n",
                "example/dockerfile-x",
            ),
            (
                "# syntax=docker/dockerfile:1.99\nFROM a\nCOPY --newer=x a b\n",
                "docker/dockerfile:1.99",
            ),
            (
                "# syntax=docker/dockerfile:2\nFROM a\nRUNS x\n",
                "docker/dockerfile:2",
            ),
            (
                "// syntax=docker/dockerfile:1\nFROM registry.example/os\n",
                "docker/dockerfile:1",
            ),
            ("{\"Syntax\": \"acme/json\", \"x\": 1}", "acme/json"),
            (
                "#!/bin/x\n#syntax=r2d4/mocker\napiVersion: v1\n",
                "r2d4/mocker",
            ),
        ] {
            let (plan, unread) = planned(text);
            let unread = unread.expect("it is not read");
            assert!(
                unread.starts_with("Dockerfile: it is for the front end"),
                "{unread}"
            );
            assert!(unread.contains(&format!("`{front_end}`")), "{unread}");
            let images: Vec<_> = plan
                .images
                .iter()
                .map(|image| image.reference.familiar())
                .collect();
            let expected = ImageReference::parse(front_end)
                .expect("an image")
                .or_latest();
            assert_eq!(images, [expected.familiar()], "{text}");
            let other = planned(&format!("{text}\n ")).0;
            assert_ne!(Key::of(&plan), Key::of(&other), "every byte counts");
        }
    }

    #[test]
    fn dockers_own_front_end_is_read_wherever_it_is() {
        for text in [
            "FROM registry.example/os\n",
            "# syntax=docker/dockerfile\nFROM registry.example/os\n",
            "# syntax=docker/dockerfile:1.99\nFROM registry.example/os\n",
            "# syntax=docker/dockerfile-upstream:master-labs\nFROM registry.example/os\nRUN --device=a x\n",
            "# syntax=mirror.example/docker/dockerfile:1\nFROM registry.example/os\n",
        ] {
            let (plan, unread) = planned(text);
            assert_eq!(unread, None);
            let last = plan.images.last().map(|image| image.reference.familiar());
            assert_eq!(
                last.as_deref(),
                Some("registry.example/os:latest"),
                "{text}"
            );
        }
        // What is wrong by its own rules stays wrong.
        let options = vec![BuildOptions::default()];
        let typo = b"# syntax=docker/dockerfile:1\nFROOM a\n";
        let fault = Draft::each(None, "Dockerfile", typo, options).expect_err("a typo");
        assert_eq!(fault.line, Some(2));
    }

    #[test]
    fn of_an_unread_file_every_option_counts() {
        let key = |change: fn(&mut BuildOptions)| {
            let mut draft = draft("# syntax=acme/x\n");
            change(&mut draft.options);
            let plan = draft.plan(&ImageConfigs::new()).expect("a plan").plan;
            Key::of(&plan).text("p")
        };
        let usual = key(|_| {});
        for other in [
            key(|options| options.target = Some("a".to_owned())),
            key(|options| drop(options.build_args.insert("A".to_owned(), String::new()))),
            key(|options| {
                let image = NamedContext::Image("alpine".to_owned());
                options.contexts.insert("x".to_owned(), image);
            }),
            key(|options| options.sandbox.network = Some("host".to_owned())),
        ] {
            assert_ne!(usual, other);
        }
    }

    #[test]
    fn images_of_the_same_project_are_builds() {
        let mut draft = draft(
            "# syntax=acme/docker/dockerfile\nFROM acme/base AS own\nFROM alpine AS acme\n\
             COPY --from=acme/tools:2 /a /a\nCOPY --from=own /b /b\nFROM acme/base:1 AS unreached\nFROM acme\n",
        );
        let built = [
            ("docker.io/acme/base:latest", "base"),
            ("docker.io/acme/tools:2", "tools"),
            // Needed before anything is built.
            ("docker.io/acme/docker/dockerfile:latest", "front"),
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
                "docker.io/acme/docker/dockerfile:latest",
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
