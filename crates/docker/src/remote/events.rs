//! What an engine tells of its containers while it happens.

use bytes::BytesMut;
use futures_util::StreamExt as _;
use hyper::Method;
use serde::Deserialize;

use super::handle::{Remote, encoded};
use crate::connection::{AnswerStream, empty};
use crate::error::Result;

/// An event is a few hundred bytes, and its labels.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Something happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The engine's word for it: `create`, `start`, `die`.
    pub action: String,
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image, as it was asked for.
    pub image: String,
    /// For `die`.
    pub exit_code: Option<i32>,
}

/// The events, as they come.
pub struct ContainerEvents {
    stream: AnswerStream,
    unread: BytesMut,
}

impl ContainerEvents {
    /// The next one; nothing at the stream's end. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<ContainerEvent> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end + 1);
                match parse(&line) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let piece = self.stream.next().await?.ok()?;
            if self.unread.len() + piece.len() > EVENT_BYTES_MAX {
                return None;
            }
            self.unread.extend_from_slice(&piece);
        }
    }
}

/// moby `api/types/events`, `Message`.
fn parse(line: &[u8]) -> Option<ContainerEvent> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Message {
        action: String,
        actor: Actor,
    }
    #[derive(Deserialize)]
    struct Actor {
        #[serde(rename = "ID")]
        id: String,
        #[serde(rename = "Attributes")]
        attributes: Attributes,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Attributes {
        #[serde(default)]
        name: String,
        #[serde(default)]
        image: String,
        exit_code: Option<String>,
    }
    let Message { action, actor } = serde_json::from_slice(line).ok()?;
    let Attributes {
        name,
        image,
        exit_code,
    } = actor.attributes;
    Some(ContainerEvent {
        action,
        id: actor.id,
        name,
        image,
        exit_code: exit_code.and_then(|code| code.parse().ok()),
    })
}

impl Remote {
    /// The engine's stream of what happens to containers, from now on.
    pub async fn lives_of_containers(&self) -> Result<ContainerEvents> {
        let filters = encoded(r#"{"type":["container"],"event":["create","start","die"]}"#);
        let target = format!("/events?filters={filters}");
        let request = self.request(Method::GET, "tell its events", &target);
        Ok(ContainerEvents {
            stream: self.client.stream(&request, empty()).await?,
            unread: BytesMut::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_old_and_new_engines_are_read() {
        let line = br#"{"status":"die","id":"f00","from":"moby/buildkit:buildx-stable-1","Type":"container","Action":"die","Actor":{"ID":"f00","Attributes":{"execDuration":"3","exitCode":"1","image":"moby/buildkit:buildx-stable-1","name":"buildx_buildkit_b0","org.label":"x"}},"scope":"local","time":1,"timeNano":1}"#;
        let event = parse(line).expect("an event");
        assert_eq!(event.action, "die");
        assert_eq!(event.name, "buildx_buildkit_b0");
        assert_eq!(event.image, "moby/buildkit:buildx-stable-1");
        assert_eq!(event.exit_code, Some(1));
        let newest = br#"{"Type":"container","Action":"create","Actor":{"ID":"f","Attributes":{"name":"n"}}}"#;
        assert_eq!(parse(newest).and_then(|event| event.exit_code), None);
        assert!(parse(newest).is_some());
        assert_eq!(parse(b"{}\n"), None);
    }
}
