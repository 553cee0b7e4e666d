//! An engine's images: listing, looking, naming, removing.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::handle::{Remote, encoded};
use crate::error::Result;

/// How the engine says that an image has no name.
const NO_NAME: &str = "<none>:<none>";
/// How the engine writes a step whose image it does not hold.
const MISSING: &str = "<missing>";

/// A line of `docker images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// `sha256:…`: of its configuration on a graph driver, of its manifest or index on containerd's
    /// store.
    pub id: String,
    /// The image that it was made from by a step of the classic builder.
    pub parent: Option<String>,
    /// Its names, as the engine writes them: `ruby:3.3`.
    pub tags: Vec<String>,
    /// `name@sha256:…`: what it was pulled or pushed as; on containerd's store also what it was built as.
    pub digests: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// What it and its layers take unpacked.
    pub bytes: u64,
}

/// An image as `docker inspect` shows it, as far as needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// As in [`ImageSummary::id`].
    pub id: String,
    /// As in [`ImageSummary::parent`].
    pub parent: Option<String>,
    /// Its names.
    pub tags: Vec<String>,
    /// `name@sha256:…`: what it was pulled or pushed as.
    pub digests: Vec<String>,
    /// The digests of its unpacked layers, lowest first.
    pub diff_ids: Vec<String>,
    /// When it was made (RFC 3339).
    pub created: Option<String>,
    /// Its configuration in the form of the OCI image specification, as far as the engine shows it.
    pub configuration: Value,
}

/// A line of `docker history`, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The image that the step made, if the engine holds it.
    pub id: Option<String>,
    /// The step: `/bin/sh -c …`. May hold build arguments.
    pub created_by: String,
    /// What it added.
    pub bytes: u64,
    /// The names of its image.
    pub tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryAnswer {
    id: String,
    #[serde(default)]
    parent_id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: i64,
    #[serde(default)]
    size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageAnswer {
    id: String,
    #[serde(default)]
    parent: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: Option<String>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(default)]
    config: Value,
    #[serde(rename = "RootFS")]
    root_fs: Option<RootFs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StepAnswer {
    id: String,
    created_by: String,
    #[serde(default)]
    size: i64,
    tags: Option<Vec<String>>,
}

impl Remote {
    /// The images that have a name or on which no other is based; with `intermediate` all of them.
    pub async fn images(&self, intermediate: bool) -> Result<Vec<ImageSummary>> {
        let all = u8::from(intermediate);
        let target = format!("/images/json?all={all}");
        let listed: Vec<SummaryAnswer> = self.get("list images", &target).await?;
        let images = listed.into_iter().map(|image| ImageSummary {
            id: image.id,
            parent: filled(image.parent_id),
            tags: named(image.repo_tags),
            digests: image.repo_digests.unwrap_or_default(),
            created: image.created,
            bytes: u64::try_from(image.size).unwrap_or_default(),
        });
        Ok(images.collect())
    }

    /// The image of that name or id; `None` if there is none.
    pub async fn inspect(&self, image: &str) -> Result<Option<Image>> {
        let target = format!("/images/{}/json", encoded(image));
        let what = format!("look at image {image}");
        match self.get::<ImageAnswer>(what, &target).await {
            Ok(found) => Ok(Some(found.into())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The steps that made an image, newest first.
    pub async fn history(&self, image: &str) -> Result<Vec<Step>> {
        let target = format!("/images/{}/history", encoded(image));
        let what = format!("show the history of image {image}");
        let steps: Vec<StepAnswer> = self.get(what, &target).await?;
        let steps = steps.into_iter().map(|step| Step {
            id: Some(step.id).filter(|id| id != MISSING && !id.is_empty()),
            created_by: step.created_by,
            bytes: u64::try_from(step.size).unwrap_or_default(),
            tags: named(step.tags),
        });
        Ok(steps.collect())
    }

    /// Gives an image one more name. `name` without a tag means `latest`.
    pub async fn tag(&self, image: &str, name: &str) -> Result<()> {
        // A colon after the last slash begins the tag; one before it, a registry's port.
        let path = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[path..].rfind(':') {
            Some(colon) => (&name[..path + colon], &name[path + colon + 1..]),
            None => (name, "latest"),
        };
        let target = format!(
            "/images/{}/tag?repo={}&tag={}",
            encoded(image),
            encoded(repository),
            encoded(tag)
        );
        let what = format!("name image {image} {name}");
        self.command(Method::POST, what, &target).await
    }

    /// Removes a name, and the image if nothing else names or needs it; its parents stay. One that is
    /// gone already is no failure.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let target = format!("/images/{}?noprune=1", encoded(name));
        let what = format!("remove image {name}");
        match self.command(Method::DELETE, what, &target).await {
            Err(error) if error.is_not_found() => Ok(()),
            removed => removed,
        }
    }
}

impl From<ImageAnswer> for Image {
    fn from(answer: ImageAnswer) -> Self {
        let layers = answer.root_fs.and_then(|root| root.layers);
        let diff_ids = layers.unwrap_or_default();
        Self {
            id: answer.id,
            parent: filled(answer.parent),
            tags: named(answer.repo_tags),
            digests: answer.repo_digests.unwrap_or_default(),
            configuration: json!({
                "os": answer.os,
                "architecture": answer.architecture,
                "variant": answer.variant,
                "config": answer.config,
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            }),
            diff_ids,
            created: answer.created,
        }
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn named(tags: Option<Vec<String>>) -> Vec<String> {
    let mut tags = tags.unwrap_or_default();
    tags.retain(|tag| tag != NO_NAME);
    tags
}
