//! Bringing a running engine to rest before it is stopped: no containers, a bounded build cache.
//!
//! Nothing here decides whether the volume is published, so nothing here fails: what did not work
//! is told. Every request has a cost on a lazy disk, so each is made only when it can do something.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, PruneNetworksOptions,
    RemoveContainerOptionsBuilder,
};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::http;

/// How far the build cache is cut back. BuildKit's own collector is off, so without one of these
/// the cache only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheBound {
    /// Records not used for this long go.
    pub unused_for: Option<Duration>,
    /// Then the least recently used go until this much is left.
    pub bytes: Option<u64>,
}

/// What to do before stopping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuiesceOptions {
    /// Remove networks that people made. On the host's network (a takeover) their bridges would
    /// stay behind; a private engine's go with its namespace.
    pub networks: bool,
    /// Cut the build cache back.
    pub cache: CacheBound,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quiesced {
    /// Containers removed, running or not.
    pub containers: usize,
    /// What did not work, one sentence each.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Kills and removes all containers, then networks and build cache as asked, all within
    /// `deadline`. Builds in progress are not waited for: stopping the engine ends them.
    pub async fn quiesce(&self, options: QuiesceOptions, deadline: Duration) -> Quiesced {
        let mut done = Quiesced::default();
        let client = match self.client(deadline) {
            Ok(client) => client,
            Err(error) => {
                done.warnings.push(error.to_string());
                return done;
            }
        };
        if timeout(deadline, rest(&client, self.socket(), options, &mut done))
            .await
            .is_err()
        {
            done.warnings.push(format!(
                "the engine was not at rest within {deadline:?}; stopping it as it is"
            ));
        }
        done
    }
}

async fn rest(client: &Docker, socket: &Path, options: QuiesceOptions, done: &mut Quiesced) {
    remove_containers(client, done).await;
    if options.networks
        && let Err(error) = remove_networks(client).await
    {
        done.warnings
            .push(format!("networks were not removed: {error}"));
    }
    if let Some(age) = options.cache.unused_for {
        let hours = age.as_secs().div_ceil(3600);
        // {"until":["48h"]} in a query.
        let filters = format!("%7B%22until%22%3A%5B%22{hours}h%22%5D%7D");
        prune(socket, &format!("all=true&filters={filters}"), done).await;
    }
    if let Some(bytes) = options.cache.bytes {
        // The first is read by engines up to 27, the second from API 1.48 (Docker 28) on.
        prune(
            socket,
            &format!("all=true&keep-storage={bytes}&reserved-space={bytes}"),
            done,
        )
        .await;
    }
}

async fn remove_containers(client: &Docker, done: &mut Quiesced) {
    let all = ListContainersOptionsBuilder::default().all(true).build();
    let found = match client.list_containers(Some(all)).await {
        Ok(found) => found,
        Err(error) => {
            done.warnings
                .push(format!("containers could not be listed: {error}"));
            return;
        }
    };
    let ids: Vec<String> = found
        .into_iter()
        .filter_map(|container| container.id)
        .collect();
    let removals = ids.iter().map(|id| async move {
        // `v`: volumes without a name belong to their container alone.
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        (id, client.remove_container(id, Some(options)).await)
    });
    for (id, outcome) in join_all(removals).await {
        match outcome {
            Ok(()) => done.containers += 1,
            // `docker run --rm` was quicker, or is about to be: 404 and 409 "already in progress".
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404 | 409,
                ..
            }) => {}
            Err(error) => done
                .warnings
                .push(format!("container {id:.12} was not removed: {error}")),
        }
    }
}

async fn remove_networks(client: &Docker) -> std::result::Result<(), bollard::errors::Error> {
    let custom = HashMap::from([("type", vec!["custom"])]);
    let options = ListNetworksOptionsBuilder::default()
        .filters(&custom)
        .build();
    if !client.list_networks(Some(options)).await?.is_empty() {
        client.prune_networks(None::<PruneNetworksOptions>).await?;
    }
    Ok(())
}

async fn prune(socket: &Path, query: &str, done: &mut Quiesced) {
    match http::post(socket, &format!("/build/prune?{query}")).await {
        Ok((200, _)) => {}
        Ok((status, reply)) => done.warnings.push(format!(
            "the build cache was not cut back: {status} {reply}"
        )),
        Err(error) => done
            .warnings
            .push(format!("the build cache was not cut back: {error}")),
    }
}
