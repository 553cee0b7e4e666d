//! Bringing a running engine to rest before it is stopped: no containers, no networks.
//!
//! Nothing here decides whether the volume is published, so nothing here fails: what did not work
//! is told. Every request has a cost on a lazy disk, so each is made only when it can do something.

use std::time::Duration;

use futures_util::future::join_all;
use larder_docker::Remote;
use tokio::time::timeout;

use super::engine::Engine;
use crate::builders;

/// What buildx itself gives a builder to end.
const BUILDER_GRACE: Duration = Duration::from_secs(10);

/// What to do before stopping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuiesceOptions {
    /// Remove networks that people made. On the host's network (a takeover) their bridges would
    /// stay behind; a private engine's go with its namespace.
    pub networks: bool,
}

impl Engine {
    /// Kills and removes all containers, then networks if that is asked for, all within `deadline`. Builds in progress are not waited for: stopping the engine ends them.
    /// What did not work, one sentence each.
    pub async fn quiesce(&self, options: QuiesceOptions, deadline: Duration) -> Vec<String> {
        let mut warnings = Vec::new();
        let remote = self.remote().within(deadline);
        let rested = timeout(deadline, rest(&remote, options, &mut warnings)).await;
        if rested.is_err() {
            warnings.push(format!(
                "the engine was not at rest within {deadline:?}; stopping it as it is"
            ));
        }
        warnings
    }
}

async fn rest(remote: &Remote, options: QuiesceOptions, warnings: &mut Vec<String>) {
    stop_builders(remote, warnings).await;
    remove_containers(remote, warnings).await;
    if options.networks
        && let Err(error) = remote.prune_networks().await
    {
        warnings.push(format!("networks were not removed: {error}"));
    }
}

/// Removing a container kills it, and a killed `BuildKit` may leave torn databases.
async fn stop_builders(remote: &Remote, warnings: &mut Vec<String>) {
    // An engine that does not answer this does not answer what is asked next, which is told.
    let ids = remote.running_named(builders::PREFIX).await;
    let ids = ids.unwrap_or_default();
    let stops = ids
        .iter()
        .map(|id| remote.stop_container(id, BUILDER_GRACE));
    for (id, stopped) in ids.iter().zip(join_all(stops).await) {
        if let Err(error) = stopped {
            warnings.push(format!("builder {id:.12} was not stopped: {error}"));
        }
    }
}

async fn remove_containers(remote: &Remote, warnings: &mut Vec<String>) {
    let ids = match remote.containers().await {
        Ok(ids) => ids,
        Err(error) => return warnings.push(format!("containers could not be listed: {error}")),
    };
    let removals = ids.iter().map(|id| remote.remove_container(id));
    for (id, removed) in ids.iter().zip(join_all(removals).await) {
        if let Err(error) = removed {
            warnings.push(format!("container {id:.12} was not removed: {error}"));
        }
    }
}
