//! Images for the stages of a build: `BuildKit` puts an inline cache into an image for the steps of
//! that image alone, so each stage gets one.

use larder_builds::Draft;
use larder_model::dockerfile::{ImageConfigs, Origin};
use larder_model::lineage::Lineage;

/// Asks `BuildKit` for an inline cache.
pub const INLINE: [&str; 2] = ["--build-arg", "BUILDKIT_INLINE_CACHE=1"];

/// Options that are left out when the stages are built after the build: their steps have run by then.
pub const OF_THE_BUILD_ALONE: [&str; 13] = [
    "--cache-to",
    "--no-cache",
    "--no-cache-filter",
    "--pull",
    "--tag",
    "--target",
    "--output",
    "--push",
    "--load",
    "--iidfile",
    "--metadata-file",
    "--progress",
    "--quiet",
];

/// A registry that does not exist: these images belong to the job and are not meant to be pushed.
const REGISTRY: &str = "larder.invalid";
/// How the tags of companions begin. Those of stages begin otherwise.
const COMPANION: &str = "of-";
/// The stage that is built, if nobody named one.
const BUILT: &str = "built";

/// The image of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageImage {
    /// The stage, for `--target`; the last one of the file if nobody named one.
    pub target: Option<String>,
    /// The image's name.
    pub name: String,
}

/// Whether an image has its name from here.
pub(crate) fn is_ours(name: &str) -> bool {
    let rest = name.strip_prefix(REGISTRY);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The name of the companion of a user's image (see `inline_cache`).
pub(crate) fn companion(lineage: &Lineage, of: &str) -> String {
    // A tag may not hold all that names differ in; the digest does.
    let digest = blake3::hash(of.as_bytes()).to_hex();
    name(lineage, &format!("{COMPANION}{}-{of}", &digest[..12]))
}

/// Whether an image is somebody's companion.
pub(crate) fn is_companion(name: &str) -> bool {
    let tag = name.rsplit_once(':').map(|(_, tag)| tag);
    is_ours(name) && tag.is_some_and(|tag| tag.starts_with(COMPANION))
}

/// The images of the other stages, and of the one that is built. A stage without a name cannot be built alone.
/// A stage that another one continues is part of that one's image.
pub fn images(
    lineage: &Lineage,
    draft: Option<&Draft>,
    target: Option<&str>,
) -> (Vec<StageImage>, StageImage) {
    let built = target.map_or_else(|| BUILT.to_owned(), |it| format!("target-{it}"));
    let built = StageImage {
        target: target.map(str::to_owned),
        name: name(lineage, &built),
    };
    let plan = draft.and_then(|draft| draft.plan(&ImageConfigs::new()).ok());
    let Some(plan) = plan.map(|named| named.plan) else {
        return (Vec::new(), built);
    };
    let stages = plan.stages.iter().enumerate().filter(|(index, stage)| {
        let mut others = plan.stages.iter();
        let is_continued = others.any(|other| other.base == Origin::Stage(*index));
        let number = stage.label.strip_prefix("stage-");
        let unnamed = number.is_some_and(|number| number.bytes().all(|it| it.is_ascii_digit()));
        *index != plan.target && !unnamed && !is_continued && !stage.steps.is_empty()
    });
    let stages = stages.map(|(_, stage)| StageImage {
        target: Some(stage.label.clone()),
        name: name(lineage, &format!("stage-{}", stage.label)),
    });
    (stages.collect(), built)
}

fn name(lineage: &Lineage, image: &str) -> String {
    format!("{REGISTRY}/{}:{}", path(lineage), tag(image))
}

/// A lineage as a repository's path: letters, digits and single separators.
fn path(lineage: &Lineage) -> String {
    let both = format!("{}/{}", lineage.project, lineage.job);
    let parts = both.split('/').map(|part| {
        let words = part.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        words.join("-").to_ascii_lowercase()
    });
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return "job".to_owned();
    }
    parts.join("/")
}

/// A stage's name as a tag; stages' names are shorter than tags may be.
fn tag(stage: &str) -> String {
    let plain = ['.', '_', '-'];
    let mut tag = stage.replace(
        |c: char| !c.is_ascii_alphanumeric() && !plain.contains(&c),
        "_",
    );
    tag.truncate(120);
    tag.trim_start_matches(['.', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(project: &str) -> Lineage {
        Lineage {
            project: project.into(),
            compatibility: "c".into(),
            scope: "main".into(),
            job: "Build & test".into(),
        }
    }

    #[test]
    fn each_named_stage_that_is_not_continued_gets_an_image() {
        let text = b"FROM a AS one\nRUN x\nFROM one AS two\nRUN y\nFROM b\nRUN z\nFROM c AS unused\nRUN u\n\
                     FROM a\nCOPY --from=two /x /x\nCOPY --from=2 /y /y\n";
        let options = vec![larder_model::dockerfile::BuildOptions::default()];
        let drafts = Draft::each(None, "Dockerfile", text, options).expect("a Dockerfile");
        let (stages, built) = images(&lineage("github.com/Shop/Web"), drafts.first(), None);
        assert_eq!(
            built.name,
            "larder.invalid/github-com/shop/web/build-test:built"
        );
        assert_eq!(built.target, None);
        let names: Vec<_> = stages.iter().map(|stage| stage.target.as_deref()).collect();
        assert_eq!(names, [Some("two")]);
        let name = &stages[0].name;
        assert!(
            larder_model::reference::ImageReference::parse(name).is_ok(),
            "{name}"
        );
    }

    #[test]
    fn every_project_makes_a_name() {
        for project in ["", "_/-/", "Ünï/cødé", "a//b", "x__y"] {
            let (_, built) = images(&lineage(project), None, Some("-weird stage-"));
            let companion = companion(&lineage(project), "registry:5000/app@sha256:0:1");
            for name in [&built.name, &companion] {
                let parsed = larder_model::reference::ImageReference::parse(name);
                assert!(parsed.is_ok() && is_ours(name), "{name}");
            }
            assert!(is_companion(&companion) && !is_companion(&built.name));
        }
    }

    #[test]
    fn each_name_has_a_companion_of_its_own() {
        let long = "a/".repeat(100);
        let names = [
            "a/b:1",
            "a_b:1",
            "a:b_1",
            &format!("{long}b"),
            &format!("{long}c"),
        ];
        let companions = names.map(|name| companion(&lineage("shop"), name));
        let distinct: std::collections::BTreeSet<&String> = companions.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{companions:?}");
    }
}
