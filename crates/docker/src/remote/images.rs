//! An engine's images: listing, looking, naming, removing.

use hyper::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::handle::{Remote, encoded};
use crate::error::Result;

/// How the engine says that an image has no name.
const NO_NAME: &str = "<none>:<none>";
/// How the engine writes a step whose image it does not hold.
const MISSING: &str = "<missing>";

/// A line of `docker images`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageSummary {
    /// `sha256:…`: of its configuration on a graph driver, of its manifest or index on containerd's
    /// store.
    pub id: String,
    /// The image that it was made from by a step of the classic builder.
    #[serde(rename = "ParentId", default, deserialize_with = "filled")]
    pub parent: Option<String>,
    /// Its names, as the engine writes them: `ruby:3.3`.
    #[serde(rename = "RepoTags", default, deserialize_with = "names")]
    pub tags: Vec<String>,
    /// `name@sha256:…`: what it was pulled or pushed as; on containerd's store also what it was built as.
    #[serde(rename = "RepoDigests", default, deserialize_with = "names")]
    pub digests: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// What it and its layers take unpacked.
    #[serde(rename = "Size", default, deserialize_with = "size")]
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    /// The image that the step made, if the engine holds it.
    #[serde(deserialize_with = "filled")]
    pub id: Option<String>,
    /// The step: `/bin/sh -c …`. May hold build arguments.
    pub created_by: String,
    /// What it added.
    #[serde(rename = "Size", default, deserialize_with = "size")]
    pub bytes: u64,
    /// The names of its image.
    #[serde(default, deserialize_with = "names")]
    pub tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageAnswer {
    id: String,
    #[serde(default, deserialize_with = "filled")]
    parent: Option<String>,
    #[serde(default, deserialize_with = "names")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "names")]
    repo_digests: Vec<String>,
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

impl Remote {
    /// The images that have a name or on which no other is based; with `intermediate` all of them.
    pub async fn images(&self, intermediate: bool) -> Result<Vec<ImageSummary>> {
        let all = u8::from(intermediate);
        let target = format!("/images/json?all={all}");
        self.get("list images", &target).await
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
        self.get(what, &target).await
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

    /// Removes an image with all its names; its parents stay. Whether that was done: a container that uses it
    /// keeps it, and so does an image of the classic builder that stands on it.
    pub async fn remove_whole(&self, id: &str) -> Result<bool> {
        let target = format!("/images/{}?force=1&noprune=1", encoded(id));
        let what = format!("remove image {id}");
        self.take_away(what, &target).await
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

impl Image {
    /// The images that podman prints for `podman image inspect`, which has the form of the API's answers.
    pub fn inspected(text: &str) -> serde_json::Result<Vec<Self>> {
        let answers: Vec<ImageAnswer> = serde_json::from_str(text)?;
        Ok(answers.into_iter().map(Self::from).collect())
    }
}

impl From<ImageAnswer> for Image {
    fn from(answer: ImageAnswer) -> Self {
        let layers = answer.root_fs.and_then(|root| root.layers);
        let diff_ids = layers.unwrap_or_default();
        Self {
            id: answer.id,
            parent: answer.parent,
            tags: answer.repo_tags,
            digests: answer.repo_digests,
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

/// An id, if there is one.
fn filled<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<String>, D::Error> {
    let id = String::deserialize(from)?;
    Ok(Some(id).filter(|id| id != MISSING && !id.is_empty()))
}

fn names<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    let mut names: Vec<String> = Option::deserialize(from)?.unwrap_or_default();
    names.retain(|name| name != NO_NAME);
    Ok(names)
}

/// The engine's number has a sign.
fn size<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<u64, D::Error> {
    Ok(u64::try_from(i64::deserialize(from)?).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_leaves_out_is_empty() {
        let listed = r#"[
            { "Id": "sha256:1", "ParentId": "", "RepoTags": null, "Created": 7, "Size": -1 },
            { "Id": "sha256:2", "ParentId": "sha256:1", "RepoTags": ["<none>:<none>", "a:1"],
              "RepoDigests": ["a@sha256:3"], "Created": 8, "Size": 9, "Containers": -1 } ]"#;
        let listed: Vec<ImageSummary> = serde_json::from_str(listed).expect("an answer");
        let first = ImageSummary {
            id: "sha256:1".to_owned(),
            parent: None,
            tags: Vec::new(),
            digests: Vec::new(),
            created: 7,
            bytes: 0,
        };
        let second = ImageSummary {
            id: "sha256:2".to_owned(),
            parent: Some("sha256:1".to_owned()),
            tags: vec!["a:1".to_owned()],
            digests: vec!["a@sha256:3".to_owned()],
            created: 8,
            bytes: 9,
        };
        assert_eq!(listed, [first, second]);
        let step = r#"{ "Id": "<missing>", "CreatedBy": "/bin/sh", "Size": 3, "Tags": null }"#;
        let step: Step = serde_json::from_str(step).expect("an answer");
        assert_eq!((step.id, step.bytes, step.tags), (None, 3, Vec::new()));
        let image = r#"{ "Id": "sha256:1", "Parent": "", "RepoTags": ["<none>:<none>"] }"#;
        let image: ImageAnswer = serde_json::from_str(image).expect("an answer");
        let image = Image::from(image);
        assert_eq!((image.parent, image.tags), (None, Vec::<String>::new()));
    }
}
