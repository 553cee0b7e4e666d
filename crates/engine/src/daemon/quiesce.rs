//! Bringing a running engine to rest before it is stopped: no containers, no networks.
//!
//! Nothing here decides whether the volume is published, so nothing here fails: what did not work
//! is told. Every request has a cost on a lazy disk, so each is made only when it can do something.

use std::time::Duration;

use futures_util::future::join_all;
use larder_docker::{ApiError, Remote};
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

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quiesced {
    /// Containers removed, running or not.
    pub containers: usize,
    /// What did not work, one sentence each.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Kills and removes all containers, then networks if that is asked for, all within `deadline`. Builds in progress are not waited for: stopping the engine ends them.
    pub async fn quiesce(&self, options: QuiesceOptions, deadline: Duration) -> Quiesced {
        let mut done = Quiesced::default();
        let remote = self.remote().within(deadline);
        let rested = timeout(deadline, rest(&remote, options, &mut done)).await;
        if rested.is_err() {
            done.warnings.push(format!(
                "the engine was not at rest within {deadline:?}; stopping it as it is"
            ));
        }
        done
    }
}

async fn rest(remote: &Remote, options: QuiesceOptions, done: &mut Quiesced) {
    stop_builders(remote, done).await;
    remove_containers(remote, done).await;
    if options.networks {
        let pruned = remote.prune_networks().await;
        done.note("networks were not removed", pruned);
    }
}

/// Removing a container kills it, and a killed `BuildKit` may leave torn databases.
async fn stop_builders(remote: &Remote, done: &mut Quiesced) {
    // An engine that does not answer this does not answer what is asked next, which is told.
    let ids = remote.running_named(builders::PREFIX).await;
    let ids = ids.unwrap_or_default();
    let stops = ids
        .iter()
        .map(|id| remote.stop_container(id, BUILDER_GRACE));
    for (id, stopped) in ids.iter().zip(join_all(stops).await) {
        done.note(&format!("builder {id:.12} was not stopped"), stopped);
    }
}

async fn remove_containers(remote: &Remote, done: &mut Quiesced) {
    let ids = match remote.containers().await {
        Ok(ids) => ids,
        Err(error) => return done.note("containers could not be listed", Err(error)),
    };
    let removals = ids.iter().map(|id| remote.remove_container(id));
    for (id, removed) in ids.iter().zip(join_all(removals).await) {
        match removed {
            Ok(true) => done.containers += 1,
            Ok(false) => {}
            Err(error) => done.note(&format!("container {id:.12} was not removed"), Err(error)),
        }
    }
}

impl Quiesced {
    fn note(&mut self, what: &str, outcome: Result<(), ApiError>) {
        if let Err(error) = outcome {
            self.warnings.push(format!("{what}: {error}"));
        }
    }
}
