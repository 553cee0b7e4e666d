//! An engine's containers: counting, removing.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;

use super::handle::{Remote, encoded};
use crate::connection::{AnswerStream, Client, Request, empty};
use crate::endpoint::Endpoint;
use crate::error::Result;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerAnswer {
    id: String,
}

/// How many containers run on the engine at `endpoint`, `docker ps -q | wc -l`. Podman and engines of any
/// age answer too: a path without a version is in every API.
pub async fn running_containers(endpoint: Endpoint, deadline: Duration) -> Result<usize> {
    let request = Request::get("list containers", "/containers/json");
    let running: Vec<ContainerAnswer> = Client::new(endpoint, deadline)?.json(&request).await?;
    Ok(running.len())
}

impl Remote {
    /// The ids of all containers, whether they run or not.
    pub async fn containers(&self) -> Result<Vec<String>> {
        let all: Vec<ContainerAnswer> = self
            .get("list containers", "/containers/json?all=1")
            .await?;
        Ok(all.into_iter().map(|container| container.id).collect())
    }

    /// The engine's stream of containers that start and end, from now on, for who only wants to know when.
    pub async fn container_events(&self) -> Result<AnswerStream> {
        let filters = encoded(r#"{"type":["container"],"event":["start","die"]}"#);
        let target = format!("/events?filters={filters}");
        let request = self.request(Method::GET, "tell its events", &target);
        self.client.stream(&request, empty()).await
    }

    /// The ids of the containers that run and whose names begin with `prefix`, a word without signs.
    pub async fn running_named(&self, prefix: &str) -> Result<Vec<String>> {
        let filters = encoded(&format!(r#"{{"name":["^/?{prefix}"]}}"#));
        let target = format!("/containers/json?filters={filters}");
        let running: Vec<ContainerAnswer> = self.get("list containers", &target).await?;
        Ok(running.into_iter().map(|container| container.id).collect())
    }

    /// Asks a container to end, and kills it after `grace`.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        let target = format!("/containers/{}/stop?t={}", encoded(id), grace.as_secs());
        self.command(Method::POST, format!("stop container {id:.12}"), &target)
            .await
    }

    /// Kills and removes a container, and with it the volumes without a name, which are its own alone.
    /// Whether it was still there: `docker run --rm` may have been quicker, or be about to (409,
    /// "removal of container … is already in progress").
    pub async fn remove_container(&self, id: &str) -> Result<bool> {
        let target = format!("/containers/{}?force=1&v=1", encoded(id));
        let what = format!("remove container {id:.12}");
        self.take_away(what, &target).await
    }
}
