//! An engine's containers: counting, removing.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PortsAnswer {
    #[serde(default)]
    ports: Vec<Mapping>,
}

/// One that is not published has no address.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mapping {
    #[serde(rename = "IP")]
    address: Option<IpAddr>,
    public_port: Option<u16>,
    r#type: String,
}

impl Mapping {
    fn published(&self, protocol: &str) -> Option<SocketAddr> {
        let address = SocketAddr::new(self.address?, self.public_port?);
        (self.r#type == protocol).then_some(address)
    }
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

    /// Where the containers that run are reached by UDP.
    pub async fn published_datagrams(&self) -> Result<BTreeSet<SocketAddr>> {
        let running: Vec<PortsAnswer> = self.get("list containers", "/containers/json").await?;
        let ports = running.iter().flat_map(|container| &container.ports);
        Ok(ports.filter_map(|port| port.published("udp")).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_by_their_protocol_and_whether_they_are_published() {
        let answer = r#"[{"Ports":[{"IP":"0.0.0.0","PrivatePort":53,"PublicPort":5353,"Type":"udp"},
            {"IP":"::","PrivatePort":53,"PublicPort":5353,"Type":"udp"},
            {"PrivatePort":54,"Type":"udp"},
            {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}]},{}]"#;
        let running: Vec<PortsAnswer> = serde_json::from_str(answer).expect("an answer");
        let ports = running.iter().flat_map(|container| &container.ports);
        let of = |protocol: &str| -> Vec<String> {
            let ports = ports.clone().filter_map(|port| port.published(protocol));
            ports.map(|address| address.to_string()).collect()
        };
        assert_eq!(of("udp"), ["0.0.0.0:5353", "[::]:5353"]);
        assert_eq!(of("tcp"), ["0.0.0.0:8080"]);
    }
}
