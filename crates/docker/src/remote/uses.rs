//! Which images an engine is asked for: its events about images and containers.

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::handle::{Remote, encoded};
use crate::connection::{AnswerStream, empty};
use crate::error::{ApiError, Result};

/// What is done with an image that is used: made or named by a build, pulled, loaded, given away, run. On
/// containerd's store a build of an image without a name says `create`, as a container does.
const ACTIONS: [&str; 7] = ["create", "tag", "pull", "load", "import", "push", "save"];

/// An event is some hundred bytes; labels of a container are in it.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A use of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// As it is named there: by an id or by a name.
    pub image: String,
    /// Whether a container was made of it. Everything else may give its name to another one.
    pub by_container: bool,
}

/// The images that are used from now on.
pub struct ImageUses {
    events: AnswerStream,
    rest: BytesMut,
}

/// One event (moby `api/types/events`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventAnswer {
    r#type: String,
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
struct Attributes {
    image: Option<String>,
}

impl Remote {
    /// Hears of each use of an image. When this returns the engine tells them.
    pub async fn image_uses(&self) -> Result<ImageUses> {
        let filters = json!({ "type": ["image", "container"], "event": ACTIONS });
        let target = format!("/events?filters={}", encoded(&filters.to_string()));
        let request = self.request(Method::GET, "tell its events", &target);
        Ok(ImageUses {
            events: self.client.stream(&request, empty()).await?,
            rest: BytesMut::new(),
        })
    }
}

impl ImageUses {
    /// The next; nothing when the engine ends.
    pub async fn next(&mut self) -> Result<Option<ImageUse>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                if let Some(used) = use_of(&line) {
                    return Ok(Some(used));
                }
            } else if self.rest.len() > LINE_BYTES_MAX {
                let reason = "a line is longer than 1 MiB";
                return Err(ApiError::malformed("tell its events", reason));
            } else {
                match self.events.try_next().await? {
                    Some(piece) => self.rest.extend_from_slice(&piece),
                    None => return Ok(None),
                }
            }
        }
    }
}

fn use_of(line: &[u8]) -> Option<ImageUse> {
    let event: EventAnswer = serde_json::from_slice(line).ok()?;
    let by_container = event.r#type == "container";
    let image = match &*event.r#type {
        "image" => Some(event.actor.id),
        "container" => event.actor.attributes.image,
        _ => None,
    };
    Some(ImageUse {
        image: image?,
        by_container,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_both_kinds_of_events() {
        let tagged = br#"{"status":"tag","id":"sha256:1","Type":"image","Action":"tag",
            "Actor":{"ID":"sha256:1","Attributes":{"name":"app:1"}},"scope":"local","time":1}"#;
        let created = br#"{"Type":"container","Action":"create","Actor":{"ID":"c","Attributes":{"image":"app:1"}}}"#;
        let other = br#"{"Type":"network","Action":"create","Actor":{"ID":"n","Attributes":{}}}"#;
        let said = [&tagged[..], created, other, b"\n"].map(use_of);
        let used = |image: &str, by_container| {
            let image = image.to_owned();
            Some(ImageUse {
                image,
                by_container,
            })
        };
        assert_eq!(
            said,
            [used("sha256:1", false), used("app:1", true), None, None]
        );
    }
}
